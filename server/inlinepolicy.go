package server

import (
	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

func checkPutUserPolicy(v *violations, r *iamv1.PutUserPolicyRequest) {
	v.givenUserName(r.GetUserName())
	v.inline(r.GetPolicyName())
	v.document("policy_document", r.GetPolicyDocument())
}

func putUserPolicy(c *call, r *iamv1.PutUserPolicyRequest) (*iamv1.PutUserPolicyResponse, error) {
	c.param(audit.String("policyName", r.GetPolicyName()))
	c.notePolicy(r.GetPolicyDocument())
	c.aboutBoundaryOfUser(r.GetUserName())
	err := c.changeUser(authz.IAMPutUserPolicy, r.GetUserName(), func(people *iam.IAM, g authz.Grant) error {
		c.lint(authz.IdentityPolicy, r.GetPolicyDocument())
		_, err := people.PutUserPolicy(g, c.account(), r.GetUserName(), r.GetPolicyName(), r.GetPolicyDocument())
		return err
	})
	if err != nil {
		return nil, err
	}
	return iamv1.PutUserPolicyResponse_builder{Findings: c.findings}.Build(), nil
}

func checkGetUserPolicy(v *violations, r *iamv1.GetUserPolicyRequest) {
	v.givenUserName(r.GetUserName())
	v.inline(r.GetPolicyName())
}

func getUserPolicy(c *call, r *iamv1.GetUserPolicyRequest) (*iamv1.GetUserPolicyResponse, error) {
	c.param(audit.String("policyName", r.GetPolicyName()))
	g, err := c.onUser(authz.IAMGetUserPolicy, r.GetUserName())
	if err != nil {
		return nil, err
	}
	document, err := c.people.UserPolicy(g, c.account(), r.GetUserName(), r.GetPolicyName())
	if err != nil {
		return nil, err
	}
	return iamv1.GetUserPolicyResponse_builder{UserName: r.GetUserName(), PolicyName: r.GetPolicyName(), PolicyDocument: document}.Build(), nil
}

func checkListUserPolicies(v *violations, r *iamv1.ListUserPoliciesRequest) {
	v.givenUserName(r.GetUserName())
}

func listUserPolicies(c *call, r *iamv1.ListUserPoliciesRequest) (*iamv1.ListUserPoliciesResponse, error) {
	g, err := c.onUser(authz.IAMListUserPolicies, r.GetUserName())
	if err != nil {
		return nil, err
	}
	names, err := c.people.ListUserPolicies(g, c.account(), r.GetUserName())
	if err != nil {
		return nil, err
	}
	return iamv1.ListUserPoliciesResponse_builder{PolicyNames: names}.Build(), nil
}

func checkDeleteUserPolicy(v *violations, r *iamv1.DeleteUserPolicyRequest) {
	v.givenUserName(r.GetUserName())
	v.inline(r.GetPolicyName())
}

func deleteUserPolicy(c *call, r *iamv1.DeleteUserPolicyRequest) (*iamv1.DeleteUserPolicyResponse, error) {
	c.param(audit.String("policyName", r.GetPolicyName()))
	c.aboutBoundaryOfUser(r.GetUserName())
	return &iamv1.DeleteUserPolicyResponse{}, c.changeUser(authz.IAMDeleteUserPolicy, r.GetUserName(), func(people *iam.IAM, g authz.Grant) error {
		return people.DeleteUserPolicy(g, c.account(), r.GetUserName(), r.GetPolicyName())
	})
}

func checkPutGroupPolicy(v *violations, r *iamv1.PutGroupPolicyRequest) {
	v.givenGroupName(r.GetGroupName())
	v.inline(r.GetPolicyName())
	v.document("policy_document", r.GetPolicyDocument())
}

func putGroupPolicy(c *call, r *iamv1.PutGroupPolicyRequest) (*iamv1.PutGroupPolicyResponse, error) {
	c.param(audit.String("policyName", r.GetPolicyName()))
	c.notePolicy(r.GetPolicyDocument())
	err := c.changeGroup(authz.IAMPutGroupPolicy, r.GetGroupName(), func(people *iam.IAM, g authz.Grant) error {
		c.lint(authz.IdentityPolicy, r.GetPolicyDocument())
		_, err := people.PutGroupPolicy(g, c.account(), r.GetGroupName(), r.GetPolicyName(), r.GetPolicyDocument())
		return err
	})
	if err != nil {
		return nil, err
	}
	return iamv1.PutGroupPolicyResponse_builder{Findings: c.findings}.Build(), nil
}

func checkGetGroupPolicy(v *violations, r *iamv1.GetGroupPolicyRequest) {
	v.givenGroupName(r.GetGroupName())
	v.inline(r.GetPolicyName())
}

func getGroupPolicy(c *call, r *iamv1.GetGroupPolicyRequest) (*iamv1.GetGroupPolicyResponse, error) {
	c.param(audit.String("policyName", r.GetPolicyName()))
	g, err := c.onGroup(authz.IAMGetGroupPolicy, r.GetGroupName())
	if err != nil {
		return nil, err
	}
	document, err := c.people.GroupPolicy(g, c.account(), r.GetGroupName(), r.GetPolicyName())
	if err != nil {
		return nil, err
	}
	return iamv1.GetGroupPolicyResponse_builder{GroupName: r.GetGroupName(), PolicyName: r.GetPolicyName(), PolicyDocument: document}.Build(), nil
}

func checkListGroupPolicies(v *violations, r *iamv1.ListGroupPoliciesRequest) {
	v.givenGroupName(r.GetGroupName())
}

func listGroupPolicies(c *call, r *iamv1.ListGroupPoliciesRequest) (*iamv1.ListGroupPoliciesResponse, error) {
	g, err := c.onGroup(authz.IAMListGroupPolicies, r.GetGroupName())
	if err != nil {
		return nil, err
	}
	names, err := c.people.ListGroupPolicies(g, c.account(), r.GetGroupName())
	if err != nil {
		return nil, err
	}
	return iamv1.ListGroupPoliciesResponse_builder{PolicyNames: names}.Build(), nil
}

func checkDeleteGroupPolicy(v *violations, r *iamv1.DeleteGroupPolicyRequest) {
	v.givenGroupName(r.GetGroupName())
	v.inline(r.GetPolicyName())
}

func deleteGroupPolicy(c *call, r *iamv1.DeleteGroupPolicyRequest) (*iamv1.DeleteGroupPolicyResponse, error) {
	c.param(audit.String("policyName", r.GetPolicyName()))
	return &iamv1.DeleteGroupPolicyResponse{}, c.changeGroup(authz.IAMDeleteGroupPolicy, r.GetGroupName(), func(people *iam.IAM, g authz.Grant) error {
		return people.DeleteGroupPolicy(g, c.account(), r.GetGroupName(), r.GetPolicyName())
	})
}

func checkPutRolePolicy(v *violations, r *iamv1.PutRolePolicyRequest) {
	v.givenRoleName(r.GetRoleName())
	v.inline(r.GetPolicyName())
	v.document("policy_document", r.GetPolicyDocument())
}

func putRolePolicy(c *call, r *iamv1.PutRolePolicyRequest) (*iamv1.PutRolePolicyResponse, error) {
	c.param(audit.String("policyName", r.GetPolicyName()))
	c.notePolicy(r.GetPolicyDocument())
	c.aboutBoundaryOfRole(r.GetRoleName())
	err := c.changeRole(authz.IAMPutRolePolicy, r.GetRoleName(), func(people *iam.IAM, g authz.Grant) error {
		c.lint(authz.IdentityPolicy, r.GetPolicyDocument())
		_, err := people.PutRolePolicy(g, c.account(), r.GetRoleName(), r.GetPolicyName(), r.GetPolicyDocument())
		return err
	})
	if err != nil {
		return nil, err
	}
	return iamv1.PutRolePolicyResponse_builder{Findings: c.findings}.Build(), nil
}

func checkGetRolePolicy(v *violations, r *iamv1.GetRolePolicyRequest) {
	v.givenRoleName(r.GetRoleName())
	v.inline(r.GetPolicyName())
}

func getRolePolicy(c *call, r *iamv1.GetRolePolicyRequest) (*iamv1.GetRolePolicyResponse, error) {
	c.param(audit.String("policyName", r.GetPolicyName()))
	g, err := c.onRole(authz.IAMGetRolePolicy, r.GetRoleName())
	if err != nil {
		return nil, err
	}
	document, err := c.people.RolePolicy(g, c.account(), r.GetRoleName(), r.GetPolicyName())
	if err != nil {
		return nil, err
	}
	return iamv1.GetRolePolicyResponse_builder{RoleName: r.GetRoleName(), PolicyName: r.GetPolicyName(), PolicyDocument: document}.Build(), nil
}

func checkListRolePolicies(v *violations, r *iamv1.ListRolePoliciesRequest) {
	v.givenRoleName(r.GetRoleName())
}

func listRolePolicies(c *call, r *iamv1.ListRolePoliciesRequest) (*iamv1.ListRolePoliciesResponse, error) {
	g, err := c.onRole(authz.IAMListRolePolicies, r.GetRoleName())
	if err != nil {
		return nil, err
	}
	names, err := c.people.ListRolePolicies(g, c.account(), r.GetRoleName())
	if err != nil {
		return nil, err
	}
	return iamv1.ListRolePoliciesResponse_builder{PolicyNames: names}.Build(), nil
}

func checkDeleteRolePolicy(v *violations, r *iamv1.DeleteRolePolicyRequest) {
	v.givenRoleName(r.GetRoleName())
	v.inline(r.GetPolicyName())
}

func deleteRolePolicy(c *call, r *iamv1.DeleteRolePolicyRequest) (*iamv1.DeleteRolePolicyResponse, error) {
	c.param(audit.String("policyName", r.GetPolicyName()))
	c.aboutBoundaryOfRole(r.GetRoleName())
	return &iamv1.DeleteRolePolicyResponse{}, c.changeRole(authz.IAMDeleteRolePolicy, r.GetRoleName(), func(people *iam.IAM, g authz.Grant) error {
		return people.DeleteRolePolicy(g, c.account(), r.GetRoleName(), r.GetPolicyName())
	})
}
