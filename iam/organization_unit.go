package iam

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// OrganizationalUnit is a node of the tree, which accounts and further units are in.
type OrganizationalUnit struct {
	ID      string // ou- and the word of the root's id, a dash and twelve of a-z and 2-7; never given twice
	ARN     string // arn:PARTITION:organizations::MANAGEMENT:ou/ORGANIZATION/ID
	Name    string // unique under its parent without regard to case
	Created time.Time
}

func (s *Snapshot) showUnit(n *orgNode) OrganizationalUnit {
	return OrganizationalUnit{ID: n.id, ARN: s.OrganizationalUnitARN(n.id), Name: n.name, Created: n.created}
}

// OrganizationalUnit returns the organizational unit with an id. The error matches ErrOrganizationalUnitNotFound.
func (s *Snapshot) OrganizationalUnit(id string) (OrganizationalUnit, error) {
	n, ok := s.organization.units.Load(id)
	if !ok {
		return OrganizationalUnit{}, ErrOrganizationalUnitNotFound
	}
	return s.showUnit(n), nil
}

// CreateOrganizationalUnit makes a unit under a root or unit, with FullAWSAccess and RCPFullAWSAccess attached. The
// grant must permit authz.OrganizationsCreateOrganizationalUnit on TargetARN of the parent. The error matches
// ErrValidation, ErrParentNotFound, ErrDuplicateOrganizationalUnit or ErrConstraintViolation.
func (i *IAM) CreateOrganizationalUnit(g authz.Grant, parentID, name string) (made OrganizationalUnit, err error) {
	err = cmp.Or(checkParentID("ParentId", parentID), checkOrgName("Name", name, maxUnitName))
	if err != nil {
		return OrganizationalUnit{}, err
	}
	err = i.update("creating an organizational unit", &made, func(next *Snapshot, tx *storage.Tx) error {
		o, err := next.orgTarget(g, authz.OrganizationsCreateOrganizationalUnit, next.TargetARN(parentID))
		if err != nil {
			return err
		}
		parent, ok := o.container(parentID)
		switch {
		case !ok:
			return ErrParentNotFound
		case o.units.Len() >= MaxOrganizationalUnits:
			return violates("OU_NUMBER_LIMIT_EXCEEDED", fmt.Sprintf("the organization has %d organizational units", MaxOrganizationalUnits))
		case o.depth(parent) >= MaxUnitDepth:
			return violates("OU_DEPTH_LIMIT_EXCEEDED", fmt.Sprintf("organizational units are nested %d deep", MaxUnitDepth))
		}
		n := &orgNode{
			kind: UnitTarget, id: newUnitID(o.root.id), parent: parentID, name: name, created: present(), policies: firstPolicies(),
		}
		if err := o.checkUnitName(n); err != nil {
			return err
		}
		o.put(n)
		next.organization = o
		made = next.showUnit(n)
		return o.write(tx, n)
	})
	if err != nil {
		return OrganizationalUnit{}, err
	}
	return made, nil
}

// checkUnitName refuses the name of n if another unit under its parent has it, in whatever case.
func (o *organization) checkUnitName(n *orgNode) error {
	for id, other := range o.units.All() {
		if id != n.id && other.parent == n.parent && strings.EqualFold(other.name, n.name) {
			return ErrDuplicateOrganizationalUnit
		}
	}
	return nil
}

// unitTarget returns a copy of the organization and the unit that an operation is about, if the grant permits it.
func (s *Snapshot) unitTarget(g authz.Grant, action authz.Action, id string) (*organization, *orgNode, error) {
	o, err := s.orgTarget(g, action, s.OrganizationalUnitARN(id))
	if err != nil {
		return nil, nil, err
	}
	n, ok := o.units.Load(id)
	if !ok {
		return nil, nil, ErrOrganizationalUnitNotFound
	}
	return o, n, nil
}

// UpdateOrganizationalUnit gives a unit another name; an empty one leaves it as it is. The grant must permit
// authz.OrganizationsUpdateOrganizationalUnit on OrganizationalUnitARN. The error matches ErrValidation,
// ErrOrganizationalUnitNotFound or ErrDuplicateOrganizationalUnit.
func (i *IAM) UpdateOrganizationalUnit(g authz.Grant, id, name string) (made OrganizationalUnit, err error) {
	err = checkUnitID(id)
	if name != "" {
		err = cmp.Or(err, checkOrgName("Name", name, maxUnitName))
	}
	if err != nil {
		return OrganizationalUnit{}, err
	}
	err = i.update("updating an organizational unit", &made, func(next *Snapshot, tx *storage.Tx) error {
		o, old, err := next.unitTarget(g, authz.OrganizationsUpdateOrganizationalUnit, id)
		if err != nil {
			return err
		}
		n := old.clone()
		n.name = cmp.Or(name, old.name)
		if err := o.checkUnitName(n); err != nil {
			return err
		}
		o.put(n)
		next.organization = o
		made = next.showUnit(n)
		return o.write(tx, n)
	})
	if err != nil {
		return OrganizationalUnit{}, err
	}
	return made, nil
}

// DeleteOrganizationalUnit removes a unit in which there is nothing (ErrOrganizationalUnitNotEmpty); what is attached to
// it is detached. The grant must permit authz.OrganizationsDeleteOrganizationalUnit on OrganizationalUnitARN. The
// error matches ErrValidation or ErrOrganizationalUnitNotFound, too. The id is never given again.
func (i *IAM) DeleteOrganizationalUnit(g authz.Grant, id string) error {
	if err := checkUnitID(id); err != nil {
		return err
	}
	return i.update("deleting an organizational unit", nil, func(next *Snapshot, tx *storage.Tx) error {
		o, n, err := next.unitTarget(g, authz.OrganizationsDeleteOrganizationalUnit, id)
		if err != nil {
			return err
		}
		for range o.children(id, "") {
			return ErrOrganizationalUnitNotEmpty
		}
		o.units = o.units.Without(id)
		next.organization = o
		return tx.Delete(kindUnit, n.id)
	})
}
