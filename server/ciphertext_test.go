package server_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// An encryption context must come back exactly, in any order.
func TestEncryptionContext(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	for _, row := range []struct {
		what    string
		given   map[string]string
		back    map[string]string
		decrypt bool
	}{
		{"the same", map[string]string{"a": "b"}, map[string]string{"a": "b"}, true},
		{"none and none", nil, map[string]string{}, true},
		{"many, in another order", map[string]string{"a": "1", "b": "2", "c": "3"}, map[string]string{"c": "3", "b": "2", "a": "1"}, true},
		{"an empty value", map[string]string{"a": ""}, map[string]string{"a": ""}, true},
		{"a boundary between key and value moved", map[string]string{"a": "bc"}, map[string]string{"ab": "c"}, false},
		{"a boundary between pairs moved", map[string]string{"a": "b", "c": "d"}, map[string]string{"a": "bcd"}, false},
		{"a pair's text as a value", map[string]string{"a": "b", "c": "d"}, map[string]string{"a": "b\x00\x00\x00\x01c\x00\x00\x00\x01d"}, false},
		{"key and value exchanged", map[string]string{"a": "b"}, map[string]string{"b": "a"}, false},
		{"a missing pair", map[string]string{"a": "b", "c": "d"}, map[string]string{"a": "b"}, false},
		{"a pair too many", map[string]string{"a": "b"}, map[string]string{"a": "b", "c": "d"}, false},
		{"none instead of one", map[string]string{"a": "b"}, nil, false},
		{"another case", map[string]string{"Key": "Value"}, map[string]string{"key": "Value"}, false},
		{"another case of the value", map[string]string{"Key": "Value"}, map[string]string{"Key": "value"}, false},
		{"another form of the same letter", map[string]string{"k": "\u00e9"}, map[string]string{"k": "e\u0301"}, false},
		{"a space behind", map[string]string{"k": "v"}, map[string]string{"k": "v "}, false},
	} {
		got := d.decrypt(p.encrypt(p.keyID, []byte("secret"), row.given), row.back)
		if row.decrypt {
			if got.code != codes.OK || plaintextOf(t, got) != "secret" {
				t.Errorf("%s: %v, want the plaintext", row.what, got)
			}
			continue
		}
		refuses(t, row.what, got, codes.InvalidArgument, "InvalidCiphertextException", "")
	}
	for what, m := range map[string]proto.Message{
		kmsv1.CryptoService_GenerateDataKey_FullMethodName:                 kmsv1.GenerateDataKeyRequest_builder{KeyId: p.keyID, NumberOfBytes: 16, EncryptionContext: map[string]string{"a": "b"}}.Build(),
		kmsv1.CryptoService_GenerateDataKeyWithoutPlaintext_FullMethodName: kmsv1.GenerateDataKeyWithoutPlaintextRequest_builder{KeyId: p.keyID, NumberOfBytes: 16, EncryptionContext: map[string]string{"a": "b"}}.Build(),
		kmsv1.CryptoService_ReEncrypt_FullMethodName:                       kmsv1.ReEncryptRequest_builder{CiphertextBlob: p.blob, DestinationKeyId: p.keyID, DestinationEncryptionContext: map[string]string{"a": "b"}}.Build(),
	} {
		_, _, n := protowire.ConsumeTag(d.ask(d.root, what, m).body) // the first field is the ciphertext in all of them
		blob, _ := protowire.ConsumeBytes(d.ask(d.root, what, m).body[n:])
		refuses(t, what+", decrypted without its context", d.decrypt(blob, nil), codes.InvalidArgument, "InvalidCiphertextException", "")
		if got := d.decrypt(blob, map[string]string{"a": "b"}); got.code != codes.OK {
			t.Errorf("%s, decrypted in its context: %v", what, got)
		}
	}
}

