package keystore

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

// tokenLife is how long a client token is remembered.
const tokenLife = 24 * time.Hour

// Token makes a change idempotent: the same token of the same principal and operation within 24 hours stands for the
// same change. The zero Token makes no promise.
type Token struct {
	Principal string   // unique id of who asks
	Operation string   // the name of the call
	Value     string   // the client's token
	Request   [32]byte // hash of the parameters
}

func (t Token) path(account string) string {
	return account + "/" + t.Principal + "/" + t.Operation + "/" + t.Value
}

// outcome is what a change returns beside the key, and a repetition of it again.
type outcome struct {
	key      crypto.KeyID
	material crypto.MaterialID
	grant    string // id
	result   []byte // whatever else
	repeated bool   // the change was made before
}

// once makes a change in one transaction, unless the client token stands for one already: then it returns the outcome of that. ks.mu is held.
func (ks *Keystore) once(account string, now time.Time, change func(*storage.Tx) (outcome, error)) (o outcome, err error) {
	var dropped map[string]int
	err = ks.transact(func(tx *storage.Tx) error {
		before, err := ks.token.repeats(tx, account, now)
		if err != nil {
			return err
		}
		if before != nil {
			o, err = before.outcome()
			return err
		}
		if o, err = change(tx); err != nil {
			return err
		}
		dropped, err = ks.tokens.remember(tx, ks.token, account, o, now)
		return err
	})
	if err == nil && !o.repeated {
		ks.tokens.committed(ks.token, account, now, dropped)
	}
	return o, err
}

// Repeats says whether the client token of ks stands for a change of something of the account that has been made, so that a change which could not be
// made again, because what it is about is gone, can be answered. Errors match ErrTokenReused.
func (ks *Keystore) Repeats(account string) (bool, error) {
	_, again, err := ks.before(account)
	return again, err
}

// before returns the outcome of the change that the client token stands for, if there is one.
func (ks *Keystore) before(account string) (o outcome, again bool, err error) {
	if ks.token.Value == "" {
		return outcome{}, false, nil
	}
	err = ks.store.View(func(tx *storage.Tx) error {
		r, err := ks.token.repeats(tx, account, ks.clock.Wall())
		if r == nil || err != nil {
			return err
		}
		again = true
		o, err = r.outcome()
		return err
	})
	return o, again, err
}

// repeats returns the record of the change that t stands for, or nil if it stands for none yet. Errors match
// ErrTokenReused.
func (t Token) repeats(tx *storage.Tx, account string, now time.Time) (*tokenRecord, error) {
	if t.Value == "" {
		return nil, nil
	}
	value, err := tx.Get(kindToken, t.path(account))
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := decodeToken(value)
	if err != nil {
		return nil, err
	}
	switch {
	case !now.Before(r.Expires):
		return nil, nil
	case string(r.Request) != string(t.Request[:]):
		return nil, ErrTokenReused
	}
	return &r, nil
}

// recorded returns the key that an outcome is about.
func (s *Snapshot) recorded(o outcome) (*Key, error) {
	k, ok := s.Key(o.key)
	if !ok {
		return nil, fmt.Errorf("%w: the key that this client token made", ErrNotFound)
	}
	return k, nil
}

// expiryQueue holds where records are that are removed when their time is over, in the order in which they expire. All of a queue live equally
// long, so that what is added comes last.
type expiryQueue []expiringRecord

type expiringRecord struct {
	path    string
	expires time.Time
}

func (q expiryQueue) sorted() expiryQueue {
	slices.SortFunc(q, func(a, b expiringRecord) int { return a.expires.Compare(b.expires) })
	return q
}
