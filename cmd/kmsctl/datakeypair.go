package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// dataKeyPairFlags are the flags of data-key-pair.
type dataKeyPairFlags struct {
	key                   string
	spec                  enumFlag
	withoutPlaintext      bool
	show, der             bool
	ec                    contextFlag
	out, sealed, publicTo outFlags
	tokens                []string
	dry                   dryRun
}

// dataKeyPairView is a key pair as JSON shows it; bytes are DER in base64. What went to a file is left out.
type dataKeyPairView struct {
	KeyID      string `json:"key_id"`
	Material   string `json:"key_material_id,omitempty"`
	Spec       string `json:"key_pair_spec"`
	PublicKey  []byte `json:"public_key,omitempty"`
	Ciphertext []byte `json:"private_key_ciphertext,omitempty"`
	PrivateKey []byte `json:"private_key_plaintext,omitempty"`
}

func (a *app) dataKeyPairCommand() *cobra.Command {
	var f dataKeyPairFlags
	cmd := &cobra.Command{
		Use: "data-key-pair --key KEY --spec SPEC", Short: "make a key pair, its private key in clear and encrypted under a key", Args: takes(),
		Long: `data-key-pair makes a key pair for use outside of kmsd. Keep the ciphertext of the private key beside the public key, forget the private key after use, and get it back with kmsctl
decrypt, which returns it as PKCS #8 in DER. Files get PEM, or DER with --der; with -o json it is DER in base64. On a terminal the private key is shown only with --show-plaintext
or -o json.`,
		Example: `  kmsctl data-key-pair --key alias/app --spec ECC_NIST_P256 --out device.key --public-key-out device.pub --ciphertext-out device.key.kms
  kmsctl data-key-pair --key alias/app --spec RSA_3072 --context device=7 --without-plaintext -o json`,
	}
	fl := cmd.Flags()
	fl.StringVar(&f.key, "key", "", "the symmetric `KEY` to encrypt the private key under: id, ARN, alias or alias ARN")
	f.spec.add(cmd, keyPairSpecs, "spec", "`SPEC` of the key pair, such as ECC_NIST_P256")
	fl.BoolVar(&f.withoutPlaintext, "without-plaintext", false, "do not return the private key in clear")
	fl.BoolVar(&f.show, "show-plaintext", false, "show the private key on a terminal")
	fl.BoolVar(&f.der, "der", false, "write the private and the public key as DER instead of PEM")
	f.ec.add(cmd, "context", contextUsage)
	f.out.add(cmd, "`FILE` for the private key in clear (mode 0600)")
	fl.StringVar(&f.sealed.path, "ciphertext-out", "", "`FILE` for the encrypted private key, as bytes")
	fl.StringVar(&f.publicTo.path, "public-key-out", "", "`FILE` for the public key")
	addGrantTokens(cmd, &f.tokens)
	f.dry.add(cmd)
	required(cmd, "key", "spec")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		f.sealed.force, f.publicTo.force = f.out.force, f.out.force
		pairs, err := f.ec.pairs()
		if err != nil {
			return err
		}
		if err := a.checkDataKeyPair(&f); err != nil {
			return err
		}
		v, was, err := makeDataKeyPair(ctx, c, &f, pairs)
		if err != nil || f.dry.on {
			return a.rehearsed(err, was)
		}
		defer clear(v.PrivateKey)
		return a.deliverDataKeyPair(&f, v)
	})
	return cmd
}

func (a *app) checkDataKeyPair(f *dataKeyPairFlags) error {
	if f.withoutPlaintext && (f.out.path != "" || f.show) {
		return usage("--without-plaintext leaves nothing for --out or --show-plaintext")
	}
	if !f.dry.on && !f.withoutPlaintext && !f.out.toFile() && !f.show && a.output == formatTable && isTerminal(a.stdout) {
		return hintAt(usageError{errors.New("this would show the private key in clear on a terminal")}, "--out FILE, --without-plaintext, or --show-plaintext if that is what you want")
	}
	return checkFiles(f.out, f.sealed, f.publicTo)
}

func makeDataKeyPair(ctx context.Context, c *client.Client, f *dataKeyPairFlags, pairs map[string]string) (v *dataKeyPairView, dryRun bool, err error) {
	n, err := f.spec.parse()
	if err != nil {
		return nil, false, err
	}
	spec := kmsv1.DataKeyPairSpec(n)
	name := trimEnum(spec, keyPairSpecs.prefix)
	if f.withoutPlaintext {
		r, err := c.Crypto().GenerateDataKeyPairWithoutPlaintext(ctx, kmsv1.GenerateDataKeyPairWithoutPlaintextRequest_builder{
			KeyId: f.key, EncryptionContext: pairs, KeyPairSpec: spec, GrantTokens: f.tokens, DryRun: f.dry.on,
		}.Build())
		if err != nil {
			return nil, false, err
		}
		return &dataKeyPairView{r.GetKeyId(), r.GetKeyMaterialId(), name, r.GetPublicKey(), r.GetPrivateKeyCiphertextBlob(), nil}, r.GetDryRun(), nil
	}
	r, err := c.Crypto().GenerateDataKeyPair(ctx, kmsv1.GenerateDataKeyPairRequest_builder{
		KeyId: f.key, EncryptionContext: pairs, KeyPairSpec: spec, GrantTokens: f.tokens, DryRun: f.dry.on,
	}.Build())
	if err != nil {
		return nil, false, err
	}
	return &dataKeyPairView{r.GetKeyId(), r.GetKeyMaterialId(), name, r.GetPublicKey(), r.GetPrivateKeyCiphertextBlob(), r.GetPrivateKeyPlaintext()}, r.GetDryRun(), nil
}

// deliverDataKeyPair writes the files that were asked for, the encrypted private key first, and prints the rest.
func (a *app) deliverDataKeyPair(f *dataKeyPairFlags, v *dataKeyPairView) error {
	shown := *v
	for _, w := range []struct {
		to    outFlags
		b     *[]byte
		block string // of PEM; "" for bytes
	}{{f.sealed, &shown.Ciphertext, ""}, {f.publicTo, &shown.PublicKey, "PUBLIC KEY"}, {f.out, &shown.PrivateKey, "PRIVATE KEY"}} {
		if !w.to.toFile() {
			continue
		}
		b := bytes.Clone(*w.b)
		if w.block != "" && !f.der {
			clear(b)
			b = pem.EncodeToMemory(&pem.Block{Type: w.block, Bytes: *w.b})
		}
		err := w.to.write(b)
		clear(b)
		if err != nil {
			return err
		}
		*w.b = nil
	}
	return a.emit(shown, func() view {
		return pairs("key id", shown.KeyID, "spec", shown.Spec).
			given("public key", base64.StdEncoding.EncodeToString(shown.PublicKey)).
			given("ciphertext", base64.StdEncoding.EncodeToString(shown.Ciphertext)).
			given("private key", base64.StdEncoding.EncodeToString(shown.PrivateKey))
	})
}
