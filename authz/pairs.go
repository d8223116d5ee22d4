package authz

import (
	"slices"
	"strings"
)

// Pairs are names with their values, such as tags or an encryption context, in the order of their names without regard to case, in which policies
// look for them. Several names may differ in case only; then a Deny fires if any of their values matches, and an Allow only if all do. The zero Pairs
// has none.
type Pairs struct{ list []pair }

type pair struct {
	folded string // the name in lower case
	name   string
	value  string
}

// NewPairs returns the pairs of m, of which it keeps the strings.
func NewPairs(m map[string]string) Pairs {
	var p Pairs
	p.Set(m)
	return p
}

// Set replaces what p has by the pairs of m, and reuses p's memory, which nobody else may read then.
func (p *Pairs) Set(m map[string]string) {
	p.reset()
	for name, value := range m {
		p.list = append(p.list, pair{foldName(name), name, value})
	}
	if len(p.list) > 1 {
		slices.SortFunc(p.list, func(a, b pair) int {
			if c := strings.Compare(a.folded, b.folded); c != 0 {
				return c
			}
			return strings.Compare(a.name, b.name)
		})
	}
}

func (p *Pairs) reset() {
	clear(p.list)
	p.list = p.list[:0]
}

func (p *Pairs) clone() Pairs { return Pairs{slices.Clone(p.list)} }

// Len is the number of pairs.
func (p *Pairs) Len() int { return len(p.list) }

// All yields the pairs in their order.
func (p *Pairs) All(yield func(name, value string) bool) {
	for i := range p.list {
		if !yield(p.list[i].name, p.list[i].value) {
			return
		}
	}
}

// foldName returns a name in lower case, as condition keys are compared: ASCII letters, and U+00C0 to U+00DE but
// U+00D7, are folded, and nothing else: a Kelvin sign is no k.
func foldName(s string) string {
	for i := range len(s) {
		if foldByte(s, i) == s[i] {
			continue
		}
		b := []byte(s)
		for ; i < len(b); i++ {
			b[i] = foldByte(s, i)
		}
		return string(b)
	}
	return s
}

// foldByte returns byte i of s in lower case.
func foldByte(s string, i int) byte {
	b := s[i]
	switch {
	case 'A' <= b && b <= 'Z':
		return b + 'a' - 'A'
	case b >= 0x80 && b <= 0x9e && b != 0x97 && i > 0 && s[i-1] == 0xc3: // U+00C0 to U+00DE in UTF-8
		return b + 0x20
	}
	return b
}

// hasFoldedPrefix reports whether s begins with the text, without regard to case.
func hasFoldedPrefix(s, text string) bool {
	if len(s) < len(text) {
		return false
	}
	for i := range len(text) {
		if foldByte(s, i) != foldByte(text, i) {
			return false
		}
	}
	return true
}
