package server

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
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
	maxSimulatedValues    = 64 << 10  // of names and values of all context entries together
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
	bytes = 0
	for i, e := range r.GetContextEntries() {
		bytes += len(e.GetContextKeyName())
		for _, value := range e.GetContextKeyValues() {
			bytes += len(value)
		}
		field := fmt.Sprintf("context_entries[%d]", i)
		v.text(field+".context_key_name", e.GetContextKeyName(), 1, maxEntityARN)
		v.count(field+".context_key_values", len(e.GetContextKeyValues()), 1, maxSimulatedEntries)
		v.enum(field+".context_key_type", int32(e.GetContextKeyType()), int32(iamv1.ContextKeyType_CONTEXT_KEY_TYPE_DATE_LIST))
	}
	if bytes > maxSimulatedValues {
		v.add("context_entries", "have %d bytes of names and values, must have at most %d", bytes, maxSimulatedValues)
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

// supposed is the unique id of a principal of the simulation: its own, or one that follows from its ARN if there is no such principal.
func (c *call) supposed(arn string) (id string, ok bool) {
	if id, ok := c.people.PrincipalID(arn); ok && c.ours(arn) {
		return id, true
	}
	return inventedID(arn), true
}

// inventedID is a unique id for a principal that has none. It follows from the ARN; that of a session is its role's.
func inventedID(arn string) string {
	if head, tail, ok := strings.Cut(arn, ":assumed-role/"); ok {
		role, _, _ := strings.Cut(tail, "/")
		arn = strings.Replace(head, ":sts:", ":iam:", 1) + ":role/" + role
	}
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
		who.ID, _ = c.supposed(arn)
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
	s := &simulation{call: c, request: r, caller: who, document: r.GetResourcePolicy(), scps: true, rcps: true}
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
		s.levels = append(s.levels, list)
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
		if err := c.maySimulate(as, r.GetCallerArn(), arn); err != nil {
			return nil, err
		}
		as.Identity, as.Boundary, as.Tags, as.Membership = who.Identity, who.Boundary, who.Tags, who.Membership
		who = as
	}
	s := &simulation{call: c, request: r, caller: who, document: r.GetResourcePolicy(), stores: true, scps: c.managing(), rcps: c.managing()}
	if err := s.limit(); err != nil {
		return nil, err
	}
	results, marker, err := s.run()
	if err != nil {
		return nil, err
	}
	return iamv1.SimulatePrincipalPolicyResponse_builder{EvaluationResults: results, IsTruncated: marker != "", Marker: marker}.Build(), nil
}

// maySimulate asks for the simulation as another principal of the account than the one whose policies count: what is found tells of that one too.
func (c *call) maySimulate(as *authz.Caller, given, source string) error {
	if as.Account != c.account() {
		return nil
	}
	arn := given
	if given == as.ARN && as.Kind == authz.RoleSession { // a session's ARN does not have the path of the role
		arn = c.people.RoleARN(c.account(), as.RoleARN[strings.LastIndexByte(as.RoleARN, '/')+1:])
	}
	if arn == source {
		return nil
	}
	_, err := c.onEntity(authz.IAMSimulatePrincipalPolicy, "PRINCIPAL", c.newEntity(arn), arn)
	return err
}
