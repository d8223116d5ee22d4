package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/kmsd/kmsd/internal/durable"
	"golang.org/x/sys/unix"
)

// recovered is what is left of a log after the end of its last segment was put in order.
type recovered struct {
	logID      ID
	head       Head
	generation uint64
	cut        int64 // bytes that were cut off
}

// recoverDir puts the end of the log in dir in order, makes it durable, and reads it back from the disk. It is what
// Open does, and what a running log does after its disk has failed it.
//
// With durable nil, every whole record of the last segment is kept: one that was never acknowledged does no harm. Otherwise
// exactly the records up to durable are kept.
func recoverDir(dir string, open OpenFileFunc, durableHead *Head) (recovered, error) {
	var cut int64
	for {
		seqs, err := listSegments(dir)
		if err != nil {
			return recovered{}, err
		}
		if len(seqs) == 0 {
			return recovered{}, ErrNoLog
		}
		last := seqs[len(seqs)-1]
		if durableHead != nil && last > durableHead.Seq {
			n, err := removeSegment(dir, last)
			if err != nil {
				return recovered{}, err
			}
			cut += n
			continue
		}
		end, err := readEnd(dir, last, durableHead)
		if err != nil {
			return recovered{}, err
		}
		if end.records == 0 && len(seqs) > 1 {
			n, err := removeSegment(dir, last) // it was being opened: its first record was never acknowledged
			if err != nil {
				return recovered{}, err
			}
			cut += n
			continue
		}
		if end.records == 0 {
			return recovered{}, ErrNoLog
		}
		cut += end.size - end.keep
		if durableHead == nil && end.keep < end.size {
			if err := keepAside(dir, last, end.keep, end.size); err != nil {
				return recovered{}, err
			}
		}
		r, err := settle(dir, last, end, open, durableHead)
		r.cut = cut
		return r, err
	}
}

// keepAside copies what a start is about to cut off a segment into a file of its own, durably: the rule by which it is cut can be
// met by somebody who writes zeros over records, and then this is the evidence.
func keepAside(dir string, seq uint64, from, to int64) (err error) {
	f, err := os.Open(segmentPath(dir, seq))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	rest, err := io.ReadAll(io.NewSectionReader(f, from, to-from)) // bounded by neverAcknowledged
	if err != nil {
		return err
	}
	name := fmt.Sprintf("cut-%0*d-at-%d", seqDigits, seq, from)
	return durable.WriteFile(filepath.Join(dir, name), rest, 0o600)
}

// removeSegment removes a segment that holds no acknowledged record, durably, and gives its size.
func removeSegment(dir string, seq uint64) (int64, error) {
	path := segmentPath(dir, seq)
	st, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	if err := os.Remove(path); err != nil {
		return 0, err
	}
	return st.Size(), durable.SyncDir(dir)
}

// settle cuts the segment to what is to be kept, makes that durable, and reads it once more: not what the kernel
// remembers to have written, but what the disk gives back.
func settle(dir string, seq uint64, end segmentEnd, open OpenFileFunc, durableHead *Head) (r recovered, err error) {
	f, err := open(segmentPath(dir, seq), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return recovered{}, err
	}
	if err := f.Truncate(end.keep); err != nil {
		return recovered{}, errors.Join(err, f.Close())
	}
	if err := f.Datasync(); err != nil {
		return recovered{}, errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return recovered{}, err
	}
	again := end
	if durableHead != nil || end.keep != end.size {
		if again, err = readEnd(dir, seq, durableHead); err != nil {
			return recovered{}, err
		}
	}
	if again.chain.head != end.chain.head || again.keep != end.keep || again.size != end.keep {
		return recovered{}, &VerifyError{Segment: segmentName(seq), Reason: "the disk does not give back what was kept"}
	}
	return recovered{logID: end.logID, head: end.chain.head, generation: end.chain.generation}, nil
}

// segmentEnd is what reading the last segment has found.
type segmentEnd struct {
	logID      ID
	chain      *chain
	records    int
	keep, size int64 // the records that hold; all there is
}

