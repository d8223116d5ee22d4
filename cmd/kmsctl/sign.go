package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// maxSignature is the size of the largest signature or MAC that kmsd looks at, in bytes.
const maxSignature = 6144

// signatureView is the answer of sign and verify as JSON shows it.
type signatureView struct {
	KeyID       string `json:"key_id"`
	Material    string `json:"key_material_id,omitempty"`
	Algorithm   string `json:"signing_algorithm"`
	MessageType string `json:"message_type"`
	Signature   []byte `json:"signature,omitempty"`
	Valid       bool   `json:"signature_valid,omitempty"`
}

func (a *app) signCommand() *cobra.Command {
	var f messageFlags
	var out outFlags
	var dry dryRun
	cmd := &cobra.Command{
		Use: "sign --key KEY", Short: "sign a message or a file", Args: takes(),
		Long: `sign signs a file of any size, or standard input: of more than 4096 bytes only a hash is sent to kmsd. With --message-type the input itself is sent, such as a digest that
was made elsewhere. The signature is written as bytes, or as base64 with -o json: that of RSA as in PKCS #1, of ECDSA in DER, of Ed25519 and ML-DSA as in their
standards. openssl and others verify it with what kmsctl key public-key writes.`,
		Example: `  kmsctl sign --key alias/release --in app.tar.gz --out app.tar.gz.sig
  kmsctl sign --key alias/rsa --algorithm RSASSA_PSS_SHA_256 --in app.tar.gz -o json
  openssl dgst -sha256 -binary app.tar.gz | kmsctl sign --key alias/release --message-type DIGEST --out app.tar.gz.sig`,
	}
	f.add(cmd, "`FILE` to sign, - for standard input")
	out.add(cmd, "`FILE` for the signature, - for standard output")
	dry.add(cmd)
	required(cmd, "key")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		if !dry.on && a.toTerminal(out) {
			return errTerminal(instead)
		}
		if err := out.check(); err != nil {
			return err
		}
		algorithm, err := f.chosen(ctx, c)
		if err != nil {
			return err
		}
		message, kind, err := a.message(ctx, c, &f, algorithm)
		if err != nil {
			return err
		}
		r, err := c.Crypto().Sign(ctx, kmsv1.SignRequest_builder{
			KeyId: f.key, Message: message, MessageType: kind, SigningAlgorithm: algorithm, GrantTokens: f.tokens, DryRun: dry.on,
		}.Build())
		if err != nil || dry.on {
			return a.rehearsed(err, r.GetDryRun())
		}
		v := &signatureView{
			KeyID: r.GetKeyId(), Material: r.GetKeyMaterialId(),
			Algorithm: trimEnum(r.GetSigningAlgorithm(), signingAlgorithms.prefix), MessageType: trimEnum(kind, messageTypes.prefix),
		}
		return a.deliver(out, r.GetSignature(), v, &v.Signature, fmt.Sprintf("signed with %s under %s", v.Algorithm, v.KeyID))
	})
	return cmd
}

func (a *app) verifyCommand() *cobra.Command {
	var f messageFlags
	var signature string
	var dry dryRun
	cmd := &cobra.Command{
		Use: "verify --key KEY --signature FILE", Short: "verify a signature", Args: takes(),
		Long: `verify has kmsd verify a signature of a file of any size, or of standard input, which is treated as by kmsctl sign. Exit code 7 means that the signature is not one of this message
under this key, by this algorithm.`,
		Example: "  kmsctl verify --key alias/release --in app.tar.gz --signature app.tar.gz.sig",
	}
	f.add(cmd, "`FILE` that was signed, - for standard input")
	cmd.Flags().StringVar(&signature, "signature", "", "`FILE` with the signature")
	dry.add(cmd)
	required(cmd, "key", "signature")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		if signature == standard && f.in == standard {
			return usage("--in and --signature cannot both be standard input")
		}
		algorithm, err := f.chosen(ctx, c)
		if err != nil {
			return err
		}
		message, kind, err := a.message(ctx, c, &f, algorithm)
		if err != nil {
			return err
		}
		b, err := a.read(ctx, signature, maxSignature)
		if err != nil {
			return err
		}
		r, err := c.Crypto().Verify(ctx, kmsv1.VerifyRequest_builder{
			KeyId: f.key, Message: message, MessageType: kind, Signature: b, SigningAlgorithm: algorithm, GrantTokens: f.tokens, DryRun: dry.on,
		}.Build())
		if err != nil || dry.on {
			return a.rehearsed(err, r.GetDryRun())
		}
		if !r.GetSignatureValid() {
			return &codedError{fmt.Errorf("kmsd did not say that the signature is valid"), "", exitVerify}
		}
		v := signatureView{
			KeyID: r.GetKeyId(), Material: r.GetKeyMaterialId(),
			Algorithm: trimEnum(r.GetSigningAlgorithm(), signingAlgorithms.prefix), MessageType: trimEnum(kind, messageTypes.prefix), Valid: true,
		}
		return a.done(v, "the signature is valid: %s, %s", v.Algorithm, v.KeyID)
	})
	return cmd
}
