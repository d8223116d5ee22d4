package server_test

import (
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

const (
	trustPolicy   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}`
	readOnly      = "arn:aws:iam::aws:policy/ReadOnlyAccess"
	tooLong       = 65
	sampleJWKS    = `{"keys":[{"kty":"EC","crv":"P-256","kid":"1","use":"sig","alg":"ES256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`
	sampleJWKSTwo = `{"keys":[{"kty":"EC","crv":"P-256","kid":"2","use":"sig","alg":"ES256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`
)

var long = strings.Repeat("u", tooLong)

func must[T any](p *props) func(T, error) T {
	return func(v T, err error) T {
		p.t.Helper()
		if err != nil {
			p.t.Fatal(err)
		}
		return v
	}
}

func (p *props) group() string {
	name := fresh("group-")
	must[*iamv1.CreateGroupResponse](p)(p.Root().IAM().CreateGroup(p.t.Context(), iamv1.CreateGroupRequest_builder{GroupName: name}.Build()))
	return name
}

func (p *props) role() string {
	name := fresh("role-")
	must[*iamv1.CreateRoleResponse](p)(p.Root().IAM().CreateRole(p.t.Context(), iamv1.CreateRoleRequest_builder{
		RoleName: name, AssumeRolePolicyDocument: p.in(trustPolicy), Tags: sampleTags, PermissionsBoundary: readOnly,
	}.Build()))
	return name
}

// managed makes a managed policy with two versions, of which the first is the default.
func (p *props) managed() string {
	made := must[*iamv1.CreatePolicyResponse](p)(p.Root().IAM().CreatePolicy(p.t.Context(), iamv1.CreatePolicyRequest_builder{PolicyName: fresh("policy-"), PolicyDocument: p.document}.Build()))
	arn := made.GetPolicy().GetArn()
	must[*iamv1.CreatePolicyVersionResponse](p)(p.Root().IAM().CreatePolicyVersion(p.t.Context(), iamv1.CreatePolicyVersionRequest_builder{PolicyArn: arn, PolicyDocument: p.document}.Build()))
	return arn
}

func (p *props) member() (group, user string) {
	group, user = p.group(), p.user()
	must[*iamv1.AddUserToGroupResponse](p)(p.Root().IAM().AddUserToGroup(p.t.Context(), iamv1.AddUserToGroupRequest_builder{GroupName: group, UserName: user}.Build()))
	return group, user
}

func (p *props) provider() string {
	made := must[*iamv1.CreateOpenIDConnectProviderResponse](p)(p.Root().IAM().CreateOpenIDConnectProvider(p.t.Context(), iamv1.CreateOpenIDConnectProviderRequest_builder{
		Url: "https://" + strings.ToLower(fresh("issuer-")) + ".example", ClientIdList: []string{"one", "two"}, Jwks: sampleJWKS,
	}.Build()))
	return made.GetOpenIdConnectProviderArn()
}

// device makes an MFA device, which belongs to nobody.
func (p *props) device() *iamv1.VirtualMFADevice {
	made := must[*iamv1.CreateVirtualMFADeviceResponse](p)(p.Root().IAM().CreateVirtualMFADevice(p.t.Context(), iamv1.CreateVirtualMFADeviceRequest_builder{VirtualMfaDeviceName: fresh("device-")}.Build()))
	return made.GetVirtualMfaDevice()
}

// enabled makes an MFA device of a user of its own.
func (p *props) enabled() (user string, device *iamv1.VirtualMFADevice) {
	user, device = p.user(), p.device()
	one, two := kmstest.TOTP(p.t, device.GetBase32StringSeed(), -1), kmstest.TOTP(p.t, device.GetBase32StringSeed(), 0)
	must[*iamv1.EnableMFADeviceResponse](p)(p.Root().IAM().EnableMFADevice(p.t.Context(), iamv1.EnableMFADeviceRequest_builder{
		UserName: user, SerialNumber: device.GetSerialNumber(), AuthenticationCode1: one, AuthenticationCode2: two,
	}.Build()))
	return user, device
}

func groupSpecimens() map[string]specimen {
	return map[string]specimen{
		iamv1.IAMService_CreateGroup_FullMethodName: {
			valid: func(*props) proto.Message {
				return iamv1.CreateGroupRequest_builder{GroupName: fresh("group-")}.Build()
			},
			invalid: &iamv1.CreateGroupRequest{},
		},
		iamv1.IAMService_GetGroup_FullMethodName: {
			valid:   func(p *props) proto.Message { return iamv1.GetGroupRequest_builder{GroupName: p.group()}.Build() },
			invalid: &iamv1.GetGroupRequest{},
		},
		iamv1.IAMService_ListGroups_FullMethodName: {
			valid:   func(*props) proto.Message { return &iamv1.ListGroupsRequest{} },
			invalid: iamv1.ListGroupsRequest_builder{MaxItems: 1001}.Build(),
		},
		iamv1.IAMService_UpdateGroup_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.UpdateGroupRequest_builder{GroupName: p.group(), NewGroupName: fresh("renamed-"), NewPath: "/new/"}.Build()
			},
			invalid: &iamv1.UpdateGroupRequest{},
		},
		iamv1.IAMService_DeleteGroup_FullMethodName: {
			valid:   func(p *props) proto.Message { return iamv1.DeleteGroupRequest_builder{GroupName: p.group()}.Build() },
			invalid: &iamv1.DeleteGroupRequest{},
		},
		iamv1.IAMService_AddUserToGroup_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.AddUserToGroupRequest_builder{GroupName: p.group(), UserName: p.userName}.Build()
			},
			invalid: &iamv1.AddUserToGroupRequest{},
		},
		iamv1.IAMService_RemoveUserFromGroup_FullMethodName: {
			valid: func(p *props) proto.Message {
				group, user := p.member()
				return iamv1.RemoveUserFromGroupRequest_builder{GroupName: group, UserName: user}.Build()
			},
			invalid: &iamv1.RemoveUserFromGroupRequest{},
		},
		iamv1.IAMService_ListGroupsForUser_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.ListGroupsForUserRequest_builder{UserName: p.userName}.Build()
			},
			invalid: &iamv1.ListGroupsForUserRequest{},
		},
		iamv1.IAMService_PutGroupPolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.PutGroupPolicyRequest_builder{GroupName: p.group(), PolicyName: "p", PolicyDocument: p.document}.Build()
			},
			invalid: &iamv1.PutGroupPolicyRequest{},
		},
		iamv1.IAMService_GetGroupPolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.GetGroupPolicyRequest_builder{GroupName: p.groupWith(), PolicyName: "p"}.Build()
			},
			invalid: &iamv1.GetGroupPolicyRequest{},
		},
		iamv1.IAMService_ListGroupPolicies_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.ListGroupPoliciesRequest_builder{GroupName: p.group()}.Build()
			},
			invalid: &iamv1.ListGroupPoliciesRequest{},
		},
		iamv1.IAMService_DeleteGroupPolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.DeleteGroupPolicyRequest_builder{GroupName: p.groupWith(), PolicyName: "p"}.Build()
			},
			invalid: &iamv1.DeleteGroupPolicyRequest{},
		},
		iamv1.IAMService_AttachGroupPolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.AttachGroupPolicyRequest_builder{GroupName: p.group(), PolicyArn: readOnly}.Build()
			},
			invalid: &iamv1.AttachGroupPolicyRequest{},
		},
		iamv1.IAMService_DetachGroupPolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				group := p.group()
				must[*iamv1.AttachGroupPolicyResponse](p)(p.Root().IAM().AttachGroupPolicy(p.t.Context(), iamv1.AttachGroupPolicyRequest_builder{GroupName: group, PolicyArn: readOnly}.Build()))
				return iamv1.DetachGroupPolicyRequest_builder{GroupName: group, PolicyArn: readOnly}.Build()
			},
			invalid: &iamv1.DetachGroupPolicyRequest{},
		},
		iamv1.IAMService_ListAttachedGroupPolicies_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.ListAttachedGroupPoliciesRequest_builder{GroupName: p.group()}.Build()
			},
			invalid: &iamv1.ListAttachedGroupPoliciesRequest{},
		},
	}
}

