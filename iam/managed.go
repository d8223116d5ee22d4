package iam

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/kmsd/kmsd/authz"
)

// awsAccount stands for the account in the ARNs of the managed policies that are AWS's.
const awsAccount = "aws"

// Policy is a managed policy: one that can be attached to users, groups and roles, and be a permissions boundary.
type Policy struct {
	Account        string    // 12 digits; "aws" for those that every account has
	ID             string    // ANPA and 17 of A-Z and 2-7, never given twice
	Name           string    // 1 to 128 characters; unique in the account without regard to case, found by its exact spelling only
	Path           string    // begins and ends with a slash
	ARN            string    // arn:PARTITION:iam::ACCOUNT:policy/path/name
	Description    string    // up to 1,000 characters
	DefaultVersion string    // the id of the version that counts: "v1"
	Created        time.Time // whole seconds, UTC
	Updated        time.Time // when the default version was last set
}

// PolicyVersion is one version of a managed policy.
type PolicyVersion struct {
	ID       string // "v1" and so on; never given twice in a policy
	Document string // byte for byte as it was put
	Default  bool
	Created  time.Time
}

// managed is a managed policy with its versions. It is immutable once published.
type managed struct {
	Policy
	versions []policyVersion // in the order of their numbers
	last     int             // the highest number that was ever given
	current  int             // the number of the default version
	compiled *authz.Policy   // the default version
	fault    error           // why compiled is unusable; nil if it is not
}

type policyVersion struct {
	number   int
	document string
	created  time.Time
}

func versionID(number int) string { return "v" + strconv.Itoa(number) }

// find returns the place of a version by its number.
func (m *managed) find(number int) (at int, ok bool) {
	return slices.BinarySearchFunc(m.versions, number, func(v policyVersion, n int) int { return v.number - n })
}

// clone returns a copy of m whose lists may be replaced.
func (m *managed) clone() *managed {
	next := *m
	return &next
}

// setPolicy puts next in the place of old, of which one may be nil, into s, which nobody else sees yet.
func (s *Snapshot) setPolicy(old, next *managed) {
	var account, id, was, is string
	var unusable []UnusablePolicy
	if old != nil {
		account, id, was = old.Account, old.ID, old.Name
		s.managed = s.managed.Without(id)
	}
	if next != nil {
		account, id, is = next.Account, next.ID, next.Name
		s.managed = s.managed.With(id, next)
		unusable = next.unusable()
	}
	s.enter(account, func(d *directory) *names { return &d.policies }, was, is, id)
	s.noteUnusable(id, unusable)
}

func (m *managed) unusable() []UnusablePolicy {
	if m.fault == nil {
		return nil
	}
	return []UnusablePolicy{{Account: m.Account, Owner: m.ARN, Name: m.ARN, Kind: authz.IdentityPolicy, Err: m.fault, owner: m.ID}}
}

// policy returns the managed policy with exactly this ARN.
func (s *Snapshot) policy(arn string) (*managed, bool) {
	account, kind, name, ok := parseEntityARN(arn)
	if !ok || kind != "policy" {
		return nil, false
	}
	m, ok := s.managed.Load(s.directory(account).policies.id(name))
	if !ok || m.ARN != arn {
		return nil, false
	}
	return m, true
}

// Policy returns the managed policy with exactly this ARN.
func (s *Snapshot) Policy(arn string) (Policy, bool) {
	m, ok := s.policy(arn)
	if !ok {
		return Policy{}, false
	}
	return m.Policy, true
}

// ManagedPolicy returns the default version of the managed policy with exactly this ARN, compiled, if principals of the account may
// use it: those of the account itself and AWS's. Its name in decisions is the ARN.
func (s *Snapshot) ManagedPolicy(account, arn string) (*authz.Policy, bool) {
	m, ok := s.policy(arn)
	if !ok || m.Account != account && m.Account != awsAccount {
		return nil, false
	}
	return m.compiled, true
}

// Policies returns up to limit managed policies of an account, or AWS's for "aws", at most MaxUsersPage, in the order of
// their names without regard to case, from the first one after the name after, and whether there are more. after
// need not be a policy's name.
func (s *Snapshot) Policies(account, after string, limit int) (policies []Policy, more bool) {
	page, more := s.directory(account).policies.after(after, limit)
	for _, n := range page {
		if m, ok := s.managed.Load(n.id); ok {
			policies = append(policies, m.Policy)
		}
	}
	return policies, more
}

// PolicyARN returns the ARN of the account's managed policy of exactly this name if there is one, and otherwise the one
// that a policy of this name and path "/" would have. The name is not checked.
func (s *Snapshot) PolicyARN(account, name string) string {
	if m, ok := s.managed.Load(s.directory(account).policies.id(name)); ok && m.Name == name {
		return m.ARN
	}
	return s.NewPolicyARN(account, "/", name)
}

// NewPolicyARN returns the ARN to authorize CreatePolicy with.
func (s *Snapshot) NewPolicyARN(account, path, name string) string {
	return entityARN(s.partition, account, "policy", path, name)
}

// PolicyResource returns what to authorize an operation on a managed policy with, whether or not there is one of this ARN.
// AWS's policies belong to the account that asks.
func (s *Snapshot) PolicyResource(account, arn string) *authz.Resource {
	return s.entityResource(account, arn)
}

// boundaryID returns the id and again the ARN of the managed policy that is to be a permissions boundary in an account; both are
// empty if arn is.
func (s *Snapshot) boundaryID(account, arn string) (id, same string, err error) {
	if arn == "" {
		return "", "", nil
	}
	m, err := s.attachable(account, arn)
	if err != nil {
		return "", "", err
	}
	return m.ID, m.ARN, nil
}

// attachable returns the managed policy of an ARN that entities of an account may have.
func (s *Snapshot) attachable(account, arn string) (*managed, error) {
	m, ok := s.policy(arn)
	if !ok || m.Account != account && m.Account != awsAccount {
		return nil, fmt.Errorf("%w: there is no managed policy of this ARN", ErrNoSuchEntity)
	}
	return m, nil
}
