package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

func (a *app) policyCommand() *cobra.Command {
	return a.group(&cobra.Command{
		Use: "policy", Short: "manage, explain and check policies",
		Long: `A policy is a JSON document in AWS's policy language. A managed policy has a name and versions of its own, and is attached to users, groups and roles
(kmsctl user attach-policy …); an inline policy belongs to one of them, which --user, --group or --role names. POLICY is the ARN of a managed policy, or its name.

simulate says what policies would decide; explain, why a call was denied; lint and diff read files and need no kmsd.`,
		Example: `  kmsctl policy create decrypt-app policy.json
  kmsctl user attach-policy alice decrypt-app
  kmsctl policy put --user alice crypto policy.json
  kmsctl policy list --user alice
  kmsctl policy explain 6f0b1c9e-8e0b-4f5e-9c55-0d7f3c1a2b3c`,
	},
		a.policyPutCommand(), a.policyCreateCommand(), a.policyGetCommand(), a.policyListCommand(), a.policyDeleteCommand(), a.policyEntitiesCommand(),
		a.policyVersionsCommand(), a.createVersionCommand(), a.setDefaultVersionCommand(), a.deleteVersionCommand(),
		a.policySimulateCommand(), a.policyExplainCommand(), a.policyLintCommand(), a.policyDiffCommand(),
	)
}

// policyARN returns the ARN of the managed policy that text names: an ARN, or a name, of the account's own first. "" stays so.
func policyARN(ctx context.Context, c *client.Client, text string) (string, error) {
	if text == "" || strings.HasPrefix(text, "arn:") {
		return text, nil
	}
	all, err := listPolicies(ctx, c, &iamv1.ListPoliciesRequest{})
	if err != nil {
		return "", hintAt(fmt.Errorf("looking for the policy %s: %w", text, err), "give the policy's ARN")
	}
	found := ""
	for _, p := range all {
		if !strings.EqualFold(p.GetPolicyName(), text) {
			continue
		}
		if found == "" || strings.Contains(found, ":iam::aws:") {
			found = p.GetArn()
		}
	}
	if found == "" {
		return "", &codedError{fmt.Errorf("there is no managed policy %q", text), "kmsctl policy list", exitNotFound}
	}
	return found, nil
}

func listPolicies(ctx context.Context, c *client.Client, r *iamv1.ListPoliciesRequest) ([]*iamv1.Policy, error) {
	return allPages(func(marker string) ([]*iamv1.Policy, string, error) {
		r.SetMarker(marker)
		r.SetMaxItems(1000)
		out, err := c.IAM().ListPolicies(ctx, r)
		return out.GetPolicies(), out.GetMarker(), err
	})
}

func (a *app) policyPutCommand() *cobra.Command {
	var of ownerFlags
	cmd := &cobra.Command{
		Use: "put --user NAME|--group NAME|--role NAME POLICY-NAME [FILE]", Short: "add or replace an inline policy", Args: takes("POLICY-NAME", "[FILE]"),
		Long: `put gives a user, a group or a role the policy in FILE, or on standard input, under a name. All inline policies of a user have at most 2048
characters together, of a group 5120, of a role 10240; white space does not count. What the check of the policy finds is said, and does not keep it from being put.`,
		Example: "  kmsctl policy put --user alice crypto policy.json\n  kmsctl policy put --group operators crypto policy.json",
	}
	of.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		i, name, err := of.owner()
		if err != nil {
			return err
		}
		if name == "" {
			return hintAt(usage("%s: --user, --group or --role is missing", cmd.CommandPath()), "a managed policy is made by kmsctl policy create, and changed by kmsctl policy create-version")
		}
		document, err := a.policyInput(ctx, args, 1)
		if err != nil {
			return err
		}
		return a.putInline(ctx, c, i, name, args[0], document)
	})
	return cmd
}

