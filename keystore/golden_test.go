package keystore

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

var update = flag.Bool("update", false, "write the golden files")

// recordV1 is a key as version 1 of its record has it.
func recordV1(k *Key) keyRecordV1 {
	return keyRecordV1{
		V: 1, Created: k.Created, State: k.State.String(), Description: k.Description,
		Policy: k.Policy.document, PolicyUpdated: k.PolicyUpdated, Bindings: k.Policy.bindings, Tags: tagMap(k.tags),
	}
}

// Records of version 1, from before keys had tags and grants, load, and nothing that they say is lost.
func TestRecordsWithoutTagsLoad(t *testing.T) {
	lines, err := os.ReadFile("testdata/records-without-tags.txt")
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	records := map[string]string{} // :: path → value, of keys
	err = f.store.Update(func(tx *storage.Tx) error {
		for line := range strings.Lines(string(lines)) {
			part := strings.SplitN(strings.TrimSpace(line), " ", 3)
			value := []byte(part[2])
			if text, ok := strings.CutPrefix(part[2], "base64:"); ok {
				if value, err = base64.StdEncoding.DecodeString(text); err != nil {
					return err
				}
			}
			if storage.Kind(part[0]) == kindKey {
				records[part[1]] = part[2]
			}
			if err := tx.Put(storage.Kind(part[0]), part[1], value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.reopen()
	if f.Snapshot().Len() != len(records) || len(records) != 2 {
		t.Fatalf("%d keys of %d records, want 2", f.Snapshot().Len(), len(records))
	}
	k, ok := f.Snapshot().Resolve(Ref{Account: testAccount, Alias: "alias/a"})
	if !ok || k.State != Disabled || k.VersionCount() != 2 || len(k.Tags()) != 0 || k.Resource.Grants.Len() != 0 || k.Description != "of the first release" {
		t.Errorf("the key of alias/a = %+v", k)
	}
	keys, _ := f.Snapshot().Keys(testAccount, k.ID, 10)
	for _, k := range append(keys, k) {
		path := keyPath(testAccount, k.ID)
		if got := string(mustJSON(recordV1(k))); got != records[path] {
			t.Errorf("what was read of %s is\n%s, want\n%s", path, got, records[path])
		}
	}
}

// Grants are written as docs/formats/key-records.md says.
func TestGrantRecord(t *testing.T) {
	want, err := os.ReadFile("testdata/grant.json")
	if err != nil {
		t.Fatal(err)
	}
	g, err := decodeGrant(want, strings.Repeat("0", 64))
	if err != nil {
		t.Fatal(err)
	}
	if got := mustJSON(recordOf(g)); string(got) != string(want) {
		t.Errorf("record is\n%s, want\n%s", got, want)
	}
	if len(g.Actions) != len(authz.GrantOperations()) {
		t.Errorf("the record has %d of %d operations; write the missing ones into it", len(g.Actions), len(authz.GrantOperations()))
	}
}

func FuzzDecodeGrant(f *testing.F) {
	golden, err := os.ReadFile("testdata/grant.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(golden))
	f.Add(`{"v":1,"grantee":{"text":"","level":"DIRECT","account":"111122223333","id":"A"},"issuer":"","issued_by":"","created":"0001-01-01T00:00:00Z","operations":["Encrypt"]}`)
	f.Fuzz(func(t *testing.T, s string) {
		g, err := decodeGrant([]byte(s), "x")
		if err != nil {
			if g != nil || !errors.Is(err, ErrCorrupt) {
				t.Errorf("decodeGrant(%q) = %v, %v, want ErrCorrupt alone", s, g, err)
			}
			return
		}
		printed := mustJSON(recordOf(g))
		again, err := decodeGrant(printed, "x")
		if err != nil || string(mustJSON(recordOf(again))) != string(printed) {
			t.Errorf("decodeGrant(%q) does not read what it is printed as, %s: %v", s, printed, err)
		}
	})
}

func FuzzParseGrantToken(f *testing.F) {
	fix := newFixture(f)
	k := fix.mustCreate()
	_, token, err := fix.CreateGrant(fix.toCreateGrant(k), k.ID, wanted(nil))
	if err != nil {
		f.Fatal(err)
	}
	s := fix.Snapshot()
	f.Add("")
	f.Add(strings.Repeat("A", grantTokenText))
	f.Fuzz(func(t *testing.T, text string) {
		for _, text := range []string{text, token[:len(token)-min(len(text), len(token))] + text} {
			if key, id, err := s.ParseGrantToken(text); text != token && (!errors.Is(err, ErrInvalidGrantToken) || !key.IsZero() || id != "") {
				t.Errorf("ParseGrantToken(%q) = %v, %q, %v, want ErrInvalidGrantToken and nothing", text, key, id, err)
			}
		}
	})
}

func TestPolicyThatDoesNotCompile(t *testing.T) {
	f := newFixture(t)
	k, other := f.mustCreate(), f.mustCreate()
	damaged := recordV1(k)
	damaged.Policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Perhaps"}]}`
	if err := f.store.Update(func(tx *storage.Tx) error { return tx.Put(kindKey, keyPath(testAccount, k.ID), mustJSON(damaged)) }); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	list := f.Snapshot().UnusablePolicies()
	if len(list) != 1 || list[0].Key.ID != k.ID || !errors.Is(list[0].Cause, authz.ErrMalformedPolicy) {
		t.Fatalf("UnusablePolicies = %+v, want that of %v", list, k.ID)
	}
	broken := f.now(k)
	for a := range authz.Actions() {
		if _, d := authz.Authorize(f.root, a, &broken.Resource, &authz.Context{}); d.Verdict == authz.Allow && a != authz.STSGetCallerIdentity {
			t.Errorf("%v is allowed on a key without a usable policy", a)
		}
	}
	f.onKey(authz.KMSEncrypt, f.now(other))
	if broken.Policy.Document() != damaged.Policy {
		t.Errorf("the document is %q, want it as it is stored", broken.Policy.Document())
	}
	must[*Key](t)(f.Disable(f.onKey(authz.KMSDisableKey, k), k.ID)) // the permission is of before: the record is written again
	f.reopen()
	if got := f.now(k); got.State != Disabled || got.Policy.Document() != damaged.Policy {
		t.Errorf("after another change the key is %v with the policy %q", got.State, got.Policy.Document())
	}
	must[*Key](t)(f.PutPolicy(f.onKey(authz.KMSPutKeyPolicy, k), k.ID, k.Policy))
	for range 2 {
		if list := f.Snapshot().UnusablePolicies(); len(list) != 0 {
			t.Errorf("UnusablePolicies = %+v after another was put, want none", list)
		}
		f.onKey(authz.KMSEncrypt, f.now(k))
		f.reopen()
	}
}

// A policy in which a session is named is bound to its role, and stays so when the store is opened again; one that was put
// before sessions were bound names nobody there, and counts for everyone else.
func TestPolicyThatNamesASession(t *testing.T) {
	f := newFixture(t)
	const session, role, made = "arn:aws:sts::" + testAccount + ":assumed-role/batch/night", "AROAAAAAAAAAAAAAAAAAA", "AROABBBBBBBBBBBBBBBBB"
	k := f.mustCreate()
	document := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["` + testAccount + `","` + session + `"]},"Action":"kms:*","Resource":"*"}]}`
	p, err := CompilePolicy(document, func(arn string) (string, bool) { return role, arn == session })
	if err != nil {
		t.Fatal(err)
	}
	must[*Key](t)(f.PutPolicy(f.onKey(authz.KMSPutKeyPolicy, k), k.ID, p))
	check := func(when, id string, want bool) {
		t.Helper()
		c := authz.Caller{Kind: authz.RoleSession, Account: testAccount, ID: id, ARN: session, RoleARN: "arn:aws:iam::" + testAccount + ":role/batch", SessionName: "night"}
		if _, d := authz.Authorize(&c, authz.KMSDecrypt, &f.now(k).Resource, &authz.Context{}); (d.Verdict == authz.Allow) != want {
			t.Errorf("%s: a session of role %s is answered %v (%v), want allowed = %v", when, id, d.Verdict, d.Reason, want)
		}
		if list := f.Snapshot().UnusablePolicies(); len(list) > 0 {
			t.Errorf("%s: the policy is unusable: %v", when, list[0].Cause)
		}
		f.onKey(authz.KMSEncrypt, f.now(k)) // the account is trusted too
	}
	for _, when := range []string{"when it was put", "opened again"} {
		check(when, role, true)
		check(when, made, false)
		f.reopen()
	}
	before := recordV1(f.now(k))
	before.Bindings = nil
	if err := f.store.Update(func(tx *storage.Tx) error { return tx.Put(kindKey, keyPath(testAccount, k.ID), mustJSON(before)) }); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	check("put before sessions were bound", role, false)
	must[*Key](t)(f.UpdateDescription(f.onKey(authz.KMSUpdateKeyDescription, k), k.ID, "described"))
	f.reopen()
	check("and written again", role, false)
}

// goldenKeys and goldenVersions are what the golden files of version 2 hold.
func goldenKeys(f *fixture) map[string]*Key {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	id := crypto.KeyID{0x5a, 0x4d}
	plain := place.newKey(testAccount, id, at, crypto.SpecSymmetricDefault, crypto.UsageEncryptDecrypt, OriginKMS)
	plain.setPolicy(f.policy(DefaultPolicy("aws", testAccount)), at)
	full := place.newKey(testAccount, id, at, crypto.SpecMLKEM1024, crypto.UsageEncapsulateDecapsulate, OriginExternal)
	full.State, full.Description, full.DeletionProtection = PendingDeletion, "with everything", true
	full.setPolicy(f.policy(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/alice"},"Action":"kms:*","Resource":"*"}]}`), at.Add(time.Hour))
	full.setTags([]Tag{{"a", "b"}, {"c", ""}})
	full.life = &life{365, true, at.Add(365 * day), 7, at.Add(7 * day), 42 * time.Hour, at.Add(time.Minute)}
	return map[string]*Key{"key-v2.hex": plain, "key-v2-full.hex": full}
}

