package iam

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/leaktest"
	"github.com/kmsd/kmsd/storage"
)

func TestBootstrap(t *testing.T) {
	w := newWorld(t)
	s := w.Snapshot()
	c, ok := s.AccessKey(w.root.ID)
	if !ok || !accessKeyID.MatchString(w.root.ID) || !secretKey.Match(w.root.Secret.Expose()) {
		t.Fatalf("the root user's access key %q is not there, or malformed", w.root.ID)
	}
	want := authz.Caller{Kind: authz.Root, Account: testAccount, ID: testAccount, ARN: "arn:aws:iam::111122223333:root"}
	caller, err := s.Caller(c)
	if err != nil {
		t.Fatal(err)
	}
	if want.Membership = caller.Membership; !want.Membership.Management {
		t.Errorf("the management account's root user is of %+v", want.Membership)
	}
	if diff := cmp.Diff(want, *caller, cmpopts.IgnoreUnexported(authz.Pairs{}), cmpopts.IgnoreFields(authz.Caller{}, "Membership")); diff != "" {
		t.Errorf("root caller (-want +got):\n%s", diff)
	}
	if c.UserName != "" || c.Usable(present()) != nil || !c.Secret().Equal(w.root.Secret) {
		t.Errorf("the root user's credential is %+v", c)
	}
	if s.ManagementAccount() != testAccount {
		t.Errorf("ManagementAccount() = %q, want %q", s.ManagementAccount(), testAccount)
	}
	err = w.store.Update(func(tx *storage.Tx) error { _, err := Bootstrap(tx, ""); return err })
	if !errors.Is(err, ErrEntityExists) {
		t.Errorf("a second Bootstrap = %v, want %v", err, ErrEntityExists)
	}
	w.reopen()
}

func TestBootstrapMakesAnAccountID(t *testing.T) {
	w := newWorld(t)
	for _, bad := range []string{"1", "11112222333a", "1111222233334"} {
		err := w.store.Update(func(tx *storage.Tx) error { _, err := Bootstrap(tx, bad); return err })
		if !errors.Is(err, ErrValidation) {
			t.Errorf("Bootstrap(%q) = %v, want %v", bad, err, ErrValidation)
		}
	}
	for range 1000 {
		id, err := newAccountID()
		if err != nil || !accountID.MatchString(id) || id[0] == '0' {
			t.Fatalf("newAccountID() = %q, %v", id, err)
		}
	}
}

func TestOpenNeedsBootstrap(t *testing.T) {
	cfg := storage.Config{Path: filepath.Join(t.TempDir(), "store"), Domain: crypto.RandomSecret(32)}
	if err := storage.Create(cfg); err != nil {
		t.Fatal(err)
	}
	s, err := storage.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := Open(Config{Store: s}); !errors.Is(err, ErrNoSuchEntity) {
		t.Errorf("Open of an empty store = %v, want %v", err, ErrNoSuchEntity)
	}
}

