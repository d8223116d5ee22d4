package cow

import (
	"cmp"
	"iter"
	"slices"
)

// fanout is how many entries or children a node has at most.
const fanout = 64

// Sorted is an immutable map in the order of its keys. The zero value is empty and ready for use. It may be read by many
// goroutines at once. With and Without copy one node for each of its levels, of which 64^n entries need n+1 or so, so a change costs about
// the same among 50,000 entries as among few.
//
// Nodes that removals have thinned out are not merged; one is dropped when it is empty. So the memory is proportional to the number of
// entries, and the depth to the logarithm of the highest number that there ever was.
type Sorted[K cmp.Ordered, V any] struct {
	root *node[K, V] // nil while the map is empty
	n    int
}

// A node is a leaf, with values, or has children.
type node[K cmp.Ordered, V any] struct {
	keys   []K           // of the entries; or for each child but the first, of which it means nothing, a key that all of its own are not below
	values []V           // of a leaf
	kids   []*node[K, V] // of other nodes
}

// Len returns the number of entries.
func (s Sorted[K, V]) Len() int { return s.n }

// Load returns the value of k, and whether there is one.
func (s Sorted[K, V]) Load(k K) (V, bool) {
	var zero V
	if s.root == nil {
		return zero, false
	}
	n := s.root
	for n.kids != nil {
		n = n.kids[n.child(k)]
	}
	i, ok := slices.BinarySearch(n.keys, k)
	if !ok {
		return zero, false
	}
	return n.values[i], true
}

// With returns a Sorted that also holds k → v, in the place of what k had.
func (s Sorted[K, V]) With(k K, v V) Sorted[K, V] {
	if s.root == nil {
		return Sorted[K, V]{&node[K, V]{keys: []K{k}, values: []V{v}}, 1}
	}
	left, right, added := s.root.with(k, v)
	if right != nil {
		left = &node[K, V]{keys: []K{left.keys[0], right.keys[0]}, kids: []*node[K, V]{left, right}}
	}
	if added {
		s.n++
	}
	return Sorted[K, V]{left, s.n}
}

// Without returns a Sorted without k.
func (s Sorted[K, V]) Without(k K) Sorted[K, V] {
	if _, ok := s.Load(k); !ok {
		return s
	}
	root := s.root.without(k)
	for root != nil && len(root.kids) == 1 {
		root = root.kids[0]
	}
	return Sorted[K, V]{root, s.n - 1}
}

// All ranges over the entries in the order of their keys.
func (s Sorted[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if s.root != nil {
			s.root.all(yield)
		}
	}
}

// After ranges over the entries whose keys come behind k, in their order. Getting to the first one takes as long as Load.
func (s Sorted[K, V]) After(k K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if s.root != nil {
			s.root.after(k, yield)
		}
	}
}

// CollectSorted makes a Sorted of a sequence in one pass, for state that is loaded whole. Of entries with the same key
// the last one stays.
func CollectSorted[K cmp.Ordered, V any](seq iter.Seq2[K, V]) Sorted[K, V] {
	type entry struct {
		k K
		v V
	}
	var list []entry
	for k, v := range seq {
		list = append(list, entry{k, v})
	}
	slices.SortStableFunc(list, func(a, b entry) int { return cmp.Compare(a.k, b.k) })
	last := list[:0]
	for _, e := range list {
		if len(last) > 0 && last[len(last)-1].k == e.k {
			last = last[:len(last)-1]
		}
		last = append(last, e)
	}
	var level []*node[K, V]
	for chunk := range slices.Chunk(last, fanout) {
		leaf := &node[K, V]{}
		for _, e := range chunk {
			leaf.keys, leaf.values = append(leaf.keys, e.k), append(leaf.values, e.v)
		}
		level = append(level, leaf)
	}
	for len(level) > 1 {
		var above []*node[K, V]
		for kids := range slices.Chunk(level, fanout) {
			n := &node[K, V]{kids: slices.Clone(kids)}
			for _, kid := range kids {
				n.keys = append(n.keys, kid.keys[0])
			}
			above = append(above, n)
		}
		level = above
	}
	if len(level) == 0 {
		return Sorted[K, V]{}
	}
	return Sorted[K, V]{level[0], len(last)}
}