// policyView is a managed policy as JSON shows it.
type policyView struct {
	PolicyName  string    `json:"policy_name"`
	PolicyID    string    `json:"policy_id"`
	ARN         string    `json:"arn"`
	Path        string    `json:"path"`
	Version     string    `json:"default_version_id"`
	Attachments int32     `json:"attachment_count"`
	Boundaries  int32     `json:"permissions_boundary_usage_count"`
	Description string    `json:"description"`
	Created     time.Time `json:"create_date"`
	Updated     time.Time `json:"update_date"`

	Document json.RawMessage `json:"policy_document,omitempty"`
}

func viewOfPolicy(p *iamv1.Policy) policyView {
	return policyView{
		PolicyName: p.GetPolicyName(), PolicyID: p.GetPolicyId(), ARN: p.GetArn(), Path: p.GetPath(), Version: p.GetDefaultVersionId(), Attachments: p.GetAttachmentCount(),
		Boundaries: p.GetPermissionsBoundaryUsageCount(), Description: p.GetDescription(), Created: p.GetCreateDate().AsTime(), Updated: p.GetUpdateDate().AsTime(),
	}
}

func (p policyView) table() view {
	return pairs("name", p.PolicyName, "policy id", p.PolicyID, "arn", p.ARN, "version", p.Version, "attached", fmt.Sprint(p.Attachments), "boundary of", fmt.Sprint(p.Boundaries),
		"description", p.Description, "created", stamp(p.Created), "updated", stamp(p.Updated))
}

func (a *app) policyCreateCommand() *cobra.Command {
	var path, description string
	cmd := &cobra.Command{
		Use: "create NAME [FILE]", Short: "make a managed policy", Args: takes("NAME", "[FILE]"),
		Long: `create makes a managed policy of the document in FILE, or on standard input, of at most 6144 characters. It is attached to nothing yet. What the
check of the policy finds is said, and does not keep it from being made.`,
		Example: "  kmsctl policy create decrypt-app policy.json --description 'decrypt under the key of the app'",
	}
	cmd.Flags().StringVar(&path, "path", "", "`PATH` in the policy's ARN, such as /services/")
	cmd.Flags().StringVar(&description, "description", "", "`TEXT` that says what the policy is for; it cannot be changed")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		document, err := a.policyInput(ctx, args, 1)
		if err != nil {
			return err
		}
		out, err := c.IAM().CreatePolicy(ctx, iamv1.CreatePolicyRequest_builder{PolicyName: args[0], Path: path, PolicyDocument: document, Description: description}.Build())
		if err != nil {
			return policyFault(err, document)
		}
		a.findings(out.GetFindings(), true)
		v := viewOfPolicy(out.GetPolicy())
		return a.emit(v, v.table)
	})
	return cmd
}

func (a *app) policyGetCommand() *cobra.Command {
	var of ownerFlags
	var version string
	cmd := &cobra.Command{
		Use: "get POLICY | get --user NAME POLICY-NAME", Short: "print a policy", Args: takes("POLICY"),
		Long:    "get prints the document of a policy as it was put; with -o json or yaml, with what else is known around it. POLICY is a managed policy, or with --user, --group or --role an inline one.",
		Example: "  kmsctl policy get decrypt-app\n  kmsctl policy get decrypt-app --version v2\n  kmsctl policy get --user alice crypto > policy.json",
	}
	of.add(cmd)
	cmd.Flags().StringVar(&version, "version", "", "`ID` of the version, such as v2 (default: the one that counts)")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		i, name, err := of.owner()
		switch {
		case err != nil:
			return err
		case name != "" && version != "":
			return usage("--version: an inline policy has no versions")
		case name != "":
			return a.showInline(ctx, c, i, name, args[0])
		}
		return a.showPolicy(ctx, c, args[0], version)
	})
	return cmd
}

