package iam

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/iam/totp"
	"github.com/kmsd/kmsd/internal/leaktest"
	"github.com/kmsd/kmsd/storage"
)

// dumpFactors tells the devices and identity providers of a snapshot, and fails if their indexes disagree.
func dumpFactors(t testing.TB, s *Snapshot) (lines []string) {
	t.Helper()
	perAccount := map[string]int{}
	for serial, d := range s.devices.bySerial.All() {
		record := encodeDevice(d)
		lines = append(lines, "device "+serial+" "+d.account+" "+d.id+" "+hex.EncodeToString(record))
		perAccount[d.account]++
		if list, _ := s.devices.byOwner.Load(d.owner); d.owner != "" && !slices.Contains(list, serial) {
			t.Errorf("device %s is not found by its owner", serial)
		}
	}
	for owner, list := range s.devices.byOwner.All() {
		lines = append(lines, "devices of "+owner+" "+strings.Join(list, " "))
	}
	for account, n := range perAccount {
		if got, _ := s.devices.count.Load(account); got != n {
			t.Errorf("account %s is said to have %d devices, and has %d", account, got, n)
		}
	}
	for arn, p := range s.providers.byARN.All() {
		lines = append(lines, "provider "+arn+" "+string(encodeProvider(p)))
		if list, _ := s.providers.byAccount.Load(p.Account); !slices.Contains(list, arn) {
			t.Errorf("provider %s is not found by its account", arn)
		}
	}
	slices.Sort(lines)
	return lines
}

func TestFactorsAreOnDiskAsInMemory(t *testing.T) {
	w, i := newSessionWorld(t), newIssuer(t)
	first, second := w.mustDevice("first"), w.mustDevice("Second")
	w.mustDevice("third")
	second.mustEnable("alice")
	first.mustEnable("alice")
	w.later(2)
	if err := first.verify(w.alice, first.code(0)); err != nil {
		t.Fatal(err)
	}
	p := w.mustProvider(OpenIDConnectProvider{URL: testIssuer, ClientIDs: []string{"kmsd"}, JWKS: i.jwks()})
	w.mustProvider(OpenIDConnectProvider{URL: "https://a.example", ClientIDs: []string{"b"}, JWKS: i.jwks()})
	before := dumpFactors(t, w.Snapshot())
	if len(before) != 3+1+2 {
		t.Fatalf("there are %d lines: %q", len(before), before)
	}
	w.reopen()
	if diff := cmp.Diff(before, dumpFactors(t, w.Snapshot())); diff != "" {
		t.Errorf("opened again, they differ (-memory +disk):\n%s", diff)
	}
	if err := w.deactivate("alice", first.serial); err != nil {
		t.Fatal(err)
	}
	if err := w.deleteDevice(first.serial); err != nil {
		t.Fatal(err)
	}
	if err := w.DeleteOpenIDConnectProvider(w.grant(authz.IAMDeleteOpenIDConnectProvider, p.ARN), testAccount, p.ARN); err != nil {
		t.Fatal(err)
	}
	before = dumpFactors(t, w.Snapshot())
	w.reopen()
	if diff := cmp.Diff(before, dumpFactors(t, w.Snapshot())); diff != "" || len(before) != 2+1+1 {
		t.Errorf("after deletions, they differ (-memory +disk):\n%s\n%q", diff, before)
	}
}

