package keystore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

// What the keystore does by itself.
const (
	DeleteKey                = "DeleteKey"                // the waiting period of a deletion is over
	RotateKey                = "RotateKey"                // the rotation period is over
	DeleteExpiredKeyMaterial = "DeleteExpiredKeyMaterial" // imported material has expired
	TrustClock               = "TrustClock"               // Config.TrustClock counts time in which kmsd did not run
	ExpiredGrantsRemoved     = "ExpiredGrantsRemoved"     // as it says; the one that comes after what it tells of
)

// ServiceEvent is something that the keystore is about to do by itself.
type ServiceEvent struct {
	Operation  string // one of the above
	Account    string // who owns the key; empty if it is about none
	KeyARN     string
	KeyID      string
	MaterialID string        // of the version that expires, or that was current before the rotation
	Credit     time.Duration // of TrustClock
	Count      int           // of ExpiredGrantsRemoved
}

// tickInterval is how often the keystore looks for what is due.
const tickInterval = time.Minute

// Start lets the keystore do by itself what is due, at once and then every minute, until Close.
func (ks *Keystore) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	ks.stop = cancel
	ks.scheduler.Go(func() { ks.schedule(ctx) })
}

func (ks *Keystore) schedule(ctx context.Context) {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	for {
		if _, err := ks.Tick(ctx); err != nil && ctx.Err() == nil {
			ks.warn("doing what is due", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-ks.wake:
		}
	}
}

// hurry lets the scheduler look for what is due without waiting.
func (ks *Keystore) hurry() {
	select {
	case ks.wake <- struct{}{}:
	default: // it is about to
	}
}

// Close ends what Start began, and makes durable what is known of the uses of keys and of the time. Call it once, when nobody uses the keystore any
// more, before the store is closed. It does not close the store.
func (ks *Keystore) Close() error {
	if ks.stop != nil {
		ks.stop()
	}
	ks.scheduler.Wait()
	return errors.Join(ks.saveUsage(), ks.saveClock())
}

// Ticked is what a Tick did.
type Ticked struct {
	Deleted  int           // keys
	Rotated  int           // keys
	Expired  int           // versions whose imported material was deleted
	Grants   int           // that had expired
	Erased   int           // pages of the store's file that were overwritten
	ClockOff time.Duration // by how much the clock of the machine has jumped against the time that passed; 0 if by less than an hour
	Jumps    int           // how often it has, since kmsd was started
}

// Tick does what is due: it deletes keys whose waiting period is over, rotates keys whose rotation period is, deletes imported material and
// import parameters that have expired and grants that have, saves what is known of the uses of keys, and clears the file of what was deleted. What
// fails is tried again at the next Tick; what is due of other kinds is done nevertheless. When ctx is done it ends with the key that it is at. The scheduler
// calls it once a minute.
func (ks *Keystore) Tick(ctx context.Context) (done Ticked, err error) {
	ks.ticking.Lock()
	defer ks.ticking.Unlock()
	if done.ClockOff = ks.watched.look(ks.clock); done.ClockOff != 0 {
		ks.warn("the clock of the machine has jumped; deletions are not made earlier by that", "by", done.ClockOff.String(), "jumps", ks.watched.jumps)
	}
	done.Jumps = ks.watched.jumps
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"deleting keys", func() (err error) { done.Deleted, err = ks.deleteDue(ctx); return err }},
		{"rotating keys and deleting expired key material", func() error { return ks.doDue(ctx, &done) }},
		{"removing import parameters", ks.removeExpiredParameters},
		{"removing grants", func() (err error) { done.Grants, err = ks.sweepAndTell(); return err }},
		{"saving the uses of keys", ks.saveUsage},
		{"saving the time", ks.saveClock},
		{"clearing the file of what was deleted", func() (err error) { done.Erased, err = ks.eraseFile(ctx); return err }},
	} {
		if failed := step.do(); failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", step.what, failed))
		}
	}
	return done, err
}

// sweepAndTell removes the grants that have expired, which allow nothing any more, and tells how many.
func (ks *Keystore) sweepAndTell() (int, error) {
	n, err := ks.Sweep(ks.clock.Wall())
	if n > 0 {
		err = errors.Join(err, ks.onChange(ServiceEvent{Operation: ExpiredGrantsRemoved, Count: n}))
	}
	return n, err
}

// doDue rotates the keys that are due, and deletes the material that is, until ctx is done or one fails.
func (ks *Keystore) doDue(ctx context.Context, done *Ticked) error {
	var due []crypto.KeyID
	now := ks.clock.Wall()
	for order, id := range ks.Snapshot().due.All() {
		if order[:len(order)-keyIDSize] > timeOrder(now) {
			break
		}
		due = append(due, id)
	}
	for _, id := range due {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := ks.doDueOf(id, now, done); err != nil {
			return fmt.Errorf("key %s: %w", id, err)
		}
	}
	return nil
}

// doDueOf does what is due of one key.
func (ks *Keystore) doDueOf(id crypto.KeyID, now time.Time, done *Ticked) error {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s := ks.Snapshot()
	k, ok := s.Key(id)
	if !ok {
		return nil
	}
	for v := range k.versions() {
		if v.Imported == nil || !v.Imported.expired(now) {
			continue
		}
		if err := ks.expire(k, v); err != nil {
			return err
		}
		done.Expired++
		s = ks.Snapshot()
		k, _ = s.Key(id)
	}
	if d := k.dates(); !d.rotates || k.State != Enabled || now.Before(d.nextRotation) {
		return nil
	}
	event := ServiceEvent{Operation: RotateKey, Account: k.Account(), KeyARN: k.ARN, KeyID: k.Name, MaterialID: k.current.Name}
	if err := ks.onChange(event); err != nil {
		return err
	}
	if _, _, err := ks.editHeld(s, k, (*edit).rotateByItself, nil); err != nil {
		return err
	}
	done.Rotated++
	return nil
}

// expire deletes material that has expired.
func (ks *Keystore) expire(k *Key, v *Version) error {
	event := ServiceEvent{Operation: DeleteExpiredKeyMaterial, Account: k.Account(), KeyARN: k.ARN, KeyID: k.Name, MaterialID: v.Name}
	if err := ks.onChange(event); err != nil {
		return err
	}
	_, _, err := ks.editHeld(ks.Snapshot(), k, func(e *edit) error { return e.deleteMaterial(v) }, func() { ks.toErase++ })
	if err == nil {
		v.held.wipe()
	}
	return err
}

// putErase says in the store that the file is to be cleared of what was deleted, until eraseFile has done so.
func putErase(tx *storage.Tx) error { return tx.Put(kindErase, theOne, []byte{recordVersion}) }

// eraseFile overwrites what the file has of what was deleted, if anything was.
func (ks *Keystore) eraseFile(ctx context.Context) (pages int, err error) {
	ks.mu.Lock()
	before := ks.toErase
	ks.mu.Unlock()
	if before == 0 {
		return 0, nil
	}
	if pages, err = ks.store.Erase(ctx); err != nil {
		return pages, err
	}
	return pages, ks.erased(before)
}

// erased takes note that the file was cleared of what was deleted up to the change with this number. If there were others since, the next tick goes
// on.
func (ks *Keystore) erased(upTo int) error {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if ks.toErase != upTo {
		return nil
	}
	err := ks.transact(func(tx *storage.Tx) error { return deleteIfThere(tx, kindErase, theOne) })
	if err == nil {
		ks.toErase = 0
	}
	return err
}
