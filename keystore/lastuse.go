package keystore

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
)

// LastUse is a use of a key. The zero value stands for none.
type LastUse struct {
	Operation string    // such as "Decrypt"
	Time      time.Time // to the second
	Event     [16]byte  // the id of its audit event
	Request   [16]byte  // the id of its request
}

// usage is what is known of the uses of a key. All snapshots of the key share one; its methods may be called concurrently.
type usage struct {
	log     *usageLog
	account string
	key     crypto.KeyID

	noted   atomic.Int64 // the second of last, so that most uses need look no further
	last    atomic.Pointer[LastUse]
	refused atomic.Pointer[refusals]
	dirty   atomic.Bool // in log.dirty
}

// refusals are the uses that were refused because of the key's state since it cannot be used. It never changes.
type refusals struct {
	count int64
	last  LastUse
}

// usageLog knows which keys were used since it was last saved, and which key pairs are ready for the next use.
type usageLog struct {
	clock Clock
	start time.Time // since when uses are tracked
	pairs readyPairs

	mu    sync.Mutex
	dirty []*usage
}

func (l *usageLog) of(account string, key crypto.KeyID) *usage {
	return &usage{log: l, account: account, key: key}
}

// NoteUse says that the key was used at a time, and by which event and request. It counts once a second for each key: of the uses in one second the
// first is kept. What it says is durable within a minute, while the Keystore is started, and when that is closed.
func (key *Key) NoteUse(op authz.Action, at time.Time, event, request [16]byte) {
	u, second := key.use, at.Unix()
	before := u.noted.Load()
	if before == second || !u.noted.CompareAndSwap(before, second) {
		return
	}
	u.last.Store(&LastUse{operationOf(op), time.Unix(second, 0).UTC(), event, request})
	u.changed()
}

// NoteRefused says that somebody who was allowed to wanted to use the key, and was refused because of its state. All of them are counted.
func (key *Key) NoteRefused(op authz.Action, at time.Time, event, request [16]byte) {
	u := key.use
	for {
		old := u.refused.Load()
		next := &refusals{1, LastUse{operationOf(op), time.Unix(at.Unix(), 0).UTC(), event, request}}
		if old != nil {
			next.count += old.count
		}
		if u.refused.CompareAndSwap(old, next) {
			break
		}
	}
	u.changed()
}

// changed puts u on the list of what is to be saved.
func (u *usage) changed() {
	if u.dirty.CompareAndSwap(false, true) {
		u.log.mu.Lock()
		defer u.log.mu.Unlock()
		u.log.dirty = append(u.log.dirty, u)
	}
}

// forgetRefusals begins to count anew.
func (u *usage) forgetRefusals() {
	if u.refused.Swap(nil) != nil {
		u.changed()
	}
}

// take returns up to n of those that have changed, and takes them from the list.
func (l *usageLog) take(n int) []*usage {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = min(n, len(l.dirty))
	batch := l.dirty[:n:n]
	l.dirty = l.dirty[n:]
	for _, u := range batch {
		u.dirty.Store(false) // a use from here on puts it on the list again
	}
	return batch
}

// LastUse returns the last use of the key, and false if there was none since TrackingStart.
func (key *Key) LastUse() (LastUse, bool) {
	if last := key.use.last.Load(); last != nil {
		return *last, true
	}
	return LastUse{}, false
}

// Refused returns how many uses were refused because of the key's state since it was last enabled, and the last of them.
func (key *Key) Refused() (count int64, last LastUse) {
	if r := key.use.refused.Load(); r != nil {
		return r.count, r.last
	}
	return 0, LastUse{}
}

// TrackingStart is since when the uses of the key are tracked: since it was created, or since the store was first opened by a kmsd that does.
func (key *Key) TrackingStart() time.Time {
	if start := key.use.log.start; start.After(key.Created) {
		return start
	}
	return key.Created
}
