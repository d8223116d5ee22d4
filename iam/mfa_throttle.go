package iam

import (
	"slices"
	"sync"
	"time"
)

const (
	maxWrongCodes   = 10
	wrongCodeWindow = 10 * time.Minute
	maxThrottled    = 512 // devices of one account whose wrong codes are remembered, and again as many that are nobody's
)

// mfaThrottle counts the wrong codes of each device. Accounts do not share what room there is, so that none can have the codes
// of another refused; nor do devices that are somebody's share it with those that are nobody's, of which who may make them has as
// many as it likes. It is safe for concurrent use; the zero value has seen none.
type mfaThrottle struct {
	mu    sync.Mutex
	wrong map[throttleShare]map[string][]time.Time // :: share → device id → instants of its wrong codes, at most maxWrongCodes, the oldest first
	swept time.Time                                // when all shares were last rid of what is past
}

// throttleShare is what devices have a room of their own in common.
type throttleShare struct {
	account string
	idle    bool // they are nobody's
}

func (d *mfaDevice) share() throttleShare { return throttleShare{d.account, d.owner == ""} }

// enter notes a try at now, and reports whether it may be made.
func (t *mfaThrottle) enter(s throttleShare, id string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.swept) >= wrongCodeWindow {
		t.swept = now
		for s := range t.wrong {
			t.sweep(s, now)
		}
	}
	tries := recent(t.wrong[s][id], now)
	if len(tries) >= maxWrongCodes {
		return false
	}
	if len(t.wrong[s]) >= maxThrottled && t.wrong[s][id] == nil {
		if t.sweep(s, now); len(t.wrong[s]) >= maxThrottled {
			return false // as many devices under attack at once: no more tries in this account until that ends
		}
	}
	if t.wrong == nil {
		t.wrong = map[throttleShare]map[string][]time.Time{}
	}
	if t.wrong[s] == nil {
		t.wrong[s] = map[string][]time.Time{}
	}
	t.wrong[s][id] = append(tries, now)
	return true
}

// forgive takes back a try that was not wrong.
func (t *mfaThrottle) forgive(s throttleShare, id string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tries := t.wrong[s][id]
	if n := slices.IndexFunc(tries, at.Equal); n >= 0 {
		t.keep(s, id, slices.Delete(slices.Clone(tries), n, n+1))
	}
}

// keep remembers tries in the place of those that it has of a device.
func (t *mfaThrottle) keep(s throttleShare, id string, tries []time.Time) {
	if len(tries) > 0 {
		t.wrong[s][id] = tries
		return
	}
	if delete(t.wrong[s], id); len(t.wrong[s]) == 0 {
		delete(t.wrong, s)
	}
}

// sweep forgets the wrong codes of a share that are past.
func (t *mfaThrottle) sweep(s throttleShare, now time.Time) {
	for id, tries := range t.wrong[s] {
		t.keep(s, id, recent(tries, now))
	}
}

// recent returns the tries within the window before now. Those that seem to lie after now count too.
func recent(tries []time.Time, now time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(tries), func(at time.Time) bool { return now.Sub(at) >= wrongCodeWindow })
}
