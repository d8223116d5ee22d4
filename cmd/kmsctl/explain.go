package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// The views of a trace, as JSON shows it.
type (
	conditionView struct {
		Operator string   `json:"operator"`
		Key      string   `json:"key"`
		Values   []string `json:"values"`
		Request  []string `json:"request_values"`
		Present  bool     `json:"present"`
		Matches  bool     `json:"matches"`
	}
	statementView struct {
		Sid        string          `json:"sid,omitempty"`
		Index      int32           `json:"index"`
		Effect     string          `json:"effect"`
		Action     bool            `json:"action_matches"`
		Principal  bool            `json:"principal_matches"`
		Resource   bool            `json:"resource_matches"`
		Conditions []conditionView `json:"conditions,omitempty"`
		Matches    bool            `json:"matches"`
		Line       int32           `json:"line,omitempty"`
	}
	layerView struct {
		Layer      string          `json:"layer"`
		PolicyID   string          `json:"policy_id"`
		PolicyType string          `json:"policy_type"`
		Result     string          `json:"result"`
		Statements []statementView `json:"statements"`
	}
	missView struct {
		PolicyID  string `json:"policy_id"`
		Statement int32  `json:"statement"`
		Element   string `json:"element"`
		Needed    string `json:"needed"`
	}
	explanationView struct {
		RequestID string              `json:"request_id"`
		Time      time.Time           `json:"event_time,omitzero"`
		Principal string              `json:"principal_arn"`
		Action    string              `json:"action"`
		Resource  string              `json:"resource_arn"`
		Decision  string              `json:"decision"`
		Reason    string              `json:"reason"`
		Layer     string              `json:"layer,omitempty"`
		Nearest   *missView           `json:"nearest_miss,omitempty"`
		Missing   []string            `json:"missing_context_values"`
		Context   map[string][]string `json:"context_entries"`
		Layers    []layerView         `json:"layers"`
		Truncated bool                `json:"truncated,omitempty"`
	}
)

// decisionName is a decision as AWS writes it: "explicitDeny".
func decisionName(d iamv1.PolicyEvaluationDecisionType) string {
	words := strings.Split(strings.ToLower(trimEnum(d, "POLICY_EVALUATION_DECISION_TYPE_")), "_")
	for i := 1; i < len(words); i++ {
		words[i] = title(strings.ToUpper(words[i]))
	}
	return strings.Join(words, "")
}

func viewOfLayer(l *iamv1.LayerResult) layerView {
	return layerView{
		Layer: l.GetLayer(), PolicyID: l.GetPolicyId(), PolicyType: strings.ToLower(trimEnum(l.GetPolicyType(), "POLICY_SOURCE_TYPE_")), Result: decisionName(l.GetResult()),
		Statements: each(l.GetStatements(), func(s *iamv1.StatementResult) statementView {
			return statementView{
				Sid: s.GetSid(), Index: s.GetIndex(), Effect: s.GetEffect(), Action: s.GetActionMatches(), Principal: s.GetPrincipalMatches(), Resource: s.GetResourceMatches(),
				Matches: s.GetMatches(), Line: s.GetStartPosition().GetLine(), Conditions: each(s.GetConditions(), func(c *iamv1.ConditionResult) conditionView {
					return conditionView{c.GetOperator(), c.GetKey(), c.GetValues(), c.GetRequestValues(), c.GetPresent(), c.GetMatches()}
				}),
			}
		}),
	}
}

func viewOfExplanation(e *iamv1.Explanation) explanationView {
	v := explanationView{
		RequestID: e.GetRequestId(), Time: e.GetEventTime().AsTime(), Principal: e.GetPrincipalArn(), Action: e.GetAction(), Resource: e.GetResourceArn(),
		Decision: decisionName(e.GetDecision()), Reason: e.GetReason(), Layer: e.GetLayer(), Missing: append([]string{}, e.GetMissingContextValues()...),
		Context: map[string][]string{}, Layers: each(e.GetLayers(), viewOfLayer), Truncated: e.GetTruncated(),
	}
	for _, c := range e.GetContextEntries() {
		v.Context[c.GetContextKeyName()] = c.GetContextKeyValues()
	}
	if m := e.GetNearestMiss(); e.HasNearestMiss() {
		v.Nearest = &missView{m.GetPolicyId(), m.GetStatement(), m.GetElement(), m.GetNeeded()}
	}
	return v
}

