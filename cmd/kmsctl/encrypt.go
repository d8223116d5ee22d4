package main

import (
	"bytes"
	"context"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// Limits of kmsd, in bytes.
const (
	maxPlaintext  = 64 << 10
	maxCiphertext = maxPlaintext + crypto.Overhead
)

// cryptoView is the answer of an operation with a key as JSON shows it; bytes are base64. What went to a file is left out.
type cryptoView struct {
	KeyID          string `json:"key_id"`
	Material       string `json:"key_material_id,omitempty"`
	SourceKeyID    string `json:"source_key_id,omitempty"`
	SourceMaterial string `json:"source_key_material_id,omitempty"`
	Plaintext      []byte `json:"plaintext,omitempty"`
	Ciphertext     []byte `json:"ciphertext,omitempty"`
}

// deliver hands over the bytes b of an answer: to the file of --out, or within the view v, where to puts them, or else as they are to standard output.
func (a *app) deliver(out outFlags, b []byte, v any, to *[]byte, message string) error {
	if out.toFile() {
		if err := out.write(b); err != nil {
			return err
		}
		return a.done(v, "%s", message)
	}
	if a.output != formatTable {
		*to = b
		return a.emit(v, nil)
	}
	_, err := a.stdout.Write(b)
	return err
}

// toTerminal reports whether raw bytes would go to a terminal.
func (a *app) toTerminal(out outFlags) bool {
	return !out.toFile() && a.output == formatTable && isTerminal(a.stdout)
}

const algorithmUsage = "`ALGORITHM`: SYMMETRIC_DEFAULT (the default), or of an RSA key RSAES_OAEP_SHA_256 or RSAES_OAEP_SHA_1"

const instead = "--out FILE, or -o json for base64"

func (a *app) encryptCommand() *cobra.Command {
	var key, in string
	var algorithm enumFlag
	var ec contextFlag
	var out outFlags
	var tokens []string
	var dry dryRun
	cmd := &cobra.Command{
		Use: "encrypt --key KEY", Short: "encrypt up to 64 KiB under a key", Args: takes(),
		Long: `encrypt sends up to 64 KiB to kmsd and returns them encrypted, as bytes, or as base64 with -o json. To decrypt, the same encryption context must
be given. Use kmsctl file encrypt for anything larger, or that shall not leave this machine. An RSA key takes an --algorithm, no context, and only what fits into
its modulus, some hundred bytes.`,
		Example: `  printf secret | kmsctl encrypt --key alias/app --context tenant=42 --out secret.bin
  kmsctl encrypt --key alias/app --in password.txt -o json
  kmsctl encrypt --key alias/rsa --algorithm RSAES_OAEP_SHA_256 --in password.txt --out password.bin`,
	}
	algorithm.add(cmd, encryptionAlgorithms, "algorithm", algorithmUsage)
	cmd.Flags().StringVar(&key, "key", "", "the `KEY`: id, ARN, alias or alias ARN")
	cmd.Flags().StringVar(&in, "in", standard, "`FILE` to encrypt, - for standard input")
	ec.add(cmd, "context", contextUsage)
	out.add(cmd, "`FILE` for the ciphertext, - for standard output")
	addGrantTokens(cmd, &tokens)
	dry.add(cmd)
	required(cmd, "key")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		pairs, err := ec.pairs()
		if err != nil {
			return err
		}
		n, err := algorithm.parse()
		if err != nil {
			return err
		}
		if !dry.on && a.toTerminal(out) {
			return errTerminal(instead)
		}
		if err := out.check(); err != nil {
			return err
		}
		b, err := a.readOr(ctx, in, maxPlaintext, "kmsctl file encrypt takes files of any size")
		if err != nil {
			return err
		}
		defer clear(b)
		r, err := c.Crypto().Encrypt(ctx, kmsv1.EncryptRequest_builder{
			KeyId: key, Plaintext: b, EncryptionContext: pairs, EncryptionAlgorithm: kmsv1.EncryptionAlgorithm(n), GrantTokens: tokens, DryRun: dry.on,
		}.Build())
		if err != nil || dry.on {
			return a.rehearsed(err, r.GetDryRun())
		}
		v := &cryptoView{KeyID: r.GetKeyId(), Material: r.GetKeyMaterialId()}
		return a.deliver(out, r.GetCiphertextBlob(), v, &v.Ciphertext, fmt.Sprintf("encrypted %d bytes under %s", len(b), r.GetKeyId()))
	})
	return cmd
}

