package main

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

func (a *app) policyCommand() *cobra.Command {
	var user string
	cmd := a.group(&cobra.Command{
		Use: "policy", Short: "manage the inline policies of users",
		Long:    "An inline policy is a JSON document in AWS's policy language that says what one user may do. All of a user's have at most 2048 characters together.",
		Example: "  kmsctl policy put --user alice crypto policy.json\n  kmsctl policy list --user alice",
	})
	cmd.PersistentFlags().StringVar(&user, "user", "", "`NAME` of the user whose policies these are")
	for _, c := range []*cobra.Command{a.policyPutCommand(&user), a.policyGetCommand(&user), a.policyListCommand(&user), a.policyDeleteCommand(&user)} {
		required(c, "user")
		cmd.AddCommand(c)
	}
	return cmd
}

func (a *app) policyPutCommand(user *string) *cobra.Command {
	return &cobra.Command{
		Use: "put --user NAME POLICY-NAME [FILE]", Short: "add or replace a policy", Args: takes("POLICY-NAME", "[FILE]"),
		Long:    "put gives a user the policy in FILE, or on standard input, under a name.",
		Example: "  kmsctl policy put --user alice crypto policy.json",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			document, err := a.policyInput(ctx, args, 1)
			if err != nil {
				return err
			}
			_, err = c.IAM().PutUserPolicy(ctx, iamv1.PutUserPolicyRequest_builder{UserName: *user, PolicyName: args[0], PolicyDocument: document}.Build())
			if err != nil {
				return policyFault(err, document)
			}
			return a.done(removed{UserName: *user, PolicyName: args[0]}, "put the policy %s of %s", args[0], *user)
		}),
	}
}

// userPolicyView is an inline policy as JSON shows it.
type userPolicyView struct {
	UserName   string          `json:"user_name"`
	PolicyName string          `json:"policy_name"`
	Document   json.RawMessage `json:"policy_document"`
}

func (a *app) policyGetCommand(user *string) *cobra.Command {
	return &cobra.Command{
		Use: "get --user NAME POLICY-NAME", Short: "print a policy", Args: takes("POLICY-NAME"),
		Long:    "get prints a user's policy as it was put; with -o json or yaml, with its names around it.",
		Example: "  kmsctl policy get --user alice crypto > policy.json",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			out, err := c.IAM().GetUserPolicy(ctx, iamv1.GetUserPolicyRequest_builder{UserName: *user, PolicyName: args[0]}.Build())
			if err != nil {
				return err
			}
			if a.output == formatTable {
				return a.printDocument(out.GetPolicyDocument())
			}
			return a.emit(userPolicyView{out.GetUserName(), out.GetPolicyName(), json.RawMessage(out.GetPolicyDocument())}, nil)
		}),
	}
}

func (a *app) policyListCommand(user *string) *cobra.Command {
	return &cobra.Command{
		Use: "list --user NAME", Short: "list the names of a user's policies", Args: takes(),
		Long:    "list shows the names of a user's inline policies, in order.",
		Example: "  kmsctl policy list --user alice",
		RunE: a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
			out, err := c.IAM().ListUserPolicies(ctx, iamv1.ListUserPoliciesRequest_builder{UserName: *user}.Build())
			if err != nil {
				return err
			}
			names := append([]string{}, out.GetPolicyNames()...)
			return a.emit(names, func() view {
				v := view{header: []string{"POLICY"}, empty: *user + " has no policies"}
				for _, n := range names {
					v.rows = append(v.rows, []string{n})
				}
				return v
			})
		}),
	}
}

func (a *app) policyDeleteCommand(user *string) *cobra.Command {
	return &cobra.Command{
		Use: "delete --user NAME POLICY-NAME", Short: "remove a policy", Args: takes("POLICY-NAME"),
		Long:    "delete removes a policy of a user, who from then on may do only what other policies allow.",
		Example: "  kmsctl policy delete --user alice crypto",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			if err := a.confirm("Delete the policy %s of %s?", args[0], *user); err != nil {
				return err
			}
			_, err := c.IAM().DeleteUserPolicy(ctx, iamv1.DeleteUserPolicyRequest_builder{UserName: *user, PolicyName: args[0]}.Build())
			if err != nil {
				return err
			}
			return a.done(removed{UserName: *user, PolicyName: args[0]}, "deleted the policy %s of %s", args[0], *user)
		}),
	}
}
