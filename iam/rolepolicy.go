package iam

import (
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// PutRolePolicy gives a role an inline policy, in the place of the one of the same name, and returns it as compiled (nil for a repetition). All inline policies of a role
// together may have MaxRolePolicyChars; otherwise it is as PutUserPolicy. It holds for open sessions of the role too. The grant must
// permit authz.IAMPutRolePolicy on the role's ARN.
func (i *IAM) PutRolePolicy(g authz.Grant, account, roleName, policyName, document string) (*authz.Policy, error) {
	if err := checkName("PolicyName", policyName, maxPolicyName); err != nil {
		return nil, err
	}
	var pol policy
	err := i.update("putting a role policy", nil, func(next *Snapshot, tx *storage.Tx) error {
		r, err := next.targetRole(g, authz.IAMPutRolePolicy, account, roleName)
		if err != nil {
			return err
		}
		if pol, err = newPolicy(policyName, policyName, document); err != nil {
			return err
		}
		changed := r.clone()
		if changed.policySet, err = r.put(pol, MaxRolePolicyChars); err != nil {
			return err
		}
		next.setRole(r, changed)
		return tx.Put(kindRolePolicy, join(account, r.ID, fold(policyName)), pol.record())
	})
	if err != nil {
		return nil, err
	}
	return pol.compiled, nil
}

// DeleteRolePolicy removes an inline policy by its exact name. The grant must permit authz.IAMDeleteRolePolicy on the role's
// ARN.
func (i *IAM) DeleteRolePolicy(g authz.Grant, account, roleName, policyName string) error {
	if err := checkName("PolicyName", policyName, maxPolicyName); err != nil {
		return err
	}
	return i.update("deleting a role policy", nil, func(next *Snapshot, tx *storage.Tx) error {
		r, err := next.targetRole(g, authz.IAMDeleteRolePolicy, account, roleName)
		if err != nil {
			return err
		}
		changed := r.clone()
		if changed.policySet, err = r.drop(policyName); err != nil {
			return err
		}
		next.setRole(r, changed)
		return tx.Delete(kindRolePolicy, join(account, r.ID, fold(policyName)))
	})
}

// RolePolicy returns the document of an inline policy, byte for byte as it was put. The grant must permit authz.IAMGetRolePolicy on
// the role's ARN.
func (s *Snapshot) RolePolicy(g authz.Grant, account, roleName, policyName string) (document string, err error) {
	if err := checkName("PolicyName", policyName, maxPolicyName); err != nil {
		return "", err
	}
	r, err := s.targetRole(g, authz.IAMGetRolePolicy, account, roleName)
	if err != nil {
		return "", err
	}
	q, err := r.get(policyName)
	return q.document, err
}

// ListRolePolicies returns the names of a role's inline policies, in order without regard to case. The grant must permit
// authz.IAMListRolePolicies on the role's ARN.
func (s *Snapshot) ListRolePolicies(g authz.Grant, account, roleName string) ([]string, error) {
	r, err := s.targetRole(g, authz.IAMListRolePolicies, account, roleName)
	if err != nil {
		return nil, err
	}
	return r.names(), nil
}

// AttachRolePolicy attaches a managed policy, by its ARN, to a role, which may have MaxAttachedPolicies. One that is attached already
// stays so. The grant must permit authz.IAMAttachRolePolicy on the role's ARN.
func (i *IAM) AttachRolePolicy(g authz.Grant, account, roleName, policyARN string) error {
	return i.changeRole("attaching a role policy", g, authz.IAMAttachRolePolicy, account, roleName, func(s *Snapshot, r *role) error {
		return s.attach(&r.policySet, account, policyARN)
	})
}

// DetachRolePolicy undoes AttachRolePolicy; a policy that is not attached is ErrNoSuchEntity. The grant must permit
// authz.IAMDetachRolePolicy on the role's ARN.
func (i *IAM) DetachRolePolicy(g authz.Grant, account, roleName, policyARN string) error {
	return i.changeRole("detaching a role policy", g, authz.IAMDetachRolePolicy, account, roleName, func(s *Snapshot, r *role) error {
		return s.detach(&r.policySet, policyARN)
	})
}

// ListAttachedRolePolicies returns the managed policies of a role in the order in which they were attached. The grant must permit
// authz.IAMListAttachedRolePolicies on the role's ARN.
func (s *Snapshot) ListAttachedRolePolicies(g authz.Grant, account, roleName string) ([]Policy, error) {
	r, err := s.targetRole(g, authz.IAMListAttachedRolePolicies, account, roleName)
	if err != nil {
		return nil, err
	}
	return s.attachedPolicies(r.policySet), nil
}

// PutRolePermissionsBoundary makes a managed policy, by its ARN, the boundary of what a role's policies can allow, for open sessions
// too. The grant must permit authz.IAMPutRolePermissionsBoundary on the role's ARN.
func (i *IAM) PutRolePermissionsBoundary(g authz.Grant, account, roleName, policyARN string) error {
	if policyARN == "" {
		return invalid("PermissionsBoundary", "must be the ARN of a managed policy")
	}
	return i.changeRole("putting a permissions boundary", g, authz.IAMPutRolePermissionsBoundary, account, roleName, func(s *Snapshot, r *role) (err error) {
		r.boundary, r.PermissionsBoundary, err = s.boundaryID(account, policyARN)
		return err
	})
}

// DeleteRolePermissionsBoundary removes a role's boundary; a role without one is ErrNoSuchEntity. The grant must permit
// authz.IAMDeleteRolePermissionsBoundary on the role's ARN.
func (i *IAM) DeleteRolePermissionsBoundary(g authz.Grant, account, roleName string) error {
	return i.changeRole("deleting a permissions boundary", g, authz.IAMDeleteRolePermissionsBoundary, account, roleName, func(_ *Snapshot, r *role) error {
		if r.boundary == "" {
			return errNoBoundary()
		}
		r.boundary, r.PermissionsBoundary = "", ""
		return nil
	})
}
