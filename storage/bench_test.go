package storage

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const benchRecordsEnv = "KMSD_BENCH_RECORDS" // of the benchmarks of a large store; 100,000 if it is not set

// benchStore returns a store of many records of 300 to 600 bytes, of two kinds, and how many it has.
func benchStore(b *testing.B) (Config, int) {
	b.Helper()
	n := 100_000
	if s := os.Getenv(benchRecordsEnv); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	c := createAt(b, filepath.Join(b.TempDir(), "store"))
	s, err := Open(c)
	if err != nil {
		b.Fatal(err)
	}
	noise := make([]byte, 600)
	rand.Read(noise)
	for i := 0; i < n; i += 10_000 {
		err := s.Update(func(tx *Tx) error {
			for j := i; j < min(i+10_000, n); j++ {
				path := fmt.Sprintf("123456789012/%08x-0000-4000-8000-%012x", j/2, j/2)
				if err := tx.Put([]Kind{"key", "key-material"}[j%2], path, noise[:300+j*7919%301]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return c, n
}

// perRecord reports the time for one of n records, by the clock and of all processors.
func perRecord(b *testing.B, n int, before time.Duration) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N)/float64(n), "cpu-ns/record")
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkOpen(b *testing.B) {
	c, n := benchStore(b)
	began := cpu(b)
	var before, after runtime.MemStats
	var s *Store
	for b.Loop() {
		var err error
		if s, err = Open(c); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	perRecord(b, n, began)
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(s)
	s = nil
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B-held/record")
}

func BenchmarkWalk(b *testing.B) {
	benchWalk(b, func(tx *Tx, kind Kind, visited func()) error {
		return tx.Walk(kind, "", func(string, []byte) error { visited(); return nil })
	})
}

func BenchmarkWalkParallel(b *testing.B) {
	benchWalk(b, func(tx *Tx, kind Kind, visited func()) error {
		return WalkParallel(tx, kind, "",
			func(_ string, value []byte) ([]byte, error) { return value, nil },
			func(string, []byte) error { visited(); return nil })
	})
}

func benchWalk(b *testing.B, walk func(tx *Tx, kind Kind, visited func()) error) {
	b.Helper()
	c, n := benchStore(b)
	s := open(b, c)
	began, walked := cpu(b), 0
	for b.Loop() {
		err := s.View(func(tx *Tx) error {
			for _, kind := range []Kind{"key", "key-material"} {
				if err := walk(tx, kind, func() { walked++ }); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if walked != n*b.N {
		b.Errorf("%d records walked, want %d", walked, n*b.N)
	}
	perRecord(b, n, began)
}

// A change of one record costs the same however many there are.
func BenchmarkPut(b *testing.B) {
	c, n := benchStore(b)
	s := open(b, c)
	value, began := make([]byte, 450), cpu(b)
	var times []time.Duration
	for i := 0; b.Loop(); i++ {
		at := i * 7919 % n
		path := fmt.Sprintf("123456789012/%08x-0000-4000-8000-%012x", at/2, at/2)
		start := time.Now()
		if err := s.Update(func(tx *Tx) error { return tx.Put("key", path, value) }); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(start))
	}
	b.ReportMetric(float64((cpu(b)-began).Microseconds())/float64(b.N), "cpu-µs/op")
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-µs")
}
