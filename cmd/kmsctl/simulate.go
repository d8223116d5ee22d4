package main

import (
	"context"
	"io"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// simulation is the flags of policy simulate.
type simulation struct {
	principal, caller, owner, resourcePolicy string
	policies, boundary, session, scps, rcps  []string
	actions, resources, context              []string
	trace                                    bool
}

// resultView is what one action on one resource comes to, as JSON shows it.
type resultView struct {
	Action   string        `json:"eval_action_name"`
	Resource string        `json:"eval_resource_name"`
	Decision string        `json:"eval_decision"`
	Reason   string        `json:"reason"`
	Layer    string        `json:"layer,omitempty"`
	Matched  []matchedView `json:"matched_statements"`
	Missing  []string      `json:"missing_context_values"`
	Orgs     *bool         `json:"allowed_by_organizations,omitempty"`
	Boundary *bool         `json:"allowed_by_permissions_boundary,omitempty"`
	Layers   []layerView   `json:"layers"`

	Truncated bool `json:"truncated,omitempty"`
}

// matchedView is a statement that had a say.
type matchedView struct {
	PolicyID   string `json:"source_policy_id"`
	PolicyType string `json:"source_policy_type"`
	Line       int32  `json:"line,omitempty"`
}

func viewOfResult(r *iamv1.EvaluationResult) resultView {
	v := resultView{
		Action: r.GetEvalActionName(), Resource: r.GetEvalResourceName(), Decision: decisionName(r.GetEvalDecision()), Reason: r.GetReason(), Layer: r.GetLayer(),
		Missing: append([]string{}, r.GetMissingContextValues()...), Layers: each(r.GetLayers(), viewOfLayer), Truncated: r.GetTruncated(),
		Matched: each(r.GetMatchedStatements(), func(s *iamv1.Statement) matchedView {
			return matchedView{s.GetSourcePolicyId(), strings.ToLower(trimEnum(s.GetSourcePolicyType(), "POLICY_SOURCE_TYPE_")), s.GetStartPosition().GetLine()}
		}),
	}
	if r.HasOrganizationsDecisionDetail() {
		b := r.GetOrganizationsDecisionDetail().GetAllowedByOrganizations()
		v.Orgs = &b
	}
	if r.HasPermissionsBoundaryDecisionDetail() {
		b := r.GetPermissionsBoundaryDecisionDetail().GetAllowedByPermissionsBoundary()
		v.Boundary = &b
	}
	return v
}

func (a *app) policySimulateCommand() *cobra.Command {
	var s simulation
	cmd := &cobra.Command{
		Use: "simulate --principal ARN|--policy-file FILE --action NAME", Short: "say what policies would decide", Args: takes(),
		Long: `simulate evaluates requests and carries out nothing. With --principal, a user, group or role of your account, the policies in force count: its own, its
boundary, its organization's, those of keys and their grants; files add to them or, for boundary and resource policy, replace them. Without, only files count. Each
action is evaluated on each resource. --context gives what a request has for condition keys; several values are separated by commas.`,
		Example: `  kmsctl policy simulate --principal arn:aws:iam::111122223333:user/alice --action kms:Decrypt --resource arn:aws:kms:local:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab
  kmsctl policy simulate --policy-file policy.json --action kms:Encrypt,kms:Decrypt --context aws:SourceIp=10.0.0.1 --trace
  kmsctl policy simulate --policy-file policy.json --scp-file root.json --scp-file account.json --action kms:CreateKey -o json`,
	}
	f := cmd.Flags()
	f.StringVar(&s.principal, "principal", "", "`ARN` of the user, group or role whose policies in force count")
	f.StringArrayVar(&s.policies, "policy-file", nil, "`FILE` with an identity-based policy (repeatable)")
	f.StringSliceVar(&s.actions, "action", nil, "`NAME` of an action, such as kms:Decrypt (repeatable, or separated by commas)")
	f.StringArrayVar(&s.resources, "resource", nil, "`ARN` of a resource (repeatable; default: *)")
	f.StringArrayVar(&s.context, "context", nil, "`KEY=VALUE[,VALUE…]` of a condition key (repeatable)")
	f.StringArrayVar(&s.boundary, "boundary-file", nil, "`FILE` with the permissions boundary")
	f.StringArrayVar(&s.session, "session-policy-file", nil, "`FILE` with a session policy (repeatable)")
	f.StringArrayVar(&s.scps, "scp-file", nil, "`FILE` with the service control policy of one level, the root's first (repeatable)")
	f.StringArrayVar(&s.rcps, "rcp-file", nil, "`FILE` with the resource control policy of one level, the root's first (repeatable)")
	f.StringVar(&s.resourcePolicy, "resource-policy", "", "`FILE` with the policy of the resources, such as a key policy")
	f.StringVar(&s.owner, "resource-owner", "", "id of the `ACCOUNT` of the resources")
	f.StringVar(&s.caller, "caller", "", "`ARN` of the caller, if it is another than the principal")
	f.BoolVar(&s.trace, "trace", false, "show every policy and statement")
	required(cmd, "action")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error { return a.simulate(ctx, c, &s) })
	return cmd
}

