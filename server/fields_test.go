package server_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// field is a place in a request that holds text or bytes: a field, or the keys or the values of a map.
type field struct {
	method string
	desc   protoreflect.FieldDescriptor
	part   string // "", or "keys" or "values" of a map
}

func (f field) String() string {
	name := short(f.method) + "." + string(f.desc.Name())
	if f.part != "" {
		name += " " + f.part
	}
	return name
}

func (f field) bytes() bool { return f.desc.Kind() == protoreflect.BytesKind }

// textFields returns every such place of a method's request. A kind of field that it does not know fails the test.
func textFields(t testing.TB, method string) (all []field) {
	t.Helper()
	list := descriptor(t, method).Input().Fields()
	for i := range list.Len() {
		fd := list.Get(i)
		switch {
		case fd.IsMap():
			if fd.MapKey().Kind() != protoreflect.StringKind || fd.MapValue().Kind() != protoreflect.StringKind {
				t.Fatalf("%s is a map of another kind: extend textFields", fd.FullName())
			}
			all = append(all, field{method, fd, "keys"}, field{method, fd, "values"})
		case fd.IsList() || fd.Message() != nil:
			t.Fatalf("%s is of a kind that textFields does not know", fd.FullName())
		case fd.Kind() == protoreflect.StringKind || fd.Kind() == protoreflect.BytesKind:
			all = append(all, field{method, fd, ""})
		}
	}
	return all
}

// put sets the field of m to a text.
func (f field) put(m proto.Message, text string) {
	r := m.ProtoReflect()
	switch {
	case f.part == "keys":
		r.Mutable(f.desc).Map().Set(protoreflect.ValueOfString(text).MapKey(), protoreflect.ValueOfString("v"))
	case f.part == "values":
		r.Mutable(f.desc).Map().Set(protoreflect.ValueOfString("k").MapKey(), protoreflect.ValueOfString(text))
	case f.bytes():
		r.Set(f.desc, protoreflect.ValueOfBytes([]byte(text)))
	default:
		r.Set(f.desc, protoreflect.ValueOfString(text))
	}
}

// raw appends the field to an encoded message, without looking at what it holds. The last one counts.
func (f field) raw(b []byte, text string) []byte {
	b = protowire.AppendTag(b, f.desc.Number(), protowire.BytesType)
	if f.part == "" {
		return protowire.AppendString(b, text)
	}
	number := protowire.Number(1)
	if f.part == "values" {
		number = 2
	}
	return protowire.AppendBytes(b, protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), text))
}
