package server

import (
	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
)

func checkListRoots(v *violations, r *organizationsv1.ListRootsRequest) { v.orgPage(r.GetMaxResults()) }

func listRoots(c *call, r *organizationsv1.ListRootsRequest) (*organizationsv1.ListRootsResponse, error) {
	if _, err := c.orgList(authz.OrganizationsListRoots, "", "", r.GetNextToken()); err != nil {
		return nil, err
	}
	root := c.people.OrganizationRoot()
	return organizationsv1.ListRootsResponse_builder{
		Roots: []*organizationsv1.Root{organizationsv1.Root_builder{Id: root.ID, Arn: root.ARN, Name: root.Name}.Build()},
	}.Build(), nil
}

func unitOf(u iam.OrganizationalUnit) *organizationsv1.OrganizationalUnit {
	return organizationsv1.OrganizationalUnit_builder{Id: u.ID, Arn: u.ARN, Name: u.Name}.Build()
}

func checkCreateOrganizationalUnit(v *violations, r *organizationsv1.CreateOrganizationalUnitRequest) {
	v.orgID("parent_id", r.GetParentId())
	v.text("name", r.GetName(), 1, orgText)
}

func createOrganizationalUnit(c *call, r *organizationsv1.CreateOrganizationalUnitRequest) (*organizationsv1.CreateOrganizationalUnitResponse, error) {
	out := organizationsv1.CreateOrganizationalUnitResponse_builder{}
	c.param(audit.String("name", r.GetName()))
	err := c.changeOrganization(authz.OrganizationsCreateOrganizationalUnit, "PARENT", c.people.TargetARN(r.GetParentId()), func(people *iam.IAM, g authz.Grant) error {
		u, err := people.CreateOrganizationalUnit(g, r.GetParentId(), r.GetName())
		out.OrganizationalUnit = unitOf(u)
		return err
	})
	return out.Build(), err
}

func checkDescribeOrganizationalUnit(v *violations, r *organizationsv1.DescribeOrganizationalUnitRequest) {
	v.orgID("organizational_unit_id", r.GetOrganizationalUnitId())
}

func describeOrganizationalUnit(c *call, r *organizationsv1.DescribeOrganizationalUnitRequest) (*organizationsv1.DescribeOrganizationalUnitResponse, error) {
	if _, err := c.onOrganization(authz.OrganizationsDescribeOrganizationalUnit, "UNIT", c.people.OrganizationalUnitARN(r.GetOrganizationalUnitId())); err != nil {
		return nil, err
	}
	u, err := c.people.OrganizationalUnit(r.GetOrganizationalUnitId())
	if err != nil {
		return nil, err
	}
	return organizationsv1.DescribeOrganizationalUnitResponse_builder{OrganizationalUnit: unitOf(u)}.Build(), nil
}

func checkUpdateOrganizationalUnit(v *violations, r *organizationsv1.UpdateOrganizationalUnitRequest) {
	v.orgID("organizational_unit_id", r.GetOrganizationalUnitId())
	v.text("name", r.GetName(), 0, orgText)
}

func updateOrganizationalUnit(c *call, r *organizationsv1.UpdateOrganizationalUnitRequest) (*organizationsv1.UpdateOrganizationalUnitResponse, error) {
	out := organizationsv1.UpdateOrganizationalUnitResponse_builder{}
	c.param(audit.String("name", r.GetName()))
	err := c.changeOrganization(authz.OrganizationsUpdateOrganizationalUnit, "UNIT", c.people.OrganizationalUnitARN(r.GetOrganizationalUnitId()), func(people *iam.IAM, g authz.Grant) error {
		u, err := people.UpdateOrganizationalUnit(g, r.GetOrganizationalUnitId(), r.GetName())
		out.OrganizationalUnit = unitOf(u)
		return err
	})
	return out.Build(), err
}

func checkDeleteOrganizationalUnit(v *violations, r *organizationsv1.DeleteOrganizationalUnitRequest) {
	v.orgID("organizational_unit_id", r.GetOrganizationalUnitId())
}

func deleteOrganizationalUnit(c *call, r *organizationsv1.DeleteOrganizationalUnitRequest) (*organizationsv1.DeleteOrganizationalUnitResponse, error) {
	err := c.changeOrganization(authz.OrganizationsDeleteOrganizationalUnit, "UNIT", c.people.OrganizationalUnitARN(r.GetOrganizationalUnitId()), func(people *iam.IAM, g authz.Grant) error {
		return people.DeleteOrganizationalUnit(g, r.GetOrganizationalUnitId())
	})
	return &organizationsv1.DeleteOrganizationalUnitResponse{}, err
}

func checkListOrganizationalUnitsForParent(v *violations, r *organizationsv1.ListOrganizationalUnitsForParentRequest) {
	v.orgID("parent_id", r.GetParentId())
	v.orgPage(r.GetMaxResults())
}