func (a *app) simulate(ctx context.Context, c *client.Client, s *simulation) error {
	if s.principal == "" && len(s.policies) == 0 && s.resourcePolicy == "" {
		return usage("give --principal, --policy-file or --resource-policy: whose request is it?")
	}
	if s.principal != "" && len(s.scps)+len(s.rcps) > 0 {
		return usage("--scp-file and --rcp-file go without --principal, for whom those in force count")
	}
	d, err := a.documents(ctx, s)
	if err != nil {
		return err
	}
	var list []*iamv1.EvaluationResult
	if s.principal != "" {
		list, err = d.principal(ctx, c, s)
	} else {
		list, err = d.custom(ctx, c, s)
	}
	if err != nil {
		return err
	}
	return a.showResults(each(list, viewOfResult), s.trace)
}

// documents are the policies of a simulation.
type documents struct {
	policies, boundary, session, scps, rcps []string
	resource                                string
	context                                 []*iamv1.ContextEntry
}

func (a *app) documents(ctx context.Context, s *simulation) (*documents, error) {
	d := &documents{}
	for _, l := range []struct {
		files []string
		to    *[]string
	}{{s.policies, &d.policies}, {s.boundary, &d.boundary}, {s.session, &d.session}, {s.scps, &d.scps}, {s.rcps, &d.rcps}} {
		for _, file := range l.files {
			b, err := a.read(ctx, file, maxPolicy)
			if err != nil {
				return nil, err
			}
			*l.to = append(*l.to, string(b))
		}
	}
	if s.resourcePolicy != "" {
		b, err := a.read(ctx, s.resourcePolicy, maxPolicy)
		if err != nil {
			return nil, err
		}
		d.resource = string(b)
	}
	var err error
	d.context, err = contextEntries(s.context)
	return d, err
}

func (d *documents) principal(ctx context.Context, c *client.Client, s *simulation) ([]*iamv1.EvaluationResult, error) {
	return allPages(func(marker string) ([]*iamv1.EvaluationResult, string, error) {
		out, err := c.IAM().SimulatePrincipalPolicy(ctx, iamv1.SimulatePrincipalPolicyRequest_builder{
			PolicySourceArn: s.principal, PolicyInputList: d.policies, PermissionsBoundaryPolicyInputList: d.boundary, SessionPolicyInputList: d.session,
			ResourcePolicy: d.resource, ResourceOwner: s.owner, CallerArn: s.caller, ActionNames: s.actions, ResourceArns: s.resources, ContextEntries: d.context, Marker: marker,
		}.Build())
		return out.GetEvaluationResults(), out.GetMarker(), err
	})
}

