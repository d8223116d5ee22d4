package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// roleView is a role as JSON shows it.
type roleView struct {
	RoleName    string          `json:"role_name"`
	RoleID      string          `json:"role_id"`
	ARN         string          `json:"arn"`
	Path        string          `json:"path"`
	Created     time.Time       `json:"create_date"`
	Description string          `json:"description"`
	MaxSession  int32           `json:"max_session_duration"`
	Boundary    string          `json:"permissions_boundary,omitempty"`
	Tags        tagsView        `json:"tags,omitempty"`
	Trust       json.RawMessage `json:"assume_role_policy_document,omitempty"`
}

func viewOfRole(r *iamv1.Role) roleView {
	v := roleView{
		RoleName: r.GetRoleName(), RoleID: r.GetRoleId(), ARN: r.GetArn(), Path: r.GetPath(), Created: r.GetCreateDate().AsTime(), Description: r.GetDescription(),
		MaxSession: r.GetMaxSessionDuration(), Boundary: r.GetPermissionsBoundary().GetPermissionsBoundaryArn(), Tags: viewOfTags(r.GetTags()),
	}
	if trust := r.GetAssumeRolePolicyDocument(); trust != "" {
		v.Trust = json.RawMessage(trust)
	}
	return v
}

func (r roleView) table() view {
	v := pairs("name", r.RoleName, "role id", r.RoleID, "arn", r.ARN, "path", r.Path, "created", stamp(r.Created), "description", r.Description,
		"session", (time.Duration(r.MaxSession)*time.Second).String()+" at most")
	return v.given("boundary", r.Boundary).given("tags", r.Tags.String())
}

func (a *app) roleCommand() *cobra.Command {
	cmd := a.group(&cobra.Command{
		Use: "role", Short: "manage roles, which are assumed for a time",
		Long: `A role has policies, and no credentials of its own: whom its trust policy names can assume it (kmsctl sts assume-role, or a profile of kmsctl config), and
then may do what the role may, and nothing else, until the session ends.`,
		Example: "  kmsctl role create night-batch trust.json\n  kmsctl role attach-policy night-batch decrypt-app\n  kmsctl config set-profile night --role-arn arn:aws:iam::111122223333:role/night-batch --source-profile local",
	}, a.roleCreateCommand(), a.roleGetCommand(), a.roleListCommand(), a.roleUpdateCommand(), a.roleDeleteCommand(), a.roleTrustCommand(), a.roleUpdateTrustCommand())
	a.addIdentityCommands(cmd, rolePolicies())
	return cmd
}

// seconds parses a duration of a session.
func seconds(flag, s string) (int32, error) {
	if s == "" {
		return 0, nil
	}
	d, err := duration(flag, s)
	if err != nil {
		return 0, err
	}
	if d%time.Second != 0 || d > 36*time.Hour {
		return 0, usage("--%s %q: must be whole seconds, and at most 36h", flag, s)
	}
	return int32(d / time.Second), nil
}

func (a *app) roleCreateCommand() *cobra.Command {
	var path, description, longest, boundary string
	var tags tagFlags
	cmd := &cobra.Command{
		Use: "create NAME [TRUST-FILE]", Short: "make a role", Args: takes("NAME", "[TRUST-FILE]"),
		Long: `create makes a role whose trust policy is in TRUST-FILE, or on standard input: a policy with Principal and without Resource that says who may do
sts:AssumeRole. The role has no policies yet: its sessions can do nothing.`,
		Example: "  kmsctl role create night-batch trust.json\n  kmsctl role create deploy trust.json --max-session-duration 2h --tag team=ops",
	}
	f := cmd.Flags()
	f.StringVar(&path, "path", "", "`PATH` in the role's ARN, such as /services/")
	f.StringVar(&description, "description", "", "`TEXT` that says what the role is for")
	f.StringVar(&longest, "max-session-duration", "", "how long a session can be, `DURATION` of 1h to 12h (default 1h)")
	f.StringVar(&boundary, "permissions-boundary", "", "`POLICY` that bounds what the role may do: ARN or name")
	tags.add(cmd, "the role")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		trust, err := a.policyInput(ctx, args, 1)
		if err != nil {
			return err
		}
		r := iamv1.CreateRoleRequest_builder{RoleName: args[0], Path: path, AssumeRolePolicyDocument: trust, Description: description}
		if r.MaxSessionDuration, err = seconds("max-session-duration", longest); err != nil {
			return err
		}
		if r.Tags, err = tags.list(); err != nil {
			return err
		}
		if r.PermissionsBoundary, err = policyARN(ctx, c, boundary); err != nil {
			return err
		}
		out, err := c.IAM().CreateRole(ctx, r.Build())
		if err != nil {
			return policyFault(err, trust)
		}
		a.findings(out.GetFindings(), true)
		v := viewOfRole(out.GetRole())
		return a.emit(v, v.table)
	})
	return cmd
}

