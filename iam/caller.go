package iam

import (
	"sync/atomic"

	"github.com/kmsd/kmsd/authz"
)

// A callerCache holds what was last made of one user or role for the policies of an epoch.
type callerCache struct{ p atomic.Pointer[madeCaller] }

type madeCaller struct {
	epoch    uint64
	caller   *authz.Caller
	resource *authz.Resource // of a role: what is assumed
	err      error
}

// Caller returns the principal of a credential with the policies that apply to it in s: those of the user with its
// groups', or of the role that a session is of. It is shared and must not be changed. The error matches ErrInactive if
// the principal is no longer there, ErrAccountSuspended, and for sessions ErrExpired and ErrInvalidToken; whether the
// credential itself may be accepted is for [Credential.Usable] to say.
//
// A caller is made once for each principal and epoch of policies. From then on it costs two look-ups and no allocation.
func (s *Snapshot) Caller(c *Credential) (*authz.Caller, error) {
	if c.Method == BySession {
		return s.sessionCaller(c)
	}
	return s.userCaller(c.PrincipalID)
}

// userCaller returns the caller of a user, or of a root user by its account's id.
func (s *Snapshot) userCaller(id string) (*authz.Caller, error) {
	p, ok := s.principals.Load(id)
	if !ok {
		return nil, ErrInactive
	}
	m := p.made.p.Load()
	if m == nil || m.epoch != s.epoch {
		m = s.makeUser(p)
		p.made.p.Store(m)
	}
	return m.caller, m.err
}

func (s *Snapshot) makeUser(p *principal) *madeCaller {
	if s.suspended(p.Account) {
		return &madeCaller{epoch: s.epoch, err: ErrAccountSuspended}
	}
	c := &authz.Caller{
		Kind: authz.User, Account: p.Account, ID: p.ID, ARN: p.ARN, UserName: p.Name,
		Boundary: s.boundary(p.boundary), Tags: p.tags.pairs(), Membership: s.Membership(p.Account),
	}
	if p.isRoot() {
		c.Kind, c.UserName = authz.Root, ""
		return &madeCaller{epoch: s.epoch, caller: c}
	}
	c.Identity = s.appendPolicies(c.Identity, p.policySet)
	for _, id := range p.groups {
		g, ok := s.groups.Load(id)
		if !ok { // no change leaves a user in a group that is gone
			c.Identity = append(c.Identity, authz.Unusable(authz.IdentityPolicy, id))
			continue
		}
		c.Identity = s.appendPolicies(c.Identity, g.policySet)
	}
	return &madeCaller{epoch: s.epoch, caller: c}
}

// roleCaller returns what all sessions of a role have in common: kind, account, id, RoleARN, identity policies, boundary,
// tags of the role and membership. ARN and what else a session has are for the session to fill in, in a copy. The error
// matches ErrNoSuchEntity or ErrAccountSuspended.
func (s *Snapshot) roleCaller(id string) (*authz.Caller, error) {
	r, ok := s.roles.Load(id)
	if !ok {
		return nil, ErrNoSuchEntity
	}
	m := s.madeRole(r)
	return m.caller, m.err
}

// madeRole returns what is made of a role in the epoch of s.
func (s *Snapshot) madeRole(r *role) *madeCaller {
	m := r.made.p.Load()
	if m == nil || m.epoch != s.epoch {
		m = s.makeRole(r)
		r.made.p.Store(m)
	}
	return m
}

func (s *Snapshot) makeRole(r *role) *madeCaller {
	tags, membership := r.tags.pairs(), s.Membership(r.Account)
	m := &madeCaller{
		epoch: s.epoch,
		resource: &authz.Resource{
			Kind: authz.Role, Account: r.Account, ARN: r.ARN, Policy: r.trust.compiled, Membership: membership, Tags: tags,
		},
		caller: &authz.Caller{
			Kind: authz.RoleSession, Account: r.Account, ID: r.ID, RoleARN: r.ARN, Identity: s.appendPolicies(nil, r.policySet),
			Boundary: s.boundary(r.boundary), Tags: tags, Membership: membership,
		},
	}
	if s.suspended(r.Account) {
		m.caller, m.err = nil, ErrAccountSuspended
	}
	return m
}

// suspended reports whether the principals of an account are refused; an account that does not exist has none.
func (s *Snapshot) suspended(account string) bool {
	a, ok := s.accounts.Load(account)
	return !ok || a.Suspended
}

func (s *Snapshot) appendPolicies(list []*authz.Policy, set policySet) []*authz.Policy {
	for _, p := range set.inline {
		list = append(list, p.compiled)
	}
	for _, id := range set.attached {
		list = append(list, s.managedPolicy(id))
	}
	return list
}

// managedPolicy returns the default version of a managed policy.
func (s *Snapshot) managedPolicy(id string) *authz.Policy {
	m, ok := s.managed.Load(id)
	if !ok { // no change deletes a policy that is attached
		return authz.Unusable(authz.IdentityPolicy, id)
	}
	return m.compiled
}

func (s *Snapshot) boundary(id string) *authz.Policy {
	if id == "" {
		return nil
	}
	return s.managedPolicy(id)
}
