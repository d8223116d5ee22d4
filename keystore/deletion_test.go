package keystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

const year = 365 * day

// clockStep is what happens to a kmsd: it runs for a while, may then be stopped, the clock of the machine moves by the rest, and it is started again.
type clockStep struct {
	wall, running time.Duration
	restart       bool // after Close, in a process whose clock begins anew
	kill          bool // without Close
}

func (f *fixture) take(s clockStep) {
	f.t.Helper()
	f.clock.pass(s.running)
	if s.restart {
		if err := f.Close(); err != nil {
			f.t.Fatal(err)
		}
	}
	f.clock.set(s.wall-s.running, 0)
	if s.restart || s.kill {
		f.clock.mu.Lock()
		f.clock.running = 0
		f.clock.mu.Unlock()
		f.open() // the file itself stays open: what is in it is there
	}
}

// A deletion with a waiting period of 7 days is never early, whatever the clock of the machine says and however often kmsd is started: after each
// scenario, in which it ran for less than 7 days or the date has not come, the key is there. 100 scenarios; reliability-tests.md R-93.
func TestDeletionIsNeverEarly(t *testing.T) {
	hour := clockStep{wall: time.Hour, running: time.Hour}
	scenarios := map[string][]clockStep{
		"the clock jumps ten years ahead":                     {{wall: 10 * year}},
		"and back":                                            {{wall: 10 * year}, {wall: -10 * year}, hour},
		"ten years back":                                      {{wall: -10 * year}, hour},
		"ten years back, and kmsd runs for a month":           {{wall: -10 * year}, {wall: 30 * day, running: 30 * day}},
		"ahead while kmsd does not run":                       {{wall: 10 * year, restart: true}, hour},
		"killed, and the clock jumps":                         {{wall: 10 * year, kill: true}, hour},
		"down for a month, as the clock says":                 {{wall: 30 * day, restart: true}},
		"six days, and then ahead":                            {{wall: 6 * day, running: 6 * day}, {wall: 10 * year}},
		"a second before the end":                             {{wall: 7*day - time.Second, running: 7*day - time.Second}},
		"the machine sleeps":                                  {{wall: 20 * day, running: 3 * day}, {wall: 20 * day, running: 3 * day}},
		"started every hour with a clock that gains ten":      slices.Repeat([]clockStep{{wall: 10 * time.Hour, running: time.Hour, restart: true}}, 40),
		"killed every hour":                                   slices.Repeat([]clockStep{{wall: 10 * time.Hour, running: time.Hour, kill: true}}, 40),
		"a leap second":                                       {{wall: 7*day - 2*time.Second, running: 7*day - time.Second}, {wall: -time.Second, running: time.Second}},
		"the date goes to the beginning of time":              {{wall: -50 * year}, {wall: 6 * day, running: 6 * day}},
		"kmsd runs for long, and the clock is an hour behind": {{wall: 7*day - time.Hour, running: 9 * day}},
	}
	random := rand.New(rand.NewPCG(93, 93))
	for n := len(scenarios); n < 100; n++ {
		var steps []clockStep
		for left := 7*day - time.Minute; len(steps) < 8; {
			ran := min(left, time.Duration(random.Int64N(int64(day))))
			left -= ran
			s := clockStep{wall: ran, running: ran}
			switch random.IntN(4) {
			case 0:
				s.wall += time.Duration(random.Int64N(int64(20*year))) - 10*year
			case 1:
				s.restart = true
				s.wall += time.Duration(random.Int64N(int64(2 * year)))
			case 2:
				s.kill = true
			}
			steps = append(steps, s)
		}
		scenarios[fmt.Sprintf("random %d", n)] = steps
	}
	f := newClockFixture(t)
	for name, steps := range scenarios {
		k := f.in(PendingDeletion, NewKey{})
		for i, s := range steps {
			f.take(s)
			if f.tick(); f.Snapshot().keys.Len() == 0 {
				t.Fatalf("%s: deleted in step %d of %d", name, i+1, len(steps))
			}
		}
		f.removeForTest(k)
	}
}