func (d *documents) custom(ctx context.Context, c *client.Client, s *simulation) ([]*iamv1.EvaluationResult, error) {
	r := iamv1.SimulateCustomPolicyRequest_builder{
		PolicyInputList: d.policies, PermissionsBoundaryPolicyInputList: d.boundary, SessionPolicyInputList: d.session, ResourcePolicy: d.resource, ResourceOwner: s.owner,
		CallerArn: s.caller, ActionNames: s.actions, ResourceArns: s.resources, ContextEntries: d.context,
		OrderedOrganizationPolicyInputList: each(d.scps, func(doc string) *iamv1.OrderedOrganizationPolicyType {
			return iamv1.OrderedOrganizationPolicyType_builder{ServiceControlPolicyInputList: []string{doc}}.Build()
		}),
		OrderedResourceControlPolicyInputList: each(d.rcps, func(doc string) *iamv1.OrderedResourceControlPolicyType {
			return iamv1.OrderedResourceControlPolicyType_builder{ResourceControlPolicyInputList: []string{doc}}.Build()
		}),
	}
	return allPages(func(marker string) ([]*iamv1.EvaluationResult, string, error) {
		r.Marker = marker
		out, err := c.IAM().SimulateCustomPolicy(ctx, r.Build())
		return out.GetEvaluationResults(), out.GetMarker(), err
	})
}

// contextEntries parses texts of the form KEY=VALUE[,VALUE…].
func contextEntries(given []string) ([]*iamv1.ContextEntry, error) {
	var all []*iamv1.ContextEntry
	seen := map[string]bool{}
	for _, s := range given {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return nil, usage("--context %q: must be KEY=VALUE", shorten(s, 60))
		}
		if folded := strings.ToLower(key); seen[folded] {
			return nil, usage("--context: the key %q is given twice; separate several values by commas", shorten(key, 60))
		} else {
			seen[folded] = true
		}
		values := strings.Split(value, ",")
		all = append(all, iamv1.ContextEntry_builder{ContextKeyName: key, ContextKeyType: contextType(key, values), ContextKeyValues: values}.Build())
	}
	return all, nil
}

var decimal = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// freeText are families of condition keys whose values are texts, whatever they look like.
var freeText = regexp.MustCompile(`(?i)^(kms:EncryptionContext:|aws:(Principal|Request|Resource)Tag/|sts:|aws:(userid|username|PrincipalAccount|SourceAccount|ResourceAccount|PrincipalOrgID)$)`)

// contextType is the type that values look like, which all must. A list has several values.
func contextType(key string, values []string) iamv1.ContextKeyType {
	all := func(is func(string) bool) bool {
		for _, v := range values {
			if !is(v) {
				return false
			}
		}
		return true
	}
	t := iamv1.ContextKeyType_CONTEXT_KEY_TYPE_STRING
	switch {
	case freeText.MatchString(key):
	case all(func(s string) bool { return s == "true" || s == "false" }):
		t = iamv1.ContextKeyType_CONTEXT_KEY_TYPE_BOOLEAN
	case all(decimal.MatchString):
		t = iamv1.ContextKeyType_CONTEXT_KEY_TYPE_NUMERIC
	case all(func(s string) bool { _, err := netip.ParseAddr(s); return err == nil }):
		t = iamv1.ContextKeyType_CONTEXT_KEY_TYPE_IP
	case all(func(s string) bool { _, err := time.Parse(time.RFC3339Nano, s); return err == nil }):
		t = iamv1.ContextKeyType_CONTEXT_KEY_TYPE_DATE
	}
	if len(values) > 1 {
		t++ // the type of the list follows its element's
	}
	return t
}

// showResults prints what a simulation comes to.
func (a *app) showResults(results []resultView, trace bool) error {
	if a.output != formatTable || !trace {
		return listing(a, results, "", []string{"ACTION", "RESOURCE", "DECISION", "REASON"}, func(r resultView) []string {
			reason := r.Reason
			if len(r.Missing) > 0 {
				reason += " (no value for " + strings.Join(r.Missing, ", ") + ")"
			}
			return []string{r.Action, r.Resource, r.Decision, reason}
		})
	}
	b := &tracer{a: a}
	for i, r := range results {
		if i > 0 {
			b.line("")
		}
		b.heading("%s of %s on %s", r.Decision, r.Action, r.Resource)
		b.line("  reason  %s", r.Reason)
		if len(r.Missing) > 0 {
			b.line("  the request has no value for: %s", strings.Join(r.Missing, ", "))
		}
		b.layers(r.Layers)
	}
	_, err := io.WriteString(a.stdout, b.text.String())
	return err
}
