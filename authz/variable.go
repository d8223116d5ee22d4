package authz

import "strings"

// A variable stands in a policy for a value of the request.
type variable struct {
	key         keyID
	member      string // of a family, folded
	fallback    string // if the key is absent
	hasFallback bool
}

// maxVariables bounds the variables of one value.
const maxVariables = 16

// hasVariable reports whether a value has anything that only a version with variables gives a meaning.
func hasVariable(s string) bool { return strings.Contains(s, "${") }

// A lexer cuts a value into tokens.
type lexer struct {
	wildcards bool // * and ? are wildcards
	arn       bool // * and ? do not cross colons before the fifth
	ends      bool // a * that ends a part of an ARN crosses them, as in Resource
	late      bool // variables may stand behind the fifth colon only
	fold      bool // letters are folded
	claims    bool // claims of web identities are keys
	meaning   bool // the version of the language has variables
	variables []variable
}

// tokens cuts s. The second result is what is wrong with it, "" if nothing.
func (l *lexer) tokens(s string) ([]token, string) {
	list := make([]token, 0, len(s))
	colons := 0
	for i := 0; i < len(s); i++ {
		crosses := !l.arn || colons >= arnParts-1
		switch b := s[i]; {
		case l.meaning && strings.HasPrefix(s[i:], "${"):
			if l.late && !crosses {
				return nil, "has a policy variable before its fifth colon; only what stands behind it may have one"
			}
			size, t, wrong := l.variable(s[i:], crosses)
			if wrong != "" {
				return nil, wrong
			}
			list = append(list, t)
			i += size - 1
		case b == '*' && l.wildcards:
			last := l.ends && (i+1 == len(s) || s[i+1] == ':')
			list = append(list, token{kind: pick(crosses || last, starToken, starNoColon)})
		case b == '?' && l.wildcards:
			list = append(list, token{kind: pick(crosses, anyCharacter, anyButColon)})
		default:
			if b == ':' {
				colons++
			}
			if l.fold {
				b = foldByte(s, i)
			}
			list = append(list, token{literalToken, b})
		}
	}
	return list, ""
}

func pick(first bool, a, b tokenKind) tokenKind {
	if first {
		return a
	}
	return b
}

// variable reads the variable that s begins with, and returns how long it is.
func (l *lexer) variable(s string, crosses bool) (int, token, string) {
	const form = `has a policy variable that is not written as ${key} or ${key, 'default'}`
	if len(s) >= 4 && s[3] == '}' && strings.IndexByte("*?$", s[2]) >= 0 {
		return 4, token{literalToken, s[2]}, ""
	}
	end := strings.IndexAny(s[2:], ",}")
	if end < 0 {
		return 0, token{}, form
	}
	name, size := s[2:2+end], 2+end+1
	var v variable
	if s[2+end] == ',' {
		text, ok := strings.CutPrefix(s[size:], " '")
		at := strings.IndexByte(text, '\'')
		if !ok || at < 0 || !strings.HasPrefix(text[at:], "'}") {
			return 0, token{}, form
		}
		v.fallback, v.hasFallback = text[:at], true
		size += len(" '") + at + len("'}")
	}
	if name == "" || strings.ContainsAny(name, " \t\r\n${") {
		return 0, token{}, form
	}
	var wrong string
	if v.key, v.member, wrong = parseKey(name, l.claims); wrong != "" {
		return 0, token{}, "has the policy variable " + quote(name) + ", which " + wrong
	}
	if keyTable[v.key].multi {
		return 0, token{}, "has the policy variable " + quote(name) + ", which may have several values; use one that has a single value"
	}
	if len(l.variables) == maxVariables {
		return 0, token{}, "has more than 16 policy variables"
	}
	l.variables = append(l.variables, v)
	return size, token{pick(crosses, variableToken, variableNoColon), byte(len(l.variables) - 1)}, ""
}

// ambiguous reports whether the request has several values for one of the variables, in names that differ in case.
func (q *request) ambiguous(list []variable) bool {
	for i := range list {
		if keyTable[list[i].key].family {
			var v reading
			q.read(&v, list[i].key, list[i].member)
			if v.count > 1 {
				return true
			}
		}
	}
	return false
}

// stepsOfVariable is what finding the value of a variable counts for.
const stepsOfVariable = 64

// variableIs reports whether s is what a variable that is text stands for; ambiguous is the answer where the request
// has several values for it.
func (q *request) variableIs(v *variable, s string, ambiguous bool) bool {
	q.target.budget -= stepsOfVariable/2 + len(s)/16
	var r reading
	q.read(&r, v.key, v.member)
	switch r.count {
	case 0:
		return v.hasFallback && s == v.fallback
	case 1:
		return s == r.at(0)
	}
	return ambiguous
}

// prefixIs reports whether s begins with what the variable stands for, and how long that is. Without a value
// and without a default it stands for nothing, with which no text begins.
func (v *variable) prefixIs(q *request, s string, fold bool) (int, bool) {
	q.target.budget -= stepsOfVariable
	var r reading
	q.read(&r, v.key, v.member)
	text, kind := v.fallback, keyTable[v.key].kind
	switch {
	case r.count == 0 && !v.hasFallback:
		return 0, false
	case r.count == 0:
	case kind == StringKey || kind == ARNKey:
		text = r.at(0)
	default:
		var buf [48]byte
		b := r.appendText(buf[:0], kind)
		if len(s) < len(b) || string(b) != s[:len(b)] && !(fold && foldedAs(s, b)) {
			return 0, false
		}
		return len(b), true
	}
	if fold {
		q.target.budget -= 2 * min(len(s), len(text))
		return len(text), hasFoldedPrefix(s, text)
	}
	q.target.budget -= min(len(s), len(text)) / 16
	return len(text), strings.HasPrefix(s, text)
}

// foldedAs reports whether s, which is not shorter, begins with the ASCII text b, without regard to case.
func foldedAs(s string, b []byte) bool {
	for i := range b {
		if lower(s[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}
