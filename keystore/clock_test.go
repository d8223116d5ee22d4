package keystore

import (
	"sync"
	"time"
)

// stepClock is a clock that stands, and is set.
type stepClock struct {
	mu      sync.Mutex
	wall    time.Time
	running time.Duration
}

func newStepClock() *stepClock {
	return &stepClock{wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), running: time.Second}
}

func (c *stepClock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

func (c *stepClock) Running() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running
}

// pass lets time pass by both clocks.
func (c *stepClock) pass(d time.Duration) { c.set(d, d) }

// set moves the clocks by as much.
func (c *stepClock) set(wall, running time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.running = c.wall.Add(wall), c.running+running
}
