package keystore

import (
	"fmt"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
)

// State is where a key is in its life. The zero value is no state.
type State uint8

// The states of a key, as AWS KMS calls them. The numbers are on disk and never change.
const (
	Enabled State = iota + 1
	Disabled
	PendingDeletion
	PendingImport
)

// String is AWS's name of the state.
func (s State) String() string {
	switch s {
	case Enabled:
		return "Enabled"
	case Disabled:
		return "Disabled"
	case PendingDeletion:
		return "PendingDeletion"
	case PendingImport:
		return "PendingImport"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// words are the state in AWS's messages.
func (s State) words() string {
	switch s {
	case Disabled:
		return "is disabled"
	case PendingDeletion:
		return "is pending deletion"
	case PendingImport:
		return "is pending import"
	}
	return "is " + s.String()
}

// Origin is where the material of a key comes from. Its values are AWS's names.
type Origin string

// The origins.
const (
	OriginKMS      Origin = "AWS_KMS"  // kmsd made it
	OriginExternal Origin = "EXTERNAL" // it is imported
)

// Key is a master key as one snapshot has it: metadata, policy and versions. It never changes, and many goroutines
// may read it.
type Key struct {
	ID       crypto.KeyID
	Name     string // ID as text
	ARN      string
	Created  time.Time
	State    State // as it was written: StateAt knows of material that has expired
	Spec     crypto.Spec
	Usage    crypto.Usage
	Origin   Origin
	Resource authz.Resource // what authz decides about, but for the Membership of the account, which iam knows
	Policy   *Policy

	DeletionProtection bool // ScheduleDeletion and DeleteImportedMaterial are refused
	Description        string
	PolicyUpdated      time.Time

	tags    []Tag // in the order of their keys
	grants  grantIndex
	current *Version // never nil
	history *history // nil while there is one version at most
	life    *life    // nil if there is nothing to say
	use     *usage   // shared by all snapshots of the key

	// When the first of the imported material that the key needs expires, and the first of all; in nanoseconds since 1970, 0 for never.
	expires, firstSweep int64
}

// life is what few keys have: dates of their life. It never changes. The zero value says nothing.
type life struct {
	rotationDays int           // the period of automatic rotation, kept while that is off so that it can be turned on again with it
	rotates      bool          // automatic rotation is on
	nextRotation time.Time     // while it is on
	windowDays   int           // while the key is pending deletion
	deletion     time.Time     // likewise
	servedBefore time.Duration // how long kmsd had run when the deletion was scheduled
	disabled     time.Time     // since when the key cannot be used; zero if it can or if that is not known
}

// newKey returns a key without policy, tags or versions.
func (p Place) newKey(account string, id crypto.KeyID, created time.Time, spec crypto.Spec, u crypto.Usage, o Origin) *Key {
	arn := p.KeyARN(account, id)
	return &Key{
		ID: id, Name: arn[len(arn)-keyIDSize:], ARN: arn, Created: created, State: Enabled, Spec: spec, Usage: u, Origin: o,
		Resource: authz.Resource{Kind: authz.Key, Account: account, ARN: arn, KeySpec: string(spec), KeyUsage: string(u), KeyOrigin: string(o)},
		current:  &Version{id: id, spec: spec, held: &held{}},
	}
}

// keyIDSize is how long a key id is as text, with which an ARN ends.
const keyIDSize = 36

func (k *Key) setPolicy(p *Policy, updated time.Time) {
	k.Policy, k.Resource.Policy, k.PolicyUpdated = p, p.compiled, updated
}

// setLife changes the dates of a key that nobody else sees yet.
func (k *Key) setLife(change func(*life)) {
	var next life
	if k.life != nil {
		next = *k.life
	}
	change(&next)
	k.life = &next
	if next == (life{}) {
		k.life = nil
	}
}

// dates are those of the key's life.
func (k *Key) dates() life {
	if k.life == nil {
		return life{}
	}
	return *k.life
}

// Account is the account that owns the key.
func (k *Key) Account() string { return k.Resource.Account }

// Aliases returns the key's aliases in the order of their names. The caller must not change the slice.
func (k *Key) Aliases() []string { return k.Resource.Aliases }

// GrantCount is the number of grants, with those that have expired and were not removed yet.
func (k *Key) GrantCount() int { return k.grants.byID.Len() }

// DeletionDate is when the key will be deleted at the earliest, and its waiting period in days; zero unless it is pending deletion.
func (k *Key) DeletionDate() (date time.Time, windowDays int) {
	d := k.dates()
	return d.deletion, d.windowDays
}

// DisabledDate is since when the key cannot be used; zero if it can, or if it was disabled by a kmsd that did not keep it.
func (k *Key) DisabledDate() time.Time { return k.dates().disabled }

// StateAt is the state at a time: a key whose imported material has expired by then is PendingImport.
func (k *Key) StateAt(now time.Time) State {
	if k.expires != 0 && now.UnixNano() >= k.expires && (k.State == Enabled || k.State == Disabled) {
		return PendingImport
	}
	return k.State
}

// enabled returns a *StateError unless the key can be used.
func (k *Key) enabled(now time.Time) error {
	if s := k.StateAt(now); s != Enabled {
		return &StateError{ARN: k.ARN, State: s}
	}
	return nil
}

// in returns a *StateError unless the key is in one of these states.
func (k *Key) in(now time.Time, states ...State) error {
	s := k.StateAt(now)
	for _, allowed := range states {
		if s == allowed {
			return nil
		}
	}
	return &StateError{ARN: k.ARN, State: s}
}

// setState changes the state of a key that nobody else sees yet, and notes since when it cannot be used.
func (k *Key) setState(s State, now time.Time) {
	if k.State == s {
		return
	}
	k.State = s
	k.setLife(func(l *life) {
		switch {
		case s == Enabled:
			l.disabled = time.Time{}
		case l.disabled.IsZero():
			l.disabled = now
		}
	})
}

// with returns a copy of k that change has been applied to.
func (k *Key) with(change func(*Key)) *Key {
	next := *k
	change(&next)
	return &next
}