// groupWith makes a group with the inline policy "p".
func (p *props) groupWith() string {
	group := p.group()
	must[*iamv1.PutGroupPolicyResponse](p)(p.Root().IAM().PutGroupPolicy(p.t.Context(), iamv1.PutGroupPolicyRequest_builder{GroupName: group, PolicyName: "p", PolicyDocument: p.document}.Build()))
	return group
}

// roleWith makes a role with the inline policy "p".
func (p *props) roleWith() string {
	role := p.role()
	must[*iamv1.PutRolePolicyResponse](p)(p.Root().IAM().PutRolePolicy(p.t.Context(), iamv1.PutRolePolicyRequest_builder{RoleName: role, PolicyName: "p", PolicyDocument: p.document}.Build()))
	return role
}

var sampleTags = []*iamv1.Tag{iamv1.Tag_builder{Key: "team", Value: "red"}.Build()}

func userChangeSpecimens() map[string]specimen {
	return map[string]specimen{
		iamv1.IAMService_UpdateUser_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.UpdateUserRequest_builder{UserName: p.user(), NewUserName: fresh("renamed-"), NewPath: "/new/"}.Build()
			},
			invalid: &iamv1.UpdateUserRequest{},
		},
		iamv1.IAMService_TagUser_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.TagUserRequest_builder{UserName: p.user(), Tags: sampleTags}.Build()
			},
			invalid: &iamv1.TagUserRequest{},
		},
		iamv1.IAMService_UntagUser_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.UntagUserRequest_builder{UserName: p.user(), TagKeys: []string{"team"}}.Build()
			},
			invalid: &iamv1.UntagUserRequest{},
		},
		iamv1.IAMService_ListUserTags_FullMethodName: {
			valid:   func(p *props) proto.Message { return iamv1.ListUserTagsRequest_builder{UserName: p.userName}.Build() },
			invalid: &iamv1.ListUserTagsRequest{},
		},
		iamv1.IAMService_PutUserPermissionsBoundary_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.PutUserPermissionsBoundaryRequest_builder{UserName: p.user(), PermissionsBoundary: readOnly}.Build()
			},
			invalid: &iamv1.PutUserPermissionsBoundaryRequest{},
		},
		iamv1.IAMService_DeleteUserPermissionsBoundary_FullMethodName: {
			valid: func(p *props) proto.Message {
				user := p.user()
				must[*iamv1.PutUserPermissionsBoundaryResponse](p)(p.Root().IAM().PutUserPermissionsBoundary(p.t.Context(), iamv1.PutUserPermissionsBoundaryRequest_builder{UserName: user, PermissionsBoundary: readOnly}.Build()))
				return iamv1.DeleteUserPermissionsBoundaryRequest_builder{UserName: user}.Build()
			},
			invalid: &iamv1.DeleteUserPermissionsBoundaryRequest{},
		},
		iamv1.IAMService_AttachUserPolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.AttachUserPolicyRequest_builder{UserName: p.user(), PolicyArn: readOnly}.Build()
			},
			invalid: &iamv1.AttachUserPolicyRequest{},
		},
		iamv1.IAMService_DetachUserPolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				user := p.user()
				must[*iamv1.AttachUserPolicyResponse](p)(p.Root().IAM().AttachUserPolicy(p.t.Context(), iamv1.AttachUserPolicyRequest_builder{UserName: user, PolicyArn: readOnly}.Build()))
				return iamv1.DetachUserPolicyRequest_builder{UserName: user, PolicyArn: readOnly}.Build()
			},
			invalid: &iamv1.DetachUserPolicyRequest{},
		},
		iamv1.IAMService_ListAttachedUserPolicies_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.ListAttachedUserPoliciesRequest_builder{UserName: p.userName}.Build()
			},
			invalid: &iamv1.ListAttachedUserPoliciesRequest{},
		},
		iamv1.IAMService_GetAccessKeyLastUsed_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.GetAccessKeyLastUsedRequest_builder{AccessKeyId: p.accessKey(p.user())}.Build()
			},
			invalid: &iamv1.GetAccessKeyLastUsedRequest{},
		},
		iamv1.IAMService_CreateVirtualMFADevice_FullMethodName: {
			valid: func(*props) proto.Message {
				return iamv1.CreateVirtualMFADeviceRequest_builder{VirtualMfaDeviceName: fresh("device-")}.Build()
			},
			invalid: &iamv1.CreateVirtualMFADeviceRequest{},
		},
		iamv1.IAMService_EnableMFADevice_FullMethodName: {
			valid: func(p *props) proto.Message {
				d := p.device()
				return iamv1.EnableMFADeviceRequest_builder{
					UserName: p.user(), SerialNumber: d.GetSerialNumber(),
					AuthenticationCode1: kmstest.TOTP(p.t, d.GetBase32StringSeed(), -1), AuthenticationCode2: kmstest.TOTP(p.t, d.GetBase32StringSeed(), 0),
				}.Build()
			},
			invalid: &iamv1.EnableMFADeviceRequest{},
		},
		iamv1.IAMService_DeactivateMFADevice_FullMethodName: {
			valid: func(p *props) proto.Message {
				user, d := p.enabled()
				return iamv1.DeactivateMFADeviceRequest_builder{UserName: user, SerialNumber: d.GetSerialNumber()}.Build()
			},
			invalid: &iamv1.DeactivateMFADeviceRequest{},
		},
		iamv1.IAMService_DeleteVirtualMFADevice_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.DeleteVirtualMFADeviceRequest_builder{SerialNumber: p.device().GetSerialNumber()}.Build()
			},
			invalid: &iamv1.DeleteVirtualMFADeviceRequest{},
		},
		iamv1.IAMService_ListMFADevices_FullMethodName: {
			valid:   func(p *props) proto.Message { return iamv1.ListMFADevicesRequest_builder{UserName: p.userName}.Build() },
			invalid: iamv1.ListMFADevicesRequest_builder{UserName: long}.Build(),
		},
	}
}

