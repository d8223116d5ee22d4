package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// faults are the files of a log that fail on purpose. Each call to Write, Datasync, Truncate, Close and open is a step; step
// numbers are counted from arm on.
type faults struct {
	mu    sync.Mutex
	armed bool
	step  int
	from  int // the first step that fails
	count int // how many steps fail
	fault fault
}

// fault is what happens at a step.
type fault struct {
	name  string
	write func(f File, p []byte) (int, error)
	sync  func(f File) error
	other error // from Truncate, Close and open
}

func (f *faults) arm(from, count int, what fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed, f.step, f.from, f.count, f.fault = true, 0, from, count, what
}

// strike counts one step and gives the fault that happens at it; the zero fault is none.
func (f *faults) strike() fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.armed {
		return fault{}
	}
	f.step++
	if f.step >= f.from && f.step < f.from+f.count {
		return f.fault
	}
	return fault{}
}

func (f *faults) open(path string, flag int, perm fs.FileMode) (File, error) {
	if err := f.strike().other; err != nil {
		return nil, err
	}
	real, err := openOSFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return &faultyFile{real, f}, nil
}

type faultyFile struct {
	File
	faults *faults
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if write := f.faults.strike().write; write != nil {
		return write(f.File, p)
	}
	return f.File.Write(p)
}

func (f *faultyFile) Datasync() error {
	if sync := f.faults.strike().sync; sync != nil {
		return sync(f.File)
	}
	return f.File.Datasync()
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.faults.strike().other; err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultyFile) Close() error {
	err := f.File.Close()
	if other := f.faults.strike().other; other != nil {
		return other
	}
	return err
}

func sinkFaults() []fault {
	half := func(cause error) func(f File, p []byte) (int, error) {
		return func(f File, p []byte) (int, error) {
			n, err := f.Write(p[:len(p)/2])
			return n, errors.Join(cause, err)
		}
	}
	none := func(cause error) func(f File, p []byte) (int, error) {
		return func(File, []byte) (int, error) { return 0, cause }
	}
	return []fault{
		{name: "disk full", write: none(unix.ENOSPC), sync: func(File) error { return unix.ENOSPC }, other: unix.ENOSPC},
		{name: "disk full in the middle of a write", write: half(unix.ENOSPC)},
		{name: "I/O error", write: none(unix.EIO), sync: func(File) error { return unix.EIO }, other: unix.EIO},
		{name: "short write without an error", write: half(nil)},
		{name: "written but reported failed", write: func(f File, p []byte) (int, error) {
			n, err := f.Write(p)
			return n, errors.Join(unix.EIO, err)
		}},
		{name: "synced but reported failed", sync: func(f File) error { return errors.Join(unix.EIO, f.Datasync()) }},
		{name: "sync fails", sync: func(File) error { return unix.EIO }},
		{name: "file is closed", write: none(os.ErrClosed), sync: func(File) error { return os.ErrClosed }},
		{name: "broken pipe", write: none(unix.EPIPE)},
		{name: "hang", write: func(f File, p []byte) (int, error) {
			time.Sleep(80 * time.Millisecond)
			return f.Write(p)
		}, sync: func(f File) error {
			time.Sleep(80 * time.Millisecond)
			return f.Datasync()
		}},
	}
}

// TestSinkFaults lets each step fail in each way, for one step or for several in a row. No acknowledged event may be missing, no answer
// may wait beyond its deadline, and the log must be well again within a second.
func TestSinkFaults(t *testing.T) {
	for _, what := range sinkFaults() {
		t.Run(what.name, func(t *testing.T) {
			struck := 0
			for _, count := range []int{1, 7} {
				for from := 1; from <= 9; from++ {
					struck += faultRound(t, what, from, count)
				}
			}
			if struck == 0 {
				t.Error("no step was struck: nothing was tested")
			}
		})
	}
}

