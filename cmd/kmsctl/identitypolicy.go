package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// attachedView is a managed policy that is attached, as JSON shows it.
type attachedView struct {
	PolicyName string `json:"policy_name"`
	PolicyARN  string `json:"policy_arn"`
}

// addIdentityCommands adds what users, groups and roles have in common.
func (a *app) addIdentityCommands(cmd *cobra.Command, i identity) {
	cmd.AddCommand(a.putPolicyCommand(i), a.getPolicyCommand(i), a.policiesCommand(i), a.deletePolicyCommand(i))
	cmd.AddCommand(a.attachCommand(i), a.detachCommand(i), a.attachedCommand(i))
	if i.tag != nil {
		cmd.AddCommand(a.tagCommands(i)...)
	}
	if i.bound != nil {
		cmd.AddCommand(a.setBoundaryCommand(i), a.deleteBoundaryCommand(i))
	}
}

func (a *app) putPolicyCommand(i identity) *cobra.Command {
	return &cobra.Command{
		Use: "put-policy NAME POLICY-NAME [FILE]", Short: "add or replace an inline policy of a " + i.noun, Args: takes("NAME", "POLICY-NAME", "[FILE]"),
		Long:    "put-policy gives a " + i.noun + " the policy in FILE, or on standard input, under a name.",
		Example: fmt.Sprintf("  kmsctl %s put-policy %s crypto policy.json", i.noun, i.example),
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			document, err := a.policyInput(ctx, args, 2)
			if err != nil {
				return err
			}
			return a.putInline(ctx, c, i, args[0], args[1], document)
		}),
	}
}

func (a *app) getPolicyCommand(i identity) *cobra.Command {
	return &cobra.Command{
		Use: "get-policy NAME POLICY-NAME", Short: "print an inline policy of a " + i.noun, Args: takes("NAME", "POLICY-NAME"),
		Long:    "get-policy prints an inline policy as it was put; with -o json or yaml, with its names around it.",
		Example: fmt.Sprintf("  kmsctl %s get-policy %s crypto > policy.json", i.noun, i.example),
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			return a.showInline(ctx, c, i, args[0], args[1])
		}),
	}
}

func (a *app) policiesCommand(i identity) *cobra.Command {
	return &cobra.Command{
		Use: "policies NAME", Short: "list the inline policies of a " + i.noun, Args: takes("NAME"),
		Long:    "policies shows the names of a " + i.noun + "'s inline policies, in order. attached-policies shows the managed ones.",
		Example: fmt.Sprintf("  kmsctl %s policies %s", i.noun, i.example),
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			return a.listInline(ctx, c, i, args[0])
		}),
	}
}

func (a *app) deletePolicyCommand(i identity) *cobra.Command {
	return &cobra.Command{
		Use: "delete-policy NAME POLICY-NAME", Short: "remove an inline policy of a " + i.noun, Args: takes("NAME", "POLICY-NAME"),
		Long:    "delete-policy removes an inline policy: from then on only others count.",
		Example: fmt.Sprintf("  kmsctl %s delete-policy %s crypto", i.noun, i.example),
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			return a.removeInline(ctx, c, i, args[0], args[1])
		}),
	}
}

func (a *app) attachCommand(i identity) *cobra.Command {
	return &cobra.Command{
		Use: "attach-policy NAME POLICY", Short: "attach a managed policy to a " + i.noun, Args: takes("NAME", "POLICY"),
		Long:    "attach-policy attaches a managed policy, at once. POLICY is an ARN or a name.",
		Example: fmt.Sprintf("  kmsctl %s attach-policy %s decrypt-app\n  kmsctl %s attach-policy %s arn:aws:iam::111122223333:policy/decrypt-app", i.noun, i.example, i.noun, i.example),
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			arn, err := policyARN(ctx, c, args[1])
			if err != nil {
				return err
			}
			if err := i.attach(ctx, c, args[0], arn); err != nil {
				return err
			}
			v := i.named(args[0])
			v.PolicyARN = arn
			return a.done(v, "attached %s to the %s %s", arn, i.noun, args[0])
		}),
	}
}

func (a *app) detachCommand(i identity) *cobra.Command {
	return &cobra.Command{
		Use: "detach-policy NAME POLICY", Short: "detach a managed policy from a " + i.noun, Args: takes("NAME", "POLICY"),
		Long:    "detach-policy detaches a managed policy, at once. The policy stays. POLICY is an ARN or a name.",
		Example: fmt.Sprintf("  kmsctl %s detach-policy %s decrypt-app", i.noun, i.example),
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			arn, err := policyARN(ctx, c, args[1])
			if err != nil {
				return err
			}
			if err := a.confirm("Detach %s from the %s %s?", arn, i.noun, args[0]); err != nil {
				return err
			}
			if err := i.detach(ctx, c, args[0], arn); err != nil {
				return err
			}
			v := i.named(args[0])
			v.PolicyARN = arn
			return a.done(v, "detached %s from the %s %s", arn, i.noun, args[0])
		}),
	}
}

func (a *app) attachedCommand(i identity) *cobra.Command {
	return &cobra.Command{
		Use: "attached-policies NAME", Short: "list the managed policies of a " + i.noun, Args: takes("NAME"),
		Long:    "attached-policies lists the managed policies that are attached to a " + i.noun + ". policies lists the inline ones.",
		Example: fmt.Sprintf("  kmsctl %s attached-policies %s", i.noun, i.example),
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			list, err := i.attached(ctx, c, args[0])
			if err != nil {
				return err
			}
			views := each(list, func(p *iamv1.AttachedPolicy) attachedView { return attachedView{p.GetPolicyName(), p.GetPolicyArn()} })
			return listing(a, views, "no managed policy is attached to "+args[0], []string{"POLICY", "ARN"}, func(p attachedView) []string {
				return []string{p.PolicyName, p.PolicyARN}
			})
		}),
	}
}

func (a *app) setBoundaryCommand(i identity) *cobra.Command {
	return &cobra.Command{
		Use: "set-boundary NAME POLICY", Short: "bound what a " + i.noun + " may do by a managed policy", Args: takes("NAME", "POLICY"),
		Long: "set-boundary sets or replaces the permissions boundary: the " + i.noun + ` may do only what both its policies and the boundary allow. It gives
no permission. POLICY is an ARN or a name.`,
		Example: fmt.Sprintf("  kmsctl %s set-boundary %s developers-boundary", i.noun, i.example),
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			arn, err := policyARN(ctx, c, args[1])
			if err != nil {
				return err
			}
			if err := i.bound(ctx, c, args[0], arn); err != nil {
				return err
			}
			v := i.named(args[0])
			v.PolicyARN = arn
			return a.done(v, "%s bounds the %s %s", arn, i.noun, args[0])
		}),
	}
}

func (a *app) deleteBoundaryCommand(i identity) *cobra.Command {
	return &cobra.Command{
		Use: "delete-boundary NAME", Short: "remove the permissions boundary of a " + i.noun, Args: takes("NAME"),
		Long:    "delete-boundary removes the permissions boundary: the " + i.noun + " may then do all that its policies allow.",
		Example: fmt.Sprintf("  kmsctl %s delete-boundary %s", i.noun, i.example),
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			if err := a.confirm("Remove the permissions boundary of the %s %s?", i.noun, args[0]); err != nil {
				return err
			}
			if err := i.unbound(ctx, c, args[0]); err != nil {
				return err
			}
			return a.done(i.named(args[0]), "removed the permissions boundary of the %s %s", i.noun, args[0])
		}),
	}
}
