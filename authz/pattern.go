package authz

import (
	"strings"
	"unicode/utf8"
)

const arnParts = 6

// splitARN cuts s at its first five colons. It reports false if s has another number of colons than five.
func splitARN(s string, parts *[arnParts]string) bool {
	for i := range arnParts - 1 {
		at := strings.IndexByte(s, ':')
		if at < 0 {
			return false
		}
		parts[i], s = s[:at], s[at+1:]
	}
	parts[arnParts-1] = s
	return strings.IndexByte(s, ':') < 0
}

type patternKind uint8

const (
	anyPattern    patternKind = iota + 1 // "*"
	exactPattern                         // no wildcard
	prefixPattern                        // text, then "*"
	partsPattern                         // six parts
	tokenPattern                         // fewer or more than six parts
)

// A pattern is a compiled value of Resource or NotResource.
//
// A "*" that ends a part of an ARN may run over the colons behind it, and everything may in the last part: that is
// what tokens say. Where the ARN asked for has exactly five colons, as every ARN of kmsd has, a pattern with five
// colons cannot make use of it, so that parts are matched one by one, which is what ops do. What ops match the
// tokens match too; where they do not, the tokens are asked if the ARN is of another kind.
type pattern struct {
	kind   patternKind
	text   string  // of a prefixPattern, what is before the star
	ops    []op    // of a partsPattern
	tokens []token // of a partsPattern and a tokenPattern
}

type opKind uint8

const (
	literalOp opKind = iota // text
	skipOp                  // up to the next colon
	restOp                  // everything that is left
	globOp                  // what is left of the part: the chunks, with anything between them
)

type op struct {
	kind   opKind
	text   string
	chunks []string // each may have "?"; the first begins the rest of the part, the last ends it
}

type tokenKind uint8

const (
	literalToken tokenKind = iota
	anyCharacter           // "?" after the fifth colon
	anyButColon            // "?" before it
	starToken              // "*" that crosses colons
	starNoColon            // "*" that does not
)

type token struct {
	kind tokenKind
	b    byte
}

func compilePattern(s string) pattern {
	switch {
	case s == "*":
		return pattern{kind: anyPattern, text: s}
	case !strings.ContainsAny(s, "*?"):
		return pattern{kind: exactPattern, text: s}
	}
	if at := strings.IndexAny(s, "*?"); at == len(s)-1 && s[at] == '*' {
		return pattern{kind: prefixPattern, text: s[:at]}
	}
	p := pattern{kind: tokenPattern, text: s, tokens: compileTokens(s)}
	var parts [arnParts]string
	if splitARN(s, &parts) {
		p.kind, p.ops = partsPattern, compileOps(&parts)
	}
	return p
}

func compileOps(parts *[arnParts]string) []op {
	var ops []op
	literal := ""
	for i, part := range parts {
		if i > 0 {
			literal += ":"
		}
		at := strings.IndexAny(part, "*?")
		if at < 0 {
			literal += part
			continue
		}
		ops = append(ops, op{kind: literalOp, text: literal + part[:at]})
		literal = ""
		switch glob := part[at:]; {
		case strings.Trim(glob, "*") != "":
			ops = append(ops, op{kind: globOp, chunks: strings.Split(glob, "*")})
		case i == arnParts-1:
			ops = append(ops, op{kind: restOp})
		default:
			ops = append(ops, op{kind: skipOp})
		}
	}
	if literal != "" {
		ops = append(ops, op{kind: literalOp, text: literal})
	}
	return ops
}

func compileTokens(s string) []token {
	tokens := make([]token, 0, len(s))
	colons := 0
	for i := range len(s) {
		last := i+1 == len(s) || s[i+1] == ':'
		switch b := s[i]; {
		case b == '*' && (colons >= arnParts-1 || last):
			tokens = append(tokens, token{kind: starToken})
		case b == '*':
			tokens = append(tokens, token{kind: starNoColon})
		case b == '?' && colons >= arnParts-1:
			tokens = append(tokens, token{kind: anyCharacter})
		case b == '?':
			tokens = append(tokens, token{kind: anyButColon})
		default:
			if b == ':' {
				colons++
			}
			tokens = append(tokens, token{literalToken, b})
		}
	}
	return tokens
}

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
		if strings.Count(t.arn, ":") == arnParts-1 && onlyBytes(t.arn, func(b byte) bool { return b < utf8.RuneSelf }) {
			t.form = plainForm
		}
	}
	return t.form == plainForm
}

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
		if t.opsMatch(p.ops) {
			return true
		}
		if t.form == plainForm || t.plain() {
			return false
		}
	}
	return t.tokensMatch(p.tokens, t.arn)
}

func (t *target) opsMatch(ops []op) bool {
	s := t.arn
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
// earlier one could, and between two that do not cross there is either no colon or just one way to meet it.
func (t *target) tokensMatch(tokens []token, s string) bool {
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
	for j < len(tokens) && (tokens[j].kind == starToken || tokens[j].kind == starNoColon) {
		j++
	}
	return j == len(tokens)
}

// covers reports whether Resource, or NotResource, takes in what is asked for.
func (s *statement) covers(q *request) bool {
	for i := range s.patterns {
		if q.target.matches(&s.patterns[i]) {
			return !s.notResource
		}
	}
	return s.notResource
}

// checkResourcePattern returns what is wrong with a value of Resource or NotResource, and "" if nothing is. A
// pattern that no ARN can match is wrong too: in a Deny it would protect nothing.
func checkResourcePattern(s string) string {
	if s == "*" {
		return ""
	}
	if !strings.HasPrefix(s, "arn:") {
		return `is not an ARN; write "*", or arn:partition:service:region:account:resource`
	}
	if !onlyBytes(s, func(b byte) bool { return b > ' ' && b != 0x7f }) {
		return "has white space, and so matches nothing; remove it"
	}
	parts := strings.SplitN(s, ":", arnParts)
	if len(parts) > 2 && strings.ToLower(parts[2]) != parts[2] {
		return "has capital letters in the service, which no ARN has; write it in lower case"
	}
	if len(parts) < arnParts {
		if !strings.HasSuffix(s, "*") && !strings.Contains(s, "*:") {
			return "has fewer than six parts and no * that could stand for the others, and so matches nothing"
		}
		return ""
	}
	if account := parts[4]; (parts[2] == "kms" || parts[2] == "iam") &&
		!strings.ContainsAny(account, "*?") && !isAccount(account) {
		return "has an account that is not 12 digits, and so matches nothing"
	}
	return ""
}

func isAccount(s string) bool { return len(s) == 12 && digits(s) == 12 }
