package authz

// A request is one question while it is decided. It stays on the stack.
type request struct {
	caller   *Caller
	action   Action
	resource *Resource
	context  *Context // never nil
	policy   *Policy  // of the resource, if it is asked
	cross    bool
	target   target

	// What the caller's own policies say, asked at most once: the first statement that allows, and NoReason, or what
	// the limits lack.
	askedIdentity, askedLimits bool
	allowedBy                  *Policy
	allowedByStatement         int
	limit                      Reason
}

// nothing is the Context of a request that says nothing. It is never written.
var nothing Context

// Authorize decides whether the caller may perform the action on the resource. The Grant permits exactly that if
// the Verdict is Allow, and nothing otherwise. An API call that needs several permissions asks once for each.
//
// x may be nil, as if the request said nothing.
//
// It takes bounded time, allocates nothing, and may be called by many goroutines at once. A nil caller or resource
// is denied.
func Authorize(c *Caller, a Action, r *Resource, x *Context) (Grant, Decision) {
	q, reason := newRequest(c, a, r, x)
	if reason != NoReason {
		return Grant{}, Decision{Reason: reason}
	}
	d := q.answer()
	if d.Verdict != Allow {
		return Grant{}, d
	}
	arn := "*"
	if r.Kind != None {
		arn = r.ARN
	}
	return Grant{action: a, arn: arn, account: c.Account, id: c.ID}, d
}

// newRequest turns away requests that are wrong in themselves. A key action without a Key would be decided by
// identity policies alone, so that the key policy would be passed by.
func newRequest(c *Caller, a Action, r *Resource, x *Context) (request, Reason) {
	if c == nil || r == nil || !a.known() {
		return request{}, InvalidRequest
	}
	if !c.complete() {
		return request{}, Unauthenticated
	}
	if r.Kind > OrganizationEntity || actionTable[a].kinds&(1<<r.Kind) == 0 {
		return request{}, InvalidRequest
	}
	if r.Kind != None && (r.Account == "" || r.ARN == "") || r.Kind != Key && r.Kind != Role && r.Policy != nil {
		return request{}, InvalidRequest
	}
	q := request{caller: c, action: a, resource: r, context: x, policy: r.Policy, target: newTarget("")}
	if x == nil {
		q.context = &nothing
	}
	if r.Kind != None {
		q.target.arn = r.ARN
		q.cross = c.Account != r.Account && c.Kind != WebIdentity
	}
	if a == KMSRetireGrant {
		q.policy = nil // the grant decides
	}
	return q, NoReason
}

// complete reports whether the caller has what its kind is known by.
func (c *Caller) complete() bool {
	switch c.Kind {
	case Root, User:
		return c.Account != "" && c.ID != ""
	case RoleSession:
		return c.Account != "" && c.ID != "" && c.ARN != "" && c.RoleARN != ""
	case WebIdentity:
		return c.Account == "" && c.ID != "" && c.ARN != ""
	}
	return false
}

// answer decides, and denies what took too long. A Deny that was found in time stays one.
func (q *request) answer() Decision {
	d := q.decide()
	if q.target.exhausted() && !d.Reason.Explicit() {
		return Decision{Reason: TooComplex}
	}
	return d
}

// decide answers in the order of the text: what forbids, then what must permit, then what allows.
func (q *request) decide() Decision {
	switch {
	case q.action == STSGetCallerIdentity && q.caller.Kind != WebIdentity:
		return Decision{Verdict: Allow, Reason: AlwaysAllowed}
	case q.cross && !q.action.CrossAccount():
		return Decision{Reason: NotCrossAccount}
	}
	if d := q.unusable(); d.Reason != NoReason {
		return d
	}
	if d := q.denied(); d.Reason != NoReason {
		return d
	}
	if d := q.guarded(); d.Reason != NoReason {
		return d
	}
	return q.allowed()
}

// allowed decides what nothing forbids.
func (q *request) allowed() Decision {
	trusting := q.resource.Kind == Key || q.resource.Kind == Role
	exists := q.resource.Policy != nil
	switch {
	case q.caller.Kind == WebIdentity:
		return q.byWebIdentity()
	case q.action == STSAssumeRole && q.caller.Kind == Root:
		return Decision{Reason: RootCannotAssumeRole}
	case q.action == KMSRetireGrant && (exists || q.context.KeyGrant != nil):
		return q.retires()
	case trusting && exists:
		return q.byTrust()
	case q.cross:
		return Decision{Reason: NoResourceAllow, Layer: ResourceLayer}
	}
	return q.byIdentity(ByIdentity, ByRoot)
}

