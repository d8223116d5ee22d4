package aws

import "google.golang.org/protobuf/reflect/protoreflect"

// iamVoid is the operations that IAM answers without members. UpdateRole has a result, which is empty.
func iamVoid() map[string]bool {
	return set("AddClientIDToOpenIDConnectProvider", "AddUserToGroup", "AttachGroupPolicy", "AttachRolePolicy", "AttachUserPolicy", "DeactivateMFADevice",
		"DeleteAccessKey", "DeleteClientCertificate", "DeleteGroup", "DeleteGroupPolicy", "DeleteOpenIDConnectProvider", "DeletePolicy",
		"DeletePolicyVersion", "DeleteRole", "DeleteRolePermissionsBoundary", "DeleteRolePolicy", "DeleteUser", "DeleteUserPermissionsBoundary",
		"DeleteUserPolicy", "DeleteVirtualMFADevice", "DetachGroupPolicy", "DetachRolePolicy", "DetachUserPolicy", "EnableMFADevice", "PutGroupPolicy",
		"PutRolePermissionsBoundary", "PutRolePolicy", "PutUserPermissionsBoundary", "PutUserPolicy", "RemoveClientIDFromOpenIDConnectProvider",
		"RemoveUserFromGroup", "SetDefaultPolicyVersion", "TagRole", "TagUser", "UntagRole", "UntagUser", "UpdateAccessKey", "UpdateAssumeRolePolicy",
		"UpdateGroup", "UpdateOpenIDConnectProviderKeys", "UpdateUser")
}

// iamAbsent is the operations that IAM has and kmsd has not.
func iamAbsent() map[string]bool {
	return set("AcceptDelegationRequest", "AcquireRole", "AddRoleToInstanceProfile", "AssociateDelegationRequest", "ChangePassword", "CreateAccountAlias",
		"CreateDelegationRequest", "CreateInstanceProfile", "CreateLoginProfile", "CreateSAMLProvider", "CreateServiceLinkedRole",
		"CreateServiceSpecificCredential", "DeleteAccountAlias", "DeleteAccountPasswordPolicy", "DeleteInstanceProfile", "DeleteLoginProfile",
		"DeleteSAMLProvider", "DeleteSSHPublicKey", "DeleteServerCertificate", "DeleteServiceLinkedRole", "DeleteServiceSpecificCredential",
		"DeleteSigningCertificate", "DisableOrganizationsRootCredentialsManagement", "DisableOrganizationsRootSessions",
		"DisableOutboundWebIdentityFederation", "EnableOrganizationsRootCredentialsManagement", "EnableOrganizationsRootSessions",
		"EnableOutboundWebIdentityFederation", "GenerateCredentialReport", "GenerateOrganizationsAccessReport", "GenerateServiceLastAccessedDetails",
		"GetAccountAuthorizationDetails", "GetAccountPasswordPolicy", "GetAccountProperties", "GetAccountSummary", "GetContextKeysForCustomPolicy",
		"GetContextKeysForPrincipalPolicy", "GetCredentialReport", "GetDelegationRequest", "GetHumanReadableSummary", "GetInstanceProfile",
		"GetLoginProfile", "GetMFADevice", "GetOrganizationsAccessReport", "GetOutboundWebIdentityFederationInfo", "GetRoleTemplateVersion",
		"GetSAMLProvider", "GetSSHPublicKey",
		"GetServerCertificate", "GetServiceLastAccessedDetails", "GetServiceLastAccessedDetailsWithEntities", "GetServiceLinkedRoleDeletionStatus",
		"ListAccountAliases", "ListDelegationRequests", "ListInstanceProfileTags", "ListInstanceProfiles", "ListInstanceProfilesForRole",
		"ListMFADeviceTags", "ListOpenIDConnectProviderTags", "ListOrganizationsFeatures", "ListPoliciesGrantingServiceAccess", "ListPolicyTags",
		"ListSAMLProviderTags", "ListSAMLProviders", "ListSSHPublicKeys", "ListServerCertificateTags", "ListServerCertificates",
		"ListServiceSpecificCredentials", "ListSigningCertificates", "ListVirtualMFADevices", "PutAccountProperties", "RejectDelegationRequest",
		"RemoveRoleFromInstanceProfile", "ResetServiceSpecificCredential", "ResyncMFADevice", "SendDelegationToken",
		"SetSecurityTokenServicePreferences", "TagInstanceProfile", "TagMFADevice", "TagOpenIDConnectProvider", "TagPolicy", "TagSAMLProvider",
		"TagServerCertificate", "UntagInstanceProfile", "UntagMFADevice", "UntagOpenIDConnectProvider", "UntagPolicy", "UntagSAMLProvider",
		"UntagServerCertificate", "UpdateAccountPasswordPolicy", "UpdateDelegationRequest", "UpdateLoginProfile",
		"UpdateOpenIDConnectProviderThumbprint", "UpdateRoleDescription", "UpdateSAMLProvider", "UpdateSSHPublicKey", "UpdateServerCertificate",
		"UpdateServiceSpecificCredential", "UpdateSigningCertificate", "UploadSSHPublicKey", "UploadServerCertificate", "UploadSigningCertificate")
}

