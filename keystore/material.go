package keystore

import (
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
)

// named returns the version of a material, for a change of it.
func (e *edit) named(material crypto.MaterialID) (*Version, error) {
	v, ok := e.key.Version(material)
	if !ok {
		return nil, refuse(ErrNotFound, "%s has no key material %s.", e.key.ARN, material)
	}
	return v, nil
}

// replace puts a version that change has been applied to into the place of v.
func (e *edit) replace(v *Version, change func(*Version)) error {
	next := v.with(change)
	e.key.setVersion(next)
	e.out.material = v.Material
	return putMaterial(e.tx, e.key, next)
}

// DisableMaterial stops the use of a version that is not the current one: what was encrypted under it is not decrypted until EnableMaterial. The grant
// is for kms:DisableKeyMaterial on the key. Errors match ErrNotFound or ErrInvalidState.
func (ks *Keystore) DisableMaterial(g authz.Grant, id crypto.KeyID, material crypto.MaterialID) (*Key, error) {
	return ks.change(g, authz.KMSDisableKeyMaterial, id, func(e *edit) error {
		if err := e.alive(); err != nil {
			return err
		}
		v, err := e.named(material)
		switch {
		case err != nil:
			return err
		case v == e.key.current:
			return refuse(ErrInvalidState, "%s key material %s is the current one; disable the key, or rotate it first.", e.key.ARN, v.Name)
		case v.pending():
			return refuse(ErrInvalidState, "%s key material %s is pending rotation.", e.key.ARN, v.Name)
		}
		return e.replace(v, func(v *Version) { v.Disabled = true })
	})
}

// EnableMaterial lets a version be used again. The grant is for kms:EnableKeyMaterial on the key. Errors match ErrNotFound or ErrInvalidState.
func (ks *Keystore) EnableMaterial(g authz.Grant, id crypto.KeyID, material crypto.MaterialID) (*Key, error) {
	return ks.change(g, authz.KMSEnableKeyMaterial, id, func(e *edit) error {
		if err := e.alive(); err != nil {
			return err
		}
		v, err := e.named(material)
		if err != nil {
			return err
		}
		return e.replace(v, func(v *Version) { v.Disabled = false })
	})
}

// DeleteImportedMaterial deletes imported material at once: the current one if material is zero. The key is PendingImport until the same is imported
// again, unless it is pending deletion, or the material waits for its rotation. Material that is not there is no error. It returns which one it was; the
// id is zero of a key that never had any. When it has returned nobody can use the material any more; from the file it is gone soon after. The grant is
// for kms:DeleteImportedKeyMaterial on the key. Errors match ErrUnsupported (the material is kmsd's), ErrProtected or ErrNotFound.
func (ks *Keystore) DeleteImportedMaterial(g authz.Grant, id crypto.KeyID, material crypto.MaterialID) (*Key, crypto.MaterialID, error) {
	var old *Version
	k, out, err := ks.editWith(g, authz.KMSDeleteImportedKeyMaterial, id, func(e *edit) (err error) {
		if err := e.key.hasOrigin(OriginExternal); err != nil {
			return err
		}
		if err := e.key.unprotected(); err != nil {
			return err
		}
		v := e.key.current
		if !material.IsZero() {
			if v, err = e.named(material); err != nil {
				return err
			}
		}
		e.out.material = v.Material
		if v.Number == 0 || !v.Imported.Present {
			return nil
		}
		old = v
		return e.deleteMaterial(v)
	}, func() {
		if old != nil {
			ks.toErase++ // with the change: an erasure that began before does not count for it
		}
	})
	if err == nil && !out.repeated && old != nil {
		old.held.wipe()
		ks.hurry() // to clear the file of it
	}
	if k == nil {
		return nil, crypto.MaterialID{}, err
	}
	return k, out.material, err
}

// deleteMaterial deletes the material of a version.
func (e *edit) deleteMaterial(v *Version) error {
	if !v.pending() && e.key.State != PendingDeletion {
		e.key.setState(PendingImport, e.now)
	}
	if err := putErase(e.tx); err != nil {
		return err
	}
	return e.replace(v, func(v *Version) {
		v.Imported.Present, v.held = false, &held{}
	})
}
