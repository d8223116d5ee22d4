package storage

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"sort"
)

// This file reads bbolt's file format (version 2) without bbolt, which trusts what it reads: on damaged files it
// crashes, loops and allocates without bound. Everything here checks first, reads with pread, takes a bounded
// number of pages and allocates no more than the file is long.

const (
	pageSize       = 4096 // fixed, so that a file can move between machines
	pageHeaderLen  = 16   // id 8, flags 2, count 2, overflow 4
	branchElemLen  = 16   // pos 4, key size 4, page id 8
	leafElemLen    = 16   // flags 4, pos 4, key size 4, value size 4
	bucketValueLen = 16   // root page 8, sequence 8
	metaLen        = 64   // without the page header

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10

	boltMagic   = 0xED0CDAED
	boltVersion = 2

	maxPages    = 1 << 28                    // of a file: 1 TiB
	maxDepth    = 32                         // of the tree; 2^32 pages of two children each are not 32 deep
	maxOverflow = 8 * MaxValueLen / pageSize // a leaf has at most four values of the largest size, or is smaller
)

// meta is what a meta page says.
type meta struct {
	root     uint64 // page of the root bucket
	freelist uint64 // first page of the freelist
	end      uint64 // first page beyond the ones in use
	txid     uint64
}

// image is a bbolt file as it lies on disk.
type image struct {
	r    io.ReaderAt
	size func() (int64, error)
}

func (im image) read(buf []byte, page uint64) error {
	if page > maxPages {
		return corruptPage(page, "no such page")
	}
	if _, err := im.r.ReadAt(buf, int64(page)*pageSize); err == io.EOF {
		return corruptPage(page, "the file ends before it")
	} else if err != nil {
		return fmt.Errorf("reading page %d: %w", page, err)
	}
	return nil
}

// meta reads both meta pages and returns the newer. Both must be whole: a meta page is written in one sector, so
// a crash leaves it old or new, and taking the older one for a damaged newer one would undo a transaction.
func (im image) meta() (meta, error) {
	var m [2]meta
	for i := range m {
		var err error
		if m[i], err = im.metaPage(uint64(i)); err != nil {
			return meta{}, err
		}
	}
	newer, older := m[0], m[1]
	if older.txid > newer.txid {
		newer, older = older, newer
	}
	if newer.txid != older.txid+1 {
		return meta{}, corruptPage(0, "the two meta pages are of transactions %d and %d", m[0].txid, m[1].txid)
	}
	size, err := im.size()
	if err != nil {
		return meta{}, fmt.Errorf("reading the size of the file: %w", err)
	}
	if newer.end > uint64(size)/pageSize {
		return meta{}, corruptStore("the file is shorter than its pages")
	}
	return newer, nil
}

func (im image) metaPage(id uint64) (meta, error) {
	var buf [pageHeaderLen + metaLen]byte
	if err := im.read(buf[:], id); err != nil {
		return meta{}, err
	}
	return parseMeta(buf[:], id)
}

func parseMeta(buf []byte, id uint64) (meta, error) {
	le := binary.LittleEndian
	b := buf[pageHeaderLen:]
	h := fnv.New64a()
	h.Write(b[:metaLen-8])
	m := meta{root: le.Uint64(b[16:]), freelist: le.Uint64(b[32:]), end: le.Uint64(b[40:]), txid: le.Uint64(b[48:])}
	switch {
	case le.Uint64(buf) != id || le.Uint16(buf[8:]) != flagMeta:
		return meta{}, corruptPage(id, "not a meta page")
	case le.Uint64(b[56:]) != h.Sum64():
		return meta{}, corruptPage(id, "wrong checksum")
	case le.Uint32(b) != boltMagic || le.Uint32(b[4:]) != boltVersion || le.Uint32(b[8:]) != pageSize || le.Uint32(b[12:]) != 0:
		return meta{}, corruptPage(id, "not of this format")
	case le.Uint64(b[24:]) != 0:
		return meta{}, corruptPage(id, "the root bucket has a sequence")
	case m.txid%2 != id:
		return meta{}, corruptPage(id, "transaction %d in the wrong meta page", m.txid)
	case m.end < 4 || m.end > maxPages || m.root < 2 || m.root >= m.end || m.freelist < 2 || m.freelist >= m.end:
		return meta{}, corruptPage(id, "page numbers out of range")
	}
	return m, nil
}

// node is a checked branch or leaf page: what its elements name lies inside of it and its keys are in order. It can be read
// into again, which makes use of its buffer.
type node struct {
	id       uint64
	leaf     bool
	bucket   bool // a leaf whose one element is a bucket
	n        int
	overflow uint64
	buf      []byte
}

func (n *node) elem(i int) []byte { return n.buf[pageHeaderLen+16*i:] }

