package keystore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keywrap"
)

// newClockFixture is a fixture whose clock stands still.
func newClockFixture(t testing.TB) *fixture { return newFixtureWith(t, newStepClock()) }

func (f *fixture) mustMake(n NewKey) *Key {
	f.t.Helper()
	return must[*Key](f.t)(f.create(n))
}

func (f *fixture) schedule(k *Key, days int) (*Key, error) {
	return f.ScheduleDeletion(f.onKey(authz.KMSScheduleKeyDeletion, k), k.ID, days)
}

func (f *fixture) tick() Ticked {
	f.t.Helper()
	return must[Ticked](f.t)(f.Tick(context.Background()))
}

// bring imports material, and returns the version's id.
func (f *fixture) bring(k *Key, material []byte, in Import) (crypto.MaterialID, error) {
	f.t.Helper()
	_, p, err := f.ParametersForImport(f.onKey(authz.KMSGetParametersForImport, k), k.ID, keywrap.HPKEMLKEM768X25519, keywrap.MLKEM768X25519)
	if err != nil {
		return crypto.MaterialID{}, err
	}
	wrapped, err := keywrap.Wrap(keywrap.HPKEMLKEM768X25519, p.PublicKey, p.Token, material)
	if err != nil {
		f.t.Fatal(err)
	}
	in.Token, in.Wrapped = p.Token, wrapped
	_, id, err := f.ImportMaterial(f.onKey(authz.KMSImportKeyMaterial, k), k.ID, in)
	return id, err
}

func (f *fixture) mustBring(k *Key, material []byte, in Import) crypto.MaterialID {
	f.t.Helper()
	id, err := f.bring(k, material, in)
	if err != nil {
		f.t.Fatal(err)
	}
	return id
}

func bytesOf(b byte) []byte { return slices.Repeat([]byte{b}, 32) }

// in brings a new key into a state.
func (f *fixture) in(s State, n NewKey) *Key {
	f.t.Helper()
	k := f.mustMake(n)
	if n.Origin == OriginExternal && s != PendingImport {
		f.mustBring(k, bytesOf(1), Import{})
	}
	switch s {
	case Disabled:
		must[*Key](f.t)(f.Disable(f.onKey(authz.KMSDisableKey, k), k.ID))
	case PendingDeletion:
		must[*Key](f.t)(f.schedule(k, 7))
	}
	if got := f.now(k).State; got != s {
		f.t.Fatalf("the key is %v, want %v", got, s)
	}
	return f.now(k)
}

