package main

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
)

// controlView is a policy of the organization as JSON shows it.
type controlView struct {
	ID          string          `json:"id"`
	ARN         string          `json:"arn"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Type        string          `json:"type"`
	AWSManaged  bool            `json:"aws_managed"`
	Content     json.RawMessage `json:"content,omitempty"`
}

func viewOfControl(p *organizationsv1.PolicySummary) controlView {
	return controlView{ID: p.GetId(), ARN: p.GetArn(), Name: p.GetName(), Description: p.GetDescription(), Type: trimEnum(p.GetType(), "POLICY_TYPE_"), AWSManaged: p.GetAwsManaged()}
}

func (v controlView) table() view {
	return pairs("id", v.ID, "arn", v.ARN, "name", v.Name, "type", v.Type, "description", v.Description)
}

// typeFlag is --type of a policy of the organization.
type typeFlag struct{ given string }

func (t *typeFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.given, "type", "SERVICE_CONTROL_POLICY", "`TYPE`: SERVICE_CONTROL_POLICY or scp, RESOURCE_CONTROL_POLICY or rcp")
}

func (t *typeFlag) value() (organizationsv1.PolicyType, error) {
	switch strings.ToUpper(t.given) {
	case "SERVICE_CONTROL_POLICY", "SCP":
		return organizationsv1.PolicyType_POLICY_TYPE_SERVICE_CONTROL_POLICY, nil
	case "RESOURCE_CONTROL_POLICY", "RCP":
		return organizationsv1.PolicyType_POLICY_TYPE_RESOURCE_CONTROL_POLICY, nil
	}
	return 0, usage("--type %q: must be SERVICE_CONTROL_POLICY or RESOURCE_CONTROL_POLICY", t.given)
}

func (a *app) scpCommand() *cobra.Command {
	return a.group(&cobra.Command{
		Use: "scp", Short: "manage service control policies and resource control policies",
		Long: `A service control policy bounds what the principals of an account may do, its root user included; a resource control policy (--type rcp) what may be
done to its keys and roles. They are attached to the root, an organizational unit or an account, and count for everything below: a service control policy on every
level must allow. They give no permission, and never bound the management account. POLICY is an id, p-…; TARGET the id of a root, unit or account.`,
		Example: "  kmsctl scp create deny-delete deny-delete.json\n  kmsctl scp attach p-abcdefgh ou-abcd-12345678\n  kmsctl scp for-target 222233334444",
	}, a.scpCreateCommand(), a.scpUpdateCommand(), a.scpGetCommand(), a.scpListCommand(), a.scpDeleteCommand(), a.scpAttachCommand(), a.scpDetachCommand(),
		a.scpTargetsCommand(), a.scpForTargetCommand())
}

func (a *app) scpCreateCommand() *cobra.Command {
	var kind typeFlag
	var description string
	cmd := &cobra.Command{
		Use: "create NAME [FILE]", Short: "make a policy of the organization", Args: takes("NAME", "[FILE]"),
		Long:    "create makes a policy of the document in FILE, or on standard input, of at most 5120 bytes. It is attached to nothing and bounds nobody yet. A resource control policy can only deny.",
		Example: "  kmsctl scp create deny-delete deny-delete.json --description 'no key is deleted'\n  kmsctl scp create own-organization rcp.json --type rcp",
	}
	kind.add(cmd)
	cmd.Flags().StringVar(&description, "description", "", "`TEXT` that says what the policy is for")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		t, err := kind.value()
		if err != nil {
			return err
		}
		document, err := a.policyInput(ctx, args, 1)
		if err != nil {
			return err
		}
		out, err := c.Organizations().CreatePolicy(ctx, organizationsv1.CreatePolicyRequest_builder{Name: args[0], Description: description, Content: document, Type: t}.Build())
		if err != nil {
			return policyFault(err, document)
		}
		a.findings(out.GetFindings(), true)
		v := viewOfControl(out.GetPolicy().GetPolicySummary())
		return a.emit(v, v.table)
	})
	return cmd
}

func (a *app) scpUpdateCommand() *cobra.Command {
	var name, description string
	cmd := &cobra.Command{
		Use: "update POLICY [FILE]", Short: "change a policy of the organization", Args: takes("POLICY", "[FILE]"),
		Long:    "update changes the document, the name or the description of a policy, at once and wherever it is attached. Look at kmsctl policy diff before. Without FILE the document stays; - is standard input.",
		Example: "  kmsctl scp update p-abcdefgh deny-delete.json\n  kmsctl scp update p-abcdefgh --name deny-deletion",
	}
	cmd.Flags().StringVar(&name, "name", "", "the `NAME` that it shall have")
	cmd.Flags().StringVar(&description, "description", "", "`TEXT` that says what the policy is for; an empty one removes it")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		r := organizationsv1.UpdatePolicyRequest_builder{PolicyId: args[0], Name: name}
		if cmd.Flags().Changed("description") {
			r.Description = &description
		}
		if len(args) > 1 {
			var err error
			if r.Content, err = a.policyInput(ctx, args, 1); err != nil {
				return err
			}
		}
		if r.Name == "" && r.Description == nil && r.Content == "" {
			return usage("FILE, --name or --description is missing")
		}
		out, err := c.Organizations().UpdatePolicy(ctx, r.Build())
		if err != nil {
			return policyFault(err, r.Content)
		}
		a.findings(out.GetFindings(), true)
		return a.done(viewOfControl(out.GetPolicy().GetPolicySummary()), "updated the policy %s", args[0])
	})
	return cmd
}

func (a *app) scpGetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get POLICY", Short: "print a policy of the organization", Args: takes("POLICY"),
		Long:    "get prints the document of a policy as it was put; with -o json or yaml, with what else is known around it.",
		Example: "  kmsctl scp get p-FullAWSAccess\n  kmsctl scp get p-abcdefgh -o json",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			out, err := c.Organizations().DescribePolicy(ctx, organizationsv1.DescribePolicyRequest_builder{PolicyId: args[0]}.Build())
			if err != nil {
				return err
			}
			if a.output == formatTable {
				return a.printDocument(out.GetPolicy().GetContent())
			}
			v := viewOfControl(out.GetPolicy().GetPolicySummary())
			v.Content = json.RawMessage(out.GetPolicy().GetContent())
			return a.emit(v, nil)
		}),
	}
}

func (a *app) showControls(list []*organizationsv1.PolicySummary, empty string) error {
	return listing(a, each(list, viewOfControl), empty, []string{"POLICY", "NAME", "TYPE", "DESCRIPTION"}, func(v controlView) []string {
		return []string{v.ID, v.Name, v.Type, shorten(v.Description, 60)}
	})
}

func (a *app) scpListCommand() *cobra.Command {
	var kind typeFlag
	cmd := &cobra.Command{
		Use: "list", Short: "list the policies of the organization", Args: takes(),
		Long:    "list shows the service control policies, or with --type rcp the resource control policies, in the order of their ids.",
		Example: "  kmsctl scp list\n  kmsctl scp list --type rcp -o json",
	}
	kind.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		t, err := kind.value()
		if err != nil {
			return err
		}
		list, err := allPages(func(token string) ([]*organizationsv1.PolicySummary, string, error) {
			out, err := c.Organizations().ListPolicies(ctx, organizationsv1.ListPoliciesRequest_builder{Filter: t, NextToken: token, MaxResults: 100}.Build())
			return out.GetPolicies(), out.GetNextToken(), err
		})
		if err != nil {
			return err
		}
		return a.showControls(list, "there are no policies of that type")
	})
	return cmd
}

func (a *app) scpDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete POLICY", Short: "remove a policy that is attached to nothing", Args: takes("POLICY"),
		Long:    "delete removes a policy of the organization. kmsctl scp targets shows what it is attached to.",
		Example: "  kmsctl scp delete p-abcdefgh",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			if err := a.confirm("Delete the policy %s?", args[0]); err != nil {
				return err
			}
			if _, err := c.Organizations().DeletePolicy(ctx, organizationsv1.DeletePolicyRequest_builder{PolicyId: args[0]}.Build()); err != nil {
				return err
			}
			return a.done(moved{PolicyID: args[0]}, "deleted the policy %s", args[0])
		}),
	}
}

func (a *app) scpAttachCommand() *cobra.Command {
	return &cobra.Command{
		Use: "attach POLICY TARGET", Short: "attach a policy to a root, unit or account", Args: takes("POLICY", "TARGET"),
		Long:    "attach makes a policy count for TARGET and everything below, at once. At most five of a type can be attached to one target.",
		Example: "  kmsctl scp attach p-abcdefgh ou-abcd-12345678",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			if _, err := c.Organizations().AttachPolicy(ctx, organizationsv1.AttachPolicyRequest_builder{PolicyId: args[0], TargetId: args[1]}.Build()); err != nil {
				return err
			}
			return a.done(moved{PolicyID: args[0], TargetID: args[1]}, "attached %s to %s", args[0], args[1])
		}),
	}
}

// fullAccess is the service control policy that allows everything.
const fullAccess = "p-FullAWSAccess"

func (a *app) scpDetachCommand() *cobra.Command {
	return &cobra.Command{
		Use: "detach POLICY TARGET", Short: "detach a policy from a root, unit or account", Args: takes("POLICY", "TARGET"),
		Long:    "detach makes a policy count no longer for TARGET, at once. The last service control policy of a target stays: attach another one first.",
		Example: "  kmsctl scp detach p-abcdefgh ou-abcd-12345678",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			question := "Detach %s from %s?"
			if args[0] == fullAccess {
				a.say("warning: without %s, nobody below %s may do anything that no other SCP allows", args[0], args[1])
				question = "Detach %s from %s all the same?"
			}
			if err := a.confirm(question, args[0], args[1]); err != nil {
				return err
			}
			if _, err := c.Organizations().DetachPolicy(ctx, organizationsv1.DetachPolicyRequest_builder{PolicyId: args[0], TargetId: args[1]}.Build()); err != nil {
				return err
			}
			return a.done(moved{PolicyID: args[0], TargetID: args[1]}, "detached %s from %s", args[0], args[1])
		}),
	}
}

// targetView is what a policy is attached to, as JSON shows it.
type targetView struct {
	TargetID string `json:"target_id"`
	ARN      string `json:"arn"`
	Name     string `json:"name"`
	Type     string `json:"type"`
}

func (a *app) scpTargetsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "targets POLICY", Short: "list what a policy is attached to", Args: takes("POLICY"),
		Long:    "targets lists the root, units and accounts that a policy is attached to directly.",
		Example: "  kmsctl scp targets p-abcdefgh",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			list, err := allPages(func(token string) ([]*organizationsv1.PolicyTargetSummary, string, error) {
				out, err := c.Organizations().ListTargetsForPolicy(ctx, organizationsv1.ListTargetsForPolicyRequest_builder{PolicyId: args[0], NextToken: token, MaxResults: 100}.Build())
				return out.GetTargets(), out.GetNextToken(), err
			})
			if err != nil {
				return err
			}
			views := each(list, func(t *organizationsv1.PolicyTargetSummary) targetView {
				return targetView{t.GetTargetId(), t.GetArn(), t.GetName(), trimEnum(t.GetType(), "TARGET_TYPE_")}
			})
			return listing(a, views, args[0]+" is attached to nothing", []string{"TARGET", "TYPE", "NAME"}, func(t targetView) []string {
				return []string{t.TargetID, t.Type, t.Name}
			})
		}),
	}
}

func policiesForTarget(ctx context.Context, c *client.Client, target string, kind organizationsv1.PolicyType) ([]*organizationsv1.PolicySummary, error) {
	return allPages(func(token string) ([]*organizationsv1.PolicySummary, string, error) {
		out, err := c.Organizations().ListPoliciesForTarget(ctx, organizationsv1.ListPoliciesForTargetRequest_builder{
			TargetId: target, Filter: kind, NextToken: token, MaxResults: 100,
		}.Build())
		return out.GetPolicies(), out.GetNextToken(), err
	})
}

func (a *app) scpForTargetCommand() *cobra.Command {
	var kind typeFlag
	cmd := &cobra.Command{
		Use: "for-target TARGET", Short: "list the policies that are attached to a root, unit or account", Args: takes("TARGET"),
		Long:    "for-target lists the policies that are attached directly to TARGET. Those of what it is under bound it, too: kmsctl ou tree shows all.",
		Example: "  kmsctl scp for-target 222233334444\n  kmsctl scp for-target ou-abcd-12345678 --type rcp",
	}
	kind.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		t, err := kind.value()
		if err != nil {
			return err
		}
		list, err := policiesForTarget(ctx, c, args[0], t)
		if err != nil {
			return err
		}
		return a.showControls(list, "no policy of that type is attached to "+args[0])
	})
	return cmd
}
