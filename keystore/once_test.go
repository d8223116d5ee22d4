package keystore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keywrap"
)

// onceSubject is what the changes of TestEveryChangeHappensOnce are about.
type onceSubject struct {
	*fixture
	key      *Key // symmetric, with two versions
	imported *Key // EXTERNAL, with material, and more that waits
	grant    *authz.KeyGrant
	in       Import
}

func newOnceSubject(t *testing.T, s State) *onceSubject {
	f := newClockFixture(t)
	x := &onceSubject{fixture: f, key: f.mustCreate(), imported: f.in(Enabled, NewKey{Origin: OriginExternal})}
	if _, _, err := f.rotate(x.key); err != nil {
		t.Fatal(err)
	}
	f.mustBring(x.imported, bytesOf(2), Import{Type: NewMaterial})
	x.grant, _ = must2(t)(f.CreateGrant(f.toCreateGrant(x.key), x.key.ID, wanted(nil)))
	_, p, err := f.ParametersForImport(f.onKey(authz.KMSGetParametersForImport, x.imported), x.imported.ID, keywrap.HPKEMLKEM768X25519, keywrap.MLKEM768X25519)
	if err != nil {
		t.Fatal(err)
	}
	x.in = Import{Token: p.Token, Wrapped: must[[]byte](t)(keywrap.Wrap(keywrap.HPKEMLKEM768X25519, p.PublicKey, p.Token, bytesOf(1)))}
	must[*Alias](t)(f.CreateAlias(f.onAlias(authz.KMSCreateAlias, "alias/x"), f.onKey(authz.KMSCreateAlias, x.key), testAccount, "alias/x", x.key.ID))
	switch s {
	case Disabled:
		must[*Key](t)(f.Disable(f.onKey(authz.KMSDisableKey, x.key), x.key.ID))
	case PendingDeletion:
		must[*Key](t)(f.schedule(x.key, 7))
	}
	x.key, x.imported = f.now(x.key), f.now(x.imported)
	return x
}

func must2(t *testing.T) func(*authz.KeyGrant, string, error) (*authz.KeyGrant, string) {
	return func(g *authz.KeyGrant, token string, err error) (*authz.KeyGrant, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return g, token
	}
}

// onceChange makes a change by a view, and returns what it returned, as far as a repetition returns the same.
type onceChange func(x *onceSubject, ks *Keystore) (string, error)

// keyed is a change that returns the key.
func keyedChange(action authz.Action, change func(ks *Keystore, g authz.Grant, k *Key) (*Key, error)) onceChange {
	return func(x *onceSubject, ks *Keystore) (string, error) {
		k, err := change(ks, x.onKey(action, x.key), x.key)
		if k == nil {
			return "", err
		}
		return k.Name, err
	}
}

