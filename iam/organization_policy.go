package iam

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// OrgPolicy is a service control policy or resource control policy of the organization.
type OrgPolicy struct {
	ID          string // p-…
	ARN         string // arn:PARTITION:organizations::MANAGEMENT:policy/ORGANIZATION/service_control_policy/ID, or resource_…
	Name        string // unique among those of its type without regard to case
	Description string
	Type        authz.PolicyKind // authz.ServiceControlPolicy or authz.ResourceControlPolicy
	AWSManaged  bool             // it comes with kmsd and cannot be changed
	Content     string           // the document, byte for byte as it was put
	Created     time.Time        // zero for those of AWS
	Updated     time.Time        // likewise
}

type orgPolicy struct {
	id, name, description, document string
	kind                            authz.PolicyKind
	managed                         bool // by AWS
	created, updated                time.Time
	compiled                        *authz.Policy // under its id
}

func newOrgPolicy(p orgPolicy) (*orgPolicy, error) {
	if len(p.document) > MaxOrgPolicyBytes {
		return nil, violates("POLICY_CONTENT_LIMIT_EXCEEDED", fmt.Sprintf("the document has more than %d bytes", MaxOrgPolicyBytes))
	}
	compiled, err := authz.Parse(p.kind, []byte(p.document))
	if err != nil {
		return nil, err
	}
	p.compiled = compiled.Named(p.id)
	return &p, nil
}

func (s *Snapshot) orgPolicyARN(p *orgPolicy) string {
	if p.managed {
		return s.organizationsARN("aws", "policy", orgPolicyWord(p.kind), p.id)
	}
	return s.organizationsARN(s.management, "policy", s.organization.id, orgPolicyWord(p.kind), p.id)
}

func (s *Snapshot) showOrgPolicy(p *orgPolicy) OrgPolicy {
	return OrgPolicy{
		ID: p.id, ARN: s.orgPolicyARN(p), Name: p.name, Description: p.description, Type: p.kind, AWSManaged: p.managed,
		Content: p.document, Created: p.created, Updated: p.updated,
	}
}

// OrgPolicy returns the organization's policy with an id. The error matches ErrOrgPolicyNotFound.
func (s *Snapshot) OrgPolicy(id string) (OrgPolicy, error) {
	p, ok := s.organization.policies.Load(id)
	if !ok {
		return OrgPolicy{}, ErrOrgPolicyNotFound
	}
	return s.showOrgPolicy(p), nil
}

// OrgPolicies returns up to limit policies of a type, at most MaxOrgPage, in the order of their ids, from the first one
// after the id after (empty: from the beginning), and whether there are more.
func (s *Snapshot) OrgPolicies(kind authz.PolicyKind, after string, limit int) (policies []OrgPolicy, more bool, err error) {
	if err := checkOrgPolicyType(kind); err != nil {
		return nil, false, err
	}
	policies, more = page(limit, func(yield func(*orgPolicy) bool) {
		for _, p := range s.organization.policies.After(after) {
			if p.kind == kind && !yield(p) {
				return
			}
		}
	}, s.showOrgPolicy)
	return policies, more, nil
}

// CreateOrgPolicy describes a policy to make.
type CreateOrgPolicy struct {
	Name        string           // 1 to 128 characters of printable ASCII
	Description string           // up to 512 characters
	Content     string           // up to MaxOrgPolicyBytes
	Type        authz.PolicyKind // authz.ServiceControlPolicy or authz.ResourceControlPolicy
}

// CreateOrgPolicy makes a policy that is attached to nothing. The grant must permit authz.OrganizationsCreatePolicy on
// "*". The error matches ErrValidation, ErrDuplicateOrgPolicy, ErrConstraintViolation or ErrMalformedPolicy.
func (i *IAM) CreateOrgPolicy(g authz.Grant, r CreateOrgPolicy) (made OrgPolicy, err error) {
	err = cmp.Or(checkOrgName("Name", r.Name, maxPolicyName), checkOrgDescription(r.Description), checkOrgPolicyType(r.Type))
	if err != nil {
		return OrgPolicy{}, err
	}
	err = i.update("creating a policy of the organization", &made, func(next *Snapshot, tx *storage.Tx) error {
		o, err := next.orgTarget(g, authz.OrganizationsCreatePolicy, "*")
		if err != nil {
			return err
		}
		if o.own[typeIndex(r.Type)] >= MaxOrgPolicies {
			return violates("POLICY_NUMBER_LIMIT_EXCEEDED", fmt.Sprintf("the organization has %d policies of this type", MaxOrgPolicies))
		}
		present := present()
		p, err := newOrgPolicy(orgPolicy{
			id: newOrgPolicyID(), name: r.Name, description: r.Description, kind: r.Type, document: r.Content,
			created: present, updated: present,
		})
		if err != nil {
			return err
		}
		if err := o.checkPolicyName(p); err != nil {
			return err
		}
		o.own[typeIndex(r.Type)]++
		o.policies = o.policies.With(p.id, p)
		next.organization = o
		made = next.showOrgPolicy(p)
		return tx.Put(kindOrgPolicy, p.id, encodeOrgPolicy(p))
	})
	if err != nil {
		return OrgPolicy{}, err
	}
	return made, nil
}

