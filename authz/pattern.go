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
	chunksPattern                        // of any text: chunks, with anything between them
	tokenPattern                         // of an ARN, fewer or more than six parts; and with variables
)

// A pattern is a compiled value of Resource or NotResource, or of a condition.
//
// A "*" that ends a part of an ARN may run over the colons behind it, and everything may in the last part: that is
// what tokens say. Where the ARN asked for has exactly five colons, as every ARN of kmsd has, a pattern with five
// colons cannot make use of it, so that parts are matched one by one, which is what ops do. What ops match the
// tokens match too; where they do not, the tokens are asked if the ARN is of another kind.
type pattern struct {
	kind      patternKind
	text      string     // of a prefixPattern, what is before the star
	ops       []op       // of a partsPattern
	chunks    []string   // of a chunksPattern
	question  bool       // of a chunksPattern and a partsPattern: a chunk has "?"
	tokens    []token    // of a partsPattern, a chunksPattern and a tokenPattern
	variables []variable // that tokens have
	alone     bool       // of a tokenPattern: one variable that is text, and nothing else
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
	literalToken    tokenKind = iota
	anyCharacter              // "?" after the fifth colon
	anyButColon               // "?" before it
	starToken                 // "*" that crosses colons
	starNoColon               // "*" that does not
	variableToken             // the variable of number b
	variableNoColon           // the same, whose value must have no colon
)

type token struct {
	kind tokenKind
	b    byte
}

// compilePattern compiles a value of Resource without variables.
func compilePattern(s string) pattern {
	p, _ := compileResource(s, lexer{})
	return p
}

// compileResource compiles a value of Resource, which [checkResourcePattern] checks. The last result is what is wrong
// with its variables, "" if nothing.
func compileResource(s string, l lexer) (pattern, string) {
	l.wildcards, l.arn, l.ends, l.late = true, true, true, true
	return l.compile(s)
}

// compileText compiles a value that is compared with any text, as a glob or as it is.
func compileText(s string, glob bool, l lexer) (pattern, string) {
	l.wildcards = glob
	return l.compile(s)
}

// compileARN compiles a glob for each part of an ARN.
func compileARN(s string, l lexer) (pattern, string) {
	const form = "is not an ARN of six parts, and so matches nothing; write arn:partition:service:region:account:resource"
	l.wildcards, l.arn = true, true
	p, wrong := l.compile(s)
	if wrong != "" {
		return pattern{}, wrong
	}
	colons := strings.Count(s, ":")
	if len(p.variables) > 0 {
		colons = 0
		for _, t := range p.tokens {
			if t == (token{literalToken, ':'}) {
				colons++
			}
		}
	}
	if !strings.HasPrefix(s, "arn:") || colons < arnParts-1 {
		return pattern{}, form
	}
	return p, ""
}

// compile chooses the cheapest way to match what the lexer makes of s.
func (l *lexer) compile(s string) (pattern, string) {
	if l.meaning && hasVariable(s) {
		return l.compileVariables(s)
	}
	at := -1
	if l.wildcards {
		at = strings.IndexAny(s, "*?")
	}
	switch {
	case at < 0 && l.fold:
		return pattern{kind: exactPattern, text: foldName(s)}, ""
	case at < 0:
		return pattern{kind: exactPattern, text: s}, ""
	case s == "*" && (!l.arn || l.ends):
		return pattern{kind: anyPattern, text: s}, ""
	case at == len(s)-1 && s[at] == '*' && (!l.arn || l.ends || strings.Count(s, ":") >= arnParts-1):
		return pattern{kind: prefixPattern, text: s[:at]}, ""
	}
	tokens, wrong := l.tokens(s)
	p := pattern{kind: tokenPattern, text: s, tokens: tokens, question: strings.IndexByte(s, '?') >= 0}
	var parts [arnParts]string
	switch {
	case !l.arn:
		p.kind, p.chunks = chunksPattern, strings.Split(s, "*")
	case splitARN(s, &parts):
		p.kind, p.ops = partsPattern, compileOps(&parts)
	}
	return p, wrong
}

// compileVariables compiles what has variables, or the characters that are written as such.
func (l *lexer) compileVariables(s string) (pattern, string) {
	tokens, wrong := l.tokens(s)
	if wrong != "" {
		return pattern{}, wrong
	}
	n := 0
	for n < len(tokens) && tokens[n].kind == literalToken {
		n++
	}
	text := make([]byte, n)
	for i := range text {
		text[i] = tokens[i].b
	}
	if n == len(tokens) {
		return pattern{kind: exactPattern, text: string(text)}, ""
	}
	p := pattern{kind: tokenPattern, text: string(text), tokens: tokens, variables: l.variables}
	if p.alone = len(tokens) == 1 && tokens[0].kind == variableToken; p.alone {
		t := keyTable[p.variables[0].key].kind
		p.alone = t == StringKey || t == ARNKey
	}
	return p, ""
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

// withoutVariables returns the text of a pattern with an x for each variable.
func (p *pattern) withoutVariables(text string) string {
	if len(p.variables) == 0 {
		return text
	}
	b := make([]byte, len(p.tokens))
	for i, t := range p.tokens {
		switch t.kind {
		case literalToken:
			b[i] = t.b
		case starToken, starNoColon:
			b[i] = '*'
		case anyCharacter, anyButColon:
			b[i] = '?'
		default:
			b[i] = 'x'
		}
	}
	return string(b)
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
