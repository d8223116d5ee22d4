package keystore

import (
	"errors"
	"fmt"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

// NewKey is what CreateKey makes a key of.
type NewKey struct {
	Account     string
	Description string
	Policy      *Policy
	Tags        []Tag
	Token       Token
}

// CreateKey makes a key with one version and returns it, or the key that n.Token already stands for. The grant is for
// kms:CreateKey on "*". Durable on return. Errors match ErrTag, ErrLimitExceeded or ErrTokenReused.
func (ks *Keystore) CreateKey(g authz.Grant, n NewKey) (*Key, error) {
	if !g.Permits(authz.KMSCreateKey, "*") {
		return nil, ErrNotPermitted
	}
	tags, err := mergeTags(nil, n.Tags)
	if err != nil {
		return nil, err
	}
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s, now := ks.Snapshot(), time.Now().UTC()
	k := ks.place.newKey(n.Account, crypto.NewKeyID(), now)
	k.Description = n.Description
	k.setPolicy(n.Policy, now)
	k.setTags(tags)
	k.addVersion(newVersion(k, Creation, now))
	made := k
	err = ks.transact(func(tx *storage.Tx) error {
		before, err := n.Token.repeats(tx, n.Account, now)
		if err != nil {
			return err
		}
		if before != nil {
			made, err = s.recorded(before)
			return err
		}
		if a, _ := s.accounts.Load(n.Account); a.keys.Len() >= MaxKeysPerAccount {
			return fmt.Errorf("%w: an account has at most %d keys", ErrLimitExceeded, MaxKeysPerAccount)
		}
		if err := putKey(tx, k); err != nil {
			return err
		}
		if err := putMaterial(tx, k); err != nil {
			return err
		}
		return ks.tokens.remember(tx, n.Token, n.Account, k, now)
	})
	if err != nil {
		k.disarm()
	}
	if err != nil || made != k {
		return would(made, err)
	}
	ks.tokens.committed(n.Token, n.Account, now)
	ks.snapshot.Store(s.withKey(k))
	return k, nil
}

// disarm takes the material from the current version of a key that was not stored, so that nobody encrypts under what will be gone.
func (k *Key) disarm() { k.Current().secret = crypto.Secret{} }

func newVersion(k *Key, why Rotation, now time.Time) *Version {
	material := crypto.NewMaterialID()
	return &Version{
		Number: len(k.versions) + 1, Material: material, Name: material.String(), Created: now, Rotation: why,
		id: k.ID, secret: crypto.RandomSecret(32),
	}
}

func putKey(tx *storage.Tx, k *Key) error {
	return tx.Put(kindKey, keyPath(k.Account(), k.ID), mustJSON(k.record()))
}

// putMaterial writes the current version of k.
func putMaterial(tx *storage.Tx, k *Key) error {
	v := k.Current()
	return tx.Put(kindMaterial, materialPath(k.Account(), k.ID, v.Number), encodeMaterial(v))
}

// change applies a change of metadata to a key.
func (ks *Keystore) change(g authz.Grant, a authz.Action, id crypto.KeyID, apply func(*Key)) (*Key, error) {
	return ks.changeIf(g, a, id, func(k *Key) error { apply(k); return nil })
}

// changeIf applies a change of metadata to a key, unless apply refuses it.
func (ks *Keystore) changeIf(g authz.Grant, a authz.Action, id crypto.KeyID, apply func(*Key) error) (*Key, error) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s := ks.Snapshot()
	k, err := s.permitted(g, a, id)
	if err != nil {
		return nil, err
	}
	next := *k
	if err := apply(&next); err != nil {
		return nil, err
	}
	if err := ks.transact(func(tx *storage.Tx) error { return putKey(tx, &next) }); err != nil {
		return would(&next, err)
	}
	ks.snapshot.Store(s.withKey(&next))
	return &next, nil
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

// UpdateDescription changes a key's description. The grant is for kms:UpdateKeyDescription on the key.
func (ks *Keystore) UpdateDescription(g authz.Grant, id crypto.KeyID, description string) (*Key, error) {
	return ks.change(g, authz.KMSUpdateKeyDescription, id, func(k *Key) { k.Description = description })
}

// Enable lets a key be used. The grant is for kms:EnableKey on the key.
func (ks *Keystore) Enable(g authz.Grant, id crypto.KeyID) (*Key, error) {
	return ks.change(g, authz.KMSEnableKey, id, func(k *Key) { k.State = Enabled })
}

// Disable stops every use of a key that begins after it returns. The grant is for kms:DisableKey on the key.
func (ks *Keystore) Disable(g authz.Grant, id crypto.KeyID) (*Key, error) {
	return ks.change(g, authz.KMSDisableKey, id, func(k *Key) { k.State = Disabled })
}

// PutPolicy replaces a key's policy. The grant is for kms:PutKeyPolicy on the key.
func (ks *Keystore) PutPolicy(g authz.Grant, id crypto.KeyID, p *Policy) (*Key, error) {
	return ks.change(g, authz.KMSPutKeyPolicy, id, func(k *Key) { k.setPolicy(p, time.Now().UTC()) })
}

// Rotate adds a version to an enabled key and makes it the current one; token makes it idempotent. It returns the
// version that was made. The grant is for kms:RotateKeyOnDemand on the key. Errors match ErrDisabled, ErrLimitExceeded or
// ErrTokenReused.
func (ks *Keystore) Rotate(g authz.Grant, id crypto.KeyID, token Token) (*Key, crypto.MaterialID, error) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s, now := ks.Snapshot(), time.Now().UTC()
	k, err := s.permitted(g, authz.KMSRotateKeyOnDemand, id)
	if err != nil {
		return nil, crypto.MaterialID{}, err
	}
	next := k.with(func(k *Key) { k.addVersion(newVersion(k, OnDemand, now)) })
	material, repeated := next.Current().Material, false
	err = ks.transact(func(tx *storage.Tx) error {
		before, err := token.repeats(tx, k.Account(), now)
		if err != nil {
			return err
		}
		if before != nil {
			repeated = true
			material, err = crypto.ParseMaterialID(before.Material)
			return err
		}
		if k.State != Enabled {
			return &StateError{k.ARN, k.State}
		}
		if rotations := len(k.versions) - 1; rotations >= MaxOnDemandRotations {
			return fmt.Errorf("%w: a key is rotated on demand at most %d times", ErrLimitExceeded, MaxOnDemandRotations)
		}
		if err := putMaterial(tx, next); err != nil {
			return err
		}
		return ks.tokens.remember(tx, token, k.Account(), next, now)
	})
	if err != nil {
		next.disarm()
	}
	if repeated {
		next = k
	}
	if err != nil && !errors.Is(err, ErrDryRun) {
		return nil, crypto.MaterialID{}, err
	}
	if err != nil || repeated {
		return next, material, err
	}
	ks.tokens.committed(token, k.Account(), now)
	ks.snapshot.Store(s.withKey(next))
	return next, material, nil
}
