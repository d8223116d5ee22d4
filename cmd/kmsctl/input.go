package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/crypto"
)

// standard is the file name of standard input or output.
const standard = "-"

// inputName is what an input is called in messages.
func inputName(path string) string {
	if path == standard {
		return "standard input"
	}
	return path
}

// open opens a file to read, or standard input for "-", until ctx ends. The name is for messages.
func (a *app) open(ctx context.Context, path string) (r io.ReadCloser, name string, err error) {
	if path == standard {
		// A read of a terminal cannot be interrupted: it is left to a goroutine that ends with the process.
		pr, pw := io.Pipe()
		go func() {
			_, err := io.Copy(pw, a.stdin)
			pw.CloseWithError(err)
		}()
		context.AfterFunc(ctx, func() { pr.CloseWithError(ctx.Err()) })
		return pr, inputName(path), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, path, fmt.Errorf("reading the input: %w", err)
	}
	context.AfterFunc(ctx, func() { f.Close() })
	return f, path, nil
}

// errTooLong is an input of more bytes than a command takes.
var errTooLong = errors.New("has more than")

// readOr is read, with a hint for what is too long.
func (a *app) readOr(ctx context.Context, path string, most int, instead string) ([]byte, error) {
	b, err := a.read(ctx, path, most)
	if errors.Is(err, errTooLong) {
		return nil, hintAt(err, instead)
	}
	return b, err
}

// read reads a whole input of 1 to most bytes.
func (a *app) read(ctx context.Context, path string, most int) ([]byte, error) {
	r, name, err := a.open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer r.Close() // only read
	b, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(b) > most {
		return nil, fmt.Errorf("%s %w %d bytes", name, errTooLong, most)
	}
	if len(b) == 0 {
		return nil, fmt.Errorf("%s is empty", name)
	}
	return b, nil
}

// contextFlag is --context: pairs of an encryption context.
type contextFlag struct{ given []string }

func (c *contextFlag) add(cmd *cobra.Command, name, what string) {
	cmd.Flags().StringArrayVar(&c.given, name, nil, what)
}

const contextUsage = "`KEY=VALUE` of the encryption context (repeatable)"

// pairs parses what was given; nil if nothing was.
func (c *contextFlag) pairs() (map[string]string, error) {
	m, err := parseContext(c.given)
	if err != nil {
		return nil, usageError{err}
	}
	return m, nil
}

// parseContext makes an encryption context of texts of the form KEY=VALUE. The key ends at the first "="; keys must differ; the limits are those of
// kmsd.
func parseContext(given []string) (map[string]string, error) {
	if len(given) == 0 {
		return nil, nil
	}
	m := make(map[string]string, len(given))
	for i, pair := range given {
		key, value, ok := strings.Cut(pair, "=")
		switch {
		case !ok:
			return nil, fmt.Errorf("--context %q: must be KEY=VALUE", shorten(pair, 40))
		case key == "":
			return nil, fmt.Errorf("--context %q: the key is empty", shorten(pair, 40))
		case !utf8.ValidString(pair):
			return nil, fmt.Errorf("--context: pair %d is not valid UTF-8", i+1)
		}
		if _, twice := m[key]; twice {
			return nil, fmt.Errorf("--context: the key %q is given twice", shorten(key, 40))
		}
		m[key] = value
	}
	if _, err := crypto.NewContext(m); err != nil {
		return nil, fmt.Errorf("--context: %w", err)
	}
	return m, nil
}

// duration parses what time.ParseDuration does, and whole days such as 90d. It must be positive.
func duration(flag, s string) (time.Duration, error) {
	days, isDays := strings.CutSuffix(s, "d")
	if isDays {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, usage("--%s %q: must be a duration such as 36h or 90d", flag, s)
	}
	return d, nil
}

// instant parses RFC 3339, a date, or a duration before now. "" is the zero time.
func instant(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	d, err := duration(flag, s)
	if err != nil {
		return time.Time{}, usage("--%s %q: must be a time such as 2026-11-23T15:04:05Z, a date, or how long ago, such as 36h or 7d", flag, s)
	}
	return time.Now().Add(-d), nil
}

// errTerminal refuses to write what is not text to a terminal.
func errTerminal(instead string) error {
	return hintAt(usageError{errors.New("this would write binary data to a terminal")}, instead)
}
