package seal

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/leaktest"
	"golang.org/x/sys/unix"
)

var quick = Cost{MemoryKiB: 64, Passes: 1, Lanes: 1}

func passphrase(s string) Source {
	return PassphraseWithCost(func() (crypto.Secret, error) { return crypto.NewSecret([]byte(s)), nil }, quick)
}

func keyFile(t *testing.T) (Source, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "root.key")
	if err := CreateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	return KeyFile(path), path
}

func TestCreateAndOpen(t *testing.T) {
	byFile, _ := keyFile(t)
	otherFile, _ := keyFile(t)
	for _, tc := range []struct {
		name         string
		right, wrong Source
	}{
		{"a key file", byFile, otherFile},
		{"a passphrase", passphrase("correct horse"), passphrase("correct house")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "seal")
			if _, err := Open(path, tc.right); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Open of no file = %v, want fs.ErrNotExist", err)
			}
			domain, err := Create(path, tc.right)
			if err != nil {
				t.Fatal(err)
			}
			if domain.Len() != 32 || bytes.Equal(domain.Expose(), make([]byte, 32)) {
				t.Fatalf("domain key has %d bytes, or is zero", domain.Len())
			}
			again, err := Open(path, tc.right)
			if err != nil {
				t.Fatal(err)
			}
			if !again.Equal(domain) {
				t.Error("Open gives another domain key than Create")
			}
			if got, err := Open(path, tc.wrong); !errors.Is(err, ErrWrongRootKey) || !got.IsZero() {
				t.Errorf("Open with a wrong root key = %v, want ErrWrongRootKey and no key", err)
			}
			if _, err := Create(path, tc.right); !errors.Is(err, fs.ErrExist) {
				t.Errorf("Create over a seal = %v, want fs.ErrExist", err)
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(raw, domain.Expose()[:8]) {
				t.Error("the seal file holds the domain key in clear")
			}
			leaktest.Check(t, bytes.Clone(domain.Expose()), domain, tc.right, Options{}, &file{wrapped: raw})
		})
	}
}

func TestTwoSealsHaveDifferentKeys(t *testing.T) {
	dir := t.TempDir()
	a, err := Create(filepath.Join(dir, "a"), passphrase("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := Create(filepath.Join(dir, "b"), passphrase("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if a.Equal(b) {
		t.Error("two seals have the same domain key")
	}
}

// Every bit of the file counts: flipped, it is damage; flipped with the checksum made anew, it does not open.
func TestEveryBitIsChecked(t *testing.T) {
	src, _ := keyFile(t)
	for _, s := range []Source{src, passphrase("correct horse")} {
		path := filepath.Join(t.TempDir(), "seal")
		if _, err := Create(path, s); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for bit := range 8 * len(raw) {
			b := bytes.Clone(raw)
			b[bit/8] ^= 1 << (bit % 8)
			if f, err := parse(b); !errors.Is(err, ErrCorrupt) || f != nil {
				t.Fatalf("parse with bit %d flipped = %v, want ErrCorrupt", bit, err)
			}
			f := unchecked(b)
			b = f.marshal()
			if f, err = parse(b); err != nil || f.cost.MemoryKiB > 1024 {
				continue
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := Open(path, s); err == nil && !bytes.Equal(b, raw) {
				t.Fatalf("Open with bit %d flipped and the checksum made anew gave a key of %d bytes", bit, got.Len())
			}
		}
		for n := range raw {
			if _, err := parse(raw[:n]); !errors.Is(err, ErrCorrupt) {
				t.Errorf("parse of the first %d bytes = %v, want ErrCorrupt", n, err)
			}
		}
	}
}

// unchecked reads a file without looking at what it says.
func unchecked(b []byte) *file {
	f := &file{method: method(b[9]), wrapped: b[headerLen : headerLen+wrappedLen], salt: [16]byte(b[19:35])}
	f.cost = Cost{
		MemoryKiB: uint32(b[10])<<24 | uint32(b[11])<<16 | uint32(b[12])<<8 | uint32(b[13]),
		Passes:    uint32(b[14])<<24 | uint32(b[15])<<16 | uint32(b[16])<<8 | uint32(b[17]), Lanes: b[18],
	}
	return f
}

func TestHostileCostsAreRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		cost Cost
		ok   bool
	}{
		{"the default", DefaultCost(), true},
		{"the largest", Cost{4 << 20, 100, 255}, true},
		{"too much memory", Cost{4<<20 + 1, 3, 2}, false},
		{"too many passes", Cost{1 << 10, 101, 2}, false},
		{"no pass", Cost{1 << 10, 0, 2}, false},
		{"no lane", Cost{1 << 10, 3, 0}, false},
		{"less than 8 KiB per lane", Cost{15, 3, 2}, false},
		{"nothing", Cost{}, false},
	} {
		if err := tc.cost.check(); (err == nil) != tc.ok {
			t.Errorf("%s: check(%+v) = %v, want ok %v", tc.name, tc.cost, err, tc.ok)
		}
		f := &file{method: methodPassphrase, cost: tc.cost, wrapped: make([]byte, wrappedLen)}
		if _, err := parse(f.marshal()); (err == nil) != tc.ok {
			t.Errorf("%s: parse of a file with %+v = %v, want ok %v", tc.name, tc.cost, err, tc.ok)
		}
	}
}

func TestPassphraseIsLongEnoughAndWiped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seal")
	for _, short := range []string{"", "elevenchars", "ääääääääääx"} {
		if _, err := Create(path, passphrase(short)); err == nil || !strings.Contains(err.Error(), "too short") {
			t.Errorf("Create with a passphrase of %d bytes = %v, want that it is too short", len(short), err)
		}
	}
	secret := crypto.NewSecret([]byte("twelve chars"))
	src := PassphraseWithCost(func() (crypto.Secret, error) { return secret, nil }, quick)
	if _, err := Create(path, src); err != nil {
		t.Fatal(err)
	}
	if !secret.IsZero() {
		t.Error("the passphrase was not wiped")
	}
	boom := errors.New("no terminal")
	src = Passphrase(func() (crypto.Secret, error) { return crypto.Secret{}, boom })
	if _, err := Open(path, src); !errors.Is(err, boom) {
		t.Errorf("Open = %v, want the error of the reader", err)
	}
	byFile, _ := keyFile(t)
	if _, err := Open(path, byFile); err == nil || !strings.Contains(err.Error(), "opened with a passphrase") {
		t.Errorf("Open with a key file = %v, want that it needs a passphrase", err)
	}
	if _, err := Open(path, Source{}); err == nil {
		t.Error("Open with no source succeeded")
	}
}

