package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keywrap"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// Sizes of files, in bytes.
const (
	maxImportToken = 8 << 10
	maxWrappingKey = 4 << 10
	maxWrapped     = 6144
)

// wrapFlags say how material is wrapped.
type wrapFlags struct{ algorithm, keySpec enumFlag }

func (f *wrapFlags) add(cmd *cobra.Command) {
	f.algorithm.add(cmd, wrappingAlgorithms, "wrapping-algorithm", "`ALGORITHM` that the material is wrapped with (default HPKE_MLKEM768_X25519, which holds against quantum computers)")
	f.keySpec.add(cmd, wrappingKeySpecs, "wrapping-key-spec", "`SPEC` of the wrapping key (default RSA_4096 for algorithms of RSA)")
}

// choose returns what the flags say.
func (f *wrapFlags) choose() (kmsv1.WrappingAlgorithmSpec, kmsv1.WrappingKeySpec, error) {
	n, err := f.algorithm.parse()
	if err != nil {
		return 0, 0, err
	}
	algorithm := kmsv1.WrappingAlgorithmSpec(n)
	if algorithm == 0 {
		algorithm = kmsv1.WrappingAlgorithmSpec_WRAPPING_ALGORITHM_SPEC_HPKE_MLKEM768_X25519
	}
	n, err = f.keySpec.parse()
	spec := kmsv1.WrappingKeySpec(n)
	switch {
	case err != nil || spec != 0:
		return algorithm, spec, err
	case algorithm == kmsv1.WrappingAlgorithmSpec_WRAPPING_ALGORITHM_SPEC_HPKE_MLKEM768_X25519:
		return algorithm, kmsv1.WrappingKeySpec_WRAPPING_KEY_SPEC_MLKEM768_X25519, nil
	}
	return algorithm, kmsv1.WrappingKeySpec_WRAPPING_KEY_SPEC_RSA_4096, nil
}

// wrapping returns package keywrap's name of an algorithm.
func wrapping(a kmsv1.WrappingAlgorithmSpec) keywrap.Algorithm {
	if a == kmsv1.WrappingAlgorithmSpec_WRAPPING_ALGORITHM_SPEC_HPKE_MLKEM768_X25519 {
		return keywrap.HPKEMLKEM768X25519
	}
	return keywrap.Algorithm(trimEnum(a, wrappingAlgorithms.prefix))
}

// wrapMaterial wraps material for the import that token is for.
func wrapMaterial(a kmsv1.WrappingAlgorithmSpec, public, token []byte, material crypto.Secret) ([]byte, error) {
	wrapped, err := keywrap.Wrap(wrapping(a), public, token, material.Expose())
	if err != nil {
		return nil, hintAt(err, "a private key of RSA or a curve needs --wrapping-algorithm HPKE_MLKEM768_X25519 or RSA_AES_KEY_WRAP_SHA_256; the algorithm must be that of kmsctl key import-parameters")
	}
	return wrapped, nil
}

// importFlags are the flags of key import.
type importFlags struct {
	changeFlags
	wrapFlags
	material, wrapped, tokenFile string
	validTo                      string
	forever, fresh               bool
	version, description         string
}

