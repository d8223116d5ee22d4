package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// dataKeyFlags are the flags of data-key.
type dataKeyFlags struct {
	key, spec        string
	bytes            int32
	withoutPlaintext bool
	show             bool
	ec               contextFlag
	out, sealed      outFlags
	tokens           []string
	dry              dryRun
}

// length returns what the flags ask for: a spec or a number of bytes.
func (f *dataKeyFlags) length() (kmsv1.DataKeySpec, int32, error) {
	switch {
	case f.bytes != 0 && f.spec != "":
		return 0, 0, usage("--bytes and --spec both say how long the data key is: give one of them")
	case f.bytes != 0 && (f.bytes < 1 || f.bytes > 1024):
		return 0, 0, usage("--bytes %d: must be 1 to 1024", f.bytes)
	case f.bytes != 0:
		return 0, f.bytes, nil
	case f.spec == "", f.spec == "AES_256":
		return kmsv1.DataKeySpec_DATA_KEY_SPEC_AES_256, 0, nil
	case f.spec == "AES_128":
		return kmsv1.DataKeySpec_DATA_KEY_SPEC_AES_128, 0, nil
	}
	return 0, 0, usage("--spec %s: must be AES_256 or AES_128", f.spec)
}

func (a *app) dataKeyCommand() *cobra.Command {
	var f dataKeyFlags
	cmd := &cobra.Command{
		Use: "data-key --key KEY", Short: "make a data key, in clear and encrypted under a key", Args: takes(),
		Long: `data-key makes a random key for use outside of kmsd and prints it in clear and encrypted under a key. Keep the ciphertext beside the data, forget
the plaintext after use, and get it back with kmsctl decrypt. On a terminal the plaintext is shown only with --show-plaintext or -o json; --out puts it
into a file, --ciphertext-out the ciphertext into another.`,
		Example: `  kmsctl data-key --key alias/app --context tenant=42 -o json
  kmsctl data-key --key alias/app --out data.key --ciphertext-out data.key.kms
  kmsctl data-key --key alias/app --without-plaintext --ciphertext-out data.key.kms`,
	}
	fl := cmd.Flags()
	fl.StringVar(&f.key, "key", "", "the `KEY` to encrypt the data key under: id, ARN, alias or alias ARN")
	fl.StringVar(&f.spec, "spec", "", "`SPEC` of the data key: AES_256 (the default) or AES_128")
	fl.Int32Var(&f.bytes, "bytes", 0, "length of the data key, 1 to 1024, instead of --spec")
	fl.BoolVar(&f.withoutPlaintext, "without-plaintext", false, "return the ciphertext only")
	fl.BoolVar(&f.show, "show-plaintext", false, "show the plaintext on a terminal")
	f.ec.add(cmd, "context", contextUsage)
	f.out.add(cmd, "`FILE` for the plaintext, as bytes (mode 0600)")
	fl.StringVar(&f.sealed.path, "ciphertext-out", "", "`FILE` for the ciphertext, as bytes")
	addGrantTokens(cmd, &f.tokens)
	f.dry.add(cmd)
	required(cmd, "key")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		f.sealed.force = f.out.force
		return a.dataKey(ctx, c, &f)
	})
	return cmd
}

func (a *app) dataKey(ctx context.Context, c *client.Client, f *dataKeyFlags) error {
	pairs, err := f.ec.pairs()
	if err != nil {
		return err
	}
	spec, n, err := f.length()
	if err != nil {
		return err
	}
	if f.withoutPlaintext && (f.out.path != "" || f.show) {
		return usage("--without-plaintext leaves nothing for --out or --show-plaintext")
	}
	if f.out.path == standard || f.sealed.path == standard {
		return usage("--out and --ciphertext-out take a file: there are two things to write")
	}
	if !f.dry.on && !f.withoutPlaintext && !f.out.toFile() && !f.show && a.output == formatTable && isTerminal(a.stdout) {
		return hintAt(usageError{errors.New("this would show the data key in clear on a terminal")}, "--out FILE, --without-plaintext, or --show-plaintext if that is what you want")
	}
	for _, o := range []outFlags{f.out, f.sealed} {
		if err := o.check(); err != nil {
			return err
		}
	}
	v, was, err := makeDataKey(ctx, c, f, pairs, spec, n)
	if err != nil || f.dry.on {
		return a.rehearsed(err, was)
	}
	defer clear(v.Plaintext)
	return a.deliverDataKey(f, v)
}

