package kmstest

import (
	"context"
	"sync"
	"time"
)

// Clock is a clock of keys that a test sets. It goes on by itself as the machine's does, and can be used concurrently, also across restarts: time
// that passes while kmsd is stopped is not time in which it ran.
type Clock struct {
	mu    sync.Mutex
	wall  time.Duration // ahead of the machine's
	ran   time.Duration // beyond what the machine's says
	start time.Time     // of the kmsd that runs
}

// NewClock returns a clock that is right.
func NewClock() *Clock { return &Clock{start: time.Now()} }

// started is told that a kmsd starts, whose time in which it ran begins at nothing.
func (c *Clock) started() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.start, c.ran = time.Now(), 0
}

// Wall implements keystore.Clock.
func (c *Clock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Round(0).UTC().Add(c.wall)
}

// Running implements keystore.Clock.
func (c *Clock) Running() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.start) + c.ran
}

// Step sets the clock ahead, or back, without time that passes.
func (c *Clock) Step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += d
}

// Pass lets time pass while kmsd runs.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += d
	c.ran += d
}

// Tick lets kmsd do what is due, as it does every minute.
func (k *KMS) Tick() {
	k.t.Helper()
	if err := k.daemon.Tick(context.Background()); err != nil {
		k.t.Error(err)
	}
}
