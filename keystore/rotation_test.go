package keystore

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

func (f *fixture) rotateEvery(k *Key, days int) *Key {
	f.t.Helper()
	return must[*Key](f.t)(f.EnableRotation(f.onKey(authz.KMSEnableKeyRotation, k), k.ID, days))
}

func TestAutomaticRotation(t *testing.T) {
	f := newClockFixture(t)
	k := f.rotateEvery(f.mustCreate(), 100)
	blob := f.encrypt(k, "old")
	start := f.clock.Wall()
	for _, tt := range []struct {
		name     string
		pass     time.Duration
		rotated  int
		versions int
	}{
		{"a second before", 100*day - time.Second, 0, 1},
		{"on the day", time.Second, 1, 2},
		{"soon after", time.Hour, 0, 2},
		{"after three periods in which nothing ran", 300 * day, 1, 3},
		{"soon after that", time.Hour, 0, 3},
	} {
		f.clock.pass(tt.pass)
		f.events = nil
		if done := f.tick(); done.Rotated != tt.rotated || f.now(k).VersionCount() != tt.versions || len(f.events) != tt.rotated {
			t.Errorf("%s: Tick = %+v, %d versions, events %+v, want %d and %d", tt.name, done, f.now(k).VersionCount(), f.events, tt.rotated, tt.versions)
		}
		f.reopen()
	}
	if v := f.now(k).Current(); v.Rotation != Automatic || f.decrypt(k, blob) != "old" {
		t.Errorf("the current version is %+v, want an automatic one, and the first to decrypt", v)
	}
	if s, err := f.now(k).RotationStatus(); err != nil || !s.Automatic || s.PeriodDays != 100 || !s.Next.Equal(f.clock.Wall().Add(100*day-time.Hour)) || s.OnDemandLeft != 25 {
		t.Errorf("RotationStatus = %+v, %v, started %v", s, err, start)
	}
	f.refuse = errors.New("the audit log is away")
	f.clock.pass(100 * day)
	if _, err := f.Tick(t.Context()); !errors.Is(err, f.refuse) || f.now(k).VersionCount() != 3 {
		t.Errorf("Tick without an audit log = %v, with %d versions, want no rotation", err, f.now(k).VersionCount())
	}
}

// A key that is not enabled is not rotated, and is as soon as it is again.
func TestRotationOfKeysThatAreNotEnabled(t *testing.T) {
	f := newClockFixture(t)
	k, doomed := f.rotateEvery(f.mustCreate(), 90), f.rotateEvery(f.mustCreate(), 90)
	must[*Key](t)(f.Disable(f.onKey(authz.KMSDisableKey, k), k.ID))
	must[*Key](t)(f.schedule(doomed, 30))
	if s, _ := f.now(doomed).RotationStatus(); s.Automatic {
		t.Error("a key that is pending deletion is rotated by itself")
	}
	f.clock.set(91*day, 0)
	if done := f.tick(); done.Rotated != 0 {
		t.Errorf("Tick = %+v, want no rotation", done)
	}
	must[*Key](t)(f.CancelDeletion(f.onKey(authz.KMSCancelKeyDeletion, doomed), doomed.ID))
	for _, k := range []*Key{k, doomed} {
		if s, _ := f.now(k).RotationStatus(); !s.Automatic {
			t.Error("the rotation of a key that is not pending deletion any more is off")
		}
		must[*Key](t)(f.Enable(f.onKey(authz.KMSEnableKey, k), k.ID))
		select {
		case <-f.wake:
		default:
			t.Error("Enable of a key that should have been rotated does not wake the scheduler")
		}
		if done := f.tick(); done.Rotated != 1 {
			t.Errorf("Tick = %+v, want a rotation", done)
		}
	}
}

