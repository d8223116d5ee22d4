package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/internal/kmstest"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// Every limit at its edge.
func TestLimits(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	text := func(n int) string { return strings.Repeat("x", n) }
	pairs := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprint("k", i)] = "v"
		}
		return m
	}
	encrypt := func(n int, ec map[string]string) proto.Message {
		return kmsv1.EncryptRequest_builder{KeyId: p.keyID, Plaintext: make([]byte, n), EncryptionContext: ec}.Build()
	}
	describe := func(n int) proto.Message {
		return kmsv1.UpdateKeyDescriptionRequest_builder{KeyId: p.otherID, Description: text(n)}.Build()
	}
	dataKey := func(spec kmsv1.DataKeySpec, n int32) proto.Message {
		return kmsv1.GenerateDataKeyRequest_builder{KeyId: p.keyID, KeySpec: spec, NumberOfBytes: n}.Build()
	}
	none, aes256, aes128 := kmsv1.DataKeySpec_DATA_KEY_SPEC_UNSPECIFIED, kmsv1.DataKeySpec_DATA_KEY_SPEC_AES_256, kmsv1.DataKeySpec_DATA_KEY_SPEC_AES_128
	description, generate := kmsv1.KeyService_UpdateKeyDescription_FullMethodName, kmsv1.CryptoService_GenerateDataKey_FullMethodName
	list, create := kmsv1.KeyService_ListKeys_FullMethodName, kmsv1.KeyService_CreateKey_FullMethodName
	for _, row := range []struct {
		what   string
		method string
		m      proto.Message
		good   bool
	}{
		{"no plaintext", encryptMethod, encrypt(0, nil), false},
		{"a plaintext of 1 byte", encryptMethod, encrypt(1, nil), true},
		{"a plaintext of 65536 bytes", encryptMethod, encrypt(65536, nil), true},
		{"a plaintext of 65537 bytes", encryptMethod, encrypt(65537, nil), false},
		{"64 pairs", encryptMethod, encrypt(1, pairs(64)), true},
		{"65 pairs", encryptMethod, encrypt(1, pairs(65)), false},
		{"an empty key in the context", encryptMethod, encrypt(1, map[string]string{"": "v"}), false},
		{"a key of 256 bytes in the context", encryptMethod, encrypt(1, map[string]string{text(256): "v"}), true},
		{"a key of 257 bytes in the context", encryptMethod, encrypt(1, map[string]string{text(257): "v"}), false},
		{"a context of 8192 bytes", encryptMethod, encrypt(1, map[string]string{"k": text(8192 - 13)}), true},
		{"a context of 8193 bytes", encryptMethod, encrypt(1, map[string]string{"k": text(8192 - 12)}), false},
		{"an algorithm that does not exist", encryptMethod, kmsv1.EncryptRequest_builder{KeyId: p.keyID, Plaintext: []byte("x"), EncryptionAlgorithm: 4}.Build(), false},
		{"a description of 8192 bytes", description, describe(8192), true},
		{"a description of 8193 bytes", description, describe(8193), false},
		{"a data key of neither length", generate, dataKey(none, 0), false},
		{"a data key of 1 byte", generate, dataKey(none, 1), true},
		{"a data key of 1024 bytes", generate, dataKey(none, 1024), true},
		{"a data key of 1025 bytes", generate, dataKey(none, 1025), false},
		{"a data key of -1 bytes", generate, dataKey(none, -1), false},
		{"AES_256", generate, dataKey(aes256, 0), true},
		{"AES_128", generate, dataKey(aes128, 0), true},
		{"AES_256 and its length", generate, dataKey(aes256, 32), false},
		{"a spec that does not exist", generate, dataKey(3, 0), false},
		{"a negative spec", generate, dataKey(-1, 0), false},
		{"a page of 1000", list, kmsv1.ListKeysRequest_builder{Limit: 1000}.Build(), true},
		{"a page of 1001", list, kmsv1.ListKeysRequest_builder{Limit: 1001}.Build(), false},
		{"a page of -1", list, kmsv1.ListKeysRequest_builder{Limit: -1}.Build(), false},
		{"a client token of 64 characters", create, kmsv1.CreateKeyRequest_builder{ClientToken: text(64)}.Build(), true},
		{"a client token of 65 characters", create, kmsv1.CreateKeyRequest_builder{ClientToken: text(65)}.Build(), false},
		{"a usage that does not exist", create, kmsv1.CreateKeyRequest_builder{KeyUsage: 2}.Build(), false},
		{"a key spec that does not exist", create, kmsv1.CreateKeyRequest_builder{KeySpec: 2}.Build(), false},
		{"a policy of 32769 bytes", create, kmsv1.CreateKeyRequest_builder{Policy: text(32769)}.Build(), false},
	} {
		got := d.ask(d.root, row.method, row.m)
		if row.good && got.code != codes.OK {
			t.Errorf("%s: %v, want it accepted", row.what, got)
		}
		if !row.good {
			refuses(t, row.what, got, codes.InvalidArgument, "ValidationException", "")
		}
	}
	for _, n := range []struct{ spec, want int }{{int(aes256), 32}, {int(aes128), 16}} {
		var out kmsv1.GenerateDataKeyResponse
		d.must(generate, dataKey(kmsv1.DataKeySpec(n.spec), 0), &out)
		if len(out.GetPlaintext()) != n.want {
			t.Errorf("a data key of the spec %d has %d bytes, want %d", n.spec, len(out.GetPlaintext()), n.want)
		}
	}
}

