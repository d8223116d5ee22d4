package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func TestContextTypes(t *testing.T) {
	for _, tt := range []struct{ given, want string }{
		{"aws:SourceIp=10.0.0.1", "IP"},
		{"aws:SourceIp=10.0.0.1,2001:db8::1", "IP_LIST"},
		{"aws:MultiFactorAuthPresent=true", "BOOLEAN"},
		{"aws:CurrentTime=2026-11-23T15:04:05Z", "DATE"},
		{"aws:EpochTime=1795461713", "NUMERIC"},
		{"sts:ExternalId=12345", "STRING"},
		{"kms:EncryptionContext:tenant=42", "STRING"},
		{"KMS:encryptioncontext:tenant=true", "STRING"},
		{"aws:PrincipalTag/level=3", "STRING"},
		{"aws:PrincipalAccount=111122223333", "STRING"},
		{"aws:TagKeys=a,b", "STRING_LIST"},
		{"kms:ViaService=x=y", "STRING"},
		{"aws:UserAgent=", "STRING"},
		{"x=1,true", "STRING_LIST"},
	} {
		got, err := contextEntries([]string{tt.given})
		if err != nil || len(got) != 1 || trimEnum(got[0].GetContextKeyType(), "CONTEXT_KEY_TYPE_") != tt.want {
			t.Errorf("contextEntries(%q) = %v, %v, want the type %s", tt.given, got, err, tt.want)
		}
	}
	for _, bad := range []string{"", "x", "=1"} {
		if got, err := contextEntries([]string{bad}); err == nil {
			t.Errorf("contextEntries(%q) = %v, want an error", bad, got)
		}
	}
}

func TestOperationsOfGrants(t *testing.T) {
	n := 0
	for value := range kmsv1.GrantOperation_name {
		o := kmsv1.GrantOperation(value)
		if value == 0 {
			continue
		}
		n++
		got, err := operationsOf([]string{operationName(o)})
		if err != nil || len(got) != 1 || got[0] != o {
			t.Errorf("operationsOf(%s) = %v, %v, want %v", operationName(o), got, err, o)
		}
	}
	if got := operationName(kmsv1.GrantOperation_GRANT_OPERATION_GENERATE_DATA_KEY_WITHOUT_PLAINTEXT); got != "GenerateDataKeyWithoutPlaintext" || n < 10 {
		t.Errorf("operationName = %s, want AWS's spelling; %d operations", got, n)
	}
	if got, err := operationsOf([]string{"Unspecified"}); err == nil {
		t.Errorf("operationsOf(Unspecified) = %v, want an error", got)
	}
}