func (a *app) roleGetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get NAME", Short: "show a role", Args: takes("NAME"),
		Long:    "get shows a role; with -o json or yaml with its trust policy, which kmsctl role trust prints.",
		Example: "  kmsctl role get night-batch -o json",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			out, err := c.IAM().GetRole(ctx, iamv1.GetRoleRequest_builder{RoleName: args[0]}.Build())
			if err != nil {
				return err
			}
			v := viewOfRole(out.GetRole())
			return a.emit(v, v.table)
		}),
	}
}

func (a *app) roleListCommand() *cobra.Command {
	var prefix string
	cmd := &cobra.Command{
		Use: "list", Short: "list roles", Args: takes(),
		Long:    "list shows the roles of the account, in the order of their names.",
		Example: "  kmsctl role list\n  kmsctl role list --path-prefix /services/ -o json",
	}
	cmd.Flags().StringVar(&prefix, "path-prefix", "", "only roles whose path begins with `PREFIX`")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		list, err := allPages(func(marker string) ([]*iamv1.Role, string, error) {
			out, err := c.IAM().ListRoles(ctx, iamv1.ListRolesRequest_builder{PathPrefix: prefix, Marker: marker, MaxItems: 1000}.Build())
			return out.GetRoles(), out.GetMarker(), err
		})
		if err != nil {
			return err
		}
		return listing(a, each(list, viewOfRole), "there are no roles", []string{"NAME", "ROLE ID", "ARN", "CREATED"}, func(r roleView) []string {
			return []string{r.RoleName, r.RoleID, r.ARN, stamp(r.Created)}
		})
	})
	return cmd
}

func (a *app) roleUpdateCommand() *cobra.Command {
	var description, longest string
	cmd := &cobra.Command{
		Use: "update NAME", Short: "change a role's description or longest session", Args: takes("NAME"),
		Long:    "update changes what a role is described as, or how long its sessions can be; those that there are stay as long as they were made.",
		Example: "  kmsctl role update night-batch --max-session-duration 4h",
	}
	cmd.Flags().StringVar(&description, "description", "", "`TEXT` that says what the role is for; an empty one removes it")
	cmd.Flags().StringVar(&longest, "max-session-duration", "", "how long a session can be, `DURATION` of 1h to 12h")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		r := iamv1.UpdateRoleRequest_builder{RoleName: args[0]}
		if cmd.Flags().Changed("description") {
			r.Description = &description
		}
		var err error
		if r.MaxSessionDuration, err = seconds("max-session-duration", longest); err != nil {
			return err
		}
		if r.Description == nil && r.MaxSessionDuration == 0 {
			return usage("--description or --max-session-duration is missing")
		}
		if _, err := c.IAM().UpdateRole(ctx, r.Build()); err != nil {
			return err
		}
		return a.done(removed{RoleName: args[0]}, "updated the role %s", args[0])
	})
	return cmd
}

func (a *app) roleDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "remove a role that has no policies", Args: takes("NAME"),
		Long:    "delete removes a role and ends its sessions, at once. A role of the same name that is made later is another one, and is not trusted where this one was.",
		Example: "  kmsctl role delete night-batch",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			if err := a.confirm("Delete the role %s and end its sessions?", args[0]); err != nil {
				return err
			}
			if _, err := c.IAM().DeleteRole(ctx, iamv1.DeleteRoleRequest_builder{RoleName: args[0]}.Build()); err != nil {
				return conflictHint(err, "remove its policies first: kmsctl role policies and attached-policies show them")
			}
			return a.done(removed{RoleName: args[0]}, "deleted the role %s", args[0])
		}),
	}
}

func (a *app) roleTrustCommand() *cobra.Command {
	return &cobra.Command{
		Use: "trust NAME", Short: "print a role's trust policy", Args: takes("NAME"),
		Long:    "trust prints the policy that says who may assume a role, as it was put.",
		Example: "  kmsctl role trust night-batch > trust.json",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			out, err := c.IAM().GetRole(ctx, iamv1.GetRoleRequest_builder{RoleName: args[0]}.Build())
			if err != nil {
				return err
			}
			if a.output == formatTable {
				return a.printDocument(out.GetRole().GetAssumeRolePolicyDocument())
			}
			return a.emit(inlineView{removed{RoleName: args[0]}, json.RawMessage(out.GetRole().GetAssumeRolePolicyDocument())}, nil)
		}),
	}
}

func (a *app) roleUpdateTrustCommand() *cobra.Command {
	return &cobra.Command{
		Use: "update-trust NAME [FILE]", Short: "replace a role's trust policy", Args: takes("NAME", "[FILE]"),
		Long:    "update-trust replaces the policy that says who may assume a role by the one in FILE, or on standard input. Sessions that there are go on.",
		Example: "  kmsctl role update-trust night-batch trust.json",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			trust, err := a.policyInput(ctx, args, 1)
			if err != nil {
				return err
			}
			out, err := c.IAM().UpdateAssumeRolePolicy(ctx, iamv1.UpdateAssumeRolePolicyRequest_builder{RoleName: args[0], PolicyDocument: trust}.Build())
			if err != nil {
				return policyFault(err, trust)
			}
			a.findings(out.GetFindings(), true)
			return a.done(removed{RoleName: args[0]}, "%s", fmt.Sprintf("replaced the trust policy of %s", args[0]))
		}),
	}
}
