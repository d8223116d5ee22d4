package authz

import "strings"

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
