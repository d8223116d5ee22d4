package authz

// A request is one question while it is decided. It stays on the stack.
type request struct {
	caller   *Caller
	action   Action
	resource *Resource
	context  *Context
	cross    bool
	target   target
}

// Authorize decides whether the caller may perform the action on the resource. The Grant permits exactly that if
// the Verdict is Allow, and nothing otherwise. An API call that needs several permissions asks once for each.
//
// x may be nil, as if the request said nothing.
//
// It takes bounded time, allocates nothing, and may be called by many goroutines at once. A nil caller or resource
// is denied.
func Authorize(c *Caller, a Action, r *Resource, x *Context) (Grant, Decision) {
	if c == nil || r == nil || !a.known() {
		return Grant{}, Decision{Reason: InvalidRequest}
	}
	if c.Kind != User && c.Kind != Root || c.Account == "" || c.ID == "" {
		return Grant{}, Decision{Reason: Unauthenticated}
	}
	if d, refused := refuse(a, r); refused {
		return Grant{}, d
	}
	q := request{caller: c, action: a, resource: r, context: x}
	arn := "*"
	if r.Kind != None {
		arn = r.ARN
		q.cross = c.Account != r.Account
		q.target = newTarget(arn)
	} else {
		q.target.budget = maxSteps
	}
	d := q.decide()
	if q.target.exhausted() && d.Reason != ExplicitResource && d.Reason != ExplicitIdentity {
		d = Decision{Reason: TooComplex}
	}
	if d.Verdict != Allow {
		return Grant{}, d
	}
	return Grant{action: a, arn: arn, account: c.Account, id: c.ID}, d
}

// refuse turns away requests that are wrong in themselves. A key action without a Key would be decided by identity
// policies alone, so that the key policy would be passed by.
func refuse(a Action, r *Resource) (Decision, bool) {
	if r.Kind > OrganizationEntity || actionTable[a].kinds&(1<<r.Kind) == 0 {
		return Decision{Reason: InvalidRequest}, true
	}
	if r.Kind != None && (r.Account == "" || r.ARN == "") || r.Kind != Key && r.Policy != nil {
		return Decision{Reason: InvalidRequest}, true
	}
	return Decision{}, false
}

// decide answers in the order of the text: what forbids, then what allows.
func (q *request) decide() Decision {
	if q.action == STSGetCallerIdentity {
		return Decision{Verdict: Allow, Reason: AlwaysAllowed}
	}
	if q.cross && !q.action.CrossAccount() {
		return Decision{Reason: NotCrossAccount}
	}
	if d, unusable := q.unusable(); unusable {
		return d
	}
	if p := q.resource.Policy; p != nil {
		if n, l := p.firstFor(q); n != 0 {
			return Decision{
				Reason: ExplicitResource, Layer: ResourceLayer, Level: l, Identity: q.identityAlone(),
				Policy: p.name, Statement: n,
			}
		}
	}
	if p, n := q.identity(Deny); n != 0 {
		return Decision{Reason: ExplicitIdentity, Layer: IdentityLayer, Policy: p.name, Statement: n}
	}
	switch {
	case q.resource.Policy != nil:
		return q.byKeyPolicy()
	case q.cross:
		return Decision{Reason: NoResourceAllow, Layer: ResourceLayer}
	}
	return q.byIdentity(ByIdentity, ByRoot)
}

// unusable finds a policy that applies and must not be evaluated.
func (q *request) unusable() (Decision, bool) {
	for _, p := range q.caller.Identity {
		if p == nil {
			return Decision{Reason: PolicyUnusable, Layer: IdentityLayer}, true
		}
		if p.ready != IdentityPolicy {
			return Decision{Reason: PolicyUnusable, Layer: IdentityLayer, Policy: p.name}, true
		}
	}
	if p := q.resource.Policy; p != nil && p.ready != KeyPolicy {
		return Decision{Reason: PolicyUnusable, Layer: ResourceLayer, Identity: q.identityAlone(), Policy: p.name}, true
	}
	return Decision{}, false
}

// byKeyPolicy decides about a key that exists, once nothing forbids it.
func (q *request) byKeyPolicy() Decision {
	p := q.resource.Policy
	w := p.allowsFor(q)
	n, level := w.closest()
	switch {
	case !q.cross && (level == DirectLevel || level == RoleLevel):
		return Decision{
			Verdict: Allow, Reason: ByResourcePolicy, Layer: ResourceLayer, Level: level,
			Policy: p.name, Statement: n,
		}
	case level == NoLevel:
		d := Decision{Reason: NoResourceAllow, Layer: ResourceLayer, Identity: q.identityAlone()}
		if !q.cross && !p.Delegates(q.caller.Account, q.action) {
			d.Reason = KeyPolicyDoesNotDelegate
		}
		return d
	}
	reason := IdentityViaAccount
	if q.cross {
		reason = ByBothAccounts
	}
	d := q.byIdentity(reason, reason)
	d.Level = level
	if d.Verdict == Allow && d.Statement == 0 { // a root user: the key policy's statement is the only one
		d.Policy, d.Statement = p.name, n
	}
	return d
}

// byIdentity lets the caller's own policies decide. The reason is the first one if a statement allows, the second
// if the caller is a root user.
func (q *request) byIdentity(byStatement, byRoot Reason) Decision {
	if q.caller.Kind == Root {
		return Decision{Verdict: Allow, Reason: byRoot, Layer: IdentityLayer}
	}
	if p, n := q.identity(Allow); n != 0 {
		return Decision{Verdict: Allow, Reason: byStatement, Layer: IdentityLayer, Policy: p.name, Statement: n}
	}
	return Decision{Reason: NoIdentityAllow, Layer: IdentityLayer}
}

// identity returns the first statement of the effect in the caller's policies, or 0.
func (q *request) identity(effect Verdict) (*Policy, int) {
	for _, p := range q.caller.Identity {
		if n := p.first(effect, q); n != 0 {
			return p, n
		}
	}
	return nil, 0
}

// identityAlone says what the caller's policies would answer if the key did not exist.
func (q *request) identityAlone() Outcome {
	if _, n := q.identity(Deny); n != 0 {
		return ExplicitDeny
	}
	if q.caller.Kind == Root {
		return Allowed
	}
	if _, n := q.identity(Allow); n != 0 {
		return Allowed
	}
	return ImplicitDeny
}
