package keystore

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
	"github.com/kmsd/kmsd/crypto/keywrap"
)

func (f *fixture) deleteMaterial(k *Key, material crypto.MaterialID) *Key {
	f.t.Helper()
	k, _, err := f.DeleteImportedMaterial(f.onKey(authz.KMSDeleteImportedKeyMaterial, k), k.ID, material)
	if err != nil {
		f.t.Fatal(err)
	}
	return k
}

func (f *fixture) rotate(k *Key) (*Key, crypto.MaterialID, error) {
	return f.Rotate(f.onKey(authz.KMSRotateKeyOnDemand, k), k.ID)
}

// Imported material encrypts, is forgotten, and when it comes back so does what was encrypted under it; other material does not.
func TestImportAgain(t *testing.T) {
	f := newClockFixture(t)
	k := f.mustMake(NewKey{Origin: OriginExternal})
	if k.State != PendingImport || k.VersionCount() != 0 || k.Current().Name != "" {
		t.Errorf("a new EXTERNAL key is %v with %d versions, want PendingImport with none", k.State, k.VersionCount())
	}
	id := f.mustBring(k, bytesOf(1), Import{Type: NewMaterial, Description: "first"})
	blob := f.encrypt(k, "hello")
	held := f.now(k).Current().held
	for _, when := range []string{"deleted", "deleted again, and restarted"} {
		k = f.deleteMaterial(k, crypto.MaterialID{})
		if k.State != PendingImport || !held.secret.IsZero() {
			t.Errorf("%s: the key is %v, and its material is gone: %v", when, k.State, held.secret.IsZero())
		}
		if when != "deleted" {
			f.reopen()
		}
		if _, err := f.now(k).Use(f.onKey(authz.KMSEncrypt, k)); !errors.Is(err, ErrInvalidState) {
			t.Errorf("%s: Use = %v, want ErrInvalidState", when, err)
		}
		for _, in := range []Import{{}, {Type: ExistingMaterial}, {Material: id}} {
			if _, err := f.bring(k, bytesOf(2), in); !errors.Is(err, ErrIncorrectMaterial) {
				t.Errorf("%s: importing other material as %+v = %v, want ErrIncorrectMaterial", when, in, err)
			}
		}
		if _, err := f.bring(k, bytesOf(1), Import{Material: crypto.MaterialID{1}}); !errors.Is(err, ErrIncorrectMaterial) {
			t.Errorf("%s: importing under another id = %v, want ErrIncorrectMaterial", when, err)
		}
		if again := f.mustBring(k, bytesOf(1), Import{}); again != id {
			t.Errorf("%s: imported as %v, want %v", when, again, id)
		}
		if got := f.decrypt(k, blob); got != "hello" || f.now(k).Current().Imported.Description != "first" {
			t.Errorf("%s: decrypted %q, want hello", when, got)
		}
		held = f.now(k).Current().held
	}
}

