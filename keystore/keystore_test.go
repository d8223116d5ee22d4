package keystore

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/leaktest"
	"github.com/kmsd/kmsd/storage"
)

const testAccount = "111122223333"

var place = Place{Partition: "aws", Region: "local"}

// fixture is a keystore on a real file, and a root user who may do everything.
type fixture struct {
	*Keystore
	t     testing.TB
	cfg   storage.Config
	store *storage.Store
	root  *authz.Caller

	clock  *stepClock // nil for the machine's
	events []ServiceEvent
	refuse error // what OnChange returns
	trust  bool
	warned []string
}

// config is what the keystore is opened with.
func (f *fixture) config() Config {
	c := Config{
		Store: f.store, Place: place, TrustClock: f.trust,
		OnChange: func(e ServiceEvent) error { f.events = append(f.events, e); return f.refuse },
		Warn:     func(message string, _ ...any) { f.warned = append(f.warned, message) },
	}
	if f.clock != nil {
		c.Clock = f.clock
	}
	return c
}

func newFixture(t testing.TB) *fixture { return newFixtureWith(t, nil) }

// newFixtureWith is a fixture with a clock, which is the machine's if it is nil.
func newFixtureWith(t testing.TB, clock *stepClock) *fixture {
	f := &fixture{t: t, clock: clock, cfg: storage.Config{Path: filepath.Join(t.TempDir(), "store.db"), Domain: crypto.RandomSecret(32)}}
	f.root = &authz.Caller{Kind: authz.Root, Account: testAccount, ID: testAccount, ARN: "arn:aws:iam::" + testAccount + ":root"}
	var err error
	if err = storage.Create(f.cfg); err != nil {
		t.Fatal(err)
	}
	if f.store, err = storage.Open(f.cfg); err != nil {
		t.Fatal(err)
	}
	f.open()
	t.Cleanup(func() {
		if err := f.store.Verify(); err != nil {
			t.Errorf("the store after the test: %v", err)
		}
		f.store.Close()
	})
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	var err error
	if f.Keystore, err = Open(f.config()); err != nil {
		f.t.Fatal(err)
	}
}

// reopen closes the file and reads everything again: what was only in memory is gone.
func (f *fixture) reopen() {
	f.t.Helper()
	if err := f.store.Close(); err != nil {
		f.t.Fatal(err)
	}
	var err error
	if f.store, err = storage.Open(f.cfg); err != nil {
		f.t.Fatal(err)
	}
	f.open()
}

func (f *fixture) grant(a authz.Action, r authz.Resource) authz.Grant {
	f.t.Helper()
	g, d := authz.Authorize(f.root, a, &r, nil)
	if d.Verdict != authz.Allow {
		f.t.Fatalf("root is denied %v: %v", a, d.Reason)
	}
	return g
}

func (f *fixture) onKey(a authz.Action, k *Key) authz.Grant { return f.grant(a, k.Resource) }

func (f *fixture) onAlias(a authz.Action, name string) authz.Grant {
	return f.grant(a, authz.Resource{Kind: authz.Alias, Account: testAccount, ARN: place.AliasARN(testAccount, name)})
}

func (f *fixture) create(n NewKey) (*Key, error) {
	if n.Policy == nil {
		n.Policy = f.policy(DefaultPolicy("aws", testAccount))
	}
	n.Account = testAccount
	return f.CreateKey(f.grant(authz.KMSCreateKey, authz.Resource{}), n)
}

// repeated is a view of the fixture whose changes have a client token.
func (f *fixture) repeated(token Token) *fixture {
	view := *f
	view.Keystore = f.With(token)
	return &view
}

func (f *fixture) mustCreate() *Key {
	f.t.Helper()
	k, err := f.create(NewKey{})
	if err != nil {
		f.t.Fatal(err)
	}
	return k
}

