package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// userView is a user as JSON shows it.
type userView struct {
	UserName string    `json:"user_name"`
	UserID   string    `json:"user_id"`
	ARN      string    `json:"arn"`
	Path     string    `json:"path"`
	Created  time.Time `json:"create_date"`
	Boundary string    `json:"permissions_boundary,omitempty"`
	Tags     tagsView  `json:"tags,omitempty"`
}

func viewOfUser(u *iamv1.User) userView {
	return userView{
		u.GetUserName(), u.GetUserId(), u.GetArn(), u.GetPath(), u.GetCreateDate().AsTime(), u.GetPermissionsBoundary().GetPermissionsBoundaryArn(), viewOfTags(u.GetTags()),
	}
}

func (u userView) table() view {
	v := pairs("name", u.UserName, "user id", u.UserID, "arn", u.ARN, "path", u.Path, "created", stamp(u.Created))
	return v.given("boundary", u.Boundary).given("tags", u.Tags.String())
}

func (a *app) userCommand() *cobra.Command {
	cmd := a.group(&cobra.Command{
		Use: "user", Short: "manage users, their access keys and certificates",
		Long: `A user is somebody or something that calls kmsd. It signs in by an access key or a client certificate, and may do what its policies
(kmsctl policy) and the policies of keys (kmsctl key policy) allow.`,
		Example: "  kmsctl user create alice\n  kmsctl user create-access-key alice --out alice.yaml\n  kmsctl policy put --user alice crypto policy.json",
	},
		a.userCreateCommand(), a.userGetCommand(), a.userListCommand(), a.userDeleteCommand(),
		a.createAccessKeyCommand(), a.accessKeysCommand(), a.updateAccessKeyCommand(), a.deleteAccessKeyCommand(),
		a.createCertificateCommand(), a.certificatesCommand(), a.deleteCertificateCommand(), a.accessKeyLastUsedCommand(),
		a.userUpdateCommand(), a.userGroupsCommand(), a.createMFACommand(), a.enableMFACommand(), a.deactivateMFACommand(), a.deleteMFACommand(), a.listMFACommand(),
	)
	a.addIdentityCommands(cmd, userPolicies())
	return cmd
}

func (a *app) userCreateCommand() *cobra.Command {
	var path, boundary string
	var tags tagFlags
	cmd := &cobra.Command{
		Use: "create NAME", Short: "make a user", Args: takes("NAME"),
		Long:    "create makes a user without credentials and policies: it can do nothing yet. NAME has 1 to 64 of A-Z a-z 0-9 _ + = , . @ -.",
		Example: "  kmsctl user create alice\n  kmsctl user create backup --path /services/ --tag team=ops",
	}
	cmd.Flags().StringVar(&path, "path", "", "`PATH` in the user's ARN, such as /services/")
	cmd.Flags().StringVar(&boundary, "permissions-boundary", "", "`POLICY` that bounds what the user may do: ARN or name")
	tags.add(cmd, "the user")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		list, err := tags.list()
		if err != nil {
			return err
		}
		bound, err := policyARN(ctx, c, boundary)
		if err != nil {
			return err
		}
		out, err := c.IAM().CreateUser(ctx, iamv1.CreateUserRequest_builder{UserName: args[0], Path: path, PermissionsBoundary: bound, Tags: list}.Build())
		if err != nil {
			return err
		}
		v := viewOfUser(out.GetUser())
		return a.emit(v, v.table)
	})
	return cmd
}

func (a *app) userGetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get [NAME]", Short: "show a user", Args: takes("[NAME]"),
		Long:    "get shows a user; without NAME, the one that the credentials belong to.",
		Example: "  kmsctl user get alice -o json",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			var name string
			if len(args) > 0 {
				name = args[0]
			}
			out, err := c.IAM().GetUser(ctx, iamv1.GetUserRequest_builder{UserName: name}.Build())
			if err != nil {
				return err
			}
			v := viewOfUser(out.GetUser())
			return a.emit(v, v.table)
		}),
	}
}

func (a *app) userListCommand() *cobra.Command {
	var prefix string
	cmd := &cobra.Command{
		Use: "list", Short: "list users", Args: takes(),
		Long:    "list shows the users of the account, in the order of their names.",
		Example: "  kmsctl user list\n  kmsctl user list --path-prefix /services/ -o json",
	}
	cmd.Flags().StringVar(&prefix, "path-prefix", "", "only users whose path begins with `PREFIX`")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		entries, err := allPages(func(marker string) ([]*iamv1.User, string, error) {
			out, err := c.IAM().ListUsers(ctx, iamv1.ListUsersRequest_builder{PathPrefix: prefix, Marker: marker, MaxItems: 1000}.Build())
			return out.GetUsers(), out.GetMarker(), err
		})
		if err != nil {
			return err
		}
		return listing(a, each(entries, viewOfUser), "there are no users", []string{"NAME", "USER ID", "ARN", "CREATED"}, func(u userView) []string {
			return []string{u.UserName, u.UserID, u.ARN, stamp(u.Created)}
		})
	})
	return cmd
}

func (a *app) userDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "remove a user that has no credentials, policies, groups and MFA devices", Args: takes("NAME"),
		Long:    "delete removes a user. A user of the same name that is made later is another one, and is not trusted where this one was.",
		Example: "  kmsctl user delete alice",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			if err := a.confirm("Delete the user %s?", args[0]); err != nil {
				return err
			}
			if _, err := c.IAM().DeleteUser(ctx, iamv1.DeleteUserRequest_builder{UserName: args[0]}.Build()); err != nil {
				return err
			}
			return a.done(removed{UserName: args[0]}, "deleted the user %s", args[0])
		}),
	}
}

// identityView is who the credentials belong to.
type identityView struct {
	UserID  string `json:"user_id"`
	Account string `json:"account"`
	ARN     string `json:"arn"`
}

func (a *app) whoamiCommand() *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "show whom the credentials belong to", Args: takes(),
		Long:    "whoami asks kmsd whom the credentials belong to. It needs no permission.",
		Example: "  kmsctl whoami\n  kmsctl whoami --profile production -o json",
		RunE: a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
			out, err := c.STS().GetCallerIdentity(ctx, &stsv1.GetCallerIdentityRequest{})
			if err != nil {
				return err
			}
			v := identityView{out.GetUserId(), out.GetAccount(), out.GetArn()}
			return a.emit(v, func() view { return pairs("user id", v.UserID, "account", v.Account, "arn", v.ARN) })
		}),
	}
}
