package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmsd/kmsd/internal/kmstest"
)

// terminal is a pseudo-terminal: what kmsctl sees, and what a person types and reads.
type terminal struct{ kmsctl, person *os.File }

func newTerminal(t *testing.T) terminal {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	kmsctl, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return terminal{kmsctl, person}
}

// onTerminal runs kmsctl with all its streams on a terminal, types typed, and returns the exit code and what the terminal showed.
func onTerminal(t *testing.T, typed string, args ...string) (int, string) {
	t.Helper()
	tty := newTerminal(t)
	shown := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(tty.person) // ends with EIO when the other side is closed
		shown <- string(b)
	}()
	if _, err := io.WriteString(tty.person, typed); err != nil {
		t.Fatal(err)
	}
	code := run(t.Context(), args, tty.kmsctl, tty.kmsctl, tty.kmsctl)
	tty.kmsctl.Close()
	select {
	case s := <-shown:
		tty.person.Close()
		return code, s
	case <-time.After(10 * time.Second):
		t.Fatal("the terminal did not end")
		return 0, ""
	}
}

// quiet runs kmsctl on no terminal and returns its standard output.
func quiet(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), args, strings.NewReader(""), &stdout, &stderr); code != exitOK {
		t.Fatalf("kmsctl %q = %d: %s", args, code, stderr.String())
	}
	return stdout.String()
}

