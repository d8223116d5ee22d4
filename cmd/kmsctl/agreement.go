package main

import (
	"context"
	"encoding/base64"
	"errors"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// Sizes of files, in bytes.
const (
	maxPublicKey     = 8192
	maxEncapsulation = 6144
)

// secretView is a shared secret as JSON shows it; bytes are base64. What went to a file is left out.
type secretView struct {
	KeyID      string `json:"key_id"`
	Material   string `json:"key_material_id,omitempty"`
	Algorithm  string `json:"algorithm"`
	Ciphertext []byte `json:"ciphertext,omitempty"`
	Secret     []byte `json:"shared_secret,omitempty"`
}

// secretFlags are the flags of what returns a shared secret.
type secretFlags struct {
	key    string
	show   bool
	out    outFlags
	tokens []string
	dry    dryRun
}

func (f *secretFlags) add(cmd *cobra.Command, key string) {
	cmd.Flags().StringVar(&f.key, "key", "", key)
	cmd.Flags().BoolVar(&f.show, "show-secret", false, "show the secret on a terminal")
	f.out.add(cmd, "`FILE` for the secret, as bytes (mode 0600)")
	addGrantTokens(cmd, &f.tokens)
	f.dry.add(cmd)
}

// checkSecret refuses early to show a secret on a terminal, and files that exist.
func (a *app) checkSecret(f *secretFlags, other outFlags) error {
	if !f.dry.on && !f.out.toFile() && !f.show && a.output == formatTable && isTerminal(a.stdout) {
		return hintAt(usageError{errors.New("this would show the secret on a terminal")}, "--out FILE, or --show-secret if that is what you want")
	}
	return checkFiles(f.out, other)
}

// deliverSecret writes the files that were asked for and prints the rest.
func (a *app) deliverSecret(f *secretFlags, v secretView, sealed outFlags) error {
	if sealed.toFile() { // first: without its ciphertext the secret is of no use to the other side
		if err := sealed.write(v.Ciphertext); err != nil {
			return err
		}
		v.Ciphertext = nil
	}
	if f.out.toFile() {
		if err := f.out.write(v.Secret); err != nil {
			return err
		}
		v.Secret = nil
	}
	return a.emit(v, func() view {
		return pairs("key id", v.KeyID, "algorithm", v.Algorithm).
			given("ciphertext", base64.StdEncoding.EncodeToString(v.Ciphertext)).
			given("shared secret", base64.StdEncoding.EncodeToString(v.Secret))
	})
}

func (a *app) deriveSharedSecretCommand() *cobra.Command {
	var f secretFlags
	var public string
	cmd := &cobra.Command{
		Use: "derive-shared-secret --key KEY --public-key FILE", Short: "agree on a secret with the owner of a public key (ECDH)", Args: takes(),
		Long: `derive-shared-secret returns the secret that an ECC key of usage KEY_AGREEMENT shares with the owner of another key on the same curve, who gets the same one by his private key and the public
key of this one (kmsctl key public-key). It is the raw secret of ECDH: derive keys from it, by HKDF for example. On a terminal it is shown only with --show-secret or -o json.`,
		Example: "  kmsctl derive-shared-secret --key alias/agreement --public-key peer.pem --out secret.bin",
	}
	f.add(cmd, "the `KEY`: id, ARN, alias or alias ARN")
	cmd.Flags().StringVar(&public, "public-key", "", "`FILE` with the other side's public key, PEM or DER, - for standard input")
	required(cmd, "key", "public-key")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		if err := a.checkSecret(&f, outFlags{}); err != nil {
			return err
		}
		b, err := a.read(ctx, public, maxPublicKey)
		if err != nil {
			return err
		}
		if b, err = publicDER(b); err != nil {
			return err
		}
		r, err := c.Crypto().DeriveSharedSecret(ctx, kmsv1.DeriveSharedSecretRequest_builder{
			KeyId: f.key, PublicKey: b, GrantTokens: f.tokens, DryRun: f.dry.on,
			KeyAgreementAlgorithm: kmsv1.KeyAgreementAlgorithmSpec_KEY_AGREEMENT_ALGORITHM_SPEC_ECDH,
		}.Build())
		if err != nil || f.dry.on {
			return a.rehearsed(err, r.GetDryRun())
		}
		defer clear(r.GetSharedSecret())
		return a.deliverSecret(&f, secretView{
			KeyID: r.GetKeyId(), Material: r.GetKeyMaterialId(), Secret: r.GetSharedSecret(),
			Algorithm: trimEnum(r.GetKeyAgreementAlgorithm(), "KEY_AGREEMENT_ALGORITHM_SPEC_"),
		}, outFlags{})
	})
	return cmd
}

