package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/kmsd/kmsd/internal/durable"
)

// Why a log was recovered; the member cause of the event LogRecovered.
const (
	causeTornTail    = "TORN_TAIL"    // what a stop in the middle of a write has left
	causeSinkFailure = "SINK_FAILURE" // a write or sync has failed
)

// How long a broken log waits before it tries again, at first and at most.
const (
	minHealDelay = time.Millisecond
	maxHealDelay = 250 * time.Millisecond
)

// maxSpareBytes is the largest buffer that is kept for the next batch.
const maxSpareBytes = 1 << 20

// writer is the state of the goroutine that writes.
type writer struct {
	file     File
	size     int64
	first    uint64 // sequence number of the segment's first record
	opened   time.Time
	spare    []byte // for the next batch
	failed   bool   // nothing can be written before heal has succeeded
	closeErr error
}

// run writes batches until the log is closed. It is the only one to touch the segment.
func (l *Log) run() {
	defer close(l.stopped)
	var age <-chan time.Time
	if l.config.SegmentAge > 0 {
		t := time.NewTicker(max(l.config.SegmentAge/4, time.Millisecond))
		defer t.Stop()
		age = t.C
	}
	for {
		select {
		case <-l.wake:
		case <-age:
		case <-l.stop:
			l.finish()
			return
		}
		for l.commit() {
		}
		if l.w.failed && !l.heal() {
			return
		}
	}
}

// commit makes the pending batch durable, and reports whether it did; it did not if there was none or the disk failed.
func (l *Log) commit() bool {
	b := l.swap()
	if b == nil {
		return false
	}
	if err := l.write(b); err != nil {
		l.fail(b, err)
		return false
	}
	l.mu.Lock()
	l.synced = b.end
	l.mu.Unlock()
	close(b.done)
	if cap(b.buf) <= maxSpareBytes {
		l.w.spare = b.buf
	}
	return true
}

// swap takes the pending batch, if there is one, and puts an empty one in its place. If the segment ends with the one taken,
// the next begins with the opening of another: it is queued here because no other record may come between.
func (l *Log) swap() *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.pending
	if len(b.buf) == 0 {
		if !l.tooOld(l.queued.head.Seq) {
			return nil
		}
		l.openingLocked(b)
	}
	l.pending = newBatch(l.w.spare)
	l.w.spare = nil
	b.end = mark{l.queued.head, l.queued.generation}
	size := l.w.size
	if b.opens {
		size = 0
	}
	if size+int64(len(b.buf)) >= l.config.SegmentBytes || !b.opens && l.tooOld(b.end.head.Seq) {
		l.openingLocked(l.pending)
	}
	return b
}

// tooOld reports whether the segment, with records up to seq, is due to end because of its age.
func (l *Log) tooOld(seq uint64) bool {
	age := l.config.SegmentAge
	return age > 0 && seq > l.w.first && time.Since(l.w.opened) >= age
}

// openingLocked makes b, which is empty, begin a segment.
func (l *Log) openingLocked(b *batch) {
	l.addOpening(b, l.queued)
	b.opens = true
}

func (l *Log) addOpening(b *batch, c *chain) {
	n := &encoder{node: l.node}
	n.encode(serviceEvent(eventSegmentOpened, c.generation, String("logID", l.id.String())))
	b.first = c.head.Seq + 1
	b.buf = c.append(b.buf, n, 0)
}

// write appends b to the segment, or begins one with it, and returns when it is durable.
func (l *Log) write(b *batch) error {
	if b.opens {
		if err := l.openSegment(b.first); err != nil {
			return fmt.Errorf("beginning a segment: %w", err)
		}
	}
	n, err := l.w.file.Write(b.buf)
	if err == nil && n < len(b.buf) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	l.w.size += int64(n)
	if err := l.w.file.Datasync(); err != nil {
		return fmt.Errorf("syncing: %w", err)
	}
	if b.opens {
		// Without this the whole file could be missing after a loss of power.
		if err := durable.SyncDir(l.config.Dir); err != nil {
			return fmt.Errorf("syncing the folder: %w", err)
		}
	}
	return nil
}