// removeForTest deletes a key without its waiting period.
func (f *fixture) removeForTest(k *Key) {
	f.t.Helper()
	k = f.now(k)
	if err := f.store.Update(func(tx *storage.Tx) error { return k.remove(tx, f.clock.Wall()) }); err != nil {
		f.t.Fatal(err)
	}
	f.snapshot.Store(f.Snapshot().withoutKey(k))
}

// Once both clocks have come to the end, the key is deleted, and not before it is in the audit log.
func TestDeletionComesInTheEnd(t *testing.T) {
	for name, steps := range map[string][]clockStep{
		"without incidents":            {{wall: 7 * day, running: 7 * day}},
		"a clock that was behind":      {{wall: -10 * year, running: 7 * day}, {wall: 10*year + 7*day}},
		"in pieces":                    slices.Repeat([]clockStep{{wall: day, running: day, restart: true}}, 7),
		"after a clock that was ahead": {{wall: 10 * year}, {running: 7 * day}},
	} {
		f := newClockFixture(t)
		k := f.in(PendingDeletion, NewKey{})
		for _, s := range steps {
			f.take(s)
		}
		f.refuse = errors.New("the audit log is away")
		f.events = nil
		if _, err := f.Tick(t.Context()); !errors.Is(err, f.refuse) || f.Snapshot().Len() != 1 {
			t.Errorf("%s: Tick without an audit log = %v, and there are %d keys, want its error and 1", name, err, f.Snapshot().Len())
		}
		f.refuse = nil
		if done := f.tick(); done.Deleted != 1 || f.Snapshot().Len() != 0 {
			t.Errorf("%s: Tick = %+v, and there are %d keys, want the deletion", name, done, f.Snapshot().Len())
		}
		if len(f.events) != 2 || f.events[1].Operation != DeleteKey || f.events[1].KeyARN != k.ARN {
			t.Errorf("%s: events = %+v, want two of the deletion", name, f.events)
		}
	}
}

// A deletion is not late by the time in which kmsd ran before it was scheduled, though kmsd is killed right after.
func TestDeletionAfterAKill(t *testing.T) {
	f := newClockFixture(t)
	f.clock.pass(100 * day)
	f.in(PendingDeletion, NewKey{})
	f.take(clockStep{kill: true})
	f.clock.pass(7 * day)
	if done := f.tick(); done.Deleted != 1 {
		t.Errorf("Tick = %+v, want the deletion", done)
	}
}

// What the process did before it opened the keystore does not count.
func TestTimeBeforeOpenDoesNotCount(t *testing.T) {
	f := newClockFixture(t)
	f.in(PendingDeletion, NewKey{})
	f.take(clockStep{wall: 30 * day, restart: true})
	f.clock.set(0, 100*day)
	f.open()
	if done := f.tick(); done.Deleted != 0 {
		t.Errorf("Tick = %+v, want no deletion", done)
	}
}

func TestTrustedClock(t *testing.T) {
	f := newClockFixture(t)
	f.in(PendingDeletion, NewKey{})
	f.take(clockStep{wall: 8 * day, restart: true})
	if done := f.tick(); done.Deleted != 0 {
		t.Fatal("the time in which kmsd did not run counted")
	}
	f.trust = true
	f.take(clockStep{wall: 8 * day, restart: true})
	if done := f.tick(); done.Deleted != 1 {
		t.Errorf("Tick = %+v with a clock that is trusted, want the deletion", done)
	}
	if len(f.events) != 2 || f.events[0].Operation != TrustClock || f.events[0].Credit != 8*day || len(f.warned) != 1 {
		t.Errorf("events = %+v and warnings %q, want TrustClock with 8 days first, and one warning", f.events, f.warned)
	}
}

// A keystore that is being closed begins no further deletion or rotation, of however many that are due.
func TestTickEndsWithItsContext(t *testing.T) {
	f := newClockFixture(t)
	f.in(PendingDeletion, NewKey{})
	f.rotateEvery(f.mustCreate(), 90)
	f.clock.pass(90 * day)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if done, err := f.Tick(ctx); !errors.Is(err, context.Canceled) || done.Deleted+done.Rotated != 0 {
		t.Errorf("Tick = %+v, %v, want nothing done and context.Canceled", done, err)
	}
	if done := f.tick(); done.Deleted != 1 || done.Rotated != 1 {
		t.Errorf("the next Tick = %+v, want both", done)
	}
}

