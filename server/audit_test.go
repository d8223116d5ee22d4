package server_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http/httptrace"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/internal/daemon"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// sink is the files of an audit log, which fail as long as a fault is set.
type sink struct {
	fault  atomic.Pointer[fault]
	struck atomic.Int64
}

// fault is how files fail. A nil function does not.
type fault struct {
	name  string
	write func(f *os.File, p []byte) (int, error)
	sync  func(f *os.File) error
	open  error

	released chan struct{} // ends a hang when closed
}

func (s *sink) open(path string, flag int, perm fs.FileMode) (audit.File, error) {
	if f := s.fault.Load(); f != nil && f.open != nil {
		s.struck.Add(1)
		return nil, f.open
	}
	f, err := os.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return &sinkFile{f, s}, nil
}

type sinkFile struct {
	*os.File
	sink *sink
}

func (f *sinkFile) Write(p []byte) (int, error) {
	if what := f.sink.fault.Load(); what != nil && what.write != nil {
		f.sink.struck.Add(1)
		return what.write(f.File, p)
	}
	return f.File.Write(p)
}

func (f *sinkFile) Datasync() error {
	if what := f.sink.fault.Load(); what != nil && what.sync != nil {
		f.sink.struck.Add(1)
		return what.sync(f.File)
	}
	return unix.Fdatasync(int(f.Fd()))
}

// sinkFaults are the ways in which a sink fails.
func sinkFaults() []*fault {
	none := func(cause error) func(*os.File, []byte) (int, error) {
		return func(*os.File, []byte) (int, error) { return 0, cause }
	}
	inWrite, inSync := make(chan struct{}), make(chan struct{})
	all := []*fault{
		{name: "disk full", write: none(unix.ENOSPC), sync: func(*os.File) error { return unix.ENOSPC }, open: unix.ENOSPC},
		{name: "I/O error", write: none(unix.EIO), sync: func(*os.File) error { return unix.EIO }, open: unix.EIO},
		{name: "written in part", write: func(f *os.File, p []byte) (int, error) {
			n, err := f.Write(p[:len(p)/2])
			return n, errors.Join(unix.ENOSPC, err)
		}},
		{name: "failed fdatasync", sync: func(*os.File) error { return unix.EIO }},
		{name: "synced but reported failed", sync: func(f *os.File) error { return errors.Join(unix.EIO, unix.Fdatasync(int(f.Fd()))) }},
		{name: "closed file", write: none(os.ErrClosed), sync: func(*os.File) error { return os.ErrClosed }},
		{name: "broken pipe", write: none(unix.EPIPE)},
		{name: "read-only file system", write: none(unix.EROFS), open: unix.EROFS},
		{name: "hang in write", released: inWrite, write: func(f *os.File, p []byte) (int, error) { <-inWrite; return f.Write(p) }},
		{name: "hang in fdatasync", released: inSync, sync: func(f *os.File) error { <-inSync; return unix.Fdatasync(int(f.Fd())) }},
	}
	for _, f := range all {
		if f.released == nil {
			f.released = make(chan struct{})
		}
	}
	return all
}

// callTimeout is how long the server of these tests lets a call take: a sink that hangs is given up after it.
const callTimeout = time.Second

// TestBrokenSink breaks the audit log in every way under every RPC: nothing is answered but UNAVAILABLE, in time, and all is well again within
// a second after the fault has gone.
func TestBrokenSink(t *testing.T) {
	rows := specimensOf(t)
	s := &sink{}
	d := newDoor(t, &kmstest.Options{OpenAudit: s.open, Config: func(c *daemon.Config) { c.Limits.CallTimeout = callTimeout }})
	p := newProps(d)
	for _, what := range sinkFaults() {
		var calls []call
		for _, method := range methods(t) {
			calls = append(calls, call{method: method, body: marshal(t, rows[method].valid(p)), as: d.root, agent: d.agent(what.name)})
		}
		calls = append(calls, // what is refused may not be answered either
			call{method: "/kmsd.kms.v1.CryptoService/NoSuchMethod", as: d.root}, call{method: kmsv1.CryptoService_Decrypt_FullMethodName},
			call{method: kmsv1.CryptoService_Decrypt_FullMethodName, as: d.root, body: []byte{0x0a, 0x7f}})
		s.struck.Store(0)
		s.fault.Store(what)
		var wg sync.WaitGroup
		for _, c := range calls {
			wg.Go(func() { withheld(t, what.name, c, d.send(t.Context(), c)) })
		}
		wg.Wait()
		if s.struck.Load() == 0 {
			t.Errorf("%s: the fault was never met", what.name)
		}
		s.fault.Store(nil)
		close(what.released)
		recovers(t, d, what.name)
	}
}