// The records of version 1 are, to the byte, what is in testdata, and load.
func TestGoldenRecordsOfSessions(t *testing.T) {
	seed := make([]byte, totp.SeedSize)
	for n := range seed {
		seed[n] = byte(n)
	}
	created, enabled := time.Unix(1_800_000_000, 0).UTC(), time.Unix(1_800_000_060, 0).UTC()
	got := strings.Join([]string{
		"mfa-device " + hex.EncodeToString(encodeDevice(&mfaDevice{path: "/team/", name: "phone", seed: crypto.NewSecret(seed), owner: "AIDAAAAAAAAAAAAAAAAAA", created: created, enabled: enabled, last: 60000002})),
		"oidc-provider " + string(encodeProvider(&provider{OpenIDConnectProvider: OpenIDConnectProvider{URL: testIssuer, Created: created, ClientIDs: []string{"a", "b"}, JWKSURI: "https://token.issuer.example/keys"}})),
		"claims " + hex.EncodeToString(encodeClaims(fakeClaims())),
		"",
	}, "\n")
	name := filepath.Join("testdata", "session-records.txt")
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the records differ from those of version 1 (-want +got):\n%s", diff)
	}
	for line := range strings.Lines(string(want)) {
		kind, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		raw, _ := hex.DecodeString(text)
		var err error
		switch kind {
		case "mfa-device":
			_, err = decodeDevice(raw)
		case "claims":
			_, err = decodeClaims(raw)
		case "oidc-provider":
			_, err = decodeJSON(([]byte)(text), recordVersion, func(r *providerRecord) int { return r.Version })
		}
		if err != nil {
			t.Errorf("the %s of version 1 does not load: %v", kind, err)
		}
	}
}

func TestRecordsThatStopTheStart(t *testing.T) {
	w := newSessionWorld(t)
	device := func(change func(d *mfaDevice)) []byte {
		d := &mfaDevice{path: "/", name: "phone", seed: totp.NewSeed(), created: w.now}
		change(d)
		return encodeDevice(d)
	}
	plain := device(func(*mfaDevice) {})
	id, key := newDeviceID(), strings.Repeat("ab", tokenKeyID)
	provider := func(url string, clients ...string) []byte {
		return encodeJSON(providerRecord{Version: recordVersion, URL: url, Created: present(), ClientIDs: clients, JWKSURI: "https://a.example"})
	}
	goodKey := make([]byte, sessionKeyBytes)
	goodKey[0] = recordVersion
	for _, v := range []struct {
		what  string
		kind  storage.Kind
		path  string
		value []byte
		ok    bool
	}{
		{"a device", kindDevice, join(testAccount, id), plain, true},
		{"a device of no account", kindDevice, join("999999999999", id), plain, false},
		{"a device of a malformed id", kindDevice, join(testAccount, "x"), plain, false},
		{"a device of another version", kindDevice, join(testAccount, id), slices.Concat([]byte{2}, plain[1:]), false},
		{"a device that ends early", kindDevice, join(testAccount, id), plain[:len(plain)-1], false},
		{"a device that goes on", kindDevice, join(testAccount, id), append(slices.Clone(plain), 0), false},
		{"a device of nobody there", kindDevice, join(testAccount, id), device(func(d *mfaDevice) { d.owner, d.enabled = newUserID(), w.now }), false},
		{"a device of alice", kindDevice, join(testAccount, id), device(func(d *mfaDevice) { d.owner, d.enabled = w.alice.PrincipalID, w.now }), true},
		{"a device of alice that is not enabled", kindDevice, join(testAccount, id), device(func(d *mfaDevice) { d.owner = w.alice.PrincipalID }), false},
		{"a device with a malformed name", kindDevice, join(testAccount, id), device(func(d *mfaDevice) { d.name = "a/b" }), false},
		{"a session key", kindSessionKey, key, goodKey, true},
		{"a session key of a malformed id", kindSessionKey, "AB" + key[2:], goodKey, false},
		{"a session key that is short", kindSessionKey, key, goodKey[1:], false},
		{"a session key of another version", kindSessionKey, key, slices.Concat([]byte{2}, goodKey[1:]), false},
		{"a provider", kindProvider, join(testAccount, providerPath(testIssuer)), provider(testIssuer, "a", "b"), true},
		{"a provider of another URL", kindProvider, join(testAccount, providerPath(testIssuer)), provider(testIssuer+"x", "a"), false},
		{"a provider of no account", kindProvider, join("999999999999", providerPath(testIssuer)), provider(testIssuer, "a"), false},
		{"a provider by http", kindProvider, join(testAccount, providerPath("http://a.example")), provider("http://a.example", "a"), false},
		{"a provider without audiences", kindProvider, join(testAccount, providerPath(testIssuer)), provider(testIssuer), false},
		{"a provider whose audiences are out of order", kindProvider, join(testAccount, providerPath(testIssuer)), provider(testIssuer, "b", "a"), false},
	} {
		put := func(tx *storage.Tx) error { return tx.Put(v.kind, v.path, v.value) }
		if err := w.store.Update(put); err != nil {
			t.Fatal(err)
		}
		_, err := Open(Config{Store: w.store})
		if (err == nil) != v.ok || err != nil && !strings.Contains(err.Error(), v.path) {
			t.Errorf("%s: Open = %v, want it to work: %v, or an error that names the record", v.what, err, v.ok)
		}
		if err := w.store.Update(func(tx *storage.Tx) error { return tx.Delete(v.kind, v.path) }); err != nil {
			t.Fatal(err)
		}
	}
}

