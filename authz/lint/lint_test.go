package lint

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/authz"
)

// document returns what an example is short for.
func document(kind authz.PolicyKind, example string) string {
	if strings.HasPrefix(example, `{"Version"`) || strings.HasPrefix(example, `{"Statement"`) {
		return example
	}
	return `{"Version": "2012-10-17", "Statement": ` + example + `}`
}

func codes(list []Finding) []string {
	var names []string
	for _, f := range list {
		names = append(names, f.Code)
	}
	return names
}

func TestEachCheckFindsItsExampleAndLeavesTheBetterOne(t *testing.T) {
	if len(checks) == 0 {
		t.Fatal("there are no checks")
	}
	for _, c := range Checks() {
		t.Run(c.Code, func(t *testing.T) {
			found := Lint(c.Kind, []byte(document(c.Kind, c.Example)))
			if !slices.Contains(codes(found), c.Code) {
				t.Errorf("Lint(%s) finds %v, want %s", c.Example, codes(found), c.Code)
			}
			for _, f := range found {
				if f.Code == c.Code && (f.Severity != c.Severity || f.Message == "" || f.Fix == "") {
					t.Errorf("the finding is %+v", f)
				}
			}
			better := document(c.Kind, c.Better)
			if _, err := authz.Parse(c.Kind, []byte(better)); err != nil {
				t.Errorf("the better one does not parse: %v", err)
			}
			if got := codes(Lint(c.Kind, []byte(better))); slices.Contains(got, c.Code) {
				t.Errorf("Lint(%s) finds %v", c.Better, got)
			}
		})
	}
}

func TestTheBetterOneIsWithoutGraverFaults(t *testing.T) {
	for _, c := range Checks() {
		for _, f := range Lint(c.Kind, []byte(document(c.Kind, c.Better))) {
			if f.Severity == Error {
				t.Errorf("%s: the better document has %s: %s", c.Code, f.Code, f.Message)
			}
		}
	}
}

func TestWhatIsGoodIsLeftAlone(t *testing.T) {
	for name, e := range map[string]struct {
		kind authz.PolicyKind
		doc  string
	}{
		"the default key policy":   {authz.KeyPolicy, `{"Sid": "Enable IAM User Permissions", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*", "Resource": "*"}`},
		"FullAWSAccess":            {authz.ServiceControlPolicy, authz.FullAWSAccess},
		"RCPFullAWSAccess":         {authz.ResourceControlPolicy, authz.RCPFullAWSAccess},
		"a role of one account":    {authz.TrustPolicy, `{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "sts:AssumeRole"}`},
		"a user's own access keys": {authz.IdentityPolicy, `{"Effect": "Allow", "Action": "iam:*AccessKey", "Resource": "arn:aws:iam::*:user/${aws:username}"}`},
		"TLS only":                 {authz.ServiceControlPolicy, `{"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}`},
		"an encryption context": {
			authz.IdentityPolicy,
			`{"Effect": "Allow", "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": "arn:aws:kms:*:111122223333:key/*", "Condition": {"StringEquals": {"kms:EncryptionContext:app": "a"}}}`,
		},
		"what identity perimeters do": {
			authz.ResourceControlPolicy,
			`{"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": {"StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-abcdefghij"}}}`,
		},
	} {
		if got := Lint(e.kind, []byte(document(e.kind, e.doc))); len(got) != 0 {
			t.Errorf("%s: Lint finds %+v", name, got)
		}
	}
}

