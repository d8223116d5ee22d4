// Package idempotency remembers which changes of a store have been made under a client's token, so that a repetition of one can be told from another.
//
// What it remembers is written in the transaction of the change itself, and so is there if and only if the change is. It does not authorize, does not
// know what a change is, and does not tell a client's parameters apart by itself: it compares the hash that it is given.
//
// Trust: tokens are hostile. They are bounded by who calls, are hashed into the paths of records, and are those of one principal and operation: nobody
// meets the token of another. The records are sealed by the store. Results are kept as they are given: who keeps one must not put a secret into it.
package idempotency

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/kmsd/kmsd/storage"
)

const (
	// Life is how long a token is remembered.
	Life = 24 * time.Hour

	// MaxTokens is how many tokens of an account are remembered. Of one that has more, the oldest are forgotten early: who gives many tokens must not
	// keep others of the account from making changes.
	MaxTokens = 100_000
)

// ErrReused is matched by errors of a token that was used with other parameters.
var ErrReused = errors.New("client token was used with other parameters")

// Token makes a change idempotent: the same token of the same principal and operation within [Life] stands for the same change. A Token without a Value
// makes no promise.
type Token struct {
	Account   string   // of the principal
	Principal string   // unique id of who asks
	Operation string   // the name of the call
	Value     string   // the client's token
	Request   [32]byte // hash of the parameters
}

// id is what the token is known by in its account.
type id [16]byte

func (t *Token) id() id {
	var b []byte
	for _, part := range []string{t.Principal, t.Operation, t.Value} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	sum := sha256.Sum256(b)
	return id(sum[:16])
}

func (t *Token) path() string { return path(t.Account, t.id()) }

func path(account string, token id) string { return account + "/" + hex.EncodeToString(token[:]) }

// Log is the tokens of one kind of records. Make it with Load. It is not safe for concurrent use: one change at a time is what it is for.
type Log struct {
	kind     storage.Kind
	accounts map[string][]entry // :: account → its tokens, in the order in which they expire
}

// entry is a token that is remembered. One that was given again after it had expired has two.
type entry struct {
	token   id
	expires int64 // milliseconds since 1970
}

// Find returns the result of the change that t stands for, and whether it stands for one. The slice is the caller's. The error matches ErrReused if the
// change was asked for with other parameters, and says otherwise that the record cannot be read.
func (l *Log) Find(tx *storage.Tx, t Token, now time.Time) (result []byte, found bool, err error) {
	if t.Value == "" {
		return nil, false, nil
	}
	r, found, err := l.read(tx, t.path())
	switch {
	case err != nil || !found || r.expires <= now.UnixMilli():
		return nil, false, err
	case r.request != t.Request:
		return nil, false, ErrReused
	}
	return r.result, true, nil
}

func (l *Log) read(tx *storage.Tx, path string) (record, bool, error) {
	value, err := tx.Get(l.kind, path)
	if errors.Is(err, storage.ErrNotFound) {
		return record{}, false, nil
	}
	if err != nil {
		return record{}, false, err
	}
	r, err := decode(value)
	if err != nil {
		return record{}, false, fmt.Errorf("record %s %q: %w", l.kind, path, err)
	}
	return r, true, nil
}

// Work that old tokens add to a change: some, so that there are fewer with each.
const (
	mostSwept  = 8
	mostVisits = 8 // of accounts
)

// Kept is what a transaction has written, which [Log.Committed] takes note of.
type Kept struct {
	account string
	added   []entry
	dropped map[string]int // :: account → how many of its first entries
}

// Keep writes what t stands for into tx, unless t has no Value, and removes some tokens that have expired, or of which the account has too many.
func (l *Log) Keep(tx *storage.Tx, t Token, result []byte, now time.Time) (Kept, error) {
	k := Kept{account: t.Account, dropped: map[string]int{}}
	left, visits := mostSwept, 0
	if err := l.sweep(tx, t.Account, now, &left, &k); err != nil {
		return Kept{}, err
	}
	for account := range l.accounts { // which begins somewhere else each time
		if visits++; visits > mostVisits || left == 0 {
			break
		}
		if err := l.sweep(tx, account, now, &left, &k); err != nil {
			return Kept{}, err
		}
	}
	if t.Value == "" {
		return k, nil
	}
	if own := l.accounts[t.Account]; len(own)-k.dropped[t.Account] >= MaxTokens {
		if err := l.forget(tx, t.Account, own[k.dropped[t.Account]]); err != nil {
			return Kept{}, err
		}
		k.dropped[t.Account]++
	}
	e := entry{t.id(), now.Add(Life).UnixMilli()}
	k.added = append(k.added, e)
	return k, tx.Put(l.kind, t.path(), record{e.expires, t.Request, result}.encode())
}

// sweep removes tokens of an account that have expired, as many as are left to remove.
func (l *Log) sweep(tx *storage.Tx, account string, now time.Time, left *int, k *Kept) error {
	for _, e := range l.accounts[account][k.dropped[account]:] {
		if *left == 0 || e.expires > now.UnixMilli() {
			return nil
		}
		if err := l.forget(tx, account, e); err != nil {
			return err
		}
		k.dropped[account]++
		*left--
	}
	return nil
}

// forget deletes the record of an entry, unless the token was given again and stands for another change.
func (l *Log) forget(tx *storage.Tx, account string, e entry) error {
	r, found, err := l.read(tx, path(account, e.token))
	if err != nil || !found || r.expires > e.expires {
		return err
	}
	return tx.Delete(l.kind, path(account, e.token))
}

// Committed takes note of what Keep wrote, once it is durable.
func (l *Log) Committed(k Kept) {
	for account, n := range k.dropped {
		if l.accounts[account] = l.accounts[account][n:]; len(l.accounts[account]) == 0 {
			delete(l.accounts, account)
		}
	}
	if len(k.added) > 0 {
		l.accounts[k.account] = append(l.accounts[k.account], k.added...)
	}
}

// Len is how many tokens are remembered, expired ones that have not been removed among them.
func (l *Log) Len() (n int) {
	for _, list := range l.accounts {
		n += len(list)
	}
	return n
}
