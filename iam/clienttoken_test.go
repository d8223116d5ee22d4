package iam

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// under makes w's changes under a client token.
func (w *world) under(value string, request byte) func() {
	whole := w.IAM
	w.IAM = whole.With(Token{Account: testAccount, Principal: testAccount, Operation: "X", Value: value, Request: [32]byte{request}})
	return func() { w.IAM = whole }
}

// as is f under a client token.
func as[T any](w *world, token string, request byte, f func() (T, error)) (T, error) {
	defer w.under(token, request)()
	return f()
}

// alone makes a function that returns an error one that returns something besides.
func alone(f func() error) func() (bool, error) { return func() (bool, error) { return true, f() } }

func TestAChangeIsMadeOncePerClientToken(t *testing.T) {
	w := newWorld(t)
	create := func() (User, error) { return w.createUser("Ann", "/ops/") }
	made, err := as(w, "t", 1, create)
	w.must(err)
	generation := w.store.Generation()
	for _, again := range []string{"at once", "after a start"} {
		if got, err := as(w, "t", 1, create); err != nil || cmp.Diff(got, made) != "" || w.store.Generation() != generation {
			t.Errorf("%s: creating the user again = %+v, %v, and the store goes from generation %d to %d", again, got, err, generation, w.store.Generation())
		}
		w.reopen()
	}
	for what, f := range map[string]func() (User, error){
		"without a token": create,
		"with another":    func() (User, error) { return as(w, "u", 1, create) },
	} {
		if _, err := f(); !errors.Is(err, ErrEntityExists) {
			t.Errorf("%s: creating the user again = %v, want ErrEntityExists", what, err)
		}
	}
	if _, err := as(w, "t", 2, create); !errors.Is(err, ErrTokenReused) {
		t.Errorf("another request under the token = %v, want ErrTokenReused", err)
	}
	if w.store.Generation() != generation {
		t.Errorf("changes that fail take the store from generation %d to %d", generation, w.store.Generation())
	}
	_, err = as(w, "d", 1, alone(func() error { return w.deleteUser("Ann") }))
	w.must(err)
	if _, err := as(w, "d", 1, alone(func() error { return w.deleteUser("Ann") })); err != nil {
		t.Errorf("deleting the user again = %v", err)
	}
	if got, err := as(w, "t", 1, create); err != nil || got.ID != made.ID {
		t.Errorf("creating the user again, who is gone = %+v, %v, want what it was", got, err)
	}
	if _, there := w.Snapshot().User(testAccount, "Ann"); there {
		t.Error("a repetition has made the user again")
	}
}

// A request that finds nothing to change is repeated as one that does: what has been changed since stays.
func TestARequestThatChangesNothingIsRepeated(t *testing.T) {
	w := newWorld(t)
	w.mustUser("Ann")
	w.must(w.attachUser("Ann", readOnlyARN))
	attach := alone(func() error { return w.attachUser("Ann", readOnlyARN) })
	_, err := as(w, "t", 1, attach)
	w.must(err)
	w.must(w.detachUser("Ann", readOnlyARN))
	_, err = as(w, "t", 1, attach)
	w.must(err)
	if w.userMay("Ann", authz.IAMListUsers) {
		t.Error("a repetition has attached a policy that was detached since")
	}
	w.reopen()
}

func TestAChangeThatFailsLeavesNoToken(t *testing.T) {
	w := newWorld(t)
	tag := alone(func() error { return w.tagUser("Ann", Tag{"Team", "blue"}) })
	if _, err := as(w, "t", 1, tag); !errors.Is(err, ErrNoSuchEntity) {
		t.Fatalf("tagging nobody = %v, want ErrNoSuchEntity", err)
	}
	w.mustUser("Ann")
	_, err := as(w, "t", 1, tag)
	w.must(err)
	if p, _ := w.Snapshot().principal(testAccount, "Ann"); len(p.tags) != 1 {
		t.Errorf("Ann has the tags %v, want one", p.tags)
	}
}

// A secret is in one answer, and not in what a client token stands for.
func TestSecretsAreNotKeptWithClientTokens(t *testing.T) {
	w := newWorld(t)
	w.mustUser("Ann")
	key, err := as(w, "t", 1, func() (AccessKey, error) { return w.createKey("Ann") })
	w.must(err)
	device, err := as(w, "m", 1, func() (VirtualMFADevice, error) {
		return w.CreateVirtualMFADevice(w.grant(authz.IAMCreateVirtualMFADevice, w.Snapshot().NewMFADeviceARN(testAccount, "/", "phone")), testAccount, "/", "phone")
	})
	w.must(err)
	account := func() (CreatedAccount, error) {
		root, _ := w.Snapshot().AccessKey(w.root.ID)
		caller, err := w.Snapshot().Caller(root)
		w.must(err)
		g, _ := authz.Authorize(caller, authz.OrganizationsCreateAccount, &authz.Resource{}, nil)
		return w.CreateAccount(g, CreateAccount{Name: "tenant", RootAccessKey: true})
	}
	tenant, err := as(w, "a", 1, account)
	w.must(err)
	if again, err := as(w, "a", 1, account); !errors.Is(err, ErrToldOnce) || again.RootKey != nil {
		t.Errorf("creating the account again = %+v, %v, want ErrToldOnce", again, err)
	}
	if again, err := as(w, "t", 1, func() (AccessKey, error) { return w.createKey("Ann") }); !errors.Is(err, ErrToldOnce) || again.ID != "" || again.Secret.Len() != 0 {
		t.Errorf("creating the access key again = %v, %v, want ErrToldOnce", again, err)
	}
	n := 0
	w.must(w.store.View(func(tx *storage.Tx) error {
		return tx.Walk(kindClientToken, "", func(path string, value []byte) error {
			n++
			for what, secret := range map[string][]byte{"access key": key.Secret.Expose(), "seed": device.Seed.Expose(), "root access key": tenant.RootKey.Secret.Expose()} {
				if bytes.Contains(value, secret) {
					t.Errorf("the record %s holds the %s", path, what)
				}
			}
			return nil
		})
	}))
	if n != 3 {
		t.Errorf("%d records of client tokens, want 3", n)
	}
}

func TestAClientTokenIsForgottenAfterADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		create := func() (User, error) { return w.createUser("Ann", "/") }
		_, err := as(w, "t", 1, create)
		w.must(err)
		if n := w.tokens.Len(); n != 1 {
			t.Errorf("%d tokens are remembered, want one", n)
		}
		time.Sleep(24*time.Hour - time.Second)
		if _, err := as(w, "t", 1, create); err != nil {
			t.Errorf("creating the user again within a day = %v", err)
		}
		time.Sleep(time.Second)
		if _, err := as(w, "t", 1, create); !errors.Is(err, ErrEntityExists) {
			t.Errorf("creating the user again after a day = %v, want ErrEntityExists", err)
		}
		w.mustUser("Bob")
		records := 0
		w.must(w.store.View(func(tx *storage.Tx) error {
			return tx.Walk(kindClientToken, "", func(string, []byte) error { records++; return nil })
		}))
		if n := w.tokens.Len(); n != 0 || records != 0 {
			t.Errorf("%d tokens are remembered and %d stored after a day and a change, want none", n, records)
		}
	})
}
