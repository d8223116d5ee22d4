package authz_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/authz"
)

const federated = `{"Federated":"arn:aws:iam::111122223333:oidc-provider/idp.example/realm"}`

// conditions is an identity policy that denies, with a Condition.
func conditions(block string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*","Condition":` + block + `}}`
}

// allowing is the same for an Allow.
func allowing(block string) string {
	return strings.Replace(conditions(block), "Deny", "Allow", 1)
}

// trust is a trust policy that allows, with more members.
func trust(principal, members string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":` + principal + `,` + members + `}}`
}

func control(members string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"` + members + `}}`
}

// refusedConditions :: Condition of a Deny → what the error says
var refusedConditions = []struct{ name, block, msg string }{
	{"an empty Condition", `{}`, "Condition is empty"},
	{"a Condition of text", `"x"`, "Condition is a string"},
	{"a null Condition", `null`, "Condition is null"},
	{"an operator without keys", `{"StringEquals":{}}`, "has no condition key"},
	{"an operator of text", `{"StringEquals":"x"}`, `"StringEquals" is a string`},
	{"a key without values", `{"StringEquals":{"aws:username":[]}}`, "has no value"},
	{"a null value", `{"StringEquals":{"aws:username":null}}`, "is null"},
	{"a null among values", `{"StringEquals":{"aws:username":["a",null]}}`, "is null"},
	{"an object for a value", `{"StringEquals":{"aws:username":{}}}`, "is an object"},
	{"a list among values", `{"StringEquals":{"aws:username":[["a"]]}}`, "is a list"},
	{"a number with an exponent", `{"StringEquals":{"aws:username":1e3}}`, "has an exponent"},

	{"an unknown operator", `{"StringMatches":{"aws:username":"a"}}`, "is not a condition operator"},
	{"an operator in another case", `{"stringequals":{"aws:username":"a"}}`, `did you mean "StringEquals"?`},
	{"a misspelt operator", `{"ForAllValues:StringEqualIfExists":{"aws:username":"a"}}`, `did you mean "ForAllValues:StringEqualsIfExists"?`},
	{"a set operator in another case", `{"forallvalues:StringEquals":{"aws:TagKeys":"a"}}`, `did you mean "ForAllValues:StringEquals"?`},
	{"two set operators", `{"ForAnyValue:ForAllValues:StringEquals":{"aws:TagKeys":"a"}}`, "is not a condition operator"},
	{"IfExists twice", `{"StringEqualsIfExistsIfExists":{"aws:username":"a"}}`, "is not a condition operator"},
	{"an operator with a space", `{"StringEquals ":{"aws:username":"a"}}`, `did you mean "StringEquals"?`},
	{"Null with IfExists", `{"NullIfExists":{"aws:username":"true"}}`, "asks nothing"},
	{"Null for all values", `{"ForAllValues:Null":{"aws:TagKeys":"true"}}`, "asks nothing"},
	{"Null for any value", `{"ForAnyValue:Null":{"aws:TagKeys":"true"}}`, "asks nothing"},
	{"any value, if it exists", `{"ForAnyValue:StringEqualsIfExists":{"aws:TagKeys":"a"}}`, "contradicts itself"},
	{"an operator twice", `{"Bool":{"aws:SecureTransport":true},"Bool":{"aws:SecureTransport":true}}`, "stands twice"},

	{"a misspelt key", `{"StringEquals":{"aws:usernme":"a"}}`, `did you mean "aws:username"?`},
	{"a key with a space", `{"StringEquals":{"aws:username ":"a"}}`, `did you mean "aws:username"?`},
	{"a misspelt family", `{"StringEquals":{"aws:PrincpalTag/team":"a"}}`, `did you mean "aws:PrincipalTag/team"?`},
	{"a misspelt family of kms", `{"StringEquals":{"kms:EncryptionContxt:app":"a"}}`, `did you mean "kms:EncryptionContext:app"?`},
	{"a key of no service", `{"StringEquals":{"username":"a"}}`, "with its service"},
	{"a key that kms does not have", `{"StringEquals":{"kms:Whatever":"a"}}`, `not a condition key of the service "kms"`},
	{"a key of another service", `{"StringEquals":{"s3:prefix":"a"}}`, "any service that kmsd has"},
	{"a family without a member", `{"StringEquals":{"aws:PrincipalTag/":"a"}}`, "is not a condition key"},
	{"a claim outside of a trust policy", `{"StringEquals":{"idp.example:sub":"a"}}`, "any service that kmsd has"},
	{"a variable in a key", `{"StringEquals":{"aws:PrincipalTag/${aws:username}":"a"}}`, "not replaced there"},
	{"a key twice, in another case", `{"StringEquals":{"aws:username":"a","AWS:UserName":"b"}}`, "in another case"},
	{"a tag twice, in another case", `{"StringEquals":{"aws:PrincipalTag/Été":"a","aws:PrincipalTag/éTÉ":"b"}}`, "in another case"},

	{"text for an address", `{"StringEquals":{"aws:SourceIp":"10.0.0.1"}}`, `write "IpAddress"`},
	{"text for a truth value", `{"StringEquals":{"aws:SecureTransport":"true"}}`, `write "Bool"`},
	{"text for a date", `{"StringLike":{"aws:CurrentTime":"2026*"}}`, `write "DateLessThan"`},
	{"text for a number", `{"StringEquals":{"aws:MultiFactorAuthAge":"1"}}`, `write "NumericEquals"`},
	{"a number for text", `{"NumericEquals":{"aws:PrincipalTag/level":"1"}}`, `write "StringEquals"`},
	{"a date for an ARN", `{"DateEquals":{"aws:PrincipalArn":"2026-01-01"}}`, `write "ArnLike"`},

	{"a number that is none", `{"NumericEquals":{"aws:MultiFactorAuthAge":"10abc"}}`, "is not a number"},
	{"a number in hexadecimal", `{"NumericEquals":{"aws:MultiFactorAuthAge":"0x10"}}`, "is not a number"},
	{"not a number", `{"NumericEquals":{"aws:MultiFactorAuthAge":"NaN"}}`, "is not a number"},
	{"an empty number", `{"NumericEquals":{"aws:MultiFactorAuthAge":""}}`, "is not a number"},
	{"a number that is only a sign", `{"NumericEquals":{"aws:MultiFactorAuthAge":"-"}}`, "is not a number"},
	{"a number with an exponent in text", `{"NumericEquals":{"aws:MultiFactorAuthAge":"1e3"}}`, "is not a number"},
	{"a number with an empty fraction", `{"NumericEquals":{"aws:MultiFactorAuthAge":"1."}}`, "is not a number"},
	{"a huge number", `{"NumericEquals":{"aws:MultiFactorAuthAge":"1234567890123456789"}}`, "more than 18 digits"},
	{"a truth value that is none", `{"Bool":{"aws:SecureTransport":"yes"}}`, "write true or false"},
	{"both truth values", `{"Bool":{"aws:SecureTransport":["true","false"]}}`, "takes one value"},
	{"both for Null", `{"Null":{"aws:username":["true","false"]}}`, "takes one value"},
	{"a Null that is none", `{"Null":{"aws:username":"null"}}`, "write true or false"},
	{"binary that is no base64", `{"BinaryEquals":{"aws:username":"a-b"}}`, "is not base64"},
	{"binary without padding", `{"BinaryEquals":{"aws:username":"YQ"}}`, "is not base64"},
	{"binary with a line end", `{"BinaryEquals":{"aws:username":"YQ==\n"}}`, "is not base64"},

	{"a year", `{"DateEquals":{"aws:CurrentTime":"2026"}}`, "a year or a number of seconds"},
	{"a month", `{"DateEquals":{"aws:CurrentTime":"2026-01"}}`, "is a month"},
	{"a date without an offset", `{"DateEquals":{"aws:CurrentTime":"2026-01-01T00:00:00"}}`, "is not a date"},
	{"a date with a space", `{"DateEquals":{"aws:CurrentTime":"2026-01-01 00:00:00Z"}}`, "is not a date"},
	{"a date that does not exist", `{"DateEquals":{"aws:CurrentTime":"2026-02-29"}}`, "of the calendar"},
	{"an hour that does not exist", `{"DateEquals":{"aws:CurrentTime":"2026-01-01T24:00Z"}}`, "of the calendar"},
	{"a year that does not exist", `{"DateEquals":{"aws:CurrentTime":"9999-12-31T23:59-00:01"}}`, "of the calendar"},
	{"a short offset", `{"DateEquals":{"aws:CurrentTime":"2026-01-01T00:00+01"}}`, "is not a date"},
	{"an offset that does not exist", `{"DateEquals":{"aws:CurrentTime":"2026-01-01T00:00+24:00"}}`, "is not a date"},
	{"an empty fraction of a second", `{"DateEquals":{"aws:CurrentTime":"2026-01-01T00:00:00.Z"}}`, "is not a date"},
	{"a comma in a second", `{"DateEquals":{"aws:CurrentTime":"2026-01-01T00:00:00,5Z"}}`, "is not a date"},
	{"microseconds", `{"DateEquals":{"aws:CurrentTime":"2026-01-01T00:00:00.000001Z"}}`, "finer than a millisecond"},
	{"milliseconds since 1970", `{"DateEquals":{"aws:CurrentTime":"1767323045000"}}`, "not milliseconds"},
	{"a wildcard in a date", `{"DateEquals":{"aws:CurrentTime":"2026-01-*"}}`, "is not a date"},

	{"an address that is none", `{"IpAddress":{"aws:SourceIp":"10.0.0.256"}}`, "is not an address"},
	{"an address with a leading zero", `{"IpAddress":{"aws:SourceIp":"10.0.0.01"}}`, "is not an address"},
	{"an empty address", `{"IpAddress":{"aws:SourceIp":""}}`, "is not an address"},
	{"an address with a zone", `{"IpAddress":{"aws:SourceIp":"fe80::1%eth0"}}`, "is not an address"},
	{"a network with too many bits", `{"IpAddress":{"aws:SourceIp":"10.0.0.0/33"}}`, "is not an address"},
	{"IPv4 in IPv6", `{"NotIpAddress":{"aws:SourceIp":"::ffff:10.0.0.1"}}`, "write it as IPv4"},
	{"a network of IPv4 in IPv6", `{"NotIpAddress":{"aws:SourceIp":"::ffff:10.0.0.0/104"}}`, "write it as IPv4"},

	{"an ARN that is none", `{"ArnLike":{"aws:PrincipalArn":"alice"}}`, "is not an ARN of six parts"},
	{"a star for an ARN", `{"ArnLike":{"aws:PrincipalArn":"*"}}`, "is not an ARN of six parts"},
	{"a short ARN", `{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*"}}`, "is not an ARN of six parts"},
	{"a variable for a whole ARN", `{"ArnLike":{"aws:PrincipalTag/owner":"${aws:PrincipalArn}"}}`, "is not an ARN of six parts"},

	{"a variable in a number", `{"NumericEquals":{"aws:MultiFactorAuthAge":"${aws:EpochTime}"}}`, "only operators for strings and ARNs"},
	{"a variable in a truth value", `{"Bool":{"aws:SecureTransport":"${aws:MultiFactorAuthPresent}"}}`, "only operators for strings and ARNs"},
	{"a variable in an address", `{"IpAddress":{"aws:SourceIp":"${aws:SourceIp}"}}`, "only operators for strings and ARNs"},
	{"a variable in a date", `{"DateEquals":{"aws:CurrentTime":"${aws:TokenIssueTime}"}}`, "only operators for strings and ARNs"},
	{"a variable in binary", `{"BinaryEquals":{"aws:username":"${aws:username}"}}`, "only operators for strings and ARNs"},
	{"a variable in Null", `{"Null":{"aws:username":"${aws:SecureTransport}"}}`, "only operators for strings and ARNs"},
	{"a variable that does not end", `{"StringEquals":{"aws:username":"${aws:userid"}}`, "not written as"},
	{"an empty variable", `{"StringEquals":{"aws:username":"${}"}}`, "not written as"},
	{"a variable with a space", `{"StringEquals":{"aws:username":"${ aws:userid }"}}`, "not written as"},
	{"a default without a space", `{"StringEquals":{"aws:username":"${aws:userid,'x'}"}}`, "not written as"},
	{"a default without quotes", `{"StringEquals":{"aws:username":"${aws:userid, x}"}}`, "not written as"},
	{"a default that does not end", `{"StringEquals":{"aws:username":"${aws:userid, 'x}"}}`, "not written as"},
	{"an unknown variable", `{"StringEquals":{"aws:username":"${aws:nothing}"}}`, "is not a condition key"},
	{"a variable in a variable", `{"StringEquals":{"aws:username":"${aws:PrincipalTag/${aws:userid}}"}}`, "not written as"},
	{"a variable of several values", `{"StringEquals":{"aws:username":"${aws:TagKeys}"}}`, "several values"},
	{"many variables", `{"StringEquals":{"aws:username":"` + strings.Repeat("${aws:userid}", 17) + `"}}`, "more than 16"},
}

