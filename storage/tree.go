package storage

import (
	"bytes"
	"encoding/binary"
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
	n, err := im.node(m.root, m.end, nil)
	if err != nil {
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

func (t tree) node(id uint64, low, high, buf []byte) (*node, error) {
	n, err := t.im.node(id, t.meta.end, buf)
	if err != nil {
		return nil, err
	}
	if n.bucket {
		return nil, corruptPage(id, "a bucket among records")
	}
	return n, n.within(low, high)
}

// bounds returns the range that branch n promises for child i.
func (n *node) bounds(i int, high []byte) (low, above []byte) {
	if i+1 < n.n {
		high = n.key(i + 1)
	}
	return n.key(i), high
}

// leafFor returns the leaf that has key if the tree has it, and the upper bound of its keys (nil: none). Each branch
// on the way is shown to visit, unless that is nil, with the bound of its keys.
func (t tree) leafFor(key []byte, visit func(n *node, high []byte) error) (*node, []byte, error) {
	id, low, high := t.root, []byte(nil), []byte(nil)
	for range maxDepth {
		n, err := t.node(id, low, high, nil)
		if err != nil {
			return nil, nil, err
		}
		if n.leaf {
			return n, high, nil
		}
		if visit != nil {
			if err := visit(n, high); err != nil {
				return nil, nil, err
			}
		}
		i := n.childFor(key)
		id = n.child(i)
		low, high = n.bounds(i, high)
	}
	return nil, nil, corruptPage(id, "the tree is too deep")
}

// checkPath reads what a change of key makes bbolt read: the nodes from the root to the key, and with them all children
// of those nodes if the key goes away, because bbolt merges small neighbours.
func (t tree) checkPath(key []byte, removed bool) error {
	_, _, err := t.leafFor(key, func(n *node, high []byte) error {
		for i := 0; removed && i < n.n; i++ {
			low, above := n.bounds(i, high)
			if _, err := t.node(n.child(i), low, above, nil); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// A cursor reads records by key, quickest in order of key.
type cursor struct {
	t    tree
	leaf *node
	high []byte
}

// find returns the value of key, nil if there is none. It is valid as long as nobody writes to it.
func (c *cursor) find(key []byte) ([]byte, error) {
	if c.leaf == nil || bytes.Compare(key, c.leaf.key(0)) < 0 || (c.high != nil && bytes.Compare(key, c.high) >= 0) {
		leaf, high, err := c.t.leafFor(key, nil)
		if err != nil {
			return nil, err
		}
		c.leaf, c.high = leaf, high
	}
	i, ok := c.leaf.find(key)
	if !ok {
		return nil, nil
	}
	return c.leaf.value(i), nil
}

// pageSet is a set of page numbers below a bound.
type pageSet []uint64

func (s pageSet) has(id uint64) bool { return s[id/64]&(1<<(id%64)) != 0 }

// add adds n pages from id on, all below the bound, and reports whether none was there.
func (s pageSet) add(id, n uint64) bool {
	for ; n > 0; id, n = id+1, n-1 {
		if s.has(id) {
			return false
		}
		s[id/64] |= 1 << (id % 64)
	}
	return true
}

// walk checks the whole structure as of m: every page in use exactly once, as meta, node or freelist or in the
// freelist. It shows every record to visit, in order of key; key and value are valid during the call only.
func (im image) walk(m meta, visit func(key, value []byte) error) error {
	seen := make(pageSet, m.end/64+1)
	t, err := im.tree(m)
	if err != nil {
		return err
	}
	seen.add(0, 2)
	if !seen.add(m.root, 1) {
		return corruptPage(m.root, "is used twice")
	}
	w := walker{tree: t, seen: seen, visit: visit}
	if err := w.walk(t.root, nil, nil, 0); err != nil {
		return err
	}
	overflow, err := im.freelist(m, func(id uint64) error {
		if !seen.add(id, 1) {
			return corruptPage(id, "is both free and in use")
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !seen.add(m.freelist, overflow+1) {
		return corruptPage(m.freelist, "is used twice")
	}
	for id := range m.end {
		if !seen.has(id) {
			return corruptPage(id, "is neither free nor in use")
		}
	}
	return nil
}

// walker is a walk under way.
type walker struct {
	tree
	seen  pageSet
	visit func(key, value []byte) error
	bufs  [maxDepth][]byte // one per depth, used again for each node there
}

func (w *walker) walk(id uint64, low, high []byte, depth int) error {
	if depth >= maxDepth {
		return corruptPage(id, "the tree is too deep")
	}
	n, err := w.node(id, low, high, w.bufs[depth])
	if err != nil {
		return err
	}
	w.bufs[depth] = n.buf
	if !w.seen.add(id, n.overflow+1) {
		return corruptPage(id, "is used twice")
	}
	for i := range n.n {
		if n.leaf {
			err = w.visit(n.key(i), n.value(i))
		} else {
			l, h := n.bounds(i, high)
			err = w.walk(n.child(i), l, h, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
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
