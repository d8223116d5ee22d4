package cow

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Every version of a Sorted stays what it was when it was made, and is in order, whatever is made from it later.
func TestSortedAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			got  Sorted[int, int]
			want map[int]int
		}
		first := map[int]int{}
		for i := range rapid.SampledFrom([]int{0, 1, fanout, fanout + 1, 5000}).Draw(t, "first") {
			first[3*i] = i
		}
		top := 3*len(first) + 40
		versions := []version{{CollectSorted(maps.All(first)), first}}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			from := versions[rapid.IntRange(0, len(versions)-1).Draw(t, "from")]
			got, want := from.got, maps.Clone(from.want)
			k, v := rapid.IntRange(-5, top).Draw(t, "key"), rapid.Int().Draw(t, "value")
			remove := rapid.Bool().Draw(t, "remove")
			for range rapid.SampledFrom([]int{1, 3 * fanout}).Draw(t, "times") {
				if remove {
					delete(want, k)
					got = got.Without(k)
				} else {
					want[k] = v
					got = got.With(k, v)
				}
				k++
			}
			versions = append(versions, version{got, want})
		}
		for _, v := range versions {
			compareSorted(t, v.got, v.want, rapid.IntRange(-6, top).Draw(t, "after"))
			compareSorted(t, CollectSorted(v.got.All()), v.want, -6)
		}
	})
}

func compareSorted(t *rapid.T, got Sorted[int, int], want map[int]int, after int) {
	keys := slices.Sorted(maps.Keys(want))
	var gotKeys, behind []int
	for k, v := range got.All() {
		gotKeys = append(gotKeys, k)
		if w, ok := got.Load(k); v != want[k] || w != v || !ok {
			t.Fatalf("entry %d = %d, Load = %d, %v, want %d", k, v, w, ok, want[k])
		}
	}
	if !slices.Equal(gotKeys, keys) || got.Len() != len(keys) {
		t.Fatalf("keys = %v (Len %d), want %v", gotKeys, got.Len(), keys)
	}
	for k := range got.After(after) {
		behind = append(behind, k)
	}
	i, found := slices.BinarySearch(keys, after)
	if found {
		i++
	}
	if !slices.Equal(behind, keys[i:]) {
		t.Fatalf("After(%d) = %v, want %v", after, behind, keys[i:])
	}
	if _, ok := got.Load(after); ok != found {
		t.Fatalf("Load(%d) found it: %v, want %v", after, ok, found)
	}
}

func TestSortedStops(t *testing.T) {
	var s Sorted[int, int]
	for i := range 10 * fanout {
		s = s.With(i, i)
	}
	n := 0
	for range s.All() {
		if n++; n == fanout+3 {
			break
		}
	}
	for k := range s.After(2 * fanout) {
		if n++; k == 5*fanout {
			break
		}
	}
	if want := fanout + 3 + 3*fanout; n != want {
		t.Errorf("ranged over %d entries, want %d", n, want)
	}
}

func BenchmarkSortedWith(b *testing.B) {
	for _, size := range []int{0, 1000, 100_000} {
		var s Sorted[string, int]
		for i := range size {
			s = s.With(fmt.Sprintf("%064x", i*7919%size), i)
		}
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.With("4", 1)
			}
		})
	}
}
