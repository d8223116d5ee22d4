package iam

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
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
	caller, err := w.Snapshot().Caller(root)
	if err != nil {
		w.t.Fatal(err)
	}
	g, d := authz.Authorize(caller, a, &authz.Resource{Kind: authz.IAMEntity, Account: testAccount, ARN: arn}, nil)
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
	return w.CreateUser(w.grant(authz.IAMCreateUser, w.Snapshot().NewUserARN(testAccount, asked, name)), testAccount, NewUser{Name: name, Path: path})
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
	_, err := w.PutUserPolicy(w.on(authz.IAMPutUserPolicy, user), testAccount, user, name, document)
	return err
}

func (w *world) deleteUser(name string) error {
	w.t.Helper()
	return w.DeleteUser(w.on(authz.IAMDeleteUser, name), testAccount, name)
}

// fill puts n users with an access key and a policy each into the store of w, in one transaction.
func (w *world) fill(n int) {
	w.t.Helper()
	err := w.store.Update(func(tx *storage.Tx) error {
		for i := range n {
			u := User{Account: testAccount, ID: newUserID(), Name: fmt.Sprintf("user-%05d", i), Path: "/", Created: present()}
			err := errors.Join(
				tx.Put(kindUser, join(testAccount, u.ID), (&principal{userState: userState{User: u}}).record()),
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
