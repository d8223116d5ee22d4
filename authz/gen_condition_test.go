package authz_test

import (
	"slices"
	"strings"

	"github.com/kmsd/kmsd/authz"
)

// A genKey is a condition key, with the kind of its values.
type genKey struct {
	name   string
	kind   string // of genOperators
	plural bool
	in     string // the services whose requests have it; "" for all
	values []string
}

// genOperators :: kind of values → operators
var genOperators = map[string][]string{
	"String": {
		"StringEquals", "StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringLike", "StringNotLike",
		"BinaryEquals",
	},
	"ARN": {"ArnEquals", "ArnLike", "ArnLike", "ArnNotEquals", "ArnNotLike", "StringEquals", "StringLike", "StringNotLike"},
	"Numeric": {
		"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals",
	},
	"Date": {"DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals"},
	"Bool": {"Bool"},
	"IP":   {"IpAddress", "NotIpAddress"},
}

var (
	genTexts = []string{
		"a", "a", "A", "b", "ab", "", "*", "a*", "?", "é", "É", "?*", "*a*b", "**b", "*é", "a?*", "é?", "*b*a*", "×", "${aws:username}", "${aws:PrincipalTag/team}", "${aws:principaltag/TEAM}", "${aws:PrincipalTag/team, 'a'}",
		"${aws:PrincipalTag/none}", "${aws:PrincipalTag/none, '*'}", "${*}", "${?}${$}", "${kms:EncryptionContext:app}", "${kms:EncryptionContext:APP}*", "${aws:RequestTag/team}", "a${aws:username}", "${aws:ResourceTag/team}*",
		"x${aws:PrincipalTag/none}", "111111111111", "${aws:SecureTransport}", "${aws:EpochTime}",
	}
	genAccountTexts = []string{"111111111111", "222222222222", "1*", "*", "${aws:PrincipalAccount}", "${aws:ResourceAccount}", "${kms:CallerAccount, '1'}", "${aws:PrincipalTag/none}"}
	genOrgTexts     = []string{"o-aaaaaaaaaa", "o-bbbbbbbbbb", "o-*", "${aws:ResourceOrgID}", "${aws:PrincipalOrgID}", "O-AAAAAAAAAA"}
	genPaths        = []string{"o-aaaaaaaaaa/r-aaaa/ou-aaaa-11111111/", "o-aaaaaaaaaa/r-aaaa/*", "o-aaaaaaaaaa/r-aaaa/", "*"}
	genARNs         = []string{
		"arn:aws:iam::111111111111:user/a", "arn:aws:iam::*:user/*", "arn:aws:iam::111111111111:role/r", "arn:aws:iam::*:role/${aws:PrincipalTag/none, 'r'}", "arn:*:*:*:*:*",
		"arn:aws:iam::111111111111:*", "arn:aws:iam::1*:root", "arn:aws:iam::111111111111:user/${aws:username}", "arn:aws:iam::${aws:PrincipalAccount}:user/a",
		"arn:aws:iam:*:user/a", "arn:aws:iam::111111111111:policy/a", "arn:aws:iam::*:policy/?", "arn:aws:sts::111111111111:assumed-role/r/session",
	}
	genDates = []string{
		"2026-01-02T03:04:05Z", "2026-01-02T03:04:05.001Z", "2026-01-02T04:04:05+01:00", "2026-01-02T03:04Z", "2026-01-02", "1767323045", "1767323046", "2026-01-02T03:04:04.999Z",
		"1767323045000",
	}
	genTagNames   = []string{"team", "Team", "app", "App", "a", "*", "t*", "none", "${aws:username}"}
	genAlgorithms = []string{"ECDSA_SHA_256", "RSASSA_PSS_SHA_256", "HMAC_SHA_256", "RSAES_OAEP_SHA_256"}
	genSpecs      = []string{"RSA_2048", "RSA_4096", "ECC_NIST_P256"}
	genDays       = []string{"7", "7.0", "6.999", "29", "30", "90", "365", "365.5", "2560", "-1"}
	genSeconds    = []string{"60", "60.0", "59.999", "61", "-1", "060", "0", "3600", "3600.000000000000000001"}
)

