package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/kmsd/kmsd/client"
)

// Bounds of what a measurement may be.
const (
	maxCallers  = 4096
	maxDuration = 10 * time.Minute
	// streamsPerConnection is how many calls at a time kmsd takes on one connection, unless it is configured otherwise.
	streamsPerConnection = 128
)

// sample is one measurement.
type sample struct {
	Server       string  `json:"server"` // "kmsd" or "echo", or of kmsd's fronts "grpc" or "aws"
	Operation    string  `json:"operation"`
	Credential   string  `json:"credential"` // "access-key" or "certificate"
	Bytes        int     `json:"bytes"`      // of the plaintext
	Callers      int     `json:"callers"`
	Connections  int     `json:"connections"`
	RequestBytes int     `json:"request_bytes"` // of the protobuf message, or of the body
	AnswerBytes  int     `json:"answer_bytes"`  // likewise
	Seconds      float64 `json:"seconds"`
	Calls        int64   `json:"calls"`
	RPS          float64 `json:"rps"`
	P50          float64 `json:"p50_us"`
	P99          float64 `json:"p99_us"`
	ServerCPU    float64 `json:"server_cpu_us"` // per call, user and system time
	ClientCPU    float64 `json:"client_cpu_us"` // per call, of the load generator
	OtherCPU     float64 `json:"other_cpu"`     // how many cores were busy with neither of the two: kernel threads, other programs, the host
}

type runFlags struct {
	sample
	credentials      string
	duration, warmup time.Duration
	calls            int64
	pid              int
	aws              string
	h2               bool
}

func runCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var r runFlags
	f := flag.NewFlagSet("load run", flag.ContinueOnError)
	f.StringVar(&r.Server, "server", "kmsd", "what the measurement is called: kmsd or echo; grpc or aws to compare kmsd's fronts")
	f.StringVar(&r.aws, "aws", "", "the URL of kmsd's AWS front, to call that; its answers are checked over gRPC")
	f.BoolVar(&r.h2, "h2", false, "call the AWS front over HTTP/2")
	f.StringVar(&r.credentials, "credentials", "", "the credentials file to call with (required)")
	f.StringVar(&r.Operation, "operation", "encrypt", "encrypt, decrypt, generate-data-key or describe-key")
	f.IntVar(&r.Bytes, "bytes", 64, "length of the plaintext or data key; 0 for describe-key")
	f.IntVar(&r.Callers, "callers", 64, "how many callers there are, each with one call at a time")
	f.IntVar(&r.Connections, "connections", 0, "over how many connections; 0 for one per 128 callers")
	f.DurationVar(&r.duration, "duration", 5*time.Second, "how long to measure")
	f.Int64Var(&r.calls, "calls", 0, "end as soon as so many calls were measured; 0 for the whole --duration, within which they must end")
	f.DurationVar(&r.warmup, "warmup", time.Second, "how long to call before that")
	f.IntVar(&r.pid, "pid", 0, "the server's process, whose CPU time is measured (required)")
	if err := parse(f, args, stderr); err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	out, err := r.measure(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(out)
}

func (r *runFlags) check() error {
	switch {
	case r.credentials == "" || r.pid <= 0:
		return errors.New("--credentials and --pid are required")
	case r.Callers < 1 || r.Callers > maxCallers:
		return fmt.Errorf("--callers must be 1 to %d", maxCallers)
	case r.duration <= 0 || r.duration > maxDuration || r.warmup < 0 || r.warmup > maxDuration:
		return fmt.Errorf("--duration and --warmup must be at most %v", maxDuration)
	case r.calls < 0:
		return errors.New("--calls must not be negative")
	case r.Bytes < 0 || r.Bytes > 64<<10:
		return errors.New("--bytes must be 0 to 65536")
	}
	if r.Connections == 0 {
		r.Connections = (r.Callers + streamsPerConnection - 1) / streamsPerConnection
	}
	return nil
}

// measure calls the server that the credentials name.
func (r *runFlags) measure(ctx context.Context) (sample, error) {
	credentials, err := client.LoadFile(r.credentials)
	if err != nil {
		return sample{}, err
	}
	r.Credential = "certificate"
	if credentials.AccessKeyID != "" {
		r.Credential = "access-key"
	}
	c, err := client.New(client.Config{Credentials: credentials, Connections: r.Connections})
	if err != nil {
		return sample{}, err
	}
	defer c.Close() // its connections carry nothing any more
	var prepare preparing = newTarget(c).prepare
	if r.aws != "" {
		t, err := newAWSTarget(r.aws, credentials, r.Callers, r.h2, newTarget(c))
		if err != nil {
			return sample{}, err
		}
		defer t.close()
		prepare = t.prepare
	}
	e, err := prepare(ctx, r.Operation, r.Bytes)
	if err != nil {
		return sample{}, fmt.Errorf("before measuring %s: %w", r.Operation, err)
	}
	l := loop{callers: r.Callers, warmup: r.warmup, duration: r.duration, calls: r.calls, call: e.call, cpu: func() (cpuTimes, error) { return readCPU(r.pid) }}
	got, err := l.run(ctx)
	if err != nil {
		return sample{}, err
	}
	out := r.sample
	out.RequestBytes, out.AnswerBytes = e.requestBytes, e.answerBytes
	out.fill(got)
	return out, nil
}

