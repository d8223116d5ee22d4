package lint

import "github.com/kmsd/kmsd/authz"

func errorChecks() []check {
	return []check{
		{Check: Check{
			Code: "MALFORMED_POLICY", Severity: Error, Kind: authz.IdentityPolicy,
			Finds:   "a document that is refused, with the first fault",
			Advice:  "Correct what is said to be wrong; there may be more behind it.",
			Example: `{"Effect": "Allow", "Action": "kms:Decrypt"}`,
			Better:  `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}`,
		}},
		{Check: Check{
			Code: "NOT_PRINCIPAL", Severity: Error, Kind: authz.KeyPolicy,
			Finds:   "NotPrincipal, which is refused, and denies whoever is not listed with account, role and session",
			Advice:  `Name those who are meant in Principal, or deny "*" with a Condition such as ArnNotEquals for aws:PrincipalArn.`,
			Example: `{"Effect": "Deny", "NotPrincipal": {"AWS": "111122223333"}, "Action": "kms:Decrypt", "Resource": "*"}`,
			Better:  `{"Effect": "Deny", "Principal": {"AWS": "444455556666"}, "Action": "kms:Decrypt", "Resource": "*"}`,
		}},
		{Check: Check{
			Code: "UNKNOWN_ACTION", Severity: Error, Kind: authz.IdentityPolicy,
			Finds:   "an action that kmsd does not have, which matches nothing",
			Advice:  "Remove the action, or write one that kmsd has.",
			Example: `{"Effect": "Allow", "Action": "kms:Decript", "Resource": "*"}`,
			Better:  `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}`,
		}, statement: unknownActions},
		{Check: Check{
			Code: "NO_SUCH_ACTIONS", Severity: Error, Kind: authz.IdentityPolicy,
			Finds:   "an action with wildcards that matches no action",
			Advice:  "Correct the pattern, or remove it.",
			Example: `{"Effect": "Deny", "Action": "kms:*Keys*Policy", "Resource": "*"}`,
			Better:  `{"Effect": "Deny", "Action": "kms:*KeyPolicy", "Resource": "*"}`,
		}, statement: emptyPatterns},
		{Check: Check{
			Code: "VARIABLE_WITHOUT_VERSION", Severity: Error, Kind: authz.IdentityPolicy,
			Finds:   "`${` in a policy without Version 2012-10-17, where it stands for itself",
			Advice:  `Add "Version": "2012-10-17" to the policy.`,
			Example: `{"Statement": {"Effect": "Allow", "Action": "iam:*AccessKey*", "Resource": "arn:aws:iam::111122223333:user/${aws:username}"}}`,
			Better:  `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iam:*AccessKey*", "Resource": "arn:aws:iam::111122223333:user/${aws:username}"}}`,
		}, statement: literalVariables},
		{Check: Check{
			Code: "KEY_NEVER_PRESENT", Severity: Error, Kind: authz.IdentityPolicy,
			Finds:   "a condition key of AWS that no request to kmsd has",
			Advice:  "Remove the condition, or ask about a key that requests have, such as aws:SourceIp.",
			Example: `{"Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringEquals": {"kms:ViaService": "s3.eu-central-1.amazonaws.com"}}}`,
			Better:  `{"Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}`,
		}, condition: neverPresent},
		{Check: Check{
			Code: "KEY_NOT_FOR_ACTIONS", Severity: Error, Kind: authz.IdentityPolicy,
			Finds:   "a condition key that requests for none of the statement's actions have",
			Advice:  "Ask about a key that these requests have, or put the condition on other actions.",
			Example: `{"Effect": "Deny", "Action": "kms:ListKeys", "Resource": "*", "Condition": {"StringEquals": {"kms:EncryptionContext:app": "a"}}}`,
			Better:  `{"Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringEquals": {"kms:EncryptionContext:app": "a"}}}`,
		}, condition: notForActions},
		{Check: Check{
			Code: "PLAIN_OPERATOR_ON_LIST", Severity: Error, Kind: authz.IdentityPolicy,
			Finds:   "an operator without ForAllValues or ForAnyValue on a key of several values, which never holds where the key is present",
			Advice:  "Write the operator with ForAnyValue or ForAllValues before it.",
			Example: `{"Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringEquals": {"kms:ResourceAliases": "alias/a"}}}`,
			Better:  `{"Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/a"}}}`,
		}, condition: plainOnList},
		{Check: Check{
			Code: "CONTRADICTORY_CONDITIONS", Severity: Error, Kind: authz.IdentityPolicy,
			Finds:   "conditions of which one asks that a key be absent and another that it be present",
			Advice:  "Remove one of the conditions, or make two statements of them.",
			Example: `{"Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"Null": {"aws:TokenIssueTime": "true"}, "DateLessThan": {"aws:TokenIssueTime": "2026-01-01"}}}`,
			Better:  `{"Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"DateLessThanIfExists": {"aws:TokenIssueTime": "2026-01-01"}}}`,
		}, condition: contradictory},
		{Check: Check{
			Code: "ALIAS_FOR_KEY_ACTION", Severity: Error, Kind: authz.IdentityPolicy,
			Finds:   "an alias as the Resource of actions that are asked for keys: an alias there is not another name of its key",
			Advice:  "Name the key by its ARN, or ask with ForAnyValue:StringEquals about kms:ResourceAliases.",
			Example: `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "arn:aws:kms:*:111122223333:alias/app"}`,
			Better:  `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "arn:aws:kms:*:111122223333:key/*", "Condition": {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/app"}}}`,
		}, statement: aliasForKeys},
		{Check: Check{
			Code: "RESOURCE_NEVER_MATCHES", Severity: Error, Kind: authz.IdentityPolicy,
			Finds:   "a Resource of another kind than each action of the statement is asked for",
			Advice:  `Write an ARN of the kind that the action is asked for; "*" for actions that have no resource.`,
			Example: `{"Effect": "Allow", "Action": ["kms:CreateKey", "kms:ListKeys"], "Resource": "arn:aws:kms:*:111122223333:key/*"}`,
			Better:  `{"Effect": "Allow", "Action": ["kms:CreateKey", "kms:ListKeys"], "Resource": "*"}`,
		}, statement: resourceNeverMatches},
		{Check: Check{
			Code: "ACTION_NOT_ASKED", Severity: Error, Kind: authz.KeyPolicy,
			Finds:   "a statement of a key, trust or resource control policy with no action about which such a policy is asked",
			Advice:  "Put the statement into an identity policy or a service control policy.",
			Example: `{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": ["kms:CreateKey", "iam:CreateUser"], "Resource": "*"}`,
			Better:  `{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*", "Resource": "*"}`,
		}, statement: notAsked},
		{Check: Check{
			Code: "PRINCIPAL_NOT_FOR_ACTIONS", Severity: Error, Kind: authz.TrustPolicy,
			Finds:   "an OpenID Connect provider that is to call sts:AssumeRole, or a user or role that is to call sts:AssumeRoleWithWebIdentity",
			Advice:  "Let providers of type Federated call sts:AssumeRoleWithWebIdentity, and principals of type AWS sts:AssumeRole, in statements of their own.",
			Example: `{"Effect": "Allow", "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/ci.example"}, "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"ci.example:sub": "build"}}}`,
			Better:  `{"Effect": "Allow", "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/ci.example"}, "Action": "sts:AssumeRoleWithWebIdentity", "Condition": {"StringEquals": {"ci.example:sub": "build"}}}`,
		}, statement: principalForActions},
		{Check: Check{
			Code: "VARIABLE_IN_NOT_RESOURCE", Severity: Error, Kind: authz.IdentityPolicy,
			Finds:   "an Allow whose NotResource has a policy variable without a default: where the variable has no value, everything is allowed",
			Advice:  "Use Resource, or give the variable a default: ${aws:PrincipalTag/team, 'none'}.",
			Example: `{"Effect": "Allow", "Action": "kms:DeleteAlias", "NotResource": "arn:aws:kms:*:111122223333:alias/${aws:PrincipalTag/team}"}`,
			Better:  `{"Effect": "Allow", "Action": "kms:DeleteAlias", "NotResource": "arn:aws:kms:*:111122223333:alias/${aws:PrincipalTag/team, 'none'}"}`,
		}, statement: variableInNotResource},
	}
}
