package authz

import (
	"iter"
	"strings"
)

// Action is one thing that a policy can allow or deny. The zero Action is no action, and is always denied.
type Action uint16

// The actions, named as AWS names them, but for those on client certificates, which AWS does not have.
const (
	KMSEncrypt Action = iota + 1
	KMSDecrypt
	KMSReEncryptFrom
	KMSReEncryptTo
	KMSGenerateDataKey
	KMSGenerateDataKeyWithoutPlaintext
	KMSGenerateRandom
	KMSCreateKey
	KMSDescribeKey
	KMSListKeys
	KMSUpdateKeyDescription
	KMSEnableKey
	KMSDisableKey
	KMSRotateKeyOnDemand
	KMSListKeyRotations
	KMSCreateAlias
	KMSUpdateAlias
	KMSDeleteAlias
	KMSListAliases
	KMSPutKeyPolicy
	KMSGetKeyPolicy
	KMSTagResource
	KMSUntagResource
	KMSListResourceTags
	KMSCreateGrant
	KMSListGrants
	KMSListRetirableGrants
	KMSRetireGrant
	KMSRevokeGrant
	KMSSign
	KMSVerify
	KMSGenerateMac
	KMSVerifyMac
	KMSGetPublicKey
	KMSDeriveSharedSecret
	KMSEncapsulate
	KMSDecapsulate
	KMSGenerateDataKeyPair
	KMSGenerateDataKeyPairWithoutPlaintext
	KMSScheduleKeyDeletion
	KMSCancelKeyDeletion
	KMSUpdateKeyDeletionProtection
	KMSEnableKeyRotation
	KMSDisableKeyRotation
	KMSGetKeyRotationStatus
	KMSDisableKeyMaterial
	KMSEnableKeyMaterial
	KMSGetParametersForImport
	KMSImportKeyMaterial
	KMSDeleteImportedKeyMaterial
	KMSGetKeyLastUsage
	KMSListKeyPolicies

	IAMCreateUser
	IAMGetUser
	IAMListUsers
	IAMDeleteUser
	IAMCreateAccessKey
	IAMListAccessKeys
	IAMUpdateAccessKey
	IAMDeleteAccessKey
	IAMCreateClientCertificate
	IAMListClientCertificates
	IAMDeleteClientCertificate
	IAMPutUserPolicy
	IAMGetUserPolicy
	IAMListUserPolicies
	IAMDeleteUserPolicy
	IAMUpdateUser
	IAMTagUser
	IAMUntagUser
	IAMListUserTags
	IAMPutUserPermissionsBoundary
	IAMDeleteUserPermissionsBoundary
	IAMAttachUserPolicy
	IAMDetachUserPolicy
	IAMListAttachedUserPolicies
	IAMGetAccessKeyLastUsed
	IAMCreateGroup
	IAMGetGroup
	IAMListGroups
	IAMUpdateGroup
	IAMDeleteGroup
	IAMAddUserToGroup
	IAMRemoveUserFromGroup
	IAMListGroupsForUser
	IAMPutGroupPolicy
	IAMGetGroupPolicy
	IAMListGroupPolicies
	IAMDeleteGroupPolicy
	IAMAttachGroupPolicy
	IAMDetachGroupPolicy
	IAMListAttachedGroupPolicies
	IAMCreatePolicy
	IAMGetPolicy
	IAMListPolicies
	IAMDeletePolicy
	IAMCreatePolicyVersion
	IAMGetPolicyVersion
	IAMListPolicyVersions
	IAMDeletePolicyVersion
	IAMSetDefaultPolicyVersion
	IAMListEntitiesForPolicy
	IAMCreateRole
	IAMGetRole
	IAMListRoles
	IAMUpdateRole
	IAMDeleteRole
	IAMUpdateAssumeRolePolicy
	IAMPutRolePolicy
	IAMGetRolePolicy
	IAMListRolePolicies
	IAMDeleteRolePolicy
	IAMAttachRolePolicy
	IAMDetachRolePolicy
	IAMListAttachedRolePolicies
	IAMPutRolePermissionsBoundary
	IAMDeleteRolePermissionsBoundary
	IAMTagRole
	IAMUntagRole
	IAMListRoleTags
	IAMCreateVirtualMFADevice
	IAMEnableMFADevice
	IAMDeactivateMFADevice
	IAMDeleteVirtualMFADevice
	IAMListMFADevices
	IAMCreateOpenIDConnectProvider
	IAMGetOpenIDConnectProvider
	IAMListOpenIDConnectProviders
	IAMDeleteOpenIDConnectProvider
	IAMUpdateOpenIDConnectProviderKeys
	IAMAddClientIDToOpenIDConnectProvider
	IAMRemoveClientIDFromOpenIDConnectProvider
	IAMSimulateCustomPolicy
	IAMSimulatePrincipalPolicy

	STSGetCallerIdentity
	STSAssumeRole
	STSAssumeRoleWithWebIdentity
	STSTagSession
	STSSetSourceIdentity
	STSGetSessionToken

	OrganizationsDescribeOrganization
	OrganizationsCreateAccount
	OrganizationsDescribeAccount
	OrganizationsListAccounts
	OrganizationsCloseAccount
	OrganizationsMoveAccount
	OrganizationsListRoots
	OrganizationsCreateOrganizationalUnit
	OrganizationsDescribeOrganizationalUnit
	OrganizationsUpdateOrganizationalUnit
	OrganizationsDeleteOrganizationalUnit
	OrganizationsListOrganizationalUnitsForParent
	OrganizationsListAccountsForParent
	OrganizationsListChildren
	OrganizationsListParents
	OrganizationsCreatePolicy
	OrganizationsUpdatePolicy
	OrganizationsDeletePolicy
	OrganizationsDescribePolicy
	OrganizationsListPolicies
	OrganizationsAttachPolicy
	OrganizationsDetachPolicy
	OrganizationsListPoliciesForTarget
	OrganizationsListTargetsForPolicy

	AuthzExplainDecision // kmsd's own: what denied a call

	actionEnd
)

