package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// maxPolicy is the length of the longest policy document that kmsd takes, in bytes.
const maxPolicy = 32768

// keyView is a key as JSON shows it.
type keyView struct {
	KeyID       string    `json:"key_id"`
	ARN         string    `json:"arn"`
	Account     string    `json:"aws_account_id,omitempty"`
	Aliases     []string  `json:"aliases"`
	KeyState    string    `json:"key_state,omitempty"`
	Description string    `json:"description"`
	Created     time.Time `json:"creation_date,omitzero"`
	KeySpec     string    `json:"key_spec,omitempty"`
	KeyUsage    string    `json:"key_usage,omitempty"`
	Origin      string    `json:"origin,omitempty"`
	Material    string    `json:"current_key_material_id,omitempty"`
}

// trimEnum is the name of an enum's value as AWS writes it.
func trimEnum(value fmt.Stringer, prefix string) string {
	return strings.TrimPrefix(value.String(), prefix)
}

// title is an upper-case word as AWS writes states: "Enabled".
func title(word string) string {
	if word == "" {
		return ""
	}
	return word[:1] + strings.ToLower(word[1:])
}

func viewOfKey(m *kmsv1.KeyMetadata, aliases []string) keyView {
	return keyView{
		KeyID: m.GetKeyId(), ARN: m.GetArn(), Account: m.GetAwsAccountId(), Aliases: append([]string{}, aliases...),
		KeyState: title(trimEnum(m.GetKeyState(), "KEY_STATE_")), Description: m.GetDescription(), Created: m.GetCreationDate().AsTime(),
		KeySpec: trimEnum(m.GetKeySpec(), "KEY_SPEC_"), KeyUsage: trimEnum(m.GetKeyUsage(), "KEY_USAGE_"),
		Origin: trimEnum(m.GetOrigin(), "KEY_MATERIAL_ORIGIN_"), Material: m.GetCurrentKeyMaterialId(),
	}
}

func (k keyView) table() view {
	return pairs("key id", k.KeyID, "arn", k.ARN, "aliases", strings.Join(k.Aliases, ", "), "state", k.KeyState, "description", k.Description, "created", stamp(k.Created),
		"spec", k.KeySpec, "usage", k.KeyUsage, "origin", k.Origin, "material", k.Material)
}

func (a *app) keyCommand() *cobra.Command {
	return a.group(&cobra.Command{
		Use: "key", Short: "make, list and change keys",
		Long:    "A key lives in kmsd and never leaves it. KEY is a key's id or ARN; describe also takes an alias (alias/name) or an alias's ARN.",
		Example: "  kmsctl key create --alias alias/app --description 'the app'\n  kmsctl key list",
	},
		a.keyCreateCommand(), a.keyListCommand(), a.keyDescribeCommand(),
		a.keyStateCommand("enable", "let a disabled key be used again", func(ctx context.Context, c *client.Client, id string, dry bool) (string, bool, error) {
			out, err := c.Keys().EnableKey(ctx, kmsv1.EnableKeyRequest_builder{KeyId: id, DryRun: dry}.Build())
			return out.GetKeyId(), out.GetDryRun(), err
		}),
		a.keyStateCommand("disable", "stop every use of a key, at once", func(ctx context.Context, c *client.Client, id string, dry bool) (string, bool, error) {
			if !dry {
				if err := a.confirm("Disable %s? Nothing can be encrypted or decrypted under it until it is enabled again.", id); err != nil {
					return "", false, err
				}
			}
			out, err := c.Keys().DisableKey(ctx, kmsv1.DisableKeyRequest_builder{KeyId: id, DryRun: dry}.Build())
			return out.GetKeyId(), out.GetDryRun(), err
		}),
		a.keyRotateCommand(), a.keyRotationsCommand(), a.keyDescriptionCommand(), a.keyPolicyCommand(), a.keyTagCommand(), a.keyUntagCommand(), a.keyTagsCommand(),
	)
}

func (a *app) keyCreateCommand() *cobra.Command {
	var r kmsv1.CreateKeyRequest_builder
	var policy, alias string
	var tags []string
	var dry dryRun
	cmd := &cobra.Command{
		Use: "create", Short: "make a key", Args: takes(),
		Long: `create makes a symmetric key of the caller's account. Without --policy the account's identity policies decide who may use it. With
--client-token a repetition within 24 hours returns the key that the first one made.`,
		Example: "  kmsctl key create --alias alias/app --description 'the app' --tag team=ops\n  kmsctl key create --policy key-policy.json -o json",
	}
	f := cmd.Flags()
	f.StringVar(&r.Description, "description", "", "`TEXT` that says what the key is for")
	f.StringVar(&policy, "policy", "", "`FILE` with the key's policy, - for standard input")
	f.BoolVar(&r.BypassPolicyLockoutSafetyCheck, "bypass-policy-lockout-safety-check", false, "accept a policy that locks you out")
	f.StringVar(&alias, "alias", "", "`NAME` to give the key, such as alias/app")
	f.StringArrayVar(&tags, "tag", nil, "`KEY=VALUE` of a tag of the key (repeatable)")
	f.StringVar(&r.ClientToken, "client-token", "", "`TOKEN` of this request: the same one makes one key only")
	dry.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		var err error
		if r.Tags, err = keyTags(tags); err != nil {
			return err
		}
		if policy != "" {
			b, err := a.read(ctx, policy, maxPolicy)
			if err != nil {
				return err
			}
			r.Policy = string(b)
		}
		r.DryRun = dry.on
		return a.createKey(ctx, c, r, alias)
	})
	return cmd
}

