package diff

import (
	"slices"
	"strings"
)

// A tokenKind says which characters a token of a glob matches.
type tokenKind uint8

const (
	literal    tokenKind = iota
	one                  // any character
	oneInPart            // any but a colon
	many                 // any number of any characters
	manyInPart           // any number, but no colon
	digit
	oneInName  // any but a colon or a slash
	manyInName // any number, but neither
)

type token struct {
	kind tokenKind
	r    rune
}

func (t token) star() bool { return t.kind == many || t.kind == manyInPart || t.kind == manyInName }

func (t token) matches(r rune) bool {
	switch t.kind {
	case literal:
		return t.r == r
	case oneInPart, manyInPart:
		return r != ':'
	case digit:
		return '0' <= r && r <= '9'
	case oneInName, manyInName:
		return r != ':' && r != '/'
	}
	return true
}

// A glob is a value of a policy as texts are compared with it.
type glob struct {
	tokens []token
	fold   bool // letters are compared without regard to case; literals are folded
}

// globKind says how a value is compared.
type globKind uint8

const (
	exactGlob globKind = iota
	foldedGlob
	likeGlob
	arnGlob      // * and ? stay within the first five parts of an ARN
	resourceGlob // so they do, but a * that ends a part may run over colons
)

// A form is a glob of a literal, and then some tokens.
func newForm(before string, tokens ...token) glob {
	g := newGlob(before, exactGlob)
	g.tokens = append(g.tokens, tokens...)
	return g
}

// notEmpty and name are the forms of what has a character, and of what may stand at the end of an ARN.
func notEmpty() glob { return newForm("", token{kind: one}, token{kind: many}) }
func name() glob     { return newForm("", token{kind: oneInName}, token{kind: manyInName}) }

func newGlob(s string, kind globKind) glob {
	g := glob{fold: kind == foldedGlob}
	colons, runes := 0, []rune(s)
	for i, r := range runes {
		inPart := (kind == arnGlob || kind == resourceGlob) && colons < 5
		last := kind == resourceGlob && (i+1 == len(runes) || runes[i+1] == ':')
		switch {
		case r == '*' && kind >= likeGlob && inPart && !last:
			g.tokens = append(g.tokens, token{kind: manyInPart})
		case r == '*' && kind >= likeGlob:
			g.tokens = append(g.tokens, token{kind: many})
		case r == '?' && kind >= likeGlob && inPart:
			g.tokens = append(g.tokens, token{kind: oneInPart})
		case r == '?' && kind >= likeGlob:
			g.tokens = append(g.tokens, token{kind: one})
		default:
			if r == ':' {
				colons++
			}
			if g.fold {
				r = foldRune(r)
			}
			g.tokens = append(g.tokens, token{literal, r})
		}
	}
	return g
}

// foldRune returns r in lower case, as authz folds names.
func foldRune(r rune) rune {
	if 'A' <= r && r <= 'Z' || 0xc0 <= r && r <= 0xde && r != 0xd7 {
		return r + 0x20
	}
	return r
}

func fold(s string) string { return strings.Map(foldRune, s) }

// upperRune is the other letter that folds to r, or r.
func upperRune(r rune) rune {
	if 'a' <= r && r <= 'z' || 0xe0 <= r && r <= 0xfe && r != 0xf7 {
		return r - 0x20
	}
	return r
}

// Bounds of the search for texts.
const (
	maxStates  = 4000
	maxTextLen = 700
	textSteps  = 200_000 // of the steps of a comparison, for one search
)

// texts returns a text for each set of globs that can be the ones that a text matches, the shortest texts first, among those that match all of
// form: what tells texts apart for the globs, and nothing else does. complete is false if there may be sets that were not
// found. It runs all globs at once over all texts, of which a character that no glob names stands for all of its kind.
func (s *search) texts(globs []glob, form []glob) (list []string, complete bool) {
	all, end := slices.Concat(form, globs), s.steps-textSteps
	seen, found := make(map[string]bool), make(map[string]bool)
	var queue []textState
	push := func(text []rune, at []position) {
		s.spend(1 + len(at))
		key := keyOf(at)
		if !seen[key] {
			seen[key] = true
			queue = append(queue, textState{text, at})
		}
	}
	var start []position
	for g := range all {
		start = advance(all, start, position{g, 0})
	}
	push(nil, start)
	for len(queue) > 0 {
		if len(seen) > maxStates || s.spent() || s.steps < end {
			return list, false
		}
		state := queue[0]
		queue = queue[1:]
		if accepts := accepting(all, state.at); accepts.has(len(form)) {
			if key := accepts.globs(len(form)); !found[key] {
				found[key] = true
				list = append(list, string(state.text))
			}
		}
		if len(state.text) == maxTextLen {
			return list, false
		}
		for _, r := range alphabet(all, state.at) {
			var next []position
			for _, p := range state.at {
				next = step(all, next, p, r)
			}
			if alive(next, len(form)) {
				push(append(slices.Clip(state.text), r), next)
			}
		}
	}
	return list, true
}

