package server

import (
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

func checkAttachUserPolicy(v *violations, r *iamv1.AttachUserPolicyRequest) {
	v.givenUserName(r.GetUserName())
	v.policyARN("policy_arn", r.GetPolicyArn())
}

func attachUserPolicy(c *call, r *iamv1.AttachUserPolicyRequest) (*iamv1.AttachUserPolicyResponse, error) {
	c.aboutManaged(r.GetPolicyArn())
	c.aboutBoundaryOfUser(r.GetUserName())
	return &iamv1.AttachUserPolicyResponse{}, c.changeUser(authz.IAMAttachUserPolicy, r.GetUserName(), func(people *iam.IAM, g authz.Grant) error {
		return people.AttachUserPolicy(g, c.account(), r.GetUserName(), r.GetPolicyArn())
	})
}

func checkDetachUserPolicy(v *violations, r *iamv1.DetachUserPolicyRequest) {
	v.givenUserName(r.GetUserName())
	v.policyARN("policy_arn", r.GetPolicyArn())
}

func detachUserPolicy(c *call, r *iamv1.DetachUserPolicyRequest) (*iamv1.DetachUserPolicyResponse, error) {
	c.aboutManaged(r.GetPolicyArn())
	c.aboutBoundaryOfUser(r.GetUserName())
	return &iamv1.DetachUserPolicyResponse{}, c.changeUser(authz.IAMDetachUserPolicy, r.GetUserName(), func(people *iam.IAM, g authz.Grant) error {
		return people.DetachUserPolicy(g, c.account(), r.GetUserName(), r.GetPolicyArn())
	})
}

func checkListAttachedUserPolicies(v *violations, r *iamv1.ListAttachedUserPoliciesRequest) {
	v.givenUserName(r.GetUserName())
	v.text("path_prefix", r.GetPathPrefix(), 0, maxPath)
}

func listAttachedUserPolicies(c *call, r *iamv1.ListAttachedUserPoliciesRequest) (*iamv1.ListAttachedUserPoliciesResponse, error) {
	g, err := c.onUser(authz.IAMListAttachedUserPolicies, r.GetUserName())
	if err != nil {
		return nil, err
	}
	policies, err := c.people.ListAttachedUserPolicies(g, c.account(), r.GetUserName())
	if err != nil {
		return nil, err
	}
	return iamv1.ListAttachedUserPoliciesResponse_builder{AttachedPolicies: attachedOf(policies, r.GetPathPrefix())}.Build(), nil
}

func checkAttachGroupPolicy(v *violations, r *iamv1.AttachGroupPolicyRequest) {
	v.givenGroupName(r.GetGroupName())
	v.policyARN("policy_arn", r.GetPolicyArn())
}

func attachGroupPolicy(c *call, r *iamv1.AttachGroupPolicyRequest) (*iamv1.AttachGroupPolicyResponse, error) {
	c.aboutManaged(r.GetPolicyArn())
	return &iamv1.AttachGroupPolicyResponse{}, c.changeGroup(authz.IAMAttachGroupPolicy, r.GetGroupName(), func(people *iam.IAM, g authz.Grant) error {
		return people.AttachGroupPolicy(g, c.account(), r.GetGroupName(), r.GetPolicyArn())
	})
}

func checkDetachGroupPolicy(v *violations, r *iamv1.DetachGroupPolicyRequest) {
	v.givenGroupName(r.GetGroupName())
	v.policyARN("policy_arn", r.GetPolicyArn())
}

func detachGroupPolicy(c *call, r *iamv1.DetachGroupPolicyRequest) (*iamv1.DetachGroupPolicyResponse, error) {
	c.aboutManaged(r.GetPolicyArn())
	return &iamv1.DetachGroupPolicyResponse{}, c.changeGroup(authz.IAMDetachGroupPolicy, r.GetGroupName(), func(people *iam.IAM, g authz.Grant) error {
		return people.DetachGroupPolicy(g, c.account(), r.GetGroupName(), r.GetPolicyArn())
	})
}

func checkListAttachedGroupPolicies(v *violations, r *iamv1.ListAttachedGroupPoliciesRequest) {
	v.givenGroupName(r.GetGroupName())
	v.text("path_prefix", r.GetPathPrefix(), 0, maxPath)
}

func listAttachedGroupPolicies(c *call, r *iamv1.ListAttachedGroupPoliciesRequest) (*iamv1.ListAttachedGroupPoliciesResponse, error) {
	g, err := c.onGroup(authz.IAMListAttachedGroupPolicies, r.GetGroupName())
	if err != nil {
		return nil, err
	}
	policies, err := c.people.ListAttachedGroupPolicies(g, c.account(), r.GetGroupName())
	if err != nil {
		return nil, err
	}
	return iamv1.ListAttachedGroupPoliciesResponse_builder{AttachedPolicies: attachedOf(policies, r.GetPathPrefix())}.Build(), nil
}

func checkAttachRolePolicy(v *violations, r *iamv1.AttachRolePolicyRequest) {
	v.givenRoleName(r.GetRoleName())
	v.policyARN("policy_arn", r.GetPolicyArn())
}

func attachRolePolicy(c *call, r *iamv1.AttachRolePolicyRequest) (*iamv1.AttachRolePolicyResponse, error) {
	c.aboutManaged(r.GetPolicyArn())
	c.aboutBoundaryOfRole(r.GetRoleName())
	return &iamv1.AttachRolePolicyResponse{}, c.changeRole(authz.IAMAttachRolePolicy, r.GetRoleName(), func(people *iam.IAM, g authz.Grant) error {
		return people.AttachRolePolicy(g, c.account(), r.GetRoleName(), r.GetPolicyArn())
	})
}

func checkDetachRolePolicy(v *violations, r *iamv1.DetachRolePolicyRequest) {
	v.givenRoleName(r.GetRoleName())
	v.policyARN("policy_arn", r.GetPolicyArn())
}

func detachRolePolicy(c *call, r *iamv1.DetachRolePolicyRequest) (*iamv1.DetachRolePolicyResponse, error) {
	c.aboutManaged(r.GetPolicyArn())
	c.aboutBoundaryOfRole(r.GetRoleName())
	return &iamv1.DetachRolePolicyResponse{}, c.changeRole(authz.IAMDetachRolePolicy, r.GetRoleName(), func(people *iam.IAM, g authz.Grant) error {
		return people.DetachRolePolicy(g, c.account(), r.GetRoleName(), r.GetPolicyArn())
	})
}

func checkListAttachedRolePolicies(v *violations, r *iamv1.ListAttachedRolePoliciesRequest) {
	v.givenRoleName(r.GetRoleName())
	v.text("path_prefix", r.GetPathPrefix(), 0, maxPath)
}

func listAttachedRolePolicies(c *call, r *iamv1.ListAttachedRolePoliciesRequest) (*iamv1.ListAttachedRolePoliciesResponse, error) {
	g, err := c.onRole(authz.IAMListAttachedRolePolicies, r.GetRoleName())
	if err != nil {
		return nil, err
	}
	policies, err := c.people.ListAttachedRolePolicies(g, c.account(), r.GetRoleName())
	if err != nil {
		return nil, err
	}
	return iamv1.ListAttachedRolePoliciesResponse_builder{AttachedPolicies: attachedOf(policies, r.GetPathPrefix())}.Build(), nil
}
