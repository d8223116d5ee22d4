package aws

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/internal/front"
)

// queryProtocol is AWS's Query protocol: a request is a form, an answer XML (smithy.io, "AWS query protocol").
type queryProtocol struct {
	errors   map[string]queryError // by the pipeline's reasons
	internal string                // what the service calls a fault of its own
}

var _ protocol = (*queryProtocol)(nil)

func (*queryProtocol) contentType() string { return "text/xml" }

// The errors of values, in the words of AWS's own services. They are never written.
var (
	errQueryBoolean = &front.Error{Reason: reasonSerialization, Message: "STRING_VALUE cannot be converted to Boolean"}
	errQueryInteger = &front.Error{Reason: reasonSerialization, Message: "STRING_VALUE cannot be converted to Integer"}
	errQueryTime    = &front.Error{Reason: reasonSerialization, Message: "STRING_VALUE cannot be converted to Timestamp"}
	errQueryBlob    = &front.Error{Reason: reasonSerialization, Message: "STRING_VALUE is not valid base64"}
)

// decode fills m from a form. Members that the operation does not have are ignored, as AWS does.
func (*queryProtocol) decode(op *operation, body []byte, m proto.Message) error {
	root, err := readForm(body, func(name string) bool {
		f := op.in.members[name]
		return f != nil && f.in
	})
	if err != nil {
		return err
	}
	d := queryDecoder{}
	if err := d.structure(root, op.in, m.ProtoReflect(), ""); err != nil {
		return err
	}
	if err := d.findings.err(); err != nil {
		return err
	}
	if d.refused != nil {
		return d.refused
	}
	op.in.preset(m.ProtoReflect())
	return nil
}

// queryDecoder turns the tree of a form into a message.
type queryDecoder struct {
	findings findings     // what is wrong with values
	refused  *front.Error // the first of what kmsd cannot do
}

// structure reads the members of a structure. under is its own name in what validation says, with a dot; empty for the request itself.
func (d *queryDecoder) structure(n *node, s *shape, to protoreflect.Message, under string) error {
	for _, m := range s.ordered {
		if !m.in {
			continue
		}
		child, label := n.members[m.name], under+m.label
		if child == nil {
			if m.required {
				d.findings.null(label)
			}
			continue
		}
		if m.refused {
			if child.members != nil || child.value != "" && !strings.EqualFold(child.value, "false") {
				d.refuse(&front.Error{Reason: reasonUnsupported, Message: "kmsd does not have " + m.name + "."})
			}
			continue
		}
		if err := d.member(child, m, to, label); err != nil {
			return err
		}
	}
	return nil
}

func (d *queryDecoder) refuse(e *front.Error) {
	if d.refused == nil {
		d.refused = e
	}
}

// member reads one member.
func (d *queryDecoder) member(n *node, m *member, to protoreflect.Message, label string) error {
	switch {
	case m.list:
		return d.list(n, m, to, label)
	case m.kind == kindStructure:
		if err := n.structure(); err != nil {
			return err
		}
		return d.structure(n, m.shape, to.Mutable(m.field).Message(), label+".")
	}
	v, err := d.scalar(n, m, m.bounds, label)
	if err == nil && v.IsValid() {
		to.Set(m.field, v)
	}
	return err
}

// list reads the entries of a list.
func (d *queryDecoder) list(n *node, m *member, to protoreflect.Message, label string) error {
	entries, err := n.list()
	if err != nil {
		return err
	}
	d.findings.length(len(entries), label, m.bounds)
	list := to.Mutable(m.field).List()
	for i, entry := range entries {
		label := label + "." + strconv.Itoa(i+1) + ".member"
		if m.kind == kindStructure {
			if err := entry.structure(); err != nil {
				return err
			}
			if err := d.structure(entry, m.shape, list.AppendMutable().Message(), label+"."); err != nil {
				return err
			}
			continue
		}
		v, err := d.scalar(entry, m, bounds{}, label)
		if err != nil {
			return err
		}
		if v.IsValid() {
			list.Append(v)
		}
	}
	return nil
}

// scalar reads a value. It is not valid if d tells what is wrong with it.
func (d *queryDecoder) scalar(n *node, m *member, b bounds, label string) (v protoreflect.Value, err error) {
	text, err := n.scalar()
	if err != nil {
		return v, err
	}
	switch m.kind {
	case kindText:
		d.findings.length(utf8.RuneCountInString(text), label, b)
		return protoreflect.ValueOfString(text), nil
	case kindBlob:
		return blobOf(text, m.field)
	case kindBoolean:
		is := strings.EqualFold(text, "true")
		if !is && !strings.EqualFold(text, "false") {
			return v, errQueryBoolean
		}
		return protoreflect.ValueOfBool(is), nil
	case kindEnum:
		return d.enum(text, m.enum, label)
	case kindTime:
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return v, errQueryTime
		}
		return protoreflect.ValueOfMessage(timestamppb.New(t).ProtoReflect()), nil
	}
	return d.number(text, m, b, label)
}

func (d *queryDecoder) enum(text string, e *enum, label string) (v protoreflect.Value, err error) {
	if number, ok := e.numbers[text]; ok {
		return protoreflect.ValueOfEnum(number), nil
	}
	if r := e.refused[text]; r != nil {
		d.refuse(r)
		return v, nil
	}
	d.findings.quote(text, label, "Member must satisfy enum value set: "+e.set)
	return v, nil
}

func (d *queryDecoder) number(text string, m *member, b bounds, label string) (v protoreflect.Value, err error) {
	size := 32
	if m.kind == kindLong {
		size = 64
	}
	if m.kind == kindUnsigned {
		n, err := strconv.ParseUint(text, 10, size)
		if err != nil {
			return v, errQueryInteger
		}
		return protoreflect.ValueOfUint32(uint32(n)), nil
	}
	n, err := strconv.ParseInt(text, 10, size)
	if err != nil {
		return v, errQueryInteger
	}
	d.findings.value(n, label, b)
	if size == 64 {
		return protoreflect.ValueOfInt64(n), nil
	}
	return protoreflect.ValueOfInt32(int32(n)), nil
}

// blobOf reads base64. A field that holds a text takes the bytes as such.
func blobOf(text string, f protoreflect.FieldDescriptor) (v protoreflect.Value, err error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return v, errQueryBlob
	}
	if f.Kind() == protoreflect.StringKind {
		return protoreflect.ValueOfString(string(b)), nil
	}
	return protoreflect.ValueOfBytes(b), nil
}