func TestPoliciesOfKeyOperations(t *testing.T) {
	const loss, key = "KEY_LOSS_WITHOUT_MFA", `"arn:aws:kms:*:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"`
	allow := func(action, resource, condition string) string {
		return `{"Effect": "Allow", "Action": "` + action + `", "Resource": ` + resource + `, "Condition": {` + condition + `}}`
	}
	some := `"Bool": {"aws:SecureTransport": "true"}`
	for name, e := range map[string]struct {
		kind authz.PolicyKind
		doc  string
		code string
		want bool
	}{
		"every key may be deleted":                {authz.IdentityPolicy, allow("kms:ScheduleKeyDeletion", `"*"`, some), loss, true},
		"every key of an account may be deleted":  {authz.IdentityPolicy, allow("kms:ScheduleKeyDeletion", `"arn:aws:kms:*:111122223333:key/*"`, some), loss, true},
		"a wildcard lets all material be deleted": {authz.IdentityPolicy, allow("kms:Delete*", `"*"`, some), loss, true},
		"a condition on MFA that absence meets":   {authz.IdentityPolicy, allow("kms:ScheduleKeyDeletion", `"*"`, `"BoolIfExists": {"aws:MultiFactorAuthPresent": "true"}`), loss, true},
		"a condition on MFA":                      {authz.IdentityPolicy, allow("kms:ScheduleKeyDeletion", `"*"`, `"Bool": {"aws:MultiFactorAuthPresent": "true"}`), loss, false},
		"a second factor that is fresh":           {authz.IdentityPolicy, allow("kms:ScheduleKeyDeletion", `"*"`, `"NumericLessThan": {"aws:MultiFactorAuthAge": "300"}`), loss, false},
		"keys of a team":                          {authz.IdentityPolicy, allow("kms:ScheduleKeyDeletion", `"*"`, `"StringEquals": {"aws:ResourceTag/team": "blue"}`), loss, false},
		"one key":                                 {authz.IdentityPolicy, allow("kms:ScheduleKeyDeletion", key, some), loss, false},
		"an administrator of KMS":                 {authz.IdentityPolicy, allow("kms:*", `"*"`, some), loss, false},
		"another operation":                       {authz.IdentityPolicy, allow("kms:CancelKeyDeletion", `"*"`, some), loss, false},
		"a Deny":                                  {authz.IdentityPolicy, `{"Effect": "Deny", "Action": "kms:ScheduleKeyDeletion", "Resource": "*"}`, loss, false},
		"the key of an account":                   {authz.KeyPolicy, `{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:ScheduleKeyDeletion", "Resource": "*"}`, loss, false},
		"a key that whoever is of the organization may delete": {
			authz.KeyPolicy,
			`{"Effect": "Allow", "Principal": "*", "Action": "kms:ScheduleKeyDeletion", "Resource": "*", "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-abcdefghij"}}}`, loss, true,
		},
		"signing has no encryption context":         {authz.IdentityPolicy, allow("kms:Sign", key, `"StringEquals": {"kms:EncryptionContext:app": "a"}`), "KEY_NOT_FOR_ACTIONS", true},
		"data key pairs have one":                   {authz.IdentityPolicy, allow("kms:GenerateDataKeyPair", key, `"StringEquals": {"kms:EncryptionContext:app": "a"}`), "KEY_NOT_FOR_ACTIONS", false},
		"kmsd does not say how long a key lay idle": {authz.IdentityPolicy, allow("kms:DisableKey", key, `"NumericGreaterThan": {"kms:TrailingDaysWithoutKeyUsage": "30"}`), "KEY_NEVER_PRESENT", true},
		"every signature has a message type":        {authz.IdentityPolicy, allow("kms:Sign", key, `"StringEqualsIfExists": {"kms:MessageType": "RAW"}`), "IF_EXISTS_WITHOUT_EFFECT", true},
		"not every material ends":                   {authz.IdentityPolicy, allow("kms:ImportKeyMaterial", key, `"DateLessThanIfExists": {"kms:ValidTo": "2027-01-01"}`), "IF_EXISTS_WITHOUT_EFFECT", false},
	} {
		if got := codes(Lint(e.kind, []byte(document(e.kind, e.doc)))); slices.Contains(got, e.code) != e.want {
			t.Errorf("%s: Lint finds %v, want %s among them: %v", name, got, e.code, e.want)
		}
	}
}

func TestTheAccountTellsWhoIsForeign(t *testing.T) {
	trust := document(authz.TrustPolicy, `{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "sts:AssumeRole"}`)
	for account, want := range map[string]bool{"": false, "111122223333": false, "444455556666": true} {
		got := slices.Contains(codes(LintIn(account, authz.TrustPolicy, []byte(trust))), "CROSS_ACCOUNT_TRUST")
		if got != want {
			t.Errorf("LintIn(%q, a role that 111122223333 may assume) finds CROSS_ACCOUNT_TRUST: %v, want %v", account, got, want)
		}
	}
	key := document(authz.KeyPolicy, `{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*", "Resource": "*"}`)
	if got := codes(LintIn("444455556666", authz.KeyPolicy, []byte(key))); !slices.Contains(got, "NO_ACCOUNT_STATEMENT") {
		t.Errorf("a key policy for another account's root: Lint finds %v", got)
	}
}

