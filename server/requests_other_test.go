package server_test

import (
	"google.golang.org/protobuf/proto"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

const (
	serviceControl = organizationsv1.PolicyType_POLICY_TYPE_SERVICE_CONTROL_POLICY
	fullAccess     = "p-FullAWSAccess"
	scpDocument    = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:Encrypt","Resource":"*"}]}`
)

func (p *props) grant(key string) *kmsv1.CreateGrantResponse {
	return must[*kmsv1.CreateGrantResponse](p)(p.Root().Keys().CreateGrant(p.t.Context(), kmsv1.CreateGrantRequest_builder{
		KeyId: key, GranteePrincipal: p.in("arn:aws:iam::111122223333:user/" + p.userName), Operations: []kmsv1.GrantOperation{kmsv1.GrantOperation_GRANT_OPERATION_DECRYPT},
	}.Build()))
}

func grantSpecimens() map[string]specimen {
	tags := []*kmsv1.Tag{kmsv1.Tag_builder{TagKey: "team", TagValue: "red"}.Build()}
	return map[string]specimen{
		kmsv1.KeyService_CreateGrant_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.CreateGrantRequest_builder{
					KeyId: p.keyID, GranteePrincipal: "arn:aws:iam::111122223333:user/" + p.userName, RetiringPrincipal: "arn:aws:iam::111122223333:root",
					Operations:  []kmsv1.GrantOperation{kmsv1.GrantOperation_GRANT_OPERATION_DECRYPT},
					Constraints: kmsv1.GrantConstraints_builder{EncryptionContextSubset: map[string]string{"app": "web"}}.Build(),
				}.Build()
			},
			invalid: kmsv1.CreateGrantRequest_builder{KeyId: "x"}.Build(),
		},
		kmsv1.KeyService_ListGrants_FullMethodName: {
			valid:   func(p *props) proto.Message { return kmsv1.ListGrantsRequest_builder{KeyId: p.keyID}.Build() },
			invalid: &kmsv1.ListGrantsRequest{},
		},
		kmsv1.KeyService_ListRetirableGrants_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.ListRetirableGrantsRequest_builder{RetiringPrincipal: "arn:aws:iam::111122223333:user/" + p.userName}.Build()
			},
			invalid: &kmsv1.ListRetirableGrantsRequest{},
		},
		kmsv1.KeyService_RetireGrant_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.RetireGrantRequest_builder{GrantToken: p.grant(p.keyID).GetGrantToken()}.Build()
			},
			invalid: &kmsv1.RetireGrantRequest{},
		},
		kmsv1.KeyService_RevokeGrant_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.RevokeGrantRequest_builder{KeyId: p.keyID, GrantId: p.grant(p.keyID).GetGrantId()}.Build()
			},
			invalid: &kmsv1.RevokeGrantRequest{},
		},
		kmsv1.KeyService_TagResource_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.TagResourceRequest_builder{KeyId: p.otherID, Tags: tags}.Build()
			},
			invalid: &kmsv1.TagResourceRequest{},
		},
		kmsv1.KeyService_UntagResource_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.UntagResourceRequest_builder{KeyId: p.otherID, TagKeys: []string{"team"}}.Build()
			},
			invalid: &kmsv1.UntagResourceRequest{},
		},
		kmsv1.KeyService_ListResourceTags_FullMethodName: {
			valid:   func(p *props) proto.Message { return kmsv1.ListResourceTagsRequest_builder{KeyId: p.otherID}.Build() },
			invalid: &kmsv1.ListResourceTagsRequest{},
		},
	}
}

func (p *props) root() string {
	out := must[*organizationsv1.ListRootsResponse](p)(p.Root().Organizations().ListRoots(p.t.Context(), &organizationsv1.ListRootsRequest{}))
	return out.GetRoots()[0].GetId()
}

func (p *props) unit() string {
	out := must[*organizationsv1.CreateOrganizationalUnitResponse](p)(p.Root().Organizations().CreateOrganizationalUnit(p.t.Context(),
		organizationsv1.CreateOrganizationalUnitRequest_builder{ParentId: p.root(), Name: fresh("unit-")}.Build()))
	return out.GetOrganizationalUnit().GetId()
}

func (p *props) member12() string {
	out := must[*organizationsv1.CreateAccountResponse](p)(p.Root().Organizations().CreateAccount(p.t.Context(), organizationsv1.CreateAccountRequest_builder{AccountName: fresh("account ")}.Build()))
	return out.GetAccount().GetId()
}

