package keystore

import (
	"errors"
	"fmt"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
	"github.com/kmsd/kmsd/crypto/keywrap"
	"github.com/kmsd/kmsd/storage"
)

// ImportType is whether imported material is new to its key. Its values are AWS's names.
type ImportType string

// The import types.
const (
	NewMaterial      ImportType = "NEW_KEY_MATERIAL"      // that the key has not had
	ExistingMaterial ImportType = "EXISTING_KEY_MATERIAL" // that the key has had
)

// Limits of imports.
const (
	maxWrapped             = 6144
	maxMaterialDescription = 256
	maxValidity            = 365 * day
)

// Import is material on its way in.
type Import struct {
	Token       []byte            // of ParametersForImport
	Wrapped     []byte            // the material, wrapped; 1 to 6144 bytes
	Type        ImportType        // empty stands for new if the key never had material, and for existing otherwise
	Material    crypto.MaterialID // which of the key's materials it must be; zero for whichever
	Description string            // 0 to 256 characters of [a-zA-Z0-9:/_ .-]; empty leaves the one of existing material
	ValidTo     time.Time         // until when it is good, at most 365 days ahead; zero for ever
}

// check looks at what does not depend on the key.
func (in *Import) check(now time.Time) error {
	switch {
	case in.Type != "" && in.Type != NewMaterial && in.Type != ExistingMaterial:
		return fmt.Errorf("%w: there is no such import type", ErrValidation)
	case len(in.Wrapped) == 0 || len(in.Wrapped) > maxWrapped:
		return fmt.Errorf("%w: wrapped key material has 1 to %d bytes", ErrValidation, maxWrapped)
	case !in.Material.IsZero() && in.Type == NewMaterial:
		return fmt.Errorf("%w: new key material has no id", ErrValidation)
	case !in.ValidTo.IsZero() && (!in.ValidTo.After(now) || in.ValidTo.Sub(now) > maxValidity):
		return fmt.Errorf("%w: key material expires within 365 days, and not before it is imported", ErrValidation)
	case len(in.Description) > maxMaterialDescription:
		return fmt.Errorf("%w: the description of key material has at most %d characters", ErrValidation, maxMaterialDescription)
	}
	for _, c := range []byte(in.Description) {
		if c != ':' && c != '.' && c != ' ' && !isAliasByte(c) {
			return fmt.Errorf("%w: the description of key material has only the characters a-z A-Z 0-9 : / _ . - and space", ErrValidation)
		}
	}
	return nil
}

// ImportMaterial gives a key of origin EXTERNAL material, and returns the version's material id. The first material makes the key Enabled; existing
// material that was deleted or has expired comes back, and the key is Enabled once nothing is missing; further new material, of symmetric keys
// only, waits for Rotate. The token is used up if and only if the import succeeds. The grant is for kms:ImportKeyMaterial on the key.
//
// Errors match ErrValidation, ErrUnsupported (the key's material is kmsd's, or it takes no other), ErrDisabled, ErrInvalidState, ErrInvalidImportToken,
// ErrExpiredImportToken, keywrap.ErrUnwrap, crypto.ErrMaterial (it is none of the key's spec), ErrIncorrectMaterial (it is not the one that the key had,
// or not new), crypto.ErrFIPS. The material is looked at while other changes go on. A dry run does not look into what is wrapped.
func (ks *Keystore) ImportMaterial(g authz.Grant, id crypto.KeyID, in Import) (*Key, crypto.MaterialID, error) {
	now := ks.clock.Wall()
	if err := in.check(now); err != nil {
		return nil, crypto.MaterialID{}, err
	}
	k, err := ks.Snapshot().permitted(g, authz.KMSImportKeyMaterial, id)
	if err != nil {
		return nil, crypto.MaterialID{}, err
	}
	o := &opened{in: in}
	before, repeated, err := ks.before(k.Account())
	if err != nil {
		return nil, crypto.MaterialID{}, err
	}
	if repeated && !ks.dry {
		return k, before.material, nil
	}
	if !repeated {
		if err := ks.openImport(k, o, now); err != nil {
			return nil, crypto.MaterialID{}, err
		}
	}
	var path string
	k, out, err := ks.editWith(g, authz.KMSImportKeyMaterial, id, func(e *edit) error {
		path = e.key.parametersPath(in.Token)
		return e.importMaterial(o)
	}, func() {
		ks.params = ks.params.withoutPath(path)
		ks.toErase++
	})
	if err != nil && o.secret.Len() > 0 {
		o.secret.Wipe()
	}
	if k == nil {
		return nil, crypto.MaterialID{}, err
	}
	return k, out.material, err
}

func (q expiryQueue) withoutPath(path string) expiryQueue {
	for _, r := range q {
		if r.path == path {
			return q.without(expiryQueue{r})
		}
	}
	return q
}

// opened is an import whose material has been looked at.
type opened struct {
	in         Import
	secret     crypto.Secret // canonical; nothing in a dry run
	commitment [32]byte
}

// takesMaterial says whether the key is one for an import.
func (k *Key) takesMaterial(now time.Time) error {
	if err := k.hasOrigin(OriginExternal); err != nil {
		return err
	}
	return k.in(now, Enabled, PendingImport)
}

