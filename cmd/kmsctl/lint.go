package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/authz/diff"
	"github.com/kmsd/kmsd/authz/lint"
)

// kindFlag is --kind of a policy in a file.
type kindFlag struct{ given string }

func (k *kindFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.given, "kind", "identity", "`KIND` of the policy: identity, key, trust, session, scp or rcp")
}

func (k *kindFlag) value() (authz.PolicyKind, error) {
	kinds := map[string]authz.PolicyKind{
		"identity": authz.IdentityPolicy, "key": authz.KeyPolicy, "trust": authz.TrustPolicy, "session": authz.SessionPolicy, "scp": authz.ServiceControlPolicy,
		"rcp": authz.ResourceControlPolicy,
	}
	kind, ok := kinds[strings.ToLower(k.given)]
	if !ok {
		return 0, usage("--kind %q: must be identity, key, trust, session, scp or rcp", k.given)
	}
	return kind, nil
}

// findingView is what lint found, as JSON shows it.
type findingView struct {
	Severity  string `json:"severity"`
	Code      string `json:"code"`
	Message   string `json:"message"`
	Fix       string `json:"fix,omitempty"`
	Statement int    `json:"statement,omitempty"`
	Line      int    `json:"line,omitempty"`
	Column    int    `json:"column,omitempty"`
}

// severityNames are the severities as kmsd's answers have them.
var severityNames = map[lint.Severity]string{
	lint.Error: "ERROR", lint.SecurityWarning: "SECURITY_WARNING", lint.Warning: "WARNING", lint.Suggestion: "SUGGESTION",
}

func (a *app) policyLintCommand() *cobra.Command {
	var kind kindFlag
	cmd := &cobra.Command{
		Use: "lint FILE", Short: "check a policy document", Args: takes("FILE"),
		Long: `lint checks the document in FILE (- for standard input), as kmsd does when a policy is put, and says what to write instead. It needs no kmsd and no
credentials. The exit code is 1 if there is an error or a security warning. docs/policies.md lists the checks.`,
		Example: "  kmsctl policy lint policy.json\n  kmsctl policy lint key-policy.json --kind key -o json",
	}
	kind.add(cmd)
	cmd.RunE = a.runs(func(ctx context.Context, args []string) error {
		k, err := kind.value()
		if err != nil {
			return err
		}
		doc, err := a.read(ctx, args[0], maxPolicy)
		if err != nil {
			return err
		}
		return a.showFindings(args[0], lint.Lint(k, doc))
	})
	return cmd
}

func (a *app) showFindings(name string, found []lint.Finding) error {
	views, grave := []findingView{}, 0
	for _, f := range found {
		views = append(views, findingView{severityNames[f.Severity], f.Code, f.Message, f.Fix, f.Statement, f.Line, f.Column})
		if f.Severity == lint.Error || f.Severity == lint.SecurityWarning {
			grave++
		}
	}
	if a.output != formatTable {
		if err := a.emit(views, nil); err != nil {
			return err
		}
	} else {
		b := &tracer{a: a}
		for _, v := range views {
			where := name
			if v.Line > 0 {
				where += fmt.Sprintf(":%d:%d", v.Line, v.Column)
			}
			b.line("%s: %s: %s: %s", where, strings.ToLower(strings.ReplaceAll(v.Severity, "_", " ")), v.Code, v.Message)
			if v.Fix != "" {
				b.line("  fix: %s", v.Fix)
			}
		}
		if _, err := io.WriteString(a.stdout, b.text.String()); err != nil {
			return err
		}
		if len(views) == 0 {
			a.say("nothing was found")
		}
	}
	if grave > 0 {
		return fmt.Errorf("%d of %d findings are errors or security warnings", grave, len(found))
	}
	return nil
}

func (a *app) policyDiffCommand() *cobra.Command {
	var kind kindFlag
	var account string
	var gate bool
	cmd := &cobra.Command{
		Use: "diff OLD NEW", Short: "say which access a change of a policy opens and closes", Args: takes("OLD", "NEW"),
		Long: `diff compares two versions of a policy and says which access the new one opens and which it closes, each with a request that shows it: what is certain,
kmsd's own decision has confirmed, what is possible could not be ruled out. No new access is missed. It needs no kmsd and no credentials, and knows no other policies. With
--no-new-access the exit code is 5 if the new version opens anything.`,
		Example: "  kmsctl policy diff old.json new.json\n  kmsctl policy diff old.json new.json --kind scp --no-new-access",
	}
	kind.add(cmd)
	cmd.Flags().StringVar(&account, "account", "", "id of the `ACCOUNT` that the policy is in (default: the first that the documents name)")
	cmd.Flags().BoolVar(&gate, "no-new-access", false, "end with exit code 5 if access is opened")
	cmd.RunE = a.runs(func(ctx context.Context, args []string) error {
		k, err := kind.value()
		if err != nil {
			return err
		}
		if args[0] == standard && args[1] == standard {
			return usage("only one of OLD and NEW can be standard input")
		}
		var docs [2][]byte
		for i, path := range args {
			if docs[i], err = a.read(ctx, path, maxPolicy); err != nil {
				return err
			}
			if _, err := authz.Parse(k, docs[i]); err != nil {
				return documentFault(fmt.Errorf("%s: %w", path, err), string(docs[i]))
			}
		}
		r, err := diff.Compare(k, docs[0], docs[1], diff.Options{Account: account})
		if err != nil {
			return err
		}
		if err := a.showDiff(r); err != nil {
			return err
		}
		if gate && (len(r.Opens) > 0 || r.TooComplex) {
			return &codedError{fmt.Errorf("the new version opens access"), "", exitConflict}
		}
		return nil
	})
	return cmd
}

func (a *app) showDiff(r diff.Result) error {
	if a.output != formatTable {
		return a.emit(r, nil)
	}
	b := &tracer{a: a}
	b.accesses("Opens", r.Opens)
	b.accesses("Closes", r.Closes)
	if r.TooComplex {
		b.line("The policies are too complex to compare whole: more may be opened or closed.")
	}
	if b.text.Len() == 0 {
		a.say("nothing is opened or closed")
		return nil
	}
	_, err := io.WriteString(a.stdout, b.text.String())
	return err
}

// throughWords say what else a request needs.
var throughWords = map[diff.Through]string{
	diff.Alone: "nothing else is needed", diff.WithIdentity: "if an identity-based policy of the caller allows it, too", diff.PastLimits: "nothing else is needed, and boundaries and session policies do not limit it",
	diff.Undenied: "if something else allows it",
}

// accesses writes what is opened or closed.
func (b *tracer) accesses(what string, list []diff.Access) {
	for _, acc := range list {
		sure := "possibly"
		if acc.Certain {
			sure = "certainly"
		}
		b.heading("%s %s: %s", what, sure, strings.Join(acc.Actions, ", "))
		b.line("  for     %s", acc.Principal)
		b.line("  on      %s", acc.Resource)
		b.line("  by      statement %d; %s", acc.Statement, throughWords[acc.Through])
		if e := acc.Example; e != nil {
			b.line("  as in   %s by %s on %s", e.Action, e.Principal, e.Resource)
			for _, entry := range e.Context {
				b.line("          with %s = %s", entry.Key, strings.Join(entry.Values, ", "))
			}
		}
	}
}