func (a *app) createKey(ctx context.Context, c *client.Client, r kmsv1.CreateKeyRequest_builder, alias string) error {
	if err := aliasIsFree(ctx, c, alias); err != nil {
		return err
	}
	out, err := c.Keys().CreateKey(ctx, r.Build())
	if err != nil {
		return policyFault(err, r.Policy)
	}
	a.findings(out.GetFindings(), !r.DryRun)
	if r.DryRun {
		return a.rehearsed(nil, out.GetDryRun())
	}
	k := out.GetKeyMetadata()
	var aliases []string
	if alias != "" {
		name := aliasName(alias)
		if _, err := c.Keys().CreateAlias(ctx, kmsv1.CreateAliasRequest_builder{AliasName: name, TargetKeyId: k.GetKeyId()}.Build()); err != nil {
			return hint(fmt.Errorf("the key %s was made, its alias was not: %w", k.GetKeyId(), err), "kmsctl alias create NAME --key %s, or kmsctl key disable %s", k.GetKeyId(), k.GetKeyId())
		}
		aliases = []string{name}
	}
	v := viewOfKey(k, aliases)
	return a.emit(v, v.table)
}

// aliasIsFree looks before a key is made for an alias that it cannot have. Who may not look finds out afterwards.
func aliasIsFree(ctx context.Context, c *client.Client, alias string) error {
	if alias == "" {
		return nil
	}
	_, err := c.Keys().DescribeKey(ctx, kmsv1.DescribeKeyRequest_builder{KeyId: aliasName(alias)}.Build())
	var e *client.Error
	switch {
	case err == nil:
		return &codedError{fmt.Errorf("--alias %s: it already exists", aliasName(alias)), "choose another name, or kmsctl alias update", exitConflict}
	case errors.As(err, &e) && e.Code == codes.NotFound && strings.HasPrefix(e.Message, "Alias "), client.Is(err, "AccessDeniedException"):
		return nil
	case errors.As(err, &e) && e.Code == codes.NotFound:
		return usage("--alias %s: %s", alias, e.Message)
	}
	return err
}

func (a *app) keyListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "list the keys of the account", Args: takes(),
		Long:    "list shows the keys of the caller's account with their aliases, in the order of their ids. What a key's policy does not let the caller see is left out of its row.",
		Example: "  kmsctl key list\n  kmsctl key list -o json",
		RunE: a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
			keys, err := listKeys(ctx, c)
			if err != nil {
				return err
			}
			return a.emit(keys, func() view {
				v := view{header: []string{"KEY ID", "ALIASES", "STATE", "CREATED", "DESCRIPTION"}, empty: "there are no keys"}
				for _, k := range keys {
					state := k.KeyState
					if state == "" {
						state = "?"
					}
					v.rows = append(v.rows, []string{k.KeyID, strings.Join(k.Aliases, ", "), state, stamp(k.Created), shorten(k.Description, 60)})
				}
				return v
			})
		}),
	}
}

// listKeys gathers the keys of the account, their aliases and metadata.
func listKeys(ctx context.Context, c *client.Client) ([]keyView, error) {
	entries, err := allPages(func(marker string) ([]*kmsv1.KeyListEntry, string, error) {
		out, err := c.Keys().ListKeys(ctx, kmsv1.ListKeysRequest_builder{Limit: 1000, Marker: marker}.Build())
		return out.GetKeys(), out.GetNextMarker(), err
	})
	if err != nil {
		return nil, err
	}
	aliases, err := listAliases(ctx, c, "")
	if err != nil && !client.Is(err, "AccessDeniedException") {
		return nil, err
	}
	names := map[string][]string{} // :: key id → aliases
	for _, al := range aliases {
		names[al.TargetKeyID] = append(names[al.TargetKeyID], al.AliasName)
	}
	keys := make([]keyView, 0, len(entries))
	for _, e := range entries {
		out, err := c.Keys().DescribeKey(ctx, kmsv1.DescribeKeyRequest_builder{KeyId: e.GetKeyArn()}.Build())
		switch {
		case client.Is(err, "AccessDeniedException"):
			keys = append(keys, keyView{KeyID: e.GetKeyId(), ARN: e.GetKeyArn(), Aliases: append([]string{}, names[e.GetKeyId()]...)})
		case err != nil:
			return nil, err
		default:
			keys = append(keys, viewOfKey(out.GetKeyMetadata(), names[e.GetKeyId()]))
		}
	}
	return keys, nil
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

func (a *app) keyDescribeCommand() *cobra.Command {
	var tokens []string
	cmd := &cobra.Command{
		Use: "describe KEY", Short: "show a key", Args: takes("KEY"),
		Long:    "describe shows a key's metadata. KEY is a key's id, its ARN, an alias (alias/name) or an alias's ARN.",
		Example: "  kmsctl key describe alias/app\n  kmsctl key describe 1234abcd-12ab-34cd-56ef-1234567890ab -o json",
	}
	addGrantTokens(cmd, &tokens)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		out, err := c.Keys().DescribeKey(ctx, kmsv1.DescribeKeyRequest_builder{KeyId: args[0], GrantTokens: tokens}.Build())
		if err != nil {
			return err
		}
		var names []string
		aliases, err := listAliases(ctx, c, out.GetKeyMetadata().GetArn())
		if err != nil && !client.Is(err, "AccessDeniedException") {
			return err
		}
		for _, al := range aliases {
			names = append(names, al.AliasName)
		}
		v := viewOfKey(out.GetKeyMetadata(), names)
		return a.emit(v, v.table)
	})
	return cmd
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

