package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
)

// Erase overwrites with zeros what the file has of records that were deleted or replaced before it was called, and of changes
// that failed, and returns the number of pages of 4096 bytes that it overwrote. When the error is nil, the sealed bytes of
// those records are nowhere in the file, and that is durable. After any other error they may still be there; one that
// matches ErrBroken is as in Update, and one that matches ErrCorrupt is found before anything is overwritten.
//
// It waits for every View that began before it, until ctx is done. Views and Updates go on meanwhile; an Update may wait for
// a mebibyte to be overwritten. It must not be called in a View or an Update. Calls run one after the other.
//
// What the disk keeps beside the file is not its business: older copies of blocks on flash, in snapshots and on file
// systems that do not write in place, and backups. There only the key that sealed the records can be destroyed.
func (s *Store) Erase(ctx context.Context) (pages int, err error) {
	select {
	case s.eraser <- struct{}{}:
		defer func() { <-s.eraser }()
	case <-ctx.Done():
		return 0, fmt.Errorf("erasing: %w", context.Cause(ctx))
	}
	pages, err = s.erase(ctx)
	if err != nil {
		return pages, fmt.Errorf("erasing: %w", s.note(err))
	}
	return pages, nil
}

func (s *Store) erase(ctx context.Context) (pages int, err error) {
	tx, err := s.beginErase()
	if err != nil {
		return 0, err
	}
	defer s.endErase()
	var free pageSet
	err = tx.run(func(tx *Tx) error {
		free, err = tx.snap.unused(s.engine.idle.bound)
		return err
	})
	if err != nil {
		return 0, err
	}
	s.narrow(free)
	if err := s.engine.readers.waitBefore(ctx, tx.snap.meta.txid); err != nil {
		return 0, err
	}
	for from := uint64(0); ; {
		if err := ctx.Err(); err != nil {
			return pages, context.Cause(ctx)
		}
		n, next, err := s.eraseSome(from)
		pages += n
		if err != nil {
			return pages, err
		}
		if n > 0 {
			if err := s.engine.sync(); err != nil {
				return pages, err
			}
		}
		if next == 0 {
			return pages, nil
		}
		from = next
	}
}

// beginErase returns a View of the content from which on commits say which pages they put to use.
func (s *Store) beginErase() (*Tx, error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	tx, err := s.begin()
	if err != nil {
		return nil, err
	}
	size, err := tx.snap.im.size()
	if err != nil {
		_ = tx.end() // the error that counts is err
		return nil, fmt.Errorf("reading the size of the file: %w", err)
	}
	s.engine.idle = newIdlePages(uint64(size) / pageSize)
	return tx, nil
}

func (s *Store) endErase() {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.engine.idle = nil
}

// unused returns the pages below bound that snap does not use. It believes the freelist only if the tree says the same of every
// page, so that a damaged freelist does no more damage.
func (snap *snapshot) unused(bound uint64) (pageSet, error) {
	if err := snap.im.walk(snap.meta, func(_, _ []byte) error { return nil }); err != nil {
		return nil, err
	}
	return snap.im.unused(snap.meta, bound)
}

// narrow takes out of the idle pages those that were in use when Erase began. No View is open: a commit may wait for its end.
func (s *Store) narrow(free pageSet) {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.engine.idle.keep(free)
}

// eraseChunk is how many pages are read or overwritten while writers wait.
const eraseChunk = 256

// eraseSome overwrites idle pages from one on, and returns how many and where to go on, 0 at the end.
func (s *Store) eraseSome(from uint64) (pages int, next uint64, err error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	if err := s.usable(); err != nil {
		return 0, 0, err
	}
	return s.engine.eraseSome(from)
}

// idlePages are pages that no commit used since Erase began, nor the content of that time. Only views from before it may read
// them. It is guarded by Store.writer.
type idlePages struct {
	set   pageSet
	bound uint64 // of the set; the file may have grown further since
	err   error  // from finding out what a commit used
}

func newIdlePages(bound uint64) *idlePages {
	p := &idlePages{set: make(pageSet, bound/64+1), bound: bound}
	p.set.add(2, bound-2)
	return p
}

