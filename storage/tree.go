package storage

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"
)

// bucketName is the one bucket of the file, which has every record.
const bucketName = "kmsd"

// tree is the tree of records of one transaction.
type tree struct {
	im   image
	meta meta
	root uint64 // root page of the bucket
}

// tree returns the records as of m.
func (im image) tree(m meta) (tree, error) {
	var n node
	if err := im.node(m.root, m.end, &n); err != nil {
		return tree{}, err
	}
	if !n.leaf || !n.bucket || n.overflow != 0 || string(n.key(0)) != bucketName {
		return tree{}, corruptPage(n.id, "is not a root with one bucket")
	}
	v := n.value(0)
	if binary.LittleEndian.Uint64(v[8:]) != 0 {
		return tree{}, corruptPage(n.id, "the bucket has a sequence")
	}
	return tree{im: im, meta: m, root: binary.LittleEndian.Uint64(v)}, nil
}

// node reads the node that begins at page id into n and checks that its keys are from low on and below high (nil: no bound).
func (t tree) node(id uint64, low, high []byte, n *node) error {
	if err := t.im.node(id, t.meta.end, n); err != nil {
		return err
	}
	if n.bucket {
		return corruptPage(id, "a bucket among records")
	}
	return n.within(low, high)
}

// bounds returns the range that branch n promises for child i.
func (n *node) bounds(i int, high []byte) (low, above []byte) {
	if i+1 < n.n {
		high = n.key(i + 1)
	}
	return n.key(i), high
}

// checkPath reads what a change of key makes bbolt read: the nodes from the root to the key, and with them all children
// of those nodes if the key goes away, because bbolt merges small neighbours.
func (t tree) checkPath(key []byte, removed bool) error {
	c := cursor{t: t}
	if err := c.descend(key); err != nil || !removed {
		return err
	}
	var child node
	for _, l := range c.path[:c.depth-1] {
		for i := range l.node.n {
			low, above := l.node.bounds(i, l.high)
			if err := t.node(l.node.child(i), low, above, &child); err != nil {
				return err
			}
		}
	}
	return nil
}

// A cursor reads records by key, quickest in order of key: it keeps the nodes from the root to the last leaf.
type cursor struct {
	t     tree
	path  []*level // those beyond depth are there for their buffers
	depth int
}

// level is a node of a path, with the bounds of its keys (nil: none), which lie in the node above it.
type level struct {
	node      node
	low, high []byte
}

func (l *level) covers(key []byte) bool {
	return bytes.Compare(key, l.low) >= 0 && (l.high == nil || bytes.Compare(key, l.high) < 0)
}

// find returns the value of key, nil if there is none. It is valid until the next call.
func (c *cursor) find(key []byte) ([]byte, error) {
	if err := c.descend(key); err != nil {
		return nil, err
	}
	leaf := &c.path[c.depth-1].node
	i, ok := leaf.find(key)
	if !ok {
		return nil, nil
	}
	return leaf.value(i), nil
}

// descend makes the path end in the leaf that has key if the tree has it.
func (c *cursor) descend(key []byte) error {
	for c.depth > 0 && !c.path[c.depth-1].covers(key) {
		c.depth--
	}
	if c.depth == 0 {
		if err := c.push(c.t.root, nil, nil); err != nil {
			return err
		}
	}
	for {
		l := c.path[c.depth-1]
		if l.node.leaf {
			return nil
		}
		i := l.node.childFor(key)
		low, high := l.node.bounds(i, l.high)
		if err := c.push(l.node.child(i), low, high); err != nil {
			return err
		}
	}
}

// push adds the node that begins at page id to the path.
func (c *cursor) push(id uint64, low, high []byte) error {
	if c.depth == maxDepth {
		return corruptPage(id, "the tree is too deep")
	}
	if c.depth == len(c.path) {
		c.path = append(c.path, new(level))
	}
	l := c.path[c.depth]
	l.low, l.high = low, high
	if err := c.t.node(id, low, high, &l.node); err != nil {
		return err
	}
	c.depth++
	return nil
}

// pageSet is a set of page numbers below a bound. Only add may be called concurrently.
type pageSet []uint64

func (s pageSet) has(id uint64) bool { return s[id/64]&(1<<(id%64)) != 0 }

// add adds n pages from id on, all below the bound, and reports whether none was there.
func (s pageSet) add(id, n uint64) bool {
	for ; n > 0; id, n = id+1, n-1 {
		if bit := uint64(1) << (id % 64); atomic.OrUint64(&s[id/64], bit)&bit != 0 {
			return false
		}
	}
	return true
}

// freelist reads the list of free pages, shows each to visit, in order, and returns its number of further pages.
func (im image) freelist(m meta, visit func(id uint64) error) (overflow uint64, err error) {
	le := binary.LittleEndian
	overflow, count, first, err := im.freelistHeader(m)
	if err != nil {
		return 0, err
	}
	buf := make([]byte, pageSize)
	last := uint64(1)
	for i, at := uint64(0), first; i < count; i, at = i+1, at+8 {
		if i == 0 || at%pageSize == 0 {
			if err := im.read(buf, m.freelist+at/pageSize); err != nil {
				return 0, err
			}
		}
		id := le.Uint64(buf[at%pageSize:])
		if id <= last || id >= m.end {
			return 0, corruptPage(m.freelist, "entry %d out of order or range", i)
		}
		last = id
		if err := visit(id); err != nil {
			return 0, err
		}
	}
	return overflow, nil
}

// freelistHeader returns the number of further pages of the freelist, of its entries, and the offset of the first.
func (im image) freelistHeader(m meta) (overflow, count, first uint64, err error) {
	le := binary.LittleEndian
	var buf [pageHeaderLen + 8]byte
	if err := im.read(buf[:], m.freelist); err != nil {
		return 0, 0, 0, err
	}
	overflow, count, first = uint64(le.Uint32(buf[12:])), uint64(le.Uint16(buf[10:])), pageHeaderLen
	if count == 0xFFFF {
		count, first = le.Uint64(buf[16:]), first+8
	}
	switch {
	case le.Uint64(buf[:]) != m.freelist || le.Uint16(buf[8:]) != flagFreelist:
		err = corruptPage(m.freelist, "is not the freelist")
	case m.freelist+overflow >= m.end || overflow > 8*m.end/pageSize+1:
		err = corruptPage(m.freelist, "overflow out of range")
	case count > m.end || first+8*count > (overflow+1)*pageSize:
		err = corruptPage(m.freelist, "%d entries do not fit", count)
	}
	if err != nil {
		return 0, 0, 0, err
	}
	return overflow, count, first, nil
}
