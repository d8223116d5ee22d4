package authz

import "slices"

// The keys that requests of several actions have. They are never written.
var (
	noKeys        = []keyID{}
	cryptoKeys    = []keyID{keyEncryptionContext, keyEncryptionContextKeys, keyEncryptionAlgorithm, keyRequestAlias}
	reEncryptKeys = []keyID{keyEncryptionContext, keyEncryptionContextKeys, keyEncryptionAlgorithm, keyRequestAlias, keyReEncryptOnSameKey}
	signKeys      = []keyID{keyRequestAlias, keySigningAlgorithm, keyMessageType}
	macKeys       = []keyID{keyRequestAlias, keyMacAlgorithm}
	pairKeys      = []keyID{keyEncryptionContext, keyEncryptionContextKeys, keyEncryptionAlgorithm, keyRequestAlias, keyDataKeyPairSpec}
	tagKeys       = []keyID{keyRequestTag, keyTagKeys}
	untagKeys     = []keyID{keyTagKeys}
	boundaryKeys  = []keyID{keyPermissionsBoundary}
	creationKeys  = []keyID{keyRequestTag, keyTagKeys, keyPermissionsBoundary}
	attachKeys    = []keyID{keyPolicyARN, keyPermissionsBoundary}
	groupKeys     = []keyID{keyPolicyARN}
	sessionKeys   = []keyID{
		keyRequestTag, keyTagKeys, keyTransitiveTagKeys, keyExternalID, keyRoleSessionName, keySTSSourceIdentity, keyDurationSeconds,
	}
	identityKeys     = []keyID{keyRoleSessionName, keyDurationSeconds, keyClaim} // web identities give no tags
	organizationKeys = []keyID{keyOrganizationsPolicyType}
	attachmentKeys   = []keyID{keyOrganizationsPolicyType, keyOrganizationsPolicyID}
)

