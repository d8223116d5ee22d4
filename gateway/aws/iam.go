package aws

import (
	"github.com/kmsd/kmsd/internal/front"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// newIAM makes the table of AWS IAM (API version 2010-05-08).
func newIAM() *service {
	s := &service{
		name: "iam", protocol: &queryProtocol{errors: iamErrors(), internal: "ServiceFailure"}, version: "2010-05-08",
		namespace: "https://iam.amazonaws.com/doc/2010-05-08/", operations: map[string]*operation{}, absent: iamAbsent(),
	}
	newBuilder(iamTables()).operations(s, iamv1.File_kmsd_iam_v1_iam_service_proto.Services().ByName("IAMService"), iamVoid())
	return s
}

func iamTables() tables {
	return tables{
		rows: iamRows(), required: iamRequired(), extras: iamExtras(),
		pascal: set("iam.v1.StatusType", "iam.v1.PolicyScopeType", "iam.v1.PolicyUsageType", "iam.v1.EntityType", "iam.v1.PermissionsBoundaryAttachmentType"),
		names: map[string]map[string]string{
			"iam.v1.PolicyScopeType":              {"AWS": "AWS"},
			"iam.v1.PolicyEvaluationDecisionType": {"ALLOWED": "allowed", "EXPLICIT_DENY": "explicitDeny", "IMPLICIT_DENY": "implicitDeny"},
			// The last four are kmsd's own: AWS does not name the policies of these kinds.
			"iam.v1.PolicySourceType": {
				"USER": "user", "GROUP": "group", "ROLE": "role", "AWS_MANAGED": "aws-managed", "USER_MANAGED": "user-managed", "RESOURCE": "resource",
				"NONE": "none", "SESSION": "session", "SERVICE_CONTROL_POLICY": "service-control-policy",
				"RESOURCE_CONTROL_POLICY": "resource-control-policy", "GRANT": "grant",
			},
			"iam.v1.ContextKeyType": {
				"STRING": "string", "STRING_LIST": "stringList", "NUMERIC": "numeric", "NUMERIC_LIST": "numericList", "BOOLEAN": "boolean",
				"BOOLEAN_LIST": "booleanList", "IP": "ip", "IP_LIST": "ipList", "BINARY": "binary", "BINARY_LIST": "binaryList", "DATE": "date",
				"DATE_LIST": "dateList",
			},
		},
		refused: map[string]map[string]*front.Error{
			"iam.v1.EntityType": unsupported("LocalManagedPolicy", "AWSManagedPolicy"),
			"iam.v1.StatusType": unsupported("Expired"),
		},
	}
}

// iamRows is what IAM calls, bounds or leaves out otherwise.
func iamRows() map[string]row {
	rows := map[string]row{
		"open_id_connect_provider_arn":  {name: "OpenIDConnectProviderArn", bounds: bounds{20, 2048}},
		"open_id_connect_provider_list": {name: "OpenIDConnectProviderList"},
		"client_id":                     {name: "ClientID", bounds: bounds{1, 255}},
		"client_id_list":                {name: "ClientIDList"},
		"virtual_mfa_device_name":       {name: "VirtualMFADeviceName", bounds: bounds{1, 226}},
		"virtual_mfa_device":            {name: "VirtualMFADevice"},
		"mfa_devices":                   {name: "MFADevices"},

		"iam.v1.Role.assume_role_policy_document":       {encoded: true},
		"iam.v1.GetUserPolicyResponse.policy_document":  {encoded: true},
		"iam.v1.GetGroupPolicyResponse.policy_document": {encoded: true},
		"iam.v1.GetRolePolicyResponse.policy_document":  {encoded: true},
		"iam.v1.PolicyVersion.document":                 {encoded: true},
		"iam.v1.VirtualMFADevice.base32_string_seed":    {blob: true},

		"iam.v1.Tag.value":                               {always: true},
		"iam.v1.GetGroupResponse.users":                  {always: true},
		"iam.v1.Policy.attachment_count":                 {always: true},
		"iam.v1.Policy.permissions_boundary_usage_count": {always: true},
		"evaluation_results":                             {always: true},
		"matched_statements":                             {always: true},
		"missing_context_values":                         {always: true},
		"iam.v1.AccessKeyLastUsed.service_name":          {instead: "N/A"},
		"iam.v1.AccessKeyLastUsed.region":                {instead: "N/A"},

		"iam.v1.VirtualMFADevice.otpauth_uri":              {silent: true},
		"iam.v1.GetOpenIDConnectProviderResponse.jwks":     {silent: true},
		"iam.v1.GetOpenIDConnectProviderResponse.jwks_uri": {silent: true},
		"iam.v1.EvaluationResult.reason":                   {silent: true},
		"iam.v1.EvaluationResult.layer":                    {silent: true},
		"iam.v1.EvaluationResult.layers":                   {silent: true},
		"iam.v1.EvaluationResult.truncated":                {silent: true},
		"findings":                                         {silent: true},
		"client_token":                                     {silent: true},
	}
	for name, b := range map[string]bounds{
		"user_name": {1, 128}, "new_user_name": {1, 64}, "group_name": {1, 128}, "new_group_name": {1, 128}, "role_name": {1, 64},
		"policy_name": {1, 128}, "version_id": {1, 32}, "path": {1, 512}, "new_path": {1, 512}, "path_prefix": {1, 512}, "marker": {1, 1024},
		"max_items": {1, 1000}, "policy_arn": {20, 2048}, "policy_source_arn": {20, 2048}, "caller_arn": {1, 2048}, "resource_owner": {1, 2048},
		"permissions_boundary": {20, 2048}, "policy_document": {1, 131072}, "assume_role_policy_document": {1, 131072}, "resource_policy": {1, 131072},
		"max_session_duration": {3600, 43200}, "access_key_id": {16, 128}, "serial_number": {9, 256}, "authentication_code1": {6, 6},
		"authentication_code2": {6, 6}, "url": {1, 255}, "tag_keys": {0, 50}, "tags": {0, 50}, "iam.v1.Tag.key": {1, 128},
	} {
		rows[name] = row{bounds: b}
	}
	return rows
}

// iamExtras is what IAM has beside the fields of the protos.
func iamExtras() map[string][]extra {
	extras := map[string][]extra{
		"iam.v1.Policy":                             {{name: "IsAttachable", literal: "true"}},
		"iam.v1.CreatePolicyRequest":                {{name: "Tags", refused: true}},
		"iam.v1.CreateVirtualMFADeviceRequest":      {{name: "Tags", refused: true}},
		"iam.v1.CreateOpenIDConnectProviderRequest": {{name: "Tags", refused: true}, {name: "ThumbprintList", refused: true}},
		"iam.v1.ListPoliciesRequest":                {{name: "PolicyUsageFilter", refused: true}},
		"iam.v1.SimulateCustomPolicyRequest":        {{name: "ResourceHandlingOption", refused: true}},
		"iam.v1.SimulatePrincipalPolicyRequest":     {{name: "ResourceHandlingOption", refused: true}, {name: "PolicyExclusionList", refused: true}},
	}
	// kmsd answers these lists whole, since they are short: there is no second page to ask for, and how large a page may be says nothing.
	for _, list := range []string{
		"AccessKeys", "AttachedGroupPolicies", "AttachedRolePolicies", "AttachedUserPolicies", "GroupPolicies", "GroupsForUser", "MFADevices",
		"PolicyVersions", "RolePolicies", "RoleTags", "UserPolicies", "UserTags",
	} {
		extras["iam.v1.List"+list+"Request"] = []extra{{name: "Marker", refused: true}}
		extras["iam.v1.List"+list+"Response"] = []extra{{name: "IsTruncated", literal: "false"}}
	}
	return extras
}
