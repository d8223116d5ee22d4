package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// tagsView is tags as JSON shows them: an object.
type tagsView map[string]string

// String is the tags for a table.
func (t tagsView) String() string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(t)) {
		all = append(all, k+"="+t[k])
	}
	return strings.Join(all, ", ")
}

func viewOfTags(tags []*iamv1.Tag) tagsView {
	if len(tags) == 0 {
		return nil
	}
	v := tagsView{}
	for _, t := range tags {
		v[t.GetKey()] = t.GetValue()
	}
	return v
}

// tagFlags is --tag.
type tagFlags struct{ given []string }

func (t *tagFlags) add(cmd *cobra.Command, of string) {
	cmd.Flags().StringArrayVar(&t.given, "tag", nil, "`KEY=VALUE` of a tag of "+of+" (repeatable)")
}

func (t *tagFlags) list() ([]*iamv1.Tag, error) { return tagList(t.given) }

// tagPairs takes texts of the form KEY=VALUE apart; the key ends at the first "=".
func tagPairs(given []string) ([][2]string, error) {
	var pairs [][2]string
	seen := map[string]bool{}
	for _, s := range given {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return nil, usage("the tag %q: must be KEY=VALUE", shorten(s, 60))
		}
		if folded := strings.ToLower(key); seen[folded] {
			return nil, usage("the tag %q is given twice", shorten(key, 60))
		} else {
			seen[folded] = true
		}
		pairs = append(pairs, [2]string{key, value})
	}
	return pairs, nil
}

func tagList(given []string) ([]*iamv1.Tag, error) {
	pairs, err := tagPairs(given)
	var tags []*iamv1.Tag
	for _, p := range pairs {
		tags = append(tags, iamv1.Tag_builder{Key: p[0], Value: p[1]}.Build())
	}
	return tags, err
}

// words is tags in one cell of a table.
func (t tagsView) words() string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(t)) {
		all = append(all, k+"="+t[k])
	}
	return strings.Join(all, ", ")
}

// showTags prints tags: a row each, or an object.
func (a *app) showTags(tags tagsView, of string) error {
	if tags == nil {
		tags = tagsView{}
	}
	return a.emit(tags, func() view {
		v := view{header: []string{"KEY", "VALUE"}, empty: of + " has no tags"}
		for _, k := range slices.Sorted(maps.Keys(tags)) {
			v.rows = append(v.rows, []string{k, tags[k]})
		}
		return v
	})
}

func (a *app) tagCommands(i identity) []*cobra.Command {
	tag := &cobra.Command{
		Use: "tag NAME KEY=VALUE…", Short: "add tags to a " + i.noun + ", or change them", Args: takes("NAME", "KEY=VALUE…"),
		Long:    "tag gives a " + i.noun + " tags, for conditions on aws:PrincipalTag and aws:ResourceTag. One that it has gets the new value. 50 at most.",
		Example: fmt.Sprintf("  kmsctl %s tag %s team=ops stage=production", i.noun, i.example),
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			tags, err := tagList(args[1:])
			if err != nil {
				return err
			}
			if err := i.tag(ctx, c, args[0], tags); err != nil {
				return err
			}
			return a.done(i.named(args[0]), "tagged the %s %s", i.noun, args[0])
		}),
	}
	untag := &cobra.Command{
		Use: "untag NAME KEY…", Short: "remove tags of a " + i.noun, Args: takes("NAME", "KEY…"),
		Long:    "untag removes tags of a " + i.noun + " by their keys. One that it does not have is no error.",
		Example: fmt.Sprintf("  kmsctl %s untag %s stage", i.noun, i.example),
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			if err := i.untag(ctx, c, args[0], args[1:]); err != nil {
				return err
			}
			return a.done(i.named(args[0]), "removed tags of the %s %s", i.noun, args[0])
		}),
	}
	tags := &cobra.Command{
		Use: "tags NAME", Short: "list the tags of a " + i.noun, Args: takes("NAME"),
		Long:    "tags lists the tags of a " + i.noun + "; as JSON they are an object.",
		Example: fmt.Sprintf("  kmsctl %s tags %s", i.noun, i.example),
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			list, err := i.tags(ctx, c, args[0])
			if err != nil {
				return err
			}
			return a.showTags(viewOfTags(list), args[0])
		}),
	}
	return []*cobra.Command{tag, untag, tags}
}
