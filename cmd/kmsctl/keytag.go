package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func keyTags(given []string) ([]*kmsv1.Tag, error) {
	pairs, err := tagPairs(given)
	var tags []*kmsv1.Tag
	for _, p := range pairs {
		tags = append(tags, kmsv1.Tag_builder{TagKey: p[0], TagValue: p[1]}.Build())
	}
	return tags, err
}

func (a *app) keyTagCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use: "tag KEY TAG=VALUE…", Short: "add tags to a key, or change them", Args: takes("KEY", "TAG=VALUE…"),
		Long:    "tag gives a key tags, for conditions on aws:ResourceTag: they can change who may use it, at once. One that it has gets the new value. 50 at most. KEY is a key's id or ARN.",
		Example: "  kmsctl key tag 1234abcd-12ab-34cd-56ef-1234567890ab team=ops stage=production",
	}
	f.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		tags, err := keyTags(args[1:])
		if err != nil {
			return err
		}
		out, err := c.Keys().TagResource(ctx, kmsv1.TagResourceRequest_builder{KeyId: args[0], Tags: tags, DryRun: f.on, ClientToken: f.token}.Build())
		if err != nil || f.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		return a.done(changed{KeyID: out.GetKeyId()}, "tagged %s", out.GetKeyId())
	})
	return cmd
}

func (a *app) keyUntagCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use: "untag KEY TAG…", Short: "remove tags of a key", Args: takes("KEY", "TAG…"),
		Long:    "untag removes tags of a key: that can change who may use it, at once. One that it does not have is no error. KEY is a key's id or ARN.",
		Example: "  kmsctl key untag 1234abcd-12ab-34cd-56ef-1234567890ab stage",
	}
	f.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		out, err := c.Keys().UntagResource(ctx, kmsv1.UntagResourceRequest_builder{KeyId: args[0], TagKeys: args[1:], DryRun: f.on, ClientToken: f.token}.Build())
		if err != nil || f.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		return a.done(changed{KeyID: out.GetKeyId()}, "removed tags of %s", out.GetKeyId())
	})
	return cmd
}

func (a *app) keyTagsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "tags KEY", Short: "list the tags of a key", Args: takes("KEY"),
		Long:    "tags lists the tags of a key; as JSON they are an object. KEY is a key's id or ARN.",
		Example: "  kmsctl key tags 1234abcd-12ab-34cd-56ef-1234567890ab",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			tags, err := tagsOfKey(ctx, c, args[0])
			if err != nil {
				return err
			}
			return a.showTags(tags, args[0])
		}),
	}
}

func tagsOfKey(ctx context.Context, c *client.Client, key string) (tagsView, error) {
	list, err := allPages(func(marker string) ([]*kmsv1.Tag, string, error) {
		out, err := c.Keys().ListResourceTags(ctx, kmsv1.ListResourceTagsRequest_builder{KeyId: key, Limit: 50, Marker: marker}.Build())
		return out.GetTags(), out.GetNextMarker(), err
	})
	if err != nil {
		return nil, err
	}
	tags := tagsView{}
	for _, t := range list {
		tags[t.GetTagKey()] = t.GetTagValue()
	}
	return tags, nil
}