// byWebIdentity decides about one who is of no account: it may assume a role whose trust policy names its provider, and
// nothing else.
func (q *request) byWebIdentity() Decision {
	p := q.policy
	if p != nil && q.resource.Kind == Role && (q.action == STSAssumeRoleWithWebIdentity || q.action == STSTagSession) {
		w := p.allowsFor(q)
		if n, level := w.closest(); n != 0 {
			return Decision{
				Verdict: Allow, Reason: ByResourcePolicy, Layer: ResourceLayer, Level: level, Policy: p.name, Statement: n,
			}
		}
	}
	return Decision{Reason: NoResourceAllow, Layer: ResourceLayer}
}

// unusable finds a policy that applies and must not be evaluated.
func (q *request) unusable() Decision {
	for _, level := range q.scps() {
		if d := firstUnusable(level, SCPLayer, ServiceControlPolicy, 0); d.Reason != NoReason {
			return d
		}
	}
	for _, level := range q.rcps() {
		if d := firstUnusable(level, RCPLayer, ResourceControlPolicy, 0); d.Reason != NoReason {
			return d
		}
	}
	if d := firstUnusable(q.caller.Identity, IdentityLayer, IdentityPolicy, 0); d.Reason != NoReason {
		return d
	}
	if p := q.caller.Boundary; p != nil && p.ready != IdentityPolicy {
		return Decision{Reason: PolicyUnusable, Layer: BoundaryLayer, Policy: p.name}
	}
	if d := firstUnusable(q.caller.Session, SessionLayer, SessionPolicy, IdentityPolicy); d.Reason != NoReason {
		return d
	}
	if p := q.policy; p != nil && p.ready != q.policyKind() {
		return q.byResource(Decision{Reason: PolicyUnusable, Policy: p.name})
	}
	return Decision{}
}

// policyKind is what the resource's policy must be.
func (q *request) policyKind() PolicyKind {
	if q.resource.Kind == Role {
		return TrustPolicy
	}
	return KeyPolicy
}