// operations are those of section 4.3, each as a call that succeeds in the states where it may.
var operations = map[string]func(f *fixture, k *Key) error{
	"Encrypt": func(f *fixture, k *Key) error {
		_, err := k.UseFor(f.onKey(authz.KMSEncrypt, k), authz.KMSEncrypt)
		return err
	},
	"CreateGrant": func(f *fixture, k *Key) error {
		_, _, err := f.CreateGrant(f.toCreateGrant(k), k.ID, wanted(nil))
		return err
	},
	"PutKeyPolicy": func(f *fixture, k *Key) error {
		_, err := f.PutPolicy(f.onKey(authz.KMSPutKeyPolicy, k), k.ID, k.Policy)
		return err
	},
	"CreateAlias": func(f *fixture, k *Key) error {
		name := "alias/" + k.Name
		_, err := f.CreateAlias(f.onAlias(authz.KMSCreateAlias, name), f.onKey(authz.KMSCreateAlias, k), testAccount, name, k.ID)
		return err
	},
	"UpdateAlias to it": func(f *fixture, k *Key) error {
		return f.moveAlias(f.mustCreate(), k)
	},
	"UpdateAlias from it": func(f *fixture, k *Key) error {
		if k.State == PendingDeletion {
			return nil // it takes no alias to begin with
		}
		return f.moveAlias(k, f.mustCreate())
	},
	"TagResource": func(f *fixture, k *Key) error {
		_, err := f.TagKey(f.onKey(authz.KMSTagResource, k), k.ID, []Tag{{"a", "b"}})
		return err
	},
	"UntagResource": func(f *fixture, k *Key) error {
		_, err := f.UntagKey(f.onKey(authz.KMSUntagResource, k), k.ID, []string{"a"})
		return err
	},
	"UpdateKeyDescription": func(f *fixture, k *Key) error {
		_, err := f.UpdateDescription(f.onKey(authz.KMSUpdateKeyDescription, k), k.ID, "x")
		return err
	},
	"EnableKey": func(f *fixture, k *Key) error {
		_, err := f.Enable(f.onKey(authz.KMSEnableKey, k), k.ID)
		return err
	},
	"DisableKey": func(f *fixture, k *Key) error {
		_, err := f.Disable(f.onKey(authz.KMSDisableKey, k), k.ID)
		return err
	},
	"ScheduleKeyDeletion": func(f *fixture, k *Key) error { _, err := f.schedule(k, 7); return err },
	"CancelKeyDeletion": func(f *fixture, k *Key) error {
		_, err := f.CancelDeletion(f.onKey(authz.KMSCancelKeyDeletion, k), k.ID)
		return err
	},
	"EnableKeyRotation": func(f *fixture, k *Key) error {
		_, err := f.EnableRotation(f.onKey(authz.KMSEnableKeyRotation, k), k.ID, 0)
		return err
	},
	"DisableKeyRotation": func(f *fixture, k *Key) error {
		_, err := f.DisableRotation(f.onKey(authz.KMSDisableKeyRotation, k), k.ID)
		return err
	},
	"GetKeyRotationStatus": func(_ *fixture, k *Key) error { _, err := k.RotationStatus(); return err },
	"RotateKeyOnDemand": func(f *fixture, k *Key) error {
		if k.Origin == OriginExternal && k.State == Enabled {
			f.mustBring(k, bytesOf(2), Import{Type: NewMaterial})
		}
		_, _, err := f.Rotate(f.onKey(authz.KMSRotateKeyOnDemand, k), k.ID)
		return err
	},
	"GetParametersForImport": func(f *fixture, k *Key) error {
		_, _, err := f.ParametersForImport(f.onKey(authz.KMSGetParametersForImport, k), k.ID, keywrap.HPKEMLKEM768X25519, keywrap.MLKEM768X25519)
		return err
	},
	"ImportKeyMaterial": func(f *fixture, k *Key) error { _, err := f.bring(k, bytesOf(1), Import{}); return err },
	"ImportKeyMaterial without parameters": func(f *fixture, k *Key) error {
		_, _, err := f.ImportMaterial(f.onKey(authz.KMSImportKeyMaterial, k), k.ID, Import{Wrapped: []byte{1}})
		return err
	},
	"DeleteImportedKeyMaterial": func(f *fixture, k *Key) error {
		_, _, err := f.DeleteImportedMaterial(f.onKey(authz.KMSDeleteImportedKeyMaterial, k), k.ID, crypto.MaterialID{})
		return err
	},
	"UpdateKeyDeletionProtection": func(f *fixture, k *Key) error {
		_, err := f.SetDeletionProtection(f.onKey(authz.KMSUpdateKeyDeletionProtection, k), k.ID, false)
		return err
	},
}

func (f *fixture) moveAlias(from, to *Key) error {
	name := "alias/" + from.Name
	must[*Alias](f.t)(f.CreateAlias(f.onAlias(authz.KMSCreateAlias, name), f.onKey(authz.KMSCreateAlias, from), testAccount, name, from.ID))
	_, err := f.UpdateAlias(f.onAlias(authz.KMSUpdateAlias, name), f.onKey(authz.KMSUpdateAlias, from), f.onKey(authz.KMSUpdateAlias, to), testAccount, name, to.ID)
	return err
}

