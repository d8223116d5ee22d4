package diff

import (
	"maps"
	"slices"
	"strings"

	"github.com/kmsd/kmsd/authz"
)

// A facet is some atoms that depend on the same dims, with what they can be together.
type facet struct {
	atoms    []int
	rows     []row
	complete bool // rows are all that they can be
}

// A row is a set of atoms that hold while the others of the facet do not, with what brings it about.
type row struct {
	holds    []uint64 // bit i for the atom of number i of the facet
	settings []setting
}

// maxRows bounds the combinations of settings of one facet.
const maxRows = 3000

// enoughPlain bounds the values that are tried for variables.
const enoughPlain = 6

// facet makes the facet of some atoms, for the requests of a draft.
func (s *search) facet(atoms []int, base *draft) *facet {
	f := &facet{atoms: atoms, complete: true}
	var names []string
	variables := make(map[string]bool)
	plain := []string{"blue"}
	for _, n := range atoms {
		a := &s.in.atoms[n]
		names = append(names, a.dims...)
		f.complete = f.complete && !a.variables && a.policy != nil
		for _, v := range a.values {
			for _, key := range variablesOf(v) {
				variables[key] = true
			}
			if len(plain) < enoughPlain && !strings.ContainsAny(v, "*?$:") && v != "" {
				plain = append(plain, v)
			}
		}
	}
	names = s.order(unique(names), atoms)
	known := make(map[string][]string)
	combinations := [][]setting{nil}
	for _, dim := range names {
		c := choice{s: s, dim: dim, base: base, atoms: atoms, known: known}
		for _, n := range atoms {
			for _, u := range s.in.atoms[n].uses {
				if u.dim == dim {
					c.uses, c.keys = append(c.uses, u), append(c.keys, u.key)
				}
			}
		}
		for key := range variables {
			if dimOf(key) == dim {
				c.keys, c.plain = append(c.keys, key), plain
			}
		}
		list, complete := c.settings()
		f.complete = f.complete && complete
		s.learn(known, variables, base, list)
		if _, name := family(dim); name != "" {
			for _, of := range []string{"aws:tagkeys", "kms:encryptioncontextkeys"} {
				known[of] = append(known[of], name)
			}
		}
		var next [][]setting
		for _, have := range combinations {
			for _, set := range list {
				if len(next) == maxRows {
					f.complete = false
					break
				}
				next = append(next, append(slices.Clip(have), set))
			}
		}
		combinations = next
	}
	s.fill(f, base, combinations)
	return f
}

// order puts dims that values with variables are compared with behind the others, and the names of pairs behind the pairs.
func (s *search) order(names []string, atoms []int) []string {
	late := func(dim string) int {
		if dim == "aws:tagkeys" || dim == "kms:encryptioncontextkeys" {
			return 2
		}
		for _, n := range atoms {
			if a := &s.in.atoms[n]; a.variables && a.uses[0].dim == dim {
				return 1
			}
		}
		return 0
	}
	slices.SortStableFunc(names, func(a, b string) int { return late(a) - late(b) })
	return names
}

// learn notes what settings make of the keys of variables.
func (s *search) learn(known map[string][]string, variables map[string]bool, base *draft, list []setting) {
	const enough = 12
	if len(variables) == 0 {
		return
	}
	for _, set := range list {
		c, r, x := base.with(set).request()
		s.spend(stepsOfDecision)
		for _, v := range authz.ContextValues(&c, base.action, &r, &x) {
			key := fold(v.Name)
			if variables[key] && len(v.Values) == 1 && !slices.Contains(known[key], v.Values[0]) && len(known[key]) < enough {
				known[key] = append(known[key], v.Values[0])
			}
		}
	}
}

// fill asks for each combination of settings which atoms hold.
func (s *search) fill(f *facet, base *draft, combinations [][]setting) {
	seen := make(map[string]bool)
	for _, settings := range combinations {
		if s.spent() {
			f.complete = false
			return
		}
		d := base.with(settings...)
		r := row{holds: make([]uint64, (len(f.atoms)+63)/64), settings: settings}
		key := make([]byte, len(f.atoms))
		for i, n := range f.atoms {
			if a := &s.in.atoms[n]; a.policy != nil && s.holds(a, d) {
				r.holds[i/64] |= 1 << (i % 64)
				key[i] = 1
			}
		}
		if !seen[string(key)] {
			seen[string(key)] = true
			f.rows = append(f.rows, r)
		}
	}
}

// signature says which of the atoms that compare with a dim alone hold with a setting.
func (s *search) signature(c *choice, set setting) string {
	d := c.base.with(set)
	var b []byte
	for _, n := range c.atoms {
		a := &s.in.atoms[n]
		if a.policy == nil || !slices.Contains(a.dims, c.dim) {
			continue
		}
		b = append(b, map[bool]byte{true: 1}[s.holds(a, d)])
	}
	return string(b)
}

// facets cuts atoms into facets: those that depend on a common dim, or on dims that depend on each other, are together.
func (s *search) facets(atoms []int, base *draft) []*facet {
	group := make(map[string]string) // :: dim → the one that stands for its group
	var find func(string) string
	find = func(d string) string {
		if g, ok := group[d]; ok && g != d {
			group[d] = find(g)
			return group[d]
		}
		return d
	}
	joined := func(dim string) string { // names of pairs and pairs
		switch {
		case strings.HasPrefix(dim, "aws:requesttag/"):
			return "aws:tagkeys"
		case strings.HasPrefix(dim, "kms:encryptioncontext:"):
			return "kms:encryptioncontextkeys"
		}
		return dim
	}
	named := make(map[string]bool)
	for _, n := range atoms {
		for _, d := range s.in.atoms[n].dims {
			named[d] = true
		}
	}
	for _, n := range atoms {
		list := s.in.atoms[n].dims
		for _, d := range list {
			group[find(d)] = find(list[0])
			if j := joined(d); named[j] {
				group[find(d)] = find(j)
			}
		}
	}
	byGroup := make(map[string][]int)
	for _, n := range atoms {
		g := find(s.in.atoms[n].dims[0])
		byGroup[g] = append(byGroup[g], n)
	}
	var list []*facet
	for _, g := range slices.Sorted(maps.Keys(byGroup)) {
		list = append(list, s.cachedFacet(byGroup[g], base))
	}
	return list
}
