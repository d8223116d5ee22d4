package iam

import (
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// PutGroupPolicy gives a group an inline policy, in the place of the one of the same name, and returns it as compiled (nil for a repetition). All inline policies of a
// group together may have MaxGroupPolicyChars; otherwise it is as PutUserPolicy. The grant must permit authz.IAMPutGroupPolicy on the
// group's ARN.
func (i *IAM) PutGroupPolicy(g authz.Grant, account, groupName, policyName, document string) (*authz.Policy, error) {
	if err := checkName("PolicyName", policyName, maxPolicyName); err != nil {
		return nil, err
	}
	var pol policy
	err := i.update("putting a group policy", nil, func(next *Snapshot, tx *storage.Tx) error {
		e, err := next.targetGroup(g, authz.IAMPutGroupPolicy, account, groupName)
		if err != nil {
			return err
		}
		if pol, err = newPolicy(e.policyLabel(policyName), policyName, document); err != nil {
			return err
		}
		changed := e.clone()
		if changed.policySet, err = e.put(pol, MaxGroupPolicyChars); err != nil {
			return err
		}
		next.setGroup(e, changed)
		return tx.Put(kindGroupPolicy, join(account, e.ID, fold(policyName)), pol.record())
	})
	if err != nil {
		return nil, err
	}
	return pol.compiled, nil
}

// DeleteGroupPolicy removes an inline policy by its exact name. The grant must permit authz.IAMDeleteGroupPolicy on the
// group's ARN.
func (i *IAM) DeleteGroupPolicy(g authz.Grant, account, groupName, policyName string) error {
	if err := checkName("PolicyName", policyName, maxPolicyName); err != nil {
		return err
	}
	return i.update("deleting a group policy", nil, func(next *Snapshot, tx *storage.Tx) error {
		e, err := next.targetGroup(g, authz.IAMDeleteGroupPolicy, account, groupName)
		if err != nil {
			return err
		}
		changed := e.clone()
		if changed.policySet, err = e.drop(policyName); err != nil {
			return err
		}
		next.setGroup(e, changed)
		return tx.Delete(kindGroupPolicy, join(account, e.ID, fold(policyName)))
	})
}

// GroupPolicy returns the document of an inline policy, byte for byte as it was put. The grant must permit
// authz.IAMGetGroupPolicy on the group's ARN.
func (s *Snapshot) GroupPolicy(g authz.Grant, account, groupName, policyName string) (document string, err error) {
	if err := checkName("PolicyName", policyName, maxPolicyName); err != nil {
		return "", err
	}
	e, err := s.targetGroup(g, authz.IAMGetGroupPolicy, account, groupName)
	if err != nil {
		return "", err
	}
	q, err := e.get(policyName)
	return q.document, err
}

// ListGroupPolicies returns the names of a group's inline policies, in order without regard to case. The grant must permit
// authz.IAMListGroupPolicies on the group's ARN.
func (s *Snapshot) ListGroupPolicies(g authz.Grant, account, groupName string) ([]string, error) {
	e, err := s.targetGroup(g, authz.IAMListGroupPolicies, account, groupName)
	if err != nil {
		return nil, err
	}
	return e.names(), nil
}

// AttachGroupPolicy attaches a managed policy, by its ARN, to a group, which may have MaxAttachedPolicies. One that is attached
// already stays so. The grant must permit authz.IAMAttachGroupPolicy on the group's ARN.
func (i *IAM) AttachGroupPolicy(g authz.Grant, account, groupName, policyARN string) error {
	return i.changeGroup("attaching a group policy", nil, g, authz.IAMAttachGroupPolicy, account, groupName, func(s *Snapshot, e *group) error {
		return s.attach(&e.policySet, account, policyARN)
	})
}

// DetachGroupPolicy undoes AttachGroupPolicy; a policy that is not attached is ErrNoSuchEntity. The grant must permit
// authz.IAMDetachGroupPolicy on the group's ARN.
func (i *IAM) DetachGroupPolicy(g authz.Grant, account, groupName, policyARN string) error {
	return i.changeGroup("detaching a group policy", nil, g, authz.IAMDetachGroupPolicy, account, groupName, func(s *Snapshot, e *group) error {
		return s.detach(&e.policySet, policyARN)
	})
}

// ListAttachedGroupPolicies returns the managed policies of a group in the order in which they were attached. The grant must
// permit authz.IAMListAttachedGroupPolicies on the group's ARN.
func (s *Snapshot) ListAttachedGroupPolicies(g authz.Grant, account, groupName string) ([]Policy, error) {
	e, err := s.targetGroup(g, authz.IAMListAttachedGroupPolicies, account, groupName)
	if err != nil {
		return nil, err
	}
	return s.attachedPolicies(e.policySet), nil
}
