package iam

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

// A store whose records are those of version 1, before there were groups, roles and managed policies, opens, means the same, and can be
// worked on.
func TestRecordsOfVersion1(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "records-v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	var records []struct {
		Kind  storage.Kind
		Path  string
		Value []byte
	}
	if err := json.Unmarshal(data, &records); err != nil || len(records) < 10 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	w := &world{t: t, cfg: storage.Config{Path: filepath.Join(t.TempDir(), "store"), Domain: crypto.RandomSecret(32)}}
	w.must(storage.Create(w.cfg))
	w.openStore()
	defer func() { w.must(w.store.Close()) }()
	keys := map[storage.Kind]int{}
	w.must(w.store.Update(func(tx *storage.Tx) error {
		for _, r := range records {
			keys[r.Kind]++
			if r.Kind == kindAccessKey && keys[r.Kind] == 1 {
				w.root.ID = filepath.Base(r.Path) // that of the account sorts before those of its users
			}
			if err := tx.Put(r.Kind, r.Path, r.Value); err != nil {
				return err
			}
		}
		return nil
	}))
	w.IAM = w.mustOpen()
	s := w.Snapshot()
	ann, ok := s.User(testAccount, "Ann")
	if !ok || ann.ARN != "arn:aws:iam::111122223333:user/division/ops/Ann" || ann.PermissionsBoundary != "" || s.ManagementAccount() != testAccount {
		t.Fatalf("Ann is %+v, %v", ann, ok)
	}
	p, _ := s.principal(testAccount, "Ann")
	if len(p.keys) != 2 || len(p.certificates) != 1 || len(p.inline) != 2 || len(p.credentials) != 3 || len(s.UnusablePolicies()) != 0 {
		t.Fatalf("Ann has %d access keys, %d certificates and %d policies, want 2, 1 and 2", len(p.keys), len(p.certificates), len(p.inline))
	}
	states := map[Status]int{}
	for _, c := range p.credentials {
		states[c.Status]++
	}
	if states[Inactive] != 1 || states[Active] != 2 {
		t.Errorf("the states of Ann's credentials are %v, want one inactive", states)
	}
	caller := w.caller("Ann")
	for action, want := range map[authz.Action]bool{authz.KMSGenerateRandom: true, authz.IAMListUsers: false} {
		g, _ := authz.Authorize(caller, action, &authz.Resource{}, &authz.Context{Time: time.Now()})
		if got := g.Permits(action, "*"); got != want {
			t.Errorf("Ann may %v: %v, want %v", action, got, want)
		}
	}
	w.must(w.attachUser("Ann", readOnlyARN))
	w.must(w.tagUser("bob", Tag{"Team", "blue"}))
	w.reopen()
	if !w.userMay("Ann", authz.IAMListUsers) {
		t.Error("a policy attached to a user of version 1 does not count")
	}
}
