package authz

// A keyID is a condition key: its place in the table.
type keyID uint8

const (
	keyPrincipalArn keyID = iota + 1
	keyPrincipalAccount
	keyPrincipalType
	keyUserID
	keyUserName
	keyPrincipalTag
	keyPrincipalOrgID
	keyPrincipalOrgPaths
	keyTokenIssueTime
	keyMFAPresent
	keyMFAAge
	keySourceIdentity
	keySourceIP
	keySecureTransport
	keyCurrentTime
	keyEpochTime
	keyEpochDate // keyEpochTime, by an operator for dates
	keyUserAgent
	keyRequestedRegion
	keyResourceAccount
	keyResourceOrgID
	keyResourceOrgPaths
	keyResourceTag
	keyRequestTag
	keyTagKeys
	keyCallerAccount
	keyKeySpec
	keyKeyUsage
	keyKeyOrigin
	keyMultiRegion
	keyCustomerMasterKeySpec
	keyCustomerMasterKeyUsage
	keyResourceAliases
	keyRequestAlias
	keyEncryptionContext
	keyEncryptionContextKeys
	keyEncryptionAlgorithm
	keyReEncryptOnSameKey
	keyBypassPolicyLockoutSafetyCheck
	keyGrantOperations
	keyGranteePrincipal
	keyRetiringPrincipal
	keyGrantConstraintType
	keyGrantIsForAWSResource
	keySigningAlgorithm
	keyMessageType
	keyMacAlgorithm
	keyKeyAgreementAlgorithm
	keyDataKeyPairSpec
	keyPendingWindowInDays
	keyRotationPeriodInDays
	keyWrappingAlgorithm
	keyWrappingKeySpec
	keyValidTo
	keyExpirationModel
	keyExternalID
	keyRoleSessionName
	keySTSSourceIdentity
	keyTransitiveTagKeys
	keyDurationSeconds
	keyPermissionsBoundary
	keyPolicyARN
	keyIAMResourceTag
	keyOrganizationsPolicyID
	keyOrganizationsPolicyType
	keyClaim // "ISSUER:CLAIM" of a web identity, in trust policies

	keyNever // the first of those that AWS has and kmsd never populates
)

// keyScope says which requests can have a key.
type keyScope uint8

const (
	never            keyScope = iota
	always                    // all
	onAnyResource             // those for a resource
	onKeys                    // those for a key, and those of actionKeys
	onTagged                  // those for a key, a user or a role that may have tags
	onTaggedEntities          // those for a user or a role that may have tags
	byAction                  // those of actionKeys
)

type keyInfo struct {
	name   string // of a family, what stands before ${k}
	kind   KeyType
	multi  bool
	family bool
	class  KeyClass
	scope  keyScope
	from   string
}

const keyEnd = keyNever + keyID(len(neverPopulated))

