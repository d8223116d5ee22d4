package iam

import (
	"fmt"
	"slices"

	"github.com/kmsd/kmsd/authz"
)

// attach adds a managed policy to a set that belongs to an entity of the account. It is errUnchanged if it is there.
func (s *Snapshot) attach(set *policySet, account, arn string) error {
	m, err := s.attachable(account, arn)
	if err != nil {
		return err
	}
	if slices.Contains(set.attached, m.ID) {
		return errUnchanged
	}
	if len(set.attached) >= MaxAttachedPolicies {
		return fmt.Errorf("%w: %d managed policies attached", ErrLimitExceeded, MaxAttachedPolicies)
	}
	set.attached = append(slices.Clone(set.attached), m.ID)
	return nil
}

// detach removes a managed policy from a set.
func (s *Snapshot) detach(set *policySet, arn string) error {
	m, ok := s.policy(arn)
	if !ok || !slices.Contains(set.attached, m.ID) {
		return fmt.Errorf("%w: there is no policy of this ARN attached", ErrNoSuchEntity)
	}
	set.attached = removed(set.attached, m.ID)
	return nil
}

// removed returns a list without one of its elements; nil for the empty list, as records have it.
func removed(list []string, gone string) []string {
	list = slices.DeleteFunc(slices.Clone(list), func(e string) bool { return e == gone })
	if len(list) == 0 {
		return nil
	}
	return list
}

func (s *Snapshot) attachedPolicies(set policySet) []Policy {
	list := make([]Policy, 0, len(set.attached))
	for _, id := range set.attached {
		if m, ok := s.managed.Load(id); ok {
			list = append(list, m.Policy)
		}
	}
	return list
}

func errNoBoundary() error {
	return fmt.Errorf("%w: there is no permissions boundary", ErrNoSuchEntity)
}

// PolicyEntities is who has a managed policy, in the order of names without regard to case.
type PolicyEntities struct {
	Users, Groups, Roles       []PolicyEntity // whom it is attached to
	BoundedUsers, BoundedRoles []PolicyEntity // whose permissions boundary it is
}

// PolicyEntity is a user, group or role.
type PolicyEntity struct{ ID, Name, Path string }

// PolicyEntities returns whom in an account a managed policy of the account, or of AWS's, is attached to and whose permissions
// boundary it is. The grant must permit authz.IAMListEntitiesForPolicy on the policy's ARN. It looks at every entity of the
// account.
func (s *Snapshot) PolicyEntities(g authz.Grant, account, arn string) (PolicyEntities, error) {
	if !g.Permits(authz.IAMListEntitiesForPolicy, arn) {
		return PolicyEntities{}, ErrNotPermitted
	}
	m, err := s.attachable(account, arn)
	if err != nil {
		return PolicyEntities{}, err
	}
	return s.entitiesOf(account, m.ID), nil
}

func (s *Snapshot) entitiesOf(account, policy string) PolicyEntities {
	var e PolicyEntities
	d := s.directory(account)
	for _, n := range d.users {
		p, _ := s.principals.Load(n.id)
		who := PolicyEntity{p.ID, p.Name, p.Path}
		if slices.Contains(p.attached, policy) {
			e.Users = append(e.Users, who)
		}
		if p.boundary == policy {
			e.BoundedUsers = append(e.BoundedUsers, who)
		}
	}
	for _, n := range d.groups {
		if g, _ := s.groups.Load(n.id); slices.Contains(g.attached, policy) {
			e.Groups = append(e.Groups, PolicyEntity{g.ID, g.Name, g.Path})
		}
	}
	for _, n := range d.roles {
		r, _ := s.roles.Load(n.id)
		who := PolicyEntity{r.ID, r.Name, r.Path}
		if slices.Contains(r.attached, policy) {
			e.Roles = append(e.Roles, who)
		}
		if r.boundary == policy {
			e.BoundedRoles = append(e.BoundedRoles, who)
		}
	}
	return e
}

// PolicyUse says how many entities of an account have a managed policy.
type PolicyUse struct {
	Attached int // users, groups and roles
	Boundary int // users and roles whose permissions boundary it is
}

// PolicyUse returns for each managed policy, by its id, that is in use in an account how many have it. It looks at every
// entity of the account once.
func (s *Snapshot) PolicyUse(account string) map[string]PolicyUse {
	use := map[string]PolicyUse{}
	count := func(set policySet, boundary string) {
		for _, id := range set.attached {
			u := use[id]
			u.Attached++
			use[id] = u
		}
		if boundary != "" {
			u := use[boundary]
			u.Boundary++
			use[boundary] = u
		}
	}
	d := s.directory(account)
	for _, n := range d.users {
		p, _ := s.principals.Load(n.id)
		count(p.policySet, p.boundary)
	}
	for _, n := range d.groups {
		g, _ := s.groups.Load(n.id)
		count(g.policySet, "")
	}
	for _, n := range d.roles {
		r, _ := s.roles.Load(n.id)
		count(r.policySet, r.boundary)
	}
	return use
}
