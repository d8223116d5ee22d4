package iam

import (
	"time"

	"github.com/kmsd/kmsd/authz"
)

// How long the sessions of a role may be.
const (
	MinMaxSessionDuration     = time.Hour
	MaxMaxSessionDuration     = 12 * time.Hour
	DefaultMaxSessionDuration = time.Hour
)

// Role is a set of permissions that is assumed for a time.
type Role struct {
	Account             string        // 12 digits
	ID                  string        // AROA and 17 of A-Z and 2-7, never given twice
	Name                string        // 1 to 64 characters; unique in the account without regard to case, found by its exact spelling only
	Path                string        // begins and ends with a slash
	ARN                 string        // arn:PARTITION:iam::ACCOUNT:role/path/name
	Description         string        // up to 1,000 characters
	MaxSessionDuration  time.Duration // MinMaxSessionDuration to MaxMaxSessionDuration, whole seconds
	PermissionsBoundary string        // ARN of the managed policy that is the role's boundary; "" for none
	TrustPolicy         string        // who may assume it: the document as it was put
	Created             time.Time     // whole seconds, UTC
}

// role is a role with all that hangs on it. It is immutable once published, but for made.
type role struct {
	roleState
	made callerCache
}

type roleState struct {
	Role
	policySet
	trust    trustPolicy
	tags     tagSet
	boundary string // id of a managed policy, or ""
}

const trustPolicyName = "trust-policy" // in decisions

// trustPolicy is compiled with the users, roles and sessions that it names bound to unique ids: one who is deleted and made
// again under the same name is not trusted.
type trustPolicy struct {
	compiled *authz.Policy
	bindings map[string]string // :: principal ARN → unique id, which is its role's of a session
	fault    error             // why compiled is unusable; nil if it is not
}

// bindTrust reads a trust policy and binds the principals in it by resolve.
func bindTrust(document string, resolve func(arn string) (id string, ok bool)) (trustPolicy, error) {
	parsed, err := parsePolicy(authz.TrustPolicy, trustPolicyName, document)
	if err != nil {
		return trustPolicy{}, err
	}
	bindings := map[string]string{}
	bound, err := parsed.Bind(func(arn string) (string, bool) {
		id, ok := resolve(arn)
		if ok {
			bindings[arn] = id
		}
		return id, ok
	})
	if err != nil {
		return trustPolicy{}, err
	}
	return trustPolicy{compiled: bound, bindings: bindings}, nil
}

// rebindTrust reads a trust policy that bindTrust has bound before.
func rebindTrust(document string, bindings map[string]string) (trustPolicy, error) {
	parsed, err := parsePolicy(authz.TrustPolicy, trustPolicyName, document)
	if err != nil {
		return trustPolicy{}, err
	}
	bound, err := parsed.Rebind(bindings)
	if err != nil {
		return trustPolicy{}, err
	}
	return trustPolicy{compiled: bound, bindings: bindings}, nil
}

// clone returns a copy of r whose lists may be replaced.
func (r *role) clone() *role { return &role{roleState: r.roleState} }

// setRole puts next in the place of old, of which one may be nil, into s, which nobody else sees yet.
func (s *Snapshot) setRole(old, next *role) {
	var account, id, was, is string
	if old != nil {
		account, id, was = old.Account, old.ID, old.Name
		s.roles = s.roles.Without(id)
	}
	if next != nil {
		account, id, is = next.Account, next.ID, next.Name
		next.sort()
		s.roles = s.roles.With(id, next)
	}
	s.enter(account, func(d *directory) *names { return &d.roles }, was, is, id)
	s.noteUnusable(id, next.unusable())
}

func (r *role) unusable() []UnusablePolicy {
	if r == nil {
		return nil
	}
	like := UnusablePolicy{Account: r.Account, Owner: r.ARN, owner: r.ID, Kind: authz.IdentityPolicy}
	list := r.policySet.unusable(like)
	if r.trust.fault != nil {
		like.Kind, like.Name, like.Err = authz.TrustPolicy, trustPolicyName, r.trust.fault
		list = append(list, like)
	}
	return list
}

// role returns the role of exactly this name.
func (s *Snapshot) role(account, name string) (*role, bool) {
	r, ok := s.roles.Load(s.directory(account).roles.id(name))
	if !ok || r.Name != name {
		return nil, false
	}
	return r, true
}

// Role returns the role of exactly this name.
func (s *Snapshot) Role(account, name string) (Role, bool) {
	r, ok := s.role(account, name)
	if !ok {
		return Role{}, false
	}
	return r.Role, true
}

// RoleByID returns the role with a unique id.
func (s *Snapshot) RoleByID(id string) (Role, bool) {
	r, ok := s.roles.Load(id)
	if !ok {
		return Role{}, false
	}
	return r.Role, true
}

// RoleByARN returns the role with exactly this ARN, of whatever account.
func (s *Snapshot) RoleByARN(arn string) (Role, bool) {
	account, kind, name, ok := parseEntityARN(arn)
	if !ok || kind != "role" {
		return Role{}, false
	}
	r, ok := s.role(account, name)
	if !ok || r.ARN != arn {
		return Role{}, false
	}
	return r.Role, true
}

// RoleResource returns the role with exactly this ARN as what is assumed: with its trust policy, bound, and its tags. It is
// shared and must not be changed. If there is no such role, or its account is suspended, it is a Role of that ARN
// without a policy, which nobody but the identity policies of its own account can tell from one that trusts nobody, and ok
// is false.
func (s *Snapshot) RoleResource(arn string) (resource *authz.Resource, ok bool) {
	account, kind, name, ok := parseEntityARN(arn)
	if ok && kind == "role" && !s.suspended(account) {
		if r, ok := s.role(account, name); ok && r.ARN == arn {
			return s.madeRole(r).resource, true
		}
	}
	return &authz.Resource{Kind: authz.Role, Account: account, ARN: arn, Membership: s.Membership(account)}, false
}

// Roles returns up to limit roles of an account, at most MaxUsersPage, in the order of their names without regard to
// case, from the first one after the name after, and whether there are more. after need not be a role's name.
func (s *Snapshot) Roles(account, after string, limit int) (roles []Role, more bool) {
	page, more := s.directory(account).roles.after(after, limit)
	for _, n := range page {
		if r, ok := s.roles.Load(n.id); ok {
			roles = append(roles, r.Role)
		}
	}
	return roles, more
}

// RoleARN returns the ARN to authorize an operation on a named role with: the role's own if there is one of exactly
// this name, and otherwise the one that a role of this name and path "/" would have. The name is not checked.
func (s *Snapshot) RoleARN(account, name string) string {
	if r, ok := s.role(account, name); ok {
		return r.ARN
	}
	return s.NewRoleARN(account, "/", name)
}

// NewRoleARN returns the ARN to authorize CreateRole with.
func (s *Snapshot) NewRoleARN(account, path, name string) string {
	return entityARN(s.partition, account, "role", path, name)
}

// RoleEntity returns what to authorize an operation on a named role with that manages it, and not assumes it: RoleARN, and
// the tags of the role if there is one.
func (s *Snapshot) RoleEntity(account, name string) *authz.Resource {
	e := s.entityResource(account, s.RoleARN(account, name))
	if r, ok := s.role(account, name); ok {
		e.Tags = r.tags.pairs()
	}
	return e
}

func checkMaxSession(d time.Duration) error {
	if d < MinMaxSessionDuration || d > MaxMaxSessionDuration || d%time.Second != 0 {
		return invalid("MaxSessionDuration", "must be 3600 to 43200 seconds")
	}
	return nil
}
