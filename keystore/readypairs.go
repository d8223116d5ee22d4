package keystore

import "sync"

// mostReadyPairs is how many key pairs are kept ready to be used. One of ML-DSA takes some 110 KB, where its material takes 32 bytes: who makes many and uses
// each once must not fill the memory. To make one ready again takes less time than to sign with it.
const mostReadyPairs = 2048

// readyPairs are the key pairs that are ready, those that were made so last. Its zero value is empty; it may be used concurrently.
type readyPairs struct {
	mu   sync.Mutex
	held [mostReadyPairs]*held
	next int
}

// add takes note that the pair of h is ready, and lets go of the one that was so for longest. Who holds that goes on with it.
func (r *readyPairs) add(h *held) {
	r.mu.Lock()
	old := r.held[r.next]
	r.held[r.next] = h
	r.next = (r.next + 1) % mostReadyPairs
	r.mu.Unlock()
	if old != nil && old != h {
		old.ready.Store(nil)
	}
}
