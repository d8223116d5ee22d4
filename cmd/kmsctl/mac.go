package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// macView is the answer of mac and verify-mac as JSON shows it.
type macView struct {
	KeyID     string `json:"key_id"`
	Material  string `json:"key_material_id,omitempty"`
	Algorithm string `json:"mac_algorithm"`
	MAC       []byte `json:"mac,omitempty"`
	Valid     bool   `json:"mac_valid,omitempty"`
}

// macFlags are the flags of mac and verify-mac.
type macFlags struct {
	key, in   string
	algorithm enumFlag
	tokens    []string
	dry       dryRun
}

func (f *macFlags) add(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&f.key, "key", "", "the HMAC `KEY`: id, ARN, alias or alias ARN")
	cmd.Flags().StringVar(&f.in, "in", standard, what)
	f.algorithm.add(cmd, macAlgorithms, "algorithm", "`ALGORITHM`, such as HMAC_SHA_256 (default: that of the key)")
	addGrantTokens(cmd, &f.tokens)
	f.dry.add(cmd)
}

// chosen returns the algorithm that is given, or else that of the key.
func (f *macFlags) chosen(ctx context.Context, c *client.Client) (kmsv1.MacAlgorithmSpec, error) {
	n, err := f.algorithm.parse()
	if err != nil || n != 0 {
		return kmsv1.MacAlgorithmSpec(n), err
	}
	out, err := c.Keys().DescribeKey(ctx, kmsv1.DescribeKeyRequest_builder{KeyId: f.key, GrantTokens: f.tokens}.Build())
	if client.Is(err, "AccessDeniedException") {
		return 0, hintAt(usageError{fmt.Errorf("--algorithm is missing, and you may not look which one the key has (%w)", err)}, "--algorithm")
	}
	if err != nil {
		return 0, err
	}
	all := out.GetKeyMetadata().GetMacAlgorithms()
	if len(all) != 1 {
		return 0, usage("%s makes no MACs: its usage is %s", f.key, trimEnum(out.GetKeyMetadata().GetKeyUsage(), keyUsages.prefix))
	}
	return all[0], nil
}

func (a *app) macCommand() *cobra.Command {
	var f macFlags
	var out outFlags
	cmd := &cobra.Command{
		Use: "mac --key KEY", Short: "make the MAC of a message of up to 4096 bytes", Args: takes(),
		Long:    "mac has kmsd make the HMAC of a file or of standard input, of 1 to 4096 bytes, and writes it as bytes, or as base64 with -o json.",
		Example: "  printf 'session 42' | kmsctl mac --key alias/sessions -o json\n  kmsctl mac --key alias/sessions --in message --out message.mac",
	}
	f.add(cmd, "`FILE` with the message, - for standard input")
	out.add(cmd, "`FILE` for the MAC, - for standard output")
	required(cmd, "key")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		if !f.dry.on && a.toTerminal(out) {
			return errTerminal(instead)
		}
		if err := out.check(); err != nil {
			return err
		}
		algorithm, err := f.chosen(ctx, c)
		if err != nil {
			return err
		}
		message, err := a.read(ctx, f.in, crypto.MaxMessage)
		if err != nil {
			return hintAt(err, "make the MAC of a hash of the message instead")
		}
		defer clear(message)
		r, err := c.Crypto().GenerateMac(ctx, kmsv1.GenerateMacRequest_builder{KeyId: f.key, Message: message, MacAlgorithm: algorithm, GrantTokens: f.tokens, DryRun: f.dry.on}.Build())
		if err != nil || f.dry.on {
			return a.rehearsed(err, r.GetDryRun())
		}
		v := &macView{KeyID: r.GetKeyId(), Material: r.GetKeyMaterialId(), Algorithm: trimEnum(r.GetMacAlgorithm(), macAlgorithms.prefix)}
		return a.deliver(out, r.GetMac(), v, &v.MAC, fmt.Sprintf("made the MAC with %s under %s", v.Algorithm, v.KeyID))
	})
	return cmd
}

func (a *app) verifyMacCommand() *cobra.Command {
	var f macFlags
	var mac string
	cmd := &cobra.Command{
		Use: "verify-mac --key KEY --mac FILE", Short: "verify the MAC of a message", Args: takes(),
		Long:    "verify-mac has kmsd verify the MAC of a file or of standard input, of 1 to 4096 bytes. Exit code 7 means that it is not that of this message under this key.",
		Example: "  kmsctl verify-mac --key alias/sessions --in message --mac message.mac",
	}
	f.add(cmd, "`FILE` with the message, - for standard input")
	cmd.Flags().StringVar(&mac, "mac", "", "`FILE` with the MAC")
	required(cmd, "key", "mac")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		if mac == standard && f.in == standard {
			return usage("--in and --mac cannot both be standard input")
		}
		algorithm, err := f.chosen(ctx, c)
		if err != nil {
			return err
		}
		message, err := a.read(ctx, f.in, crypto.MaxMessage)
		if err != nil {
			return err
		}
		defer clear(message)
		b, err := a.read(ctx, mac, maxSignature)
		if err != nil {
			return err
		}
		r, err := c.Crypto().VerifyMac(ctx, kmsv1.VerifyMacRequest_builder{
			KeyId: f.key, Message: message, Mac: b, MacAlgorithm: algorithm, GrantTokens: f.tokens, DryRun: f.dry.on,
		}.Build())
		if err != nil || f.dry.on {
			return a.rehearsed(err, r.GetDryRun())
		}
		if !r.GetMacValid() {
			return &codedError{errors.New("kmsd did not say that the MAC is valid"), "", exitVerify}
		}
		v := macView{KeyID: r.GetKeyId(), Material: r.GetKeyMaterialId(), Algorithm: trimEnum(r.GetMacAlgorithm(), macAlgorithms.prefix), Valid: true}
		return a.done(v, "the MAC is valid: %s, %s", v.Algorithm, v.KeyID)
	})
	return cmd
}
