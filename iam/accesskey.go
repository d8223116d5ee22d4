package iam

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

// AccessKey is an access key with its secret, as it is told once, when it is made. It prints without the secret.
type AccessKey struct {
	ID      string        // AKIA and 16 of A-Z and 2-7
	Secret  crypto.Secret // 40 characters of base64; the caller's own copy, to be wiped when it has been told
	Created time.Time
}

// AccessKeyInfo is what may be said of an access key.
type AccessKeyInfo struct {
	ID      string
	Status  Status
	Created time.Time
}

type accessKey struct {
	id      string
	secret  crypto.Secret
	status  Status
	created time.Time
	used    *lastUse // shared by all that is made of the key
}

// told returns k for its owner, with a copy of the secret.
func (k accessKey) told() AccessKey {
	return AccessKey{ID: k.id, Secret: crypto.NewSecret(bytes.Clone(k.secret.Expose())), Created: k.created}
}

func newAccessKey(s *Snapshot) accessKey {
	for {
		k := accessKey{id: newAccessKeyID(), secret: newSecretKey(), status: Active, created: present(), used: &lastUse{}}
		if _, taken := s.AccessKey(k.id); !taken {
			return k
		}
	}
}

// CreateAccessKey gives a user, or the root user for RootName, an access key. Each may have MaxAccessKeysPerUser,
// active or not (ErrLimitExceeded). The grant must permit authz.IAMCreateAccessKey on the user's ARN.
func (i *IAM) CreateAccessKey(g authz.Grant, account, name string) (AccessKey, error) {
	var k accessKey
	var once toldOnce
	err := i.update("creating an access key", &once, func(next *Snapshot, tx *storage.Tx) error {
		p, err := next.target(g, authz.IAMCreateAccessKey, account, name)
		if err != nil {
			return err
		}
		if len(p.keys) >= MaxAccessKeysPerUser {
			return fmt.Errorf("%w: %d access keys for a user", ErrLimitExceeded, MaxAccessKeysPerUser)
		}
		k = newAccessKey(next)
		once.Of = "access key " + k.id
		return next.putAccessKey(tx, p, append(slices.Clone(p.keys), k), k)
	})
	if err != nil {
		return AccessKey{}, err
	}
	return k.told(), nil
}

// putAccessKey gives p the access keys of a list and writes the one that is new in it.
func (s *Snapshot) putAccessKey(tx *storage.Tx, p *principal, keys []accessKey, k accessKey) error {
	changed := p.clone()
	changed.keys = keys
	s.setUser(p, changed)
	record := encodeAccessKey(k)
	defer clear(record)
	return tx.Put(kindAccessKey, join(p.Account, p.ID, k.id), record)
}

// UpdateAccessKey sets the status of an access key. It holds for every call that reads the snapshot after it
// returns. The grant must permit authz.IAMUpdateAccessKey on the user's ARN.
func (i *IAM) UpdateAccessKey(g authz.Grant, account, name, id string, status Status) error {
	if status != Active && status != Inactive {
		return invalid("Status", "must be Active or Inactive")
	}
	return i.update("updating an access key", nil, func(next *Snapshot, tx *storage.Tx) error {
		p, at, err := next.targetKey(g, authz.IAMUpdateAccessKey, account, name, id)
		if err != nil {
			return err
		}
		keys := slices.Clone(p.keys)
		keys[at].status = status
		return next.putAccessKey(tx, p, keys, keys[at])
	})
}

// DeleteAccessKey removes an access key for good. The grant must permit authz.IAMDeleteAccessKey on the user's ARN.
func (i *IAM) DeleteAccessKey(g authz.Grant, account, name, id string) error {
	return i.update("deleting an access key", nil, func(next *Snapshot, tx *storage.Tx) error {
		p, at, err := next.targetKey(g, authz.IAMDeleteAccessKey, account, name, id)
		if err != nil {
			return err
		}
		changed := p.clone()
		changed.keys = slices.Delete(slices.Clone(p.keys), at, at+1)
		next.setUser(p, changed)
		if err := forgetLastUse(tx, join(account, p.ID, id)); err != nil {
			return err
		}
		return tx.Delete(kindAccessKey, join(account, p.ID, id))
	})
}

func (s *Snapshot) targetKey(g authz.Grant, action authz.Action, account, name, id string) (*principal, int, error) {
	p, err := s.target(g, action, account, name)
	if err != nil {
		return nil, 0, err
	}
	at := slices.IndexFunc(p.keys, func(k accessKey) bool { return k.id == id })
	if at < 0 {
		return nil, 0, fmt.Errorf("%w: the user has no such access key", ErrNoSuchEntity)
	}
	return p, at, nil
}

// ListAccessKeys returns the access keys of a user, or of the root user for RootName, in the order they were made.
// The grant must permit authz.IAMListAccessKeys on the user's ARN.
func (s *Snapshot) ListAccessKeys(g authz.Grant, account, name string) ([]AccessKeyInfo, error) {
	p, err := s.target(g, authz.IAMListAccessKeys, account, name)
	if err != nil {
		return nil, err
	}
	list := make([]AccessKeyInfo, 0, len(p.keys))
	for _, k := range p.keys {
		list = append(list, AccessKeyInfo{ID: k.id, Status: k.status, Created: k.created})
	}
	return list, nil
}