// New material of a symmetric key waits for its rotation; there is one such at a time, and the key needs all that it ever rotated to.
func TestImportToRotate(t *testing.T) {
	f := newClockFixture(t)
	k := f.in(Enabled, NewKey{Origin: OriginExternal})
	first := k.Current().Material
	old := f.encrypt(k, "old")
	if _, _, err := f.rotate(k); !errors.Is(err, ErrInvalidState) {
		t.Errorf("Rotate without material = %v, want ErrInvalidState", err)
	}
	second := f.mustBring(k, bytesOf(2), Import{Type: NewMaterial})
	k = f.now(k)
	if v, ok := k.Version(second); !ok || k.MaterialState(v) != MaterialPendingRotation || k.Current().Material != first {
		t.Errorf("new material is %v, want it to wait", v)
	}
	if _, err := f.bring(k, bytesOf(3), Import{Type: NewMaterial}); !errors.Is(err, ErrInvalidState) {
		t.Errorf("a third material while one waits = %v, want ErrInvalidState", err)
	}
	f.reopen()
	k, made, err := f.rotate(k)
	if err != nil || made != second || k.Current().Material != second || k.Current().Rotation != OnDemand {
		t.Fatalf("Rotate = %v, %v, want %v", made, err, second)
	}
	if _, err := f.bring(k, bytesOf(1), Import{Type: NewMaterial}); !errors.Is(err, ErrIncorrectMaterial) {
		t.Errorf("material that is not new, as new = %v, want ErrIncorrectMaterial", err)
	}
	f.reopen()
	if f.decrypt(k, old) != "old" || f.decrypt(k, f.encrypt(k, "new")) != "new" {
		t.Error("the key does not decrypt what its versions encrypted")
	}
	k = f.deleteMaterial(k, first)
	if k.State != PendingImport {
		t.Errorf("without one of its materials the key is %v, want PendingImport", k.State)
	}
	k = f.deleteMaterial(k, second)
	f.mustBring(k, bytesOf(1), Import{})
	if got := f.now(k).State; got != PendingImport {
		t.Errorf("with one of two materials back the key is %v, want PendingImport", got)
	}
	f.mustBring(k, bytesOf(2), Import{})
	if got := f.now(k).State; got != Enabled {
		t.Errorf("with all material back the key is %v, want Enabled", got)
	}
}

// Material that has expired is of no use from that moment on, and gone from memory and file with the next tick.
func TestMaterialExpires(t *testing.T) {
	f := newClockFixture(t)
	k := f.in(Enabled, NewKey{Origin: OriginExternal})
	f.mustBring(k, bytesOf(1), Import{ValidTo: f.clock.Wall().Add(time.Hour)})
	pieces := f.sealedPieces(k.materialPath(f.now(k).Current()))
	f.clock.pass(time.Hour - 1)
	f.tick()
	f.encrypt(k, "still")
	f.clock.pass(1)
	k = f.now(k)
	if _, err := k.Use(f.onKey(authz.KMSEncrypt, k)); !errors.Is(err, ErrInvalidState) || k.StateAt(f.clock.Wall()) != PendingImport {
		t.Errorf("Use of material that has just expired = %v, state %v, want PendingImport", err, k.StateAt(f.clock.Wall()))
	}
	f.events = nil
	if done := f.tick(); done.Expired != 1 || done.Erased == 0 || len(f.events) != 1 || f.events[0].Operation != DeleteExpiredKeyMaterial {
		t.Errorf("Tick = %+v with events %+v, want the deletion of the material", done, f.events)
	}
	if n := f.fileHas(pieces); n > 0 || !k.Current().held.secret.IsZero() || f.now(k).State != PendingImport {
		t.Errorf("%d pieces are in the file; the key is %v", n, f.now(k).State)
	}
	f.mustBring(k, bytesOf(1), Import{})
	f.clock.pass(2 * year)
	if done := f.tick(); done.Expired != 0 || f.now(k).StateAt(f.clock.Wall()) != Enabled {
		t.Errorf("Tick = %+v of material that does not expire", done)
	}
}