func TestParseRefusesConditions(t *testing.T) {
	for _, tt := range refusedConditions {
		wantRefused(t, tt.name, authz.IdentityPolicy, conditions(tt.block), tt.msg)
	}
	for _, key := range []string{"aws:RequestTag/team", "kms:EncryptionContext:app", "aws:username"} {
		block := `{"ForAllValues:StringEquals":{"` + key + `":"a"}}`
		wantRefused(t, "ForAllValues of a single value in an Allow", authz.IdentityPolicy, allowing(block), "OverlyPermissiveCondition")
		mustParse(t, authz.IdentityPolicy, conditions(block))
	}
}

func wantRefused(t *testing.T, name string, kind authz.PolicyKind, doc, msg string) {
	t.Helper()
	p, err := authz.Parse(kind, []byte(doc))
	var fault *authz.SyntaxError
	if p != nil || !errors.As(err, &fault) || !strings.Contains(fault.Msg, msg) {
		t.Errorf("%s: Parse(%v, %.300s) = %t, %v, want an error with %q", name, kind, doc, p != nil, err, msg)
	}
}

// acceptedConditions are Conditions of a Deny and of an Allow.
var acceptedConditions = []string{
	`{"StringEquals":{"aws:username":["a",1,1.50,true,"*",""]}}`,
	`{"StringEquals":{"AWS:UserName":"a","aws:PRINCIPALTAG/x":"b"},"StringEqualsIfExists":{"aws:username":"c"}}`,
	`{"ForAnyValue:StringEquals":{"aws:username":"a"}}`,
	`{"ForAllValues:StringEqualsIfExists":{"aws:TagKeys":"a"}}`,
	`{"StringEquals":{"aws:TagKeys":"a"}}`,
	`{"NumericLessThan":{"aws:MultiFactorAuthAge":[300,"300","-0.5","007"]}}`,
	`{"NumericLessThan":{"aws:EpochTime":1767323045},"DateLessThan":{"aws:EpochTime":"2026-01-02T03:04:05Z"}}`,
	`{"DateLessThan":{"aws:CurrentTime":["2026-01-02","2026-01-02T03:04Z","2026-01-02T03:04:05.1230Z","2026-01-02T03:04:05-23:59","0","20260102"]}}`,
	`{"IpAddress":{"aws:SourceIp":["10.1.2.3/8","10.0.0.1","2001:DB8::/32","::1","0.0.0.0/0"]}}`,
	`{"Bool":{"aws:SecureTransport":"FALSE"},"Null":{"aws:TokenIssueTime":true}}`,
	`{"ArnEquals":{"aws:PrincipalArn":["arn:*:iam::1?2:role/x:y:z","arn:aws:iam::${aws:PrincipalAccount}:role/*"]}}`,
	`{"StringLike":{"aws:userid":["${aws:userid}","${aws:userid, 'none'}","${aws:userid, ''}","${*}${?}${$}","$","$x{","}"]}}`,
	`{"StringEquals":{"aws:SourceVpce":"vpce-1","aws:CalledVia":"x","kms:ViaService":"y"},"Bool":{"aws:ViaAWSService":false}}`,
}

