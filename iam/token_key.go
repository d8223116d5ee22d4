package iam

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

const (
	kindSessionKey storage.Kind = "session-key" // key id in hex

	sessionKeyBytes = 1 + 8 + crypto.KeySize

	// sessionKeyLife is after how long a token is sealed under a key made for it. A key may seal 2^32 tokens: 7,000 each second
	// of that time.
	sessionKeyLife = 7 * 24 * time.Hour

	// sessionKeyRest is for how long a key stays that another has replaced: longer than any session.
	sessionKeyRest = MaxSessionTokenDuration + time.Hour
)

// tokenKey seals and opens session tokens. Its bytes are in the sealer only, and in the sealed store.
type tokenKey struct {
	id      [tokenKeyID]byte
	created time.Time
	sealer  *crypto.Sealer
}

// tokenRing is the keys of tokens, the newest first. It is immutable.
type tokenRing struct{ keys []tokenKey }

func (r *tokenRing) find(id [tokenKeyID]byte) *tokenKey {
	for n := range r.keys {
		if r.keys[n].id == id {
			return &r.keys[n]
		}
	}
	return nil
}

// newest returns the key to seal with at an instant; nil if one has to be made.
func (r *tokenRing) newest(now time.Time) *tokenKey {
	if len(r.keys) == 0 || now.Sub(r.keys[0].created) >= sessionKeyLife {
		return nil
	}
	return &r.keys[0]
}

// loadTokenRing reads the keys of tokens; a store in which there were no sessions has none.
func loadTokenRing(tx *storage.Tx) (*tokenRing, error) {
	r := &tokenRing{}
	err := tx.Walk(kindSessionKey, "", func(path string, value []byte) error {
		defer clear(value)
		k, err := decodeTokenKey(path, value)
		if err != nil {
			return fmt.Errorf("record %s %q: %w", kindSessionKey, path, err)
		}
		r.keys = append(r.keys, k)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(r.keys, func(a, b tokenKey) int { return b.created.Compare(a.created) })
	return r, nil
}

func decodeTokenKey(path string, value []byte) (tokenKey, error) {
	id, err := hex.DecodeString(path)
	if err != nil || len(id) != tokenKeyID || hex.EncodeToString(id) != path {
		return tokenKey{}, errors.New("the path is not a key id")
	}
	if len(value) != sessionKeyBytes || value[0] != recordVersion {
		return tokenKey{}, errors.New("not a record of its kind, or of a version that this program does not read")
	}
	seconds := binary.BigEndian.Uint64(value[1:9])
	if seconds > 1<<40 {
		return tokenKey{}, errors.New("the time of creation is out of range")
	}
	secret := crypto.NewSecret(bytes.Clone(value[9:]))
	defer secret.Wipe()
	sealer, err := crypto.NewSealer(secret)
	if err != nil {
		return tokenKey{}, err
	}
	return tokenKey{id: [tokenKeyID]byte(id), created: time.Unix(int64(seconds), 0).UTC(), sealer: sealer}, nil
}

// tokenKeyFor returns the key to seal tokens with at an instant. Where there is none that is young enough, it makes one.
func (i *IAM) tokenKeyFor(now time.Time) (*tokenKey, error) {
	if k := i.ring.Load().newest(now); k != nil {
		return k, nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if k := i.ring.Load().newest(now); k != nil { // another call was faster
		return k, nil
	}
	if err := i.rotateLocked(now); err != nil {
		return nil, err
	}
	return &i.ring.Load().keys[0], nil
}

// RotateSessionKey makes a key under which session tokens are sealed from then on. Tokens that there are stay good until
// they end; keys that no such token can be sealed under are deleted. It is durable when it returns nil. It is never necessary:
// a key is replaced after seven days when it is next needed.
func (i *IAM) RotateSessionKey() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.rotateLocked(time.Now())
}

func (i *IAM) rotateLocked(now time.Time) error {
	var id [tokenKeyID]byte
	rand.Read(id[:])
	now = now.UTC().Truncate(time.Second)
	if old := i.ring.Load().keys; len(old) > 0 && !now.After(old[0].created) {
		now = old[0].created.Add(time.Second) // so that the order in time is that of making, whatever the clock does
	}
	record := make([]byte, 9, sessionKeyBytes)
	record[0] = recordVersion
	binary.BigEndian.PutUint64(record[1:], uint64(now.Unix()))
	secret := crypto.RandomSecret(crypto.KeySize)
	defer secret.Wipe()
	record = append(record, secret.Expose()...)
	defer clear(record)
	path := hex.EncodeToString(id[:])
	made, err := decodeTokenKey(path, record)
	if err != nil {
		return fmt.Errorf("making a session key: %w", err)
	}
	next, gone := i.ring.Load().with(made)
	err = i.cfg.Store.Update(func(tx *storage.Tx) error {
		for _, k := range gone {
			if err := tx.Delete(kindSessionKey, hex.EncodeToString(k.id[:])); err != nil {
				return err
			}
		}
		return tx.Put(kindSessionKey, path, record)
	})
	if err != nil {
		return fmt.Errorf("storing a session key: %w", err)
	}
	i.ring.Store(next)
	return nil
}

// with returns r with a new key, and without those, also returned, that were replaced too long ago.
func (r *tokenRing) with(made tokenKey) (next *tokenRing, gone []tokenKey) {
	next = &tokenRing{keys: []tokenKey{made}}
	for n, k := range r.keys {
		if n > 0 && made.created.Sub(r.keys[n-1].created) >= sessionKeyRest {
			gone = append(gone, k)
			continue
		}
		next.keys = append(next.keys, k)
	}
	return next, gone
}
