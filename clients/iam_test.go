package clients

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const issuerURL = "https://issuer.example"

// trustAccount is the trust policy of a role that principals of the account may assume.
const trustAccount = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:root"},"Action":"sts:AssumeRole"}]}`

// same is an error if a member is not what was sent.
func same[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s = %v, want %v", what, got, want)
	}
	return nil
}

// document is an error if a policy document that IAM has returned, escaped as URLs are, is not what was sent.
func document(got *string, want string) error {
	plain, err := url.PathUnescape(aws.ToString(got))
	if err != nil {
		return err
	}
	if strings.ContainsAny(*got, `{"`) {
		return fmt.Errorf("the document %q is not escaped", *got)
	}
	return same("document", plain, want)
}

// withMembers adds members to a form that AWS has not, as kmsd's documentation names them.
func withMembers(members url.Values) func(*iam.Options) {
	return func(o *iam.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Serialize.Add(middleware.SerializeMiddlewareFunc("withMembers", func(
				ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler,
			) (middleware.SerializeOutput, middleware.Metadata, error) {
				request := in.Request.(*smithyhttp.Request)
				form, err := io.ReadAll(request.GetStream())
				if err != nil {
					return middleware.SerializeOutput{}, middleware.Metadata{}, err
				}
				if in.Request, err = request.SetStream(strings.NewReader(string(form) + "&" + members.Encode())); err != nil {
					return middleware.SerializeOutput{}, middleware.Metadata{}, err
				}
				return next.HandleSerialize(ctx, in)
			}), middleware.After)
		})
	}
}

// iamOperations calls every operation of IAM that kmsd has.
func iamOperations(t *testing.T, s *goSDK) {
	s.steps(t, s.iamUsers())
	s.steps(t, s.iamPolicies())
	s.steps(t, s.iamGroups())
	s.steps(t, s.iamRoles())
	s.steps(t, s.iamDevices(t))
	s.steps(t, s.iamProviders(t))
	s.steps(t, s.iamSimulations())
	s.steps(t, s.iamPages())
	s.steps(t, s.iamEnd())
	s.run(t, "ListUsers pages", func(t *testing.T) {
		for i := range 5 {
			must(s.iam.CreateUser(t.Context(), &iam.CreateUserInput{UserName: aws.String(fmt.Sprintf("page%d", i)), Path: aws.String("/pages/")}))(t)
		}
		p := iam.NewListUsersPaginator(s.iam, &iam.ListUsersInput{PathPrefix: aws.String("/pages/"), MaxItems: aws.Int32(2)})
		pages(t, 5, p.HasMorePages, func() ([]types.User, error) {
			o, err := p.NextPage(t.Context())
			return entries(o, err, func() []types.User { return o.Users })
		}, func(u types.User) string { return *u.UserName })
	})
	iamErrors(t, s)
}

const (
	inline  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:List*","Resource":"*"}]}`
	managed = "arn:aws:iam::" + account + ":policy/team/clients"
)

