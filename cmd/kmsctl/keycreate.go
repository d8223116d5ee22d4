package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// createFlags are the flags of key create.
type createFlags struct {
	changeFlags
	description, policy, alias string
	tags                       []string
	spec, usage, origin        enumFlag
	bypass, protected          bool
}

func (a *app) keyCreateCommand() *cobra.Command {
	var f createFlags
	cmd := &cobra.Command{
		Use: "create", Short: "make a key", Args: takes(),
		Long: `create makes a key of the caller's account: a symmetric one, or of another --spec. What it is for is said by --usage, where the spec leaves a choice (RSA, ECC),
and cannot be changed. With --origin EXTERNAL the key waits for material of yours (kmsctl key import). Without --policy the account's identity policies
decide who may use it. With --client-token a repetition within 24 hours returns the key that the first one made.`,
		Example: `  kmsctl key create --alias alias/app --description 'the app' --tag team=ops
  kmsctl key create --spec ECC_NIST_P256 --usage SIGN_VERIFY --alias alias/release
  kmsctl key create --spec ML_DSA_65 --deletion-protection
  kmsctl key create --spec HMAC_256 --origin EXTERNAL
  kmsctl key create --policy key-policy.json -o json`,
	}
	fl := cmd.Flags()
	f.spec.add(cmd, keySpecs, "spec", "`SPEC` of the key, such as RSA_3072 (default SYMMETRIC_DEFAULT)")
	f.usage.add(cmd, keyUsages, "usage", "`USAGE` of the key, such as SIGN_VERIFY (default: the only one of the spec)")
	f.origin.add(cmd, keyOrigins, "origin", "`ORIGIN` of the material: AWS_KMS, made by kmsd (the default), or EXTERNAL, imported")
	fl.BoolVar(&f.protected, "deletion-protection", false, "protect the key against deletion from the start")
	fl.StringVar(&f.description, "description", "", "`TEXT` that says what the key is for")
	fl.StringVar(&f.policy, "policy", "", "`FILE` with the key's policy, - for standard input")
	fl.BoolVar(&f.bypass, "bypass-policy-lockout-safety-check", false, "accept a policy that locks you out")
	fl.StringVar(&f.alias, "alias", "", "`NAME` to give the key, such as alias/app")
	fl.StringArrayVar(&f.tags, "tag", nil, "`KEY=VALUE` of a tag of the key (repeatable)")
	f.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		r, err := f.request()
		if err != nil {
			return err
		}
		if f.policy != "" {
			b, err := a.read(ctx, f.policy, maxPolicy)
			if err != nil {
				return err
			}
			r.Policy = string(b)
		}
		return a.createKey(ctx, c, r, f.alias)
	})
	return cmd
}

// request is what the flags ask for, but for the policy.
func (f *createFlags) request() (r kmsv1.CreateKeyRequest_builder, err error) {
	spec, err := f.spec.parse()
	if err != nil {
		return r, err
	}
	usage, err := f.usageOf(kmsv1.KeySpec(spec))
	if err != nil {
		return r, err
	}
	origin, err := f.origin.parse()
	if err != nil {
		return r, err
	}
	tags, err := keyTags(f.tags)
	return kmsv1.CreateKeyRequest_builder{
		KeySpec: kmsv1.KeySpec(spec), KeyUsage: usage, Origin: kmsv1.KeyMaterialOrigin(origin), DeletionProtectionEnabled: f.protected,
		Description: f.description, Tags: tags, BypassPolicyLockoutSafetyCheck: f.bypass, DryRun: f.on, ClientToken: f.token,
	}, err
}

// usageOf is --usage, or else the only usage that keys of the spec have; 0 if neither is given.
func (f *createFlags) usageOf(spec kmsv1.KeySpec) (kmsv1.KeyUsage, error) {
	n, err := f.usage.parse()
	if err != nil || n == 0 && spec == 0 {
		return 0, err
	}
	if spec == 0 {
		spec = kmsv1.KeySpec_KEY_SPEC_SYMMETRIC_DEFAULT
	}
	var names []string
	for _, u := range crypto.Spec(trimEnum(spec, keySpecs.prefix)).Usages() {
		names = append(names, string(u))
	}
	given := trimEnum(kmsv1.KeyUsage(n), keyUsages.prefix)
	switch {
	case n != 0 && !slices.Contains(names, given):
		return 0, usage("--usage %s: a key of --spec %s can be for %s", given, trimEnum(spec, keySpecs.prefix), orOf(names))
	case n == 0 && len(names) != 1:
		return 0, usage("--usage is missing: a key of --spec %s can be for %s", trimEnum(spec, keySpecs.prefix), orOf(names))
	case n == 0:
		n = keyUsages.values[keyUsages.prefix+names[0]]
	}
	return kmsv1.KeyUsage(n), nil
}

func (a *app) createKey(ctx context.Context, c *client.Client, r kmsv1.CreateKeyRequest_builder, alias string) error {
	if err := aliasIsFree(ctx, c, alias, r.ClientToken != ""); err != nil {
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
	v := viewOfKey(out.GetKeyMetadata())
	if alias != "" {
		name := aliasName(alias)
		if _, err := c.Keys().CreateAlias(ctx, kmsv1.CreateAliasRequest_builder{AliasName: name, TargetKeyId: v.KeyID, ClientToken: r.ClientToken}.Build()); err != nil {
			return hint(fmt.Errorf("the key %s was made, its alias was not: %w", v.KeyID, err), "kmsctl alias create NAME --key %s, or kmsctl key disable %s", v.KeyID, v.KeyID)
		}
		v.Aliases = []string{name}
	}
	if v.KeyState == "PendingImport" {
		defer a.say("the key waits for its material: kmsctl key import %s", v.KeyID)
	}
	return a.emit(v, func() view { return v.table(time.Now()) })
}

// aliasIsFree looks before a key is made for an alias that it cannot have. Again says that the alias may be there since the first time. Who may not
// look finds out afterwards.
func aliasIsFree(ctx context.Context, c *client.Client, alias string, again bool) error {
	switch {
	case alias == "":
		return nil
	case strings.HasPrefix(aliasName(alias), "alias/aws/"):
		return usage("--alias %s: names below alias/aws/ are reserved", alias)
	}
	_, err := c.Keys().DescribeKey(ctx, kmsv1.DescribeKeyRequest_builder{KeyId: aliasName(alias)}.Build())
	var e *client.Error
	switch {
	case err == nil && again:
		return nil
	case err == nil:
		return &codedError{fmt.Errorf("--alias %s: it already exists", aliasName(alias)), "choose another name, or kmsctl alias update", exitConflict}
	case errors.As(err, &e) && e.Code == codes.NotFound && strings.HasPrefix(e.Message, "Alias "), client.Is(err, "AccessDeniedException"):
		return nil
	case errors.As(err, &e) && e.Code == codes.NotFound:
		return usage("--alias %s: %s", alias, e.Message)
	}
	return err
}
