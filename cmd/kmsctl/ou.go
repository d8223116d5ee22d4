package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
)

// unitView is an organizational unit as JSON shows it.
type unitView struct {
	ID   string `json:"id"`
	ARN  string `json:"arn"`
	Name string `json:"name"`
}

func viewOfUnit(u *organizationsv1.OrganizationalUnit) unitView {
	return unitView{u.GetId(), u.GetArn(), u.GetName()}
}

func (u unitView) table() view { return pairs("id", u.ID, "arn", u.ARN, "name", u.Name) }

func (a *app) ouCommand() *cobra.Command {
	return a.group(&cobra.Command{
		Use: "ou", Short: "manage organizational units, the tree that accounts stand in",
		Long:    "An organizational unit holds accounts and other units, five deep below the root. Service control policies (kmsctl scp) that are attached to it bound everything below.",
		Example: "  kmsctl ou create production\n  kmsctl ou tree",
	}, a.ouCreateCommand(), a.ouListCommand(), a.ouGetCommand(), a.ouRenameCommand(), a.ouDeleteCommand(), a.ouTreeCommand())
}

// rootOf returns the root of the organization.
func rootOf(ctx context.Context, c *client.Client) (*organizationsv1.Root, error) {
	out, err := c.Organizations().ListRoots(ctx, &organizationsv1.ListRootsRequest{})
	if err != nil {
		return nil, err
	}
	if len(out.GetRoots()) == 0 {
		return nil, errors.New("the organization has no root")
	}
	return out.GetRoots()[0], nil
}

// parentOr returns the parent's id, or the root's if none is given.
func parentOr(ctx context.Context, c *client.Client, given string) (string, error) {
	if given != "" {
		return given, nil
	}
	root, err := rootOf(ctx, c)
	return root.GetId(), err
}

func (a *app) ouCreateCommand() *cobra.Command {
	var parent string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "make an organizational unit", Args: takes("NAME"),
		Long:    "create makes an organizational unit under the root, or under another one. Nothing is in it, and what bounds its parent bounds it.",
		Example: "  kmsctl ou create production\n  kmsctl ou create batch --parent ou-abcd-12345678",
	}
	cmd.Flags().StringVar(&parent, "parent", "", "id of the organizational unit to be the `PARENT` (default: the root)")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		under, err := parentOr(ctx, c, parent)
		if err != nil {
			return err
		}
		out, err := c.Organizations().CreateOrganizationalUnit(ctx, organizationsv1.CreateOrganizationalUnitRequest_builder{ParentId: under, Name: args[0]}.Build())
		if err != nil {
			return err
		}
		v := viewOfUnit(out.GetOrganizationalUnit())
		return a.emit(v, v.table)
	})
	return cmd
}

func listUnits(ctx context.Context, c *client.Client, parent string) ([]*organizationsv1.OrganizationalUnit, error) {
	return allPages(func(token string) ([]*organizationsv1.OrganizationalUnit, string, error) {
		out, err := c.Organizations().ListOrganizationalUnitsForParent(ctx, organizationsv1.ListOrganizationalUnitsForParentRequest_builder{
			ParentId: parent, NextToken: token, MaxResults: 100,
		}.Build())
		return out.GetOrganizationalUnits(), out.GetNextToken(), err
	})
}

func (a *app) ouListCommand() *cobra.Command {
	var parent string
	cmd := &cobra.Command{
		Use: "list", Short: "list the organizational units directly under a parent", Args: takes(),
		Long:    "list shows the organizational units directly under the root, or under another one. kmsctl ou tree shows all.",
		Example: "  kmsctl ou list\n  kmsctl ou list --parent ou-abcd-12345678 -o json",
	}
	cmd.Flags().StringVar(&parent, "parent", "", "id of the organizational unit that is the `PARENT` (default: the root)")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		under, err := parentOr(ctx, c, parent)
		if err != nil {
			return err
		}
		list, err := listUnits(ctx, c, under)
		if err != nil {
			return err
		}
		return listing(a, each(list, viewOfUnit), "there are no organizational units under "+under, []string{"UNIT", "NAME", "ARN"}, func(u unitView) []string {
			return []string{u.ID, u.Name, u.ARN}
		})
	})
	return cmd
}

func (a *app) ouGetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get UNIT", Short: "show an organizational unit", Args: takes("UNIT"),
		Long:    "get shows an organizational unit, which its id names.",
		Example: "  kmsctl ou get ou-abcd-12345678",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			out, err := c.Organizations().DescribeOrganizationalUnit(ctx, organizationsv1.DescribeOrganizationalUnitRequest_builder{OrganizationalUnitId: args[0]}.Build())
			if err != nil {
				return err
			}
			v := viewOfUnit(out.GetOrganizationalUnit())
			return a.emit(v, v.table)
		}),
	}
}

func (a *app) ouRenameCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rename UNIT NAME", Short: "give an organizational unit another name", Args: takes("UNIT", "NAME"),
		Long:    "rename gives an organizational unit another name. Its id stays.",
		Example: "  kmsctl ou rename ou-abcd-12345678 staging",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			out, err := c.Organizations().UpdateOrganizationalUnit(ctx, organizationsv1.UpdateOrganizationalUnitRequest_builder{OrganizationalUnitId: args[0], Name: args[1]}.Build())
			if err != nil {
				return err
			}
			return a.done(viewOfUnit(out.GetOrganizationalUnit()), "%s is named %s", args[0], args[1])
		}),
	}
}

func (a *app) ouDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete UNIT", Short: "remove an organizational unit that nothing is under", Args: takes("UNIT"),
		Long:    "delete removes an organizational unit without accounts and units under it.",
		Example: "  kmsctl ou delete ou-abcd-12345678",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			if err := a.confirm("Delete the organizational unit %s?", args[0]); err != nil {
				return err
			}
			if _, err := c.Organizations().DeleteOrganizationalUnit(ctx, organizationsv1.DeleteOrganizationalUnitRequest_builder{OrganizationalUnitId: args[0]}.Build()); err != nil {
				return err
			}
			return a.done(moved{UnitID: args[0]}, "deleted the organizational unit %s", args[0])
		}),
	}
}
