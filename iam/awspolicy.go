package iam

import (
	"time"

	"github.com/kmsd/kmsd/authz"
)

// awsPolicy is a managed policy that every account has, with the id that AWS gave it.
type awsPolicy struct{ id, name, path, description, document string }

// awsPolicyList is never written. The documents are AWS's, but for the services that there are here.
var awsPolicyList = [...]awsPolicy{
	{
		"ANPAIWMBCKSKIEE64ZLYK", "AdministratorAccess", "/", "Provides full access to all services and resources.",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
	},
	{
		"ANPAILL3HVNFSB6DCOWYQ", "ReadOnlyAccess", "/", "Provides read-only access to all services and resources.",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:Get*","iam:List*","iam:Simulate*","kms:Describe*","kms:Get*","kms:List*",` +
			`"organizations:Describe*","organizations:List*","sts:GetCallerIdentity"],"Resource":"*"}]}`,
	},
	{
		"ANPAI7XKCFMBPM3QQRRVQ", "IAMFullAccess", "/", "Provides full access to IAM.",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:*","organizations:DescribeAccount","organizations:DescribeOrganization",` +
			`"organizations:DescribeOrganizationalUnit","organizations:DescribePolicy","organizations:ListChildren","organizations:ListParents",` +
			`"organizations:ListPoliciesForTarget","organizations:ListRoots","organizations:ListPolicies","organizations:ListTargetsForPolicy"],"Resource":"*"}]}`,
	},
	{
		"ANPAJKSO7NDY4T57MWDSQ", "IAMReadOnlyAccess", "/", "Provides read-only access to IAM.",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:Get*","iam:List*","iam:Simulate*"],"Resource":"*"}]}`,
	},
	{
		"ANPAJNPP7PPPPMJRV2SA4", "AWSKeyManagementServicePowerUser", "/", "Provides access to AWS Key Management Service.",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:CreateAlias","kms:CreateKey","kms:DeleteAlias","kms:Describe*",` +
			`"kms:GenerateRandom","kms:Get*","kms:List*","kms:TagResource","kms:UntagResource","iam:ListGroups","iam:ListRoles","iam:ListUsers"],"Resource":"*"}]}`,
	},
	{
		"ANPAIX2T3QCXHR2OGGCTO", "SecurityAudit", "/", "Provides access to read the metadata of security configurations.",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:Get*","iam:List*","iam:SimulateCustomPolicy","iam:SimulatePrincipalPolicy",` +
			`"kms:Describe*","kms:GetKeyPolicy","kms:List*","organizations:Describe*","organizations:List*"],"Resource":"*"}]}`,
	},
}

// awsPolicies returns the managed policies of every account. Their documents are this program's own, so one that does
// not parse is an error in the program.
func awsPolicies(partition string) []*managed {
	var list []*managed
	for _, p := range awsPolicyList {
		arn := entityARN(partition, awsAccount, "policy", p.path, p.name)
		compiled, err := parsePolicy(authz.IdentityPolicy, arn, p.document)
		if err != nil {
			panic("iam: internal error: " + p.name + ": " + err.Error())
		}
		created := time.Date(2015, time.February, 6, 18, 39, 0, 0, time.UTC)
		list = append(list, &managed{
			Policy: Policy{
				Account: awsAccount, ID: p.id, Name: p.name, Path: p.path, ARN: arn, Description: p.description, DefaultVersion: versionID(1),
				Created: created, Updated: created,
			},
			versions: []policyVersion{{number: 1, document: p.document, created: created}},
			last:     1, current: 1, compiled: compiled,
		})
	}
	return list
}