func TestRotationPeriods(t *testing.T) {
	f := newClockFixture(t)
	k := f.mustCreate()
	for _, tt := range []struct{ days, period, next int }{{0, 365, 365}, {90, 90, 90}, {2560, 2560, 2560}, {0, 2560, 2560}} {
		k = f.rotateEvery(k, tt.days)
		if s, _ := k.RotationStatus(); s.PeriodDays != tt.period || s.Next != f.clock.Wall().Add(time.Duration(tt.next)*day) {
			t.Errorf("EnableRotation(%d) gives %+v, want a period of %d days", tt.days, s, tt.period)
		}
	}
	for _, days := range []int{89, 2561, -1} {
		if _, err := f.EnableRotation(f.onKey(authz.KMSEnableKeyRotation, k), k.ID, days); !errors.Is(err, ErrValidation) {
			t.Errorf("EnableRotation(%d) = %v, want ErrValidation", days, err)
		}
	}
	f.clock.pass(2560*day - 20*time.Minute + time.Second)
	if _, _, err := f.rotate(k); !errors.Is(err, ErrConflict) {
		t.Errorf("Rotate less than 20 minutes before an automatic rotation = %v, want ErrConflict", err)
	}
	k = must[*Key](t)(f.DisableRotation(f.onKey(authz.KMSDisableKeyRotation, k), k.ID))
	if _, _, err := f.rotate(k); err != nil {
		t.Errorf("Rotate without automatic rotation = %v", err)
	}
	if n := f.Snapshot().due.Len(); n != 0 {
		t.Errorf("%d keys are due without automatic rotation", n)
	}
	for _, n := range []NewKey{{Spec: crypto.SpecHMAC256}, {Spec: crypto.SpecP256, Usage: crypto.UsageSignVerify}} {
		k := f.mustMake(n)
		_, enable := f.EnableRotation(f.onKey(authz.KMSEnableKeyRotation, k), k.ID, 0)
		_, _, rotate := f.rotate(k)
		_, status := k.RotationStatus()
		for _, err := range []error{enable, rotate, status} { // a bug of stackshy/cloudemu (PR 1059): it was a ValidationException
			if !errors.Is(err, ErrUnsupported) {
				t.Errorf("rotation of a key of spec %s = %v, want ErrUnsupported", n.Spec, err)
			}
		}
	}
}

func TestMaterialThatIsDisabled(t *testing.T) {
	f := newClockFixture(t)
	k := f.mustCreate()
	first, blob := k.Current().Material, f.encrypt(k, "old")
	disable := func(m crypto.MaterialID) error {
		_, err := f.DisableMaterial(f.onKey(authz.KMSDisableKeyMaterial, k), k.ID, m)
		return err
	}
	if err := disable(first); !errors.Is(err, ErrInvalidState) {
		t.Errorf("DisableMaterial of the current version = %v, want ErrInvalidState", err)
	}
	if err := disable(crypto.MaterialID{1}); !errors.Is(err, ErrNotFound) {
		t.Errorf("DisableMaterial of no version = %v, want ErrNotFound", err)
	}
	if _, _, err := f.rotate(k); err != nil {
		t.Fatal(err)
	}
	if err := disable(first); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		k = f.now(k)
		if _, err := k.UseVersion(f.onKey(authz.KMSDecrypt, k), first.Short()); !errors.Is(err, ErrDisabled) {
			t.Errorf("UseVersion of a version that is disabled = %v, want ErrDisabled", err)
		}
		f.encrypt(k, "new")
		f.reopen()
	}
	must[*Key](t)(f.EnableMaterial(f.onKey(authz.KMSEnableKeyMaterial, k), k.ID, first))
	if got := f.decrypt(k, blob); got != "old" {
		t.Errorf("decrypted %q once the version is enabled again, want old", got)
	}
}