func TestDecisionNames(t *testing.T) {
	for d, want := range map[iamv1.PolicyEvaluationDecisionType]string{
		iamv1.PolicyEvaluationDecisionType_POLICY_EVALUATION_DECISION_TYPE_ALLOWED: "allowed", iamv1.PolicyEvaluationDecisionType_POLICY_EVALUATION_DECISION_TYPE_EXPLICIT_DENY: "explicitDeny",
	} {
		if got := decisionName(d); got != want {
			t.Errorf("decisionName(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestAnExplanationIsATree(t *testing.T) {
	v := viewOfExplanation(iamv1.Explanation_builder{
		PrincipalArn: "arn:aws:iam::1:user/a\x1b[2J", Action: "kms:Decrypt", ResourceArn: "arn:k", Decision: iamv1.PolicyEvaluationDecisionType_POLICY_EVALUATION_DECISION_TYPE_IMPLICIT_DENY,
		Reason: "no statement allows it", MissingContextValues: []string{"aws:PrincipalTag/team"},
		NearestMiss: iamv1.NearestMiss_builder{PolicyId: "app", Statement: 2, Element: "Condition.StringEquals.aws:PrincipalTag/team", Needed: "ops"}.Build(),
		Layers: []*iamv1.LayerResult{
			iamv1.LayerResult_builder{Layer: "service control policy", PolicyId: "p-1", Result: iamv1.PolicyEvaluationDecisionType_POLICY_EVALUATION_DECISION_TYPE_ALLOWED, Statements: []*iamv1.StatementResult{
				iamv1.StatementResult_builder{Index: 1, Effect: "Allow", Matches: true}.Build(),
			}}.Build(),
			iamv1.LayerResult_builder{Layer: "identity-based policy", PolicyId: "app\x07", Result: iamv1.PolicyEvaluationDecisionType_POLICY_EVALUATION_DECISION_TYPE_IMPLICIT_DENY, Statements: []*iamv1.StatementResult{
				iamv1.StatementResult_builder{
					Index: 2, Sid: "Ops", Effect: "Allow", ActionMatches: true, PrincipalMatches: true, StartPosition: iamv1.Position_builder{Line: 3, Column: 1}.Build(),
					Conditions: []*iamv1.ConditionResult{
						iamv1.ConditionResult_builder{Operator: "StringEquals", Key: "aws:PrincipalTag/team", Values: []string{"ops", "dev"}}.Build(),
						iamv1.ConditionResult_builder{Operator: "Bool", Key: "aws:SecureTransport", Values: []string{"true"}, RequestValues: []string{"true"}, Present: true, Matches: true}.Build(),
					},
				}.Build(),
			}}.Build(),
		},
	}.Build())
	const want = `implicitDeny of kms:Decrypt
  principal  arn:aws:iam::1:user/a\x1b[2J
  resource   arn:k
  when       1970-01-01T00:00:00Z
  reason     no statement allows it

Nearest miss
  statement 2 of app fails on Condition.StringEquals.aws:PrincipalTag/team only
  needed: ops

The request has no value for: aws:PrincipalTag/team

service control policy
├─ p-1: allowed
│  ├─ statement 1: Allow, matches
identity-based policy
├─ app\a: implicitDeny
│  ├─ statement 2 Ops, line 3: Allow, does not match
│  │  ✗ Resource
│  │  ✗ Condition StringEquals aws:PrincipalTag/team: wants "ops" or "dev", the request has none
`
	var out strings.Builder
	if err := (&app{stdout: &out, output: formatTable}).explain(v); err != nil || out.String() != want {
		t.Errorf("explain = %v\n%s\nwant\n%s", err, out.String(), want)
	}
}

func TestATreeIsDrawn(t *testing.T) {
	root := nodeView{ID: "r-1", Name: "Root", Type: "ROOT", SCPs: []string{"FullAWSAccess"}, Children: []nodeView{
		{ID: "ou-1", Name: "prod", Type: "ORGANIZATIONAL_UNIT", SCPs: []string{"FullAWSAccess", "no-delete"}, RCPs: []string{"own"}, Children: []nodeView{
			{ID: "2", Name: "red\x1b", Type: "ACCOUNT", State: "Active"}, {ID: "3", Name: "blue", Type: "ACCOUNT", State: "Closed"},
		}},
		{ID: "1", Name: "management", Type: "ACCOUNT", State: "Active"},
	}}
	const want = `r-1  Root  scp: FullAWSAccess
├── ou-1  prod  scp: FullAWSAccess, no-delete  rcp: own
│   ├── 2  red\x1b
│   └── 3  blue  Closed
└── 1  management
`
	var out strings.Builder
	if err := (&app{stdout: &out}).drawTree(root); err != nil || out.String() != want {
		t.Errorf("drawTree = %v\n%s\nwant\n%s", err, out.String(), want)
	}
}

func TestFindingsAreSaid(t *testing.T) {
	var said strings.Builder
	(&app{stderr: &said}).findings([]*iamv1.Finding{
		iamv1.Finding_builder{Severity: iamv1.FindingSeverity_FINDING_SEVERITY_SECURITY_WARNING, Code: "PRINCIPAL_STAR", Message: "anybody\nmay", Fix: "name somebody", Statement: 2, Line: 3, Column: 4}.Build(),
		iamv1.Finding_builder{Severity: iamv1.FindingSeverity_FINDING_SEVERITY_ERROR, Code: "UNKNOWN_ACTION", Message: "none"}.Build(),
		iamv1.Finding_builder{Severity: iamv1.FindingSeverity_FINDING_SEVERITY_SUGGESTION, Code: "SIZE", Message: "large"}.Build(),
	}, true)
	const want = `warning: PRINCIPAL_STAR: anybody\nmay (statement 2, line 3, column 4)
  fix: name somebody
warning: UNKNOWN_ACTION: none
suggestion: SIZE: large
the policy was stored
`
	if said.String() != want {
		t.Errorf("findings say\n%s\nwant\n%s", said.String(), want)
	}
}

const (
	testKey  = "arn:aws:kms:local:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	testRole = "arn:aws:iam::111122223333:role/night"
)

// did is the record of a call that was allowed, days ago.
func did(who, event string, days int, resources ...string) *audit.Record {
	r := &audit.Record{
		Phase: audit.PhaseOutcome, EventSource: "kms.local", EventName: event, Time: time.Now().AddDate(0, 0, -days), Actor: audit.Actor{ARN: who},
		Decision: audit.Decision{Result: audit.ResultAllow, MatchedPolicies: []string{"app"}, MatchedStatements: []string{"2"}},
		Outcome:  audit.Outcome{Status: "OK"}, Raw: []byte(`{}`),
	}
	for _, arn := range resources {
		r.Resources = append(r.Resources, audit.Resource{ARN: arn})
	}
	return r
}

func TestAccessReport(t *testing.T) {
	r := &accessReport{principals: map[string]*footprint{}}
	session := did("arn:aws:sts::111122223333:assumed-role/night/x", "Decrypt", 1, testKey, "arn:aws:kms:local:111122223333:alias/app")
	session.Actor.Session.Issuer = testRole
	denied, intent, nobody := did(testRole, "CreateKey", 1), did(testRole, "CreateKey", 1), did("", "CreateKey", 1)
	denied.Decision.Result = audit.ResultDeny
	intent.Phase = audit.PhaseIntent
	odd := did(testRole, "GetUser", 1, "arn:aws:iam::111122223333:user/*/$a?")
	odd.EventSource = "iam.local"
	failed, dry, asked := did(testRole, "DisableKey", 1, testKey), did(testRole, "DisableKey", 1, testKey), did(testRole, "GetCallerIdentity", 1)
	failed.Outcome.Status = "NOT_FOUND"
	dry.Raw = []byte(`{"request":{"dryRun":true}}`)
	asked.EventSource = "sts.local"
	explained := did(testRole, "ExplainDecision", 1)
	explained.EventSource = "iam.local"
	moved := did(testRole, "ReEncrypt", 200, testKey, testKey+"2")
	moved.Resources[0].Role, moved.Resources[1].Role = "source", "destination"
	for _, rec := range []*audit.Record{
		failed, dry, asked, explained, moved,
		session, denied, intent, nobody, odd,
		did(testRole, "Decrypt", 3, testKey), did(testRole, "Encrypt", 2, testKey), did(testRole, "CreateKey", 4, testKey),
		did(testRole, "CreateAlias", 4, "arn:aws:kms:local:111122223333:alias/app", testKey), did("arn:aws:iam::111122223333:user/old", "ListKeys", 300),
	} {
		if err := r.add(rec); err != nil {
			t.Fatal(err)
		}
	}
	all := r.views(time.Now().AddDate(0, 0, -90))
	if len(all) != 2 || all[0].Principal != testRole || all[0].Count != 8 || all[0].Denied != 1 || all[0].Unused || !all[1].Unused || all[1].Policy != nil {
		t.Fatalf("views = %+v, want the role with 8 calls and a user that is unused", all)
	}
	if s := all[0].Statements; len(s) != 1 || s[0].Policy != "app" || s[0].Statement != 2 || s[0].Count != 8 {
		t.Errorf("statements = %+v, want one of 8 calls", s)
	}
	var lines []string
	for _, u := range all[0].Actions {
		lines = append(lines, fmt.Sprintf("%s %s %d %v", u.Action, u.Resource[strings.LastIndex(u.Resource, ":")+1:], u.Count, u.Unused))
	}
	const want = `authz:ExplainDecision * 1 false
iam:GetUser user/*/$a? 1 false
kms:CreateAlias alias/app 1 false
kms:CreateAlias key/1234abcd-12ab-34cd-56ef-1234567890ab 1 false
kms:CreateKey * 1 false
kms:Decrypt key/1234abcd-12ab-34cd-56ef-1234567890ab 2 false
kms:Encrypt key/1234abcd-12ab-34cd-56ef-1234567890ab 1 false
kms:ReEncryptFrom key/1234abcd-12ab-34cd-56ef-1234567890ab 1 true
kms:ReEncryptTo key/1234abcd-12ab-34cd-56ef-1234567890ab2 1 true`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("actions =\n%s\nwant\n%s", got, want)
	}
	b, err := json.Marshal(all[0].Policy)
	const policy = `{"Version":"2012-10-17","Statement":[` +
		`{"Effect":"Allow","Action":["authz:ExplainDecision","kms:CreateKey"],"Resource":["*"]},` +
		`{"Effect":"Allow","Action":["iam:GetUser"],"Resource":["arn:aws:iam::111122223333:user/${*}/${$}a${?}"]},` +
		`{"Effect":"Allow","Action":["kms:CreateAlias"],"Resource":["arn:aws:kms:local:111122223333:alias/app","` + testKey + `"]},` +
		`{"Effect":"Allow","Action":["kms:Decrypt","kms:Encrypt"],"Resource":["` + testKey + `"]}]}`
	if err != nil || string(b) != policy {
		t.Errorf("the proposed policy is %s, %v, want\n%s", b, err, policy)
	}
	if _, err := authz.Parse(authz.IdentityPolicy, b); err != nil {
		t.Errorf("the proposed policy does not parse: %v", err)
	}
}

func TestAReportIsBounded(t *testing.T) {
	r := &accessReport{principals: map[string]*footprint{}, uses: maxUses - 1}
	if err := r.add(did("x", "Decrypt", 1, testKey)); err == nil {
		t.Error("a report of too many different uses = nil, want an error")
	}
}

func TestADryRunThatWasNone(t *testing.T) {
	var said strings.Builder
	a := &app{stderr: &said, output: formatTable}
	if err := a.rehearsed(nil, false); err == nil || !strings.Contains(err.Error(), "may have done it") {
		t.Errorf("rehearsed of what was carried out = %v, want an error that says so", err)
	}
	if err := a.rehearsed(nil, true); err != nil || said.String() != "dry run: kmsd would do it; nothing was changed\n" {
		t.Errorf("rehearsed = %v and says %q", err, said.String())
	}
}

func FuzzPairs(f *testing.F) {
	for _, s := range []string{"a=b", "a", "=b", "a=b,c\nb=", "A=1\na=2", "aws:SourceIp=10.0.0.1", "x=\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		given := strings.Split(s, "\n")
		entries, err := contextEntries(given)
		if err == nil && len(entries) != len(given) {
			t.Errorf("contextEntries(%q) has %d entries, want %d", given, len(entries), len(given))
		}
		for i, e := range entries {
			if key, values, _ := strings.Cut(given[i], "="); e.GetContextKeyName() != key || strings.Join(e.GetContextKeyValues(), ",") != values {
				t.Errorf("contextEntries(%q)[%d] = %v", given, i, e)
			}
		}
		tags, err := tagPairs(given)
		if err != nil {
			if tags != nil {
				t.Errorf("tagPairs(%q) = %q beside %v, want nothing", given, tags, err)
			}
			return
		}
		for i, p := range tags {
			if p[0]+"="+p[1] != given[i] || p[0] == "" {
				t.Errorf("tagPairs(%q)[%d] = %q", given, i, p)
			}
		}
	})
}
