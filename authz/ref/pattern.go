package ref

import "strings"

// A token is one element of a pattern.
type token struct {
	r      rune // of a literal
	star   bool
	one    bool
	colons bool // may stand for colons
}

// A wording says how a pattern is read.
type wording struct {
	wildcards bool // * and ? stand for others
	arn       bool // colons bound them, as section 3.2 has it for resources
	variables bool // ${…} stands for a value
	injection bool // what a variable stands for is read as a pattern
	literal   bool // a variable without a value stands for itself
	empty     bool // or for the empty text
	colon     bool // a star at the end of a part stops at the colon
	value     func(key string) (string, bool)
}

// tokens reads a pattern. The second result is false if a variable in it has no value.
func (w wording) tokens(pattern string) ([]token, bool) {
	rs := []rune(pattern)
	colons := 0
	var list []token
	for i := 0; i < len(rs); i++ {
		r := rs[i]
		free := !w.arn || colons >= 5
		switch {
		case w.variables && free && r == '$' && i+1 < len(rs) && rs[i+1] == '{':
			text, length, ok := w.variable(string(rs[i:]))
			if !ok && w.literal {
				text, ok = string(rs[i:i+length]), true
			}
			if !ok && w.empty {
				text, ok = "", true
			}
			if !ok {
				return nil, false
			}
			for _, v := range text {
				list = append(list, token{r: v, star: w.injection && v == '*', colons: true})
			}
			i += length - 1
		case w.wildcards && r == '*':
			last := i+1 == len(rs) || rs[i+1] == ':'
			list = append(list, token{star: true, colons: free || last && !w.colon})
		case w.wildcards && r == '?':
			list = append(list, token{one: true, colons: free})
		default:
			if r == ':' {
				colons++
			}
			list = append(list, token{r: r})
		}
	}
	return list, true
}

// variable reads the variable at the beginning of s, and returns what it stands for and how many characters it has.
func (w wording) variable(s string) (text string, length int, ok bool) {
	inner := s[len("${"):]
	key, _, _ := strings.Cut(inner, "}")
	length = len([]rune("${" + key + "}"))
	if name, after, has := strings.Cut(inner, ", '"); has && len(name) < len(key) {
		preset, _, _ := strings.Cut(after, "'}")
		length = len([]rune("${" + name + ", '" + preset + "'}"))
		if v, found := w.value(name); found {
			return v, length, true
		}
		return preset, length, true
	}
	if key == "*" || key == "?" || key == "$" {
		return key, length, true
	}
	v, found := w.value(key)
	return v, length, found
}

// Match reports whether a value of Resource without variables takes in an ARN.
func Match(pattern, arn string) bool {
	if pattern == "*" {
		return true
	}
	list, _ := wording{wildcards: true, arn: true}.tokens(pattern)
	return run(list, arn)
}

// glob matches a whole string, in which * and ? stand for anything.
func glob(pattern, s string) bool {
	list, _ := wording{wildcards: true}.tokens(pattern)
	return run(list, s)
}

// run keeps the set of all places in the pattern where a match could stand.
func run(list []token, s string) bool {
	at := make([]bool, len(list)+1)
	next := make([]bool, len(list)+1)
	at[0] = true
	pass := func(set []bool) { // a star may stand for nothing
		for i, t := range list {
			if set[i] && t.star {
				set[i+1] = true
			}
		}
	}
	pass(at)
	for _, r := range s {
		clear(next)
		alive := false
		for i, t := range list {
			switch {
			case !at[i]:
				continue
			case t.star && (t.colons || r != ':'):
				next[i], alive = true, true
			case t.one && (t.colons || r != ':'):
				next[i+1], alive = true, true
			case !t.star && !t.one && t.r == r:
				next[i+1], alive = true, true
			}
		}
		if !alive {
			return false
		}
		pass(next)
		at, next = next, at
	}
	return at[len(list)]
}

// splitARN cuts tokens at their first five colons. It answers false if that is no ARN.
func splitARN(list []token) ([][]token, bool) {
	var parts [][]token
	from := 0
	for i, t := range list {
		if t.r == ':' && !t.colons && len(parts) < 5 {
			parts = append(parts, list[from:i])
			from = i + 1
		}
	}
	parts = append(parts, list[from:])
	if len(parts) != 6 || !run(parts[0], "arn") {
		return nil, false
	}
	return parts, true
}

// arnLike matches part by part.
func arnLike(pattern []token, value string) bool {
	parts, ok := splitARN(pattern)
	of := strings.SplitN(value, ":", 6)
	if !ok || len(of) != 6 || of[0] != "arn" {
		return false
	}
	for i := range parts {
		if !run(parts[i], of[i]) {
			return false
		}
	}
	return true
}

// fold returns s in lower case, of the characters that a document may hold.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' || 'À' <= r && r <= 'Þ' && r != '×' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