// Keys of a provider that no longer parse refuse its tokens, and do not stop the start.
func TestProviderWhoseKeysDoNotParse(t *testing.T) {
	w, i := newSessionWorld(t), newIssuer(t)
	p := w.mustProvider(OpenIDConnectProvider{URL: testIssuer, ClientIDs: []string{"kmsd"}, JWKS: i.jwks()})
	role := w.workloads(p.ARN)
	p.JWKS = "{}"
	err := w.store.Update(func(tx *storage.Tx) error {
		return tx.Put(kindProvider, join(testAccount, providerPath(p.URL)), encodeProvider(&provider{OpenIDConnectProvider: p}))
	})
	if err != nil {
		t.Fatal(err)
	}
	w.IAM = w.mustOpen()
	if _, err := w.VerifyWebIdentity(t.Context(), role.ARN, i.token(nil)); err != ErrIdentityToken {
		t.Errorf("VerifyWebIdentity = %v, want %v", err, ErrIdentityToken)
	}
}

func TestSessionsOfASuspendedAccount(t *testing.T) {
	w := newSessionWorld(t)
	role, user := w.mustAssume(w.alice, "batch", AssumeRole{}), w.sessionToken(w.alice.ID, SessionToken{})
	w.mustCaller(role)
	w.mustCaller(user)
	closed := func(next *Snapshot, _ *storage.Tx) error { next.suspend(testAccount); return nil }
	if err := w.update("closing", nil, closed); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]*Credential{"a role": role, "a user": user} {
		if _, err := w.Snapshot().Caller(c); !errors.Is(err, ErrAccountSuspended) {
			t.Errorf("Caller of a session of %s = %v, want %v", what, err, ErrAccountSuspended)
		}
	}
}

// A session policy that this version of the program does not read denies everything.
func TestSessionPolicyThatDoesNotParse(t *testing.T) {
	w := newSessionWorld(t)
	w.mustRole("wide", w.trust("alice"), allowAll)
	role, _ := w.Snapshot().Role(testAccount, "wide")
	tmp, err := w.issue(&tokenClaims{kind: roleToken, account: testAccount, principalID: role.ID, sessionName: "night", policy: `{"Version":"2042-01-01"}`}, time.Hour, w.now)
	if err != nil {
		t.Fatal(err)
	}
	if w.may(w.mustSession(tmp), authz.KMSDecrypt) {
		t.Error("it is allowed something")
	}
}

func TestSessionKeysDoNotPrint(t *testing.T) {
	record := make([]byte, 9, sessionKeyBytes)
	record[0] = recordVersion
	secret := crypto.RandomSecret(crypto.KeySize)
	k, err := decodeTokenKey(strings.Repeat("ab", tokenKeyID), append(record, secret.Expose()...))
	if err != nil {
		t.Fatal(err)
	}
	leaktest.Check(t, secret.Expose(), k, &k, &tokenRing{keys: []tokenKey{k}})
}
