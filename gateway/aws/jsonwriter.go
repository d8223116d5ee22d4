package aws

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"
)

// jsonWriter appends JSON to a buffer. It overwrites each buffer that it outgrows, since that may hold secrets. The zero value is ready for use.
type jsonWriter struct{ buf []byte }

// room makes room for n more bytes.
func (w *jsonWriter) room(n int) {
	if cap(w.buf)-len(w.buf) >= n {
		return
	}
	grown := make([]byte, len(w.buf), 2*cap(w.buf)+n)
	copy(grown, w.buf)
	clear(w.buf)
	w.buf = grown
}

// raw writes what is JSON already.
func (w *jsonWriter) raw(s string) {
	w.room(len(s))
	w.buf = append(w.buf, s...)
}

// name begins a member of an object; the first one if first.
func (w *jsonWriter) name(s string, first bool) {
	w.room(len(s) + 4)
	if !first {
		w.buf = append(w.buf, ',')
	}
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, s...)
	w.buf = append(w.buf, '"', ':')
}

// text writes a string. What is not UTF-8 becomes U+FFFD.
func (w *jsonWriter) text(s string) {
	plain := 0
	for plain < len(s) && s[plain] >= ' ' && s[plain] < utf8.RuneSelf && s[plain] != '"' && s[plain] != '\\' {
		plain++
	}
	w.room(plain + 6*(len(s)-plain) + 2)
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, s[:plain]...)
	for _, c := range s[plain:] {
		switch {
		case c == '"' || c == '\\':
			w.buf = append(w.buf, '\\', byte(c))
		case c == '\n':
			w.buf = append(w.buf, '\\', 'n')
		case c == '\r':
			w.buf = append(w.buf, '\\', 'r')
		case c == '\t':
			w.buf = append(w.buf, '\\', 't')
		case c < ' ':
			const digits = "0123456789abcdef"
			w.buf = append(w.buf, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			w.buf = utf8.AppendRune(w.buf, c)
		}
	}
	w.buf = append(w.buf, '"')
}

// blob writes bytes in base64 (RFC 4648, section 4).
func (w *jsonWriter) blob(b []byte) {
	w.room(base64.StdEncoding.EncodedLen(len(b)) + 2)
	w.buf = append(w.buf, '"')
	w.buf = base64.StdEncoding.AppendEncode(w.buf, b)
	w.buf = append(w.buf, '"')
}

func (w *jsonWriter) boolean(v bool) {
	if v {
		w.raw("true")
	} else {
		w.raw("false")
	}
}

func (w *jsonWriter) integer(n int64) {
	w.room(20)
	w.buf = strconv.AppendInt(w.buf, n, 10)
}

// time writes seconds since 1970 with three digits of a fraction.
func (w *jsonWriter) time(t time.Time) {
	ms := t.UnixMilli()
	w.room(24)
	if ms < 0 {
		w.buf = append(w.buf, '-')
		ms = -ms
	}
	w.buf = strconv.AppendInt(w.buf, ms/1000, 10)
	f := ms % 1000
	w.buf = append(w.buf, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
}
