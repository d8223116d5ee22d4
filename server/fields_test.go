package server_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// field is a place in a request that holds text or bytes: a field of it or of a message in it, an element of a list, or the keys or the values of a
// map.
type field struct {
	method string
	path   []protoreflect.FieldDescriptor // from the request to the field
	part   string                         // "", or "keys" or "values" of a map
}

func (f field) desc() protoreflect.FieldDescriptor { return f.path[len(f.path)-1] }

// where is the field without its method: "tags.key".
func (f field) where() string {
	var names []string
	for _, fd := range f.path {
		if names = append(names, string(fd.Name())); fd.Parent().Name() == "BatchItem" {
			names = nil // as if it were sent by itself
		}
	}
	name := strings.Join(names, ".")
	if f.part != "" {
		name += " " + f.part
	}
	return name
}

func (f field) String() string {
	return strings.Split(f.method, ".")[1] + ":" + short(f.method) + "." + f.where()
}

func (f field) bytes() bool { return f.desc().Kind() == protoreflect.BytesKind }

// textFields returns every such place of a method's request. A kind of field that it does not know fails the test.
func textFields(t testing.TB, method string) []field {
	t.Helper()
	return textFieldsOf(t, field{method: method}, descriptor(t, method).Input())
}

func textFieldsOf(t testing.TB, at field, m protoreflect.MessageDescriptor) (all []field) {
	t.Helper()
	for i := range m.Fields().Len() {
		fd := m.Fields().Get(i)
		f := field{at.method, append(at.path[:len(at.path):len(at.path)], fd), ""}
		switch {
		case fd.IsMap():
			if fd.MapKey().Kind() != protoreflect.StringKind || fd.MapValue().Kind() != protoreflect.StringKind {
				t.Fatalf("%s is a map of another kind: extend textFields", fd.FullName())
			}
			all = append(all, field{f.method, f.path, "keys"}, field{f.method, f.path, "values"})
		case fd.ContainingOneof() != nil && fd.Parent().Name() == "BatchItem" && fd.Name() != "encrypt": // one kind of item stands for all
		case fd.Message() != nil:
			if len(f.path) > 4 {
				t.Fatalf("%s is nested too deep: extend textFields", fd.FullName())
			}
			all = append(all, textFieldsOf(t, f, fd.Message())...)
		case fd.Kind() == protoreflect.StringKind || fd.Kind() == protoreflect.BytesKind:
			all = append(all, f)
		}
	}
	return all
}

// siblings are what the other fields of a new message in a list have, so that it is valid but for the one. :: field → text
var siblings = map[protoreflect.Name]string{"key": "k", "tag_key": "k", "context_key_name": "aws:userid"}

// companions are the fields beside another one without which it is refused, with their texts; an empty text clears the field. :: field → field → text
var companions = map[protoreflect.Name]map[protoreflect.Name]string{
	"token_code":                {"serial_number": "arn:aws:iam::111122223333:mfa/device"},
	"serial_number":             {"token_code": "000000"},
	"jwks_uri":                  {"jwks": ""},
	"encryption_context_equals": {"encryption_context_subset": ""},
}

// put sets the field of m to a text. In a list it is the first element, or else a new one.
func (f field) put(m proto.Message, text string) {
	r := m.ProtoReflect()
	for _, fd := range f.path[:len(f.path)-1] {
		if !fd.IsList() {
			r = r.Mutable(fd).Message()
			continue
		}
		list := r.Mutable(fd).List()
		if list.Len() == 0 {
			one := list.AppendMutable().Message()
			for name, text := range siblings {
				if sibling := one.Descriptor().Fields().ByName(name); sibling != nil {
					one.Set(sibling, protoreflect.ValueOfString(text))
				}
			}
		}
		r = list.Get(0).Message()
	}
	for name, text := range companions[f.desc().Name()] {
		switch beside := r.Descriptor().Fields().ByName(name); {
		case beside != nil && text == "":
			r.Clear(beside)
		case beside != nil:
			r.Set(beside, protoreflect.ValueOfString(text))
		}
	}
	fd, value := f.desc(), protoreflect.ValueOfString(text)
	if f.bytes() {
		value = protoreflect.ValueOfBytes([]byte(text))
	}
	switch {
	case f.part == "keys":
		r.Mutable(fd).Map().Set(value.MapKey(), protoreflect.ValueOfString("v"))
	case f.part == "values":
		r.Mutable(fd).Map().Set(protoreflect.ValueOfString("k").MapKey(), value)
	case !fd.IsList():
		r.Set(fd, value)
	case r.Get(fd).List().Len() == 0:
		r.Mutable(fd).List().Append(value)
	default:
		r.Mutable(fd).List().Set(0, value)
	}
}

// raw appends the field to an encoded message, without looking at what it holds. The last one counts; of a list it is one more.
func (f field) raw(b []byte, text string) []byte {
	inner := []byte(text)
	switch f.part {
	case "keys":
		inner = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), inner)
	case "values":
		inner = protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), inner)
	}
	for i := len(f.path) - 1; i >= 0; i-- {
		inner = protowire.AppendBytes(protowire.AppendTag(nil, f.path[i].Number(), protowire.BytesType), inner)
	}
	return append(b, inner...)
}
