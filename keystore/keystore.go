// Package keystore holds master keys: their metadata, states, versions, aliases, tags, policies and grants, and their material, sealed.
//
// What it holds is in memory whole, as an immutable Snapshot; a change is checked, written to storage in one transaction,
// and then seen by all who take a snapshot after. Each change needs an authz.Grant for its operation, and so does each use of a key.
// It does not decide who may do what, and knows nothing of requests.
//
// Trust: storage answers with what was written or with an error. Whoever holds a Snapshot reads metadata of every account, and the
// server keeps accounts apart by asking authz; nobody gets at a key without a grant that authz made.
package keystore

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/kmsd/kmsd/storage"
)

// Quotas, from AWS KMS.
const (
	MaxKeysPerAccount    = 100_000
	MaxAliasesPerKey     = 50
	MaxOnDemandRotations = 25
	MaxTagsPerKey        = 50
	MaxGrantsPerKey      = 50_000
)

// Keystore is the keys of a store. Its methods may be called concurrently.
type Keystore struct {
	*core
	dry bool // changes are checked and not made
}

// core is what a Keystore shares with its dry runs.
type core struct {
	store *storage.Store
	place Place

	mu       sync.Mutex // held from the check of a change to its publication; guards tokens
	tokens   tokenQueue
	snapshot atomic.Pointer[Snapshot]
}

// Open reads the keys of store. A record that cannot be read is an error that names it and matches ErrCorrupt.
//
// A key policy that does not compile is no error: every request about its key is denied, and Snapshot.UnusablePolicies names it.
func Open(store *storage.Store, place Place) (*Keystore, error) {
	l := newLoader(place)
	err := store.View(func(tx *storage.Tx) error {
		for _, step := range []struct {
			kind storage.Kind
			read func(path string, value []byte) error
		}{{kindKey, l.key}, {kindMaterial, l.material}, {kindAlias, l.alias}, {kindToken, l.token}, {kindGrantTokenKey, l.grantTokenKey}, {kindGrant, l.grant}} {
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
	s, err := l.snapshot()
	if err != nil {
		return nil, err
	}
	ks := &Keystore{core: &core{store: store, place: place, tokens: l.tokens.sorted()}}
	ks.snapshot.Store(s)
	return ks, nil
}

// Snapshot returns the state. It costs one atomic load.
func (ks *Keystore) Snapshot() *Snapshot { return ks.snapshot.Load() }

// DryRun returns a Keystore of the same keys that checks changes as this one does, limits, states and client tokens among them, and
// makes none: where a change would succeed, its method returns what it would have returned, but for a grant token, and
// an error that matches ErrDryRun. Material that a dry run makes cannot be used. The one thing that it cannot foresee is a failure of the disk.
func (ks *Keystore) DryRun() *Keystore { return &Keystore{core: ks.core, dry: true} }

// transact runs a change and commits it; in a dry run it ends where the commit would begin.
func (ks *Keystore) transact(change func(*storage.Tx) error) error {
	return ks.store.Update(func(tx *storage.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		if ks.dry {
			return ErrDryRun
		}
		return nil
	})
}

// would returns v with err if that is nil or ErrDryRun, and err alone otherwise.
func would[T any](v T, err error) (T, error) {
	if err != nil && !errors.Is(err, ErrDryRun) {
		var zero T
		return zero, err
	}
	return v, err
}