func makeDataKey(ctx context.Context, c *client.Client, f *dataKeyFlags, pairs map[string]string, spec kmsv1.DataKeySpec, n int32) (v *cryptoView, dryRun bool, err error) {
	if f.withoutPlaintext {
		r, err := c.Crypto().GenerateDataKeyWithoutPlaintext(ctx, kmsv1.GenerateDataKeyWithoutPlaintextRequest_builder{
			KeyId: f.key, EncryptionContext: pairs, KeySpec: spec, NumberOfBytes: n, GrantTokens: f.tokens, DryRun: f.dry.on,
		}.Build())
		if err != nil {
			return nil, false, err
		}
		return &cryptoView{KeyID: r.GetKeyId(), Material: r.GetKeyMaterialId(), Ciphertext: r.GetCiphertextBlob()}, r.GetDryRun(), nil
	}
	r, err := c.Crypto().GenerateDataKey(ctx, kmsv1.GenerateDataKeyRequest_builder{
		KeyId: f.key, EncryptionContext: pairs, KeySpec: spec, NumberOfBytes: n, GrantTokens: f.tokens, DryRun: f.dry.on,
	}.Build())
	if err != nil {
		return nil, false, err
	}
	return &cryptoView{KeyID: r.GetKeyId(), Material: r.GetKeyMaterialId(), Plaintext: r.GetPlaintext(), Ciphertext: r.GetCiphertextBlob()}, r.GetDryRun(), nil
}

// deliverDataKey writes the files that were asked for and prints the rest.
func (a *app) deliverDataKey(f *dataKeyFlags, v *cryptoView) error {
	shown := *v
	if f.sealed.toFile() { // first: without its ciphertext a data key in clear is of no use later
		if err := f.sealed.write(v.Ciphertext); err != nil {
			return err
		}
		shown.Ciphertext = nil
	}
	if f.out.toFile() {
		if err := f.out.write(v.Plaintext); err != nil {
			return err
		}
		shown.Plaintext = nil
	}
	return a.emit(shown, func() view {
		t := pairs("key id", shown.KeyID, "material", shown.Material)
		if len(shown.Ciphertext) > 0 {
			t.rows = append(t.rows, []string{"ciphertext", base64.StdEncoding.EncodeToString(shown.Ciphertext)})
		}
		if len(shown.Plaintext) > 0 {
			t.rows = append(t.rows, []string{"plaintext", base64.StdEncoding.EncodeToString(shown.Plaintext)})
		}
		return t
	})
}

// randomView is random bytes as JSON shows them, in base64.
type randomView struct {
	Plaintext []byte `json:"plaintext"`
}

func (a *app) randomCommand() *cobra.Command {
	var out outFlags
	cmd := &cobra.Command{
		Use: "random N", Short: "get random bytes from kmsd", Args: takes("N"),
		Long:    "random writes N random bytes, 1 to 1024, as they are, or as base64 with -o json.",
		Example: "  kmsctl random 32 --out seed.bin\n  kmsctl random 16 -o json",
	}
	out.add(cmd, "`FILE` for the bytes (mode 0600), - for standard output")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		n, err := strconv.ParseInt(args[0], 10, 32)
		if err != nil || n < 1 || n > 1024 {
			return usage("%q: the number of bytes must be 1 to 1024", args[0])
		}
		if a.toTerminal(out) {
			return errTerminal(instead)
		}
		if err := out.check(); err != nil {
			return err
		}
		r, err := c.Crypto().GenerateRandom(ctx, kmsv1.GenerateRandomRequest_builder{NumberOfBytes: int32(n)}.Build())
		if err != nil {
			return err
		}
		defer clear(r.GetPlaintext())
		switch {
		case out.toFile():
			if err := out.write(r.GetPlaintext()); err != nil {
				return err
			}
			return a.done(struct {
				Bytes int64 `json:"bytes"`
			}{n}, "%s", fmt.Sprintf("wrote %d random bytes", n))
		case a.output != formatTable:
			return a.emit(randomView{r.GetPlaintext()}, nil)
		}
		_, err = a.stdout.Write(r.GetPlaintext())
		return err
	})
	return cmd
}
