package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func (a *app) keyListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "list the keys of the account", Args: takes(),
		Long: `list shows the keys of the caller's account, in the order of their ids: age, when each is rotated by itself next, and when it was last used. What the caller may
not see of a key (kms:DescribeKey) is left out of its row.`,
		Example: "  kmsctl key list\n  kmsctl key list -o json",
		RunE: a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
			keys, err := listKeys(ctx, c)
			if err != nil {
				return err
			}
			return a.emit(keys, func() view { return tableOfKeys(keys, time.Now()) })
		}),
	}
}

func tableOfKeys(keys []keyView, now time.Time) view {
	v := view{header: []string{"ALIAS", "SPEC", "STATE", "AGE", "NEXT ROTATION", "LAST USE", "KEY ID"}, empty: "there are no keys"}
	for _, k := range keys {
		if k.KeyState == "" { // the caller may not see it
			v.rows = append(v.rows, []string{"?", "?", "?", "?", "?", "?", k.KeyID})
			continue
		}
		rotation, use := "-", "-"
		if !k.NextRotation.IsZero() {
			rotation = k.NextRotation.UTC().Format(time.DateOnly)
		}
		if u := k.LastUsage; u != nil {
			use = u.Operation + " " + age(now.Sub(u.Timestamp)) + " ago"
		}
		aliases := shorten(strings.Join(k.Aliases, ", "), 48)
		if aliases == "" {
			aliases = "-"
		}
		v.rows = append(v.rows, []string{aliases, k.KeySpec, k.KeyState, age(now.Sub(k.Created)), rotation, use, k.KeyID})
	}
	return v
}

// largestDetailedPage is the largest page of ListKeys with metadata.
const largestDetailedPage = 100

// listKeys gathers the keys of the account. Of those that the caller may not describe there is nothing but the name.
func listKeys(ctx context.Context, c *client.Client) ([]keyView, error) {
	entries, err := allPages(func(marker string) ([]*kmsv1.KeyListEntry, string, error) {
		out, err := c.Keys().ListKeys(ctx, kmsv1.ListKeysRequest_builder{Limit: largestDetailedPage, Marker: marker, IncludeMetadata: true}.Build())
		return out.GetKeys(), out.GetNextMarker(), err
	})
	if err != nil {
		return nil, err
	}
	return each(entries, func(e *kmsv1.KeyListEntry) keyView {
		if !e.HasKeyMetadata() {
			return keyView{KeyID: e.GetKeyId(), ARN: e.GetKeyArn(), Aliases: []string{}}
		}
		return viewOfKey(e.GetKeyMetadata())
	}), nil
}

func (a *app) keyDescribeCommand() *cobra.Command {
	var tokens []string
	cmd := &cobra.Command{
		Use: "describe KEY", Short: "show a key", Args: takes("KEY"),
		Long: `describe shows all that there is to know of a key, with its tags if the caller may list them. KEY is a key's id, its ARN, an alias (alias/name) or an alias's ARN. The last use is as of at
most a minute ago; "-" is no use since uses are tracked (kmsctl key last-usage).`,
		Example: "  kmsctl key describe alias/app\n  kmsctl key describe 1234abcd-12ab-34cd-56ef-1234567890ab -o json",
	}
	addGrantTokens(cmd, &tokens)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		out, err := c.Keys().DescribeKey(ctx, kmsv1.DescribeKeyRequest_builder{KeyId: args[0], GrantTokens: tokens}.Build())
		if err != nil {
			return err
		}
		v := viewOfKey(out.GetKeyMetadata())
		if v.Tags, err = tagsOfKey(ctx, c, v.ARN); err != nil && !client.Is(err, "AccessDeniedException") {
			return err
		}
		return a.emit(v, func() view { return v.table(time.Now()) })
	})
	return cmd
}
