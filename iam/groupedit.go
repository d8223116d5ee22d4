package iam

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// CreateGroup makes a group without members and policies. An empty path means "/". The grant must permit authz.IAMCreateGroup on
// NewGroupARN. Errors match ErrValidation, ErrEntityExists (also for a name that differs in case only) or ErrLimitExceeded.
func (i *IAM) CreateGroup(g authz.Grant, account, name, path string) (Group, error) {
	path = or(path, "/")
	if err := cmp.Or(checkName("GroupName", name, maxGroupName), checkPath(path)); err != nil {
		return Group{}, err
	}
	var made Group
	err := i.update("creating a group", &made, func(next *Snapshot, tx *storage.Tx) error {
		arn := next.NewGroupARN(account, path, name)
		if !g.Permits(authz.IAMCreateGroup, arn) {
			return ErrNotPermitted
		}
		if err := next.mayAdd(account, "group", name, next.directory(account).groups, MaxGroups); err != nil {
			return err
		}
		made = Group{Account: account, ID: newGroupID(), Name: name, Path: path, ARN: arn, Created: present()}
		return next.putGroup(tx, nil, &group{Group: made})
	})
	if err != nil {
		return Group{}, err
	}
	return made, nil
}

// putGroup is setGroup with the group's record.
func (s *Snapshot) putGroup(tx *storage.Tx, old, next *group) error {
	s.setGroup(old, next)
	return tx.Put(kindGroup, join(next.Account, next.ID), next.record())
}

// targetGroup returns the group that an operation is about, if the grant permits the action on it.
func (s *Snapshot) targetGroup(g authz.Grant, action authz.Action, account, name string) (*group, error) {
	if err := checkName("GroupName", name, maxGroupName); err != nil {
		return nil, err
	}
	if !g.Permits(action, s.GroupARN(account, name)) {
		return nil, ErrNotPermitted
	}
	e, ok := s.group(account, name)
	if !ok {
		return nil, fmt.Errorf("%w: there is no group of this name", ErrNoSuchEntity)
	}
	return e, nil
}

// changeGroup is an update of what the record of one group says.
func (i *IAM) changeGroup(what string, result any, g authz.Grant, action authz.Action, account, name string, f func(s *Snapshot, e *group) error) error {
	return i.update(what, result, func(next *Snapshot, tx *storage.Tx) error {
		e, err := next.targetGroup(g, action, account, name)
		if err != nil {
			return err
		}
		changed := e.clone()
		if err := f(next, changed); err != nil {
			return err
		}
		return next.putGroup(tx, e, changed)
	})
}

// RenamedGroupARN returns the ARN that a named group would have under another name and path, of which an empty one stays as
// it is: what to authorize UpdateGroup with besides GroupARN.
func (s *Snapshot) RenamedGroupARN(account, name, newName, newPath string) string {
	path := "/"
	if e, ok := s.group(account, name); ok {
		path = e.Path
	}
	return s.NewGroupARN(account, or(newPath, path), or(newName, name))
}

// UpdateGroup gives a group another name, another path, or both; an empty one stays as it is. Its members and policies stay. The
// grant from must permit authz.IAMUpdateGroup on GroupARN, and the grant to on RenamedGroupARN. A name that another group
// has, in whatever case, is ErrEntityExists.
func (i *IAM) UpdateGroup(from, to authz.Grant, account, name, newName, newPath string) (Group, error) {
	if err := checkMove("NewGroupName", newName, maxGroupName, newPath); err != nil {
		return Group{}, err
	}
	var made Group
	err := i.changeGroup("updating a group", &made, from, authz.IAMUpdateGroup, account, name, func(s *Snapshot, e *group) error {
		arn := s.RenamedGroupARN(account, name, newName, newPath)
		if !to.Permits(authz.IAMUpdateGroup, arn) {
			return ErrNotPermitted
		}
		e.Name, e.Path, e.ARN = or(newName, e.Name), or(newPath, e.Path), arn
		if err := s.directory(account).groups.free("group", e.Name, e.ID); err != nil {
			return err
		}
		e.inline = slices.Clone(e.inline)
		for n := range e.inline {
			e.inline[n].compiled = e.inline[n].compiled.Named(e.policyLabel(e.inline[n].name))
		}
		made = e.Group
		return nil
	})
	return made, err
}

