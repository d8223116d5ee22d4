package authz

import (
	"strings"
	"unicode/utf8"
)

// A target is the ARN that is asked for, and what is left of the matching steps that a decision may take.
type target struct {
	arn    string // "" stands for no resource, which only "*" covers
	form   arnForm
	budget int
}

type arnForm uint8

const (
	unknownForm arnForm = iota // nobody has looked yet
	plainForm                  // five colons, and ASCII only
	otherForm
)

// maxSteps bounds what all patterns of one decision may cost: about 100 µs.
const maxSteps = 1 << 16

func newTarget(arn string) target { return target{arn: arn, budget: maxSteps} }

// exhausted reports whether a match was given up, so that what the matches said does not count.
func (t *target) exhausted() bool { return t.budget < 0 }

func (t *target) plain() bool {
	if t.form == unknownForm {
		t.form = otherForm
		if strings.Count(t.arn, ":") == arnParts-1 && isASCII(t.arn) {
			t.form = plainForm
		}
	}
	return t.form == plainForm
}

// matches reports whether a pattern without variables covers the target.
func (t *target) matches(p *pattern) bool {
	t.budget--
	switch p.kind {
	case anyPattern:
		return true
	case exactPattern:
		return p.text == t.arn
	case prefixPattern:
		return strings.HasPrefix(t.arn, p.text)
	case partsPattern:
		if t.opsMatch(p.ops, t.arn) {
			return true
		}
		if t.form == plainForm || t.plain() {
			return false
		}
	}
	return t.tokensMatch(p, t.arn, nil)
}

// textMatches reports whether a pattern of a condition matches a text.
func (q *request) textMatches(p *pattern, s string) bool {
	t := &q.target
	t.budget--
	switch p.kind {
	case anyPattern:
		return true
	case exactPattern:
		return p.text == s
	case prefixPattern:
		return strings.HasPrefix(s, p.text)
	case partsPattern:
		if t.opsMatch(p.ops, s) {
			return true
		}
		if !p.question || t.ascii(s) {
			return false
		}
	case chunksPattern:
		if !p.question || t.ascii(s) {
			return t.chunksMatch(p.chunks, s)
		}
	case tokenPattern:
		if !strings.HasPrefix(s, p.text) && len(p.variables) > 0 {
			return false
		}
	}
	return t.tokensMatch(p, s, q)
}

// ascii reports whether s is ASCII, where a byte is a character.
func (t *target) ascii(s string) bool {
	t.budget -= len(s)/2 + 1
	return isASCII(s)
}

func isASCII(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		if (s[0]|s[1]|s[2]|s[3]|s[4]|s[5]|s[6]|s[7])&utf8.RuneSelf != 0 {
			return false
		}
	}
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func (t *target) opsMatch(ops []op, s string) bool {
	for i := range ops {
		switch o := &ops[i]; o.kind {
		case literalOp:
			if !strings.HasPrefix(s, o.text) {
				return false
			}
			s = s[len(o.text):]
		case restOp:
			return true
		default:
			end := len(s)
			if i < len(ops)-1 {
				if end = strings.IndexByte(s, ':'); end < 0 {
					return false
				}
			}
			if o.kind == globOp && !t.chunksMatch(o.chunks, s[:end]) {
				return false
			}
			s = s[end:]
		}
	}
	return s == ""
}

// chunksMatch takes the first and the last chunk at the ends of s and finds the others from left to right, each
// as early as it can be.
func (t *target) chunksMatch(chunks []string, s string) bool {
	head, tail := chunks[0], chunks[len(chunks)-1]
	if len(chunks) == 1 {
		return len(head) == len(s) && t.chunkMatches(head, s)
	}
	if len(head)+len(tail) > len(s) || !t.chunkMatches(head, s) || !t.chunkMatches(tail, s[len(s)-len(tail):]) {
		return false
	}
	s = s[len(head) : len(s)-len(tail)]
	for _, c := range chunks[1 : len(chunks)-1] {
		at := t.find(c, s)
		if at < 0 {
			return false
		}
		s = s[at+len(c):]
	}
	return true
}

// chunkMatches reports whether s, which is not shorter, begins with the chunk. A "?" stands for one byte of ASCII
// here; other characters are left to the tokens.
func (t *target) chunkMatches(chunk, s string) bool {
	for i := range len(chunk) {
		t.budget--
		if chunk[i] != s[i] && (chunk[i] != '?' || s[i] >= utf8.RuneSelf) {
			return false
		}
	}
	return true
}

