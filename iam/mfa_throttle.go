package iam

import (
	"slices"
	"sync"
	"time"
)

const (
	maxWrongCodes   = 10
	wrongCodeWindow = 10 * time.Minute
	maxThrottled    = 4096 // devices whose wrong codes are remembered
)

// mfaThrottle counts the wrong codes of each device. It is safe for concurrent use; the zero value has seen none.
type mfaThrottle struct {
	mu    sync.Mutex
	wrong map[string][]time.Time // :: device id → instants of its wrong codes, at most maxWrongCodes, the oldest first
}

// enter notes a try at now, and reports whether it may be made.
func (t *mfaThrottle) enter(id string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	tries := recent(t.wrong[id], now)
	if len(tries) >= maxWrongCodes {
		t.wrong[id] = tries
		return false
	}
	if t.wrong == nil {
		t.wrong = map[string][]time.Time{}
	}
	if len(t.wrong) >= maxThrottled && t.wrong[id] == nil && !t.sweep(now) {
		return false // as many devices under attack at once: no more tries until that ends
	}
	t.wrong[id] = append(tries, now)
	return true
}

// forgive takes back a try that was not wrong.
func (t *mfaThrottle) forgive(id string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tries := t.wrong[id]
	if n := slices.IndexFunc(tries, at.Equal); n >= 0 {
		tries = slices.Delete(slices.Clone(tries), n, n+1)
	}
	if len(tries) == 0 {
		delete(t.wrong, id)
		return
	}
	t.wrong[id] = tries
}

// sweep forgets devices without a recent wrong code, and reports whether there is room then.
func (t *mfaThrottle) sweep(now time.Time) bool {
	for id, tries := range t.wrong {
		if len(recent(tries, now)) == 0 {
			delete(t.wrong, id)
		}
	}
	return len(t.wrong) < maxThrottled
}

// recent returns the tries within the window before now. Those that seem to lie after now count too.
func recent(tries []time.Time, now time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(tries), func(at time.Time) bool { return now.Sub(at) >= wrongCodeWindow })
}
