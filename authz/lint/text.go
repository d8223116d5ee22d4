package lint

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kmsd/kmsd/authz"
)

const maxQuoted = 64

// quote returns at most 64 bytes of s, in quotes and in printable ASCII.
func quote(s string) string {
	if len(s) <= maxQuoted {
		return strconv.QuoteToASCII(s)
	}
	end := maxQuoted
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return strconv.QuoteToASCII(s[:end]) + "..."
}

// some names at most four actions.
func some(list []authz.Action) string {
	const few = 4
	var names []string
	for _, a := range list[:min(len(list), few)] {
		names = append(names, a.String())
	}
	if len(list) > few {
		names = append(names, strconv.Itoa(len(list)-few)+" others")
	}
	if len(names) == 1 {
		return names[0]
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// nearestAction returns the action that may have been meant, or "".
func nearestAction(s string) string {
	if len(s) > maxQuoted {
		return ""
	}
	s = strings.ToLower(s)
	best, least := "", min(4, len(s)/3)
	for a := range authz.Actions() {
		if d := editDistance(s, strings.ToLower(a.String())); d < least {
			best, least = a.String(), d
		}
	}
	return best
}

// editDistance is the number of bytes to insert, remove or replace.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// covers reports whether a pattern matches everything that another one does: whether it matches the other's text, of which only
// a "*" matches a "*". It may miss some that do. colons says that "*" may cross colons; where it may not, the patterns are taken part by
// part. It reports false when the steps are spent.
func (l *linter) covers(pattern, other string, colons bool) bool {
	if !colons {
		p, o := strings.SplitN(pattern, ":", 6), strings.SplitN(other, ":", 6)
		if len(p) != len(o) {
			return pattern == "*"
		}
		for i := range p {
			if !l.covers(p[i], o[i], true) {
				return false
			}
		}
		return true
	}
	i, j, star, from := 0, 0, -1, 0
	for i < len(other) {
		if l.steps--; l.steps < 0 {
			return false
		}
		switch {
		case j < len(pattern) && pattern[j] == '*':
			star, from = j, i
			j++
		case j < len(pattern) && (pattern[j] == other[i] || pattern[j] == '?' && other[i] != '*' && other[i] < utf8.RuneSelf):
			i++
			j++
		case star >= 0:
			from++
			i, j = from, star+1
		default:
			return false
		}
	}
	return strings.Trim(pattern[j:], "*") == ""
}

// meet reports whether there may be a text that both patterns match.
func (l *linter) meet(a, b string) bool {
	reached := make([]bool, len(b)+1) // :: how much of b is matched with what is matched of a
	reached[0] = true
	spread(reached, b)
	for i := range len(a) {
		if l.steps -= len(b) + 1; l.steps < 0 {
			return true
		}
		next := make([]bool, len(b)+1)
		for j := range reached {
			if !reached[j] {
				continue
			}
			if a[i] == '*' {
				for k := j; k <= len(b); k++ {
					next[k] = true
				}
				break
			}
			if j < len(b) && b[j] == '*' {
				next[j] = true
			} else if j < len(b) && (a[i] == b[j] || a[i] == '?' || b[j] == '?') {
				next[j+1] = true
			}
		}
		spread(next, b)
		reached = next
	}
	return reached[len(b)]
}

// spread adds what is reached by a "*" that matches nothing.
func spread(reached []bool, b string) {
	for j := range len(b) {
		if reached[j] && b[j] == '*' {
			reached[j+1] = true
		}
	}
}

// fixed returns a value with a "*" for each policy variable, if the version of the language has any.
func (l *linter) fixed(s string) string {
	if l.policy.Version() != "2012-10-17" {
		return s
	}
	for {
		from := strings.Index(s, "${")
		if from < 0 {
			return s
		}
		to := strings.IndexByte(s[from:], '}')
		if to < 0 {
			return s
		}
		s = s[:from] + "*" + s[from+to+1:]
	}
}
