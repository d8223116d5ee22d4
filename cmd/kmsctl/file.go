package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/client/envelope"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func (a *app) fileCommand() *cobra.Command {
	return a.group(&cobra.Command{
		Use: "file", Short: "encrypt and decrypt files of any size, on this machine",
		Long: `file encrypts files under a data key that kmsd makes for each of them; the file itself never leaves this machine. The format is the AWS Encryption
SDK's, so that its implementations in other languages read the files, and the other way round.`,
		Example: "  kmsctl file encrypt --key alias/app report.pdf --out report.pdf.kms\n  kmsctl file decrypt report.pdf.kms --out report.pdf",
	}, a.fileEncryptCommand(), a.fileDecryptCommand())
}

// fileView tells of a file that was encrypted or decrypted.
type fileView struct {
	KeyID     string            `json:"key_id"`
	Bytes     int64             `json:"bytes"`
	Seconds   float64           `json:"seconds"`
	MessageID string            `json:"message_id"`
	Context   map[string]string `json:"encryption_context"`
}

func (a *app) fileEncryptCommand() *cobra.Command {
	var key string
	var ec contextFlag
	var out outFlags
	cmd := &cobra.Command{
		Use: "encrypt IN --out OUT --key KEY", Short: "encrypt a file", Args: takes("IN"),
		Long: `encrypt writes IN, encrypted, to OUT, which appears only when it is whole and is not more readable than IN. The encryption context stands in OUT in
the clear and is authenticated.`,
		Example: "  kmsctl file encrypt --key alias/app --context tenant=42 report.pdf --out report.pdf.kms\n  tar c data | kmsctl file encrypt --key alias/app - --out data.tar.kms",
	}
	cmd.Flags().StringVar(&key, "key", "", "the `KEY`: id, ARN, alias or alias ARN")
	ec.add(cmd, "context", contextUsage)
	out.add(cmd, "`FILE` to write, - for standard output")
	required(cmd, "out", "key")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		pairs, err := ec.pairs()
		if err != nil {
			return err
		}
		return a.transform(ctx, args[0], out, false, "encrypted", func(ctx context.Context, dst io.Writer, src io.Reader, progress func(int64)) (envelope.Info, error) {
			info, err := envelope.Encrypt(ctx, c, dst, src, envelope.EncryptOptions{KeyID: key, Context: pairs, Progress: progress})
			if errors.Is(err, envelope.ErrContext) {
				err = usageError{err}
			}
			return info, err
		})
	})
	return cmd
}

func (a *app) fileDecryptCommand() *cobra.Command {
	var key string
	var ec contextFlag
	var out outFlags
	cmd := &cobra.Command{
		Use: "decrypt IN --out OUT", Short: "decrypt a file", Args: takes("IN"),
		Long: `decrypt writes what IN holds to OUT, with mode 0600. OUT appears only when all of IN has proven authentic: a file that is altered, cut off or of
another context leaves nothing. --context names pairs that the file must have, --key the only key to accept. Written to standard output, what was already
there is worth nothing if kmsctl ends with an error.`,
		Example: "  kmsctl file decrypt report.pdf.kms --out report.pdf --context tenant=42\n  kmsctl file decrypt data.tar.kms --out - | tar x",
	}
	cmd.Flags().StringVar(&key, "key", "", "the only `KEY` to accept: id, ARN, alias or alias ARN")
	ec.add(cmd, "context", "`KEY=VALUE` that the file's encryption context must have (repeatable)")
	out.add(cmd, "`FILE` to write, - for standard output")
	required(cmd, "out")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		pairs, err := ec.pairs()
		if err != nil {
			return err
		}
		o := envelope.DecryptOptions{Context: pairs}
		if key != "" {
			arn, err := keyARN(ctx, c, key)
			if err != nil {
				return err
			}
			o.KeyIDs = []string{arn}
		}
		return a.transform(ctx, args[0], out, true, "decrypted", func(ctx context.Context, dst io.Writer, src io.Reader, progress func(int64)) (envelope.Info, error) {
			o.Progress = progress
			return envelope.Decrypt(ctx, c, dst, src, o)
		})
	})
	return cmd
}

// keyARN returns the ARN of the key that text names.
func keyARN(ctx context.Context, c *client.Client, text string) (string, error) {
	if strings.HasPrefix(text, "arn:") && strings.Contains(text, ":key/") {
		return text, nil
	}
	out, err := c.Keys().DescribeKey(ctx, kmsv1.DescribeKeyRequest_builder{KeyId: text}.Build())
	return out.GetKeyMetadata().GetArn(), err
}

// transformation encrypts or decrypts a stream.
type transformation func(ctx context.Context, dst io.Writer, src io.Reader, progress func(int64)) (envelope.Info, error)

// transform makes the output of an input, whole or not at all, and tells of it.
func (a *app) transform(ctx context.Context, in string, out outFlags, secret bool, verb string, do transformation) error {
	if !out.toFile() && isTerminal(a.stdout) {
		return errTerminal("--out FILE")
	}
	src, name, err := a.open(ctx, in)
	if err != nil {
		return err
	}
	defer src.Close() // only read
	size, mode, err := a.about(src, name, secret)
	if err != nil {
		return err
	}
	dst, err := a.stage(out, mode)
	if err != nil {
		return err
	}
	bar := a.bar(size, verb)
	began := time.Now()
	info, err := do(ctx, dst, src, bar.set)
	bar.end()
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", name, err), dst.drop())
	}
	if err := dst.keep(); err != nil {
		return err
	}
	return a.summarize(info, time.Since(began), out, verb)
}

// about returns an input's size, -1 if it has none, and the mode for its output: 0600 for what is secret, else the input's.
func (a *app) about(src io.Reader, name string, secret bool) (int64, fs.FileMode, error) {
	f, ok := src.(*os.File)
	if !ok {
		return -1, secretMode, nil
	}
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	if info.IsDir() {
		return 0, 0, hint(fmt.Errorf("%s is a folder", name), "tar c %s | kmsctl file encrypt - …", name)
	}
	size, mode := int64(-1), info.Mode().Perm()&0o666
	if info.Mode().IsRegular() {
		size = info.Size()
	}
	if secret {
		mode = secretMode
	}
	return size, mode, nil
}

func (a *app) summarize(info envelope.Info, took time.Duration, out outFlags, verb string) error {
	if a.output != formatTable && out.toFile() {
		return a.emit(fileView{info.KeyARN, info.Bytes, took.Seconds(), hex.EncodeToString(info.MessageID[:]), info.Context}, nil)
	}
	rate := float64(info.Bytes) / 1e6 / max(took.Seconds(), 1e-9)
	a.say("%s %d bytes (%s) in %.2f s, %.1f MB/s, under %s", verb, info.Bytes, size(info.Bytes), took.Seconds(), rate, info.KeyARN)
	return nil
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// bar is a progress bar on standard error, or nothing where that is no terminal.
type bar struct{ b *progressbar.ProgressBar }

func (a *app) bar(size int64, what string) bar {
	if !isTerminal(a.stderr) {
		return bar{}
	}
	return bar{progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(a.stderr), progressbar.OptionSetDescription(what), progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30))}
}

func (b bar) set(n int64) {
	if b.b != nil {
		b.b.Set64(n) // a bar that does not show stops nothing
	}
}

func (b bar) end() {
	if b.b != nil {
		b.b.Finish() // likewise
	}
}
