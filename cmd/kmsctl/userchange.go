package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

func (a *app) userUpdateCommand() *cobra.Command {
	var name, path string
	cmd := &cobra.Command{
		Use: "update NAME", Short: "give a user another name or path", Args: takes("NAME"),
		Long: `update changes the name or the path of a user, and so its ARN. Its id, credentials and policies stay, and where it is trusted it goes on being: trust
is stored by ids.`,
		Example: "  kmsctl user update alice --new-name alice.smith\n  kmsctl user update backup --new-path /services/",
	}
	cmd.Flags().StringVar(&name, "new-name", "", "the `NAME` that it shall have")
	cmd.Flags().StringVar(&path, "new-path", "", "the `PATH` that it shall have")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		if name == "" && path == "" {
			return usage("--new-name or --new-path is missing")
		}
		if _, err := c.IAM().UpdateUser(ctx, iamv1.UpdateUserRequest_builder{UserName: args[0], NewUserName: name, NewPath: path}.Build()); err != nil {
			return err
		}
		if name == "" {
			name = args[0]
		}
		return a.done(removed{UserName: name}, "updated the user %s", name)
	})
	return cmd
}

func (a *app) userGroupsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "groups NAME", Short: "list the groups that a user is in", Args: takes("NAME"),
		Long:    "groups lists the groups that a user is in: their policies count for the user.",
		Example: "  kmsctl user groups alice",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			out, err := c.IAM().ListGroupsForUser(ctx, iamv1.ListGroupsForUserRequest_builder{UserName: args[0]}.Build())
			if err != nil {
				return err
			}
			return a.showGroups(out.GetGroups(), args[0]+" is in no group")
		}),
	}
}

// lastUsedView is the last use of an access key as JSON shows it.
type lastUsedView struct {
	UserName    string    `json:"user_name"`
	AccessKeyID string    `json:"access_key_id"`
	LastUsed    time.Time `json:"last_used_date,omitzero"`
	Service     string    `json:"service_name"`
	Region      string    `json:"region"`
}

func (a *app) accessKeyLastUsedCommand() *cobra.Command {
	return &cobra.Command{
		Use: "access-key-last-used ACCESS-KEY-ID", Short: "show when an access key was last used", Args: takes("ACCESS-KEY-ID"),
		Long:    "access-key-last-used shows whose an access key is and, to the hour, when it last signed a call.",
		Example: "  kmsctl user access-key-last-used AKIAIOSFODNN7EXAMPLE",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			out, err := c.IAM().GetAccessKeyLastUsed(ctx, iamv1.GetAccessKeyLastUsedRequest_builder{AccessKeyId: args[0]}.Build())
			if err != nil {
				return err
			}
			used := out.GetAccessKeyLastUsed()
			v := lastUsedView{UserName: out.GetUserName(), AccessKeyID: args[0], Service: used.GetServiceName(), Region: used.GetRegion()}
			when := "never"
			if used.HasLastUsedDate() {
				v.LastUsed = used.GetLastUsedDate().AsTime()
				when = stamp(v.LastUsed)
			}
			return a.emit(v, func() view {
				return pairs("user", v.UserName, "access key", v.AccessKeyID, "last used", when, "service", v.Service, "region", v.Region)
			})
		}),
	}
}
