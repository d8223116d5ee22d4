package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// aliasName puts "alias/" before a name that lacks it.
func aliasName(name string) string {
	if strings.HasPrefix(name, "alias/") {
		return name
	}
	return "alias/" + name
}

// aliasView is an alias as JSON shows it.
type aliasView struct {
	AliasName   string    `json:"alias_name"`
	AliasARN    string    `json:"alias_arn"`
	TargetKeyID string    `json:"target_key_id,omitempty"`
	Created     time.Time `json:"creation_date,omitzero"`
	Updated     time.Time `json:"last_updated_date,omitzero"`
}

// listAliases gathers the aliases of the account, or of one of its keys.
func listAliases(ctx context.Context, c *client.Client, key string) ([]aliasView, error) {
	entries, err := allPages(func(marker string) ([]*kmsv1.AliasListEntry, string, error) {
		out, err := c.Keys().ListAliases(ctx, kmsv1.ListAliasesRequest_builder{KeyId: key, Limit: 100, Marker: marker}.Build())
		return out.GetAliases(), out.GetNextMarker(), err
	})
	if err != nil {
		return nil, err
	}
	all := make([]aliasView, 0, len(entries))
	for _, e := range entries {
		all = append(all, aliasView{e.GetAliasName(), e.GetAliasArn(), e.GetTargetKeyId(), e.GetCreationDate().AsTime(), e.GetLastUpdatedDate().AsTime()})
	}
	return all, nil
}

func (a *app) aliasCommand() *cobra.Command {
	return a.group(&cobra.Command{
		Use: "alias", Short: "give keys names",
		Long:    `An alias is a name of a key that can be pointed to another one. NAME is "alias/" and up to 250 of A-Z a-z 0-9 / _ -; "alias/" may be left out.`,
		Example: "  kmsctl alias create alias/app --key 1234abcd-12ab-34cd-56ef-1234567890ab\n  kmsctl alias list",
	}, a.aliasCreateCommand(), a.aliasUpdateCommand(), a.aliasDeleteCommand(), a.aliasListCommand())
}

func (a *app) aliasCreateCommand() *cobra.Command {
	var key string
	var f changeFlags
	cmd := &cobra.Command{
		Use: "create NAME --key KEY", Short: "give a key a name", Args: takes("NAME"),
		Long:    "create makes an alias of a key. A key can have 50.",
		Example: "  kmsctl alias create alias/app --key 1234abcd-12ab-34cd-56ef-1234567890ab",
	}
	cmd.Flags().StringVar(&key, "key", "", "id or ARN of the `KEY` to name")
	f.add(cmd)
	required(cmd, "key")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		name := aliasName(args[0])
		out, err := c.Keys().CreateAlias(ctx, kmsv1.CreateAliasRequest_builder{AliasName: name, TargetKeyId: key, DryRun: f.on, ClientToken: f.token}.Build())
		if err != nil || f.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		return a.done(aliasView{AliasName: name, AliasARN: out.GetAliasArn(), TargetKeyID: out.GetKeyId()}, "created %s for %s", name, out.GetKeyId())
	})
	return cmd
}

func (a *app) aliasUpdateCommand() *cobra.Command {
	var key string
	var f changeFlags
	cmd := &cobra.Command{
		Use: "update NAME --key KEY", Short: "point an alias to another key", Args: takes("NAME"),
		Long:    "update points an alias to another key. What was encrypted under the old key is still decrypted under it.",
		Example: "  kmsctl alias update alias/app --key 1234abcd-12ab-34cd-56ef-1234567890ab",
	}
	cmd.Flags().StringVar(&key, "key", "", "id or ARN of the `KEY` to point to")
	f.add(cmd)
	required(cmd, "key")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		name := aliasName(args[0])
		out, err := c.Keys().UpdateAlias(ctx, kmsv1.UpdateAliasRequest_builder{AliasName: name, TargetKeyId: key, DryRun: f.on, ClientToken: f.token}.Build())
		if err != nil || f.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		return a.done(aliasView{AliasName: name, AliasARN: out.GetAliasArn(), TargetKeyID: out.GetKeyId()}, "%s points to %s", name, out.GetKeyId())
	})
	return cmd
}

func (a *app) aliasDeleteCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "remove an alias; its key stays", Args: takes("NAME"),
		Long:    "delete removes an alias. Its key, and what was encrypted under it, stay as they are.",
		Example: "  kmsctl alias delete alias/app",
	}
	f.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		name := aliasName(args[0])
		if !f.on {
			if err := a.confirm("Delete %s?", name); err != nil {
				return err
			}
		}
		out, err := c.Keys().DeleteAlias(ctx, kmsv1.DeleteAliasRequest_builder{AliasName: name, DryRun: f.on, ClientToken: f.token}.Build())
		if err != nil || f.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		return a.done(aliasView{AliasName: name, AliasARN: out.GetAliasArn()}, "deleted %s", name)
	})
	return cmd
}

func (a *app) aliasListCommand() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use: "list", Short: "list aliases", Args: takes(),
		Long:    "list shows the aliases of the caller's account, or of one of its keys.",
		Example: "  kmsctl alias list\n  kmsctl alias list --key 1234abcd-12ab-34cd-56ef-1234567890ab -o json",
	}
	cmd.Flags().StringVar(&key, "key", "", "only aliases of this `KEY`: id or ARN")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		aliases, err := listAliases(ctx, c, key)
		if err != nil {
			return err
		}
		return a.emit(aliases, func() view {
			v := view{header: []string{"ALIAS", "KEY ID", "CREATED", "UPDATED"}, empty: "there are no aliases"}
			for _, al := range aliases {
				v.rows = append(v.rows, []string{al.AliasName, al.TargetKeyID, stamp(al.Created), stamp(al.Updated)})
			}
			return v
		})
	})
	return cmd
}