// readEnd reads a segment and verifies its chain from its first record on. A record that does not hold is an error, unless it and
// what follows can only be the remains of a write that was never acknowledged. With durableHead it stops after that record.
func readEnd(dir string, seq uint64, durableHead *Head) (end segmentEnd, err error) {
	f, err := os.Open(segmentPath(dir, seq))
	if err != nil {
		return segmentEnd{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return segmentEnd{}, err
	}
	// Advice: a file system that does not take it reads from memory, as it would have done anyway.
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)

	end.size = st.Size()
	end.chain = newChain(Head{}, 0)
	lines := newLineReader(f)
	for {
		if durableHead != nil && end.chain.head.Seq == durableHead.Seq {
			break
		}
		line, whole, err := lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		reason := ""
		var l links
		switch {
		case errors.Is(err, errLength):
			reason = errLength.Error()
		case err != nil:
			return segmentEnd{}, err
		case !whole:
			reason = "no line feed"
		default:
			l, reason = end.take(seq, line)
		}
		if reason != "" {
			remains, err := neverAcknowledged(f, lines.offset, end.size)
			if err != nil {
				return segmentEnd{}, err
			}
			if durableHead == nil && remains {
				break
			}
			return segmentEnd{}, &VerifyError{
				Segment: segmentName(seq), Line: lines.line, Offset: lines.offset, Seq: end.chain.head.Seq + 1, Reason: reason,
			}
		}
		if end.records == 1 {
			end.logID = recordedLogID(line, l.eventName)
		}
		lines.took(line)
		end.keep = lines.offset
	}
	if durableHead != nil && end.chain.head != *durableHead {
		return segmentEnd{}, &VerifyError{
			Segment: segmentName(seq), Line: lines.line, Offset: lines.offset, Seq: durableHead.Seq, Reason: "an acknowledged record is not there",
		}
	}
	return end, nil
}

// take checks one more line against the chain. The first one sets where the chain begins.
func (end *segmentEnd) take(seq uint64, line []byte) (links, string) {
	l, err := parseLinks(line)
	if err != nil {
		return links{}, err.Error()
	}
	if end.records == 0 {
		if reason := checkOpening(seq, l.eventName); reason != "" {
			return links{}, reason
		}
		end.chain.reset(Head{seq - 1, l.prevHash}, 0)
	}
	if reason := end.chain.next(line, &l); reason != "" {
		return links{}, reason
	}
	end.records++
	return l, ""
}

// neverAcknowledged reports whether what a segment holds from offset on, where the first record that does not hold begins, looks like
// what is left of a batch whose sync never returned: it is no longer than a batch, and its first line has no line feed, or a hole in
// it. A hole is a stretch of zeros up to the end of a sector, which is how a sector reads that was never written; no record has a zero.
func neverAcknowledged(f io.ReaderAt, offset, size int64) (bool, error) {
	if size-offset > maxBatchBytes+2*MaxRecordBytes {
		return false, nil
	}
	rest := make([]byte, size-offset)
	if _, err := f.ReadAt(rest, offset); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	feed := bytes.IndexByte(rest, '\n')
	if feed < 0 {
		return true, nil
	}
	zero := bytes.IndexByte(rest[:feed], 0)
	if zero < 0 {
		return false, nil
	}
	const sector = 512
	at := offset + int64(zero)
	end := min((at/sector+1)*sector, size) - offset
	return len(bytes.Trim(rest[zero:end], "\x00")) == 0, nil
}

// recordedLogID gives the log's id from the first record of a segment, or the zero ID.
func recordedLogID(line, eventName []byte) ID {
	var record struct {
		Request struct {
			LogID string `json:"logID"`
		} `json:"request"`
	}
	if err := json.Unmarshal(line, &record); err != nil {
		panic(fmt.Sprintf("audit: internal error: a canonical record of %s does not parse", eventName))
	}
	id, err := ParseID(record.Request.LogID)
	if err != nil {
		return ID{}
	}
	return id
}

// checkOpening checks what kind of record a segment begins with; the reason is "" if it is right.
func checkOpening(seq uint64, eventName []byte) string {
	want := eventSegmentOpened
	if seq == 1 {
		want = eventLogCreated
	}
	if string(eventName) != `"`+want+`"` {
		return "a segment does not begin with " + want
	}
	return ""
}
