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

// Of an account that has too many tokens, the oldest are forgotten; those of others stay.
func TestAnAccountHasSoManyClientTokens(t *testing.T) {
	f := newFixture(t)
	k := must[*Key](t)(f.create(NewKey{}))
	describe := func(value, description string) error {
		token := Token{Principal: "AIDA", Operation: "UpdateKeyDescription", Value: value, Request: [32]byte{description[0]}}
		_, err := f.With(token).UpdateDescription(f.onKey(authz.KMSUpdateKeyDescription, k), k.ID, description)
		return err
	}
	other := Token{Principal: "AIDA", Operation: "CreateKey", Value: "other"}
	f.tokens["another account"] = expiryQueue{{other.path("another account"), time.Now().Add(tokenLife)}}
	for _, value := range []string{"first", "second"} {
		if err := describe(value, "a"); err != nil {
			t.Fatal(err)
		}
	}
	for n := range MaxClientTokens - 2 { // as if they had been given meanwhile
		f.tokens[k.Account()] = append(f.tokens[k.Account()], expiringRecord{fmt.Sprint(k.Account(), "/AIDA/X/", n), time.Now().Add(tokenLife)})
	}
	if err := describe("first", "b"); !errors.Is(err, ErrTokenReused) {
		t.Errorf("the first of %d tokens with other parameters = %v, want ErrTokenReused", MaxClientTokens, err)
	}
	if err := describe("last", "a"); err != nil {
		t.Fatal(err)
	}
	if n := len(f.tokens[k.Account()]); n != MaxClientTokens || f.tokenRecords() != 2 || len(f.tokens["another account"]) != 1 {
		t.Errorf("%d tokens and %d records are remembered, want %d and those of the second and the last", n, f.tokenRecords(), MaxClientTokens)
	}
	if err := describe("second", "b"); !errors.Is(err, ErrTokenReused) {
		t.Errorf("the second token with other parameters = %v, want ErrTokenReused", err)
	}
	if err := describe("first", "b"); err != nil {
		t.Errorf("a token that was forgotten = %v, want a change", err)
	}
}
