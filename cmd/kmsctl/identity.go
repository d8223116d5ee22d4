package main

import (
	"context"

	"github.com/kmsd/kmsd/client"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// identity is a kind of what policies are given to: users, groups and roles, with the operations that they share. Groups have no tags and no
// boundary.
type identity struct {
	noun, example string
	named         func(name string) removed

	put    func(ctx context.Context, c *client.Client, name, policy, document string) ([]*iamv1.Finding, error)
	get    func(ctx context.Context, c *client.Client, name, policy string) (string, error)
	list   func(ctx context.Context, c *client.Client, name string) ([]string, error)
	remove func(ctx context.Context, c *client.Client, name, policy string) error

	attach, detach func(ctx context.Context, c *client.Client, name, arn string) error
	attached       func(ctx context.Context, c *client.Client, name string) ([]*iamv1.AttachedPolicy, error)

	tag   func(ctx context.Context, c *client.Client, name string, tags []*iamv1.Tag) error
	untag func(ctx context.Context, c *client.Client, name string, keys []string) error
	tags  func(ctx context.Context, c *client.Client, name string) ([]*iamv1.Tag, error)

	bound   func(ctx context.Context, c *client.Client, name, arn string) error
	unbound func(ctx context.Context, c *client.Client, name string) error
}

func userPolicies() identity {
	return identity{
		noun: "user", example: "alice", named: func(name string) removed { return removed{UserName: name} },
		put: func(ctx context.Context, c *client.Client, name, policy, document string) ([]*iamv1.Finding, error) {
			out, err := c.IAM().PutUserPolicy(ctx, iamv1.PutUserPolicyRequest_builder{UserName: name, PolicyName: policy, PolicyDocument: document}.Build())
			return out.GetFindings(), err
		},
		get: func(ctx context.Context, c *client.Client, name, policy string) (string, error) {
			out, err := c.IAM().GetUserPolicy(ctx, iamv1.GetUserPolicyRequest_builder{UserName: name, PolicyName: policy}.Build())
			return out.GetPolicyDocument(), err
		},
		list: func(ctx context.Context, c *client.Client, name string) ([]string, error) {
			out, err := c.IAM().ListUserPolicies(ctx, iamv1.ListUserPoliciesRequest_builder{UserName: name}.Build())
			return out.GetPolicyNames(), err
		},
		remove: func(ctx context.Context, c *client.Client, name, policy string) error {
			_, err := c.IAM().DeleteUserPolicy(ctx, iamv1.DeleteUserPolicyRequest_builder{UserName: name, PolicyName: policy}.Build())
			return err
		},
		attach: func(ctx context.Context, c *client.Client, name, arn string) error {
			_, err := c.IAM().AttachUserPolicy(ctx, iamv1.AttachUserPolicyRequest_builder{UserName: name, PolicyArn: arn}.Build())
			return err
		},
		detach: func(ctx context.Context, c *client.Client, name, arn string) error {
			_, err := c.IAM().DetachUserPolicy(ctx, iamv1.DetachUserPolicyRequest_builder{UserName: name, PolicyArn: arn}.Build())
			return err
		},
		attached: func(ctx context.Context, c *client.Client, name string) ([]*iamv1.AttachedPolicy, error) {
			out, err := c.IAM().ListAttachedUserPolicies(ctx, iamv1.ListAttachedUserPoliciesRequest_builder{UserName: name}.Build())
			return out.GetAttachedPolicies(), err
		},
		tag: func(ctx context.Context, c *client.Client, name string, tags []*iamv1.Tag) error {
			_, err := c.IAM().TagUser(ctx, iamv1.TagUserRequest_builder{UserName: name, Tags: tags}.Build())
			return err
		},
		untag: func(ctx context.Context, c *client.Client, name string, keys []string) error {
			_, err := c.IAM().UntagUser(ctx, iamv1.UntagUserRequest_builder{UserName: name, TagKeys: keys}.Build())
			return err
		},
		tags: func(ctx context.Context, c *client.Client, name string) ([]*iamv1.Tag, error) {
			out, err := c.IAM().ListUserTags(ctx, iamv1.ListUserTagsRequest_builder{UserName: name}.Build())
			return out.GetTags(), err
		},
		bound: func(ctx context.Context, c *client.Client, name, arn string) error {
			_, err := c.IAM().PutUserPermissionsBoundary(ctx, iamv1.PutUserPermissionsBoundaryRequest_builder{UserName: name, PermissionsBoundary: arn}.Build())
			return err
		},
		unbound: func(ctx context.Context, c *client.Client, name string) error {
			_, err := c.IAM().DeleteUserPermissionsBoundary(ctx, iamv1.DeleteUserPermissionsBoundaryRequest_builder{UserName: name}.Build())
			return err
		},
	}
}

func groupPolicies() identity {
	return identity{
		noun: "group", example: "operators", named: func(name string) removed { return removed{GroupName: name} },
		put: func(ctx context.Context, c *client.Client, name, policy, document string) ([]*iamv1.Finding, error) {
			out, err := c.IAM().PutGroupPolicy(ctx, iamv1.PutGroupPolicyRequest_builder{GroupName: name, PolicyName: policy, PolicyDocument: document}.Build())
			return out.GetFindings(), err
		},
		get: func(ctx context.Context, c *client.Client, name, policy string) (string, error) {
			out, err := c.IAM().GetGroupPolicy(ctx, iamv1.GetGroupPolicyRequest_builder{GroupName: name, PolicyName: policy}.Build())
			return out.GetPolicyDocument(), err
		},
		list: func(ctx context.Context, c *client.Client, name string) ([]string, error) {
			out, err := c.IAM().ListGroupPolicies(ctx, iamv1.ListGroupPoliciesRequest_builder{GroupName: name}.Build())
			return out.GetPolicyNames(), err
		},
		remove: func(ctx context.Context, c *client.Client, name, policy string) error {
			_, err := c.IAM().DeleteGroupPolicy(ctx, iamv1.DeleteGroupPolicyRequest_builder{GroupName: name, PolicyName: policy}.Build())
			return err
		},
		attach: func(ctx context.Context, c *client.Client, name, arn string) error {
			_, err := c.IAM().AttachGroupPolicy(ctx, iamv1.AttachGroupPolicyRequest_builder{GroupName: name, PolicyArn: arn}.Build())
			return err
		},
		detach: func(ctx context.Context, c *client.Client, name, arn string) error {
			_, err := c.IAM().DetachGroupPolicy(ctx, iamv1.DetachGroupPolicyRequest_builder{GroupName: name, PolicyArn: arn}.Build())
			return err
		},
		attached: func(ctx context.Context, c *client.Client, name string) ([]*iamv1.AttachedPolicy, error) {
			out, err := c.IAM().ListAttachedGroupPolicies(ctx, iamv1.ListAttachedGroupPoliciesRequest_builder{GroupName: name}.Build())
			return out.GetAttachedPolicies(), err
		},
	}
}

func rolePolicies() identity {
	return identity{
		noun: "role", example: "night-batch", named: func(name string) removed { return removed{RoleName: name} },
		put: func(ctx context.Context, c *client.Client, name, policy, document string) ([]*iamv1.Finding, error) {
			out, err := c.IAM().PutRolePolicy(ctx, iamv1.PutRolePolicyRequest_builder{RoleName: name, PolicyName: policy, PolicyDocument: document}.Build())
			return out.GetFindings(), err
		},
		get: func(ctx context.Context, c *client.Client, name, policy string) (string, error) {
			out, err := c.IAM().GetRolePolicy(ctx, iamv1.GetRolePolicyRequest_builder{RoleName: name, PolicyName: policy}.Build())
			return out.GetPolicyDocument(), err
		},
		list: func(ctx context.Context, c *client.Client, name string) ([]string, error) {
			out, err := c.IAM().ListRolePolicies(ctx, iamv1.ListRolePoliciesRequest_builder{RoleName: name}.Build())
			return out.GetPolicyNames(), err
		},
		remove: func(ctx context.Context, c *client.Client, name, policy string) error {
			_, err := c.IAM().DeleteRolePolicy(ctx, iamv1.DeleteRolePolicyRequest_builder{RoleName: name, PolicyName: policy}.Build())
			return err
		},
		attach: func(ctx context.Context, c *client.Client, name, arn string) error {
			_, err := c.IAM().AttachRolePolicy(ctx, iamv1.AttachRolePolicyRequest_builder{RoleName: name, PolicyArn: arn}.Build())
			return err
		},
		detach: func(ctx context.Context, c *client.Client, name, arn string) error {
			_, err := c.IAM().DetachRolePolicy(ctx, iamv1.DetachRolePolicyRequest_builder{RoleName: name, PolicyArn: arn}.Build())
			return err
		},
		attached: func(ctx context.Context, c *client.Client, name string) ([]*iamv1.AttachedPolicy, error) {
			out, err := c.IAM().ListAttachedRolePolicies(ctx, iamv1.ListAttachedRolePoliciesRequest_builder{RoleName: name}.Build())
			return out.GetAttachedPolicies(), err
		},
		tag: func(ctx context.Context, c *client.Client, name string, tags []*iamv1.Tag) error {
			_, err := c.IAM().TagRole(ctx, iamv1.TagRoleRequest_builder{RoleName: name, Tags: tags}.Build())
			return err
		},
		untag: func(ctx context.Context, c *client.Client, name string, keys []string) error {
			_, err := c.IAM().UntagRole(ctx, iamv1.UntagRoleRequest_builder{RoleName: name, TagKeys: keys}.Build())
			return err
		},
		tags: func(ctx context.Context, c *client.Client, name string) ([]*iamv1.Tag, error) {
			out, err := c.IAM().ListRoleTags(ctx, iamv1.ListRoleTagsRequest_builder{RoleName: name}.Build())
			return out.GetTags(), err
		},
		bound: func(ctx context.Context, c *client.Client, name, arn string) error {
			_, err := c.IAM().PutRolePermissionsBoundary(ctx, iamv1.PutRolePermissionsBoundaryRequest_builder{RoleName: name, PermissionsBoundary: arn}.Build())
			return err
		},
		unbound: func(ctx context.Context, c *client.Client, name string) error {
			_, err := c.IAM().DeleteRolePermissionsBoundary(ctx, iamv1.DeleteRolePermissionsBoundaryRequest_builder{RoleName: name}.Build())
			return err
		},
	}
}
