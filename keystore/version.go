package keystore

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/cow"
)

// Rotation is why a version was made. The numbers are on disk and never change.
type Rotation uint8

// The reasons.
const (
	Creation Rotation = iota + 1
	OnDemand
	Automatic
)

// MaterialState is what a version is good for. Its values are AWS's names, and one of kmsd's.
type MaterialState string

// The states of versions.
const (
	MaterialCurrent         MaterialState = "CURRENT"
	MaterialNonCurrent      MaterialState = "NON_CURRENT"
	MaterialPendingRotation MaterialState = "PENDING_ROTATION"
	MaterialDisabled        MaterialState = "DISABLED"
)

// Version is one version of a key as one snapshot has it. It never changes.
type Version struct {
	Number   int // from 1
	Material crypto.MaterialID
	Name     string // Material as text
	Created  time.Time
	Rotation Rotation
	Disabled bool      // by DisableMaterial
	Imported *Imported // nil unless the material was imported

	id   crypto.KeyID
	spec crypto.Spec
	held *held // shared with this version in other snapshots; empty while there is no material
}

// held is material in memory.
type held struct {
	ready  atomic.Pointer[prepared] // made on first use: most keys of a large store are at rest
	mu     sync.Mutex               // guards secret against being wiped while it is read
	secret crypto.Secret
}

// Imported is what is known of material that was imported.
type Imported struct {
	Description string
	ValidTo     time.Time // zero if it does not expire
	Present     bool      // it is there: it was neither deleted nor has it expired

	pending    bool     // it waits for RotateKeyOnDemand
	commitment [32]byte // to the material, by which it is known again
}

// Expired says whether the material was there and is not to be used any more.
func (i *Imported) expired(now time.Time) bool {
	return i.Present && !i.ValidTo.IsZero() && !now.Before(i.ValidTo)
}

func (v *Version) pending() bool { return v.Imported != nil && v.Imported.pending }

// missing says whether the version has no material that could be used.
func (v *Version) missing(now time.Time) bool {
	return v.Imported != nil && (!v.Imported.Present || v.Imported.expired(now))
}

// with returns a copy of v that change has been applied to.
func (v *Version) with(change func(*Version)) *Version {
	next := *v
	if v.Imported != nil {
		i := *v.Imported
		next.Imported = &i
	}
	change(&next)
	return &next
}

// wipe overwrites the material, once nobody prepares it. Who holds it ready to use goes on with it.
func (h *held) wipe() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.secret.Wipe()
	h.secret = crypto.Secret{}
	h.ready.Store(nil)
}

// history has the versions of a key in the orders in which they are asked for. It never changes.
type history struct {
	byNumber   cow.Sorted[int, *Version]    // :: - number → version
	byMaterial cow.Sorted[string, *Version] // :: short material id → version
	pending    *Version                     // the one that waits for RotateKeyOnDemand, or nil
	onDemand   int                          // how many RotateKeyOnDemand made
}

func materialOrder(v *Version) string {
	short := v.Material.Short()
	return string(short[:])
}

// onDemand is 1 for a version that counts towards MaxOnDemandRotations.
func onDemand(v *Version) int {
	if v.Rotation == OnDemand && !v.pending() {
		return 1
	}
	return 0
}

func (h history) with(v *Version) history {
	if old, ok := h.byNumber.Load(-v.Number); ok {
		h.onDemand -= onDemand(old)
		if h.pending == old {
			h.pending = nil
		}
	}
	h.byNumber = h.byNumber.With(-v.Number, v)
	h.byMaterial = h.byMaterial.With(materialOrder(v), v)
	h.onDemand += onDemand(v)
	if v.pending() {
		h.pending = v
	}
	return h
}

