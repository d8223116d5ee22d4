package storage

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/durable"
	bolt "go.etcd.io/bbolt"
)

// domainLen is the size of a domain key in bytes.
const domainLen = 32

// Config says where a store is and how it is protected.
type Config struct {
	Path    string        // of the file; its folder must exist and be the user's own
	Domain  crypto.Secret // the domain key, 32 bytes; the caller may wipe it when Create or Open has returned
	MaxSize int64         // of the file in bytes, beyond which a change fails with ErrFull; 0 means no limit

	// OnBroken is called once when the store becomes broken (ErrBroken), with the cause, before the failed call returns. The
	// process is expected to stop and start again. It must not call the Store. nil means nobody is told.
	OnBroken func(cause error)
}

// A Store is an open store. It may be used by many goroutines at once. Close it to release the file.
type Store struct {
	id       [idLen]byte
	keys     *keyring
	engine   *engine
	onBroken func(error)

	writer sync.Mutex            // held by the one Update under way, and by Erase while it overwrites
	eraser chan struct{}         // full while Erase runs
	state  atomic.Pointer[state] // as of the last commit; changes under engine.mu
	broken atomic.Pointer[error] // the cause; nil as long as the store works
	closed atomic.Bool
}

// state is what the store knows of one generation. It is immutable.
type state struct {
	manifest manifest
	index    *index
}

// Create makes an empty store of generation 1 in a new file, which is durable when it returns nil. It does not open it.
// If the file exists the error matches fs.ErrExist. A crash on the way leaves no file at Path; what it may leave beside
// it, named .*.tmp-* or .*.new-*, can be removed and does no harm.
func Create(c Config) error {
	if err := c.check(); err != nil {
		return err
	}
	if _, err := os.Lstat(c.Path); err == nil {
		return fmt.Errorf("creating a store: %s: %w", c.Path, fs.ErrExist)
	}
	data, err := newFile(c)
	if err != nil {
		return fmt.Errorf("creating a store: %w", err)
	}
	if err := durable.CreateFile(c.Path, data, 0o600); err != nil {
		return fmt.Errorf("creating a store: %w", err)
	}
	return nil
}

func (c *Config) check() error {
	if c.Domain.Len() != domainLen {
		return fmt.Errorf("storage: the domain key has %d bytes, want %d", c.Domain.Len(), domainLen)
	}
	if c.MaxSize < 0 {
		return errors.New("storage: MaxSize is negative")
	}
	return nil
}

// newFile returns the content of an empty store, which bbolt makes in a folder of its own.
func newFile(c Config) (data []byte, err error) {
	id := newID()
	keys, check, err := newKeyring(c.Domain, id)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(c.Path), "."+filepath.Base(c.Path)+".new-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	f, err := os.OpenFile(filepath.Join(dir, "store"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	db, err := openBolt(engineConfig{path: f.Name()}, f)
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte(bucketName))
		if err != nil {
			return err
		}
		return errors.Join(
			b.Put([]byte(headerKey), newHeader(id, check)),
			b.Put([]byte(manifestKey), keys.sealManifest(manifest{generation: 1})))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	return wholePages(filepath.Join(dir, "store"))
}

// wholePages returns the pages in use of the file at path, without the room that bbolt left for more.
func wholePages(path string) (data []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	im := imageOf(f)
	m, err := im.meta()
	if err != nil {
		return nil, err
	}
	data = make([]byte, m.end*pageSize)
	return data, im.read(data, 0)
}

// Open opens the store at c.Path after it has read and checked all of it. The error matches fs.ErrNotExist if there is no
// file, ErrLocked (after one second) if it is in use, ErrWrongKey, or ErrCorrupt.
//
// An older state of the whole file is a store like any other: compare Generation with the highest one known elsewhere.
func Open(c Config) (*Store, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	s := &Store{onBroken: c.OnBroken, eraser: make(chan struct{}, 1)}
	e, err := openEngine(engineConfig{path: c.Path, maxSize: c.MaxSize}, func(im image, m meta) error {
		return s.load(c.Domain, im, m)
	})
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	s.engine = e
	return s, nil
}

// ID returns the id of the store, which Create made at random.
func (s *Store) ID() [16]byte { return s.id }

// Generation returns the generation that the last committed Update made; it is 1 after Create. It never goes back while
// the file is not replaced.
func (s *Store) Generation() uint64 { return s.state.Load().manifest.generation }

