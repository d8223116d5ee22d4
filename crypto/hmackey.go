package crypto

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"hash"
	"sync"
)

// HMACKey is an HMAC key: it makes and checks MACs (FIPS 198-1) and does not tell its material. Make it with
// NewHMACKey. It may be used by many goroutines at once.
type HMACKey struct {
	algorithm MACAlgorithm
	sum       func(message []byte) []byte    // closures, so that no formatting verb reaches the key
	equal     func(message, mac []byte) bool // in constant time
}

// hmacState is what one computation needs. out is here because the interface would else move it to the heap each time.
type hmacState struct {
	hmac hash.Hash
	out  [sha512.Size]byte
}

// of returns the MAC of message, which is good until the next call.
func (s *hmacState) of(message []byte) []byte {
	s.hmac.Reset()
	s.hmac.Write(message)
	return s.hmac.Sum(s.out[:0])
}

// hmacHash returns the hash of an HMAC spec, and nil for every other spec. The material is as long as the hash.
func hmacHash(s Spec) func() hash.Hash {
	switch s {
	case SpecHMAC224:
		return sha256.New224
	case SpecHMAC256:
		return sha256.New
	case SpecHMAC384:
		return sha512.New384
	case SpecHMAC512:
		return sha512.New
	}
	return nil
}

// NewHMACKey returns the key of spec, one of the four HMAC specs (else ErrSpec), with this material, which is as long
// as the hash: 28, 32, 48 or 64 bytes (else ErrMaterial). material is copied: the caller may wipe it.
func NewHMACKey(spec Spec, material Secret) (*HMACKey, error) {
	newHash := hmacHash(spec)
	if newHash == nil {
		return nil, fmt.Errorf("making an HMAC key: %w", ErrSpec)
	}
	size := newHash().Size()
	if material.Len() != size {
		return nil, fmt.Errorf("making an HMAC key: %w: %d bytes, want %d", ErrMaterial, material.Len(), size)
	}
	material = cloneSecret(material)
	pool := sync.Pool{New: func() any {
		h := hmac.New(newHash, material.Expose())
		h.Reset() // computes the state after the padded key, so that later resets cost no compression
		return &hmacState{hmac: h}
	}}
	pool.Put(pool.New())
	return &HMACKey{
		algorithm: spec.MACAlgorithms()[0],
		sum: func(message []byte) []byte {
			s := pool.Get().(*hmacState)
			defer pool.Put(s)
			return append([]byte(nil), s.of(message)...)
		},
		equal: func(message, mac []byte) bool {
			s := pool.Get().(*hmacState)
			defer pool.Put(s)
			return subtle.ConstantTimeCompare(s.of(message), mac) == 1
		},
	}, nil
}

// check refuses what this key does not authenticate.
func (k *HMACKey) check(a MACAlgorithm, message []byte) error {
	if a != k.algorithm {
		return ErrAlgorithm
	}
	if len(message) > MaxMessage {
		return fmt.Errorf("%w: the message has %d bytes, at most %d are allowed", ErrLength, len(message), MaxMessage)
	}
	return nil
}

// Generate returns the MAC of message in a new slice, as long as the hash. message has at most MaxMessage bytes, else
// ErrLength; a is the algorithm of the key's spec, else ErrAlgorithm.
func (k *HMACKey) Generate(a MACAlgorithm, message []byte) ([]byte, error) {
	if err := k.check(a, message); err != nil {
		return nil, fmt.Errorf("generating a MAC: %w", err)
	}
	return k.sum(message), nil
}

// Verify returns nil if mac is the MAC of message, else ErrMAC; a mac that is shorter or longer is not. It takes a
// time that does not depend on how much of mac is right. The other errors are those of Generate.
func (k *HMACKey) Verify(a MACAlgorithm, message, mac []byte) error {
	if err := k.check(a, message); err != nil {
		return fmt.Errorf("verifying a MAC: %w", err)
	}
	if !k.equal(message, mac) {
		return ErrMAC
	}
	return nil
}
