package lint

import "github.com/kmsd/kmsd/authz"

func securityChecks() []check {
	return []check{
		{Check: Check{
			Code: "PUBLIC_PRINCIPAL", Severity: SecurityWarning, Kind: authz.KeyPolicy,
			Finds:   `Principal "*" in an Allow without a condition on who calls or from where`,
			Advice:  "Name those who are meant, or add a condition such as StringEquals for aws:PrincipalOrgID.",
			Example: `{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}`,
			Better:  `{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-abcdefghij"}}}`,
		}, statement: publicPrincipal},
		{Check: Check{
			Code: "CROSS_ACCOUNT_TRUST", Severity: SecurityWarning, Kind: authz.TrustPolicy,
			Finds:   "a role that other accounts may assume without a condition on sts:ExternalId, the organization or the caller: the confused deputy",
			Advice:  "Add StringEquals for sts:ExternalId, with a value that the other account cannot choose, or for aws:PrincipalOrgID.",
			Example: `{"Effect": "Allow", "Principal": {"AWS": ["111122223333", "444455556666"]}, "Action": "sts:AssumeRole"}`,
			Better:  `{"Effect": "Allow", "Principal": {"AWS": ["111122223333", "444455556666"]}, "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"sts:ExternalId": "5f3a-92"}}}`,
		}, statement: crossAccountTrust},
		{Check: Check{
			Code: "WEB_IDENTITY_WITHOUT_SUBJECT", Severity: SecurityWarning, Kind: authz.TrustPolicy,
			Finds:   "a role that whoever has a token of an OpenID Connect provider may assume, since no condition asks about the token's claims but the audience",
			Advice:  `Add StringEquals, or StringLike, for the claim "HOST/PATH:sub" of the provider.`,
			Example: `{"Effect": "Allow", "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/ci.example"}, "Action": "sts:AssumeRoleWithWebIdentity", "Condition": {"StringEquals": {"ci.example:aud": "kmsd"}}}`,
			Better:  `{"Effect": "Allow", "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/ci.example"}, "Action": "sts:AssumeRoleWithWebIdentity", "Condition": {"StringEquals": {"ci.example:aud": "kmsd", "ci.example:sub": "build"}}}`,
		}, statement: webIdentity},
		{Check: Check{
			Code: "FULL_ACCESS", Severity: SecurityWarning, Kind: authz.IdentityPolicy,
			Finds:   "an Allow of every action on everything",
			Advice:  "List the actions and resources that are needed.",
			Example: `{"Effect": "Allow", "Action": "*", "Resource": "*"}`,
			Better:  `{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}`,
		}, statement: fullAccess},
		{Check: Check{
			Code: "PRIVILEGE_ESCALATION", Severity: SecurityWarning, Kind: authz.IdentityPolicy,
			Finds:   "actions by which one can give oneself, or anybody, all other permissions, on every user, role, group or policy and without a condition that bounds them",
			Advice:  "Name the users, roles or policies, or add a condition on iam:PermissionsBoundary.",
			Example: `{"Effect": "Allow", "Action": ["iam:PutUserPolicy", "iam:GetUser"], "Resource": "*"}`,
			Better:  `{"Effect": "Allow", "Action": ["iam:PutUserPolicy", "iam:GetUser"], "Resource": "*", "Condition": {"ArnEquals": {"iam:PermissionsBoundary": "arn:aws:iam::111122223333:policy/limit"}}}`,
		}, statement: privilegeEscalation},
		{Check: Check{
			Code: "ALLOW_NOT_ACTION", Severity: SecurityWarning, Kind: authz.IdentityPolicy,
			Finds:   "an Allow with NotAction, which allows all other actions, those of other services too",
			Advice:  "List the actions in Action, and deny the others in a statement of its own.",
			Example: `{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}`,
			Better:  `{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}`,
		}, statement: allowNotAction},
		{Check: Check{
			Code: "ALLOW_NOT_RESOURCE", Severity: SecurityWarning, Kind: authz.IdentityPolicy,
			Finds:   "an Allow with NotResource, which takes in whatever else there is, and what is made later",
			Advice:  "List the resources in Resource, and deny the others in a statement of its own.",
			Example: `{"Effect": "Allow", "Action": "kms:Decrypt", "NotResource": "arn:aws:kms:*:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}`,
			Better:  `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "arn:aws:kms:*:111122223333:key/*"}`,
		}, statement: allowNotResource},
		{Check: Check{
			Code: "FOR_ALL_VALUES_WITHOUT_NULL", Severity: SecurityWarning, Kind: authz.IdentityPolicy,
			Finds:   "ForAllValues in an Allow without Null: it holds for every request that does not have the key",
			Advice:  `Add "Null": {KEY: "false"}.`,
			Example: `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": "app"}}}`,
			Better:  `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": "app"}, "Null": {"kms:EncryptionContextKeys": "false"}}}`,
		}, condition: forAllWithoutNull},
		{Check: Check{
			Code: "NEGATION_ALLOWS_ABSENT", Severity: SecurityWarning, Kind: authz.IdentityPolicy,
			Finds:   "an Allow with a negated operator without IfExists: it holds for every request that does not have the key",
			Advice:  `Write the values that are allowed, or add "Null": {KEY: "false"}; write IfExists if the absence is meant.`,
			Example: `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringNotEquals": {"kms:EncryptionContext:app": "secret"}}}`,
			Better:  `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringNotEquals": {"kms:EncryptionContext:app": "secret"}, "Null": {"kms:EncryptionContext:app": "false"}}}`,
		}, condition: negationAllowsAbsent},
		{Check: Check{
			Code: "MFA_DENY_WITHOUT_IF_EXISTS", Severity: SecurityWarning, Kind: authz.IdentityPolicy,
			Finds:   "a Deny with Bool aws:MultiFactorAuthPresent false, which does not take in long-term credentials: they do not have the key",
			Advice:  "Write BoolIfExists.",
			Example: `{"Effect": "Deny", "Action": "kms:DisableKey", "Resource": "*", "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "false"}}}`,
			Better:  `{"Effect": "Deny", "Action": "kms:DisableKey", "Resource": "*", "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}}`,
		}, condition: mfaDeny},
		{Check: Check{
			Code: "MFA_ALLOW_IF_EXISTS", Severity: SecurityWarning, Kind: authz.IdentityPolicy,
			Finds:   "an Allow with BoolIfExists aws:MultiFactorAuthPresent, which lets long-term credentials in without a second factor",
			Advice:  "Write Bool.",
			Example: `{"Effect": "Allow", "Action": "kms:DisableKey", "Resource": "*", "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "true"}}}`,
			Better:  `{"Effect": "Allow", "Action": "kms:DisableKey", "Resource": "*", "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}}`,
		}, condition: mfaAllow},
		{Check: Check{
			Code: "KEY_LOSS_WITHOUT_MFA", Severity: SecurityWarning, Kind: authz.IdentityPolicy,
			Finds:   "an Allow of kms:ScheduleKeyDeletion or kms:DeleteImportedKeyMaterial on every key, without a condition on a second factor or on the key's tags or aliases: what a key that is gone has encrypted is lost",
			Advice:  `Name the keys, or put the actions into a statement of their own with Bool aws:MultiFactorAuthPresent "true".`,
			Example: `{"Effect": "Allow", "Action": ["kms:ScheduleKeyDeletion", "kms:DescribeKey"], "Resource": "*"}`,
			Better:  `{"Effect": "Allow", "Action": ["kms:ScheduleKeyDeletion", "kms:DescribeKey"], "Resource": "*", "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}}`,
		}, statement: keyLoss},
		{Check: Check{
			Code: "CLIENT_CONTROLLED_KEY", Severity: SecurityWarning, Kind: authz.IdentityPolicy,
			Finds:   "an Allow that rests on aws:UserAgent or aws:Referer, which the client writes as it likes",
			Advice:  "Ask about something that the client cannot choose, such as aws:SourceIp or aws:PrincipalTag.",
			Example: `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringLike": {"aws:UserAgent": "batch/*"}}}`,
			Better:  `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}`,
		}, condition: clientControlled},
		{Check: Check{
			Code: "EVERY_ADDRESS", Severity: SecurityWarning, Kind: authz.IdentityPolicy,
			Finds:   "a network of every address",
			Advice:  "Write the network that is meant, or remove the condition.",
			Example: `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}}`,
			Better:  `{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}`,
		}, condition: everyAddress},
		{Check: Check{
			Code: "VARIABLE_IN_DENY", Severity: SecurityWarning, Kind: authz.IdentityPolicy,
			Finds:   "a Deny whose Resource has a policy variable without a default: where the variable has no value, the statement denies nothing",
			Advice:  "Give the variable a default, or deny with NotResource.",
			Example: `{"Effect": "Deny", "Action": "kms:DeleteAlias", "Resource": "arn:aws:kms:*:111122223333:alias/${aws:PrincipalTag/team}"}`,
			Better:  `{"Effect": "Deny", "Action": "kms:DeleteAlias", "Resource": "arn:aws:kms:*:111122223333:alias/${aws:PrincipalTag/team, 'none'}"}`,
		}, statement: variableInDeny},
	}
}
