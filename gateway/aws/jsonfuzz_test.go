package aws

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/kmsd/kmsd/internal/front"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// newMessage is an empty message of a shape.
func newMessage(s *shape) proto.Message {
	t, err := protoregistry.GlobalTypes.FindMessageByName(s.message.FullName())
	if err != nil {
		panic(err)
	}
	return t.New().Interface()
}

// inward is op as if its request were also its answer: what encode writes of a request is then what decode reads.
func inward(op *operation) *operation {
	o := *op
	o.void, o.out = false, o.in.mirror(map[*shape]*shape{})
	return &o
}

// mirror is s with every member in answers that requests have.
func (s *shape) mirror(known map[*shape]*shape) *shape {
	if s == nil || known[s] != nil {
		return known[s]
	}
	m := *s
	known[s] = &m
	m.ordered = nil
	for _, f := range s.ordered {
		c := *f
		c.out = f.field != nil && s.byField(string(f.field.Name())) == f
		c.always = f.required
		c.shape = f.shape.mirror(known)
		m.ordered = append(m.ordered, &c)
	}
	return &m
}

func FuzzJSON(f *testing.F) {
	var ops []*operation
	for _, s := range []*service{newKMS(), newOrganizations()} {
		for _, name := range slices.Sorted(maps.Keys(s.operations)) {
			ops = append(ops, s.operations[name])
		}
	}
	for i, op := range ops {
		f.Add(uint8(i), []byte(`{"KeyId":"alias/a","Plaintext":"aGVsbG8=","EncryptionContext":{"a":"\ud83d\ude00"},"GrantTokens":["t"],"DryRun":true}`))
		f.Add(uint8(i), []byte(`{"Tags":[{"TagKey":"a","TagValue":"b"},{"Key":"a","Value":""}],"Limit":1e1,"ValidTo":-1.5E3,"Constraints":{"EncryptionContextSubset":{}},"Operations":["Decrypt"]}`))
		f.Add(uint8(i), op.service.protocol.encode(inward(op), newMessage(op.in), ""))
	}
	f.Fuzz(func(t *testing.T, i uint8, body []byte) {
		op := ops[int(i)%len(ops)]
		before, began := bytes.Clone(body), time.Now()
		m := newMessage(op.in)
		err := op.service.protocol.decode(op, body, m)
		if took := time.Since(began); took > time.Second {
			t.Errorf("decode took %v for %d bytes", took, len(body))
		}
		if !bytes.Equal(body, before) {
			t.Errorf("decode changed the body")
		}
		if err != nil {
			var e *front.Error
			if !errors.As(err, &e) || e.Reason == "" || len(e.Message) > 1<<16 {
				t.Errorf("decode(%q) = %v, want a *front.Error", body, err)
			}
			return
		}
		if len(body) > 0 && !json.Valid(body) {
			t.Errorf("decode(%q) accepts what is no JSON", body)
		}
		again := newMessage(op.in)
		encoded := op.service.protocol.encode(inward(op), m, "")
		if !json.Valid(encoded) {
			t.Fatalf("encode of %q = %q, which is no JSON", body, encoded)
		}
		if err := op.service.protocol.decode(op, encoded, again); err != nil {
			t.Fatalf("%s: decode(encode(m)) = %v for %q, made of %q", op.name, err, encoded, body)
		}
		if !proto.Equal(m, again) {
			t.Errorf("%s: decode(encode(m)) = %v, want %v", op.name, again, m)
		}
	})
}

func BenchmarkJSONDecode(b *testing.B) {
	s := newKMS()
	for _, c := range []struct{ op, body string }{
		{"Encrypt", `{"KeyId":"arn:aws:kms:local:111122223333:key/12345678-1234-4234-8234-123456789012","Plaintext":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=","EncryptionContext":{"tenant":"a","purpose":"bench"}}`},
		{"Decrypt", `{"CiphertextBlob":"` + string(bytes.Repeat([]byte("AAAA"), 64)) + `","EncryptionContext":{"tenant":"a","purpose":"bench"}}`},
		{"GenerateDataKey", `{"KeyId":"alias/bench","KeySpec":"AES_256","EncryptionContext":{"tenant":"a","purpose":"bench"}}`},
	} {
		b.Run(c.op, func(b *testing.B) {
			op, body := s.operations[c.op], []byte(c.body)
			t, err := protoregistry.GlobalTypes.FindMessageByName(op.in.message.FullName())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := s.protocol.decode(op, body, t.New().Interface()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkJSONEncode(b *testing.B) {
	const arn = "arn:aws:kms:local:111122223333:key/12345678-1234-4234-8234-123456789012"
	const material = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	s := newKMS()
	for name, m := range map[string]protoreflect.ProtoMessage{
		"Encrypt": kmsv1.EncryptResponse_builder{
			CiphertextBlob: make([]byte, 192), KeyId: arn, KeyMaterialId: material, EncryptionAlgorithm: kmsv1.EncryptionAlgorithm_ENCRYPTION_ALGORITHM_SYMMETRIC_DEFAULT,
		}.Build(),
		"Decrypt": kmsv1.DecryptResponse_builder{
			Plaintext: make([]byte, 32), KeyId: arn, KeyMaterialId: material, EncryptionAlgorithm: kmsv1.EncryptionAlgorithm_ENCRYPTION_ALGORITHM_SYMMETRIC_DEFAULT,
		}.Build(),
		"GenerateDataKey": kmsv1.GenerateDataKeyResponse_builder{CiphertextBlob: make([]byte, 192), Plaintext: make([]byte, 32), KeyId: arn, KeyMaterialId: material}.Build(),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.protocol.encode(s.operations[name], m, "")
			}
		})
	}
}