// openImport unwraps the material, which may take a second for RSA.
func (ks *Keystore) openImport(k *Key, o *opened, now time.Time) error {
	if err := k.takesMaterial(now); err != nil {
		return err
	}
	var p parameters
	err := ks.store.View(func(tx *storage.Tx) (err error) {
		p, err = k.parametersOf(tx, o.in.Token, now)
		return err
	})
	if err != nil {
		return err
	}
	defer p.private.Wipe()
	if ks.dry {
		return nil
	}
	raw, err := keywrap.Unwrap(p.algorithm, p.private, o.in.Token, o.in.Wrapped)
	if err != nil {
		return err
	}
	defer raw.Wipe()
	if o.secret, err = keypair.Canonical(k.Spec, raw); err != nil {
		return err
	}
	c, err := ks.withCommitter()
	if err != nil {
		return err
	}
	o.commitment = c.commit(k.ID, o.secret)
	return nil
}

// parametersOf reads the parameters of a token. Errors match ErrInvalidImportToken or ErrExpiredImportToken.
func (k *Key) parametersOf(tx *storage.Tx, token []byte, now time.Time) (parameters, error) {
	end, ok := importTokenEnd(token, k.ID)
	if !ok {
		return parameters{}, fmt.Errorf("%w: it is not one for this key", ErrInvalidImportToken)
	}
	value, err := tx.Get(kindParams, k.parametersPath(token))
	if errors.Is(err, storage.ErrNotFound) {
		if !now.Before(end) { // it may have been one: the parameters of such are removed
			return parameters{}, ErrExpiredImportToken
		}
		return parameters{}, fmt.Errorf("%w: it was not made here, or has been used", ErrInvalidImportToken)
	}
	if err != nil {
		return parameters{}, err
	}
	p, err := decodeParameters(value)
	if err != nil {
		return parameters{}, err
	}
	if !now.Before(p.expires) {
		p.private.Wipe()
		return parameters{}, ErrExpiredImportToken
	}
	return p, nil
}

// importMaterial makes the change.
func (e *edit) importMaterial(o *opened) error {
	if err := e.key.takesMaterial(e.now); err != nil {
		return err
	}
	p, err := e.key.parametersOf(e.tx, o.in.Token, e.now)
	if err != nil {
		return err
	}
	p.private.Wipe()
	v, err := e.imported(o)
	if err != nil {
		return err
	}
	e.key.setVersion(v)
	e.out.material = v.Material
	if e.key.StateAt(e.now) == PendingImport && !e.key.materialMissing(e.now) {
		e.key.setState(Enabled, e.now)
	}
	if err := e.tx.Delete(kindParams, e.key.parametersPath(o.in.Token)); err != nil {
		return err
	}
	if err := putErase(e.tx); err != nil { // of the wrapping key, so that what was wrapped with it stays closed
		return err
	}
	return putMaterial(e.tx, e.key, v)
}

// imported is the version that the material belongs to, with it.
func (e *edit) imported(o *opened) (*Version, error) {
	kind := o.in.Type
	if kind == "" {
		kind = ExistingMaterial
		if e.key.current.Number == 0 {
			kind = NewMaterial
		}
	}
	old, known := e.key.committed(o.commitment)
	if o.secret.IsZero() { // a dry run does not know
		old, known = e.expected(o, kind)
	}
	if kind == NewMaterial {
		if err := e.takesNew(known); err != nil {
			return nil, err
		}
		v := newVersion(e.key, Creation, e.now, o.secret)
		v.Imported = &Imported{pending: e.key.current.Number != 0}
		if v.Imported.pending {
			v.Rotation = OnDemand
		}
		o.fill(v)
		return v, nil
	}
	if !known || !o.in.Material.IsZero() && old.Material != o.in.Material {
		return nil, refuse(ErrIncorrectMaterial, "The key material in the request is not the key material that was imported into this key before.")
	}
	return old.with(o.fill), nil
}

// expected is the version that existing material would be of.
func (e *edit) expected(o *opened, kind ImportType) (*Version, bool) {
	if kind == NewMaterial || o.in.Material.IsZero() {
		return e.key.current, kind == ExistingMaterial && e.key.current.Number != 0
	}
	return e.key.Version(o.in.Material)
}

// fill gives a version that nobody else sees yet what was imported.
func (o *opened) fill(v *Version) {
	i := v.Imported
	i.Present, i.ValidTo, i.commitment = true, o.in.ValidTo.Round(0), o.commitment
	if !i.ValidTo.IsZero() {
		i.ValidTo = i.ValidTo.UTC()
	}
	if o.in.Description != "" {
		i.Description = o.in.Description
	}
	v.held = &held{secret: o.secret}
}

// takesNew says whether the key takes material that it has not had.
func (e *edit) takesNew(known bool) error {
	k := e.key
	switch {
	case k.current.Number == 0:
		return nil
	case k.Spec != crypto.SpecSymmetricDefault:
		return refuse(ErrUnsupported, "%s key spec is %s: its key material can not be replaced by other.", k.ARN, k.Spec)
	case k.history != nil && k.history.pending != nil:
		return refuse(ErrInvalidState, "%s already has key material pending rotation.", k.ARN)
	case known:
		return refuse(ErrIncorrectMaterial, "The key material in the request is not new to this key.")
	}
	return k.enabled(e.now)
}
