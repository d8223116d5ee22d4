package iam

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// Target is what a policy of the organization is attached to.
type Target struct {
	ID   string
	ARN  string
	Name string
	Type TargetType
}

// targets yields the nodes that a policy is attached to, in the order of their ids, from the first one after an id.
func (o *organization) targets(policyID, after string) func(yield func(*orgNode) bool) {
	return func(yield func(*orgNode) bool) {
		for n := range o.nodesAfter(after) {
			if slices.Contains(n.policies, policyID) && !yield(n) {
				return
			}
		}
	}
}

// TargetsForPolicy returns up to limit nodes that a policy is attached to itself, at most MaxOrgPage, in the order of
// their ids, from the first one after the id after (empty: from the beginning), and whether there are more. The error
// matches ErrOrgPolicyNotFound.
func (s *Snapshot) TargetsForPolicy(policyID, after string, limit int) (targets []Target, more bool, err error) {
	if _, ok := s.organization.policies.Load(policyID); !ok {
		return nil, false, ErrOrgPolicyNotFound
	}
	targets, more = page(limit, s.organization.targets(policyID, after), func(n *orgNode) Target {
		return Target{ID: n.id, ARN: s.TargetARN(n.id), Name: n.name, Type: n.kind}
	})
	return targets, more, nil
}

// PoliciesForTarget returns up to limit policies of a type that are attached to a node itself, at most MaxOrgPage, in
// the order of their ids, from the first one after the id after (empty: from the beginning), and whether there are
// more. The error matches ErrTargetNotFound or ErrValidation.
func (s *Snapshot) PoliciesForTarget(targetID string, kind authz.PolicyKind, after string, limit int) (policies []OrgPolicy, more bool, err error) {
	if err := checkOrgPolicyType(kind); err != nil {
		return nil, false, err
	}
	n, ok := s.organization.find(targetID)
	if !ok {
		return nil, false, ErrTargetNotFound
	}
	policies, more = page(limit, func(yield func(*orgPolicy) bool) {
		for _, id := range n.policies {
			p, _ := s.organization.policies.Load(id)
			if id > after && p.kind == kind && !yield(p) {
				return
			}
		}
	}, s.showOrgPolicy)
	return policies, more, nil
}

// attachment is a policy and the node that it is to be attached to, or detached from.
type attachment struct {
	o      *organization
	policy *orgPolicy
	node   *orgNode // a copy
	at     int      // where the policy is, or would be, among those of the node
	exists bool
}

// ofType counts the policies on the node that are of the policy's type.
func (a *attachment) ofType() int {
	count := 0
	for _, id := range a.node.policies {
		if p, _ := a.o.policies.Load(id); p.kind == a.policy.kind {
			count++
		}
	}
	return count
}

// attachmentTarget finds what an operation is about, if the grants permit it on the policy and on the target.
func (s *Snapshot) attachmentTarget(onPolicy, onTarget authz.Grant, action authz.Action, policyID, targetID string) (*attachment, error) {
	if !onTarget.Permits(action, s.TargetARN(targetID)) {
		return nil, ErrNotPermitted
	}
	o, err := s.orgTarget(onPolicy, action, s.OrgPolicyARN(policyID))
	if err != nil {
		return nil, err
	}
	p, ok := o.policies.Load(policyID)
	if !ok {
		return nil, ErrOrgPolicyNotFound
	}
	n, ok := o.find(targetID)
	if !ok {
		return nil, ErrTargetNotFound
	}
	a := &attachment{o: o, policy: p, node: n.clone()}
	a.at, a.exists = slices.BinarySearch(n.policies, policyID)
	return a, nil
}

// commit puts the changed node in the place of the old.
func (a *attachment) commit(next *Snapshot, tx *storage.Tx) error {
	a.o.put(a.node)
	a.o.endEra()
	next.organization = a.o
	return a.o.write(tx, a.node)
}

// AttachOrgPolicy attaches a policy to a root, organizational unit or account, for which it counts from then on, and
// for what is below. The grants must permit authz.OrganizationsAttachPolicy, one on OrgPolicyARN and one on TargetARN.
// The error matches ErrValidation, ErrOrgPolicyNotFound, ErrTargetNotFound, ErrDuplicatePolicyAttachment or, if the
// target has MaxAttachedOrgPolicies of this type, ErrConstraintViolation.
func (i *IAM) AttachOrgPolicy(onPolicy, onTarget authz.Grant, policyID, targetID string) error {
	if err := cmp.Or(checkOrgPolicyID(policyID), checkTargetID("TargetId", targetID)); err != nil {
		return err
	}
	return i.update("attaching a policy of the organization", nil, func(next *Snapshot, tx *storage.Tx) error {
		a, err := next.attachmentTarget(onPolicy, onTarget, authz.OrganizationsAttachPolicy, policyID, targetID)
		if err != nil {
			return err
		}
		if a.exists {
			return ErrDuplicatePolicyAttachment
		}
		if a.ofType() >= MaxAttachedOrgPolicies {
			return violates("MAX_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED", fmt.Sprintf("the target has %d policies of this type", MaxAttachedOrgPolicies))
		}
		a.node.policies = slices.Insert(a.node.policies, a.at, policyID)
		return a.commit(next, tx)
	})
}

// DetachOrgPolicy detaches a policy from a root, organizational unit or account. Of service control policies the last
// one stays, and RCPFullAWSAccess always (ErrConstraintViolation). The grants must permit
// authz.OrganizationsDetachPolicy, one on OrgPolicyARN and one on TargetARN. The error matches ErrValidation,
// ErrOrgPolicyNotFound, ErrTargetNotFound or ErrPolicyNotAttached, too.
func (i *IAM) DetachOrgPolicy(onPolicy, onTarget authz.Grant, policyID, targetID string) error {
	if err := cmp.Or(checkOrgPolicyID(policyID), checkTargetID("TargetId", targetID)); err != nil {
		return err
	}
	return i.update("detaching a policy of the organization", nil, func(next *Snapshot, tx *storage.Tx) error {
		a, err := next.attachmentTarget(onPolicy, onTarget, authz.OrganizationsDetachPolicy, policyID, targetID)
		if err != nil {
			return err
		}
		switch {
		case !a.exists:
			return ErrPolicyNotAttached
		case policyID == RCPFullAWSAccessID:
			return violates("MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED", "RCPFullAWSAccess cannot be detached")
		case a.policy.kind == authz.ServiceControlPolicy && a.ofType() == 1:
			return violates("MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED", "it is the last service control policy of the target")
		}
		a.node.policies = slices.Delete(a.node.policies, a.at, a.at+1)
		return a.commit(next, tx)
	})
}
