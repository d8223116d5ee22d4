// Package kmstest runs a whole kmsd inside a test: a real data folder, real TLS on loopback, the real pipeline. When the test ends
// it is stopped, and its audit log and its store are checked from front to back.
//
// It is for tests only, and does nothing that a kmsd of its own process would not do.
//
// Trust: none is needed; everything lives in the test's folder.
package kmstest

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/daemon"
	"github.com/kmsd/kmsd/internal/logtest"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// Options change what New makes. A nil *Options is ready for use.
type Options struct {
	Config    func(*daemon.Config) // changes the configuration before each start
	OpenAudit audit.OpenFileFunc   // puts faults under the audit log
	Dir       string               // an existing data folder, served as it is; empty makes one
	Unchecked bool                 // the test damages the log or the store: do not check them at its end
	Clock     *Clock               // of the keys; nil is the machine's
}

// KMS is a kmsd that runs.
type KMS struct {
	t    testing.TB
	opts Options
	dir  string
	log  logtest.Buffer

	daemon *daemon.Daemon // nil while stopped
	root   *client.Client
}

// Account is the management account of every kmsd of this package.
const Account = "111122223333"

// New starts a kmsd. It is stopped and checked when the test ends.
func New(t testing.TB, o *Options) *KMS {
	t.Helper()
	k := &KMS{t: t}
	if o != nil {
		k.opts = *o
	}
	if k.dir = k.opts.Dir; k.dir == "" {
		k.dir = filepath.Join(t.TempDir(), "kmsd-data")
		if _, err := daemon.Init(daemon.InitOptions{Config: daemon.Config{Data: k.dir}, AccountID: Account}); err != nil {
			t.Fatal(err)
		}
	}
	k.Start()
	t.Cleanup(k.finish)
	return k
}

// Start starts a kmsd that was stopped.
func (k *KMS) Start() {
	k.t.Helper()
	cfg, err := daemon.Load(k.dir, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	cfg.Listen, cfg.AdminListen, cfg.AWS.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	if k.opts.Config != nil {
		k.opts.Config(&cfg)
	}
	if err := cfg.Check(); err != nil {
		k.t.Fatal(err)
	}
	o := daemon.Options{Version: "test", LogTo: &k.log, OpenAudit: k.opts.OpenAudit}
	if k.opts.Clock != nil {
		k.opts.Clock.started()
		o.Clock = k.opts.Clock
	}
	if k.daemon, err = daemon.Start(cfg, o); err != nil {
		k.t.Fatal(err)
	}
	k.root = k.Client(k.Credentials())
}

// Stop stops kmsd as SIGTERM would.
func (k *KMS) Stop() {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := k.daemon.Shutdown(ctx); err != nil && !k.opts.Unchecked {
		k.t.Errorf("stopping kmsd: %v", err)
	}
	k.daemon = nil
}

// Restart stops kmsd and starts it again on the same folder, at another port.
func (k *KMS) Restart() {
	k.t.Helper()
	k.Stop()
	k.Start()
}

func (k *KMS) finish() {
	if k.daemon != nil {
		k.Stop()
	}
	if k.opts.Unchecked || k.t.Failed() {
		return
	}
	if _, err := audit.Verify(context.Background(), k.AuditDir(), nil); err != nil {
		k.t.Errorf("the audit log after the test: %v", err)
	}
	// Opening reads and checks the whole store.
	cfg, err := daemon.Load(k.dir, nil)
	if err != nil {
		k.t.Error(err)
		return
	}
	cfg.Listen, cfg.AdminListen = "127.0.0.1:0", daemon.AdminOff
	if err := cfg.Check(); err != nil {
		k.t.Error(err)
		return
	}
	d, err := daemon.Start(cfg, daemon.Options{Version: "test", LogTo: &k.log})
	if err != nil {
		k.t.Errorf("the store after the test: %v", err)
		return
	}
	if err := d.Shutdown(context.Background()); err != nil {
		k.t.Error(err)
	}
}

// Dir is the data folder.
func (k *KMS) Dir() string { return k.dir }

// AuditDir is the folder of the audit log.
func (k *KMS) AuditDir() string { return filepath.Join(k.dir, "audit") }

// Address is where gRPC is served: it changes with each start.
func (k *KMS) Address() string { return k.daemon.Address() }

// AWSAddress is where clients of AWS are served: it changes with each start.
func (k *KMS) AWSAddress() string { return k.daemon.AWSAddress() }

// AWSEndpoint is the URL that clients of AWS are given. The certificate is of the authority in Credentials.
func (k *KMS) AWSEndpoint() string { return k.daemon.AWSEndpoint() }

// AdminAddress is where metrics and health are served.
func (k *KMS) AdminAddress() string { return k.daemon.AdminAddress() }

// Log returns what kmsd has logged.
func (k *KMS) Log() string { return k.log.String() }

// Credentials are the root user's, for where kmsd listens.
func (k *KMS) Credentials() client.Credentials {
	k.t.Helper()
	c, err := client.LoadFile(filepath.Join(k.dir, daemon.RootCredentialsFile))
	if err != nil {
		k.t.Fatal(err)
	}
	c.Endpoint = k.Address()
	return c
}

// CredentialsFile writes credentials to a file of their own and returns its path.
func (k *KMS) CredentialsFile(c client.Credentials) string {
	k.t.Helper()
	b, err := c.Marshal()
	if err != nil {
		k.t.Fatal(err)
	}
	path := filepath.Join(k.t.TempDir(), "credentials.yaml")
	if err := os.WriteFile(path, b, client.FileMode); err != nil {
		k.t.Fatal(err)
	}
	return path
}

// Client returns a client with credentials. It is closed when the test ends.
func (k *KMS) Client(c client.Credentials) *client.Client {
	k.t.Helper()
	cl, err := client.New(client.Config{Credentials: c})
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { cl.Close() })
	return cl
}

