package iam

import (
	"strings"

	"github.com/kmsd/kmsd/authz"
)

// PrincipalCaller returns a user, a role or a group of an account as one who calls, with its policies, boundary, tags and organization, for
// simulating requests of theirs: a role as a session of the name given, a group as a user who is in it and has nothing else. The caller is the
// function's caller's to change, but not what it refers to. ok is false if the account has no such entity, or is suspended.
func (s *Snapshot) PrincipalCaller(account, arn, sessionName string) (caller *authz.Caller, ok bool) {
	of, kind, name, ok := parseEntityARN(arn)
	if !ok || of != account || s.suspended(account) {
		return nil, false
	}
	switch kind {
	case "user":
		if p, ok := s.principal(account, name); ok && p.ARN == arn {
			c, err := s.userCaller(p.ID)
			return copyOf(c), err == nil
		}
	case "role":
		if r, ok := s.role(account, name); ok && r.ARN == arn {
			c, err := s.roleCaller(r.ID)
			if err != nil {
				return nil, false
			}
			session := copyOf(c)
			session.SessionName, session.ARN = sessionName, s.sessionARN(r, sessionName)
			return session, true
		}
	case "group":
		if g, ok := s.group(account, name); ok && g.ARN == arn {
			return &authz.Caller{
				Kind: authz.User, Account: account, ID: g.ID, ARN: s.NewUserARN(account, "/", strings.ToLower(g.ID)),
				Identity: s.appendPolicies(nil, g.policySet), Membership: s.Membership(account),
			}, true
		}
	}
	return nil, false
}

func copyOf(c *authz.Caller) *authz.Caller {
	if c == nil {
		return nil
	}
	next := *c
	return &next
}
