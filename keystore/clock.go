package keystore

import "time"

// Clock tells the time.
type Clock interface {
	// Wall returns the time of day, which may be wrong and may jump.
	Wall() time.Time
	// Running returns for how long this process has been running, by a clock that never jumps and does not count while the machine sleeps.
	Running() time.Duration
}

// machineClock is the clock of the machine.
type machineClock struct{ start time.Time }

// MachineClock returns the clock of the machine: time.Now, and CLOCK_MONOTONIC from now on.
func MachineClock() Clock { return machineClock{time.Now()} }

// Wall is without the monotonic reading, so that what is compared with it is compared by the time of day.
func (machineClock) Wall() time.Time { return time.Now().Round(0).UTC() }

// Running is by the monotonic clock, which time.Since uses.
func (c machineClock) Running() time.Duration { return time.Since(c.start) }

// Now is the time of day by the keystore's clock, by which imported material expires.
func (ks *Keystore) Now() time.Time { return ks.clock.Wall() }