func TestParseAcceptsConditions(t *testing.T) {
	for _, block := range acceptedConditions {
		mustParse(t, authz.IdentityPolicy, conditions(block))
		mustParse(t, authz.IdentityPolicy, allowing(block))
	}
	mustParse(t, authz.IdentityPolicy, strings.Replace(conditions(`{"StringEquals":{"aws:username":"${nothing"}}`), "2012", "2008", 1))
}

func TestParseRefusesWhatAKindDoesNotHave(t *testing.T) {
	const scp, rcp, session, role = authz.ServiceControlPolicy, authz.ResourceControlPolicy, authz.SessionPolicy, authz.TrustPolicy
	tests := []struct {
		name string
		kind authz.PolicyKind
		doc  string
		msg  string
	}{
		{"an Id in a session policy", session, `{"Id":"x","Statement":[]}`, "Id is for policies of resources"},
		{"a Principal in a session policy", session, principal(`"*"`), "remove it"},
		{"a long session policy", session, identityWith(`,"Sid":"` + strings.Repeat("a", 2048) + `"`), "at most 2048 characters"},
		{"a session policy that is long by white space", session, identityWith("") + strings.Repeat(" ", 2048), "at most 2048 characters"},

		{"a service control policy without a Version", scp, identityWith(""), "has a Version"},
		{"a service control policy of the old Version", scp, strings.Replace(control(""), "2012", "2008", 1), `write that`},
		{"a Principal in a service control policy", scp, control(`,"Principal":"*"`), "remove it"},
		{"an Id in a service control policy", scp, `{"Version":"2012-10-17","Id":"x","Statement":[]}`, "Id is for policies of resources"},
		{"a long service control policy", scp, control("") + strings.Repeat(" ", 5120), "at most 5120 bytes"},
		{"a Sid with a space in a service control policy", scp, control(`,"Sid":"a b"`), "letters and digits"},

		{"a resource control policy without a Version", rcp, principal(`"*"`), "has a Version"},
		{"a resource control policy without a Principal", rcp, control(""), "no Principal"},
		{"a resource control policy about an account", rcp, control(`,"Principal":{"AWS":"111122223333"}`), "about everyone"},
		{"a resource control policy about everyone and an account", rcp, control(`,"Principal":{"AWS":["*","111122223333"]}`), "about everyone"},
		{"a resource control policy that allows", rcp, strings.Replace(control(`,"Principal":"*"`), "Deny", "Allow", 1), "only denies"},
		{"RCPFullAWSAccess with a space", rcp, authz.RCPFullAWSAccess + " ", "only denies"},
		{"NotPrincipal in a resource control policy", rcp, control(`,"NotPrincipal":"*"`), "NotPrincipal is not supported"},

		{"a trust policy without a Principal", role, `{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole"}}`, "no Principal"},
		{"a trust policy with a Resource", role, trust(`{"AWS":"111122223333"}`, `"Resource":"*"`), "about the role"},
		{"a trust policy with a NotResource", role, trust(`{"AWS":"111122223333"}`, `"NotResource":"*"`), "about the role"},
		{"a trust policy with NotPrincipal", role, strings.Replace(trust(`{"AWS":"111122223333"}`, `"Sid":""`), "Principal", "NotPrincipal", 1), "NotPrincipal is not supported"},
		{"a trust policy about keys", role, strings.Replace(trust(`{"AWS":"111122223333"}`, `"Sid":""`), "sts:AssumeRole", "kms:Decrypt", 1), "not about assuming a role"},
		{"a trust policy about other sessions", role, strings.Replace(trust(`{"AWS":"111122223333"}`, `"Sid":""`), "sts:AssumeRole", "sts:Get*", 1), "not about assuming a role"},
		{"a trust policy for everyone", role, trust(`"*"`, `"Sid":""`), "needs a Condition"},
		{"a trust policy for everyone among others", role, trust(`{"AWS":["111122223333","*"]}`, `"Sid":""`), "needs a Condition"},
		{"a long trust policy", role, trust(`{"AWS":"111122223333"}`, `"Sid":""`) + strings.Repeat(" ", 4096), "at most 4096 bytes"},
		{"a provider of a service", role, trust(`{"Federated":"cognito-identity.amazonaws.com"}`, `"Sid":""`), "not an OpenID Connect provider"},
		{"a provider of another kind", role, trust(`{"Federated":"arn:aws:iam::111122223333:saml-provider/x"}`, `"Sid":""`), "not an OpenID Connect provider"},
		{"a provider without a host", role, trust(`{"Federated":"arn:aws:iam::111122223333:oidc-provider/"}`, `"Sid":""`), "not an OpenID Connect provider"},
		{"a provider with a wildcard", role, trust(`{"Federated":"arn:aws:iam::111122223333:oidc-provider/*"}`, `"Sid":""`), "not an OpenID Connect provider"},
		{"every provider", role, trust(`{"Federated":"*"}`, `"Sid":""`), "not an OpenID Connect provider"},
		{"a service in a trust policy", role, trust(`{"Service":"ec2.amazonaws.com"}`, `"Sid":""`), "type Service"},
		{"a misspelt key in a trust policy", role, trust(federated, `"Condition":{"StringEquals":{"aws:SourceIpp":"a"}}`), `did you mean "aws:SourceIp"?`},
		{"a key of another service in a trust policy", role, trust(federated, `"Condition":{"StringEquals":{"s3:prefix":"a"}}`), "any service"},
		{"a claim of no name", role, trust(federated, `"Condition":{"StringEquals":{"idp.example:":"a"}}`), "is not a condition key"},

		{"a Resource before the fifth colon with a variable", authz.IdentityPolicy, resource(`"arn:aws:iam::${aws:PrincipalAccount}:user/a"`), "fifth colon"},
		{"a Resource that is a variable", authz.IdentityPolicy, resource(`"${aws:PrincipalArn}"`), "fifth colon"},
		{"a Resource with an unknown variable", authz.IdentityPolicy, resource(`"arn:aws:iam::111122223333:user/${aws:name}"`), "is not a condition key"},
		{"a Resource with a variable of several values", authz.IdentityPolicy, resource(`"arn:aws:iam::111122223333:user/${aws:TagKeys}"`), "several values"},
	}
	for _, tt := range tests {
		wantRefused(t, tt.name, tt.kind, tt.doc, tt.msg)
	}
}

