package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
)

// nodeView is a root, organizational unit or account, and what is under it.
type nodeView struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	Type     string     `json:"type"` // ROOT, ORGANIZATIONAL_UNIT or ACCOUNT
	State    string     `json:"state,omitempty"`
	SCPs     []string   `json:"service_control_policies"`
	RCPs     []string   `json:"resource_control_policies"`
	Children []nodeView `json:"children,omitempty"`
}

// maxTree bounds the depth of what is asked for. kmsd has five levels of units.
const maxTree = 16

func (a *app) ouTreeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "tree", Short: "show the whole tree with accounts and policies", Args: takes(),
		Long: `tree shows the root, the organizational units, the accounts, and which service control policies (scp) and resource control policies (rcp) are
attached to each: all from the root down to an account bound it.`,
		Example: "  kmsctl ou tree\n  kmsctl ou tree -o json",
		RunE: a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
			root, err := rootOf(ctx, c)
			if err != nil {
				return err
			}
			v, err := treeOf(ctx, c, nodeView{ID: root.GetId(), Name: root.GetName(), Type: "ROOT"}, 0)
			if err != nil {
				return err
			}
			if a.output != formatTable {
				return a.emit(v, nil)
			}
			return a.drawTree(v)
		}),
	}
}

// treeOf fills in what is attached to n and under it.
func treeOf(ctx context.Context, c *client.Client, n nodeView, depth int) (nodeView, error) {
	if depth > maxTree {
		return nodeView{}, fmt.Errorf("the tree is more than %d levels deep", maxTree)
	}
	var err error
	if n.SCPs, err = attachedNames(ctx, c, n.ID, organizationsv1.PolicyType_POLICY_TYPE_SERVICE_CONTROL_POLICY); err != nil {
		return nodeView{}, err
	}
	if n.RCPs, err = attachedNames(ctx, c, n.ID, organizationsv1.PolicyType_POLICY_TYPE_RESOURCE_CONTROL_POLICY); err != nil {
		return nodeView{}, err
	}
	if n.Type == "ACCOUNT" {
		return n, nil
	}
	units, err := listUnits(ctx, c, n.ID)
	if err != nil {
		return nodeView{}, err
	}
	accounts, err := allPages(func(token string) ([]*organizationsv1.Account, string, error) {
		out, err := c.Organizations().ListAccountsForParent(ctx, organizationsv1.ListAccountsForParentRequest_builder{ParentId: n.ID, NextToken: token, MaxResults: 100}.Build())
		return out.GetAccounts(), out.GetNextToken(), err
	})
	if err != nil {
		return nodeView{}, err
	}
	var under []nodeView
	for _, u := range units {
		under = append(under, nodeView{ID: u.GetId(), Name: u.GetName(), Type: "ORGANIZATIONAL_UNIT"})
	}
	for _, acc := range accounts {
		under = append(under, nodeView{ID: acc.GetId(), Name: acc.GetName(), Type: "ACCOUNT", State: viewOfAccount(acc).State})
	}
	for _, u := range under {
		child, err := treeOf(ctx, c, u, depth+1)
		if err != nil {
			return nodeView{}, err
		}
		n.Children = append(n.Children, child)
	}
	return n, nil
}

func attachedNames(ctx context.Context, c *client.Client, target string, kind organizationsv1.PolicyType) ([]string, error) {
	list, err := policiesForTarget(ctx, c, target, kind)
	return each(list, (*organizationsv1.PolicySummary).GetName), err
}

// drawTree prints a tree for people.
func (a *app) drawTree(root nodeView) error {
	var b strings.Builder
	draw(&b, root, "", "", a)
	_, err := io.WriteString(a.stdout, b.String())
	return err
}

func draw(b *strings.Builder, n nodeView, first, rest string, a *app) {
	line := n.ID + "  " + n.Name
	if n.State != "" && n.State != "Active" {
		line += "  " + n.State
	}
	attached := ""
	if len(n.SCPs) > 0 {
		attached += "  scp: " + strings.Join(n.SCPs, ", ")
	}
	if len(n.RCPs) > 0 {
		attached += "  rcp: " + strings.Join(n.RCPs, ", ")
	}
	name := printable(line)
	if n.Type != "ACCOUNT" {
		name = a.colour(bold, name)
	}
	fmt.Fprintf(b, "%s%s%s\n", first, name, printable(attached))
	for i, child := range n.Children {
		if i == len(n.Children)-1 {
			draw(b, child, rest+"└── ", rest+"    ", a)
		} else {
			draw(b, child, rest+"├── ", rest+"│   ", a)
		}
	}
}
