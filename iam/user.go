package iam

import (
	"fmt"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// CreateUser makes a user without credentials and policies. An empty path means "/". The grant must permit
// authz.IAMCreateUser on NewUserARN. The user is durable when it returns nil; the error matches ErrValidation,
// ErrEntityExists (also for a name that differs in case only) or ErrLimitExceeded.
func (i *IAM) CreateUser(g authz.Grant, account, name, path string) (User, error) {
	if path == "" {
		path = "/"
	}
	if err := checkName("UserName", name, maxUserName); err != nil {
		return User{}, err
	}
	if err := checkPath(path); err != nil {
		return User{}, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.Snapshot()
	if !g.Permits(authz.IAMCreateUser, s.NewUserARN(account, path, name)) {
		return User{}, ErrNotPermitted
	}
	a, ok := s.accounts.Load(account)
	if !ok {
		return User{}, fmt.Errorf("%w: there is no such account", ErrNoSuchEntity)
	}
	if _, exists := a.find(name); exists {
		return User{}, fmt.Errorf("%w: a user of this name", ErrEntityExists)
	}
	if len(a.users) >= i.cfg.MaxUsers {
		return User{}, fmt.Errorf("%w: %d users in an account", ErrLimitExceeded, i.cfg.MaxUsers)
	}
	p := &principal{User: User{
		Account: account, ID: newUserID(), Name: name, Path: path, ARN: s.NewUserARN(account, path, name), Created: present(),
	}}
	err := i.commit(s, nil, p, func(tx *storage.Tx) error {
		return tx.Put(kindUser, join(account, p.ID), encodeUser(p.User))
	})
	if err != nil {
		return User{}, fmt.Errorf("creating a user: %w", err)
	}
	return p.User, nil
}

func encodeUser(u User) []byte {
	return encodeJSON(userRecord{Version: recordVersion, ID: u.ID, Name: u.Name, Path: u.Path, Created: u.Created})
}

// DeleteUser removes a user, who must have no access keys, certificates and policies left (ErrDeleteConflict). The
// grant must permit authz.IAMDeleteUser on the user's ARN. The user's id is never given again.
func (i *IAM) DeleteUser(g authz.Grant, account, name string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.Snapshot()
	p, err := s.target(g, authz.IAMDeleteUser, account, name)
	if err != nil {
		return err
	}
	if p.isRoot() {
		return noRoot()
	}
	if len(p.keys)+len(p.policies)+len(p.certificates) > 0 {
		return ErrDeleteConflict
	}
	err = i.commit(s, p, nil, func(tx *storage.Tx) error { return tx.Delete(kindUser, join(account, p.ID)) })
	if err != nil {
		return fmt.Errorf("deleting a user: %w", err)
	}
	return nil
}

// target returns the principal that an operation is about, if the grant permits the action on it.
func (s *Snapshot) target(g authz.Grant, action authz.Action, account, name string) (*principal, error) {
	if name != RootName {
		if err := checkName("UserName", name, maxUserName); err != nil {
			return nil, err
		}
	}
	if !g.Permits(action, s.UserARN(account, name)) {
		return nil, ErrNotPermitted
	}
	p, ok := s.principal(account, name)
	if !ok {
		return nil, fmt.Errorf("%w: there is no user of this name", ErrNoSuchEntity)
	}
	return p, nil
}

func noRoot() error { return invalid("UserName", "must not be the root user's") }
