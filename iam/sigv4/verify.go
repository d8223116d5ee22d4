package sigv4

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	hostHeader = "host"
	dateHeader = "x-amz-date"
	hashHeader = "x-amz-content-sha256"

	maxCanonical = 64 << 10 // bytes; gRPC's header list is limited before
)

// Request is the part of a call that is signed. Verify reads it and keeps nothing.
type Request struct {
	Method string // "POST" for gRPC
	Path   string // begins with a slash; only unreserved characters (RFC 3986) and slashes, as in a gRPC method name; no query
	Host   string // :authority. The port 443 counts as absent, as it does for the signer
	// Headers are all headers of the call by lower-case name, as in gRPC's metadata.MD. "host" in it is not looked at.
	Headers     map[string][]string // :: name → values
	PayloadHash string              // what the x-amz-content-sha256 header must hold: UnsignedPayload, or 64 hex digits
}

// Verify returns nil when s is the signature of r under key, and its date is within MaxSkew of now.
//
// Beside the signature it asks that each header named in it is there exactly once, with a value of printable ASCII
// and no space that could be folded; that every header of r that begins with x-amz- or x-kmsd- is among them; that
// x-amz-date is the one s was parsed with; and that x-amz-content-sha256 holds r.PayloadHash. The errors are
// ErrExpired, ErrNotYetValid, ErrScope (the key is for another date, region or service), ErrIncomplete and
// ErrMismatch. Signatures are compared in constant time. It is safe for concurrent use and bounded by the size of
// r.
func (s Signature) Verify(key SigningKey, r Request, now time.Time) error {
	if s.amzDate == "" || key.mac == nil {
		return ErrMismatch
	}
	if err := s.Fresh(now); err != nil {
		return err
	}
	if s.Date != key.date || s.Region != key.region || s.Service != key.service {
		return ErrScope
	}
	if err := s.checkRequest(r); err != nil {
		return err
	}
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	canonical, err := s.appendCanonical((*b)[:0], r)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(canonical)
	toSign := s.appendStringToSign(canonical[:0], digest)
	*b = toSign[:0]
	got := key.mac(toSign)
	if subtle.ConstantTimeCompare(got[:], s.value[:]) != 1 {
		return ErrMismatch
	}
	return nil
}

// Fresh returns nil while the date of s is within MaxSkew of now, and otherwise ErrExpired or ErrNotYetValid. For
// a signature that has been verified, whoever keeps the result asks it each time.
func (s Signature) Fresh(now time.Time) error {
	switch age := now.Sub(s.Time); {
	case age > MaxSkew:
		return ErrExpired
	case age < -MaxSkew:
		return ErrNotYetValid
	}
	return nil
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// checkRequest refuses what would have more than one canonical form, and headers that steer the call without being
// signed.
func (s *Signature) checkRequest(r Request) error {
	switch {
	case r.Method == "" || len(r.Method) > 16 || !all(r.Method, upper):
		return incomplete("the method is malformed")
	case !strings.HasPrefix(r.Path, "/") || len(r.Path) > 1024 || !all(r.Path, pathByte):
		return incomplete("the path is malformed")
	case r.Host == "" || len(r.Host) > 512 || !cleanValue(r.Host):
		return incomplete("the host is malformed")
	}
	for name := range r.Headers {
		if (strings.HasPrefix(name, "x-amz-") || strings.HasPrefix(name, "x-kmsd-")) && !s.signs(name) {
			return incomplete("a header that begins with x-amz- or x-kmsd- is not signed")
		}
	}
	if v := r.Headers[dateHeader]; len(v) != 1 || v[0] != s.amzDate {
		return incomplete("x-amz-date is not the one of the signature")
	}
	if v := r.Headers[hashHeader]; len(v) != 1 || v[0] != r.PayloadHash {
		return incomplete("x-amz-content-sha256 is not that of the payload")
	}
	return nil
}

// signs reports whether name is among the signed headers.
func (s *Signature) signs(name string) bool {
	for rest := s.headers; rest != ""; {
		var n string
		n, rest, _ = strings.Cut(rest, ";")
		if n == name {
			return true
		}
	}
	return false
}

// cleanValue reports whether a header value is its own canonical form: printable ASCII, no space at an end, no two
// in a row.
func cleanValue(v string) bool {
	space := true
	for i := range len(v) {
		c := v[i]
		if c < ' ' || c > '~' || c == ' ' && space {
			return false
		}
		space = c == ' '
	}
	return v == "" || !space
}

// appendCanonical appends the canonical request.
func (s *Signature) appendCanonical(b []byte, r Request) ([]byte, error) {
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = append(b, r.Path...)
	b = append(b, "\n\n"...) // the query string, which is empty
	for rest := s.headers; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, ";")
		value, err := signedValue(name, r)
		if err != nil {
			return b, err
		}
		if len(b)+len(name)+len(value) > maxCanonical {
			return b, incomplete("the signed headers are too long")
		}
		b = append(b, name...)
		b = append(b, ':')
		b = append(b, value...)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, s.headers...)
	b = append(b, '\n')
	return append(b, r.PayloadHash...), nil
}

func signedValue(name string, r Request) (string, error) {
	if name == hostHeader {
		return strings.TrimSuffix(r.Host, ":443"), nil
	}
	values := r.Headers[name]
	if len(values) != 1 {
		return "", fmt.Errorf("%w: a signed header is there %d times, want once", ErrIncomplete, len(values))
	}
	if !cleanValue(values[0]) {
		return "", incomplete("the value of a signed header is not in canonical form")
	}
	return values[0], nil
}

func (s *Signature) appendStringToSign(b []byte, digest [32]byte) []byte {
	b = append(b, Algorithm+"\n"...)
	b = append(b, s.amzDate...)
	b = append(b, '\n')
	b = append(b, s.scope...)
	b = append(b, '\n')
	return hex.AppendEncode(b, digest[:])
}
