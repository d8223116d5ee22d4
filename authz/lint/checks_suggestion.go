package lint

import "github.com/kmsd/kmsd/authz"

func suggestionChecks() []check {
	return []check{
		{Check: Check{
			Code: "OLD_VERSION", Severity: Suggestion, Kind: authz.IdentityPolicy,
			Finds:   "a policy without Version, or with 2008-10-17, which has no policy variables",
			Advice:  `Write "Version": "2012-10-17".`,
			Example: `{"Statement": {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}}`,
			Better:  `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}}`,
		}, document: oldVersion},
		{Check: Check{
			Code: "NEGATION_DENIES_ABSENT", Severity: Suggestion, Kind: authz.IdentityPolicy,
			Finds:   "a Deny with a negated operator without IfExists on a key that requests may lack: it denies them all",
			Advice:  `Write IfExists if requests without the key are not meant; add "Null": {KEY: "true"} in a statement of its own to say that they are.`,
			Example: `{"Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-abcdefghij"}}}`,
			Better:  `{"Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-abcdefghij"}}}`,
		}, condition: negationDeniesAbsent},
		{Check: Check{
			Code: "REDUNDANT_STATEMENT", Severity: Suggestion, Kind: authz.IdentityPolicy,
			Finds:   "a statement that another one of the same effect makes superfluous",
			Advice:  "Remove the statement.",
			Example: `[{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}, {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "arn:aws:kms:*:111122223333:key/*"}]`,
			Better:  `[{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}, {"Effect": "Deny", "Action": "kms:Decrypt", "Resource": "arn:aws:kms:*:111122223333:key/*"}]`,
		}, statement: redundantStatement},
		{Check: Check{
			Code: "REDUNDANT_ACTION", Severity: Suggestion, Kind: authz.IdentityPolicy,
			Finds:   "an action that another one in the list takes in",
			Advice:  "Remove the action.",
			Example: `{"Effect": "Allow", "Action": ["kms:Generate*", "kms:GenerateDataKey"], "Resource": "*"}`,
			Better:  `{"Effect": "Allow", "Action": "kms:Generate*", "Resource": "*"}`,
		}, statement: redundantActions},
		{Check: Check{
			Code: "REDUNDANT_RESOURCE", Severity: Suggestion, Kind: authz.IdentityPolicy,
			Finds:   "a resource that another one in the list takes in",
			Advice:  "Remove the resource.",
			Example: `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": ["arn:aws:kms:*:111122223333:key/*", "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"]}`,
			Better:  `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "arn:aws:kms:*:111122223333:key/*"}`,
		}, statement: redundantResources},
		{Check: Check{
			Code: "REDUNDANT_PRINCIPAL", Severity: Suggestion, Kind: authz.KeyPolicy,
			Finds:   `a principal that stands twice in a statement, or beside "*"`,
			Advice:  "Remove the principal.",
			Example: `{"Effect": "Deny", "Principal": {"AWS": ["111122223333", "arn:aws:iam::111122223333:root"]}, "Action": "kms:*", "Resource": "*"}`,
			Better:  `{"Effect": "Deny", "Principal": {"AWS": "111122223333"}, "Action": "kms:*", "Resource": "*"}`,
		}, statement: redundantPrincipals},
		{Check: Check{
			Code: "REDUNDANT_VALUE", Severity: Suggestion, Kind: authz.IdentityPolicy,
			Finds:   "a value of a condition that another one takes in",
			Advice:  "Remove the value.",
			Example: `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringLike": {"aws:PrincipalTag/team": ["blue*", "blue-1"]}}}`,
			Better:  `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringLike": {"aws:PrincipalTag/team": ["blue*", "red"]}}}`,
		}, condition: redundantValues},
		{Check: Check{
			Code: "IF_EXISTS_WITHOUT_EFFECT", Severity: Suggestion, Kind: authz.IdentityPolicy,
			Finds:   "IfExists on a key that every request has",
			Advice:  "Write the operator without IfExists.",
			Example: `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"IpAddressIfExists": {"aws:SourceIp": "192.0.2.0/24"}}}`,
			Better:  `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}`,
		}, condition: ifExistsWithoutEffect},
		{Check: Check{
			Code: "LIKE_WITHOUT_WILDCARD", Severity: Suggestion, Kind: authz.IdentityPolicy,
			Finds:   "StringLike or StringNotLike of values without a wildcard",
			Advice:  "Write StringEquals or StringNotEquals.",
			Example: `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringLike": {"aws:PrincipalTag/team": "blue"}}}`,
			Better:  `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringEquals": {"aws:PrincipalTag/team": "blue"}}}`,
		}, condition: likeWithoutWildcard},
		{Check: Check{
			Code: "KEY_POLICY_RESOURCE", Severity: Suggestion, Kind: authz.KeyPolicy,
			Finds:   `a Resource other than "*" in a key policy, which is about its own key only`,
			Advice:  `Write "Resource": "*".`,
			Example: `{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*", "Resource": "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}`,
			Better:  `{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*", "Resource": "*"}`,
		}, statement: keyPolicyResource},
	}
}