// iamRequired is what IAM's requests must have.
func iamRequired() map[string][]protoreflect.Name {
	all := map[string][]protoreflect.Name{"iam.v1.Tag": {"key", "value"}}
	for _, r := range []struct {
		fields     []protoreflect.Name
		operations []string
	}{
		{[]protoreflect.Name{"user_name"}, []string{
			"CreateUser", "DeleteUser", "DeleteUserPermissionsBoundary", "ListAttachedUserPolicies", "ListGroupsForUser", "ListUserPolicies", "ListUserTags", "UpdateUser",
		}},
		{[]protoreflect.Name{"user_name", "tags"}, []string{"TagUser"}},
		{[]protoreflect.Name{"user_name", "tag_keys"}, []string{"UntagUser"}},
		{[]protoreflect.Name{"user_name", "policy_arn"}, []string{"AttachUserPolicy", "DetachUserPolicy"}},
		{[]protoreflect.Name{"user_name", "policy_name"}, []string{"DeleteUserPolicy", "GetUserPolicy"}},
		{[]protoreflect.Name{"user_name", "policy_name", "policy_document"}, []string{"PutUserPolicy"}},
		{[]protoreflect.Name{"user_name", "permissions_boundary"}, []string{"PutUserPermissionsBoundary"}},
		{[]protoreflect.Name{"access_key_id"}, []string{"DeleteAccessKey", "GetAccessKeyLastUsed"}},
		{[]protoreflect.Name{"access_key_id", "status"}, []string{"UpdateAccessKey"}},

		{[]protoreflect.Name{"group_name"}, []string{
			"CreateGroup", "DeleteGroup", "GetGroup", "ListAttachedGroupPolicies", "ListGroupPolicies", "UpdateGroup",
		}},
		{[]protoreflect.Name{"group_name", "user_name"}, []string{"AddUserToGroup", "RemoveUserFromGroup"}},
		{[]protoreflect.Name{"group_name", "policy_arn"}, []string{"AttachGroupPolicy", "DetachGroupPolicy"}},
		{[]protoreflect.Name{"group_name", "policy_name"}, []string{"DeleteGroupPolicy", "GetGroupPolicy"}},
		{[]protoreflect.Name{"group_name", "policy_name", "policy_document"}, []string{"PutGroupPolicy"}},

		{[]protoreflect.Name{"role_name"}, []string{
			"DeleteRole", "DeleteRolePermissionsBoundary", "GetRole", "ListAttachedRolePolicies", "ListRolePolicies", "ListRoleTags", "UpdateRole",
		}},
		{[]protoreflect.Name{"role_name", "assume_role_policy_document"}, []string{"CreateRole"}},
		{[]protoreflect.Name{"role_name", "policy_document"}, []string{"UpdateAssumeRolePolicy"}},
		{[]protoreflect.Name{"role_name", "tags"}, []string{"TagRole"}},
		{[]protoreflect.Name{"role_name", "tag_keys"}, []string{"UntagRole"}},
		{[]protoreflect.Name{"role_name", "policy_arn"}, []string{"AttachRolePolicy", "DetachRolePolicy"}},
		{[]protoreflect.Name{"role_name", "policy_name"}, []string{"DeleteRolePolicy", "GetRolePolicy"}},
		{[]protoreflect.Name{"role_name", "policy_name", "policy_document"}, []string{"PutRolePolicy"}},
		{[]protoreflect.Name{"role_name", "permissions_boundary"}, []string{"PutRolePermissionsBoundary"}},

		{[]protoreflect.Name{"policy_arn"}, []string{"DeletePolicy", "GetPolicy", "ListEntitiesForPolicy", "ListPolicyVersions"}},
		{[]protoreflect.Name{"policy_arn", "policy_document"}, []string{"CreatePolicyVersion"}},
		{[]protoreflect.Name{"policy_arn", "version_id"}, []string{"DeletePolicyVersion", "GetPolicyVersion", "SetDefaultPolicyVersion"}},
		{[]protoreflect.Name{"policy_name", "policy_document"}, []string{"CreatePolicy"}},
		{[]protoreflect.Name{"policy_input_list", "action_names"}, []string{"SimulateCustomPolicy"}},
		{[]protoreflect.Name{"policy_source_arn", "action_names"}, []string{"SimulatePrincipalPolicy"}},

		{[]protoreflect.Name{"serial_number"}, []string{"DeactivateMFADevice", "DeleteVirtualMFADevice"}},
		{[]protoreflect.Name{"user_name", "serial_number", "authentication_code1", "authentication_code2"}, []string{"EnableMFADevice"}},
		{[]protoreflect.Name{"virtual_mfa_device_name"}, []string{"CreateVirtualMFADevice"}},
		{[]protoreflect.Name{"url"}, []string{"CreateOpenIDConnectProvider"}},
		{[]protoreflect.Name{"open_id_connect_provider_arn"}, []string{"DeleteOpenIDConnectProvider", "GetOpenIDConnectProvider"}},
		{[]protoreflect.Name{"open_id_connect_provider_arn", "client_id"}, []string{
			"AddClientIDToOpenIDConnectProvider", "RemoveClientIDFromOpenIDConnectProvider",
		}},
	} {
		for _, name := range r.operations {
			all["iam.v1."+name+"Request"] = r.fields
		}
	}
	return all
}
