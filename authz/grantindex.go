package authz

import (
	"encoding/binary"
	"hash/maphash"
	"iter"
	"math/bits"
	"slices"
	"strings"

	"github.com/kmsd/kmsd/internal/cow"
)

// A holding is what one principal has of a key's grants; or several, whose ids have the same hash. It never changes. A nil
// *holding has none.
type holding struct {
	few   []*KeyGrant      // all, if there are no more than fewGrants
	index *constraintIndex // of all, if there are more
}

// hold returns a holding of a list, which it keeps.
func hold(list []*KeyGrant) *holding {
	if len(list) <= fewGrants {
		return &holding{few: list}
	}
	return &holding{index: indexOf(list)}
}

func (h *holding) all(yield func(*KeyGrant) bool) bool {
	if h == nil {
		return true
	}
	for _, g := range h.few {
		if !yield(g) {
			return false
		}
	}
	if h.index != nil {
		for _, g := range h.index.byID.All() {
			if !yield(g) {
				return false
			}
		}
	}
	return true
}

// find returns the grant of g's id and grantee, or nil.
func (h *holding) find(g *KeyGrant) *KeyGrant {
	if h == nil {
		return nil
	}
	for _, have := range h.few {
		if have.ID == g.ID && have.Grantee.ID == g.Grantee.ID {
			return have
		}
	}
	if h.index != nil {
		if have, ok := h.index.byID.Load(g.ID); ok && have.Grantee.ID == g.Grantee.ID {
			return have
		}
	}
	return nil
}

// with returns a holding that has g besides, of which it does not have the id.
func (h *holding) with(g *KeyGrant) *holding {
	switch {
	case h == nil:
		return &holding{few: []*KeyGrant{g}}
	case h.index == nil:
		return hold(append(slices.Clip(h.few), g))
	}
	next := *h.index
	next.byID = next.byID.With(g.ID, g)
	next.change(g, pile.with, (*subsetNode).with)
	return &holding{index: &next}
}

// without returns a holding without g, which it has, or nil if nothing is left.
func (h *holding) without(g *KeyGrant) *holding {
	if h.index == nil {
		rest := slices.DeleteFunc(slices.Clone(h.few), func(have *KeyGrant) bool { return have == g })
		if len(rest) == 0 {
			return nil
		}
		return &holding{few: rest}
	}
	next := *h.index
	next.byID = next.byID.Without(g.ID)
	if next.byID.Len() <= fewGrants {
		list := make([]*KeyGrant, 0, fewGrants)
		for _, g := range next.byID.All() {
			list = append(list, g)
		}
		return &holding{few: list}
	}
	next.change(g, pile.without, (*subsetNode).without)
	return &holding{index: &next}
}

// A constraintIndex finds, among the grants of one principal, those that may allow a request, by its encryption context.
type constraintIndex struct {
	byID      cow.Sorted[string, *KeyGrant] // :: id → grant
	described pile                          // that allow an operation that constraints do not bind, whatever they have
	free      pile                          // without a constraint
	equals    hashTrie[pile]                // :: hash of all pairs → EncryptionContextEquals
	subsets   *subsetNode                   // EncryptionContextSubset; nil: none
}

// unbound are the operations on which constraints say nothing.
const unbound = 1<<KMSDescribeKey | 1<<KMSRetireGrant

// indexOf returns an index of a list.
func indexOf(list []*KeyGrant) *constraintIndex {
	var x constraintIndex
	var described, free, subsets []*KeyGrant
	exact := make(map[uint64][]*KeyGrant)
	for _, g := range list {
		if operationsOf(g)&unbound != 0 {
			described = append(described, g)
		}
		switch {
		case g.Equals.Len() > 0:
			hash := g.Equals.hash()
			exact[hash] = append(exact[hash], g)
		case g.Subset.Len() > 0:
			subsets = append(subsets, g)
		default:
			free = append(free, g)
		}
	}
	equals := make(map[uint64]pile, len(exact))
	for hash, same := range exact {
		equals[hash] = pileOf(same)
	}
	x.byID = cow.CollectSorted(keyedBy(list, func(g *KeyGrant) string { return g.ID }))
	x.described, x.free, x.equals, x.subsets = pileOf(described), pileOf(free), collectTrie(equals), subsetNodeOf(subsets, 0)
	return &x
}

func keyedBy(list []*KeyGrant, key func(*KeyGrant) string) iter.Seq2[string, *KeyGrant] {
	return func(yield func(string, *KeyGrant) bool) {
		for _, g := range list {
			if !yield(key(g), g) {
				return
			}
		}
	}
}

