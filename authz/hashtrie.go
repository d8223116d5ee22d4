package authz

import (
	"cmp"
	"math/bits"
	"slices"
)

// trieDigit is how many bits of a hash a node of a hashTrie looks at.
const trieDigit = 6

// A hashTrie is an immutable map from hashes of 64 bits. The zero value is empty. It may be read by many goroutines at once.
// A change copies one node for each of its levels, of which there are about three for 50,000 hashes and never more than
// eleven; so it takes about as long among many as among few. Looking up allocates nothing.
//
// Hashes are expected to be spread evenly: whoever could choose them could make it deep, but not deeper than that.
type hashTrie[V any] struct{ root *trieNode[V] } // nil while it is empty

// A trieNode has, for each value of a digit, a leaf, a node for the digits behind it, or nothing.
type trieNode[V any] struct {
	leafSet, kidSet uint64 // which digits have what
	leaves          []trieLeaf[V]
	kids            []*trieNode[V]
}

type trieLeaf[V any] struct {
	hash  uint64
	value V
}

// slot is where the lowest digit of hash stands in a set: its bit, and how many of the set come before it.
func slot(set, hash uint64) (bit uint64, at int) {
	bit = 1 << (hash % (1 << trieDigit))
	return bit, bits.OnesCount64(set & (bit - 1))
}

// collectTrie returns a hashTrie of what a map has.
func collectTrie[V any](m map[uint64]V) hashTrie[V] {
	var t hashTrie[V]
	if len(m) == 0 {
		return t
	}
	list := make([]trieLeaf[V], 0, len(m))
	for hash, v := range m {
		list = append(list, trieLeaf[V]{hash, v})
	}
	return hashTrie[V]{nodeOf(list, 0)}
}

// nodeOf returns the node for leaves whose digits before the bit shift are the same. It changes the order of the list.
func nodeOf[V any](list []trieLeaf[V], shift int) *trieNode[V] {
	var n trieNode[V]
	digit := func(l trieLeaf[V]) uint64 { return l.hash >> shift % (1 << trieDigit) }
	slices.SortFunc(list, func(a, b trieLeaf[V]) int { return cmp.Compare(digit(a), digit(b)) })
	for len(list) > 0 {
		d, same := digit(list[0]), 1
		for same < len(list) && digit(list[same]) == d {
			same++
		}
		if same == 1 {
			n.leafSet |= 1 << d
			n.leaves = append(n.leaves, list[0])
		} else {
			n.kidSet |= 1 << d
			n.kids = append(n.kids, nodeOf(list[:same], shift+trieDigit))
		}
		list = list[same:]
	}
	n.leaves, n.kids = slices.Clip(n.leaves), slices.Clip(n.kids)
	return &n
}

// load returns the value of a hash, and whether there is one.
func (t *hashTrie[V]) load(hash uint64) (V, bool) {
	rest := hash
	for n := t.root; n != nil; rest >>= trieDigit {
		bit, at := slot(n.leafSet, rest)
		if n.leafSet&bit != 0 {
			if leaf := &n.leaves[at]; leaf.hash == hash {
				return leaf.value, true
			}
			break
		}
		if n.kidSet&bit == 0 {
			break
		}
		_, at = slot(n.kidSet, rest)
		n = n.kids[at]
	}
	var zero V
	return zero, false
}

// with returns a hashTrie that also holds hash → v, in the place of what hash had.
func (t hashTrie[V]) with(hash uint64, v V) hashTrie[V] {
	root := t.root
	if root == nil {
		root = &trieNode[V]{}
	}
	return hashTrie[V]{root.with(trieLeaf[V]{hash, v}, 0)}
}

// with returns n with a leaf, where n is for the digits from the bit shift on.
func (n *trieNode[V]) with(leaf trieLeaf[V], shift int) *trieNode[V] {
	next := *n
	bit, at := slot(n.leafSet, leaf.hash>>shift)
	_, kid := slot(n.kidSet, leaf.hash>>shift)
	switch {
	case n.leafSet&bit != 0 && n.leaves[at].hash == leaf.hash:
		next.leaves = slices.Clone(n.leaves)
		next.leaves[at] = leaf
	case n.leafSet&bit != 0: // of another hash: both go one node down
		both := (&trieNode[V]{}).with(n.leaves[at], shift+trieDigit).with(leaf, shift+trieDigit)
		next.leafSet ^= bit
		next.leaves = slices.Concat(n.leaves[:at], n.leaves[at+1:])
		next.kidSet |= bit
		next.kids = slices.Insert(slices.Clip(n.kids), kid, both)
	case n.kidSet&bit != 0:
		next.kids = slices.Clone(n.kids)
		next.kids[kid] = n.kids[kid].with(leaf, shift+trieDigit)
	default:
		next.leafSet |= bit
		next.leaves = slices.Insert(slices.Clip(n.leaves), at, leaf)
	}
	return &next
}

// without returns a hashTrie without hash.
func (t hashTrie[V]) without(hash uint64) hashTrie[V] {
	if _, ok := t.load(hash); !ok {
		return t
	}
	return hashTrie[V]{t.root.without(hash)}
}

// without returns n without a hash, which it has and of which rest is what n looks at; nil if nothing is left.
func (n *trieNode[V]) without(rest uint64) *trieNode[V] {
	next := *n
	if bit, at := slot(n.leafSet, rest); n.leafSet&bit != 0 {
		next.leafSet ^= bit
		next.leaves = slices.Concat(n.leaves[:at], n.leaves[at+1:])
	} else {
		_, at = slot(n.kidSet, rest)
		if kid := n.kids[at].without(rest >> trieDigit); kid != nil {
			next.kids = slices.Clone(n.kids)
			next.kids[at] = kid
		} else {
			next.kidSet ^= bit
			next.kids = slices.Concat(n.kids[:at], n.kids[at+1:])
		}
	}
	if next.leafSet|next.kidSet == 0 {
		return nil
	}
	return &next
}

// all yields the values, in no order, and reports whether yield wanted them all.
func (n *trieNode[V]) all(yield func(V) bool) bool {
	if n == nil {
		return true
	}
	for i := range n.leaves {
		if !yield(n.leaves[i].value) {
			return false
		}
	}
	for _, kid := range n.kids {
		if !kid.all(yield) {
			return false
		}
	}
	return true
}
