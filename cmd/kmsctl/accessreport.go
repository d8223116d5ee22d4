package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/audit"
)

func (a *app) iamCommand() *cobra.Command {
	return a.group(&cobra.Command{
		Use: "iam", Short: "reports on who uses what",
		Long:    "iam holds reports on permissions. They read the files of an audit log and need no kmsd and no credentials.",
		Example: "  kmsctl iam access-report kmsd-data/audit --days 90",
	}, a.accessReportCommand())
}

// maxUses bounds the memory of a report: how many different uses it can tell apart.
const maxUses = 500_000

// use is something that a principal did: how often, and when last.
type use struct {
	Count int64     `json:"count"`
	Last  time.Time `json:"last_used"`
}

func (u *use) add(t time.Time) {
	u.Count++
	if t.After(u.Last) {
		u.Last = t
	}
}

type (
	statementKey struct{ policy, statement string }
	actionKey    struct{ action, resource string }
	// footprint is all that one principal did.
	footprint struct {
		total      use
		denied     int64
		statements map[statementKey]*use
		actions    map[actionKey]*use
	}
)

// accessReport gathers what the log tells of permissions that were used.
type accessReport struct {
	principals map[string]*footprint
	uses       int
}

var errManyUses = fmt.Errorf("more than %d different uses", maxUses)

// add takes one record in. Only decisions count, and of a call its outcome only: as a use if the call was allowed and carried out. A dry run, a call
// that failed, and one that needs no permission show no use.
func (r *accessReport) add(rec *audit.Record) error {
	if rec.Phase != audit.PhaseOutcome || rec.Decision.Result != audit.ResultAllow && rec.Decision.Result != audit.ResultDeny {
		return nil
	}
	who := rec.Actor.Session.Issuer // of the role, whatever the session
	if who == "" {
		who = rec.Actor.ARN
	}
	if who == "" {
		return nil
	}
	p := r.principals[who]
	if p == nil {
		p = &footprint{statements: map[statementKey]*use{}, actions: map[actionKey]*use{}}
		r.principals[who] = p
		r.uses++
	}
	if rec.Decision.Result == audit.ResultDeny {
		p.denied++
		return nil
	}
	actions := actionsOf(rec)
	if len(actions) == 0 || rec.Outcome.Status != codes.OK.String() || isRehearsal(rec) {
		return nil
	}
	p.total.add(rec.Time)
	for i, policy := range rec.Decision.MatchedPolicies {
		k := statementKey{policy: policy}
		if i < len(rec.Decision.MatchedStatements) {
			k.statement = rec.Decision.MatchedStatements[i]
		}
		r.used(p.statements, k, rec.Time)
	}
	if rec.Decision.GrantID != "" {
		r.used(p.statements, statementKey{policy: "grant " + rec.Decision.GrantID}, rec.Time)
	}
	for _, action := range actions {
		for _, resource := range resourcesOf(action, rec) {
			k := actionKey{action, resource}
			if p.actions[k] == nil {
				p.actions[k] = &use{}
				r.uses++
			}
			p.actions[k].add(rec.Time)
		}
	}
	if r.uses > maxUses {
		return errManyUses
	}
	return nil
}

func (r *accessReport) used(m map[statementKey]*use, k statementKey, t time.Time) {
	if m[k] == nil {
		m[k] = &use{}
		r.uses++
	}
	m[k].add(t)
}

// isRehearsal reports whether a record is of a dry run.
func isRehearsal(rec *audit.Record) bool {
	var line struct {
		Request struct {
			DryRun bool `json:"dryRun"`
		} `json:"request"`
	}
	return json.Unmarshal(rec.Raw, &line) == nil && line.Request.DryRun
}

