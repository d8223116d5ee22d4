package diff

import (
	"strings"

	"github.com/kmsd/kmsd/authz"
)

// allows reports whether a version allows a request, with nothing else that could, or with what t says.
func (s *search) allows(v *version, d *draft, t Through) bool {
	s.spend(2 * stepsOfDecision)
	c, r, x := d.request()
	r.Policy = s.delegating(d)
	switch s.kind {
	case authz.IdentityPolicy:
		c.Identity = []*authz.Policy{v.policy}
		if t == Undenied {
			c.Identity = append(c.Identity, s.allowAll[0])
		}
	case authz.SessionPolicy:
		c.Identity, c.Session = s.allowAll, []*authz.Policy{v.policy}
		if t == Undenied {
			c.Session = append(c.Session, s.allowAll[0])
		}
	case authz.ServiceControlPolicy:
		level := []*authz.Policy{v.policy}
		if t == Undenied {
			level = append(level, s.full(authz.FullAWSAccess))
		}
		c.Identity, c.Membership = s.allowAll, bound(c.Membership, [][]*authz.Policy{level}, nil)
	case authz.ResourceControlPolicy:
		level := []*authz.Policy{v.policy, s.full(authz.RCPFullAWSAccess)}
		c.Identity, r.Membership = s.allowAll, bound(r.Membership, nil, [][]*authz.Policy{level})
	default:
		r.Policy = v.policy
		switch t {
		case WithIdentity:
			c.Identity = s.allowAll
		case PastLimits:
			c.Boundary = s.narrow()
		case Undenied:
			c.Identity, r.Policy = s.allowAll, v.composed
		}
		if r.Policy == nil {
			return false
		}
	}
	_, decision := authz.Authorize(&c, d.action, &r, &x)
	return decision.Verdict == authz.Allow
}

// bound is a place in an organization with control policies.
func bound(m *authz.Membership, scps, rcps [][]*authz.Policy) *authz.Membership {
	next := *m
	next.SCPs, next.RCPs = scps, rcps
	return &next
}

// full compiles a control policy that permits everything, once.
func (s *search) full(doc string) *authz.Policy {
	p, ok := s.kept[doc]
	if !ok {
		var err error
		if p, err = authz.Parse(s.kind, []byte(doc)); err != nil {
			panic("diff: a built-in policy does not parse: " + err.Error())
		}
		s.kept[doc] = p
	}
	return p
}

// narrow is a permissions boundary that allows next to nothing.
func (s *search) narrow() *authz.Policy {
	p, ok := s.kept["boundary"]
	if !ok {
		p = mustParse(authz.IdentityPolicy, document{language, []documentStatement{
			{Effect: "Allow", Action: []string{"sts:GetCallerIdentity"}, Resource: []string{"*"}},
		}})
		s.kept["boundary"] = p
	}
	return p
}

// implications returns clauses that say which atoms follow from which, as far as one sees that from how they are written.
func (s *search) implications(atoms []int) [][]lit {
	var list [][]lit
	for _, i := range atoms {
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
	if a.operator != b.operator || a.key != b.key || a.negated != b.negated || a.variables || b.variables {
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
		if !s.among(v, b) {
			return false
		}
	}
	return true
}

// among reports whether a value is one of those of an atom.
func (s *search) among(v string, b *atom) bool {
	for _, w := range b.values {
		s.spend(1)
		if v == w || b.uses[0].compare == "StringLike" && covers(w, v) {
			return true
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