func managedSpecimens() map[string]specimen {
	return map[string]specimen{
		iamv1.IAMService_CreatePolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.CreatePolicyRequest_builder{PolicyName: fresh("policy-"), PolicyDocument: p.document}.Build()
			},
			invalid: &iamv1.CreatePolicyRequest{},
		},
		iamv1.IAMService_GetPolicy_FullMethodName: {
			valid:   func(*props) proto.Message { return iamv1.GetPolicyRequest_builder{PolicyArn: readOnly}.Build() },
			invalid: &iamv1.GetPolicyRequest{},
		},
		iamv1.IAMService_ListPolicies_FullMethodName: {
			valid:   func(*props) proto.Message { return &iamv1.ListPoliciesRequest{} },
			invalid: iamv1.ListPoliciesRequest_builder{MaxItems: 1001}.Build(),
		},
		iamv1.IAMService_DeletePolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				made := must[*iamv1.CreatePolicyResponse](p)(p.Root().IAM().CreatePolicy(p.t.Context(), iamv1.CreatePolicyRequest_builder{PolicyName: fresh("policy-"), PolicyDocument: p.document}.Build()))
				return iamv1.DeletePolicyRequest_builder{PolicyArn: made.GetPolicy().GetArn()}.Build()
			},
			invalid: &iamv1.DeletePolicyRequest{},
		},
		iamv1.IAMService_CreatePolicyVersion_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.CreatePolicyVersionRequest_builder{PolicyArn: p.managed(), PolicyDocument: p.document, SetAsDefault: true}.Build()
			},
			invalid: &iamv1.CreatePolicyVersionRequest{},
		},
		iamv1.IAMService_GetPolicyVersion_FullMethodName: {
			valid: func(*props) proto.Message {
				return iamv1.GetPolicyVersionRequest_builder{PolicyArn: readOnly, VersionId: "v1"}.Build()
			},
			invalid: &iamv1.GetPolicyVersionRequest{},
		},
		iamv1.IAMService_ListPolicyVersions_FullMethodName: {
			valid: func(*props) proto.Message {
				return iamv1.ListPolicyVersionsRequest_builder{PolicyArn: readOnly}.Build()
			},
			invalid: &iamv1.ListPolicyVersionsRequest{},
		},
		iamv1.IAMService_DeletePolicyVersion_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.DeletePolicyVersionRequest_builder{PolicyArn: p.managed(), VersionId: "v2"}.Build()
			},
			invalid: &iamv1.DeletePolicyVersionRequest{},
		},
		iamv1.IAMService_SetDefaultPolicyVersion_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.SetDefaultPolicyVersionRequest_builder{PolicyArn: p.managed(), VersionId: "v2"}.Build()
			},
			invalid: &iamv1.SetDefaultPolicyVersionRequest{},
		},
		iamv1.IAMService_ListEntitiesForPolicy_FullMethodName: {
			valid: func(*props) proto.Message {
				return iamv1.ListEntitiesForPolicyRequest_builder{PolicyArn: readOnly}.Build()
			},
			invalid: &iamv1.ListEntitiesForPolicyRequest{},
		},
		iamv1.IAMService_SimulateCustomPolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.SimulateCustomPolicyRequest_builder{PolicyInputList: []string{p.document}, ActionNames: []string{"kms:Encrypt"}, ResourceArns: []string{p.keyID}}.Build()
			},
			invalid: &iamv1.SimulateCustomPolicyRequest{},
		},
		iamv1.IAMService_SimulatePrincipalPolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.SimulatePrincipalPolicyRequest_builder{
					PolicySourceArn: "arn:aws:iam::111122223333:user/" + p.userName, ActionNames: []string{"kms:Encrypt"}, ResourceArns: []string{p.keyID},
				}.Build()
			},
			invalid: &iamv1.SimulatePrincipalPolicyRequest{},
		},
		iamv1.IAMService_ExplainDecision_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.ExplainDecisionRequest_builder{RequestId: p.denied()}.Build()
			},
			invalid: iamv1.ExplainDecisionRequest_builder{RequestId: "not an id"}.Build(),
		},
	}
}

