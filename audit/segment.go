package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	segmentPrefix = "audit-"
	segmentSuffix = ".jsonl"
	seqDigits     = 20
	lockName      = "lock"
)

// segmentName gives the file name of the segment whose first record is seq.
func segmentName(seq uint64) string {
	return fmt.Sprintf("%s%0*d%s", segmentPrefix, seqDigits, seq, segmentSuffix)
}

// parseSegmentName reads what segmentName writes.
func parseSegmentName(name string) (seq uint64, ok bool) {
	digits, ok1 := strings.CutPrefix(name, segmentPrefix)
	digits, ok2 := strings.CutSuffix(digits, segmentSuffix)
	seq, err := strconv.ParseUint(digits, 10, 64)
	return seq, ok1 && ok2 && err == nil && seq > 0 && name == segmentName(seq)
}

// listSegments gives the first sequence numbers of the segments in dir, ascending. A file that looks like a segment but
// has no segment's name is an error, so that a renamed one cannot be overlooked; other files are none of our business.
func listSegments(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir) // sorted by name, so by number
	if err != nil {
		return nil, err
	}
	var seqs []uint64
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || !strings.HasSuffix(e.Name(), segmentSuffix) {
			continue
		}
		seq, ok := parseSegmentName(e.Name())
		if !ok || !e.Type().IsRegular() {
			return nil, &VerifyError{Segment: e.Name(), Reason: "not the name of a segment"}
		}
		seqs = append(seqs, seq)
	}
	return seqs, nil
}

func segmentPath(dir string, seq uint64) string { return filepath.Join(dir, segmentName(seq)) }

// lineReader gives the lines of a segment and knows where each begins. Memory is bounded by the longest record.
type lineReader struct {
	r      *bufio.Reader
	offset int64 // of the line that next gives
	line   int   // its number, from 1, once it was given
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 4*MaxRecordBytes)}
}

// next gives the next line without its line feed, and whether it had one. The slice holds until the next call. At the
// end of the file it gives io.EOF; of a line longer than a record it gives the beginning, and errLength.
func (l *lineReader) next() (line []byte, whole bool, err error) {
	line, err = l.r.ReadSlice('\n')
	switch {
	case err == nil:
		l.line++
		return line[:len(line)-1], true, nil
	case errors.Is(err, bufio.ErrBufferFull):
		l.line++
		return line, false, errLength
	case errors.Is(err, io.EOF) && len(line) > 0:
		l.line++
		return line, false, nil
	}
	return nil, false, err
}

// took moves the offset behind the line that next gave last.
func (l *lineReader) took(line []byte) { l.offset += int64(len(line)) + 1 }
