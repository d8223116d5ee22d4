package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// An engine keeps ordered byte keys in a file and changes them in transactions. It is the seam between records and what
// they lie in: snapshot, commit, close, and the reads of a snapshot. It proves nothing about what it returns beyond the
// structure of the file. bbolt does the writing, locking and reuse of pages; the reading is done by image.
type engine struct {
	db *bolt.DB
	f  *os.File // owned by db once that is open
	im image

	// mu is held for writing while a commit is under way. So a snapshot is never of a state that is not durable yet,
	// which bbolt by itself would show between writing a meta page and syncing it.
	mu   sync.RWMutex
	meta meta   // of the last commit, guarded by mu
	flow uint64 // further pages of its freelist, guarded by mu

	readers readers
	idle    *idlePages // while Erase runs, else nil
}

// A change sets a key, or removes it if value is nil.
type change struct {
	key   string
	value []byte
}

// unknownError says that a commit failed and nobody knows whether it took place.
type unknownError struct{ err error }

func (e *unknownError) Error() string { return e.err.Error() }
func (e *unknownError) Unwrap() error { return e.err }

const (
	lockTimeout = time.Second
	mapSize     = 1 << 30 // bytes of address space; a remap has to wait for all readers
	growBy      = 1 << 20 // bytes by which the file grows at least
)

type engineConfig struct {
	path    string
	maxSize int64
}

// openEngine locks the file, lets check read it as it lies on disk, and opens it. check must walk it: what it accepts is
// handed to bbolt.
func openEngine(c engineConfig, check func(image, meta) error) (e *engine, err error) {
	f, err := os.OpenFile(c.path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	e = &engine{f: f, im: imageOf(f)}
	defer func() {
		if err != nil {
			f.Close() // again if bbolt did; the error that counts is err
		}
	}()
	if st, err := f.Stat(); err != nil {
		return nil, err
	} else if !st.Mode().IsRegular() {
		return nil, corruptStore("not a regular file")
	}
	if err := lock(f); err != nil {
		return nil, err
	}
	// What a killed process wrote may be in the page cache only. bbolt is going to write over pages of the state before.
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("syncing: %w", err)
	}
	if e.meta, err = e.im.meta(); err != nil {
		return nil, err
	}
	if err := check(e.im, e.meta); err != nil {
		return nil, err
	}
	if e.flow, _, _, err = e.im.freelistHeader(e.meta); err != nil {
		return nil, err
	}
	err = guard(func() error {
		e.db, err = openBolt(c, f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening the engine: %w", err)
	}
	return e, nil
}

func imageOf(f *os.File) image {
	return image{r: f, size: func() (int64, error) {
		st, err := f.Stat()
		if err != nil {
			return 0, err
		}
		return st.Size(), nil
	}}
}

// lock takes the lock that bbolt takes, before anything is read. It belongs to the open file, so bbolt has it too.
func lock(f *os.File) error {
	for end := time.Now().Add(lockTimeout); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("locking: %w", err)
		case time.Now().After(end):
			return ErrLocked
		}
	}
}

// openBolt opens the file f, which need not have a content yet.
func openBolt(c engineConfig, f *os.File) (*bolt.DB, error) {
	db, err := bolt.Open(c.path, 0o600, &bolt.Options{
		Timeout:         lockTimeout,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: mapSize,
		PageSize:        pageSize,
		MaxSize:         int(c.maxSize),
		NoStatistics:    true,
		OpenFile:        func(string, int, os.FileMode) (*os.File, error) { return f, nil },
	})
	if err != nil {
		return nil, err
	}
	db.AllocSize = growBy
	return db, nil
}

// A panicError is what bbolt panicked with: on files that change under it, it does.
type panicError struct{ value any }

func (e *panicError) Error() string { return "the engine panicked" } // the value may quote the file

// guard calls fn and makes an error of a panic or of a fault on the mapped file.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v}
		}
	}()
	return fn()
}

// A snapshot is the content as of one commit. It must be released. Its methods may be called concurrently.
type snapshot struct {
	tree
	tx      *bolt.Tx // keeps bbolt from writing to the pages of the snapshot
	readers *readers // keeps Erase from it
}

// snapshotLocked returns the content as of the last commit. e.mu is held.
func (e *engine) snapshotLocked() (*snapshot, error) {
	t, err := e.currentLocked()
	if err != nil {
		return nil, err
	}
	s := &snapshot{tree: t, readers: &e.readers}
	err = guard(func() (err error) {
		s.tx, err = e.db.Begin(false)
		return err
	})
	switch {
	case errors.As(err, new(*panicError)):
		return nil, &unknownError{err}
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return nil, ErrClosed
	case err != nil:
		return nil, fmt.Errorf("beginning to read: %w", err)
	}
	s.readers.add(t.meta.txid)
	if uint64(s.tx.ID()) != t.meta.txid {
		return nil, errors.Join(corruptPage(t.meta.txid%2, "changed by somebody else"), s.release())
	}
	return s, nil
}

