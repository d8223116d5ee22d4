package authz_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/authz"
)

const (
	accountA = "111122223333"
	accountB = "444455556666"
	keyA     = "arn:aws:kms:local:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	keyA2    = "arn:aws:kms:local:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321"
	aliasA   = "arn:aws:kms:local:111122223333:alias/app"
	aliceARN = "arn:aws:iam::111122223333:user/alice"
	bobARN   = "arn:aws:iam::111122223333:user/team/bob"
	malloryB = "arn:aws:iam::444455556666:user/mallory"
)

// ids :: ARN → unique id
var ids = map[string]string{
	aliceARN: "AIDAALICE00000000001",
	bobARN:   "AIDABOB0000000000001",
	malloryB: "AIDAMALLORY000000001",
}

func resolveUser(arn string) (string, bool) {
	id, ok := ids[arn]
	return id, ok
}

func mustParse(tb testing.TB, kind authz.PolicyKind, doc string) *authz.Policy {
	tb.Helper()
	p, err := authz.Parse(kind, []byte(doc))
	if err != nil {
		tb.Fatalf("Parse(%v, %s): %v", kind, doc, err)
	}
	return p
}

// A world is one caller and one key policy, about which a test makes statements.
type world struct {
	t      *testing.T
	caller authz.Caller
	policy *authz.Policy
}

func user(t *testing.T, arn string, docs ...string) *world {
	t.Helper()
	var account string
	if _, err := fmt.Sscanf(arn, "arn:aws:iam::%12s:", &account); err != nil {
		t.Fatalf("ARN %q: %v", arn, err)
	}
	w := &world{t: t, caller: authz.Caller{Kind: authz.User, Account: account, ID: ids[arn], ARN: arn}}
	for i, d := range docs {
		w.caller.Identity = append(w.caller.Identity, mustParse(t, authz.IdentityPolicy, d).Named(fmt.Sprintf("own-%d", i+1)))
	}
	return w
}

func root(t *testing.T, account string) *world {
	return &world{t: t, caller: authz.Caller{
		Kind: authz.Root, Account: account, ID: account, ARN: "arn:aws:iam::" + account + ":root",
	}}
}

// with returns the world in which keys have the policy.
func (w *world) with(doc string) *world {
	w.t.Helper()
	p, err := mustParse(w.t, authz.KeyPolicy, doc).Named("key").Bind(resolveUser)
	if err != nil {
		w.t.Fatalf("Bind: %v", err)
	}
	next := *w
	next.policy = p
	return &next
}

func (w *world) resource(arn string) *authz.Resource {
	switch {
	case arn == "*":
		return &authz.Resource{}
	case len(arn) > 12 && arn[:12] == "arn:aws:iam:":
		return &authz.Resource{Kind: authz.IAMEntity, Account: arn[13:25], ARN: arn}
	case arn == aliasA:
		return &authz.Resource{Kind: authz.Alias, Account: accountA, ARN: arn}
	}
	return &authz.Resource{Kind: authz.Key, Account: accountA, ARN: arn, Policy: w.policy}
}

func (w *world) ask(action, arn string) authz.Decision {
	w.t.Helper()
	a, ok := authz.ActionByName(action)
	if !ok {
		w.t.Fatalf("no action %q", action)
	}
	r := w.resource(arn)
	g, d := authz.Authorize(&w.caller, a, r, nil)
	if permits := g.Permits(a, arn); permits != (d.Verdict == authz.Allow) {
		w.t.Errorf("Authorize(%s, %s) = %+v, but Permits = %v", action, arn, d, permits)
	}
	return d
}

func (w *world) allow(action, arn string, why authz.Reason) {
	w.t.Helper()
	if d := w.ask(action, arn); d.Verdict != authz.Allow || d.Reason != why {
		w.t.Errorf("Authorize(%s, %s) = %+v (%v), want ALLOW %v", action, arn, d, d.Reason, why)
	}
}

func (w *world) deny(action, arn string, why authz.Reason) {
	w.t.Helper()
	if d := w.ask(action, arn); d.Verdict != authz.Deny || d.Reason != why {
		w.t.Errorf("Authorize(%s, %s) = %+v (%v), want DENY %v", action, arn, d, d.Reason, why)
	}
}

const (
	delegating = `{"Version":"2012-10-17","Statement":{"Sid":"Enable IAM User Permissions","Effect":"Allow",
		"Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}}`
	onlyAlice = `{"Version":"2012-10-17","Statement":{"Effect":"Allow",
		"Principal":{"AWS":"arn:aws:iam::111122223333:user/alice"},"Action":["kms:Encrypt","kms:Decrypt"],"Resource":"*"}}`
	everyone  = `{"Statement":{"Effect":"Allow","Principal":"*","Action":"kms:Decrypt","Resource":"*"}}`
	bothSides = `{"Statement":{"Effect":"Allow","Principal":{"AWS":["111122223333","444455556666"]},"Action":"kms:*","Resource":"*"}}`

	allowAll     = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	allowKeys    = `{"Statement":{"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:kms:*:111122223333:key/*"}}`
	denyDecrypt  = `{"Statement":{"Effect":"Deny","Action":"kms:decrypt","Resource":"*"}}`
	allowDecrypt = `{"Statement":{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}}`
)