// genConditionKeys are the keys that conditions are about. Those that meet most come several times.
var genConditionKeys = []genKey{
	{"aws:username", "String", false, "", genTexts},
	{"aws:username", "String", false, "", genTexts},
	{"aws:PrincipalTag/team", "String", false, "", genTexts},
	{"aws:PrincipalTag/team", "String", false, "", genTexts},
	{"aws:ResourceTag/team", "String", false, "", genTexts},
	{"iam:ResourceTag/team", "String", false, "iam", genTexts},
	{"aws:RequestTag/team", "String", false, "", genTexts},
	{"kms:EncryptionContext:app", "String", false, "kms", genTexts},
	{"kms:EncryptionContext:app", "String", false, "kms", genTexts},
	{"kms:EncryptionContext:app", "String", false, "kms", genTexts},
	{"kms:EncryptionContext:k", "String", false, "kms", genTexts},
	{"kms:EncryptionContextKeys", "String", true, "kms", genTagNames},
	{"kms:EncryptionContextKeys", "String", true, "kms", genTagNames},
	{"aws:TagKeys", "String", true, "", genTagNames},
	{"sts:TransitiveTagKeys", "String", true, "sts", genTagNames},
	{"kms:ResourceAliases", "String", true, "kms", []string{"alias/a", "alias/b", "alias/*", "alias/${aws:username}", "*"}},
	{"kms:RequestAlias", "String", false, "kms", []string{"alias/a", "alias/b", "alias/*", "alias/${aws:username}"}},
	{"kms:GrantOperations", "String", true, "kms", []string{"Decrypt", "Encrypt", "*", "CreateGrant"}},
	{"kms:GrantConstraintType", "String", false, "kms", []string{"EncryptionContextEquals", "EncryptionContextSubset", "Encryption*"}},
	{"aws:PrincipalOrgPaths", "String", true, "", genPaths},
	{"aws:ResourceOrgPaths", "String", true, "", genPaths},
	{"aws:PrincipalOrgID", "String", false, "", genOrgTexts},
	{"aws:ResourceOrgID", "String", false, "", genOrgTexts},
	{"aws:PrincipalAccount", "String", false, "", genAccountTexts},
	{"aws:ResourceAccount", "String", false, "", genAccountTexts},
	{"kms:CallerAccount", "String", false, "kms", genAccountTexts},
	{"aws:userid", "String", false, "", []string{"AIDAAAAAAAAAAAAAA001", "AROAAAAAAAAAAAAAA001:session", "AROA*:*", "111111111111", "*:session"}},
	{"aws:PrincipalType", "String", false, "", []string{"User", "user", "Account", "AssumedRole", "A*", "FederatedUser"}},
	{"aws:SourceIdentity", "String", false, "", genTexts},
	{"aws:UserAgent", "String", false, "", genTexts},
	{"aws:RequestedRegion", "String", false, "", []string{"local", "l*", "LOCAL"}},
	{"kms:KeySpec", "String", false, "kms", []string{"SYMMETRIC_DEFAULT", "symmetric_default", "SYM*", "RSA_2048"}},
	{"kms:KeyUsage", "String", false, "kms", []string{"ENCRYPT_DECRYPT", "SIGN_VERIFY", "*CRYPT"}},
	{"kms:EncryptionAlgorithm", "String", false, "kms", []string{"SYMMETRIC_DEFAULT", "symmetric_default", "SYM*"}},
	{"kms:KeyOrigin", "String", false, "kms", []string{"AWS_KMS", "EXTERNAL", "AWS*"}},
	{"kms:SigningAlgorithm", "String", false, "kms", slices.Concat(genAlgorithms, []string{"RSA*", "ecdsa_sha_256", "*_256"})},
	{"kms:MacAlgorithm", "String", false, "kms", slices.Concat(genAlgorithms, []string{"HMAC*"})},
	{"kms:MessageType", "String", false, "kms", []string{"RAW", "DIGEST", "raw", "*A*"}},
	{"kms:KeyAgreementAlgorithm", "String", false, "kms", []string{"ECDH", "ecdh", "E*"}},
	{"kms:DataKeyPairSpec", "String", false, "kms", slices.Concat(genSpecs, []string{"ECC*", "RSA_*"})},
	{"kms:WrappingAlgorithm", "String", false, "kms", slices.Concat(genAlgorithms, []string{"RSA*"})},
	{"kms:WrappingKeySpec", "String", false, "kms", slices.Concat(genSpecs, []string{"rsa_2048", "*"})},
	{"kms:ExpirationModel", "String", false, "kms", []string{"KEY_MATERIAL_EXPIRES", "KEY*", "*NOT_EXPIRE"}},
	{"kms:ScheduleKeyDeletionPendingWindowInDays", "Numeric", false, "kms", genDays},
	{"kms:ScheduleKeyDeletionPendingWindowInDays", "Numeric", false, "kms", genDays},
	{"kms:RotationPeriodInDays", "Numeric", false, "kms", genDays},
	{"kms:ValidTo", "Date", false, "kms", genDates},
	{"kms:ValidTo", "Date", false, "kms", genDates},
	{"kms:TrailingDaysWithoutKeyUsage", "Numeric", false, "kms", genDays},
	{"kms:CustomerMasterKeySpec", "String", false, "kms", []string{"SYMMETRIC_DEFAULT", "RSA_2048"}},
	{"kms:GranteePrincipal", "ARN", false, "kms", genARNs},
	{"kms:RetiringPrincipal", "ARN", false, "kms", genARNs},
	{"kms:GrantIsForAWSResource", "Bool", false, "kms", []string{"true", "false"}},
	{"organizations:PolicyType", "String", false, "organizations", []string{"SERVICE_CONTROL_POLICY", "SERVICE*", "RESOURCE_CONTROL_POLICY"}},
	{"aws:SourceVpc", "String", false, "", genTexts},
	{"aws:ViaAWSService", "Bool", false, "", []string{"true", "false"}},
	{"aws:CalledVia", "String", true, "", genTexts[:12]},
	{"sts:SourceIdentity", "String", false, "sts", genTexts},
	{"sts:ExternalId", "String", false, "sts", genTexts},
	{"sts:RoleSessionName", "String", false, "sts", genTexts},
	{"aws:PrincipalArn", "ARN", false, "", genARNs},
	{"aws:PrincipalArn", "ARN", false, "", genARNs},
	{"aws:PrincipalTag/team", "ARN", false, "", genARNs},
	{"kms:EncryptionContext:app", "ARN", false, "kms", genARNs},
	{"iam:PermissionsBoundary", "ARN", false, "iam", genARNs},
	{"iam:PolicyARN", "ARN", false, "iam", genARNs},
	{"aws:MultiFactorAuthAge", "Numeric", false, "", genSeconds},
	{"sts:DurationSeconds", "Numeric", false, "sts", genSeconds},
	{"aws:EpochTime", "Numeric", false, "", []string{"1767323045", "1767323046", "1767323044", "1767323045.0", "1767323045.001"}},
	{"aws:EpochTime", "Date", false, "", genDates},
	{"aws:CurrentTime", "Date", false, "", genDates},
	{"aws:CurrentTime", "Date", false, "", genDates},
	{"aws:TokenIssueTime", "Date", false, "", genDates},
	{"aws:MultiFactorAuthPresent", "Bool", false, "", []string{"true", "false", "True"}},
	{"aws:SecureTransport", "Bool", false, "", []string{"true", "false", "FALSE"}},
	{"kms:MultiRegion", "Bool", false, "kms", []string{"true", "false"}},
	{"kms:ReEncryptOnSameKey", "Bool", false, "kms", []string{"true", "false"}},
	{"kms:BypassPolicyLockoutSafetyCheck", "Bool", false, "kms", []string{"true", "false"}},
	{"aws:SourceIp", "IP", false, "", []string{"10.0.0.0/24", "10.0.0.1", "10.1.2.3/8", "2001:db8::/32", "0.0.0.0/0", "::/0", "192.168.0.0/31", "2001:DB8:0::1"}},
	{"aws:SourceIp", "IP", false, "", []string{"10.0.0.0/24", "10.0.0.1", "10.0.0.1/32", "10.0.0.2/31"}},
}

