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

// iamDevices makes a device for a user, whose codes come from its seed.
func (s *goSDK) iamDevices(t *testing.T) []step {
	c, user := s.iam, aws.String("operations")
	serial := aws.String("arn:aws:iam::" + account + ":mfa/phone")
	var seed []byte
	return []step{
		{"CreateVirtualMFADevice", func(ctx context.Context) error {
			return then(c.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: aws.String("phone")}))(func(o *iam.CreateVirtualMFADeviceOutput) error {
				seed = o.VirtualMFADevice.Base32StringSeed
				return same("SerialNumber", *o.VirtualMFADevice.SerialNumber, *serial)
			})
		}},
		{"EnableMFADevice", func(ctx context.Context) error {
			return done(c.EnableMFADevice(ctx, &iam.EnableMFADeviceInput{
				UserName: user, SerialNumber: serial, AuthenticationCode1: aws.String(totp(t, seed, -1)), AuthenticationCode2: aws.String(totp(t, seed, 0)),
			}))
		}},
		{"ListMFADevices", func(ctx context.Context) error {
			return then(c.ListMFADevices(ctx, &iam.ListMFADevicesInput{UserName: user}))(func(o *iam.ListMFADevicesOutput) error {
				return errors.Join(same("devices", len(o.MFADevices), 1), same("SerialNumber", *o.MFADevices[0].SerialNumber, *serial))
			})
		}},
		{"DeactivateMFADevice", func(ctx context.Context) error {
			return done(c.DeactivateMFADevice(ctx, &iam.DeactivateMFADeviceInput{UserName: user, SerialNumber: serial}))
		}},
		{"DeleteVirtualMFADevice", func(ctx context.Context) error {
			return done(c.DeleteVirtualMFADevice(ctx, &iam.DeleteVirtualMFADeviceInput{SerialNumber: serial}))
		}},
	}
}

// iamProviders makes an identity provider. Its keys are given with it, in a member that AWS has not: kmsd fetches none unasked.
func (s *goSDK) iamProviders(t *testing.T) []step {
	c, arn := s.iam, aws.String("arn:aws:iam::"+account+":oidc-provider/operations.example")
	return []step{
		{"CreateOpenIDConnectProvider", func(ctx context.Context) error {
			in := &iam.CreateOpenIDConnectProviderInput{Url: aws.String("https://operations.example"), ClientIDList: []string{"one"}}
			_, err := c.CreateOpenIDConnectProvider(ctx, in)
			return errors.Join(same("the error without keys", code(err), "ValidationError"),
				then(c.CreateOpenIDConnectProvider(ctx, in, withMembers(url.Values{"Jwks": {newIssuer(t).jwks()}})))(func(o *iam.CreateOpenIDConnectProviderOutput) error {
					return same("OpenIDConnectProviderArn", *o.OpenIDConnectProviderArn, *arn)
				}))
		}},
		{"AddClientIDToOpenIDConnectProvider", func(ctx context.Context) error {
			return done(c.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("two")}))
		}},
		{"RemoveClientIDFromOpenIDConnectProvider", func(ctx context.Context) error {
			return done(c.RemoveClientIDFromOpenIDConnectProvider(ctx, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("one")}))
		}},
		{"GetOpenIDConnectProvider", func(ctx context.Context) error {
			return then(c.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}))(func(o *iam.GetOpenIDConnectProviderOutput) error {
				return same("ClientIDList", fmt.Sprint(o.ClientIDList), "[two]")
			})
		}},
		{"ListOpenIDConnectProviders", func(ctx context.Context) error {
			return then(c.ListOpenIDConnectProviders(ctx, &iam.ListOpenIDConnectProvidersInput{}))(func(o *iam.ListOpenIDConnectProvidersOutput) error {
				return same("Arn", *o.OpenIDConnectProviderList[0].Arn, *arn)
			})
		}},
		{"DeleteOpenIDConnectProvider", func(ctx context.Context) error {
			return done(c.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}))
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

// iamPages are the lists that have pages, an entry a page.
func (s *goSDK) iamPages() []step {
	c, name, one := s.iam, aws.String("team"), aws.Int32(1)
	return []step{
		{"what there are two of", func(ctx context.Context) error {
			_, err1 := c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: aws.String("second")})
			_, err2 := c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("second"), AssumeRolePolicyDocument: aws.String(trustAccount)})
			_, err3 := c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("second"), PolicyDocument: aws.String(inline)})
			_, err4 := c.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("second")})
			_, err5 := c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: name, UserName: aws.String("second")})
			return errors.Join(err1, err2, err3, err4, err5)
		}},
		{"ListGroups, page by page", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := c.ListGroups(ctx, &iam.ListGroupsInput{MaxItems: one, Marker: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.Groups), out.Marker, nil
			})
		}},
		{"ListRoles, page by page", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := c.ListRoles(ctx, &iam.ListRolesInput{MaxItems: one, Marker: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.Roles), out.Marker, nil
			})
		}},
		{"ListPolicies, page by page", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := c.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal, MaxItems: one, Marker: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.Policies), out.Marker, nil
			})
		}},
		{"GetGroup, page by page", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := c.GetGroup(ctx, &iam.GetGroupInput{GroupName: name, MaxItems: one, Marker: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.Users), out.Marker, nil
			})
		}},
		{"ListEntitiesForPolicy, page by page", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := c.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: aws.String(managed), MaxItems: one, Marker: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.PolicyUsers) + len(out.PolicyGroups) + len(out.PolicyRoles), out.Marker, nil
			})
		}},
		{"SimulateCustomPolicy, page by page", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := c.SimulateCustomPolicy(ctx, &iam.SimulateCustomPolicyInput{PolicyInputList: []string{inline}, ActionNames: []string{"kms:ListKeys", "kms:ListAliases"}, MaxItems: one, Marker: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.EvaluationResults), out.Marker, nil
			})
		}},
		{"SimulatePrincipalPolicy, page by page", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := c.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: aws.String("arn:aws:iam::" + account + ":user/team/operations"), ActionNames: []string{"kms:ListKeys", "kms:ListAliases"}, MaxItems: one, Marker: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.EvaluationResults), out.Marker, nil
			})
		}},
		{"what there were two of", func(ctx context.Context) error {
			_, err := c.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: name, UserName: aws.String("second")})
			return err
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
