package authz

import (
	"strings"
	"unicode/utf8"
)

// Bounds of a document beside its size.
const (
	maxNesting    = 8
	maxValues     = 1000
	maxStatements = 200
)

type nodeKind uint8

const (
	objectNode nodeKind = iota + 1
	arrayNode
	stringNode
	numberNode
	boolNode
	nullNode
)

func (k nodeKind) String() string {
	switch k {
	case objectNode:
		return "an object"
	case arrayNode:
		return "a list"
	case stringNode:
		return "a string"
	case numberNode:
		return "a number"
	case boolNode:
		return "a boolean"
	}
	return "null"
}

// A node is one JSON value and where it stands in the document.
type node struct {
	kind    nodeKind
	from    int      // its first byte
	to      int      // the byte after its last
	text    string   // of a string, decoded; of a number or a boolean, as it is written
	members []member // of an object, in the document's order, no name twice
	items   []node   // of an array
}

type member struct {
	name  string
	from  int
	value node
}

// A walker reads JSON as RFC 8259 has it and nothing beyond: no name twice in one object, no invalid UTF-8, no
// character that AWS's pattern for policy documents excludes, no byte after the value. encoding/json would match
// names in any case and keep the last of two, so that {"Effect":"Deny","effect":"Allow"} allows.
type walker struct {
	doc string
	pos int
}

// readJSON returns the one value that doc consists of.
func readJSON(doc string) (node, error) {
	if err := checkCharacters(doc); err != nil {
		return node{}, err
	}
	w := walker{doc: doc}
	n, err := w.value(0)
	if err != nil {
		return node{}, err
	}
	w.space()
	if w.pos < len(doc) {
		return node{}, faultAt(doc, w.pos, "the document ends before this; remove what follows")
	}
	return n, nil
}

// legal is AWS's pattern for a policy document, tab, line feed, carriage return, and U+0020 to U+00FF, less the control characters U+007F to
// U+009F, which steer the terminal that somebody prints the document on.
func legal(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0x7e || r >= 0xa0 && r <= 0xff
}

func checkCharacters(doc string) error {
	if strings.HasPrefix(doc, "\ufeff") {
		return faultAt(doc, 0, "the document begins with a byte order mark; save it without")
	}
	for i := 0; i < len(doc); {
		r, size := utf8.DecodeRuneInString(doc[i:])
		if r == utf8.RuneError && size <= 1 {
			return faultAt(doc, i, "invalid UTF-8; save the document as UTF-8")
		}
		if !legal(r) {
			return faultAt(doc, i, "character %U is not allowed; use tab, line ends and U+0020 to U+00FF", r)
		}
		i += size
	}
	return nil
}

func (w *walker) fault(offset int, format string, args ...any) error {
	return faultAt(w.doc, offset, format, args...)
}

func (w *walker) space() {
	for w.pos < len(w.doc) && isSpace(w.doc[w.pos]) {
		w.pos++
	}
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }

// peek skips white space and returns the next byte without taking it, or 0 at the end.
func (w *walker) peek() byte {
	w.space()
	if w.pos == len(w.doc) {
		return 0
	}
	return w.doc[w.pos]
}

func (w *walker) value(depth int) (node, error) {
	c := w.peek()
	switch {
	case (c == '{' || c == '[') && depth == maxNesting:
		return node{}, w.fault(w.pos, "nested more than %d deep", maxNesting)
	case c == '{':
		return w.object(depth + 1)
	case c == '[':
		return w.array(depth + 1)
	case c == '"':
		return w.stringNode()
	case c == 0:
		return node{}, w.fault(w.pos, "the document ends where a value should be")
	}
	return w.literal()
}

func (w *walker) object(depth int) (node, error) {
	n := node{kind: objectNode, from: w.pos}
	seen := make(map[string]struct{})
	w.pos++
	for first := true; ; first = false {
		done, err := w.next('}', first)
		if err != nil {
			return node{}, err
		}
		if done {
			n.to = w.pos
			return n, nil
		}
		if w.peek() != '"' {
			return node{}, w.fault(w.pos, "a name in double quotes should be here")
		}
		name, err := w.stringNode()
		if err != nil {
			return node{}, err
		}
		if _, twice := seen[name.text]; twice {
			return node{}, w.fault(name.from, "%s stands twice in one object; remove one of them", quote(name.text))
		}
		seen[name.text] = struct{}{}
		if w.peek() != ':' {
			return node{}, w.fault(w.pos, "a colon should follow the name %s", quote(name.text))
		}
		w.pos++
		v, err := w.value(depth)
		if err != nil {
			return node{}, err
		}
		if n.members = append(n.members, member{name.text, name.from, v}); len(n.members) > maxValues {
			return node{}, w.fault(name.from, "more than %d members in one object", maxValues)
		}
	}
}

func (w *walker) array(depth int) (node, error) {
	n := node{kind: arrayNode, from: w.pos}
	w.pos++
	for first := true; ; first = false {
		done, err := w.next(']', first)
		if err != nil {
			return node{}, err
		}
		if done {
			n.to = w.pos
			return n, nil
		}
		v, err := w.value(depth)
		if err != nil {
			return node{}, err
		}
		if n.items = append(n.items, v); len(n.items) > maxValues {
			return node{}, w.fault(v.from, "more than %d values in one list; split the statement", maxValues)
		}
	}
}