var genClaims = []genKey{
	{"idp.test:aud", "String", false, "sts", genTexts},
	{"idp.test:sub", "String", false, "sts", genTexts},
	{"idp.test:Sub", "String", false, "sts", genTexts},
}

// ownKeys :: action → the keys of genConditionKeys that its requests have and those of most others do not. It is never written.
var ownKeys = func() map[string][]genKey {
	var has [2]map[string]int // :: key → how many actions have it; key and action → 1
	has[0], has[1] = map[string]int{}, map[string]int{}
	for _, name := range genActions {
		a, _ := authz.ActionByName(name)
		for _, k := range authz.ContextKeys(a) {
			has[0][k.Name] += 1 - has[1][name+k.Name]
			has[1][name+k.Name] = 1
		}
	}
	own := map[string][]genKey{}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(genActions))) {
		for _, k := range genConditionKeys {
			if has[1][name+k.name] == 1 && has[0][k.name] <= 2 {
				own[name] = append(own[name], k)
			}
		}
	}
	return own
}()

// conditions returns a Condition element, or nil.
func (g *gen) conditions(kind authz.PolicyKind, effect string) map[string]any {
	count := g.IntN(4)
	if count == 3 {
		count = 0
	}
	if effect == "Deny" && g.one(2) || kind == authz.ResourceControlPolicy {
		count = max(count, 1)
	}
	if count == 0 {
		return nil
	}
	block := map[string]any{}
	for range count {
		k := g.conditionKey(kind)
		operator := g.operator(k, effect)
		keys, ok := block[operator].(map[string]any)
		if !ok {
			keys = map[string]any{}
			block[operator] = keys
		}
		for name := range keys {
			if strings.EqualFold(name, k.name) {
				k.name = name
			}
		}
		keys[k.name] = g.conditionValues(k, operator)
	}
	return block
}

