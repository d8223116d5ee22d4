package diff

import (
	"strings"

	"github.com/kmsd/kmsd/authz"
)

// implications returns clauses that say which atoms follow from which, as far as one sees that from how they are written.
func (s *search) implications(atoms []int, base *draft) [][]lit {
	var list [][]lit
	for _, i := range atoms {
		if a := &s.in.atoms[i]; a.operator == "" && !a.negated && !s.meets(a, base) {
			list = append(list, []lit{holds(i).not()})
		}
		for _, j := range atoms {
			s.spend(1)
			a, b := &s.in.atoms[i], &s.in.atoms[j]
			if i != j && s.implies(a, b) {
				list = append(list, []lit{holds(i).not(), holds(j)})
			}
			if i < j && a.operator == "" && b.operator == "" && a.negated != b.negated && equal(a, b) {
				list = append(list, []lit{holds(i), holds(j)}, []lit{holds(i).not(), holds(j).not()})
			}
		}
	}
	return list
}

func equal(a, b *atom) bool {
	return strings.Join(a.values, "\x00") == strings.Join(b.values, "\x00") && !a.variables && !b.variables
}

// implies reports whether b holds wherever a does: they compare alike, and what is compared with the one is among what is compared with the
// other.
func (s *search) implies(a, b *atom) bool {
	if a.operator != b.operator || a.key != b.key || a.negated != b.negated {
		return false
	}
	if a.operator != "" && a.uses[0].compare == "Null" || strings.HasPrefix(a.operator, "For") && a.negated {
		return false
	}
	if a.effect != b.effect && a.effect != authz.Allow { // of several values an Allow needs all, a Deny one
		return false
	}
	if a.negated {
		a, b = b, a
	}
	for _, v := range a.values {
		if !s.among(v, a, b) {
			return false
		}
	}
	return true
}

// among reports whether what value v of atom a matches is matched by a value of b.
func (s *search) among(v string, a, b *atom) bool {
	same := !strings.Contains(v, "${") || a.variables == b.variables
	open := v
	if a.variables {
		open = opened(v)
	}
	for _, w := range b.values {
		s.spend(1)
		plain := !b.variables || !strings.Contains(w, "${")
		switch {
		case v == w && same:
			return true
		case !plain:
		case b.uses[0].compare == "StringLike" && covers(w, open):
			return true
		case b.uses[0].compare == "Resource" && coversResource(w, open):
			return true
		}
	}
	return false
}

// opened returns a value with a star for each variable.
func opened(v string) string {
	for {
		from := strings.Index(v, "${")
		if from < 0 {
			return v
		}
		to := strings.IndexByte(v[from:], '}')
		if to < 0 {
			return v[:from] + "*"
		}
		v = v[:from] + "*" + v[from+to+1:]
	}
}

// coversResource is covers for values of Resource, part by part.
func coversResource(pattern, other string) bool {
	if pattern == "*" {
		return true
	}
	p, o := strings.SplitN(pattern, ":", 6), strings.SplitN(other, ":", 6)
	if len(p) != 6 || len(o) != 6 {
		return false
	}
	for i := range p {
		if !covers(p[i], o[i]) {
			return false
		}
	}
	return true
}

// meets reports whether a resource of the draft's kind may be among those of Resource.
func (s *search) meets(a *atom, base *draft) bool {
	if base.kind == authz.None {
		return false // where Resource has no "*", which is no atom
	}
	c := choice{s: s, dim: "resource", base: base}
	for _, v := range a.values {
		if a.variables {
			v = opened(v)
		}
		for _, form := range c.forms(c.crosses()) {
			if list, complete := s.texts(nil, []glob{form, newGlob(v, resourceGlob)}); len(list) > 0 || !complete {
				return true
			}
		}
	}
	return false
}

// covers reports whether a glob matches the text of another one, of which only a star matches a star.
func covers(pattern, other string) bool {
	i, j, star, from := 0, 0, -1, 0
	for i < len(other) {
		switch {
		case j < len(pattern) && pattern[j] == '*':
			star, from = j, i
			j++
		case j < len(pattern) && pattern[j] == other[i]:
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
