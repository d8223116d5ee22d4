package envelope

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha512"
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/leaktest"
)

// mustDerive derives the key of a message a second time, by the letter of the format.
func mustDerive(t *testing.T, dataKey crypto.Secret, id [32]byte) []byte {
	t.Helper()
	k, err := hkdf.Key(sha512.New, dataKey.Expose(), id[:], "\x04\x78DERIVEKEY", 32)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeysDoNotPrint(t *testing.T) {
	secret := bytes.Repeat([]byte{0xAB, 0x13, 0x7E, 0xC4}, 8)
	dataKey := DataKey{Plaintext: crypto.NewSecret(bytes.Clone(secret)), Ciphertext: []byte("sealed"), KeyARN: arnA}
	leaktest.Check(t, secret, dataKey, &dataKey)

	id := [32]byte{1}
	key, _, err := deriveMessageKey(dataKey.Plaintext, id)
	if err != nil {
		t.Fatal(err)
	}
	leaktest.Check(t, mustDerive(t, dataKey.Plaintext, id), key, &key)

	cache := NewCache(badKMS{dataKey}, CacheConfig{})
	defer cache.Close()
	if _, err := cache.DecryptDataKey(t.Context(), arnA, []byte("sealed"), nil); err != nil {
		t.Fatal(err)
	}
	leaktest.Check(t, secret, cache)
}