// What is in memory is on disk after every step of a random sequence of changes.
func TestEveryChangeIsDurable(t *testing.T) {
	w := newWorld(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	csr := newCSR(t, ecdsaKey(t))
	names := []string{"ann", "bob", "Cleo", "dan", RootName}
	counts := map[string]int{}
	for step := range 250 {
		name := names[r.IntN(len(names))]
		what, err := w.randomStep(r, name, csr)
		if err == nil {
			counts[what]++
		}
		fresh := w.mustOpen()
		if diff := cmp.Diff(dump(t, w.Snapshot()), dump(t, fresh.Snapshot())); diff != "" {
			t.Fatalf("after step %d (%s %s: %v) memory and disk differ (-memory +disk):\n%s", step, what, name, err, diff)
		}
		if got, want := w.Snapshot().Generation(), w.store.Generation(); got > want {
			t.Fatalf("Generation() = %d beyond the store's %d", got, want)
		}
		if step%50 == 49 {
			w.reopen()
		}
	}
	for _, what := range []string{"create user", "delete user", "create key", "update key", "delete key", "put policy", "delete policy", "create certificate", "delete certificate"} {
		if counts[what] == 0 {
			t.Errorf("no step of %q succeeded: %v", what, counts)
		}
	}
}

func (w *world) randomStep(r *rand.Rand, name string, csr []byte) (what string, err error) {
	s := w.Snapshot()
	p, ok := s.principal(testAccount, name)
	if !ok {
		_, err := w.createUser(name, []string{"/", "/div/", ""}[r.IntN(3)])
		return "create user", err
	}
	switch r.IntN(9) {
	case 0, 1:
		_, err := w.createKey(name)
		return "create key", err
	case 2:
		if len(p.keys) > 0 {
			k := p.keys[r.IntN(len(p.keys))]
			return "update key", w.UpdateAccessKey(w.on(authz.IAMUpdateAccessKey, name), testAccount, name, k.id, Status(1+r.IntN(2)))
		}
	case 3:
		if len(p.keys) > 0 && p.keys[0].id != w.root.ID {
			return "delete key", w.DeleteAccessKey(w.on(authz.IAMDeleteAccessKey, name), testAccount, name, p.keys[0].id)
		}
	case 4:
		return "put policy", w.putPolicy(name, []string{"one", "two", "Three"}[r.IntN(3)], testPolicy)
	case 5:
		if len(p.inline) > 0 {
			return "delete policy", w.DeleteUserPolicy(w.on(authz.IAMDeleteUserPolicy, name), testAccount, name, p.inline[0].name)
		}
	case 6:
		_, err := w.CreateClientCertificate(w.on(authz.IAMCreateClientCertificate, name), testAccount, name, csr, 0)
		return "create certificate", err
	case 7:
		if len(p.certificates) > 0 {
			return "delete certificate", w.DeleteClientCertificate(w.on(authz.IAMDeleteClientCertificate, name), testAccount, name, p.certificates[0].Fingerprint)
		}
	case 8:
		if r.IntN(2) == 0 {
			w.strip(p)
		}
		return "delete user", w.deleteUser(name)
	}
	return "nothing", nil
}

// strip takes from p what keeps it from being deleted.
func (w *world) strip(p *principal) {
	w.t.Helper()
	if p.isRoot() {
		return
	}
	var errs []error
	for _, k := range p.keys {
		errs = append(errs, w.DeleteAccessKey(w.on(authz.IAMDeleteAccessKey, p.Name), testAccount, p.Name, k.id))
	}
	for _, q := range p.inline {
		errs = append(errs, w.DeleteUserPolicy(w.on(authz.IAMDeleteUserPolicy, p.Name), testAccount, p.Name, q.name))
	}
	for _, c := range p.certificates {
		errs = append(errs, w.DeleteClientCertificate(w.on(authz.IAMDeleteClientCertificate, p.Name), testAccount, p.Name, c.Fingerprint))
	}
	if err := errors.Join(errs...); err != nil {
		w.t.Fatal(err)
	}
}

// A change that is not committed is not seen.
func TestFailedChangesAreNotPublished(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	before := dump(t, w.Snapshot())
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.createUser("bob", "/"); err == nil {
		t.Error("CreateUser on a closed store succeeds")
	}
	if diff := cmp.Diff(before, dump(t, w.Snapshot())); diff != "" {
		t.Errorf("the change was published all the same:\n%s", diff)
	}
	w.openStore()
}

// Every operation asks for the grant of its own action on its own user.
func TestOperationsNeedTheirGrant(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	w.mustUser("bob")
	k := w.mustKey("ann")
	csr := newCSR(t, ecdsaKey(t))
	s := w.Snapshot()
	ops := map[authz.Action]func(g authz.Grant) error{
		authz.IAMCreateAccessKey: func(g authz.Grant) error { _, err := w.CreateAccessKey(g, testAccount, "ann"); return err },
		authz.IAMListAccessKeys:  func(g authz.Grant) error { _, err := s.ListAccessKeys(g, testAccount, "ann"); return err },
		authz.IAMUpdateAccessKey: func(g authz.Grant) error { return w.UpdateAccessKey(g, testAccount, "ann", k.ID, Inactive) },
		authz.IAMDeleteAccessKey: func(g authz.Grant) error { return w.DeleteAccessKey(g, testAccount, "ann", k.ID) },
		authz.IAMPutUserPolicy: func(g authz.Grant) error {
			_, err := w.PutUserPolicy(g, testAccount, "ann", "p", testPolicy)
			return err
		},
		authz.IAMGetUserPolicy:    func(g authz.Grant) error { _, err := s.UserPolicy(g, testAccount, "ann", "p"); return err },
		authz.IAMListUserPolicies: func(g authz.Grant) error { _, err := s.ListUserPolicies(g, testAccount, "ann"); return err },
		authz.IAMDeleteUserPolicy: func(g authz.Grant) error { return w.DeleteUserPolicy(g, testAccount, "ann", "p") },
		authz.IAMCreateClientCertificate: func(g authz.Grant) error {
			_, err := w.CreateClientCertificate(g, testAccount, "ann", csr, 0)
			return err
		},
		authz.IAMListClientCertificates:  func(g authz.Grant) error { _, err := s.ListClientCertificates(g, testAccount, "ann"); return err },
		authz.IAMDeleteClientCertificate: func(g authz.Grant) error { return w.DeleteClientCertificate(g, testAccount, "ann", [32]byte{}) },
		authz.IAMDeleteUser:              func(g authz.Grant) error { return w.DeleteUser(g, testAccount, "ann") },
		authz.IAMCreateUser:              func(g authz.Grant) error { _, err := w.CreateUser(g, testAccount, NewUser{Name: "ann"}); return err },
	}
	before := dump(t, w.Snapshot())
	for action, op := range ops {
		grants := map[string]authz.Grant{
			"the zero grant":             {},
			"a grant on another user":    w.on(action, "bob"),
			"a grant on the root user":   w.on(action, RootName),
			"a grant for another action": w.on(authz.IAMGetUser, "ann"),
		}
		for name, g := range grants {
			if err := op(g); !errors.Is(err, ErrNotPermitted) {
				t.Errorf("%v with %s = %v, want %v", action, name, err, ErrNotPermitted)
			}
		}
	}
	if diff := cmp.Diff(before, dump(t, w.Snapshot())); diff != "" {
		t.Errorf("something changed:\n%s", diff)
	}
	for action, op := range ops {
		if err := op(w.on(action, "ann")); errors.Is(err, ErrNotPermitted) {
			t.Errorf("%v with its grant = %v", action, err)
		}
		s = w.Snapshot()
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	k := w.mustKey("ann")
	c, _ := w.Snapshot().AccessKey(k.ID)
	c.SigningKey("20261123", "local", Service)
	p, _ := w.Snapshot().principal(testAccount, "ann")
	leaktest.Check(t, k.Secret.Expose(), k, &k, c, p.keys, p.keys[0], p, w.Snapshot(), w.IAM)
	server, err := w.IssueServerCertificate([]string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	leaktest.Check(t, scalar(t, server.Key), server, &server, w.IAM)
	err = w.store.View(func(tx *storage.Tx) error {
		record, err := tx.Get(kindAuthority, authorityPath)
		if err != nil {
			return err
		}
		_, key, err := decodeKeyPair(record)
		if err != nil {
			return err
		}
		leaktest.Check(t, scalar(t, key), w.IAM, w.ca, *w.ca)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// scalar returns what is secret in an encoded ECDSA key; the rest of it is also in the certificate.
func scalar(t *testing.T, key crypto.Secret) []byte {
	t.Helper()
	parsed, err := x509.ParsePKCS8PrivateKey(key.Expose())
	if err != nil {
		t.Fatal(err)
	}
	b, err := parsed.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Readers see each snapshot whole while others change.
func TestConcurrentReadersAndWriters(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := w.Snapshot()
				users, _ := s.Users(testAccount, "", MaxUsersPage)
				for _, u := range users {
					if got, ok := s.UserByID(u.ID); !ok || got != u {
						t.Errorf("UserByID(%q) = %+v, %v, want %+v", u.ID, got, ok, u)
					}
				}
				if c, ok := s.AccessKey(w.root.ID); !ok {
					t.Error("the root user's access key is gone")
				} else {
					c.SigningKey(fmt.Sprintf("202611%02d", 10+len(users)), "local", Service)
				}
			}
		})
	}
	var writers sync.WaitGroup
	for n := range 4 {
		writers.Go(func() {
			name := fmt.Sprintf("user%d", n)
			for range 3 {
				if _, err := w.createUser(name, "/"); err != nil {
					t.Error(err)
				}
				k, err := w.createKey(name)
				if err != nil {
					t.Error(err)
				}
				if err := w.DeleteAccessKey(w.on(authz.IAMDeleteAccessKey, name), testAccount, name, k.ID); err != nil {
					t.Error(err)
				}
				if err := w.deleteUser(name); err != nil {
					t.Error(err)
				}
			}
			w.mustUser(name)
		})
	}
	writers.Wait()
	close(stop)
	wg.Wait()
	if users, _ := w.Snapshot().Users(testAccount, "", 10); len(users) != 4 {
		t.Errorf("%d users are left, want 4", len(users))
	}
	w.reopen()
}
