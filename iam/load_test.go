package iam

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/storage"
)

// A record that does not load stops Open, and the error names it. Nothing is skipped.
func TestOpenRefusesBadRecords(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.mustUser("ann"), w.mustUser("bob")
	k := w.mustKey("ann")
	if err := w.putPolicy("ann", "p", testPolicy); err != nil {
		t.Fatal(err)
	}
	c, err := w.createCertificate("ann", newCSR(t, ecdsaKey(t)), 0)
	if err != nil {
		t.Fatal(err)
	}
	user := func(id, name, path string) string {
		return fmt.Sprintf(`{"version":1,"id":%q,"name":%q,"path":%q,"created":"2026-11-23T00:00:00Z"}`, id, name, path)
	}
	policy := func(name, document string) string {
		return string(encodeJSON(policyRecord{Version: 1, Name: name, Document: document, Updated: present()}))
	}
	stored := encodeAccessKey(accessKey{secret: k.Secret, status: Active, created: k.Created})
	key := func(change func([]byte)) string {
		b := bytes.Clone(stored)
		change(b)
		return string(b)
	}
	cert := string(encodeJSON(certificateRecord{Version: 1, Created: c.Created, Certificate: c.DER}))
	freshID, account := newUserID(), testAccount
	annPath, bobPath := join(account, ann.ID), join(account, bob.ID)
	keyPath, certPath := join(annPath, k.ID), join(annPath, hex.EncodeToString(c.Fingerprint[:]))
	accountJSON := `{"version":1,"id":"999900001111","management":true,"created":"2026-11-23T00:00:00Z"}`

	rows := []struct {
		name  string
		kind  storage.Kind
		path  string
		value string
	}{
		{"an account under another path", kindAccount, "999900001112", accountJSON},
		{"a second management account", kindAccount, "999900001111", accountJSON},
		{"an account with an unknown member", kindAccount, "999900001111", strings.Replace(accountJSON, "{", `{"x":1,`, 1)},
		{"a user that is empty", kindUser, annPath, ""},
		{"a user with an unknown member", kindUser, annPath, strings.Replace(user(ann.ID, "ann", "/"), "{", `{"admin":true,`, 1)},
		{"a user with a member twice", kindUser, annPath, strings.Replace(user(ann.ID, "ann", "/"), "{", `{"version":1,`, 1)},
		{"a user with a member in another case", kindUser, annPath, strings.Replace(user(ann.ID, "ann", "/"), "version", "Version", 1)},
		{"a user with something after it", kindUser, annPath, user(ann.ID, "ann", "/") + " "},
		{"a user of a later version", kindUser, annPath, strings.Replace(user(ann.ID, "ann", "/"), ":1,", ":3,", 1)},
		{"a user under another id", kindUser, annPath, user(bob.ID, "ann", "/")},
		{"a user with a malformed id", kindUser, join(account, "AIDAx"), user("AIDAx", "x", "/")},
		{"a user with a malformed name", kindUser, annPath, user(ann.ID, "a*", "/")},
		{"a user with a malformed path", kindUser, annPath, user(ann.ID, "ann", "/..")},
		{"a user of no account", kindUser, join("999900001111", freshID), user(freshID, "x", "/")},
		{"a user with another's name in another case", kindUser, join(account, freshID), user(freshID, "ANN", "/")},
		{"a user at a short path", kindUser, freshID, user(freshID, "x", "/")},
		{"an access key of nobody", kindAccessKey, join(account, freshID, k.ID), string(stored)},
		{"an access key of another account", kindAccessKey, join("999900001111", ann.ID, newAccessKeyID()), string(stored)},
		{"an access key given twice", kindAccessKey, join(bobPath, k.ID), string(stored)},
		{"an access key with a malformed id", kindAccessKey, join(annPath, "AKIAx"), string(stored)},
		{"an access key cut short", kindAccessKey, keyPath, string(stored[:len(stored)-1])},
		{"an access key that is too long", kindAccessKey, keyPath, string(stored) + "A"},
		{"an access key of a later version", kindAccessKey, keyPath, key(func(b []byte) { b[0] = 2 })},
		{"an access key of unknown status", kindAccessKey, keyPath, key(func(b []byte) { b[1] = 0 })},
		{"an access key of the far future", kindAccessKey, keyPath, key(func(b []byte) { b[2] = 0x80 })},
		{"an access key with a malformed secret", kindAccessKey, keyPath, key(func(b []byte) { b[20] = ' ' })},
		{"a policy under another name", kindUserPolicy, join(annPath, "p"), policy("q", testPolicy)},
		{"a policy of the root user", kindUserPolicy, join(account, account, "p"), policy("p", testPolicy)},
		{"a policy of nobody", kindUserPolicy, join(account, freshID, "p"), policy("p", testPolicy)},
		{"a certificate of two users", kindCertificate, join(bobPath, hex.EncodeToString(c.Fingerprint[:])), cert},
		{"a certificate under another fingerprint", kindCertificate, join(annPath, strings.Repeat("0", 64)), cert},
		{"a certificate that does not parse", kindCertificate, certPath, string(encodeJSON(certificateRecord{Version: 1, Created: c.Created, Certificate: c.DER[1:]}))},
		{"an authority that is empty", kindAuthority, authorityPath, ""},
		{"an authority without a key", kindAuthority, authorityPath, string(encodeKeyPair(w.ca.certificate.Raw, newSecretKey()))},
		{"an authority that is a client", kindAuthority, authorityPath, string(encodeKeyPair(c.DER, newSecretKey()))},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			old := w.swap(r.kind, r.path, []byte(r.value))
			_, err := Open(Config{Store: w.store})
			w.swap(r.kind, r.path, old)
			if err == nil {
				t.Fatal("Open succeeds")
			}
			if r.kind == kindAuthority {
				if !strings.Contains(err.Error(), "certificate authority") {
					t.Errorf("Open = %v, which does not name the record", err)
				}
			} else if path := r.path[strings.LastIndexByte(r.path, '/')+1:]; !strings.Contains(err.Error(), string(r.kind)+" \"") || !strings.Contains(err.Error(), path) {
				t.Errorf("Open = %v, which does not name the record", err)
			}
			if bytes.Contains([]byte(err.Error()), k.Secret.Expose()) {
				t.Error("the error quotes the secret")
			}
		})
	}
	w.reopen()
}