// setVersion gives a key that nobody else sees yet a version, in the place of what had its number. It costs about the same among 10,000
// versions as among few.
func (k *Key) setVersion(v *Version) {
	if k.history == nil && k.current.Number != 0 && k.current.Number != v.Number {
		first := history{}.with(k.current)
		k.history = &first
	}
	if k.history != nil {
		next := k.history.with(v)
		k.history = &next
	}
	if v.Number >= k.current.Number && !v.pending() {
		k.current = v
	}
	if k.Origin == OriginExternal {
		k.expires, k.firstSweep = k.firstExpiries()
	}
}

// firstExpiries returns when the first material that the key needs expires, and when the first of all does. It is for keys whose material is
// imported, which have few versions.
func (k *Key) firstExpiries() (needed, first int64) {
	for v := range k.versions() {
		i := v.Imported
		if i == nil || !i.Present || i.ValidTo.IsZero() {
			continue
		}
		at := i.ValidTo.UnixNano()
		if first == 0 || at < first {
			first = at
		}
		if !i.pending && (needed == 0 || at < needed) {
			needed = at
		}
	}
	return needed, first
}

// versions ranges over the versions, the newest first.
func (k *Key) versions() func(func(*Version) bool) {
	return func(yield func(*Version) bool) {
		if k.history == nil {
			if k.current.Number != 0 {
				yield(k.current)
			}
			return
		}
		for _, v := range k.history.byNumber.All() {
			if !yield(v) {
				return
			}
		}
	}
}

// Current is the version that encrypts. Of a key that never had material it is one without number, material and name.
func (k *Key) Current() *Version { return k.current }

// VersionCount is the number of versions, with one that waits for its rotation.
func (k *Key) VersionCount() int {
	if k.history != nil {
		return k.history.byNumber.Len()
	}
	return min(k.current.Number, 1)
}

// Version returns the version of a material.
func (k *Key) Version(material crypto.MaterialID) (*Version, bool) {
	v, err := k.version(material.Short())
	if err != nil || v.Material != material {
		return nil, false
	}
	return v, true
}

// VersionsBelow returns up to limit versions whose numbers are below number, the newest first, and whether there are more. 0 stands for a number
// above all. It takes as long among 10,000 versions as among few.
func (k *Key) VersionsBelow(number, limit int) (page []*Version, more bool) {
	if number <= 0 {
		number = k.VersionCount() + 1
	}
	if k.history == nil {
		if v := k.current; v.Number != 0 && v.Number < number {
			if limit < 1 {
				return nil, true
			}
			return []*Version{v}, false
		}
		return nil, false
	}
	for _, v := range k.history.byNumber.After(-number) {
		if len(page) == limit {
			return page, true
		}
		page = append(page, v)
	}
	return page, false
}

// MaterialState is what a version of the key is good for.
func (k *Key) MaterialState(v *Version) MaterialState {
	switch {
	case v.pending():
		return MaterialPendingRotation
	case v.Disabled:
		return MaterialDisabled
	case v.Number == k.current.Number:
		return MaterialCurrent
	}
	return MaterialNonCurrent
}

// ValidTo is when the first of the imported material that the key needs expires; zero if none does.
func (k *Key) ValidTo() time.Time {
	if k.expires == 0 {
		return time.Time{}
	}
	return time.Unix(0, k.expires).UTC()
}

// version returns the version that a ciphertext names.
func (k *Key) version(material [16]byte) (*Version, error) {
	if v := k.current; v.Material.Short() == material && v.Number != 0 {
		return v, nil
	}
	if k.history != nil {
		if v, ok := k.history.byMaterial.Load(string(material[:])); ok {
			return v, nil
		}
	}
	return nil, ErrMaterialMissing
}

// materialMissing says whether the key lacks some of the material that it needs.
func (k *Key) materialMissing(now time.Time) bool {
	if k.Origin != OriginExternal {
		return false
	}
	if k.current.Number == 0 {
		return true
	}
	for v := range k.versions() {
		if !v.pending() && v.missing(now) {
			return true
		}
	}
	return false
}
