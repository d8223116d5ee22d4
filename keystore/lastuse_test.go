package keystore

import (
	"sync"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

func TestLastUse(t *testing.T) {
	f := newClockFixture(t)
	k := f.mustCreate()
	at := f.clock.Wall()
	if _, used := k.LastUse(); used {
		t.Error("a key that was not used has a last use")
	}
	k.NoteUse(authz.KMSEncrypt, at, [16]byte{1}, [16]byte{2})
	k.NoteUse(authz.KMSDecrypt, at.Add(time.Second/2), [16]byte{3}, [16]byte{4}) // in the same second
	check := func(when, operation string, event byte, at time.Time) {
		t.Helper()
		last, used := f.now(k).LastUse()
		if !used || last != (LastUse{operation, at.Truncate(time.Second), [16]byte{event}, [16]byte{event + 1}}) {
			t.Errorf("%s: LastUse = %+v, %v, want %s at %v by event %d", when, last, used, operation, at, event)
		}
	}
	check("after two uses in a second", "Encrypt", 1, at)
	must[*Key](t)(f.Disable(f.onKey(authz.KMSDisableKey, k), k.ID))
	f.now(k).NoteUse(authz.KMSReEncryptTo, at.Add(time.Hour), [16]byte{5}, [16]byte{6})
	check("after a use by another snapshot", "ReEncrypt", 5, at.Add(time.Hour))
	for i := range 3 {
		k.NoteRefused(authz.KMSDecrypt, at.Add(time.Duration(i)*time.Minute), [16]byte{7}, [16]byte{8})
	}
	refused := func(when string, want int64) {
		t.Helper()
		n, last := f.now(k).Refused()
		if n != want || want > 0 && last != (LastUse{"Decrypt", at.Add(2 * time.Minute), [16]byte{7}, [16]byte{8}}) {
			t.Errorf("%s: Refused = %d, %+v, want %d", when, n, last, want)
		}
	}
	f.tick()
	f.reopen()
	check("after a tick and a restart", "ReEncrypt", 5, at.Add(time.Hour))
	refused("after a tick and a restart", 3)
	for i := range 2 { // what was saved once is saved again
		f.now(k).NoteUse(authz.KMSVerify, at.Add(time.Duration(i+2)*time.Hour), [16]byte{11}, [16]byte{12})
		f.tick()
	}
	f.reopen()
	check("after two uses with a tick each", "Verify", 11, at.Add(3*time.Hour))
	f.now(k).NoteUse(authz.KMSSign, at.Add(-10*year), [16]byte{9}, [16]byte{10}) // the clock was set back
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	check("after Close and a restart", "Sign", 9, at.Add(-10*year))
	must[*Key](t)(f.Enable(f.onKey(authz.KMSEnableKey, k), k.ID))
	refused("when the key is enabled", 0)
	f.tick()
	f.reopen()
	refused("and after a restart", 0)
	if got := f.now(k).TrackingStart(); !got.Equal(at) {
		t.Errorf("TrackingStart = %v, want %v, when the key was made", got, at)
	}
}

// Uses of keys that were made before kmsd tracked any are tracked since it does.
func TestTrackingStart(t *testing.T) {
	f := newClockFixture(t)
	k := f.mustCreate()
	if err := f.store.Update(func(tx *storage.Tx) error { return tx.Delete(kindClock, theOne) }); err != nil {
		t.Fatal(err)
	}
	f.clock.pass(time.Hour)
	f.open()
	f.clock.pass(time.Hour)
	for range 2 {
		f.open()
		if got, want := f.now(k).TrackingStart(), k.Created.Add(time.Hour); !got.Equal(want) {
			t.Errorf("TrackingStart = %v, want %v", got, want)
		}
	}
}

// What is noted while what was noted is saved is saved later, and nothing is lost.
func TestUsesWhileTheyAreSaved(t *testing.T) {
	f := newClockFixture(t)
	k := f.mustCreate()
	var noting sync.WaitGroup
	for range 4 {
		noting.Go(func() {
			for range 200 {
				k.NoteRefused(authz.KMSSign, f.clock.Wall(), [16]byte{}, [16]byte{})
			}
		})
	}
	for range 5 {
		f.tick()
	}
	noting.Wait()
	f.tick()
	f.reopen()
	if n, _ := f.now(k).Refused(); n != 800 {
		t.Errorf("%d refused uses after a restart, want 800", n)
	}
}

func TestNoteUseAllocatesNothing(t *testing.T) {
	f := newClockFixture(t)
	k, at := f.mustCreate(), f.clock.Wall()
	if n := testing.AllocsPerRun(100, func() { k.NoteUse(authz.KMSEncrypt, at, [16]byte{}, [16]byte{}) }); n != 0 {
		t.Errorf("NoteUse allocates %v times, want 0", n)
	}
}

func FuzzDecodeUsage(f *testing.F) {
	l := &usageLog{}
	u := l.of(testAccount, [16]byte{1})
	u.last.Store(&LastUse{"Encrypt", time.Unix(1, 0), [16]byte{1}, [16]byte{2}})
	f.Add(u.encode())
	u.refused.Store(&refusals{7, LastUse{"Decrypt", time.Unix(2, 0), [16]byte{3}, [16]byte{4}}})
	f.Add(u.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		u := l.of(testAccount, [16]byte{1})
		if err := u.decode(b); err == nil && string(u.encode()) != string(b) {
			t.Errorf("decode(%x) is encoded as %x", b, u.encode())
		}
	})
}

func BenchmarkNoteUse(b *testing.B) {
	f := newFixture(b)
	k := f.mustCreate()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			k.NoteUse(authz.KMSEncrypt, time.Unix(1, 0), [16]byte{}, [16]byte{})
		}
	})
}
