package keystore

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

func TestClientTokens(t *testing.T) {
	f := newFixture(t)
	token := Token{Principal: "AIDA", Operation: "CreateKey", Value: "t-1", Request: [32]byte{1}}
	first := must[*Key](t)(f.repeated(token).create(NewKey{}))
	f.reopen()
	if again := must[*Key](t)(f.repeated(token).create(NewKey{})); again.ID != first.ID {
		t.Errorf("repeating CreateKey made key %v, want %v", again.ID, first.ID)
	}
	for name, change := range map[string]func(*Token){
		"another principal": func(t *Token) { t.Principal = "AIDB" }, "another operation": func(t *Token) { t.Operation = "X" }, "another token": func(t *Token) { t.Value = "t-2" },
	} {
		other := token
		change(&other)
		if k := must[*Key](t)(f.repeated(other).create(NewKey{})); k.ID == first.ID {
			t.Errorf("with %s CreateKey gave the same key", name)
		}
	}
	token.Request[0] = 2
	if _, err := f.repeated(token).create(NewKey{}); !errors.Is(err, ErrTokenReused) {
		t.Errorf("other parameters under the token = %v, want ErrTokenReused", err)
	}
	rotate := Token{Principal: "AIDA", Operation: "RotateKeyOnDemand", Value: "r"}
	_, one, err := f.With(rotate).Rotate(f.onKey(authz.KMSRotateKeyOnDemand, first), first.ID)
	if err != nil {
		t.Fatal(err)
	}
	f.reopen()
	_, two, err := f.With(rotate).Rotate(f.onKey(authz.KMSRotateKeyOnDemand, first), first.ID)
	if err != nil || one != two || f.now(first).VersionCount() != 2 {
		t.Errorf("repeating Rotate = %v, %v with %d versions, want %v and 2 versions", two, err, f.now(first).VersionCount(), one)
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
		first := must[*Key](t)(f.repeated(token("same")).create(NewKey{}))
		for i := range 20 {
			must[*Key](t)(f.repeated(token(fmt.Sprint(i))).create(NewKey{}))
		}
		time.Sleep(tokenLife - time.Second)
		if again := must[*Key](t)(f.repeated(token("same")).create(NewKey{})); again.ID != first.ID {
			t.Error("a token was forgotten before its time")
		}
		time.Sleep(2 * time.Second)
		if again := must[*Key](t)(f.repeated(token("same")).create(NewKey{})); again.ID == first.ID {
			t.Error("a token was remembered beyond its time")
		}
		f.reopen()
		for i := range 3 {
			must[*Key](t)(f.repeated(token(fmt.Sprint("later", i))).create(NewKey{}))
		}
		if n := f.tokenRecords(); n != 4 {
			t.Errorf("%d token records, want 4: those that have expired are to be deleted", n)
		}
	})
}