func TestNothingIsAllowedByDefault(t *testing.T) {
	w := user(t, aliceARN).with(delegating)
	for a := range authz.Actions() {
		for _, r := range []string{"*", keyA, aliasA, bobARN} {
			if d := w.ask(a.String(), r); d.Verdict == authz.Allow && a != authz.STSGetCallerIdentity && a != authz.STSGetSessionToken {
				t.Errorf("Authorize(%v, %s) = %+v without any policy, want DENY", a, r, d)
			}
		}
	}
}

func TestIdentityPoliciesCountWhereTheKeyPolicyDelegates(t *testing.T) {
	w := user(t, aliceARN, allowKeys).with(delegating)
	w.allow("kms:Encrypt", keyA, authz.IdentityViaAccount)
	w.allow("kms:PutKeyPolicy", keyA2, authz.IdentityViaAccount)
	user(t, aliceARN, allowDecrypt).with(delegating).deny("kms:Encrypt", keyA, authz.NoIdentityAllow)

	w = w.with(onlyAlice)
	w.allow("kms:Encrypt", keyA, authz.ByResourcePolicy)
	w.deny("kms:PutKeyPolicy", keyA, authz.KeyPolicyDoesNotDelegate)
	user(t, bobARN, allowAll).with(onlyAlice).deny("kms:Encrypt", keyA, authz.KeyPolicyDoesNotDelegate)
	user(t, bobARN, allowAll).with(bothSides).allow("kms:Encrypt", keyA, authz.IdentityViaAccount)
}

func TestAKeyPolicyThatNamesTheCallerIsEnough(t *testing.T) {
	user(t, aliceARN).with(onlyAlice).allow("kms:Decrypt", keyA, authz.ByResourcePolicy)
	user(t, bobARN).with(everyone).allow("kms:Decrypt", keyA, authz.ByResourcePolicy)
	root(t, accountA).with(everyone).allow("kms:Decrypt", keyA, authz.ByResourcePolicy)
}

func TestADenyWinsWhereverItStands(t *testing.T) {
	const denyBob = `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::111122223333:user/team/bob"},"Action":"kms:*","Resource":"*"}]}`
	const denyAccount = `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","Principal":{"AWS":"111122223333"},"Action":"kms:Decrypt","Resource":"*"}]}`
	user(t, bobARN, allowAll).with(denyBob).deny("kms:Decrypt", keyA, authz.ExplicitResource)
	user(t, aliceARN, allowAll).with(denyBob).allow("kms:Decrypt", keyA, authz.ByResourcePolicy)
	user(t, aliceARN, allowAll, denyDecrypt).with(delegating).deny("kms:Decrypt", keyA, authz.ExplicitIdentity)
	user(t, aliceARN, denyDecrypt, allowAll).with(onlyAlice).deny("kms:Decrypt", keyA, authz.ExplicitIdentity)
	root(t, accountA).with(denyAccount).deny("kms:Decrypt", keyA, authz.ExplicitResource)
	root(t, accountA).with(denyAccount).allow("kms:Encrypt", keyA, authz.ByResourcePolicy)
}

func TestRootIsBoundByTheKeyPolicy(t *testing.T) {
	w := root(t, accountA)
	w.with(delegating).allow("kms:PutKeyPolicy", keyA, authz.IdentityViaAccount)
	w.with(onlyAlice).deny("kms:PutKeyPolicy", keyA, authz.KeyPolicyDoesNotDelegate)
	w.allow("kms:CreateKey", "*", authz.ByRoot)
	w.allow("iam:CreateUser", bobARN, authz.ByRoot)
	w.allow("kms:DescribeKey", keyA, authz.ByRoot) // a key that does not exist
	w.deny("iam:CreateUser", malloryB, authz.NotCrossAccount)
}

func TestAnotherAccountNeedsBothSides(t *testing.T) {
	user(t, malloryB, allowAll).with(bothSides).allow("kms:Decrypt", keyA, authz.ByBothAccounts)
	user(t, malloryB).with(bothSides).deny("kms:Decrypt", keyA, authz.NoIdentityAllow)
	user(t, malloryB, allowAll).with(everyone).allow("kms:Decrypt", keyA, authz.ByBothAccounts)
	user(t, malloryB).with(everyone).deny("kms:Decrypt", keyA, authz.NoIdentityAllow)
	user(t, malloryB, allowAll).with(delegating).deny("kms:Decrypt", keyA, authz.NoResourceAllow)
	user(t, malloryB, allowAll).deny("kms:Decrypt", keyA, authz.NoResourceAllow) // does not exist
	user(t, malloryB, allowAll).with(bothSides).deny("kms:PutKeyPolicy", keyA, authz.NotCrossAccount)
	root(t, accountB).with(bothSides).allow("kms:Decrypt", keyA, authz.ByBothAccounts)
	root(t, accountB).with(delegating).deny("kms:Decrypt", keyA, authz.NoResourceAllow)
}

