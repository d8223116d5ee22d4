package authz

// unusable finds a policy that applies and must not be evaluated.
func (q *request) unusable(d *Decision) bool {
	for _, level := range q.scps() {
		if !ready(level, ServiceControlPolicy, 0) {
			return d.unusable(level, SCPLayer, ServiceControlPolicy, 0)
		}
	}
	for _, level := range q.rcps() {
		if !ready(level, ResourceControlPolicy, 0) {
			return d.unusable(level, RCPLayer, ResourceControlPolicy, 0)
		}
	}
	c := q.caller
	switch p := q.policy; {
	case !ready(c.Identity, IdentityPolicy, 0):
		return d.unusable(c.Identity, IdentityLayer, IdentityPolicy, 0)
	case c.Boundary != nil && c.Boundary.ready != IdentityPolicy:
		return d.unusable([]*Policy{c.Boundary}, BoundaryLayer, IdentityPolicy, 0)
	case !ready(c.Session, SessionPolicy, IdentityPolicy):
		return d.unusable(c.Session, SessionLayer, SessionPolicy, IdentityPolicy)
	case p != nil && p.ready != q.policyKind():
		d.Reason, d.Policy = PolicyUnusable, p.name
		q.byResource(d)
		return true
	}
	return false
}

// ready reports whether all policies of a list may be evaluated, and are of one of two kinds; or may be 0.
func ready(list []*Policy, kind, or PolicyKind) bool {
	for _, p := range list {
		if p == nil || p.ready != kind && (p.ready != or || or == 0) {
			return false
		}
	}
	return true
}

// unusable makes d the denial for the first policy of a list that is not ready. It reports true.
func (d *Decision) unusable(list []*Policy, layer Layer, kind, or PolicyKind) bool {
	d.Reason, d.Layer = PolicyUnusable, layer
	for i, p := range list {
		if !ready(list[i:i+1], kind, or) {
			if p != nil {
				d.Policy = p.name
			}
			break
		}
	}
	return true
}

// policyKind is what the resource's policy must be.
func (q *request) policyKind() PolicyKind {
	if q.resource.Kind == Role {
		return TrustPolicy
	}
	return KeyPolicy
}

// scps are the service control policies that bind the caller, by level.
func (q *request) scps() [][]*Policy {
	if m := q.caller.Membership; m != nil && !m.Management && q.caller.Kind != WebIdentity {
		return m.SCPs
	}
	return nil
}

// rcps are the resource control policies that bind the resource for this action, by level.
func (q *request) rcps() [][]*Policy {
	if q.resource.Kind != Key && q.resource.Kind != Role || q.action == KMSRetireGrant {
		return nil
	}
	if m := q.resource.Membership; m != nil && !m.Management {
		return m.RCPs
	}
	return nil
}

// denied finds the first statement that forbids it.
func (q *request) denied(d *Decision) bool {
	for _, level := range q.scps() {
		if p, n := q.first(Deny, level); n != 0 {
			return d.forbid(ExplicitSCP, SCPLayer, p, n)
		}
	}
	for _, level := range q.rcps() {
		if p, n := q.first(Deny, level); n != 0 {
			return d.forbid(ExplicitRCP, RCPLayer, p, n)
		}
	}
	if p := q.policy; p != nil {
		if n, l := p.firstFor(q); n != 0 {
			d.forbid(ExplicitResource, ResourceLayer, p, n)
			d.Level = l
			q.byResource(d)
			return true
		}
	}
	if p, n := q.first(Deny, q.caller.Identity); n != 0 {
		return d.forbid(ExplicitIdentity, IdentityLayer, p, n)
	}
	if p := q.caller.Boundary; p != nil {
		if n := p.first(Deny, q); n != 0 {
			return d.forbid(ExplicitBoundary, BoundaryLayer, p, n)
		}
	}
	p, n := q.first(Deny, q.caller.Session)
	return d.forbid(ExplicitSession, SessionLayer, p, n)
}

// guarded finds a level of an organization at which no policy allows it.
func (q *request) guarded(d *Decision) bool {
	for _, level := range q.rcps() {
		if !q.permitted(level) {
			d.Reason, d.Layer = NoRCPAllow, RCPLayer
			return true
		}
	}
	for _, level := range q.scps() {
		if !q.permitted(level) {
			d.Reason, d.Layer = NoSCPAllow, SCPLayer
			return true
		}
	}
	return false
}

// first returns the first statement of the effect in a list of policies, or 0.
func (q *request) first(effect Verdict, list []*Policy) (*Policy, int) {
	for _, p := range list {
		if n := p.first(effect, q); n != 0 {
			return p, n
		}
	}
	return nil, 0
}

// permitted reports whether one of a list of policies allows the request.
func (q *request) permitted(list []*Policy) bool {
	for _, p := range list {
		if p.permits(q) {
			return true
		}
	}
	return false
}