func (a *app) encapsulateCommand() *cobra.Command {
	var f secretFlags
	var sealed outFlags
	cmd := &cobra.Command{
		Use: "encapsulate --key KEY", Short: "make a secret, and its encapsulation under a key (ML-KEM)", Args: takes(),
		Long: `encapsulate makes a secret of 32 bytes and a ciphertext from which kmsctl decapsulate gets it again. Whoever has the public key (kmsctl key public-key) can do the same without kmsd.
On a terminal the secret is shown only with --show-secret or -o json.`,
		Example: "  kmsctl encapsulate --key alias/kem --out secret.bin --ciphertext-out secret.kem",
	}
	f.add(cmd, "the ML-KEM `KEY`: id, ARN, alias or alias ARN")
	cmd.Flags().StringVar(&sealed.path, "ciphertext-out", "", "`FILE` for the ciphertext, as bytes")
	required(cmd, "key")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		sealed.force = f.out.force
		if err := a.checkSecret(&f, sealed); err != nil {
			return err
		}
		r, err := c.Crypto().Encapsulate(ctx, kmsv1.EncapsulateRequest_builder{
			KeyId: f.key, GrantTokens: f.tokens, DryRun: f.dry.on, EncapsulationAlgorithm: kmsv1.EncapsulationAlgorithmSpec_ENCAPSULATION_ALGORITHM_SPEC_ML_KEM,
		}.Build())
		if err != nil || f.dry.on {
			return a.rehearsed(err, r.GetDryRun())
		}
		defer clear(r.GetSharedSecret())
		return a.deliverSecret(&f, secretView{
			KeyID: r.GetKeyId(), Material: r.GetKeyMaterialId(), Secret: r.GetSharedSecret(), Ciphertext: r.GetSharedSecretCiphertextBlob(),
			Algorithm: trimEnum(r.GetEncapsulationAlgorithm(), "ENCAPSULATION_ALGORITHM_SPEC_"),
		}, sealed)
	})
	return cmd
}

func (a *app) decapsulateCommand() *cobra.Command {
	var f secretFlags
	var in string
	cmd := &cobra.Command{
		Use: "decapsulate --key KEY --ciphertext-file FILE", Short: "get the secret of an encapsulation (ML-KEM)", Args: takes(),
		Long: `decapsulate returns the secret of what kmsctl encapsulate, or anybody with the public key, has made. Of a ciphertext that was altered, or made for another
key, it is another secret, and no error: whoever uses it notices (FIPS 203). On a terminal the secret is shown only with --show-secret or -o json.`,
		Example: "  kmsctl decapsulate --key alias/kem --ciphertext-file secret.kem --out secret.bin",
	}
	f.add(cmd, "the ML-KEM `KEY`: id, ARN, alias or alias ARN")
	cmd.Flags().StringVar(&in, "ciphertext-file", "", "`FILE` with the ciphertext, - for standard input")
	required(cmd, "key", "ciphertext-file")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		if err := a.checkSecret(&f, outFlags{}); err != nil {
			return err
		}
		b, err := a.read(ctx, in, maxEncapsulation)
		if err != nil {
			return err
		}
		r, err := c.Crypto().Decapsulate(ctx, kmsv1.DecapsulateRequest_builder{
			KeyId: f.key, SharedSecretCiphertextBlob: b, GrantTokens: f.tokens, DryRun: f.dry.on,
			EncapsulationAlgorithm: kmsv1.EncapsulationAlgorithmSpec_ENCAPSULATION_ALGORITHM_SPEC_ML_KEM,
		}.Build())
		if client.Is(err, "InvalidCiphertextException") {
			return hintAt(err, "give the whole ciphertext, as kmsctl encapsulate --ciphertext-out wrote it, and the --key that it was made for")
		}
		if err != nil || f.dry.on {
			return a.rehearsed(err, r.GetDryRun())
		}
		defer clear(r.GetSharedSecret())
		return a.deliverSecret(&f, secretView{
			KeyID: r.GetKeyId(), Material: r.GetKeyMaterialId(), Secret: r.GetSharedSecret(), Algorithm: trimEnum(r.GetEncapsulationAlgorithm(), "ENCAPSULATION_ALGORITHM_SPEC_"),
		}, outFlags{})
	})
	return cmd
}
