package client

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func isBytes(f protoreflect.FieldDescriptor) bool {
	return f.Kind() == protoreflect.BytesKind && !f.IsList()
}

func isSum(f protoreflect.FieldDescriptor) bool {
	return strings.HasSuffix(string(f.Name()), "_crc32c")
}

func hasSum(d protoreflect.MessageDescriptor) bool {
	for i := range d.Fields().Len() {
		if isSum(d.Fields().Get(i)) {
			return true
		}
	}
	return false
}

// fill gives every field of bytes a value, and answers their checksums.
func fill(m protoreflect.Message, sums bool) {
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		if !isBytes(f) {
			continue
		}
		b := make([]byte, 16)
		rand.Read(b)
		m.Set(f, protoreflect.ValueOfBytes(b))
		if s := m.Descriptor().Fields().ByName(f.Name() + "_crc32c"); s != nil && sums {
			m.Set(s, protoreflect.ValueOfUint32(crypto.CRC32C(b)))
		}
	}
}

// honest answers a request as kmsd would: every checksum is there, and those of the request are checked.
func honest(request, answer protoreflect.Message) {
	fill(answer, true)
	for i := range answer.Descriptor().Fields().Len() {
		f := answer.Descriptor().Fields().Get(i)
		name, ok := strings.CutPrefix(string(f.Name()), "verified_")
		if !ok {
			continue
		}
		sum := request.Descriptor().Fields().ByName(protoreflect.Name(name))
		of := request.Descriptor().Fields().ByName(protoreflect.Name(strings.TrimSuffix(name, "_crc32c")))
		answer.Set(f, protoreflect.ValueOfBool(request.Has(sum) && uint32(request.Get(sum).Uint()) == crypto.CRC32C(request.Get(of).Bytes())))
	}
}

// honestConn is a kmsd that answers anything, and spoils the answer then.
type honestConn struct {
	grpc.ClientConnInterface
	request proto.Message
	spoil   func(proto.Message)
}

func (c *honestConn) Invoke(_ context.Context, _ string, args, reply any, _ ...grpc.CallOption) error {
	c.request = args.(proto.Message)
	honest(c.request.ProtoReflect(), reply.(proto.Message).ProtoReflect())
	if c.spoil != nil {
		c.spoil(reply.(proto.Message))
	}
	return nil
}

// messageOf makes an empty message of its Go type.
func messageOf(t *testing.T, d protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		t.Fatal(err)
	}
	return kind.New().Interface()
}

// unsummed are fields of bytes without a checksum, each with the reason.
var unsummed = map[protoreflect.FullName]string{
	"kmsd.kms.v1.GetParametersForImportResponse.import_token": "is authenticated",
	"kmsd.kms.v1.ImportKeyMaterialRequest.import_token":       "is authenticated",
}

// eachMethod calls fn for every method of the kms package that is not a stream nor a batch.
func eachMethod(fn func(m protoreflect.MethodDescriptor)) {
	for _, file := range files() {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				if m := methods.Get(j); m.ParentFile().Package() == "kmsd.kms.v1" && m.Parent().Name() != "BatchService" {
					fn(m)
				}
			}
		}
	}
}

// TestEveryChecksumIsSetAndChecked: of every method of the kms package each field of bytes of the request is sent with its checksum, and an answer
// in which any field of bytes, any checksum or any confirmation is not what it must be is refused.
func TestEveryChecksumIsSetAndChecked(t *testing.T) {
	set, spoilt := 0, 0
	eachMethod(func(m protoreflect.MethodDescriptor) {
		for _, d := range []protoreflect.MessageDescriptor{m.Input(), m.Output()} {
			for i := range d.Fields().Len() {
				f := d.Fields().Get(i)
				if isBytes(f) && d.Fields().ByName(f.Name()+"_crc32c") == nil && unsummed[f.FullName()] == "" {
					t.Errorf("%s has no checksum", f.FullName())
				}
			}
		}
		conn := &honestConn{}
		call := func() (proto.Message, proto.Message, error) {
			request, answer := messageOf(t, m.Input()), messageOf(t, m.Output())
			fill(request.ProtoReflect(), false)
			given := proto.Clone(request)
			err := checked{conn, ""}.Invoke(t.Context(), "x", request, answer)
			if !proto.Equal(request, given) {
				t.Errorf("%s: the caller's request was changed", m.Name())
			}
			return request, answer, err
		}
		given, answer, err := call()
		if err != nil {
			t.Errorf("%s = %v, want nil", m.Name(), err)
			return
		}
		set += checkSent(t, given, conn.request)
		conn.spoil = proto.Reset
		if _, got, err := call(); hasSum(m.Output()) && !errors.Is(err, ErrIntegrity) {
			t.Errorf("%s with an empty answer = %v, %v, want ErrIntegrity", m.Name(), got, err)
		}
		fields := answer.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			if unsummed[f.FullName()] != "" || !isBytes(f) && !isSum(f) {
				continue
			}
			spoilt++
			conn.spoil = func(m proto.Message) { m.ProtoReflect().Clear(f) }
			if _, got, err := call(); !errors.Is(err, ErrIntegrity) || !proto.Equal(got, messageOf(t, m.Output())) {
				t.Errorf("%s without %s = %v, %v, want nothing and ErrIntegrity", m.Name(), f.Name(), got, err)
			}
		}
	})
	if set < 12 || spoilt < 40 {
		t.Errorf("%d checksums were set and %d fields spoilt, want at least 12 and 40", set, spoilt)
	}
}

