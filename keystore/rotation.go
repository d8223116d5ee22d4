package keystore

import (
	"fmt"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
)

// The period of automatic rotation in days, from AWS KMS.
const (
	MinRotationDays   = 90
	MaxRotationDays   = 2560
	UsualRotationDays = 365
)

// conflictWindow is how long before an automatic rotation one on demand is refused.
const conflictWindow = 20 * time.Minute

const day = 24 * time.Hour

// rotatesAtAll refuses keys that have one version for ever.
func (k *Key) rotatesAtAll() error {
	if k.Spec != crypto.SpecSymmetricDefault {
		return refuse(ErrUnsupported, "%s key spec is %s which is not valid for this operation.", k.ARN, k.Spec)
	}
	return nil
}

// rotatesByItself refuses keys that are not rotated automatically.
func (k *Key) rotatesByItself() error {
	if err := k.rotatesAtAll(); err != nil {
		return err
	}
	return k.hasOrigin(OriginKMS)
}

// hasOrigin refuses keys of the other origin.
func (k *Key) hasOrigin(o Origin) error {
	if k.Origin != o {
		return refuse(ErrUnsupported, "%s origin is %s which is not valid for this operation.", k.ARN, k.Origin)
	}
	return nil
}

// RotationStatus is how a key is rotated.
type RotationStatus struct {
	Automatic    bool      // it is rotated by itself; false while it is pending deletion
	PeriodDays   int       // 0 unless Automatic
	Next         time.Time // when it will be, if it is enabled then; zero unless Automatic
	OnDemandLeft int       // how often Rotate can be called
}

// RotationStatus returns how the key is rotated. The error matches ErrUnsupported if keys of this spec or origin are not rotated by themselves; the
// status is right then too.
func (k *Key) RotationStatus() (RotationStatus, error) {
	status := RotationStatus{OnDemandLeft: MaxOnDemandRotations}
	if k.history != nil {
		status.OnDemandLeft = max(0, MaxOnDemandRotations-k.history.onDemand)
	}
	if d := k.dates(); d.rotates && k.State != PendingDeletion {
		status.Automatic, status.PeriodDays, status.Next = true, d.rotationDays, d.nextRotation
	}
	return status, k.rotatesByItself()
}

// EnableRotation lets a key be rotated by itself each time so many days have passed: 90 to 2560, else ErrValidation; 0 stands for the period that it
// had before, or 365. If it was rotated by itself already, the period that is under way gets the new length. The grant is for kms:EnableKeyRotation on the
// key. Errors match ErrUnsupported, ErrDisabled or ErrInvalidState.
func (ks *Keystore) EnableRotation(g authz.Grant, id crypto.KeyID, days int) (*Key, error) {
	if days != 0 && (days < MinRotationDays || days > MaxRotationDays) {
		return nil, fmt.Errorf("%w: the rotation period has %d to %d days", ErrValidation, MinRotationDays, MaxRotationDays)
	}
	return ks.change(g, authz.KMSEnableKeyRotation, id, func(e *edit) error {
		if err := e.key.rotatesByItself(); err != nil {
			return err
		}
		if err := e.key.enabled(e.now); err != nil {
			return err
		}
		e.key.setLife(func(l *life) {
			if days == 0 {
				days = l.rotationDays
			}
			if days == 0 {
				days = UsualRotationDays
			}
			began := e.now
			if l.rotates {
				began = l.nextRotation.Add(-time.Duration(l.rotationDays) * day)
			}
			l.rotates, l.rotationDays, l.nextRotation = true, days, began.Add(time.Duration(days)*day)
		})
		return nil
	})
}

// DisableRotation ends the rotation of a key by itself. The grant is for kms:DisableKeyRotation on the key. Errors match ErrUnsupported, ErrDisabled
// or ErrInvalidState.
func (ks *Keystore) DisableRotation(g authz.Grant, id crypto.KeyID) (*Key, error) {
	return ks.change(g, authz.KMSDisableKeyRotation, id, func(e *edit) error {
		if err := e.key.rotatesByItself(); err != nil {
			return err
		}
		if err := e.key.enabled(e.now); err != nil {
			return err
		}
		e.key.setLife(func(l *life) { l.rotates, l.nextRotation = false, time.Time{} })
		return nil
	})
}

// Rotate adds a version to a key and makes it the current one; of a key whose material is imported it is the version that waits for that. It
// returns the version's material id. The grant is for kms:RotateKeyOnDemand on the key. Errors match ErrUnsupported, ErrDisabled, ErrInvalidState,
// ErrLimitExceeded, ErrConflict (the key is about to be rotated by itself) or ErrTokenReused.
func (ks *Keystore) Rotate(g authz.Grant, id crypto.KeyID) (*Key, crypto.MaterialID, error) {
	var made *Version
	k, out, err := ks.edit(g, authz.KMSRotateKeyOnDemand, id, func(e *edit) (err error) {
		if err := e.mayRotate(); err != nil {
			return err
		}
		if e.key.Origin == OriginExternal {
			made, err = e.promoted()
		} else {
			made = newVersion(e.key, OnDemand, e.now, crypto.RandomSecret(crypto.KeySize))
		}
		if err != nil {
			return err
		}
		e.key.setVersion(made)
		e.out.material = made.Material
		return putMaterial(e.tx, e.key, made)
	})
	if err != nil && made != nil && made.Imported == nil {
		made.held.wipe()
	}
	if k == nil {
		return nil, crypto.MaterialID{}, err
	}
	return k, out.material, err
}

func (e *edit) mayRotate() error {
	if err := e.key.rotatesAtAll(); err != nil {
		return err
	}
	if err := e.key.enabled(e.now); err != nil {
		return err
	}
	status, _ := e.key.RotationStatus()
	if status.OnDemandLeft == 0 {
		return fmt.Errorf("%w: a key is rotated on demand at most %d times", ErrLimitExceeded, MaxOnDemandRotations)
	}
	if status.Automatic && status.Next.Sub(e.now) < conflictWindow {
		return refuse(ErrConflict, "%s is rotated by itself within %v.", e.key.ARN, conflictWindow)
	}
	return nil
}

// promoted is the version that waits for its rotation, as the current one.
func (e *edit) promoted() (*Version, error) {
	if e.key.history == nil || e.key.history.pending == nil || e.key.history.pending.missing(e.now) {
		return nil, refuse(ErrInvalidState, "%s has no key material pending rotation.", e.key.ARN)
	}
	return e.key.history.pending.with(func(v *Version) {
		v.Imported.pending, v.Created, v.Rotation = false, e.now, OnDemand
	}), nil
}

// rotateByItself is what the scheduler does with a key that is due.
func (e *edit) rotateByItself() error {
	made := newVersion(e.key, Automatic, e.now, crypto.RandomSecret(crypto.KeySize))
	e.key.setVersion(made)
	e.key.setLife(func(l *life) { l.nextRotation = e.now.Add(time.Duration(l.rotationDays) * day) })
	e.out.material = made.Material
	return putMaterial(e.tx, e.key, made)
}