// fillVersions gives a key n versions, past all checks.
func (f *fixture) fillVersions(k *Key, n int) *Key {
	f.t.Helper()
	next := f.now(k).with(func(k *Key) {
		err := f.store.Update(func(tx *storage.Tx) error {
			for k.VersionCount() < n {
				k.setVersion(newVersion(k, Automatic, f.clock.Wall(), crypto.RandomSecret(32)))
				if err := putMaterial(tx, k, k.current); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			f.t.Fatal(err)
		}
	})
	f.snapshot.Store(f.Snapshot().withKey(next))
	return next
}

// After 1,000 rotations 100 old ciphertexts, of as many versions, decrypt (reliability-tests.md R-49), and each names its version.
func TestThousandRotations(t *testing.T) {
	f := newClockFixture(t)
	k := f.mustCreate()
	blobs := map[string][]byte{}
	for n := 1; n < 1000; n += 10 {
		k = f.fillVersions(k, n)
		blobs[fmt.Sprint(n)] = f.encrypt(k, fmt.Sprint(n))
	}
	k = f.fillVersions(k, 1001)
	f.reopen()
	if k = f.now(k); k.VersionCount() != 1001 || len(blobs) != 100 {
		t.Fatalf("%d versions and %d ciphertexts, want 1001 and 100", k.VersionCount(), len(blobs))
	}
	for text, blob := range blobs {
		if got := f.decrypt(k, blob); got != text {
			t.Errorf("decrypted %q, want %q", got, text)
		}
	}
	seen, below := 1002, 0
	for more := true; more; {
		var page []*Version
		page, more = k.VersionsBelow(below, 100)
		for _, v := range page {
			if v.Number != seen-1 {
				t.Fatalf("version %d follows %d", v.Number, seen)
			}
			seen = v.Number
		}
		below = seen
	}
	if seen != 1 {
		t.Errorf("the pages end with version %d, want 1", seen)
	}
}

// A rotation writes as much for a key with 10,000 versions as for one with one: two records of the same size.
func TestRotationWritesTheSame(t *testing.T) {
	f := newClockFixture(t)
	few, many := f.mustCreate(), f.fillVersions(f.mustCreate(), 10_000)
	sizes := map[crypto.KeyID]int{}
	for _, k := range []*Key{few, many} {
		made, _, err := f.rotate(k)
		if err != nil {
			t.Fatal(err)
		}
		sizes[k.ID] = len(made.encode()) + len(made.Current().encode())
	}
	if got, want := sizes[many.ID], sizes[few.ID]; got != want {
		t.Errorf("a rotation of a key with 10,000 versions writes %d bytes, want %d as with one", got, want)
	}
	allocated := func(k *Key) float64 {
		v := newVersion(k, Automatic, f.clock.Wall(), crypto.Secret{})
		return testing.AllocsPerRun(10, func() { k.with(func(k *Key) { k.setVersion(v) }) })
	}
	if got := allocated(f.now(many)); got > 40 {
		t.Errorf("a version more among 10,000 allocates %v times, want at most 40", got)
	}
}

func BenchmarkRotate(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := newClockFixture(b)
			k := f.fillVersions(f.mustCreate(), n)
			b.ReportAllocs()
			cpu := cpuTime(b)
			for b.Loop() {
				f.mu.Lock()
				if _, _, err := f.editHeld(f.Snapshot(), f.now(k), (*edit).rotateByItself, nil); err != nil {
					b.Fatal(err)
				}
				f.mu.Unlock()
			}
			b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "cpu-us/op")
		})
	}
}

// BenchmarkDeleteKey is what the deletion of a key with 10,000 versions and 50,000 grants takes, in which no other change is made.
func BenchmarkDeleteKey(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		f := newClockFixture(b)
		k := f.fillVersions(f.mustCreate(), 10_000)
		f.fill(k, MaxGrantsPerKey, eachAnother)
		must[*Key](b)(f.schedule(f.now(k), 7))
		f.clock.pass(7 * day)
		b.StartTimer()
		if n, err := f.deleteDue(context.Background()); n != 1 || err != nil {
			b.Fatal(n, err)
		}
	}
}
