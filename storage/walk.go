package storage

import (
	"sync"
	"sync/atomic"
)

// visitor is shown records in order of key; key and value are valid during the call only.
type visitor func(key, value []byte) error

// walk checks the whole structure as of m: every page in use exactly once, as meta, node or freelist or in the
// freelist. It shows every record to visit.
func (im image) walk(m meta, visit visitor) error {
	return im.walkParts(m, 1, func() visitor { return visit })
}

// walkParts is walk with so many walkers. The tree is divided into parts, which follow each other in order of key: each has a visitor
// of its own, which next returns in that order before the first of them is called. They are called concurrently, but each by one
// walker. Of several errors in the tree it returns the first in order of key.
func (im image) walkParts(m meta, walkers int, next func() visitor) error {
	t, err := im.tree(m)
	if err != nil {
		return err
	}
	seen := make(pageSet, m.end/64+1)
	seen.add(0, 2)
	if !seen.add(m.root, 1) {
		return corruptPage(m.root, "is used twice")
	}
	parts, err := t.divide(seen, walkers)
	if err != nil {
		return err
	}
	for i := range parts {
		parts[i].visit = next()
	}
	if err := t.walkAll(seen, parts, walkers); err != nil {
		return err
	}
	return im.walkRest(m, seen)
}

// walkRest checks the pages that are not of the tree.
func (im image) walkRest(m meta, seen pageSet) error {
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

// part is a node with everything below it, and where it hangs.
type part struct {
	id        uint64
	low, high []byte
	depth     int
	visit     visitor
	err       error
}

// partsPerWalker is how many parts there are at least for each walker if the tree is large enough, so that they end at about
// the same time.
const partsPerWalker = 32

// divide returns the parts of the tree. The branches above them are checked and seen.
func (t tree) divide(seen pageSet, walkers int) ([]part, error) {
	parts := []part{{id: t.root}}
	if walkers == 1 {
		return parts, nil
	}
	for divided := true; divided; {
		var below []part
		divided = false
		for i, p := range parts {
			if len(below)+len(parts)-i >= partsPerWalker*walkers || p.depth >= maxDepth {
				below = append(below, p)
				continue
			}
			n := new(node) // the bounds of what is below lie in it
			if err := t.node(p.id, p.low, p.high, n); err != nil {
				return nil, err
			}
			if n.leaf {
				below = append(below, p)
				continue
			}
			if !seen.add(p.id, n.overflow+1) {
				return nil, corruptPage(p.id, "is used twice")
			}
			for j := range n.n {
				low, high := n.bounds(j, p.high)
				below = append(below, part{id: n.child(j), low: low, high: high, depth: p.depth + 1})
			}
			divided = true
		}
		parts = below
	}
	return parts, nil
}

// walkAll walks the parts and returns the error of the first that has one. Walkers take parts in order, so that when one fails all
// before it are walked to their end.
func (t tree) walkAll(seen pageSet, parts []part, walkers int) error {
	var taken atomic.Int64
	var failed atomic.Bool
	var wg sync.WaitGroup
	for range walkers {
		wg.Go(func() {
			w := walker{tree: t, seen: seen}
			for !failed.Load() {
				i := int(taken.Add(1)) - 1
				if i >= len(parts) {
					return
				}
				p := &parts[i]
				w.visit = p.visit
				if p.err = w.walk(p.id, p.low, p.high, p.depth); p.err != nil {
					failed.Store(true)
				}
			}
		})
	}
	wg.Wait()
	for i := range parts {
		if parts[i].err != nil {
			return parts[i].err
		}
	}
	return nil
}

// walker is a walk under way.
type walker struct {
	tree
	seen  pageSet
	visit visitor
	nodes [maxDepth]node // one per depth, read into again for each node there
}

func (w *walker) walk(id uint64, low, high []byte, depth int) error {
	if depth >= maxDepth {
		return corruptPage(id, "the tree is too deep")
	}
	n := &w.nodes[depth]
	if err := w.node(id, low, high, n); err != nil {
		return err
	}
	if !w.seen.add(id, n.overflow+1) {
		return corruptPage(id, "is used twice")
	}
	for i := range n.n {
		var err error
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
