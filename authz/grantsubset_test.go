package authz

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// somePairs has pair i if bit i of set is there.
func somePairs(set int) Pairs {
	m := map[string]string{}
	for i := range 6 {
		if set>>i&1 != 0 {
			m[string(rune('a'+i))] = "v"
		}
	}
	return NewPairs(m)
}

// A grant for each subset of six pairs, of which one allows what is asked: it is found with all pairs and not with one less than
// it needs, whatever others come and go.
func TestEverySubsetIsFound(t *testing.T) {
	const sets = 1 << 6
	for set := 1; set < sets; set++ {
		var list []*KeyGrant
		for other := 1; other < sets; other++ {
			g := &KeyGrant{
				ID: fmt.Sprint(other), Grantee: Principal{Level: DirectLevel, ID: "AIDAALICE00000000001"}, Subset: somePairs(other),
				Actions: []Action{KMSEncrypt},
			}
			if other == set {
				g.Actions = []Action{KMSDecrypt}
			}
			list = append(list, g)
		}
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		findsOnly(t, CollectKeyGrants(slices.Values(list)), set)
		var s *KeyGrants
		for _, g := range list {
			s = s.With(g)
		}
		findsOnly(t, s, set)
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		for _, g := range list {
			if g.ID != fmt.Sprint(set) {
				s = s.Without(g)
				findsOnly(t, s, set)
			}
		}
		if s.Len() != 1 || len(s.few) != 1 || s.many.root != nil {
			t.Fatalf("%d grants are left, want 1", s.Len())
		}
	}
}

// findsOnly sees that the grants allow what those do whose subset is set.
func findsOnly(t *testing.T, s *KeyGrants, set int) {
	t.Helper()
	r := Resource{Kind: Key, Grants: s}
	q := request{caller: &Caller{Kind: User, ID: "AIDAALICE00000000001"}, action: KMSDecrypt, resource: &r, context: &Context{EncryptionContext: somePairs(1<<6 - 1)}}
	q.target.budget = maxSteps
	if g, _ := q.grant(); g == nil || g.ID != fmt.Sprint(set) {
		t.Fatalf("subset %b of %d grants: %+v is found with all pairs", set, s.Len(), g)
	}
	for i := range 6 {
		if set>>i&1 != 0 {
			q.context.EncryptionContext = somePairs((1<<6 - 1) &^ (1 << i))
			if g, _ := q.grant(); g != nil {
				t.Fatalf("subset %b of %d grants: %s is found without pair %d", set, s.Len(), g.ID, i)
			}
		}
	}
}

// Grants of a group stand in one order, in memory and by their text.
func TestEndOrder(t *testing.T) {
	var list []*KeyGrant
	for _, end := range []time.Time{
		{},
		time.Unix(1<<40, 0), time.Unix(1_800_000_000, 999_999_999), time.Unix(1_800_000_000, 1), time.Unix(1_800_000_000, 0),
		time.Unix(255, 0), time.Unix(0, 0), time.Unix(-1, 999), time.Unix(-256, 0),
	} {
		for _, id := range []string{"", "a", "ab", "b"} {
			list = append(list, &KeyGrant{ID: id, Expires: end})
		}
	}
	for i, g := range list {
		for j, h := range list {
			if g.before(h) != (i < j) || cmp.Compare(g.endOrder(), h.endOrder()) != cmp.Compare(i, j) {
				t.Errorf("%v %q and %v %q: before = %v, order %x and %x, want %v", g.Expires, g.ID, h.Expires, h.ID, g.before(h), g.endOrder(), h.endOrder(), i < j)
			}
		}
	}
}

// A principal whose last grant is taken away leaves nothing.
func TestNothingIsLeftOfAPrincipal(t *testing.T) {
	var s *KeyGrants
	for i := range 20 {
		s = s.With(&KeyGrant{ID: fmt.Sprint(i), Grantee: Principal{Level: RoleLevel, ID: fmt.Sprint("AROA", i)}})
	}
	s = s.Without(&KeyGrant{ID: "7", Grantee: Principal{Level: RoleLevel, ID: "AROA7"}})
	if _, ok := s.many.load(hashOfID("AROA7")); ok || s.Len() != 19 || s.levels[RoleLevel] != 19 {
		t.Errorf("%d grants are left, of the level %d, and a principal without any: %v", s.Len(), s.levels[RoleLevel], ok)
	}
}