// denied is the id of a request that was denied.
func (p *props) denied() string {
	p.t.Helper()
	if p.nobody.AccessKeyID == "" {
		p.nobody = p.User(fresh("denied-"))
	}
	got := p.send(p.t.Context(), call{method: iamv1.IAMService_ListUsers_FullMethodName, body: nil, as: p.nobody, agent: "denied"})
	if got.requestID == "" {
		p.t.Fatalf("a denied call: %v", got)
	}
	return got.requestID
}

func roleSpecimens() map[string]specimen {
	return map[string]specimen{
		iamv1.IAMService_CreateRole_FullMethodName: {
			valid: func(*props) proto.Message {
				return iamv1.CreateRoleRequest_builder{RoleName: fresh("role-"), AssumeRolePolicyDocument: trustPolicy, Tags: sampleTags}.Build()
			},
			invalid: &iamv1.CreateRoleRequest{},
		},
		iamv1.IAMService_GetRole_FullMethodName: {
			valid:   func(p *props) proto.Message { return iamv1.GetRoleRequest_builder{RoleName: p.role()}.Build() },
			invalid: &iamv1.GetRoleRequest{},
		},
		iamv1.IAMService_ListRoles_FullMethodName: {
			valid:   func(*props) proto.Message { return &iamv1.ListRolesRequest{} },
			invalid: iamv1.ListRolesRequest_builder{MaxItems: 1001}.Build(),
		},
		iamv1.IAMService_UpdateRole_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.UpdateRoleRequest_builder{RoleName: p.role(), Description: proto.String("other"), MaxSessionDuration: 7200}.Build()
			},
			invalid: &iamv1.UpdateRoleRequest{},
		},
		iamv1.IAMService_DeleteRole_FullMethodName: {
			valid:   func(p *props) proto.Message { return iamv1.DeleteRoleRequest_builder{RoleName: p.role()}.Build() },
			invalid: &iamv1.DeleteRoleRequest{},
		},
		iamv1.IAMService_UpdateAssumeRolePolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.UpdateAssumeRolePolicyRequest_builder{RoleName: p.role(), PolicyDocument: trustPolicy}.Build()
			},
			invalid: &iamv1.UpdateAssumeRolePolicyRequest{},
		},
		iamv1.IAMService_TagRole_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.TagRoleRequest_builder{RoleName: p.role(), Tags: sampleTags}.Build()
			},
			invalid: &iamv1.TagRoleRequest{},
		},
		iamv1.IAMService_UntagRole_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.UntagRoleRequest_builder{RoleName: p.role(), TagKeys: []string{"team"}}.Build()
			},
			invalid: &iamv1.UntagRoleRequest{},
		},
		iamv1.IAMService_ListRoleTags_FullMethodName: {
			valid:   func(p *props) proto.Message { return iamv1.ListRoleTagsRequest_builder{RoleName: p.role()}.Build() },
			invalid: &iamv1.ListRoleTagsRequest{},
		},
		iamv1.IAMService_PutRolePermissionsBoundary_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.PutRolePermissionsBoundaryRequest_builder{RoleName: p.role(), PermissionsBoundary: readOnly}.Build()
			},
			invalid: &iamv1.PutRolePermissionsBoundaryRequest{},
		},
		iamv1.IAMService_DeleteRolePermissionsBoundary_FullMethodName: {
			valid: func(p *props) proto.Message {
				role := p.role()
				must[*iamv1.PutRolePermissionsBoundaryResponse](p)(p.Root().IAM().PutRolePermissionsBoundary(p.t.Context(), iamv1.PutRolePermissionsBoundaryRequest_builder{RoleName: role, PermissionsBoundary: readOnly}.Build()))
				return iamv1.DeleteRolePermissionsBoundaryRequest_builder{RoleName: role}.Build()
			},
			invalid: &iamv1.DeleteRolePermissionsBoundaryRequest{},
		},
		iamv1.IAMService_PutRolePolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.PutRolePolicyRequest_builder{RoleName: p.role(), PolicyName: "p", PolicyDocument: p.document}.Build()
			},
			invalid: &iamv1.PutRolePolicyRequest{},
		},
		iamv1.IAMService_GetRolePolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.GetRolePolicyRequest_builder{RoleName: p.roleWith(), PolicyName: "p"}.Build()
			},
			invalid: &iamv1.GetRolePolicyRequest{},
		},
		iamv1.IAMService_ListRolePolicies_FullMethodName: {
			valid:   func(p *props) proto.Message { return iamv1.ListRolePoliciesRequest_builder{RoleName: p.role()}.Build() },
			invalid: &iamv1.ListRolePoliciesRequest{},
		},
		iamv1.IAMService_DeleteRolePolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.DeleteRolePolicyRequest_builder{RoleName: p.roleWith(), PolicyName: "p"}.Build()
			},
			invalid: &iamv1.DeleteRolePolicyRequest{},
		},
		iamv1.IAMService_AttachRolePolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.AttachRolePolicyRequest_builder{RoleName: p.role(), PolicyArn: readOnly}.Build()
			},
			invalid: &iamv1.AttachRolePolicyRequest{},
		},
		iamv1.IAMService_DetachRolePolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				role := p.role()
				must[*iamv1.AttachRolePolicyResponse](p)(p.Root().IAM().AttachRolePolicy(p.t.Context(), iamv1.AttachRolePolicyRequest_builder{RoleName: role, PolicyArn: readOnly}.Build()))
				return iamv1.DetachRolePolicyRequest_builder{RoleName: role, PolicyArn: readOnly}.Build()
			},
			invalid: &iamv1.DetachRolePolicyRequest{},
		},
		iamv1.IAMService_ListAttachedRolePolicies_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.ListAttachedRolePoliciesRequest_builder{RoleName: p.role()}.Build()
			},
			invalid: &iamv1.ListAttachedRolePoliciesRequest{},
		},
	}
}