func (f *fixture) policy(document string) *Policy {
	f.t.Helper()
	p, err := CompilePolicy(document, func(arn string) (string, bool) {
		return "AIDAAAAAAAAAAAAAAAAAA", strings.HasSuffix(arn, "user/alice")
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *fixture) now(k *Key) *Key {
	f.t.Helper()
	current, ok := f.Snapshot().Key(k.ID)
	if !ok {
		f.t.Fatalf("key %s is gone", k.ID)
	}
	return current
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestStateSurvivesReopening(t *testing.T) {
	f := newFixture(t)
	k := must[*Key](t)(f.create(NewKey{Description: "first"}))
	alice := f.policy(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:root","arn:aws:iam::111122223333:user/alice"]},"Action":"kms:*","Resource":"*"}]}`)
	must[*Key](t)(f.UpdateDescription(f.onKey(authz.KMSUpdateKeyDescription, k), k.ID, "second"))
	must[*Key](t)(f.PutPolicy(f.onKey(authz.KMSPutKeyPolicy, k), k.ID, alice))
	must[*Alias](t)(f.CreateAlias(f.onAlias(authz.KMSCreateAlias, "alias/a"), f.onKey(authz.KMSCreateAlias, k), testAccount, "alias/a", k.ID))
	blob := f.encrypt(k, "hello")
	_, rotated, err := f.Rotate(f.onKey(authz.KMSRotateKeyOnDemand, k), k.ID)
	if err != nil {
		t.Fatal(err)
	}
	must[*Key](t)(f.Disable(f.onKey(authz.KMSDisableKey, k), k.ID))
	before := f.now(k)
	f.reopen()
	after := f.now(k)
	if after.Description != "second" || after.State != Disabled || !after.Created.Equal(before.Created) || !after.PolicyUpdated.Equal(before.PolicyUpdated) {
		t.Errorf("metadata = %+v, want %+v", after, before)
	}
	if got := after.Policy.Document(); got != alice.Document() || after.Policy.bindings["arn:aws:iam::111122223333:user/alice"] == "" {
		t.Errorf("policy = %q, bindings %v", got, after.Policy.bindings)
	}
	if got := after.Aliases(); !slices.Equal(got, []string{"alias/a"}) {
		t.Errorf("aliases = %q", got)
	}
	if after.VersionCount() != 2 || after.Current().Material != rotated || after.Current().Rotation != OnDemand {
		t.Errorf("versions = %d, current %v, want 2 and %v", after.VersionCount(), after.Current().Material, rotated)
	}
	if _, err := after.Use(f.onKey(authz.KMSEncrypt, after)); !errors.Is(err, ErrDisabled) {
		t.Errorf("Use of a disabled key = %v, want ErrDisabled", err)
	}
	must[*Key](t)(f.Enable(f.onKey(authz.KMSEnableKey, k), k.ID))
	if got := f.decrypt(k, blob); got != "hello" {
		t.Errorf("decrypted %q after rotation and reopening, want %q", got, "hello")
	}
}

func (f *fixture) encrypt(k *Key, text string) []byte {
	f.t.Helper()
	k = f.now(k)
	u := must[Usable](f.t)(k.Use(f.onKey(authz.KMSEncrypt, k)))
	return must[[]byte](f.t)(u.Encrypt(nil, []byte(text), crypto.Context{}))
}

func (f *fixture) decrypt(k *Key, blob []byte) string {
	f.t.Helper()
	k = f.now(k)
	h := must[crypto.Header](f.t)(crypto.ParseHeader(blob))
	u := must[Usable](f.t)(k.UseVersion(f.onKey(authz.KMSDecrypt, k), h.Material))
	return string(must[[]byte](f.t)(u.Decrypt(nil, blob, crypto.Context{})))
}

// Every change and every use needs the grant for just that, on just that.
func TestGrantsAreNeeded(t *testing.T) {
	f := newFixture(t)
	k, other := f.mustCreate(), f.mustCreate()
	for name, g := range map[string]authz.Grant{
		"no grant": {}, "a grant for another action": f.onKey(authz.KMSDescribeKey, k), "a grant for another key": f.onKey(authz.KMSDisableKey, other),
	} {
		_, enable := f.Enable(g, k.ID)
		_, disable := f.Disable(g, k.ID)
		_, describe := f.UpdateDescription(g, k.ID, "x")
		_, put := f.PutPolicy(g, k.ID, k.Policy)
		_, _, rotate := f.Rotate(g, k.ID)
		_, create := f.CreateKey(g, NewKey{Account: testAccount, Policy: k.Policy})
		_, alias := f.CreateAlias(g, g, testAccount, "alias/x", k.ID)
		u, _ := k.Use(g)
		_, encrypt := u.Encrypt(nil, []byte("x"), crypto.Context{})
		_, decrypt := u.Decrypt(nil, []byte("x"), crypto.Context{})
		for i, err := range []error{enable, disable, describe, put, rotate, create, alias, encrypt, decrypt} {
			if !errors.Is(err, ErrNotPermitted) {
				t.Errorf("with %s, operation %d = %v, want ErrNotPermitted", name, i, err)
			}
		}
	}
	u := must[Usable](t)(k.Use(f.onKey(authz.KMSEncrypt, k)))
	if _, err := u.Decrypt(nil, f.encrypt(k, "x"), crypto.Context{}); !errors.Is(err, ErrNotPermitted) {
		t.Errorf("decrypting with a grant to encrypt = %v, want ErrNotPermitted", err)
	}
}

func TestQuotas(t *testing.T) {
	f := newFixture(t)
	k := f.mustCreate()
	for i := range MaxOnDemandRotations {
		if _, _, err := f.Rotate(f.onKey(authz.KMSRotateKeyOnDemand, k), k.ID); err != nil {
			t.Fatalf("rotation %d: %v", i+1, err)
		}
	}
	if _, _, err := f.Rotate(f.onKey(authz.KMSRotateKeyOnDemand, k), k.ID); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("rotation %d = %v, want ErrLimitExceeded", MaxOnDemandRotations+1, err)
	}
	for i := range MaxAliasesPerKey + 1 {
		name := fmt.Sprintf("alias/n%03d", i)
		_, err := f.CreateAlias(f.onAlias(authz.KMSCreateAlias, name), f.onKey(authz.KMSCreateAlias, k), testAccount, name, k.ID)
		if want := i >= MaxAliasesPerKey; errors.Is(err, ErrLimitExceeded) != want || err != nil && !want {
			t.Fatalf("alias %d: %v", i+1, err)
		}
	}
}

func TestAliasesFollowTheirKey(t *testing.T) {
	f := newFixture(t)
	a, b := f.mustCreate(), f.mustCreate()
	must[*Alias](t)(f.CreateAlias(f.onAlias(authz.KMSCreateAlias, "alias/x"), f.onKey(authz.KMSCreateAlias, a), testAccount, "alias/x", a.ID))
	_, err := f.CreateAlias(f.onAlias(authz.KMSCreateAlias, "alias/x"), f.onKey(authz.KMSCreateAlias, b), testAccount, "alias/x", b.ID)
	if !errors.Is(err, ErrAlreadyExists) {
		t.Errorf("creating an alias again = %v, want ErrAlreadyExists", err)
	}
	must[*Alias](t)(f.UpdateAlias(f.onAlias(authz.KMSUpdateAlias, "alias/x"), f.onKey(authz.KMSUpdateAlias, a), f.onKey(authz.KMSUpdateAlias, b), testAccount, "alias/x", b.ID))
	for _, reopened := range []bool{false, true} {
		if reopened {
			f.reopen()
		}
		k, ok := f.Snapshot().Resolve(Ref{Account: testAccount, Alias: "alias/x"})
		if !ok || k.ID != b.ID || len(f.now(a).Aliases()) != 0 || len(f.now(b).Aliases()) != 1 {
			t.Errorf("reopened %v: alias leads to %v, want %v", reopened, k, b.ID)
		}
	}
	if _, ok := f.Snapshot().Resolve(Ref{Account: "999999999999", Alias: "alias/x"}); ok {
		t.Error("another account resolves the alias")
	}
	if err := f.DeleteAlias(f.onAlias(authz.KMSDeleteAlias, "alias/x"), f.onKey(authz.KMSDeleteAlias, b), testAccount, "alias/x"); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	if page, _ := f.Snapshot().Aliases(testAccount, nil, "", 10); len(page) != 0 {
		t.Errorf("%d aliases after deletion and reopening, want 0", len(page))
	}
}

func TestPages(t *testing.T) {
	f := newFixture(t)
	var want []string
	for range 25 {
		want = append(want, f.mustCreate().ID.String())
	}
	slices.Sort(want)
	for _, size := range []int{1, 7, 25, 100} {
		var got []string
		var after crypto.KeyID
		for more := true; more; {
			var page []*Key
			page, more = f.Snapshot().Keys(testAccount, after, size)
			for _, k := range page {
				got = append(got, k.ID.String())
			}
			after = page[len(page)-1].ID
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d hold %d keys out of order or not all, want %d", size, len(got), len(want))
		}
	}
}

func TestNothingPrintsItsSecret(t *testing.T) {
	f := newFixture(t)
	k := f.mustCreate()
	u := must[Usable](t)(k.Use(f.onKey(authz.KMSEncrypt, k)))
	secret := k.Current().held.secret.Expose()
	leaktest.Check(t, secret, k.Current(), u, f.Keystore, f.Snapshot(), k)
}

func BenchmarkUseAndEncrypt(b *testing.B) {
	f := newFixture(b)
	k := f.mustCreate()
	g := f.onKey(authz.KMSEncrypt, k)
	plaintext := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		k, _ := f.Snapshot().Key(k.ID)
		u, err := k.Use(g)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := u.Encrypt(make([]byte, 0, 64+crypto.Overhead), plaintext, crypto.Context{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCreateKey(b *testing.B) {
	f := newFixture(b)
	for b.Loop() {
		f.mustCreate()
	}
}

func BenchmarkUse(b *testing.B) {
	f := newFixture(b)
	benchmarkUse(b, f, f.mustCreate())
}