func TestParseAcceptsEveryKind(t *testing.T) {
	mustParse(t, authz.ServiceControlPolicy, authz.FullAWSAccess)
	mustParse(t, authz.ResourceControlPolicy, authz.RCPFullAWSAccess)
	mustParse(t, authz.ResourceControlPolicy, control(`,"Principal":"*","Condition":{"Bool":{"aws:SecureTransport":false}}`))
	mustParse(t, authz.ResourceControlPolicy, control(`,"Principal":{"AWS":"*"}`))
	mustParse(t, authz.ServiceControlPolicy, control("")+strings.Repeat(" ", 5120-len(control(""))))
	mustParse(t, authz.SessionPolicy, identityWith("")+strings.Repeat(" ", 2048-len(identityWith(""))))
	mustParse(t, authz.TrustPolicy, trust(`{"AWS":["111122223333","arn:aws:iam::111122223333:user/a"],"Federated":"arn:aws:iam::111122223333:oidc-provider/localhost:8080/x"}`, `"Sid":"A1"`))
	mustParse(t, authz.TrustPolicy, trust(`"*"`, `"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}`))
	mustParse(t, authz.TrustPolicy, strings.Replace(trust(`"*"`, `"Sid":""`), "Allow", "Deny", 1))
	for _, action := range []string{"sts:*", "*", "STS:assumerole*", "sts:TagSession", "sts:SetSourceIdentity", "sts:AssumeRoleWithWebIdentity"} {
		mustParse(t, authz.TrustPolicy, strings.Replace(trust(`{"AWS":"111122223333"}`, `"Sid":""`), "sts:AssumeRole", action, 1))
	}
	for _, key := range []string{"idp.example/realm:sub", "localhost:aud", "localhost:8080/x:amr", "IDP.example:urn:x", "aws:RequestTag/team"} {
		mustParse(t, authz.TrustPolicy, trust(federated, `"Condition":{"StringEquals":{"`+key+`":"a"}}`))
	}
}