// keyTable :: keyID → what is known of it. It is never written.
var keyTable = withNever([keyEnd]keyInfo{
	keyPrincipalArn:     {"aws:PrincipalArn", ARNKey, false, false, PrincipalClass, always, "the ARN of the user or root user, of the role of a session, of the provider of a web identity"},
	keyPrincipalAccount: {"aws:PrincipalAccount", StringKey, false, false, PrincipalClass, always, "the account of the caller; absent for a web identity"},
	keyPrincipalType:    {"aws:PrincipalType", StringKey, false, false, PrincipalClass, always, "Account for a root user, User, AssumedRole, or FederatedUser for a web identity"},
	keyUserID: {
		"aws:userid", StringKey, false, false, PrincipalClass, always,
		"the unique id of the user, the account of a root user, the unique id of the role, a colon and the session name; absent for a web identity",
	},
	keyUserName:          {"aws:username", StringKey, false, false, PrincipalClass, always, "the name of the user; absent for others"},
	keyPrincipalTag:      {"aws:PrincipalTag/", StringKey, false, true, PrincipalClass, always, "a tag of the user, of the role, or of the session"},
	keyPrincipalOrgID:    {"aws:PrincipalOrgID", StringKey, false, false, PrincipalClass, always, "the organization of the caller's account; absent outside of one"},
	keyPrincipalOrgPaths: {"aws:PrincipalOrgPaths", StringKey, true, false, PrincipalClass, always, "the place of the caller's account in its organization"},
	keyTokenIssueTime:    {"aws:TokenIssueTime", DateKey, false, false, PrincipalClass, always, "when temporary credentials were issued; absent for others"},
	keyMFAPresent:        {"aws:MultiFactorAuthPresent", BoolKey, false, false, PrincipalClass, always, "whether a second factor was proven; absent for long-term credentials without one"},
	keyMFAAge:            {"aws:MultiFactorAuthAge", NumericKey, false, false, TimeClass, always, "the seconds since a second factor was proven; absent without one"},
	keySourceIdentity:    {"aws:SourceIdentity", StringKey, false, false, PrincipalClass, always, "the source identity of the session; absent if none was set"},
	keySourceIP:          {"aws:SourceIp", IPAddressKey, false, false, RequestClass, always, "the address that the request comes from"},
	keySecureTransport:   {"aws:SecureTransport", BoolKey, false, false, RequestClass, always, "whether the request came over TLS"},
	keyCurrentTime:       {"aws:CurrentTime", DateKey, false, false, TimeClass, always, "the time of the request"},
	keyEpochTime:         {"aws:EpochTime", NumericKey, false, false, TimeClass, always, "the time of the request in whole seconds since 1970; operators for dates take it too"},
	keyEpochDate:         {"aws:EpochTime", DateKey, false, false, TimeClass, never, ""},
	keyUserAgent:         {"aws:UserAgent", StringKey, false, false, RequestClass, always, "what the client calls itself; absent if it does not say"},
	keyRequestedRegion:   {"aws:RequestedRegion", StringKey, false, false, RequestClass, always, "the Region of this kmsd"},
	keyResourceAccount:   {"aws:ResourceAccount", StringKey, false, false, ResourceClass, onAnyResource, "the account that owns the resource"},
	keyResourceOrgID:     {"aws:ResourceOrgID", StringKey, false, false, ResourceClass, onAnyResource, "the organization of that account; absent outside of one"},
	keyResourceOrgPaths:  {"aws:ResourceOrgPaths", StringKey, true, false, ResourceClass, onAnyResource, "the place of that account in its organization"},
	keyResourceTag:       {"aws:ResourceTag/", StringKey, false, true, ResourceClass, onTagged, "a tag of the resource"},
	keyRequestTag:        {"aws:RequestTag/", StringKey, false, true, RequestClass, byAction, "a tag that the request gives"},
	keyTagKeys:           {"aws:TagKeys", StringKey, true, false, RequestClass, byAction, "the keys of the tags that the request gives or removes"},
	keyCallerAccount:     {"kms:CallerAccount", StringKey, false, false, PrincipalClass, always, "the account of the caller"},
	keyKeySpec:           {"kms:KeySpec", StringKey, false, false, ResourceClass, onKeys, "the spec of the key; of CreateKey, what the request asks for, or SYMMETRIC_DEFAULT"},
	keyKeyUsage:          {"kms:KeyUsage", StringKey, false, false, ResourceClass, onKeys, "the usage of the key; of CreateKey, what the request asks for, or ENCRYPT_DECRYPT"},
	keyKeyOrigin:         {"kms:KeyOrigin", StringKey, false, false, ResourceClass, onKeys, "the origin of the key; of CreateKey, what the request asks for, or AWS_KMS"},
	keyMultiRegion:       {"kms:MultiRegion", BoolKey, false, false, ResourceClass, onKeys, "whether the key is a multi-Region key; of CreateKey, what the request asks for, or false"},
	keyCustomerMasterKeySpec: {
		"kms:CustomerMasterKeySpec", StringKey, false, false, ResourceClass, onKeys, "the older name of kms:KeySpec",
	},
	keyCustomerMasterKeyUsage: {
		"kms:CustomerMasterKeyUsage", StringKey, false, false, ResourceClass, onKeys, "the older name of kms:KeyUsage",
	},
	keyResourceAliases:                {"kms:ResourceAliases", StringKey, true, false, ResourceClass, onKeys, "the names of the key's aliases, \"alias/x\""},
	keyRequestAlias:                   {"kms:RequestAlias", StringKey, false, false, RequestClass, byAction, "the alias name by which the request names the key; absent if it does not"},
	keyEncryptionContext:              {"kms:EncryptionContext:", StringKey, false, true, RequestClass, byAction, "a pair of the encryption context; of CreateGrant, of its constraint"},
	keyEncryptionContextKeys:          {"kms:EncryptionContextKeys", StringKey, true, false, RequestClass, byAction, "the names of the pairs of the encryption context"},
	keyEncryptionAlgorithm:            {"kms:EncryptionAlgorithm", StringKey, false, false, RequestClass, byAction, "the encryption algorithm"},
	keyReEncryptOnSameKey:             {"kms:ReEncryptOnSameKey", BoolKey, false, false, RequestClass, byAction, "whether ReEncrypt takes and gives ciphertext of one key"},
	keyBypassPolicyLockoutSafetyCheck: {"kms:BypassPolicyLockoutSafetyCheck", BoolKey, false, false, RequestClass, byAction, "the parameter of that name; absent if the request has it not"},
	keyGrantOperations:                {"kms:GrantOperations", StringKey, true, false, RequestClass, byAction, "the operations of the grant"},
	keyGranteePrincipal:               {"kms:GranteePrincipal", ARNKey, false, false, RequestClass, byAction, "the grantee of the grant"},
	keyRetiringPrincipal:              {"kms:RetiringPrincipal", ARNKey, false, false, RequestClass, byAction, "the retiring principal of the grant; absent if it has none"},
	keyGrantConstraintType:            {"kms:GrantConstraintType", StringKey, false, false, RequestClass, byAction, "EncryptionContextEquals or EncryptionContextSubset; absent if the grant has no constraint"},
	keyGrantIsForAWSResource:          {"kms:GrantIsForAWSResource", BoolKey, false, false, RequestClass, byAction, "always false"},
	keySigningAlgorithm:               {"kms:SigningAlgorithm", StringKey, false, false, RequestClass, byAction, "the signing algorithm"},
	keyMessageType:                    {"kms:MessageType", StringKey, false, false, RequestClass, byAction, "RAW, DIGEST or EXTERNAL_MU; RAW if the request does not say"},
	keyMacAlgorithm:                   {"kms:MacAlgorithm", StringKey, false, false, RequestClass, byAction, "the MAC algorithm"},
	keyKeyAgreementAlgorithm:          {"kms:KeyAgreementAlgorithm", StringKey, false, false, RequestClass, byAction, "ECDH"},
	keyDataKeyPairSpec:                {"kms:DataKeyPairSpec", StringKey, false, false, RequestClass, byAction, "the spec of the data key pair"},
	keyPendingWindowInDays:            {"kms:ScheduleKeyDeletionPendingWindowInDays", NumericKey, false, false, RequestClass, byAction, "the waiting period; 30 if the request does not say"},
	keyRotationPeriodInDays:           {"kms:RotationPeriodInDays", NumericKey, false, false, RequestClass, byAction, "the interval that the request gives; absent if it gives none"},
	keyWrappingAlgorithm:              {"kms:WrappingAlgorithm", StringKey, false, false, RequestClass, byAction, "the wrapping algorithm"},
	keyWrappingKeySpec:                {"kms:WrappingKeySpec", StringKey, false, false, RequestClass, byAction, "the spec of the wrapping key"},
	keyValidTo:                        {"kms:ValidTo", DateKey, false, false, RequestClass, byAction, "when the material expires; absent if it does not"},
	keyExpirationModel:                {"kms:ExpirationModel", StringKey, false, false, RequestClass, byAction, "KEY_MATERIAL_EXPIRES or KEY_MATERIAL_DOES_NOT_EXPIRE"},
	keyExternalID:                     {"sts:ExternalId", StringKey, false, false, RequestClass, byAction, "the external id; absent if the request has none"},
	keyRoleSessionName:                {"sts:RoleSessionName", StringKey, false, false, RequestClass, byAction, "the session name"},
	keySTSSourceIdentity:              {"sts:SourceIdentity", StringKey, false, false, RequestClass, byAction, "the source identity that is to be set; absent if none is"},
	keyTransitiveTagKeys:              {"sts:TransitiveTagKeys", StringKey, true, false, RequestClass, byAction, "the keys of the session tags that are to be transitive"},
	keyDurationSeconds:                {"sts:DurationSeconds", NumericKey, false, false, RequestClass, byAction, "the seconds that the session is to last; absent if the request does not say"},
	keyPermissionsBoundary:            {"iam:PermissionsBoundary", ARNKey, false, false, RequestClass, byAction, "the permissions boundary that the request sets, or else that of the user or role"},
	keyPolicyARN:                      {"iam:PolicyARN", ARNKey, false, false, RequestClass, byAction, "the managed policy that is attached or detached"},
	keyIAMResourceTag:                 {"iam:ResourceTag/", StringKey, false, true, ResourceClass, onTaggedEntities, "a tag of the user or role"},
	keyOrganizationsPolicyID:          {"organizations:PolicyId", StringKey, false, false, RequestClass, byAction, "the policy that is attached or detached"},
	keyOrganizationsPolicyType:        {"organizations:PolicyType", StringKey, false, false, RequestClass, byAction, "SERVICE_CONTROL_POLICY or RESOURCE_CONTROL_POLICY"},
	keyClaim:                          {"", StringKey, false, true, RequestClass, byAction, "a claim of the web identity's token"},
})

