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
// key. Errors match ErrInvalidAliasName, ErrAlreadyExists, ErrNotFound or ErrLimitExceeded.
func (ks *Keystore) CreateAlias(onAlias, onKey authz.Grant, account, name string, target crypto.KeyID) (*Alias, error) {
	if err := CheckAliasName(name); err != nil {
		return nil, err
	}
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s, now := ks.Snapshot(), time.Now().UTC()
	k, err := s.permitted(onKey, authz.KMSCreateAlias, target)
	if err != nil {
		return nil, err
	}
	a := ks.place.alias(account, name, target, now, now)
	if !onAlias.Permits(authz.KMSCreateAlias, a.ARN) || k.Account() != account {
		return nil, ErrNotPermitted
	}
	if _, ok := s.Alias(account, name); ok {
		return nil, fmt.Errorf("%w: an alias with the name %s already exists", ErrAlreadyExists, a.ARN)
	}
	if err := roomForAlias(k); err != nil {
		return nil, err
	}
	return ks.publishAlias(s, account, a)
}

// UpdateAlias points an alias to another key of the account. The grants are for kms:UpdateAlias on the alias, on the
// key that it points to and on the key that it shall point to. Errors match ErrNotFound or ErrLimitExceeded.
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
	if old.Target != target {
		if err := roomForAlias(k); err != nil {
			return nil, err
		}
	}
	a := ks.place.alias(account, name, target, old.Created, time.Now().UTC())
	return ks.publishAlias(s, account, a)
}

func roomForAlias(k *Key) error {
	if len(k.Aliases()) >= MaxAliasesPerKey {
		return fmt.Errorf("%w: a key has at most %d aliases", ErrLimitExceeded, MaxAliasesPerKey)
	}
	return nil
}

func (ks *Keystore) publishAlias(s *Snapshot, account string, a *Alias) (*Alias, error) {
	if err := ks.transact(func(tx *storage.Tx) error { return putAlias(tx, account, a) }); err != nil {
		return would(a, err)
	}
	ks.snapshot.Store(s.withAlias(account, a))
	return a, nil
}

// DeleteAlias removes an alias. The grants are for kms:DeleteAlias on the alias and on its key. Errors match
// ErrNotFound.
func (ks *Keystore) DeleteAlias(onAlias, onKey authz.Grant, account, name string) error {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s := ks.Snapshot()
	a, ok := s.Alias(account, name)
	if !ok {
		return ErrNotFound
	}
	if _, err := s.permitted(onKey, authz.KMSDeleteAlias, a.Target); err != nil {
		return err
	}
	if !onAlias.Permits(authz.KMSDeleteAlias, a.ARN) {
		return ErrNotPermitted
	}
	if err := ks.transact(func(tx *storage.Tx) error { return tx.Delete(kindAlias, aliasPath(account, name)) }); err != nil {
		return err
	}
	ks.snapshot.Store(s.withoutAlias(account, name))
	return nil
}
