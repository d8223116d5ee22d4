package authz

import "net/netip"

// A condition is one key of one operator of a Condition element, compiled.
type condition struct {
	compare  comparison
	negated  bool
	set      setOperator
	ifExists bool
	multi    bool // the key may have several values
	truth    bool // of truthEqual and keyPresence
	order    ordering
	key      keyID
	member   string // of a family, folded
	cost     int
	at       int // where it is among those of the source

	// The values of the policy: those that are compared as they are in texts, or in many if they are many.
	texts    []string
	many     map[string]struct{}
	patterns []pattern
	numbers  []decimal
	dates    []int64
	networks []netip.Prefix
}

// manyTexts is from how many on texts are found by a hash.
const manyTexts = 9

// conditionsHold reports whether every condition of the statement holds for the request.
func (s *statement) conditionsHold(q *request) bool {
	for i := range s.conditions {
		if !s.conditions[i].holds(q, s.effect) {
			return false
		}
	}
	return true
}

// holds reports whether the condition holds, as part of a statement of the effect. A key of one value that the request
// has several times, in names that differ in case, must match each time in an Allow, and once in a Deny.
func (c *condition) holds(q *request, effect Verdict) bool {
	q.target.budget -= 4
	var v reading
	q.read(&v, c.key, c.member)
	switch {
	case c.compare == keyPresence:
		return (v.count == 0) == c.truth
	case v.count == 0 && c.set == forAllValues:
		return true
	case v.count == 0 && c.set == forAnyValue:
		return false
	case v.count == 0:
		return c.ifExists || c.negated
	case c.multi && c.set == noSet:
		return false
	}
	if v.count == 1 {
		return c.hit(q, &v, 0, effect) != c.negated
	}
	all := c.set == forAllValues
	if !c.multi {
		all = effect == Allow
	}
	for i := range v.count {
		if q.target.exhausted() {
			return false
		}
		if c.hit(q, &v, i, effect) == c.negated {
			if all {
				return false
			}
		} else if !all {
			return true
		}
	}
	return all
}

// hit reports whether value i of the request matches any value of the policy.
func (c *condition) hit(q *request, v *reading, i int, effect Verdict) bool {
	switch c.compare {
	case textEqual, bytesEqual, textFolded, textLike, arnLike:
		return c.textHit(q, v.at(i), effect)
	case truthEqual:
		return v.truth == c.truth
	case numberOrder:
		for j := range c.numbers {
			q.target.budget--
			if c.numbers[j].order(v.num)&c.order != 0 {
				return true
			}
		}
	case dateOrder:
		for _, d := range c.dates {
			q.target.budget--
			if compareDates(v.num, d)&c.order != 0 {
				return true
			}
		}
	case addressIn:
		for j := range c.networks {
			q.target.budget -= 6
			if c.networks[j].Contains(v.addr) {
				return true
			}
		}
	}
	return false
}

func compareDates(a, b int64) ordering {
	switch {
	case a < b:
		return less
	case a > b:
		return greater
	}
	return equal
}

// textHit reports whether a text matches any value of the policy. A value with a variable for which the request has
// several values counts against the caller.
func (c *condition) textHit(q *request, s string, effect Verdict) bool {
	if c.many != nil {
		q.target.budget -= 16 + len(s)/4
		if _, ok := c.many[s]; ok {
			return true
		}
	}
	for _, text := range c.texts {
		if q.target.budget--; len(text) != len(s) {
			continue
		}
		if q.target.exhausted() {
			return false
		}
		if q.target.budget -= len(s) / 16; text == s {
			return true
		}
		if c.compare == textFolded {
			if q.target.budget -= 2 * len(s); hasFoldedPrefix(s, text) {
				return true
			}
		}
	}
	for i := range c.patterns {
		if q.target.exhausted() {
			return false
		}
		p := &c.patterns[i]
		switch {
		case p.alone && c.compare != textFolded:
			if q.variableIs(&p.variables[0], s, (effect == Deny) != c.negated) {
				return true
			}
		case len(p.variables) > 0 && q.ambiguous(p.variables):
			if (effect == Deny) != c.negated {
				return true
			}
		case c.compare == textFolded:
			if q.foldedMatches(p, s) {
				return true
			}
		case q.textMatches(p, s):
			return true
		}
	}
	return false
}
