package powerfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// change is a write or a truncation that is not durable.
type change struct {
	size   int    // of the file, after the change
	at     int    // of the first sector, in bytes
	sector []byte // whole sectors, as the file reads after the write; nil for a truncation
}

// written is the change that writing n bytes at off was, which made the file data.
func written(data []byte, off, n int) change {
	c := change{size: len(data), at: off / Sector * Sector}
	c.sector = make([]byte, (off+n+Sector-1)/Sector*Sector-c.at)
	copy(c.sector, data[c.at:])
	return c
}

// replay does changes to the durable content of a file: the first sizes of them to its size, and each sector of them if keep says so.
func replay(disk []byte, changes []change, sizes int, keep func() bool) []byte {
	size := len(disk)
	for i, c := range changes {
		if i < sizes {
			size = c.size
			if c.sector == nil && c.size < len(disk) {
				clear(disk[c.size:])
			}
		}
		for at := 0; at < len(c.sector); at += Sector {
			if keep() {
				disk = put(disk, c.sector[at:at+Sector], c.at+at)
			}
		}
	}
	return resize(disk, size)
}

// put writes p at off and makes data longer if it has to be.
func put(data, p []byte, off int) []byte {
	if end := off + len(p); end > len(data) {
		data = resize(data, end)
	}
	copy(data[off:], p)
	return data
}

// resize cuts data, or adds zeros.
func resize(data []byte, size int) []byte {
	if size > len(data) {
		return append(data, make([]byte, size-len(data))...)
	}
	return data[:size]
}

// move is a change of a folder's entries that is not durable: node gets the name to, if that is not empty, and from, if that is not empty, is no
// entry any more.
type move struct {
	from, to string
	node     node
}

func (m move) do(entries map[string]node) {
	delete(entries, m.from)
	if m.to != "" {
		entries[m.to] = m.node
	}
}

// wreck decides what survives.
type wreck struct {
	rng   *rand.Rand
	fs    *FS
	saved map[node]node // :: what was there → what survived of it
	loss  Loss
}

// chance gives true with a probability that is itself random, so that all, none and every mix of a file's sectors come about.
func (w *wreck) chance() func() bool {
	p := w.rng.Float64()
	return func() bool { return w.rng.Float64() < p }
}

func (w *wreck) file(f *file) *file {
	kept := w.chance()
	data := replay(slices.Clone(f.durable), f.changes, w.rng.IntN(len(f.changes)+1), func() bool {
		w.loss.Sectors++
		if !kept() {
			w.loss.SectorsLost++
			return false
		}
		return true
	})
	mode := f.durableMode
	if w.rng.IntN(2) == 0 {
		mode = f.mode
	}
	s := newFile(w.fs, mode)
	s.data, s.durable, s.modified = data, slices.Clone(data), f.modified
	return s
}

func (w *wreck) folder(d *folder) *folder {
	survivors := w.rng.IntN(len(d.moves) + 1)
	w.loss.Entries += len(d.moves)
	w.loss.EntriesLost += len(d.moves) - survivors
	entries := maps.Clone(d.durable)
	for _, m := range d.moves[:survivors] {
		m.do(entries)
	}
	mode := d.durableMode
	if w.rng.IntN(2) == 0 {
		mode = d.mode
	}
	s := newFolder(w.fs, mode)
	for _, name := range slices.Sorted(maps.Keys(entries)) { // in order, so that a seed says what comes
		s.entries[name] = w.survivor(entries[name])
	}
	s.durable = maps.Clone(s.entries)
	return s
}

func (w *wreck) survivor(n node) node {
	if s, ok := w.saved[n]; ok {
		return s // another name of it
	}
	var s node
	switch n := n.(type) {
	case *file:
		s = w.file(n)
	case *folder:
		s = w.folder(n)
	}
	w.saved[n] = s
	return s
}