func (p *props) scp() string {
	out := must[*organizationsv1.CreatePolicyResponse](p)(p.Root().Organizations().CreatePolicy(p.t.Context(),
		organizationsv1.CreatePolicyRequest_builder{Name: fresh("scp-"), Content: scpDocument, Type: serviceControl}.Build()))
	return out.GetPolicy().GetPolicySummary().GetId()
}

func organizationSpecimens() map[string]specimen {
	return map[string]specimen{
		organizationsv1.OrganizationsService_DescribeOrganization_FullMethodName: {
			valid: func(*props) proto.Message { return &organizationsv1.DescribeOrganizationRequest{} },
		},
		organizationsv1.OrganizationsService_CreateAccount_FullMethodName: {
			valid: func(*props) proto.Message {
				return organizationsv1.CreateAccountRequest_builder{AccountName: fresh("account "), CreateRootAccessKey: true}.Build()
			},
			invalid: &organizationsv1.CreateAccountRequest{},
		},
		organizationsv1.OrganizationsService_DescribeAccount_FullMethodName: {
			valid: func(*props) proto.Message {
				return organizationsv1.DescribeAccountRequest_builder{AccountId: "111122223333"}.Build()
			},
			invalid: &organizationsv1.DescribeAccountRequest{},
		},
		organizationsv1.OrganizationsService_ListAccounts_FullMethodName: {
			valid:   func(*props) proto.Message { return &organizationsv1.ListAccountsRequest{} },
			invalid: organizationsv1.ListAccountsRequest_builder{MaxResults: 101}.Build(),
		},
		organizationsv1.OrganizationsService_CloseAccount_FullMethodName: {
			valid: func(p *props) proto.Message {
				return organizationsv1.CloseAccountRequest_builder{AccountId: p.member12()}.Build()
			},
			invalid: &organizationsv1.CloseAccountRequest{},
		},
		organizationsv1.OrganizationsService_MoveAccount_FullMethodName: {
			valid: func(p *props) proto.Message {
				return organizationsv1.MoveAccountRequest_builder{AccountId: p.member12(), SourceParentId: p.root(), DestinationParentId: p.unit()}.Build()
			},
			invalid: &organizationsv1.MoveAccountRequest{},
		},
		organizationsv1.OrganizationsService_ListRoots_FullMethodName: {
			valid:   func(*props) proto.Message { return &organizationsv1.ListRootsRequest{} },
			invalid: organizationsv1.ListRootsRequest_builder{MaxResults: 101}.Build(),
		},
		organizationsv1.OrganizationsService_CreateOrganizationalUnit_FullMethodName: {
			valid: func(p *props) proto.Message {
				return organizationsv1.CreateOrganizationalUnitRequest_builder{ParentId: p.root(), Name: fresh("unit-")}.Build()
			},
			invalid: &organizationsv1.CreateOrganizationalUnitRequest{},
		},
		organizationsv1.OrganizationsService_DescribeOrganizationalUnit_FullMethodName: {
			valid: func(p *props) proto.Message {
				return organizationsv1.DescribeOrganizationalUnitRequest_builder{OrganizationalUnitId: p.unit()}.Build()
			},
			invalid: &organizationsv1.DescribeOrganizationalUnitRequest{},
		},
		organizationsv1.OrganizationsService_UpdateOrganizationalUnit_FullMethodName: {
			valid: func(p *props) proto.Message {
				return organizationsv1.UpdateOrganizationalUnitRequest_builder{OrganizationalUnitId: p.unit(), Name: fresh("renamed-")}.Build()
			},
			invalid: &organizationsv1.UpdateOrganizationalUnitRequest{},
		},
		organizationsv1.OrganizationsService_DeleteOrganizationalUnit_FullMethodName: {
			valid: func(p *props) proto.Message {
				return organizationsv1.DeleteOrganizationalUnitRequest_builder{OrganizationalUnitId: p.unit()}.Build()
			},
			invalid: &organizationsv1.DeleteOrganizationalUnitRequest{},
		},
		organizationsv1.OrganizationsService_ListOrganizationalUnitsForParent_FullMethodName: {
			valid: func(p *props) proto.Message {
				return organizationsv1.ListOrganizationalUnitsForParentRequest_builder{ParentId: p.root()}.Build()
			},
			invalid: &organizationsv1.ListOrganizationalUnitsForParentRequest{},
		},
		organizationsv1.OrganizationsService_ListAccountsForParent_FullMethodName: {
			valid: func(p *props) proto.Message {
				return organizationsv1.ListAccountsForParentRequest_builder{ParentId: p.root()}.Build()
			},
			invalid: &organizationsv1.ListAccountsForParentRequest{},
		},
		organizationsv1.OrganizationsService_ListChildren_FullMethodName: {
			valid: func(p *props) proto.Message {
				return organizationsv1.ListChildrenRequest_builder{ParentId: p.root(), ChildType: organizationsv1.ChildType_CHILD_TYPE_ACCOUNT}.Build()
			},
			invalid: &organizationsv1.ListChildrenRequest{},
		},
		organizationsv1.OrganizationsService_ListParents_FullMethodName: {
			valid: func(*props) proto.Message {
				return organizationsv1.ListParentsRequest_builder{ChildId: "111122223333"}.Build()
			},
			invalid: &organizationsv1.ListParentsRequest{},
		},
		organizationsv1.OrganizationsService_CreatePolicy_FullMethodName: {
			valid: func(*props) proto.Message {
				return organizationsv1.CreatePolicyRequest_builder{Name: fresh("scp-"), Content: scpDocument, Type: serviceControl}.Build()
			},
			invalid: &organizationsv1.CreatePolicyRequest{},
		},
		organizationsv1.OrganizationsService_DescribePolicy_FullMethodName: {
			valid: func(*props) proto.Message {
				return organizationsv1.DescribePolicyRequest_builder{PolicyId: fullAccess}.Build()
			},
			invalid: &organizationsv1.DescribePolicyRequest{},
		},
		organizationsv1.OrganizationsService_ListPolicies_FullMethodName: {
			valid: func(*props) proto.Message {
				return organizationsv1.ListPoliciesRequest_builder{Filter: serviceControl}.Build()
			},
			invalid: &organizationsv1.ListPoliciesRequest{},
		},
		organizationsv1.OrganizationsService_UpdatePolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				return organizationsv1.UpdatePolicyRequest_builder{PolicyId: p.scp(), Name: fresh("renamed-"), Content: scpDocument}.Build()
			},
			invalid: &organizationsv1.UpdatePolicyRequest{},
		},
		organizationsv1.OrganizationsService_DeletePolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				return organizationsv1.DeletePolicyRequest_builder{PolicyId: p.scp()}.Build()
			},
			invalid: &organizationsv1.DeletePolicyRequest{},
		},
		organizationsv1.OrganizationsService_AttachPolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				return organizationsv1.AttachPolicyRequest_builder{PolicyId: p.scp(), TargetId: p.unit()}.Build()
			},
			invalid: &organizationsv1.AttachPolicyRequest{},
		},
		organizationsv1.OrganizationsService_DetachPolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				policy, unit := p.scp(), p.unit()
				must[*organizationsv1.AttachPolicyResponse](p)(p.Root().Organizations().AttachPolicy(p.t.Context(), organizationsv1.AttachPolicyRequest_builder{PolicyId: policy, TargetId: unit}.Build()))
				return organizationsv1.DetachPolicyRequest_builder{PolicyId: policy, TargetId: unit}.Build()
			},
			invalid: &organizationsv1.DetachPolicyRequest{},
		},
		organizationsv1.OrganizationsService_ListPoliciesForTarget_FullMethodName: {
			valid: func(p *props) proto.Message {
				return organizationsv1.ListPoliciesForTargetRequest_builder{TargetId: p.root(), Filter: serviceControl}.Build()
			},
			invalid: &organizationsv1.ListPoliciesForTargetRequest{},
		},
		organizationsv1.OrganizationsService_ListTargetsForPolicy_FullMethodName: {
			valid: func(*props) proto.Message {
				return organizationsv1.ListTargetsForPolicyRequest_builder{PolicyId: fullAccess}.Build()
			},
			invalid: &organizationsv1.ListTargetsForPolicyRequest{},
		},
	}
}

func sessionSpecimens() map[string]specimen {
	return map[string]specimen{
		stsv1.STSService_AssumeRole_FullMethodName: {
			valid: func(p *props) proto.Message {
				return stsv1.AssumeRoleRequest_builder{RoleArn: "arn:aws:iam::111122223333:role/" + p.role(), RoleSessionName: "session"}.Build()
			},
			invalid: &stsv1.AssumeRoleRequest{}, byUser: true,
		},
		stsv1.STSService_GetSessionToken_FullMethodName: {
			valid:   func(*props) proto.Message { return &stsv1.GetSessionTokenRequest{} },
			invalid: stsv1.GetSessionTokenRequest_builder{DurationSeconds: -1}.Build(),
		},
		stsv1.STSService_AssumeRoleWithWebIdentity_FullMethodName: {
			valid:   func(p *props) proto.Message { return p.webIdentity() },
			invalid: &stsv1.AssumeRoleWithWebIdentityRequest{}, anonymous: true,
		},
	}
}
