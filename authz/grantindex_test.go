package authz

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Every version of a hashTrie stays what it was when it was made, though hashes agree in many of their digits.
func TestHashTrieAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			got  hashTrie[int]
			want map[uint64]int
		}
		hash := rapid.Custom(func(t *rapid.T) uint64 {
			return rapid.Uint64Range(0, 3).Draw(t, "high")<<rapid.SampledFrom([]int{0, 6, 30, 59, 60, 62}).Draw(t, "shift") | rapid.Uint64Range(0, 40).Draw(t, "low")
		})
		versions := []version{{want: map[uint64]int{}}}
		for i := range rapid.IntRange(1, 100).Draw(t, "steps") {
			from := versions[max(0, len(versions)-1-rapid.IntRange(0, 2).Draw(t, "back"))]
			next, h := version{from.got, maps.Clone(from.want)}, hash.Draw(t, "hash")
			if rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
				delete(next.want, h)
				next.got = next.got.without(h)
			} else {
				next.want[h] = i
				next.got = next.got.with(h, i)
			}
			versions = append(versions, next)
		}
		for _, v := range versions {
			var got []int
			v.got.root.all(func(i int) bool { got = append(got, i); return true })
			if want := slices.Sorted(maps.Values(v.want)); !slices.Equal(slices.Sorted(slices.Values(got)), want) || (v.got.root == nil) != (len(want) == 0) {
				t.Fatalf("all = %v, want %v", got, want)
			}
			for range 20 {
				h := hash.Draw(t, "asked")
				got, ok := v.got.load(h)
				if want, has := v.want[h]; got != want || ok != has {
					t.Fatalf("load(%#x) = %d, %v, want %d, %v", h, got, ok, want, has)
				}
			}
			if made := collectTrie(v.want); !sameTrie(made, v.want) {
				t.Fatalf("collectTrie(%v) has something else", v.want)
			}
		}
	})
}

func sameTrie(t hashTrie[int], want map[uint64]int) bool {
	n := 0
	t.root.all(func(int) bool { n++; return true })
	for h, v := range want {
		if got, ok := t.load(h); !ok || got != v {
			return false
		}
	}
	return n == len(want) && (t.root == nil) == (n == 0)
}

// What two hashes have in common by chance neither permits anything nor hides what does.
func TestCollisionsOfHashesAreHarmless(t *testing.T) {
	pairs := func(i int) Pairs { return NewPairs(map[string]string{"volume": fmt.Sprint(i)}) }
	made := func(i int, principal string, change func(g *KeyGrant)) *KeyGrant {
		g := &KeyGrant{ID: fmt.Sprint(i), Grantee: Principal{Level: DirectLevel, ID: principal}, Actions: []Action{KMSDecrypt}}
		change(g)
		return g
	}
	var list []*KeyGrant
	var x constraintIndex
	for i := range 20 {
		g := made(i, "AIDAALICE00000000001", func(g *KeyGrant) { g.Equals = pairs(i); g.Expires = time.Unix(2_000_000_000+int64(i), 0) })
		list = append(list, g)
		x.byID = x.byID.With(g.ID, g)
	}
	bob := made(20, "AIDABOB0000000000001", func(*KeyGrant) {})
	all := pileOf(append([]*KeyGrant{bob}, list...))
	for i := range 21 { // every constraint has the same hash, and so have the principals
		p := pairs(i)
		x.equals = x.equals.with(p.hash(), all)
	}
	grants := &KeyGrants{count: 21, levels: [AccountLevel + 1]int{DirectLevel: 21}}
	for _, id := range []string{"AIDAALICE00000000001", "AIDABOB0000000000001", "AIDACAROL00000000001"} {
		grants.many = grants.many.with(hashOfID(id), &holding{index: &x})
	}
	caller, r := benchCaller(t), benchResource(t, `{"Statement":{"Effect":"Allow","Principal":{"AWS":"999999999999"},"Action":"kms:Decrypt","Resource":"*"}}`)
	r.Grants = grants
	for i := range 21 {
		context := &Context{Time: time.Unix(1_000_000_000, 0), EncryptionContext: pairs(i)}
		for id, want := range map[string]string{"AIDAALICE00000000001": fmt.Sprint(i), "AIDABOB0000000000001": "20", "AIDACAROL00000000001": ""} {
			if i == 20 && id == "AIDAALICE00000000001" {
				want = ""
			}
			caller.ID = id
			if _, d := Authorize(caller, KMSDecrypt, r, context); d.GrantID != want || (d.Verdict == Allow) != (want != "") {
				t.Errorf("volume %d for %s: Authorize = %+v, want grant %q", i, id, d, want)
			}
		}
	}
}

// Grants that have ended do not stand before those that have not, however many they are.
func TestEndedGrantsHideNothing(t *testing.T) {
	for i, name := range []string{"without a constraint", "with the same pairs", "with the same subset"} {
		caller, r, x := grantsCase(t, func(n int, g *KeyGrant) {
			if g.Expires = time.Unix(int64(n), 0); n == 49_000 {
				g.Expires = time.Time{}
			}
			switch i {
			case 1:
				g.Equals = volume(1, "prod")
			case 2:
				g.Subset = NewPairs(map[string]string{"app": "1"})
			}
		})
		if _, d := Authorize(caller, KMSDecrypt, r, x); d.GrantID != "49000" {
			t.Errorf("%s: Authorize = %+v, want grant 49000", name, d)
		}
		for g := range r.Grants.All() {
			if g.ID == "49000" {
				r.Grants = r.Grants.Without(g)
				break
			}
		}
		if _, d := Authorize(caller, KMSDecrypt, r, x); d.Verdict != Deny || d.Reason == TooComplex {
			t.Errorf("%s: Authorize = %+v when all have ended, want DENY", name, d)
		}
	}
}

// Explain shows first the grants that the request finds, though they are a few of many.
func TestExplainShowsFirstTheGrantsThatMatter(t *testing.T) {
	caller, r, x := grantsCase(t, func(i int, g *KeyGrant) {
		switch g.Equals = volume(i, "prod"); i {
		case 40_000:
			g.Expires = time.Unix(1, 0)
		case 40_001:
			g.Equals, g.Actions = volume(40_000, "prod"), []Action{KMSEncrypt}
		}
	})
	for n, want := range map[int]string{49_999: "49999", 40_000: "40000"} {
		x.EncryptionContext = volume(n, "prod")
		e := Explain(caller, KMSDecrypt, r, x)
		if len(e.Grants) != maxTracedGrants || !e.Truncated {
			t.Fatalf("volume %d: Explain has %d grants, truncated %v, want %d and true", n, len(e.Grants), e.Truncated, maxTracedGrants)
		}
		if g := e.Grants[0]; g.Grant.ID != want || !g.Constraint || !g.Operation || g.Current != (n == 49_999) || g.Holds != g.Current {
			t.Errorf("volume %d: the first grant is %+v of %s, want %s", n, g, g.Grant.ID, want)
		}
		if g := e.Grants[1]; (g.Grant.ID == "40001") != (n == 40_000) || g.Constraint != (n == 40_000) {
			t.Errorf("volume %d: the second grant is %+v of %s", n, g, g.Grant.ID)
		}
	}
}
