package audit

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func BenchmarkEncode(b *testing.B) {
	e := decrypt(1)
	n := &encoder{node: encodeNode(Node{ID: "node-1", Version: "0.1.0", BootID: NewID()})}
	n.encode(e)
	b.ReportAllocs()
	for b.Loop() {
		n.encode(e)
	}
	b.ReportMetric(float64(len(n.buf)), "B/record")
}

func BenchmarkChain(b *testing.B) {
	n := &encoder{node: encodeNode(Node{ID: "node-1", Version: "0.1.0", BootID: NewID()})}
	n.encode(decrypt(1))
	c := newChain(genesis(ID{1}), 0)
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = c.append(buf[:0], n, 0)
	}
}

// BenchmarkAppend gives records per second, and the time that one caller waits, with so many callers at once.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			c := testConfig(filepath.Join(b.TempDir(), "audit"))
			c.Preallocate = 0
			l, err := Create(c)
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			var next atomic.Int64
			waits := make([][]time.Duration, callers)
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for w := range callers {
				wg.Go(func() {
					e := decrypt(w)
					for next.Add(1) <= int64(b.N) {
						start := time.Now()
						if err := l.Append(ctx, e); err != nil {
							b.Error(err)
							return
						}
						waits[w] = append(waits[w], time.Since(start))
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			all := slices.Concat(waits...)
			slices.Sort(all)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	s := newSample(b, 200, 64<<20)
	content := s.segments[s.names[1]]
	lines := linesOf(content)
	first, err := parseLinks(lines[0][:len(lines[0])-1])
	if err != nil {
		b.Fatal(err)
	}
	c := newChain(Head{}, 0)
	b.ReportAllocs()
	for b.Loop() {
		c.reset(Head{first.seq - 1, first.prevHash}, 0)
		for _, line := range lines {
			line = line[:len(line)-1]
			l, err := parseLinks(line)
			if err != nil || c.next(line, &l) != "" {
				b.Fatal("a good record does not verify")
			}
		}
	}
	b.ReportMetric(float64(len(lines)*b.N)/b.Elapsed().Seconds(), "records/s")
}