func (a *app) showPolicy(ctx context.Context, c *client.Client, policy, version string) error {
	arn, err := policyARN(ctx, c, policy)
	if err != nil {
		return err
	}
	p, err := c.IAM().GetPolicy(ctx, iamv1.GetPolicyRequest_builder{PolicyArn: arn}.Build())
	if err != nil {
		return err
	}
	if version == "" {
		version = p.GetPolicy().GetDefaultVersionId()
	}
	out, err := c.IAM().GetPolicyVersion(ctx, iamv1.GetPolicyVersionRequest_builder{PolicyArn: arn, VersionId: version}.Build())
	if err != nil {
		return err
	}
	document := out.GetPolicyVersion().GetDocument()
	if a.output == formatTable {
		return a.printDocument(document)
	}
	v := viewOfPolicy(p.GetPolicy())
	v.Document = json.RawMessage(document)
	return a.emit(v, nil)
}

func (a *app) policyListCommand() *cobra.Command {
	var of ownerFlags
	var scope, prefix string
	var attached bool
	cmd := &cobra.Command{
		Use: "list | list --user NAME", Short: "list managed policies, or the inline policies of an identity", Args: takes(),
		Long:    "list shows the managed policies of the account and those that come with kmsd, or with --user, --group or --role the names of the inline policies of that one.",
		Example: "  kmsctl policy list\n  kmsctl policy list --scope local --attached -o json\n  kmsctl policy list --user alice",
	}
	of.add(cmd)
	cmd.Flags().StringVar(&scope, "scope", "all", "`SCOPE`: all, local for those of the account, aws for those that come with kmsd")
	cmd.Flags().StringVar(&prefix, "path-prefix", "", "only policies whose path begins with `PREFIX`")
	cmd.Flags().BoolVar(&attached, "attached", false, "only policies that are attached")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		i, name, err := of.owner()
		if err != nil {
			return err
		}
		if name != "" {
			return a.listInline(ctx, c, i, name)
		}
		t, ok := iamv1.PolicyScopeType_value["POLICY_SCOPE_TYPE_"+strings.ToUpper(scope)]
		if !ok || t == 0 {
			return usage("--scope %q: must be all, local or aws", scope)
		}
		all, err := listPolicies(ctx, c, iamv1.ListPoliciesRequest_builder{Scope: iamv1.PolicyScopeType(t), OnlyAttached: attached, PathPrefix: prefix}.Build())
		if err != nil {
			return err
		}
		return listing(a, each(all, viewOfPolicy), "there are no managed policies", []string{"POLICY", "VERSION", "ATTACHED", "BOUNDARY OF", "ARN"}, func(p policyView) []string {
			return []string{p.PolicyName, p.Version, fmt.Sprint(p.Attachments), fmt.Sprint(p.Boundaries), p.ARN}
		})
	})
	return cmd
}

func (a *app) policyDeleteCommand() *cobra.Command {
	var of ownerFlags
	cmd := &cobra.Command{
		Use: "delete POLICY | delete --user NAME POLICY-NAME", Short: "remove a policy", Args: takes("POLICY"),
		Long:    "delete removes a managed policy that is attached to nothing and has one version, or with --user, --group or --role an inline policy of that one.",
		Example: "  kmsctl policy delete decrypt-app\n  kmsctl policy delete --user alice crypto",
	}
	of.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		i, name, err := of.owner()
		if err != nil {
			return err
		}
		if name != "" {
			return a.removeInline(ctx, c, i, name, args[0])
		}
		arn, err := policyARN(ctx, c, args[0])
		if err != nil {
			return err
		}
		if err := a.confirm("Delete the policy %s?", arn); err != nil {
			return err
		}
		if _, err := c.IAM().DeletePolicy(ctx, iamv1.DeletePolicyRequest_builder{PolicyArn: arn}.Build()); err != nil {
			return conflictHint(err, "kmsctl policy entities shows what it is attached to, kmsctl policy versions its versions: detach and delete them first")
		}
		return a.done(removed{PolicyARN: arn}, "deleted the policy %s", arn)
	})
	return cmd
}

// conflictHint says what to do about what still hangs on something.
func conflictHint(err error, text string) error {
	var e *client.Error
	if errors.As(err, &e) && strings.HasPrefix(e.Reason, "DeleteConflict") {
		return hintAt(err, text)
	}
	return err
}
