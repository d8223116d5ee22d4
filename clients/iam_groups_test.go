package clients

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func (s *goSDK) iamGroups() []step {
	c, name, user := s.iam, aws.String("team"), aws.String("operations")
	return []step{
		{"CreateGroup", func(ctx context.Context) error {
			return then(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: aws.String("tea"), Path: aws.String("/x/")}))(func(o *iam.CreateGroupOutput) error {
				return same("Arn", *o.Group.Arn, "arn:aws:iam::"+account+":group/x/tea")
			})
		}},
		{"UpdateGroup", func(ctx context.Context) error {
			return done(c.UpdateGroup(ctx, &iam.UpdateGroupInput{GroupName: aws.String("tea"), NewGroupName: name, NewPath: aws.String("/")}))
		}},
		{"AddUserToGroup", func(ctx context.Context) error {
			return done(c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: name, UserName: user}))
		}},
		{"GetGroup", func(ctx context.Context) error {
			return then(c.GetGroup(ctx, &iam.GetGroupInput{GroupName: name}))(func(o *iam.GetGroupOutput) error {
				return errors.Join(same("users", len(o.Users), 1), same("UserName", *o.Users[0].UserName, *user))
			})
		}},
		{"ListGroups", func(ctx context.Context) error { return done(c.ListGroups(ctx, &iam.ListGroupsInput{})) }},
		{"ListGroupsForUser", func(ctx context.Context) error {
			return then(c.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: user}))(func(o *iam.ListGroupsForUserOutput) error {
				return same("GroupName", *o.Groups[0].GroupName, *name)
			})
		}},
		{"PutGroupPolicy", func(ctx context.Context) error {
			return done(c.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: name, PolicyName: aws.String("p"), PolicyDocument: aws.String(inline)}))
		}},
		{"GetGroupPolicy", func(ctx context.Context) error {
			return then(c.GetGroupPolicy(ctx, &iam.GetGroupPolicyInput{GroupName: name, PolicyName: aws.String("p")}))(func(o *iam.GetGroupPolicyOutput) error {
				return document(o.PolicyDocument, inline)
			})
		}},
		{"ListGroupPolicies", func(ctx context.Context) error {
			return then(c.ListGroupPolicies(ctx, &iam.ListGroupPoliciesInput{GroupName: name}))(func(o *iam.ListGroupPoliciesOutput) error {
				return same("PolicyNames", fmt.Sprint(o.PolicyNames), "[p]")
			})
		}},
		{"AttachGroupPolicy", func(ctx context.Context) error {
			return done(c.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: name, PolicyArn: aws.String(managed)}))
		}},
		{"ListAttachedGroupPolicies", func(ctx context.Context) error {
			return then(c.ListAttachedGroupPolicies(ctx, &iam.ListAttachedGroupPoliciesInput{GroupName: name}))(func(o *iam.ListAttachedGroupPoliciesOutput) error {
				return same("policies", len(o.AttachedPolicies), 1)
			})
		}},
	}
}

func (s *goSDK) iamRoles() []step {
	c, name := s.iam, aws.String("clients")
	return []step{
		{"CreateRole", func(ctx context.Context) error {
			return then(c.CreateRole(ctx, &iam.CreateRoleInput{
				RoleName: name, Path: aws.String("/team/"), AssumeRolePolicyDocument: aws.String(trustAccount), Description: aws.String("d"), MaxSessionDuration: aws.Int32(7200),
				PermissionsBoundary: aws.String(managed), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}},
			}))(func(o *iam.CreateRoleOutput) error {
				return errors.Join(same("Arn", *o.Role.Arn, "arn:aws:iam::"+account+":role/team/clients"), document(o.Role.AssumeRolePolicyDocument, trustAccount))
			})
		}},
		{"UpdateRole", func(ctx context.Context) error {
			return done(c.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: name, Description: aws.String("another"), MaxSessionDuration: aws.Int32(3600)}))
		}},
		{"UpdateAssumeRolePolicy", func(ctx context.Context) error {
			return done(c.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: aws.String(trustAccount)}))
		}},
		{"GetRole", func(ctx context.Context) error {
			return then(c.GetRole(ctx, &iam.GetRoleInput{RoleName: name}))(func(o *iam.GetRoleOutput) error {
				return errors.Join(same("Description", *o.Role.Description, "another"), same("MaxSessionDuration", *o.Role.MaxSessionDuration, 3600),
					same("boundary", *o.Role.PermissionsBoundary.PermissionsBoundaryArn, managed), document(o.Role.AssumeRolePolicyDocument, trustAccount))
			})
		}},
		{"ListRoles", func(ctx context.Context) error {
			return done(c.ListRoles(ctx, &iam.ListRolesInput{PathPrefix: aws.String("/team/")}))
		}},
		{"TagRole", func(ctx context.Context) error {
			return done(c.TagRole(ctx, &iam.TagRoleInput{RoleName: name, Tags: []types.Tag{{Key: aws.String("b"), Value: aws.String("2")}}}))
		}},
		{"ListRoleTags", func(ctx context.Context) error {
			return then(c.ListRoleTags(ctx, &iam.ListRoleTagsInput{RoleName: name}))(func(o *iam.ListRoleTagsOutput) error { return same("tags", len(o.Tags), 2) })
		}},
		{"UntagRole", func(ctx context.Context) error {
			return done(c.UntagRole(ctx, &iam.UntagRoleInput{RoleName: name, TagKeys: []string{"a", "b"}}))
		}},
		{"PutRolePolicy", func(ctx context.Context) error {
			return done(c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("p"), PolicyDocument: aws.String(inline)}))
		}},
		{"GetRolePolicy", func(ctx context.Context) error {
			return then(c.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: name, PolicyName: aws.String("p")}))(func(o *iam.GetRolePolicyOutput) error {
				return document(o.PolicyDocument, inline)
			})
		}},
		{"ListRolePolicies", func(ctx context.Context) error {
			return then(c.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: name}))(func(o *iam.ListRolePoliciesOutput) error {
				return same("PolicyNames", fmt.Sprint(o.PolicyNames), "[p]")
			})
		}},
		{"AttachRolePolicy", func(ctx context.Context) error {
			return done(c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: aws.String(managed)}))
		}},
		{"ListAttachedRolePolicies", func(ctx context.Context) error {
			return then(c.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: name}))(func(o *iam.ListAttachedRolePoliciesOutput) error {
				return same("policies", len(o.AttachedPolicies), 1)
			})
		}},
		{"PutRolePermissionsBoundary", func(ctx context.Context) error {
			return done(c.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: name, PermissionsBoundary: aws.String(managed)}))
		}},
		{"ListEntitiesForPolicy", func(ctx context.Context) error {
			return then(c.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: aws.String(managed)}))(func(o *iam.ListEntitiesForPolicyOutput) error {
				return same("users, groups, roles", fmt.Sprint(len(o.PolicyUsers), len(o.PolicyGroups), len(o.PolicyRoles)), "1 1 1")
			})
		}},
	}
}
