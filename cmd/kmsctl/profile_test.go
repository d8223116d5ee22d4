package main

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
)

// TestSessionNamesDiffer: whatever a profile says makes another session of it, and so does what it is assumed with.
func TestSessionNamesDiffer(t *testing.T) {
	whole := func() client.Credentials {
		return client.Credentials{Endpoint: "a:1", Region: "r", CA: []byte("ca"), Role: &client.Role{
			ARN: "arn", SourceProfile: "x", Source: &client.Credentials{AccessKeyID: "AKIA", SecretAccessKey: crypto.NewSecret([]byte("secret"))},
		}}
	}
	name := func(c client.Credentials) string {
		t.Helper()
		s, err := sessionName(c)
		if err != nil || len(s) != 32 {
			t.Fatalf("sessionName = %q, %v, want 32 digits", s, err)
		}
		return s
	}
	first := name(whole())
	seen := map[string]string{first: "nothing"}
	differs := func(what string, change func(*client.Credentials)) {
		t.Helper()
		c := whole()
		change(&c)
		n := name(c)
		if other, ok := seen[n]; ok {
			t.Errorf("a profile with another %s has the session of one with another %s", what, other)
		}
		seen[n] = what
	}
	differs("endpoint", func(c *client.Credentials) { c.Endpoint = "b:1" })
	differs("region", func(c *client.Credentials) { c.Region = "s" })
	differs("CA", func(c *client.Credentials) { c.CA = []byte("cb") })
	differs("source", func(c *client.Credentials) { c.Role.Source.AccessKeyID = "AKIB" })
	differs("certificate", func(c *client.Credentials) { c.Role.Source.Certificate = []byte("x") })
	differs("source of the source", func(c *client.Credentials) {
		c.Role.Source = &client.Credentials{Role: &client.Role{ARN: "arn", Source: c.Role.Source}}
	})
	fields := reflect.TypeFor[client.Role]()
	n := 0
	for i := range fields.NumField() {
		f := fields.Field(i)
		// Where a source is named does not matter, and what is not in files is not in profiles.
		if f.Name == "SourceProfile" || f.Name == "Policy" {
			continue
		}
		switch f.Type.Kind() {
		case reflect.String:
			n++
			differs(f.Name, func(c *client.Credentials) { reflect.ValueOf(c.Role).Elem().Field(i).SetString("other " + f.Name) })
		case reflect.Int64:
			n++
			differs(f.Name, func(c *client.Credentials) { c.Role.Duration = time.Hour })
		}
	}
	if n != 7 {
		t.Errorf("%d fields of a role make another session, want 7: a new one must be in sessionName", n)
	}
	if again := name(whole()); again != first {
		t.Errorf("the same profile is named %s and %s", first, again)
	}
}

func TestSessionsAreNotKeptInAFolderOfOthers(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	dir, err := cacheFolder()
	if err != nil || dir != filepath.Join(cache, "kmsctl") {
		t.Fatalf("cacheFolder = %q, %v", dir, err)
	}
	for _, mode := range []os.FileMode{0o755, 0o770, 0o701} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if got, err := cacheFolder(); err == nil {
			t.Errorf("cacheFolder with mode %04o = %q, want an error", mode, got)
		}
	}
	os.Remove(dir)
	if err := os.Symlink(t.TempDir(), dir); err != nil {
		t.Fatal(err)
	}
	if got, err := cacheFolder(); err == nil {
		t.Errorf("cacheFolder of a symbolic link = %q, want an error", got)
	}
}

func TestMFACodes(t *testing.T) {
	t.Setenv(envMFACode, "")
	var said strings.Builder
	a := &app{stdin: strings.NewReader("123456\n"), stderr: &said}
	if code, err := a.mfaCode(t.Context(), "serial"); err == nil {
		t.Errorf("mfaCode without a terminal = %q, want an error", code)
	}
	a.mfa = "123456"
	t.Setenv(envMFACode, "654321")
	if code, err := a.mfaCode(t.Context(), "serial"); err != nil || code != "123456" {
		t.Errorf("mfaCode = %q, %v, want that of --mfa-code", code, err)
	}
	a.mfa = ""
	if code, err := a.mfaCode(t.Context(), "serial"); err != nil || code != "654321" {
		t.Errorf("mfaCode = %q, %v, want that of the environment", code, err)
	}
	for _, bad := range []string{"12345", "1234567", "12345a", "１２３４５６", " 123456"} {
		a.mfa = bad
		if code, err := a.mfaCode(t.Context(), "serial"); err == nil || strings.Contains(err.Error(), bad) {
			t.Errorf("mfaCode(%q) = %q, %v, want an error that does not quote it", bad, code, err)
		}
	}
}

func TestMFACodeIsAskedOnATerminal(t *testing.T) {
	t.Setenv(envMFACode, "")
	tty := newTerminal(t)
	defer tty.person.Close()
	defer tty.kmsctl.Close()
	if _, err := tty.person.WriteString("123456\n"); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	a := &app{stdin: tty.kmsctl, stderr: &said}
	code, err := a.mfaCode(t.Context(), "arn:aws:iam::1:mfa/\x1bphone")
	if err != nil || code != "123456" || said.String() != `MFA code of arn:aws:iam::1:mfa/\x1bphone: ` {
		t.Errorf("mfaCode = %q, %v, and asks %q", code, err, said.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code, err := a.mfaCode(ctx, "x"); err == nil {
		t.Errorf("mfaCode that is interrupted = %q, want an error", code)
	}
	tty.person.WriteString("\n") // ends the reader that is left
}