// withheld checks that an answer says nothing but that there is none.
func withheld(t *testing.T, name string, c call, got answer) {
	t.Helper()
	if got.err != nil || got.code != codes.Unavailable || got.reason != "KMSInternalException" || len(got.body) > 0 || len(got.status.GetDetails()) != 2 {
		t.Errorf("%s: %s = %v with %d bytes and %d details, want %v, no message and 2 details", name, short(c.method), got, len(got.body), len(got.status.GetDetails()), codes.Unavailable)
	}
	if got.took > 5*time.Second {
		t.Errorf("%s: %s took %v", name, short(c.method), got.took)
	}
}

// recovers checks that calls are answered again. The goal is a second; a machine that is busy with other things may take longer.
func recovers(t *testing.T, d *door, name string) {
	t.Helper()
	gone := time.Now()
	for ; ; time.Sleep(5 * time.Millisecond) {
		got := d.send(t.Context(), call{method: stsv1.STSService_GetCallerIdentity_FullMethodName, as: d.root})
		if got.code == codes.OK && got.err == nil {
			if took := time.Since(gone); took > time.Second {
				t.Logf("%s: answered again after %v", name, took)
			}
			return
		}
		if took := time.Since(gone); took > 10*time.Second {
			t.Fatalf("%s: %v after the fault has gone: %v", name, took, got)
		}
	}
}

// A call whose caller has gone, or whose time has passed, while its event is being written has one event.
func TestEventOfACallThatNobodyWaitsFor(t *testing.T) {
	rows := specimensOf(t)
	s := &sink{}
	d := newDoor(t, &kmstest.Options{OpenAudit: s.open})
	p := newProps(d)
	var calls []call
	for _, method := range methods(t) {
		calls = append(calls,
			call{method: method, body: marshal(t, rows[method].valid(p)), as: d.root, agent: d.agent("gone " + method)},
			call{method: method, body: marshal(t, rows[method].valid(p)), as: d.root, agent: d.agent("late " + method), header: map[string]string{"Grpc-Timeout": "200m"}})
	}
	for some := range slices.Chunk(calls, 100) { // as many as one connection has room for
		nobodyWaits(t, d, s, some)
	}
	d.Stop() // every event is written by then
	d.Start()
	events := d.events()
	for _, c := range calls {
		if n := len(events[c.agent]); n != 1 {
			t.Errorf("%s: %d events, want 1", c.agent, n)
		}
	}
}

// mixed is one kind of request in the crowd of TestCompleteness.
type mixed struct {
	name   string
	weight int
	make   func(n int) call
	leaves bool // the caller goes before the answer
}

// crowd are the requests of TestCompleteness.
func crowd(t testing.TB, d *door, p *props, rows map[string]specimen) []mixed {
	nobody := d.User("crowd")
	if _, err := d.Root().IAM().PutUserPolicy(t.Context(), iamv1.PutUserPolicyRequest_builder{
		UserName: "crowd", PolicyName: "p", PolicyDocument: kmstest.Allow([]string{"kms:ListKeys"}),
	}.Build()); err != nil {
		t.Fatal(err)
	}
	encrypt, decrypt := kmsv1.CryptoService_Encrypt_FullMethodName, kmsv1.CryptoService_Decrypt_FullMethodName
	plain, large := marshal(t, rows[encrypt].valid(p)), make([]byte, 300<<10)
	cipher := marshal(t, rows[decrypt].valid(p))
	same := func(c call) func(int) call { return func(int) call { return c } }
	timeouts := []string{"1n", "50u", "500u", "2m", "1S"}
	return []mixed{
		{"encrypt", 20, same(call{method: encrypt, body: plain, as: d.root}), false},
		{"decrypt", 20, same(call{method: decrypt, body: cipher, as: d.root}), false},
		{"change", 4, func(n int) call {
			return call{method: kmsv1.KeyService_UpdateKeyDescription_FullMethodName, body: marshal(t, kmsv1.UpdateKeyDescriptionRequest_builder{KeyId: p.otherID, Description: fmt.Sprint(n)}.Build()), as: d.root}
		}, false},
		{"denied", 10, same(call{method: encrypt, body: plain, as: nobody}), false},
		{"list", 5, same(call{method: kmsv1.KeyService_ListKeys_FullMethodName, as: nobody}), false},
		{"malformed", 10, same(call{method: decrypt, body: []byte{0x0a, 0x7f}, as: d.root}), false},
		{"too large", 1, same(call{method: decrypt, body: large, as: d.root}), false},
		{"unauthenticated", 10, same(call{method: encrypt, body: plain}), false},
		{"no such method", 5, same(call{method: "/kmsd.kms.v1.CryptoService/Nothing", as: d.root}), false},
		{"past its deadline", 8, func(n int) call {
			return call{method: encrypt, body: plain, as: d.root, header: map[string]string{"Grpc-Timeout": timeouts[n%len(timeouts)]}}
		}, false},
		{"cancelled", 8, same(call{method: decrypt, body: cipher, as: d.root}), true},
	}
}