func (a *app) keyImportCommand() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use: "import KEY --material FILE --valid-to TIME | --no-expiry", Short: "give a key material of yours", Args: takes("KEY"),
		Long: `import gives material to a key that was made with --origin EXTERNAL. --material is a file of mode 0600, or - for a pipe, with the bytes of a symmetric or HMAC key, the seed of
an ML-DSA or ML-KEM key, or a private key in PKCS #8, SEC 1 or PKCS #1, PEM or DER. It is wrapped here for this one import, and leaves this machine in no other form. Keep
it: kmsd does not return it, and after its expiry or deletion only the same material can be imported again.

--new brings further material for a symmetric key, which kmsctl key rotate then rotates to. If the material is on a machine without a connection to kmsd, take what key
import-parameters writes there, run key wrap, and take what that writes back to --wrapped, with the same --token. KEY is a key's id or ARN.`,
		Example: `  kmsctl key import 1234abcd-12ab-34cd-56ef-1234567890ab --material key.bin --no-expiry
  openssl genpkey -algorithm ed25519 | kmsctl key import 1234abcd-12ab-34cd-56ef-1234567890ab --material - --valid-to 90d
  kmsctl key import 1234abcd-12ab-34cd-56ef-1234567890ab --wrapped wrapped.bin --token token.bin --no-expiry`,
	}
	fl := cmd.Flags()
	fl.StringVar(&f.material, "material", "", "`FILE` with the key material, - for standard input")
	fl.StringVar(&f.wrapped, "wrapped", "", "`FILE` that kmsctl key wrap made, instead of --material")
	fl.StringVar(&f.tokenFile, "token", "", "`FILE` with the import token that it was wrapped for")
	fl.StringVar(&f.validTo, "valid-to", "", "when the material expires: `TIME` in RFC 3339, or how long it is good, such as 90d; at most 365 days")
	fl.BoolVar(&f.forever, "no-expiry", false, "the material does not expire")
	fl.BoolVar(&f.fresh, "new", false, "this is material that the key has not had, to rotate to")
	fl.StringVar(&f.version, "key-material-id", "", "`ID` of the version that the material must be, when it is imported again")
	fl.StringVar(&f.description, "description", "", "`TEXT` about the material")
	f.wrapFlags.add(cmd)
	f.changeFlags.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		return a.importMaterial(ctx, c, args[0], &f)
	})
	return cmd
}

// request is what the flags say of the import, but for the material.
func (f *importFlags) request(key string) (r kmsv1.ImportKeyMaterialRequest_builder, err error) {
	switch {
	case (f.material == "") == (f.wrapped == ""):
		return r, usage("give --material, or --wrapped with --token")
	case (f.wrapped == "") != (f.tokenFile == ""):
		return r, usage("--wrapped and --token belong together: kmsctl key import-parameters makes the token")
	case f.validTo == "" && !f.forever:
		return r, usage("give --valid-to, or --no-expiry if the material shall not expire")
	case f.validTo != "" && f.forever:
		return r, usage("--valid-to and --no-expiry: give one of them")
	case f.token != "" && f.material != "":
		return r, usage("--client-token goes with --wrapped: material that is wrapped again makes another request")
	case f.fresh && f.version != "":
		return r, usage("--new and --key-material-id: material that is new has no id yet")
	}
	r = kmsv1.ImportKeyMaterialRequest_builder{
		KeyId: key, ExpirationModel: kmsv1.ExpirationModel_EXPIRATION_MODEL_KEY_MATERIAL_DOES_NOT_EXPIRE,
		KeyMaterialId: f.version, KeyMaterialDescription: f.description, DryRun: f.on, ClientToken: f.token,
	}
	if f.fresh {
		r.ImportType = kmsv1.ImportType_IMPORT_TYPE_NEW_KEY_MATERIAL
	}
	if !f.forever {
		r.ExpirationModel = kmsv1.ExpirationModel_EXPIRATION_MODEL_KEY_MATERIAL_EXPIRES
		r.ValidTo, err = future("valid-to", f.validTo)
	}
	return r, err
}

func (a *app) importMaterial(ctx context.Context, c *client.Client, key string, f *importFlags) error {
	r, err := f.request(key)
	if err != nil {
		return err
	}
	if f.wrapped != "" {
		if r.EncryptedKeyMaterial, err = a.read(ctx, f.wrapped, maxWrapped); err != nil {
			return err
		}
		if r.ImportToken, err = a.read(ctx, f.tokenFile, maxImportToken); err != nil {
			return err
		}
	} else if r.EncryptedKeyMaterial, r.ImportToken, err = a.wrapHere(ctx, c, key, f); err != nil {
		return err
	}
	if len(r.ImportToken) == 0 { // of a dry run there is none to import with
		return a.rehearsed(nil, true)
	}
	out, err := c.Keys().ImportKeyMaterial(ctx, r.Build())
	if err != nil || f.on {
		return a.rehearsed(err, out.GetDryRun())
	}
	return a.done(changed{out.GetKeyId(), out.GetKeyMaterialId()}, "imported the material %s of %s", out.GetKeyMaterialId(), out.GetKeyId())
}

