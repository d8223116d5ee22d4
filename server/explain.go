package server

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

func checkExplainDecision(v *violations, r *iamv1.ExplainDecisionRequest) {
	if _, err := audit.ParseID(r.GetRequestId()); err != nil {
		v.add("request_id", "is not the id of a request: it is in the header %s of a reply, in an error, and in the audit log", headerRequestID)
	}
}

func explainDecision(c *call, r *iamv1.ExplainDecisionRequest) (*iamv1.ExplainDecisionResponse, error) {
	if _, err := c.allow(authz.AuthzExplainDecision, nothing); err != nil {
		return nil, err
	}
	id, err := audit.ParseID(r.GetRequestId())
	if err != nil {
		return nil, err
	}
	d, ok := c.s.denials.find(c.account(), id, time.Now())
	if !ok {
		return nil, &failure{
			code: codes.NotFound, reason: reasonNotFound, class: "NoSuchDenial",
			message: "no denied request of this account has this id: denials are kept for a day, the last " + strconv.Itoa(denialsPerAccount) + " of an account, and not over a restart",
		}
	}
	out := explanationOf(authz.Explain(d.who, d.action, &d.resource, d.facts), d, c.sees(d))
	out.SetRequestId(d.request.String())
	out.SetEventTime(timestamppb.New(d.at))
	return iamv1.ExplainDecisionResponse_builder{Explanation: out}.Build(), nil
}

// A view says what somebody may see of an explanation. Nothing of another account's policies is in an explanation at all; what stays out of sight here is of
// the account itself.
type view struct {
	resource bool // the policy of the resource, and what the resource has for conditions
	grants   bool // the grants of the key
	scps     bool // what service control policies say; else only what they come to
	rcps     bool // what resource control policies say; else only what they come to
}

// sees is what the caller may see of a denial of its account: all that is its own. What the organization's policies say is for the account that manages it.
func (c *call) sees(d *denial) view {
	own := d.resource.Kind == authz.None || d.resource.Account == c.account()
	return view{resource: own, grants: own, scps: c.managing(), rcps: c.managing()}
}

// managing reports whether the caller is of the account that manages the organization.
func (c *call) managing() bool { return c.account() == c.people.ManagementAccount() }

// shows reports whether a layer is to be seen at all.
func (v *view) shows(l authz.Layer) bool {
	switch l {
	case authz.ResourceLayer:
		return v.resource
	case authz.GrantLayer:
		return v.grants
	}
	return true
}

// opens reports whether what the policies of a layer say is to be seen.
func (v *view) opens(l authz.Layer) bool {
	switch l {
	case authz.SCPLayer:
		return v.scps
	case authz.RCPLayer:
		return v.rcps
	}
	return v.shows(l)
}

// explanationOf is an explanation as one with this view may see it.
func explanationOf(e *authz.Explanation, d *denial, v view) *iamv1.Explanation {
	arn := d.shown
	if d.resource.Kind == authz.None {
		arn = "*"
	}
	named := d.resource
	named.ARN = arn
	out := iamv1.Explanation_builder{
		PrincipalArn: d.who.ARN, Action: d.action.String(), ResourceArn: arn, Decision: verdictOf(e.Decision),
		Reason:         authz.Message(d.who, d.action, &named, e.Decision, d.resource.Account == d.account || d.resource.Kind == authz.None),
		ContextEntries: contextEntries(d), Layers: layersOf(e, arn, v), MissingContextValues: missing(e, v), Truncated: e.Truncated || d.short,
	}
	if v.shows(e.Decision.Layer) {
		out.Layer = e.Decision.Layer.String()
	}
	if n := e.Nearest; n != nil && v.opens(n.Layer) {
		out.NearestMiss = iamv1.NearestMiss_builder{
			PolicyId: policyID(n.Layer, n.Policy, arn), Statement: int32(n.Statement), Element: n.Element, Needed: n.Needed,
		}.Build()
	}
	return out.Build()
}

