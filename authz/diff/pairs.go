package diff

import (
	"slices"

	"github.com/kmsd/kmsd/authz"
)

// variants returns n names that differ from each other in case only, the given one first; fewer if it has too few letters.
func variants(name string, n int) []string {
	list := []string{name}
	runes := []rune(name)
	var letters []int
	for i, r := range runes {
		if upperRune(foldRune(r)) != foldRune(r) {
			letters = append(letters, i)
		}
	}
	for bits := 1; len(list) < n && bits < 1<<min(len(letters), 16); bits++ {
		next := slices.Clone(runes)
		for j, at := range letters {
			if j < 16 && bits&(1<<j) != 0 {
				if next[at] = foldRune(next[at]); next[at] == runes[at] {
					next[at] = upperRune(next[at])
				}
			}
		}
		list = append(list, string(next))
	}
	return list
}

// pairs makes pairs of names with values, and of further names. One of these that has no values gets one of its own, unless its name is among
// those of values: then it is absent.
func pairs(values map[string][]string, names []string) authz.Pairs {
	m := make(map[string]string)
	spellings := make(map[string][]string) // :: folded name → the further names that are it
	for _, n := range names {
		spellings[fold(n)] = append(spellings[fold(n)], n)
	}
	for name, list := range values {
		spelled := spellings[fold(name)]
		delete(spellings, fold(name))
		if len(list) == 0 {
			continue
		}
		if len(spelled) == 0 {
			spelled = []string{name}
		}
		for _, v := range variants(spelled[0], len(list)+1) {
			if len(spelled) < len(list) && !slices.Contains(spelled, v) {
				spelled = append(spelled, v)
			}
		}
		for i, n := range spelled {
			m[n] = list[min(i, len(list)-1)]
		}
	}
	for _, spelled := range spellings {
		for _, n := range spelled {
			m[n] = "x"
		}
	}
	return authz.NewPairs(m)
}
