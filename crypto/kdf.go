package crypto

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"strings"
	"sync"
)

// minKeySize is the shortest key of a MAC or a derivation, in bytes. FIPS 140-3 refuses HMAC keys under 14.
const minKeySize = 16

// maxDerived is the most that Derive gives, in bytes.
const maxDerived = 1024

// newHMAC returns HMAC-SHA256 (FIPS 198-1) under key, with the state after the padded key computed once, so that
// Reset costs no compression.
func newHMAC(key Secret) hash.Hash {
	if key.Len() < minKeySize {
		panic("crypto: internal error: a key of less than 16 bytes for HMAC")
	}
	h := hmac.New(sha256.New, key.Expose())
	h.Reset()
	return h
}

// Derive returns n bytes derived from key for the purpose named by label and context: the KDF in counter mode of
// NIST SP 800-108r1, section 4.1, with HMAC-SHA256, where block i is
//
//	HMAC(key, be32(i) || label || 0x00 || context || be32(8*n))
//
// It panics if key has less than 16 bytes, if label contains a zero byte, which would let two pairs of label and
// context meet, and if n is not in 1..1024: labels and sizes are constants of the program.
func Derive(key Secret, label string, context []byte, n int) Secret {
	if n < 1 || n > maxDerived || strings.IndexByte(label, 0) >= 0 {
		panic("crypto: internal error: derivation with an impossible size or label")
	}
	out := make([]byte, 0, (n+sha256.Size-1)/sha256.Size*sha256.Size)
	return NewSecret(appendDerived(out, newHMAC(key), fixedInput(nil, label, context, n), n))
}

// fixedInput appends to b the input of the derivation of n bytes, with room for the counter in its first 4 bytes.
func fixedInput(b []byte, label string, context []byte, n int) []byte {
	b = append(b, 0, 0, 0, 0)
	b = append(b, label...)
	b = append(b, 0)
	b = append(b, context...)
	return binary.BigEndian.AppendUint32(b, uint32(8*n))
}

// appendDerived appends to dst the n bytes that prf derives from input, which fixedInput made for the same n.
func appendDerived(dst []byte, prf hash.Hash, input []byte, n int) []byte {
	end := len(dst) + n
	for i := uint32(1); len(dst) < end; i++ {
		binary.BigEndian.PutUint32(input, i)
		prf.Reset()
		prf.Write(input)
		dst = prf.Sum(dst)
	}
	clear(dst[end:])
	return dst[:end]
}

// MAC is HMAC-SHA256 (FIPS 198-1) under one key, used as a pseudo-random function. Make it with NewMAC. It may be
// used by many goroutines at once.
type MAC struct {
	sum func(data []byte) [32]byte // a closure, so that no formatting verb reaches the key
}

// NewMAC returns the MAC under key, whose bytes it copies: the caller may wipe key. It panics if key has less than
// 16 bytes.
func NewMAC(key Secret) *MAC {
	key = cloneSecret(key)
	pool := sync.Pool{New: func() any { return &macState{hmac: newHMAC(key)} }}
	pool.Put(pool.New())
	return &MAC{sum: func(data []byte) [32]byte {
		s := pool.Get().(*macState)
		defer pool.Put(s)
		s.hmac.Reset()
		s.hmac.Write(data)
		s.hmac.Sum(s.out[:0])
		return s.out
	}}
}

// macState is what one computation needs; out is here because the interface would else move it to the heap each time.
type macState struct {
	hmac hash.Hash
	out  [32]byte
}

// Sum returns the MAC of data. Compare MACs with hmac.Equal or subtle.ConstantTimeCompare.
func (m *MAC) Sum(data []byte) [32]byte { return m.sum(data) }

func cloneSecret(s Secret) Secret { return NewSecret(append([]byte(nil), s.Expose()...)) }