func (s *snapshot) release() error {
	defer s.readers.remove(s.meta.txid)
	return s.tx.Rollback()
}

// currentLocked returns the records as of the last commit after it has checked that the file still says so. bbolt would
// go on with the older meta page if the newer one was damaged, and so undo a transaction.
func (e *engine) currentLocked() (tree, error) {
	m, err := e.im.meta()
	if errors.Is(err, os.ErrClosed) {
		return tree{}, ErrClosed
	}
	if err != nil {
		return tree{}, err
	}
	if m != e.meta {
		return tree{}, corruptPage(m.txid%2, "changed by somebody else")
	}
	return e.im.tree(m)
}

// commitLocked makes changes, which are in order of key and none of which repeats, durable as one. e.mu is held for writing.
// base is the transaction that the changes are based on: they are refused if it is not the last. If the error is an
// *unknownError nobody knows whether they took place, and the engine must not be used; after any other nothing changed.
func (e *engine) commitLocked(base uint64, changes []change) error {
	t, err := e.currentLocked()
	if err != nil {
		return err
	}
	if t.meta.txid != base {
		return fmt.Errorf("based on transaction %d, the last is %d", base, t.meta.txid)
	}
	if err := e.checkLocked(t, changes); err != nil {
		return err
	}
	if err := guard(func() error { return e.write(base, changes) }); err != nil {
		return e.classifyLocked(err)
	}
	m, err := e.im.meta()
	if err != nil {
		return &unknownError{err}
	}
	if m.txid != base+1 {
		return &unknownError{corruptPage(m.txid%2, "is not of the transaction that was just committed")}
	}
	flow, _, _, err := e.im.freelistHeader(m)
	if err != nil {
		return &unknownError{err}
	}
	e.meta, e.flow = m, flow
	if e.idle != nil {
		e.idle.committed(e.im, m)
	}
	return nil
}

// checkLocked reads what bbolt is going to read for changes, with the care that bbolt does not take.
func (e *engine) checkLocked(t tree, changes []change) error {
	for _, c := range changes {
		if err := t.checkPath([]byte(c.key), c.value == nil); err != nil {
			return err
		}
	}
	flow, _, _, err := e.im.freelistHeader(e.meta)
	if err == nil && flow != e.flow {
		err = corruptPage(e.meta.freelist, "overflow changed by somebody else")
	}
	return err
}

func (e *engine) write(base uint64, changes []change) error {
	return e.db.Update(func(tx *bolt.Tx) error {
		if uint64(tx.ID()) != base+1 {
			return corruptPage(base%2, "changed by somebody else")
		}
		b := tx.Bucket([]byte(bucketName))
		if b == nil {
			return corruptStore("the bucket is missing")
		}
		for _, c := range changes {
			var err error
			if c.value == nil {
				err = b.Delete([]byte(c.key))
			} else {
				err = b.Put([]byte(c.key), c.value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// classifyLocked tells a failed commit that left the file as it was from one whose outcome is unknown. After a failed fsync
// the kernel may have dropped what was to be written while the page cache still shows it, so it counts as unknown even
// before the meta page, and nothing is tried again.
func (e *engine) classifyLocked(err error) error {
	switch {
	case errors.Is(err, ErrCorrupt):
		return err // from write, before bbolt changed anything
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return ErrClosed
	case !writeFailed(err):
		return &unknownError{err}
	}
	// The write that failed may have been that of the meta page.
	if m, metaErr := e.im.meta(); metaErr != nil || m != e.meta {
		return &unknownError{err}
	}
	return fmt.Errorf("%w: %w", ErrFull, err)
}

// writeFailed reports whether err is from growing the file or writing pages, not from syncing, mapping or a bug, and its
// cause is lack of space.
func writeFailed(err error) bool {
	if errors.Is(err, bolterrors.ErrMaxSizeReached) {
		return true
	}
	var p *fs.PathError
	write := errors.As(err, &p) && p.Op == "write"
	// bbolt does not wrap what Truncate returned, it only quotes it.
	resize := strings.HasPrefix(err.Error(), "file resize error: ")
	for _, cause := range []error{unix.ENOSPC, unix.EDQUOT, unix.EFBIG} {
		if write && errors.Is(p, cause) || resize && strings.HasSuffix(err.Error(), cause.Error()) {
			return true
		}
	}
	return false
}

// close waits for readers and the writer. If bbolt panicked it may hold its locks for ever: then the file is unlocked and
// closed without it, and its mapping stays until the process ends.
func (e *engine) close(panicked bool) error {
	if panicked {
		return errors.Join(unix.Flock(int(e.f.Fd()), unix.LOCK_UN), e.f.Close())
	}
	return guard(e.db.Close)
}
