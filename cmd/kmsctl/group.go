package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// groupView is a group as JSON shows it.
type groupView struct {
	GroupName string    `json:"group_name"`
	GroupID   string    `json:"group_id"`
	ARN       string    `json:"arn"`
	Path      string    `json:"path"`
	Created   time.Time `json:"create_date"`
}

func viewOfGroup(g *iamv1.Group) groupView {
	return groupView{g.GetGroupName(), g.GetGroupId(), g.GetArn(), g.GetPath(), g.GetCreateDate().AsTime()}
}

func (g groupView) table() view {
	return pairs("name", g.GroupName, "group id", g.GroupID, "arn", g.ARN, "path", g.Path, "created", stamp(g.Created))
}

func (a *app) showGroups(list []*iamv1.Group, empty string) error {
	return listing(a, each(list, viewOfGroup), empty, []string{"NAME", "GROUP ID", "ARN", "CREATED"}, func(g groupView) []string {
		return []string{g.GroupName, g.GroupID, g.ARN, stamp(g.Created)}
	})
}

func (a *app) groupCommand() *cobra.Command {
	cmd := a.group(&cobra.Command{
		Use: "group", Short: "manage groups of users",
		Long:    "A group is a set of users that share policies: what its policies allow, each of its users may do. It cannot sign in, and no policy can name it as principal. A user is in at most ten.",
		Example: "  kmsctl group create operators\n  kmsctl group add-user operators alice\n  kmsctl group attach-policy operators decrypt-app",
	}, a.groupCreateCommand(), a.groupGetCommand(), a.groupListCommand(), a.groupUpdateCommand(), a.groupDeleteCommand(), a.groupAddUserCommand(), a.groupRemoveUserCommand())
	a.addIdentityCommands(cmd, groupPolicies())
	return cmd
}

func (a *app) groupCreateCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "make a group", Args: takes("NAME"),
		Long:    "create makes a group without users and policies. NAME has 1 to 128 of A-Z a-z 0-9 _ + = , . @ -.",
		Example: "  kmsctl group create operators\n  kmsctl group create readers --path /apps/",
	}
	cmd.Flags().StringVar(&path, "path", "", "`PATH` in the group's ARN, such as /apps/")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		out, err := c.IAM().CreateGroup(ctx, iamv1.CreateGroupRequest_builder{GroupName: args[0], Path: path}.Build())
		if err != nil {
			return err
		}
		v := viewOfGroup(out.GetGroup())
		return a.emit(v, v.table)
	})
	return cmd
}

// groupWithUsers is a group and who is in it.
type groupWithUsers struct {
	groupView
	Users []userView `json:"users"`
}

func (a *app) groupGetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get NAME", Short: "show a group and its users", Args: takes("NAME"),
		Long:    "get shows a group and the users that are in it.",
		Example: "  kmsctl group get operators -o json",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			var group *iamv1.Group
			users, err := allPages(func(marker string) ([]*iamv1.User, string, error) {
				out, err := c.IAM().GetGroup(ctx, iamv1.GetGroupRequest_builder{GroupName: args[0], Marker: marker, MaxItems: 1000}.Build())
				group = out.GetGroup()
				return out.GetUsers(), out.GetMarker(), err
			})
			if err != nil {
				return err
			}
			v := groupWithUsers{viewOfGroup(group), each(users, viewOfUser)}
			return a.emit(v, func() view {
				t := v.table()
				for i, u := range v.Users {
					name := ""
					if i == 0 {
						name = "users"
					}
					t.rows = append(t.rows, []string{name, u.UserName})
				}
				return t
			})
		}),
	}
}

func (a *app) groupListCommand() *cobra.Command {
	var prefix string
	cmd := &cobra.Command{
		Use: "list", Short: "list groups", Args: takes(),
		Long:    "list shows the groups of the account, in the order of their names. kmsctl user groups shows those of one user.",
		Example: "  kmsctl group list\n  kmsctl group list --path-prefix /apps/ -o json",
	}
	cmd.Flags().StringVar(&prefix, "path-prefix", "", "only groups whose path begins with `PREFIX`")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		list, err := allPages(func(marker string) ([]*iamv1.Group, string, error) {
			out, err := c.IAM().ListGroups(ctx, iamv1.ListGroupsRequest_builder{PathPrefix: prefix, Marker: marker, MaxItems: 1000}.Build())
			return out.GetGroups(), out.GetMarker(), err
		})
		if err != nil {
			return err
		}
		return a.showGroups(list, "there are no groups")
	})
	return cmd
}

func (a *app) groupUpdateCommand() *cobra.Command {
	var name, path string
	cmd := &cobra.Command{
		Use: "update NAME", Short: "give a group another name or path", Args: takes("NAME"),
		Long:    "update changes the name or the path of a group, and so its ARN. Its users and policies stay.",
		Example: "  kmsctl group update operators --new-name operations",
	}
	cmd.Flags().StringVar(&name, "new-name", "", "the `NAME` that it shall have")
	cmd.Flags().StringVar(&path, "new-path", "", "the `PATH` that it shall have")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		if name == "" && path == "" {
			return usage("--new-name or --new-path is missing")
		}
		if _, err := c.IAM().UpdateGroup(ctx, iamv1.UpdateGroupRequest_builder{GroupName: args[0], NewGroupName: name, NewPath: path}.Build()); err != nil {
			return err
		}
		if name == "" {
			name = args[0]
		}
		return a.done(removed{GroupName: name}, "updated the group %s", name)
	})
	return cmd
}

func (a *app) groupDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "remove a group that has neither users nor policies", Args: takes("NAME"),
		Long:    "delete removes a group.",
		Example: "  kmsctl group delete operators",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			if err := a.confirm("Delete the group %s?", args[0]); err != nil {
				return err
			}
			if _, err := c.IAM().DeleteGroup(ctx, iamv1.DeleteGroupRequest_builder{GroupName: args[0]}.Build()); err != nil {
				return conflictHint(err, "remove its users and policies first: kmsctl group get, policies and attached-policies show them")
			}
			return a.done(removed{GroupName: args[0]}, "deleted the group %s", args[0])
		}),
	}
}

func (a *app) groupAddUserCommand() *cobra.Command {
	return &cobra.Command{
		Use: "add-user GROUP USER", Short: "put a user into a group", Args: takes("GROUP", "USER"),
		Long:    "add-user puts a user into a group, at once. That it is there is no error.",
		Example: "  kmsctl group add-user operators alice",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			if _, err := c.IAM().AddUserToGroup(ctx, iamv1.AddUserToGroupRequest_builder{GroupName: args[0], UserName: args[1]}.Build()); err != nil {
				return err
			}
			return a.done(removed{GroupName: args[0], UserName: args[1]}, "%s is in the group %s", args[1], args[0])
		}),
	}
}

func (a *app) groupRemoveUserCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove-user GROUP USER", Short: "take a user out of a group", Args: takes("GROUP", "USER"),
		Long:    "remove-user takes a user out of a group, whose policies no longer count for the user, at once.",
		Example: "  kmsctl group remove-user operators alice",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			if err := a.confirm("Take %s out of the group %s?", args[1], args[0]); err != nil {
				return err
			}
			if _, err := c.IAM().RemoveUserFromGroup(ctx, iamv1.RemoveUserFromGroupRequest_builder{GroupName: args[0], UserName: args[1]}.Build()); err != nil {
				return err
			}
			return a.done(removed{GroupName: args[0], UserName: args[1]}, "%s is no longer in the group %s", args[1], args[0])
		}),
	}
}