// neverPopulated are the condition keys of AWS that no request to kmsd has.
var neverPopulated = [...]keyInfo{
	{name: "aws:SourceVpc", kind: StringKey},
	{name: "aws:SourceVpcArn", kind: ARNKey},
	{name: "aws:SourceVpce", kind: StringKey},
	{name: "aws:VpceAccount", kind: StringKey},
	{name: "aws:VpceOrgID", kind: StringKey},
	{name: "aws:VpceOrgPaths", kind: StringKey, multi: true},
	{name: "aws:VpcSourceIp", kind: IPAddressKey},
	{name: "aws:SourceArn", kind: ARNKey},
	{name: "aws:SourceAccount", kind: StringKey},
	{name: "aws:SourceOrgID", kind: StringKey},
	{name: "aws:SourceOrgPaths", kind: StringKey, multi: true},
	{name: "aws:Referer", kind: StringKey},
	{name: "aws:ViaAWSService", kind: BoolKey},
	{name: "aws:CalledVia", kind: StringKey, multi: true},
	{name: "aws:CalledViaFirst", kind: StringKey},
	{name: "aws:CalledViaLast", kind: StringKey},
	{name: "aws:PrincipalIsAWSService", kind: BoolKey},
	{name: "aws:PrincipalServiceName", kind: StringKey},
	{name: "aws:PrincipalServiceNamesList", kind: StringKey, multi: true},
	{name: "aws:FederatedProvider", kind: StringKey},
	{name: "aws:AssumedRoot", kind: BoolKey},
	{name: "aws:Ec2InstanceSourceVpc", kind: StringKey},
	{name: "aws:Ec2InstanceSourcePrivateIPv4", kind: IPAddressKey},
	{name: "kms:ViaService", kind: StringKey},
	{name: "kms:MultiRegionKeyType", kind: StringKey},
	{name: "kms:PrimaryRegion", kind: StringKey},
	{name: "kms:ReplicaRegion", kind: StringKey},
	{name: "kms:GrantConstraintSourceArn", kind: ARNKey},
	{name: "kms:GranteeServicePrincipal", kind: StringKey},
	{name: "kms:RetiringServicePrincipal", kind: StringKey},
	{name: "kms:TrailingDaysWithoutKeyUsage", kind: NumericKey},
	{name: "kms:RecipientAttestation:", kind: StringKey, family: true},
	{name: "sts:AWSServiceName", kind: StringKey},
	{name: "iam:PassedToService", kind: StringKey},
	{name: "iam:AWSServiceName", kind: StringKey},
	{name: "iam:AssociatedResourceArn", kind: ARNKey},
	{name: "iam:OrganizationsPolicyId", kind: StringKey},
	{name: "organizations:ServicePrincipal", kind: StringKey},
}

// withNever puts the keys of neverPopulated behind the others.
func withNever(table [keyEnd]keyInfo) [keyEnd]keyInfo {
	for i, k := range neverPopulated {
		k.class, k.from = RequestClass, "no request to kmsd has it"
		table[keyNever+keyID(i)] = k
	}
	return table
}