func (s *goSDK) iamUsers() []step {
	c, name := s.iam, aws.String("operations")
	var keyID *string
	return []step{
		{"CreateUser", func(ctx context.Context) error {
			in := &iam.CreateUserInput{UserName: name, Path: aws.String("/team/"), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1 2 = größe")}}}
			return then(c.CreateUser(ctx, in))(func(o *iam.CreateUserOutput) error {
				return errors.Join(same("Arn", *o.User.Arn, "arn:aws:iam::"+account+":user/team/operations"), same("tags", len(o.User.Tags), 1))
			})
		}},
		{"GetUser", func(ctx context.Context) error {
			return then(c.GetUser(ctx, &iam.GetUserInput{UserName: name}))(func(o *iam.GetUserOutput) error {
				if o.User.CreateDate == nil || time.Since(*o.User.CreateDate).Abs() > time.Minute {
					return fmt.Errorf("CreateDate = %v", o.User.CreateDate)
				}
				return errors.Join(same("Path", *o.User.Path, "/team/"), same("tag", *o.User.Tags[0].Value, "1 2 = größe"))
			})
		}},
		{"ListUsers", func(ctx context.Context) error {
			return done(c.ListUsers(ctx, &iam.ListUsersInput{PathPrefix: aws.String("/team/")}))
		}},
		{"TagUser", func(ctx context.Context) error {
			return done(c.TagUser(ctx, &iam.TagUserInput{UserName: name, Tags: []types.Tag{{Key: aws.String("b"), Value: aws.String("")}}}))
		}},
		{"ListUserTags", func(ctx context.Context) error {
			return then(c.ListUserTags(ctx, &iam.ListUserTagsInput{UserName: name}))(func(o *iam.ListUserTagsOutput) error { return same("tags", len(o.Tags), 2) })
		}},
		{"UntagUser", func(ctx context.Context) error {
			return done(c.UntagUser(ctx, &iam.UntagUserInput{UserName: name, TagKeys: []string{"b"}}))
		}},
		{"PutUserPolicy", func(ctx context.Context) error {
			return done(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: name, PolicyName: aws.String("p"), PolicyDocument: aws.String(inline)}))
		}},
		{"GetUserPolicy", func(ctx context.Context) error {
			return then(c.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: name, PolicyName: aws.String("p")}))(func(o *iam.GetUserPolicyOutput) error {
				return document(o.PolicyDocument, inline)
			})
		}},
		{"ListUserPolicies", func(ctx context.Context) error {
			return then(c.ListUserPolicies(ctx, &iam.ListUserPoliciesInput{UserName: name}))(func(o *iam.ListUserPoliciesOutput) error {
				return same("PolicyNames", fmt.Sprint(o.PolicyNames), "[p]")
			})
		}},
		{"DeleteUserPolicy", func(ctx context.Context) error {
			return done(c.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: name, PolicyName: aws.String("p")}))
		}},
		{"CreateAccessKey", func(ctx context.Context) error {
			return then(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: name}))(func(o *iam.CreateAccessKeyOutput) error {
				keyID = o.AccessKey.AccessKeyId
				used := iam.NewFromConfig(s.as(static(*keyID, *o.AccessKey.SecretAccessKey, "")))
				_, err := used.GetUser(ctx, &iam.GetUserInput{})
				return errors.Join(same("Status", o.AccessKey.Status, types.StatusTypeActive), same("the error of who may not", code(err), "AccessDenied"))
			})
		}},
		{"ListAccessKeys", func(ctx context.Context) error {
			return then(c.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: name}))(func(o *iam.ListAccessKeysOutput) error {
				return errors.Join(same("keys", len(o.AccessKeyMetadata), 1), same("AccessKeyId", *o.AccessKeyMetadata[0].AccessKeyId, *keyID))
			})
		}},
		{"GetAccessKeyLastUsed", func(ctx context.Context) error {
			return then(c.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: keyID}))(func(o *iam.GetAccessKeyLastUsedOutput) error {
				return errors.Join(same("UserName", *o.UserName, *name), same("ServiceName", *o.AccessKeyLastUsed.ServiceName, "kms"))
			})
		}},
		{"UpdateAccessKey", func(ctx context.Context) error {
			return done(c.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: name, AccessKeyId: keyID, Status: types.StatusTypeInactive}))
		}},
		{"DeleteAccessKey", func(ctx context.Context) error {
			return done(c.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: name, AccessKeyId: keyID}))
		}},
	}
}