// View calls fn with the content as of the last committed Update. What other goroutines commit meanwhile is not seen.
// It returns what fn returns. fn must not call View, Update or Close. View may wait for one commit; a View that takes long
// makes the file grow.
func (s *Store) View(fn func(*Tx) error) error {
	tx, err := s.begin()
	if err != nil {
		return s.note(err)
	}
	return tx.run(fn)
}

// begin returns a read transaction. Whoever gets it must end it.
func (s *Store) begin() (*Tx, error) {
	s.engine.mu.RLock()
	defer s.engine.mu.RUnlock()
	if err := s.usable(); err != nil {
		return nil, err
	}
	snap, err := s.engine.snapshotLocked()
	if err != nil {
		return nil, err
	}
	st := s.state.Load()
	return &Tx{reader: newReader(s.keys, snap), snap: snap, index: st.index, manifest: st.manifest}, nil
}

// usable is asked again by whoever holds engine.mu, because only that keeps the answer true.
func (s *Store) usable() error {
	if cause := s.broken.Load(); cause != nil {
		return ErrBroken
	}
	if s.closed.Load() {
		return ErrClosed
	}
	return nil
}

// note makes the store broken if err leaves its state unknown, and returns the error for the caller.
func (s *Store) note(err error) error {
	var unknown *unknownError
	if !errors.As(err, &unknown) {
		return err
	}
	if s.broken.CompareAndSwap(nil, &err) && s.onBroken != nil {
		s.onBroken(err)
	}
	return fmt.Errorf("%w: %w", ErrBroken, err)
}

// Update calls fn and commits what it changed. Calls run one after the other. When Update returns nil the changes are
// durable. When it returns an error of fn, an error that matches ErrFull, or one that matches ErrCorrupt, nothing changed.
// If the error matches ErrBroken the changes may or may not be there when the store is opened again. An fn that changes
// nothing commits nothing and makes no generation. fn must not call View, Update or Close.
func (s *Store) Update(fn func(*Tx) error) error {
	return s.note(s.update(fn))
}

func (s *Store) update(fn func(*Tx) error) error {
	s.writer.Lock()
	defer s.writer.Unlock()
	tx, err := s.begin()
	if err != nil {
		return err
	}
	tx.manifest.generation++
	tx.writes, tx.pending = make(map[string]*entry), make(map[*entry][]byte)
	if err := tx.run(fn); err != nil || len(tx.writes) == 0 {
		return err
	}
	next := &state{manifest: tx.manifest, index: tx.index}
	changes := tx.changes()

	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	if err := s.engine.commitLocked(tx.snap.meta.txid, changes); err != nil {
		return fmt.Errorf("committing generation %d: %w", next.manifest.generation, err)
	}
	s.state.Store(next)
	return nil
}

// changes returns what tx changes in the file, in order of key.
func (tx *Tx) changes() []change {
	changes := []change{{manifestKey, tx.keys.sealManifest(tx.manifest)}}
	for key, e := range tx.writes {
		changes = append(changes, change{key, tx.pending[e]})
	}
	slices.SortFunc(changes, func(a, b change) int { return cmp.Compare(a.key, b.key) })
	return changes
}

// Verify checks the whole file as of the last commit: its structure, that every record opens, that the manifest matches.
// It runs beside View and Update and holds neither up. The error matches ErrCorrupt if the file is not what was written.
func (s *Store) Verify() error {
	return s.View(func(tx *Tx) error {
		n, count := 0, uint64(0)
		err := tx.snap.im.walk(tx.snap.meta, func(key, value []byte) error {
			switch n++; n {
			case 1:
				id, _, err := parseHeader(value)
				if err != nil || string(key) != headerKey || id != s.id {
					return corruptStore("the header changed")
				}
				return nil
			case 2:
				m, err := tx.keys.openManifest(value)
				if err == nil && (string(key) != manifestKey || m != tx.manifest) {
					err = corruptStore("the manifest changed")
				}
				return err
			}
			count++
			return tx.verify(string(key), value)
		})
		if err != nil {
			return err
		}
		if count != tx.manifest.count || n < 2 {
			return corruptStore(fmt.Sprintf("the manifest says %d records, there are %d", tx.manifest.count, count))
		}
		return nil
	})
}

// Close releases the file after the calls under way have returned. Every later call gives ErrClosed.
func (s *Store) Close() error {
	s.writer.Lock()
	defer s.writer.Unlock()
	if s.closed.Swap(true) {
		return ErrClosed
	}
	cause := s.broken.Load()
	if err := s.engine.close(cause != nil && errors.As(*cause, new(*panicError))); err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}