// What Start began does what is due by itself, and saves the uses when it is closed.
func TestScheduler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newClockFixture(t)
		k := f.mustCreate()
		must[*Key](t)(f.schedule(f.mustCreate(), 7))
		f.Start()
		k.NoteUse(authz.KMSSign, f.clock.Wall(), [16]byte{1}, [16]byte{2})
		f.clock.pass(7*day - time.Minute)
		time.Sleep(tickInterval + 1)
		synctest.Wait()
		if f.Snapshot().Len() != 2 {
			t.Error("a key was deleted before its time")
		}
		f.clock.pass(time.Minute)
		time.Sleep(tickInterval)
		synctest.Wait()
		if f.Snapshot().Len() != 1 || len(f.warned) > 0 {
			t.Errorf("%d keys after the time of one, warnings %q, want 1", f.Snapshot().Len(), f.warned)
		}
		k.NoteUse(authz.KMSVerify, f.clock.Wall(), [16]byte{3}, [16]byte{4})
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		f.reopen()
		if last, _ := f.now(k).LastUse(); last.Operation != "Verify" {
			t.Errorf("the last use after Close is %+v, want Verify", last)
		}
	})
}

func TestClockJumpsAreTold(t *testing.T) {
	f := newClockFixture(t)
	f.tick()
	for _, tt := range []struct {
		name string
		step clockStep
		want time.Duration
	}{
		{"a minute passes", clockStep{wall: time.Minute, running: time.Minute}, 0},
		{"an hour is lost", clockStep{wall: time.Minute - time.Hour, running: time.Minute}, 0},
		{"more than an hour is lost", clockStep{wall: -time.Hour, running: time.Minute}, -time.Hour - time.Minute},
		{"ten years ahead", clockStep{wall: 10 * year}, 10 * year},
		{"a day passes between two ticks", clockStep{wall: day, running: day}, 0},
	} {
		f.warned = nil
		f.take(tt.step)
		if done := f.tick(); done.ClockOff != tt.want || (len(f.warned) == 1) != (tt.want != 0) {
			t.Errorf("%s: Tick = %+v with warnings %q, want a jump of %v", tt.name, done, f.warned, tt.want)
		}
	}
	if done := f.tick(); done.Jumps != 2 {
		t.Errorf("%d jumps counted, want 2", done.Jumps)
	}
}

// sealedAt returns what stands in the file at the value of a record: 16 bytes of it, as they are sealed there.
func (f *fixture) fileHas(pieces [][]byte) (n int) {
	f.t.Helper()
	file, err := os.ReadFile(f.cfg.Path)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, p := range pieces {
		if bytes.Contains(file, p) {
			n++
		}
	}
	return n
}

// sealedPieces returns the sealed bytes that the file has behind a path.
func (f *fixture) sealedPieces(path string) (pieces [][]byte) {
	f.t.Helper()
	file, err := os.ReadFile(f.cfg.Path)
	if err != nil {
		f.t.Fatal(err)
	}
	at := bytes.LastIndex(file, []byte(path))
	if at < 0 {
		f.t.Fatalf("the file does not have %s", path)
	}
	sealed := file[at+len(path):][:100]
	for i := 0; i+16 <= len(sealed); i += 8 {
		pieces = append(pieces, slices.Clone(sealed[i:i+16]))
	}
	return pieces
}