func TestImportTokens(t *testing.T) {
	f := newClockFixture(t)
	k, other := f.mustMake(NewKey{Origin: OriginExternal}), f.mustMake(NewKey{Origin: OriginExternal})
	parameters := func(k *Key) ImportParameters {
		_, p, err := f.ParametersForImport(f.onKey(authz.KMSGetParametersForImport, k), k.ID, keywrap.HPKEMLKEM768X25519, keywrap.MLKEM768X25519)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	in := func(k *Key, token, wrapped []byte) error {
		_, _, err := f.ImportMaterial(f.onKey(authz.KMSImportKeyMaterial, k), k.ID, Import{Token: token, Wrapped: wrapped})
		return err
	}
	p := parameters(k)
	wrapped := must[[]byte](t)(keywrap.Wrap(keywrap.HPKEMLKEM768X25519, p.PublicKey, p.Token, bytesOf(1)))
	short := must[[]byte](t)(keywrap.Wrap(keywrap.HPKEMLKEM768X25519, p.PublicKey, p.Token, bytesOf(1)[:31]))
	altered := slices.Clone(p.Token)
	altered[len(altered)-1] ^= 1
	for name, tt := range map[string]struct {
		got, want error
	}{
		"no token":                          {in(k, nil, wrapped), ErrInvalidImportToken},
		"an altered token":                  {in(k, altered, wrapped), ErrInvalidImportToken},
		"the token of another key":          {in(other, p.Token, wrapped), ErrInvalidImportToken},
		"another token of the key":          {in(k, parameters(k).Token, wrapped), keywrap.ErrUnwrap},
		"garbage":                           {in(k, p.Token, []byte("garbage")), keywrap.ErrUnwrap},
		"nothing":                           {in(k, p.Token, nil), ErrValidation},
		"too much":                          {in(k, p.Token, make([]byte, maxWrapped+1)), ErrValidation},
		"material that is too short":        {in(k, p.Token, short), crypto.ErrMaterial},
		"the right one, after all of those": {in(k, p.Token, wrapped), nil},
	} {
		if name != "the right one, after all of those" && !errors.Is(tt.got, tt.want) {
			t.Errorf("%s: ImportMaterial = %v, want %v", name, tt.got, tt.want)
		}
		if tt.want == nil && tt.got != nil {
			t.Errorf("%s: %v", name, tt.got)
		}
	}
	if err := in(k, p.Token, wrapped); !errors.Is(err, ErrInvalidImportToken) {
		t.Errorf("a token that was used = %v, want ErrInvalidImportToken", err)
	}
	late := parameters(other)
	f.clock.pass(importLife)
	for _, when := range []string{"expired", "swept", "restarted"} {
		if err := in(other, late.Token, wrapped); !errors.Is(err, ErrExpiredImportToken) {
			t.Errorf("%s: ImportMaterial = %v, want ErrExpiredImportToken", when, err)
		}
		if when == "expired" {
			f.tick()
		} else {
			f.reopen()
		}
	}
	if len(f.params) != 0 {
		t.Errorf("%d import parameters are left", len(f.params))
	}
	for range MaxImportParameters {
		parameters(k)
	}
	_, _, err := f.ParametersForImport(f.onKey(authz.KMSGetParametersForImport, k), k.ID, keywrap.HPKEMLKEM768X25519, keywrap.MLKEM768X25519)
	if !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("too many import parameters = %v, want ErrLimitExceeded", err)
	}
	f.tick()
	f.clock.pass(importLife)
	if before := f.toErase; before != 0 {
		t.Errorf("%d things are to be erased, want none", before)
	}
	parameters(k) // those that have expired do not count
	if f.toErase == 0 {
		t.Error("nothing is to be erased, want the wrapping keys that have expired")
	}
}

// Material of every spec comes in, and works; of specs that are not symmetric it is never another.
func TestImportEverySpec(t *testing.T) {
	f := newClockFixture(t)
	for _, spec := range crypto.Specs() {
		if spec == crypto.SpecRSA3072 || spec == crypto.SpecRSA4096 {
			continue // like RSA_2048, and slow
		}
		k := f.mustMake(NewKey{Origin: OriginExternal, Spec: spec, Usage: spec.Usages()[0]})
		material := must[crypto.Secret](t)(keypair.Generate(spec))
		other := must[crypto.Secret](t)(keypair.Generate(spec))
		f.mustBring(k, material.Expose(), Import{})
		k = f.now(k)
		if _, err := k.Current().prepare(); err != nil {
			t.Errorf("%s: imported material: %v", spec, err)
		}
		_, err := f.bring(k, other.Expose(), Import{Type: NewMaterial})
		if wait := spec == crypto.SpecSymmetricDefault; wait != (err == nil) || !wait && !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: other material = %v, want success for symmetric keys and ErrUnsupported for others", spec, err)
		}
		if _, err := f.bring(k, bytesOf(1)[:20], Import{}); !errors.Is(err, crypto.ErrMaterial) {
			t.Errorf("%s: importing 20 bytes = %v, want crypto.ErrMaterial", spec, err)
		}
	}
}