// actionsOf returns the actions that a call needs permission for: none for those that anybody may make.
func actionsOf(rec *audit.Record) []string {
	switch rec.EventName {
	case "GetCallerIdentity", "GetSessionToken":
		return nil
	case "ReEncrypt":
		return []string{"kms:ReEncryptFrom", "kms:ReEncryptTo"}
	case "ExplainDecision":
		return []string{"authz:ExplainDecision"}
	}
	service, _, _ := strings.Cut(rec.EventSource, ".")
	return []string{service + ":" + rec.EventName}
}

// inRole reports whether an action is asked on what has a role in a call: of a call with two keys, each action is on one.
func inRole(action, role string) bool {
	switch action {
	case "kms:ReEncryptFrom":
		return role != "destination"
	case "kms:ReEncryptTo":
		return role != "source"
	}
	return true
}

// onAnything reports whether no resource can be given for an action.
func onAnything(action string) bool {
	switch action {
	case "kms:CreateKey", "kms:ListKeys", "kms:ListAliases", "kms:GenerateRandom", "kms:ListRetirableGrants",
		"iam:ListUsers", "iam:ListGroups", "iam:ListRoles", "iam:ListPolicies", "iam:ListOpenIDConnectProviders", "iam:SimulateCustomPolicy",
		"organizations:DescribeOrganization", "organizations:CreateAccount", "organizations:ListAccounts", "organizations:ListRoots", "organizations:CreatePolicy",
		"organizations:ListPolicies", "authz:ExplainDecision":
		return true
	}
	return false
}

// resourcesOf returns the ARNs that a call needs the action on.
func resourcesOf(action string, rec *audit.Record) []string {
	if onAnything(action) || len(rec.Resources) == 0 {
		return []string{"*"}
	}
	var all []string
	for _, r := range rec.Resources {
		ofKey := strings.HasPrefix(action, "kms:") && !strings.HasSuffix(action, "Alias")
		if r.ARN == "" || !inRole(action, r.Role) || ofKey && !strings.Contains(r.ARN, ":key/") || slices.Contains(all, r.ARN) {
			continue // an alias names the key, and permission is asked on the key
		}
		all = append(all, r.ARN)
	}
	return all
}

// The views of a report, as JSON shows it.
type (
	statementUse struct {
		Policy    string `json:"policy"`
		Statement int    `json:"statement,omitempty"`
		use
		Unused bool `json:"unused"`
	}
	actionUse struct {
		Action   string `json:"action"`
		Resource string `json:"resource"`
		use
		Unused bool `json:"unused"`
	}
	principalUse struct {
		Principal  string          `json:"principal"`
		Last       time.Time       `json:"last_used,omitzero"`
		Count      int64           `json:"count"`
		Denied     int64           `json:"denied"`
		Unused     bool            `json:"unused"`
		Statements []statementUse  `json:"statements"`
		Actions    []actionUse     `json:"actions"`
		Policy     *proposedPolicy `json:"proposed_policy"`
	}
)

