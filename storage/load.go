package storage

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"runtime"

	"github.com/kmsd/kmsd/crypto"
)

// load reads every record, with as many processors as there are, and fills in s. The set hash proves all of them at once;
// only if it does not match is each one opened, to name the one that is wrong.
func (s *Store) load(domain crypto.Secret, im image, m meta) error {
	l, err := s.loadFirst(domain, im, m)
	if err != nil {
		return err
	}
	if err := im.walkParts(m, runtime.GOMAXPROCS(0), l.next); err != nil {
		return err
	}
	found, x := manifest{generation: l.want.generation}, (*index)(nil)
	for _, p := range l.parts {
		found.count += p.found.count
		found.toggle(p.found.set)
		x = merge(x, p.index())
	}
	if l.firsts() != 2 {
		return corruptStore("the header or the manifest is missing")
	}
	if found != l.want {
		return s.diagnose(im, m, found, l.want)
	}
	s.state.Store(&state{manifest: l.want, index: x})
	return nil
}

// loader is a load under way.
type loader struct {
	keys             *keyring
	header, manifest []byte // values of the two records that come first
	want             manifest
	parts            []*loadedPart
}

// loadFirst reads the header and the manifest, without which nothing else can be checked.
func (s *Store) loadFirst(domain crypto.Secret, im image, m meta) (*loader, error) {
	t, err := im.tree(m)
	if err != nil {
		return nil, err
	}
	var l loader
	c := cursor{t: t}
	v, err := c.find([]byte(headerKey))
	if err != nil {
		return nil, err
	}
	l.header = bytes.Clone(v)
	if v, err = c.find([]byte(manifestKey)); err != nil {
		return nil, err
	}
	l.manifest = bytes.Clone(v)
	if s.keys, s.id, err = openHeader(domain, l.header); err != nil {
		return nil, err
	}
	l.keys = s.keys
	if l.manifest == nil {
		return nil, corruptStore("the manifest is missing")
	}
	l.want, err = s.keys.openManifest(l.manifest)
	return &l, err
}

// openHeader returns the keys of the store that has the header h, which is nil if there is none.
func openHeader(domain crypto.Secret, h []byte) (*keyring, [idLen]byte, error) {
	if h == nil {
		return nil, [idLen]byte{}, corruptStore("the header is missing")
	}
	id, check, err := parseHeader(h)
	if err != nil {
		return nil, [idLen]byte{}, err
	}
	keys, want, err := newKeyring(domain, id)
	if err != nil {
		return nil, [idLen]byte{}, err
	}
	if subtle.ConstantTimeCompare(check[:], want[:]) != 1 {
		return nil, [idLen]byte{}, ErrWrongKey
	}
	return keys, id, nil
}

// loadedPart is what one part of the tree has.
type loadedPart struct {
	*loader
	builder
	found   manifest // count and set hash of the records
	firsts  int      // how many of header and manifest
	scratch []byte
}

func (l *loader) next() visitor {
	p := &loadedPart{loader: l, scratch: make([]byte, pageSize)}
	l.parts = append(l.parts, p)
	return p.visit
}

// firsts returns how many of header and manifest were there.
func (l *loader) firsts() (n int) {
	for _, p := range l.parts {
		n += p.firsts
	}
	return n
}

func (p *loadedPart) visit(key, value []byte) error {
	if key[0] == 0 {
		return p.first(key, value)
	}
	if !validKey(key) {
		return corruptStore("a key is not the key of a record")
	}
	generation, _, ok := parseRecord(value)
	if !ok || generation > p.want.generation {
		kind, path, _ := splitKey(string(key))
		return corruptRecord(kind, path, "is not a record of this generation or before")
	}
	e := entry{generation: generation, mac: p.loader.keys.sum(p.scratch, key, value)}
	p.found.count++
	p.found.toggle(e.mac)
	p.add(key, e)
	return nil
}

// first checks that the header and the manifest are those that the load began with.
func (p *loadedPart) first(key, value []byte) error {
	p.firsts++
	switch {
	case string(key) == headerKey && bytes.Equal(value, p.header):
		return nil
	case string(key) == manifestKey && bytes.Equal(value, p.manifest):
		return nil
	}
	return corruptStore("a key is not the key of a record")
}

// diagnose names what makes found differ from want.
func (s *Store) diagnose(im image, m meta, found, want manifest) error {
	err := im.walk(m, func(key, value []byte) error {
		if key[0] == 0 {
			return nil
		}
		kind, path, _ := splitKey(string(key))
		_, err := s.keys.open(nil, kind, path, value)
		return err
	})
	switch {
	case err != nil:
		return err
	case found.count != want.count:
		return corruptStore(fmt.Sprintf("the manifest says %d records, there are %d", want.count, found.count))
	}
	return corruptStore("the manifest does not match the records: some were replaced by older ones")
}
