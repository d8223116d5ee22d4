package aws

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/internal/front"
)

// jsonProtocol is AWS JSON 1.1, of KMS and Organizations.
type jsonProtocol struct{ errors *errorForms }

var _ protocol = (*jsonProtocol)(nil)

func (*jsonProtocol) contentType() string { return jsonType }

// decode reads one JSON object; an empty body is one without members. It takes time and memory in proportion to the body.
func (*jsonProtocol) decode(op *operation, body []byte, m proto.Message) error {
	d := jsonDecoder{jsonReader: jsonReader{in: body}}
	defer d.wipe()
	if len(body) == 0 {
		d.missing(op.in, 0)
	} else {
		if d.next() != '{' {
			return errNotJSON
		}
		if err := d.structure(op.in, m.ProtoReflect()); err != nil {
			return err
		}
		if d.space(); d.at != len(d.in) {
			return errNotJSON
		}
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

// encode writes one JSON object, or nothing where AWS answers nothing.
func (*jsonProtocol) encode(op *operation, m proto.Message, _ string) []byte {
	if op.void {
		return nil
	}
	w := jsonWriter{buf: make([]byte, 0, 1024)}
	w.structure(op.out, m.ProtoReflect())
	return w.buf
}

func (w *jsonWriter) structure(s *shape, m protoreflect.Message) {
	w.raw("{")
	first := true
	for _, f := range s.ordered {
		if !f.told(m) {
			continue
		}
		if f.literal != "" {
			w.name(f.name, first)
			w.raw(f.literal)
			first = false
			continue
		}
		v := m.Get(f.field)
		if f.kind == kindEnum && !f.list && f.enum.names[v.Enum()] == "" {
			continue
		}
		w.name(f.name, first)
		first = false
		w.member(f, v)
	}
	w.raw("}")
}

func (w *jsonWriter) member(f *member, v protoreflect.Value) {
	switch {
	case f.dict:
		w.raw("{")
		first := true
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			if !first {
				w.raw(",")
			}
			first = false
			w.text(k.String())
			w.raw(":")
			w.text(v.String())
			return true
		})
		w.raw("}")
	case f.list:
		w.raw("[")
		for i, l := 0, v.List(); i < l.Len(); i++ {
			if i > 0 {
				w.raw(",")
			}
			w.value(f, l.Get(i))
		}
		w.raw("]")
	default:
		w.value(f, v)
	}
}

func (w *jsonWriter) value(f *member, v protoreflect.Value) {
	switch f.kind {
	case kindText:
		w.text(v.String())
	case kindBlob:
		w.blob(v.Bytes())
	case kindBoolean:
		w.boolean(v.Bool())
	case kindInteger, kindLong:
		w.integer(v.Int())
	case kindUnsigned:
		w.integer(int64(v.Uint()))
	case kindEnum:
		w.text(f.enum.names[v.Enum()])
	case kindTime:
		w.time(v.Message().Interface().(*timestamppb.Timestamp).AsTime())
	case kindStructure:
		w.structure(f.shape, v.Message())
	}
}

// serialization is what is said of a body that cannot be read.
func serialization(words string) error {
	return &front.Error{Reason: reasonSerialization, Message: words}
}

// errNotJSON is said of a body that is no JSON object. AWS says nothing about what is wrong with it.
var errNotJSON = serialization("")
