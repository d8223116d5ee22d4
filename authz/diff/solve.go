package diff

// A lit says that an atom holds, or with the bit notHolds that it does not.
type lit int

const notHolds lit = 1

func holds(n int) lit    { return lit(n << 1) }
func (l lit) not() lit   { return l ^ notHolds }
func (l lit) atom() int  { return int(l >> 1) }
func (l lit) want() int8 { return int8(1 + l&notHolds) } // 1 holds, 2 does not

// A problem is what a request has to be like: all units are so, and in each clause one.
type problem struct {
	units   []lit
	clauses [][]lit
}

// atoms returns those of the problem.
func (p *problem) atoms() []int {
	seen := make(map[int]bool)
	var list []int
	add := func(l lit) {
		if !seen[l.atom()] {
			seen[l.atom()] = true
			list = append(list, l.atom())
		}
	}
	for _, l := range p.units {
		add(l)
	}
	for _, c := range p.clauses {
		for _, l := range c {
			add(l)
		}
	}
	return list
}

// A solver is a DPLL search, in which what the atoms of a facet can be together is one more constraint.
type solver struct {
	s      *search
	p      *problem
	facets []*facet
	value  []int8 // :: atom → 0 not known, 1 holds, 2 does not
	trail  []int  // atoms with a value, in the order in which they got it

	// accept is asked about each solution; where it says no, the search goes on.
	accept func([]*row) bool
}

// solve reports whether there is a solution that is accepted. It reports false when the steps are spent.
func (s *search) solve(p *problem, facets []*facet, accept func([]*row) bool) bool {
	v := solver{s: s, p: p, facets: facets, value: make([]int8, len(s.in.atoms)), accept: accept}
	for _, l := range p.units {
		if !v.set(l) {
			return false
		}
	}
	return v.run()
}

// set gives an atom its value, and reports whether it has not the other one.
func (v *solver) set(l lit) bool {
	if have := v.value[l.atom()]; have != 0 {
		return have == l.want()
	}
	v.value[l.atom()] = l.want()
	v.trail = append(v.trail, l.atom())
	return true
}

// undo takes back all values but the first n.
func (v *solver) undo(n int) {
	for _, a := range v.trail[n:] {
		v.value[a] = 0
	}
	v.trail = v.trail[:n]
}

func (v *solver) run() bool {
	mark := len(v.trail)
	open, ok := v.propagate()
	rows := v.rows()
	switch {
	case v.s.spent() || !ok || rows == nil && len(v.facets) > 0:
	case open == nil:
		if v.accept(rows) {
			return true
		}
	default:
		for _, l := range open {
			if v.value[l.atom()] != 0 {
				continue
			}
			inner := len(v.trail)
			if v.set(l) && v.run() {
				return true
			}
			v.undo(inner)
			if !v.set(l.not()) {
				break
			}
		}
	}
	v.undo(mark)
	return false
}

// propagate sets what follows from what is set. It returns a clause of which nothing holds yet, or nil if there is none, and false if
// something contradicts itself.
func (v *solver) propagate() (open []lit, ok bool) {
	for again := true; again; {
		again, open = false, nil
		for _, c := range v.p.clauses {
			v.s.spend(1 + len(c)/4)
			free, last := 0, lit(0)
			for _, l := range c {
				have := v.value[l.atom()]
				if have == l.want() {
					free = -1
					break
				}
				if have == 0 {
					free, last = free+1, l
				}
			}
			switch {
			case free < 0:
			case free == 0:
				return nil, false
			case free == 1:
				v.set(last)
				again = true
			default:
				open = c
			}
		}
	}
	return open, true
}

// rows returns for each facet the first row that has the values that are set, or nil if one has none.
func (v *solver) rows() []*row {
	list := make([]*row, 0, len(v.facets))
	for _, f := range v.facets {
		r := v.row(f)
		if r == nil {
			return nil
		}
		list = append(list, r)
	}
	return list
}

func (v *solver) row(f *facet) *row {
	for i := range f.rows {
		r := &f.rows[i]
		v.s.spend(1 + len(f.atoms)/16)
		fits := true
		for j, n := range f.atoms {
			if have := v.value[n]; have != 0 && (have == 1) != (r.holds[j/64]&(1<<(j%64)) != 0) {
				fits = false
				break
			}
		}
		if fits {
			return r
		}
	}
	return nil
}