// openSegment ends the segment there is and makes the file of the one that begins with seq.
func (l *Log) openSegment(seq uint64) error {
	l.abandon(true)
	f, err := l.config.OpenFile(segmentPath(l.config.Dir, seq), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	l.w.file, l.w.size, l.w.first, l.w.opened = f, 0, seq, time.Now()
	if p, ok := f.(Preallocator); ok && l.config.Preallocate > 0 {
		// Room reserved is speed and foresight, not a condition: without it each write finds out for itself.
		_ = p.Preallocate(l.config.Preallocate)
	}
	return nil
}

// abandon closes the segment's file, if there is one. All that was acknowledged is durable by then, so what these calls return
// changes nothing; the room reserved and not used is given back if trim says so.
func (l *Log) abandon(trim bool) {
	if l.w.file == nil {
		return
	}
	if trim {
		_ = l.w.file.Truncate(l.w.size)
	}
	_ = l.w.file.Close()
	l.w.file = nil
}

// fail settles all that is queued as failed, because b could not be made durable: every record after b's follows it in the chain. Nothing is
// queued from then on until begin sets the chain anew.
func (l *Log) fail(b *batch, cause error) {
	err := fmt.Errorf("%w: %w", ErrUnavailable, cause)
	l.mu.Lock()
	next := l.pending
	l.pending = newBatch(nil)
	if l.closed {
		l.w.closeErr = err
	} else {
		l.broken = err
	}
	l.mu.Unlock()
	l.w.failed = true
	l.abandon(false)
	l.tell(err)
	for _, failed := range []*batch{b, next} {
		failed.err = err
		close(failed.done)
	}
}

func (l *Log) tell(err error) {
	if l.config.OnBroken != nil {
		l.config.OnBroken(err)
	}
}

// heal puts a broken log in order as soon as the disk allows it. It reports false when the log was closed meanwhile.
func (l *Log) heal() bool {
	var r *recovered
	for delay := minHealDelay; ; delay = min(2*delay, maxHealDelay) {
		select {
		case <-l.stop:
			return false
		case <-time.After(delay):
		}
		if r == nil {
			got, err := recoverDir(l.config.Dir, l.config.OpenFile, &l.synced.head)
			if errors.Is(err, ErrVerification) { // acknowledged records are gone: nothing to go on from
				l.tell(fmt.Errorf("%w: %w", ErrUnavailable, err))
				<-l.stop
				return false
			}
			if err != nil {
				continue
			}
			r = &got
		}
		if l.begin(*r, causeSinkFailure) == nil {
			return true
		}
	}
}

// begin makes a segment after what was recovered, and lets appends in. Only the writer calls it, or Open before there is one.
func (l *Log) begin(r recovered, cause string) error {
	c := newChain(r.head, r.generation)
	b := newBatch(nil)
	b.opens = true
	l.addOpening(b, c)
	if r.cut > 0 || cause == causeSinkFailure {
		n := &encoder{node: l.node}
		n.encode(serviceEvent(eventLogRecovered, 0, Int("bytesCut", r.cut), String("cause", cause)))
		b.buf = c.append(b.buf, n, 0)
	}
	if err := l.write(b); err != nil {
		l.abandon(false)
		// What was written of it is in the way of the next attempt, and holds nothing that was acknowledged. If it cannot be
		// removed, the next attempt fails because the file exists.
		return errors.Join(err, os.Remove(segmentPath(l.config.Dir, b.first)))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w.failed = false
	l.queued = c
	l.synced = mark{c.head, c.generation}
	if !l.closed {
		l.broken = nil
	}
	return nil
}

// finish writes what is left and closes the segment.
func (l *Log) finish() {
	for l.commit() {
	}
	l.abandon(true)
}
