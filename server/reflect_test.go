package server

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

func protoName(s string) protoreflect.Name { return protoreflect.Name(s) }

// emptyRequest makes a request of a method's type.
func emptyRequest(t *testing.T, m *method) proto.Message {
	t.Helper()
	for _, file := range files() {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				if d := service.Methods().Get(j); "/"+string(service.FullName())+"/"+string(d.Name()) == m.name {
					kind, err := protoregistry.GlobalTypes.FindMessageByName(d.Input().FullName())
					if err != nil {
						t.Fatal(err)
					}
					return kind.New().Interface()
				}
			}
		}
	}
	t.Fatalf("no method %s", m.name)
	return nil
}

// requestWithKey makes a request that is valid but for the key that it names.
func requestWithKey(t *testing.T, m *method, field, key string) proto.Message {
	t.Helper()
	r := emptyRequest(t, m)
	p := r.ProtoReflect()
	for name, v := range map[string]protoreflect.Value{
		field: protoreflect.ValueOfString(key), "plaintext": protoreflect.ValueOfBytes([]byte("x")), "number_of_bytes": protoreflect.ValueOfInt32(32),
		"alias_name":      protoreflect.ValueOfString("alias/a"),
		"policy":          protoreflect.ValueOfString(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}`),
		"ciphertext_blob": protoreflect.ValueOfBytes(append([]byte{1, 1}, make([]byte, 200)...)),
	} {
		if f := p.Descriptor().Fields().ByName(protoName(name)); f != nil {
			p.Set(f, v)
		}
	}
	return r
}
