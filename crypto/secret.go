package crypto

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// redacted is what every way of printing a Secret gives.
const redacted = "[secret]"

// Secret holds bytes that no formatting verb, logger or encoder prints. The bytes are behind a closure because
// fmt does not call methods on the unexported fields of other structs, but prints what they hold.
//
// Copies of a Secret share their bytes. The zero value holds nothing. All methods but Wipe may be called
// concurrently.
type Secret struct {
	bytes func(wipe bool) []byte
}

// NewSecret returns a Secret that holds b, of which it takes ownership: the caller must neither keep nor modify b.
// An empty b gives a Secret that holds nothing.
func NewSecret(b []byte) Secret {
	if len(b) == 0 {
		return Secret{}
	}
	return Secret{bytes: func(wipe bool) []byte {
		if wipe {
			clear(b)
			b = nil
		}
		return b
	}}
}

// RandomSecret returns a Secret of n bytes from crypto/rand. It panics if n is negative.
func RandomSecret(n int) Secret {
	b := make([]byte, n)
	rand.Read(b)
	return NewSecret(b)
}

// Expose returns the bytes themselves, not a copy: they are not to be modified, nor kept longer than the call they
// are needed for. It returns nil if s holds nothing. Every caller outside of this package is on a list in
// layout_test.go.
func (s Secret) Expose() []byte {
	if s.bytes == nil {
		return nil
	}
	return s.bytes(false)
}

// Len returns the number of bytes that s holds.
func (s Secret) Len() int { return len(s.Expose()) }

// IsZero reports whether s holds nothing: it is the zero value, or has been wiped.
func (s Secret) IsZero() bool { return s.Len() == 0 }

// Equal reports whether s and t hold the same bytes, in a time that depends on their lengths only. A Secret that
// holds nothing equals none, not even another such, so that a missing credential never matches a missing one.
func (s Secret) Equal(t Secret) bool {
	return !s.IsZero() && subtle.ConstantTimeCompare(s.Expose(), t.Expose()) == 1
}

// Wipe overwrites the bytes with zeros; s and its copies hold nothing afterwards. It must not run while another
// goroutine uses s or a copy of it.
func (s Secret) Wipe() {
	if s.bytes != nil {
		s.bytes(true)
	}
}

// String returns "[secret]".
func (Secret) String() string { return redacted }

// GoString returns "[secret]".
func (Secret) GoString() string { return redacted }

// Format writes "[secret]" for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "[secret]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[secret]".
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns the JSON string "[secret]".
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
