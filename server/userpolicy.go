package server

import (
	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

func (v *violations) userPolicy(user, policy string) {
	v.givenUserName(user)
	v.text("policy_name", policy, 1, maxUserPolicy)
}

func checkPutUserPolicy(v *violations, r *iamv1.PutUserPolicyRequest) {
	v.userPolicy(r.GetUserName(), r.GetPolicyName())
	v.text("policy_document", r.GetPolicyDocument(), 1, maxDocument)
}

func putUserPolicy(c *call, r *iamv1.PutUserPolicyRequest) (*iamv1.PutUserPolicyResponse, error) {
	c.param(audit.String("policyName", r.GetPolicyName()))
	c.notePolicy(r.GetPolicyDocument())
	g, err := c.onUser(authz.IAMPutUserPolicy, r.GetUserName())
	if err != nil {
		return nil, err
	}
	people, err := c.changingPeople()
	if err != nil {
		return nil, err
	}
	if err := people.PutUserPolicy(g, c.account(), r.GetUserName(), r.GetPolicyName(), r.GetPolicyDocument()); err != nil {
		return nil, err
	}
	return &iamv1.PutUserPolicyResponse{}, nil
}

func checkGetUserPolicy(v *violations, r *iamv1.GetUserPolicyRequest) {
	v.userPolicy(r.GetUserName(), r.GetPolicyName())
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
	v.userPolicy(r.GetUserName(), r.GetPolicyName())
}

func deleteUserPolicy(c *call, r *iamv1.DeleteUserPolicyRequest) (*iamv1.DeleteUserPolicyResponse, error) {
	c.param(audit.String("policyName", r.GetPolicyName()))
	g, err := c.onUser(authz.IAMDeleteUserPolicy, r.GetUserName())
	if err != nil {
		return nil, err
	}
	people, err := c.changingPeople()
	if err != nil {
		return nil, err
	}
	if err := people.DeleteUserPolicy(g, c.account(), r.GetUserName(), r.GetPolicyName()); err != nil {
		return nil, err
	}
	return &iamv1.DeleteUserPolicyResponse{}, nil
}