func (a *app) decryptCommand() *cobra.Command {
	var key string
	var in ciphertextFlags
	var algorithm enumFlag
	var ec contextFlag
	var out outFlags
	var tokens []string
	var dry dryRun
	cmd := &cobra.Command{
		Use: "decrypt --ciphertext-file FILE", Short: "decrypt what encrypt, re-encrypt or data-key returned", Args: takes(),
		Long: `decrypt sends a ciphertext to kmsd and returns what was encrypted, as bytes, or as base64 with -o json. The encryption context must be the one that
was given to encrypt. The ciphertext names its key; --key makes sure that it is this one. That of an RSA key does not: it takes --key and --algorithm.`,
		Example: `  kmsctl decrypt --ciphertext-file secret.bin --context tenant=42
  kmsctl decrypt --ciphertext-file - --out secret.txt < secret.bin
  kmsctl decrypt --ciphertext-file password.bin --key alias/rsa --algorithm RSAES_OAEP_SHA_256`,
	}
	algorithm.add(cmd, encryptionAlgorithms, "algorithm", algorithmUsage)
	in.add(cmd, "`FILE` to decrypt, - for standard input")
	cmd.Flags().StringVar(&key, "key", "", "the `KEY` that it must be under: id, ARN, alias or alias ARN")
	ec.add(cmd, "context", contextUsage)
	out.add(cmd, "`FILE` for the plaintext (mode 0600), - for standard output")
	addGrantTokens(cmd, &tokens)
	dry.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		pairs, err := ec.pairs()
		if err != nil {
			return err
		}
		n, err := algorithm.parse()
		if err != nil {
			return err
		}
		if err := out.check(); err != nil {
			return err
		}
		b, without, err := in.read(ctx, a, key, dry.on)
		if err != nil {
			return err
		}
		r, err := c.Crypto().Decrypt(ctx, kmsv1.DecryptRequest_builder{
			CiphertextBlob: b, KeyId: key, EncryptionContext: pairs, EncryptionAlgorithm: kmsv1.EncryptionAlgorithm(n), GrantTokens: tokens, DryRun: dry.on,
			DryRunModifiers: without,
		}.Build())
		if err != nil || dry.on {
			return a.rehearsed(unopened(err, b, ""), r.GetDryRun())
		}
		defer clear(r.GetPlaintext())
		if a.toTerminal(out) && !isText(r.GetPlaintext()) {
			return errTerminal(instead)
		}
		v := &cryptoView{KeyID: r.GetKeyId(), Material: r.GetKeyMaterialId()}
		return a.deliver(out, r.GetPlaintext(), v, &v.Plaintext, fmt.Sprintf("decrypted %d bytes under %s", len(r.GetPlaintext()), r.GetKeyId()))
	})
	return cmd
}

// unopened says what to do about a ciphertext b that kmsd refuses, where the flags about it begin with source.
func unopened(err error, b []byte, source string) error {
	switch {
	case !client.Is(err, "InvalidCiphertextException"):
		return err
	case bytes.HasPrefix(b, []byte("\x02\x04\x78")), bytes.HasPrefix(b, []byte("\x02\x05\x78")): // version 2 and the two algorithms with key commitment
		return hintAt(err, "this looks like what kmsctl file encrypt made, which kmsctl file decrypt opens")
	}
	return hint(err, "give the same pairs by --%[1]scontext as for encrypting, and the whole ciphertext; that of an RSA key takes --%[1]skey and --%[1]salgorithm", source)
}