// actionKeys :: Action → the keys that its requests have beside those of their caller, connection and resource. Every
// action has a row. It is never written.
var actionKeys = [actionEnd][]keyID{
	KMSEncrypt:                         cryptoKeys,
	KMSDecrypt:                         cryptoKeys,
	KMSReEncryptFrom:                   reEncryptKeys,
	KMSReEncryptTo:                     reEncryptKeys,
	KMSGenerateDataKey:                 cryptoKeys,
	KMSGenerateDataKeyWithoutPlaintext: cryptoKeys,
	KMSGenerateRandom:                  noKeys,
	KMSCreateKey: {
		keyRequestTag, keyTagKeys, keyKeySpec, keyKeyUsage, keyKeyOrigin, keyMultiRegion, keyCustomerMasterKeySpec,
		keyCustomerMasterKeyUsage, keyBypassPolicyLockoutSafetyCheck,
	},
	KMSDescribeKey:          {keyRequestAlias},
	KMSListKeys:             noKeys,
	KMSUpdateKeyDescription: noKeys,
	KMSEnableKey:            noKeys,
	KMSDisableKey:           noKeys,
	KMSRotateKeyOnDemand:    noKeys,
	KMSListKeyRotations:     noKeys,
	KMSCreateAlias:          noKeys,
	KMSUpdateAlias:          noKeys,
	KMSDeleteAlias:          noKeys,
	KMSListAliases:          noKeys,
	KMSPutKeyPolicy:         {keyBypassPolicyLockoutSafetyCheck},
	KMSGetKeyPolicy:         noKeys,
	KMSTagResource:          tagKeys,
	KMSUntagResource:        untagKeys,
	KMSListResourceTags:     noKeys,
	KMSCreateGrant: {
		keyEncryptionContext, keyEncryptionContextKeys, keyGrantConstraintType, keyGrantIsForAWSResource, keyGrantOperations,
		keyGranteePrincipal, keyRetiringPrincipal,
	},
	KMSListGrants:                          {keyGrantIsForAWSResource},
	KMSListRetirableGrants:                 noKeys,
	KMSRetireGrant:                         noKeys,
	KMSRevokeGrant:                         {keyGrantIsForAWSResource},
	KMSSign:                                signKeys,
	KMSVerify:                              signKeys,
	KMSGenerateMac:                         macKeys,
	KMSVerifyMac:                           macKeys,
	KMSGetPublicKey:                        {keyRequestAlias},
	KMSDeriveSharedSecret:                  {keyRequestAlias, keyKeyAgreementAlgorithm},
	KMSEncapsulate:                         {keyRequestAlias},
	KMSDecapsulate:                         {keyRequestAlias},
	KMSGenerateDataKeyPair:                 pairKeys,
	KMSGenerateDataKeyPairWithoutPlaintext: pairKeys,
	KMSScheduleKeyDeletion:                 {keyPendingWindowInDays},
	KMSCancelKeyDeletion:                   noKeys,
	KMSUpdateKeyDeletionProtection:         noKeys,
	KMSEnableKeyRotation:                   {keyRotationPeriodInDays},
	KMSDisableKeyRotation:                  noKeys,
	KMSGetKeyRotationStatus:                noKeys,
	KMSDisableKeyMaterial:                  noKeys,
	KMSEnableKeyMaterial:                   noKeys,
	KMSGetParametersForImport:              {keyWrappingAlgorithm, keyWrappingKeySpec},
	KMSImportKeyMaterial:                   {keyValidTo, keyExpirationModel},
	KMSDeleteImportedKeyMaterial:           noKeys,
	KMSGetKeyLastUsage:                     {keyRequestAlias},
	KMSListKeyPolicies:                     noKeys,

	IAMCreateUser:                    creationKeys,
	IAMGetUser:                       noKeys,
	IAMListUsers:                     noKeys,
	IAMDeleteUser:                    noKeys,
	IAMCreateAccessKey:               noKeys,
	IAMListAccessKeys:                noKeys,
	IAMUpdateAccessKey:               noKeys,
	IAMDeleteAccessKey:               noKeys,
	IAMCreateClientCertificate:       noKeys,
	IAMListClientCertificates:        noKeys,
	IAMDeleteClientCertificate:       noKeys,
	IAMPutUserPolicy:                 boundaryKeys,
	IAMGetUserPolicy:                 noKeys,
	IAMListUserPolicies:              noKeys,
	IAMDeleteUserPolicy:              boundaryKeys,
	IAMUpdateUser:                    noKeys,
	IAMTagUser:                       tagKeys,
	IAMUntagUser:                     untagKeys,
	IAMListUserTags:                  noKeys,
	IAMPutUserPermissionsBoundary:    boundaryKeys,
	IAMDeleteUserPermissionsBoundary: boundaryKeys,
	IAMAttachUserPolicy:              attachKeys,
	IAMDetachUserPolicy:              attachKeys,
	IAMListAttachedUserPolicies:      noKeys,
	IAMGetAccessKeyLastUsed:          noKeys,
	IAMCreateGroup:                   noKeys,
	IAMGetGroup:                      noKeys,
	IAMListGroups:                    noKeys,
	IAMUpdateGroup:                   noKeys,
	IAMDeleteGroup:                   noKeys,
	IAMAddUserToGroup:                noKeys,
	IAMRemoveUserFromGroup:           noKeys,
	IAMListGroupsForUser:             noKeys,
	IAMPutGroupPolicy:                noKeys,
	IAMGetGroupPolicy:                noKeys,
	IAMListGroupPolicies:             noKeys,
	IAMDeleteGroupPolicy:             noKeys,
	IAMAttachGroupPolicy:             groupKeys,
	IAMDetachGroupPolicy:             groupKeys,
	IAMListAttachedGroupPolicies:     noKeys,
	IAMCreatePolicy:                  noKeys,
	IAMGetPolicy:                     noKeys,
	IAMListPolicies:                  noKeys,
	IAMDeletePolicy:                  noKeys,
	IAMCreatePolicyVersion:           noKeys,
	IAMGetPolicyVersion:              noKeys,
	IAMListPolicyVersions:            noKeys,
	IAMDeletePolicyVersion:           noKeys,
	IAMSetDefaultPolicyVersion:       noKeys,
	IAMListEntitiesForPolicy:         noKeys,
	IAMCreateRole:                    creationKeys,
	IAMGetRole:                       noKeys,
	IAMListRoles:                     noKeys,
	IAMUpdateRole:                    noKeys,
	IAMDeleteRole:                    noKeys,
	IAMUpdateAssumeRolePolicy:        noKeys,
	IAMPutRolePolicy:                 boundaryKeys,
	IAMGetRolePolicy:                 noKeys,
	IAMListRolePolicies:              noKeys,
	IAMDeleteRolePolicy:              boundaryKeys,
	IAMAttachRolePolicy:              attachKeys,
	IAMDetachRolePolicy:              attachKeys,
	IAMListAttachedRolePolicies:      noKeys,
	IAMPutRolePermissionsBoundary:    boundaryKeys,
	IAMDeleteRolePermissionsBoundary: boundaryKeys,
	IAMTagRole:                       tagKeys,
	IAMUntagRole:                     untagKeys,
	IAMListRoleTags:                  noKeys,
	IAMCreateVirtualMFADevice:        noKeys,
	IAMEnableMFADevice:               noKeys,
	IAMDeactivateMFADevice:           noKeys,
	IAMDeleteVirtualMFADevice:        noKeys,
	IAMListMFADevices:                noKeys,

	IAMCreateOpenIDConnectProvider:             noKeys,
	IAMGetOpenIDConnectProvider:                noKeys,
	IAMListOpenIDConnectProviders:              noKeys,
	IAMDeleteOpenIDConnectProvider:             noKeys,
	IAMUpdateOpenIDConnectProviderKeys:         noKeys,
	IAMAddClientIDToOpenIDConnectProvider:      noKeys,
	IAMRemoveClientIDFromOpenIDConnectProvider: noKeys,
	IAMSimulateCustomPolicy:                    noKeys,
	IAMSimulatePrincipalPolicy:                 noKeys,

	STSGetCallerIdentity:         noKeys,
	STSAssumeRole:                sessionKeys,
	STSAssumeRoleWithWebIdentity: identityKeys,
	STSTagSession:                sessionKeys,
	STSSetSourceIdentity:         sessionKeys,
	STSGetSessionToken:           {keyDurationSeconds},

	OrganizationsDescribeOrganization:             noKeys,
	OrganizationsCreateAccount:                    noKeys,
	OrganizationsDescribeAccount:                  noKeys,
	OrganizationsListAccounts:                     noKeys,
	OrganizationsCloseAccount:                     noKeys,
	OrganizationsMoveAccount:                      noKeys,
	OrganizationsListRoots:                        noKeys,
	OrganizationsCreateOrganizationalUnit:         noKeys,
	OrganizationsDescribeOrganizationalUnit:       noKeys,
	OrganizationsUpdateOrganizationalUnit:         noKeys,
	OrganizationsDeleteOrganizationalUnit:         noKeys,
	OrganizationsListOrganizationalUnitsForParent: noKeys,
	OrganizationsListAccountsForParent:            noKeys,
	OrganizationsListChildren:                     noKeys,
	OrganizationsListParents:                      noKeys,
	OrganizationsCreatePolicy:                     organizationKeys,
	OrganizationsUpdatePolicy:                     organizationKeys,
	OrganizationsDeletePolicy:                     organizationKeys,
	OrganizationsDescribePolicy:                   organizationKeys,
	OrganizationsListPolicies:                     organizationKeys,
	OrganizationsAttachPolicy:                     attachmentKeys,
	OrganizationsDetachPolicy:                     attachmentKeys,
	OrganizationsListPoliciesForTarget:            organizationKeys,
	OrganizationsListTargetsForPolicy:             organizationKeys,

	AuthzExplainDecision: noKeys,
}