// wrapHere reads the material, and wraps it with parameters that it gets for that. In a dry run it only looks whether it would get them.
func (a *app) wrapHere(ctx context.Context, c *client.Client, key string, f *importFlags) (wrapped, token []byte, err error) {
	algorithm, spec, err := f.choose()
	if err != nil {
		return nil, nil, err
	}
	described, err := c.Keys().DescribeKey(ctx, kmsv1.DescribeKeyRequest_builder{KeyId: key}.Build())
	if err != nil {
		return nil, nil, err
	}
	k := viewOfKey(described.GetKeyMetadata())
	if k.Origin != "EXTERNAL" {
		return nil, nil, &codedError{fmt.Errorf("%s has material that kmsd made: its origin is %s", k.ARN, k.Origin), "kmsctl key create --origin EXTERNAL makes a key that takes yours", exitConflict}
	}
	material, err := a.readMaterial(ctx, f.material, crypto.Spec(k.KeySpec))
	if err != nil {
		return nil, nil, err
	}
	defer material.Wipe()
	p, err := c.Keys().GetParametersForImport(ctx, kmsv1.GetParametersForImportRequest_builder{
		KeyId: key, WrappingAlgorithm: algorithm, WrappingKeySpec: spec, DryRun: f.on,
	}.Build())
	if err != nil || f.on {
		return nil, nil, err
	}
	wrapped, err = wrapMaterial(algorithm, p.GetPublicKey(), p.GetImportToken(), material)
	return wrapped, p.GetImportToken(), err
}

// future is a time to come: in RFC 3339, a date, or how long from now.
func future(flag, s string) (*timestamppb.Timestamp, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return timestamppb.New(t), nil
		}
	}
	d, err := duration(flag, s)
	if err != nil {
		return nil, usage("--%s %q: must be a time such as 2026-11-23T15:04:05Z, a date, or a duration such as 36h or 90d", flag, s)
	}
	return timestamppb.New(time.Now().Add(d)), nil
}

// parametersView is what material is wrapped with.
type parametersView struct {
	KeyID     string    `json:"key_id"`
	Algorithm string    `json:"wrapping_algorithm"`
	KeySpec   string    `json:"wrapping_key_spec"`
	ValidTo   time.Time `json:"parameters_valid_to"`
}

func (a *app) keyImportParametersCommand() *cobra.Command {
	var f changeFlags
	var w wrapFlags
	var public, token outFlags
	cmd := &cobra.Command{
		Use: "import-parameters KEY --public-key-out FILE --token-out FILE", Short: "get what to wrap material with, on another machine", Args: takes("KEY"),
		Long: `import-parameters writes a wrapping key and an import token, for one import within 24 hours. It is the first of three steps to import material from a machine without a connection to
kmsd: there, kmsctl key wrap wraps the material with them; back here, kmsctl key import --wrapped imports it. KEY is a key's id or ARN.`,
		Example: "  kmsctl key import-parameters 1234abcd-12ab-34cd-56ef-1234567890ab --public-key-out wrapping.der --token-out token.bin",
	}
	cmd.Flags().StringVar(&public.path, "public-key-out", "", "`FILE` for the wrapping key")
	cmd.Flags().StringVar(&token.path, "token-out", "", "`FILE` for the import token")
	cmd.Flags().BoolVar(&public.force, "force", false, "replace the files if they exist")
	w.add(cmd)
	f.add(cmd)
	required(cmd, "public-key-out", "token-out")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		algorithm, spec, err := w.choose()
		if err != nil {
			return err
		}
		token.force = public.force
		if err := checkFiles(public, token); err != nil {
			return err
		}
		out, err := c.Keys().GetParametersForImport(ctx, kmsv1.GetParametersForImportRequest_builder{
			KeyId: args[0], WrappingAlgorithm: algorithm, WrappingKeySpec: spec, DryRun: f.on, ClientToken: f.token,
		}.Build())
		if err != nil || f.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		if err := public.write(out.GetPublicKey()); err != nil {
			return err
		}
		if err := token.write(out.GetImportToken()); err != nil {
			return err
		}
		v := parametersView{out.GetKeyId(), trimEnum(algorithm, wrappingAlgorithms.prefix), trimEnum(spec, wrappingKeySpecs.prefix), instantOf(out.GetParametersValidTo())}
		return a.done(v, "wrote a wrapping key and a token for %s, good until %s", v.KeyID, stamp(v.ValidTo))
	})
	return cmd
}

