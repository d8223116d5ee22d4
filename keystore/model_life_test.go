package keystore

import (
	"errors"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keywrap"
)

// modelLife is what the life of a key must be.
type modelLife struct {
	state     State
	external  bool
	protected bool
	versions  int
	onDemand  int
	present   bool      // the imported material
	validTo   time.Time // of it
	period    int       // of automatic rotation, 0 if it is off
	next      time.Time
	deletion  time.Time
	blob      []byte // encrypted under the first version
}

// allowed says how a change that is possible in some states must end: nil for one of these, otherwise the error of the state.
func (l *modelLife) allowed(states ...State) error {
	switch {
	case slices.Contains(states, l.state):
		return nil
	case l.state == Disabled:
		return ErrDisabled
	}
	return ErrInvalidState
}

// expect checks how a change ended.
func (m *machine) expect(r *rapid.T, what string, err, want error) bool {
	r.Helper()
	if !errors.Is(err, want) {
		r.Fatalf("%s = %v, want %v", what, err, want)
	}
	return err == nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func when(is bool, err error) error {
	if is {
		return err
	}
	return nil
}

func (m *machine) scheduleKey(r *rapid.T) {
	k, want := m.pick(r)
	days := rapid.IntRange(7, 30).Draw(r, "window")
	err := m.do(r, func(ks *Keystore) error {
		_, err := ks.ScheduleDeletion(m.onKey(authz.KMSScheduleKeyDeletion, k), k.ID, days)
		return err
	})
	if m.expect(r, "ScheduleDeletion", err, first(want.life.allowed(Enabled, Disabled, PendingImport), when(want.life.protected, ErrProtected))) {
		want.life.state, want.life.deletion = PendingDeletion, m.clock.Wall().Add(time.Duration(days)*day)
	}
}

func (m *machine) cancelKey(r *rapid.T) {
	k, want := m.pick(r)
	err := m.do(r, func(ks *Keystore) error {
		_, err := ks.CancelDeletion(m.onKey(authz.KMSCancelKeyDeletion, k), k.ID)
		return err
	})
	if m.expect(r, "CancelDeletion", err, when(want.life.state != PendingDeletion, ErrInvalidState)) {
		want.life.state = Disabled
		if want.life.external && !want.life.present {
			want.life.state = PendingImport
		}
	}
}

func (m *machine) protectKey(r *rapid.T) {
	k, want := m.pick(r)
	on := rapid.Bool().Draw(r, "protected")
	err := m.do(r, func(ks *Keystore) error {
		_, err := ks.SetDeletionProtection(m.onKey(authz.KMSUpdateKeyDeletionProtection, k), k.ID, on)
		return err
	})
	if m.expect(r, "SetDeletionProtection", err, want.life.allowed(Enabled, Disabled, PendingImport)) {
		want.life.protected = on
	}
}

func (m *machine) rotateKey(r *rapid.T) {
	k, want := m.pick(r)
	err := m.do(r, func(ks *Keystore) error {
		_, _, err := ks.Rotate(m.onKey(authz.KMSRotateKeyOnDemand, k), k.ID)
		return err
	})
	l := &want.life
	soon := l.period > 0 && l.next.Sub(m.clock.Wall()) < conflictWindow
	if m.expect(r, "Rotate", err, first(l.allowed(Enabled), when(l.onDemand == MaxOnDemandRotations, ErrLimitExceeded), when(soon, ErrConflict), when(l.external, ErrInvalidState))) {
		l.versions++
		l.onDemand++
	}
}

func (m *machine) setRotation(r *rapid.T) {
	k, want := m.pick(r)
	l := &want.life
	refused := first(when(l.external, ErrUnsupported), l.allowed(Enabled))
	if rapid.Bool().Draw(r, "off") {
		err := m.do(r, func(ks *Keystore) error {
			_, err := ks.DisableRotation(m.onKey(authz.KMSDisableKeyRotation, k), k.ID)
			return err
		})
		if m.expect(r, "DisableRotation", err, refused) {
			l.period = 0
		}
		return
	}
	days := rapid.IntRange(MinRotationDays, 100).Draw(r, "period")
	err := m.do(r, func(ks *Keystore) error {
		_, err := ks.EnableRotation(m.onKey(authz.KMSEnableKeyRotation, k), k.ID, days)
		return err
	})
	if m.expect(r, "EnableRotation", err, refused) {
		began := m.clock.Wall()
		if l.period > 0 {
			began = l.next.Add(-time.Duration(l.period) * day)
		}
		l.period, l.next = days, began.Add(time.Duration(days)*day)
	}
}

func (m *machine) importKey(r *rapid.T) {
	k, want := m.pick(r)
	l := &want.life
	_, p, err := m.ParametersForImport(m.onKey(authz.KMSGetParametersForImport, k), k.ID, keywrap.HPKEMLKEM768X25519, keywrap.MLKEM768X25519)
	if errors.Is(err, ErrLimitExceeded) { // of those that were not used
		return
	}
	if !m.expect(r, "ParametersForImport", err, first(when(!l.external, ErrUnsupported), l.allowed(Enabled, Disabled, PendingImport))) {
		return
	}
	in := Import{Token: p.Token}
	if in.Wrapped, err = keywrap.Wrap(keywrap.HPKEMLKEM768X25519, p.PublicKey, p.Token, bytesOf(1)); err != nil {
		r.Fatal(err)
	}
	if rapid.Bool().Draw(r, "expires") {
		in.ValidTo = m.clock.Wall().Add(day)
	}
	err = m.do(r, func(ks *Keystore) error {
		_, _, err := ks.ImportMaterial(m.onKey(authz.KMSImportKeyMaterial, k), k.ID, in)
		return err
	})
	if m.expect(r, "ImportMaterial", err, l.allowed(Enabled, PendingImport)) {
		l.state, l.present, l.validTo, l.versions = Enabled, true, in.ValidTo, 1
	}
}

func (m *machine) deleteMaterialOf(r *rapid.T) {
	k, want := m.pick(r)
	l := &want.life
	err := m.do(r, func(ks *Keystore) error {
		_, _, err := ks.DeleteImportedMaterial(m.onKey(authz.KMSDeleteImportedKeyMaterial, k), k.ID, crypto.MaterialID{})
		return err
	})
	if m.expect(r, "DeleteImportedMaterial", err, first(when(!l.external, ErrUnsupported), when(l.protected, ErrProtected))) {
		m.lose(l)
	}
}

// lose is that the imported material is gone.
func (m *machine) lose(l *modelLife) {
	l.present, l.validTo = false, time.Time{}
	if l.state != PendingDeletion {
		l.state = PendingImport
	}
}

// passTime lets time pass by both clocks, and the keystore do what is due then.
func (m *machine) passTime(r *rapid.T) {
	m.clock.pass(rapid.SampledFrom([]time.Duration{time.Minute, day, 7 * day, 30 * day, 95 * day}).Draw(r, "time"))
	now := m.clock.Wall()
	if _, err := m.Tick(r.Context()); err != nil {
		r.Fatal(err)
	}
	m.soon = now.Add(time.Hour)
	for id, k := range m.keys {
		for grantID, g := range k.grants {
			if !g.Expires.IsZero() && !now.Before(g.Expires) {
				delete(k.grants, grantID)
			}
		}
		l := &k.life
		if l.state == PendingDeletion && !now.Before(l.deletion) {
			delete(m.keys, id)
			continue
		}
		if l.present && !l.validTo.IsZero() && !now.Before(l.validTo) {
			m.lose(l)
		}
		if l.period > 0 && l.state == Enabled && !now.Before(l.next) {
			l.versions++
			l.next = now.Add(time.Duration(l.period) * day)
		}
	}
}

// compareLife checks the life of a key, and that what its first version encrypted decrypts if it can be used.
func (m *machine) compareLife(r *rapid.T, k *Key, want *modelLife) {
	status, _ := k.RotationStatus()
	date, _ := k.DeletionDate()
	switch {
	case k.StateAt(m.clock.Wall()) != want.state:
		r.Fatalf("state = %v, want %v", k.StateAt(m.clock.Wall()), want.state)
	case k.VersionCount() != want.versions || k.DeletionProtection != want.protected || status.OnDemandLeft != MaxOnDemandRotations-want.onDemand:
		r.Fatalf("the key has %d versions, protected %v, %+v, want %+v", k.VersionCount(), k.DeletionProtection, status, want)
	case (want.state == PendingDeletion) != !date.IsZero() || !date.IsZero() && !date.Equal(want.deletion):
		r.Fatalf("DeletionDate = %v, want %v in state %v", date, want.deletion, want.state)
	case status.Automatic != (want.period > 0 && want.state != PendingDeletion) || status.Automatic && !status.Next.Equal(want.next):
		r.Fatalf("RotationStatus = %+v, want %+v", status, want)
	case want.external && want.versions > 0 && k.Current().Imported.Present != want.present:
		r.Fatalf("material is there: %v, want %v", k.Current().Imported.Present, want.present)
	}
	if want.state != Enabled {
		return
	}
	if want.blob == nil {
		want.blob = m.encrypt(k, "model")
	}
	if got := m.decrypt(k, want.blob); got != "model" {
		r.Fatalf("decrypted %q, want model", got)
	}
}
