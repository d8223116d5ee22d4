package authz

import (
	"cmp"
	"slices"
	"strings"
)

const (
	maxExplainSteps     = 8 * maxSteps // what an Explanation may cost
	maxTracedStatements = 1000
	maxTracedGrants     = 100
	conditionTraceSteps = 512      // what a condition pays for being shown
	maxTracedBytes      = 64 << 10 // of the values of all conditions
)

// A tracer fills in an Explanation. Each part of it is asked anew, with a budget of its own out of what is left.
type tracer struct {
	request
	*Explanation
	left   int
	traced int
	room   int // bytes of values that there is still room for
}

func newTracer(q *request, e *Explanation) *tracer {
	return &tracer{request: *q, Explanation: e, left: maxExplainSteps, room: maxTracedBytes}
}

// again makes the request as if nothing had been asked, unless the tracer has spent what it has.
func (t *tracer) again() bool {
	t.left -= maxSteps - max(t.target.budget, 0)
	t.target.budget = maxSteps
	if t.left <= 0 {
		t.target.budget, t.Truncated = 0, true
	}
	t.askedIdentity, t.askedLimits, t.limit = false, false, NoReason
	return t.left > 0
}

func (t *tracer) trace() {
	t.target.budget = maxSteps
	scps := t.levels(t.scps(), SCPLayer, ServiceControlPolicy)
	rcps := t.levels(t.rcps(), RCPLayer, ResourceControlPolicy)
	t.AllowedByOrganizations = scps && rcps
	if p := t.policy; p != nil {
		t.one(p, ResourceLayer, 0, t.policyKind(), 0)
	}
	t.list(t.caller.Identity, IdentityLayer, 0, IdentityPolicy, 0)
	t.AllowedByBoundary, t.AllowedBySession = true, true
	if p := t.caller.Boundary; p != nil {
		t.AllowedByBoundary = t.one(p, BoundaryLayer, 0, IdentityPolicy, 0) == Allowed
	}
	if t.caller.Session != nil {
		t.AllowedBySession = t.list(t.caller.Session, SessionLayer, 0, SessionPolicy, IdentityPolicy) == Allowed
	}
	t.grants()
	slices.SortFunc(t.Missing, func(a, b MissingKey) int {
		return cmp.Or(strings.Compare(foldName(a.Name), foldName(b.Name)), cmp.Compare(a.Layer, b.Layer))
	})
	t.Missing = slices.CompactFunc(t.Missing, func(a, b MissingKey) bool {
		return foldName(a.Name) == foldName(b.Name) && a.Layer == b.Layer
	})
	t.Nearest = t.nearest()
}

// levels traces the levels of an organization, and reports whether they leave it to others.
func (t *tracer) levels(levels [][]*Policy, layer Layer, kind PolicyKind) bool {
	ok := true
	for depth, list := range levels {
		ok = t.list(list, layer, depth, kind, 0) == Allowed && ok
	}
	return ok
}

// list traces policies of which one must allow, and none deny, and returns what they come to together.
func (t *tracer) list(list []*Policy, layer Layer, depth int, kind, or PolicyKind) Outcome {
	all := ImplicitDeny
	for _, p := range list {
		switch one := t.one(p, layer, depth, kind, or); {
		case one == ExplicitDeny || all == ExplicitDeny:
			all = ExplicitDeny
		case one == Allowed:
			all = Allowed
		}
	}
	return all
}

// one traces a policy and returns what it comes to.
func (t *tracer) one(p *Policy, layer Layer, depth int, kind, or PolicyKind) Outcome {
	trace := PolicyTrace{Layer: layer, Depth: depth, Policy: p, Outcome: ExplicitDeny}
	trace.Usable = ready([]*Policy{p}, kind, or)
	if trace.Usable {
		trace.Outcome = t.outcome(p, layer)
		for i := range p.stmts {
			t.statement(p, i, &trace)
		}
	}
	t.Policies = append(t.Policies, trace)
	return trace.Outcome
}

func (t *tracer) outcome(p *Policy, layer Layer) Outcome {
	t.again()
	var deny, allow int
	if layer == ResourceLayer {
		deny, _ = p.firstFor(&t.request)
		w := p.allowsFor(&t.request)
		allow, _ = w.closest()
	} else {
		deny, allow = p.first(Deny, &t.request), p.first(Allow, &t.request)
	}
	switch {
	case deny != 0:
		return ExplicitDeny
	case allow != 0 && !t.target.exhausted():
		return Allowed
	}
	return ImplicitDeny
}

