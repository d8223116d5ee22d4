package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// linesOf gives the lines of a segment, line feeds included.
func linesOf(content []byte) [][]byte {
	lines := bytes.SplitAfter(content, []byte("\n"))
	return lines[:len(lines)-1]
}

// sample is a closed log of a few segments, in memory.
type sample struct {
	config   Config
	segments map[string][]byte // :: file name → content
	names    []string
	head     Head
}

func newSample(t testing.TB, events int, segmentBytes int64) *sample {
	t.Helper()
	c := testConfig(filepath.Join(t.TempDir(), "audit"))
	c.SegmentBytes = segmentBytes
	l, err := Create(c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range events {
		mustAppend(t, l, decrypt(i))
	}
	s := &sample{config: c, segments: map[string][]byte{}}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s.head = l.Head()
	seqs, err := listSegments(c.Dir)
	if err != nil || len(seqs) == 0 {
		t.Fatalf("listSegments = %v, %v", seqs, err)
	}
	for _, seq := range seqs {
		content, err := os.ReadFile(segmentPath(c.Dir, seq))
		if err != nil {
			t.Fatal(err)
		}
		s.names = append(s.names, segmentName(seq))
		s.segments[segmentName(seq)] = content
	}
	return s
}

// with gives what Verify says when one segment has another content, and puts the old one back.
func (s *sample) with(t testing.TB, name string, content []byte, known ...Head) error {
	t.Helper()
	path := filepath.Join(s.config.Dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Verify(context.Background(), s.config.Dir, nil, known...)
	if err := os.WriteFile(path, s.segments[name], 0o600); err != nil {
		t.Fatal(err)
	}
	return err
}

func detected(t testing.TB, what string, err error) {
	t.Helper()
	var v *VerifyError
	if !errors.Is(err, ErrVerification) || !errors.As(err, &v) {
		t.Errorf("%s: Verify = %v, want ErrVerification", what, err)
	}
}

// TestEveryFlippedByteIsDetected flips a bit in each byte of a log (in memory: the chain is what is tested).
func TestEveryFlippedByteIsDetected(t *testing.T) {
	s := newSample(t, 200, 1<<20)
	content := s.segments[s.names[1]]
	var before *chain
	at := 0
	for i, line := range linesOf(content) {
		l, err := parseLinks(line[:len(line)-1])
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			before = newChain(Head{l.seq - 1, l.prevHash}, 0)
		}
		for j := range line {
			flipped := bytes.Clone(line)
			flipped[j] ^= 1 << (j % 8)
			if holds(*before, flipped) {
				t.Fatalf("record %d with byte %d flipped still verifies", l.seq, j)
			}
		}
		if reason := before.next(line[:len(line)-1], &l); reason != "" {
			t.Fatalf("record %d: %s", l.seq, reason)
		}
		at += len(line)
	}
	if at < 100_000 {
		t.Errorf("only %d bytes were flipped", at)
	}
}

// holds reports whether every line of b follows c.
func holds(c chain, b []byte) bool {
	lines := linesOf(b)
	if len(lines) == 0 {
		return false // a line feed lost: the next line hangs on to this one, which cannot parse
	}
	for _, line := range lines {
		l, err := parseLinks(line[:len(line)-1])
		if err != nil || c.next(line[:len(line)-1], &l) != "" {
			return false
		}
	}
	return true
}

// TestTamperedLogIsDetected is what an insider with the disk may try. Each row is done to every third record of 200, and to each one
// with KMSD_TEST_FULL set.
func TestTamperedLogIsDetected(t *testing.T) {
	s := newSample(t, 200, 30_000)
	other := newSample(t, 200, 30_000)
	if err := s.with(t, s.names[0], s.segments[s.names[0]], s.head); err != nil {
		t.Fatalf("the untouched log: Verify = %v", err)
	}
	rows := []struct {
		name string
		do   func(lines [][]byte, i int, foreign [][]byte) [][]byte // nil: does not apply
	}{
		{"delete a record", func(ls [][]byte, i int, _ [][]byte) [][]byte { return slices.Delete(ls, i, i+1) }},
		{"double a record", func(ls [][]byte, i int, _ [][]byte) [][]byte { return slices.Insert(ls, i, ls[i]) }},
		{"swap with the next", func(ls [][]byte, i int, _ [][]byte) [][]byte {
			if i+1 == len(ls) {
				return nil
			}
			ls[i], ls[i+1] = ls[i+1], ls[i]
			return ls
		}},
		{"bring in a record of another log", func(ls [][]byte, i int, foreign [][]byte) [][]byte {
			if i >= len(foreign) {
				return nil
			}
			ls[i] = foreign[i]
			return ls
		}},
		{"add a member", func(ls [][]byte, i int, _ [][]byte) [][]byte {
			ls[i] = append([]byte(`{"Note":"x",`), ls[i][1:]...)
			return ls
		}},
		{"add white space", func(ls [][]byte, i int, _ [][]byte) [][]byte {
			ls[i] = append([]byte(`{ `), ls[i][1:]...)
			return ls
		}},
		{"write a character as an escape", func(ls [][]byte, i int, _ [][]byte) [][]byte {
			ls[i] = bytes.Replace(ls[i], []byte(`"eventName":"D`), []byte(`"eventName":"\u0044`), 1)
			return ls
		}},
		{"add an empty line", func(ls [][]byte, i int, _ [][]byte) [][]byte { return slices.Insert(ls, i, []byte("\n")) }},
		{"lose a line feed", func(ls [][]byte, i int, _ [][]byte) [][]byte {
			ls[i] = ls[i][:len(ls[i])-1]
			return ls
		}},
	}
	for _, field := range []string{"actor", "arn", "cryptoOp", "eventID", "eventName", "eventTime", "hash", "id", "mutating", "node", "phase", "prevHash", "readOnly", "schema", "schemaVersion", "seq", "status", "userName", "version"} {
		rows = append(rows, struct {
			name string
			do   func(lines [][]byte, i int, foreign [][]byte) [][]byte
		}{"alter " + field, func(ls [][]byte, i int, _ [][]byte) [][]byte {
			return alterMember(ls, i, field)
		}})
	}
	full := os.Getenv("KMSD_TEST_FULL") != ""
	tried := map[string]int{} // :: row → records
	for n, name := range s.names {
		count := len(linesOf(s.segments[name]))
		for i := range count {
			for r, row := range rows {
				if (i+r)%3 != 0 && !full {
					continue
				}
				lines := slices.Clone(linesOf(s.segments[name]))
				var foreign [][]byte
				if n < len(other.names) {
					foreign = linesOf(other.segments[other.names[n]])
				}
				changed := row.do(lines, i, foreign)
				content := bytes.Join(changed, nil)
				if changed == nil || bytes.Equal(content, s.segments[name]) {
					continue
				}
				tried[row.name]++
				err := s.with(t, name, content, s.head)
				detected(t, fmt.Sprintf("%s, %s record %d", row.name, name, i), err)
			}
		}
	}
	for _, row := range rows {
		if tried[row.name] < 50 {
			t.Errorf("%s was tried on %d records only", row.name, tried[row.name])
		}
	}
}

// alterMember changes a character in the value of a member of line i.
func alterMember(ls [][]byte, i int, field string) [][]byte {
	line := bytes.Clone(ls[i])
	at := bytes.Index(line, []byte(`"`+field+`":`))
	if at < 0 {
		return nil
	}
	at += len(field) + 3
	for j := at; j < len(line); j++ {
		switch c := line[j]; {
		case c >= 'a' && c < 'z', c >= 'A' && c < 'Z', c >= '0' && c < '9':
			line[j]++
			ls[i] = line
			return ls
		case c == 'z', c == 'Z', c == '9':
			line[j]--
			ls[i] = line
			return ls
		}
	}
	return nil
}

func TestMissingAndMovedSegmentsAreDetected(t *testing.T) {
	s := newSample(t, 60, 10_000)
	if len(s.names) < 4 {
		t.Fatalf("%d segments, want at least 4", len(s.names))
	}
	in := func(i int) string { return filepath.Join(s.config.Dir, s.names[i]) }
	verify := func() error {
		_, err := Verify(context.Background(), s.config.Dir, nil, s.head)
		return err
	}
	for i := range s.names {
		hidden := in(i) + ".bak"
		if err := os.Rename(in(i), hidden); err != nil {
			t.Fatal(err)
		}
		detected(t, "segment removed", verify())
		moved := filepath.Join(s.config.Dir, segmentName(100_000))
		if err := os.Rename(hidden, moved); err != nil {
			t.Fatal(err)
		}
		detected(t, "segment renamed", verify())
		if err := os.Rename(moved, in(i)); err != nil {
			t.Fatal(err)
		}
	}
	stray := filepath.Join(s.config.Dir, "audit-1.jsonl")
	if err := os.WriteFile(stray, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	detected(t, "a segment with a name that is none", verify())
	if err := os.Remove(stray); err != nil {
		t.Fatal(err)
	}
	for i, name := range s.names[:len(s.names)-1] {
		detected(t, "segment emptied", s.with(t, name, nil, s.head))
		next := s.segments[s.names[i+1]]
		detected(t, "segment replaced by the next", s.with(t, name, next, s.head))
	}
	if err := verify(); err != nil {
		t.Errorf("put back: Verify = %v", err)
	}
}

// TestCutTail shows what Verify cannot know by itself, and that it does know with a head kept elsewhere.
func TestCutTail(t *testing.T) {
	s := newSample(t, 20, 1<<20)
	name := s.names[len(s.names)-1]
	lines := linesOf(s.segments[name])
	for keep := 1; keep < len(lines); keep++ {
		content := bytes.Join(lines[:keep], nil)
		if err := s.with(t, name, content); err != nil {
			t.Errorf("%d records kept, no head known: Verify = %v, want nil", keep, err)
		}
		detected(t, "tail cut, head known", s.with(t, name, content, s.head))
	}
	wrong := s.head
	wrong.Hash[0] ^= 1
	detected(t, "another hash known", s.with(t, name, s.segments[name], wrong))
	if err := s.with(t, name, s.segments[name], s.head, Head{}); err != nil {
		t.Errorf("Verify with the head of no record = %v, want nil", err)
	}
}

func TestTornTailIsNotTampering(t *testing.T) {
	s := newSample(t, 3, 1<<20)
	name := s.names[len(s.names)-1]
	path := filepath.Join(s.config.Dir, name)
	if err := os.WriteFile(path, append(s.segments[name], `{"actor":{"arn`...), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := mustVerify(t, s.config.Dir, s.head); r.TornTail != 14 {
		t.Errorf("TornTail = %d, want 14", r.TornTail)
	}
	if got := len(eventsIn(t, s.config.Dir)); got != 3 {
		t.Errorf("Scan gives %d events beside a torn tail, want 3", got)
	}
	l, err := Open(s.config)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if r := mustVerify(t, s.config.Dir, s.head); r.TornTail != 0 {
		t.Errorf("TornTail = %d after Open, want 0", r.TornTail)
	}
	if names := namesIn(t, s.config.Dir); names[len(names)-1] != eventLogRecovered {
		t.Errorf("last event = %s, want %s", names[len(names)-1], eventLogRecovered)
	}
	aside, err := filepath.Glob(filepath.Join(s.config.Dir, "cut-*"))
	if err != nil || len(aside) != 1 {
		t.Fatalf("kept aside: %v, %v, want one file", aside, err)
	}
	if b, err := os.ReadFile(aside[0]); err != nil || string(b) != `{"actor":{"arn` {
		t.Errorf("kept aside: %q, %v, want what was cut", b, err)
	}
}

func TestOpenRefusesWhatWasAltered(t *testing.T) {
	s := newSample(t, 20, 1<<20)
	name := s.names[len(s.names)-1]
	for i := range linesOf(s.segments[name]) {
		lines := slices.Clone(linesOf(s.segments[name]))
		if alterMember(lines, i, "eventID") == nil {
			t.Fatal("no eventID to alter")
		}
		altered := bytes.Join(lines, nil)
		path := filepath.Join(s.config.Dir, name)
		if err := os.WriteFile(path, altered, 0o600); err != nil {
			t.Fatal(err)
		}
		if l, err := Open(s.config); !errors.Is(err, ErrVerification) {
			t.Errorf("Open with record %d altered = %v, want ErrVerification", i, err)
			if err == nil {
				l.Close()
			}
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, altered) {
			t.Errorf("Open has changed what it refused")
		}
	}
}

func TestVerifyReportsProgress(t *testing.T) {
	s := newSample(t, 10, 1<<20)
	var done, total int64
	r, err := Verify(context.Background(), s.config.Dir, func(d, all int64) { done, total = d, all })
	if err != nil || done != r.Bytes || total != done {
		t.Errorf("progress ends at %d of %d, want %d; %v", done, total, r.Bytes, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Verify(ctx, s.config.Dir, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify with a cancelled context = %v, want context.Canceled", err)
	}
}
