package server

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// roleOf is a role as lists have it; single answers have its tags and boundary too.
func roleOf(r iam.Role) iamv1.Role_builder {
	return iamv1.Role_builder{
		Path: r.Path, RoleName: r.Name, RoleId: r.ID, Arn: r.ARN, CreateDate: timestamppb.New(r.Created), AssumeRolePolicyDocument: r.TrustPolicy,
		Description: r.Description, MaxSessionDuration: int32(r.MaxSessionDuration / time.Second),
	}
}

func checkCreateRole(v *violations, r *iamv1.CreateRoleRequest) {
	v.givenRoleName(r.GetRoleName())
	v.text("path", r.GetPath(), 0, maxPath)
	v.document("assume_role_policy_document", r.GetAssumeRolePolicyDocument())
	v.text("description", r.GetDescription(), 0, maxEntityText)
	v.text("permissions_boundary", r.GetPermissionsBoundary(), 0, maxEntityARN)
	v.tags(r.GetTags())
}

func createRole(c *call, r *iamv1.CreateRoleRequest) (*iamv1.CreateRoleResponse, error) {
	n := iam.NewRole{
		Name: r.GetRoleName(), Path: r.GetPath(), Description: r.GetDescription(), TrustPolicy: r.GetAssumeRolePolicyDocument(),
		MaxSessionDuration: time.Duration(r.GetMaxSessionDuration()) * time.Second, PermissionsBoundary: r.GetPermissionsBoundary(), Tags: c.iamTags(r.GetTags()),
	}
	c.notePolicy(n.TrustPolicy)
	c.aboutBoundary(n.PermissionsBoundary)
	arn := c.people.NewRoleARN(c.account(), pathOr(r.GetPath()), r.GetRoleName())
	if len(n.Tags) > 0 {
		var err error
		if n.Tagging, err = c.onNew(authz.IAMTagRole, "ROLE", arn); err != nil {
			return nil, err
		}
	}
	out := iamv1.CreateRoleResponse_builder{}
	err := c.changeBy(func() (authz.Grant, error) { return c.onNew(authz.IAMCreateRole, "ROLE", arn) }, func(people *iam.IAM, g authz.Grant) error {
		c.lint(authz.TrustPolicy, n.TrustPolicy)
		made, err := people.CreateRole(g, c.account(), n)
		if err != nil {
			return err
		}
		role := roleOf(made)
		role.PermissionsBoundary, role.Tags = boundaryOf(made.PermissionsBoundary), r.GetTags()
		out.Role, out.Findings = role.Build(), c.findings
		return nil
	})
	return out.Build(), err
}

func checkGetRole(v *violations, r *iamv1.GetRoleRequest) { v.givenRoleName(r.GetRoleName()) }

func getRole(c *call, r *iamv1.GetRoleRequest) (*iamv1.GetRoleResponse, error) {
	if _, err := c.onRole(authz.IAMGetRole, r.GetRoleName()); err != nil {
		return nil, err
	}
	role, ok := c.people.Role(c.account(), r.GetRoleName())
	if !ok {
		return nil, fmt.Errorf("%w: there is no role of this name", iam.ErrNoSuchEntity)
	}
	out := roleOf(role)
	out.PermissionsBoundary, out.Tags = boundaryOf(role.PermissionsBoundary), tagsOf(c.people.RoleTags(role.ID))
	return iamv1.GetRoleResponse_builder{Role: out.Build()}.Build(), nil
}

func checkListRoles(v *violations, r *iamv1.ListRolesRequest) {
	v.text("path_prefix", r.GetPathPrefix(), 0, maxPath)
	v.limit("max_items", r.GetMaxItems(), largestItems)
}

func listRoles(c *call, r *iamv1.ListRolesRequest) (*iamv1.ListRolesResponse, error) {
	if _, err := c.allow(authz.IAMListRoles, nothing); err != nil {
		return nil, err
	}
	after, err := c.position(r.GetPathPrefix(), r.GetMarker())
	if err != nil {
		return nil, err
	}
	list, more := pageThrough(after, pageSize(r.GetMaxItems(), usualItems),
		func(after string) ([]iam.Role, bool) { return c.people.Roles(c.account(), after, largestItems) },
		func(r iam.Role) string { return r.Name }, func(role iam.Role) bool { return strings.HasPrefix(role.Path, r.GetPathPrefix()) })
	out := iamv1.ListRolesResponse_builder{IsTruncated: more}
	for _, role := range list {
		out.Roles = append(out.Roles, roleOf(role).Build())
	}
	if more {
		out.Marker = c.marker(r.GetPathPrefix(), list[len(list)-1].Name)
	}
	return out.Build(), nil
}

func checkUpdateRole(v *violations, r *iamv1.UpdateRoleRequest) {
	v.givenRoleName(r.GetRoleName())
	v.text("description", r.GetDescription(), 0, maxEntityText)
}

func updateRole(c *call, r *iamv1.UpdateRoleRequest) (*iamv1.UpdateRoleResponse, error) {
	var u iam.RoleUpdate
	if r.HasDescription() {
		description := r.GetDescription()
		u.Description = &description
	}
	if r.GetMaxSessionDuration() != 0 {
		longest := time.Duration(r.GetMaxSessionDuration()) * time.Second
		u.MaxSessionDuration = &longest
	}
	return &iamv1.UpdateRoleResponse{}, c.changeRole(authz.IAMUpdateRole, r.GetRoleName(), func(people *iam.IAM, g authz.Grant) error {
		return people.UpdateRole(g, c.account(), r.GetRoleName(), u)
	})
}

func checkDeleteRole(v *violations, r *iamv1.DeleteRoleRequest) { v.givenRoleName(r.GetRoleName()) }

func deleteRole(c *call, r *iamv1.DeleteRoleRequest) (*iamv1.DeleteRoleResponse, error) {
	return &iamv1.DeleteRoleResponse{}, c.changeRole(authz.IAMDeleteRole, r.GetRoleName(), func(people *iam.IAM, g authz.Grant) error {
		return people.DeleteRole(g, c.account(), r.GetRoleName())
	})
}

func checkUpdateAssumeRolePolicy(v *violations, r *iamv1.UpdateAssumeRolePolicyRequest) {
	v.givenRoleName(r.GetRoleName())
	v.document("policy_document", r.GetPolicyDocument())
}

func updateAssumeRolePolicy(c *call, r *iamv1.UpdateAssumeRolePolicyRequest) (*iamv1.UpdateAssumeRolePolicyResponse, error) {
	c.notePolicy(r.GetPolicyDocument())
	err := c.changeRole(authz.IAMUpdateAssumeRolePolicy, r.GetRoleName(), func(people *iam.IAM, g authz.Grant) error {
		c.lint(authz.TrustPolicy, r.GetPolicyDocument())
		_, err := people.UpdateAssumeRolePolicy(g, c.account(), r.GetRoleName(), r.GetPolicyDocument())
		return err
	})
	if err != nil {
		return nil, err
	}
	return iamv1.UpdateAssumeRolePolicyResponse_builder{Findings: c.findings}.Build(), nil
}
