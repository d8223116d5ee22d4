package authz_test

import (
	"strings"
	"testing"

	"github.com/kmsd/kmsd/authz"
)

func TestActionNames(t *testing.T) {
	n := 0
	for a := range authz.Actions() {
		n++
		for _, name := range []string{a.String(), strings.ToLower(a.String()), strings.ToUpper(a.String())} {
			if got, ok := authz.ActionByName(name); !ok || got != a {
				t.Errorf("ActionByName(%q) = %v, %v, want %v", name, got, ok, a)
			}
		}
	}
	if last := int(authz.AuthzExplainDecision); n != last {
		t.Errorf("Actions yields %d actions, want %d", n, last)
	}
	for range authz.Actions() {
		break
	}
	for _, name := range []string{"", "kms:", "Encrypt", "kms:Encrypt ", "kms:*", "\u212ams:Encrypt", "KM\u017f:Encrypt", "unknown action"} {
		if a, ok := authz.ActionByName(name); ok {
			t.Errorf("ActionByName(%q) = %v, want none", name, a)
		}
	}
	for _, a := range []authz.Action{0, authz.AuthzExplainDecision + 1, 65535} {
		if a.String() != "unknown action" || a.CrossAccount() {
			t.Errorf("Action(%d) = %v, cross-account %v, want an unknown one", a, a, a.CrossAccount())
		}
	}
}