func (p *idlePages) keep(set pageSet) {
	for i := range p.set {
		p.set[i] &= set[i]
	}
}

// committed takes out the pages that the transaction of m put to use.
func (p *idlePages) committed(im image, m meta) {
	set, err := im.unused(m, p.bound)
	if err != nil {
		p.err = err
		return
	}
	p.keep(set)
}

// run returns the first pages of the set from one on that follow each other, at most limit.
func (p *idlePages) run(from, limit uint64) (first, n uint64) {
	for first = from; first < p.bound && !p.set.has(first); first++ {
		if first%64 == 0 && p.set[first/64] == 0 {
			first += 63
		}
	}
	for first+n < p.bound && n < limit && p.set.has(first+n) {
		n++
	}
	return first, n
}

// unused returns the pages below bound that the freelist of m has and those beyond the ones in use.
func (im image) unused(m meta, bound uint64) (pageSet, error) {
	set := make(pageSet, bound/64+1)
	if bound > m.end {
		set.add(m.end, bound-m.end)
	}
	_, err := im.freelist(m, func(id uint64) error {
		if id < bound {
			set.add(id, 1)
		}
		return nil
	})
	return set, err
}

// eraseSome overwrites with zeros what is not zero among the next idle pages. No commit is under way.
//
// A crash may leave any part of it done. Nothing that is read after a crash lies there: the newest meta page is durable, and bbolt
// would write to the same pages in its next transaction.
func (e *engine) eraseSome(from uint64) (pages int, next uint64, err error) {
	if _, err := e.currentLocked(); err != nil {
		return 0, 0, err
	}
	if e.idle.err != nil {
		return 0, 0, e.idle.err
	}
	zeros, buf := make([]byte, eraseRun*pageSize), make([]byte, eraseRun*pageSize)
	for seen := uint64(0); seen < eraseChunk; {
		first, n := e.idle.run(from, eraseRun)
		if n == 0 {
			return pages, 0, nil
		}
		seen, from = seen+n, first+n
		if err := e.im.read(buf[:n*pageSize], first); err != nil {
			return pages, 0, err
		}
		if bytes.Equal(buf[:n*pageSize], zeros[:n*pageSize]) {
			continue
		}
		if _, err := e.f.WriteAt(zeros[:n*pageSize], int64(first*pageSize)); err != nil {
			if writeFailed(err) {
				return pages, 0, fmt.Errorf("%w: %w", ErrFull, err)
			}
			return pages, 0, &unknownError{err}
		}
		pages += int(n)
	}
	return pages, from, nil
}

// sync makes durable what was overwritten, beside commits.
func (e *engine) sync() error {
	err := e.f.Sync()
	if errors.Is(err, os.ErrClosed) {
		return ErrClosed
	}
	if err != nil {
		return &unknownError{err}
	}
	return nil
}

// eraseRun is how many pages that follow each other are overwritten in one write.
const eraseRun = 32

// readers are the snapshots that are open.
type readers struct {
	mu    sync.Mutex
	txids []uint64      // of each, in no order
	ended chan struct{} // closed when the next one ends; nil if nobody waits
}

func (r *readers) add(txid uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.txids = append(r.txids, txid)
}

func (r *readers) remove(txid uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.txids, txid)
	last := len(r.txids) - 1
	r.txids[i] = r.txids[last]
	r.txids = r.txids[:last]
	if r.ended != nil {
		close(r.ended)
		r.ended = nil
	}
}

// waitBefore waits until no snapshot from before transaction txid is open.
func (r *readers) waitBefore(ctx context.Context, txid uint64) error {
	for {
		ended := r.oldest(txid)
		if ended == nil {
			return nil
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return fmt.Errorf("waiting for a View to end: %w", context.Cause(ctx))
		}
	}
}

// oldest returns nil if no snapshot from before transaction txid is open, else what is closed when one ends.
func (r *readers) oldest(txid uint64) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.ContainsFunc(r.txids, func(open uint64) bool { return open < txid }) {
		return nil
	}
	if r.ended == nil {
		r.ended = make(chan struct{})
	}
	return r.ended
}
