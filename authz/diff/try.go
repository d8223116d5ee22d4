package diff

import (
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