func (a *app) policyExplainCommand() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use: "explain REQUEST-ID", Short: "show why a call was denied", Args: takes("[REQUEST-ID]"),
		Long: `explain shows why kmsd denied a call: first the statement that failed on one element only, if there is one (other limits may deny the call besides), then the
policies that were asked, with the statements that are about the action or fail on it alone.
The call is named by its request id, which errors of kmsctl and the audit log show. kmsd knows the denied calls of the last 24 hours. Needs kmsd's own permission
authz:ExplainDecision, for the trace shows policies.`,
		Example: "  kmsctl policy explain 6f0b1c9e-8e0b-4f5e-9c55-0d7f3c1a2b3c\n  kmsctl policy explain --request-id 6f0b1c9e-8e0b-4f5e-9c55-0d7f3c1a2b3c -o json",
	}
	cmd.Flags().StringVar(&id, "request-id", "", "the `ID` of the call")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		if (id == "") == (len(args) == 0) {
			return usage("give the request id of a denied call")
		}
		if id == "" {
			id = args[0]
		}
		out, err := c.IAM().ExplainDecision(ctx, iamv1.ExplainDecisionRequest_builder{RequestId: id}.Build())
		if err != nil {
			return err
		}
		v := viewOfExplanation(out.GetExplanation())
		if a.output != formatTable {
			return a.emit(v, nil)
		}
		return a.explain(v)
	})
	return cmd
}

// explain prints an explanation for people: what to change first, then why.
func (a *app) explain(v explanationView) error {
	b := &tracer{a: a}
	b.heading("%s of %s", v.Decision, v.Action)
	b.line("  principal  %s", v.Principal)
	b.line("  resource   %s", v.Resource)
	b.line("  when       %s", stamp(v.Time))
	b.line("  reason     %s", v.Reason)
	b.line("")
	if m := v.Nearest; m != nil {
		b.heading("Nearest miss")
		b.line("  statement %d of %s fails on %s only", m.Statement, m.PolicyID, m.Element)
		b.line("  needed: %s", m.Needed)
		b.line("")
	}
	if len(v.Missing) > 0 {
		b.line("The request has no value for: %s", strings.Join(v.Missing, ", "))
		b.line("")
	}
	b.layers(v.Layers)
	if v.Truncated {
		b.line("")
		b.line("There was more than an explanation holds: some of the values, or of the grants, are left out.")
	}
	_, err := io.WriteString(a.stdout, b.text.String())
	return err
}

// tracer writes a trace as a tree.
type tracer struct {
	a    *app
	text strings.Builder
}

// shown is text that is escaped, and may have a colour.
type shown string

// line writes one line; texts among its arguments are escaped.
func (b *tracer) line(format string, args ...any) {
	for i, v := range args {
		if s, ok := v.(string); ok {
			args[i] = printable(s)
		}
	}
	fmt.Fprintf(&b.text, format+"\n", args...)
}

func (b *tracer) heading(format string, args ...any) {
	b.line("%s", shown(b.a.colour(bold, printable(fmt.Sprintf(format, args...)))))
}

// layers writes the policies, a heading for each layer.
func (b *tracer) layers(layers []layerView) {
	last := ""
	for _, l := range layers {
		if l.Layer != last {
			b.heading("%s", l.Layer)
			last = l.Layer
		}
		b.line("├─ %s: %s", l.PolicyID, b.mark(l.Result))
		for _, s := range l.Statements {
			b.statement(s)
		}
	}
}

func (b *tracer) mark(result string) shown {
	code := map[string]string{"allowed": green, "explicitDeny": red}[result]
	if code == "" {
		return shown(printable(result))
	}
	return shown(b.a.colour(code, result))
}

func (b *tracer) statement(s statementView) {
	name := fmt.Sprintf("statement %d", s.Index)
	if s.Sid != "" {
		name += " " + s.Sid
	}
	if s.Line > 0 {
		name += fmt.Sprintf(", line %d", s.Line)
	}
	verdict := "does not match"
	if s.Matches {
		verdict = "matches"
	}
	b.line("│  ├─ %s: %s, %s", name, s.Effect, verdict)
	if s.Matches {
		return
	}
	for _, e := range []struct {
		name string
		ok   bool
	}{{"Action", s.Action}, {"Principal", s.Principal}, {"Resource", s.Resource}} {
		if !e.ok {
			b.line("│  │  ✗ %s", e.name)
		}
	}
	for _, c := range s.Conditions {
		if c.Matches {
			continue
		}
		has := "the request has none"
		if c.Present {
			has = "the request has " + quotedList(c.Request)
		}
		b.line("│  │  ✗ Condition %s %s: wants %s, %s", c.Operator, c.Key, quotedList(c.Values), has)
	}
}

// quotedList is texts for a sentence.
func quotedList(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	var all []string
	for _, s := range list {
		all = append(all, fmt.Sprintf("%q", shorten(s, 200)))
	}
	return strings.Join(all, " or ")
}
