package server

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	"github.com/kmsd/kmsd/keystore"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// Limits of simulations. An answer takes up to 100 µs for each action and resource.
const (
	maxSimulatedActions   = 128
	maxSimulatedResources = 128
	maxSimulatedEntries   = 256
	maxSimulatedPolicies  = 64
	maxSimulatedLevels    = 7
	maxSimulatedBytes     = 256 << 10 // of all documents together
	simulationName        = "simulation"
)

// simulated is what the two operations have in common.
type simulated interface {
	GetPolicyInputList() []string
	GetPermissionsBoundaryPolicyInputList() []string
	GetSessionPolicyInputList() []string
	GetResourcePolicy() string
	GetResourceOwner() string
	GetCallerArn() string
	GetActionNames() []string
	GetResourceArns() []string
	GetContextEntries() []*iamv1.ContextEntry
	GetMarker() string
	GetMaxItems() int32
}

func (v *violations) simulation(r simulated) {
	v.count("action_names", len(r.GetActionNames()), 1, maxSimulatedActions)
	v.count("resource_arns", len(r.GetResourceArns()), 0, maxSimulatedResources)
	v.count("context_entries", len(r.GetContextEntries()), 0, maxSimulatedEntries)
	v.count("policy_input_list", len(r.GetPolicyInputList()), 0, maxSimulatedPolicies)
	v.count("permissions_boundary_policy_input_list", len(r.GetPermissionsBoundaryPolicyInputList()), 0, 1)
	v.count("session_policy_input_list", len(r.GetSessionPolicyInputList()), 0, maxSessionARNs+1)
	v.text("caller_arn", r.GetCallerArn(), 0, maxEntityARN)
	v.text("resource_owner", r.GetResourceOwner(), 0, maxEntityARN)
	v.limit("max_items", r.GetMaxItems(), largestItems)
	bytes := len(r.GetResourcePolicy())
	for _, list := range [][]string{r.GetPolicyInputList(), r.GetPermissionsBoundaryPolicyInputList(), r.GetSessionPolicyInputList()} {
		for _, document := range list {
			bytes += len(document)
		}
	}
	if bytes > maxSimulatedBytes {
		v.add("policy_input_list", "has with the other documents %d bytes, must have at most %d", bytes, maxSimulatedBytes)
	}
	for i, arn := range r.GetResourceArns() {
		v.text(fmt.Sprintf("resource_arns[%d]", i), arn, 1, maxEntityARN)
	}
	for i, e := range r.GetContextEntries() {
		field := fmt.Sprintf("context_entries[%d]", i)
		v.text(field+".context_key_name", e.GetContextKeyName(), 1, maxEntityARN)
		v.count(field+".context_key_values", len(e.GetContextKeyValues()), 1, maxSimulatedEntries)
		v.enum(field+".context_key_type", int32(e.GetContextKeyType()), int32(iamv1.ContextKeyType_CONTEXT_KEY_TYPE_DATE_LIST))
	}
}

func (v *violations) count(field string, n, least, most int) {
	if n < least || n > most {
		v.add(field, "has %d entries, must have %d to %d", n, least, most)
	}
}

func checkSimulateCustomPolicy(v *violations, r *iamv1.SimulateCustomPolicyRequest) {
	v.simulation(r)
	v.count("ordered_organization_policy_input_list", len(r.GetOrderedOrganizationPolicyInputList()), 0, maxSimulatedLevels)
	v.count("ordered_resource_control_policy_input_list", len(r.GetOrderedResourceControlPolicyInputList()), 0, maxSimulatedLevels)
	if r.GetResourcePolicy() != "" && r.GetCallerArn() == "" {
		v.add("caller_arn", "is missing: a resource policy is about somebody")
	}
}

func checkSimulatePrincipalPolicy(v *violations, r *iamv1.SimulatePrincipalPolicyRequest) {
	v.text("policy_source_arn", r.GetPolicySourceArn(), 1, maxEntityARN)
	v.simulation(r)
}

