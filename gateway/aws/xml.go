package aws

import (
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// encode writes an answer: <OpResponse> with <OpResult>, which operations without an answer do not have, and the request's id.
func (*queryProtocol) encode(op *operation, m proto.Message, requestID string) []byte {
	w := xmlWriter{b: make([]byte, 0, 512+2*proto.Size(m))}
	w.root(op.name+"Response", op.service.namespace)
	if !op.void {
		w.wrapped(op.name+"Result", func() { w.structure(op.out, m.ProtoReflect()) })
	}
	w.open("ResponseMetadata")
	w.element("RequestId", requestID)
	w.close("ResponseMetadata")
	w.close(op.name + "Response")
	return w.b
}

// wrapped writes an element around what inner writes.
func (w *xmlWriter) wrapped(name string, inner func()) {
	before := len(w.b)
	w.open(name)
	opened := len(w.b)
	inner()
	if len(w.b) > opened {
		w.close(name)
		return
	}
	w.b = w.b[:before]
	w.depth--
	w.empty(name)
}

// structure writes the members of a message that are there, and those that AWS always tells.
func (w *xmlWriter) structure(s *shape, m protoreflect.Message) {
	for _, f := range s.ordered {
		switch {
		case !f.told(m):
		case f.literal != "":
			w.element(f.name, strings.Trim(f.literal, `"`))
		case m.Has(f.field):
			w.member(f, m.Get(f.field))
		case f.instead != "":
			w.element(f.name, f.instead)
		default:
			w.absent(f)
		}
	}
}

// member writes a member that is there.
func (w *xmlWriter) member(f *member, v protoreflect.Value) {
	if !f.list {
		w.value(f, f.name, v)
		return
	}
	w.wrapped(f.name, func() {
		for i := range v.List().Len() {
			w.value(f, "member", v.List().Get(i))
		}
	})
}

// absent writes a member that is told although it is not there.
func (w *xmlWriter) absent(f *member) {
	if f.list || f.kind == kindStructure {
		w.empty(f.name)
		return
	}
	w.value(f, f.name, f.field.Default())
}

// value writes one element with a value.
func (w *xmlWriter) value(f *member, name string, v protoreflect.Value) {
	if f.kind == kindStructure {
		w.wrapped(name, func() { w.structure(f.shape, v.Message()) })
		return
	}
	w.begin(name)
	switch f.kind {
	case kindText:
		if f.encoded {
			w.urlEncoded(v.String())
		} else {
			w.text(v.String())
		}
	case kindBlob:
		if f.field.Kind() == protoreflect.StringKind {
			w.base64([]byte(v.String()))
		} else {
			w.base64(v.Bytes())
		}
	case kindBoolean:
		w.raw(strconv.FormatBool(v.Bool()))
	case kindInteger, kindLong:
		w.raw(strconv.FormatInt(v.Int(), 10))
	case kindUnsigned:
		w.raw(strconv.FormatUint(v.Uint(), 10))
	case kindEnum:
		w.text(f.enum.names[v.Enum()])
	case kindTime:
		w.raw(isoTime(v.Message()))
	}
	w.end(name)
}

// isoTime is a time as IAM and STS write it: UTC, in whole seconds.
func isoTime(m protoreflect.Message) string {
	t, ok := m.Interface().(*timestamppb.Timestamp)
	if !ok {
		return ""
	}
	return t.AsTime().UTC().Format(time.RFC3339)
}
