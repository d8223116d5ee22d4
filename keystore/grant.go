package keystore

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

// CreateGrant makes a grant of a key and a token of it. The grant g is for kms:CreateGrant on the key; who holds it is the issuer. Of want,
// which the caller keeps, ID, Created, Issuer and IssuedBy are not read; its operations may be in any order.
//
// A grant with a name is made once: a repetition by the same principal, with the same name and parameters, returns the one that is there,
// and another token. The grant counts from when CreateGrant returns, and is durable then.
//
// Errors match ErrNotFound, ErrDisabled, ErrInvalidState, authz.ErrInvalidGrant, crypto.ErrContext (of a constraint) or ErrLimitExceeded. A dry run returns no token.
func (ks *Keystore) CreateGrant(g authz.Grant, id crypto.KeyID, want *authz.KeyGrant) (*authz.KeyGrant, string, error) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s, now := ks.Snapshot(), ks.clock.Wall()
	k, err := s.permitted(g, authz.KMSCreateGrant, id)
	if err != nil {
		return nil, "", err
	}
	made := grantInMaking{tokens: s.grantTokens}
	out, err := ks.once(k.Account(), now, func(tx *storage.Tx) (outcome, error) {
		if err := made.check(k, g, want, now); err != nil {
			return outcome{}, err
		}
		if err := made.put(tx, k); err != nil {
			return outcome{}, err
		}
		return outcome{key: id, grant: made.grant.ID, result: []byte(made.token)}, nil
	})
	if out.repeated {
		made.grant, made.token = &authz.KeyGrant{ID: out.grant}, string(out.result)
		if before, ok := k.Grant(out.grant); ok {
			made.grant = before
		}
	}
	if err == nil && !out.repeated && !made.named {
		next := s.withGrant(k, made.grant)
		next.grantTokens = made.tokens
		ks.snapshot.Store(next)
	}
	if ks.dry {
		made.token = ""
	}
	if err != nil && !errors.Is(err, ErrDryRun) {
		return nil, "", err
	}
	return made.grant, made.token, err
}

// grantInMaking is what CreateGrant makes.
type grantInMaking struct {
	grant  *authz.KeyGrant
	named  bool // there is one already, that was asked for in the same words
	tokens *grantTokens
	token  string
}

// check makes the grant, or finds the one that is there, unless a rule is against it.
func (m *grantInMaking) check(k *Key, g authz.Grant, want *authz.KeyGrant, now time.Time) (err error) {
	if err := k.enabled(now); err != nil {
		return err
	}
	if m.grant, err = newGrant(g, want, now); err != nil {
		return err
	}
	if before, ok := k.grants.byRequest.Load(requestOf(m.grant)); ok && m.grant.Name != "" {
		m.grant, m.named = before, true
		return nil
	}
	if k.grants.byID.Len() >= MaxGrantsPerKey {
		return fmt.Errorf("%w: a key has at most %d grants", ErrLimitExceeded, MaxGrantsPerKey)
	}
	return nil
}

// put writes the grant, and with the first one of the store the key of grant tokens.
func (m *grantInMaking) put(tx *storage.Tx, k *Key) error {
	if m.tokens == nil {
		key := crypto.RandomSecret(grantTokenKeySize - 1)
		m.tokens = newGrantTokens(key)
		if err := tx.Put(kindGrantTokenKey, theOne, append([]byte{recordVersion}, key.Expose()...)); err != nil {
			return err
		}
	}
	m.token = m.tokens.make(k.ID, m.grant.ID)
	if m.named {
		return nil
	}
	return tx.Put(kindGrant, grantPath(k, m.grant.ID), mustJSON(recordOf(m.grant)))
}

