package server_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/daemon"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

type cryptoStream = grpc.BidiStreamingClient[kmsv1.StreamCryptoRequest, kmsv1.StreamCryptoResponse]

func openStream(t testing.TB, ctx context.Context, k *kmstest.KMS, c client.Credentials) cryptoStream {
	t.Helper()
	s, err := batchClient(k, c).StreamCrypto(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func numbered(n int, i *kmsv1.BatchItem) *kmsv1.StreamCryptoRequest {
	return kmsv1.StreamCryptoRequest_builder{Sequence: uint64(n), Item: i}.Build()
}

// streamed sends n requests and receives as many answers.
func streamed(t testing.TB, s cryptoStream, in *kmsv1.StreamCryptoRequest, n int) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		for range n {
			if err := s.Send(in); err != nil {
				t.Errorf("sending: %v", err)
				return
			}
		}
	})
	for i := range n {
		if r, err := s.Recv(); err != nil || r.GetResult().HasError() {
			t.Fatalf("answer %d of %d = %v, %v", i, n, r, err)
		}
	}
	wg.Wait()
}

// concurrently calls do so many times each on so many goroutines.
func concurrently(t testing.TB, goroutines, times int, do func() error) {
	t.Helper()
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range times {
				if err := do(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// ends receives until the stream ends, within a time, and returns how many answers came before.
func ends(t *testing.T, s cryptoStream) (answers int, err error) {
	t.Helper()
	type end struct {
		n   int
		err error
	}
	done := make(chan end, 1)
	go func() {
		for n := 0; ; n++ {
			if _, err := s.Recv(); err != nil {
				done <- end{n, err}
				return
			}
		}
	}()
	select {
	case e := <-done:
		return e.n, e.err
	case <-time.After(20 * time.Second):
		t.Fatal("the stream does not end")
		return 0, nil
	}
}

// Items of a stream are answered with their sequence, each has its event, and what is denied does not end the stream.
func TestStream(t *testing.T) {
	k := kmstest.New(t, nil)
	mine, other := k.Key().GetArn(), k.Key().GetArn()
	who := k.User("some", kmstest.Allow([]string{"kms:Encrypt"}, mine))
	s := openStream(t, t.Context(), k, who)
	const n = 2000
	go func() {
		for i := range n {
			key := mine
			if i%10 == 3 {
				key = other
			}
			if err := s.Send(numbered(i, encryptItem(key))); err != nil {
				t.Error(err)
			}
		}
		if err := s.CloseSend(); err != nil {
			t.Error(err)
		}
	}()
	seen := map[uint64]string{} // :: sequence → request
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if seen[r.GetSequence()] != "" {
			t.Errorf("item %d is answered twice", r.GetSequence())
		}
		seen[r.GetSequence()] = r.GetResult().GetRequestId()
		got, want := said(t, r.GetResult()), "OK"
		if r.GetSequence()%10 == 3 {
			want = "PermissionDenied AccessDeniedException"
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("item %d: %s, want %s", r.GetSequence(), got, want)
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d items are answered", len(seen), n)
	}
	opened := eventsOf(t, k, audit.Filter{Event: "StreamCrypto"})
	if len(opened) != 1 || opened[0].Outcome.Status != "OK" || opened[0].Actor.UserName != "some" {
		t.Fatalf("events of the stream: %+v, want one that is OK", opened)
	}
	of, indexes := map[string]bool{}, map[int]bool{}
	for _, e := range eventsOf(t, k, audit.Filter{Event: "Encrypt"}) {
		if e.Request.BatchRequestID == opened[0].RequestID && e.Actor == opened[0].Actor {
			of[e.RequestID], indexes[*e.Request.BatchIndex] = true, true
		}
	}
	for sequence, id := range seen {
		if !of[id] {
			t.Errorf("item %d has no event", sequence)
		}
	}
	if len(of) != n || len(indexes) != n {
		t.Errorf("%d events with %d indexes, want %d", len(of), len(indexes), n)
	}
}

// Who may no longer call is stopped at the next item, and a permission that is gone is gone for it.
func TestStreamOfARevokedCaller(t *testing.T) {
	k := kmstest.New(t, nil)
	key := k.Key().GetArn()
	who := k.User("leaver", kmstest.Allow([]string{"kms:Encrypt"}))
	s := openStream(t, t.Context(), k, who)
	ask := func() string {
		if err := s.Send(numbered(1, encryptItem(key))); err != nil {
			t.Fatal(err)
		}
		r, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return said(t, r.GetResult())
	}
	if got := ask(); got != "OK" {
		t.Errorf("an item of somebody who may: %s", got)
	}
	admin := k.Root().IAM()
	if _, err := admin.PutUserPolicy(t.Context(), iamv1.PutUserPolicyRequest_builder{UserName: "leaver", PolicyName: "no", PolicyDocument: kmstest.Deny([]string{"kms:Encrypt"})}.Build()); err != nil {
		t.Fatal(err)
	}
	if got := ask(); !strings.HasPrefix(got, "PermissionDenied") {
		t.Errorf("an item of somebody who is denied since: %s", got)
	}
	if _, err := admin.DeleteAccessKey(t.Context(), iamv1.DeleteAccessKeyRequest_builder{UserName: "leaver", AccessKeyId: who.AccessKeyID}.Build()); err != nil {
		t.Fatal(err)
	}
	if got := ask(); !strings.HasPrefix(got, "Unauthenticated UnrecognizedClientException") {
		t.Errorf("an item of a deleted access key: %s", got)
	}
	if n, err := ends(t, s); n != 0 || status.Code(err) != codes.Unauthenticated {
		t.Errorf("the stream of a deleted access key goes on: %d answers, %v", n, err)
	}
	if _, err := batchClient(k, who).StreamCrypto(t.Context()); err == nil { // the error comes with the first answer
		again := openStream(t, t.Context(), k, who)
		if _, err := again.Recv(); status.Code(err) != codes.Unauthenticated {
			t.Errorf("a stream of a deleted access key: %v", err)
		}
	}
}

// Who sends and does not read is made to wait, and gets all answers when he reads.
func TestStreamThatIsNotRead(t *testing.T) {
	k := kmstest.New(t, nil)
	s := openStream(t, t.Context(), k, k.Credentials())
	const n = 10_000
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			if err := s.Send(numbered(i, randomItem(1024))); err != nil {
				sent <- err
				return
			}
		}
		sent <- s.CloseSend()
	}()
	last := 0
	for same := 0; same < 3; time.Sleep(100 * time.Millisecond) {
		now := len(k.Events(audit.Filter{Event: "GenerateRandom"}))
		if same++; now != last {
			last, same = now, 0
		}
	}
	if last == 0 || last > 2000 {
		t.Errorf("%d items were carried out for somebody who reads nothing, want a few hundred", last)
	}
	answers, err := ends(t, s)
	if answers != n || !errors.Is(err, io.EOF) {
		t.Errorf("%d answers, %v, want %d", answers, err, n)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// frames are messages as they go over the wire.
func frames(messages ...[]byte) (all []byte) {
	for _, m := range messages {
		all = binary.BigEndian.AppendUint32(append(all, 0), uint32(len(m)))
		all = append(all, m...)
	}
	return all
}

// What is no item ends the stream after what came before it is answered; it is recorded.
func TestStreamOfGarbage(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	good := marshal(t, numbered(7, encryptItem(p.keyID)))
	for _, row := range []struct {
		what    string
		bad     []byte
		answers int // before; gRPC itself ends the stream at what is larger than anything
		code    codes.Code
		class   string
	}{
		{"what is no message", []byte{0x0a, 0x7f, 'x'}, 2, codes.InvalidArgument, "Malformed"},
		{"an item that is too large", make([]byte, 256<<10+1), 2, codes.InvalidArgument, "TooLarge"},
		{"what is larger than anything", make([]byte, 8<<20+1), 0, codes.ResourceExhausted, "NotReceived"},
	} {
		agent := d.agent(row.what)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+d.Address()+kmsv1.BatchService_StreamCrypto_FullMethodName, bytes.NewReader(frames(good, good, row.bad, good)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = d.sign(d.root, kmsv1.BatchService_StreamCrypto_FullMethodName, noNonce, time.Now())
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("Te", "trailers")
		req.Header.Set("User-Agent", agent)
		resp, err := d.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body) // the server may stop reading what comes behind
		resp.Body.Close()
		if got := parseAnswer(resp, body); got.code != row.code || bytes.Count(body, []byte(p.keyID)) < row.answers {
			t.Errorf("%s: %v after %d answers, want %v after %d", row.what, got, bytes.Count(body, []byte(p.keyID)), row.code, row.answers)
		}
		n := 0
		for until := time.Now().Add(5 * time.Second); n == 0 && time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
			for _, r := range d.Events(audit.Filter{Event: "BatchItem"}) {
				if r.UserAgent == agent && r.Outcome.ErrorClass == row.class {
					n++
				}
			}
		}
		if n != 1 {
			t.Errorf("%s: %d events of the class %s, want 1", row.what, n, row.class)
		}
	}
}

// A stream that ends at once, and those whose clients leave in the middle: what was done has its event, and nothing is left behind, or kmsd would not stop.
func TestStreamThatIsLeft(t *testing.T) {
	k := kmstest.New(t, nil)
	key := k.Key().GetArn()
	s := openStream(t, t.Context(), k, k.Credentials())
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if n, err := ends(t, s); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("a stream that is closed at once = %d answers, %v", n, err)
	}
	for i := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		s := openStream(t, ctx, k, k.Credentials())
		for n := range 50 * i {
			if err := s.Send(numbered(n, encryptItem(key))); err != nil {
				t.Fatal(err)
			}
		}
		if i%2 == 0 && i > 0 {
			if _, err := s.Recv(); err != nil {
				t.Errorf("the first answer: %v", err)
			}
		}
		cancel()
	}
	began := time.Now()
	k.Restart()
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

// A kmsd that stops ends its streams when what is under way is answered.
func TestStreamWhenKmsdStops(t *testing.T) {
	k := kmstest.New(t, nil)
	key := k.Key().GetArn()
	s := openStream(t, t.Context(), k, k.Credentials())
	streamed(t, s, numbered(1, encryptItem(key)), 100)
	stopped := make(chan time.Duration, 1)
	go func() {
		began := time.Now()
		k.Stop()
		stopped <- time.Since(began)
	}()
	n, err := ends(t, s)
	if st := status.Convert(err); st.Code() != codes.Unavailable || !strings.Contains(st.Message(), "kmsd stops") {
		t.Errorf("the stream ends with %d answers and %v, want it told that kmsd stops", n, err)
	}
	if took := <-stopped; took > 5*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

// A stream may last longer than a call, and ends when nothing moves on it, or when it is old.
func TestStreamTimes(t *testing.T) {
	for _, row := range []struct {
		what   string
		limits daemon.LimitsConfig
		during time.Duration // of items every 50 ms
		reads  bool
		want   codes.Code
		words  string
	}{
		{"one that is longer than a call", daemon.LimitsConfig{CallTimeout: 200 * time.Millisecond}, 600 * time.Millisecond, true, codes.OK, ""},
		{"one that is idle", daemon.LimitsConfig{IdleTimeout: 300 * time.Millisecond}, 100 * time.Millisecond, true, codes.DeadlineExceeded, "nothing has moved"},
		{"one that is busy for longer", daemon.LimitsConfig{IdleTimeout: 300 * time.Millisecond}, 800 * time.Millisecond, true, codes.OK, ""},
		{"one that is old", daemon.LimitsConfig{ConnectionAge: 500 * time.Millisecond}, 10 * time.Second, true, codes.Unavailable, "open it again"},
		{"one that is not read", daemon.LimitsConfig{IdleTimeout: 300 * time.Millisecond}, 0, false, codes.DeadlineExceeded, "nothing has moved"},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			k := kmstest.New(t, &kmstest.Options{Config: func(c *daemon.Config) { c.Limits = row.limits }})
			s := openStream(t, t.Context(), k, k.Credentials())
			var end error
			if !row.reads {
				go func() {
					for s.Send(numbered(1, randomItem(1024))) == nil {
					}
				}()
				time.Sleep(time.Second) // what it reads then came before the end
			}
			for began := time.Now(); row.reads && end == nil && time.Since(began) < row.during; time.Sleep(50 * time.Millisecond) {
				if end = s.Send(numbered(1, randomItem(1))); end == nil {
					_, end = s.Recv()
				}
			}
			if row.want == codes.OK {
				if end != nil {
					t.Errorf("the stream ends with %v", end)
				}
				return
			}
			if _, err := ends(t, s); end == nil || errors.Is(end, io.EOF) {
				end = err
			}
			if st := status.Convert(end); st.Code() != row.want || !strings.Contains(st.Message(), row.words) {
				t.Errorf("the stream ends with %v, want %v: … %s …", end, row.want, row.words)
			}
		})
	}
}

// Nothing is answered whose event is not durable.
func TestStreamWithABrokenSink(t *testing.T) {
	sink := &sink{}
	k := kmstest.New(t, &kmstest.Options{OpenAudit: sink.open})
	key := k.Key().GetArn()
	s := openStream(t, t.Context(), k, k.Credentials())
	streamed(t, s, numbered(1, encryptItem(key)), 10)
	sink.fault.Store(&fault{name: "failed fdatasync", sync: func(*os.File) error { return unix.EIO }})
	for i := range 20 {
		if err := s.Send(numbered(i, encryptItem(key))); err != nil {
			break
		}
	}
	if n, err := ends(t, s); n != 0 || status.Code(err) != codes.Unavailable {
		t.Errorf("a stream without a log = %d answers, %v, want none and %v", n, err, codes.Unavailable)
	}
	sink.fault.Store(nil)
	for i := 0; ; i++ {
		_, err := batchClient(k, k.Credentials()).BatchCrypto(t.Context(), batchOf(encryptItem(key)))
		if err == nil {
			break
		}
		if i > 1000 {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	streamed(t, openStream(t, t.Context(), k, k.Credentials()), numbered(1, encryptItem(key)), 10)
}
