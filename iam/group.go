package iam

import (
	"time"

	"github.com/kmsd/kmsd/authz"
)

// Group is a set of users, who have its policies.
type Group struct {
	Account string    // 12 digits
	ID      string    // AGPA and 17 of A-Z and 2-7, never given twice
	Name    string    // 1 to 128 characters; unique in the account without regard to case, found by its exact spelling only
	Path    string    // begins and ends with a slash
	ARN     string    // arn:PARTITION:iam::ACCOUNT:group/path/name
	Created time.Time // whole seconds, UTC
}

// group is a group with its policies. Its members are with the users. It is immutable once published.
type group struct {
	Group
	policySet
}

// clone returns a copy of g whose lists may be replaced.
func (g *group) clone() *group {
	next := *g
	return &next
}

// policyLabel is the name in decisions of an inline policy of a group.
func (g Group) policyLabel(policy string) string { return "group/" + g.Name + "/" + policy }

// setGroup puts next in the place of old, of which one may be nil, into s, which nobody else sees yet.
func (s *Snapshot) setGroup(old, next *group) {
	var account, id, was, is string
	var unusable []UnusablePolicy
	if old != nil {
		account, id, was = old.Account, old.ID, old.Name
		s.groups = s.groups.Without(id)
	}
	if next != nil {
		account, id, is = next.Account, next.ID, next.Name
		next.sort()
		s.groups = s.groups.With(id, next)
		unusable = next.unusable(UnusablePolicy{Account: account, Owner: next.ARN, owner: id, Kind: authz.IdentityPolicy})
	}
	s.enter(account, func(d *directory) *names { return &d.groups }, was, is, id)
	s.noteUnusable(id, unusable)
}

// group returns the group of exactly this name.
func (s *Snapshot) group(account, name string) (*group, bool) {
	g, ok := s.groups.Load(s.directory(account).groups.id(name))
	if !ok || g.Name != name {
		return nil, false
	}
	return g, true
}

// Group returns the group of exactly this name.
func (s *Snapshot) Group(account, name string) (Group, bool) {
	g, ok := s.group(account, name)
	if !ok {
		return Group{}, false
	}
	return g.Group, true
}

// Groups returns up to limit groups of an account, at most MaxUsersPage, in the order of their names without regard to
// case, from the first one after the name after, and whether there are more. after need not be a group's name.
func (s *Snapshot) Groups(account, after string, limit int) (groups []Group, more bool) {
	page, more := s.directory(account).groups.after(after, limit)
	for _, n := range page {
		if g, ok := s.groups.Load(n.id); ok {
			groups = append(groups, g.Group)
		}
	}
	return groups, more
}

// GroupARN returns the ARN to authorize an operation on a named group with: the group's own if there is one of exactly
// this name, and otherwise the one that a group of this name and path "/" would have. The name is not checked.
func (s *Snapshot) GroupARN(account, name string) string {
	if g, ok := s.group(account, name); ok {
		return g.ARN
	}
	return s.NewGroupARN(account, "/", name)
}

// NewGroupARN returns the ARN to authorize CreateGroup with.
func (s *Snapshot) NewGroupARN(account, path, name string) string {
	return entityARN(s.partition, account, "group", path, name)
}

// GroupResource returns what to authorize an operation on a named group with.
func (s *Snapshot) GroupResource(account, name string) *authz.Resource {
	return s.entityResource(account, s.GroupARN(account, name))
}