// checkFiles refuses files that exist, and ones that are the same or no files.
func checkFiles(files ...outFlags) error {
	for i, o := range files {
		if o.path == standard {
			return usage("there are several things to write: each takes a file")
		}
		if i > 0 && o.path != "" && o.path == files[i-1].path {
			return usage("two outputs would go to %s", o.path)
		}
		if err := o.check(); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) keyWrapCommand() *cobra.Command {
	var spec enumFlag
	var w wrapFlags
	var material, public, token string
	var out outFlags
	cmd := &cobra.Command{
		Use: "wrap --material FILE --spec SPEC --public-key FILE --token FILE --out FILE", Short: "wrap material for an import, without kmsd", Args: takes(),
		Long: `wrap wraps key material with what kmsctl key import-parameters has written, for kmsctl key import --wrapped. It calls nobody, and needs no credentials. --spec is that of the key, --wrapping-algorithm
that of the parameters.`,
		Example: "  kmsctl key wrap --material key.bin --spec SYMMETRIC_DEFAULT --public-key wrapping.der --token token.bin --out wrapped.bin",
	}
	fl := cmd.Flags()
	fl.StringVar(&material, "material", "", "`FILE` with the key material, - for standard input")
	spec.add(cmd, keySpecs, "spec", "`SPEC` of the key that the material is for")
	fl.StringVar(&public, "public-key", "", "`FILE` with the wrapping key")
	fl.StringVar(&token, "token", "", "`FILE` with the import token")
	w.algorithm.add(cmd, wrappingAlgorithms, "wrapping-algorithm", "`ALGORITHM` that the parameters are for (default HPKE_MLKEM768_X25519)")
	out.add(cmd, "`FILE` for the wrapped material")
	required(cmd, "material", "spec", "public-key", "token", "out")
	cmd.RunE = a.runs(func(ctx context.Context, _ []string) error {
		algorithm, _, err := w.choose()
		if err != nil {
			return err
		}
		n, err := spec.parse()
		if err != nil {
			return err
		}
		if err := checkFiles(out); err != nil {
			return err
		}
		wrappingKey, err := a.read(ctx, public, maxWrappingKey)
		if err != nil {
			return err
		}
		tokenBytes, err := a.read(ctx, token, maxImportToken)
		if err != nil {
			return err
		}
		secret, err := a.readMaterial(ctx, material, crypto.Spec(trimEnum(kmsv1.KeySpec(n), keySpecs.prefix)))
		if err != nil {
			return err
		}
		defer secret.Wipe()
		wrapped, err := wrapMaterial(algorithm, wrappingKey, tokenBytes, secret)
		if err != nil {
			return err
		}
		if err := out.write(wrapped); err != nil {
			return err
		}
		return a.done(wrappedView{len(wrapped)}, "wrote %d bytes of wrapped material", len(wrapped))
	})
	return cmd
}

// wrappedView is how much was wrapped.
type wrappedView struct {
	Bytes int `json:"bytes"`
}
