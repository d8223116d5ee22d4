package server

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// These bound what a stream holds: items that are under way until their answers are sent. Who sends more waits.
const (
	streamItems = 256
	streamBytes = 4 << 20 // of their requests; one more may begin below it
)

var (
	errStopping = &failure{code: codes.Unavailable, reason: reasonInternal, class: "Stopping", message: "kmsd stops: open the stream again"}
	errAged     = &failure{code: codes.Unavailable, reason: reasonInternal, class: "StreamAge", message: "the stream has been open for long: open it again"}
	errIdle     = &failure{code: codes.DeadlineExceeded, reason: "DependencyTimeoutException", class: "Idle", message: "nothing has moved on the stream for too long"}
)

// streamCrypto is the row of StreamCrypto. Its event is that the stream was opened, and by whom.
func streamCrypto() *method {
	return &method{
		name: kmsv1.BatchService_StreamCrypto_FullMethodName, source: "kms", event: "StreamCrypto", actions: itemActions(), crypto: true, batched: true,
		handle: func(c *call, _ func(any) error) (_ proto.Message, err error) {
			c.leave, err = c.s.streams.enter(c.account())
			return nil, err
		},
		wipe:   func(proto.Message) {},
		stream: serveStream,
	}
}

// serveStream answers a StreamCrypto.
func serveStream(s *Server, m *method, stream grpc.ServerStream) error {
	c := s.begin(stream.Context(), m)
	defer s.release(c)
	opening, cancel := context.WithTimeout(stream.Context(), s.limits.Call)
	_, err := s.carryOut(opening, c, nil)
	cancel()
	if err != nil {
		return err
	}
	t := &cryptoStream{
		c: c, stream: stream, arrivals: make(chan arrival), jobs: make(chan *streamItem, streamItems), done: make(chan *streamItem, streamItems),
		committed: make(chan committed), quit: make(chan struct{}),
	}
	t.start()
	if f := t.run(); f != nil {
		return f.status(c.event.RequestID.String()).Err()
	}
	return nil
}

// cryptoStream is a stream under way. One goroutine receives items, run gives each a call, workers carry them out, and one commits what they have done: it
// makes the events of all that is done durable at once and then sends the answers. When run returns, the stream ends, and with it the others; the
// server waits for them when it stops.
type cryptoStream struct {
	c      *call // the stream's, for run only
	stream grpc.ServerStream

	arrivals   chan arrival     // from receive to run
	jobs, done chan *streamItem // from run to the workers, and on to commit; each has room for all that are under way
	committed  chan committed   // from commit to run
	quit       chan struct{}    // closed when run returns: nothing more is begun

	began  int64 // items
	items  int   // under way
	bytes  int   // of their requests
	ending bool  // nothing more is begun, and the stream ends with end when nothing is under way
	end    *failure
}

// arrival is what was received.
type arrival struct {
	request *kmsv1.StreamCryptoRequest
	err     error // io.EOF if the client will send no more
}

// streamItem is an item under way.
type streamItem struct {
	part
	item     *kmsv1.BatchItem
	sequence uint64
	bytes    int
	silent   bool // it has an event and no answer
}

// committed says what is no longer under way.
type committed struct {
	items, bytes int
	f            *failure // nothing more can be answered
}

func (t *cryptoStream) start() {
	s := t.c.s
	s.streaming.Go(func() { t.receive(s.limits.MessageBytes) })
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(t.work)
	}
	s.streaming.Go(func() {
		workers.Wait()
		close(t.done)
	})
	s.streaming.Go(func() { t.commit(s) })
}

// run is the life of a stream, and returns how it ends: nil when the client has sent all and has all answers.
func (t *cryptoStream) run() *failure {
	defer close(t.quit)
	defer close(t.jobs)
	s := t.c.s
	age, idle, stopping := time.NewTimer(s.limits.Age), time.NewTimer(s.limits.Idle), s.stopping
	defer age.Stop()
	defer idle.Stop()
	for !t.ending || t.items > 0 {
		arrivals := t.arrivals
		if t.ending || t.items >= streamItems || t.bytes >= streamBytes {
			arrivals = nil
		}
		select {
		case a := <-arrivals:
			idle.Reset(s.limits.Idle)
			t.take(a)
		case d := <-t.committed:
			idle.Reset(s.limits.Idle)
			t.items, t.bytes = t.items-d.items, t.bytes-d.bytes
			if d.f != nil {
				return d.f
			}
		case <-idle.C: // the client neither sends nor reads
			return errIdle
		case <-age.C:
			if t.ending {
				return errAged
			}
			t.finish(errAged)
			age.Reset(s.limits.Grace)
		case <-stopping:
			stopping = nil
			t.finish(errStopping)
		case <-t.c.ctx.Done():
			t.takeLast()
			return failureOf(t.c.ctx.Err())
		}
	}
	return t.end
}

