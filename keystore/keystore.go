// Package keystore holds master keys: their metadata, states, versions, aliases, tags, policies and grants, and their material, sealed.
//
// What it holds is in memory whole, as an immutable Snapshot; a change is checked, written to storage in one transaction,
// and then seen by all who take a snapshot after. Each change needs an authz.Grant for its operation, and so does each use of a key.
// What is due by time, deletions, rotations, material that expires, it does by itself once it is started.
// It does not decide who may do what, and knows nothing of requests; it keeps no backups, and knows of none.
//
// Trust: storage answers with what was written or with an error. Whoever holds a Snapshot reads metadata of every account, and the
// server keeps accounts apart by asking authz; nobody gets at a key without a grant that authz made. Who sets the clock of the machine can make
// imported material expire and keys rotate early or late, and can delay deletions; he cannot make a deletion come early (docs/adr/0005).
package keystore

import (
	"context"
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

// Config says what a Keystore is made of.
type Config struct {
	Store *storage.Store
	Place Place
	Clock Clock // nil stands for MachineClock

	// TrustClock makes the time since the store was last open count towards the waiting periods of deletions, as far as the clock says; otherwise only
	// the time counts in which kmsd ran.
	TrustClock bool

	// OnChange is told of what the keystore is about to do by itself. Unless it returns nil the change is not made, but tried again a minute later.
	// It must not call the Keystore. nil stands for nobody.
	OnChange func(ServiceEvent) error

	// Warn is told what an operator should know, in words with attributes as of log/slog. nil stands for nobody.
	Warn func(message string, attributes ...any)
}

// Keystore is the keys of a store. Its methods may be called concurrently.
type Keystore struct {
	*core
	dry   bool  // changes are checked and not made
	token Token // makes changes idempotent
}

// core is what a Keystore shares with its views.
type core struct {
	store    *storage.Store
	place    Place
	clock    Clock
	onChange func(ServiceEvent) error
	warn     func(string, ...any)
	uses     *usageLog

	mu        sync.Mutex // held from the check of a change to its publication; guards tokens, parameters, served, toErase and commitments
	tokens    tokenLog
	params    expiryQueue // import parameters
	served    served
	toErase   int // counts the changes after which something is to be erased from the file; 0 while nothing is
	committer *committer
	snapshot  atomic.Pointer[Snapshot]

	ticking   sync.Mutex // one tick at a time; guards watched
	watched   watchClock
	wake      chan struct{}
	stop      context.CancelFunc // nil unless started
	scheduler sync.WaitGroup
}

// Snapshot returns the state. It costs one atomic load.
func (ks *Keystore) Snapshot() *Snapshot { return ks.snapshot.Load() }

// DryRun returns a Keystore of the same keys that checks changes as this one does, limits, states and client tokens among them, and
// makes none: where a change would succeed, its method returns what it would have returned, but for a grant token and import parameters, and
// an error that matches ErrDryRun. Material that a dry run makes cannot be used. The one thing that it cannot foresee is a failure of the disk.
func (ks *Keystore) DryRun() *Keystore {
	view := *ks
	view.dry = true
	return &view
}

// With returns a Keystore of the same keys whose changes are idempotent by t: a repetition of one within 24 hours changes nothing, and returns the key
// as it is by then and whatever else the change returned. With other parameters it is an error that matches ErrTokenReused. What is remembered is
// durable with the change. Of an account with more than MaxClientTokens the oldest are forgotten early. The zero Token makes no promise.
func (ks *Keystore) With(t Token) *Keystore {
	view := *ks
	view.token = t
	return &view
}

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

// Open reads the keys of a store. A record that cannot be read is an error that names it and matches ErrCorrupt. Nothing is done by itself
// before Start.
//
// A key policy that does not compile is no error: every request about its key is denied, and Snapshot.UnusablePolicies names it.
func Open(c Config) (*Keystore, error) {
	clock := c.Clock
	if clock == nil {
		clock = MachineClock()
	}
	co := &core{
		store: c.Store, place: c.Place, clock: clock, onChange: c.OnChange, warn: c.Warn, uses: &usageLog{clock: clock},
		tokens: tokenLog{}, wake: make(chan struct{}, 1),
	}
	if co.onChange == nil {
		co.onChange = func(ServiceEvent) error { return nil }
	}
	if co.warn == nil {
		co.warn = func(string, ...any) {}
	}
	l := newLoader(co)
	if err := l.load(); err != nil {
		return nil, err
	}
	ks := &Keystore{core: co}
	if err := ks.beginServing(c.TrustClock); err != nil {
		return nil, fmt.Errorf("keeping the time: %w", err)
	}
	return ks, nil
}
