package authz_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
)

// grantShapes are keys with many grants, by what makes those differ.
var grantShapes = []struct {
	name string
	make func(i int, g *authz.KeyGrant)
}{
	{"for as many principals", func(i int, g *authz.KeyGrant) { g.Grantee.ID = fmt.Sprintf("AIDA%016d", i) }},
	{"for one, all the same", func(int, *authz.KeyGrant) {}},
	{"for one, other ends", func(i int, g *authz.KeyGrant) { g.Expires = noon.Add(time.Duration(i) * time.Second) }},
	{"for one, other pairs", func(i int, g *authz.KeyGrant) { g.Equals = authz.NewPairs(map[string]string{"volume": fmt.Sprint(i)}) }},
	{"for one, other subsets", func(i int, g *authz.KeyGrant) { g.Subset = authz.NewPairs(map[string]string{"volume": fmt.Sprint(i)}) }},
	{"for one, subsets of eight pairs", func(i int, g *authz.KeyGrant) { g.Subset = eightPairs(i/2, i) }},
}

// eightPairs are seven of the first number and one of the second.
func eightPairs(first, last int) authz.Pairs {
	m := map[string]string{"z": fmt.Sprint(last)}
	for i := range 7 {
		m[fmt.Sprint(i)] = fmt.Sprint(first)
	}
	return authz.NewPairs(m)
}

// shapedGrant is number i of a shape, with an id as long as those of the keystore.
func shapedGrant(shape func(int, *authz.KeyGrant), i int) *authz.KeyGrant {
	return grant(func(g *authz.KeyGrant) {
		g.ID = fmt.Sprintf("%064x", i*7919)
		g.Actions = []authz.Action{authz.KMSDecrypt, authz.KMSDescribeKey}
		shape(i, g)
	})
}

const manyGrants = 50_000

// BenchmarkKeyGrants makes keys of 50,000 grants, and adds and removes one more.
func BenchmarkKeyGrants(b *testing.B) {
	for _, shape := range grantShapes {
		list := make([]*authz.KeyGrant, manyGrants)
		for i := range list {
			list[i] = shapedGrant(shape.make, i)
		}
		s := authz.CollectKeyGrants(slices.Values(list))
		g := shapedGrant(shape.make, manyGrants)
		b.Run(shape.name+"/with", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if s.With(g).Len() != manyGrants+1 {
					b.Fatal("not added")
				}
			}
		})
		b.Run(shape.name+"/without", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if s.Without(list[7]).Len() != manyGrants-1 {
					b.Fatal("not removed")
				}
			}
		})
		b.Run(shape.name+"/collect", func(b *testing.B) {
			for b.Loop() {
				if authz.CollectKeyGrants(slices.Values(list)).Len() != manyGrants {
					b.Fatal("not collected")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/manyGrants, "ns/grant")
			b.ReportMetric(memoryOf(func() any { return authz.CollectKeyGrants(slices.Values(list)) })/manyGrants, "B/grant")
		})
	}
}

// memoryOf is how many bytes more there are once something has been made.
func memoryOf(makeIt func() any) float64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	made := makeIt()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(made)
	return float64(after.HeapAlloc) - float64(before.HeapAlloc)
}
