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
	anyPattern   patternKind = iota + 1 // "*"
	exactPattern                        // no wildcard
	splitPattern                        // six parts
	tokenPattern                        // fewer or more than six parts
)

// A pattern is a compiled value of Resource or NotResource.
//
// A "*" that ends a part of an ARN may run over the colons behind it, and everything may in the last part. Where
// the ARN asked for has exactly five colons, as every ARN of kmsd has, a pattern with five colons cannot make use
// of that, and parts are compared one by one; other pairs take the token matcher.
type pattern struct {
	kind   patternKind
	text   string
	parts  [arnParts]segment // of a splitPattern
	tokens []token           // of a splitPattern and a tokenPattern
}

type segmentKind uint8

const (
	literalSegment segmentKind = iota
	anySegment                 // "*"
	prefixSegment              // text, then "*"
	globSegment
)

type segment struct {
	kind segmentKind
	text string
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
	p := pattern{kind: tokenPattern, text: s, tokens: compileTokens(s)}
	var parts [arnParts]string
	if splitARN(s, &parts) {
		p.kind = splitPattern
		for i, part := range parts {
			p.parts[i] = compileSegment(part)
		}
	}
	return p
}

func compileSegment(s string) segment {
	switch at := strings.IndexAny(s, "*?"); {
	case at < 0:
		return segment{literalSegment, s}
	case s == "*":
		return segment{anySegment, ""}
	case at == len(s)-1 && s[at] == '*':
		return segment{prefixSegment, s[:at]}
	}
	return segment{globSegment, s}
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
	parts  [arnParts]string
	split  bool // parts holds arn
	budget int
}

// maxSteps bounds what all patterns of one decision may cost: about 100 µs.
const maxSteps = 1 << 16

func newTarget(arn string) target {
	t := target{arn: arn, budget: maxSteps}
	t.split = splitARN(arn, &t.parts)
	return t
}

// exhausted reports whether a match was given up, so that what the matches said does not count.
func (t *target) exhausted() bool { return t.budget < 0 }

func (t *target) matches(p *pattern) bool {
	t.budget--
	switch {
	case p.kind == anyPattern:
		return true
	case t.arn == "":
		return false
	case p.kind == exactPattern:
		return p.text == t.arn
	case p.kind == splitPattern && t.split:
		return t.segmentMatches(&p.parts[4], t.parts[4]) && t.segmentMatches(&p.parts[5], t.parts[5]) &&
			t.segmentMatches(&p.parts[3], t.parts[3]) && t.segmentMatches(&p.parts[2], t.parts[2]) &&
			t.segmentMatches(&p.parts[1], t.parts[1]) && t.segmentMatches(&p.parts[0], t.parts[0])
	}
	return t.tokensMatch(p.tokens, t.arn)
}

func (t *target) segmentMatches(m *segment, s string) bool {
	switch m.kind {
	case anySegment:
		return true
	case literalSegment:
		return m.text == s
	case prefixSegment:
		return len(s) >= len(m.text) && s[:len(m.text)] == m.text
	}
	return t.globMatches(m.text, s)
}

// globMatches is the usual matcher with one place to go back to: the last star.
func (t *target) globMatches(pattern, s string) bool {
	i, j, star, from := 0, 0, -1, 0
	for i < len(s) {
		if t.budget--; t.budget < 0 {
			return false
		}
		switch {
		case j < len(pattern) && pattern[j] == '*':
			star, from = j, i
			j++
		case j < len(pattern) && pattern[j] == '?':
			i += width(s, i)
			j++
		case j < len(pattern) && pattern[j] == s[i]:
			i++
			j++
		case star >= 0:
			from++
			i, j = from, star+1
		default:
			return false
		}
	}
	for j < len(pattern) && pattern[j] == '*' {
		j++
	}
	return j == len(pattern)
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
			from++
			crossFrom = from
		case s[from] != ':':
			from++
		case crossing < 0:
			return false
		default:
			crossFrom++
			star, from = crossing, crossFrom
		}
		i, j = from, star+1
	}
	for j < len(tokens) && (tokens[j].kind == starToken || tokens[j].kind == starNoColon) {
		j++
	}
	return j == len(tokens)
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