// An alias moves between keys that can stand for each other.
func TestUpdateAliasKeepsTheKind(t *testing.T) {
	f := newFixture(t)
	made := func(spec crypto.Spec, usage crypto.Usage) *Key {
		return f.mustMake(NewKey{Spec: spec, Usage: usage, Origin: OriginExternal})
	}
	symmetric, hmac := made(crypto.SpecSymmetricDefault, crypto.UsageEncryptDecrypt), made(crypto.SpecHMAC256, crypto.UsageGenerateVerifyMAC)
	for _, row := range []struct {
		what     string
		from, to *Key
		moves    bool
	}{
		{"between symmetric keys", symmetric, made(crypto.SpecSymmetricDefault, crypto.UsageEncryptDecrypt), true},
		{"between HMAC keys of two sizes", hmac, made(crypto.SpecHMAC512, crypto.UsageGenerateVerifyMAC), true},
		{"from RSA to a curve, both to sign", made(crypto.SpecRSA2048, crypto.UsageSignVerify), made(crypto.SpecP256, crypto.UsageSignVerify), true},
		{"from a symmetric key to RSA, both to encrypt", symmetric, made(crypto.SpecRSA3072, crypto.UsageEncryptDecrypt), false},
		{"from a symmetric key to an HMAC key", symmetric, hmac, false},
		{"from RSA to sign to RSA to encrypt", made(crypto.SpecRSA4096, crypto.UsageSignVerify), made(crypto.SpecRSA4096, crypto.UsageEncryptDecrypt), false},
	} {
		err := f.moveAlias(row.from, row.to)
		if row.moves && err != nil || !row.moves && !errors.Is(err, ErrValidation) {
			t.Errorf("UpdateAlias %s = %v", row.what, err)
		}
		name, holder := "alias/"+row.from.Name, row.from
		if a, ok := f.Snapshot().Alias(testAccount, name); ok && a.Target == row.to.ID {
			holder = row.to
		}
		if (holder == row.to) != row.moves {
			t.Errorf("after UpdateAlias %s the alias is of %s", row.what, holder.Spec)
		}
		if err := f.DeleteAlias(f.onAlias(authz.KMSDeleteAlias, name), f.onKey(authz.KMSDeleteAlias, holder), testAccount, name); err != nil {
			t.Fatal(err)
		}
	}
}

// What the errors of section 4.3 look like, by their numbers there.
var refusals43 = map[string]struct {
	sentinel error
	words    string // behind the ARN
}{
	"1": {ErrDisabled, " is disabled."},
	"3": {ErrInvalidState, " is pending deletion."},
	"4": {ErrInvalidState, " is not pending deletion."},
	"5": {ErrInvalidState, " is pending import."},
	"7": {ErrUnsupported, " origin is EXTERNAL which is not valid for this operation."},
	"9": {ErrUnsupported, " origin is AWS_KMS which is not valid for this operation."},
	"t": {ErrInvalidImportToken, ""},
}

// The table of section 4.3. A row reads: the operation on a key in the states Enabled, Disabled, PendingDeletion, and, where the origin is EXTERNAL,
// PendingImport.
func TestOperationsInStates(t *testing.T) {
	states := []State{Enabled, Disabled, PendingDeletion, PendingImport}
	rows := []struct{ operation, kms, external string }{
		{"Encrypt", "ok 1 3", "ok 1 3 5"},
		{"CreateGrant", "ok 1 3", "ok 1 3 5"},
		{"PutKeyPolicy", "ok ok ok", "ok ok ok ok"},
		{"CreateAlias", "ok ok 3", "ok ok 3 ok"},
		{"UpdateAlias to it", "ok ok 3", "ok ok 3 ok"},
		{"UpdateAlias from it", "ok ok ok", "ok ok ok ok"},
		{"TagResource", "ok ok 3", "ok ok 3 ok"},
		{"UntagResource", "ok ok 3", "ok ok 3 ok"},
		{"UpdateKeyDescription", "ok ok 3", "ok ok 3 ok"},
		{"EnableKey", "ok ok 3", "ok ok 3 5"},
		{"DisableKey", "ok ok 3", "ok ok 3 5"},
		{"ScheduleKeyDeletion", "ok ok 3", "ok ok 3 ok"},
		{"CancelKeyDeletion", "4 4 ok", "4 4 ok 4"},
		{"EnableKeyRotation", "ok 1 3", "7 7 7 7"},
		{"DisableKeyRotation", "ok 1 3", "7 7 7 7"},
		{"GetKeyRotationStatus", "ok ok ok", "7 7 7 7"},
		{"RotateKeyOnDemand", "ok 1 3", "ok 1 3 5"},
		{"GetParametersForImport", "9 9 9", "ok ok 3 ok"},
		{"ImportKeyMaterial", "9 9 9", "ok 1 3 ok"},
		{"ImportKeyMaterial without parameters", "9 9 9", "t 1 3 t"},
		{"DeleteImportedKeyMaterial", "9 9 9", "ok ok ok ok"},
		{"UpdateKeyDeletionProtection", "ok ok 3", "ok ok 3 ok"},
	}
	if len(rows) != len(operations) {
		t.Fatalf("%d rows for %d operations", len(rows), len(operations))
	}
	f := newClockFixture(t)
	for _, row := range rows {
		for origin, cells := range map[Origin]string{OriginKMS: row.kms, OriginExternal: row.external} {
			for i, cell := range strings.Fields(cells) {
				k := f.in(states[i], NewKey{Origin: origin})
				err := operations[row.operation](f, k)
				want, refused := refusals43[cell]
				switch {
				case !refused && cell != "ok":
					t.Fatalf("cell %q", cell)
				case !refused && err != nil:
					t.Errorf("%s of an %s key that is %v = %v, want it to succeed", row.operation, origin, states[i], err)
				case refused && (!errors.Is(err, want.sentinel) || want.words != "" && err.Error() != k.ARN+want.words):
					t.Errorf("%s of an %s key that is %v = %v, want the ARN and %q", row.operation, origin, states[i], err, want.words)
				}
			}
		}
	}
}

