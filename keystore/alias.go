package keystore

import (
	"fmt"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

func aliasPath(account, name string) string { return account + "/" + name }

func putAlias(tx *storage.Tx, account string, a *Alias) error {
	return tx.Put(kindAlias, aliasPath(account, a.Name), mustJSON(aliasRecord{V: recordVersion, Key: a.Target.String(), Created: a.Created, Updated: a.Updated}))
}

// CreateAlias gives a key of the account another name. The grants are for kms:CreateAlias on the alias and on the
// key. Errors match ErrInvalidAliasName, ErrAlreadyExists, ErrNotFound, ErrInvalidState (of a key that is pending
// deletion) or ErrLimitExceeded.
func (ks *Keystore) CreateAlias(onAlias, onKey authz.Grant, account, name string, target crypto.KeyID) (*Alias, error) {
	if err := CheckAliasName(name); err != nil {
		return nil, err
	}
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s, now := ks.Snapshot(), ks.clock.Wall()
	k, err := s.permitted(onKey, authz.KMSCreateAlias, target)
	if err != nil {
		return nil, err
	}
	a := ks.place.alias(account, name, target, now, now)
	if !onAlias.Permits(authz.KMSCreateAlias, a.ARN) || k.Account() != account {
		return nil, ErrNotPermitted
	}
	return ks.putAlias(s, account, a, func() error {
		if _, ok := s.Alias(account, name); ok {
			return fmt.Errorf("%w: an alias with the name %s already exists", ErrAlreadyExists, a.ARN)
		}
		return k.takesAlias(now)
	})
}

// UpdateAlias points an alias to another key of the account. The grants are for kms:UpdateAlias on the alias, on the
// key that it points to and on the key that it shall point to. Errors match ErrNotFound, ErrInvalidState (the
// key that it shall point to is pending deletion), ErrValidation (the keys are not of one kind) or ErrLimitExceeded.
func (ks *Keystore) UpdateAlias(onAlias, onOld, onNew authz.Grant, account, name string, target crypto.KeyID) (*Alias, error) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s := ks.Snapshot()
	old, ok := s.Alias(account, name)
	if !ok {
		return nil, ErrNotFound
	}
	if _, err := s.permitted(onOld, authz.KMSUpdateAlias, old.Target); err != nil {
		return nil, err
	}
	k, err := s.permitted(onNew, authz.KMSUpdateAlias, target)
	if err != nil {
		return nil, err
	}
	if !onAlias.Permits(authz.KMSUpdateAlias, old.ARN) || k.Account() != account {
		return nil, ErrNotPermitted
	}
	now := ks.clock.Wall()
	a := ks.place.alias(account, name, target, old.Created, now)
	return ks.putAlias(s, account, a, func() error {
		if old.Target == target {
			return k.in(now, Enabled, Disabled, PendingImport)
		}
		if err := k.takesAlias(now); err != nil {
			return err
		}
		if was, ok := s.Key(old.Target); ok && !was.sameKind(k) {
			return refuse(ErrValidation, "An alias can be moved to a key of the same usage only, and both must be symmetric, both asymmetric or both HMAC keys.")
		}
		return nil
	})
}

// sameKind reports whether who uses k by an alias can use other in its place, as AWS KMS has it: symmetric, asymmetric or HMAC keys both, of one usage.
func (k *Key) sameKind(other *Key) bool {
	return k.Usage == other.Usage && k.Spec.Asymmetric() == other.Spec.Asymmetric()
}

// takesAlias says whether the key can have another alias.
func (k *Key) takesAlias(now time.Time) error {
	if err := k.in(now, Enabled, Disabled, PendingImport); err != nil {
		return err
	}
	if len(k.Aliases()) >= MaxAliasesPerKey {
		return fmt.Errorf("%w: a key has at most %d aliases", ErrLimitExceeded, MaxAliasesPerKey)
	}
	return nil
}

// putAlias writes an alias and publishes it, unless check refuses it.
func (ks *Keystore) putAlias(s *Snapshot, account string, a *Alias, check func() error) (*Alias, error) {
	out, err := ks.once(account, ks.clock.Wall(), func(tx *storage.Tx) (outcome, error) {
		if err := check(); err != nil {
			return outcome{}, err
		}
		return outcome{key: a.Target}, putAlias(tx, account, a)
	})
	if out.repeated {
		if as, ok := s.Alias(account, a.Name); ok {
			a = as
		}
	}
	if err == nil && !out.repeated {
		ks.snapshot.Store(s.withAlias(account, a))
	}
	return would(a, err)
}

// DeleteAlias removes an alias. The grants are for kms:DeleteAlias on the alias and on its key; where there is no alias, and a client token stands for
// its deletion, the one on the alias does. Errors match ErrNotFound.
func (ks *Keystore) DeleteAlias(onAlias, onKey authz.Grant, account, name string) error {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s := ks.Snapshot()
	if !onAlias.Permits(authz.KMSDeleteAlias, ks.place.AliasARN(account, name)) {
		return ErrNotPermitted
	}
	a, ok := s.Alias(account, name)
	if ok {
		if _, err := s.permitted(onKey, authz.KMSDeleteAlias, a.Target); err != nil {
			return err
		}
	}
	out, err := ks.once(account, ks.clock.Wall(), func(tx *storage.Tx) (outcome, error) {
		if !ok {
			return outcome{}, ErrNotFound
		}
		return outcome{key: a.Target}, tx.Delete(kindAlias, aliasPath(account, name))
	})
	if err != nil || out.repeated {
		return err
	}
	ks.snapshot.Store(s.withoutAlias(account, name))
	return nil
}