func listOrganizationalUnitsForParent(c *call, r *organizationsv1.ListOrganizationalUnitsForParentRequest) (*organizationsv1.ListOrganizationalUnitsForParentResponse, error) {
	arn := c.people.TargetARN(r.GetParentId())
	after, err := c.orgList(authz.OrganizationsListOrganizationalUnitsForParent, "PARENT", arn, r.GetNextToken())
	if err != nil {
		return nil, err
	}
	page, more, err := c.people.OrganizationalUnitsForParent(r.GetParentId(), after, pageSize(r.GetMaxResults(), usualOrgPage))
	if err != nil {
		return nil, err
	}
	out := organizationsv1.ListOrganizationalUnitsForParentResponse_builder{}
	for _, u := range page {
		out.OrganizationalUnits = append(out.OrganizationalUnits, unitOf(u))
		after = u.ID
	}
	out.NextToken = c.nextToken(more, arn, after)
	return out.Build(), nil
}

func checkListAccountsForParent(v *violations, r *organizationsv1.ListAccountsForParentRequest) {
	v.orgID("parent_id", r.GetParentId())
	v.orgPage(r.GetMaxResults())
}

func listAccountsForParent(c *call, r *organizationsv1.ListAccountsForParentRequest) (*organizationsv1.ListAccountsForParentResponse, error) {
	arn := c.people.TargetARN(r.GetParentId())
	after, err := c.orgList(authz.OrganizationsListAccountsForParent, "PARENT", arn, r.GetNextToken())
	if err != nil {
		return nil, err
	}
	page, more, err := c.people.AccountsForParent(r.GetParentId(), after, pageSize(r.GetMaxResults(), usualOrgPage))
	if err != nil {
		return nil, err
	}
	out := organizationsv1.ListAccountsForParentResponse_builder{}
	for _, a := range page {
		out.Accounts = append(out.Accounts, accountOf(a))
		after = a.ID
	}
	out.NextToken = c.nextToken(more, arn, after)
	return out.Build(), nil
}

var (
	childTypes = map[iam.TargetType]organizationsv1.ChildType{
		iam.AccountTarget: organizationsv1.ChildType_CHILD_TYPE_ACCOUNT, iam.UnitTarget: organizationsv1.ChildType_CHILD_TYPE_ORGANIZATIONAL_UNIT,
	}
	parentTypes = map[iam.TargetType]organizationsv1.ParentType{
		iam.RootTarget: organizationsv1.ParentType_PARENT_TYPE_ROOT, iam.UnitTarget: organizationsv1.ParentType_PARENT_TYPE_ORGANIZATIONAL_UNIT,
	}
)

func checkListChildren(v *violations, r *organizationsv1.ListChildrenRequest) {
	v.orgID("parent_id", r.GetParentId())
	v.orgPage(r.GetMaxResults())
	if r.GetChildType() != organizationsv1.ChildType_CHILD_TYPE_ACCOUNT && r.GetChildType() != organizationsv1.ChildType_CHILD_TYPE_ORGANIZATIONAL_UNIT {
		v.add("child_type", "must be ACCOUNT or ORGANIZATIONAL_UNIT")
	}
}

func listChildren(c *call, r *organizationsv1.ListChildrenRequest) (*organizationsv1.ListChildrenResponse, error) {
	arn, kind := c.people.TargetARN(r.GetParentId()), iam.AccountTarget
	if r.GetChildType() == organizationsv1.ChildType_CHILD_TYPE_ORGANIZATIONAL_UNIT {
		kind = iam.UnitTarget
	}
	after, err := c.orgList(authz.OrganizationsListChildren, "PARENT", arn, r.GetNextToken())
	if err != nil {
		return nil, err
	}
	page, more, err := c.people.Children(r.GetParentId(), kind, after, pageSize(r.GetMaxResults(), usualOrgPage))
	if err != nil {
		return nil, err
	}
	out := organizationsv1.ListChildrenResponse_builder{}
	for _, one := range page {
		out.Children = append(out.Children, organizationsv1.Child_builder{Id: one.ID, Type: childTypes[one.Type]}.Build())
		after = one.ID
	}
	out.NextToken = c.nextToken(more, arn, after)
	return out.Build(), nil
}

func checkListParents(v *violations, r *organizationsv1.ListParentsRequest) {
	v.orgID("child_id", r.GetChildId())
	v.orgPage(r.GetMaxResults())
}

func listParents(c *call, r *organizationsv1.ListParentsRequest) (*organizationsv1.ListParentsResponse, error) {
	if _, err := c.orgList(authz.OrganizationsListParents, "CHILD", c.people.TargetARN(r.GetChildId()), r.GetNextToken()); err != nil {
		return nil, err
	}
	p, err := c.people.Parent(r.GetChildId())
	if err != nil {
		return nil, err
	}
	return organizationsv1.ListParentsResponse_builder{
		Parents: []*organizationsv1.Parent{organizationsv1.Parent_builder{Id: p.ID, Type: parentTypes[p.Type]}.Build()},
	}.Build(), nil
}
