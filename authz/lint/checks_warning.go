package lint

import (
	"strings"

	"github.com/kmsd/kmsd/authz"
)

func warningChecks() []check {
	return []check{
		{Check: Check{
			Code: "NO_ACCOUNT_STATEMENT", Severity: Warning, Kind: authz.KeyPolicy,
			Finds:   "a key policy that lets no account change it by its identity policies: if the principals that it names are deleted, nobody can manage the key",
			Advice:  `Add {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "kms:*", "Resource": "*"}.`,
			Example: `{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:user/bob"}, "Action": "kms:*", "Resource": "*"}`,
			Better:  `{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*", "Resource": "*"}`,
		}, document: noAccountStatement},
		{Check: Check{
			Code: "DENIES_EVERYONE", Severity: Warning, Kind: authz.KeyPolicy,
			Finds:   "a Deny of every action to everyone on everything without a condition",
			Advice:  "Name the actions or principals that are meant, or add a condition.",
			Example: `{"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*"}`,
			Better:  `{"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}`,
		}, statement: deniesEveryone},
		{Check: Check{
			Code: "SCP_ALLOWS_LITTLE", Severity: Warning, Kind: authz.ServiceControlPolicy,
			Finds:   "a service control policy that allows some actions only: where it replaces FullAWSAccess, everything else is denied to every account below",
			Advice:  "Leave FullAWSAccess attached and write Deny statements, unless a list of all that is allowed is meant.",
			Example: `{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}`,
			Better:  `{"Effect": "Deny", "NotAction": "kms:*", "Resource": "*"}`,
		}, document: allowsLittle},
		{Check: Check{
			Code: "KEY_NOT_FOR_SOME_ACTIONS", Severity: Warning, Kind: authz.IdentityPolicy,
			Finds:   "a condition key that requests for some of the statement's actions never have",
			Advice:  "Put these actions into a statement of their own.",
			Example: `{"Effect": "Allow", "Action": ["kms:Decrypt", "kms:DescribeKey"], "Resource": "*", "Condition": {"StringEquals": {"kms:EncryptionContext:app": "a"}}}`,
			Better:  `[{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringEquals": {"kms:EncryptionContext:app": "a"}}}, {"Effect": "Allow", "Action": "kms:DescribeKey", "Resource": "*"}]`,
		}, condition: notForSomeActions},
		{Check: Check{
			Code: "RESOURCE_NOT_FOR_SOME_ACTIONS", Severity: Warning, Kind: authz.IdentityPolicy,
			Finds:   "actions without wildcards that are asked for another kind of resource than the statement's Resource",
			Advice:  `Put these actions into a statement of their own, with "*" if they have no resource.`,
			Example: `{"Effect": "Allow", "Action": ["kms:Decrypt", "kms:ListKeys"], "Resource": "arn:aws:kms:*:111122223333:key/*"}`,
			Better:  `[{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "arn:aws:kms:*:111122223333:key/*"}, {"Effect": "Allow", "Action": "kms:ListKeys", "Resource": "*"}]`,
		}, statement: resourceNotForSome},
		{Check: Check{
			Code: "FOR_ALL_VALUES_DENIES_ABSENT", Severity: Warning, Kind: authz.IdentityPolicy,
			Finds:   "ForAllValues in a Deny without Null: it denies every request that does not have the key, and none that has one other value besides",
			Advice:  "Write ForAnyValue, or add Null for the key.",
			Example: `{"Effect": "Deny", "Action": "kms:TagResource", "Resource": "*", "Condition": {"ForAllValues:StringEquals": {"aws:TagKeys": "owner"}}}`,
			Better:  `{"Effect": "Deny", "Action": "kms:TagResource", "Resource": "*", "Condition": {"ForAnyValue:StringEquals": {"aws:TagKeys": "owner"}}}`,
		}, condition: forAllDeniesAbsent},
		{Check: Check{
			Code: "SET_OPERATOR_ON_ONE_VALUE", Severity: Warning, Kind: authz.IdentityPolicy,
			Finds:   "ForAllValues or ForAnyValue on a key that has one value",
			Advice:  "Write the operator alone, with IfExists if requests without the key are meant too.",
			Example: `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"ForAnyValue:StringEquals": {"aws:PrincipalTag/team": "blue"}}}`,
			Better:  `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringEquals": {"aws:PrincipalTag/team": "blue"}}}`,
		}, condition: setOnOneValue},
		{Check: Check{
			Code: "WILDCARD_IN_STRING_EQUALS", Severity: Warning, Kind: authz.IdentityPolicy,
			Finds:   "`*` or `?` in a value of StringEquals or one of its kin, where it stands for itself",
			Advice:  "Write StringLike or StringNotLike; with Version 2012-10-17, ${*} and ${?} say that the character is meant.",
			Example: `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringEquals": {"aws:PrincipalTag/team": "blue*"}}}`,
			Better:  `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringLike": {"aws:PrincipalTag/team": "blue*"}}}`,
		}, condition: wildcardInEquals},
		{Check: Check{
			Code: "RESOURCE_TAG_IN_KEY_POLICY", Severity: Warning, Kind: authz.KeyPolicy,
			Finds:   "aws:ResourceTag or kms:ResourceAliases in a key policy, which AWS KMS does not evaluate there, and which who may tag the key decides about",
			Advice:  "Put the condition into identity policies; a key policy is about one key, whose tags and aliases one knows.",
			Example: `{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*", "Resource": "*", "Condition": {"StringEquals": {"aws:ResourceTag/team": "blue"}}}`,
			Better:  `{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*", "Resource": "*", "Condition": {"StringEquals": {"aws:PrincipalTag/team": "blue"}}}`,
		}, condition: resourceTagInKeyPolicy},
		{Check: Check{
			Code: "HOST_BITS", Severity: Warning, Kind: authz.IdentityPolicy,
			Finds:   "a network with host bits, which do not count: 10.1.2.3/8 is 10.0.0.0/8",
			Advice:  "Write the network, or the address alone.",
			Example: `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "10.1.2.3/8"}}}`,
			Better:  `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}`,
		}, condition: hostBits},
		{Check: Check{
			Code: "NEAR_QUOTA", Severity: Warning, Kind: authz.SessionPolicy,
			Finds:   "a document of more than 80 % of the size that policies of its kind may have",
			Advice:  "Split the policy, or write fewer and shorter statements.",
			Example: `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "arn:aws:kms:*:111122223333:key/` + strings.Repeat("x", 1700) + `"}`,
			Better:  `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "arn:aws:kms:*:111122223333:key/*"}`,
		}, document: nearQuota},
	}
}
