// Package iam knows who there is: accounts with their root users, IAM users, groups, roles and managed policies, and
// the credentials and policies of each.
//
// It keeps them as sealed records in a store and serves them from an immutable Snapshot, from which it makes the
// callers that authz decides about. It makes access keys and client certificates, and is the certificate authority
// behind the latter. Temporary credentials are sealed tokens of which it stores nothing; it checks the second factors and
// the tokens of identity providers that open them. It does not decide who may do what (authz does, and every change asks for its Grant), does not
// speak TLS or gRPC, and does not write the audit log.
//
// Names are AWS IAM's. An id (AIDA…, AROA…, AGPA…, ANPA…, AKIA…) is random and never given twice, and it is ids that
// refer to entities: one made again under an old name has none of the trust that the old one had.
//
// Trust: names, paths, tags, policy documents and certificate requests are hostile. Records are sealed by storage, so
// who writes the file cannot make one up; a record that does not load stops Open all the same, but for a policy
// document that does not parse, which denies everything in its place. Who holds the store's domain key holds every
// secret access key, every seed, the keys of session tokens and the certificate authority. An identity provider vouches
// for whom it likes, within the roles that trust it; its keys are fetched from hosts that Config lists, and this is the only
// connection that is ever opened from here.
package iam

import (
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kmsd/kmsd/iam/oidc"
	"github.com/kmsd/kmsd/internal/idempotency"
	"github.com/kmsd/kmsd/storage"
)

// Limits, which are AWS's unless said otherwise.
const (
	MaxAccessKeysPerUser   = 2
	MaxCertificatesPerUser = 5     // kmsd's own
	MaxInlinePolicyChars   = 2048  // of all inline policies of a user together, white space not counted
	MaxGroupPolicyChars    = 5120  // of all inline policies of a group together, likewise
	MaxRolePolicyChars     = 10240 // of all inline policies of a role together, likewise
	MaxManagedPolicyChars  = 6144  // of one version of a managed policy, likewise
	MaxTrustPolicyChars    = 2048  // of the trust policy of a role, likewise
	MaxAttachedPolicies    = 10    // managed policies of a user, group or role
	MaxPolicyVersions      = 5     // of a managed policy
	MaxGroupsPerUser       = 10
	MaxTags                = 50    // of a user or role
	DefaultMaxUsers        = 5000  // per account
	MaxGroups              = 300   // per account
	MaxRoles               = 1000  // per account
	MaxManagedPolicies     = 1500  // per account
	MaxUsersPage           = 1000  // entities that one call of Users, Groups, Roles or Policies returns
	maxPolicyBytes         = 32768 // of one document, white space counted; kmsd's own
)

// Config says what IAM works on. Store is required.
type Config struct {
	Store     *storage.Store
	Partition string // of ARNs; empty means "aws"
	Region    string // of credential scopes; empty means "local"
	MaxUsers  int    // per account; zero means DefaultMaxUsers

	// OIDCHosts are the hosts from which the keys of OpenID Connect providers may be fetched, each a DNS name or an address in
	// lower case, with ":port" unless it is 443; empty means none, so that keys have to be put. OIDCRoots are the authorities
	// that their certificates are checked against; nil means the system's.
	OIDCHosts []string
	OIDCRoots *x509.CertPool
}

// IAM is the principals of one store. Make it with Open. It is safe for concurrent use; it is the only writer of
// its kinds of records while it is open.
type IAM struct {
	*core
	token Token // under which changes are made; the zero Token: under none
}

// core is what all views of the principals of a store have in common.
type core struct {
	cfg      Config
	ca       *authority
	snapshot atomic.Pointer[Snapshot]
	mu       sync.Mutex       // serialises changes; readers do not take it
	tokens   *idempotency.Log // of clients; guarded by mu

	ring     atomic.Pointer[tokenRing] // of session tokens; replaced under mu
	opened   sessionCache
	throttle mfaThrottle
	keySets  *oidc.Fetcher
}

// Open loads all principals from cfg.Store, on which Bootstrap has been run; otherwise the error matches
// ErrNoSuchEntity. A record that does not load, belongs to nobody, or contradicts another is an error that names
// it: nothing is skipped. A policy document that does not parse, though, is replaced by one that denies everything
// it is part of, and listed by [Snapshot.UnusablePolicies].
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
	if err := ensureOrganization(cfg.Store); err != nil {
		return nil, fmt.Errorf("founding the organization: %w", err)
	}
	i := &IAM{core: &core{cfg: cfg, keySets: oidc.NewFetcher(cfg.OIDCHosts, cfg.OIDCRoots)}}
	err := cfg.Store.View(func(tx *storage.Tx) error {
		s, err := loadSnapshot(tx, cfg)
		if err != nil {
			return err
		}
		i.snapshot.Store(s)
		if i.ca, err = loadAuthority(tx); err != nil {
			return err
		}
		if i.tokens, err = idempotency.Load(tx, kindClientToken); err != nil {
			return err
		}
		ring, err := loadTokenRing(tx)
		i.ring.Store(ring)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("loading principals: %w", err)
	}
	return i, nil
}

// Snapshot returns the state as of the last change that has returned, or a later one. It does not lock.
func (i *IAM) Snapshot() *Snapshot { return i.snapshot.Load() }

// errUnchanged is what the function of an update returns when there is nothing to change.
var errUnchanged = errors.New("unchanged")

// update makes one change: f checks it, makes it in next, a copy of the published snapshot that nobody else sees, and
// writes its records to tx. When update returns nil, the change is durable and published. An error of f is returned as it
// is and leaves everything as it was, and so does errUnchanged, for which update returns nil. what says in an error of
// the store what was being done, such as "creating a user". result points to what f sets and the caller of the change is told, or is nil; a repetition
// under a client token sets it as it was, and does not call f. f must not call update.
func (i *IAM) update(what string, result any, f func(next *Snapshot, tx *storage.Tx) error) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	now, published := time.Now(), i.Snapshot()
	next := *published
	var kept idempotency.Kept
	var refused error
	err := i.cfg.Store.Update(func(tx *storage.Tx) error {
		next.generation = tx.Generation()
		if refused = i.repeat(tx, result, now); refused != nil {
			return refused
		}
		refused = f(&next, tx)
		if errors.Is(refused, errUnchanged) && i.token.Value != "" { // so that a repetition changes nothing either
			next, refused = *published, nil
			next.generation = tx.Generation()
		}
		if refused != nil {
			return refused
		}
		kept, refused = i.keep(tx, result, now)
		return refused
	})
	switch {
	case errors.Is(refused, errUnchanged):
		return nil
	case refused != nil:
		return refused
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	}
	i.tokens.Committed(kept)
	if next.shared != published.shared {
		next.epoch = next.generation
	}
	i.snapshot.Store(&next)
	return nil
}

// present returns the instant that records carry: whole seconds, UTC.
func present() time.Time { return time.Now().UTC().Truncate(time.Second) }