// firstUnusable finds the first policy that is of neither kind or must not be evaluated.
func firstUnusable(list []*Policy, layer Layer, kind, or PolicyKind) Decision {
	for _, p := range list {
		switch {
		case p == nil:
			return Decision{Reason: PolicyUnusable, Layer: layer}
		case p.ready != kind && (p.ready != or || or == 0):
			return Decision{Reason: PolicyUnusable, Layer: layer, Policy: p.name}
		}
	}
	return Decision{}
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
func (q *request) denied() Decision {
	for _, level := range q.scps() {
		if p, n := q.first(Deny, level); n != 0 {
			return Decision{Reason: ExplicitSCP, Layer: SCPLayer, Policy: p.name, Statement: n}
		}
	}
	for _, level := range q.rcps() {
		if p, n := q.first(Deny, level); n != 0 {
			return Decision{Reason: ExplicitRCP, Layer: RCPLayer, Policy: p.name, Statement: n}
		}
	}
	if p := q.policy; p != nil {
		if n, l := p.firstFor(q); n != 0 {
			return q.byResource(Decision{Reason: ExplicitResource, Level: l, Policy: p.name, Statement: n})
		}
	}
	if p, n := q.first(Deny, q.caller.Identity); n != 0 {
		return Decision{Reason: ExplicitIdentity, Layer: IdentityLayer, Policy: p.name, Statement: n}
	}
	if p := q.caller.Boundary; p != nil {
		if n := p.first(Deny, q); n != 0 {
			return Decision{Reason: ExplicitBoundary, Layer: BoundaryLayer, Policy: p.name, Statement: n}
		}
	}
	if p, n := q.first(Deny, q.caller.Session); n != 0 {
		return Decision{Reason: ExplicitSession, Layer: SessionLayer, Policy: p.name, Statement: n}
	}
	return Decision{}
}

// guarded finds a level of an organization at which no policy allows it.
func (q *request) guarded() Decision {
	for _, level := range q.rcps() {
		if _, n := q.first(Allow, level); n == 0 {
			return Decision{Reason: NoRCPAllow, Layer: RCPLayer}
		}
	}
	for _, level := range q.scps() {
		if _, n := q.first(Allow, level); n == 0 {
			return Decision{Reason: NoSCPAllow, Layer: SCPLayer}
		}
	}
	return Decision{}
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

// byTrust decides about a key or a role that exists, once nothing forbids it.
func (q *request) byTrust() Decision {
	p := q.policy
	w := p.allowsFor(q)
	n, level := w.closest()
	limit := NoReason
	if level == RoleLevel && !q.cross {
		limit = q.limits()
	}
	var d Decision
	switch {
	case !q.cross && (level == DirectLevel || level == RoleLevel && limit == NoReason):
		return Decision{
			Verdict: Allow, Reason: ByResourcePolicy, Layer: ResourceLayer, Level: level, Policy: p.name, Statement: n,
		}
	case !q.cross && level == RoleLevel:
		d = q.limited()
		d.Level = level
	case level != NoLevel:
		d = q.byBoth(n, level)
	case q.resource.Kind == Key && !q.cross && !p.Delegates(q.caller.Account, q.action):
		d = Decision{Reason: KeyPolicyDoesNotDelegate}
	default:
		d = Decision{Reason: NoResourceAllow}
	}
	if d.Verdict == Allow {
		return d
	}
	if g, level := q.grant(); g != nil {
		return Decision{Verdict: Allow, Reason: ByGrant, Layer: GrantLayer, Level: level, GrantID: g.ID}
	}
	if level == NoLevel || level == RoleLevel {
		return q.byResource(d)
	}
	return d
}

// byBoth lets the caller's own policies decide where statement n of the resource's policy alone is not enough.
func (q *request) byBoth(n int, level Level) Decision {
	reason := IdentityViaAccount
	if q.cross {
		reason = ByBothAccounts
	}
	d := q.byIdentity(reason, reason)
	d.Level = level
	if d.Verdict == Allow && d.Statement == 0 { // a root user: the resource policy's statement is the only one
		d.Policy, d.Statement = q.policy.name, n
	}
	return d
}

// byIdentity lets the caller's own policies decide, within its limits. The reason is the first one if a statement
// allows, the second if the caller is a root user.
func (q *request) byIdentity(byStatement, byRoot Reason) Decision {
	if !q.identity() {
		return Decision{Reason: NoIdentityAllow, Layer: IdentityLayer}
	}
	if q.limits() != NoReason {
		return q.limited()
	}
	d := Decision{Verdict: Allow, Reason: byRoot, Layer: IdentityLayer}
	if q.caller.Kind != Root {
		d.Reason, d.Policy, d.Statement = byStatement, q.allowedBy.name, q.allowedByStatement
	}
	return d
}

// identity reports whether the caller's policies allow it, or it is a root user.
func (q *request) identity() bool {
	if q.caller.Kind == Root {
		return true
	}
	if !q.askedIdentity {
		q.allowedBy, q.allowedByStatement = q.first(Allow, q.caller.Identity)
		q.askedIdentity = true
	}
	return q.allowedByStatement != 0
}

// limits returns NoReason if the caller's permissions boundary and session policies leave it to others, and else why not.
func (q *request) limits() Reason {
	if q.askedLimits {
		return q.limit
	}
	q.askedLimits = true
	if p := q.caller.Boundary; p != nil && p.first(Allow, q) == 0 {
		q.limit = NoBoundaryAllow
		return q.limit
	}
	if q.caller.Session != nil {
		if _, n := q.first(Allow, q.caller.Session); n == 0 {
			q.limit = NoSessionAllow
		}
	}
	return q.limit
}

// limited is the denial for the reason that limits has returned.
func (q *request) limited() Decision {
	d := Decision{Reason: q.limit, Layer: q.limit.layer()}
	if q.limit == NoBoundaryAllow {
		d.Policy = q.caller.Boundary.name
	}
	return d
}

// byResource completes a denial that tells something about the resource's policy: what the answer would be if the
// resource did not exist, which [Message] gives instead to who would be denied then.
func (q *request) byResource(d Decision) Decision {
	if d.Layer == NoLayer {
		d.Layer = ResourceLayer
	}
	if q.cross || q.caller.Kind == WebIdentity {
		return d
	}
	policy := q.policy
	q.policy = nil
	absent := q.denied()
	if absent.Reason == NoReason {
		absent = q.guarded()
	}
	if absent.Reason == NoReason {
		absent = q.byIdentity(ByIdentity, ByRoot)
	}
	q.policy = policy
	switch {
	case q.target.exhausted():
		d.Identity, d.absent = ImplicitDeny, NoIdentityAllow
	case absent.Verdict == Allow:
		d.Identity = Allowed
	case absent.Reason.Explicit():
		d.Identity, d.absent = ExplicitDeny, absent.Reason
	default:
		d.Identity, d.absent = ImplicitDeny, absent.Reason
	}
	return d
}
