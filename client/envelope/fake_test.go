package envelope

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/kmsd/kmsd/crypto"
)

// Errors of the fake KMS.
var (
	errFakeDenied     = errors.New("AccessDeniedException")
	errFakeCiphertext = errors.New("InvalidCiphertextException")
)

// fakeKMS is a KMS in memory: a data key's ciphertext is the key sealed with AES-GCM under the ARN's key, with the
// encryption context as associated data. before, unless nil, is called first and may refuse.
type fakeKMS struct {
	before func(ctx context.Context, call string) error

	mu    sync.Mutex
	calls map[string]int  // :: method → how often it was called
	made  []crypto.Secret // every data key it gave out
}

const (
	arnA = "arn:aws:kms:local:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	arnB = "arn:aws:kms:local:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321"
)

// arnOf resolves an alias of the fake KMS.
func arnOf(keyID string) string {
	switch keyID {
	case "alias/a", arnA:
		return arnA
	case "alias/b", arnB:
		return arnB
	}
	return ""
}

func (f *fakeKMS) count(ctx context.Context, call string) error {
	f.mu.Lock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[call]++
	f.mu.Unlock()
	if f.before != nil {
		return f.before(ctx, call)
	}
	return ctx.Err()
}

func (f *fakeKMS) called(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[call]
}

func fakeSealer(arn string) *crypto.Sealer {
	k := sha256.Sum256([]byte("the fake KMS's key " + arn))
	s, err := crypto.NewSealer(crypto.NewSecret(k[:]))
	if err != nil {
		panic(err)
	}
	return s
}

func fakeAAD(context map[string]string) []byte {
	var b bytes.Buffer
	for _, k := range slices.Sorted(maps.Keys(context)) {
		sum := sha256.Sum256([]byte(k))
		b.Write(sum[:])
		sum = sha256.Sum256([]byte(context[k]))
		b.Write(sum[:])
	}
	return b.Bytes()
}

func (f *fakeKMS) GenerateDataKey(ctx context.Context, keyID string, encryptionContext map[string]string) (DataKey, error) {
	if err := f.count(ctx, "GenerateDataKey"); err != nil {
		return DataKey{}, err
	}
	arn := arnOf(keyID)
	if arn == "" {
		return DataKey{}, errFakeDenied
	}
	k := crypto.RandomSecret(dataKeyLength)
	f.mu.Lock()
	f.made = append(f.made, k)
	f.mu.Unlock()
	return DataKey{Plaintext: k, Ciphertext: fakeSealer(arn).Seal(nil, k.Expose(), fakeAAD(encryptionContext)), KeyARN: arn}, nil
}

func (f *fakeKMS) DecryptDataKey(ctx context.Context, keyARN string, ciphertext []byte, encryptionContext map[string]string) (DataKey, error) {
	if err := f.count(ctx, "DecryptDataKey"); err != nil {
		return DataKey{}, err
	}
	if arnOf(keyARN) != keyARN || keyARN == "" {
		return DataKey{}, errFakeDenied
	}
	b, err := fakeSealer(keyARN).Open(nil, ciphertext, fakeAAD(encryptionContext))
	if err != nil {
		return DataKey{}, errFakeCiphertext
	}
	k := crypto.NewSecret(b)
	f.mu.Lock()
	f.made = append(f.made, k)
	f.mu.Unlock()
	return DataKey{Plaintext: k, Ciphertext: ciphertext, KeyARN: keyARN}, nil
}

// mustEncrypt returns plaintext as a message.
func mustEncrypt(t testing.TB, kms KMS, plaintext []byte, o EncryptOptions) []byte {
	t.Helper()
	if o.KeyID == "" {
		o.KeyID = "alias/a"
	}
	var out bytes.Buffer
	if _, err := Encrypt(t.Context(), kms, &out, bytes.NewReader(plaintext), o); err != nil {
		t.Fatalf("Encrypt(%d bytes) = %v, want nil", len(plaintext), err)
	}
	return out.Bytes()
}

// decryptBytes returns what Decrypt released of message, and its error.
func decryptBytes(t testing.TB, kms KMS, message []byte, o DecryptOptions) ([]byte, error) {
	t.Helper()
	var out bytes.Buffer
	_, err := Decrypt(t.Context(), kms, &out, bytes.NewReader(message), o)
	return out.Bytes(), err
}