func (n *node) key(i int) []byte {
	e := n.elem(i)
	if n.leaf {
		pos, k := binary.LittleEndian.Uint32(e[4:]), binary.LittleEndian.Uint32(e[8:])
		return e[pos : pos+k : pos+k]
	}
	pos, k := binary.LittleEndian.Uint32(e), binary.LittleEndian.Uint32(e[4:])
	return e[pos : pos+k : pos+k]
}

func (n *node) value(i int) []byte {
	e := n.elem(i)
	le := binary.LittleEndian
	start := le.Uint32(e[4:]) + le.Uint32(e[8:])
	end := start + le.Uint32(e[12:])
	return e[start:end:end]
}

func (n *node) child(i int) uint64 { return binary.LittleEndian.Uint64(n.elem(i)[8:]) }

// find returns the index of the first key that is not below key, and whether it is key.
func (n *node) find(key []byte) (int, bool) {
	i := sort.Search(n.n, func(i int) bool { return bytes.Compare(n.key(i), key) >= 0 })
	return i, i < n.n && bytes.Equal(n.key(i), key)
}

// childFor returns the index of the child that has key if the tree has it.
func (n *node) childFor(key []byte) int {
	i, exact := n.find(key)
	if !exact && i > 0 {
		i--
	}
	return i
}

// node reads the branch or leaf that begins at page id into n and checks it by itself. After an error n means nothing.
func (im image) node(id, end uint64, n *node) error {
	if id < 2 || id >= end {
		return corruptPage(id, "out of range")
	}
	n.buf = slices.Grow(n.buf[:0], pageSize)[:pageSize]
	if err := im.read(n.buf, id); err != nil {
		return err
	}
	overflow := uint64(binary.LittleEndian.Uint32(n.buf[12:]))
	if overflow > maxOverflow || id+overflow >= end {
		return corruptPage(id, "overflow out of range")
	}
	if overflow > 0 {
		n.buf = slices.Grow(n.buf, int(overflow)*pageSize)[:(overflow+1)*pageSize]
		if err := im.read(n.buf[pageSize:], id+1); err != nil {
			return err
		}
	}
	return n.parse(id)
}

// parse checks n.buf, the whole pages of a branch or leaf, and fills in the rest of n. bbolt writes elements one after the
// other without gaps, into as few pages as they need: anything else is damage.
func (n *node) parse(id uint64) error {
	le, buf := binary.LittleEndian, n.buf
	flags := le.Uint16(buf[8:])
	*n = node{id: id, leaf: flags == flagLeaf, n: int(le.Uint16(buf[10:])), overflow: uint64(le.Uint32(buf[12:])), buf: buf}
	switch {
	case le.Uint64(buf) != id:
		return corruptPage(id, "has another number")
	case flags != flagLeaf && flags != flagBranch:
		return corruptPage(id, "neither branch nor leaf")
	case n.n == 0:
		return corruptPage(id, "empty")
	}
	next := pageHeaderLen + 16*n.n
	for i := range n.n {
		size, err := n.check(i, next)
		if err != nil {
			return err
		}
		next += size
	}
	if used := (next + pageSize - 1) / pageSize; used != len(buf)/pageSize {
		return corruptPage(id, "needs %d pages, has %d", used, len(buf)/pageSize)
	}
	return nil
}

// check looks at element i, whose data must begin at offset at of the page, and returns the size of its data.
func (n *node) check(i, at int) (int, error) {
	le := binary.LittleEndian
	if at > len(n.buf) {
		return 0, corruptPage(n.id, "element %d outside of the page", i)
	}
	e := n.elem(i)
	pos, ksize, vsize := le.Uint32(e), le.Uint32(e[4:]), uint32(0)
	if n.leaf {
		pos, ksize, vsize = le.Uint32(e[4:]), le.Uint32(e[8:]), le.Uint32(e[12:])
		bucket := le.Uint32(e) == 1
		if le.Uint32(e) > 1 || (bucket && (n.n != 1 || vsize != bucketValueLen)) {
			return 0, corruptPage(n.id, "element %d has unknown flags", i)
		}
		n.bucket = bucket
	}
	size := int64(ksize) + int64(vsize)
	switch {
	case int64(pos) != int64(at-pageHeaderLen-16*i):
		return 0, corruptPage(n.id, "element %d is not where it belongs", i)
	case ksize == 0 || int64(at)+size > int64(len(n.buf)):
		return 0, corruptPage(n.id, "element %d outside of the page", i)
	case i > 0 && bytes.Compare(n.key(i-1), n.key(i)) >= 0:
		return 0, corruptPage(n.id, "keys out of order at element %d", i)
	}
	return int(size), nil
}

// within checks that the keys of n are what its parent promises: from low on, and below high unless that is nil.
func (n *node) within(low, high []byte) error {
	if bytes.Compare(n.key(0), low) < 0 || (high != nil && bytes.Compare(n.key(n.n-1), high) >= 0) {
		return corruptPage(n.id, "keys outside of the range of the parent")
	}
	return nil
}