// Root is a client of the root user.
func (k *KMS) Root() *client.Client { return k.root }

// User makes a user with an access key and inline policies, each a JSON document, and returns the user's credentials.
func (k *KMS) User(name string, policies ...string) client.Credentials {
	k.t.Helper()
	return k.user(k.root, name, policies)
}

// Allow returns a policy that allows actions on resources, "*" if none are given.
func Allow(actions []string, resources ...string) string {
	return statement("Allow", actions, resources)
}

// Deny returns a policy that denies actions on resources, "*" if none are given.
func Deny(actions []string, resources ...string) string {
	return statement("Deny", actions, resources)
}

func statement(effect string, actions, resources []string) string {
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	quote := func(list []string) string {
		b := []byte{'['}
		for i, s := range list {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(append(b, '"'), s...), '"')
		}
		return string(append(b, ']'))
	}
	return `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Action":` + quote(actions) + `,"Resource":` + quote(resources) + `}]}`
}

// Key makes a key and returns its metadata.
func (k *KMS) Key() *kmsv1.KeyMetadata {
	k.t.Helper()
	r, err := k.root.Keys().CreateKey(k.t.Context(), &kmsv1.CreateKeyRequest{})
	if err != nil {
		k.t.Fatal(err)
	}
	return r.GetKeyMetadata()
}

// Events returns the durable audit records that f lets through, the oldest first, but for those that say what was intended.
func (k *KMS) Events(f audit.Filter) []audit.Record {
	k.t.Helper()
	return k.scan(f, func(p audit.Phase) bool { return p != audit.PhaseIntent })
}

// Intents returns the durable audit records that f lets through and that say what was intended, the oldest first.
func (k *KMS) Intents(f audit.Filter) []audit.Record {
	k.t.Helper()
	return k.scan(f, func(p audit.Phase) bool { return p == audit.PhaseIntent })
}

func (k *KMS) scan(f audit.Filter, wanted func(audit.Phase) bool) []audit.Record {
	k.t.Helper()
	var all []audit.Record
	err := audit.Scan(context.Background(), k.AuditDir(), f, func(r *audit.Record) error {
		if !wanted(r.Phase) {
			return nil
		}
		one := *r
		one.Raw = bytes.Clone(r.Raw)
		all = append(all, one)
		return nil
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return all
}
