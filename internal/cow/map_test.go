package cow

import (
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// Every version of a Map stays what it was when it was made, whatever is made from it later.
func TestMapAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			got  Map[int, int]
			want map[int]int
		}
		versions := []version{{want: map[int]int{}}}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			from := versions[rapid.IntRange(0, len(versions)-1).Draw(t, "from")]
			k, v := rapid.IntRange(0, 40).Draw(t, "key"), rapid.Int().Draw(t, "value")
			want := maps.Clone(from.want)
			got := from.got
			if rapid.Bool().Draw(t, "delete") {
				delete(want, k)
				got = got.Without(k)
			} else {
				want[k] = v
				got = got.With(k, v)
			}
			versions = append(versions, version{got, want})
		}
		for _, v := range versions {
			if got := maps.Collect(v.got.All()); !maps.Equal(got, v.want) || v.got.Len() != len(v.want) {
				t.Fatalf("map = %v (Len %d), want %v", got, v.got.Len(), v.want)
			}
			if again := Collect(v.got.All()); again.Len() != len(v.want) {
				t.Fatalf("Collect: Len = %d, want %d", again.Len(), len(v.want))
			}
			for k := range 41 {
				got, ok := v.got.Load(k)
				if want, wok := v.want[k]; got != want || ok != wok {
					t.Fatalf("Load(%d) = %d, %v, want %d, %v", k, got, ok, want, wok)
				}
			}
		}
	})
}

func TestAllStops(t *testing.T) {
	m := Map[int, int]{}.With(1, 1).With(2, 2)
	n := 0
	for range m.All() {
		n++
		break
	}
	if n != 1 {
		t.Errorf("ranged over %d entries after a break, want 1", n)
	}
}