// swap puts value in the place of a record, nil meaning none, and returns what was there.
func (w *world) swap(kind storage.Kind, path string, value []byte) (old []byte) {
	w.t.Helper()
	err := w.store.Update(func(tx *storage.Tx) (err error) {
		old, err = tx.Get(kind, path)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
		if value == nil {
			return tx.Delete(kind, path)
		}
		return tx.Put(kind, path, value)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return old
}

func TestOpenConfig(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	for _, c := range []Config{
		{}, {Store: w.store, Partition: "a:b"}, {Store: w.store, Region: "*"}, {Store: w.store, Region: "EU"}, {Store: w.store, MaxUsers: -1},
	} {
		if _, err := Open(c); err == nil {
			t.Errorf("Open(%+v) succeeds", c)
		}
	}
	i, err := Open(Config{Store: w.store, Partition: "aws-test", Region: "eu-north-1"})
	if err != nil {
		t.Fatal(err)
	}
	if u, _ := i.Snapshot().User(testAccount, "ann"); u.ARN != "arn:aws-test:iam::111122223333:user/ann" {
		t.Errorf("ARN = %q, want the configured partition in it", u.ARN)
	}
}

// What decodes encodes to the same bytes, and nothing makes a decoder panic.
func FuzzDecodeRecord(f *testing.F) {
	created := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
	f.Add((&principal{userState: userState{User: User{ID: "AIDAAAAAAAAAAAAAAAAAA", Name: "ann", Path: "/", Created: created}}}).record())
	f.Add(encodeJSON(userRecord{
		Version: 2, ID: "AIDAAAAAAAAAAAAAAAAAA", Name: "ann", Path: "/", Created: created, Boundary: "ANPAAAAAAAAAAAAAAAAAA",
		Policies: []string{"ANPAAAAAAAAAAAAAAAAAA"}, Groups: []string{"AGPAAAAAAAAAAAAAAAAAA"}, Tags: tagSet{"k": "v"},
	}))
	f.Add(encodeJSON(groupRecord{Version: 1, ID: "AGPAAAAAAAAAAAAAAAAAA", Name: "ops", Path: "/", Created: created}))
	f.Add(encodeJSON(roleRecord{
		Version: 1, ID: "AROAAAAAAAAAAAAAAAAAA", Name: "r", Path: "/", Created: created, MaxSession: 3600, Trust: trusting(testAccount),
		Bindings: map[string]string{"arn:aws:iam::111122223333:user/ann": "AIDAAAAAAAAAAAAAAAAAA"},
	}))
	f.Add(encodeJSON(managedRecord{Version: 1, ID: "ANPAAAAAAAAAAAAAAAAAA", Name: "p", Path: "/", Created: created, Updated: created, Last: 2, Default: 1}))
	f.Add(encodeJSON(versionRecord{Version: 1, Created: created, Document: testPolicy}))
	f.Add(encodeLastUse(29_000_000))
	f.Add(encodeJSON(accountRecord{Version: 1, ID: testAccount, Management: true, Created: created}))
	f.Add(encodeJSON(policyRecord{Version: 1, Name: "p", Document: testPolicy, Updated: created}))
	f.Add(encodeJSON(certificateRecord{Version: 1, Created: created, Certificate: []byte{1}}))
	f.Add(encodeAccessKey(accessKey{secret: newSecretKey(), status: Inactive, created: created}))
	f.Add(encodeKeyPair([]byte("certificate"), newSecretKey()))
	f.Fuzz(func(t *testing.T, data []byte) {
		check := func(what string, again []byte, err error) {
			if err == nil && !bytes.Equal(again, data) {
				t.Errorf("%s %q encodes to %q", what, data, again)
			}
		}
		group, err := decodeGroup(data)
		check("group", encodeJSON(group), err)
		role, err := decodeRole(data)
		check("role", encodeJSON(role), err)
		managed, err := decodeManaged(data)
		check("managed policy", encodeJSON(managed), err)
		version, err := decodeVersion(data)
		check("version of a managed policy", encodeJSON(version), err)
		minute, err := decodeLastUse(data)
		check("last use", encodeLastUse(minute), err)
		account, err := decodeAccount(data)
		check("account", encodeJSON(account), err)
		user, err := decodeUser(data)
		check("user", encodeJSON(user), err)
		policy, err := decodePolicy(data)
		check("policy", encodeJSON(policy), err)
		certificate, err := decodeCertificate(data)
		check("certificate", encodeJSON(certificate), err)
		key, err := decodeAccessKey(data)
		check("access key", encodeAccessKey(key), err)
		der, secret, err := decodeKeyPair(data)
		check("key pair", encodeKeyPair(der, secret), err)
	})
}
