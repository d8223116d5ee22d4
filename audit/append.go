package audit

import (
	"context"
	"fmt"
)

// Append writes e. When it returns nil the record is durable, as are all before it; when it returns an error,
// which matches ErrUnavailable, what the record is about must not be told to anyone.
//
// The end of ctx ends the wait, not the write: the record may then become durable later, or not, and a caller whose request was
// cancelled passes a context of its own to have the event recorded all the same. Only while 4 MiB of records wait for the disk is an event not queued before ctx
// is asked. An event without an EventID is given one. When Append returns, the caller may change and reuse e, also
// after an error: the log keeps nothing of it.
func (l *Log) Append(ctx context.Context, e *Event) error {
	one := [1]entry{l.encode(e)}
	return l.add(ctx, one[:])
}

// AppendAll writes events in their order, as Append writes one, and waits for the disk once for every 4 MiB of records. When it
// returns nil all records are durable; when it returns an error, some of the first may be and the others are not known to be: nothing of
// what any of them is about must be told to anyone. Records of others may come between. Without events it does nothing.
func (l *Log) AppendAll(ctx context.Context, events []*Event) error {
	for len(events) > 0 {
		entries := make([]entry, 0, len(events))
		for size := 0; len(events) > 0 && size < maxBatchBytes; events = events[1:] {
			entries = append(entries, l.encode(events[0]))
			size += len(entries[len(entries)-1].encoder.buf) + chainBytes
		}
		if err := l.add(ctx, entries); err != nil {
			return err
		}
	}
	return nil
}

// entry is an event that is encoded and not yet queued.
type entry struct {
	encoder    *encoder
	generation uint64
}

func (l *Log) encode(e *Event) entry {
	if e.EventID == (ID{}) {
		e.EventID = NewID()
	}
	n := l.encoders.Get().(*encoder)
	n.encode(e)
	return entry{n, e.StateGeneration.After}
}

// add queues entries, one after the other, and waits until they are durable.
func (l *Log) add(ctx context.Context, entries []entry) error {
	for len(entries) > 0 {
		b, n, err := l.enqueue(entries)
		for _, done := range entries[:n] {
			if cap(done.encoder.buf) <= 2*MaxRecordBytes {
				l.encoders.Put(done.encoder)
			}
		}
		if err != nil {
			return err
		}
		// If there are entries left the batch is full: room for them is when it is durable.
		if err := b.wait(ctx); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// wait waits until b is durable or has failed, or until ctx ends.
func (b *batch) wait(ctx context.Context) error {
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
	}
	select {
	case <-b.done: // at the same moment
		return b.err
	default:
		return fmt.Errorf("%w: waiting for the disk: %w", ErrUnavailable, context.Cause(ctx))
	}
}

// enqueue adds to the pending batch as many of the entries as it has room for, and says how many: none if it is full.
func (l *Log) enqueue(entries []entry) (b *batch, n int, err error) {
	l.mu.Lock()
	if l.broken != nil {
		defer l.mu.Unlock()
		return nil, 0, l.broken
	}
	b = l.pending
	wasEmpty := len(b.buf) == 0
	for n < len(entries) && len(b.buf) < maxBatchBytes {
		l.addLocked(b, entries[n].encoder, entries[n].generation)
		n++
	}
	l.mu.Unlock()
	if wasEmpty {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	return b, n, nil
}

func (l *Log) addLocked(b *batch, n *encoder, generation uint64) {
	if len(b.buf) == 0 {
		b.first = l.queued.head.Seq + 1
	}
	b.buf = l.queued.append(b.buf, n, generation)
}