func TestFindingsSayWhere(t *testing.T) {
	doc := "{\"Version\": \"2012-10-17\", \"Statement\": [\n  {\"Effect\": \"Allow\", \"Action\": \"kms:Encrypt\", \"Resource\": \"*\"},\n" +
		"  {\"Sid\": \"x\", \"Effect\": \"Allow\",\n   \"Action\": [\"kms:Decrypt\", \"kms:Decript\"], \"Resource\": \"*\"}]}"
	got := Lint(authz.IdentityPolicy, []byte(doc))
	want := Finding{
		Severity: Error, Code: "UNKNOWN_ACTION", Message: `kmsd has no action "kms:Decript", so that it matches nothing.`, Fix: "Write kms:Decrypt.",
		Statement: 2, Line: 4, Column: 30,
	}
	if len(got) != 1 || got[0] != want {
		t.Errorf("Lint = %+v, want %+v", got, want)
	}
}

func TestAParseFaultIsAFinding(t *testing.T) {
	doc := []byte("{\n \"Statement\": [}")
	_, err := authz.Parse(authz.KeyPolicy, doc)
	var wrong *authz.SyntaxError
	if !errors.As(err, &wrong) {
		t.Fatalf("Parse = %v", err)
	}
	got := Lint(authz.KeyPolicy, doc)
	if len(got) != 1 || got[0].Code != "MALFORMED_POLICY" || got[0].Message != wrong.Msg || got[0].Line != wrong.Line || got[0].Column != wrong.Column {
		t.Errorf("Lint = %+v, want the fault %v", got, wrong)
	}
}

// hostile are documents that are made to cost.
func hostile() map[string]string {
	var actions, resources, networks, statements []string
	for i := range 150 {
		statements = append(statements, fmt.Sprintf(`{"Effect":"Allow","Action":"*","Resource":"*","Principal":{"AWS":"%012d"}}`, i))
	}
	for i := range 900 {
		actions = append(actions, fmt.Sprintf(`"kms:*a*%d*"`, i))
		resources = append(resources, fmt.Sprintf(`"arn:aws:kms:*%d*"`, i))
		networks = append(networks, fmt.Sprintf(`"10.%d.%d.1/24"`, i/256, i%256))
	}
	one := func(action, resource, condition string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":` + action + `,"Resource":` + resource + condition + `}}`
	}
	list := func(l []string) string { return "[" + strings.Join(l, ",") + "]" }
	return map[string]string{
		"many actions":    one(list(actions), `"*"`, ""),
		"many resources":  one(`"*"`, list(resources), ""),
		"many networks":   one(`"*"`, `"*"`, `,"Condition":{"IpAddress":{"aws:SourceIp":`+list(networks)+`}}`),
		"long globs":      one(`"kms:`+strings.Repeat("*a", 5000)+`"`, `"arn:aws:kms:`+strings.Repeat("*a", 5000)+`*"`, ""),
		"many statements": `{"Version":"2012-10-17","Statement":` + list(statements) + `}`,
	}
}

func TestLintIsBounded(t *testing.T) {
	for name, doc := range hostile() {
		if _, err := authz.Parse(authz.KeyPolicy, []byte(doc)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := Lint(authz.KeyPolicy, []byte(doc)); len(got) > maxFindings {
			t.Errorf("%s: Lint finds %d things, want at most %d", name, len(got), maxFindings)
		}
	}
}

func BenchmarkHostile(b *testing.B) {
	for name, doc := range hostile() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Lint(authz.KeyPolicy, []byte(doc))
			}
		})
	}
}

func FuzzLint(f *testing.F) {
	for _, c := range checks {
		f.Add(byte(c.Kind), document(c.Kind, c.Example))
		f.Add(byte(c.Kind), document(c.Kind, c.Better))
	}
	f.Fuzz(func(t *testing.T, kind byte, doc string) {
		found := Lint(authz.PolicyKind(kind), []byte(doc))
		if len(found) > maxFindings {
			t.Errorf("%d findings", len(found))
		}
		_, err := authz.Parse(authz.PolicyKind(kind), []byte(doc))
		if refused := slices.ContainsFunc(found, func(f Finding) bool { return f.Code == "MALFORMED_POLICY" || f.Code == "NOT_PRINCIPAL" }); refused != (err != nil) {
			t.Errorf("Parse = %v, and Lint finds %v", err, codes(found))
		}
		lines := strings.Count(doc, "\n") + 1
		for _, one := range found {
			if one.Line < 1 || one.Line > lines || one.Column < 1 || one.Message == "" || checkOf(one.Code).Severity != one.Severity {
				t.Errorf("Lint finds %+v in %d lines", one, lines)
			}
			if len(one.Message) > 600 || len(one.Fix) > 400 {
				t.Errorf("%d and %d bytes of text", len(one.Message), len(one.Fix))
			}
		}
	})
}