// find returns where the chunk first stands in s, or -1.
func (t *target) find(chunk, s string) int {
	question := strings.IndexByte(chunk, '?')
	if question < 0 {
		t.budget -= len(s)/4 + 1
		return strings.Index(s, chunk)
	}
	literal := chunk[:question]
	for at := 0; at+len(chunk) <= len(s) && t.budget >= 0; at++ {
		t.budget -= (len(s)-at)/16 + 1
		next := strings.Index(s[at:], literal)
		if next < 0 || at+next+len(chunk) > len(s) {
			return -1
		}
		if at += next; t.chunkMatches(chunk, s[at:]) {
			return at
		}
	}
	return -1
}

// width returns how many bytes the character at s[i] has; "?" is one character.
func width(s string, i int) int {
	if s[i] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRuneInString(s[i:])
	return n
}

// tokensMatch goes back to the last star, and when that one cannot be extended because a colon stands in its way,
// to the last star that crosses colons. No earlier one need be tried: a star that crosses can take all that an
// earlier one could, and between two that do not cross there is either no colon or just one way to meet it. A variable
// is a literal that the request brings along; q may be nil if there is none.
func (t *target) tokensMatch(p *pattern, s string, q *request) bool {
	tokens := p.tokens
	i, j := 0, 0
	star, from := -1, 0          // the last star, and where it ends
	crossing, crossFrom := -1, 0 // the last that crosses colons
	for i < len(s) {
		if t.budget--; t.budget < 0 {
			return false
		}
		if j < len(tokens) {
			switch k := tokens[j]; {
			case k.kind == starToken:
				star, from, crossing, crossFrom = j, i, j, i
				j++
				continue
			case k.kind == starNoColon:
				star, from = j, i
				j++
				continue
			case k.kind == literalToken && k.b == s[i]:
				i++
				j++
				continue
			case k.kind == anyCharacter, k.kind == anyButColon && s[i] != ':':
				i += width(s, i)
				j++
				continue
			case k.kind >= variableToken:
				if n, ok := p.variableAt(k, s[i:], q); ok {
					i += n
					j++
					continue
				}
			}
		}
		switch {
		case star < 0:
			return false
		case star == crossing:
			from += width(s, from)
			crossFrom = from
		case s[from] != ':':
			from += width(s, from)
		case crossing < 0:
			return false
		default:
			crossFrom += width(s, crossFrom)
			star, from = crossing, crossFrom
		}
		i, j = from, star+1
	}
	for ; j < len(tokens); j++ {
		switch k := tokens[j]; {
		case k.kind == starToken, k.kind == starNoColon:
		case k.kind >= variableToken:
			if _, ok := p.variableAt(k, "", q); !ok {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// variableAt reports whether s begins with what a variable stands for, and how long that is.
func (p *pattern) variableAt(k token, s string, q *request) (int, bool) {
	n, ok := p.variables[k.b].prefixIs(q, s, false)
	if ok && k.kind == variableNoColon && strings.IndexByte(s[:n], ':') >= 0 {
		return 0, false
	}
	return n, ok
}

// foldedMatches reports whether s is what the tokens say, without regard to case. They have no wildcards.
func (q *request) foldedMatches(p *pattern, s string) bool {
	i := 0
	for _, k := range p.tokens {
		q.target.budget--
		if k.kind != literalToken {
			n, ok := p.variables[k.b].prefixIs(q, s[i:], true)
			if !ok {
				return false
			}
			i += n
			continue
		}
		if i == len(s) || foldByte(s, i) != k.b {
			return false
		}
		i++
	}
	return i == len(s)
}

// covers reports whether Resource, or NotResource, takes in what is asked for. A variable for which the request has
// several values counts against the caller.
func (s *statement) covers(q *request) bool {
	for i := range s.patterns {
		p := &s.patterns[i]
		covered := false
		switch {
		case len(p.variables) == 0:
			covered = q.target.matches(p)
		case q.ambiguous(p.variables):
			covered = (s.effect == Deny) != s.notResource
		default:
			q.target.budget--
			covered = strings.HasPrefix(q.target.arn, p.text) && q.target.tokensMatch(p, q.target.arn, q)
		}
		if covered {
			return !s.notResource
		}
	}
	return s.notResource
}
