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
	var r tokenRecord
	if err := decodeRecord(value, &r, func() int { return r.V }); err != nil {
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

// recorded returns the key that a token record stands for.
func (s *Snapshot) recorded(r *tokenRecord) (*Key, error) {
	id, err := crypto.ParseKeyID(r.Key)
	if err != nil {
		return nil, fmt.Errorf("%w: client token of no key", ErrCorrupt)
	}
	k, ok := s.Key(id)
	if !ok {
		return nil, fmt.Errorf("%w: the key that this client token made", ErrNotFound)
	}
	return k, nil
}

// tokenQueue holds where the remembered tokens are, in the order in which they expire. All live equally long, so a token
// that is added comes last.
type tokenQueue []queuedToken

type queuedToken struct {
	path    string
	expires time.Time
}

// forgetAtOnce bounds the work that old tokens add to a change; above one, so that the queue gets shorter.
const forgetAtOnce = 8

// expired returns the tokens to forget with the next change.
func (q tokenQueue) expired(now time.Time) tokenQueue {
	n := 0
	for n < len(q) && n < forgetAtOnce && !now.Before(q[n].expires) {
		n++
	}
	return q[:n]
}

// remember writes into tx what t stands for, and forgets some tokens that have expired.
func (q tokenQueue) remember(tx *storage.Tx, t Token, account string, k *Key, now time.Time) error {
	if t.Value == "" {
		return nil
	}
	for _, old := range q.expired(now) {
		if err := forget(tx, old.path, now); err != nil {
			return err
		}
	}
	return tx.Put(kindToken, t.path(account), mustJSON(tokenRecord{
		V: recordVersion, Request: t.Request[:], Key: k.ID.String(), Material: k.Current().Material.String(), Expires: now.Add(tokenLife),
	}))
}

// forget deletes the token at path, unless it was given again after it had expired and stands for another change.
func forget(tx *storage.Tx, path string, now time.Time) error {
	value, err := tx.Get(kindToken, path)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var r tokenRecord
	if err := decodeRecord(value, &r, func() int { return r.V }); err != nil {
		return err
	}
	if now.Before(r.Expires) {
		return nil
	}
	return tx.Delete(kindToken, path)
}

// committed takes note of what remember wrote, once it is durable.
func (q *tokenQueue) committed(t Token, account string, now time.Time) {
	if t.Value == "" {
		return
	}
	*q = append((*q)[len(q.expired(now)):], queuedToken{t.path(account), now.Add(tokenLife)})
}

func (q tokenQueue) sorted() tokenQueue {
	slices.SortFunc(q, func(a, b queuedToken) int { return a.expires.Compare(b.expires) })
	return q
}
