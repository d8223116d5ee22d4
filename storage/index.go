package storage

import (
	"iter"
	"math/rand/v2"
)

// entry is what the store knows of a record without reading the file.
type entry struct {
	generation uint64   // that wrote it
	mac        [32]byte // of the record as it lies in the file
	pending    []byte   // the record itself while its transaction is open, else nil
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

// builder makes an index of keys that come in order, in linear time.
type builder struct{ spine []*index } // from the root along the right side

func (b *builder) add(key string, e *entry) {
	n := &index{key: key, entry: e, priority: rand.Uint64()}
	for len(b.spine) > 0 && b.spine[len(b.spine)-1].priority < n.priority {
		n.left = b.spine[len(b.spine)-1]
		b.spine = b.spine[:len(b.spine)-1]
	}
	if len(b.spine) > 0 {
		b.spine[len(b.spine)-1].right = n
	}
	b.spine = append(b.spine, n)
}

func (b *builder) index() *index {
	if len(b.spine) == 0 {
		return nil
	}
	return b.spine[0]
}