// finish lets the stream end when what is under way is answered.
func (t *cryptoStream) finish(f *failure) {
	if !t.ending {
		t.ending, t.end = true, f
	}
}

// take begins what has arrived. Who calls is looked at again for each item: an item of somebody who may no longer call is the stream's last.
func (t *cryptoStream) take(a arrival) {
	switch {
	case errors.Is(a.err, io.EOF):
		t.finish(nil)
		return
	case errors.Is(a.err, context.Canceled), errors.Is(a.err, context.DeadlineExceeded):
		t.finish(failureOf(a.err))
		return
	}
	t.c.event.ReceivedTime = time.Now()
	err := a.err
	if err == nil {
		err = t.c.settleAgain()
	}
	i := &streamItem{item: a.request.GetItem(), sequence: a.request.GetSequence(), bytes: proto.Size(a.request), silent: a.err != nil}
	if a.err != nil {
		i.item = nil // whatever it is
	}
	i.part = t.c.newPart(t.c.ctx, i.item, t.began)
	t.began++
	t.items, t.bytes = t.items+1, t.bytes+i.bytes
	if err == nil {
		t.jobs <- i
		return
	}
	f := failureOf(err)
	i.fail(f)
	t.finish(f)
	t.done <- i
}

// takeLast records what gRPC itself has ended the stream for: a message that it does not take.
func (t *cryptoStream) takeLast() {
	for !t.ending { // else nobody may be left who receives
		a := <-t.arrivals
		if a.err != nil {
			t.take(a)
			return
		}
	}
}

// settleAgain is settle for a call that goes on.
func (c *call) settleAgain() error {
	if err := c.settle(); err != nil {
		return err
	}
	if err := c.credential.Usable(c.event.ReceivedTime); err != nil {
		return unusableCredential(err)
	}
	return nil
}

// receive reads items, each of at most so many bytes, until there are no more, or nobody takes them.
func (t *cryptoStream) receive(most int) {
	for {
		a := arrival{request: &kmsv1.StreamCryptoRequest{}}
		var end error
		a.err = receive(func(v any) error {
			end = t.stream.RecvMsg(v)
			return end
		}, a.request, most)
		if errors.Is(end, io.EOF) {
			a.err = end
		}
		select {
		case t.arrivals <- a:
		case <-t.quit:
			return
		}
		if a.err != nil {
			return
		}
	}
}

// work carries out items. Each has the time that a call has.
func (t *cryptoStream) work() {
	for i := range t.jobs {
		limit := i.call.s.limits.Call
		late := func() bool { return time.Since(i.call.event.ReceivedTime) > limit }
		select {
		case <-t.quit: // it was not begun
			i.call.s.release(i.call)
			continue
		default:
		}
		if !late() {
			i.perform(i.item)
		}
		if i.f == nil && late() {
			i.fail(failureOf(context.DeadlineExceeded))
		}
		t.done <- i
	}
}

// commit records and answers what is done, until the stream has ended and nothing is left.
func (t *cryptoStream) commit(s *Server) {
	var broken *failure
	for first := range t.done {
		group := t.gather(first)
		c := committed{items: len(group)}
		for _, i := range group {
			c.bytes += i.bytes
		}
		if f := s.recordGroup(group); f != nil {
			broken = f
		}
		for _, i := range group {
			if broken == nil && !i.silent {
				broken = t.answer(i)
			}
			s.release(i.call)
		}
		c.f = broken
		select {
		case t.committed <- c:
		case <-t.quit:
		}
	}
}

// gather takes what else is done.
func (t *cryptoStream) gather(first *streamItem) []*streamItem {
	group := []*streamItem{first}
	for len(group) < streamItems {
		select {
		case i, ok := <-t.done:
			if !ok {
				return group
			}
			group = append(group, i)
		default:
			return group
		}
	}
	return group
}

// recordGroup makes the events of items durable. If it cannot, their answers are wiped.
func (s *Server) recordGroup(group []*streamItem) *failure {
	events := make([]*audit.Event, len(group))
	for n, i := range group {
		i.conclude()
		events[n] = &i.call.event
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.limits.Call)
	defer cancel()
	err := s.audit.AppendAll(ctx, events)
	if err == nil {
		return nil
	}
	s.metrics.auditFailures.Add(float64(len(group)))
	s.log.Error("withholding the answers of a stream", "items", len(group), "error", err)
	for _, i := range group {
		i.wipe()
	}
	return unrecorded(err)
}

func (t *cryptoStream) answer(i *streamItem) *failure {
	err := t.stream.SendMsg(kmsv1.StreamCryptoResponse_builder{Sequence: i.sequence, Result: i.result()}.Build())
	if err != nil {
		return failureOf(context.Canceled) // the client is gone: nobody hears this
	}
	return nil
}