// A request beyond the limit is refused, by the pipeline or by gRPC, and recorded.
func TestLargeMessages(t *testing.T) {
	d := newDoor(t, nil)
	for _, row := range []struct {
		bytes int
		code  codes.Code
		class string
	}{
		{256 << 10, codes.InvalidArgument, ""}, {256<<10 + 1, codes.InvalidArgument, "TooLarge"}, {512 << 10, codes.InvalidArgument, "TooLarge"}, {8 << 20, codes.InvalidArgument, "TooLarge"}, {8<<20 + 1, codes.ResourceExhausted, "NotReceived"},
	} {
		m := marshal(t, kmsv1.EncryptRequest_builder{KeyId: "x", Plaintext: make([]byte, row.bytes)}.Build())
		m = m[:row.bytes] // malformed, if it is read at all
		c := call{method: encryptMethod, body: m, as: d.root, agent: d.agent(fmt.Sprint(row.bytes))}
		got := d.send(t.Context(), c)
		if got.err != nil || got.code != row.code {
			t.Errorf("%d bytes: %v, want %v", row.bytes, got, row.code)
		}
		e := d.events()[c.agent]
		for end := time.Now().Add(10 * time.Second); len(e) == 0 && time.Now().Before(end); e = d.events()[c.agent] {
			time.Sleep(20 * time.Millisecond) // what gRPC refuses, it answers before the pipeline has recorded it
		}
		if len(e) != 1 || row.class != "" && e[0].Outcome.ErrorClass != row.class {
			t.Errorf("%d bytes: events %+v, want one of the class %q", row.bytes, e, row.class)
		}
	}
}

// A client token makes a call one that can be repeated.
func TestClientToken(t *testing.T) {
	d := newDoor(t, nil)
	create := func(token, description string) answer {
		return d.ask(d.root, kmsv1.KeyService_CreateKey_FullMethodName, kmsv1.CreateKeyRequest_builder{ClientToken: token, Description: description}.Build())
	}
	keyOf := func(a answer) string {
		var out kmsv1.CreateKeyResponse
		if err := proto.Unmarshal(a.body, &out); err != nil {
			t.Fatal(err)
		}
		return out.GetKeyMetadata().GetArn()
	}
	first := keyOf(create("token", "a"))
	if again := keyOf(create("token", "a")); again != first || first == "" {
		t.Errorf("CreateKey with the same token = %s, want %s", again, first)
	}
	if other := keyOf(create("token2", "a")); other == first {
		t.Error("CreateKey with another token returned the same key")
	}
	refuses(t, "the token with other parameters", create("token", "b"), codes.InvalidArgument, "IdempotentParameterMismatchException", "")
	other := d.User("other", kmstest.Allow([]string{"kms:*"}))
	if got := d.ask(other, kmsv1.KeyService_CreateKey_FullMethodName, kmsv1.CreateKeyRequest_builder{ClientToken: "token", Description: "a"}.Build()); keyOf(got) == first {
		t.Error("another caller's token returned the first caller's key")
	}
	d.Restart()
	d.root = d.Credentials()
	if again := keyOf(create("token", "a")); again != first {
		t.Errorf("CreateKey with the same token after a restart = %s, want %s", again, first)
	}
	rotate := func(token string) string {
		var out kmsv1.RotateKeyOnDemandResponse
		d.must(kmsv1.KeyService_RotateKeyOnDemand_FullMethodName, kmsv1.RotateKeyOnDemandRequest_builder{KeyId: first, ClientToken: token}.Build(), &out)
		return out.GetKeyMaterialId()
	}
	a, b, c := rotate("r"), rotate("r"), rotate("s")
	if a != b || a == c {
		t.Errorf("RotateKeyOnDemand with the tokens r, r, s made %s, %s, %s", a, b, c)
	}
}