// conditionKey picks a key that requests of the scene have, most of the time, and sometimes writes it in another case.
func (g *gen) conditionKey(kind authz.PolicyKind) genKey {
	service, _, _ := strings.Cut(g.focus, ":")
	k := pick(g, genConditionKeys)
	for k.in != "" && k.in != service && !g.one(10) {
		k = pick(g, genConditionKeys)
	}
	if own := ownKeys[g.focus]; len(own) > 0 && g.one(3) {
		k = pick(g, own)
	}
	if kind == authz.TrustPolicy && g.one(4) {
		k = pick(g, genClaims)
	}
	if g.one(6) {
		k.name = pick(g, []string{strings.ToUpper(k.name), strings.ToLower(k.name)})
	}
	return k
}

func (g *gen) operator(k genKey, effect string) string {
	if g.one(12) {
		return "Null"
	}
	operator := pick(g, genOperators[k.kind])
	set := ""
	switch {
	case k.plural && !g.one(6):
		set = pick(g, []string{"ForAllValues:", "ForAnyValue:"})
	case effect == "Deny" && g.one(3):
		set = "ForAllValues:"
	case g.one(8):
		set = "ForAnyValue:"
	}
	if g.one(4) && set != "ForAnyValue:" {
		operator += "IfExists"
	}
	return set + operator
}

func (g *gen) conditionValues(k genKey, operator string) any {
	switch {
	case operator == "Null":
		return pick(g, []any{"true", "false", true, false})
	case k.kind == "Bool":
		return pick(g, k.values)
	}
	if strings.Contains(operator, "Binary") {
		return g.some([]string{"YQ==", "Kg==", "w6k=", ""}, 2)
	}
	list := k.values
	if !strings.Contains(operator, "String") && !strings.Contains(operator, "Arn") {
		list = slices.DeleteFunc(slices.Clone(list), func(v string) bool { return strings.Contains(v, "${") })
	}
	if g.one(15) { // more than are compared one by one
		if k.kind == "String" {
			list = slices.Concat(genValue[:3], genValue, genTexts[:3])
		}
		var many []string
		for range 9 + g.IntN(8) {
			many = append(many, pick(g, list))
		}
		return many
	}
	return g.some(list, 3)
}
