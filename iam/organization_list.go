package iam

// Child is what is directly under a root or organizational unit.
type Child struct {
	ID   string
	Type TargetType // UnitTarget or AccountTarget
}

// Parent is what an organizational unit or account is directly under.
type Parent struct {
	ID   string
	Type TargetType // RootTarget or UnitTarget
}

// children yields what is directly under a root or unit, in the order of their ids, from the first one after an id.
func (o *organization) children(parentID, after string) func(yield func(*orgNode) bool) {
	return func(yield func(*orgNode) bool) {
		for n := range o.nodesAfter(after) {
			if n.parent == parentID && !yield(n) {
				return
			}
		}
	}
}

// childrenOf is children of one type, of a parent that is there.
func (o *organization) childrenOf(parentID string, kind TargetType, after string) (func(yield func(*orgNode) bool), error) {
	if err := checkParentID("ParentId", parentID); err != nil {
		return nil, err
	}
	if _, ok := o.container(parentID); !ok {
		return nil, ErrParentNotFound
	}
	return func(yield func(*orgNode) bool) {
		for n := range o.children(parentID, after) {
			if n.kind == kind && !yield(n) {
				return
			}
		}
	}, nil
}

// OrganizationalUnitsForParent returns up to limit units directly under a root or unit, at most MaxOrgPage, in the order
// of their ids, from the first one after the id after (empty: from the beginning), and whether there are more. The
// error matches ErrParentNotFound or ErrValidation.
func (s *Snapshot) OrganizationalUnitsForParent(parentID, after string, limit int) (units []OrganizationalUnit, more bool, err error) {
	children, err := s.organization.childrenOf(parentID, UnitTarget, after)
	if err != nil {
		return nil, false, err
	}
	units, more = page(limit, children, s.showUnit)
	return units, more, nil
}

// AccountsForParent returns up to limit accounts directly under a root or unit, as OrganizationalUnitsForParent does.
func (s *Snapshot) AccountsForParent(parentID, after string, limit int) (accounts []OrgAccount, more bool, err error) {
	children, err := s.organization.childrenOf(parentID, AccountTarget, after)
	if err != nil {
		return nil, false, err
	}
	accounts, more = page(limit, children, s.showAccount)
	return accounts, more, nil
}

// Children returns up to limit of what is directly under a root or unit and of a type, UnitTarget or AccountTarget, as
// OrganizationalUnitsForParent does.
func (s *Snapshot) Children(parentID string, kind TargetType, after string, limit int) (list []Child, more bool, err error) {
	if kind != UnitTarget && kind != AccountTarget {
		return nil, false, invalid("ChildType", "must be ACCOUNT or ORGANIZATIONAL_UNIT")
	}
	children, err := s.organization.childrenOf(parentID, kind, after)
	if err != nil {
		return nil, false, err
	}
	list, more = page(limit, children, func(n *orgNode) Child { return Child{ID: n.id, Type: n.kind} })
	return list, more, nil
}

// Parent returns what an organizational unit or account is directly under. The error matches ErrChildNotFound or
// ErrValidation.
func (s *Snapshot) Parent(childID string) (Parent, error) {
	if !unitID.MatchString(childID) && !accountID.MatchString(childID) {
		return Parent{}, invalid("ChildId", "must have the form of the id of an organizational unit, ou-…, or of an account, 12 digits")
	}
	n, ok := s.organization.find(childID)
	if !ok {
		return Parent{}, ErrChildNotFound
	}
	parent, _ := s.organization.container(n.parent)
	return Parent{ID: parent.id, Type: parent.kind}, nil
}
