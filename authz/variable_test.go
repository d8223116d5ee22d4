package authz

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// aliceAsks is a request in which variables have values.
func aliceAsks() request {
	q := request{
		caller: &Caller{
			Kind: User, Account: "111122223333", ID: "AIDAALICE00000000001", UserName: "alice", ARN: "arn:aws:iam::111122223333:user/alice",
			Tags: NewPairs(map[string]string{"team": "red", "star": "*", "colon": "a:b", "empty": "", "É": "É"}),
		},
		resource: &Resource{Kind: IAMEntity, Account: "111122223333", Tags: NewPairs(map[string]string{"team": "red"})},
		context: &Context{
			Time: time.UnixMilli(1767323045500), SourceIP: netip.MustParseAddr("::ffff:10.0.0.1"), SecureTransport: true,
			EncryptionContext: NewPairs(map[string]string{"App": "a", "app": "b"}),
		},
	}
	q.target.budget = maxSteps
	return q
}

func TestVariablesInValues(t *testing.T) {
	tests := []struct {
		value, operator string // compared with aws:RequestTag/k
		request         string
		want            bool
	}{
		{"${aws:username}", "StringEquals", "alice", true},
		{"${aws:username}", "StringEquals", "Alice", false},
		{"${aws:username}", "StringEquals", "alice2", false},
		{"${AWS:UserName}", "StringEquals", "alice", true},
		{"x-${aws:username}-${aws:PrincipalTag/TEAM}", "StringEquals", "x-alice-red", true},
		{"${aws:username}", "StringEqualsIgnoreCase", "ALICE", true},
		{"É${aws:PrincipalTag/é}é", "StringEqualsIgnoreCase", "éÉÉ", true},
		{"É${aws:PrincipalTag/é}é", "StringEqualsIgnoreCase", "éÉ", false},
		{"${aws:CurrentTime}", "StringEqualsIgnoreCase", "2026-01-02t03:04:05z", true},
		{"${aws:username}*", "StringLike", "alice/x", true},
		{"*${aws:username}*x", "StringLike", "alialice:yx", true},
		{"${aws:username}*", "StringEquals", "alice*", true},
		{"${aws:username}*", "StringEquals", "alice/", false},
		{"?${aws:username}", "StringLike", "éalice", true},

		// A value of the request has no wildcards.
		{"${aws:PrincipalTag/star}", "StringLike", "anything", false},
		{"${aws:PrincipalTag/star}", "StringLike", "*", true},
		{"a${aws:PrincipalTag/star}*", "StringLike", "a*b", true},
		{"${*}${?}${$}", "StringLike", "*?$", true},
		{"${*}${?}${$}", "StringLike", "xyz", false},
		{"${*}*", "StringLike", "*anything", true},
		{"${*}", "StringEquals", "*", true},
		{"$${*}{", "StringEquals", "$*{", true},

		// Without a value there is no match, unless there is a default.
		{"${aws:PrincipalTag/none}", "StringEquals", "", false},
		{"${aws:PrincipalTag/none}*", "StringLike", "anything", false},
		{"*${aws:PrincipalTag/none}", "StringLike", "", false},
		{"${aws:PrincipalTag/none}", "StringNotEquals", "anything", true},
		{"${aws:PrincipalTag/none}*", "StringNotLike", "anything", true},
		{"${aws:PrincipalTag/none}", "StringNotEqualsIgnoreCase", "anything", true},
		{"${aws:PrincipalTag/none, 'dflt'}", "StringEquals", "dflt", true},
		{"${aws:PrincipalTag/none, '*'}", "StringLike", "anything", false},
		{"${aws:PrincipalTag/none, ''}x", "StringLike", "x", true},
		{"${aws:PrincipalTag/none, 'a}, b'}", "StringEquals", "a}, b", true},
		{"${aws:PrincipalTag/team, 'dflt'}", "StringEquals", "red", true},
		{"${aws:PrincipalTag/empty}", "StringEquals", "", true},
		{"${aws:PrincipalTag/empty, 'x'}", "StringEquals", "x", false},
		{"*${aws:PrincipalTag/empty}${aws:PrincipalTag/empty}", "StringLike", "x", true},

		// Values that are not text.
		{"${aws:SecureTransport}", "StringEquals", "true", true},
		{"${aws:EpochTime}", "StringEquals", "1767323045", true},
		{"${aws:CurrentTime}", "StringEquals", "2026-01-02T03:04:05Z", true},
		{"${aws:SourceIp}", "StringEquals", "10.0.0.1", true},
		{"a${aws:SourceIp}", "StringEquals", "a10.0.0.2", false},
		{"${aws:MultiFactorAuthAge}", "StringEquals", "0", false},
		{"${aws:Referer}", "StringEquals", "", false},

		// ARNs are compared part by part.
		{"arn:aws:iam::${aws:PrincipalAccount}:user/*", "ArnLike", "arn:aws:iam::111122223333:user/a:b", true},
		{"arn:aws:iam::${aws:PrincipalAccount}:user/*", "ArnEquals", "arn:aws:iam::444455556666:user/a", false},
		{"arn:aws:iam:${aws:PrincipalTag/colon}:1:x", "ArnLike", "arn:aws:iam:a:b:1:x", false},
		{"arn:aws:iam:${aws:PrincipalTag/empty}:1:x", "ArnLike", "arn:aws:iam::1:x", true},
		{"arn:aws:iam::*:${aws:PrincipalTag/colon}", "ArnLike", "arn:aws:iam::1:a:b", true},
		{"arn:aws:iam::*:${aws:PrincipalTag/star}", "ArnLike", "arn:aws:iam::1:a", false},
		{"arn:aws:iam::*:${aws:PrincipalTag/none}", "ArnNotLike", "arn:aws:iam::1:a", true},
	}
	for _, tt := range tests {
		c := conditionOf(t, `{"`+tt.operator+`":{"aws:RequestTag/k":"`+tt.value+`"}}`)
		for _, effect := range []Verdict{Allow, Deny} {
			q := aliceAsks()
			q.context.RequestTags = NewPairs(map[string]string{"k": tt.request})
			if got := c.holds(&q, effect); got != tt.want {
				t.Errorf("%v: %s %q with %q = %v, want %v", effect, tt.operator, tt.value, tt.request, got, tt.want)
			}
		}
	}
}