func TestNotPrincipalIsAnOption(t *testing.T) {
	const except = `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*","NotPrincipal":{"AWS":"111122223333"}}}`
	option := authz.Options{AllowNotPrincipal: true}
	p, err := authz.ParseWith(authz.KeyPolicy, []byte(except), option)
	if err != nil || !p.View(1).NotPrincipal {
		t.Fatalf("ParseWith(%s) = %v, want NotPrincipal", except, err)
	}
	for _, tt := range []struct {
		kind authz.PolicyKind
		doc  string
	}{
		{authz.KeyPolicy, strings.Replace(except, "Deny", "Allow", 1)},
		{authz.KeyPolicy, strings.Replace(except, `{"AWS":"111122223333"}`, `"*"`, 1)},
		{authz.KeyPolicy, strings.Replace(except, `"NotPrincipal"`, `"Principal":"*","NotPrincipal"`, 1)},
		{authz.IdentityPolicy, except},
		{authz.ResourceControlPolicy, strings.Replace(except, `{"Statement"`, `{"Version":"2012-10-17","Statement"`, 1)},
		{authz.TrustPolicy, strings.Replace(except, `"*","Resource":"*"`, `"sts:*"`, 1)},
	} {
		if _, err := authz.ParseWith(tt.kind, []byte(tt.doc), option); err == nil || !strings.Contains(err.Error(), "NotPrincipal") {
			t.Errorf("ParseWith(%v, %s) = %v, want an error about NotPrincipal", tt.kind, tt.doc, err)
		}
	}
}
