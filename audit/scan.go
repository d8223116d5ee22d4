package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// pollInterval is how often Follow looks for more.
const pollInterval = 100 * time.Millisecond

// Scan calls fn for each record of the log in dir that f chooses, oldest first, and stops at fn's first error, which it returns. The log may be
// in use; records written meanwhile may be left out. Memory is bounded. The record and its Raw are the
// callback's only until it returns.
//
// Scan refuses what is not a record with an error that matches ErrVerification, but it does not check the chain. An unfinished line at the end of the log is passed over. The error matches ErrNoLog if there is no log.
func Scan(ctx context.Context, dir string, f Filter, fn func(*Record) error) error {
	seqs, err := listSegments(dir)
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	if len(seqs) == 0 {
		return fmt.Errorf("reading the audit log: %w", ErrNoLog)
	}
	for _, seq := range seqs {
		s, err := openSegmentReader(dir, seq)
		if err != nil {
			return err
		}
		err = s.read(ctx, &f, fn)
		if err := errors.Join(err, s.file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Follow calls fn for the last matching records that there are, at most last of them, and then for each one that is written, until
// ctx ends, which is not an error, or fn returns an error, which it returns. It holds last records in memory.
//
// Records show as they are written, a moment before they are durable: one whose write then fails may be seen here and not be in the log.
func Follow(ctx context.Context, dir string, last int, f Filter, fn func(*Record) error) error {
	s, before, err := seekLast(ctx, dir, last, &f)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer func() { s.file.Close() }() // only read
	for _, r := range before {
		if err := fn(r); err != nil {
			return err
		}
	}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		next, err := s.successor(dir)
		if err != nil {
			return err
		}
		// What is read after a successor was seen is all that this segment will ever hold.
		err = s.read(ctx, &f, fn)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if next != 0 {
			n, err := openSegmentReader(dir, next)
			if err == nil {
				s.file.Close() // only read
				s = n
				continue
			}
			if !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// seekLast gives the last matching records, oldest first, and a reader of the last segment that stands behind them.
func seekLast(ctx context.Context, dir string, last int, f *Filter) (*segmentReader, []*Record, error) {
	seqs, err := listSegments(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the audit log: %w", err)
	}
	if len(seqs) == 0 {
		return nil, nil, fmt.Errorf("reading the audit log: %w", ErrNoLog)
	}
	var end *segmentReader
	var found []*Record
	for i := len(seqs) - 1; i >= 0 && (end == nil || len(found) < last); i-- {
		s, err := openSegmentReader(dir, seqs[i])
		if err != nil {
			return nil, nil, err
		}
		var here []*Record
		err = s.read(ctx, f, func(r *Record) error {
			if last <= 0 {
				return nil
			}
			if room := last - len(found); len(here) >= room {
				here = slices.Delete(here, 0, len(here)-room+1)
			}
			kept := *r
			kept.Raw = slices.Clone(r.Raw)
			here = append(here, &kept)
			return nil
		})
		found = append(here, found...)
		if end == nil && err == nil {
			end = s
			continue
		}
		if err := errors.Join(err, s.file.Close()); err != nil {
			if end != nil {
				err = errors.Join(err, end.file.Close())
			}
			return nil, nil, err
		}
	}
	return end, found, nil
}

// segmentReader reads the records of one segment, as far as they are written.
type segmentReader struct {
	file   *os.File
	seq    uint64
	offset int64 // of the next record
	line   int   // records read
}

func openSegmentReader(dir string, seq uint64) (*segmentReader, error) {
	f, err := os.Open(segmentPath(dir, seq))
	if err != nil {
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	return &segmentReader{file: f, seq: seq}, nil
}

// read calls fn for each whole record from the reader's place to the end of what is written now.
func (s *segmentReader) read(ctx context.Context, f *Filter, fn func(*Record) error) error {
	st, err := s.file.Stat()
	if err != nil || st.Size() <= s.offset {
		return err
	}
	lines := newLineReader(io.NewSectionReader(s.file, s.offset, st.Size()-s.offset))
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, whole, err := lines.next()
		if errors.Is(err, io.EOF) || err == nil && !whole {
			return nil
		}
		if err != nil && !errors.Is(err, errLength) {
			return fmt.Errorf("reading the audit log: %w", err)
		}
		var r *Record
		if err == nil {
			r, err = ParseRecord(line)
		}
		if err != nil {
			return &VerifyError{Segment: segmentName(s.seq), Line: s.line + 1, Offset: s.offset, Reason: err.Error()}
		}
		s.line++
		s.offset += int64(len(line)) + 1
		if !f.Matches(r) {
			continue
		}
		if err := fn(r); err != nil {
			return err
		}
	}
}

// successor gives the segment to read after this one, or 0. That is the next one, or this one if another file has its name: a log that
// recovers from a failed write removes a segment that holds nothing acknowledged, and begins it anew.
func (s *segmentReader) successor(dir string) (uint64, error) {
	seqs, err := listSegments(dir)
	if err != nil {
		return 0, fmt.Errorf("reading the audit log: %w", err)
	}
	for _, seq := range seqs {
		if seq < s.seq {
			continue
		}
		if seq > s.seq {
			return seq, nil
		}
		mine, err := s.file.Stat()
		if err != nil {
			return 0, err
		}
		there, err := os.Stat(segmentPath(dir, seq))
		if err == nil && !os.SameFile(mine, there) {
			return seq, nil
		}
	}
	return 0, nil
}
