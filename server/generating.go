package server

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc/codes"
)

// mostWaiting is how many calls wait while another one makes an RSA key.
const mostWaiting = 4

// generating lets one call at a time make an RSA key, which takes up to seconds of a processor, and some wait for their turn, so that those who ask
// for such keys do not keep the processors from everybody else. Its zero value is not ready for use: see newGenerating.
type generating struct {
	turn    chan struct{} // holds what the next one takes
	waiting atomic.Int32
}

func newGenerating() *generating {
	g := &generating{turn: make(chan struct{}, 1)}
	g.turn <- struct{}{}
	return g
}

// enter waits for its turn, which ends when the function is called that it returns. If too many wait already, the error is a ThrottlingException.
func (g *generating) enter(ctx context.Context) (leave func(), err error) {
	select {
	case <-g.turn:
		return g.leave, nil
	default:
	}
	if g.waiting.Add(1) > mostWaiting {
		g.waiting.Add(-1)
		return nil, &failure{code: codes.ResourceExhausted, reason: reasonThrottling, message: "too many RSA keys are being made: try again in a moment", class: "GeneratingKeys"}
	}
	defer g.waiting.Add(-1)
	select {
	case <-g.turn:
		return g.leave, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (g *generating) leave() { g.turn <- struct{}{} }