// DeleteGroup removes a group, which must have no members and policies left (ErrDeleteConflict). The grant must permit
// authz.IAMDeleteGroup on the group's ARN.
func (i *IAM) DeleteGroup(g authz.Grant, account, name string) error {
	return i.update("deleting a group", nil, func(next *Snapshot, tx *storage.Tx) error {
		e, err := next.targetGroup(g, authz.IAMDeleteGroup, account, name)
		if err != nil {
			return err
		}
		members, _ := next.members(e, "", 1)
		err = has("group", []left{{"users", len(members)}, {"inline policies", len(e.inline)}, {"attached policies", len(e.attached)}})
		if err != nil {
			return err
		}
		next.setGroup(e, nil)
		return tx.Delete(kindGroup, join(account, e.ID))
	})
}

// members returns up to limit members of a group after a name, and whether there are more. It looks at all users of the account
// after that name until it has them.
func (s *Snapshot) members(e *group, after string, limit int) (users []User, more bool) {
	limit = min(limit, MaxUsersPage)
	list := s.directory(e.Account).users
	at, found := list.find(after)
	if found {
		at++
	}
	for _, n := range list[at:] {
		p, ok := s.principals.Load(n.id)
		if !ok || !slices.Contains(p.groups, e.ID) {
			continue
		}
		if len(users) >= limit {
			return users, true
		}
		users = append(users, p.User)
	}
	return users, false
}

// GroupUsers returns up to limit members of a group, at most MaxUsersPage, in the order of their names without regard to case,
// from the first one after the name after (empty: from the beginning), and whether there are more. The grant must permit
// authz.IAMGetGroup on the group's ARN.
func (s *Snapshot) GroupUsers(g authz.Grant, account, name, after string, limit int) (users []User, more bool, err error) {
	e, err := s.targetGroup(g, authz.IAMGetGroup, account, name)
	if err != nil || limit <= 0 {
		return nil, false, err
	}
	users, more = s.members(e, after, limit)
	return users, more, nil
}

// AddUserToGroup makes a user a member of a group, whose policies it has from then on. A user may be in MaxGroupsPerUser
// groups (ErrLimitExceeded); a member stays one. The grant must permit authz.IAMAddUserToGroup on the group's ARN.
func (i *IAM) AddUserToGroup(g authz.Grant, account, groupName, userName string) error {
	return i.changeMember("adding a user to a group", g, authz.IAMAddUserToGroup, account, groupName, userName, func(p *principal, id string) error {
		if slices.Contains(p.groups, id) {
			return errUnchanged
		}
		if len(p.groups) >= MaxGroupsPerUser {
			return fmt.Errorf("%w: %d groups of a user", ErrLimitExceeded, MaxGroupsPerUser)
		}
		p.groups = append(slices.Clone(p.groups), id)
		return nil
	})
}

// RemoveUserFromGroup undoes AddUserToGroup; a user who is no member is ErrNoSuchEntity. The grant must permit
// authz.IAMRemoveUserFromGroup on the group's ARN.
func (i *IAM) RemoveUserFromGroup(g authz.Grant, account, groupName, userName string) error {
	return i.changeMember("removing a user from a group", g, authz.IAMRemoveUserFromGroup, account, groupName, userName, func(p *principal, id string) error {
		if !slices.Contains(p.groups, id) {
			return fmt.Errorf("%w: the user is not in the group", ErrNoSuchEntity)
		}
		p.groups = removed(p.groups, id)
		return nil
	})
}

// changeMember is an update of the groups of a user.
func (i *IAM) changeMember(what string, g authz.Grant, action authz.Action, account, groupName, userName string, f func(p *principal, id string) error) error {
	if userName == RootName {
		return noRoot()
	}
	if err := checkName("UserName", userName, maxUserName); err != nil {
		return err
	}
	return i.update(what, nil, func(next *Snapshot, tx *storage.Tx) error {
		e, err := next.targetGroup(g, action, account, groupName)
		if err != nil {
			return err
		}
		p, ok := next.principal(account, userName)
		if !ok {
			return fmt.Errorf("%w: there is no user of this name", ErrNoSuchEntity)
		}
		changed := p.clone()
		if err := f(changed, e.ID); err != nil {
			return err
		}
		return next.putUser(tx, p, changed)
	})
}

// ListGroupsForUser returns the groups of a user in the order of their names without regard to case. The grant must permit
// authz.IAMListGroupsForUser on the user's ARN.
func (s *Snapshot) ListGroupsForUser(g authz.Grant, account, userName string) ([]Group, error) {
	p, err := s.target(g, authz.IAMListGroupsForUser, account, userName)
	if err != nil {
		return nil, err
	}
	list := make([]Group, 0, len(p.groups))
	for _, id := range p.groups {
		if e, ok := s.groups.Load(id); ok {
			list = append(list, e.Group)
		}
	}
	slices.SortFunc(list, func(a, b Group) int { return cmp.Compare(fold(a.Name), fold(b.Name)) })
	return list, nil
}
