package keystore

import (
	"errors"
	"testing"

	"github.com/kmsd/kmsd/authz"
)

// What a dry run would have made encrypts nothing: nobody could decrypt it.
func TestDryRunMakesNoUsableMaterial(t *testing.T) {
	f := newFixture(t)
	k := f.mustCreate()
	dry := f.DryRun()
	made, err := dry.CreateKey(f.grant(authz.KMSCreateKey, authz.Resource{}), NewKey{Account: testAccount, Policy: k.Policy, Description: "x"})
	if !errors.Is(err, ErrDryRun) || made == nil || made.Description != "x" {
		t.Fatalf("CreateKey in a dry run = %+v, %v, want the key that would be and ErrDryRun", made, err)
	}
	rotated, material, err := dry.Rotate(f.onKey(authz.KMSRotateKeyOnDemand, k), k.ID)
	if !errors.Is(err, ErrDryRun) || rotated.VersionCount() != 2 || rotated.Current().Material != material {
		t.Fatalf("Rotate in a dry run = %+v, %v, want two versions and ErrDryRun", rotated, err)
	}
	for name, k := range map[string]*Key{"made": made, "rotated": rotated} {
		if _, err := k.Use(f.onKey(authz.KMSEncrypt, k)); err == nil {
			t.Errorf("a key that was not %s can be used", name)
		}
	}
	if got := f.decrypt(k, f.encrypt(k, "hello")); got != "hello" {
		t.Errorf("decrypted %q after dry runs", got)
	}
	f.reopen()
	if f.Snapshot().Len() != 1 || f.now(k).VersionCount() != 1 {
		t.Error("a dry run left something in the store")
	}
}

// A dry run answers to client tokens as the real call does, and remembers none.
func TestDryRunAndClientTokens(t *testing.T) {
	f := newFixture(t)
	token := Token{Principal: "AIDA", Operation: "CreateKey", Value: "t-1", Request: [32]byte{1}}
	create := func(ks *Keystore, token Token) (*Key, error) {
		return ks.With(token).CreateKey(f.grant(authz.KMSCreateKey, authz.Resource{}), NewKey{Account: testAccount, Policy: f.policy(DefaultPolicy("aws", testAccount))})
	}
	if _, err := create(f.DryRun(), token); !errors.Is(err, ErrDryRun) || f.tokenRecords() != 0 {
		t.Errorf("CreateKey in a dry run = %v with %d tokens remembered, want ErrDryRun and none", err, f.tokenRecords())
	}
	first := must[*Key](t)(create(f.Keystore, token))
	if k, err := create(f.DryRun(), token); !errors.Is(err, ErrDryRun) || k == nil || k.ID != first.ID {
		t.Errorf("repeated in a dry run = %v, %v, want key %v and ErrDryRun", k, err, first.ID)
	}
	if _, err := first.Use(f.onKey(authz.KMSEncrypt, first)); err != nil {
		t.Errorf("the key that a dry run repeated cannot be used: %v", err)
	}
	token.Request[0] = 2
	if k, err := create(f.DryRun(), token); !errors.Is(err, ErrTokenReused) || k != nil {
		t.Errorf("other parameters in a dry run = %v, %v, want ErrTokenReused alone", k, err)
	}
	rotate := Token{Principal: "AIDA", Operation: "RotateKeyOnDemand", Value: "r"}
	_, one, err := f.With(rotate).Rotate(f.onKey(authz.KMSRotateKeyOnDemand, first), first.ID)
	if err != nil {
		t.Fatal(err)
	}
	k, again, err := f.DryRun().With(rotate).Rotate(f.onKey(authz.KMSRotateKeyOnDemand, first), first.ID)
	if !errors.Is(err, ErrDryRun) || again != one || k.VersionCount() != 2 {
		t.Errorf("Rotate repeated in a dry run = %v, %v, want %v and ErrDryRun", again, err, one)
	}
}
