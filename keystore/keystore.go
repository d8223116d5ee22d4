// Package keystore holds master keys: their metadata, states, versions, aliases and policies, and their material, sealed.
//
// What it holds is in memory whole, as an immutable Snapshot; a change is checked, written to storage in one transaction,
// and then seen by all who take a snapshot after. Each change needs an authz.Grant for its operation, and so does each use of a key.
// It does not decide who may do what, and knows nothing of requests.
//
// Trust: storage answers with what was written or with an error. Whoever holds a Snapshot reads metadata of every account, and the
// server keeps accounts apart by asking authz; nobody gets at a key without a grant that authz made.
package keystore

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/cow"
	"github.com/kmsd/kmsd/storage"
)

// Quotas, from AWS KMS.
const (
	MaxKeysPerAccount    = 100_000
	MaxAliasesPerKey     = 50
	MaxOnDemandRotations = 25
)

// Keystore is the keys of a store. Its methods may be called concurrently.
type Keystore struct {
	store *storage.Store
	place Place

	mu       sync.Mutex // held from the check of a change to its publication; guards tokens
	tokens   tokenQueue
	snapshot atomic.Pointer[Snapshot]
}

// Open reads the keys of store. A record that cannot be read is an error that names it and matches ErrCorrupt.
func Open(store *storage.Store, place Place) (*Keystore, error) {
	l := loader{place: place, keys: map[crypto.KeyID]*Key{}, aliases: map[aliasName]*Alias{}, policies: map[[32]byte]*Policy{}}
	err := store.View(func(tx *storage.Tx) error {
		for _, step := range []struct {
			kind storage.Kind
			read func(path string, value []byte) error
		}{{kindKey, l.key}, {kindMaterial, l.material}, {kindAlias, l.alias}, {kindToken, l.token}} {
			err := tx.Walk(step.kind, "", func(path string, value []byte) error {
				if err := step.read(path, value); err != nil {
					return fmt.Errorf("reading %s %s: %w", step.kind, path, err)
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
		return nil, err
	}
	s := &Snapshot{keys: cow.Collect(maps.All(l.keys)), aliases: cow.Collect(maps.All(l.aliases))}
	accounts := map[string]account{}
	for _, id := range slices.SortedFunc(maps.Keys(l.keys), compareIDs) {
		k := l.keys[id]
		if len(k.versions) == 0 {
			return nil, fmt.Errorf("reading key %s: %w: it has no material", id, ErrCorrupt)
		}
		a := accounts[k.Account()]
		a.keys = append(a.keys, id)
		accounts[k.Account()] = a
	}
	for n := range l.aliases {
		a := accounts[n.account]
		a.aliases = append(a.aliases, n.name)
		accounts[n.account] = a
	}
	for id, a := range accounts {
		slices.Sort(a.aliases)
		accounts[id] = a
	}
	s.accounts = cow.Collect(maps.All(accounts))
	ks := &Keystore{store: store, place: place, tokens: l.tokens.sorted()}
	ks.snapshot.Store(s)
	return ks, nil
}

// Snapshot returns the state. It costs one atomic load.
func (ks *Keystore) Snapshot() *Snapshot { return ks.snapshot.Load() }

// NewKey is what CreateKey makes a key of.
type NewKey struct {
	Account     string
	Description string
	Policy      *Policy
	Token       Token
}

// CreateKey makes a key with one version and returns it, or the key that n.Token already stands for. The grant is for
// kms:CreateKey on "*". Durable on return. Errors match ErrLimitExceeded or ErrTokenReused.
func (ks *Keystore) CreateKey(g authz.Grant, n NewKey) (*Key, error) {
	if !g.Permits(authz.KMSCreateKey, "*") {
		return nil, ErrNotPermitted
	}
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s, now := ks.Snapshot(), time.Now().UTC()
	k := &Key{ID: crypto.NewKeyID(), Created: now, State: Enabled, Description: n.Description, Policy: n.Policy, PolicyUpdated: now}
	k.Name, k.ARN = k.ID.String(), ks.place.KeyARN(n.Account, k.ID)
	k.Resource = authz.Resource{Kind: authz.Key, Account: n.Account, ARN: k.ARN, Policy: n.Policy.compiled}
	k.addVersion(newVersion(k, Creation, now))
	var made *Key
	err := ks.store.Update(func(tx *storage.Tx) error {
		before, err := n.Token.repeats(tx, n.Account, now)
		if err != nil {
			return err
		}
		if before != nil {
			made, err = s.recorded(before)
			return err
		}
		if a, _ := s.accounts.Load(n.Account); len(a.keys) >= MaxKeysPerAccount {
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
		return nil, err
	}
	if made != nil {
		return made, nil
	}
	ks.tokens.committed(n.Token, n.Account, now)
	ks.snapshot.Store(s.withKey(k))
	return k, nil
}

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
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s := ks.Snapshot()
	k, err := s.permitted(g, a, id)
	if err != nil {
		return nil, err
	}
	next := k.with(apply)
	if err := ks.store.Update(func(tx *storage.Tx) error { return putKey(tx, next) }); err != nil {
		return nil, err
	}
	ks.snapshot.Store(s.withKey(next))
	return next, nil
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
	return ks.change(g, authz.KMSPutKeyPolicy, id, func(k *Key) {
		k.Policy, k.Resource.Policy, k.PolicyUpdated = p, p.compiled, time.Now().UTC()
	})
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
	err = ks.store.Update(func(tx *storage.Tx) error {
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
		return nil, crypto.MaterialID{}, err
	}
	if repeated {
		return k, material, nil
	}
	ks.tokens.committed(token, k.Account(), now)
	ks.snapshot.Store(s.withKey(next))
	return next, material, nil
}
