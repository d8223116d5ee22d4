package server

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/audit"
)

// flood keeps callers who do not prove who they are from filling the audit log: each call of theirs is a durable event, and costs them
// next to nothing. Beyond a rate such calls are refused without an event of their own, and one event a second counts them.
type flood struct {
	limit *rate.Limiter
	shed  atomic.Int64
}

// unauthenticatedBurst is how many such calls may come at once.
const unauthenticatedBurst = 1000

func newFlood(perSecond int) *flood {
	return &flood{limit: rate.NewLimiter(rate.Limit(perSecond), unauthenticatedBurst)}
}

// sheds reports whether a call that ended with f is one too many, and counts it. Whose caller is proven has its event, however it ends.
func (fl *flood) sheds(f *failure, proven bool) bool {
	if f == nil || proven || fl.limit.Allow() {
		return false
	}
	fl.shed.Add(1)
	return true
}

var errShed = &failure{
	code: codes.ResourceExhausted, reason: reasonThrottling, class: "Shed",
	message: "too many calls without valid credentials; try again later",
}

// RecordShed writes one event for the unauthenticated calls that were refused without one since it was last called. If
// it cannot, the next one counts them.
func (s *Server) RecordShed(ctx context.Context) error {
	n := s.flood.shed.Swap(0)
	if n == 0 {
		return nil
	}
	e := audit.Event{
		Phase: audit.PhaseService, EventType: audit.TypeServiceEvent, EventCategory: "Management", EventSource: "kmsd", EventName: "UnauthenticatedCallsShed",
		EventTime: time.Now(), Actor: audit.Actor{Type: audit.ActorService}, Request: []audit.Param{audit.Int("count", n)},
		Outcome: audit.Outcome{Status: statusName(errShed.code), ErrorCode: errShed.reason, ErrorClass: errShed.class},
	}
	if err := s.audit.Append(ctx, &e); err != nil {
		s.flood.shed.Add(n)
		return err
	}
	return nil
}