func TestKeyFileMustBePrivate(t *testing.T) {
	src, path := keyFile(t)
	seal := filepath.Join(t.TempDir(), "seal")
	if _, err := Create(seal, src); err != nil {
		t.Fatal(err)
	}
	if err := CreateKeyFile(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("CreateKeyFile over a key file = %v, want fs.ErrExist", err)
	}
	for _, tc := range []struct {
		name string
		mode fs.FileMode
		want string
	}{
		{"readable by the group", 0o640, "chmod 600"},
		{"readable by all", 0o604, "chmod 600"},
		{"executable", 0o700, "chmod 600"},
		{"read-only", 0o400, ""},
	} {
		if err := os.Chmod(path, tc.mode); err != nil {
			t.Fatal(err)
		}
		checkOpens(t, tc.name, seal, src, tc.want)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 65534, -1); err != nil {
			t.Fatal(err)
		}
		checkOpens(t, "of another user", seal, src, "chown 0")
		if err := os.Chown(path, 0, -1); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(path, 31); err != nil {
		t.Fatal(err)
	}
	checkOpens(t, "cut", seal, src, "31 bytes")
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	checkOpens(t, "a named pipe", seal, KeyFile(fifo), "not a regular file")
	if _, err := Open(fifo, src); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Open of a named pipe = %v, want ErrCorrupt", err)
	}
}

// checkOpens checks that the seal opens if want is empty, or else that the error says want.
func checkOpens(t *testing.T, name, seal string, src Source, want string) {
	t.Helper()
	switch _, err := Open(seal, src); {
	case want == "" && err != nil:
		t.Errorf("Open with a key file that is %s = %v, want nil", name, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("Open with a key file that is %s = %v, want %q", name, err, want)
	}
}

func FuzzParse(f *testing.F) {
	good := &file{method: methodKeyFile, wrapped: make([]byte, wrappedLen)}
	f.Add(good.marshal())
	good = &file{method: methodPassphrase, cost: DefaultCost(), salt: newSalt(), wrapped: make([]byte, wrappedLen)}
	f.Add(good.marshal())
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parse(b)
		if err != nil {
			if got != nil || !errors.Is(err, ErrCorrupt) {
				t.Errorf("parse = %v, %v, want nil and ErrCorrupt", got, err)
			}
			return
		}
		if !bytes.Equal(got.marshal(), b) {
			t.Errorf("what was parsed marshals to %x, want %x", got.marshal(), b)
		}
	})
}