// Every state, and all that a key's life has, is the same after a restart.
func TestLifeSurvivesRestart(t *testing.T) {
	f := newClockFixture(t)
	expiring := f.in(Enabled, NewKey{Origin: OriginExternal})
	f.mustBring(expiring, bytesOf(1), Import{ValidTo: f.clock.Wall().Add(time.Hour), Description: "a b"})
	f.mustBring(expiring, bytesOf(2), Import{Type: NewMaterial})
	rotating := f.in(Enabled, NewKey{})
	must[*Key](t)(f.EnableRotation(f.onKey(authz.KMSEnableKeyRotation, rotating), rotating.ID, 100))
	_, _, err := f.Rotate(f.onKey(authz.KMSRotateKeyOnDemand, rotating), rotating.ID)
	if err != nil {
		t.Fatal(err)
	}
	must[*Key](t)(f.DisableMaterial(f.onKey(authz.KMSDisableKeyMaterial, rotating), rotating.ID, rotating.Current().Material))
	protected := f.in(Enabled, NewKey{DeletionProtection: true, Spec: crypto.SpecP256, Usage: crypto.UsageKeyAgreement})
	var keys []*Key
	for _, s := range []State{Enabled, Disabled, PendingDeletion, PendingImport} {
		keys = append(keys, f.in(s, NewKey{Origin: OriginExternal, Description: s.String(), Tags: []Tag{{"a", "b"}}}))
	}
	keys = append(keys, f.now(expiring), f.now(rotating), protected, f.in(PendingDeletion, NewKey{}))
	f.clock.pass(time.Minute)
	f.reopen()
	for _, want := range keys {
		got := f.now(want)
		if string(got.encode()) != string(want.encode()) || got.VersionCount() != want.VersionCount() || got.expires != want.expires || got.dueOrder() != want.dueOrder() {
			t.Errorf("after a restart the key is %+v, want %+v", got, want)
		}
		for v := range want.versions() {
			again, ok := got.Version(v.Material)
			if !ok || string(again.encode()) != string(v.encode()) || got.MaterialState(again) != want.MaterialState(v) {
				t.Errorf("version %d of %s is %+v after a restart, want %+v", v.Number, want.Description, again, v)
			}
		}
		if got.StateAt(f.clock.Wall()) != want.State || got.Spec != want.Spec || got.Usage != want.Usage || got.Origin != want.Origin || got.TrackingStart() != want.TrackingStart() {
			t.Errorf("after a restart the key is %+v, want %+v", got, want)
		}
	}
}

func TestDeletionProtection(t *testing.T) {
	f := newClockFixture(t)
	k := f.in(Enabled, NewKey{Origin: OriginExternal, DeletionProtection: true})
	if _, err := f.schedule(k, 7); !errors.Is(err, ErrProtected) {
		t.Errorf("ScheduleDeletion of a protected key = %v, want ErrProtected", err)
	}
	_, _, err := f.DeleteImportedMaterial(f.onKey(authz.KMSDeleteImportedKeyMaterial, k), k.ID, crypto.MaterialID{})
	if !errors.Is(err, ErrProtected) {
		t.Errorf("DeleteImportedMaterial of a protected key = %v, want ErrProtected", err)
	}
	must[*Key](t)(f.SetDeletionProtection(f.onKey(authz.KMSUpdateKeyDeletionProtection, k), k.ID, false))
	must[*Key](t)(f.schedule(k, 0))
	if date, days := f.now(k).DeletionDate(); days != 30 || !date.Equal(f.clock.Wall().Add(30*day)) {
		t.Errorf("DeletionDate = %v, %d, want 30 days on", date, days)
	}
	for _, days := range []int{6, 31, -1} {
		if _, err := f.schedule(f.mustCreate(), days); !errors.Is(err, ErrValidation) {
			t.Errorf("ScheduleDeletion(%d days) = %v, want ErrValidation", days, err)
		}
	}
}
