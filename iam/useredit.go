package iam

import (
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// changeUser is an update of what the record of one user says, who is not a root user.
func (i *IAM) changeUser(what string, result any, g authz.Grant, action authz.Action, account, name string, f func(s *Snapshot, p *principal) error) error {
	return i.update(what, result, func(next *Snapshot, tx *storage.Tx) error {
		p, err := next.notRoot(g, action, account, name)
		if err != nil {
			return err
		}
		changed := p.clone()
		if err := f(next, changed); err != nil {
			return err
		}
		return next.putUser(tx, p, changed)
	})
}

// RenamedUserARN returns the ARN that a named user would have under another name and path, of which an empty one stays as
// it is: what to authorize UpdateUser with besides UserARN.
func (s *Snapshot) RenamedUserARN(account, name, newName, newPath string) string {
	path := "/"
	if p, ok := s.principal(account, name); ok {
		path = p.Path
	}
	return s.NewUserARN(account, or(newPath, path), or(newName, name))
}

// or returns text, or instead if text is empty.
func or(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}

// UpdateUser gives a user another name, another path, or both; an empty one stays as it is. The user's id, credentials and
// policies stay, and so does the trust of policies that name the user: they are bound to the id. The grant from must permit
// authz.IAMUpdateUser on UserARN, and the grant to on RenamedUserARN. A name that another user has, in whatever case, is
// ErrEntityExists.
func (i *IAM) UpdateUser(from, to authz.Grant, account, name, newName, newPath string) (User, error) {
	if err := checkMove("NewUserName", newName, maxUserName, newPath); err != nil {
		return User{}, err
	}
	var made User
	err := i.changeUser("updating a user", &made, from, authz.IAMUpdateUser, account, name, func(s *Snapshot, p *principal) error {
		arn := s.RenamedUserARN(account, name, newName, newPath)
		if !to.Permits(authz.IAMUpdateUser, arn) {
			return ErrNotPermitted
		}
		p.Name, p.Path, p.ARN = or(newName, p.Name), or(newPath, p.Path), arn
		if err := s.directory(account).users.free("user", p.Name, p.ID); err != nil {
			return err
		}
		made = p.User
		return nil
	})
	return made, err
}

// checkMove checks a new name and path, of which each may be empty.
func checkMove(field, name string, limit int, path string) error {
	if name != "" {
		if err := checkName(field, name, limit); err != nil {
			return err
		}
	}
	if path != "" {
		return checkPath(path)
	}
	return nil
}

// TagUser gives a user tags, in the place of those of the same keys, up to MaxTags in all (ErrLimitExceeded). A key that
// differs from another one in case only is ErrValidation. The grant must permit authz.IAMTagUser on the user's ARN.
func (i *IAM) TagUser(g authz.Grant, account, name string, tags []Tag) error {
	return i.changeUser("tagging a user", nil, g, authz.IAMTagUser, account, name, func(_ *Snapshot, p *principal) (err error) {
		p.tags, err = p.tags.with(tags)
		return err
	})
}

// UntagUser removes the tags of some keys, if they are there. A key that differs from that of a tag in case only is refused with
// ErrValidation, and no tag is removed. The grant must permit authz.IAMUntagUser on the user's ARN.
func (i *IAM) UntagUser(g authz.Grant, account, name string, keys []string) error {
	return i.changeUser("untagging a user", nil, g, authz.IAMUntagUser, account, name, func(_ *Snapshot, p *principal) (err error) {
		p.tags, err = p.tags.without(keys)
		return err
	})
}

// ListUserTags returns a user's tags in the order of their keys. The grant must permit authz.IAMListUserTags on the user's
// ARN.
func (s *Snapshot) ListUserTags(g authz.Grant, account, name string) ([]Tag, error) {
	p, err := s.target(g, authz.IAMListUserTags, account, name)
	if err != nil {
		return nil, err
	}
	return p.tags.list(), nil
}

// PutUserPermissionsBoundary makes a managed policy, by its ARN, the boundary of what a user's own policies can allow. The grant
// must permit authz.IAMPutUserPermissionsBoundary on the user's ARN.
func (i *IAM) PutUserPermissionsBoundary(g authz.Grant, account, name, policyARN string) error {
	if policyARN == "" {
		return invalid("PermissionsBoundary", "must be the ARN of a managed policy")
	}
	return i.changeUser("putting a permissions boundary", nil, g, authz.IAMPutUserPermissionsBoundary, account, name, func(s *Snapshot, p *principal) (err error) {
		p.boundary, p.PermissionsBoundary, err = s.boundaryID(account, policyARN)
		return err
	})
}

// DeleteUserPermissionsBoundary removes a user's boundary; a user without one is ErrNoSuchEntity. The grant must permit
// authz.IAMDeleteUserPermissionsBoundary on the user's ARN.
func (i *IAM) DeleteUserPermissionsBoundary(g authz.Grant, account, name string) error {
	return i.changeUser("deleting a permissions boundary", nil, g, authz.IAMDeleteUserPermissionsBoundary, account, name, func(_ *Snapshot, p *principal) error {
		if p.boundary == "" {
			return errNoBoundary()
		}
		p.boundary, p.PermissionsBoundary = "", ""
		return nil
	})
}

// AttachUserPolicy attaches a managed policy, by its ARN, to a user, who may have MaxAttachedPolicies. One that is attached
// already stays so. The grant must permit authz.IAMAttachUserPolicy on the user's ARN.
func (i *IAM) AttachUserPolicy(g authz.Grant, account, name, policyARN string) error {
	return i.changeUser("attaching a user policy", nil, g, authz.IAMAttachUserPolicy, account, name, func(s *Snapshot, p *principal) error {
		return s.attach(&p.policySet, account, policyARN)
	})
}

// DetachUserPolicy undoes AttachUserPolicy; a policy that is not attached is ErrNoSuchEntity. The grant must permit
// authz.IAMDetachUserPolicy on the user's ARN.
func (i *IAM) DetachUserPolicy(g authz.Grant, account, name, policyARN string) error {
	return i.changeUser("detaching a user policy", nil, g, authz.IAMDetachUserPolicy, account, name, func(s *Snapshot, p *principal) error {
		return s.detach(&p.policySet, policyARN)
	})
}

// ListAttachedUserPolicies returns the managed policies of a user in the order in which they were attached. The grant must
// permit authz.IAMListAttachedUserPolicies on the user's ARN.
func (s *Snapshot) ListAttachedUserPolicies(g authz.Grant, account, name string) ([]Policy, error) {
	p, err := s.target(g, authz.IAMListAttachedUserPolicies, account, name)
	if err != nil {
		return nil, err
	}
	return s.attachedPolicies(p.policySet), nil
}
