package keystore

import (
	"errors"
	"time"

	"github.com/kmsd/kmsd/storage"
)

// MaxClientTokens is how many client tokens are remembered of the changes of an account's keys. Of an account with more, the oldest are forgotten early: who
// gives many tokens must not fill the store, nor memory.
const MaxClientTokens = 100_000

// tokenLog is where the records of client tokens are. One that was given again after it had expired has two entries.
type tokenLog map[string]expiryQueue // :: account that owns the keys → its tokens

// Work that old tokens add to a change: more than one token, so that there are fewer with each.
const (
	forgetAtOnce = 8
	forgetVisits = 8 // of accounts
)

// remember writes into tx what t stands for, and forgets some tokens that have expired, or of which the account has too many. It returns how many of the
// first tokens of each account it has forgotten.
func (l tokenLog) remember(tx *storage.Tx, t Token, account string, o outcome, now time.Time) (dropped map[string]int, err error) {
	if t.Value == "" {
		return nil, nil
	}
	dropped = map[string]int{}
	left, visits := forgetAtOnce, 0
	if err := l.forgetExpired(tx, account, now, &left, dropped); err != nil {
		return nil, err
	}
	for other := range l { // which begins somewhere else each time
		if visits++; visits > forgetVisits || left == 0 {
			break
		}
		if err := l.forgetExpired(tx, other, now, &left, dropped); err != nil {
			return nil, err
		}
	}
	if own := l[account]; len(own)-dropped[account] >= MaxClientTokens {
		if err := forget(tx, own[dropped[account]]); err != nil {
			return nil, err
		}
		dropped[account]++
	}
	return dropped, tx.Put(kindToken, t.path(account), mustJSON(recordOfToken(t, o, now.Add(tokenLife))))
}

// forgetExpired forgets tokens of an account that have expired, as many as are left to forget.
func (l tokenLog) forgetExpired(tx *storage.Tx, account string, now time.Time, left *int, dropped map[string]int) error {
	for _, old := range l[account][dropped[account]:] {
		if *left == 0 || now.Before(old.expires) {
			return nil
		}
		if err := forget(tx, old); err != nil {
			return err
		}
		dropped[account]++
		*left--
	}
	return nil
}

// forget deletes a token, unless it was given again and stands for another change.
func forget(tx *storage.Tx, old expiringRecord) error {
	value, err := tx.Get(kindToken, old.path)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	r, err := decodeToken(value)
	if err != nil || r.Expires.After(old.expires) {
		return err
	}
	return tx.Delete(kindToken, old.path)
}

// committed takes note of what remember wrote, once it is durable.
func (l tokenLog) committed(t Token, account string, now time.Time, dropped map[string]int) {
	if t.Value == "" {
		return
	}
	for of, n := range dropped {
		if l[of] = l[of][n:]; len(l[of]) == 0 {
			delete(l, of)
		}
	}
	l[account] = append(l[account], expiringRecord{t.path(account), now.Add(tokenLife)})
}