func (a *app) keyStateCommand(name, short string, do func(ctx context.Context, c *client.Client, id string, dry bool) (arn string, was bool, err error)) *cobra.Command {
	var dry dryRun
	cmd := &cobra.Command{
		Use: name + " KEY", Short: short, Args: takes("KEY"),
		Long:    name + ": " + short + ". KEY is a key's id or ARN.",
		Example: "  kmsctl key " + name + " 1234abcd-12ab-34cd-56ef-1234567890ab",
	}
	dry.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		arn, was, err := do(ctx, c, args[0], dry.on)
		if err != nil || dry.on {
			return a.rehearsed(err, was)
		}
		return a.done(changed{KeyID: arn}, "%sd %s", name, arn)
	})
	return cmd
}

func (a *app) keyRotateCommand() *cobra.Command {
	var token string
	var dry dryRun
	cmd := &cobra.Command{
		Use: "rotate KEY", Short: "give a key new material", Args: takes("KEY"),
		Long: `rotate adds a version to a key and makes it the one that encrypts; all others go on decrypting. A key can be rotated 25 times. With
--client-token a repetition does not rotate again.`,
		Example: "  kmsctl key rotate 1234abcd-12ab-34cd-56ef-1234567890ab",
	}
	cmd.Flags().StringVar(&token, "client-token", "", "`TOKEN` of this request: the same one rotates once only")
	dry.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		out, err := c.Keys().RotateKeyOnDemand(ctx, kmsv1.RotateKeyOnDemandRequest_builder{KeyId: args[0], ClientToken: token, DryRun: dry.on}.Build())
		if err != nil || dry.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		return a.done(changed{out.GetKeyId(), out.GetKeyMaterialId()}, "rotated %s: material %s encrypts from now on", out.GetKeyId(), out.GetKeyMaterialId())
	})
	return cmd
}

// rotationView is one version of a key.
type rotationView struct {
	KeyID    string    `json:"key_id"`
	Version  int32     `json:"version"`
	Material string    `json:"key_material_id"`
	State    string    `json:"key_material_state"`
	Date     time.Time `json:"rotation_date"`
	Type     string    `json:"rotation_type,omitempty"`
}

func (a *app) keyRotationsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rotations KEY", Short: "list the versions of a key", Args: takes("KEY"),
		Long:    "rotations lists the versions of a key, the latest first. KEY is a key's id or ARN.",
		Example: "  kmsctl key rotations 1234abcd-12ab-34cd-56ef-1234567890ab",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			entries, err := allPages(func(marker string) ([]*kmsv1.RotationsListEntry, string, error) {
				out, err := c.Keys().ListKeyRotations(ctx, kmsv1.ListKeyRotationsRequest_builder{KeyId: args[0], Limit: 1000, Marker: marker}.Build())
				return out.GetRotations(), out.GetNextMarker(), err
			})
			if err != nil {
				return err
			}
			versions := []rotationView{}
			v := view{header: []string{"VERSION", "STATE", "DATE", "TYPE", "MATERIAL"}}
			for _, e := range entries {
				r := rotationView{
					e.GetKeyId(), e.GetVersion(), e.GetKeyMaterialId(), trimEnum(e.GetKeyMaterialState(), "KEY_MATERIAL_STATE_"),
					e.GetRotationDate().AsTime(), strings.TrimPrefix(trimEnum(e.GetRotationType(), "ROTATION_TYPE_"), "UNSPECIFIED"),
				}
				versions = append(versions, r)
				v.rows = append(v.rows, []string{fmt.Sprint(r.Version), r.State, stamp(r.Date), r.Type, r.Material})
			}
			return a.emit(versions, func() view { return v })
		}),
	}
}

func (a *app) keyDescriptionCommand() *cobra.Command {
	var dry dryRun
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
	dry.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		out, err := c.Keys().UpdateKeyDescription(ctx, kmsv1.UpdateKeyDescriptionRequest_builder{KeyId: args[0], Description: args[1], DryRun: dry.on}.Build())
		if err != nil || dry.on {
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