// missing are the names of the condition keys that policies ask for and a request does not have.
func missing(e *authz.Explanation, v view) (names []string) {
	for _, m := range e.Missing {
		if v.opens(m.Layer) {
			names = append(names, m.Name)
		}
	}
	return slices.CompactFunc(names, strings.EqualFold)
}

func verdictOf(d authz.Decision) iamv1.PolicyEvaluationDecisionType {
	switch {
	case d.Verdict == authz.Allow:
		return iamv1.PolicyEvaluationDecisionType_POLICY_EVALUATION_DECISION_TYPE_ALLOWED
	case d.Reason.Explicit():
		return iamv1.PolicyEvaluationDecisionType_POLICY_EVALUATION_DECISION_TYPE_EXPLICIT_DENY
	}
	return iamv1.PolicyEvaluationDecisionType_POLICY_EVALUATION_DECISION_TYPE_IMPLICIT_DENY
}

var outcomes = map[authz.Outcome]iamv1.PolicyEvaluationDecisionType{
	authz.Allowed:      iamv1.PolicyEvaluationDecisionType_POLICY_EVALUATION_DECISION_TYPE_ALLOWED,
	authz.ExplicitDeny: iamv1.PolicyEvaluationDecisionType_POLICY_EVALUATION_DECISION_TYPE_EXPLICIT_DENY,
	authz.ImplicitDeny: iamv1.PolicyEvaluationDecisionType_POLICY_EVALUATION_DECISION_TYPE_IMPLICIT_DENY,
}

// policyID is the name by which an explanation calls a policy.
func policyID(l authz.Layer, p *authz.Policy, resource string) string {
	switch {
	case l == authz.ResourceLayer:
		return resource
	case p == nil:
		return ""
	}
	return p.Name()
}

// sourceType says what a policy belongs to, which its layer and its name tell.
func sourceType(l authz.Layer, name string) iamv1.PolicySourceType {
	switch l {
	case authz.ResourceLayer:
		return iamv1.PolicySourceType_POLICY_SOURCE_TYPE_RESOURCE
	case authz.SessionLayer:
		return iamv1.PolicySourceType_POLICY_SOURCE_TYPE_SESSION
	case authz.SCPLayer:
		return iamv1.PolicySourceType_POLICY_SOURCE_TYPE_SERVICE_CONTROL_POLICY
	case authz.RCPLayer:
		return iamv1.PolicySourceType_POLICY_SOURCE_TYPE_RESOURCE_CONTROL_POLICY
	case authz.GrantLayer:
		return iamv1.PolicySourceType_POLICY_SOURCE_TYPE_GRANT
	}
	switch {
	case strings.Contains(name, ":iam::aws:policy/"):
		return iamv1.PolicySourceType_POLICY_SOURCE_TYPE_AWS_MANAGED
	case strings.HasPrefix(name, "arn:"):
		return iamv1.PolicySourceType_POLICY_SOURCE_TYPE_USER_MANAGED
	case strings.HasPrefix(name, "group/"):
		return iamv1.PolicySourceType_POLICY_SOURCE_TYPE_GROUP
	}
	return iamv1.PolicySourceType_POLICY_SOURCE_TYPE_USER
}

func layersOf(e *authz.Explanation, resource string, v view) (out []*iamv1.LayerResult) {
	for i := range e.Policies {
		t := &e.Policies[i]
		if !v.shows(t.Layer) {
			continue
		}
		id := policyID(t.Layer, t.Policy, resource)
		one := iamv1.LayerResult_builder{Layer: t.Layer.String(), PolicyId: id, PolicyType: sourceType(t.Layer, id), Result: outcomes[t.Outcome]}
		if v.opens(t.Layer) {
			one.Statements = statementsOf(t, v)
		}
		out = append(out, one.Build())
	}
	if !v.shows(authz.GrantLayer) {
		return out
	}
	for i := range e.Grants {
		g := &e.Grants[i]
		result := outcomes[authz.ImplicitDeny]
		if g.Holds {
			result = outcomes[authz.Allowed]
		}
		out = append(out, iamv1.LayerResult_builder{
			Layer: authz.GrantLayer.String(), PolicyId: g.Grant.ID, PolicyType: iamv1.PolicySourceType_POLICY_SOURCE_TYPE_GRANT, Result: result,
			Statements: []*iamv1.StatementResult{iamv1.StatementResult_builder{
				Sid: g.Grant.Name, Index: 1, Effect: "Allow", ActionMatches: g.Operation, PrincipalMatches: g.Level != authz.NoLevel && g.Limits,
				ResourceMatches: g.Current && g.Constraint, Matches: g.Holds,
			}.Build()},
		}.Build())
	}
	return out
}