// What is deleted is nowhere in the file, nor in memory, and nothing of its name is used again but a tombstone.
func TestDeletionLeavesNothing(t *testing.T) {
	f := newClockFixture(t)
	k, other := f.in(Enabled, NewKey{}), f.in(Enabled, NewKey{})
	must[*Alias](t)(f.CreateAlias(f.onAlias(authz.KMSCreateAlias, "alias/x"), f.onKey(authz.KMSCreateAlias, k), testAccount, "alias/x", k.ID))
	f.fill(k, 20, eachAnother)
	k = f.now(k)
	k.NoteUse(authz.KMSEncrypt, f.clock.Wall(), [16]byte{1}, [16]byte{2})
	blob := f.encrypt(other, "kept")
	f.tick()
	pieces := f.sealedPieces(k.materialPath(k.Current()))
	if f.fileHas(pieces) < len(pieces) {
		t.Fatal("the test does not find what it looks for")
	}
	must[*Key](t)(f.schedule(k, 7))
	f.clock.pass(7 * day)
	if done := f.tick(); done.Deleted != 1 || done.Erased == 0 {
		t.Fatalf("Tick = %+v, want a deletion, and pages erased", done)
	}
	if n := f.fileHas(pieces); n > 0 {
		t.Errorf("%d of %d pieces of the sealed material are in the file", n, len(pieces))
	}
	if !k.Current().held.secret.IsZero() {
		t.Error("the material is in memory")
	}
	for range 2 {
		err := f.store.View(func(tx *storage.Tx) error {
			for _, kind := range []storage.Kind{kindKey, kindMaterial, kindAlias, kindGrant, kindUsage, kindErase} {
				err := tx.Walk(kind, "", func(path string, _ []byte) error {
					if bytes.Contains([]byte(path), []byte(k.Name)) || kind == kindAlias || kind == kindErase {
						t.Errorf("there is a record %s %s", kind, path)
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		s := f.Snapshot()
		if page, _ := s.Keys(testAccount, crypto.KeyID{}, 10); len(page) != 1 || page[0].ID != other.ID {
			t.Errorf("keys = %v, want the other one", page)
		}
		if page, _ := s.Aliases(testAccount, nil, "", 10); len(page) != 0 || s.retirable.Len() != 0 || s.deleting.Len() != 0 {
			t.Errorf("aliases = %v, retirable %d, want none", page, s.retirable.Len())
		}
		if err := f.store.Update(func(tx *storage.Tx) error { return k.neverWas(tx, s) }); err == nil {
			t.Error("the id of a deleted key can be used again")
		}
		if got := f.decrypt(other, blob); got != "kept" {
			t.Errorf("the other key decrypts to %q", got)
		}
		f.reopen()
	}
}

// A kmsd that is killed between the deletion and the clearing of the file clears it after its next start.
func TestFileIsClearedAfterACrash(t *testing.T) {
	f := newClockFixture(t)
	k := f.in(PendingDeletion, NewKey{})
	pieces := f.sealedPieces(k.materialPath(k.Current()))
	f.clock.pass(7 * day)
	if n, err := f.deleteDue(context.Background()); n != 1 || err != nil {
		t.Fatalf("deleteDue = %d, %v", n, err)
	}
	f.take(clockStep{kill: true})
	if f.fileHas(pieces) == 0 {
		t.Fatal("the sealed material was gone before the file was cleared: the test shows nothing")
	}
	if done := f.tick(); done.Erased == 0 {
		t.Errorf("Tick after the crash = %+v, want pages erased", done)
	}
	if n := f.fileHas(pieces); n > 0 {
		t.Errorf("%d pieces of the sealed material are in the file", n)
	}
	if done := f.tick(); done.Erased != 0 {
		t.Errorf("the next Tick = %+v, want nothing to do", done)
	}
}

// What is deleted while the file is cleared is cleared with the next tick.
func TestDeletionWhileTheFileIsCleared(t *testing.T) {
	f := newClockFixture(t)
	k, other := f.in(Enabled, NewKey{Origin: OriginExternal}), f.in(Enabled, NewKey{Origin: OriginExternal})
	f.tick()
	f.deleteMaterial(k, crypto.MaterialID{})
	before := f.toErase
	f.deleteMaterial(other, crypto.MaterialID{})
	if err := f.erased(before); err != nil {
		t.Fatal(err)
	}
	f.take(clockStep{kill: true})
	if done := f.tick(); done.Erased == 0 {
		t.Errorf("Tick = %+v, want pages erased", done)
	}
}