func TestVariablesOfSeveralValuesCountAgainstTheCaller(t *testing.T) {
	values := map[string]string{
		"StringEquals": "${kms:EncryptionContext:APP}", "StringNotEquals": "${kms:EncryptionContext:APP}", "StringLike": "*${kms:EncryptionContext:APP}",
		"StringNotLike": "*${kms:EncryptionContext:APP}", "StringEqualsIgnoreCase": "${kms:EncryptionContext:APP}",
		"StringNotEqualsIgnoreCase": "${kms:EncryptionContext:APP}",
	}
	for operator, value := range values {
		c := conditionOf(t, `{"`+operator+`":{"aws:RequestTag/k":["z","`+value+`"]}}`)
		for _, value := range []string{"a", "b", "c"} {
			q := aliceAsks()
			q.context.RequestTags = NewPairs(map[string]string{"k": value})
			if c.holds(&q, Allow) {
				t.Errorf("an Allow with %s holds for %q", operator, value)
			}
			if !c.holds(&q, Deny) {
				t.Errorf("a Deny with %s does not hold for %q", operator, value)
			}
		}
	}
	for _, tt := range []struct {
		element string
		effect  Verdict
		want    bool
	}{{"Resource", Allow, false}, {"Resource", Deny, true}, {"NotResource", Allow, false}, {"NotResource", Deny, true}} {
		if got := resourceCovers(t, tt.effect, tt.element, "arn:aws:iam::111122223333:user/${kms:EncryptionContext:app}", "arn:aws:iam::111122223333:user/a"); got != tt.want {
			t.Errorf("%v %s with a variable of two values covers = %v, want %v", tt.effect, tt.element, got, tt.want)
		}
	}
}

