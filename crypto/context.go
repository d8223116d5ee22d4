package crypto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Limits of an encryption context.
const (
	MaxContextPairs = 64   // pairs
	MaxContextKey   = 256  // bytes of one key
	MaxContextSize  = 8192 // bytes of the canonical form
)

// ErrContext says that an encryption context is not acceptable.
var ErrContext = errors.New("invalid encryption context")

// Context is an encryption context in canonical form: pairs of strings that are not secret, that a ciphertext is
// bound to, and that must be given again, exactly, to decrypt it. Two Contexts are equal by == if and only if they
// hold the same pairs. The zero value is the empty context, which is the same as none. A Context never changes.
type Context struct {
	canonical string // empty for the empty context
}

const emptyContext = "\x00\x00\x00\x00"

// NewContext returns the Context of pairs: key → value. Keys and values are compared byte by byte, without Unicode
// normalization. The canonical form is
//
//	u32 count || (u32 len, key, u32 len, value)*
//
// in big endian, sorted by the bytes of the keys, so that different contexts never share one. An error matches
// ErrContext: too many pairs, an empty or too long key, too many bytes in all, or invalid UTF-8. Its text says
// which without quoting a key or a value.
func NewContext(pairs map[string]string) (Context, error) {
	if len(pairs) == 0 {
		return Context{}, nil
	}
	if len(pairs) > MaxContextPairs {
		return Context{}, fmt.Errorf("%w: %d pairs, at most %d are allowed", ErrContext, len(pairs), MaxContextPairs)
	}
	keys, size := make([]string, 0, len(pairs)), 4
	for k, v := range pairs {
		if err := checkPair(k, v); err != nil {
			return Context{}, err
		}
		size += 4 + len(k) + 4 + len(v)
		keys = append(keys, k)
	}
	if size > MaxContextSize {
		return Context{}, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrContext, size, MaxContextSize)
	}
	slices.Sort(keys)
	b := binary.BigEndian.AppendUint32(make([]byte, 0, size), uint32(len(pairs)))
	for _, k := range keys {
		b = appendCounted(appendCounted(b, k), pairs[k])
	}
	return Context{canonical: string(b)}, nil
}

func checkPair(k, v string) error {
	switch {
	case k == "":
		return fmt.Errorf("%w: a key is empty", ErrContext)
	case len(k) > MaxContextKey:
		return fmt.Errorf("%w: a key has %d bytes, at most %d are allowed", ErrContext, len(k), MaxContextKey)
	case len(v) > MaxContextSize:
		return fmt.Errorf("%w: a value has %d bytes, at most %d are allowed in all", ErrContext, len(v), MaxContextSize)
	case !utf8.ValidString(k):
		return fmt.Errorf("%w: a key is not valid UTF-8", ErrContext)
	case !utf8.ValidString(v):
		return fmt.Errorf("%w: a value is not valid UTF-8", ErrContext)
	}
	return nil
}

func appendCounted(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// Bytes returns the canonical form, 4 to MaxContextSize bytes, in a new slice. The empty context gives 4 zero bytes.
func (c Context) Bytes() []byte { return c.appendTo(nil) }

// appendTo appends the canonical form to b.
func (c Context) appendTo(b []byte) []byte {
	if c.canonical == "" {
		return append(b, emptyContext...)
	}
	return append(b, c.canonical...)
}
