package diff

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
)

func policy(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// found lists what a Result has in a line each.
func found(list []Access) []string {
	var lines []string
	for _, a := range list {
		sure := "possible"
		if a.Certain {
			sure = "certain"
		}
		lines = append(lines, fmt.Sprintf("%s: %s, %s, on %s, for %s, by %d", sure, strings.Join(a.Actions, " "), a.Through, a.Resource, a.Principal, a.Statement))
	}
	return lines
}

const (
	delegates = `{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:Decrypt","Resource":"*"}`
	aUser     = "a user of account 111122223333"
	aSession  = "a session of a role of account 111122223333"
)

var changes = []struct {
	name          string
	kind          authz.PolicyKind
	old, new      string
	opens, closes []string
}{
	{
		name: "a statement that is written in another way changes nothing", kind: authz.IdentityPolicy,
		old: policy(`{"Effect":"Allow","Action":["kms:Encrypt","kms:Decrypt"],"Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":["a","b"]}}}`),
		new: policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"StringLike":{"AWS:PrincipalTag/TEAM":["b","a"]}}}`,
			`{"Effect":"Allow","Action":"kms:encrypt","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"a"}}}`,
			`{"Effect":"Allow","Action":"kms:encrypt","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"b"}}}`),
	},
	{
		name: "a smaller network closes, and a wider glob opens", kind: authz.IdentityPolicy,
		old:    policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:*:111122223333:key/a*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`),
		new:    policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:*:111122223333:key/*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/9"}}}`),
		opens:  []string{"certain: kms:Decrypt, alone, on key, for " + aUser + ", by 1"},
		closes: []string{"certain: kms:Decrypt, alone, on key, for " + aUser + ", by 1"},
	},
	{
		name: "two halves of a network are the whole", kind: authz.IdentityPolicy,
		old: policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`),
		new: policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/9","10.128.0.0/9"]}}}`),
	},
	{
		name: "numbers and dates that leave nothing between them", kind: authz.IdentityPolicy,
		old: policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"2026-01-01"},"NumericLessThan":{"aws:MultiFactorAuthAge":"900"}}}`),
		new: policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"DateLessThanEquals":{"aws:CurrentTime":"2025-12-31T23:59:59.999Z"},"NumericLessThanEquals":{"aws:MultiFactorAuthAge":"899.5"}}}`),
	},
	{
		name: "the numbers and dates of a request leave nothing between them either", kind: authz.IdentityPolicy,
		old: policy(`{"Effect":"Allow","Action":"kms:ScheduleKeyDeletion","Resource":"*","Condition":{"NumericGreaterThan":{"kms:ScheduleKeyDeletionPendingWindowInDays":"6"}}}`,
			`{"Effect":"Allow","Action":"kms:ImportKeyMaterial","Resource":"*","Condition":{"DateLessThan":{"kms:ValidTo":"2026-01-01"}}}`),
		new: policy(`{"Effect":"Allow","Action":"kms:ScheduleKeyDeletion","Resource":"*","Condition":{"NumericGreaterThanEquals":{"kms:ScheduleKeyDeletionPendingWindowInDays":"7"}}}`,
			`{"Effect":"Allow","Action":"kms:ImportKeyMaterial","Resource":"*","Condition":{"DateLessThanEquals":{"kms:ValidTo":"2025-12-31T23:59:59.999Z"}}}`),
	},
	{
		name: "a shorter waiting period opens, and material that must end sooner closes", kind: authz.IdentityPolicy,
		old: policy(`{"Effect":"Allow","Action":"kms:ScheduleKeyDeletion","Resource":"*","Condition":{"NumericGreaterThanEquals":{"kms:ScheduleKeyDeletionPendingWindowInDays":"30"}}}`,
			`{"Effect":"Allow","Action":"kms:ImportKeyMaterial","Resource":"*","Condition":{"DateLessThan":{"kms:ValidTo":"2027-01-01"}}}`),
		new: policy(`{"Effect":"Allow","Action":"kms:ScheduleKeyDeletion","Resource":"*","Condition":{"NumericGreaterThanEquals":{"kms:ScheduleKeyDeletionPendingWindowInDays":"7"}}}`,
			`{"Effect":"Allow","Action":"kms:ImportKeyMaterial","Resource":"*","Condition":{"DateLessThan":{"kms:ValidTo":"2026-01-01"}}}`),
		opens:  []string{"certain: kms:ScheduleKeyDeletion, alone, on key, for " + aUser + ", by 1"},
		closes: []string{"certain: kms:ImportKeyMaterial, alone, on key, for " + aUser + ", by 2"},
	},
	{
		name: "IfExists lets in who does not have the key", kind: authz.IdentityPolicy,
		old:   policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}}`),
		new:   policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":"true"}}}`),
		opens: []string{"certain: kms:Decrypt, alone, on key, for " + aUser + ", by 1"},
	},
	{
		name: "IfExists on what every request has changes nothing", kind: authz.IdentityPolicy,
		old: policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`),
		new: policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"IpAddressIfExists":{"aws:SourceIp":"10.0.0.0/8"}}}`),
	},
	{
		name: "a key that the action's requests never have changes nothing", kind: authz.IdentityPolicy,
		old: policy(`{"Effect":"Deny","Action":"kms:ListKeys","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:a":"b"}}}`),
		new: policy(`{"Effect":"Deny","Action":"kms:ListKeys","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:a":"c"}}}`),
	},
	{
		name: "a Deny that goes opens what others allow", kind: authz.IdentityPolicy,
		old:   policy(`{"Effect":"Deny","Action":"kms:DisableKey","Resource":"*"}`, `{"Effect":"Deny","Action":"kms:DeleteAlias","Resource":"arn:aws:kms:*:111122223333:alias/a"}`),
		new:   policy(`{"Effect":"Deny","Action":"kms:DeleteAlias","Resource":"arn:aws:kms:*:111122223333:alias/*"}`),
		opens: []string{"certain: kms:DisableKey, undenied, on key, for " + aUser + ", by 1"},
		closes: []string{
			"certain: kms:DeleteAlias, undenied, on alias, for " + aUser + ", by 1",
		},
	},
	{
		name: "what was allowed but denied is allowed where the Deny is narrower", kind: authz.IdentityPolicy,
		old:   policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}`, `{"Effect":"Deny","Action":"kms:Decrypt","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`),
		new:   policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}`, `{"Effect":"Deny","Action":"kms:Decrypt","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","192.168.0.0/16"]}}}`),
		opens: []string{"certain: kms:Decrypt, alone, on key, for " + aUser + ", by 1"},
	},
	{
		name: "only a context whose names differ in case tells one statement from two", kind: authz.IdentityPolicy,
		old: policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:app":"a"}}}`,
			`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:app":"b"}}}`),
		new:   policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:app":["a","b"]}}}`),
		opens: []string{"certain: kms:Decrypt, alone, on key, for " + aUser + ", by 1"},
	},
	{
		name: "ForAllValues without Null lets in requests without a context", kind: authz.IdentityPolicy,
		old:   policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":"app"},"Null":{"kms:EncryptionContextKeys":"false"}}}`),
		new:   policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":"app"}}}`),
		opens: []string{"certain: kms:Decrypt, alone, on key, for " + aUser + ", by 1"},
	},
	{
		name: "the names of a context and its pairs belong together", kind: authz.IdentityPolicy,
		old:   policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"kms:EncryptionContextKeys":"app"}}}`),
		new:   policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"kms:EncryptionContextKeys":["app","APP"]},"Null":{"kms:EncryptionContext:app":"false"}}}`),
		opens: []string{"certain: kms:Decrypt, alone, on key, for " + aUser + ", by 1"}, // {"APP": …}
	},
	{
		name: "a variable where there was a wildcard", kind: authz.IdentityPolicy,
		old:    policy(`{"Effect":"Allow","Action":"kms:DeleteAlias","Resource":"arn:aws:kms:*:111122223333:alias/*"}`),
		new:    policy(`{"Effect":"Allow","Action":"kms:DeleteAlias","Resource":"arn:aws:kms:*:111122223333:alias/${aws:PrincipalTag/team}"}`),
		closes: []string{"certain: kms:DeleteAlias, alone, on alias, for " + aUser + ", by 1"},
	},
	{
		name: "a variable that takes the place of a tag's name", kind: authz.IdentityPolicy,
		old:   policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"blue"}}}`),
		new:   policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":["blue","${aws:PrincipalTag/team}"]}}}`),
		opens: []string{"certain: kms:Decrypt, alone, on key, for " + aUser + ", by 1"},
	},
	{
		name: "a key policy that names a role lets its sessions in without an identity policy", kind: authz.KeyPolicy,
		old: policy(delegates),
		new: policy(delegates, `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/batch"},"Action":"kms:Decrypt","Resource":"*"}`),
		opens: []string{
			"certain: kms:Decrypt, alone, on key, for a session of arn:aws:iam::111122223333:role/batch, by 2",
		},
	},
	{
		name: "a session instead of its role is past its limits", kind: authz.KeyPolicy,
		old: policy(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/batch"},"Action":"kms:Decrypt","Resource":"*"}`),
		new: policy(`{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:role/batch","arn:aws:sts::111122223333:assumed-role/batch/night"]},"Action":"kms:Decrypt","Resource":"*"}`),
		opens: []string{
			"certain: kms:Decrypt, past-limits, on key, for arn:aws:sts::111122223333:assumed-role/batch/night, by 1",
		},
	},
	{
		name: "another account needs identity policies too", kind: authz.KeyPolicy,
		old: policy(delegates),
		new: policy(delegates, `{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"a"}}}`),
		opens: []string{
			"certain: kms:Encrypt kms:Decrypt kms:ReEncryptFrom kms:ReEncryptTo kms:GenerateDataKey kms:GenerateDataKeyWithoutPlaintext kms:DescribeKey kms:CreateGrant kms:ListGrants kms:RevokeGrant kms:Sign kms:Verify kms:GenerateMac kms:VerifyMac kms:GetPublicKey kms:DeriveSharedSecret kms:Encapsulate kms:Decapsulate kms:GenerateDataKeyPair kms:GenerateDataKeyPairWithoutPlaintext kms:GetKeyRotationStatus, with-identity, on key, for a user of account 444455556666, by 2",
			"certain: kms:Encrypt kms:Decrypt kms:ReEncryptFrom kms:ReEncryptTo kms:GenerateDataKey kms:GenerateDataKeyWithoutPlaintext kms:DescribeKey kms:CreateGrant kms:ListGrants kms:RevokeGrant kms:Sign kms:Verify kms:GenerateMac kms:VerifyMac kms:GetPublicKey kms:DeriveSharedSecret kms:Encapsulate kms:Decapsulate kms:GenerateDataKeyPair kms:GenerateDataKeyPairWithoutPlaintext kms:GetKeyRotationStatus, with-identity, on key, for a session of a role of account 444455556666, by 2",
			"certain: kms:Encrypt kms:Decrypt kms:ReEncryptFrom kms:ReEncryptTo kms:GenerateDataKey kms:GenerateDataKeyWithoutPlaintext kms:DescribeKey kms:CreateGrant kms:ListGrants kms:RevokeGrant kms:Sign kms:Verify kms:GenerateMac kms:VerifyMac kms:GetPublicKey kms:DeriveSharedSecret kms:Encapsulate kms:Decapsulate kms:GenerateDataKeyPair kms:GenerateDataKeyPairWithoutPlaintext kms:GetKeyRotationStatus, alone, on key, for the root user of account 444455556666, by 2",
		},
	},
	{
		name: "whom a role trusts", kind: authz.TrustPolicy,
		old:   policy(`{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/ci.example"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"ci.example:aud":"kmsd","ci.example:sub":"build"}}}`),
		new:   policy(`{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/ci.example"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"ci.example:aud":"kmsd"},"StringLike":{"ci.example:sub":"build*"}}}`),
		opens: []string{"certain: sts:AssumeRoleWithWebIdentity, alone, on role, for a web identity of arn:aws:iam::111122223333:oidc-provider/ci.example, by 1"},
	},
	{
		name: "a second Region in a guardrail", kind: authz.ServiceControlPolicy,
		old:   policy(`{"Effect":"Deny","Action":"kms:CreateKey","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":"eu-central-1"}}}`),
		new:   policy(`{"Effect":"Deny","Action":"kms:CreateKey","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":["eu-central-1","us-east-1"]}}}`),
		opens: []string{"certain: kms:CreateKey, undenied, on none, for " + aUser + ", by 1"},
	},
	{
		name: "a perimeter with a hole", kind: authz.ResourceControlPolicy,
		old:   policy(`{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*","Condition":{"StringNotEqualsIfExists":{"aws:PrincipalOrgID":"o-a"}}}`),
		new:   policy(`{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*","Condition":{"StringNotLikeIfExists":{"aws:PrincipalOrgID":"o-a*"}}}`),
		opens: []string{"certain: kms:Decrypt, undenied, on key, for " + aUser + ", by 1"},
	},
	{
		name: "a request for tags of no resource has no spec of a key", kind: authz.SessionPolicy,
		old:   policy(`{"Effect":"Allow","Action":["kms:CreateKey","kms:TagResource"],"NotResource":"arn:aws:kms:*","Condition":{"Null":{"kms:KeySpec":"false"}}}`),
		new:   policy(`{"Effect":"Allow","Action":["kms:CreateKey","kms:TagResource"],"NotResource":"arn:aws:kms:*"}`),
		opens: []string{"certain: kms:TagResource, alone, on none, for " + aSession + ", by 1"},
	},
	{
		name: "another partition", kind: authz.IdentityPolicy,
		old:    policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws-cn:kms:*:111122223333:key/a*"}`),
		new:    policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws-cn:kms:*:111122223333:key/*","Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws-cn:iam::*:user/b*"}}}`),
		opens:  []string{"certain: kms:Decrypt, alone, on key, for " + aUser + ", by 1"},
		closes: []string{"certain: kms:Decrypt, alone, on key, for " + aUser + ", by 1"},
	},
	{
		name: "a session policy with one action more", kind: authz.SessionPolicy,
		old:   policy(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}`),
		new:   policy(`{"Effect":"Allow","Action":["kms:Decrypt","kms:Encrypt"],"Resource":"*"}`),
		opens: []string{"certain: kms:Encrypt, alone, on key, for " + aSession + ", by 1"},
	},
}

func TestChanges(t *testing.T) {
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			r, err := Compare(c.kind, []byte(c.old), []byte(c.new), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := found(r.Opens); !slices.Equal(got, c.opens) {
				t.Errorf("opens\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.opens, "\n"))
			}
			if got := found(r.Closes); !slices.Equal(got, c.closes) {
				t.Errorf("closes\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.closes, "\n"))
			}
			if r.TooComplex {
				t.Error("it was too complex")
			}
			back, err := Compare(c.kind, []byte(c.new), []byte(c.old), Options{})
			if err != nil || len(back.Opens) != len(r.Closes) || len(back.Closes) != len(r.Opens) {
				t.Errorf("the other way round %d are opened and %d closed, error %v", len(back.Opens), len(back.Closes), err)
			}
		})
	}
}

// Of each condition key that requests have, Compare tries values: what it does not know how to choose is possible for ever.
func TestEveryConditionKeyIsTried(t *testing.T) {
	tried := map[string]bool{"aws:userid": true, "aws:ResourceAccount": true} // Compare does not see that these are always there
	for a := range authz.Actions() {
		for _, k := range authz.ContextKeys(a) {
			if tried[k.Name] || k.Name == "${k}" || strings.HasPrefix(a.String(), "sts:AssumeRole") {
				continue
			}
			tried[k.Name] = true
			name := strings.Replace(k.Name, "${k}", "app", 1)
			with := `{"Effect":"Allow","Action":"` + a.String() + `","Resource":"*","Condition":{"Null":{"` + name + `":"%s"}}}`
			r, err := Compare(authz.IdentityPolicy, []byte(policy(fmt.Sprintf(with, "false"))), []byte(policy(fmt.Sprintf(with, "true"))), Options{})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if len(r.Opens)+len(r.Closes) == 0 {
				t.Errorf("%s is never there and never absent in requests for %v", name, a)
			}
			for _, x := range append(r.Opens, r.Closes...) {
				if !x.Certain {
					t.Errorf("%s of %v is not tried: %+v", name, a, x)
				}
			}
		}
	}
	if len(tried) < 50 {
		t.Fatalf("%d keys are tried: the search is broken", len(tried))
	}
}

func TestAPolicyComparedWithItselfChangesNothing(t *testing.T) {
	for _, c := range changes {
		if r, err := Compare(c.kind, []byte(c.old), []byte(c.old), Options{}); err != nil || len(r.Opens)+len(r.Closes) != 0 {
			t.Errorf("%s: Compare(old, old) = %+v, %v", c.name, r, err)
		}
	}
}

func TestAnExampleIsARequest(t *testing.T) {
	c := changes[1]
	r, err := Compare(c.kind, []byte(c.old), []byte(c.new), Options{})
	if err != nil || len(r.Opens) != 1 {
		t.Fatalf("Compare = %+v, %v", r, err)
	}
	got, err := json.Marshal(r.Opens[0].Example)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"principal":"arn:aws:iam::111122223333:user/someone","action":"kms:Decrypt","resource":"arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",` +
		`"context":[{"key":"aws:SourceIp","type":"IPAddress","values":["10.0.0.0"]}]}`
	if string(got) != want {
		t.Errorf("the example is %s, want %s", got, want)
	}
}

func TestCompareIsStable(t *testing.T) {
	for _, c := range changes {
		first, _ := Compare(c.kind, []byte(c.old), []byte(c.new), Options{})
		want, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			next, _ := Compare(c.kind, []byte(c.old), []byte(c.new), Options{})
			if got, err := json.Marshal(next); err != nil || string(got) != string(want) {
				t.Fatalf("%s: Compare gives %s, and then %s", c.name, want, got)
			}
		}
	}
}

func TestCompareRefuses(t *testing.T) {
	good := []byte(changes[0].old)
	if _, err := Compare(authz.IdentityPolicy, good, []byte("{}"), Options{}); !errors.Is(err, authz.ErrMalformedPolicy) || !strings.Contains(err.Error(), "new policy") {
		t.Errorf("Compare of {} = %v", err)
	}
	if _, err := Compare(authz.IdentityPolicy, good, good, Options{Account: "12"}); err == nil || errors.Is(err, authz.ErrMalformedPolicy) {
		t.Errorf("Compare for account 12 = %v", err)
	}
	if _, err := Compare(0, good, good, Options{}); !errors.Is(err, authz.ErrMalformedPolicy) {
		t.Errorf("Compare of no kind = %v", err)
	}
}

// hostile are pairs of documents that are made to cost.
func hostile() map[string][2]string {
	var actions, globs, keys, users, statements []string
	for i := range 200 {
		actions = append(actions, fmt.Sprintf(`"kms:*%c*"`, 'a'+i%26))
		globs = append(globs, fmt.Sprintf(`"*%c*%c*%c*"`, 'a'+i%26, 'a'+i/3%26, 'a'+i/7%26))
		keys = append(keys, fmt.Sprintf(`"arn:aws:kms:*:111122223333:key/*%d*%d*"`, i, i%7))
		users = append(users, fmt.Sprintf(`"arn:aws:iam::%012d:user/u%d"`, i%30, i))
		if i < 190 {
			statements = append(statements, fmt.Sprintf(`{"Effect":%q,"Principal":{"AWS":"arn:aws:iam::111122223333:user/u%d"},"Action":"*","Resource":"*","Condition":{"StringLike":{"aws:PrincipalTag/t%d":"*%d*"}}}`,
				[]string{"Allow", "Deny"}[i%2], i%50, i%9, i))
		}
	}
	list := func(l []string, n int) string { return "[" + strings.Join(l[:n], ",") + "]" }
	one := func(action, resource, condition string) string {
		return policy(`{"Effect":"Allow","Principal":"*","Action":` + action + `,"Resource":` + resource + condition + `}`)
	}
	tag := func(n int) string {
		return `,"Condition":{"StringLike":{"aws:PrincipalTag/a":` + list(globs, n) + `},"ForAnyValue:StringLike":{"aws:TagKeys":` + list(globs, n/2) + `}}`
	}
	return map[string][2]string{
		"globs":      {one(`"*"`, `"*"`, tag(60)), one(`"*"`, `"*"`, tag(58))},
		"resources":  {one(`"*"`, list(keys, 190), ""), one(`"*"`, list(keys, 189), "")},
		"actions":    {one(list(actions, 200), `"*"`, ""), one(list(actions, 20), `"*"`, tag(3))},
		"principals": {policy(`{"Effect":"Allow","Principal":{"AWS":` + list(users, 200) + `},"Action":"kms:*","Resource":"*"}`), policy(`{"Effect":"Allow","Principal":{"AWS":` + list(users, 199) + `},"Action":"kms:*","Resource":"*"}`)},
		"statements": {policy(statements...), policy(statements[:189]...)},
		"variables": {
			one(`"kms:*"`, `"*"`, `,"Condition":{"StringLike":{"aws:PrincipalTag/a":"`+strings.Repeat("${aws:PrincipalTag/b}*", 12)+`","aws:PrincipalTag/b":"`+strings.Repeat("${aws:ResourceTag/c}*", 12)+`"}}`),
			one(`"kms:*"`, `"*"`, `,"Condition":{"StringLike":{"aws:PrincipalTag/a":"`+strings.Repeat("${aws:PrincipalTag/b}*", 13)+`","aws:PrincipalTag/b":"`+strings.Repeat("${aws:ResourceTag/c}*", 11)+`"}}`),
		},
	}
}

func TestCompareIsBounded(t *testing.T) {
	for name, pair := range hostile() {
		t.Run(name, func(t *testing.T) {
			from := time.Now()
			r, err := Compare(authz.KeyPolicy, []byte(pair[0]), []byte(pair[1]), Options{})
			if err != nil {
				t.Fatal(err)
			}
			took := time.Since(from)
			t.Logf("%d opened, %d closed, too complex: %v, after %v", len(r.Opens), len(r.Closes), r.TooComplex, took)
			if took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
			if len(r.Closes)+len(r.Opens) == 0 && !r.TooComplex {
				t.Error("nothing is opened or closed, and it was not too complex to tell")
			}
			few, err := Compare(authz.KeyPolicy, []byte(pair[0]), []byte(pair[1]), Options{Steps: 50})
			if err != nil || !few.TooComplex {
				t.Errorf("with 50 steps it is too complex: %v, error %v", few.TooComplex, err)
			}
		})
	}
}

func FuzzCompare(f *testing.F) {
	for _, c := range changes {
		f.Add(byte(c.kind), c.old, c.new)
	}
	f.Fuzz(func(t *testing.T, kind byte, old, changed string) {
		r, err := Compare(authz.PolicyKind(kind), []byte(old), []byte(changed), Options{Steps: 100_000})
		if err != nil {
			if r.Opens != nil || r.Closes != nil {
				t.Errorf("a result beside the error %v", err)
			}
			return
		}
		for _, a := range slices.Concat(r.Opens, r.Closes) {
			if a.Certain != (a.Example != nil) || len(a.Actions) == 0 || a.Statement < 1 {
				t.Errorf("Compare finds %+v", a)
			}
		}
		if old == changed && len(r.Opens)+len(r.Closes) > 0 {
			t.Errorf("a policy compared with itself opens %+v", r.Opens)
		}
	})
}