// Material that waits for its rotation can go and come back, and the key does not mind; the material of a key that is pending deletion can go, and
// the key stays pending deletion.
func TestMaterialThatTheKeyDoesNotNeed(t *testing.T) {
	f := newClockFixture(t)
	k := f.in(Enabled, NewKey{Origin: OriginExternal})
	second := f.mustBring(k, bytesOf(2), Import{Type: NewMaterial, ValidTo: f.clock.Wall().Add(time.Hour)})
	f.clock.pass(time.Hour)
	if done := f.tick(); done.Expired != 1 || f.now(k).StateAt(f.clock.Wall()) != Enabled {
		t.Errorf("Tick = %+v, and the key is %v, want material that waited to expire, and the key Enabled", done, f.now(k).State)
	}
	if _, _, err := f.rotate(k); !errors.Is(err, ErrInvalidState) {
		t.Errorf("Rotate to material that is gone = %v, want ErrInvalidState", err)
	}
	must[*Key](t)(f.schedule(k, 7))
	if k = must[*Key](t)(f.CancelDeletion(f.onKey(authz.KMSCancelKeyDeletion, k), k.ID)); k.State != Disabled {
		t.Errorf("after CancelDeletion the key is %v, want Disabled: it needs no more than it has", k.State)
	}
	must[*Key](t)(f.Enable(f.onKey(authz.KMSEnableKey, k), k.ID))
	if again := f.mustBring(k, bytesOf(2), Import{}); again != second || f.now(k).State != Enabled {
		t.Errorf("imported again as %v, want %v", again, second)
	}
	if k = f.deleteMaterial(k, second); k.State != Enabled {
		t.Errorf("without material that waits the key is %v, want Enabled", k.State)
	}
	must[*Key](t)(f.schedule(k, 7))
	if k = f.deleteMaterial(k, crypto.MaterialID{}); k.State != PendingDeletion {
		t.Errorf("without material a key that is pending deletion is %v, want PendingDeletion", k.State)
	}
	if k = must[*Key](t)(f.CancelDeletion(f.onKey(authz.KMSCancelKeyDeletion, k), k.ID)); k.State != PendingImport {
		t.Errorf("after CancelDeletion the key without material is %v, want PendingImport", k.State)
	}
}

// That the file is to be cleared of material is known from when it is deleted: an erasure that is under way by then, and has not seen the deletion, must not
// end with nothing left to do.
func TestDeletedMaterialIsToBeErasedAtOnce(t *testing.T) {
	f := newFixture(t)
	k := f.pairOf(crypto.SpecP256, crypto.UsageSignVerify)
	must[Ticked](t)(f.Tick(t.Context())) // clears the file of the wrapping key
	h := k.Current().held
	h.mu.Lock() // so that the deletion is made, and does not return
	deleted := make(chan error)
	go func() {
		_, _, err := f.DeleteImportedMaterial(f.onKey(authz.KMSDeleteImportedKeyMaterial, k), k.ID, crypto.MaterialID{})
		deleted <- err
	}()
	for end := time.Now().Add(10 * time.Second); f.now(k).Current().Imported.Present && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	f.mu.Lock()
	if f.now(k).Current().Imported.Present || f.toErase == 0 {
		t.Errorf("material that is deleted, %v, is to be erased: %d", !f.now(k).Current().Imported.Present, f.toErase)
	}
	f.mu.Unlock()
	h.mu.Unlock()
	if err := <-deleted; err != nil {
		t.Error(err)
	}
}
