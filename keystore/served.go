package keystore

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/kmsd/kmsd/storage"
)

// served is for how long kmsd has served the store: the time in which it ran, by a clock that does not jump. It is guarded by core.mu.
type served struct {
	known    bool          // the store has a record
	before   time.Duration // in earlier runs
	wall     time.Time     // when the record was written
	tracking time.Time     // since when uses are tracked
}

// servedNow is how long kmsd has served the store up to now. ks.mu is held.
func (c *core) servedNow() time.Duration { return c.served.before + c.clock.Running() }

// encode is the record, of which there is one.
func (s served) encode() []byte {
	b := binary.BigEndian.AppendUint64([]byte{recordVersion}, uint64(s.before))
	return appendTime(appendTime(b, s.wall), s.tracking)
}

func (s *served) decode(value []byte) error {
	r := &reader{b: value}
	if v := r.byte(); v != recordVersion {
		r.fail(fmt.Sprintf("version %d of the clock", v))
	}
	*s = served{known: true, before: time.Duration(r.uint64()), wall: r.time(), tracking: r.time()}
	if s.before < 0 {
		r.fail("clock")
	}
	return r.end()
}

// putClock writes how long kmsd has served the store.
func (c *core) putClock(tx *storage.Tx) error {
	now := served{before: c.servedNow(), wall: c.clock.Wall(), tracking: c.served.tracking}
	return tx.Put(kindClock, theOne, now.encode())
}

// beginServing starts the account of the time. What this start of kmsd may add to it is since the store was last open.
func (ks *Keystore) beginServing(trust bool) error {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s := &ks.served
	now := ks.clock.Wall()
	s.before -= ks.clock.Running() // which may have begun long ago
	credit := now.Sub(s.wall)
	if s.known && trust && credit > 0 {
		if err := ks.onChange(ServiceEvent{Operation: TrustClock, Credit: credit}); err != nil {
			return err
		}
		ks.warn("the time since the store was last open counts towards the waiting periods of deletions", "since", s.wall, "credit", credit.String())
		s.before += credit
	}
	if s.known && !trust {
		ks.uses.start = s.tracking
		return nil
	}
	if !s.known {
		s.tracking = now
	}
	ks.uses.start = s.tracking
	if err := ks.transact(ks.putClock); err != nil {
		return err
	}
	s.known = true
	return nil
}

// saveClock writes how long kmsd has served the store, if a deletion waits for it.
func (ks *Keystore) saveClock() error {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if ks.Snapshot().deleting.Len() == 0 {
		return nil
	}
	return ks.transact(ks.putClock)
}

// maxDrift is by how much the clock of the machine may differ from the time that has passed before an operator is told.
const maxDrift = time.Hour

// watchClock compares the clock of the machine with the time that has passed since the last call.
type watchClock struct {
	wall    time.Time
	running time.Duration
	jumps   int
}

// look returns by how much the clock has jumped since the last look, 0 if that is within bounds.
func (w *watchClock) look(c Clock) time.Duration {
	wall, running := c.Wall(), c.Running()
	jump := wall.Sub(w.wall) - (running - w.running)
	first := w.wall.IsZero()
	w.wall, w.running = wall, running
	if first || jump.Abs() <= maxDrift {
		return 0
	}
	w.jumps++
	return jump
}