// child returns which child k belongs to.
func (n *node[K, V]) child(k K) int {
	i, found := slices.BinarySearch(n.keys[1:], k)
	if found {
		i++
	}
	return i
}

// with returns n with k → v, as two nodes if it does not fit into one, and whether k is new.
func (n *node[K, V]) with(k K, v V) (left, right *node[K, V], added bool) {
	if n.kids == nil {
		i, found := slices.BinarySearch(n.keys, k)
		if found {
			return &node[K, V]{keys: n.keys, values: replaced(n.values, i, v)}, nil, false
		}
		left, right = (&node[K, V]{keys: inserted(n.keys, i, k), values: inserted(n.values, i, v)}).split()
		return left, right, true
	}
	i := n.child(k)
	kid, next, added := n.kids[i].with(k, v)
	whole := &node[K, V]{keys: n.keys, kids: replaced(n.kids, i, kid)}
	if next != nil {
		whole.keys, whole.kids = inserted(n.keys, i+1, next.keys[0]), inserted(whole.kids, i+1, next)
	}
	left, right = whole.split()
	return left, right, added
}

// split returns n, or its halves if it has too much.
func (n *node[K, V]) split() (left, right *node[K, V]) {
	if len(n.keys) <= fanout {
		return n, nil
	}
	half := len(n.keys) / 2
	left, right = &node[K, V]{keys: n.keys[:half:half]}, &node[K, V]{keys: n.keys[half:]}
	if n.kids == nil {
		left.values, right.values = n.values[:half:half], n.values[half:]
	} else {
		left.kids, right.kids = n.kids[:half:half], n.kids[half:]
	}
	return left, right
}

// without returns n without k, which it has, or nil if nothing is left.
func (n *node[K, V]) without(k K) *node[K, V] {
	if n.kids == nil {
		i, _ := slices.BinarySearch(n.keys, k)
		if len(n.keys) == 1 {
			return nil
		}
		return &node[K, V]{keys: removed(n.keys, i), values: removed(n.values, i)}
	}
	i := n.child(k)
	if kid := n.kids[i].without(k); kid != nil {
		return &node[K, V]{keys: n.keys, kids: replaced(n.kids, i, kid)}
	}
	if len(n.kids) == 1 {
		return nil
	}
	return &node[K, V]{keys: removed(n.keys, i), kids: removed(n.kids, i)}
}

func (n *node[K, V]) all(yield func(K, V) bool) bool {
	for _, kid := range n.kids {
		if !kid.all(yield) {
			return false
		}
	}
	return n.yieldFrom(0, yield)
}

func (n *node[K, V]) after(k K, yield func(K, V) bool) bool {
	if n.kids == nil {
		i, found := slices.BinarySearch(n.keys, k)
		if found {
			i++
		}
		return n.yieldFrom(i, yield)
	}
	i := n.child(k)
	if !n.kids[i].after(k, yield) {
		return false
	}
	for _, kid := range n.kids[i+1:] {
		if !kid.all(yield) {
			return false
		}
	}
	return true
}

// yieldFrom yields the values of a leaf from number i on.
func (n *node[K, V]) yieldFrom(i int, yield func(K, V) bool) bool {
	for ; i < len(n.values); i++ {
		if !yield(n.keys[i], n.values[i]) {
			return false
		}
	}
	return true
}

// inserted, replaced and removed return a changed copy of list.

func inserted[T any](list []T, i int, v T) []T {
	next := make([]T, 0, len(list)+1)
	return append(append(append(next, list[:i]...), v), list[i:]...)
}

func replaced[T any](list []T, i int, v T) []T {
	next := slices.Clone(list)
	next[i] = v
	return next
}

func removed[T any](list []T, i int) []T {
	next := make([]T, 0, len(list)-1)
	return append(append(next, list[:i]...), list[i+1:]...)
}