// TestTheZeroValueDenies holds for everything that a caller of the package could leave out.
func TestTheZeroValueDenies(t *testing.T) {
	if (authz.Decision{}).Verdict != authz.Deny || (authz.Grant{}).Permits(0, "") || (authz.Grant{}).Permits(authz.KMSEncrypt, keyA) {
		t.Error("a zero value permits something")
	}
	all := []*authz.Policy{mustParse(t, authz.IdentityPolicy, allowAll)}
	key := mustParse(t, authz.KeyPolicy, bothSides)
	good := func() (*authz.Caller, authz.Action, *authz.Resource) {
		return &authz.Caller{Kind: authz.User, Account: accountA, ID: ids[aliceARN], ARN: aliceARN, Identity: all},
			authz.KMSDecrypt, &authz.Resource{Kind: authz.Key, Account: accountA, ARN: keyA, Policy: key}
	}
	tests := []struct {
		name  string
		spoil func(c **authz.Caller, a *authz.Action, r **authz.Resource)
		want  authz.Reason
	}{
		{"nothing wrong", func(**authz.Caller, *authz.Action, **authz.Resource) {}, authz.IdentityViaAccount},
		{"no caller", func(c **authz.Caller, _ *authz.Action, _ **authz.Resource) { *c = nil }, authz.InvalidRequest},
		{"no resource", func(_ **authz.Caller, _ *authz.Action, r **authz.Resource) { *r = nil }, authz.InvalidRequest},
		{"no action", func(_ **authz.Caller, a *authz.Action, _ **authz.Resource) { *a = 0 }, authz.InvalidRequest},
		{"an action past the last", func(_ **authz.Caller, a *authz.Action, _ **authz.Resource) { *a = authz.AuthzExplainDecision + 1 }, authz.InvalidRequest},
		{"a caller of no kind", func(c **authz.Caller, _ *authz.Action, _ **authz.Resource) { (*c).Kind = 0 }, authz.Unauthenticated},
		{"a caller of a kind to come", func(c **authz.Caller, _ *authz.Action, _ **authz.Resource) { (*c).Kind = authz.WebIdentity + 1 }, authz.Unauthenticated},
		{"a web identity with an account", func(c **authz.Caller, _ *authz.Action, _ **authz.Resource) { (*c).Kind = authz.WebIdentity }, authz.Unauthenticated},
		{"a session of no role", func(c **authz.Caller, _ *authz.Action, _ **authz.Resource) { (*c).Kind = authz.RoleSession }, authz.Unauthenticated},
		{"a session without an ARN", func(c **authz.Caller, _ *authz.Action, _ **authz.Resource) {
			(*c).Kind, (*c).RoleARN, (*c).ARN = authz.RoleSession, "arn:aws:iam::111122223333:role/r", ""
		}, authz.Unauthenticated},
		{"a caller of no account", func(c **authz.Caller, _ *authz.Action, _ **authz.Resource) { (*c).Account = "" }, authz.Unauthenticated},
		{"a caller without an id", func(c **authz.Caller, _ *authz.Action, _ **authz.Resource) { (*c).ID = "" }, authz.Unauthenticated},
		{"a key action on nothing", func(_ **authz.Caller, _ *authz.Action, r **authz.Resource) { *r = &authz.Resource{} }, authz.InvalidRequest},
		{"a key action on an alias", func(_ **authz.Caller, _ *authz.Action, r **authz.Resource) { (*r).Kind, (*r).Policy = authz.Alias, nil }, authz.InvalidRequest},
		{"a resource of a kind to come", func(_ **authz.Caller, _ *authz.Action, r **authz.Resource) { (*r).Kind = authz.OrganizationEntity + 1 }, authz.InvalidRequest},
		{"an alias with a policy", func(_ **authz.Caller, a *authz.Action, r **authz.Resource) {
			*a, (*r).Kind = authz.KMSCreateAlias, authz.Alias
		}, authz.InvalidRequest},
		{"a key of no account", func(_ **authz.Caller, _ *authz.Action, r **authz.Resource) { (*r).Account = "" }, authz.InvalidRequest},
		{"a key without an ARN", func(_ **authz.Caller, _ *authz.Action, r **authz.Resource) { (*r).ARN = "" }, authz.InvalidRequest},
		{"a policy that is nil", func(c **authz.Caller, _ *authz.Action, _ **authz.Resource) {
			(*c).Identity = []*authz.Policy{all[0], nil}
		}, authz.PolicyUnusable},
		{"a policy that did not load", func(c **authz.Caller, _ *authz.Action, _ **authz.Resource) {
			(*c).Identity = []*authz.Policy{all[0], authz.Unusable(authz.IdentityPolicy, "x")}
		}, authz.PolicyUnusable},
		{"an empty policy", func(c **authz.Caller, _ *authz.Action, _ **authz.Resource) {
			(*c).Identity = []*authz.Policy{all[0], {}}
		}, authz.PolicyUnusable},
		{"a key policy for an identity policy", func(c **authz.Caller, _ *authz.Action, _ **authz.Resource) {
			(*c).Identity = []*authz.Policy{all[0], key}
		}, authz.PolicyUnusable},
		{"a key policy that did not load", func(_ **authz.Caller, _ *authz.Action, r **authz.Resource) {
			(*r).Policy = authz.Unusable(authz.KeyPolicy, "x")
		}, authz.PolicyUnusable},
		{"a key policy that is not bound", func(_ **authz.Caller, _ *authz.Action, r **authz.Resource) {
			(*r).Policy = mustParse(t, authz.KeyPolicy, onlyAlice)
		}, authz.PolicyUnusable},
		{"a boundary that did not load", func(c **authz.Caller, _ *authz.Action, _ **authz.Resource) {
			(*c).Boundary = authz.Unusable(authz.IdentityPolicy, "x")
		}, authz.PolicyUnusable},
		{"a session policy that did not load", func(c **authz.Caller, _ *authz.Action, _ **authz.Resource) {
			(*c).Session = []*authz.Policy{all[0], authz.Unusable(authz.SessionPolicy, "x")}
		}, authz.PolicyUnusable},
		{"an identity policy for a service control policy", func(c **authz.Caller, _ *authz.Action, _ **authz.Resource) {
			(*c).Membership = &authz.Membership{SCPs: [][]*authz.Policy{all}}
		}, authz.PolicyUnusable},
		{"a resource control policy that is nil", func(_ **authz.Caller, _ *authz.Action, r **authz.Resource) {
			(*r).Membership = &authz.Membership{RCPs: [][]*authz.Policy{{nil}}}
		}, authz.PolicyUnusable},
		{"a level without a policy", func(c **authz.Caller, _ *authz.Action, _ **authz.Resource) {
			(*c).Membership = &authz.Membership{SCPs: [][]*authz.Policy{{}}}
		}, authz.NoSCPAllow},
		{"no session policy in a list of them", func(c **authz.Caller, _ *authz.Action, _ **authz.Resource) {
			(*c).Session = []*authz.Policy{}
		}, authz.NoSessionAllow},
		{"an identity policy for a key policy", func(_ **authz.Caller, _ *authz.Action, r **authz.Resource) {
			(*r).Policy = all[0]
		}, authz.PolicyUnusable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, a, r := good()
			tt.spoil(&c, &a, &r)
			g, d := authz.Authorize(c, a, r, nil)
			if d.Reason != tt.want {
				t.Errorf("Authorize = %+v (%v), want %v", d, d.Reason, tt.want)
			}
			if allowed := tt.want == authz.IdentityViaAccount; g.Permits(authz.KMSDecrypt, keyA) != allowed || (d.Verdict == authz.Allow) != allowed {
				t.Errorf("Authorize = %+v, %+v, want allowed = %v", g, d, allowed)
			}
		})
	}
}

