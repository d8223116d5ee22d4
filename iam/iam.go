// Package iam knows who there is: accounts with their root users, IAM users, and the credentials and inline
// policies of each.
//
// It keeps them as sealed records in a store and serves them from an immutable Snapshot, compiled for authz. It
// makes access keys and client certificates, and is the certificate authority behind the latter. It does not
// decide who may do what (authz does, and every change asks for its Grant), does not speak TLS or gRPC, and does
// not write the audit log.
//
// Names are AWS IAM's. An id (AIDA…, AKIA…) is random and never given twice, so a user made again under an old name
// has none of the trust that the old one had.
//
// Trust: names, paths, policy documents and certificate requests are hostile. Records are sealed by storage, so
// who writes the file cannot make one up; a record that does not load stops Open all the same. Who holds the
// store's domain key holds every secret access key and the certificate authority.
package iam

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kmsd/kmsd/storage"
)

// Limits, which are AWS's unless said otherwise.
const (
	MaxAccessKeysPerUser   = 2
	MaxCertificatesPerUser = 5     // kmsd's own
	MaxInlinePolicyChars   = 2048  // of all inline policies of a user together, white space not counted
	DefaultMaxUsers        = 5000  // per account
	MaxUsersPage           = 1000  // users that one call of Users returns
	maxPolicyBytes         = 16384 // of one document, white space counted; kmsd's own
)

// Config says what IAM works on. Store is required.
type Config struct {
	Store     *storage.Store
	Partition string // of ARNs; empty means "aws"
	Region    string // of credential scopes; empty means "local"
	MaxUsers  int    // per account; zero means DefaultMaxUsers
}

// IAM is the principals of one store. Make it with Open. It is safe for concurrent use; it is the only writer of
// its kinds of records while it is open.
type IAM struct {
	cfg      Config
	ca       *authority
	snapshot atomic.Pointer[Snapshot]
	mu       sync.Mutex // serialises changes; readers do not take it
}

// Open loads all principals from cfg.Store, on which Bootstrap has been run; otherwise the error matches
// ErrNoSuchEntity. A record that does not load, belongs to nobody, or contradicts another is an error that names
// it: nothing is skipped.
func Open(cfg Config) (*IAM, error) {
	if cfg.Store == nil {
		return nil, errors.New("iam: Config.Store is nil")
	}
	if cfg.Partition == "" {
		cfg.Partition = "aws"
	}
	if cfg.Region == "" {
		cfg.Region = "local"
	}
	if cfg.MaxUsers == 0 {
		cfg.MaxUsers = DefaultMaxUsers
	}
	if !scopeWord.MatchString(cfg.Partition) || !scopeWord.MatchString(cfg.Region) || cfg.MaxUsers < 0 {
		return nil, errors.New("iam: partition and region must be 1 to 32 of a-z, 0-9 and -, and MaxUsers not negative")
	}
	i := &IAM{cfg: cfg}
	err := cfg.Store.View(func(tx *storage.Tx) error {
		s, err := loadSnapshot(tx, cfg)
		if err != nil {
			return err
		}
		i.snapshot.Store(s)
		i.ca, err = loadAuthority(tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("loading principals: %w", err)
	}
	return i, nil
}

// Snapshot returns the state as of the last change that has returned, or a later one. It does not lock.
func (i *IAM) Snapshot() *Snapshot { return i.snapshot.Load() }

// commit writes a change durably and then publishes it: old gives way to next, either of which may be nil. The
// caller holds i.mu and made both from s, the published snapshot.
func (i *IAM) commit(s *Snapshot, old, next *principal, write func(*storage.Tx) error) error {
	var generation uint64
	err := i.cfg.Store.Update(func(tx *storage.Tx) error {
		if err := write(tx); err != nil {
			return err
		}
		generation = tx.Generation()
		return nil
	})
	if err != nil {
		return err
	}
	i.snapshot.Store(s.replace(old, next, generation))
	return nil
}

// present returns the instant that records carry: whole seconds, UTC.
func present() time.Time { return time.Now().UTC().Truncate(time.Second) }
