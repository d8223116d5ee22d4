package keystore

import (
	"context"
	"fmt"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

// The waiting period of a deletion in days, from AWS KMS.
const (
	MinWindowDays   = 7
	MaxWindowDays   = 30
	UsualWindowDays = 30
)

// ScheduleDeletion stops every use of a key, and lets it be deleted once so many days have passed: 7 to 30, else ErrValidation; 0 stands for 30. The key
// is deleted not before the clock has reached its deletion date, and not before kmsd has run for the waiting period, so that a clock that is
// wrong does not make it early (docs/adr/0005). The grant is for kms:ScheduleKeyDeletion on the key. Errors match ErrInvalidState or ErrProtected.
func (ks *Keystore) ScheduleDeletion(g authz.Grant, id crypto.KeyID, days int) (*Key, error) {
	if days == 0 {
		days = UsualWindowDays
	}
	if days < MinWindowDays || days > MaxWindowDays {
		return nil, fmt.Errorf("%w: the waiting period has %d to %d days", ErrValidation, MinWindowDays, MaxWindowDays)
	}
	return ks.change(g, authz.KMSScheduleKeyDeletion, id, func(e *edit) error {
		if err := e.alive(); err != nil {
			return err
		}
		if err := e.key.unprotected(); err != nil {
			return err
		}
		e.key.setState(PendingDeletion, e.now)
		served := ks.servedNow()
		e.key.setLife(func(l *life) {
			l.windowDays, l.deletion, l.servedBefore = days, e.now.Add(time.Duration(days)*day), served
		})
		return ks.putClock(e.tx)
	})
}

// unprotected refuses a key that is protected against deletion.
func (k *Key) unprotected() error {
	if k.DeletionProtection {
		return refuse(ErrProtected, "%s is protected against deletion; turn that off with UpdateKeyDeletionProtection first.", k.ARN)
	}
	return nil
}

// CancelDeletion keeps a key that is pending deletion: it is Disabled, or PendingImport if it lacks material. The grant is for kms:CancelKeyDeletion on
// the key. Errors match ErrInvalidState.
func (ks *Keystore) CancelDeletion(g authz.Grant, id crypto.KeyID) (*Key, error) {
	return ks.change(g, authz.KMSCancelKeyDeletion, id, func(e *edit) error {
		if e.key.State != PendingDeletion {
			return &StateError{e.key.ARN, e.key.State, "is not pending deletion"}
		}
		next := Disabled
		if e.key.materialMissing(e.now) {
			next = PendingImport
		}
		e.key.setState(next, e.now)
		e.key.setLife(func(l *life) { l.windowDays, l.deletion, l.servedBefore = 0, time.Time{}, 0 })
		return nil
	})
}

// SetDeletionProtection protects a key against deletion, or does so no longer. The grant is for kms:UpdateKeyDeletionProtection on the key. Errors
// match ErrInvalidState.
func (ks *Keystore) SetDeletionProtection(g authz.Grant, id crypto.KeyID, protected bool) (*Key, error) {
	return ks.change(g, authz.KMSUpdateKeyDeletionProtection, id, func(e *edit) error {
		e.key.DeletionProtection = protected
		return e.alive()
	})
}

// due says whether the waiting period of a key is over by both clocks.
func (l life) due(now time.Time, served time.Duration) bool {
	return !now.Before(l.deletion) && served-l.servedBefore >= time.Duration(l.windowDays)*day
}

// deleteDue deletes the keys whose waiting period is over, until ctx is done or one fails, and returns how many.
func (ks *Keystore) deleteDue(ctx context.Context) (n int, err error) {
	for name := range ks.Snapshot().deleting.All() {
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
		id, err := crypto.ParseKeyID(name)
		if err != nil {
			return n, err
		}
		deleted, err := ks.deleteIfDue(id)
		if err != nil {
			return n, fmt.Errorf("key %s: %w", name, err)
		}
		if deleted {
			n++
		}
	}
	return n, nil
}

func (ks *Keystore) deleteIfDue(id crypto.KeyID) (bool, error) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s, now := ks.Snapshot(), ks.clock.Wall()
	k, ok := s.Key(id)
	if !ok || k.State != PendingDeletion || !k.dates().due(now, ks.servedNow()) {
		return false, nil
	}
	if err := ks.onChange(ServiceEvent{Operation: DeleteKey, Account: k.Account(), KeyARN: k.ARN, KeyID: k.Name}); err != nil {
		return false, err
	}
	if err := ks.transact(func(tx *storage.Tx) error { return k.remove(tx, now) }); err != nil {
		return false, err
	}
	ks.snapshot.Store(s.withoutKey(k))
	ks.toErase++
	for v := range k.versions() {
		v.held.wipe()
	}
	return true, nil
}

// remove deletes everything of a key but a tombstone, and says that the file is to be cleared of it.
func (k *Key) remove(tx *storage.Tx, now time.Time) error {
	if err := tx.Put(kindTombstone, k.Name, appendTime([]byte{recordVersion}, now)); err != nil {
		return err
	}
	if err := tx.Delete(kindKey, keyPath(k.Account(), k.ID)); err != nil {
		return err
	}
	for v := range k.versions() {
		if err := tx.Delete(kindMaterial, k.materialPath(v)); err != nil {
			return err
		}
	}
	for _, name := range k.Aliases() {
		if err := tx.Delete(kindAlias, aliasPath(k.Account(), name)); err != nil {
			return err
		}
	}
	for _, g := range k.grants.byID.All() {
		if err := tx.Delete(kindGrant, grantPath(k, g.ID)); err != nil {
			return err
		}
	}
	if err := deleteIfThere(tx, kindUsage, keyPath(k.Account(), k.ID)); err != nil {
		return err
	}
	if err := k.removeParameters(tx); err != nil {
		return err
	}
	return putErase(tx)
}
