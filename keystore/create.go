package keystore

import (
	"errors"
	"fmt"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
	"github.com/kmsd/kmsd/storage"
)

// NewKey is what CreateKey makes a key of.
type NewKey struct {
	Account            string
	Spec               crypto.Spec  // empty stands for SYMMETRIC_DEFAULT
	Usage              crypto.Usage // empty stands for the only usage of the spec, and is refused where there are two
	Origin             Origin       // empty stands for AWS_KMS; EXTERNAL takes every spec
	Description        string
	Policy             *Policy
	Tags               []Tag
	DeletionProtection bool
}

// complete fills in what is left out, and checks the rest.
func (n *NewKey) complete() error {
	if n.Spec == "" {
		n.Spec = crypto.SpecSymmetricDefault
	}
	if n.Origin == "" {
		n.Origin = OriginKMS
	}
	if !n.Spec.Valid() {
		return fmt.Errorf("%w: there is no such key spec", ErrValidation)
	}
	usages := n.Spec.Usages()
	if n.Usage == "" && len(usages) == 1 {
		n.Usage = usages[0]
	}
	if !n.Spec.Allows(n.Usage) {
		return fmt.Errorf("%w: key usage %s is not one of a key of spec %s", ErrValidation, n.Usage, n.Spec)
	}
	if n.Origin != OriginKMS && n.Origin != OriginExternal {
		return fmt.Errorf("%w: there is no such origin", ErrValidation)
	}
	return nil
}

// CreateKey makes a key with one version, or of origin EXTERNAL with none. The grant is for kms:CreateKey on "*". Durable on return. Errors
// match ErrValidation, ErrTag, ErrLimitExceeded, ErrTokenReused or crypto.ErrFIPS. Material of an RSA key takes up to a few seconds to make, in which
// other changes go on.
func (ks *Keystore) CreateKey(g authz.Grant, n NewKey) (*Key, error) {
	if !g.Permits(authz.KMSCreateKey, "*") {
		return nil, ErrNotPermitted
	}
	if err := n.complete(); err != nil {
		return nil, err
	}
	tags, err := mergeTags(nil, n.Tags)
	if err != nil {
		return nil, err
	}
	k, err := ks.unborn(n, tags)
	if err != nil {
		return nil, err
	}
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s := ks.Snapshot()
	made := k
	out, err := ks.once(n.Account, k.Created, func(tx *storage.Tx) (outcome, error) {
		if k.current.Number != 0 && k.current.held.secret.IsZero() && !ks.dry {
			return outcome{}, refuse(ErrConflict, "the client token has expired just now")
		}
		return k.putNew(tx, s)
	})
	if out.repeated && (err == nil || errors.Is(err, ErrDryRun)) {
		var gone error
		if made, gone = s.recorded(out); gone != nil {
			err = gone
		}
	}
	if err != nil || out.repeated {
		k.current.held.wipe()
		return would(made, err)
	}
	ks.snapshot.Store(s.withKey(k))
	return k, nil
}

// unborn returns a key that is nowhere yet. Its material is made only if it will be used, as far as that is known.
func (ks *Keystore) unborn(n NewKey, tags []Tag) (*Key, error) {
	now := ks.clock.Wall()
	k := ks.place.newKey(n.Account, crypto.NewKeyID(), now, n.Spec, n.Usage, n.Origin)
	k.Description, k.DeletionProtection, k.use = n.Description, n.DeletionProtection, ks.uses.of(n.Account, k.ID)
	k.setPolicy(n.Policy, now)
	k.setTags(tags)
	if n.Origin == OriginExternal {
		k.setState(PendingImport, now)
		return k, nil
	}
	secret := crypto.Secret{}
	if _, repeated, err := ks.before(n.Account); err == nil && !repeated && !ks.dry {
		if secret, err = keypair.Generate(n.Spec); err != nil {
			return nil, err
		}
	}
	k.setVersion(newVersion(k, Creation, now, secret))
	return k, nil
}

// putNew writes a new key.
func (k *Key) putNew(tx *storage.Tx, s *Snapshot) (outcome, error) {
	if a, _ := s.accounts.Load(k.Account()); a.keys.Len() >= MaxKeysPerAccount {
		return outcome{}, fmt.Errorf("%w: an account has at most %d keys", ErrLimitExceeded, MaxKeysPerAccount)
	}
	if err := k.neverWas(tx, s); err != nil {
		return outcome{}, err
	}
	if err := putKey(tx, k); err != nil {
		return outcome{}, err
	}
	if k.current.Number == 0 {
		return outcome{key: k.ID}, nil
	}
	return outcome{key: k.ID, material: k.current.Material}, putMaterial(tx, k, k.current)
}

// neverWas returns an error if there is, or ever was, a key of this id.
func (k *Key) neverWas(tx *storage.Tx, s *Snapshot) error {
	_, exists := s.Key(k.ID)
	_, err := tx.Get(kindTombstone, k.Name)
	if exists || err == nil {
		return fmt.Errorf("the id %s was used before: this happens by chance never", k.Name)
	}
	if !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	return nil
}

// newVersion returns a version that follows those of k.
func newVersion(k *Key, why Rotation, now time.Time, secret crypto.Secret) *Version {
	material := crypto.NewMaterialID()
	return &Version{
		Number: k.VersionCount() + 1, Material: material, Name: material.String(), Created: now, Rotation: why,
		id: k.ID, spec: k.Spec, held: &held{secret: secret},
	}
}
