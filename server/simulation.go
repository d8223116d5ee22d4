package server

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/authz"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// A simulation is what requests are tried with.
type simulation struct {
	call     *call
	request  simulated
	caller   *authz.Caller
	document string            // the policy of the resources, if the request gives one
	levels   [][]*authz.Policy // resource control policies that the request gives
	stores   bool              // what the account has counts: its keys and roles, if there is no document, and its place in the organization

	scps, rcps bool // what policies of the organization say may be shown
}

// named parses documents of one list of the request, under names that say where they stood.
func named(kind authz.PolicyKind, list string, documents []string) (policies []*authz.Policy, err error) {
	for i, document := range documents {
		p, err := authz.Parse(kind, []byte(document))
		if err != nil {
			return nil, fmt.Errorf("%s.%d: %w", list, i+1, err)
		}
		policies = append(policies, p.Named(list+"."+strconv.Itoa(i+1)))
	}
	return policies, nil
}

// limit adds the boundary and session policies of the request to the caller.
func (s *simulation) limit() error {
	boundary, err := named(authz.IdentityPolicy, "PermissionsBoundaryPolicyInputList", s.request.GetPermissionsBoundaryPolicyInputList())
	if err != nil {
		return err
	}
	if len(boundary) > 0 {
		s.caller.Boundary = boundary[0]
	}
	session, err := named(authz.SessionPolicy, "SessionPolicyInputList", s.request.GetSessionPolicyInputList())
	if err != nil {
		return err
	}
	if len(session) > 0 {
		s.caller.Session = session
	}
	identity, err := named(authz.IdentityPolicy, "PolicyInputList", s.request.GetPolicyInputList())
	s.caller.Identity = slices.Concat(s.caller.Identity, identity)
	return err
}

// run tries every action on every resource, from where the marker says, for one page.
func (s *simulation) run() (results []*iamv1.EvaluationResult, marker string, err error) {
	resources := s.request.GetResourceArns()
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	position, err := s.call.position("", s.request.GetMarker())
	if err != nil {
		return nil, "", err
	}
	from := 0
	if position != "" {
		if from, err = strconv.Atoi(position); err != nil {
			return nil, "", err
		}
	}
	if !s.call.s.simulations.begin(s.call.account()) {
		return nil, "", &failure{
			code: codes.ResourceExhausted, reason: reasonThrottling, class: "Simulations",
			message: "the account has " + strconv.Itoa(simulationsAtATime) + " simulations at a time; try again when one has ended",
		}
	}
	defer s.call.s.simulations.end(s.call.account())
	bytes := 0
	size := pageSize(s.request.GetMaxItems(), usualItems)
	for i := from; i < len(s.request.GetActionNames())*len(resources); i++ {
		if err := s.call.ctx.Err(); err != nil { // a costly set of policies takes up to 0.1 s for each
			return nil, "", err
		}
		if len(results) == size || bytes >= simulatedPage {
			return results, s.call.marker("", strconv.Itoa(i)), nil
		}
		one, err := s.try(s.request.GetActionNames()[i/len(resources)], resources[i%len(resources)])
		if err != nil {
			return nil, "", err
		}
		results = append(results, one)
		bytes += proto.Size(one)
	}
	return results, "", nil
}

// try decides about one action on one resource.
func (s *simulation) try(action, arn string) (*iamv1.EvaluationResult, error) {
	a, ok := authz.ActionByName(action)
	if !ok {
		return nil, &failure{
			code: codes.InvalidArgument, reason: reasonValidation, class: "ActionName", message: "action_names has an action that kmsd does not have",
			fields: []violation{{"action_names", "has an action that kmsd does not have"}},
		}
	}
	resource, v, err := s.resource(a, arn)
	if err != nil {
		return nil, err
	}
	d := denial{account: s.caller.Account, who: copyOf(s.caller), action: a, resource: *resource, shown: resource.ARN, facts: s.call.facts.Clone()}
	for _, e := range s.request.GetContextEntries() {
		if err := authz.Supply(d.who, &d.resource, d.facts, e.GetContextKeyName(), e.GetContextKeyValues()); err != nil {
			return nil, err
		}
	}
	return resultOf(authz.Explain(d.who, a, &d.resource, d.facts), &d, arn, v), nil
}

func copyOf(c *authz.Caller) *authz.Caller {
	next := *c
	return &next
}