func (s *goSDK) iamPolicies() []step {
	c, arn, user := s.iam, aws.String(managed), aws.String("operations")
	second := strings.Replace(inline, "kms:List*", "kms:Describe*", 1)
	return []step{
		{"CreatePolicy", func(ctx context.Context) error {
			in := &iam.CreatePolicyInput{PolicyName: aws.String("clients"), Path: aws.String("/team/"), PolicyDocument: aws.String(inline), Description: aws.String("a <policy>")}
			return then(c.CreatePolicy(ctx, in))(func(o *iam.CreatePolicyOutput) error {
				return errors.Join(same("Arn", *o.Policy.Arn, managed), same("DefaultVersionId", *o.Policy.DefaultVersionId, "v1"))
			})
		}},
		{"CreatePolicyVersion", func(ctx context.Context) error {
			return then(c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: &second}))(func(o *iam.CreatePolicyVersionOutput) error {
				return errors.Join(same("VersionId", *o.PolicyVersion.VersionId, "v2"), same("IsDefaultVersion", o.PolicyVersion.IsDefaultVersion, false))
			})
		}},
		{"SetDefaultPolicyVersion", func(ctx context.Context) error {
			return done(c.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v2")}))
		}},
		{"GetPolicyVersion", func(ctx context.Context) error {
			return then(c.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v2")}))(func(o *iam.GetPolicyVersionOutput) error {
				return errors.Join(document(o.PolicyVersion.Document, second), same("IsDefaultVersion", o.PolicyVersion.IsDefaultVersion, true))
			})
		}},
		{"ListPolicyVersions", func(ctx context.Context) error {
			return then(c.ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: arn}))(func(o *iam.ListPolicyVersionsOutput) error { return same("versions", len(o.Versions), 2) })
		}},
		{"AttachUserPolicy", func(ctx context.Context) error {
			return done(c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: user, PolicyArn: arn}))
		}},
		{"PutUserPermissionsBoundary", func(ctx context.Context) error {
			return then(c.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: user, PermissionsBoundary: arn}))(func(*iam.PutUserPermissionsBoundaryOutput) error {
				return then(c.GetUser(ctx, &iam.GetUserInput{UserName: user}))(func(o *iam.GetUserOutput) error {
					return errors.Join(same("boundary", *o.User.PermissionsBoundary.PermissionsBoundaryArn, managed),
						same("type", o.User.PermissionsBoundary.PermissionsBoundaryType, types.PermissionsBoundaryAttachmentTypePolicy))
				})
			})
		}},
		{"GetPolicy", func(ctx context.Context) error {
			return then(c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: arn}))(func(o *iam.GetPolicyOutput) error {
				return errors.Join(same("AttachmentCount", *o.Policy.AttachmentCount, 1), same("PermissionsBoundaryUsageCount", *o.Policy.PermissionsBoundaryUsageCount, 1),
					same("Description", *o.Policy.Description, "a <policy>"), same("DefaultVersionId", *o.Policy.DefaultVersionId, "v2"))
			})
		}},
		{"ListPolicies", func(ctx context.Context) error {
			return then(c.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal, OnlyAttached: true}))(func(o *iam.ListPoliciesOutput) error {
				return same("Policies", len(o.Policies), 1)
			})
		}},
		{"ListAttachedUserPolicies", func(ctx context.Context) error {
			return then(c.ListAttachedUserPolicies(ctx, &iam.ListAttachedUserPoliciesInput{UserName: user}))(func(o *iam.ListAttachedUserPoliciesOutput) error {
				return errors.Join(same("PolicyArn", *o.AttachedPolicies[0].PolicyArn, managed), same("PolicyName", *o.AttachedPolicies[0].PolicyName, "clients"))
			})
		}},
	}
}

func (s *goSDK) iamSimulations() []step {
	c := s.iam
	decision := func(results []types.EvaluationResult, want types.PolicyEvaluationDecisionType) error {
		if len(results) != 1 {
			return fmt.Errorf("EvaluationResults = %v, want one", results)
		}
		return same("EvalDecision", results[0].EvalDecision, want)
	}
	return []step{
		{"SimulateCustomPolicy", func(ctx context.Context) error {
			return then(c.SimulateCustomPolicy(ctx, &iam.SimulateCustomPolicyInput{PolicyInputList: []string{inline}, ActionNames: []string{"kms:ListKeys"}}))(func(o *iam.SimulateCustomPolicyOutput) error {
				return errors.Join(decision(o.EvaluationResults, types.PolicyEvaluationDecisionTypeAllowed), same("statements", len(o.EvaluationResults[0].MatchedStatements), 1))
			})
		}},
		{"SimulatePrincipalPolicy", func(ctx context.Context) error {
			return then(c.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{
				PolicySourceArn: aws.String("arn:aws:iam::" + account + ":user/team/operations"), ActionNames: []string{"kms:CreateKey"},
			}))(func(o *iam.SimulatePrincipalPolicyOutput) error {
				return decision(o.EvaluationResults, types.PolicyEvaluationDecisionTypeImplicitDeny)
			})
		}},
	}
}