func statementsOf(t *authz.PolicyTrace, v view) (out []*iamv1.StatementResult) {
	if t.Policy == nil {
		return nil
	}
	doc := t.Policy.Document()
	for i := range t.Statements {
		s := &t.Statements[i]
		from, to := t.Policy.StatementSpan(s.Statement)
		one := iamv1.StatementResult_builder{
			Sid: t.Policy.Sid(s.Statement), Index: int32(s.Statement), Effect: effects[s.Effect], ActionMatches: s.Action,
			PrincipalMatches: s.Principal, ResourceMatches: s.Resource, Matches: s.Holds,
			StartPosition: positionOf(doc, from), EndPosition: positionOf(doc, to),
		}
		for _, cond := range s.Conditions {
			had := cond.RequestValues
			if k, ok := authz.ConditionKey(cond.Key); ok && k.Class == authz.ResourceClass && !v.resource {
				had = nil
			}
			one.Conditions = append(one.Conditions, iamv1.ConditionResult_builder{
				Operator: cond.Operator, Key: cond.Key, Values: cond.Values, RequestValues: had, Present: cond.Present, Matches: cond.Holds,
			}.Build())
		}
		out = append(out, one.Build())
	}
	return out
}

// effects :: effect → as policies write it. It is never written.
var effects = map[authz.Verdict]string{authz.Allow: "Allow", authz.Deny: "Deny"}

// positionOf is the line and column of a byte of a document.
func positionOf(doc []byte, at int) *iamv1.Position {
	before := doc[:min(at, len(doc))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return iamv1.Position_builder{Line: int32(bytes.Count(before, []byte{'\n'}) + 1), Column: int32(utf8.RuneCount(before[start:]) + 1)}.Build()
}

// contextEntries is what the request had for conditions.
func contextEntries(d *denial) (out []*iamv1.ContextEntry) {
	for _, v := range authz.ContextValues(d.who, d.action, &d.resource, d.facts) {
		out = append(out, iamv1.ContextEntry_builder{
			ContextKeyName: v.Name, ContextKeyType: contextType(v.Type, v.Multi), ContextKeyValues: v.Values,
		}.Build())
	}
	return out
}

// contextTypes :: type of a condition key of one value → in the words of the API. It is never written.
var contextTypes = map[authz.KeyType]iamv1.ContextKeyType{
	authz.StringKey: iamv1.ContextKeyType_CONTEXT_KEY_TYPE_STRING, authz.ARNKey: iamv1.ContextKeyType_CONTEXT_KEY_TYPE_STRING,
	authz.BoolKey: iamv1.ContextKeyType_CONTEXT_KEY_TYPE_BOOLEAN, authz.NumericKey: iamv1.ContextKeyType_CONTEXT_KEY_TYPE_NUMERIC,
	authz.DateKey: iamv1.ContextKeyType_CONTEXT_KEY_TYPE_DATE, authz.IPAddressKey: iamv1.ContextKeyType_CONTEXT_KEY_TYPE_IP,
}

func contextType(t authz.KeyType, multi bool) iamv1.ContextKeyType {
	if multi { // each list type follows its single type
		return contextTypes[t] + 1
	}
	return contextTypes[t]
}
