package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// steps gives the CPU times 10, 20 and 30 seconds at first, and then as much more as was used.
func steps(used cpuTimes) func() (cpuTimes, error) {
	n := time.Duration(-1)
	return func() (cpuTimes, error) {
		n++
		return cpuTimes{10*time.Second + n*used.server, 20*time.Second + n*used.client, 30*time.Second + n*used.all}, nil
	}
}

func TestLoopCountsOnlyWhatEndsInItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		l := loop{callers: 4, warmup: 1050 * time.Millisecond, duration: 10 * time.Second, cpu: steps(cpuTimes{2 * time.Second, time.Second, 8 * time.Second}), call: func(context.Context) error {
			calls.Add(1)
			time.Sleep(100 * time.Millisecond)
			return nil
		}}
		got, err := l.run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// Four callers end 10 calls a second each; those of the warm-up do not count.
		var s sample
		s.fill(got)
		if s.Calls != 400 || s.RPS != 40 || s.Seconds != 10 {
			t.Errorf("got %d calls in %v s, %v per second; want 400 in 10 s, 40 per second", s.Calls, s.Seconds, s.RPS)
		}
		if all := calls.Load(); all <= 400 {
			t.Errorf("there were %d calls in all, want more than the 400 that were counted: there was no warm-up", all)
		}
		if s.P50 < 99_900 || s.P50 > 100_100 || s.P99 < 99_900 || s.P99 > 100_100 {
			t.Errorf("latencies p50 %v and p99 %v µs, want 100000", s.P50, s.P99)
		}
		if s.ServerCPU != 5000 || s.ClientCPU != 2500 || s.OtherCPU != 0.5 {
			t.Errorf("CPU time per call %v µs (server), %v µs (client), %v cores for others; want 5000, 2500, 0.5", s.ServerCPU, s.ClientCPU, s.OtherCPU)
		}
	})
}

func TestPercentilesOfKnownLatencies(t *testing.T) {
	h := newHistogram()
	for us := int64(1); us <= 10_000; us++ {
		if err := h.RecordValue(us); err != nil {
			t.Fatal(err)
		}
	}
	var s sample
	s.fill(tally{elapsed: time.Second, latency: h})
	if s.P50 < 4995 || s.P50 > 5005 || s.P99 < 9890 || s.P99 > 9910 {
		t.Errorf("p50 = %v, p99 = %v, want 5000 and 9900 within three figures", s.P50, s.P99)
	}
}

func TestLoopFailsIfACallFails(t *testing.T) {
	wrong := errors.New("wrong")
	for _, at := range []int64{1, 30} { // in the warm-up, in the window
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int64
			l := loop{callers: 2, warmup: time.Second, duration: time.Hour, cpu: steps(cpuTimes{}), call: func(context.Context) error {
				time.Sleep(100 * time.Millisecond)
				if calls.Add(1) == at {
					return wrong
				}
				return nil
			}}
			began := time.Now()
			if _, err := l.run(t.Context()); !errors.Is(err, wrong) {
				t.Errorf("call %d failed and the loop returned %v, want %v", at, err, wrong)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("call %d failed and the loop went on for %v", at, took)
			}
		})
	}
}

func TestLoopEndsWithTheLastOfItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call := func(context.Context) error { time.Sleep(100 * time.Millisecond); return nil }
		l := loop{callers: 4, warmup: 1050 * time.Millisecond, duration: time.Hour, calls: 401, cpu: steps(cpuTimes{}), call: call}
		got, err := l.run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// Four callers end 10 calls a second each: the 401st ends in the 101st tenth of a second.
		if n := got.latency.TotalCount(); n != 401 || got.elapsed < 10*time.Second || got.elapsed > 10200*time.Millisecond {
			t.Errorf("counted %d calls in %v, want 401 in 10.05 s", n, got.elapsed)
		}
		l = loop{callers: 1, duration: time.Second, calls: 100, cpu: steps(cpuTimes{}), call: call}
		if got, err := l.run(t.Context()); err == nil {
			t.Errorf("a loop that ended %d of 100 calls gave figures", got.latency.TotalCount())
		}
	})
}

func TestLoopEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		l := loop{callers: 2, duration: time.Hour, cpu: steps(cpuTimes{}), call: func(context.Context) error { time.Sleep(time.Millisecond); return nil }}
		if _, err := l.run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the loop returned %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

func TestLoopWithoutAnAnswerIsNoMeasurement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := loop{callers: 1, duration: time.Second, cpu: steps(cpuTimes{}), call: func(context.Context) error { time.Sleep(time.Minute); return nil }}
		if _, err := l.run(t.Context()); err == nil {
			t.Error("a loop in which no call ended gave figures")
		}
	})
}

func TestFlagsThatCannotBeMeasured(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"--credentials", "x"},
		{"--credentials", "x", "--pid", "1", "--callers", "0"},
		{"--credentials", "x", "--pid", "1", "--callers", "100000"},
		{"--credentials", "x", "--pid", "1", "--duration", "0s"},
		{"--credentials", "x", "--pid", "1", "--duration", "24h"},
		{"--credentials", "x", "--pid", "1", "--bytes", "70000"},
	} {
		var said strings.Builder
		if code := run(t.Context(), append([]string{"run"}, args...), io.Discard, &said); code != 1 || !strings.HasPrefix(said.String(), "error: load run: --") {
			t.Errorf("load run %q = %d and said %q, want 1 and an error about a flag", args, code, said.String())
		}
	}
}

func TestConnectionsFollowCallers(t *testing.T) {
	for callers, want := range map[int]int{1: 1, 128: 1, 129: 2, 256: 2} {
		r := runFlags{sample: sample{Callers: callers}, credentials: "x", pid: 1, duration: time.Second}
		if err := r.check(); err != nil || r.Connections != want {
			t.Errorf("%d callers use %d connections (%v), want %d", callers, r.Connections, err, want)
		}
	}
}
