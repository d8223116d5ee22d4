package iam

import (
	"cmp"
	"fmt"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// NewRole is what CreateRole makes.
type NewRole struct {
	Name                string
	Path                string // empty means "/"
	Description         string
	TrustPolicy         string        // the document
	MaxSessionDuration  time.Duration // zero means DefaultMaxSessionDuration
	PermissionsBoundary string        // ARN of a managed policy; empty for none
	Tags                []Tag         // up to MaxTags
	Tagging             authz.Grant   // must permit authz.IAMTagRole on NewRoleARN if there are tags
}

// CreateRole makes a role without permissions. The users and roles that its trust policy names, of whatever account of the store,
// are bound to their ids and must exist. The grant must permit authz.IAMCreateRole on NewRoleARN. Errors match ErrValidation,
// ErrEntityExists (also for a name that differs in case only), ErrNoSuchEntity (the boundary), ErrLimitExceeded or
// ErrMalformedPolicy.
func (i *IAM) CreateRole(g authz.Grant, account string, n NewRole) (Role, error) {
	var made Role
	err := i.update("creating a role", &made, func(next *Snapshot, tx *storage.Tx) error {
		arn := next.NewRoleARN(account, or(n.Path, "/"), n.Name)
		if !g.Permits(authz.IAMCreateRole, arn) || len(n.Tags) > 0 && !n.Tagging.Permits(authz.IAMTagRole, arn) {
			return ErrNotPermitted
		}
		r, err := next.createRole(tx, account, n)
		if err != nil {
			return err
		}
		made = r.Role
		return nil
	})
	return made, err
}

// createRole is CreateRole within an update, without grants, and with managed policies attached, given by their ARNs.
func (s *Snapshot) createRole(tx *storage.Tx, account string, n NewRole, attached ...string) (*role, error) {
	n.Path = or(n.Path, "/")
	n.MaxSessionDuration = cmp.Or(n.MaxSessionDuration, DefaultMaxSessionDuration)
	tags, err := newTags(n.Tags)
	err = cmp.Or(checkName("RoleName", n.Name, maxRoleName), checkPath(n.Path), checkDescription(n.Description), checkMaxSession(n.MaxSessionDuration), err)
	if err != nil {
		return nil, err
	}
	if err := s.mayAdd(account, "role", n.Name, s.directory(account).roles, MaxRoles); err != nil {
		return nil, err
	}
	r := &role{roleState: roleState{
		Role: Role{
			Account: account, ID: newRoleID(), Name: n.Name, Path: n.Path, ARN: s.NewRoleARN(account, n.Path, n.Name), Description: n.Description,
			MaxSessionDuration: n.MaxSessionDuration, Created: present(),
		},
		tags: tags,
	}}
	if err := s.setTrust(r, n.TrustPolicy); err != nil {
		return nil, err
	}
	if r.boundary, r.PermissionsBoundary, err = s.boundaryID(account, n.PermissionsBoundary); err != nil {
		return nil, err
	}
	for _, arn := range attached {
		if err := s.attach(&r.policySet, account, arn); err != nil {
			return nil, err
		}
	}
	return r, s.putRole(tx, nil, r)
}

// setTrust gives r, which nobody else sees yet, a trust policy.
func (s *Snapshot) setTrust(r *role, document string) (err error) {
	if significantChars(document) > MaxTrustPolicyChars {
		return fmt.Errorf("%w: %d characters for a trust policy", ErrLimitExceeded, MaxTrustPolicyChars)
	}
	r.TrustPolicy = document
	r.trust, err = bindTrust(document, s.PrincipalID)
	return err
}

// putRole is setRole with the role's record.
func (s *Snapshot) putRole(tx *storage.Tx, old, next *role) error {
	s.setRole(old, next)
	return tx.Put(kindRole, join(next.Account, next.ID), next.record())
}

// targetRole returns the role that an operation is about, if the grant permits the action on it.
func (s *Snapshot) targetRole(g authz.Grant, action authz.Action, account, name string) (*role, error) {
	if err := checkName("RoleName", name, maxRoleName); err != nil {
		return nil, err
	}
	if !g.Permits(action, s.RoleARN(account, name)) {
		return nil, ErrNotPermitted
	}
	r, ok := s.role(account, name)
	if !ok {
		return nil, fmt.Errorf("%w: there is no role of this name", ErrNoSuchEntity)
	}
	return r, nil
}

// changeRole is an update of what the record of one role says.
func (i *IAM) changeRole(what string, g authz.Grant, action authz.Action, account, name string, f func(s *Snapshot, r *role) error) error {
	return i.update(what, nil, func(next *Snapshot, tx *storage.Tx) error {
		r, err := next.targetRole(g, action, account, name)
		if err != nil {
			return err
		}
		changed := r.clone()
		if err := f(next, changed); err != nil {
			return err
		}
		return next.putRole(tx, r, changed)
	})
}

// RoleUpdate says what UpdateRole changes: what is nil stays as it is.
type RoleUpdate struct {
	Description        *string
	MaxSessionDuration *time.Duration
}

// UpdateRole changes the description of a role and how long its sessions may be; those that are open stay as they are. The grant must
// permit authz.IAMUpdateRole on the role's ARN.
func (i *IAM) UpdateRole(g authz.Grant, account, name string, u RoleUpdate) error {
	return i.changeRole("updating a role", g, authz.IAMUpdateRole, account, name, func(_ *Snapshot, r *role) error {
		if u.Description != nil {
			r.Description = *u.Description
		}
		if u.MaxSessionDuration != nil {
			r.MaxSessionDuration = *u.MaxSessionDuration
		}
		return cmp.Or(checkDescription(r.Description), checkMaxSession(r.MaxSessionDuration))
	})
}

// UpdateAssumeRolePolicy gives a role another trust policy, for which CreateRole's rules hold, and returns it as compiled (nil for a repetition). Sessions that are
// open stay so. The grant must permit authz.IAMUpdateAssumeRolePolicy on the role's ARN.
func (i *IAM) UpdateAssumeRolePolicy(g authz.Grant, account, name, document string) (*authz.Policy, error) {
	var compiled *authz.Policy
	err := i.changeRole("updating a trust policy", g, authz.IAMUpdateAssumeRolePolicy, account, name, func(s *Snapshot, r *role) error {
		err := s.setTrust(r, document)
		compiled = r.trust.compiled
		return err
	})
	if err != nil {
		return nil, err
	}
	return compiled, nil
}

// DeleteRole removes a role, which must have no policies left (ErrDeleteConflict). Its sessions end at once. The grant must permit
// authz.IAMDeleteRole on the role's ARN. The role's id is never given again.
func (i *IAM) DeleteRole(g authz.Grant, account, name string) error {
	return i.update("deleting a role", nil, func(next *Snapshot, tx *storage.Tx) error {
		r, err := next.targetRole(g, authz.IAMDeleteRole, account, name)
		if err != nil {
			return err
		}
		if err := has("role", []left{{"inline policies", len(r.inline)}, {"attached policies", len(r.attached)}}); err != nil {
			return err
		}
		next.setRole(r, nil)
		return tx.Delete(kindRole, join(account, r.ID))
	})
}

// TagRole gives a role tags, as TagUser does. The grant must permit authz.IAMTagRole on the role's ARN.
func (i *IAM) TagRole(g authz.Grant, account, name string, tags []Tag) error {
	return i.changeRole("tagging a role", g, authz.IAMTagRole, account, name, func(_ *Snapshot, r *role) (err error) {
		r.tags, err = r.tags.with(tags)
		return err
	})
}

// UntagRole removes tags of a role, as UntagUser does. The grant must permit authz.IAMUntagRole on the role's ARN.
func (i *IAM) UntagRole(g authz.Grant, account, name string, keys []string) error {
	return i.changeRole("untagging a role", g, authz.IAMUntagRole, account, name, func(_ *Snapshot, r *role) (err error) {
		r.tags, err = r.tags.without(keys)
		return err
	})
}

// ListRoleTags returns a role's tags in the order of their keys. The grant must permit authz.IAMListRoleTags on the role's ARN.
func (s *Snapshot) ListRoleTags(g authz.Grant, account, name string) ([]Tag, error) {
	r, err := s.targetRole(g, authz.IAMListRoleTags, account, name)
	if err != nil {
		return nil, err
	}
	return r.tags.list(), nil
}
