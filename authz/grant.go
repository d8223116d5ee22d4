package authz

import "slices"

// What a decision pays for looking at a grant, at a group of grants, and for looking for a pair, in the steps of maxSteps.
const (
	grantSteps = 8
	groupSteps = 2
	pairSteps  = 32
)

// grant returns a grant of the key that allows the request, and the level at which it names the caller, or nil. Who is
// of another account needs no permission of its own besides.
func (q *request) grant() (*KeyGrant, Level) {
	if q.resource.Kind != Key || q.resource.Grants.Len() == 0 {
		return nil, NoLevel
	}
	c := q.caller
	switch c.Kind {
	case User:
		if g := q.grantFor(boundID{id: c.ID}, DirectLevel); g != nil {
			return g, DirectLevel
		}
	case RoleSession:
		if g := q.grantFor(c.sessionID(), DirectLevel); g != nil {
			return g, DirectLevel
		}
		if g := q.grantFor(boundID{id: c.ID}, RoleLevel); g != nil && q.levelHolds(RoleLevel) {
			return g, RoleLevel
		}
	}
	if g := q.grantFor(boundID{id: c.Account}, AccountLevel); g != nil && q.levelHolds(AccountLevel) {
		return g, AccountLevel
	}
	return nil, NoLevel
}

// grantFor returns a grant for a grantee that allows the request, whatever else its level needs. Which of several is not
// said.
func (q *request) grantFor(id boundID, level Level) *KeyGrant {
	list, x := q.resource.Grants.candidates(id, level)
	for _, g := range list {
		if q.target.budget -= grantSteps; q.target.exhausted() {
			return nil
		}
		if q.lasts(g) && q.allows(g, id, level) {
			return g
		}
	}
	var found *KeyGrant
	if x != nil {
		q.search(x, func(p pile) bool {
			found = q.inPile(p, id, level)
			return found == nil && !q.target.exhausted()
		})
	}
	return found
}

// candidates returns grants among which are all those for the grantee: a list, or an index, or neither.
func (s *KeyGrants) candidates(id boundID, level Level) ([]*KeyGrant, *constraintIndex) {
	switch {
	case s == nil || s.levels[level] == 0:
		return nil, nil
	case s.count <= fewGrants:
		return s.few, nil
	}
	if h, ok := s.many.load(id.hash()); ok {
		return h.few, h.index
	}
	return nil, nil
}

// search yields the piles of an index in which are all grants whose constraints the request is within, until yield has
// enough. It reports whether that did not happen.
func (q *request) search(x *constraintIndex, yield func(pile) bool) bool {
	exact, some := &q.context.EncryptionContext, &q.context.EncryptionContext
	switch q.action {
	case KMSDescribeKey, KMSRetireGrant:
		return yield(x.described)
	case KMSCreateGrant: // a parent constrains its children's constraints
		if q.context.KeyGrant == nil {
			return true
		}
		exact, some = q.context.KeyGrant.constraint()
	}
	if len(x.free) > 0 && !yield(x.free) {
		return false
	}
	if x.equals.root != nil && exact.Len() > 0 {
		q.target.budget -= pairSteps * exact.Len()
		if p, ok := x.equals.load(exact.hash()); ok && !yield(p) {
			return false
		}
	}
	return q.searchSubsets(x.subsets, some.list, yield)
}

// searchSubsets is search below a node to which pairs before those of the list have led.
func (q *request) searchSubsets(n *subsetNode, list []pair, yield func(pile) bool) bool {
	if n == nil {
		return true
	}
	if n.kids.root != nil { // first: what is here beside others may be so by chance
		for i := range list {
			if q.payFor(&list[i]); q.target.exhausted() {
				return false
			}
			if kid, ok := n.kids.load(list[i].hash()); ok && !q.searchSubsets(kid, list[i+1:], yield) {
				return false
			}
		}
	}
	return len(n.here) == 0 || yield(n.here)
}

// payFor takes what it costs to look for a pair.
func (q *request) payFor(p *pair) { q.target.budget -= pairSteps + (len(p.name)+len(p.value))/8 }

// inPile returns a grant of a pile that is for the grantee and allows the request.
func (q *request) inPile(p pile, id boundID, level Level) *KeyGrant {
	need := q.operations()
	for i := range p {
		e := &p[i]
		if q.target.budget -= groupSteps; e.operations&need != need || !q.lasts(e.first) {
			continue
		}
		if q.target.budget -= grantSteps; q.target.exhausted() {
			return nil
		}
		if q.allows(e.first, id, level) {
			return e.first
		}
		if e.rest.Len() == 0 {
			continue
		}
		for _, g := range e.rest.All() { // the first is in the pile by chance
			if q.target.budget -= grantSteps; q.target.exhausted() || !q.lasts(g) {
				break
			}
			if q.allows(g, id, level) {
				return g
			}
		}
	}
	return nil
}

// operations has the bits of the operations that a grant needs to allow the request.
func (q *request) operations() uint64 {
	set := operationBit(q.action)
	if q.action == KMSCreateGrant && q.context.KeyGrant != nil {
		set |= operationsOf(q.context.KeyGrant)
	}
	return set
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

// allows reports whether a grant that lasts is for the grantee and allows the request.
func (q *request) allows(g *KeyGrant, id boundID, level Level) bool {
	return id.is(g.Grantee.ID) && g.Grantee.Level == level && slices.Contains(g.Actions, q.action) && q.constrained(g)
}

// lasts reports whether the grant has not ended, and does not before one that it is to allow.
func (q *request) lasts(g *KeyGrant) bool {
	return q.current(g) && (q.action != KMSCreateGrant || q.context.KeyGrant.endsWithin(g))
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
	if child == nil || !child.endsWithin(parent) {
		return false
	}
	for _, a := range child.Actions {
		if !slices.Contains(parent.Actions, a) {
			return false
		}
	}
	exact, some := child.constraint()
	if parent.Equals.Len() > 0 && !parent.Equals.equal(exact) {
		return false
	}
	return parent.Subset.within(some)
}

// endsWithin reports whether child, which may be nil, ends no later than parent.
func (child *KeyGrant) endsWithin(parent *KeyGrant) bool {
	return child == nil || parent.Expires.IsZero() || !child.Expires.IsZero() && !child.Expires.After(parent.Expires)
}

// constraint returns the pairs that a request of the grant has exactly, if any, and those that it has at least.
func (child *KeyGrant) constraint() (exact, some *Pairs) {
	if child.Equals.Len() > 0 {
		return &child.Equals, &child.Equals
	}
	return &child.Equals, &child.Subset
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
		is = c.Kind == User && p.ID == c.ID || c.Kind == RoleSession && c.sessionID().is(p.ID)
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
