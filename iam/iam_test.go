package iam

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/leaktest"
	"github.com/kmsd/kmsd/storage"
)

const testAccount = "111122223333"

const testPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}`

// world is principals on a real store.
type world struct {
	*IAM
	t     testing.TB
	cfg   storage.Config
	store *storage.Store
	root  AccessKey
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, cfg: storage.Config{Path: filepath.Join(t.TempDir(), "store"), Domain: crypto.RandomSecret(32)}}
	if err := storage.Create(w.cfg); err != nil {
		t.Fatal(err)
	}
	w.openStore()
	err := w.store.Update(func(tx *storage.Tx) (err error) {
		w.root, err = Bootstrap(tx, testAccount)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.IAM = w.mustOpen()
	t.Cleanup(func() {
		if err := w.store.Verify(); err != nil && !errors.Is(err, storage.ErrClosed) {
			t.Errorf("Verify of the store = %v", err)
		}
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) openStore() {
	w.t.Helper()
	s, err := storage.Open(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = s
}

func (w *world) mustOpen() *IAM {
	w.t.Helper()
	i, err := Open(Config{Store: w.store})
	if err != nil {
		w.t.Fatal(err)
	}
	return i
}

// reopen closes the store and opens everything again, and fails if what was in memory is not what is on disk.
func (w *world) reopen() {
	w.t.Helper()
	if err := w.store.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.openStore()
	before := dump(w.t, w.Snapshot())
	w.IAM = w.mustOpen()
	if diff := cmp.Diff(before, dump(w.t, w.Snapshot())); diff != "" {
		w.t.Fatalf("opened again, the principals differ (-memory +disk):\n%s", diff)
	}
}

// grant is the root user's permission for an action on an ARN.
func (w *world) grant(a authz.Action, arn string) authz.Grant {
	w.t.Helper()
	root, ok := w.Snapshot().AccessKey(w.root.ID)
	if !ok {
		w.t.Fatal("the root user's access key is not there")
	}
	g, d := authz.Authorize(root.Caller, a, &authz.Resource{Kind: authz.IAMEntity, Account: testAccount, ARN: arn})
	if !g.Permits(a, arn) {
		w.t.Fatalf("Authorize(%v, %q) = %+v", a, arn, d)
	}
	return g
}

// on is a grant for an action on a user.
func (w *world) on(a authz.Action, name string) authz.Grant {
	w.t.Helper()
	return w.grant(a, w.Snapshot().UserARN(testAccount, name))
}

func (w *world) createUser(name, path string) (User, error) {
	w.t.Helper()
	asked := path
	if asked == "" {
		asked = "/"
	}
	return w.CreateUser(w.grant(authz.IAMCreateUser, w.Snapshot().NewUserARN(testAccount, asked, name)), testAccount, name, path)
}

func (w *world) mustUser(name string) User {
	w.t.Helper()
	u, err := w.createUser(name, "/")
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

func (w *world) createKey(name string) (AccessKey, error) {
	w.t.Helper()
	return w.CreateAccessKey(w.on(authz.IAMCreateAccessKey, name), testAccount, name)
}

func (w *world) mustKey(name string) AccessKey {
	w.t.Helper()
	k, err := w.createKey(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

func (w *world) putPolicy(user, name, document string) error {
	w.t.Helper()
	return w.PutUserPolicy(w.on(authz.IAMPutUserPolicy, user), testAccount, user, name, document)
}

func (w *world) deleteUser(name string) error {
	w.t.Helper()
	return w.DeleteUser(w.on(authz.IAMDeleteUser, name), testAccount, name)
}

// dump tells all of a snapshot, secrets as hashes, and fails if its indexes disagree.
func dump(t testing.TB, s *Snapshot) []string {
	t.Helper()
	lines := []string{"management " + s.management}
	keys, certificates := 0, 0
	for _, p := range s.principals.All() {
		lines = append(lines, fmt.Sprintf("principal %+v", p.User))
		for n, k := range p.keys {
			lines = append(lines, fmt.Sprintf("key %s %d %s %v %v %x", p.ID, n, k.id, k.status, k.created, sha256.Sum256(k.secret.Expose())))
		}
		for n, q := range p.policies {
			lines = append(lines, fmt.Sprintf("policy %s %d %s %v %q", p.ID, n, q.name, q.updated, q.document))
		}
		for n, c := range p.certificates {
			lines = append(lines, fmt.Sprintf("certificate %s %d %+v", p.ID, n, c))
		}
		for n, c := range p.credentials {
			held, _ := s.AccessKey(c.ID)
			if c.Method == ByCertificate {
				held, _ = s.Certificate(c.fingerprint)
				certificates++
			} else {
				keys++
			}
			if held != c {
				t.Errorf("credential %s of %s is not in the index", c.ID, p.Name)
			}
			var identity []string
			for _, q := range c.Caller.Identity {
				identity = append(identity, string(q.Document()))
			}
			lines = append(lines, fmt.Sprintf("credential %s %d %v %v %v %q %v %v %v %v %q %x", p.ID, n, c.ID, c.Method, c.Status,
				c.UserName, c.Caller.Kind, c.Caller.ARN, c.Caller.ID, c.NotAfter, identity, sha256.Sum256(c.secret.Expose())))
		}
		if got, ok := s.principal(p.Account, p.Name); !ok || got != p {
			t.Errorf("principal %s is not found by its name", p.Name)
		}
	}
	if keys != s.accessKeys.Len() || certificates != s.certificates.Len() {
		t.Errorf("indexes hold %d access keys and %d certificates, want %d and %d", s.accessKeys.Len(), s.certificates.Len(), keys, certificates)
	}
	for id, a := range s.accounts.All() {
		lines = append(lines, fmt.Sprintf("account %s %+v", id, a.Account))
		for n, p := range a.users {
			if held, ok := s.principals.Load(p.ID); !ok || held != p {
				t.Errorf("user %s is not found by its id", p.Name)
			}
			lines = append(lines, fmt.Sprintf("user %s %d %s", id, n, p.ID))
		}
	}
	slices.Sort(lines)
	return lines
}

func TestBootstrap(t *testing.T) {
	w := newWorld(t)
	s := w.Snapshot()
	c, ok := s.AccessKey(w.root.ID)
	if !ok || !accessKeyID.MatchString(w.root.ID) || !secretKey.Match(w.root.Secret.Expose()) {
		t.Fatalf("the root user's access key %q is not there, or malformed", w.root.ID)
	}
	want := authz.Caller{Kind: authz.Root, Account: testAccount, ID: testAccount, ARN: "arn:aws:iam::111122223333:root"}
	if diff := cmp.Diff(want, *c.Caller); diff != "" {
		t.Errorf("root caller (-want +got):\n%s", diff)
	}
	if c.UserName != "" || c.Usable(present()) != nil || !c.Secret().Equal(w.root.Secret) {
		t.Errorf("the root user's credential is %+v", c)
	}
	if s.ManagementAccount() != testAccount {
		t.Errorf("ManagementAccount() = %q, want %q", s.ManagementAccount(), testAccount)
	}
	err := w.store.Update(func(tx *storage.Tx) error { _, err := Bootstrap(tx, ""); return err })
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
		if len(p.policies) > 0 {
			return "delete policy", w.DeleteUserPolicy(w.on(authz.IAMDeleteUserPolicy, name), testAccount, name, p.policies[0].name)
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
	for _, q := range p.policies {
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
	refuse := errors.New("the outbox is full")
	also := func(*storage.Tx) error { return refuse }
	g := w.on(authz.IAMCreateAccessKey, "ann")
	if _, err := w.CreateAccessKey(g, testAccount, "ann", also); !errors.Is(err, refuse) {
		t.Errorf("CreateAccessKey = %v, want %v", err, refuse)
	}
	if diff := cmp.Diff(before, dump(t, w.Snapshot())); diff != "" {
		t.Errorf("the change was published all the same:\n%s", diff)
	}
	w.reopen()

	ran := uint64(0)
	if _, err := w.CreateAccessKey(g, testAccount, "ann", func(tx *storage.Tx) error { ran = tx.Generation(); return nil }); err != nil {
		t.Fatal(err)
	}
	if ran != w.store.Generation() || ran != w.Snapshot().Generation() {
		t.Errorf("Also ran at generation %d, store %d, snapshot %d, want all the same", ran, w.store.Generation(), w.Snapshot().Generation())
	}

	before = dump(t, w.Snapshot())
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
		authz.IAMCreateAccessKey:  func(g authz.Grant) error { _, err := w.CreateAccessKey(g, testAccount, "ann"); return err },
		authz.IAMListAccessKeys:   func(g authz.Grant) error { _, err := s.ListAccessKeys(g, testAccount, "ann"); return err },
		authz.IAMUpdateAccessKey:  func(g authz.Grant) error { return w.UpdateAccessKey(g, testAccount, "ann", k.ID, Inactive) },
		authz.IAMDeleteAccessKey:  func(g authz.Grant) error { return w.DeleteAccessKey(g, testAccount, "ann", k.ID) },
		authz.IAMPutUserPolicy:    func(g authz.Grant) error { return w.PutUserPolicy(g, testAccount, "ann", "p", testPolicy) },
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
		authz.IAMCreateUser:              func(g authz.Grant) error { _, err := w.CreateUser(g, testAccount, "ann", "/"); return err },
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
	c.SigningKey("20261123")
	p, _ := w.Snapshot().principal(testAccount, "ann")
	leaktest.Check(t, k.Secret.Expose(), k, &k, c, p.keys, p.keys[0], p, w.Snapshot(), w.IAM)
	server, err := w.IssueServerCertificate([]string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	leaktest.Check(t, scalar(t, server.Key), server, &server, w.IAM)
	decoy := w.Decoy()
	leaktest.Check(t, decoy.Secret().Expose(), decoy)
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
					c.SigningKey(fmt.Sprintf("202611%02d", 10+len(users)))
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

// fill puts n users with an access key and a policy each into the store of w, in one transaction.
func (w *world) fill(n int) {
	w.t.Helper()
	err := w.store.Update(func(tx *storage.Tx) error {
		for i := range n {
			u := User{Account: testAccount, ID: newUserID(), Name: fmt.Sprintf("user-%05d", i), Path: "/", Created: present()}
			err := errors.Join(
				tx.Put(kindUser, join(testAccount, u.ID), encodeUser(u)),
				tx.Put(kindAccessKey, join(testAccount, u.ID, newAccessKeyID()), encodeAccessKey(newAccessKey(&Snapshot{}))),
				tx.Put(kindUserPolicy, join(testAccount, u.ID, "p"),
					encodeJSON(policyRecord{Version: recordVersion, Name: "p", Document: testPolicy, Updated: present()})),
			)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.IAM = w.mustOpen()
}

func TestUsersPages(t *testing.T) {
	w := newWorld(t)
	w.fill(1234)
	w.mustUser("AAA")
	w.mustUser("zzz")
	var all []string
	after := ""
	for {
		page, more := w.Snapshot().Users(testAccount, after, 100)
		for _, u := range page {
			all = append(all, u.Name)
		}
		if !more {
			break
		}
		after = all[len(all)-1]
	}
	if len(all) != 1236 || all[0] != "AAA" || all[1235] != "zzz" || !slices.IsSortedFunc(all, func(a, b string) int { return strings.Compare(fold(a), fold(b)) }) {
		t.Errorf("%d users from %q to %q, want 1236 in order", len(all), all[0], all[len(all)-1])
	}
	if page, more := w.Snapshot().Users(testAccount, "", 5000); len(page) != MaxUsersPage || !more {
		t.Errorf("a page of 5000 has %d users, more %v, want %d, true", len(page), more, MaxUsersPage)
	}
	for _, limit := range []int{0, -1} {
		if page, more := w.Snapshot().Users(testAccount, "", limit); len(page) != 0 || more {
			t.Errorf("a page of %d has %d users, more %v, want none", limit, len(page), more)
		}
	}
	if page, more := w.Snapshot().Users("999999999999", "", 10); len(page) != 0 || more {
		t.Errorf("another account has %d users", len(page))
	}
}

func TestMaxUsers(t *testing.T) {
	w := newWorld(t)
	i, err := Open(Config{Store: w.store, MaxUsers: 2})
	if err != nil {
		t.Fatal(err)
	}
	w.IAM = i
	w.mustUser("a")
	w.mustUser("b")
	if _, err := w.createUser("c", "/"); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("a third user = %v, want %v", err, ErrLimitExceeded)
	}
}

func BenchmarkOpen10000Users(b *testing.B) {
	w := newWorld(b)
	w.fill(10_000)
	for b.Loop() {
		if _, err := Open(Config{Store: w.store}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAccessKey(b *testing.B) {
	w := newWorld(b)
	w.fill(10_000)
	ids := slices.Collect(maps.Keys(maps.Collect(w.Snapshot().accessKeys.All())))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if _, ok := w.Snapshot().AccessKey(ids[n%len(ids)]); !ok {
			b.Fatal("not found")
		}
	}
}

func BenchmarkSigningKey(b *testing.B) {
	w := newWorld(b)
	c, _ := w.Snapshot().AccessKey(w.root.ID)
	b.ReportAllocs()
	for b.Loop() {
		if c.SigningKey("20261123").Date() == "" {
			b.Fatal("no key")
		}
	}
}

func BenchmarkCreateUserAmong10000(b *testing.B) {
	w := newWorld(b)
	w.fill(10_000)
	i, err := Open(Config{Store: w.store, MaxUsers: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	w.IAM = i
	n := 0
	for b.Loop() {
		n++
		w.mustUser(fmt.Sprintf("bench-%d", n))
	}
}