// matches reports whether a text is what the glob says.
func (g *glob) matches(text string) bool {
	all := []glob{*g}
	at := advance(all, nil, position{})
	for _, r := range text {
		var next []position
		for _, p := range at {
			next = step(all, next, p, r)
		}
		at = next
	}
	return len(accepting(all, at)) > 0
}

type textState struct {
	text []rune
	at   []position
}

// A position is how far a text has got in a glob.
type position struct{ glob, at int }

// advance adds a position, and those that a star that matches nothing leads to.
func advance(all []glob, list []position, p position) []position {
	for {
		for i := len(list) - 1; i >= 0 && list[i].glob == p.glob; i-- { // the positions in one glob stand together
			if list[i] == p {
				return list
			}
		}
		list = append(list, p)
		if t := all[p.glob].tokens; p.at == len(t) || !t[p.at].star() {
			return list
		}
		p.at++
	}
}

// step adds where a character leads to.
func step(all []glob, list []position, p position, r rune) []position {
	g := &all[p.glob]
	if p.at == len(g.tokens) {
		return list
	}
	if g.fold {
		r = foldRune(r)
	}
	t := g.tokens[p.at]
	switch {
	case !t.matches(r):
		return list
	case t.star():
		return advance(all, list, p)
	}
	return advance(all, list, position{p.glob, p.at + 1})
}

func keyOf(list []position) string {
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(a, b position) int { return (a.glob-b.glob)<<16 + a.at - b.at })
	b := make([]byte, 0, 4*len(sorted))
	for _, p := range sorted {
		b = append(b, byte(p.glob>>8), byte(p.glob), byte(p.at>>8), byte(p.at))
	}
	return string(b)
}

// accepted are the globs that match.
type accepted []int

func accepting(all []glob, at []position) accepted {
	var list accepted
	for _, p := range at {
		if p.at == len(all[p.glob].tokens) {
			list = append(list, p.glob)
		}
	}
	slices.Sort(list)
	return list
}

// has reports whether the first n globs are among them.
func (a accepted) has(n int) bool {
	return len(a) >= n && (n == 0 || a[n-1] == n-1)
}

// globs is a key for those behind the first n.
func (a accepted) globs(n int) string {
	var b []byte
	for _, g := range a {
		if g >= n {
			b = append(b, byte(g>>8), byte(g))
		}
	}
	return string(b)
}

// alive reports whether each of the first n globs can still match, and any glob, if there are no such.
func alive(at []position, n int) bool {
	for g := range n {
		if !slices.ContainsFunc(at, func(p position) bool { return p.glob == g }) {
			return false
		}
	}
	return true
}

// alphabet returns the characters that lead to different positions: those that are named, and one of each kind for all others.
func alphabet(all []glob, at []position) []rune {
	var list []rune
	add := func(r rune) {
		if !slices.Contains(list, r) {
			list = append(list, r)
		}
	}
	digits, anything := false, false
	for _, p := range at {
		g := &all[p.glob]
		if p.at == len(g.tokens) {
			anything = true // it ends here, and does not match what is longer
			continue
		}
		switch t := g.tokens[p.at]; t.kind {
		case literal:
			add(t.r)
			if g.fold {
				add(upperRune(t.r))
			}
			anything = true
		case digit:
			digits, anything = true, true
		case oneInPart, manyInPart:
			add(':')
			anything = true
		case oneInName, manyInName:
			add(':')
			add('/')
			anything = true
		default:
			anything = true
		}
	}
	if digits {
		list = addFresh(list, "0123456789")
	}
	if anything || len(at) == 0 {
		list = addFresh(list, "xyzwvutsrqponmlkjihgfedcba")
	}
	return list
}

// addFresh adds a character that the list does not have.
func addFresh(list []rune, of string) []rune {
	for _, r := range of {
		if !slices.Contains(list, r) && !slices.Contains(list, upperRune(r)) {
			return append(list, r)
		}
	}
	return list
}
