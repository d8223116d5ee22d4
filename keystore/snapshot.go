package keystore

import (
	"encoding/binary"
	"iter"
	"slices"
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
	unusable cow.Sorted[string, struct{}] // :: name of keys whose policies do not compile

	deleting cow.Sorted[string, struct{}]     // :: name of keys that are pending deletion
	due      cow.Sorted[string, crypto.KeyID] // :: dueOrder → id, of keys that are to be rotated, or have material that expires

	retirable   cow.Sorted[string, KeyedGrant] // :: retiringOrder → grant, of those that have a retiring principal
	expiring    cow.Sorted[string, KeyedGrant] // :: expiryOrder → grant, of those that end by themselves
	grantTokens *grantTokens                   // nil before the first grant
}

// account holds what an account's lists are made of.
type account struct {
	keys    cow.Sorted[string, crypto.KeyID] // :: name of the key → id
	aliases cow.Sorted[string, *Alias]       // :: name → alias
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
	for _, id := range a.keys.After(after.String()) {
		if len(page) == limit {
			return page, true
		}
		k, _ := s.keys.Load(id)
		page = append(page, k)
	}
	return page, false
}

// Aliases returns up to limit aliases of an account that come behind after in the order of their names, and whether
// there are more. If of is not nil, only aliases of that key.
func (s *Snapshot) Aliases(accountID string, of *Key, after string, limit int) (page []*Alias, more bool) {
	if of == nil {
		a, _ := s.accounts.Load(accountID)
		return pageOf(a.aliases.After(after), limit)
	}
	return pageOf(func(yield func(string, *Alias) bool) {
		for _, name := range of.Aliases() {
			if a, ok := s.Alias(accountID, name); ok && name > after && !yield(name, a) {
				return
			}
		}
	}, limit)
}

// pageOf returns the first limit values of a sequence, and whether there are more.
func pageOf[V any](seq iter.Seq2[string, V], limit int) (page []V, more bool) {
	for _, v := range seq {
		if len(page) == limit {
			return page, true
		}
		page = append(page, v)
	}
	return page, false
}

// insert returns sorted with v in its place; sorted itself stays as it is.
func insert(sorted []string, v string) []string {
	i, found := slices.BinarySearch(sorted, v)
	if found {
		return sorted
	}
	return slices.Insert(slices.Clip(sorted), i, v)
}

// remove returns sorted without v; sorted itself stays as it is.
func remove(sorted []string, v string) []string {
	i, found := slices.BinarySearch(sorted, v)
	if !found {
		return sorted
	}
	return slices.Concat(sorted[:i], sorted[i+1:])
}

// withKey returns a snapshot in which k stands in the place of what had its id.
func (s *Snapshot) withKey(k *Key) *Snapshot {
	next := *s
	old, ok := s.keys.Load(k.ID)
	if !ok {
		a, _ := s.accounts.Load(k.Account())
		a.keys = a.keys.With(k.Name, k.ID)
		next.accounts = s.accounts.With(k.Account(), a)
	}
	next.keys = s.keys.With(k.ID, k)
	next.unusable = noted(s.unusable, k.Name, k.Policy.unusable != nil)
	next.deleting = noted(s.deleting, k.Name, k.State == PendingDeletion)
	next.due = s.due
	if ok {
		next.due = next.due.Without(old.dueOrder())
	}
	if order := k.dueOrder(); order != "" {
		next.due = next.due.With(order, k.ID)
	}
	return &next
}

// noted returns set with or without name.
func noted(set cow.Sorted[string, struct{}], name string, in bool) cow.Sorted[string, struct{}] {
	if in {
		return set.With(name, struct{}{})
	}
	return set.Without(name)
}

// withoutKey returns a snapshot without the key, its aliases and its grants.
func (s *Snapshot) withoutKey(k *Key) *Snapshot {
	next := *s
	next.retirable, next.expiring = s.retirable, s.expiring
	for _, g := range k.grants.byID.All() {
		keyed := KeyedGrant{k.ID, g}
		next.retirable = next.retirable.Without(keyed.retiringOrder())
		next.expiring = next.expiring.Without(keyed.expiryOrder())
	}
	a, _ := s.accounts.Load(k.Account())
	a.keys = a.keys.Without(k.Name)
	for _, name := range k.Aliases() {
		a.aliases = a.aliases.Without(name)
		next.aliases = next.aliases.Without(aliasName{k.Account(), name})
	}
	next.accounts = s.accounts.With(k.Account(), a)
	next.keys = s.keys.Without(k.ID)
	next.unusable, next.deleting, next.due = s.unusable.Without(k.Name), s.deleting.Without(k.Name), s.due.Without(k.dueOrder())
	return &next
}

// nextDue is when something of the key is due that happens by itself; zero if nothing is, but for its deletion.
func (k *Key) nextDue() time.Time {
	due := time.Time{}
	if d := k.dates(); d.rotates && k.State == Enabled {
		due = d.nextRotation
	}
	if first := k.firstSweep; first != 0 {
		if at := time.Unix(0, first).UTC(); due.IsZero() || at.Before(due) {
			due = at
		}
	}
	return due
}

// dueOrder begins with the time, which is after 1970. It is empty if nothing is due.
func (k *Key) dueOrder() string {
	due := k.nextDue()
	if due.IsZero() {
		return ""
	}
	return timeOrder(due) + k.Name
}

// timeOrder is what times are in order of.
func timeOrder(t time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(t.Unix()))
	return string(binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond())))
}

// withAlias returns a snapshot in which the alias a of an account stands, with the lists of the keys concerned.
func (s *Snapshot) withAlias(accountID string, a *Alias) *Snapshot {
	next := s.withoutAlias(accountID, a.Name)
	acc, _ := next.accounts.Load(accountID)
	acc.aliases = acc.aliases.With(a.Name, a)
	next.accounts = next.accounts.With(accountID, acc)
	next.aliases = next.aliases.With(aliasName{accountID, a.Name}, a)
	k, _ := next.keys.Load(a.Target)
	return next.withKey(k.with(func(k *Key) { k.Resource.Aliases = insert(k.Resource.Aliases, a.Name) }))
}

// withoutAlias returns a snapshot without the alias, if there was one. The result is the caller's to change.
func (s *Snapshot) withoutAlias(accountID, name string) *Snapshot {
	next := *s
	old, ok := s.Alias(accountID, name)
	if !ok {
		return &next
	}
	acc, _ := s.accounts.Load(accountID)
	acc.aliases = acc.aliases.Without(name)
	next.accounts = s.accounts.With(accountID, acc)
	next.aliases = s.aliases.Without(aliasName{accountID, name})
	k, _ := s.keys.Load(old.Target)
	return next.withKey(k.with(func(k *Key) { k.Resource.Aliases = remove(k.Resource.Aliases, name) }))
}