// Every failure to decrypt looks the same from outside, to the byte; the log tells them apart.
func TestOneErrorForEveryCiphertext(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	ec := map[string]string{"a": "b"}
	blob := p.encrypt(p.keyID, []byte("plain"), ec)
	if len(blob) != crypto.Overhead+5 {
		t.Fatalf("a ciphertext of %d bytes, want %d", len(blob), crypto.Overhead+5)
	}
	bad := map[string][]byte{"one byte": {1}, "all zero": make([]byte, len(blob)), "another length": append(bytes.Clone(blob), 0)}
	for i := range len(blob) * 8 {
		flipped := bytes.Clone(blob)
		flipped[i/8] ^= 1 << (i % 8)
		bad[fmt.Sprintf("byte %d bit %d", i/8, i%8)] = flipped
	}
	for n := 1; n < len(blob); n++ {
		bad[fmt.Sprintf("the first %d bytes", n)] = blob[:n]
	}
	want := anonymousStatus(t, d.decrypt(blob, nil)) // the right ciphertext, in the wrong context
	var mu sync.Mutex
	var wg sync.WaitGroup
	work := make(chan string)
	for range 16 {
		wg.Go(func() {
			for what := range work {
				got := d.send(t.Context(), call{method: decryptMethod, body: marshal(t, kmsv1.DecryptRequest_builder{CiphertextBlob: bad[what], EncryptionContext: ec}.Build()), as: d.root})
				mu.Lock()
				if got.err != nil || got.reason != "InvalidCiphertextException" || anonymousStatus(t, got) != want {
					t.Errorf("%s: %v, want the same as for every other failure", what, got)
				}
				mu.Unlock()
			}
		})
	}
	for what := range bad {
		work <- what
	}
	close(work)
	wg.Wait()
	classes := map[string]int{}
	for _, e := range d.Events(audit.Filter{Event: "Decrypt", Outcome: "InvalidCiphertextException"}) {
		classes[e.Outcome.ErrorClass]++
	}
	t.Logf("%d ciphertexts: %v", len(bad), classes)
	for _, class := range []string{"malformed", "UnknownKey", "UnknownKeyMaterial", "wrong_commitment", "wrong_context", "tampered"} {
		if classes[class] == 0 {
			t.Errorf("no event of the class %q: %v", class, classes)
		}
	}
	if len(bad) < 1000 {
		t.Errorf("only %d ciphertexts", len(bad))
	}
}

// Decrypt and ReEncrypt with the name of a key that is not the ciphertext's.
func TestIncorrectKey(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	got := d.ask(d.root, decryptMethod, kmsv1.DecryptRequest_builder{CiphertextBlob: p.blob, KeyId: p.otherID}.Build())
	refuses(t, "Decrypt", got, codes.InvalidArgument, "IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
	got = d.ask(d.root, kmsv1.CryptoService_ReEncrypt_FullMethodName, kmsv1.ReEncryptRequest_builder{CiphertextBlob: p.blob, SourceKeyId: p.otherID, DestinationKeyId: p.keyID}.Build())
	refuses(t, "ReEncrypt", got, codes.InvalidArgument, "IncorrectKeyException", "")
	for _, name := range []string{p.keyID, p.keyID[strings.LastIndexByte(p.keyID, '/')+1:]} {
		if got := d.ask(d.root, decryptMethod, kmsv1.DecryptRequest_builder{CiphertextBlob: p.blob, KeyId: name}.Build()); got.code != codes.OK {
			t.Errorf("Decrypt with key_id %s: %v", name, got)
		}
	}
}

// usesOf are the calls that use a key.

// A checksum that does not match is refused; one that does is confirmed; every answer carries its own.
func TestChecksums(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	plain, wrong := []byte("plaintext"), proto.Uint32(crypto.CRC32C([]byte("other")))
	for method, m := range map[string]proto.Message{
		encryptMethod: kmsv1.EncryptRequest_builder{KeyId: p.keyID, Plaintext: plain, PlaintextCrc32C: wrong}.Build(),
		decryptMethod: kmsv1.DecryptRequest_builder{CiphertextBlob: p.blob, CiphertextBlobCrc32C: wrong}.Build(),
		kmsv1.CryptoService_ReEncrypt_FullMethodName: kmsv1.ReEncryptRequest_builder{CiphertextBlob: p.blob, DestinationKeyId: p.keyID, CiphertextBlobCrc32C: wrong}.Build(),
	} {
		refuses(t, short(method), d.ask(d.root, method, m), codes.InvalidArgument, "ValidationException", "crc32c")
	}
	var e kmsv1.EncryptResponse
	d.must(encryptMethod, kmsv1.EncryptRequest_builder{KeyId: p.keyID, Plaintext: plain, PlaintextCrc32C: proto.Uint32(crypto.CRC32C(plain))}.Build(), &e)
	if !e.GetVerifiedPlaintextCrc32C() || e.GetCiphertextBlobCrc32C() != crypto.CRC32C(e.GetCiphertextBlob()) {
		t.Errorf("Encrypt: verified %v, checksum %x", e.GetVerifiedPlaintextCrc32C(), e.GetCiphertextBlobCrc32C())
	}
	var r kmsv1.DecryptResponse
	d.must(decryptMethod, kmsv1.DecryptRequest_builder{CiphertextBlob: p.blob, CiphertextBlobCrc32C: proto.Uint32(crypto.CRC32C(p.blob))}.Build(), &r)
	if !r.GetVerifiedCiphertextBlobCrc32C() || r.GetPlaintextCrc32C() != crypto.CRC32C(plain) {
		t.Errorf("Decrypt: verified %v, checksum %x", r.GetVerifiedCiphertextBlobCrc32C(), r.GetPlaintextCrc32C())
	}
	d.must(encryptMethod, kmsv1.EncryptRequest_builder{KeyId: p.keyID, Plaintext: plain}.Build(), &e)
	if e.GetVerifiedPlaintextCrc32C() {
		t.Error("Encrypt without a checksum says that it was verified")
	}
}