func TestOnATerminal(t *testing.T) {
	k := kmstest.New(t, nil)
	t.Setenv("KMSD_CREDENTIALS", k.CredentialsFile(k.Credentials()))
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	dir := t.TempDir()
	text, binary, sealed, sealedText := filepath.Join(dir, "text"), filepath.Join(dir, "binary"), filepath.Join(dir, "sealed"), filepath.Join(dir, "sealed-text")
	for path, content := range map[string]string{text: "attack at dawn\n", binary: "\x1b[2J\x00"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	quiet(t, "key", "create", "--alias", "a", "--description", "\x1b]0;title\x07évil")
	quiet(t, "key", "create", "--alias", "ec", "--spec", "ECC_NIST_P256", "--usage", "SIGN_VERIFY")
	quiet(t, "key", "create", "--alias", "kem", "--spec", "ML_KEM_768")
	var external keyView
	if err := json.Unmarshal([]byte(quiet(t, "key", "create", "--origin", "EXTERNAL", "-o", "json")), &external); err != nil {
		t.Fatal(err)
	}
	id := external.KeyID
	requests := filepath.Join(dir, "requests")
	if err := os.WriteFile(requests, []byte(`{"generate_random":{"number_of_bytes":8}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	quiet(t, "encrypt", "--key", "alias/a", "--in", binary, "--out", sealed)
	quiet(t, "encrypt", "--key", "alias/a", "--in", text, "--out", sealedText)
	quiet(t, "file", "encrypt", text, "--key", "alias/a", "--out", filepath.Join(dir, "file"))

	for _, tt := range []struct {
		name    string
		args    []string
		code    int
		shows   string
		doesNot string
		typed   string
	}{
		{"encrypt does not show bytes", []string{"encrypt", "--key", "alias/a", "--in", text}, exitUsage, "error: this would write binary data to a terminal\r\nhint: --out FILE, or -o json for base64", "\x00", ""},
		{"encrypt shows base64", []string{"encrypt", "--key", "alias/a", "--in", text, "-o", "json"}, exitOK, `"ciphertext": "A`, "", ""},
		{"decrypt shows text", []string{"decrypt", "--ciphertext-file", sealedText}, exitOK, "attack at dawn", "", ""},
		{"decrypt does not show bytes", []string{"decrypt", "--ciphertext-file", sealed}, exitUsage, "binary data to a terminal", "\x1b", ""},
		{"re-encrypt does not show bytes", []string{"re-encrypt", "--ciphertext-file", sealed, "--key", "alias/a"}, exitUsage, "binary data to a terminal", "\x00", ""},
		{"random does not show bytes", []string{"random", "8"}, exitUsage, "binary data to a terminal", "\x00", ""},
		{"file decrypt does not show bytes", []string{"file", "decrypt", filepath.Join(dir, "file"), "--out", "-"}, exitUsage, "hint: --out FILE", "attack", ""},
		{"data-key does not show the key", []string{"data-key", "--key", "alias/a"}, exitUsage, "error: this would show the data key in clear on a terminal", "plaintext  ", ""},
		{"data-key shows the key if it shall", []string{"data-key", "--key", "alias/a", "--show-plaintext"}, exitOK, "plaintext", "", ""},
		{"data-key shows the ciphertext alone", []string{"data-key", "--key", "alias/a", "--without-plaintext"}, exitOK, "ciphertext", "plaintext", ""},
		{"sign does not show bytes", []string{"sign", "--key", "alias/ec", "--in", text}, exitUsage, "binary data to a terminal", "\x00", ""},
		{"sign shows base64", []string{"sign", "--key", "alias/ec", "--in", text, "-o", "json"}, exitOK, `"signature": "M`, "", ""},
		{"public-key shows PEM", []string{"key", "public-key", "alias/ec"}, exitOK, "-----BEGIN PUBLIC KEY-----", "", ""},
		{"public-key does not show DER", []string{"key", "public-key", "alias/ec", "--der"}, exitUsage, "hint: --out FILE, or without --der", "\x00", ""},
		{"data-key-pair does not show the key", []string{"data-key-pair", "--key", "alias/a", "--spec", "ECC_NIST_P256"}, exitUsage, "error: this would show the private key in clear on a terminal", bold + "private key", ""},
		{"data-key-pair shows the key if it shall", []string{"data-key-pair", "--key", "alias/a", "--spec", "ECC_NIST_P256", "--show-plaintext"}, exitOK, bold + "private key", "", ""},
		{"encapsulate does not show the secret", []string{"encapsulate", "--key", "alias/kem"}, exitUsage, "error: this would show the secret on a terminal", bold + "shared secret", ""},
		{"encapsulate shows the secret if it shall", []string{"encapsulate", "--key", "alias/kem", "--show-secret"}, exitOK, bold + "shared secret", "", ""},
		{"batch does not show results", []string{"batch", "--in", requests}, exitUsage, "error: this would show the results", "request_id", ""},
		{"batch shows results if it shall", []string{"batch", "--in", requests, "--show"}, exitOK, "request_id", "", ""},
		{"key material is not typed", []string{"key", "import", id, "--material", "-", "--no-expiry"}, exitUsage, "error: key material is not typed on a terminal", "", "k\n"},
		{"a key is not deleted without a yes", []string{"key", "schedule-deletion", id}, exitError, "What is encrypted under it can never be decrypted then. [y/N] ", "will be deleted at", "n\n"},
		{"a key is deleted with a yes", []string{"key", "schedule-deletion", id, "--days", "7"}, exitOK, "will be deleted at", "", "y\n"},
		{"a list has colours, and no others", []string{"key", "list"}, exitOK, green + "Enabled" + reset, "\x1b]0", ""},
		{"what would steer the terminal is escaped", []string{"key", "describe", "alias/a"}, exitOK, `\x1b]0;title\aévil`, "\x07", ""},
		{"no is no", []string{"alias", "delete", "a"}, exitError, "Delete alias/a? [y/N] ", "deleted", "n\n"},
		{"nothing is no", []string{"alias", "delete", "a"}, exitError, "error: not confirmed: nothing was changed", "deleted", "\n"},
		{"a long answer is no", []string{"alias", "delete", "a"}, exitError, "error: not confirmed", "deleted alias", strings.Repeat("y", 40) + "\n"},
		{"--yes does not ask", []string{"alias", "delete", "a", "--yes"}, exitOK, "deleted alias/a", "[y/N]", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, shown := onTerminal(t, tt.typed, tt.args...)
			if code != tt.code || !strings.Contains(shown, tt.shows) || tt.doesNot != "" && strings.Contains(shown, tt.doesNot) {
				t.Errorf("kmsctl %q = %d and shows\n%q, want %d and %q without %q", tt.args, code, shown, tt.code, tt.shows, tt.doesNot)
			}
		})
	}
	t.Run("yes is yes", func(t *testing.T) {
		quiet(t, "user", "create", "alice")
		if code, shown := onTerminal(t, "y\n", "user", "delete", "alice"); code != exitOK || !strings.Contains(shown, "deleted the user alice") {
			t.Errorf("kmsctl user delete alice = %d and shows %q, want it deleted", code, shown)
		}
	})
	t.Run("NO_COLOR", func(t *testing.T) {
		t.Setenv("NO_COLOR", "1")
		if _, shown := onTerminal(t, "", "key", "list"); strings.Contains(shown, "\x1b") {
			t.Errorf("with NO_COLOR a list is %q, want no colours", shown)
		}
	})
	t.Run("a progress bar", func(t *testing.T) {
		if code, shown := onTerminal(t, "", "audit", "verify", k.AuditDir()); code != exitOK || !strings.Contains(shown, "verified") {
			t.Errorf("kmsctl audit verify = %d and shows %q", code, shown)
		}
	})
}
