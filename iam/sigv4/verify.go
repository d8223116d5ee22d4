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

	maxCanonical = 64 << 10 // bytes of headers; gRPC's header list is limited before
	maxHost      = 512      // bytes
)

// Request is the part of a call that is signed. ParseHTTP and Verify read it and keep nothing but strings.
type Request struct {
	Method string // "POST" for gRPC
	// Path begins with a slash. Over gRPC it has only unreserved characters (RFC 3986) and slashes, as a method name; over HTTP it is escaped as it
	// was sent, at most 2,048 bytes.
	Path  string
	Query string // over HTTP, what stands after the question mark, as it was sent; at most 4,096 bytes. Over gRPC it must be empty
	Host  string // :authority, or the Host header. A default port counts as absent, as it does for the signer
	// Headers are all headers of the call by lower-case name, as in gRPC's metadata.MD. Over gRPC "host" in it is not looked at.
	Headers map[string][]string // :: name → values
	// PayloadHash is, over gRPC, what the x-amz-content-sha256 header must hold: UnsignedPayload, or 64 hex digits. Over HTTP it is the SHA-256 of the
	// body in 64 lower-case hex digits.
	PayloadHash string
}

// Verify returns nil when s is the signature of r under key, and its date is within MaxSkew of now.
//
// Beside the signature it asks that every header of r that begins with x-amz- or x-kmsd- is signed and is there once; that the date is the one that s was
// parsed with; and that x-amz-content-sha256, which over HTTP need not be there, is r.PayloadHash. Over gRPC each other signed header must be there
// once too, in printable ASCII with no space that could be folded; over HTTP it may have several values, which count in their order. The errors
// are ErrExpired, ErrNotYetValid, ErrScope (the key is for another date, region or service), ErrIncomplete, ErrMismatch, and over HTTP ErrUnsigned.
// Signatures are compared in constant time. It is safe for concurrent use and bounded by the size of r.
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
	if s.http {
		return s.verifyHTTP(key, r)
	}
	if err := s.checkRequest(r); err != nil {
		return err
	}
	return s.compare(key, r, strings.TrimSuffix(r.Host, ":443"))
}

// compare makes the signature of r with host and compares it with s.
func (s *Signature) compare(key SigningKey, r Request, host string) error {
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	canonical, err := s.appendCanonical((*b)[:0], r, host)
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
	case r.Query != "":
		return incomplete("a call has no query")
	case r.Host == "" || len(r.Host) > maxHost || !cleanValue(r.Host):
		return incomplete("the host is malformed")
	}
	for name := range r.Headers {
		if steers(name) && !s.signs(name) {
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

// steers reports whether a header must be signed wherever it is.
func steers(name string) bool {
	return strings.HasPrefix(name, "x-amz-") || strings.HasPrefix(name, "x-kmsd-")
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

// appendCanonical appends the canonical request of r, with host for the value of the host header.
func (s *Signature) appendCanonical(b []byte, r Request, host string) (_ []byte, err error) {
	b = append(b, r.Method...)
	b = append(b, '\n')
	if !s.http {
		b = append(b, r.Path...)
		b = append(b, "\n\n"...) // the query string, which is empty
	} else {
		b = appendEncodedPath(b, normalizedPath(r.Path))
		b = append(b, '\n')
		if b, err = appendCanonicalQuery(b, r.Query); err != nil {
			return b, err
		}
		b = append(b, '\n')
	}
	if b, err = s.appendHeaders(b, r, host); err != nil {
		return b, err
	}
	b = append(b, '\n')
	b = append(b, s.headers...)
	b = append(b, '\n')
	return append(b, r.PayloadHash...), nil
}

// appendHeaders appends the signed headers, each on a line.
func (s *Signature) appendHeaders(b []byte, r Request, host string) (_ []byte, err error) {
	start := len(b)
	for rest := s.headers; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, ";")
		b = append(b, name...)
		b = append(b, ':')
		switch {
		case name == hostHeader:
			b = append(b, host...)
		case s.http:
			b, err = appendFolded(b, r.Headers[name])
		default:
			b, err = appendClean(b, r.Headers[name])
		}
		if err != nil {
			return b, err
		}
		if len(b)-start > maxCanonical {
			return b, incomplete("the signed headers are too long")
		}
		b = append(b, '\n')
	}
	return b, nil
}

// appendClean appends the value of a header that has one, in canonical form.
func appendClean(b []byte, values []string) ([]byte, error) {
	if len(values) != 1 {
		return b, fmt.Errorf("%w: a signed header is there %d times, want once", ErrIncomplete, len(values))
	}
	if len(values[0]) > maxCanonical {
		return b, incomplete("the signed headers are too long")
	}
	if !cleanValue(values[0]) {
		return b, incomplete("the value of a signed header is not in canonical form")
	}
	return append(b, values[0]...), nil
}

func (s *Signature) appendStringToSign(b []byte, digest [32]byte) []byte {
	b = append(b, Algorithm+"\n"...)
	b = append(b, s.amzDate...)
	b = append(b, '\n')
	b = append(b, s.scope...)
	b = append(b, '\n')
	return hex.AppendEncode(b, digest[:])
}
