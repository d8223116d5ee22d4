package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func viewOfLastUse(u *kmsv1.KeyLastUsage) *lastUseView {
	if u == nil {
		return nil
	}
	return &lastUseView{u.GetOperation(), instantOf(u.GetTimestamp()), u.GetEventId(), u.GetRequestId()}
}

// lastUsageView is when a key was last used.
type lastUsageView struct {
	KeyID   string       `json:"key_id"`
	Created time.Time    `json:"key_creation_date"`
	LastUse *lastUseView `json:"key_last_usage,omitempty"`
	Tracked time.Time    `json:"tracking_start_date"`
}

func (a *app) keyLastUsageCommand() *cobra.Command {
	return &cobra.Command{
		Use: "last-usage KEY", Short: "show when a key was last used", Args: takes("KEY"),
		Long: `last-usage shows the last use of a key, as of at most a minute ago, and its record in the audit log; and since when uses are tracked, so that "never" is not taken for
"not that anybody knew". KEY is a key's id, its ARN, an alias or an alias's ARN.`,
		Example: "  kmsctl key last-usage alias/app",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			out, err := c.Keys().GetKeyLastUsage(ctx, kmsv1.GetKeyLastUsageRequest_builder{KeyId: args[0]}.Build())
			if err != nil {
				return err
			}
			v := lastUsageView{out.GetKeyId(), instantOf(out.GetKeyCreationDate()), viewOfLastUse(out.GetKeyLastUsage()), instantOf(out.GetTrackingStartDate())}
			return a.emit(v, func() view {
				t := pairs("key id", v.KeyID, "created", stamp(v.Created), "tracked since", stamp(v.Tracked), "last use", v.LastUse.words(time.Now()))
				if v.LastUse != nil {
					t = t.given("event id", v.LastUse.EventID).given("request id", v.LastUse.RequestID)
				}
				return t
			})
		}),
	}
}

// publicKeyView is a public key as JSON shows it.
type publicKeyView struct {
	KeyID                   string   `json:"key_id"`
	PublicKey               []byte   `json:"public_key,omitempty"`
	KeySpec                 string   `json:"key_spec"`
	KeyUsage                string   `json:"key_usage"`
	EncryptionAlgorithms    []string `json:"encryption_algorithms,omitempty"`
	SigningAlgorithms       []string `json:"signing_algorithms,omitempty"`
	KeyAgreementAlgorithms  []string `json:"key_agreement_algorithms,omitempty"`
	EncapsulationAlgorithms []string `json:"encapsulation_algorithms,omitempty"`
	Material                string   `json:"key_material_id,omitempty"`
}

func (a *app) keyPublicKeyCommand() *cobra.Command {
	var der bool
	var out outFlags
	var tokens []string
	var dry dryRun
	cmd := &cobra.Command{
		Use: "public-key KEY", Short: "get the public key of an asymmetric key", Args: takes("KEY"),
		Long: `public-key writes the public key, a SubjectPublicKeyInfo in PEM, or in DER with --der, for whoever verifies, encrypts or encapsulates without kmsd. With -o json it is DER
in base64, beside what the key is for. KEY is a key's id, its ARN, an alias or an alias's ARN.`,
		Example: "  kmsctl key public-key alias/release --out release.pem\n  kmsctl key public-key alias/release --der --out release.der",
	}
	cmd.Flags().BoolVar(&der, "der", false, "write DER instead of PEM")
	out.add(cmd, "`FILE` for the public key, - for standard output")
	addGrantTokens(cmd, &tokens)
	dry.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		if der && !dry.on && a.toTerminal(out) {
			return errTerminal("--out FILE, or without --der")
		}
		if err := out.check(); err != nil {
			return err
		}
		r, err := c.Keys().GetPublicKey(ctx, kmsv1.GetPublicKeyRequest_builder{KeyId: args[0], GrantTokens: tokens, DryRun: dry.on}.Build())
		if err != nil || dry.on {
			return a.rehearsed(err, r.GetDryRun())
		}
		v := &publicKeyView{
			KeyID: r.GetKeyId(), KeySpec: trimEnum(r.GetKeySpec(), keySpecs.prefix), KeyUsage: trimEnum(r.GetKeyUsage(), keyUsages.prefix),
			EncryptionAlgorithms: namesOf(encryptionAlgorithms.prefix, r.GetEncryptionAlgorithms()), SigningAlgorithms: namesOf(signingAlgorithms.prefix, r.GetSigningAlgorithms()),
			KeyAgreementAlgorithms:  namesOf("KEY_AGREEMENT_ALGORITHM_SPEC_", r.GetKeyAgreementAlgorithms()),
			EncapsulationAlgorithms: namesOf("ENCAPSULATION_ALGORITHM_SPEC_", r.GetEncapsulationAlgorithms()), Material: r.GetKeyMaterialId(),
		}
		b := r.GetPublicKey()
		if !out.toFile() && a.output != formatTable {
			v.PublicKey = b
			return a.emit(v, nil)
		}
		if !der {
			b = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: b})
		}
		return a.deliver(out, b, v, &v.PublicKey, fmt.Sprintf("wrote the public key of %s (%s)", v.KeyID, v.KeySpec))
	})
	return cmd
}
