package main

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
)

// ownerFlags say whose inline policy is meant; without them a managed policy is.
type ownerFlags struct{ user, group, role string }

func (o *ownerFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.user, "user", "", "the inline policies of the user `NAME`")
	cmd.Flags().StringVar(&o.group, "group", "", "the inline policies of the group `NAME`")
	cmd.Flags().StringVar(&o.role, "role", "", "the inline policies of the role `NAME`")
}

// owner returns the kind and name of the owner; "" if there is none.
func (o *ownerFlags) owner() (identity, string, error) {
	var found identity
	name, n := "", 0
	for _, kind := range []struct {
		name string
		make func() identity
	}{{o.user, userPolicies}, {o.group, groupPolicies}, {o.role, rolePolicies}} {
		if kind.name != "" {
			found, name = kind.make(), kind.name
			n++
		}
	}
	if n > 1 {
		return identity{}, "", usage("--user, --group and --role: give one of them")
	}
	return found, name, nil
}

// inlineView is an inline policy as JSON shows it.
type inlineView struct {
	removed
	Document json.RawMessage `json:"policy_document"`
}

func (a *app) putInline(ctx context.Context, c *client.Client, i identity, name, policy, document string) error {
	found, err := i.put(ctx, c, name, policy, document)
	if err != nil {
		return policyFault(err, document)
	}
	a.findings(found, true)
	v := i.named(name)
	v.PolicyName = policy
	return a.done(v, "put the policy %s of %s", policy, name)
}

func (a *app) showInline(ctx context.Context, c *client.Client, i identity, name, policy string) error {
	document, err := i.get(ctx, c, name, policy)
	if err != nil {
		return err
	}
	if a.output == formatTable {
		return a.printDocument(document)
	}
	v := i.named(name)
	v.PolicyName = policy
	return a.emit(inlineView{v, json.RawMessage(document)}, nil)
}

func (a *app) listInline(ctx context.Context, c *client.Client, i identity, name string) error {
	names, err := i.list(ctx, c, name)
	if err != nil {
		return err
	}
	return listing(a, append([]string{}, names...), name+" has no policies", []string{"POLICY"}, func(n string) []string { return []string{n} })
}

func (a *app) removeInline(ctx context.Context, c *client.Client, i identity, name, policy string) error {
	if err := a.confirm("Delete the policy %s of %s?", policy, name); err != nil {
		return err
	}
	if err := i.remove(ctx, c, name, policy); err != nil {
		return err
	}
	v := i.named(name)
	v.PolicyName = policy
	return a.done(v, "deleted the policy %s of %s", policy, name)
}
