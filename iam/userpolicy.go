package iam

import (
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// PutUserPolicy gives a user an inline policy, in the place of the one of the same name, and returns it as compiled (nil for a repetition). Names are as of users, up
// to 128 characters; a name that differs from that of another policy of the user in case only is ErrEntityExists.
// All inline policies of a user together may have MaxInlinePolicyChars, white space between the tokens not counted
// (ErrLimitExceeded). A document that authz does not parse gives authz's error, which matches ErrMalformedPolicy.
// The grant must permit authz.IAMPutUserPolicy on the user's ARN.
func (i *IAM) PutUserPolicy(g authz.Grant, account, userName, policyName, document string) (*authz.Policy, error) {
	if err := checkName("PolicyName", policyName, maxPolicyName); err != nil {
		return nil, err
	}
	var pol policy
	err := i.update("putting a user policy", nil, func(next *Snapshot, tx *storage.Tx) error {
		p, err := next.notRoot(g, authz.IAMPutUserPolicy, account, userName)
		if err != nil {
			return err
		}
		if pol, err = newPolicy(policyName, policyName, document); err != nil {
			return err
		}
		changed := p.clone()
		if changed.policySet, err = p.put(pol, MaxInlinePolicyChars); err != nil {
			return err
		}
		next.setUser(p, changed)
		return tx.Put(kindUserPolicy, join(account, p.ID, fold(policyName)), pol.record())
	})
	if err != nil {
		return nil, err
	}
	return pol.compiled, nil
}

// DeleteUserPolicy removes an inline policy by its exact name. The grant must permit authz.IAMDeleteUserPolicy on
// the user's ARN.
func (i *IAM) DeleteUserPolicy(g authz.Grant, account, userName, policyName string) error {
	if err := checkName("PolicyName", policyName, maxPolicyName); err != nil {
		return err
	}
	return i.update("deleting a user policy", nil, func(next *Snapshot, tx *storage.Tx) error {
		p, err := next.target(g, authz.IAMDeleteUserPolicy, account, userName)
		if err != nil {
			return err
		}
		changed := p.clone()
		if changed.policySet, err = p.drop(policyName); err != nil {
			return err
		}
		next.setUser(p, changed)
		return tx.Delete(kindUserPolicy, join(account, p.ID, fold(policyName)))
	})
}

// UserPolicy returns the document of an inline policy, byte for byte as it was put. The grant must permit
// authz.IAMGetUserPolicy on the user's ARN.
func (s *Snapshot) UserPolicy(g authz.Grant, account, userName, policyName string) (document string, err error) {
	if err := checkName("PolicyName", policyName, maxPolicyName); err != nil {
		return "", err
	}
	p, err := s.target(g, authz.IAMGetUserPolicy, account, userName)
	if err != nil {
		return "", err
	}
	q, err := p.get(policyName)
	return q.document, err
}

// ListUserPolicies returns the names of a user's inline policies, in order without regard to case. The grant must
// permit authz.IAMListUserPolicies on the user's ARN.
func (s *Snapshot) ListUserPolicies(g authz.Grant, account, userName string) ([]string, error) {
	p, err := s.target(g, authz.IAMListUserPolicies, account, userName)
	if err != nil {
		return nil, err
	}
	return p.names(), nil
}
