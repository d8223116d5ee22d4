package storage

import (
	"iter"
	"math/rand/v2"
)

// entry is what the store knows of a record without reading the file.
type entry struct {
	generation uint64   // that wrote it
	mac        [32]byte // of the record as it lies in the file
}

// index is an immutable ordered map: with and without return a new one that shares all but the way to the change. It is
// a treap, balanced by random priorities, so that who chooses keys cannot choose its depth. nil is empty.
type index struct {
	key         string
	entry       *entry
	priority    uint64
	left, right *index
}

func (x *index) find(key string) *entry {
	for x != nil && x.key != key {
		if key < x.key {
			x = x.left
		} else {
			x = x.right
		}
	}
	if x == nil {
		return nil
	}
	return x.entry
}

// with returns x with key set to e.
func (x *index) with(key string, e *entry) *index {
	if x.find(key) != nil {
		return x.replace(key, e)
	}
	return x.insert(&index{key: key, entry: e, priority: rand.Uint64()})
}

func (x *index) replace(key string, e *entry) *index {
	n := *x
	switch {
	case key < x.key:
		n.left = x.left.replace(key, e)
	case key > x.key:
		n.right = x.right.replace(key, e)
	default:
		n.entry = e
	}
	return &n
}

// insert adds the single node n, whose key x does not have.
func (x *index) insert(n *index) *index {
	if x == nil || n.priority > x.priority {
		n.left, n.right = x.split(n.key)
		return n
	}
	c := *x
	if n.key < x.key {
		c.left = x.left.insert(n)
	} else {
		c.right = x.right.insert(n)
	}
	return &c
}

// split returns the parts of x below and above key, which x does not have.
func (x *index) split(key string) (below, above *index) {
	if x == nil {
		return nil, nil
	}
	c := *x
	if key < x.key {
		below, c.left = x.left.split(key)
		return below, &c
	}
	c.right, above = x.right.split(key)
	return &c, above
}

// without returns x without key, which x has.
func (x *index) without(key string) *index {
	if x.key == key {
		return merge(x.left, x.right)
	}
	c := *x
	if key < x.key {
		c.left = x.left.without(key)
	} else {
		c.right = x.right.without(key)
	}
	return &c
}

// merge returns the union of a and b, all of whose keys are above those of a.
func merge(a, b *index) *index {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.priority > b.priority:
		c := *a
		c.right = merge(a.right, b)
		return &c
	}
	c := *b
	c.left = merge(a, b.left)
	return &c
}

// from yields the entries whose key is not below key, in order.
func (x *index) from(key string) iter.Seq2[string, *entry] {
	return func(yield func(string, *entry) bool) { x.ascend(key, yield) }
}

func (x *index) ascend(key string, yield func(string, *entry) bool) bool {
	if x == nil {
		return true
	}
	if x.key < key {
		return x.right.ascend(key, yield)
	}
	return x.left.ascend(key, yield) && yield(x.key, x.entry) && x.right.ascend(key, yield)
}

// builder makes an index of keys that come in order, in linear time. It takes memory for many nodes at once, which is less work
// for the garbage collector than three allocations for each; what one of them holds is held by all.
type builder struct {
	spine   []*index // from the root along the right side
	nodes   []index  // the last ones, whose keys are in keys one after the other and not set
	entries []entry  // of nodes
	keys    []byte
	ends    [slabLen]int // in keys
}

const slabLen = 256

func (b *builder) add(key []byte, e entry) {
	if len(b.nodes) == cap(b.nodes) {
		b.flush()
		b.nodes, b.entries = make([]index, 0, slabLen), make([]entry, 0, slabLen)
	}
	i := len(b.nodes)
	b.keys = append(b.keys, key...)
	b.ends[i] = len(b.keys)
	b.entries = append(b.entries, e)
	b.nodes = append(b.nodes, index{entry: &b.entries[i], priority: rand.Uint64()})
	n := &b.nodes[i]
	for len(b.spine) > 0 && b.spine[len(b.spine)-1].priority < n.priority {
		n.left = b.spine[len(b.spine)-1]
		b.spine = b.spine[:len(b.spine)-1]
	}
	if len(b.spine) > 0 {
		b.spine[len(b.spine)-1].right = n
	}
	b.spine = append(b.spine, n)
}

// flush sets the keys of nodes.
func (b *builder) flush() {
	keys, start := string(b.keys), 0
	for i := range b.nodes {
		b.nodes[i].key = keys[start:b.ends[i]]
		start = b.ends[i]
	}
	b.keys = b.keys[:0]
}

// index returns what was built. Nothing may be added after that.
func (b *builder) index() *index {
	b.flush()
	if len(b.spine) == 0 {
		return nil
	}
	return b.spine[0]
}