var onceChanges = map[string]struct {
	state  State
	change onceChange
}{
	"CreateKey": {Enabled, func(x *onceSubject, ks *Keystore) (string, error) {
		k, err := ks.CreateKey(x.grant0(), NewKey{Account: testAccount, Policy: x.key.Policy})
		if k == nil {
			return "", err
		}
		return k.Name, err
	}},
	"UpdateKeyDescription": {Enabled, keyedChange(authz.KMSUpdateKeyDescription, func(ks *Keystore, g authz.Grant, k *Key) (*Key, error) {
		return ks.UpdateDescription(g, k.ID, "changed")
	})},
	"EnableKey":  {Disabled, keyedChange(authz.KMSEnableKey, func(ks *Keystore, g authz.Grant, k *Key) (*Key, error) { return ks.Enable(g, k.ID) })},
	"DisableKey": {Enabled, keyedChange(authz.KMSDisableKey, func(ks *Keystore, g authz.Grant, k *Key) (*Key, error) { return ks.Disable(g, k.ID) })},
	"PutKeyPolicy": {Enabled, keyedChange(authz.KMSPutKeyPolicy, func(ks *Keystore, g authz.Grant, k *Key) (*Key, error) {
		return ks.PutPolicy(g, k.ID, k.Policy)
	})},
	"TagResource": {Enabled, keyedChange(authz.KMSTagResource, func(ks *Keystore, g authz.Grant, k *Key) (*Key, error) {
		return ks.TagKey(g, k.ID, []Tag{{"a", "b"}})
	})},
	"UntagResource": {Enabled, keyedChange(authz.KMSUntagResource, func(ks *Keystore, g authz.Grant, k *Key) (*Key, error) {
		return ks.UntagKey(g, k.ID, []string{"a"})
	})},
	"ScheduleKeyDeletion": {Enabled, keyedChange(authz.KMSScheduleKeyDeletion, func(ks *Keystore, g authz.Grant, k *Key) (*Key, error) {
		return ks.ScheduleDeletion(g, k.ID, 7)
	})},
	"CancelKeyDeletion": {PendingDeletion, keyedChange(authz.KMSCancelKeyDeletion, func(ks *Keystore, g authz.Grant, k *Key) (*Key, error) {
		return ks.CancelDeletion(g, k.ID)
	})},
	"UpdateKeyDeletionProtection": {Enabled, keyedChange(authz.KMSUpdateKeyDeletionProtection, func(ks *Keystore, g authz.Grant, k *Key) (*Key, error) {
		return ks.SetDeletionProtection(g, k.ID, true)
	})},
	"EnableKeyRotation": {Enabled, keyedChange(authz.KMSEnableKeyRotation, func(ks *Keystore, g authz.Grant, k *Key) (*Key, error) {
		return ks.EnableRotation(g, k.ID, 90)
	})},
	"DisableKeyRotation": {Enabled, keyedChange(authz.KMSDisableKeyRotation, func(ks *Keystore, g authz.Grant, k *Key) (*Key, error) {
		return ks.DisableRotation(g, k.ID)
	})},
	"DisableKeyMaterial": {Enabled, keyedChange(authz.KMSDisableKeyMaterial, func(ks *Keystore, g authz.Grant, k *Key) (*Key, error) {
		v, _ := k.VersionsBelow(2, 1)
		return ks.DisableMaterial(g, k.ID, v[0].Material)
	})},
	"EnableKeyMaterial": {Enabled, keyedChange(authz.KMSEnableKeyMaterial, func(ks *Keystore, g authz.Grant, k *Key) (*Key, error) {
		v, _ := k.VersionsBelow(2, 1)
		return ks.EnableMaterial(g, k.ID, v[0].Material)
	})},
	"RotateKeyOnDemand": {Enabled, func(x *onceSubject, ks *Keystore) (string, error) {
		_, m, err := ks.Rotate(x.onKey(authz.KMSRotateKeyOnDemand, x.key), x.key.ID)
		return m.String(), err
	}},
	"RotateKeyOnDemand to imported material": {Enabled, func(x *onceSubject, ks *Keystore) (string, error) {
		_, m, err := ks.Rotate(x.onKey(authz.KMSRotateKeyOnDemand, x.imported), x.imported.ID)
		return m.String(), err
	}},
	"GetParametersForImport": {Enabled, func(x *onceSubject, ks *Keystore) (string, error) {
		_, p, err := ks.ParametersForImport(x.onKey(authz.KMSGetParametersForImport, x.imported), x.imported.ID, keywrap.HPKEMLKEM768X25519, keywrap.MLKEM768X25519)
		return fmt.Sprintf("%x %x %v", p.Token, p.PublicKey, p.ValidTo), err
	}},
	"ImportKeyMaterial": {Enabled, func(x *onceSubject, ks *Keystore) (string, error) {
		_, m, err := ks.ImportMaterial(x.onKey(authz.KMSImportKeyMaterial, x.imported), x.imported.ID, x.in)
		return m.String(), err
	}},
	"DeleteImportedKeyMaterial": {Enabled, func(x *onceSubject, ks *Keystore) (string, error) {
		_, m, err := ks.DeleteImportedMaterial(x.onKey(authz.KMSDeleteImportedKeyMaterial, x.imported), x.imported.ID, crypto.MaterialID{})
		return m.String(), err
	}},
	"CreateAlias": {Enabled, func(x *onceSubject, ks *Keystore) (string, error) {
		a, err := ks.CreateAlias(x.onAlias(authz.KMSCreateAlias, "alias/y"), x.onKey(authz.KMSCreateAlias, x.key), testAccount, "alias/y", x.key.ID)
		return fmt.Sprint(a), err
	}},
	"UpdateAlias": {Enabled, func(x *onceSubject, ks *Keystore) (string, error) {
		a, _ := x.Snapshot().Alias(testAccount, "alias/x")
		old, _ := x.Snapshot().Key(a.Target)
		a, err := ks.UpdateAlias(x.onAlias(authz.KMSUpdateAlias, "alias/x"), x.onKey(authz.KMSUpdateAlias, old), x.onKey(authz.KMSUpdateAlias, x.imported), testAccount, "alias/x", x.imported.ID)
		return fmt.Sprint(a), err
	}},
	"DeleteAlias": {Enabled, func(x *onceSubject, ks *Keystore) (string, error) {
		return "", ks.DeleteAlias(x.onAlias(authz.KMSDeleteAlias, "alias/x"), x.onKey(authz.KMSDeleteAlias, x.key), testAccount, "alias/x")
	}},
	"CreateGrant": {Enabled, func(x *onceSubject, ks *Keystore) (string, error) {
		g, token, err := ks.CreateGrant(x.toCreateGrant(x.key), x.key.ID, wanted(nil))
		if g == nil {
			return "", err
		}
		return g.ID + " " + token, err
	}},
	"RevokeGrant": {Enabled, func(x *onceSubject, ks *Keystore) (string, error) {
		return "", ks.RevokeGrant(x.toRevoke(x.key), x.key.ID, x.grant.ID)
	}},
}

