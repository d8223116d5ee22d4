package iam

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// policy is an inline policy of a user.
type policy struct {
	name     string
	document string
	updated  time.Time
	compiled *authz.Policy
}

func newPolicy(name, document string, updated time.Time) (policy, error) {
	compiled, err := authz.Parse(authz.IdentityPolicy, []byte(document))
	if err != nil {
		return policy{}, err
	}
	return policy{name: name, document: document, updated: updated, compiled: compiled.Named(name)}, nil
}

// find returns where the policy is, or would be, whose name is name without regard to case.
func (p *principal) findPolicy(name string) (int, bool) {
	return slices.BinarySearchFunc(p.policies, fold(name), func(q policy, folded string) int {
		return strings.Compare(fold(q.name), folded)
	})
}

// PutUserPolicy gives a user an inline policy, in the place of the one of the same name. Names are as of users, up
// to 128 characters; a name that differs from that of another policy of the user in case only is ErrEntityExists.
// All inline policies of a user together may have MaxInlinePolicyChars, white space between the tokens not counted
// (ErrLimitExceeded). A document that authz does not parse gives authz's error, which matches ErrMalformedPolicy.
// The grant must permit authz.IAMPutUserPolicy on the user's ARN.
func (i *IAM) PutUserPolicy(g authz.Grant, account, userName, policyName, document string) error {
	if err := checkName("PolicyName", policyName, maxPolicyName); err != nil {
		return err
	}
	if len(document) > maxPolicyBytes {
		return fmt.Errorf("%w: %d bytes for a policy document", ErrLimitExceeded, maxPolicyBytes)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.Snapshot()
	p, err := s.target(g, authz.IAMPutUserPolicy, account, userName)
	if err != nil {
		return err
	}
	if p.isRoot() {
		return noRoot()
	}
	pol, err := newPolicy(policyName, document, present())
	if err != nil {
		return err
	}
	next, err := p.withPolicy(pol)
	if err != nil {
		return err
	}
	record := policyRecord{Version: recordVersion, Name: pol.name, Document: pol.document, Updated: pol.updated}
	err = i.commit(s, p, next, func(tx *storage.Tx) error {
		return tx.Put(kindUserPolicy, join(account, p.ID, fold(policyName)), encodeJSON(record))
	})
	if err != nil {
		return fmt.Errorf("putting a user policy: %w", err)
	}
	return nil
}

// withPolicy returns a copy of p that has pol, if the limits allow it.
func (p *principal) withPolicy(pol policy) (*principal, error) {
	next := p.clone()
	next.policies = slices.Clone(p.policies)
	at, exists := p.findPolicy(pol.name)
	switch {
	case !exists:
		next.policies = slices.Insert(next.policies, at, pol)
	case next.policies[at].name != pol.name:
		return nil, fmt.Errorf("%w: a policy whose name differs in case only", ErrEntityExists)
	default:
		next.policies[at] = pol
	}
	chars := 0
	for _, q := range next.policies {
		chars += significantChars(q.document)
	}
	if chars > MaxInlinePolicyChars {
		return nil, fmt.Errorf("%w: %d characters for all inline policies of a user", ErrLimitExceeded, MaxInlinePolicyChars)
	}
	return next, nil
}

// significantChars counts the characters of a JSON document, without the white space between its tokens.
func significantChars(document string) int {
	n := 0
	quoted, escaped := false, false
	for _, c := range document {
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && strings.ContainsRune(" \t\r\n", c):
			continue
		}
		n++
	}
	return n
}

// DeleteUserPolicy removes an inline policy by its exact name. The grant must permit authz.IAMDeleteUserPolicy on
// the user's ARN.
func (i *IAM) DeleteUserPolicy(g authz.Grant, account, userName, policyName string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.Snapshot()
	p, at, err := s.targetPolicy(g, authz.IAMDeleteUserPolicy, account, userName, policyName)
	if err != nil {
		return err
	}
	next := p.clone()
	next.policies = slices.Delete(slices.Clone(p.policies), at, at+1)
	err = i.commit(s, p, next, func(tx *storage.Tx) error {
		return tx.Delete(kindUserPolicy, join(account, p.ID, fold(policyName)))
	})
	if err != nil {
		return fmt.Errorf("deleting a user policy: %w", err)
	}
	return nil
}

func (s *Snapshot) targetPolicy(g authz.Grant, action authz.Action, account, userName, policyName string) (*principal, int, error) {
	if err := checkName("PolicyName", policyName, maxPolicyName); err != nil {
		return nil, 0, err
	}
	p, err := s.target(g, action, account, userName)
	if err != nil {
		return nil, 0, err
	}
	at, ok := p.findPolicy(policyName)
	if !ok || p.policies[at].name != policyName {
		return nil, 0, fmt.Errorf("%w: the user has no policy of this name", ErrNoSuchEntity)
	}
	return p, at, nil
}

// UserPolicy returns the document of an inline policy, byte for byte as it was put. The grant must permit
// authz.IAMGetUserPolicy on the user's ARN.
func (s *Snapshot) UserPolicy(g authz.Grant, account, userName, policyName string) (document string, err error) {
	p, at, err := s.targetPolicy(g, authz.IAMGetUserPolicy, account, userName, policyName)
	if err != nil {
		return "", err
	}
	return p.policies[at].document, nil
}

// ListUserPolicies returns the names of a user's inline policies, in order without regard to case. The grant must
// permit authz.IAMListUserPolicies on the user's ARN.
func (s *Snapshot) ListUserPolicies(g authz.Grant, account, userName string) ([]string, error) {
	p, err := s.target(g, authz.IAMListUserPolicies, account, userName)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(p.policies))
	for _, q := range p.policies {
		names = append(names, q.name)
	}
	return names, nil
}