// newGrant returns the grant that want describes, if it keeps the rules. It shares no memory with want.
func newGrant(g authz.Grant, want *authz.KeyGrant, now time.Time) (*authz.KeyGrant, error) {
	made := *want
	made.ID, made.Created, made.Expires = newGrantID(), now, want.Expires.Round(0).UTC()
	if want.Expires.IsZero() {
		made.Expires = time.Time{}
	}
	made.Issuer, made.IssuedBy = g.Caller()
	made.Actions = slices.Compact(slices.Sorted(slices.Values(want.Actions)))
	made.Equals, made.Subset = authz.NewPairs(maps.Collect(want.Equals.All)), authz.NewPairs(maps.Collect(want.Subset.All))
	if made.Name != "" {
		if err := checkGrantName(made.Name); err != nil {
			return nil, err
		}
	}
	if made.Expires.Year() > 9999 {
		return nil, fmt.Errorf("%w: it ends after the year 9999", authz.ErrInvalidGrant)
	}
	if err := made.Check(); err != nil {
		return nil, err
	}
	return &made, checkConstraints(&made)
}

// maxGrantName is in characters.
const maxGrantName = 256

func checkGrantName(s string) error {
	if len(s) > maxGrantName {
		return fmt.Errorf("%w: its name has more than %d characters", authz.ErrInvalidGrant, maxGrantName)
	}
	for _, c := range []byte(s) {
		if c != ':' && !isAliasByte(c) {
			return fmt.Errorf("%w: its name has other characters than a-z A-Z 0-9 : / _ -", authz.ErrInvalidGrant)
		}
	}
	return nil
}

// RevokeGrant removes a grant in whatever state its key is. It counts no more when RevokeGrant returns. The grant g is for
// kms:RevokeGrant on the key. Errors match ErrNotFound or ErrInvalidGrantID.
func (ks *Keystore) RevokeGrant(g authz.Grant, id crypto.KeyID, grantID string) error {
	return ks.removeGrant(g, authz.KMSRevokeGrant, id, grantID)
}

// RetireGrant is RevokeGrant with the permission kms:RetireGrant on the key, which authz must have given for the same grant.
func (ks *Keystore) RetireGrant(g authz.Grant, id crypto.KeyID, grantID string) error {
	return ks.removeGrant(g, authz.KMSRetireGrant, id, grantID)
}

func (ks *Keystore) removeGrant(g authz.Grant, a authz.Action, id crypto.KeyID, grantID string) error {
	if err := checkGrantID(grantID); err != nil {
		return err
	}
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s := ks.Snapshot()
	k, err := s.permitted(g, a, id)
	if err != nil {
		return err
	}
	old, ok := k.Grant(grantID)
	out, err := ks.once(k.Account(), ks.clock.Wall(), func(tx *storage.Tx) (outcome, error) {
		if !ok {
			return outcome{}, fmt.Errorf("%w: the key has no such grant", ErrNotFound)
		}
		return outcome{key: id, grant: grantID}, tx.Delete(kindGrant, grantPath(k, grantID))
	})
	if err != nil || out.repeated {
		return err
	}
	ks.snapshot.Store(s.withoutGrant(k, old))
	return nil
}

// sweepAtOnce bounds how many grants one transaction of Sweep removes.
const sweepAtOnce = 256

// Sweep removes from the store the grants that have expired at now, and returns how many. It needs no permission: such grants allow nothing
// any more, and only count towards the quota of their key. Call it once a minute. It works in transactions of at most 256 grants, between which
// other changes come to pass; when it returns an error, those before the last stand. A dry run reports on the first transaction only.
func (ks *Keystore) Sweep(now time.Time) (removed int, err error) {
	for {
		n, err := ks.sweepOnce(now)
		if err == nil || errors.Is(err, ErrDryRun) {
			removed += n
		}
		if err != nil || n < sweepAtOnce {
			return removed, err
		}
	}
}

func (ks *Keystore) sweepOnce(now time.Time) (int, error) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s := ks.Snapshot()
	var old []KeyedGrant
	for _, g := range s.expiring.All() {
		if now.Before(g.Grant.Expires) || len(old) == sweepAtOnce {
			break
		}
		old = append(old, g)
	}
	next := s
	err := ks.transact(func(tx *storage.Tx) error {
		for _, g := range old {
			k, _ := next.Key(g.Key)
			if err := tx.Delete(kindGrant, grantPath(k, g.Grant.ID)); err != nil {
				return err
			}
			next = next.withoutGrant(k, g.Grant)
		}
		return nil
	})
	if err != nil {
		return len(old), err
	}
	ks.snapshot.Store(next)
	return len(old), nil
}
