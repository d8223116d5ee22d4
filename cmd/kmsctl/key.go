package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// maxPolicy is the length of the longest policy document that kmsd takes, in bytes.
const maxPolicy = 32768

// trimEnum is the name of an enum's value as AWS writes it.
func trimEnum(value fmt.Stringer, prefix string) string {
	return strings.TrimPrefix(value.String(), prefix)
}

// title is an upper-case name as AWS writes states: "PendingDeletion".
func title(name string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		if word != "" {
			b.WriteString(word[:1] + strings.ToLower(word[1:]))
		}
	}
	return b.String()
}

func (a *app) keyCommand() *cobra.Command {
	return a.group(&cobra.Command{
		Use: "key", Short: "make, list and change keys",
		Long:    "A key lives in kmsd and never leaves it. KEY is a key's id or ARN; describe also takes an alias (alias/name) or an alias's ARN.",
		Example: "  kmsctl key create --alias alias/app --description 'the app'\n  kmsctl key list",
	},
		a.keyCreateCommand(), a.keyListCommand(), a.keyDescribeCommand(),
		a.keyStateCommand("enable", "let a disabled key be used again", func(ctx context.Context, c *client.Client, id string, f *changeFlags) (string, bool, error) {
			out, err := c.Keys().EnableKey(ctx, kmsv1.EnableKeyRequest_builder{KeyId: id, DryRun: f.on, ClientToken: f.token}.Build())
			return out.GetKeyId(), out.GetDryRun(), err
		}),
		a.keyStateCommand("disable", "stop every use of a key, at once", func(ctx context.Context, c *client.Client, id string, f *changeFlags) (string, bool, error) {
			if !f.on {
				if err := a.confirm("Disable %s? Nothing can be done with it until it is enabled again.", id); err != nil {
					return "", false, err
				}
			}
			out, err := c.Keys().DisableKey(ctx, kmsv1.DisableKeyRequest_builder{KeyId: id, DryRun: f.on, ClientToken: f.token}.Build())
			return out.GetKeyId(), out.GetDryRun(), err
		}),
		a.keyRotateCommand(), a.keyRotationCommand(), a.keyRotationsCommand(), a.keyMaterialCommand(),
		a.keyImportCommand(), a.keyImportParametersCommand(), a.keyWrapCommand(),
		a.keyScheduleDeletionCommand(), a.keyCancelDeletionCommand(), a.keyDeletionReportCommand(), a.keyDeletionProtectionCommand(),
		a.keyPublicKeyCommand(), a.keyLastUsageCommand(),
		a.keyDescriptionCommand(), a.keyPolicyCommand(), a.keyTagCommand(), a.keyUntagCommand(), a.keyTagsCommand(),
	)
}

// allPages gathers the pages of a list.
func allPages[E any](page func(marker string) ([]E, string, error)) ([]E, error) {
	var all []E
	for marker := ""; ; {
		more, next, err := page(marker)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
		if next == "" || next == marker {
			return all, nil
		}
		marker = next
	}
}

// changed is what a change of a key is answered with.
type changed struct {
	KeyID    string `json:"key_id"`
	Material string `json:"key_material_id,omitempty"`
}

// done tells of a change: as data if JSON or YAML is wanted, or else as a message.
func (a *app) done(v any, format string, args ...any) error {
	if a.output == formatTable {
		a.say(format, args...)
		return nil
	}
	return a.emit(v, nil)
}

func (a *app) keyStateCommand(name, short string, do func(ctx context.Context, c *client.Client, id string, f *changeFlags) (arn string, was bool, err error)) *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use: name + " KEY", Short: short, Args: takes("KEY"),
		Long:    name + ": " + short + ". KEY is a key's id or ARN.",
		Example: "  kmsctl key " + name + " 1234abcd-12ab-34cd-56ef-1234567890ab",
	}
	f.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		arn, was, err := do(ctx, c, args[0], &f)
		if err != nil || f.on {
			return a.rehearsed(err, was)
		}
		return a.done(changed{KeyID: arn}, "%sd %s", name, arn)
	})
	return cmd
}

func (a *app) keyDescriptionCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use: "update-description KEY TEXT", Short: "change a key's description",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 && args[0] != "" {
				return nil // the text may be empty
			}
			return takes("KEY", "TEXT")(cmd, args)
		},
		Long:    "update-description replaces a key's description; an empty TEXT removes it. KEY is a key's id or ARN.",
		Example: "  kmsctl key update-description 1234abcd-12ab-34cd-56ef-1234567890ab 'the app, production'",
	}
	f.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		out, err := c.Keys().UpdateKeyDescription(ctx, kmsv1.UpdateKeyDescriptionRequest_builder{KeyId: args[0], Description: args[1], DryRun: f.on, ClientToken: f.token}.Build())
		if err != nil || f.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		return a.done(changed{KeyID: out.GetKeyId()}, "updated the description of %s", out.GetKeyId())
	})
	return cmd
}

var errNoPolicyInput = errors.New("give a file with the policy, or - for standard input")

// policyInput reads a policy from the file named by the argument at i, or from standard input if it is left out and not a terminal.
func (a *app) policyInput(ctx context.Context, args []string, i int) (string, error) {
	path := standard
	if len(args) > i {
		path = args[i]
	} else if isTerminal(a.stdin) {
		return "", usageError{errNoPolicyInput}
	}
	b, err := a.read(ctx, path, maxPolicy)
	return string(b), err
}