// next takes the closing byte, and reports true, or the comma before the next element, which the first has not.
func (w *walker) next(closing byte, first bool) (bool, error) {
	c := w.peek()
	switch {
	case c == closing:
		w.pos++
		return true, nil
	case first && c != 0:
		return false, nil
	case c == ',':
		w.pos++
		if w.peek() == closing {
			return false, w.fault(w.pos, "a comma before the closing %q; remove the comma", closing)
		}
		return false, nil
	}
	return false, w.fault(w.pos, "a comma or the closing %q should be here", closing)
}

func (w *walker) stringNode() (node, error) {
	n := node{kind: stringNode, from: w.pos}
	w.pos++
	start := w.pos
	for w.pos < len(w.doc) {
		switch c := w.doc[w.pos]; {
		case c == '"':
			n.text = w.doc[start:w.pos]
			w.pos++
			n.to = w.pos
			return n, nil
		case c == '\\':
			return w.escapedString(n, start)
		case c < 0x20:
			return node{}, w.fault(w.pos, "a tab or line end inside a string; write it as an escape")
		}
		w.pos++
	}
	return node{}, w.fault(n.from, "the string that begins here does not end")
}

// escapedString goes on with a string that has at least one escape; w.pos stands at the first.
func (w *walker) escapedString(n node, start int) (node, error) {
	text := []byte(w.doc[start:w.pos])
	for w.pos < len(w.doc) {
		switch c := w.doc[w.pos]; {
		case c == '"':
			n.text = string(text)
			w.pos++
			n.to = w.pos
			return n, nil
		case c == '\\':
			r, err := w.escape()
			if err != nil {
				return node{}, err
			}
			text = utf8.AppendRune(text, r)
		case c < 0x20:
			return node{}, w.fault(w.pos, "a tab or line end inside a string; write it as an escape")
		default:
			text = append(text, c)
			w.pos++
		}
	}
	return node{}, w.fault(n.from, "the string that begins here does not end")
}

// escape reads the escape at w.pos. Those above U+00FF, surrogates among them, are not legal in a policy.
func (w *walker) escape() (rune, error) {
	from := w.pos
	rest := w.doc[from+1:]
	if rest == "" {
		return 0, w.fault(from, "the document ends inside an escape")
	}
	w.pos += 2
	var r rune
	switch rest[0] {
	case '"', '\\', '/':
		r = rune(rest[0])
	case 'n':
		r = '\n'
	case 'r':
		r = '\r'
	case 't':
		r = '\t'
	case 'b':
		r = '\b'
	case 'f':
		r = '\f'
	case 'u':
		if len(rest) < 5 || !onlyBytes(rest[1:5], isHex) {
			return 0, w.fault(from, "\\u needs four hexadecimal digits")
		}
		w.pos += 4
		for i := 1; i < 5; i++ {
			r = r<<4 | hexValue(rest[i])
		}
	default:
		return 0, w.fault(from, "not an escape of JSON; write \\\\ for a backslash")
	}
	if !legal(r) {
		return 0, w.fault(from, "character %U is not allowed; use tab, line ends and U+0020 to U+00FF", r)
	}
	return r, nil
}

func isHex(b byte) bool { return isDigit(b) || 'a' <= lower(b) && lower(b) <= 'f' }

func hexValue(b byte) rune {
	if isDigit(b) {
		return rune(b - '0')
	}
	return rune(lower(b)-'a') + 10
}

// literal reads true, false, null or a number.
func (w *walker) literal() (node, error) {
	from := w.pos
	for w.pos < len(w.doc) && (isAlphanumeric(w.doc[w.pos]) || strings.IndexByte("+-.", w.doc[w.pos]) >= 0) {
		w.pos++
	}
	switch s := w.doc[from:w.pos]; {
	case s == "true", s == "false":
		return node{kind: boolNode, from: from, to: w.pos, text: s}, nil
	case s == "null":
		return node{kind: nullNode, from: from, to: w.pos}, nil
	case isNumber(s):
		return node{kind: numberNode, from: from, to: w.pos, text: s}, nil
	case s == "":
		return node{}, w.fault(from, "a value should be here")
	default:
		return node{}, w.fault(from, "%s is not a value of JSON; put strings in double quotes", quote(s))
	}
}

// isNumber reports whether s is a number as RFC 8259 writes it.
func isNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	whole := digits(s)
	if whole == 0 || whole > 1 && s[0] == '0' {
		return false
	}
	s = s[whole:]
	if strings.HasPrefix(s, ".") {
		n := digits(s[1:])
		if n == 0 {
			return false
		}
		s = s[1+n:]
	}
	if s == "" {
		return true
	}
	if lower(s[0]) != 'e' {
		return false
	}
	s = s[1:]
	if s != "" && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	return s != "" && digits(s) == len(s)
}

// digits returns how many digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}