// kindSet has bit 1<<k for each ResourceKind k that an action may be asked for.
type kindSet uint8

const (
	onNone         kindSet = 1 << None
	onKey          kindSet = 1 << Key
	onAlias        kindSet = 1 << Alias
	onEntity       kindSet = 1 << IAMEntity
	onRole         kindSet = 1 << Role
	onOrganization kindSet = 1 << OrganizationEntity
)

type actionInfo struct {
	name  string // "service:Name"
	kinds kindSet
	cross bool
}

// actionTable :: Action → what is known of it. It is never written.
var actionTable = [actionEnd]actionInfo{
	KMSEncrypt:                                    {"kms:Encrypt", onKey, true},
	KMSDecrypt:                                    {"kms:Decrypt", onKey, true},
	KMSReEncryptFrom:                              {"kms:ReEncryptFrom", onKey, true},
	KMSReEncryptTo:                                {"kms:ReEncryptTo", onKey, true},
	KMSGenerateDataKey:                            {"kms:GenerateDataKey", onKey, true},
	KMSGenerateDataKeyWithoutPlaintext:            {"kms:GenerateDataKeyWithoutPlaintext", onKey, true},
	KMSGenerateRandom:                             {"kms:GenerateRandom", onNone, false},
	KMSCreateKey:                                  {"kms:CreateKey", onNone, false},
	KMSDescribeKey:                                {"kms:DescribeKey", onKey, true},
	KMSListKeys:                                   {"kms:ListKeys", onNone, false},
	KMSUpdateKeyDescription:                       {"kms:UpdateKeyDescription", onKey, false},
	KMSEnableKey:                                  {"kms:EnableKey", onKey, false},
	KMSDisableKey:                                 {"kms:DisableKey", onKey, false},
	KMSRotateKeyOnDemand:                          {"kms:RotateKeyOnDemand", onKey, false},
	KMSListKeyRotations:                           {"kms:ListKeyRotations", onKey, false},
	KMSCreateAlias:                                {"kms:CreateAlias", onKey | onAlias, false},
	KMSUpdateAlias:                                {"kms:UpdateAlias", onKey | onAlias, false},
	KMSDeleteAlias:                                {"kms:DeleteAlias", onKey | onAlias, false},
	KMSListAliases:                                {"kms:ListAliases", onNone, false},
	KMSPutKeyPolicy:                               {"kms:PutKeyPolicy", onKey, false},
	KMSGetKeyPolicy:                               {"kms:GetKeyPolicy", onKey, false},
	IAMCreateUser:                                 {"iam:CreateUser", onEntity, false},
	IAMGetUser:                                    {"iam:GetUser", onEntity, false},
	IAMListUsers:                                  {"iam:ListUsers", onEntity | onNone, false},
	IAMDeleteUser:                                 {"iam:DeleteUser", onEntity, false},
	IAMCreateAccessKey:                            {"iam:CreateAccessKey", onEntity, false},
	IAMListAccessKeys:                             {"iam:ListAccessKeys", onEntity, false},
	IAMUpdateAccessKey:                            {"iam:UpdateAccessKey", onEntity, false},
	IAMDeleteAccessKey:                            {"iam:DeleteAccessKey", onEntity, false},
	IAMCreateClientCertificate:                    {"iam:CreateClientCertificate", onEntity, false},
	IAMListClientCertificates:                     {"iam:ListClientCertificates", onEntity, false},
	IAMDeleteClientCertificate:                    {"iam:DeleteClientCertificate", onEntity, false},
	IAMPutUserPolicy:                              {"iam:PutUserPolicy", onEntity, false},
	IAMGetUserPolicy:                              {"iam:GetUserPolicy", onEntity, false},
	IAMListUserPolicies:                           {"iam:ListUserPolicies", onEntity, false},
	IAMDeleteUserPolicy:                           {"iam:DeleteUserPolicy", onEntity, false},
	STSGetCallerIdentity:                          {"sts:GetCallerIdentity", onNone, false},
	KMSTagResource:                                {"kms:TagResource", onKey | onNone, false},
	KMSUntagResource:                              {"kms:UntagResource", onKey, false},
	KMSListResourceTags:                           {"kms:ListResourceTags", onKey, false},
	KMSCreateGrant:                                {"kms:CreateGrant", onKey, true},
	KMSListGrants:                                 {"kms:ListGrants", onKey, true},
	KMSListRetirableGrants:                        {"kms:ListRetirableGrants", onNone, false},
	KMSRetireGrant:                                {"kms:RetireGrant", onKey, true},
	KMSRevokeGrant:                                {"kms:RevokeGrant", onKey, true},
	KMSSign:                                       {"kms:Sign", onKey, true},
	KMSVerify:                                     {"kms:Verify", onKey, true},
	KMSGenerateMac:                                {"kms:GenerateMac", onKey, true},
	KMSVerifyMac:                                  {"kms:VerifyMac", onKey, true},
	KMSGetPublicKey:                               {"kms:GetPublicKey", onKey, true},
	KMSDeriveSharedSecret:                         {"kms:DeriveSharedSecret", onKey, true},
	KMSEncapsulate:                                {"kms:Encapsulate", onKey, true},
	KMSDecapsulate:                                {"kms:Decapsulate", onKey, true},
	KMSGenerateDataKeyPair:                        {"kms:GenerateDataKeyPair", onKey, true},
	KMSGenerateDataKeyPairWithoutPlaintext:        {"kms:GenerateDataKeyPairWithoutPlaintext", onKey, true},
	KMSScheduleKeyDeletion:                        {"kms:ScheduleKeyDeletion", onKey, false},
	KMSCancelKeyDeletion:                          {"kms:CancelKeyDeletion", onKey, false},
	KMSUpdateKeyDeletionProtection:                {"kms:UpdateKeyDeletionProtection", onKey, false},
	KMSEnableKeyRotation:                          {"kms:EnableKeyRotation", onKey, false},
	KMSDisableKeyRotation:                         {"kms:DisableKeyRotation", onKey, false},
	KMSGetKeyRotationStatus:                       {"kms:GetKeyRotationStatus", onKey, true},
	KMSDisableKeyMaterial:                         {"kms:DisableKeyMaterial", onKey, false},
	KMSEnableKeyMaterial:                          {"kms:EnableKeyMaterial", onKey, false},
	KMSGetParametersForImport:                     {"kms:GetParametersForImport", onKey, false},
	KMSImportKeyMaterial:                          {"kms:ImportKeyMaterial", onKey, false},
	KMSDeleteImportedKeyMaterial:                  {"kms:DeleteImportedKeyMaterial", onKey, false},
	KMSGetKeyLastUsage:                            {"kms:GetKeyLastUsage", onKey, false},
	KMSListKeyPolicies:                            {"kms:ListKeyPolicies", onKey, false},
	IAMUpdateUser:                                 {"iam:UpdateUser", onEntity, false},
	IAMTagUser:                                    {"iam:TagUser", onEntity, false},
	IAMUntagUser:                                  {"iam:UntagUser", onEntity, false},
	IAMListUserTags:                               {"iam:ListUserTags", onEntity, false},
	IAMPutUserPermissionsBoundary:                 {"iam:PutUserPermissionsBoundary", onEntity, false},
	IAMDeleteUserPermissionsBoundary:              {"iam:DeleteUserPermissionsBoundary", onEntity, false},
	IAMAttachUserPolicy:                           {"iam:AttachUserPolicy", onEntity, false},
	IAMDetachUserPolicy:                           {"iam:DetachUserPolicy", onEntity, false},
	IAMListAttachedUserPolicies:                   {"iam:ListAttachedUserPolicies", onEntity, false},
	IAMGetAccessKeyLastUsed:                       {"iam:GetAccessKeyLastUsed", onEntity, false},
	IAMCreateGroup:                                {"iam:CreateGroup", onEntity, false},
	IAMGetGroup:                                   {"iam:GetGroup", onEntity, false},
	IAMListGroups:                                 {"iam:ListGroups", onEntity | onNone, false},
	IAMUpdateGroup:                                {"iam:UpdateGroup", onEntity, false},
	IAMDeleteGroup:                                {"iam:DeleteGroup", onEntity, false},
	IAMAddUserToGroup:                             {"iam:AddUserToGroup", onEntity, false},
	IAMRemoveUserFromGroup:                        {"iam:RemoveUserFromGroup", onEntity, false},
	IAMListGroupsForUser:                          {"iam:ListGroupsForUser", onEntity, false},
	IAMPutGroupPolicy:                             {"iam:PutGroupPolicy", onEntity, false},
	IAMGetGroupPolicy:                             {"iam:GetGroupPolicy", onEntity, false},
	IAMListGroupPolicies:                          {"iam:ListGroupPolicies", onEntity, false},
	IAMDeleteGroupPolicy:                          {"iam:DeleteGroupPolicy", onEntity, false},
	IAMAttachGroupPolicy:                          {"iam:AttachGroupPolicy", onEntity, false},
	IAMDetachGroupPolicy:                          {"iam:DetachGroupPolicy", onEntity, false},
	IAMListAttachedGroupPolicies:                  {"iam:ListAttachedGroupPolicies", onEntity, false},
	IAMCreatePolicy:                               {"iam:CreatePolicy", onEntity, false},
	IAMGetPolicy:                                  {"iam:GetPolicy", onEntity, false},
	IAMListPolicies:                               {"iam:ListPolicies", onEntity | onNone, false},
	IAMDeletePolicy:                               {"iam:DeletePolicy", onEntity, false},
	IAMCreatePolicyVersion:                        {"iam:CreatePolicyVersion", onEntity, false},
	IAMGetPolicyVersion:                           {"iam:GetPolicyVersion", onEntity, false},
	IAMListPolicyVersions:                         {"iam:ListPolicyVersions", onEntity, false},
	IAMDeletePolicyVersion:                        {"iam:DeletePolicyVersion", onEntity, false},
	IAMSetDefaultPolicyVersion:                    {"iam:SetDefaultPolicyVersion", onEntity, false},
	IAMListEntitiesForPolicy:                      {"iam:ListEntitiesForPolicy", onEntity, false},
	IAMCreateRole:                                 {"iam:CreateRole", onEntity, false},
	IAMGetRole:                                    {"iam:GetRole", onEntity, false},
	IAMListRoles:                                  {"iam:ListRoles", onEntity | onNone, false},
	IAMUpdateRole:                                 {"iam:UpdateRole", onEntity, false},
	IAMDeleteRole:                                 {"iam:DeleteRole", onEntity, false},
	IAMUpdateAssumeRolePolicy:                     {"iam:UpdateAssumeRolePolicy", onEntity, false},
	IAMPutRolePolicy:                              {"iam:PutRolePolicy", onEntity, false},
	IAMGetRolePolicy:                              {"iam:GetRolePolicy", onEntity, false},
	IAMListRolePolicies:                           {"iam:ListRolePolicies", onEntity, false},
	IAMDeleteRolePolicy:                           {"iam:DeleteRolePolicy", onEntity, false},
	IAMAttachRolePolicy:                           {"iam:AttachRolePolicy", onEntity, false},
	IAMDetachRolePolicy:                           {"iam:DetachRolePolicy", onEntity, false},
	IAMListAttachedRolePolicies:                   {"iam:ListAttachedRolePolicies", onEntity, false},
	IAMPutRolePermissionsBoundary:                 {"iam:PutRolePermissionsBoundary", onEntity, false},
	IAMDeleteRolePermissionsBoundary:              {"iam:DeleteRolePermissionsBoundary", onEntity, false},
	IAMTagRole:                                    {"iam:TagRole", onEntity, false},
	IAMUntagRole:                                  {"iam:UntagRole", onEntity, false},
	IAMListRoleTags:                               {"iam:ListRoleTags", onEntity, false},
	IAMCreateVirtualMFADevice:                     {"iam:CreateVirtualMFADevice", onEntity, false},
	IAMEnableMFADevice:                            {"iam:EnableMFADevice", onEntity, false},
	IAMDeactivateMFADevice:                        {"iam:DeactivateMFADevice", onEntity, false},
	IAMDeleteVirtualMFADevice:                     {"iam:DeleteVirtualMFADevice", onEntity, false},
	IAMListMFADevices:                             {"iam:ListMFADevices", onEntity, false},
	IAMCreateOpenIDConnectProvider:                {"iam:CreateOpenIDConnectProvider", onEntity, false},
	IAMGetOpenIDConnectProvider:                   {"iam:GetOpenIDConnectProvider", onEntity, false},
	IAMListOpenIDConnectProviders:                 {"iam:ListOpenIDConnectProviders", onEntity | onNone, false},
	IAMDeleteOpenIDConnectProvider:                {"iam:DeleteOpenIDConnectProvider", onEntity, false},
	IAMUpdateOpenIDConnectProviderKeys:            {"iam:UpdateOpenIDConnectProviderKeys", onEntity, false},
	IAMAddClientIDToOpenIDConnectProvider:         {"iam:AddClientIDToOpenIDConnectProvider", onEntity, false},
	IAMRemoveClientIDFromOpenIDConnectProvider:    {"iam:RemoveClientIDFromOpenIDConnectProvider", onEntity, false},
	IAMSimulateCustomPolicy:                       {"iam:SimulateCustomPolicy", onNone, false},
	IAMSimulatePrincipalPolicy:                    {"iam:SimulatePrincipalPolicy", onEntity, false},
	STSAssumeRole:                                 {"sts:AssumeRole", onRole, true},
	STSAssumeRoleWithWebIdentity:                  {"sts:AssumeRoleWithWebIdentity", onRole, true},
	STSTagSession:                                 {"sts:TagSession", onRole, true},
	STSSetSourceIdentity:                          {"sts:SetSourceIdentity", onRole, true},
	STSGetSessionToken:                            {"sts:GetSessionToken", onNone, false},
	OrganizationsDescribeOrganization:             {"organizations:DescribeOrganization", onNone, false},
	OrganizationsCreateAccount:                    {"organizations:CreateAccount", onNone, false},
	OrganizationsDescribeAccount:                  {"organizations:DescribeAccount", onOrganization, false},
	OrganizationsListAccounts:                     {"organizations:ListAccounts", onNone, false},
	OrganizationsCloseAccount:                     {"organizations:CloseAccount", onOrganization, false},
	OrganizationsMoveAccount:                      {"organizations:MoveAccount", onOrganization, false},
	OrganizationsListRoots:                        {"organizations:ListRoots", onNone, false},
	OrganizationsCreateOrganizationalUnit:         {"organizations:CreateOrganizationalUnit", onOrganization, false},
	OrganizationsDescribeOrganizationalUnit:       {"organizations:DescribeOrganizationalUnit", onOrganization, false},
	OrganizationsUpdateOrganizationalUnit:         {"organizations:UpdateOrganizationalUnit", onOrganization, false},
	OrganizationsDeleteOrganizationalUnit:         {"organizations:DeleteOrganizationalUnit", onOrganization, false},
	OrganizationsListOrganizationalUnitsForParent: {"organizations:ListOrganizationalUnitsForParent", onOrganization, false},
	OrganizationsListAccountsForParent:            {"organizations:ListAccountsForParent", onOrganization, false},
	OrganizationsListChildren:                     {"organizations:ListChildren", onOrganization, false},
	OrganizationsListParents:                      {"organizations:ListParents", onOrganization, false},
	OrganizationsCreatePolicy:                     {"organizations:CreatePolicy", onNone, false},
	OrganizationsUpdatePolicy:                     {"organizations:UpdatePolicy", onOrganization, false},
	OrganizationsDeletePolicy:                     {"organizations:DeletePolicy", onOrganization, false},
	OrganizationsDescribePolicy:                   {"organizations:DescribePolicy", onOrganization, false},
	OrganizationsListPolicies:                     {"organizations:ListPolicies", onNone, false},
	OrganizationsAttachPolicy:                     {"organizations:AttachPolicy", onOrganization, false},
	OrganizationsDetachPolicy:                     {"organizations:DetachPolicy", onOrganization, false},
	OrganizationsListPoliciesForTarget:            {"organizations:ListPoliciesForTarget", onOrganization, false},
	OrganizationsListTargetsForPolicy:             {"organizations:ListTargetsForPolicy", onOrganization, false},
	AuthzExplainDecision:                          {"authz:ExplainDecision", onNone, false},
}

