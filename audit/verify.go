package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrVerification means that what is on the disk is not the log as it was written. The error is a [*VerifyError].
var ErrVerification = errors.New("audit log does not verify")

// VerifyError says where a log does not verify.
type VerifyError struct {
	Segment string // file name; "" if it is about the log as a whole
	Line    int    // from 1; 0 if it is about the segment as a whole
	Offset  int64  // of the line, in bytes
	Seq     uint64 // of the record that should be there
	Reason  string // fixed words, nothing of the record's content
}

func (e *VerifyError) Error() string {
	return fmt.Sprintf("%v: %s line %d (offset %d, record %d): %s", ErrVerification, e.Segment, e.Line, e.Offset, e.Seq, e.Reason)
}

// Is makes every VerifyError match ErrVerification.
func (e *VerifyError) Is(target error) bool { return target == ErrVerification }

// Report says what Verify has read.
type Report struct {
	LogID    ID
	Segments int
	Records  uint64
	Bytes    int64 // of whole records
	Last     Head  // the last record; keep it elsewhere
	// TornTail is the length of an unfinished line at the end: a write going on, or one that a crash has
	// interrupted and the next Open will cut off. It is no sign of tampering, and was never acknowledged.
	TornTail int64
}

// progressStep is how many bytes lie between two reports of progress.
const progressStep = 1 << 20

// Verify reads the whole log in dir and checks each record: that it is in canonical form, that sequence numbers have no gap, that the hashes
// chain through all segments from the log's creation on, and that segments begin as they should and bear their names.
// The log may be in use. Memory is bounded.
//
// A tail cut off at the end of a record shows only against a Head that was kept elsewhere: each of known must be in the log.
//
// progress may be nil; otherwise it is called from time to time with the bytes read and their total.
//
// The error matches ErrVerification and is a *VerifyError if the log does not verify, and ErrNoLog if there is none; the report then
// covers what came before.
func Verify(ctx context.Context, dir string, progress func(done, total int64), known ...Head) (Report, error) {
	v := verification{chain: newChain(Head{}, 0), known: make(map[uint64]Head, len(known)), progress: progress}
	for _, h := range known {
		if other, ok := v.known[h.Seq]; ok && other != h {
			return Report{}, fmt.Errorf("verifying the audit log: two different hashes for record %d are said to be known", h.Seq)
		}
		v.known[h.Seq] = h
	}
	if err := v.run(ctx, dir); err != nil {
		return v.report, fmt.Errorf("verifying the audit log: %w", err)
	}
	return v.report, nil
}

type verification struct {
	chain    *chain
	known    map[uint64]Head // :: seq → head; without those already seen
	progress func(done, total int64)
	report   Report
	done     int64
	told     int64
	total    int64
}

func (v *verification) run(ctx context.Context, dir string) error {
	seqs, err := listSegments(dir)
	if err != nil {
		return err
	}
	if len(seqs) == 0 {
		return ErrNoLog
	}
	for _, seq := range seqs {
		st, err := os.Stat(segmentPath(dir, seq))
		if err != nil {
			return err
		}
		v.total += st.Size()
	}
	for i, seq := range seqs {
		if err := v.segment(ctx, dir, seq, i == len(seqs)-1); err != nil {
			return err
		}
	}
	v.tell(true)
	if v.report.Records == 0 {
		return &VerifyError{Segment: segmentName(seqs[0]), Seq: 1, Reason: "the log has no record, not even its first"}
	}
	delete(v.known, 0) // a Head of no record says nothing
	for seq := range v.known {
		return &VerifyError{Segment: segmentName(seqs[len(seqs)-1]), Seq: seq, Reason: "a record known to have been written is not there"}
	}
	return nil
}

func (v *verification) segment(ctx context.Context, dir string, seq uint64, last bool) (err error) {
	f, err := os.Open(segmentPath(dir, seq))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	v.report.Segments++
	lines := newLineReader(f)
	bad := func(reason string) error {
		return &VerifyError{segmentName(seq), lines.line, lines.offset, v.chain.head.Seq + 1, reason}
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, whole, err := lines.next()
		switch {
		case errors.Is(err, io.EOF) && lines.line == 0 && !last:
			return bad("an empty segment that is not the last")
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errLength):
			return bad(errLength.Error())
		case err != nil:
			return err
		case !whole && last:
			v.report.TornTail = int64(len(line))
			return nil
		case !whole:
			return bad("no line feed")
		}
		if reason := v.record(line, seq, lines.line == 1); reason != "" {
			return bad(reason)
		}
		lines.took(line)
		v.done += int64(len(line)) + 1
		v.report.Records++
		v.report.Bytes = v.done
		v.report.Last = v.chain.head
		v.tell(false)
	}
}

// record checks one record and moves on; the reason is "" if it holds.
func (v *verification) record(line []byte, segment uint64, opening bool) (reason string) {
	l, err := parseLinks(line)
	if err != nil {
		return err.Error()
	}
	if opening {
		if l.seq != segment {
			return "the segment's name is not its first record's number"
		}
		if reason := checkOpening(segment, l.eventName); reason != "" {
			return reason
		}
		if segment == 1 {
			v.report.LogID = recordedLogID(line, l.eventName)
			v.chain.reset(genesis(v.report.LogID), 0)
		}
	}
	if reason := v.chain.next(line, &l); reason != "" {
		return reason
	}
	if h, ok := v.known[l.seq]; ok {
		if h.Hash != l.hash {
			return "not the record that is known to have been written"
		}
		delete(v.known, l.seq)
	}
	return ""
}

func (v *verification) tell(end bool) {
	if v.progress == nil || !end && v.done-v.told < progressStep {
		return
	}
	v.told = v.done
	v.progress(v.done, max(v.total, v.done))
}