// checkSent compares what was sent with what was given, and counts checksums.
func checkSent(t *testing.T, given, sent proto.Message) (sums int) {
	t.Helper()
	sent = proto.Clone(sent)
	fields := sent.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		of, ok := strings.CutSuffix(string(f.Name()), "_crc32c")
		if !ok {
			continue
		}
		content := sent.ProtoReflect().Get(fields.ByName(protoreflect.Name(of))).Bytes()
		if got := uint32(sent.ProtoReflect().Get(f).Uint()); got != crypto.CRC32C(content) {
			t.Errorf("%s was sent with %s %08x, want %08x", sent.ProtoReflect().Descriptor().Name(), f.Name(), got, crypto.CRC32C(content))
		}
		sums++
		sent.ProtoReflect().Clear(f)
	}
	if f := fields.ByName("client_token"); f != nil {
		if sent.ProtoReflect().Get(f).String() == "" {
			t.Errorf("%s was sent without a client token", sent.ProtoReflect().Descriptor().Name())
		}
		sent.ProtoReflect().Clear(f)
	}
	if !proto.Equal(sent, given) {
		t.Errorf("sent %v, want %v", sent, given)
	}
	return sums
}

// TestADryRunHasNoSums, if it was asked for: an answer that only says so is refused.
func TestADryRunHasNoSums(t *testing.T) {
	n := 0
	eachMethod(func(m protoreflect.MethodDescriptor) {
		asks, says := m.Input().Fields().ByName("dry_run"), m.Output().Fields().ByName("dry_run")
		if asks == nil || !hasSum(m.Output()) {
			return
		}
		n++
		conn := &honestConn{spoil: func(answer proto.Message) {
			proto.Reset(answer)
			answer.ProtoReflect().Set(says, protoreflect.ValueOfBool(true))
		}}
		request := messageOf(t, m.Input())
		fill(request.ProtoReflect(), false)
		if err := (checked{conn, ""}).Invoke(t.Context(), "x", request, messageOf(t, m.Output())); !errors.Is(err, ErrIntegrity) {
			t.Errorf("%s answered as a dry run = %v, want ErrIntegrity", m.Name(), err)
		}
		request.ProtoReflect().Set(asks, protoreflect.ValueOfBool(true))
		if err := (checked{conn, ""}).Invoke(t.Context(), "x", request, messageOf(t, m.Output())); err != nil {
			t.Errorf("a dry run of %s = %v, want nil", m.Name(), err)
		}
	})
	if n < 15 {
		t.Errorf("found %d methods, want at least 15", n)
	}
}

// TestOneTokenForAllChanges, if the client was made with one; a random one each if not.
func TestOneTokenForAllChanges(t *testing.T) {
	token := func(token string) string {
		conn := &honestConn{}
		if err := (checked{conn, token}).Invoke(t.Context(), "x", &kmsv1.EnableKeyRequest{}, &kmsv1.EnableKeyResponse{}); err != nil {
			t.Fatal(err)
		}
		return conn.request.(*kmsv1.EnableKeyRequest).GetClientToken()
	}
	if one, other := token("mine"), token("mine"); one != "mine" || other != one {
		t.Errorf("sent the tokens %q and %q, want mine", one, other)
	}
	if one, other := token(""), token(""); one == other || len(one) < 16 || len(one) > 64 {
		t.Errorf("sent the tokens %q and %q, want two random ones", one, other)
	}
}

// TestGivenSumsAndTokensStay: who sets them himself is believed.
func TestGivenSumsAndTokensStay(t *testing.T) {
	eachMethod(func(m protoreflect.MethodDescriptor) {
		request := messageOf(t, m.Input())
		fill(request.ProtoReflect(), false)
		given := 0
		for i := range m.Input().Fields().Len() {
			switch f := m.Input().Fields().Get(i); {
			case isSum(f):
				request.ProtoReflect().Set(f, protoreflect.ValueOfUint32(7))
				given++
			case f.Name() == "client_token":
				request.ProtoReflect().Set(f, protoreflect.ValueOfString("mine"))
				given++
			}
		}
		if sent := complete(request, ""); given > 0 && sent != request {
			t.Errorf("%s: sent %v, want what was given", m.Name(), sent)
		}
	})
}

// BenchmarkChecked is what the checks of a call cost, written out and by reflection.
func BenchmarkChecked(b *testing.B) {
	encrypt := kmsv1.EncryptRequest_builder{KeyId: "k", Plaintext: make([]byte, 32), EncryptionContext: map[string]string{"a": "b"}}.Build()
	answer := &kmsv1.EncryptResponse{}
	honest(complete(encrypt, "").ProtoReflect(), answer.ProtoReflect())
	b.Run("written out", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := check(complete(encrypt, ""), answer); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("by reflection", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := planOf(answer).check(planOf(encrypt).complete(encrypt, ""), answer); err != nil {
				b.Fatal(err)
			}
		}
	})
}