func TestActionsWithoutAResourceNeedAStar(t *testing.T) {
	user(t, aliceARN, allowKeys).deny("kms:CreateKey", "*", authz.NoIdentityAllow)
	user(t, aliceARN, allowAll).allow("kms:CreateKey", "*", authz.ByIdentity)
	user(t, aliceARN, `{"Statement":{"Effect":"Allow","Action":"kms:*","NotResource":"arn:aws:kms:*:*:key/*"}}`).
		allow("kms:ListKeys", "*", authz.ByIdentity)
}

func TestResourcesOfIdentityPolicies(t *testing.T) {
	w := user(t, aliceARN, `{"Statement":[
		{"Effect":"Allow","Action":"kms:CreateAlias","Resource":"arn:aws:kms:local:111122223333:alias/app"},
		{"Effect":"Allow","Action":"iam:*AccessKey*","Resource":"arn:aws:iam::111122223333:user/team/*"},
		{"Effect":"Allow","NotAction":["iam:*","sts:*","kms:Create*"],"NotResource":"arn:aws:kms:*:*:key/1234*"}]}`).with(delegating)
	w.allow("kms:CreateAlias", aliasA, authz.ByIdentity)
	w.deny("kms:CreateAlias", keyA, authz.NoIdentityAllow)
	w.allow("iam:ListAccessKeys", bobARN, authz.ByIdentity)
	w.deny("iam:ListAccessKeys", aliceARN, authz.NoIdentityAllow)
	w.deny("iam:GetUser", bobARN, authz.NoIdentityAllow)
	w.deny("kms:Decrypt", keyA, authz.NoIdentityAllow)
	w.allow("kms:Decrypt", keyA2, authz.IdentityViaAccount)
}

func TestANameThatIsGivenAgainIsSomebodyElse(t *testing.T) {
	w := user(t, aliceARN).with(onlyAlice)
	w.caller.ID = "AIDAALICE00000000002"
	w.deny("kms:Decrypt", keyA, authz.KeyPolicyDoesNotDelegate)
	w = user(t, aliceARN).with(`{"Statement":{"Effect":"Allow","Principal":{"AWS":"AIDAALICE00000000001"},"Action":"kms:*","Resource":"*"}}`)
	w.allow("kms:Decrypt", keyA, authz.ByResourcePolicy)
	user(t, bobARN).with(string(w.policy.Document())).deny("kms:Decrypt", keyA, authz.KeyPolicyDoesNotDelegate)
}

func TestCallerIdentityIsAlwaysTold(t *testing.T) {
	user(t, aliceARN, `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`).
		allow("sts:GetCallerIdentity", "*", authz.AlwaysAllowed)
}

// TestManyExactARNs makes sure that an index of ARNs finds the statements that a search in order finds.
func TestManyExactARNs(t *testing.T) {
	var others []string
	for i := range 20 {
		others = append(others, fmt.Sprintf(`"arn:aws:kms:local:111122223333:key/%d"`, i))
	}
	list := strings.Join(others, ",")
	w := user(t, aliceARN, `{"Statement":[
		{"Effect":"Allow","Action":"kms:Encrypt","Resource":["`+keyA+`",`+list+`]},
		{"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:kms:*:*:key/*"},
		{"Effect":"Deny","Action":"kms:Decrypt","Resource":["`+keyA+`","arn:aws:kms:*:*:key/3*"]},
		{"Effect":"Allow","Action":"kms:Decrypt","Resource":["`+keyA+`"]},
		{"Effect":"Deny","Action":"kms:DescribeKey","NotResource":["`+keyA+`",`+list+`]}]}`).with(delegating)
	for _, tt := range []struct {
		action, arn string
		want        authz.Verdict
		statement   int
	}{
		{"kms:Encrypt", keyA, authz.Allow, 1},
		{"kms:Encrypt", keyA2, authz.Allow, 2},
		{"kms:Decrypt", keyA, authz.Deny, 3},
		{"kms:Decrypt", "arn:aws:kms:local:111122223333:key/3", authz.Deny, 3},
		{"kms:Decrypt", keyA2, authz.Allow, 2},
		{"kms:DescribeKey", keyA, authz.Allow, 2},
		{"kms:DescribeKey", keyA2, authz.Deny, 5},
	} {
		d := w.ask(tt.action, tt.arn)
		if d.Verdict != tt.want || d.Statement != tt.statement {
			t.Errorf("Authorize(%s, %s) = %+v, want %v by statement %d", tt.action, tt.arn, d, tt.want, tt.statement)
		}
		a, _ := authz.ActionByName(tt.action)
		checkExplanation(t, &w.caller, a, w.resource(tt.arn), nil, d)
	}
}
