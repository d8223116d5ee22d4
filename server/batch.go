package server

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

const (
	// maxItems and maxBatch bound a batch; maxBatch is also what gRPC clients take by default.
	maxItems = 1024
	maxBatch = 4 << 20 // bytes of a request, and of its answer
	// itemsPerWorker is how many items are worth a goroutine.
	itemsPerWorker = 8
	// marginShare of the time that a batch has, marginMost at most, is left for its record and its answer: what could not be begun before is told so.
	marginShare = 8
	marginMost  = 500 * time.Millisecond
)

func checkBatchCrypto(v *violations, r *kmsv1.BatchCryptoRequest) {
	if n := len(r.GetItems()); n < 1 || n > maxItems {
		v.add("items", "has %d items, must have 1 to %d", n, maxItems)
	}
}

// batchCrypto carries out the items, some at a time. Their events become durable with the one of the call.
func batchCrypto(c *call, r *kmsv1.BatchCryptoRequest) (*kmsv1.BatchCryptoResponse, error) {
	items := r.GetItems()
	c.param(audit.Int("items", int64(len(items))))
	c.parts = make([]part, len(items))
	end := c.lastStart()
	ctx, cancel := context.WithDeadline(c.ctx, end) // for what waits on the way
	defer cancel()
	inParallel(len(items), func(i int) {
		if f := c.late(end); f != nil {
			c.parts[i].f = f
			return
		}
		p := &c.parts[i]
		*p = c.newPart(ctx, items[i], int64(i))
		p.perform(items[i])
	})
	results := make([]*kmsv1.BatchResult, len(items))
	for i := range c.parts {
		results[i] = c.parts[i].result()
	}
	bound(c.parts, results)
	failed := 0
	for _, p := range c.parts {
		if p.f != nil {
			failed++
		}
	}
	c.param(audit.Int("failed", int64(failed)))
	return kmsv1.BatchCryptoResponse_builder{Results: results}.Build(), nil
}

// lastStart is until when items are begun.
func (c *call) lastStart() time.Time {
	end, ok := c.ctx.Deadline()
	if !ok {
		end = time.Now().Add(c.s.limits.Call)
	}
	return end.Add(-min(time.Until(end)/marginShare, marginMost))
}

// late is why no further item is begun, or nil.
func (c *call) late(end time.Time) *failure {
	if err := c.ctx.Err(); err != nil {
		return failureOf(err)
	}
	if time.Now().After(end) {
		return failureOf(context.DeadlineExceeded)
	}
	return nil
}

// inParallel calls do with 0 to n-1, on several goroutines if n is worth it, and waits for them.
func inParallel(n int, do func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), (n+itemsPerWorker-1)/itemsPerWorker)
	var next atomic.Int64
	work := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			do(i)
		}
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

var errAnswerTooLarge = &failure{
	code: codes.ResourceExhausted, reason: "LimitExceededException", class: "AnswerTooLarge",
	message: "the answers of the batch are larger than 4 MiB: send fewer items",
}

// bound makes the items fail whose answers do not fit into what an answer may hold, the last ones first.
func bound(parts []part, results []*kmsv1.BatchResult) {
	size := func(r *kmsv1.BatchResult) int { return protowire.SizeTag(1) + protowire.SizeBytes(proto.Size(r)) }
	all := 0
	for _, r := range results {
		all += size(r)
	}
	if all <= maxBatch {
		return
	}
	refused := part{f: errAnswerTooLarge, call: parts[0].call}
	least := size(refused.result())
	room := maxBatch - least*len(parts)
	for i := range parts {
		more := size(results[i]) - least
		if more <= room {
			room -= max(more, 0)
			continue
		}
		parts[i].fail(errAnswerTooLarge)
		results[i] = parts[i].result()
	}
}

// concludeParts fills in how the items of a batch ended. If the batch has no answer because of f, they have none.
func (c *call) concludeParts(f *failure) {
	for i := range c.parts {
		p := &c.parts[i]
		if p.call == nil {
			continue
		}
		if f != nil && p.f == nil {
			p.fail(f)
		}
		p.conclude()
	}
}
