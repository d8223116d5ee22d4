package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"

	"github.com/kmsd/kmsd/crypto"
)

// SigningKey is a secret derived for one date, region and service. It checks signatures and does not tell: the key
// stands behind a closure, so no formatting verb, logger or encoder prints it. Safe for concurrent use. The zero
// value verifies nothing.
type SigningKey struct {
	date, region, service string
	mac                   func(message []byte) [32]byte
}

// DeriveKey derives the signing key of a secret access key for date (in DateFormat), region and service:
// HMAC-SHA256 over date, region, service and "aws4_request", each under the one before, the first under "AWS4" and
// the secret. It does not keep secret.
func DeriveKey(secret crypto.Secret, date, region, service string) SigningKey {
	first := append([]byte("AWS4"), secret.Expose()...)
	defer clear(first)
	k := hmacSHA256(first, date)
	k = hmacSHA256(k[:], region)
	k = hmacSHA256(k[:], service)
	k = hmacSHA256(k[:], terminator)
	defer clear(k[:])
	return SigningKey{date: date, region: region, service: service, mac: newMAC(k)}
}

// newMAC returns HMAC-SHA256 under key. The states, which hold the padded key, are kept for reuse: setting one up
// costs more than a short message does.
func newMAC(key [32]byte) func([]byte) [32]byte {
	held := crypto.NewSecret(append([]byte(nil), key[:]...))
	states := &sync.Pool{New: func() any { return hmac.New(sha256.New, held.Expose()) }}
	return func(message []byte) (sum [32]byte) {
		h := states.Get().(hash.Hash)
		defer states.Put(h)
		h.Reset()
		h.Write(message)
		h.Sum(sum[:0])
		return sum
	}
}

func hmacSHA256(key []byte, message string) (sum [32]byte) {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	h.Sum(sum[:0])
	return sum
}

// Date returns the date that the key was derived for, in DateFormat.
func (k SigningKey) Date() string { return k.date }
