package aws

import (
	"bytes"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects may lie in each other. AWS's requests need 6.
const maxDepth = 64

// jsonReader reads JSON (RFC 8259), strictly: no byte more than the grammar has, UTF-8 only, no half of a surrogate pair.
type jsonReader struct {
	in      []byte
	at      int
	depth   int
	scratch []byte // of strings with escapes; may hold secrets
}

// wipe overwrites what the reader has copied.
func (r *jsonReader) wipe() { clear(r.scratch[:cap(r.scratch)]) }

// space goes to the next byte that is none.
func (r *jsonReader) space() {
	for r.at < len(r.in) {
		switch r.in[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// next is the next byte that is no space; 0 at the end.
func (r *jsonReader) next() byte {
	r.space()
	if r.at == len(r.in) {
		return 0
	}
	return r.in[r.at]
}

// take reads the byte c, after space.
func (r *jsonReader) take(c byte) bool {
	if r.next() != c {
		return false
	}
	r.at++
	return true
}

// word reads a literal.
func (r *jsonReader) word(s string) bool {
	if !bytes.HasPrefix(r.in[r.at:], []byte(s)) {
		return false
	}
	r.at += len(s)
	return true
}

// str reads a string, which begins here. What it returns is valid until the next string, and aliases the body or the scratch.
func (r *jsonReader) str() ([]byte, bool) {
	start := r.at + 1
	ascii := true
	for i := start; i < len(r.in); i++ {
		switch c := r.in[i]; {
		case c == '"':
			r.at = i + 1
			return r.in[start:i], ascii || utf8.Valid(r.in[start:i])
		case c == '\\':
			return r.escaped(start, i)
		case c < ' ':
			return nil, false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, false
}

// escaped reads on in a string whose first escape is at i.
func (r *jsonReader) escaped(start, i int) ([]byte, bool) {
	end := bytes.IndexByte(r.in[i:], '"')
	if end < 0 {
		return nil, false
	}
	out := r.grown(len(r.in) - start)
	out = append(out, r.in[start:i]...)
	for i < len(r.in) {
		c := r.in[i]
		switch {
		case c == '"':
			r.at = i + 1
			r.scratch = out
			return out, utf8.Valid(out)
		case c < ' ':
			return nil, false
		case c != '\\':
			out = append(out, c)
			i++
			continue
		}
		var ok bool
		if out, i, ok = r.escape(out, i+1); !ok {
			return nil, false
		}
	}
	return nil, false
}

// grown is the scratch, empty and with room for n bytes at most; it grows by what the rest of the body can hold, once.
func (r *jsonReader) grown(n int) []byte {
	if cap(r.scratch) < n {
		r.wipe()
		r.scratch = make([]byte, 0, n)
	}
	return r.scratch[:0]
}

// escape reads what stands behind a backslash, at i, and appends it.
func (r *jsonReader) escape(out []byte, i int) ([]byte, int, bool) {
	if i >= len(r.in) {
		return out, i, false
	}
	switch c := r.in[i]; c {
	case '"', '\\', '/':
		return append(out, c), i + 1, true
	case 'b':
		return append(out, '\b'), i + 1, true
	case 'f':
		return append(out, '\f'), i + 1, true
	case 'n':
		return append(out, '\n'), i + 1, true
	case 'r':
		return append(out, '\r'), i + 1, true
	case 't':
		return append(out, '\t'), i + 1, true
	case 'u':
		return r.unicode(out, i+1)
	}
	return out, i, false
}

// unicode reads four hexadecimal digits at i, and those of the other half of a surrogate pair.
func (r *jsonReader) unicode(out []byte, i int) ([]byte, int, bool) {
	high, ok := hex4(r.in, i)
	if !ok {
		return out, i, false
	}
	i += 4
	switch {
	case high < 0xD800 || high > 0xDFFF:
		return utf8.AppendRune(out, high), i, true
	case high > 0xDBFF || i+1 >= len(r.in) || r.in[i] != '\\' || r.in[i+1] != 'u':
		return out, i, false
	}
	low, ok := hex4(r.in, i+2)
	if !ok || low < 0xDC00 || low > 0xDFFF {
		return out, i, false
	}
	return utf8.AppendRune(out, (high-0xD800)<<10|(low-0xDC00)+0x10000), i + 6, true
}

func hex4(b []byte, i int) (rune, bool) {
	if i+4 > len(b) {
		return 0, false
	}
	var n rune
	for _, c := range b[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			n = n<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// number reads a number, which begins here, and tells whether it is written as an integer.
func (r *jsonReader) number() (text []byte, integer, ok bool) {
	start := r.at
	if r.at < len(r.in) && r.in[r.at] == '-' {
		r.at++
	}
	whole := r.digits()
	if whole == 0 || whole > 1 && r.in[r.at-whole] == '0' {
		return nil, false, false
	}
	integer = true
	if r.at < len(r.in) && r.in[r.at] == '.' {
		r.at++
		integer = false
		if r.digits() == 0 {
			return nil, false, false
		}
	}
	if r.at < len(r.in) && (r.in[r.at] == 'e' || r.in[r.at] == 'E') {
		r.at++
		integer = false
		if r.at < len(r.in) && (r.in[r.at] == '+' || r.in[r.at] == '-') {
			r.at++
		}
		if r.digits() == 0 {
			return nil, false, false
		}
	}
	return r.in[start:r.at], integer, true
}

// digits reads digits and says how many.
func (r *jsonReader) digits() int {
	start := r.at
	for r.at < len(r.in) && r.in[r.at] >= '0' && r.in[r.at] <= '9' {
		r.at++
	}
	return r.at - start
}

// skip reads a value of any kind, and forgets it.
func (r *jsonReader) skip() bool {
	switch c := r.next(); c {
	case '"':
		_, ok := r.str()
		return ok
	case '{', '[':
		return r.skipEntries(c)
	case 't':
		return r.word("true")
	case 'f':
		return r.word("false")
	case 'n':
		return r.word("null")
	}
	_, _, ok := r.number()
	return ok
}

func (r *jsonReader) skipEntries(opening byte) bool {
	closing := opening + 2 // in ASCII, for both
	if r.depth++; r.depth > maxDepth {
		return false
	}
	defer func() { r.depth-- }()
	r.at++
	if r.take(closing) {
		return true
	}
	for {
		if opening == '{' {
			if r.next() != '"' {
				return false
			}
			if _, ok := r.str(); !ok || !r.take(':') {
				return false
			}
		}
		if !r.skip() {
			return false
		}
		if r.take(closing) {
			return true
		}
		if !r.take(',') {
			return false
		}
	}
}
