package keystore

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
}

func newFixture(t testing.TB) *fixture {
	f := &fixture{t: t, cfg: storage.Config{Path: filepath.Join(t.TempDir(), "store.db"), Domain: crypto.RandomSecret(32)}}
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
	if f.Keystore, err = Open(f.store, place); err != nil {
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
	g, d := authz.Authorize(f.root, a, &r)
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
	_, rotated, err := f.Rotate(f.onKey(authz.KMSRotateKeyOnDemand, k), k.ID, Token{})
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
	if len(after.Versions()) != 2 || after.Current().Material != rotated || after.Current().Rotation != OnDemand {
		t.Errorf("versions = %d, current %v, want 2 and %v", len(after.Versions()), after.Current().Material, rotated)
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
		_, _, rotate := f.Rotate(g, k.ID, Token{})
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
		if _, _, err := f.Rotate(f.onKey(authz.KMSRotateKeyOnDemand, k), k.ID, Token{}); err != nil {
			t.Fatalf("rotation %d: %v", i+1, err)
		}
	}
	if _, _, err := f.Rotate(f.onKey(authz.KMSRotateKeyOnDemand, k), k.ID, Token{}); !errors.Is(err, ErrLimitExceeded) {
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

func TestClientTokens(t *testing.T) {
	f := newFixture(t)
	token := Token{Principal: "AIDA", Operation: "CreateKey", Value: "t-1", Request: [32]byte{1}}
	first := must[*Key](t)(f.create(NewKey{Token: token}))
	f.reopen()
	if again := must[*Key](t)(f.create(NewKey{Token: token})); again.ID != first.ID {
		t.Errorf("repeating CreateKey made key %v, want %v", again.ID, first.ID)
	}
	for name, change := range map[string]func(*Token){
		"another principal": func(t *Token) { t.Principal = "AIDB" }, "another operation": func(t *Token) { t.Operation = "X" }, "another token": func(t *Token) { t.Value = "t-2" },
	} {
		other := token
		change(&other)
		if k := must[*Key](t)(f.create(NewKey{Token: other})); k.ID == first.ID {
			t.Errorf("with %s CreateKey gave the same key", name)
		}
	}
	token.Request[0] = 2
	if _, err := f.create(NewKey{Token: token}); !errors.Is(err, ErrTokenReused) {
		t.Errorf("other parameters under the token = %v, want ErrTokenReused", err)
	}
	rotate := Token{Principal: "AIDA", Operation: "RotateKeyOnDemand", Value: "r"}
	_, one, err := f.Rotate(f.onKey(authz.KMSRotateKeyOnDemand, first), first.ID, rotate)
	if err != nil {
		t.Fatal(err)
	}
	f.reopen()
	_, two, err := f.Rotate(f.onKey(authz.KMSRotateKeyOnDemand, first), first.ID, rotate)
	if err != nil || one != two || len(f.now(first).Versions()) != 2 {
		t.Errorf("repeating Rotate = %v, %v with %d versions, want %v and 2 versions", two, err, len(f.now(first).Versions()), one)
	}
}

// tokens counts the records of tokens in the store.
func (f *fixture) tokenRecords() (n int) {
	f.t.Helper()
	err := f.store.View(func(tx *storage.Tx) error {
		return tx.Walk(kindToken, "", func(string, []byte) error { n++; return nil })
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

func TestClientTokensAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		token := func(s string) Token { return Token{Principal: "AIDA", Operation: "CreateKey", Value: s} }
		first := must[*Key](t)(f.create(NewKey{Token: token("same")}))
		for i := range 20 {
			must[*Key](t)(f.create(NewKey{Token: token(fmt.Sprint(i))}))
		}
		time.Sleep(tokenLife - time.Second)
		if again := must[*Key](t)(f.create(NewKey{Token: token("same")})); again.ID != first.ID {
			t.Error("a token was forgotten before its time")
		}
		time.Sleep(2 * time.Second)
		if again := must[*Key](t)(f.create(NewKey{Token: token("same")})); again.ID == first.ID {
			t.Error("a token was remembered beyond its time")
		}
		f.reopen()
		for i := range 3 {
			must[*Key](t)(f.create(NewKey{Token: token(fmt.Sprint("later", i))}))
		}
		if n := f.tokenRecords(); n != 4 {
			t.Errorf("%d token records, want 4: those that have expired are to be deleted", n)
		}
	})
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

func TestParseRef(t *testing.T) {
	id := "0a1b2c3d-0a1b-4c3d-8a1b-0a1b2c3d4e5f"
	for _, good := range []string{id, "arn:aws:kms:local:" + testAccount + ":key/" + id, "alias/a", "alias/a/b-c_D", "arn:aws:kms:local:" + testAccount + ":alias/a", "alias/aws/x"} {
		if _, err := place.ParseRef(good, testAccount); err != nil {
			t.Errorf("ParseRef(%q) = %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "x", strings.ToUpper(id), "{" + id + "}", id + " ", "alias/", "alias/a:b", "alias/ä", "alias/*", "key/" + id, "alias/" + strings.Repeat("a", 251),
		"arn:aws:kms:local:" + testAccount + ":key/" + id + "/x", "arn:aws:kms:elsewhere:" + testAccount + ":key/" + id, "arn:aws-cn:kms:local:" + testAccount + ":key/" + id,
		"arn:aws:iam:local:" + testAccount + ":key/" + id, "arn:aws:kms:local:1:key/" + id, "arn:aws:kms:local:" + testAccount + ":" + id, "arn:aws:kms:local:" + testAccount, strings.Repeat("a", 2049),
	} {
		if r, err := place.ParseRef(bad, testAccount); !errors.Is(err, ErrInvalidKeyID) || r != (Ref{}) {
			t.Errorf("ParseRef(%q) = %+v, %v, want ErrInvalidKeyID and nothing", bad, r, err)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	f.Add("alias/a")
	f.Add("arn:aws:kms:local:111122223333:key/0a1b2c3d-0a1b-4c3d-8a1b-0a1b2c3d4e5f")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := place.ParseRef(s, testAccount)
		if err != nil {
			if r != (Ref{}) {
				t.Errorf("ParseRef(%q) = %+v beside an error", s, r)
			}
			return
		}
		printed := place.KeyARN(r.Account, r.ID)
		if r.Alias != "" {
			printed = place.AliasARN(r.Account, r.Alias)
		}
		if again, err := place.ParseRef(printed, "000000000000"); err != nil || again != r {
			t.Errorf("ParseRef(%q) = %+v, but its ARN %q gives %+v, %v", s, r, printed, again, err)
		}
	})
}

func FuzzDecodeMaterial(f *testing.F) {
	f.Add(make([]byte, materialSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decodeMaterial(slices.Clone(b), crypto.KeyID{1}, 1)
		if err == nil && string(encodeMaterial(v)) != string(b) {
			t.Errorf("decodeMaterial(%x) encodes to other bytes", b)
		}
	})
}

// A store that opens and verifies can still hold what keystore did not write: each such record is named.
func TestRecordsThatCannotBeRead(t *testing.T) {
	for name, change := range map[string]func(tx *storage.Tx, k *Key) error{
		"key of another version": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindKey, keyPath(testAccount, k.ID), []byte(`{"v":2}`))
		},
		"key with unknown member": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindKey, keyPath(testAccount, k.ID), []byte(`{"v":1,"x":1}`))
		},
		"key with a bad policy": func(tx *storage.Tx, k *Key) error {
			r := k.record()
			r.Policy = "{}"
			return tx.Put(kindKey, keyPath(testAccount, k.ID), mustJSON(r))
		},
		"key without material":   func(tx *storage.Tx, k *Key) error { return tx.Delete(kindMaterial, materialPath(testAccount, k.ID, 1)) },
		"material without a key": func(tx *storage.Tx, k *Key) error { return tx.Delete(kindKey, keyPath(testAccount, k.ID)) },
		"material cut short": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindMaterial, materialPath(testAccount, k.ID, 1), []byte{1, 1})
		},
		"a version left out": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindMaterial, materialPath(testAccount, k.ID, 3), encodeMaterial(k.Current()))
		},
		"alias of no key": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindAlias, aliasPath(testAccount, "alias/x"), mustJSON(aliasRecord{V: 1, Key: crypto.NewKeyID().String()}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			k := f.mustCreate()
			if err := f.store.Update(func(tx *storage.Tx) error { return change(tx, k) }); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(f.store, place); !errors.Is(err, ErrCorrupt) {
				t.Errorf("Open = %v, want ErrCorrupt", err)
			}
		})
	}
}

func TestNothingPrintsItsSecret(t *testing.T) {
	f := newFixture(t)
	k := f.mustCreate()
	u := must[Usable](t)(k.Use(f.onKey(authz.KMSEncrypt, k)))
	secret := k.Current().secret.Expose()
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
