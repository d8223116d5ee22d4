package keystore

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/cow"
)

// Alias is another name of a key. It never changes.
type Alias struct {
	Name    string // with its prefix "alias/"
	ARN     string
	Target  crypto.KeyID
	Created time.Time
	Updated time.Time
}

func (p Place) alias(account, name string, target crypto.KeyID, created, updated time.Time) *Alias {
	return &Alias{Name: name, ARN: p.AliasARN(account, name), Target: target, Created: created, Updated: updated}
}

type aliasName struct{ account, name string }

// Snapshot is the whole state of the keystore at one generation. It never changes; a request reads one from its start to its end.
type Snapshot struct {
	keys     cow.Map[crypto.KeyID, *Key]
	aliases  cow.Map[aliasName, *Alias]
	accounts cow.Map[string, account]
}

// account holds what an account's lists are made of, each in its order.
type account struct {
	keys    []crypto.KeyID
	aliases []string
}

// Key returns the key of an id, of whatever account.
func (s *Snapshot) Key(id crypto.KeyID) (*Key, bool) { return s.keys.Load(id) }

// Alias returns an account's alias. The name has its prefix "alias/".
func (s *Snapshot) Alias(account, name string) (*Alias, bool) {
	return s.aliases.Load(aliasName{account, name})
}

// Resolve returns the key that r names. It reports false when there is none.
func (s *Snapshot) Resolve(r Ref) (*Key, bool) {
	id := r.ID
	if r.Alias != "" {
		a, ok := s.Alias(r.Account, r.Alias)
		if !ok {
			return nil, false
		}
		id = a.Target
	}
	k, ok := s.keys.Load(id)
	if !ok || k.Account() != r.Account {
		return nil, false
	}
	return k, true
}

// Len is the number of keys.
func (s *Snapshot) Len() int { return s.keys.Len() }

// Keys returns up to limit keys of an account that come behind after in the order of their ids, and whether there
// are more. The zero id comes before all.
func (s *Snapshot) Keys(accountID string, after crypto.KeyID, limit int) (page []*Key, more bool) {
	a, _ := s.accounts.Load(accountID)
	ids, more := pageAfter(a.keys, after, limit, compareIDs)
	for _, id := range ids {
		k, _ := s.keys.Load(id)
		page = append(page, k)
	}
	return page, more
}

// Aliases returns up to limit aliases of an account that come behind after in the order of their names, and whether
// there are more. If of is not nil, only aliases of that key.
func (s *Snapshot) Aliases(accountID string, of *Key, after string, limit int) (page []*Alias, more bool) {
	a, _ := s.accounts.Load(accountID)
	names := a.aliases
	if of != nil {
		names = of.aliases
	}
	names, more = pageAfter(names, after, limit, strings.Compare)
	for _, name := range names {
		al, _ := s.Alias(accountID, name)
		page = append(page, al)
	}
	return page, more
}

func pageAfter[T any](sorted []T, after T, limit int, compare func(a, b T) int) (page []T, more bool) {
	i, found := slices.BinarySearchFunc(sorted, after, compare)
	if found {
		i++
	}
	rest := sorted[i:]
	if len(rest) > limit {
		return rest[:limit], true
	}
	return rest, false
}

func compareIDs(a, b crypto.KeyID) int { return bytes.Compare(a[:], b[:]) }

// insert returns sorted with v in its place; sorted itself stays as it is.
func insert[T any](sorted []T, v T, compare func(a, b T) int) []T {
	i, found := slices.BinarySearchFunc(sorted, v, compare)
	if found {
		return sorted
	}
	return slices.Insert(slices.Clip(sorted), i, v)
}

// remove returns sorted without v; sorted itself stays as it is.
func remove[T any](sorted []T, v T, compare func(a, b T) int) []T {
	i, found := slices.BinarySearchFunc(sorted, v, compare)
	if !found {
		return sorted
	}
	return slices.Concat(sorted[:i], sorted[i+1:])
}

// withKey returns a snapshot in which k stands in the place of what had its id.
func (s *Snapshot) withKey(k *Key) *Snapshot {
	next := *s
	if _, ok := s.keys.Load(k.ID); !ok {
		a, _ := s.accounts.Load(k.Account())
		a.keys = insert(a.keys, k.ID, compareIDs)
		next.accounts = s.accounts.With(k.Account(), a)
	}
	next.keys = s.keys.With(k.ID, k)
	return &next
}

// withAlias returns a snapshot in which the alias a of an account stands, with the lists of the keys concerned.
func (s *Snapshot) withAlias(accountID string, a *Alias) *Snapshot {
	next := s.withoutAlias(accountID, a.Name)
	acc, _ := next.accounts.Load(accountID)
	acc.aliases = insert(acc.aliases, a.Name, strings.Compare)
	next.accounts = next.accounts.With(accountID, acc)
	next.aliases = next.aliases.With(aliasName{accountID, a.Name}, a)
	k, _ := next.keys.Load(a.Target)
	next.keys = next.keys.With(k.ID, k.with(func(k *Key) { k.aliases = insert(k.aliases, a.Name, strings.Compare) }))
	return next
}

// withoutAlias returns a snapshot without the alias, if there was one. The result is the caller's to change.
func (s *Snapshot) withoutAlias(accountID, name string) *Snapshot {
	next := *s
	old, ok := s.Alias(accountID, name)
	if !ok {
		return &next
	}
	acc, _ := s.accounts.Load(accountID)
	acc.aliases = remove(acc.aliases, name, strings.Compare)
	next.accounts = s.accounts.With(accountID, acc)
	next.aliases = s.aliases.Without(aliasName{accountID, name})
	k, _ := s.keys.Load(old.Target)
	next.keys = s.keys.With(k.ID, k.with(func(k *Key) { k.aliases = remove(k.aliases, name, strings.Compare) }))
	return &next
}
