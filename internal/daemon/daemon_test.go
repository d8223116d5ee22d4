package daemon

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/leaktest"
	"github.com/kmsd/kmsd/seal"
	"github.com/kmsd/kmsd/storage"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func mustInit(t *testing.T, change func(*InitOptions)) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	o := InitOptions{Config: Config{Data: dir}}
	if change != nil {
		change(&o)
	}
	if _, err := Init(o); err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t *testing.T, dir string, o Options) (*Daemon, error) {
	t.Helper()
	cfg, err := Load(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen, cfg.AdminListen = "127.0.0.1:0", AdminOff
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	if o.LogTo == nil {
		o.LogTo = &bytes.Buffer{}
	}
	return Start(cfg, o)
}

func stop(t *testing.T, d *Daemon) {
	t.Helper()
	if err := d.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

func createKey(t *testing.T, dir string, d *Daemon) {
	t.Helper()
	c, err := client.LoadFile(filepath.Join(dir, RootCredentialsFile))
	if err != nil {
		t.Fatal(err)
	}
	cl, err := client.New(client.Config{Credentials: c, Endpoint: d.Address()})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := cl.Keys().CreateKey(t.Context(), &kmsv1.CreateKeyRequest{}); err != nil {
		t.Fatal(err)
	}
}

func TestInitMakesEverythingOrNothing(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "data")
	for name, change := range map[string]func(*InitOptions){
		"a bad account id":      func(o *InitOptions) { o.AccountID = "12" },
		"a bad region":          func(o *InitOptions) { o.Region = "EU" },
		"a missing key file":    func(o *InitOptions) { o.Config.Seal.KeyFile = "/nonexistent" },
		"a short passphrase":    func(o *InitOptions) { o.Config.Seal.PassphraseFile = "-"; o.Passphrase = passphrase("short") },
		"no port":               func(o *InitOptions) { o.Config.Listen = "127.0.0.1:0" },
		"admin beyond loopback": func(o *InitOptions) { o.Config.AdminListen = "0.0.0.0:1" },
	} {
		o := InitOptions{Config: Config{Data: dir}}
		change(&o)
		if _, err := Init(o); err == nil {
			t.Errorf("with %s Init succeeds", name)
		}
		if entries, err := os.ReadDir(parent); err != nil || len(entries) != 0 {
			t.Errorf("with %s Init leaves %v, %v behind", name, entries, err)
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(InitOptions{Config: Config{Data: dir}}); err != nil {
		t.Errorf("Init in an empty folder = %v", err)
	}
	before, err := os.ReadFile(filepath.Join(dir, RootCredentialsFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Init(InitOptions{Config: Config{Data: dir}}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Init in a used folder = %v, want fs.ErrExist", err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, RootCredentialsFile)); err != nil || !bytes.Equal(before, after) {
		t.Error("Init changed a used folder")
	}
}

// Every file of the folder but the authority's certificate is its owner's alone.
func TestModesOfTheFolder(t *testing.T) {
	dir := mustInit(t, nil)
	seen := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		seen++
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0)
		if d.Name() == caFile {
			want = 0o044
		}
		if got := info.Mode().Perm() & 0o077; got != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil || seen < 8 {
		t.Errorf("walked %d files, %v", seen, err)
	}
}

func passphrase(s string) func() (crypto.Secret, error) {
	return func() (crypto.Secret, error) { return crypto.NewSecret([]byte(s)), nil }
}

func TestPassphrase(t *testing.T) {
	if testing.Short() {
		t.Skip("Argon2id at its real cost")
	}
	file := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(file, []byte("correct horse battery staple\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := mustInit(t, func(o *InitOptions) { o.Config.Seal.PassphraseFile = file })
	d, err := start(t, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	stop(t, d)
	if err := os.WriteFile(file, []byte("correct horse battery stable\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := start(t, dir, Options{}); !errors.Is(err, seal.ErrWrongRootKey) {
		t.Errorf("start with another passphrase = %v, want ErrWrongRootKey", err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := start(t, dir, Options{}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("start with a passphrase that others can read = %v, want what to do", err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A store that was put back to an earlier state, a disabled key enabled again for instance, does not start.
func TestRollbackOfTheStoreIsRefused(t *testing.T) {
	dir := mustInit(t, nil)
	old := filepath.Join(t.TempDir(), "old.db")
	for round := range 2 {
		d, err := start(t, dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			createKey(t, dir, d)
		}
		stop(t, d)
		if round == 0 {
			copyFile(t, filepath.Join(dir, storeFile), old)
		}
	}
	d, err := start(t, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	createKey(t, dir, d)
	stop(t, d)
	newer := filepath.Join(t.TempDir(), "new.db")
	copyFile(t, filepath.Join(dir, storeFile), newer)
	copyFile(t, old, filepath.Join(dir, storeFile))
	if _, err := start(t, dir, Options{}); err == nil || !strings.Contains(err.Error(), "rolled back") {
		t.Errorf("start with an old store = %v, want a refusal", err)
	}
	copyFile(t, newer, filepath.Join(dir, storeFile))
	if d, err = start(t, dir, Options{}); err != nil {
		t.Fatalf("start with the store that goes with the log = %v", err)
	}
	stop(t, d)
}

func TestSecondDaemonIsRefusedSoon(t *testing.T) {
	dir := mustInit(t, nil)
	d, err := start(t, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, d)
	began := time.Now()
	if _, err := start(t, dir, Options{}); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("second start = %v, want ErrLocked", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("second start was refused after %v", took)
	}
}

func TestDamagedFilesAreRefused(t *testing.T) {
	for _, name := range []string{sealFile, storeFile, ConfigFile, keyFile} {
		dir := mustInit(t, nil)
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b[:len(b)/100], 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := Load(dir, nil)
		if err == nil {
			err = cfg.Check()
		}
		if err == nil {
			var d *Daemon
			if d, err = start(t, dir, Options{}); err == nil {
				stop(t, d)
			}
		}
		if err == nil {
			t.Errorf("%s cut to a hundredth: kmsd starts", name)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, row := range []struct {
		name, text string
		env        []string
		wrong      string // in the error; empty if there is none
	}{
		{name: "the least there is", text: "seal: {key_file: k}"},
		{name: "everything", text: "listen: 0.0.0.0:1\nadmin_listen: \"off\"\nhosts: [a.example]\nlog_level: debug\nseal: {passphrase_file: p, require_locked_memory: true}\ntls: {cert_file: c, key_file: k}\naudit: {dir: /a, segment_mib: 1}\nlimits: {connections: 1, connections_per_ip: 1, streams: 1, message_bytes: 262144, call_timeout: 1s, idle_timeout: 1m, handshake_timeout: 1s, connection_age: 1h}"},
		{name: "the environment overrides", text: "seal: {key_file: k}\nlog_level: loud", env: []string{"KMSD_LOG_LEVEL=warn"}},
		{name: "unknown key", text: "seal: {key_file: k}\nlisten_on: x", wrong: "[2:1] unknown field \"listen_on\""},
		{name: "unknown key below", text: "seal: {key_file: k, shares: 3}", wrong: "unknown field"},
		{name: "wrong type", text: "seal: {key_file: k}\nlimits: {streams: many}", wrong: "[2:"},
		{name: "no seal", text: "listen: 127.0.0.1:1", wrong: "seal: give one of"},
		{name: "two seals", text: "seal: {key_file: k, passphrase_file: p}", wrong: "seal: give one of"},
		{name: "half a certificate", text: "seal: {key_file: k}\ntls: {cert_file: c}", wrong: "tls:"},
		{name: "bad address", text: "seal: {key_file: k}\nlisten: localhost", wrong: "listen:"},
		{name: "bad port", text: "seal: {key_file: k}\nlisten: localhost:99999", wrong: "listen:"},
		{name: "admin for everybody", text: "seal: {key_file: k}\nadmin_listen: 0.0.0.0:80", wrong: "loopback"},
		{name: "bad level from the environment", text: "seal: {key_file: k}", env: []string{"KMSD_LOG_LEVEL=loud"}, wrong: "log_level"},
		{name: "a section in the environment", text: "seal: {key_file: k}", env: []string{"KMSD_LIMITS=1"}, wrong: "KMSD_LIMITS"},
		{name: "plugin of Kubernetes without a key", text: "seal: {key_file: k}\nk8s: {socket: s, credentials_file: c}", wrong: "k8s: socket, key_id and credentials_file"},
		{name: "negative limit", text: "seal: {key_file: k}\nlimits: {call_timeout: -1s}", wrong: "limits.call_timeout"},
		{name: "message limit below what a call needs", text: "seal: {key_file: k}\nlimits: {message_bytes: 1024}", wrong: "limits.message_bytes"},
		{name: "not YAML", text: "\x00", wrong: "kmsd.yaml"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, ConfigFile), []byte(row.text), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := Load(dir, row.env)
			if err == nil {
				err = cfg.Check()
			}
			switch {
			case row.wrong == "" && err != nil:
				t.Errorf("error = %v", err)
			case row.wrong != "" && (err == nil || !strings.Contains(err.Error(), row.wrong)):
				t.Errorf("error = %v, want one with %q", err, row.wrong)
			}
		})
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("seal: {key_file: k}\nlisten: 127.0.0.1:1\nlimits: {call_timeout: 1s}")
	f.Add("hosts: [a, b]\naudit: {segment_mib: 3}")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(filepath.Join(dir, ConfigFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if cfg, err := Load(dir, nil); err == nil {
			_ = cfg.Check() // only that it returns
		}
	})
}

func TestNothingPrintsItsSecrets(t *testing.T) {
	dir := mustInit(t, nil)
	d, err := start(t, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	domain := bytes.Clone(d.domain.Expose())
	stop(t, d) // it is printed while nothing changes it
	leaktest.Check(t, domain, &Daemon{domain: crypto.NewSecret(bytes.Clone(domain)), server: d.server, store: d.store})
	root, err := client.LoadFile(filepath.Join(dir, RootCredentialsFile))
	if err != nil {
		t.Fatal(err)
	}
	leaktest.Check(t, root.SecretAccessKey.Expose(), d, d.server, d.people)
}