func providerSpecimens() map[string]specimen {
	return map[string]specimen{
		iamv1.IAMService_CreateOpenIDConnectProvider_FullMethodName: {
			valid: func(*props) proto.Message {
				return iamv1.CreateOpenIDConnectProviderRequest_builder{Url: "https://" + strings.ToLower(fresh("issuer-")) + ".example", ClientIdList: []string{"one"}, Jwks: sampleJWKS}.Build()
			},
			invalid: &iamv1.CreateOpenIDConnectProviderRequest{},
		},
		iamv1.IAMService_GetOpenIDConnectProvider_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.GetOpenIDConnectProviderRequest_builder{OpenIdConnectProviderArn: p.provider()}.Build()
			},
			invalid: &iamv1.GetOpenIDConnectProviderRequest{},
		},
		iamv1.IAMService_ListOpenIDConnectProviders_FullMethodName: {
			valid: func(*props) proto.Message { return &iamv1.ListOpenIDConnectProvidersRequest{} },
		},
		iamv1.IAMService_DeleteOpenIDConnectProvider_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.DeleteOpenIDConnectProviderRequest_builder{OpenIdConnectProviderArn: p.provider()}.Build()
			},
			invalid: &iamv1.DeleteOpenIDConnectProviderRequest{},
		},
		iamv1.IAMService_UpdateOpenIDConnectProviderKeys_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.UpdateOpenIDConnectProviderKeysRequest_builder{OpenIdConnectProviderArn: p.provider(), Jwks: sampleJWKSTwo}.Build()
			},
			invalid: &iamv1.UpdateOpenIDConnectProviderKeysRequest{},
		},
		iamv1.IAMService_AddClientIDToOpenIDConnectProvider_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.AddClientIDToOpenIDConnectProviderRequest_builder{OpenIdConnectProviderArn: p.provider(), ClientId: "three"}.Build()
			},
			invalid: &iamv1.AddClientIDToOpenIDConnectProviderRequest{},
		},
		iamv1.IAMService_RemoveClientIDFromOpenIDConnectProvider_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.RemoveClientIDFromOpenIDConnectProviderRequest_builder{OpenIdConnectProviderArn: p.provider(), ClientId: "two"}.Build()
			},
			invalid: &iamv1.RemoveClientIDFromOpenIDConnectProviderRequest{},
		},
	}
}

