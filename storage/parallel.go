package storage

import (
	"runtime"
	"strings"
	"sync"
)

// WalkParallel is Tx.Walk for who has much to do with each record: parse is called by as many goroutines as there are processors,
// in no order, and add by the goroutine of the caller, with what parse returned, in byte order of path.
//
// value belongs to parse, which may keep all or part of it. An error of a record, of parse or of add ends the walk: everything
// before it in order of path was added, nothing after it, and WalkParallel returns it, when no parse is under way any more.
// parse may then have been called for up to some thousand records beyond it, and must not use tx. add may, as in Walk.
func WalkParallel[T any](tx *Tx, kind Kind, prefix string, parse func(path string, value []byte) (T, error), add func(path string, v T) error) error {
	if _, err := tx.check(kind, prefix+"x"); err != nil {
		return err
	}
	workers := runtime.GOMAXPROCS(0)
	q := newQueue(tx, workers, len(kind)+1, parse)
	defer q.close()
	first := recordKey(kind, prefix)
	for key, e := range tx.index.from(first) {
		if !strings.HasPrefix(key, first) {
			break
		}
		q.next.items = append(q.next.items, item{key, e, tx.pending[e]})
		if len(q.next.items) < chunkLen {
			continue
		}
		q.submit()
		if len(q.submitted) < chunksPerWorker*workers {
			continue
		}
		if err := q.take(add); err != nil {
			return err
		}
	}
	q.submit()
	for len(q.submitted) > 0 {
		if err := q.take(add); err != nil {
			return err
		}
	}
	return nil
}

const (
	chunkLen        = 256 // records that one worker parses before it hands them on
	chunksPerWorker = 3   // so that none waits for the others
)

// item is a record that is to be read.
type item struct {
	key     string
	entry   *entry
	pending []byte
}

// chunk is records that follow each other.
type chunk[T any] struct {
	items  []item
	values []T   // of the first items; of all if err is nil
	err    error // of the item after that
	done   chan struct{}
}

// queue is a WalkParallel under way.
type queue[T any] struct {
	skip      int // bytes of a key before the path
	next      *chunk[T]
	submitted []*chunk[T]
	jobs      chan *chunk[T]
	workers   sync.WaitGroup
}

func newQueue[T any](tx *Tx, workers, skip int, parse func(path string, value []byte) (T, error)) *queue[T] {
	q := &queue[T]{skip: skip, next: newChunk[T](), jobs: make(chan *chunk[T], chunksPerWorker*workers)}
	for range workers {
		q.workers.Go(func() {
			r := newReader(tx.keys, tx.snap)
			for c := range q.jobs {
				c.run(&r, skip, parse)
			}
		})
	}
	return q
}

func newChunk[T any]() *chunk[T] {
	return &chunk[T]{items: make([]item, 0, chunkLen), done: make(chan struct{})}
}

func (c *chunk[T]) run(r *reader, skip int, parse func(path string, value []byte) (T, error)) {
	defer close(c.done)
	c.values = make([]T, 0, len(c.items))
	for _, it := range c.items {
		value, err := r.read(it.key, it.entry, it.pending)
		if err != nil {
			c.err = err
			return
		}
		v, err := parse(it.key[skip:], value)
		if err != nil {
			c.err = err
			return
		}
		c.values = append(c.values, v)
	}
}

// submit hands the next chunk to the workers.
func (q *queue[T]) submit() {
	q.submitted = append(q.submitted, q.next)
	q.jobs <- q.next
	q.next = newChunk[T]()
}

// take waits for the oldest chunk and adds what it has.
func (q *queue[T]) take(add func(path string, v T) error) error {
	c := q.submitted[0]
	q.submitted = q.submitted[1:]
	<-c.done
	for i, v := range c.values {
		if err := add(c.items[i].key[q.skip:], v); err != nil {
			return err
		}
	}
	return c.err
}

// close lets the workers end what they have begun.
func (q *queue[T]) close() {
	close(q.jobs)
	q.workers.Wait()
}
