package aws

import (
	"encoding/base64"
	"unicode/utf8"
)

// xmlWriter writes an XML document, indented as AWS's services do. What it leaves behind when it grows is overwritten: an answer may hold secrets.
type xmlWriter struct {
	b     []byte
	depth int
}

// room makes room for n more bytes.
func (w *xmlWriter) room(n int) {
	if cap(w.b)-len(w.b) >= n {
		return
	}
	grown := make([]byte, len(w.b), 2*cap(w.b)+n)
	copy(grown, w.b)
	clear(w.b[:cap(w.b)])
	w.b = grown
}

func (w *xmlWriter) raw(s string) {
	w.room(len(s))
	w.b = append(w.b, s...)
}

// indent begins a line.
func (w *xmlWriter) indent() {
	for range w.depth {
		w.raw("  ")
	}
}

// open begins an element that has elements in it.
func (w *xmlWriter) open(name string) {
	w.indent()
	w.raw("<")
	w.raw(name)
	w.raw(">\n")
	w.depth++
}

// root begins the document's element, in a namespace.
func (w *xmlWriter) root(name, namespace string) {
	w.raw("<")
	w.raw(name)
	w.raw(` xmlns="`)
	w.text(namespace)
	w.raw("\">\n")
	w.depth++
}

// close ends an element that open or root began.
func (w *xmlWriter) close(name string) {
	w.depth--
	w.indent()
	w.end(name)
}

// empty writes an element without anything in it.
func (w *xmlWriter) empty(name string) {
	w.indent()
	w.raw("<")
	w.raw(name)
	w.raw("/>\n")
}

// begin and end stand around the text of an element.
func (w *xmlWriter) begin(name string) {
	w.indent()
	w.raw("<")
	w.raw(name)
	w.raw(">")
}

func (w *xmlWriter) end(name string) {
	w.raw("</")
	w.raw(name)
	w.raw(">\n")
}

// element writes an element with a text.
func (w *xmlWriter) element(name, text string) {
	w.begin(name)
	w.text(text)
	w.end(name)
}

// text writes character data. What XML 1.0 cannot hold (section 2.2), and what is not UTF-8, becomes U+FFFD; a carriage return is escaped, since a
// parser would make a line feed of it (section 2.11).
func (w *xmlWriter) text(s string) {
	w.room(len(s))
	from := 0
	for i := 0; i < len(s); {
		c, size := utf8.DecodeRuneInString(s[i:])
		instead := ""
		switch {
		case c == '&':
			instead = "&amp;"
		case c == '<':
			instead = "&lt;"
		case c == '>':
			instead = "&gt;"
		case c == '"':
			instead = "&quot;"
		case c == '\r':
			instead = "&#xD;"
		case c == utf8.RuneError && size == 1, c < ' ' && c != '\t' && c != '\n', c == 0xfffe, c == 0xffff:
			instead = "\uFFFD"
		}
		if instead != "" {
			w.raw(s[from:i])
			w.raw(instead)
			from = i + size
		}
		i += size
	}
	w.raw(s[from:])
}

// urlEncoded writes s as RFC 3986 escapes it: only letters, digits and -._~ stand for themselves. IAM writes policy documents so.
func (w *xmlWriter) urlEncoded(s string) {
	const digits = "0123456789ABCDEF"
	w.room(3 * len(s))
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~' {
			w.b = append(w.b, c)
			continue
		}
		w.b = append(w.b, '%', digits[c>>4], digits[c&15])
	}
}

// base64 writes s as of RFC 4648, with padding.
func (w *xmlWriter) base64(s []byte) {
	w.room(base64.StdEncoding.EncodedLen(len(s)))
	w.b = base64.StdEncoding.AppendEncode(w.b, s)
}