func TestAGrantPermitsOneThing(t *testing.T) {
	w := user(t, aliceARN, allowAll).with(delegating)
	g, d := authz.Authorize(&w.caller, authz.KMSDecrypt, w.resource(keyA), nil)
	if d.Verdict != authz.Allow || !g.Permits(authz.KMSDecrypt, keyA) {
		t.Fatalf("Authorize = %+v, %+v, want a grant", g, d)
	}
	if g.Permits(authz.KMSEncrypt, keyA) || g.Permits(authz.KMSDecrypt, keyA2) || g.Permits(authz.KMSDecrypt, "*") || g.Permits(0, keyA) {
		t.Errorf("grant %+v permits more than kms:Decrypt on %s", g, keyA)
	}
	if account, id := g.Caller(); account != accountA || id != ids[aliceARN] {
		t.Errorf("Caller() = %s, %s, want alice", account, id)
	}
	g, _ = authz.Authorize(&w.caller, authz.KMSCreateKey, &authz.Resource{ARN: keyA}, nil)
	if !g.Permits(authz.KMSCreateKey, "*") || g.Permits(authz.KMSCreateKey, keyA) {
		t.Errorf("grant %+v does not permit kms:CreateKey on * alone", g)
	}
}

func TestDecisionsNameTheStatement(t *testing.T) {
	const third = `{"Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*"},
		{"Sid":"No","Effect":"Deny","Action":"kms:Encrypt","Resource":"*"},{"Sid":"Yes","Effect":"Allow","Action":"kms:*","Resource":"*"}]}`
	w := user(t, aliceARN, allowDecrypt, third).with(delegating)
	for _, tt := range []struct {
		action string
		want   authz.Decision
	}{
		{"kms:Encrypt", authz.Decision{Reason: authz.ExplicitIdentity, Layer: authz.IdentityLayer, Policy: "own-2", Statement: 2}},
		{"kms:DescribeKey", authz.Decision{
			Verdict: authz.Allow, Reason: authz.IdentityViaAccount, Layer: authz.IdentityLayer,
			Level: authz.AccountLevel, Policy: "own-2", Statement: 3,
		}},
	} {
		if d := w.ask(tt.action, keyA); d != tt.want {
			t.Errorf("Authorize(%s) = %+v, want %+v", tt.action, d, tt.want)
		}
	}
	if got := w.caller.Identity[1].Sid(3); got != "Yes" {
		t.Errorf("Sid(3) = %q, want Yes", got)
	}
	want := authz.Decision{
		Verdict: authz.Allow, Reason: authz.IdentityViaAccount, Layer: authz.IdentityLayer,
		Level: authz.AccountLevel, Policy: "key", Statement: 1,
	}
	if d := root(t, accountA).with(delegating).ask("kms:Decrypt", keyA); d != want {
		t.Errorf("Authorize = %+v for root, want %+v", d, want)
	}
}

func TestNamesOfDecisions(t *testing.T) {
	seen := map[string]bool{}
	for r := authz.NoReason; r <= authz.ByGrant; r++ {
		if s := r.String(); s == "" || seen[s] {
			t.Errorf("Reason(%d) = %q, want a name of its own", r, s)
		} else {
			seen[s] = true
		}
	}
	got := []string{
		authz.Reason(200).String(), authz.Allow.String(), authz.Deny.String(), authz.Verdict(7).String(),
		authz.NoLevel.String(), authz.DirectLevel.String(), authz.RoleLevel.String(), authz.AccountLevel.String(),
		authz.NoLayer.String(), authz.ResourceLayer.String(), authz.IdentityLayer.String(), authz.GrantLayer.String(),
		authz.Layer(99).String(), (authz.ByGrant + 1).String(), authz.IdentityPolicy.String(), authz.KeyPolicy.String(), authz.PolicyKind(9).String(),
	}
	want := "Unknown ALLOW DENY DENY  DIRECT ROLE ACCOUNT  resource-based policy identity-based policy grant  Unknown identity policy key policy policy kind 9"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("names are %q, want %q", s, want)
	}
}

