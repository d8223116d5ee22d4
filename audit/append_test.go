package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// many are events of about so many bytes each.
func many(n, bytes int) (all []*Event) {
	for i := range n {
		e := decrypt(i)
		e.Request = append(e.Request, String("large", strings.Repeat("x", bytes)))
		all = append(all, e)
	}
	return all
}

func idsOf(events []*Event) (ids []string) {
	for _, e := range events {
		ids = append(ids, e.EventID.String())
	}
	return ids
}

// callsIn gives the ids of the events of calls, in the log's order.
func callsIn(t *testing.T, dir string) (ids []string) {
	t.Helper()
	if err := Scan(context.Background(), dir, Filter{}, func(r *Record) error {
		if r.EventType == TypeAPICall {
			ids = append(ids, r.EventID)
		}
		return nil
	}); err != nil {
		t.Errorf("Scan = %v", err)
	}
	return ids
}

func TestAppendAllKeepsOrderAndSyncsOnce(t *testing.T) {
	f := &faults{}
	l, c := createLog(t, func(c *Config) { c.OpenFile = f.open })
	if err := l.AppendAll(context.Background(), nil); err != nil {
		t.Errorf("AppendAll of nothing = %v", err)
	}
	for _, row := range []struct{ events, bytes, syncs int }{{1, 0, 1}, {1024, 0, 1}, {500, 20_000, 3}} {
		before := callsIn(t, c.Dir)
		events := many(row.events, row.bytes)
		events[0].EventID = ID{}
		f.arm(1, 0, fault{})
		if err := l.AppendAll(context.Background(), events); err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		if f.step != 2*row.syncs { // each is a write and a sync
			t.Errorf("%d events of %d bytes took %d steps, want %d", row.events, row.bytes, f.step, 2*row.syncs)
		}
		f.mu.Unlock()
		if got, want := callsIn(t, c.Dir)[len(before):], idsOf(events); !slices.Equal(got, want) {
			t.Errorf("%d events of %d bytes: %d are in the log, or in another order", row.events, row.bytes, len(got))
		}
	}
}

// Callers who append many at once, more than one batch holds, while the disk is slow: each one's events are all there, in their order.
func TestAppendAllOfSeveral(t *testing.T) {
	l, c := createLog(t, func(c *Config) {
		c.OpenFile = func(path string, flag int, perm fs.FileMode) (File, error) {
			f, err := openOSFile(path, flag, perm)
			return slowFile{f}, err
		}
	})
	var wg sync.WaitGroup
	callers := make([][]*Event, 6)
	for i := range callers {
		callers[i] = many(120, 20_000)
		wg.Go(func() {
			if err := l.AppendAll(context.Background(), callers[i]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := callsIn(t, c.Dir)
	for i, events := range callers {
		want := idsOf(events)
		mine := slices.DeleteFunc(slices.Clone(got), func(id string) bool { return !slices.Contains(want, id) })
		if !slices.Equal(mine, want) {
			t.Errorf("caller %d: %d of %d events are in the log, or in another order", i, len(mine), len(want))
		}
	}
}

// slowFile takes its time to write.
type slowFile struct{ File }

func (f slowFile) Write(p []byte) (int, error) {
	time.Sleep(20 * time.Millisecond)
	return f.File.Write(p)
}

// A disk that fails at any step: what AppendAll said is durable is, all of it.
func TestAppendAllOnFaults(t *testing.T) {
	struck := 0
	for _, what := range sinkFaults() {
		for from := 1; from <= 4; from++ {
			where := fmt.Sprintf("%s at step %d", what.name, from)
			f := &faults{}
			c := testConfig(filepath.Join(t.TempDir(), "audit"))
			c.OpenFile, c.SegmentBytes = f.open, 1<<20
			l, err := Create(c)
			if err != nil {
				t.Fatal(err)
			}
			f.arm(from, 1, what)
			events := many(210, 20_000) // a little more than one batch, several segments
			err = l.AppendAll(context.Background(), events)
			if err != nil && !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s: AppendAll = %v, want ErrUnavailable", where, err)
			}
			f.arm(1, 0, what)
			l.Close()
			got := eventsIn(t, c.Dir)
			there := 0
			for _, id := range idsOf(events) {
				there += got[id]
			}
			if err == nil && there != len(events) {
				t.Errorf("%s: AppendAll = nil and %d of %d events are there", where, there, len(events))
			}
			if err != nil {
				struck++
			}
			mustVerify(t, c.Dir)
		}
	}
	if struck < 10 {
		t.Errorf("AppendAll failed %d times: too few to have tested anything", struck)
	}
}

func TestAppendAllEnds(t *testing.T) {
	release := make(chan struct{})
	f := &faults{}
	l, _ := createLog(t, func(c *Config) { c.OpenFile = f.open })
	f.arm(1, 1, fault{write: func(f File, p []byte) (int, error) {
		<-release
		return f.Write(p)
	}})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	for range 3 {
		if err := l.AppendAll(ctx, many(400, 20_000)); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("AppendAll to a hung disk = %v, want ErrUnavailable and DeadlineExceeded", err)
		}
	}
	l.mu.Lock()
	if got := len(l.pending.buf); got > maxBatchBytes+MaxRecordBytes {
		t.Errorf("%d bytes wait, want at most %d and a record", got, maxBatchBytes)
	}
	l.mu.Unlock()
	close(release)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.AppendAll(context.Background(), many(2, 0)); !errors.Is(err, ErrClosed) {
		t.Errorf("AppendAll to a closed log = %v, want ErrClosed", err)
	}
}

// BenchmarkAppendAll gives records per second of a caller that appends so many at once.
func BenchmarkAppendAll(b *testing.B) {
	for _, n := range []int{1, 256, 1024} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			l, _ := createLog(b, func(c *Config) { c.Preallocate = 0 })
			events := many(n, 0)
			b.ReportAllocs()
			for b.Loop() {
				if err := l.AppendAll(context.Background(), events); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