// change puts a grant into the index, or takes it out, but for byID.
func (x *constraintIndex) change(g *KeyGrant, toPile func(pile, *KeyGrant) pile, toNode func(*subsetNode, *KeyGrant, int) *subsetNode) {
	if operationsOf(g)&unbound != 0 {
		x.described = toPile(x.described, g)
	}
	switch {
	case g.Equals.Len() > 0:
		hash := g.Equals.hash()
		have, _ := x.equals.load(hash)
		if p := toPile(have, g); len(p) > 0 {
			x.equals = x.equals.with(hash, p)
		} else {
			x.equals = x.equals.without(hash)
		}
	case g.Subset.Len() > 0:
		x.subsets = toNode(x.subsets, g, 0)
	default:
		x.free = toPile(x.free, g)
	}
}

// hash returns the same for the same pairs in the same order.
func (p *Pairs) hash() uint64 {
	var h uint64
	for i := range p.list {
		h = mix(h, p.list[i].hash())
	}
	return h
}

// hash returns the same for the same pair.
func (p *pair) hash() uint64 {
	return mix(maphash.String(grantSeed, p.name), maphash.String(grantSeed, p.value))
}

// mix makes one hash of two, which matter in their order. Whoever does not know them cannot choose what it returns.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xd1b54a32d192ed03)
	return hi ^ lo
}

// A pile is grants of one principal that a request finds together: those of the same constraint, but for some that are there
// by chance. They are grouped by what they allow, of which there are at most 511 groups.
type pile []pileGroup

// A pileGroup is grants of the same operations in the order in which they end, those that last longest first: of those with the
// same constraint, none helps if the first does not.
type pileGroup struct {
	operations uint64
	first      *KeyGrant
	rest       cow.Sorted[string, *KeyGrant] // :: endOrder → grant
}

// pileOf returns a pile of a list.
func pileOf(list []*KeyGrant) pile {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return pile{{operations: operationsOf(list[0]), first: list[0]}}
	}
	grouped := make(map[uint64][]*KeyGrant)
	for _, g := range list {
		operations := operationsOf(g)
		grouped[operations] = append(grouped[operations], g)
	}
	p := make(pile, 0, len(grouped))
	for operations, same := range grouped {
		at := 0
		for i, g := range same {
			if g.before(same[at]) {
				at = i
			}
		}
		e := pileGroup{operations: operations, first: same[at]}
		if len(same) > 1 {
			e.rest = cow.CollectSorted(keyedBy(slices.Concat(same[:at], same[at+1:]), (*KeyGrant).endOrder))
		}
		p = append(p, e)
	}
	return p
}

// operationsOf has a bit for each operation of a grant. Any other action has the bit of one that is.
func operationsOf(g *KeyGrant) uint64 {
	var set uint64
	for _, a := range g.Actions {
		set |= operationBit(a)
	}
	return set
}

func operationBit(a Action) uint64 { return 1 << (a % 64) }

func (p pile) find(operations uint64) int {
	return slices.IndexFunc(p, func(e pileGroup) bool { return e.operations == operations })
}

func (p pile) with(g *KeyGrant) pile {
	operations := operationsOf(g)
	at := p.find(operations)
	if at < 0 {
		return append(slices.Clip(p), pileGroup{operations: operations, first: g})
	}
	next := slices.Clone(p)
	e := &next[at]
	if g.before(e.first) {
		g, e.first = e.first, g
	}
	e.rest = e.rest.With(g.endOrder(), g)
	return next
}

// without returns the pile without g, if it has it.
func (p pile) without(g *KeyGrant) pile {
	at := p.find(operationsOf(g))
	if at < 0 {
		return p
	}
	next := slices.Clone(p)
	e := &next[at]
	switch {
	case e.first != g:
		e.rest = e.rest.Without(g.endOrder())
	case e.rest.Len() == 0:
		return slices.Delete(next, at, at+1)
	default:
		for order, second := range e.rest.All() {
			e.first, e.rest = second, e.rest.Without(order)
			break
		}
	}
	return next
}

// before reports whether g stands before h in a group.
func (g *KeyGrant) before(h *KeyGrant) bool {
	switch {
	case g.Expires.Equal(h.Expires):
		return strings.Compare(g.ID, h.ID) < 0
	case g.Expires.IsZero() || h.Expires.IsZero():
		return g.Expires.IsZero()
	}
	return g.Expires.After(h.Expires)
}

// endOrder is in the order of before.
func (g *KeyGrant) endOrder() string {
	const size = 12
	b := make([]byte, size, size+len(g.ID))
	if !g.Expires.IsZero() {
		binary.BigEndian.PutUint64(b, ^(uint64(g.Expires.Unix()) ^ 1<<63))
		binary.BigEndian.PutUint32(b[8:], ^uint32(g.Expires.Nanosecond()))
	}
	return string(append(b, g.ID...))
}

// has reports whether g is in the pile.
func (p pile) has(g *KeyGrant) bool {
	at := p.find(operationsOf(g))
	if at < 0 {
		return false
	}
	if p[at].first == g {
		return true
	}
	_, ok := p[at].rest.Load(g.endOrder())
	return ok
}