// resource is what an ARN of the simulation stands for, and what of the answer the caller may see. What the request has brought may be seen by who has
// brought it; what is stored counts only if it is of the caller's own account, whatever the request says about owner and caller.
func (s *simulation) resource(a authz.Action, arn string) (r *authz.Resource, v view, err error) {
	c := s.call
	v = view{resource: true, grants: true, scps: s.scps, rcps: s.rcps || len(s.levels) > 0}
	r = &authz.Resource{ARN: arn, Account: s.owner(arn)}
	if r.Kind = authz.KindOf(a, arn); r.Kind == authz.None {
		return &authz.Resource{}, v, nil
	}
	if s.stores && r.Account == c.account() {
		r.Membership = c.people.Membership(r.Account)
	}
	if len(s.levels) > 0 {
		r.Membership = &authz.Membership{RCPs: s.levels}
	}
	kind := map[authz.ResourceKind]authz.PolicyKind{authz.Key: authz.KeyPolicy, authz.Role: authz.TrustPolicy}[r.Kind]
	if s.document != "" && kind != 0 {
		parsed, err := authz.Parse(kind, []byte(s.document))
		if err != nil {
			return nil, v, fmt.Errorf("ResourcePolicy: %w", err)
		}
		bound, err := parsed.Bind(c.supposed)
		if err != nil {
			return nil, v, fmt.Errorf("ResourcePolicy: %w", err)
		}
		r.Policy = bound.Named("ResourcePolicy")
		return r, v, nil
	}
	if !s.stores || r.Account != c.account() {
		return r, v, nil
	}
	switch r.Kind {
	case authz.Key:
		return s.storedKey(r, v)
	case authz.Role:
		return s.storedRole(r, v)
	}
	return r, v, nil
}

// storedKey is the key of the caller's account that has the ARN, if there is one.
func (s *simulation) storedKey(r *authz.Resource, v view) (*authz.Resource, view, error) {
	c := s.call
	ref, err := c.s.place.ParseRef(r.ARN, c.account())
	if err != nil {
		return nil, v, err
	}
	k, ok := c.keys.Resolve(ref)
	if !ok || k.Account() != c.account() {
		return r, v, nil
	}
	key := k.Resource
	key.Membership = r.Membership
	v.resource = c.wouldBeAllowed(authz.KMSGetKeyPolicy, &key)
	v.grants = c.wouldBeAllowed(authz.KMSListGrants, &key)
	return &key, v, nil
}

// storedRole is the role of the caller's account that has the ARN, if there is one.
func (s *simulation) storedRole(r *authz.Resource, v view) (*authz.Resource, view, error) {
	c := s.call
	role, ok := c.people.RoleByARN(r.ARN)
	if !ok || role.Account != c.account() {
		return r, v, nil
	}
	stored, _ := c.people.RoleResource(r.ARN)
	found := *stored
	v.resource = c.wouldBeAllowed(authz.IAMGetRole, c.people.RoleEntity(c.account(), role.Name))
	return &found, v, nil
}

// wouldBeAllowed reports whether the caller might do something that it does not ask for.
func (c *call) wouldBeAllowed(a authz.Action, r *authz.Resource) bool {
	x := c.facts.Clone()
	if a == authz.KMSListGrants {
		x.SetBool(authz.CtxGrantIsForAWSResource, false)
	}
	_, d := authz.Authorize(c.who, a, r, x)
	return d.Verdict == authz.Allow
}

// owner is the account that a resource belongs to: as the request says, or as the ARN does, or the caller's.
func (s *simulation) owner(arn string) string {
	owner := s.request.GetResourceOwner()
	if parts := strings.SplitN(owner, ":", 6); len(parts) == 6 {
		owner = parts[4]
	}
	if owner == "" {
		if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
			owner = parts[4]
		}
	}
	if owner == "" {
		return s.caller.Account
	}
	return owner
}

func resultOf(e *authz.Explanation, d *denial, arn string, v view) *iamv1.EvaluationResult {
	shown := explanationOf(e, d, v)
	out := iamv1.EvaluationResult_builder{
		EvalActionName: d.action.String(), EvalResourceName: arn, EvalDecision: verdictOf(e.Decision), Reason: e.Decision.Reason.String(),
		Layer: shown.GetLayer(), MissingContextValues: shown.GetMissingContextValues(), Layers: shown.GetLayers(), Truncated: shown.GetTruncated(),
		OrganizationsDecisionDetail:       iamv1.OrganizationsDecisionDetail_builder{AllowedByOrganizations: e.AllowedByOrganizations}.Build(),
		PermissionsBoundaryDecisionDetail: iamv1.PermissionsBoundaryDecisionDetail_builder{AllowedByPermissionsBoundary: e.AllowedByBoundary}.Build(),
	}
	for _, l := range shown.GetLayers() {
		for _, s := range l.GetStatements() {
			if s.GetMatches() && (s.GetEffect() == "Allow") == (e.Decision.Verdict == authz.Allow) {
				out.MatchedStatements = append(out.MatchedStatements, iamv1.Statement_builder{
					SourcePolicyId: l.GetPolicyId(), SourcePolicyType: l.GetPolicyType(), StartPosition: s.GetStartPosition(), EndPosition: s.GetEndPosition(),
				}.Build())
			}
		}
	}
	return out.Build()
}

// simulations holds an account to a few at a time: each is long work, and a large answer. The zero value is ready; it is safe for concurrent use.
type simulations struct {
	mu      sync.Mutex
	running map[string]int // :: account → simulations
}

const (
	simulationsAtATime = 2
	simulatedPage      = 1 << 20 // bytes of results, past which a page ends
)

// begin reports whether one more simulation of an account may run. It must be ended then.
func (s *simulations) begin(account string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[account] == simulationsAtATime {
		return false
	}
	if s.running == nil {
		s.running = map[string]int{}
	}
	s.running[account]++
	return true
}

func (s *simulations) end(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[account]--; s.running[account] == 0 {
		delete(s.running, account)
	}
}
