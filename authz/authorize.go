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
// It takes bounded time, allocates nothing but aws:userid of a role session where a policy asks for it, and may be
// called by many goroutines at once. A nil caller or resource is denied.
func Authorize(c *Caller, a Action, r *Resource, x *Context) (Grant, Decision) {
	var q request
	var d Decision
	if d.Reason = q.ask(c, a, r, x); d.Reason != NoReason {
		return Grant{}, d
	}
	q.answer(&d)
	if d.Verdict != Allow {
		return Grant{}, d
	}
	arn := "*"
	if r.Kind != None {
		arn = r.ARN
	}
	return Grant{action: a, arn: arn, account: c.Account, id: c.ID}, d
}

// ask fills in the zero request. It turns away requests that are wrong in themselves: a key action without a Key would
// be decided by identity policies alone, so that the key policy would be passed by.
func (q *request) ask(c *Caller, a Action, r *Resource, x *Context) Reason {
	if c == nil || r == nil || !a.known() {
		return InvalidRequest
	}
	if !c.complete() {
		return Unauthenticated
	}
	if r.Kind > OrganizationEntity || actionTable[a].kinds&(1<<r.Kind) == 0 {
		return InvalidRequest
	}
	if r.Kind != None && (r.Account == "" || r.ARN == "") || r.Kind != Key && r.Kind != Role && r.Policy != nil {
		return InvalidRequest
	}
	q.caller, q.action, q.resource, q.context, q.policy = c, a, r, x, r.Policy
	if x == nil {
		q.context = &nothing
	}
	q.target.budget = maxSteps
	if r.Kind != None {
		q.target.arn = r.ARN
		q.cross = c.Account != r.Account && c.Kind != WebIdentity
	}
	if a == KMSRetireGrant {
		q.policy = nil // the grant decides
	}
	return NoReason
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

// answer decides, and denies what took too long. A Deny that was found in time stays one. The Decision is zero before.
func (q *request) answer(d *Decision) {
	q.decide(d)
	if q.target.exhausted() && !d.Reason.Explicit() {
		*d = Decision{Reason: TooComplex}
	}
}

// decide answers in the order of the text: what forbids, then what must permit, then what allows.
func (q *request) decide(d *Decision) {
	switch {
	case (q.action == STSGetCallerIdentity || q.action == STSGetSessionToken) && q.caller.Kind != WebIdentity:
		d.Verdict, d.Reason = Allow, AlwaysAllowed
	case q.cross && !q.action.CrossAccount():
		d.Reason = NotCrossAccount
	case q.unusable(d), q.denied(d), q.guarded(d):
	default:
		q.allowed(d)
	}
}

// allowed decides what nothing forbids.
func (q *request) allowed(d *Decision) {
	trusting := q.resource.Kind == Key || q.resource.Kind == Role
	exists := q.resource.Policy != nil
	switch {
	case q.caller.Kind == WebIdentity:
		q.byWebIdentity(d)
	case q.action == STSAssumeRole && q.caller.Kind == Root:
		d.Reason = RootCannotAssumeRole
	case q.action == KMSRetireGrant && (exists || q.context.KeyGrant != nil):
		q.retires(d)
	case trusting && exists:
		q.byTrust(d)
	case q.cross:
		d.Reason, d.Layer = NoResourceAllow, ResourceLayer
	default:
		q.byIdentity(d, ByIdentity, ByRoot)
	}
}

// byWebIdentity decides about one who is of no account: it may assume a role whose trust policy names its provider, and
// nothing else.
func (q *request) byWebIdentity(d *Decision) {
	p := q.policy
	if p != nil && q.resource.Kind == Role && (q.action == STSAssumeRoleWithWebIdentity || q.action == STSTagSession) {
		w := p.allowsFor(q)
		if n, level := w.closest(); n != 0 {
			d.allow(ByResourcePolicy, ResourceLayer, p, n)
			d.Level = level
			return
		}
	}
	d.Reason, d.Layer = NoResourceAllow, ResourceLayer
}

// allow makes d a permission by a statement.
func (d *Decision) allow(r Reason, l Layer, p *Policy, n int) {
	d.Verdict, d.Reason, d.Layer, d.Policy, d.Statement = Allow, r, l, p.name, n
}

// forbid makes d a denial by a statement, if there is one, and reports whether there is.
func (d *Decision) forbid(r Reason, l Layer, p *Policy, n int) bool {
	if n != 0 {
		d.Reason, d.Layer, d.Policy, d.Statement = r, l, p.name, n
	}
	return n != 0
}

// byTrust decides about a key or a role that exists, once nothing forbids it.
func (q *request) byTrust(d *Decision) {
	p := q.policy
	w := p.allowsFor(q)
	n, level := w.closest()
	switch {
	case level == NoLevel:
	case !q.cross && (level == DirectLevel || level == RoleLevel && q.limits() == NoReason):
		d.allow(ByResourcePolicy, ResourceLayer, p, n)
		d.Level = level
		return
	case !q.cross && level == RoleLevel:
		q.limited(d)
	default:
		q.byBoth(d, n)
	}
	d.Level = level
	if d.Verdict == Allow {
		return
	}
	if g, level := q.grant(); g != nil {
		*d = Decision{Verdict: Allow, Reason: ByGrant, Layer: GrantLayer, Level: level, GrantID: g.ID}
		return
	}
	switch {
	case level == NoLevel && q.resource.Kind == Key && !q.cross && !p.Delegates(q.caller.Account, q.action):
		d.Reason = KeyPolicyDoesNotDelegate
	case level == NoLevel:
		d.Reason = NoResourceAllow
	}
	if level == NoLevel || level == RoleLevel {
		q.byResource(d)
	}
}

// byBoth lets the caller's own policies decide where statement n of the resource's policy alone is not enough.
func (q *request) byBoth(d *Decision, n int) {
	reason := IdentityViaAccount
	if q.cross {
		reason = ByBothAccounts
	}
	q.byIdentity(d, reason, reason)
	if d.Verdict == Allow && d.Statement == 0 { // a root user: the resource policy's statement is the only one
		d.Policy, d.Statement = q.policy.name, n
	}
}

// byIdentity lets the caller's own policies decide, within its limits. The reason is the first one if a statement
// allows, the second if the caller is a root user.
func (q *request) byIdentity(d *Decision, byStatement, byRoot Reason) {
	switch {
	case !q.identity():
		d.Reason, d.Layer = NoIdentityAllow, IdentityLayer
	case q.limits() != NoReason:
		q.limited(d)
	case q.caller.Kind == Root:
		d.Verdict, d.Reason, d.Layer = Allow, byRoot, IdentityLayer
	default:
		d.allow(byStatement, IdentityLayer, q.allowedBy, q.allowedByStatement)
	}
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
	if p := q.caller.Boundary; p != nil && !p.permits(q) {
		q.limit = NoBoundaryAllow
		return q.limit
	}
	if q.caller.Session != nil && !q.permitted(q.caller.Session) {
		q.limit = NoSessionAllow
	}
	return q.limit
}

// limited makes d the denial for the reason that limits has returned.
func (q *request) limited(d *Decision) {
	d.Reason, d.Layer = q.limit, q.limit.layer()
	if q.limit == NoBoundaryAllow {
		d.Policy = q.caller.Boundary.name
	}
}

// byResource completes a denial that tells something about the resource's policy: what the answer would be if the
// resource did not exist, which [Message] gives instead to who would be denied then.
func (q *request) byResource(d *Decision) {
	if d.Layer == NoLayer {
		d.Layer = ResourceLayer
	}
	if q.cross || q.caller.Kind == WebIdentity {
		return
	}
	policy := q.policy
	q.policy = nil
	var absent Decision
	if !q.denied(&absent) && !q.guarded(&absent) {
		q.byIdentity(&absent, ByIdentity, ByRoot)
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
}