// webIdentity is a request with a token of an issuer that a role trusts.
func (p *props) webIdentity() proto.Message {
	p.t.Helper()
	if p.issuer == nil {
		p.issuer = kmstest.NewIssuer(p.t, "https://tokens.example")
		must[*iamv1.CreateOpenIDConnectProviderResponse](p)(p.Root().IAM().CreateOpenIDConnectProvider(p.t.Context(), iamv1.CreateOpenIDConnectProviderRequest_builder{
			Url: p.issuer.URL, ClientIdList: []string{"kmsd"}, Jwks: p.issuer.JWKS(),
		}.Build()))
	}
	name := fresh("web-")
	must[*iamv1.CreateRoleResponse](p)(p.Root().IAM().CreateRole(p.t.Context(), iamv1.CreateRoleRequest_builder{RoleName: name, AssumeRolePolicyDocument: p.in(webTrust)}.Build()))
	token := p.issuer.Token(map[string]any{"sub": "job", "aud": "kmsd", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()})
	return stsv1.AssumeRoleWithWebIdentityRequest_builder{RoleArn: "arn:aws:iam::111122223333:role/" + name, RoleSessionName: "web", WebIdentityToken: token}.Build()
}

const webTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/tokens.example"},
	"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"tokens.example:aud":"kmsd","tokens.example:sub":"job"}}}]}`