// checkPolicyName refuses the name of p if another policy of its type has it, in whatever case.
func (o *organization) checkPolicyName(p *orgPolicy) error {
	for id, other := range o.policies.All() {
		if id != p.id && other.kind == p.kind && strings.EqualFold(other.name, p.name) {
			return ErrDuplicateOrgPolicy
		}
	}
	return nil
}

// UpdateOrgPolicy says what to change of a policy.
type UpdateOrgPolicy struct {
	ID          string
	Name        string  // empty: as it is
	Description *string // nil: as it is
	Content     string  // empty: as it is
}

// UpdateOrgPolicy changes a policy, at once wherever it is attached. The grant must permit
// authz.OrganizationsUpdatePolicy on OrgPolicyARN. The error matches those of CreateOrgPolicy, ErrOrgPolicyNotFound or
// ErrOrgPolicyImmutable.
func (i *IAM) UpdateOrgPolicy(g authz.Grant, r UpdateOrgPolicy) (made OrgPolicy, err error) {
	if err := r.check(); err != nil {
		return OrgPolicy{}, err
	}
	err = i.update("updating a policy of the organization", &made, func(next *Snapshot, tx *storage.Tx) error {
		o, old, err := next.orgPolicyTarget(g, authz.OrganizationsUpdatePolicy, r.ID)
		if err != nil {
			return err
		}
		p, err := newOrgPolicy(r.apply(*old))
		if err != nil {
			return err
		}
		if err := o.checkPolicyName(p); err != nil {
			return err
		}
		o.policies = o.policies.With(p.id, p)
		if p.document != old.document {
			o.endEra()
			next.noteUnusable(p.id, nil)
		}
		next.organization = o
		made = next.showOrgPolicy(p)
		return tx.Put(kindOrgPolicy, p.id, encodeOrgPolicy(p))
	})
	if err != nil {
		return OrgPolicy{}, err
	}
	return made, nil
}

func (r *UpdateOrgPolicy) check() error {
	err := checkOrgPolicyID(r.ID)
	if r.Name != "" {
		err = cmp.Or(err, checkOrgName("Name", r.Name, maxPolicyName))
	}
	if r.Description != nil {
		err = cmp.Or(err, checkOrgDescription(*r.Description))
	}
	return err
}

func (r *UpdateOrgPolicy) apply(p orgPolicy) orgPolicy {
	p.updated = present()
	if r.Name != "" {
		p.name = r.Name
	}
	if r.Description != nil {
		p.description = *r.Description
	}
	if r.Content != "" {
		p.document = r.Content
	}
	return p
}

// orgPolicyTarget returns a copy of the organization and the policy that an operation is to change, if the grant
// permits it.
func (s *Snapshot) orgPolicyTarget(g authz.Grant, action authz.Action, id string) (*organization, *orgPolicy, error) {
	o, err := s.orgTarget(g, action, s.OrgPolicyARN(id))
	if err != nil {
		return nil, nil, err
	}
	p, ok := o.policies.Load(id)
	switch {
	case !ok:
		return nil, nil, ErrOrgPolicyNotFound
	case p.managed:
		return nil, nil, ErrOrgPolicyImmutable
	}
	return o, p, nil
}

// DeleteOrgPolicy removes a policy that is attached to nothing (ErrOrgPolicyInUse). The grant must permit
// authz.OrganizationsDeletePolicy on OrgPolicyARN. The error matches ErrOrgPolicyNotFound or ErrOrgPolicyImmutable, too.
func (i *IAM) DeleteOrgPolicy(g authz.Grant, id string) error {
	if err := checkOrgPolicyID(id); err != nil {
		return err
	}
	return i.update("deleting a policy of the organization", nil, func(next *Snapshot, tx *storage.Tx) error {
		o, p, err := next.orgPolicyTarget(g, authz.OrganizationsDeletePolicy, id)
		if err != nil {
			return err
		}
		for range o.targets(id, "") {
			return ErrOrgPolicyInUse
		}
		o.own[typeIndex(p.kind)]--
		o.policies = o.policies.Without(id)
		next.organization = o
		next.noteUnusable(id, nil)
		return tx.Delete(kindOrgPolicy, id)
	})
}
