package clients

// The reasons that many members have.
const (
	noEnclaves  = "there are no Nitro Enclaves, for which it would be"
	noStores    = "there are no custom key stores"
	oneRegion   = "there is one region"
	noServices  = "there are no service principals"
	oneEntry    = "there is never more than one entry"
	whole       = "kmsd answers the list whole: it is short"
	untagged    = "kmsd has no tags of it"
	unknown     = "kmsd does not keep it"
	noSizes     = "kmsd does not limit the size of session tokens by it"
	noPasswords = "there are no passwords: users have access keys"
)

// absentInAnswers are the members of AWS's answers that kmsd never says.
var absentInAnswers = map[string][]absence{
	"kms": {
		{"DecryptOutput.CiphertextForRecipient", noEnclaves},
		{"DeriveSharedSecretOutput.CiphertextForRecipient", noEnclaves},
		{"GenerateDataKeyOutput.CiphertextForRecipient", noEnclaves},
		{"GenerateDataKeyPairOutput.CiphertextForRecipient", noEnclaves},
		{"GenerateRandomOutput.CiphertextForRecipient", noEnclaves},
		{"GetKeyRotationStatusOutput.OnDemandRotationStartDate", "a rotation on demand is done when it is answered"},
		{"GrantConstraints.SourceArn", noServices},
		{"GrantListEntry.GranteeServicePrincipal", noServices},
		{"GrantListEntry.RetiringServicePrincipal", noServices},
		{"KeyMetadata.CloudHsmClusterId", noStores},
		{"KeyMetadata.CustomKeyStoreId", noStores},
		{"KeyMetadata.XksKeyConfiguration", noStores},
		{"XksKeyConfigurationType.", noStores},
		{"KeyMetadata.MultiRegionConfiguration", oneRegion},
		{"MultiRegionConfiguration.", oneRegion},
		{"MultiRegionKey.", oneRegion},
		{"ListKeyPoliciesOutput.NextMarker", oneEntry},
	},
	"organizations": {
		{"Account.JoinedMethod", unknown},
		{"Account.Paths", unknown},
		{"CreateAccountStatus.CompletedTimestamp", "an account is there when CreateAccount is answered"},
		{"CreateAccountStatus.RequestedTimestamp", "an account is there when CreateAccount is answered"},
		{"CreateAccountStatus.FailureReason", "what fails is an error"},
		{"CreateAccountStatus.GovCloudAccountId", "there is one partition"},
		{"Organization.MasterAccountEmail", unknown},
		{"OrganizationalUnit.Path", unknown},
		{"ListRootsOutput.NextToken", oneEntry},
		{"ListParentsOutput.NextToken", oneEntry},
	},
	"iam": {
		{"CreateOpenIDConnectProviderOutput.Tags", untagged},
		{"GetOpenIDConnectProviderOutput.Tags", untagged},
		{"GetOpenIDConnectProviderOutput.ThumbprintList", "kmsd trusts the keys of the provider, not a certificate"},
		{"EvaluationResult.EvalDecisionDetails", "kmsd names the statements that decided"},
		{"EvaluationResult.ResourceSpecificResults", "kmsd gives a result for each resource"},
		{"ResourceSpecificResult.", "kmsd gives a result for each resource"},
		{"Policy.Tags", untagged},
		{"Role.RoleLastUsed", unknown},
		{"RoleLastUsed.", unknown},
		{"Role.SourceRoleTemplate", "there are no templates of roles"},
		{"SourceRoleTemplate.", "there are no templates of roles"},
		{"User.PasswordLastUsed", noPasswords},
		{"VirtualMFADevice.EnableDate", "it is ListVirtualMFADevices's, which kmsd has not"},
		{"VirtualMFADevice.User", "it is ListVirtualMFADevices's, which kmsd has not"},
		{"VirtualMFADevice.QRCodePNG", "kmsd makes no pictures: kmsctl prints the URI that a device reads"},
		{"VirtualMFADevice.Tags", untagged},
		{"ListAccessKeysOutput.Marker", whole},
		{"ListAttachedGroupPoliciesOutput.Marker", whole},
		{"ListAttachedRolePoliciesOutput.Marker", whole},
		{"ListAttachedUserPoliciesOutput.Marker", whole},
		{"ListGroupPoliciesOutput.Marker", whole},
		{"ListGroupsForUserOutput.Marker", whole},
		{"ListMFADevicesOutput.Marker", whole},
		{"ListPolicyVersionsOutput.Marker", whole},
		{"ListRolePoliciesOutput.Marker", whole},
		{"ListRoleTagsOutput.Marker", whole},
		{"ListUserPoliciesOutput.Marker", whole},
		{"ListUserTagsOutput.Marker", whole},
	},
	"sts": {
		{"AssumeRoleOutput.SessionTokenSize", noSizes},
		{"AssumeRoleOutput.SessionTokenUtilization", noSizes},
		{"AssumeRoleWithWebIdentityOutput.SessionTokenSize", noSizes},
		{"AssumeRoleWithWebIdentityOutput.SessionTokenUtilization", noSizes},
		{"AssumeRoleWithWebIdentityOutput.SourceIdentity", "kmsd takes none from a token"},
		{"GetSessionTokenOutput.SessionTokenSize", noSizes},
		{"GetSessionTokenOutput.SessionTokenUtilization", noSizes},
	},
}

// ignoredInRequests are the members of AWS's requests that kmsd takes no notice of.
var ignoredInRequests = map[string][]absence{
	"organizations": {
		{"CreateAccountInput.IamUserAccessToBilling", "there are no bills"},
	},
	"iam": {
		{"ListAccessKeysInput.MaxItems", whole},
		{"ListAttachedGroupPoliciesInput.MaxItems", whole},
		{"ListAttachedRolePoliciesInput.MaxItems", whole},
		{"ListAttachedUserPoliciesInput.MaxItems", whole},
		{"ListGroupPoliciesInput.MaxItems", whole},
		{"ListGroupsForUserInput.MaxItems", whole},
		{"ListMFADevicesInput.MaxItems", whole},
		{"ListPolicyVersionsInput.MaxItems", whole},
		{"ListRolePoliciesInput.MaxItems", whole},
		{"ListRoleTagsInput.MaxItems", whole},
		{"ListUserPoliciesInput.MaxItems", whole},
		{"ListUserTagsInput.MaxItems", whole},
	},
	"sts": {
		{"AssumeRoleInput.MinimumSessionTokenSize", noSizes},
		{"AssumeRoleWithWebIdentityInput.MinimumSessionTokenSize", noSizes},
		{"GetSessionTokenInput.MinimumSessionTokenSize", noSizes},
	},
}
