package authz

import (
	"iter"
	"slices"
	"time"

	"github.com/kmsd/kmsd/internal/cow"
)

// A Principal is one whom a grant names, bound to a unique id, so that one of the same name made later is another.
// [BindPrincipal] makes it.
type Principal struct {
	Text    string // as the request writes it: an ARN, or an account id
	Level   Level  // DirectLevel for a user or a session, RoleLevel for a role, AccountLevel for an account
	Account string
	ID      string // AIDA… of a user, AROA… of a role, the ARN of a session, the id of an account
}

// A KeyGrant is an AWS KMS grant: it lets one principal use one key for some operations. It only ever allows. It
// never changes once it is made. (A permission that Authorize gives is a [Grant].)
type KeyGrant struct {
	ID       string
	Name     string // makes CreateGrant idempotent; may be empty
	Grantee  Principal
	Retiring Principal // the zero Principal: none
	Issuer   string    // the account whose principal made it
	IssuedBy string    // unique id of that principal
	Created  time.Time
	Expires  time.Time // it permits nothing at this time and after; zero: does not end by itself
	Actions  []Action  // what it allows, each of GrantOperations, without repetition, in their order
	Equals   Pairs     // constraint EncryptionContextEquals, if it has pairs
	Subset   Pairs     // constraint EncryptionContextSubset, if it has pairs
}

// grantOperations are in the order in which a KeyGrant has them. It is never written.
var grantOperations = [...]Action{
	KMSEncrypt, KMSDecrypt, KMSReEncryptFrom, KMSReEncryptTo, KMSGenerateDataKey, KMSGenerateDataKeyWithoutPlaintext,
	KMSDescribeKey, KMSCreateGrant, KMSRetireGrant,
}

// GrantOperations returns the actions that a grant may allow, in the order of their numbers. The slice is the caller's.
func GrantOperations() []Action { return slices.Clone(grantOperations[:]) }

// KeyGrants are the grants of one key, found by whom they are for: what a decision costs does not depend on how many
// there are for others. They never change; With and Without return others, which share what they can: among 50,000
// grants for different principals a change copies about 200 entries. Those for one principal are looked at in turn: a
// decision that comes upon several thousand that do not help is denied as too complex. A nil *KeyGrants is of a key
// without grants.
type KeyGrants struct {
	few    []*KeyGrant                  // all, if there are no more than fewGrants
	many   cow.Map[string, []*KeyGrant] // :: Principal.ID → grants for it, if there are more
	levels [AccountLevel + 1]int        // :: Level → grants for a grantee of it
	count  int
}

const fewGrants = 8

// CollectKeyGrants returns the grants of a sequence, each of which has an id of its own.
func CollectKeyGrants(seq iter.Seq[*KeyGrant]) *KeyGrants {
	var s KeyGrants
	var all []*KeyGrant
	for g := range seq {
		all = append(all, g)
		s.levels[g.Grantee.Level&3]++
	}
	if s.count = len(all); s.count <= fewGrants {
		s.few = all
		return &s
	}
	byGrantee := make(map[string][]*KeyGrant)
	for _, g := range all {
		byGrantee[g.Grantee.ID] = append(byGrantee[g.Grantee.ID], g)
	}
	s.many = cow.Collect(func(yield func(string, []*KeyGrant) bool) {
		for id, list := range byGrantee {
			if !yield(id, list) {
				return
			}
		}
	})
	return &s
}

// Len is the number of grants.
func (s *KeyGrants) Len() int {
	if s == nil {
		return 0
	}
	return s.count
}

// All yields the grants, in no order.
func (s *KeyGrants) All() iter.Seq[*KeyGrant] {
	return func(yield func(*KeyGrant) bool) {
		if s == nil {
			return
		}
		for _, g := range s.few {
			if !yield(g) {
				return
			}
		}
		for _, list := range s.many.All() {
			for _, g := range list {
				if !yield(g) {
					return
				}
			}
		}
	}
}

// With returns grants that have g besides, in the place of one of its id and grantee if there is one.
func (s *KeyGrants) With(g *KeyGrant) *KeyGrants {
	s = s.Without(g)
	if s == nil {
		s = &KeyGrants{}
	}
	next := *s
	next.count++
	next.levels[g.Grantee.Level&3]++
	switch {
	case next.count <= fewGrants:
		next.few = append(slices.Clip(s.few), g)
	case s.count <= fewGrants:
		return CollectKeyGrants(func(yield func(*KeyGrant) bool) {
			for _, have := range s.few {
				if !yield(have) {
					return
				}
			}
			yield(g)
		})
	default:
		list, _ := s.many.Load(g.Grantee.ID)
		next.many = s.many.With(g.Grantee.ID, append(slices.Clip(list), g))
	}
	return &next
}

// Without returns grants that do not have the one of g's id and grantee; s itself if it has none.
func (s *KeyGrants) Without(g *KeyGrant) *KeyGrants {
	if s == nil {
		return nil
	}
	list := s.few
	if s.count > fewGrants {
		list, _ = s.many.Load(g.Grantee.ID)
	}
	at := slices.IndexFunc(list, func(have *KeyGrant) bool {
		return have.ID == g.ID && have.Grantee.ID == g.Grantee.ID
	})
	if at < 0 {
		return s
	}
	next := *s
	next.count--
	next.levels[list[at].Grantee.Level&3]--
	rest := slices.Concat(list[:at], list[at+1:])
	switch {
	case s.count <= fewGrants:
		next.few = rest
	case len(rest) == 0:
		next.many = s.many.Without(g.Grantee.ID)
	default:
		next.many = s.many.With(g.Grantee.ID, rest)
	}
	if s.count > fewGrants && next.count <= fewGrants {
		return CollectKeyGrants(next.All())
	}
	return &next
}