// iamEnd takes apart what the steps before have made.
func (s *goSDK) iamEnd() []step {
	c, user, group, role, arn := s.iam, aws.String("operations"), aws.String("team"), aws.String("clients"), aws.String(managed)
	return []step{
		{"DetachUserPolicy", func(ctx context.Context) error {
			return done(c.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: user, PolicyArn: arn}))
		}},
		{"DeleteUserPermissionsBoundary", func(ctx context.Context) error {
			return done(c.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: user}))
		}},
		{"RemoveUserFromGroup", func(ctx context.Context) error {
			return done(c.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{UserName: user, GroupName: group}))
		}},
		{"DetachGroupPolicy", func(ctx context.Context) error {
			return done(c.DetachGroupPolicy(ctx, &iam.DetachGroupPolicyInput{GroupName: group, PolicyArn: arn}))
		}},
		{"DeleteGroupPolicy", func(ctx context.Context) error {
			return done(c.DeleteGroupPolicy(ctx, &iam.DeleteGroupPolicyInput{GroupName: group, PolicyName: aws.String("p")}))
		}},
		{"DeleteGroup", func(ctx context.Context) error {
			return done(c.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: group}))
		}},
		{"DetachRolePolicy", func(ctx context.Context) error {
			return done(c.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: role, PolicyArn: arn}))
		}},
		{"DeleteRolePermissionsBoundary", func(ctx context.Context) error {
			return done(c.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: role}))
		}},
		{"DeleteRolePolicy", func(ctx context.Context) error {
			return done(c.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: role, PolicyName: aws.String("p")}))
		}},
		{"DeleteRole", func(ctx context.Context) error { return done(c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: role})) }},
		{"DeletePolicyVersion", func(ctx context.Context) error {
			return done(c.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v1")}))
		}},
		{"DeletePolicy", func(ctx context.Context) error {
			return done(c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn}))
		}},
		{"UpdateUser", func(ctx context.Context) error {
			return done(c.UpdateUser(ctx, &iam.UpdateUserInput{UserName: user, NewUserName: aws.String("renamed"), NewPath: aws.String("/")}))
		}},
		{"DeleteUser", func(ctx context.Context) error {
			return done(c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String("renamed")}))
		}},
	}
}

// iamErrors wants the errors of IAM that a program branches on, as the SDK's types.
func iamErrors(t *testing.T, s *goSDK) {
	for _, c := range []struct {
		name string
		is   func(error) bool
		call func(ctx context.Context) error
	}{
		{"NoSuchEntityException", typed[*types.NoSuchEntityException](), func(ctx context.Context) error {
			return done(s.iam.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("nobody")}))
		}},
		{"EntityAlreadyExistsException", typed[*types.EntityAlreadyExistsException](), func(ctx context.Context) error {
			return errors.Join(done(s.iam.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: aws.String("twice")})),
				done(s.iam.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: aws.String("twice")})))
		}},
		{"DeleteConflictException", typed[*types.DeleteConflictException](), func(ctx context.Context) error {
			must(s.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("conflict")}))(t)
			must(s.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: aws.String("conflict"), PolicyName: aws.String("p"), PolicyDocument: aws.String(inline)}))(t)
			return done(s.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String("conflict")}))
		}},
		{"MalformedPolicyDocumentException", typed[*types.MalformedPolicyDocumentException](), func(ctx context.Context) error {
			return done(s.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("bad"), PolicyDocument: aws.String("{")}))
		}},
		{"LimitExceededException", typed[*types.LimitExceededException](), func(ctx context.Context) error {
			s.user(t, "limit")
			in := &iam.CreateAccessKeyInput{UserName: aws.String("limit")}
			return errors.Join(done(s.iam.CreateAccessKey(ctx, in)), done(s.iam.CreateAccessKey(ctx, in)))
		}},
	} {
		s.run(t, c.name, func(t *testing.T) {
			if err := c.call(t.Context()); !c.is(err) {
				t.Errorf("error %v, want a %s", err, c.name)
			}
		})
	}
}