func (a *app) accessReportCommand() *cobra.Command {
	var days int
	var principal, since string
	var policies bool
	cmd := &cobra.Command{
		Use: "access-report DIR", Short: "show which permissions were used, and propose smaller policies", Args: takes("DIR"),
		Long: `access-report reads the audit log in the folder DIR and shows, for each principal, which statements of which policies allowed the calls that succeeded, dry runs
left out, how often and when last, and which actions it used on what. What was used, but not in the last --days, is marked unused. A role counts as one principal, whatever its sessions.
With --policies it prints, instead, a minimal policy for each principal: what it used in those days and nothing else. It knows the log only: what was never used
is in no log, and conditions are yours to add; look at kmsctl policy diff and simulate before you put it. The chain of the log is not checked: kmsctl audit verify does.`,
		Example: `  kmsctl iam access-report kmsd-data/audit --days 90
  kmsctl iam access-report kmsd-data/audit --principal arn:aws:iam::111122223333:role/night-batch --policies > policy.json
  kmsctl iam access-report kmsd-data/audit --since 30d -o json`,
	}
	cmd.Flags().IntVar(&days, "days", 90, "what was not used for so many days is unused, 1 to 3650")
	cmd.Flags().StringVar(&principal, "principal", "", "only the principal `ARN`; of a role, the role's")
	cmd.Flags().StringVar(&since, "since", "", "only records from this `TIME` on: RFC 3339, a date, or how long ago (36h, 7d)")
	cmd.Flags().BoolVar(&policies, "policies", false, "print the proposed policies")
	cmd.RunE = a.runs(func(ctx context.Context, args []string) error {
		if days < 1 || days > 3650 {
			return usage("--days %d: must be 1 to 3650", days)
		}
		from, err := instant("since", since)
		if err != nil {
			return err
		}
		r := &accessReport{principals: map[string]*footprint{}}
		err = audit.Scan(ctx, args[0], audit.Filter{Since: from}, func(rec *audit.Record) error {
			if principal != "" && rec.Actor.Session.Issuer != principal && (rec.Actor.Session.Issuer != "" || rec.Actor.ARN != principal) {
				return nil
			}
			return r.add(rec)
		})
		if errors.Is(err, errManyUses) {
			return hintAt(err, "--principal and --since make it less")
		}
		if err != nil {
			return err
		}
		all := r.views(time.Now().AddDate(0, 0, -days))
		if policies {
			return a.showProposals(all, principal != "")
		}
		return a.showAccess(all)
	})
	return cmd
}

// views orders what was gathered: principals by name, uses by name.
func (r *accessReport) views(edge time.Time) []principalUse {
	all := []principalUse{}
	for _, who := range slices.Sorted(maps.Keys(r.principals)) {
		p := r.principals[who]
		v := principalUse{
			Principal: who, Last: p.total.Last, Count: p.total.Count, Denied: p.denied, Unused: p.total.Last.Before(edge), Statements: []statementUse{}, Actions: []actionUse{},
		}
		for k, u := range p.statements {
			n, _ := strconv.Atoi(k.statement) // a grant has none
			v.Statements = append(v.Statements, statementUse{k.policy, n, *u, u.Last.Before(edge)})
		}
		for k, u := range p.actions {
			v.Actions = append(v.Actions, actionUse{k.action, k.resource, *u, u.Last.Before(edge)})
		}
		slices.SortFunc(v.Statements, func(x, y statementUse) int {
			return cmp.Or(strings.Compare(x.Policy, y.Policy), cmp.Compare(x.Statement, y.Statement))
		})
		slices.SortFunc(v.Actions, func(x, y actionUse) int {
			return cmp.Or(strings.Compare(x.Action, y.Action), strings.Compare(x.Resource, y.Resource))
		})
		v.Policy = propose(v.Actions)
		all = append(all, v)
	}
	return all
}

func (a *app) showAccess(all []principalUse) error {
	if a.output != formatTable {
		return a.emit(all, nil)
	}
	if len(all) == 0 {
		a.say("no records fit")
		return nil
	}
	b := &tracer{a: a}
	for i, p := range all {
		if i > 0 {
			b.line("")
		}
		b.heading("%s", p.Principal)
		b.line("  %d calls allowed, the last at %s; %d denied%s", p.Count, stamp(p.Last), p.Denied, unusedMark(p.Unused))
		for _, s := range p.Statements {
			name := s.Policy
			if s.Statement > 0 {
				name += fmt.Sprintf(", statement %d", s.Statement)
			}
			b.line("  by   %-60s  %8d  %s%s", name, s.Count, stamp(s.Last), unusedMark(s.Unused))
		}
		for _, u := range p.Actions {
			b.line("  did  %-60s  %8d  %s%s", u.Action+" "+u.Resource, u.Count, stamp(u.Last), unusedMark(u.Unused))
		}
	}
	_, err := io.WriteString(a.stdout, b.text.String())
	return err
}

func unusedMark(unused bool) string {
	if unused {
		return "  UNUSED"
	}
	return ""
}