// loop is a closed loop: each caller calls again as soon as it is answered.
type loop struct {
	callers          int
	warmup, duration time.Duration
	calls            int64 // the measurement ends with this one; 0 for the whole duration
	call             func(context.Context) error
	cpu              func() (cpuTimes, error)

	measuring atomic.Bool // calls that end while it is true count
	stopped   atomic.Bool
	counted   atomic.Int64
	enough    chan struct{} // closed with the last of calls
}

// tally is what a loop has counted.
type tally struct {
	elapsed time.Duration
	cpu     cpuTimes
	latency *hdrhistogram.Histogram // of microseconds
}

// Latencies are kept from one microsecond to a minute, with three significant figures.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 3) }

// run warms up, measures, and fails if any call failed. A caller whose call failed makes no other one.
func (l *loop) run(ctx context.Context) (tally, error) {
	var callers sync.WaitGroup
	defer callers.Wait()
	defer l.stopped.Store(true)
	l.enough = make(chan struct{})
	histograms := make([]*hdrhistogram.Histogram, l.callers)
	failed := make(chan error, l.callers)
	for i := range histograms {
		histograms[i] = newHistogram()
		callers.Go(func() {
			if err := l.repeat(ctx, histograms[i]); err != nil {
				failed <- err
			}
		})
	}
	if _, err := sleep(ctx, l.warmup, failed, nil); err != nil {
		return tally{}, err
	}
	t, err := l.window(ctx, failed)
	l.stopped.Store(true)
	callers.Wait()
	if err != nil {
		return tally{}, err
	}
	if n := len(failed); n > 0 {
		return tally{}, fmt.Errorf("%d calls failed, one of them: %w", n, <-failed)
	}
	t.latency = newHistogram()
	for _, h := range histograms {
		if dropped := t.latency.Merge(h); dropped != 0 {
			return tally{}, fmt.Errorf("%d latencies cannot be counted", dropped)
		}
	}
	if t.latency.TotalCount() == 0 {
		return tally{}, errors.New("no call ended while it was measured")
	}
	return t, nil
}

// window opens and closes the time that counts, and reads the CPU times at both ends.
func (l *loop) window(ctx context.Context, failed <-chan error) (t tally, err error) {
	before, err := l.cpu()
	if err != nil {
		return t, err
	}
	began := time.Now()
	l.measuring.Store(true)
	switch ended, err := sleep(ctx, l.duration, failed, l.enough); {
	case err != nil:
		return t, err
	case l.calls > 0 && !ended:
		return t, fmt.Errorf("%d of %d calls ended within %v", l.counted.Load(), l.calls, l.duration)
	}
	l.measuring.Store(false)
	t.elapsed = time.Since(began)
	after, err := l.cpu()
	t.cpu = after.since(before)
	return t, err
}

func (l *loop) repeat(ctx context.Context, h *hdrhistogram.Histogram) error {
	for !l.stopped.Load() {
		began := time.Now()
		if err := l.call(ctx); err != nil {
			return err
		}
		took := time.Since(began)
		if !l.measuring.Load() {
			continue
		}
		if l.calls > 0 {
			switch n := l.counted.Add(1); {
			case n == l.calls:
				close(l.enough)
			case n > l.calls:
				continue
			}
		}
		if err := h.RecordValue(max(1, took.Microseconds())); err != nil {
			return err
		}
	}
	return nil
}

// sleep waits for d, or until there is enough, which it reports, or for a call that fails.
func sleep(ctx context.Context, d time.Duration, failed <-chan error, enough <-chan struct{}) (ended bool, err error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false, nil
	case <-enough:
		return true, nil
	case err := <-failed:
		return false, fmt.Errorf("a call failed: %w", err)
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// fill works out the figures of a sample.
func (s *sample) fill(t tally) {
	n := t.latency.TotalCount()
	perCall := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(n) }
	s.Seconds, s.Calls = t.elapsed.Seconds(), n
	s.RPS = float64(n) / t.elapsed.Seconds()
	s.P50, s.P99 = float64(t.latency.ValueAtQuantile(50)), float64(t.latency.ValueAtQuantile(99))
	s.ServerCPU, s.ClientCPU = perCall(t.cpu.server), perCall(t.cpu.client)
	s.OtherCPU = max(0, (t.cpu.all-t.cpu.server-t.cpu.client).Seconds()/t.elapsed.Seconds())
}