func faultRound(t *testing.T, what fault, from, count int) (struck int) {
	t.Helper()
	f := &faults{}
	c := testConfig(filepath.Join(t.TempDir(), "audit"))
	c.SegmentBytes = 6_000 // a new segment every few events
	c.OpenFile = f.open
	var told int
	var mu sync.Mutex
	c.OnBroken = func(err error) {
		mu.Lock()
		defer mu.Unlock()
		told++
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("OnBroken(%v), want ErrUnavailable", err)
		}
	}
	l, err := Create(c)
	if err != nil {
		t.Fatal(err)
	}
	where := fmt.Sprintf("%s at steps %d to %d", what.name, from, from+count-1)
	f.arm(from, count, what)
	acked, failed, late := appendMany(t, where, l, 4, 6)
	f.arm(1, 0, what)
	cleared := time.Now()
	for until := cleared.Add(patience); ; time.Sleep(5 * time.Millisecond) {
		e := decrypt(9)
		if err = l.Append(context.Background(), e); err == nil {
			if took := time.Since(cleared); took > time.Second {
				t.Logf("%s: well again after %v, a second is the goal", where, took)
			}
			acked[e.EventID.String()] = true
			break
		}
		if time.Now().After(until) {
			t.Errorf("%s: not well %v after the fault cleared: %v", where, patience, err)
			break
		}
	}
	head := l.Head()
	if err := l.Close(); err != nil {
		t.Errorf("%s: Close = %v", where, err)
	}
	if failed > 0 && told == 0 {
		t.Errorf("%s: %d appends failed and OnBroken was not called", where, failed)
	}
	got := eventsIn(t, c.Dir)
	for id := range acked {
		if got[id] != 1 {
			t.Errorf("%s: an acknowledged event is there %d times, want once", where, got[id])
		}
	}
	mustVerify(t, c.Dir, head)
	if l, err = Open(c); err != nil {
		t.Errorf("%s: Open = %v", where, err)
		return 0
	}
	if err := l.Close(); err != nil {
		t.Errorf("%s: second Close = %v", where, err)
	}
	if what.name == "hang" {
		return late
	}
	return failed + told
}

// patience is how long a test waits for what takes milliseconds on a machine that has nothing else to do.
const patience = 10 * time.Second