func TestMessages(t *testing.T) {
	const (
		alice   = "User: arn:aws:iam::111122223333:user/alice is not authorized to perform: "
		generic = " because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
		denyKey = `{"Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}`
	)
	say := func(w *world, action, arn string) string {
		a, _ := authz.ActionByName(action)
		r := w.resource(arn)
		_, d := authz.Authorize(&w.caller, a, r, nil)
		return authz.Message(&w.caller, a, r, d, true)
	}
	for _, tt := range []struct{ got, want string }{
		{
			say(user(t, aliceARN).with(delegating), "kms:Decrypt", keyA),
			alice + "kms:Decrypt on resource: " + keyA + " because no identity-based policy allows the kms:Decrypt action",
		},
		{
			say(user(t, aliceARN), "kms:CreateKey", "*"),
			alice + "kms:CreateKey on resource: * because no identity-based policy allows the kms:CreateKey action",
		},
		{
			say(user(t, aliceARN, denyDecrypt).with(delegating), "kms:Decrypt", keyA),
			alice + "kms:Decrypt on resource: " + keyA + " with an explicit deny in an identity-based policy",
		},
		{
			say(user(t, aliceARN, allowAll).with(denyKey), "kms:Decrypt", keyA),
			alice + "kms:Decrypt on resource: " + keyA + " with an explicit deny in a resource-based policy",
		},
		{
			say(user(t, aliceARN, allowAll).with(onlyAlice), "kms:PutKeyPolicy", keyA),
			alice + "kms:PutKeyPolicy on resource: " + keyA + " because no resource-based policy allows the kms:PutKeyPolicy action",
		},
	} {
		if tt.got != tt.want {
			t.Errorf("Message = %q, want %q", tt.got, tt.want)
		}
	}

	w := user(t, aliceARN, allowAll)
	r := w.resource(keyA)
	for _, d := range []authz.Decision{{}, {Reason: authz.ExplicitIdentity}, {Reason: authz.ExplicitResource}, {Reason: authz.TooComplex}} {
		if got, want := authz.Message(&w.caller, authz.KMSDecrypt, r, d, false), alice+"kms:Decrypt on resource: "+keyA+generic; got != want {
			t.Errorf("Message of another account = %q, want %q", got, want)
		}
	}
	r.Account = accountB
	if got := authz.Message(&w.caller, authz.KMSDecrypt, r, authz.Decision{Reason: authz.ExplicitIdentity}, true); !strings.HasSuffix(got, generic) {
		t.Errorf("Message = %q for a foreign key, want the general words", got)
	}
	for _, r := range []*authz.Resource{nil, {Kind: authz.Key}} {
		if got, want := authz.Message(&w.caller, authz.KMSDecrypt, r, authz.Decision{}, false), alice+"kms:Decrypt on the resource associated with this ciphertext"+generic; got != want {
			t.Errorf("Message = %q, want %q", got, want)
		}
	}
	for reason, want := range map[authz.Reason]string{
		authz.TooComplex: " too complex to evaluate", authz.PolicyUnusable: " cannot be evaluated", authz.InvalidRequest: "on resource: " + keyA,
	} {
		r := w.resource(keyA)
		if got := authz.Message(&w.caller, authz.KMSDecrypt, r, authz.Decision{Reason: reason}, true); !strings.HasSuffix(got, want) {
			t.Errorf("Message for %v = %q, want it to end in %q", reason, got, want)
		}
	}
}

// TestMessagesAreNoOracle compares what a caller without permission is told about a key that exists with what it
// is told about one that does not.
func TestMessagesAreNoOracle(t *testing.T) {
	keyPolicies := []string{
		delegating, everyone, bothSides, onlyAlice,
		`{"Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}`,
		`{"Statement":{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"arn:aws:kms:*:*:key/other"}}`,
	}
	callers := []*world{
		user(t, bobARN), user(t, bobARN, denyDecrypt), user(t, bobARN, allowAll, denyDecrypt),
		user(t, malloryB), user(t, malloryB, allowAll), user(t, malloryB, denyDecrypt),
		root(t, accountB),
	}
	compared := 0
	for _, w := range callers {
		absent := w.resource(keyA)
		_, d := authz.Authorize(&w.caller, authz.KMSDecrypt, absent, nil)
		want := authz.Message(&w.caller, authz.KMSDecrypt, absent, d, true)
		worlds := []*world{}
		for _, doc := range keyPolicies {
			worlds = append(worlds, w.with(doc))
		}
		unusable := *w
		unusable.policy = authz.Unusable(authz.KeyPolicy, "broken")
		for _, there := range append(worlds, &unusable) {
			r := there.resource(keyA)
			_, d := authz.Authorize(&there.caller, authz.KMSDecrypt, r, nil)
			if d.Verdict == authz.Allow {
				continue
			}
			compared++
			if got := authz.Message(&there.caller, authz.KMSDecrypt, r, d, true); got != want {
				t.Errorf("Message = %q for a key that exists, want %q as for one that does not", got, want)
			}
		}
	}
	if compared < 30 {
		t.Errorf("only %d denials compared", compared)
	}
}