// A simulation is what requests are tried with.
type simulation struct {
	call     *call
	request  simulated
	caller   *authz.Caller
	document string // of the resource
	rcps     [][]*authz.Policy
	real     bool // keys of the account are the real ones
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

// supposed is the unique id of a principal of the simulation: its own, or one that follows from its ARN if there is no such principal.
func (c *call) supposed(arn string) (id string, ok bool) {
	if id, ok := c.people.PrincipalID(arn); ok && c.ours(arn) {
		return id, true
	}
	return inventedID(arn), true
}

// inventedID is a unique id for a principal that has none. It follows from the ARN.
func inventedID(arn string) string {
	sum := sha256.Sum256([]byte(arn))
	prefix := "AIDA"
	if strings.Contains(arn, ":role/") {
		prefix = "AROA"
	}
	return prefix + base32.StdEncoding.EncodeToString(sum[:])[:17]
}

// supposedCaller is who an ARN stands for, without any policies. Without an ARN it is some user of the account.
func (c *call) supposedCaller(arn string) (*authz.Caller, error) {
	if arn == "" {
		arn = c.people.NewUserARN(c.account(), "/", simulationName)
	}
	bad := &failure{
		code: codes.InvalidArgument, reason: reasonValidation, class: "CallerArn", message: "caller_arn must be the ARN of a user, a role, a session of a role or the root of an account",
		fields: []violation{{"caller_arn", "must be the ARN of a user, a role, a session of a role or the root of an account"}},
	}
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || len(parts[4]) != 12 {
		return nil, bad
	}
	who := &authz.Caller{Account: parts[4], ARN: arn}
	kind, name, _ := strings.Cut(parts[5], "/")
	switch service := parts[2]; {
	case service == "iam" && parts[5] == "root":
		who.Kind, who.ID = authz.Root, who.Account
	case service == "iam" && kind == "user" && name != "":
		who.Kind, who.UserName = authz.User, name[strings.LastIndexByte(name, '/')+1:]
		who.ID, _ = c.supposed(arn)
	case service == "iam" && kind == "role" && name != "":
		who.Kind, who.RoleARN, who.SessionName = authz.RoleSession, arn, simulationName
		who.ID, _ = c.supposed(arn)
		who.ARN = strings.Join([]string{"arn", parts[1], "sts", "", parts[4], "assumed-role/" + name[strings.LastIndexByte(name, '/')+1:] + "/" + simulationName}, ":")
	case service == "sts" && kind == "assumed-role" && strings.Count(name, "/") == 1:
		role, session, _ := strings.Cut(name, "/")
		who.Kind, who.SessionName = authz.RoleSession, session
		who.RoleARN = strings.Join([]string{"arn", parts[1], "iam", "", parts[4], "role/" + role}, ":")
		who.ID, _ = c.supposed(who.RoleARN)
	default:
		return nil, bad
	}
	return who, nil
}

func simulateCustomPolicy(c *call, r *iamv1.SimulateCustomPolicyRequest) (*iamv1.SimulateCustomPolicyResponse, error) {
	if _, err := c.allow(authz.IAMSimulateCustomPolicy, nothing); err != nil {
		return nil, err
	}
	who, err := c.supposedCaller(r.GetCallerArn())
	if err != nil {
		return nil, err
	}
	s := &simulation{call: c, request: r, caller: who, document: r.GetResourcePolicy()}
	if err := s.limit(); err != nil {
		return nil, err
	}
	m := &authz.Membership{}
	for i, level := range r.GetOrderedOrganizationPolicyInputList() {
		list, err := named(authz.ServiceControlPolicy, fmt.Sprintf("OrderedOrganizationPolicyInputList.%d", i+1), level.GetServiceControlPolicyInputList())
		if err != nil {
			return nil, err
		}
		m.SCPs = append(m.SCPs, list)
	}
	for i, level := range r.GetOrderedResourceControlPolicyInputList() {
		list, err := named(authz.ResourceControlPolicy, fmt.Sprintf("OrderedResourceControlPolicyInputList.%d", i+1), level.GetResourceControlPolicyInputList())
		if err != nil {
			return nil, err
		}
		s.rcps = append(s.rcps, list)
	}
	if len(m.SCPs) > 0 {
		s.caller.Membership = m
	}
	results, marker, err := s.run()
	if err != nil {
		return nil, err
	}
	return iamv1.SimulateCustomPolicyResponse_builder{EvaluationResults: results, IsTruncated: marker != "", Marker: marker}.Build(), nil
}

func simulatePrincipalPolicy(c *call, r *iamv1.SimulatePrincipalPolicyRequest) (*iamv1.SimulatePrincipalPolicyResponse, error) {
	arn := r.GetPolicySourceArn()
	who, ok := c.people.PrincipalCaller(c.account(), arn, simulationName)
	resource := c.newEntity(arn)
	if ok {
		resource.Tags = who.Tags
	}
	if _, err := c.onEntity(authz.IAMSimulatePrincipalPolicy, "PRINCIPAL", resource, arn); err != nil {
		return nil, err
	}
	if !ok {
		return nil, iam.ErrNoSuchEntity
	}
	if r.GetCallerArn() != "" {
		as, err := c.supposedCaller(r.GetCallerArn())
		if err != nil {
			return nil, err
		}
		as.Identity, as.Boundary, as.Tags, as.Membership = who.Identity, who.Boundary, who.Tags, who.Membership
		who = as
	}
	s := &simulation{call: c, request: r, caller: who, document: r.GetResourcePolicy(), real: r.GetResourcePolicy() == ""}
	if err := s.limit(); err != nil {
		return nil, err
	}
	results, marker, err := s.run()
	if err != nil {
		return nil, err
	}
	return iamv1.SimulatePrincipalPolicyResponse_builder{EvaluationResults: results, IsTruncated: marker != "", Marker: marker}.Build(), nil
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
	size := pageSize(s.request.GetMaxItems(), usualItems)
	for i := from; i < len(s.request.GetActionNames())*len(resources); i++ {
		if err := s.call.ctx.Err(); err != nil { // a costly set of policies takes up to 0.1 s for each
			return nil, "", err
		}
		if len(results) == size {
			return results, s.call.marker("", strconv.Itoa(i)), nil
		}
		one, err := s.try(s.request.GetActionNames()[i/len(resources)], resources[i%len(resources)])
		if err != nil {
			return nil, "", err
		}
		results = append(results, one)
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
	resource, secret, err := s.resource(a, arn)
	if err != nil {
		return nil, err
	}
	d := denial{who: copyOf(s.caller), action: a, resource: *resource, facts: s.call.facts.Clone()}
	for _, e := range s.request.GetContextEntries() {
		if err := authz.Supply(d.who, &d.resource, d.facts, e.GetContextKeyName(), e.GetContextKeyValues()); err != nil {
			return nil, err
		}
	}
	explained := authz.Explain(d.who, a, &d.resource, d.facts)
	if secret {
		explained.CrossAccount = true // hides what another account, or one who may not read the key policy, must not see
	}
	return resultOf(explained, &d, arn), nil
}

func copyOf(c *authz.Caller) *authz.Caller {
	next := *c
	return &next
}

// resource is what an ARN of the simulation stands for. secret means that the policy is not the caller's to read.
func (s *simulation) resource(a authz.Action, arn string) (r *authz.Resource, secret bool, err error) {
	c := s.call
	r = &authz.Resource{ARN: arn, Account: s.owner(arn)}
	if r.Kind = authz.KindOf(a, arn); r.Kind == authz.None {
		return &authz.Resource{}, false, nil
	}
	if r.Account == c.account() {
		r.Membership = c.people.Membership(r.Account)
	}
	if len(s.rcps) > 0 {
		r.Membership = &authz.Membership{RCPs: s.rcps}
	}
	kind := map[authz.ResourceKind]authz.PolicyKind{authz.Key: authz.KeyPolicy, authz.Role: authz.TrustPolicy}[r.Kind]
	if s.document != "" && kind != 0 {
		parsed, err := authz.Parse(kind, []byte(s.document))
		if err != nil {
			return nil, false, fmt.Errorf("ResourcePolicy: %w", err)
		}
		bound, err := parsed.Bind(c.supposed)
		if err != nil {
			return nil, false, fmt.Errorf("ResourcePolicy: %w", err)
		}
		r.Policy = bound.Named("ResourcePolicy")
		return r, false, nil
	}
	if s.real && r.Account == c.account() {
		return s.stored(r)
	}
	return r, false, nil
}

// stored is the key or role of the caller's account that has the ARN, if there is one.
func (s *simulation) stored(r *authz.Resource) (*authz.Resource, bool, error) {
	c := s.call
	switch r.Kind {
	case authz.Key:
		ref, err := c.s.place.ParseRef(r.ARN, c.account())
		if err != nil {
			return nil, false, err
		}
		k, ok := c.keys.Resolve(keystore.Ref{Account: c.account(), ID: ref.ID, Alias: ref.Alias})
		if !ok {
			return r, false, nil
		}
		key := k.Resource
		key.Membership = r.Membership
		_, d := authz.Authorize(c.who, authz.KMSGetKeyPolicy, &key, &c.facts)
		return &key, d.Verdict != authz.Allow, nil
	case authz.Role:
		if role, ok := c.people.RoleResource(r.ARN); ok {
			found := *role
			return &found, false, nil
		}
	}
	return r, false, nil
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

func resultOf(e *authz.Explanation, d *denial, arn string) *iamv1.EvaluationResult {
	shown := explanationOf(e, d)
	out := iamv1.EvaluationResult_builder{
		EvalActionName: d.action.String(), EvalResourceName: arn, EvalDecision: verdictOf(e.Decision), Reason: e.Decision.Reason.String(),
		Layer: shown.GetLayer(), MissingContextValues: shown.GetMissingContextValues(), Layers: shown.GetLayers(),
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
