package keystore

import (
	"maps"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/cow"
)

func onlyOne(int) authz.Principal { return user("one") }

// BenchmarkGrants measures grants of a key that has this many already, for as many principals or for one.
func BenchmarkGrants(b *testing.B) {
	for _, tt := range []struct {
		name    string
		n       int
		grantee func(int) authz.Principal
	}{{"0", 0, eachAnother}, {"49999", 49_999, eachAnother}, {"49999 for one", 49_999, onlyOne}} {
		b.Run(tt.name, func(b *testing.B) {
			f := newFixture(b)
			k := f.mustCreate()
			f.fill(k, tt.n, tt.grantee)
			want := wanted(func(g *authz.KeyGrant) { g.Grantee = tt.grantee(0) })
			b.Run("create", func(b *testing.B) { benchmarkCreateGrant(b, f, k, want) })
			b.Run("publish", func(b *testing.B) { benchmarkPublishGrant(b, f.Snapshot(), f.now(k), want) })
			b.Run("page", func(b *testing.B) {
				k := f.now(k)
				for b.Loop() {
					k.Grants("", "8", 100)
				}
			})
		})
	}
}

// benchmarkCreateGrant is with the write to the disk.
func benchmarkCreateGrant(b *testing.B, f *fixture, k *Key, want *authz.KeyGrant) {
	g := f.toCreateGrant(k)
	for b.Loop() {
		made, _, err := f.CreateGrant(g, k.ID, want)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := f.RevokeGrant(f.toRevoke(k), k.ID, made.ID); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// benchmarkPublishGrant is what a grant that is made and one that is removed cost in memory.
func benchmarkPublishGrant(b *testing.B, s *Snapshot, k *Key, want *authz.KeyGrant) {
	g := *want
	g.ID, g.Name, g.Retiring, g.Expires = newGrantID(), "n", user("bob"), time.Now()
	with := s.withGrant(k, &g)
	has, _ := with.Key(k.ID)
	b.Run("made", func(b *testing.B) {
		for b.Loop() {
			s.withGrant(k, &g)
		}
	})
	b.Run("removed", func(b *testing.B) {
		for b.Loop() {
			with.withoutGrant(has, &g)
		}
	})
}

// BenchmarkPublishKey is what a new key and a changed one cost in memory among 100,000 of an account.
func BenchmarkPublishKey(b *testing.B) {
	f := newFixture(b)
	k := f.mustCreate()
	keys, ids := map[crypto.KeyID]*Key{}, map[string]crypto.KeyID{}
	for range MaxKeysPerAccount {
		other := *k
		other.ID = crypto.NewKeyID()
		other.Name = other.ID.String()
		keys[other.ID], ids[other.ID.String()] = &other, other.ID
	}
	s := &Snapshot{keys: cow.Collect(maps.All(keys))}
	s.accounts = s.accounts.With(testAccount, account{keys: cow.CollectSorted(maps.All(ids))})
	for name, k := range map[string]*Key{"new": k, "changed": keys[ids[anyKey(ids)]]} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.withKey(k)
			}
		})
	}
}

func anyKey[V any](m map[string]V) string {
	for k := range m {
		return k
	}
	return ""
}

func BenchmarkOpenWithGrants(b *testing.B) {
	f := newFixture(b)
	k := f.mustCreate()
	f.fill(k, 10_000, eachAnother)
	for b.Loop() {
		f.open()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/grant")
}

// Grants and tags cost nothing where a key is used.
func TestUseAllocatesNothing(t *testing.T) {
	f := newFixture(t)
	k := f.mustCreate()
	f.fill(k, 100, eachAnother)
	must[*Key](t)(f.TagKey(f.onKey(authz.KMSTagResource, k), k.ID, []Tag{{"a", "b"}}))
	g := f.onKey(authz.KMSEncrypt, k)
	n := testing.AllocsPerRun(100, func() {
		k, _ := f.Snapshot().Key(k.ID)
		if _, err := k.Use(g); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("Use allocates %v times, want 0", n)
	}
}
