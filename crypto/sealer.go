package crypto

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// KeySize is the size of the secrets of keys and sealers, in bytes.
const KeySize = 32

// SealOverhead is by how many bytes a sealed record is longer than its plaintext: nonce (12) and tag (16).
const SealOverhead = 28

// ErrSealed says that a record cannot be opened: its bytes, its associated data or the key are not those it was
// sealed with. Which of them is not known.
var ErrSealed = errors.New("sealed record does not open")

// Sealer seals records with AES-256-GCM (NIST SP 800-38D) under one key and random nonces. Make it with NewSealer.
// It may be used by many goroutines at once.
//
// One key must seal no more than 2^32 records, over all Sealers that were ever made with it (SP 800-38D, section
// 8.3); the caller changes the key before. A sealed record does not commit to its key: who holds two keys can make
// a record that opens under both.
type Sealer struct {
	// Closures, because fmt prints the key schedule of an AEAD that is in a field.
	seal func(dst, plaintext, aad []byte) []byte
	open func(dst, sealed, aad []byte) ([]byte, error)
}

// NewSealer returns the Sealer under key, which has KeySize bytes and is not kept: the caller may wipe it.
func NewSealer(key Secret) (*Sealer, error) {
	if key.Len() != KeySize {
		return nil, fmt.Errorf("making a sealer: key has %d bytes, want %d", key.Len(), KeySize)
	}
	aead := newGCM(key.Expose())
	return &Sealer{
		seal: func(dst, plaintext, aad []byte) []byte { return aead.Seal(dst, nil, plaintext, aad) },
		open: func(dst, sealed, aad []byte) ([]byte, error) { return aead.Open(dst, nil, sealed, aad) },
	}, nil
}

// newGCM returns AES-256-GCM under key, which has 32 bytes, with a random nonce before each ciphertext: the only
// form of GCM that FIPS 140-3 approves outside of protocols (implementation guidance C.H, scenario 2).
func newGCM(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("crypto: internal error: AES refuses a key of 32 bytes")
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("crypto: internal error: GCM refuses AES")
	}
	return aead
}

// Seal appends nonce(12) | ciphertext | tag(16) to dst and returns the extended slice. plaintext and aad may be
// empty and are not modified; either may lie in the spare capacity of dst, which is then not used.
func (s *Sealer) Seal(dst, plaintext, aad []byte) []byte {
	return s.seal(unshared(unshared(dst, plaintext), aad), plaintext, aad)
}

// Open appends the plaintext of sealed, which was sealed with the same aad, to dst and returns the extended slice.
// On failure it returns nil and ErrSealed, and the spare capacity of dst is cleared. Either input may lie in the
// spare capacity of dst, which is then neither used nor cleared.
func (s *Sealer) Open(dst, sealed, aad []byte) ([]byte, error) {
	dst = unshared(unshared(dst, sealed), aad)
	plaintext, err := s.open(dst, sealed, aad)
	if err != nil {
		clear(dst[len(dst):cap(dst)])
		return nil, ErrSealed
	}
	return plaintext, nil
}
