package keystore

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Binary records are made of bytes, integers in big endian, times in nanoseconds since 1970 (0 for none), and strings after their lengths in 4 bytes.

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.BigEndian.AppendUint64(b, 0)
	}
	return binary.BigEndian.AppendUint64(b, uint64(t.UnixNano()))
}

func appendString(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

// reader reads a binary record. Once something was not there, all else is zero, and err says so.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrCorrupt, what)
	}
	r.b = nil
}

// next returns the next n bytes, which are part of the record.
func (r *reader) next(n int) []byte {
	if n < 0 || len(r.b) < n {
		r.fail("record is too short")
		return nil
	}
	part := r.b[:n:n]
	r.b = r.b[n:]
	return part
}

func (r *reader) byte() byte {
	if part := r.next(1); part != nil {
		return part[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if part := r.next(2); part != nil {
		return binary.BigEndian.Uint16(part)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if part := r.next(4); part != nil {
		return binary.BigEndian.Uint32(part)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if part := r.next(8); part != nil {
		return binary.BigEndian.Uint64(part)
	}
	return 0
}

func (r *reader) time() time.Time {
	n := r.uint64()
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(n)).UTC()
}

func (r *reader) bytes() []byte {
	n := r.uint32()
	if uint64(n) > uint64(len(r.b)) {
		r.fail("string is longer than its record")
		return nil
	}
	return r.next(int(n))
}

// count reads a number of things of which each has at least size bytes.
func (r *reader) count(size int) int {
	n := r.uint32()
	if uint64(n)*uint64(size) > uint64(len(r.b)) {
		r.fail("more entries than the record has room for")
		return 0
	}
	return int(n)
}

// end returns what went wrong, which may be that something follows.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("trailing data")
	}
	return r.err
}