func resourceCovers(t *testing.T, effect Verdict, element, value, arn string) bool {
	t.Helper()
	word := map[Verdict]string{Allow: "Allow", Deny: "Deny"}[effect]
	p := parseFor(t, IdentityPolicy, `{"Version":"2012-10-17","Statement":{"Effect":"`+word+`","Action":"*","`+element+`":"`+value+`"}}`)
	q := aliceAsks()
	q.target = newTarget(arn)
	return p.stmts[0].covers(&q)
}

func TestVariablesInResources(t *testing.T) {
	const user = "arn:aws:iam::111122223333:user/"
	tests := []struct {
		pattern, arn string
		want         bool
	}{
		{user + "${aws:username}", user + "alice", true},
		{user + "${aws:username}", user + "bob", false},
		{user + "${aws:username}", user + "alice2", false},
		{user + "${aws:username}/*", user + "alice/x", true},
		{"arn:aws:iam::*:user/${aws:username}", user + "alice", true},
		{"arn:aws:iam::*:${aws:PrincipalTag/star}", user + "alice", false},
		{"arn:aws:iam::*:user/${aws:PrincipalTag/star}", user + "*", true},
		{user + "${aws:PrincipalTag/none}", user, false},
		{user + "${aws:PrincipalTag/none}*", user + "alice", false},
		{user + "${aws:PrincipalTag/none, 'alice'}", user + "alice", true},
		{user + "${*}", user + "alice", false},
		{user + "${*}", user + "*", true},
	}
	for _, tt := range tests {
		if got := resourceCovers(t, Allow, "Resource", tt.pattern, tt.arn); got != tt.want {
			t.Errorf("Resource %q covers %q = %v, want %v", tt.pattern, tt.arn, got, tt.want)
		}
		if got := resourceCovers(t, Deny, "NotResource", tt.pattern, tt.arn); got == tt.want {
			t.Errorf("NotResource %q covers %q = %v, want %v", tt.pattern, tt.arn, got, !tt.want)
		}
	}
}

func TestTheOldVersionHasNoVariables(t *testing.T) {
	p := parseFor(t, IdentityPolicy, `{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam::111122223333:user/${aws:username}",
		"Condition":{"StringEquals":{"aws:RequestTag/k":"${aws:username}"}}}}`)
	for _, tt := range []struct {
		name string
		want bool
	}{{"alice", false}, {"${aws:username}", true}} {
		q := aliceAsks()
		q.target = newTarget("arn:aws:iam::111122223333:user/" + tt.name)
		q.context.RequestTags = NewPairs(map[string]string{"k": tt.name})
		if got := p.stmts[0].covers(&q) && p.stmts[0].conditionsHold(&q); got != tt.want {
			t.Errorf("a policy of 2008 with a variable's characters matches %q = %v, want %v", tt.name, got, tt.want)
		}
	}
	if p.Version() != "2008-10-17" {
		t.Errorf("Version() = %q, want 2008-10-17", p.Version())
	}
}

// TestManyTextsAreFound compares the hash of many values with the list of few.
func TestManyTextsAreFound(t *testing.T) {
	var list []string
	for i := range 60 {
		list = append(list, strings.Repeat("x", i))
	}
	c := conditionOf(t, `{"StringEquals":{"aws:RequestTag/k":["`+strings.Join(list, `","`)+`","${aws:username}"]}}`)
	for _, tt := range []struct {
		value string
		want  bool
	}{{"", true}, {"xxx", true}, {"alice", true}, {strings.Repeat("x", 60), false}, {"y", false}} {
		q := aliceAsks()
		q.context.RequestTags = NewPairs(map[string]string{"k": tt.value})
		if got := c.holds(&q, Allow); got != tt.want {
			t.Errorf("one of 61 values is %q = %v, want %v", tt.value, got, tt.want)
		}
	}
}
