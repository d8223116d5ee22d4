package iam

import (
	"cmp"
	"fmt"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// NewUser is what CreateUser makes.
type NewUser struct {
	Name                string
	Path                string      // empty means "/"
	PermissionsBoundary string      // ARN of a managed policy; empty for none
	Tags                []Tag       // up to MaxTags
	Tagging             authz.Grant // must permit authz.IAMTagUser on NewUserARN if there are tags
}

// CreateUser makes a user without credentials and policies. The grant must permit authz.IAMCreateUser on NewUserARN. The
// user is durable when it returns nil; the error matches ErrValidation, ErrEntityExists (also for a name that differs in case
// only), ErrNoSuchEntity (the boundary) or ErrLimitExceeded.
func (i *IAM) CreateUser(g authz.Grant, account string, n NewUser) (User, error) {
	n.Path = or(n.Path, "/")
	tags, err := newTags(n.Tags)
	if err = cmp.Or(checkName("UserName", n.Name, maxUserName), checkPath(n.Path), err); err != nil {
		return User{}, err
	}
	var made User
	err = i.update("creating a user", &made, func(next *Snapshot, tx *storage.Tx) error {
		arn := next.NewUserARN(account, n.Path, n.Name)
		if !g.Permits(authz.IAMCreateUser, arn) || len(tags) > 0 && !n.Tagging.Permits(authz.IAMTagUser, arn) {
			return ErrNotPermitted
		}
		if err := next.mayAdd(account, "user", n.Name, next.directory(account).users, i.cfg.MaxUsers); err != nil {
			return err
		}
		p := &principal{userState: userState{
			User: User{Account: account, ID: newUserID(), Name: n.Name, Path: n.Path, ARN: arn, Created: present()},
			tags: tags,
		}}
		if p.boundary, p.PermissionsBoundary, err = next.boundaryID(account, n.PermissionsBoundary); err != nil {
			return err
		}
		made = p.User
		return next.putUser(tx, nil, p)
	})
	if err != nil {
		return User{}, err
	}
	return made, nil
}

// mayAdd checks that an account exists, and that a name is free in it and its limit not reached.
func (s *Snapshot) mayAdd(account, what, name string, list names, limit int) error {
	if _, ok := s.accounts.Load(account); !ok {
		return fmt.Errorf("%w: there is no such account", ErrNoSuchEntity)
	}
	if _, taken := list.find(name); taken {
		return fmt.Errorf("%w: a %s of this name", ErrEntityExists, what)
	}
	if len(list) >= limit {
		return fmt.Errorf("%w: %d %ss in an account", ErrLimitExceeded, limit, what)
	}
	return nil
}

// putUser is setUser with the user's record.
func (s *Snapshot) putUser(tx *storage.Tx, old, next *principal) error {
	if next == nil {
		s.setUser(old, nil)
		return tx.Delete(kindUser, join(old.Account, old.ID))
	}
	s.setUser(old, next)
	if next.isRoot() {
		return nil
	}
	return tx.Put(kindUser, join(next.Account, next.ID), next.record())
}

// DeleteUser removes a user, who must have no access keys, certificates, policies and groups left (ErrDeleteConflict). The
// grant must permit authz.IAMDeleteUser on the user's ARN. The user's id is never given again.
func (i *IAM) DeleteUser(g authz.Grant, account, name string) error {
	return i.update("deleting a user", nil, func(next *Snapshot, tx *storage.Tx) error {
		p, err := next.notRoot(g, authz.IAMDeleteUser, account, name)
		if err != nil {
			return err
		}
		if err := has("user", []left{
			{"access keys", len(p.keys)},
			{"client certificates", len(p.certificates)},
			{"inline policies", len(p.inline)},
			{"attached policies", len(p.attached)},
			{"groups", len(p.groups)},
			{"MFA devices", next.mfaDevices(p.ID)},
		}); err != nil {
			return err
		}
		return next.putUser(tx, p, nil)
	})
}

// left is something that keeps an entity from being deleted if n is not zero.
type left struct {
	what string
	n    int
}

// has returns ErrDeleteConflict with what is left, or nil if there is nothing.
func has(entity string, list []left) error {
	text := ""
	for _, l := range list {
		if l.n > 0 {
			text += ", " + l.what
		}
	}
	if text == "" {
		return nil
	}
	return fmt.Errorf("%w: the %s still has %s", ErrDeleteConflict, entity, text[2:])
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

// notRoot is target for operations that a root user has no part in.
func (s *Snapshot) notRoot(g authz.Grant, action authz.Action, account, name string) (*principal, error) {
	p, err := s.target(g, action, account, name)
	if err == nil && p.isRoot() {
		err = noRoot()
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

func noRoot() error { return invalid("UserName", "must not be the root user's") }
