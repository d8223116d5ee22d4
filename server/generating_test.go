package server

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
)

// One call makes an RSA key, four wait, and the others are told to come again.
func TestGenerating(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGenerating()
		leave, err := g.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, mostWaiting)
		for i := range mostWaiting {
			go func() {
				with := t.Context()
				if i == 0 {
					with = ctx
				}
				next, err := g.enter(with)
				if err == nil {
					next()
				}
				ended <- err
			}()
		}
		synctest.Wait()
		if _, err := g.enter(t.Context()); failureOf(err).code != codes.ResourceExhausted || failureOf(err).reason != reasonThrottling {
			t.Errorf("one too many: %v, want %v %s", err, codes.ResourceExhausted, reasonThrottling)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("one that is cancelled: %v, want %v", err, context.Canceled)
		}
		leave()
		for range mostWaiting - 1 {
			if err := <-ended; err != nil {
				t.Errorf("one that waits: %v", err)
			}
		}
		if leave, err = g.enter(t.Context()); err != nil {
			t.Errorf("the next one: %v", err)
		} else {
			leave()
		}
	})
}