// statement traces the statement if it is about the action, or fails on it alone.
func (t *tracer) statement(p *Policy, i int, trace *PolicyTrace) {
	if !t.again() {
		return
	}
	s := &p.stmts[i]
	one := StatementTrace{
		Statement: i + 1, Effect: s.effect, Principal: true,
		Action:   s.actions.has(t.action),
		Resource: s.covers(&t.request) || slices.Contains(p.byARN[t.target.arn], int32(i)),
	}
	if trace.Layer == ResourceLayer {
		one.Level = s.level(t.caller)
		one.Principal = one.Level != NoLevel
	}
	if !one.Action && !(one.Principal && one.Resource) {
		return
	}
	hold := s.conditionsHold(&t.request) && !t.target.exhausted()
	if one.Holds = one.Action && one.Principal && one.Resource && hold; !one.Action && !hold {
		return
	}
	if t.traced++; t.traced > maxTracedStatements {
		t.Truncated = true
		return
	}
	t.left -= len(s.conditions) * conditionTraceSteps
	var whole bool
	if one.Conditions, whole = t.conditionTrace(s, &t.room); !whole {
		t.Truncated = true
	}
	if one.Action && one.Principal && one.Resource {
		for _, c := range one.Conditions {
			if !c.Present {
				t.Missing = append(t.Missing, MissingKey{trace.Layer, c.Key})
			}
		}
	}
	trace.Statements = append(trace.Statements, one)
}

// grants traces the grants of the key for the caller, or the one that is to be retired.
func (t *tracer) grants() {
	if g := t.context.KeyGrant; t.action == KMSRetireGrant {
		if g != nil {
			t.retirement(g)
		}
		return
	}
	if t.resource.Kind != Key {
		return
	}
	c := t.caller
	switch c.Kind {
	case User:
		t.grantsFor(boundID{id: c.ID}, DirectLevel)
	case RoleSession:
		t.grantsFor(c.sessionID(), DirectLevel)
		t.grantsFor(boundID{id: c.ID}, RoleLevel)
	}
	t.grantsFor(boundID{id: c.Account}, AccountLevel)
}

func (t *tracer) grantsFor(id boundID, level Level) {
	for _, g := range t.shown(id, level) {
		if !id.is(g.Grantee.ID) || g.Grantee.Level != level {
			continue
		}
		if len(t.Grants) == maxTracedGrants || !t.again() {
			t.Truncated = true
			return
		}
		one := GrantTrace{
			Grant: g, Level: level, Operation: slices.Contains(g.Actions, t.action),
			Current: t.current(g), Constraint: t.constrained(g), Limits: t.levelHolds(level),
		}
		one.Holds = one.Operation && one.Current && one.Constraint && one.Limits
		t.Grants = append(t.Grants, one)
	}
}

// retirement traces the grant that is to be retired, for each way in which it names the caller.
func (t *tracer) retirement(g *KeyGrant) {
	add := func(level Level, operation, current bool) {
		t.again()
		one := GrantTrace{
			Grant: g, Level: level, Operation: operation, Current: current, Constraint: true, Limits: t.levelHolds(level),
		}
		one.Holds = one.Operation && one.Current && one.Limits
		t.Grants = append(t.Grants, one)
	}
	if level := g.Retiring.level(t.caller); level != NoLevel {
		add(level, true, t.current(g))
	}
	if level := g.Grantee.level(t.caller); level != NoLevel {
		add(level, slices.Contains(g.Actions, KMSRetireGrant), t.current(g))
	}
	if g.Issuer == t.caller.Account {
		add(AccountLevel, true, true)
	}
}

// nearest finds the Allow that fails on one element only, in the layer that lacks one. A condition is more easily met
// than a resource, and that than a principal or an action.
func (t *tracer) nearest() *NearestMiss {
	layer := t.Decision.Reason.layer()
	if t.Decision.Verdict == Allow || t.Decision.Reason.Explicit() || layer == NoLayer {
		return nil
	}
	var best *NearestMiss
	rank := 0
	for i := range t.Policies {
		p := &t.Policies[i]
		if p.Layer != layer || !p.Usable {
			continue
		}
		for j := range p.Statements {
			s := &p.Statements[j]
			if m, r := s.miss(p); m != nil && r > rank {
				best, rank = m, r
			}
		}
	}
	return best
}

// miss returns the one element on which an Allow fails, and how easily it is met, or nil.
func (s *StatementTrace) miss(p *PolicyTrace) (*NearestMiss, int) {
	if s.Effect != Allow || s.Holds {
		return nil, 0
	}
	v := p.Policy.View(s.Statement)
	m := &NearestMiss{Layer: p.Layer, Policy: p.Policy, Statement: s.Statement}
	failed, rank := 0, 0
	fails := func(r int, element string, values []string) {
		failed++
		m.Element, m.Needed, rank = element, strings.Join(values, ", "), r
	}
	for i, c := range s.Conditions {
		if !c.Holds {
			fails(4, "Condition."+c.Operator+"."+c.Key, v.Conditions[i].Values)
		}
	}
	if !s.Resource {
		fails(3, negated(v.NotResource, "Resource"), v.Resources)
	}
	if !s.Principal {
		fails(2, negated(v.NotPrincipal, "Principal"), v.Principals)
	}
	if !s.Action {
		fails(1, negated(v.NotAction, "Action"), v.ActionPatterns)
	}
	if failed != 1 {
		return nil, 0
	}
	return m, rank
}

func negated(is bool, element string) string {
	if is {
		return "Not" + element
	}
	return element
}
