package aws

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kmsd/kmsd/internal/front"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
)

// newOrganizations makes the table of AWS Organizations (API version 2016-11-28).
func newOrganizations() *service {
	s := &service{
		name: "organizations", protocol: &jsonProtocol{errors: organizationsErrors}, target: "AWSOrganizationsV20161128.", operations: map[string]*operation{},
		absent: set("AcceptHandshake", "CancelHandshake", "CreateGovCloudAccount", "CreateOrganization", "DeclineHandshake", "DeleteOrganization",
			"DeleteResourcePolicy", "DeregisterDelegatedAdministrator", "DescribeCreateAccountStatus", "DescribeEffectivePolicy", "DescribeHandshake",
			"DescribeResourcePolicy", "DescribeResponsibilityTransfer", "DisableAWSServiceAccess", "DisablePolicyType", "EnableAWSServiceAccess",
			"EnableAllFeatures", "EnablePolicyType", "InviteAccountToOrganization", "InviteOrganizationToTransferResponsibility", "LeaveOrganization",
			"ListAWSServiceAccessForOrganization", "ListAccountsWithInvalidEffectivePolicy", "ListCreateAccountStatus", "ListDelegatedAdministrators",
			"ListDelegatedServicesForAccount", "ListEffectivePolicyValidationErrors", "ListHandshakesForAccount", "ListHandshakesForOrganization",
			"ListInboundResponsibilityTransfers", "ListOutboundResponsibilityTransfers", "ListTagsForResource", "PutResourcePolicy",
			"RegisterDelegatedAdministrator", "RemoveAccountFromOrganization", "TagResource", "TerminateResponsibilityTransfer", "UntagResource",
			"UpdateResponsibilityTransfer"),
	}
	void := set("AttachPolicy", "CloseAccount", "DeleteOrganizationalUnit", "DeletePolicy", "DetachPolicy", "MoveAccount")
	newBuilder(organizationsTables()).operations(s, organizationsv1.File_kmsd_organizations_v1_organizations_service_proto.Services().ByName("OrganizationsService"), void)
	return s
}

func organizationsTables() tables {
	return tables{
		rows: map[string]row{
			"findings":     {silent: true},
			"client_token": {silent: true},
			"organizations.v1.CreateAccountResponse.account": {silent: true},
			"max_results": {bounds: bounds{1, 20}},
			"organizations.v1.PolicySummary.description": {always: true},
			"iam.v1.Tag.value":                           {always: true},
		},
		required: map[string][]protoreflect.Name{
			"iam.v1.Tag":                                               {"key", "value"},
			"organizations.v1.AttachPolicyRequest":                     {"policy_id", "target_id"},
			"organizations.v1.CloseAccountRequest":                     {"account_id"},
			"organizations.v1.CreateAccountRequest":                    {"email", "account_name"},
			"organizations.v1.CreateOrganizationalUnitRequest":         {"parent_id", "name"},
			"organizations.v1.CreatePolicyRequest":                     {"content", "description", "name", "type"},
			"organizations.v1.DeleteOrganizationalUnitRequest":         {"organizational_unit_id"},
			"organizations.v1.DeletePolicyRequest":                     {"policy_id"},
			"organizations.v1.DescribeAccountRequest":                  {"account_id"},
			"organizations.v1.DescribeOrganizationalUnitRequest":       {"organizational_unit_id"},
			"organizations.v1.DescribePolicyRequest":                   {"policy_id"},
			"organizations.v1.DetachPolicyRequest":                     {"policy_id", "target_id"},
			"organizations.v1.ListAccountsForParentRequest":            {"parent_id"},
			"organizations.v1.ListChildrenRequest":                     {"parent_id", "child_type"},
			"organizations.v1.ListOrganizationalUnitsForParentRequest": {"parent_id"},
			"organizations.v1.ListParentsRequest":                      {"child_id"},
			"organizations.v1.ListPoliciesRequest":                     {"filter"},
			"organizations.v1.ListPoliciesForTargetRequest":            {"target_id", "filter"},
			"organizations.v1.ListTargetsForPolicyRequest":             {"policy_id"},
			"organizations.v1.MoveAccountRequest":                      {"account_id", "source_parent_id", "destination_parent_id"},
			"organizations.v1.UpdateOrganizationalUnitRequest":         {"organizational_unit_id"},
			"organizations.v1.UpdatePolicyRequest":                     {"policy_id"},
		},
		extras: map[string][]extra{
			// kmsd evaluates service control and resource control policies, always.
			"organizations.v1.Organization": {{name: "FeatureSet", literal: `"ALL"`}, {name: "AvailablePolicyTypes", literal: enabledPolicyTypes}},
			"organizations.v1.Root":         {{name: "PolicyTypes", literal: enabledPolicyTypes}},
			// The older name of State, which knows a closed account as a suspended one.
			"organizations.v1.Account":                         {{name: "Status", field: "state", names: map[string]string{"CLOSED": "SUSPENDED"}}},
			"organizations.v1.CreateOrganizationalUnitRequest": {{name: "Tags", refused: true}},
			"organizations.v1.CreatePolicyRequest":             {{name: "Tags", refused: true}},
		},
		refused: map[string]map[string]*front.Error{
			"organizations.v1.PolicyType": unavailablePolicyTypes("TAG_POLICY", "BACKUP_POLICY", "AISERVICES_OPT_OUT_POLICY", "CHATBOT_POLICY", "DECLARATIVE_POLICY_EC2",
				"SECURITYHUB_POLICY", "INSPECTOR_POLICY", "UPGRADE_ROLLOUT_POLICY", "BEDROCK_POLICY", "S3_POLICY", "NETWORK_SECURITY_DIRECTOR_POLICY"),
		},
	}
}

const enabledPolicyTypes = `[{"Type":"SERVICE_CONTROL_POLICY","Status":"ENABLED"},{"Type":"RESOURCE_CONTROL_POLICY","Status":"ENABLED"}]`

// unavailablePolicyTypes refuses kinds of policies in AWS's words.
func unavailablePolicyTypes(names ...string) map[string]*front.Error {
	m := make(map[string]*front.Error, len(names))
	for _, n := range names {
		m[n] = &front.Error{Reason: "PolicyTypeNotAvailableForOrganizationException", Message: "You can't use the specified policy type with the feature set currently enabled for this organization."}
	}
	return m
}