// TestCompleteness sends 10,000 requests of all kinds: every answer has its one event, with the status that the client saw, and what was not
// answered has one at most.
func TestCompleteness(t *testing.T) {
	n := 10_000
	if testing.Short() {
		n = 1_500
	}
	d := newDoor(t, nil)
	kinds := crowd(t, d, newProps(d), specimensOf(t))
	var tickets []int // :: ticket → kind
	for i, k := range kinds {
		for range k.weight {
			tickets = append(tickets, i)
		}
	}
	type sent struct {
		kind  string
		agent string
		got   answer
	}
	all := make([]sent, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				k := kinds[tickets[rand.IntN(len(tickets))]]
				c := k.make(i)
				c.agent = d.agent(fmt.Sprint(k.name, " ", i))
				ctx, cancel := context.WithCancel(t.Context())
				if k.leaves {
					time.AfterFunc(time.Duration(rand.IntN(8000))*time.Microsecond, cancel)
				}
				all[i] = sent{k.name, c.agent, d.send(ctx, c)}
				cancel()
			}
		})
	}
	wg.Wait()
	d.Stop()
	d.Start()
	events, answered, unanswered := d.events(), map[string]int{}, map[string]int{}
	for _, s := range all {
		have := events[s.agent]
		switch {
		case len(have) > 1:
			t.Errorf("%s: %v has %d events, want 1", s.agent, s.got, len(have))
		case s.got.err != nil || s.got.requestID == "" && s.got.code != codes.OK: // gone, or past the deadline that gRPC keeps
			unanswered[s.kind]++
		case len(have) == 1 && s.got.code == codes.Unavailable && s.kind == "past its deadline" && s.got.requestID == have[0].RequestID:
			unanswered[s.kind]++ // the answer was withheld while its event was being written
		case len(have) == 0 || have[0].Outcome.ErrorCode != s.got.reason || s.got.requestID != "" && s.got.requestID != have[0].RequestID:
			t.Errorf("%s: %v of request %s has the events %+v", s.agent, s.got, s.got.requestID, have)
		default:
			answered[s.kind]++
		}
	}
	t.Logf("%d requests; answered %v; not answered %v", n, answered, unanswered)
	for _, k := range kinds {
		if answered[k.name] == 0 && !k.leaves && k.name != "past its deadline" {
			t.Errorf("no request of the kind %q was answered: nothing was tested", k.name)
		}
	}
	for _, kind := range []string{"past its deadline", "cancelled"} {
		if unanswered[kind] == 0 {
			t.Errorf("every request of the kind %q was answered: nothing was tested", kind)
		}
	}
	for kind := range unanswered {
		if kind != "past its deadline" && kind != "cancelled" {
			t.Errorf("%d requests of the kind %q were not answered", unanswered[kind], kind)
		}
	}
}

// nobodyWaits makes calls whose events cannot be written before their callers are gone.
func nobodyWaits(t *testing.T, d *door, s *sink, calls []call) {
	t.Helper()
	recovers(t, d, "before") // and opens the one connection: so many at a time kmsd would refuse
	released := make(chan struct{})
	s.fault.Store(&fault{sync: func(f *os.File) error { <-released; return unix.Fdatasync(int(f.Fd())) }})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	var sent atomic.Int64
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Add(1) }})
	for _, c := range calls {
		wg.Go(func() {
			if got := d.send(ctx, c); got.err == nil && (got.code == codes.OK || len(got.body) > 0) {
				t.Errorf("%s: %v without a durable event", c.agent, got)
			}
		})
	}
	for until := time.Now().Add(5 * time.Second); sent.Load() < int64(len(calls)); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Errorf("%d of %d calls were sent", sent.Load(), len(calls))
			break
		}
	}
	time.Sleep(250 * time.Millisecond)
	cancel()
	wg.Wait()
	s.fault.Store(nil)
	close(released)
	recovers(t, d, "hang")
}