func (a Action) known() bool { return a > 0 && a < actionEnd }

// String returns the action as policies write it, such as "kms:Encrypt", or "unknown action".
func (a Action) String() string {
	if !a.known() {
		return "unknown action"
	}
	return actionTable[a].name
}

// CrossAccount reports whether a principal of one account may perform the action on a key of another at all.
// The list is that of AWS KMS.
func (a Action) CrossAccount() bool { return a.known() && actionTable[a].cross }

// ActionByName returns the action of the name, such as "kms:Encrypt". ASCII letters match in either case, as in
// policies. There are no wildcards here.
func ActionByName(name string) (Action, bool) {
	for a := Action(1); a < actionEnd; a++ {
		if foldEqual(actionTable[a].name, name) {
			return a, true
		}
	}
	return 0, false
}

// Actions yields every action, in the order of their numbers.
func Actions() iter.Seq[Action] {
	return func(yield func(Action) bool) {
		for a := Action(1); a < actionEnd; a++ {
			if !yield(a) {
				return
			}
		}
	}
}

// An actionSet has one bit for each action.
type actionSet [(actionEnd + 63) / 64]uint64

func (s *actionSet) add(a Action)      { s[a>>6] |= 1 << (a & 63) }
func (s *actionSet) has(a Action) bool { return s[a>>6]&(1<<(a&63)) != 0 }