// isText reports whether a terminal shows b as it is.
func isText(b []byte) bool {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 || r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return false
		}
		b = b[n:]
	}
	return true
}

func (a *app) reEncryptCommand() *cobra.Command {
	var key, sourceKey string
	var in ciphertextFlags
	var algorithm, sourceAlgorithm enumFlag
	var ec, sourceContext contextFlag
	var out outFlags
	var tokens []string
	var dry dryRun
	cmd := &cobra.Command{
		Use: "re-encrypt --key KEY --ciphertext-file FILE", Short: "encrypt a ciphertext under another key, version or context", Args: takes(),
		Long: `re-encrypt lets kmsd decrypt a ciphertext and encrypt it again, without showing the plaintext: under another key, under the latest version of the
same key, or in another encryption context.`,
		Example: "  kmsctl re-encrypt --ciphertext-file old.bin --source-context tenant=42 --key alias/app --context tenant=42 --out new.bin",
	}
	in.add(cmd, "`FILE` to encrypt again, - for standard input")
	cmd.Flags().StringVar(&key, "key", "", "the `KEY` to encrypt under: id, ARN, alias or alias ARN")
	cmd.Flags().StringVar(&sourceKey, "source-key", "", "the `KEY` that the ciphertext must be under")
	algorithm.add(cmd, encryptionAlgorithms, "algorithm", algorithmUsage)
	sourceAlgorithm.add(cmd, encryptionAlgorithms, "source-algorithm", "`ALGORITHM` of the ciphertext, likewise")
	ec.add(cmd, "context", "`KEY=VALUE` of the new encryption context (repeatable)")
	sourceContext.add(cmd, "source-context", "`KEY=VALUE` of the ciphertext's encryption context (repeatable)")
	out.add(cmd, "`FILE` for the new ciphertext, - for standard output")
	addGrantTokens(cmd, &tokens)
	dry.add(cmd)
	required(cmd, "key")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		pairs, err := ec.pairs()
		if err != nil {
			return err
		}
		sourcePairs, err := sourceContext.pairs()
		if err != nil {
			return err
		}
		n, err := algorithm.parse()
		if err != nil {
			return err
		}
		from, err := sourceAlgorithm.parse()
		if err != nil {
			return err
		}
		if !dry.on && a.toTerminal(out) {
			return errTerminal(instead)
		}
		if err := out.check(); err != nil {
			return err
		}
		b, without, err := in.read(ctx, a, sourceKey, dry.on)
		if err != nil {
			return err
		}
		r, err := c.Crypto().ReEncrypt(ctx, kmsv1.ReEncryptRequest_builder{
			CiphertextBlob: b, SourceKeyId: sourceKey, SourceEncryptionContext: sourcePairs, DestinationKeyId: key, DestinationEncryptionContext: pairs,
			DestinationEncryptionAlgorithm: kmsv1.EncryptionAlgorithm(n), SourceEncryptionAlgorithm: kmsv1.EncryptionAlgorithm(from),
			GrantTokens: tokens, DryRun: dry.on, DryRunModifiers: without,
		}.Build())
		if err != nil || dry.on {
			return a.rehearsed(unopened(err, b, "source-"), r.GetDryRun())
		}
		v := &cryptoView{
			KeyID: r.GetKeyId(), Material: r.GetDestinationKeyMaterialId(), SourceKeyID: r.GetSourceKeyId(), SourceMaterial: r.GetSourceKeyMaterialId(),
		}
		return a.deliver(out, r.GetCiphertextBlob(), v, &v.Ciphertext, fmt.Sprintf("encrypted again: from %s to %s", r.GetSourceKeyId(), r.GetKeyId()))
	})
	return cmd
}