func goldenVersions() map[string]*Version {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	v := &Version{
		Number: 1, Material: crypto.MaterialID{0xab}, Created: at, Rotation: Automatic, spec: crypto.SpecSymmetricDefault,
		held: &held{secret: crypto.NewSecret(bytesOf(7))},
	}
	return map[string]*Version{
		"material-v2.hex": v,
		"material-v2-imported.hex": v.with(func(v *Version) {
			v.Rotation, v.Imported = OnDemand, &Imported{Description: "from the vault", ValidTo: at.Add(time.Hour), Present: true, pending: true, commitment: [32]byte{9}}
		}),
		"material-v2-deleted.hex": v.with(func(v *Version) {
			v.Disabled, v.held, v.Imported = true, &held{}, &Imported{commitment: [32]byte{9}}
		}),
	}
}

// Records are written as docs/formats/key-records.md says, and what is in the golden files is read.
func TestGoldenRecords(t *testing.T) {
	f := newFixture(t)
	golden := func(name string, got []byte) []byte {
		t.Helper()
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(hex.Dump(got)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if hex.Dump(got) != string(want) {
			t.Errorf("%s is\n%swant\n%s", name, hex.Dump(got), want)
		}
		return got
	}
	for name, k := range goldenKeys(f) {
		d, err := decodeKey(golden(name, k.encode()))
		if err != nil || d.state != k.State || d.spec != k.Spec || d.usage != k.Usage || d.origin != k.Origin || d.description != k.Description ||
			d.protected != k.DeletionProtection || !slices.Equal(d.tags, k.tags) || string(d.policy) != string(k.Policy.encode()) || (d.life == nil) != (k.life == nil) || d.life != nil && *d.life != *k.life {
			t.Errorf("%s is read as %+v, %v", name, d, err)
		}
	}
	for name, v := range goldenVersions() {
		got, err := decodeMaterial(golden(name, v.encode()), v.id, v.spec, 1)
		if err != nil || got.Material != v.Material || got.Disabled != v.Disabled || got.Rotation != v.Rotation || !got.Created.Equal(v.Created) || got.held.secret.Len() != v.held.secret.Len() ||
			(got.Imported == nil) != (v.Imported == nil) || got.Imported != nil && *got.Imported != *v.Imported {
			t.Errorf("%s is read as %+v, %v", name, got, err)
		}
	}
}

func FuzzDecodeKey(f *testing.F) {
	for _, k := range goldenKeys(newFixture(f)) {
		f.Add(k.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := decodeKey(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || d.spec != "" {
				t.Errorf("decodeKey(%x) = %+v, %v, want ErrCorrupt alone", b, d, err)
			}
			return
		}
		document, bindings := decodePolicy(d.policy)
		k := place.newKey(testAccount, crypto.KeyID{1}, d.created, d.spec, d.usage, d.origin)
		k.State, k.Description, k.DeletionProtection, k.life, k.tags = d.state, d.description, d.protected, d.life, d.tags
		k.setPolicy(unusablePolicy(document, bindings, nil), d.policyUpdated)
		if string(k.encode()) != string(b) {
			t.Errorf("decodeKey(%x) is encoded as %x", b, k.encode())
		}
	})
}

func FuzzDecodeParameters(f *testing.F) {
	f.Add((&parameters{"RSAES_OAEP_SHA_256", time.Unix(1, 0), crypto.NewSecret([]byte{1})}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodeParameters(slices.Clone(b))
		if err == nil && string(p.encode()) != string(b) {
			t.Errorf("decodeParameters(%x) is encoded as %x", b, p.encode())
		}
	})
}