func (s *actionSet) addAll(t *actionSet) {
	for i := range s {
		s[i] |= t[i]
	}
}

// complement returns the actions that s does not have.
func (s *actionSet) complement() actionSet {
	var c actionSet
	for a := Action(1); a < actionEnd; a++ {
		if !s.has(a) {
			c.add(a)
		}
	}
	return c
}

// addPattern adds the actions that the pattern covers: all for "*", else those of exactly its service whose name
// the rest of it matches. The pattern has been checked by checkActionPattern.
func (s *actionSet) addPattern(pattern string) {
	if !strings.ContainsAny(pattern, "*?") {
		if a, ok := ActionByName(pattern); ok {
			s.add(a)
		}
		return
	}
	service, glob, _ := strings.Cut(pattern, ":")
	for a := Action(1); a < actionEnd; a++ {
		of, name, _ := strings.Cut(actionTable[a].name, ":")
		if pattern == "*" || foldEqual(service, of) && foldGlob(glob, name) {
			s.add(a)
		}
	}
}

// checkActionPattern returns what is wrong with a value of Action or NotAction, and "" if nothing is.
func checkActionPattern(s string) string {
	if s == "*" {
		return ""
	}
	service, name, ok := strings.Cut(s, ":")
	switch {
	case !ok:
		return `is not an action; write "*", or service:Name such as "kms:Decrypt"`
	case service == "" || !onlyBytes(service, isActionByte) || strings.ContainsAny(service, "*?"):
		return "has no valid service prefix; a wildcard may stand only after the colon"
	case name == "" || !onlyBytes(name, isActionByte):
		return "has no valid action name; use letters, digits, '-', '*' and '?'"
	}
	return ""
}

func isActionByte(b byte) bool {
	return isAlphanumeric(b) || b == '-' || b == '*' || b == '?'
}

func isAlphanumeric(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// onlyBytes reports whether ok holds for every byte of s.
func onlyBytes(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// foldEqual compares without regard to the case of ASCII letters, and of no others: strings.EqualFold would take
// the Kelvin sign for a k.
func foldEqual(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// foldGlob matches the ASCII string s against a pattern with * and ?, without regard to the case of letters.
// It takes at most len(pattern)·len(s) steps.
func foldGlob(pattern, s string) bool {
	i, j, star, from := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case j < len(pattern) && pattern[j] == '*':
			star, from = j, i
			j++
		case j < len(pattern) && (pattern[j] == '?' || lower(pattern[j]) == lower(s[i])):
			i++
			j++
		case star >= 0:
			from++
			i, j = from, star+1
		default:
			return false
		}
	}
	for j < len(pattern) && pattern[j] == '*' {
		j++
	}
	return j == len(pattern)
}