func (x *onceSubject) grant0() authz.Grant {
	return x.fixture.grant(authz.KMSCreateKey, authz.Resource{})
}

// Every change with a client token happens once: its repetition makes no generation of the store, and returns the same, also after a restart; with
// other parameters it is refused; a day later the token is forgotten.
func TestEveryChangeHappensOnce(t *testing.T) {
	for name, tt := range onceChanges {
		t.Run(name, func(t *testing.T) {
			x := newOnceSubject(t, tt.state)
			token := Token{Principal: "AIDA", Operation: name, Value: "t"}
			if again, err := x.With(token).Repeats(testAccount); again || err != nil {
				t.Errorf("Repeats = %v, %v before the change", again, err)
			}
			first, err := tt.change(x, x.With(token))
			if err != nil {
				t.Fatal(err)
			}
			for _, when := range []string{"repeated", "repeated after a restart"} {
				generation := x.store.Generation()
				again, err := tt.change(x, x.With(token))
				if err != nil || again != first || x.store.Generation() != generation {
					t.Errorf("%s: %q, %v, generation %d, want %q and generation %d", when, again, err, x.store.Generation(), first, generation)
				}
				if again, err := x.With(token).Repeats(testAccount); !again || err != nil {
					t.Errorf("%s: Repeats = %v, %v, want true", when, again, err)
				}
				if _, err := tt.change(x, x.With(token).DryRun()); !errors.Is(err, ErrDryRun) {
					t.Errorf("%s in a dry run: %v, want ErrDryRun", when, err)
				}
				x.reopen()
			}
			other := token
			other.Request[0]++
			if _, err := tt.change(x, x.With(other)); !errors.Is(err, ErrTokenReused) {
				t.Errorf("with other parameters: %v, want ErrTokenReused", err)
			}
			x.clock.pass(tokenLife)
			if again, _ := x.With(token).Repeats(testAccount); again {
				t.Error("the token is remembered for more than a day")
			}
		})
	}
}

// A repetition of CreateGrant does not bring back a grant that was revoked since.
func TestRepeatedGrantStaysRevoked(t *testing.T) {
	f := newClockFixture(t)
	k := f.mustCreate()
	ks := f.With(Token{Principal: "AIDA", Operation: "CreateGrant", Value: "t"})
	made, _ := must2(t)(ks.CreateGrant(f.toCreateGrant(k), k.ID, wanted(nil)))
	if err := f.RevokeGrant(f.toRevoke(k), k.ID, made.ID); err != nil {
		t.Fatal(err)
	}
	again, _ := must2(t)(ks.CreateGrant(f.toCreateGrant(k), k.ID, wanted(nil)))
	if again.ID != made.ID || f.now(k).GrantCount() != 0 || f.now(k).Resource.Grants.Len() != 0 {
		t.Errorf("repeated after it was revoked: grant %s, and the key has %d, want %s and none", again.ID, f.now(k).GrantCount(), made.ID)
	}
}
