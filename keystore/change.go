package keystore

import (
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

// edit is a change of a key in the making.
type edit struct {
	now time.Time
	tx  *storage.Tx
	s   *Snapshot // before the change
	key *Key      // after the change; nobody else sees it yet
	out outcome
}

// edit makes a change of a key in one transaction and publishes it, unless apply refuses it. The record of the key is written after apply. When
// the error is nil and the outcome is not repeated, the change was made.
func (ks *Keystore) edit(g authz.Grant, a authz.Action, id crypto.KeyID, apply func(*edit) error) (*Key, outcome, error) {
	return ks.editWith(g, a, id, apply, nil)
}

// editWith is edit that calls made, with ks.mu held, once the change is made.
func (ks *Keystore) editWith(g authz.Grant, a authz.Action, id crypto.KeyID, apply func(*edit) error, made func()) (*Key, outcome, error) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s := ks.Snapshot()
	k, err := s.permitted(g, a, id)
	if err != nil {
		return nil, outcome{}, err
	}
	return ks.editHeld(s, k, apply, made)
}

// editHeld is editWith with ks.mu held, and without a permission.
func (ks *Keystore) editHeld(s *Snapshot, k *Key, apply func(*edit) error, made func()) (*Key, outcome, error) {
	copied := *k
	e := &edit{now: ks.clock.Wall(), s: s, key: &copied, out: outcome{key: k.ID}}
	out, err := ks.once(k.Account(), e.now, func(tx *storage.Tx) (outcome, error) {
		e.tx = tx
		if err := apply(e); err != nil {
			return outcome{}, err
		}
		return e.out, putKey(tx, e.key)
	})
	if out.repeated {
		e.key = k
	}
	if err == nil && !out.repeated {
		ks.snapshot.Store(s.withKey(e.key))
		if made != nil {
			made()
		}
	}
	changed, err := would(e.key, err)
	return changed, out, err
}

// change is edit for what leaves nothing but the key.
func (ks *Keystore) change(g authz.Grant, a authz.Action, id crypto.KeyID, apply func(*edit) error) (*Key, error) {
	k, _, err := ks.edit(g, a, id, apply)
	return k, err
}

func (s *Snapshot) permitted(g authz.Grant, a authz.Action, id crypto.KeyID) (*Key, error) {
	k, ok := s.Key(id)
	if !ok {
		return nil, ErrNotFound
	}
	if !g.Permits(a, k.ARN) {
		return nil, ErrNotPermitted
	}
	return k, nil
}

func putKey(tx *storage.Tx, k *Key) error {
	return tx.Put(kindKey, keyPath(k.Account(), k.ID), k.encode())
}

func putMaterial(tx *storage.Tx, k *Key, v *Version) error {
	value := v.encode()
	defer clear(value)
	return tx.Put(kindMaterial, k.materialPath(v), value)
}

// alive refuses a key that is pending deletion.
func (e *edit) alive() error { return e.key.in(e.now, Enabled, Disabled, PendingImport) }

// UpdateDescription changes a key's description, unless it is pending deletion. The grant is for kms:UpdateKeyDescription on the key. Errors match
// ErrInvalidState. As with every change of a key: what is returned is the key as it is then, and durable.
func (ks *Keystore) UpdateDescription(g authz.Grant, id crypto.KeyID, description string) (*Key, error) {
	return ks.change(g, authz.KMSUpdateKeyDescription, id, func(e *edit) error {
		e.key.Description = description
		return e.alive()
	})
}

// Enable lets a key be used. If it should have been rotated meanwhile, it is soon after. The grant is for kms:EnableKey on the key. Errors match
// ErrInvalidState.
func (ks *Keystore) Enable(g authz.Grant, id crypto.KeyID) (*Key, error) {
	k, out, err := ks.edit(g, authz.KMSEnableKey, id, func(e *edit) error {
		if err := e.key.in(e.now, Enabled, Disabled); err != nil {
			return err
		}
		e.key.setState(Enabled, e.now)
		return nil
	})
	if err == nil && !out.repeated {
		k.use.forgetRefusals()
		if due := k.nextDue(); !due.IsZero() && !ks.clock.Wall().Before(due) {
			ks.hurry()
		}
	}
	return k, err
}

// Disable stops every use of a key that begins after it returns. The grant is for kms:DisableKey on the key. Errors match ErrInvalidState.
func (ks *Keystore) Disable(g authz.Grant, id crypto.KeyID) (*Key, error) {
	return ks.change(g, authz.KMSDisableKey, id, func(e *edit) error {
		if err := e.key.in(e.now, Enabled, Disabled); err != nil {
			return err
		}
		e.key.setState(Disabled, e.now)
		return nil
	})
}

// PutPolicy replaces a key's policy, in whatever state it is. The grant is for kms:PutKeyPolicy on the key.
func (ks *Keystore) PutPolicy(g authz.Grant, id crypto.KeyID, p *Policy) (*Key, error) {
	return ks.change(g, authz.KMSPutKeyPolicy, id, func(e *edit) error {
		e.key.setPolicy(p, e.now)
		return nil
	})
}
