package authz

import "slices"

// grantSteps is what a decision pays for looking at a grant, in the steps of maxSteps.
const grantSteps = 8

// grant returns a grant of the key that allows the request, and the level at which it names the caller, or nil. Who is
// of another account needs no permission of its own besides.
func (q *request) grant() (*KeyGrant, Level) {
	if q.resource.Kind != Key || q.resource.Grants.Len() == 0 {
		return nil, NoLevel
	}
	c := q.caller
	switch c.Kind {
	case User:
		if g := q.grantFor(c.ID, DirectLevel); g != nil {
			return g, DirectLevel
		}
	case RoleSession:
		if g := q.grantFor(c.ARN, DirectLevel); g != nil {
			return g, DirectLevel
		}
		if g := q.grantFor(c.ID, RoleLevel); g != nil && q.levelHolds(RoleLevel) {
			return g, RoleLevel
		}
	}
	if g := q.grantFor(c.Account, AccountLevel); g != nil && q.levelHolds(AccountLevel) {
		return g, AccountLevel
	}
	return nil, NoLevel
}

// grantFor returns the first grant for a grantee that allows the request, whatever else its level needs.
func (q *request) grantFor(id string, level Level) *KeyGrant {
	for _, g := range q.resource.Grants.candidates(id, level) {
		if q.target.budget -= grantSteps; q.target.exhausted() {
			return nil
		}
		if g.Grantee.ID == id && g.Grantee.Level == level && q.granted(g) {
			return g
		}
	}
	return nil
}

// candidates returns grants among which are all those for the grantee.
func (s *KeyGrants) candidates(id string, level Level) []*KeyGrant {
	switch {
	case s == nil || s.levels[level] == 0:
		return nil
	case s.count <= fewGrants:
		return s.few
	}
	list, _ := s.many.Load(id)
	return list
}

// levelHolds reports whether what a grant or statement of a level needs besides is there.
func (q *request) levelHolds(level Level) bool {
	switch level {
	case DirectLevel:
		return true
	case RoleLevel:
		return q.limits() == NoReason
	case AccountLevel:
		return q.identity() && q.limits() == NoReason
	}
	return false
}

// granted reports whether a grant allows the request to its grantee.
func (q *request) granted(g *KeyGrant) bool {
	return slices.Contains(g.Actions, q.action) && q.current(g) && q.constrained(g)
}

// current reports whether the grant has not ended. One that ends has, for a request that has no time.
func (q *request) current(g *KeyGrant) bool {
	return g.Expires.IsZero() || !q.context.Time.IsZero() && q.context.Time.Before(g.Expires)
}

// constrained reports whether the request is within the grant's constraint.
func (q *request) constrained(g *KeyGrant) bool {
	switch q.action {
	case KMSDescribeKey, KMSRetireGrant:
		return true
	case KMSCreateGrant:
		return q.context.KeyGrant.within(g)
	}
	got := &q.context.EncryptionContext
	q.target.budget -= got.Len() / 2
	return (g.Equals.Len() == 0 || g.Equals.equal(got)) && g.Subset.within(got)
}

// within reports whether child may be made by who has no more than parent: it allows nothing more, no longer, and
// within a constraint at least as narrow.
func (child *KeyGrant) within(parent *KeyGrant) bool {
	if child == nil {
		return false
	}
	for _, a := range child.Actions {
		if !slices.Contains(parent.Actions, a) {
			return false
		}
	}
	if !parent.Expires.IsZero() && (child.Expires.IsZero() || child.Expires.After(parent.Expires)) {
		return false
	}
	if parent.Equals.Len() > 0 && !parent.Equals.equal(&child.Equals) {
		return false
	}
	narrower := &child.Subset
	if child.Equals.Len() > 0 {
		narrower = &child.Equals
	}
	return parent.Subset.within(narrower)
}

// equal reports whether both have the same pairs, case and all.
func (p *Pairs) equal(q *Pairs) bool {
	if len(p.list) != len(q.list) {
		return false
	}
	for i := range p.list {
		if p.list[i].name != q.list[i].name || p.list[i].value != q.list[i].value {
			return false
		}
	}
	return true
}

// within reports whether all pairs of p are among those of q. Both are in order.
func (p *Pairs) within(q *Pairs) bool {
	j := 0
	for i := range p.list {
		for j < len(q.list) && q.list[j].name != p.list[i].name {
			j++
		}
		if j == len(q.list) || q.list[j].value != p.list[i].value {
			return false
		}
		j++
	}
	return true
}

// retires decides about the retirement of a grant: its retiring principal may, its grantee if it has that operation, and
// who may by its own policies in the account that made it. A role is limited here as it is where it uses a grant (D14).
func (q *request) retires(d *Decision) {
	g, c := q.context.KeyGrant, q.caller
	if g != nil {
		for _, p := range [...]*Principal{&g.Retiring, &g.Grantee} {
			if p == &g.Grantee && !slices.Contains(g.Actions, KMSRetireGrant) {
				continue
			}
			if level := p.level(c); level != NoLevel && q.current(g) && q.levelHolds(level) {
				*d = Decision{Verdict: Allow, Reason: ByGrant, Layer: GrantLayer, Level: level, GrantID: g.ID}
				return
			}
		}
		if g.Issuer == c.Account && q.levelHolds(AccountLevel) {
			*d = Decision{Verdict: Allow, Reason: ByGrant, Layer: GrantLayer, Level: AccountLevel, GrantID: g.ID}
			return
		}
	}
	d.Reason, d.Layer = NoResourceAllow, GrantLayer
	q.byResource(d)
}

// level returns at which level a principal of a grant names the caller.
func (p *Principal) level(c *Caller) Level {
	var is bool
	switch p.Level {
	case DirectLevel:
		is = c.Kind == User && p.ID == c.ID || c.Kind == RoleSession && p.ID == c.ARN
	case RoleLevel:
		is = c.Kind == RoleSession && p.ID == c.ID
	case AccountLevel:
		is = p.ID == c.Account && c.Account != ""
	}
	if !is {
		return NoLevel
	}
	return p.Level
}