// appendMany appends from several goroutines with a deadline, and gives the events that were acknowledged, and the numbers of those that
// failed and of those that were late.
func appendMany(t *testing.T, where string, l *Log, writers, each int) (acked map[string]bool, failed, late int) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	acked = map[string]bool{} // event ids
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				e := decrypt(w*100 + i)
				ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
				start := time.Now()
				err := l.Append(ctx, e)
				cancel()
				if took := time.Since(start); took > patience {
					t.Errorf("%s: Append took %v with a deadline of 50 ms", where, took)
				}
				mu.Lock()
				switch {
				case err == nil:
					acked[e.EventID.String()] = true
				case errors.Is(err, context.DeadlineExceeded):
					late++
				default:
					failed++
				}
				mu.Unlock()
				if err != nil {
					if !errors.Is(err, ErrUnavailable) {
						t.Errorf("%s: Append = %v, want ErrUnavailable", where, err)
					}
					time.Sleep(2 * time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	return acked, failed, late
}

// powerFile keeps what is written in memory until it is synced, as a machine does. A power cut drops the rest.
type powerFile struct {
	File
	unsynced []byte
	lies     bool // Datasync does nothing
}

func (f *powerFile) Write(p []byte) (int, error) {
	f.unsynced = append(f.unsynced, p...)
	return len(p), nil
}

func (f *powerFile) Datasync() error {
	if f.lies {
		return nil
	}
	if _, err := f.File.Write(f.unsynced); err != nil {
		return err
	}
	f.unsynced = nil
	return f.File.Datasync()
}

// Truncate ends a segment; a file that was synced has nothing else to lose.
func (f *powerFile) Truncate(size int64) error {
	if len(f.unsynced) > 0 {
		return nil
	}
	return f.File.Truncate(size)
}

// TestPowerCut cuts the power while events are written. The log must lose none that it acknowledged; and with a Datasync that does
// nothing it must lose some, or the test could not see a loss.
func TestPowerCut(t *testing.T) {
	for _, lies := range []bool{false, true} {
		t.Run(fmt.Sprintf("datasync lies %v", lies), func(t *testing.T) {
			c := testConfig(filepath.Join(t.TempDir(), "audit"))
			l, err := Create(c)
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
			power := c
			power.SegmentBytes = 20_000
			// The copy of the folder taken while the log runs is what is on the disk: unsynced bytes are in memory.
			power.OpenFile = func(path string, flag int, perm fs.FileMode) (File, error) {
				f, err := openOSFile(path, flag, perm)
				return &powerFile{File: f, lies: lies}, err
			}
			if l, err = Open(power); err != nil {
				t.Fatal(err)
			}
			acked, _, _ := appendMany(t, "power cut", l, 4, 20)
			after := c
			after.Dir = filepath.Join(t.TempDir(), "audit")
			if err := os.CopyFS(after.Dir, os.DirFS(c.Dir)); err != nil {
				t.Fatal(err)
			}
			l.Close()
			if l, err = Open(after); err != nil {
				t.Fatal(err)
			}
			l.Close()
			got := eventsIn(t, after.Dir)
			lost := 0
			for id := range acked {
				if got[id] != 1 {
					lost++
				}
			}
			if lies && lost == 0 || !lies && lost != 0 || len(acked) == 0 {
				t.Errorf("%d of %d acknowledged events lost", lost, len(acked))
			}
			mustVerify(t, after.Dir)
		})
	}
}

// TestTornBatch leaves at the end of the log every prefix of a batch, and every single sector of it unwritten, as a loss of power may.
func TestTornBatch(t *testing.T) {
	c := testConfig(filepath.Join(t.TempDir(), "audit"))
	l, err := Create(c)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, decrypt(1))
	head := l.Head()
	segment := segmentPath(c.Dir, 2)
	for i := range 3 {
		mustAppend(t, l, decrypt(2+i))
	}
	l.Close()
	whole, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	start := len(linesOf(whole)[0]) + len(linesOf(whole)[1])
	check := func(what string, content []byte) {
		d := c
		d.Dir = filepath.Join(t.TempDir(), "audit")
		if err := os.CopyFS(d.Dir, os.DirFS(c.Dir)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(segmentPath(d.Dir, 2), content, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(d)
		if err != nil {
			t.Errorf("%s: Open = %v", what, err)
			return
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		mustVerify(t, d.Dir, head)
		os.RemoveAll(d.Dir)
	}
	for n := start; n < len(whole); n += 61 {
		check(fmt.Sprintf("%d of %d bytes", n, len(whole)), whole[:n])
	}
	for from := start / 512 * 512; from < len(whole); from += 512 {
		content := append([]byte(nil), whole...)
		clear(content[max(from, start):min(from+512, len(content))])
		check(fmt.Sprintf("sector at %d unwritten", from), content)
	}
}

// TestBatchBehindAFailedOneFails: what waits behind a write that fails follows it in the chain, so it must be told at once, with the cause.
func TestBatchBehindAFailedOneFails(t *testing.T) {
	writing, release := make(chan struct{}), make(chan struct{})
	f := &faults{}
	l, _ := createLog(t, func(c *Config) { c.OpenFile = f.open })
	f.arm(1, 1, fault{write: func(File, []byte) (int, error) {
		close(writing)
		<-release
		return 0, unix.EIO
	}})
	answers := make(chan error, 2)
	add := func() { answers <- l.Append(context.Background(), decrypt(1)) }
	go add()
	<-writing
	go add()
	for queued := 0; queued == 0; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		queued = len(l.pending.buf)
		l.mu.Unlock()
	}
	close(release)
	for range 2 {
		select {
		case err := <-answers:
			if !errors.Is(err, ErrUnavailable) || !errors.Is(err, unix.EIO) {
				t.Errorf("Append = %v, want ErrUnavailable and EIO", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("an append behind a failed write waits for ever")
		}
	}
}
