package authz

import (
	"hash/maphash"
	"iter"
	"slices"
	"time"
)

// A Principal is one whom a grant names, bound to a unique id, so that one of the same name made later is another.
// [BindPrincipal] makes it.
type Principal struct {
	Text    string // as the request writes it: an ARN, or an account id
	Level   Level  // DirectLevel for a user or a session, RoleLevel for a role, AccountLevel for an account
	Account string
	ID      string // AIDA… of a user, AROA… of a role, AROA…:NAME of the session of a role, the id of an account
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
	KMSDescribeKey, KMSCreateGrant, KMSRetireGrant, KMSSign, KMSVerify, KMSGenerateMac, KMSVerifyMac, KMSGetPublicKey,
	KMSDeriveSharedSecret, KMSEncapsulate, KMSDecapsulate, KMSGenerateDataKeyPair, KMSGenerateDataKeyPairWithoutPlaintext,
}

// GrantOperations returns the actions that a grant may allow, in the order of their numbers. The slice is the caller's.
func GrantOperations() []Action { return slices.Clone(grantOperations[:]) }

// KeyGrants are the grants of one key, found by whom they are for, by what they allow and by their constraints: what a
// decision costs does not depend on how many there are, for others or for the same principal. They never change; With and
// Without return others, which share what they can, and take some microseconds among 50,000. Besides the grants themselves they
// take about 80 bytes for one whose grantee has no more than 8 of the key, and about 300 for another. A nil *KeyGrants is of a
// key without grants.
//
// Trust: they are found by hashes with a seed of the process, so who chooses names, values or ids cannot choose hashes. A
// hash only finds grants that may help: each is looked at before it permits anything.
type KeyGrants struct {
	few    []*KeyGrant           // all, if there are no more than fewGrants
	many   hashTrie[*holding]    // :: hash of Principal.ID → grants for it, if there are more
	levels [AccountLevel + 1]int // :: Level → grants for a grantee of it
	count  int
}

const fewGrants = 8

// grantSeed is what the hashes are made with. It is never written.
var grantSeed = maphash.MakeSeed()

func hashOfID(id string) uint64 { return maphash.String(grantSeed, id) }

// hash is hashOfID of the text, which is not put together for that.
func (b boundID) hash() uint64 {
	if b.session == "" {
		return hashOfID(b.id)
	}
	var h maphash.Hash
	h.SetSeed(grantSeed)
	h.WriteString(b.id)
	h.WriteString(sessionMark)
	h.WriteString(b.session)
	return h.Sum64()
}

// CollectKeyGrants returns the grants of a sequence, each of which has an id of its own.
func CollectKeyGrants(seq iter.Seq[*KeyGrant]) *KeyGrants {
	var s KeyGrants
	all := slices.Collect(seq)
	for _, g := range all {
		s.levels[g.Grantee.Level&3]++
	}
	if s.count = len(all); s.count <= fewGrants {
		s.few = all
		return &s
	}
	byGrantee := make(map[uint64][]*KeyGrant)
	for _, g := range all {
		hash := hashOfID(g.Grantee.ID)
		byGrantee[hash] = append(byGrantee[hash], g)
	}
	held := make(map[uint64]*holding, len(byGrantee))
	for hash, list := range byGrantee {
		held[hash] = hold(slices.Clip(list))
	}
	s.many = collectTrie(held)
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
		s.many.root.all(func(h *holding) bool { return h.all(yield) })
	}
}

// heldBy returns grants among which are all those for the principal of an id.
func (s *KeyGrants) heldBy(id string) *holding {
	h, _ := s.many.load(hashOfID(id))
	return h
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
		return CollectKeyGrants(slices.Values(append(slices.Clip(s.few), g)))
	default:
		next.many = s.many.with(hashOfID(g.Grantee.ID), s.heldBy(g.Grantee.ID).with(g))
	}
	return &next
}

// Without returns grants that do not have the one of g's id and grantee; s itself if it has none.
func (s *KeyGrants) Without(g *KeyGrant) *KeyGrants {
	if s == nil {
		return nil
	}
	h := &holding{few: s.few}
	if s.count > fewGrants {
		h = s.heldBy(g.Grantee.ID)
	}
	have := h.find(g)
	if have == nil {
		return s
	}
	next, rest := *s, h.without(have)
	next.count--
	next.levels[have.Grantee.Level&3]--
	switch hash := hashOfID(g.Grantee.ID); {
	case next.count == 0:
		next.few = nil
	case s.count <= fewGrants:
		next.few = rest.few
	case rest == nil:
		next.many = s.many.without(hash)
	default:
		next.many = s.many.with(hash, rest)
	}
	if s.count > fewGrants && next.count <= fewGrants {
		return CollectKeyGrants(next.All())
	}
	return &next
}