// untagged are the actions on what IAM manages and gives no tags to: groups, policies, devices and providers, and what is only to be made. It is never
// written.
var untagged = [...]Action{
	IAMCreateUser, IAMCreateRole, IAMCreateGroup, IAMGetGroup, IAMUpdateGroup, IAMDeleteGroup, IAMAddUserToGroup, IAMRemoveUserFromGroup,
	IAMPutGroupPolicy, IAMGetGroupPolicy, IAMListGroupPolicies, IAMDeleteGroupPolicy, IAMAttachGroupPolicy, IAMDetachGroupPolicy,
	IAMListAttachedGroupPolicies, IAMCreatePolicy, IAMGetPolicy, IAMDeletePolicy, IAMCreatePolicyVersion, IAMGetPolicyVersion, IAMListPolicyVersions,
	IAMDeletePolicyVersion, IAMSetDefaultPolicyVersion, IAMListEntitiesForPolicy, IAMCreateVirtualMFADevice, IAMDeleteVirtualMFADevice,
	IAMCreateOpenIDConnectProvider, IAMGetOpenIDConnectProvider, IAMDeleteOpenIDConnectProvider, IAMUpdateOpenIDConnectProviderKeys,
	IAMAddClientIDToOpenIDConnectProvider, IAMRemoveClientIDFromOpenIDConnectProvider,
}

// onTaggedEntity reports whether the action is for a user or a role that may have tags.
func (a Action) onTaggedEntity() bool {
	kinds := actionTable[a].kinds
	return kinds&(onEntity|onRole) != 0 && kinds&onNone == 0 && !slices.Contains(untagged[:], a)
}
