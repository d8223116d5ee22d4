package authz_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/authz"
)

// checkExplanation holds an explanation against the decision of Authorize, and against itself.
func checkExplanation(t *testing.T, c *authz.Caller, a authz.Action, r *authz.Resource, x *authz.Context, d authz.Decision) {
	t.Helper()
	e := authz.Explain(c, a, r, x)
	if e.Decision != d {
		t.Errorf("Explain = %+v, want what Authorize has decided: %+v", e.Decision, d)
		return
	}
	found := d.Statement == 0
	for _, p := range e.Policies {
		held := map[authz.Verdict]bool{}
		for _, s := range p.Statements {
			held[s.Effect] = held[s.Effect] || s.Holds
			if p.Layer == d.Layer && p.Policy.Name() == d.Policy && s.Statement == d.Statement && s.Holds {
				found = true
			}
			// A root user has no policies: the key policy's statement is the one that is named.
			found = found || c.Kind == authz.Root && p.Layer == authz.ResourceLayer && s.Statement == d.Statement && s.Holds
		}
		want := authz.ImplicitDeny
		switch {
		case held[authz.Deny] || !p.Usable:
			want = authz.ExplicitDeny
		case held[authz.Allow]:
			want = authz.Allowed
		}
		if p.Outcome != want && !e.Truncated {
			t.Errorf("Explain: policy %q of the %v comes to %v, want %v by its statements %+v", p.Policy.Name(), p.Layer, p.Outcome, want, p.Statements)
		}
	}
	if !found {
		t.Errorf("Explain = %+v: the statement that decided is not among those that hold", e)
	}
	grants := 0
	for _, g := range e.Grants {
		if g.Holds {
			grants++
		}
	}
	if (d.Reason == authz.ByGrant) && grants == 0 {
		t.Errorf("Explain = %+v: no grant holds, but one decided", e)
	}
	if d.Verdict == authz.Allow && d.Reason != authz.AlwaysAllowed && !e.AllowedByOrganizations {
		t.Errorf("Explain = %+v: allowed, but not by the organizations", e)
	}
}

// TestExplainSaysWhatIsMissing asks for what stands nearest.
func TestExplainSaysWhatIsMissing(t *testing.T) {
	const (
		onKey     = `{"Statement":{"Effect":"Allow","Action":"kms:Decrypt","Resource":"` + keyA2 + `"}}`
		tagged    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":["red","blue"]}}}]}`
		otherwise = `{"Statement":{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}}`
		bobsKey   = `{"Statement":{"Effect":"Allow","Principal":{"AWS":"` + bobARN + `"},"Action":"kms:Decrypt","Resource":"*"}}`
		twice     = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Decrypt","Resource":"` + keyA2 + `","Condition":{"StringEquals":{"aws:PrincipalTag/team":"red"}}}]}`
	)
	for _, tt := range []struct {
		name            string
		w               *world
		reason          authz.Reason
		element, needed string // of the nearest miss; "" for none
		missing         []string
	}{
		{"an action", user(t, aliceARN, otherwise).with(delegating), authz.NoIdentityAllow, "Action", "kms:Encrypt", nil},
		{"a resource, which is nearer", user(t, aliceARN, otherwise, onKey).with(delegating), authz.NoIdentityAllow, "Resource", keyA2, nil},
		{
			"a condition, which is nearest", user(t, aliceARN, otherwise, onKey, tagged).with(delegating), authz.NoIdentityAllow,
			"Condition.StringEquals.aws:PrincipalTag/team", "red, blue",
			[]string{"aws:PrincipalTag/team"},
		},
		{"two elements", user(t, aliceARN, twice).with(delegating), authz.NoIdentityAllow, "", "", nil},
		{"a principal", user(t, aliceARN, allowAll).with(bobsKey), authz.KeyPolicyDoesNotDelegate, "Principal", bobARN, nil},
		{"a Deny lacks nothing", user(t, aliceARN, otherwise, denyDecrypt).with(delegating), authz.ExplicitIdentity, "", "", nil},
		{"what is allowed lacks nothing", user(t, aliceARN, allowAll, onKey).with(delegating), authz.IdentityViaAccount, "", "", nil},
	} {
		e := authz.Explain(&tt.w.caller, authz.KMSDecrypt, tt.w.resource(keyA), nil)
		checkExplanation(t, &tt.w.caller, authz.KMSDecrypt, tt.w.resource(keyA), nil, e.Decision)
		if e.Decision.Reason != tt.reason {
			t.Errorf("%s: Explain decides %v, want %v", tt.name, e.Decision.Reason, tt.reason)
		}
		if got := (authz.NearestMiss{}); e.Nearest == nil && tt.element != "" || e.Nearest != nil && (e.Nearest.Element != tt.element || e.Nearest.Needed != tt.needed) {
			if e.Nearest != nil {
				got = *e.Nearest
			}
			t.Errorf("%s: Nearest = %+v, want %s: %s", tt.name, got, tt.element, tt.needed)
		}
		var missing []string
		for _, m := range e.Missing {
			missing = append(missing, m.Name)
			if m.Layer != authz.IdentityLayer {
				t.Errorf("%s: %q is missing by the %v, want the %v", tt.name, m.Name, m.Layer, authz.IdentityLayer)
			}
		}
		if !slices.Equal(missing, tt.missing) {
			t.Errorf("%s: Missing = %q, want %q", tt.name, missing, tt.missing)
		}
	}
}

func TestExplainTracesEveryLayer(t *testing.T) {
	l := newLayers(t)
	caller, r := l.request(&cell{
		kind: authz.RoleSession, identity: allows, boundary: silent, sessions: denies, scp: silent, rcp: denies, key: theRole, grant: theRole,
	})
	e := authz.Explain(caller, authz.KMSDecrypt, r, nil)
	var got []string
	for _, p := range e.Policies {
		got = append(got, fmt.Sprintf("%v %d %d", p.Layer, p.Depth, p.Outcome))
	}
	want := []string{
		"service control policy 0 3", "service control policy 1 1", "service control policy 1 1", "service control policy 2 3",
		"resource control policy 0 3", "resource control policy 1 3", "resource control policy 1 2", "resource-based policy 0 3",
		"identity-based policy 0 1", "identity-based policy 0 3", "permissions boundary 0 1", "session policy 0 1", "session policy 0 2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("Explain has the policies\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if e.AllowedByOrganizations || e.AllowedByBoundary || e.AllowedBySession || e.Decision.Reason != authz.ExplicitRCP {
		t.Errorf("Explain = %+v, want a denial by each of organizations, boundary and session", e)
	}
	if len(e.Grants) != 1 || e.Grants[0].Limits || !e.Grants[0].Operation || e.Grants[0].Holds || e.Grants[0].Level != authz.RoleLevel {
		t.Errorf("Explain has the grants %+v, want one that the limits hold back", e.Grants)
	}
}

// TestExplainIsBounded asks for the explanation of what costs too much.
func TestExplainIsBounded(t *testing.T) {
	var list []string
	for i := range 150 {
		list = append(list, fmt.Sprintf(`{"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:kms:*:*:key/*%d"}`, i))
	}
	w := user(t, aliceARN).with(delegating)
	p, err := authz.Parse(authz.KeyPolicy, []byte(`{"Statement":[`+strings.ReplaceAll(strings.Join(list, ","), `"Effect"`, `"Principal":"*","Effect"`)+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	w.policy = p
	for range 20 {
		w.caller.Identity = append(w.caller.Identity, mustParse(t, authz.IdentityPolicy, `{"Statement":[`+strings.Join(list[:60], ",")+`]}`))
	}
	e := authz.Explain(&w.caller, authz.KMSDecrypt, w.resource(keyA), nil)
	n := 0
	for _, p := range e.Policies {
		n += len(p.Statements)
	}
	if !e.Truncated || n != 1000 {
		t.Errorf("Explain has %d statements, truncated %v, want 1000 of 1350", n, e.Truncated)
	}
	grants := (*authz.KeyGrants)(nil)
	for i := range 150 {
		grants = grants.With(grant(func(g *authz.KeyGrant) { g.ID = fmt.Sprint(i); g.Actions = []authz.Action{authz.KMSEncrypt} }))
	}
	r := &authz.Resource{Kind: authz.Key, Account: accountA, ARN: keyA, Policy: silentKey, Grants: grants}
	if e := authz.Explain(&user(t, aliceARN).caller, authz.KMSDecrypt, r, nil); !e.Truncated || len(e.Grants) != 100 {
		t.Errorf("Explain has %d grants, truncated %v, want 100 of 150", len(e.Grants), e.Truncated)
	}
	if e := authz.Explain(nil, 0, nil, nil); e.Decision.Reason != authz.InvalidRequest || e.Policies != nil {
		t.Errorf("Explain of nothing = %+v", e)
	}
}

// TestExplainBoundsValues asks with long lists of values: every condition would repeat them.
func TestExplainBoundsValues(t *testing.T) {
	var list []string
	for i := range 40 {
		list = append(list, fmt.Sprintf(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"%d"}}}`, i))
	}
	w := user(t, aliceARN, `{"Statement":[`+strings.Join(list, ",")+`]}`, `{"Statement":{"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"aws:username":"`+strings.Repeat("x", 1000)+`"}}}}`)
	for _, tt := range []struct {
		name   string
		values []string
		shown  int // conditions
		whole  bool
	}{
		{"few values", []string{"alias/a", "alias/b"}, 41, true},
		{"many values", slices.Repeat([]string{strings.Repeat("v", 84)}, 100), 7, false},
		{"very many short ones", slices.Repeat([]string{""}, 4200), 1, false},
	} {
		r := w.resource(keyA)
		r.Aliases = tt.values
		e := authz.Explain(&w.caller, authz.KMSDecrypt, r, nil)
		shown, bytes, conditions := 0, 0, 0
		for _, p := range e.Policies {
			for _, s := range p.Statements {
				for _, c := range s.Conditions {
					conditions++
					if c.Values != nil {
						shown++
					}
					for _, v := range slices.Concat(c.Values, c.RequestValues) {
						bytes += len(v)
					}
				}
			}
		}
		if conditions != 41 || shown != tt.shown || e.Truncated == tt.whole || bytes > 64<<10 {
			t.Errorf("%s: Explain shows the values of %d of %d conditions, %d bytes, truncated %v, want %d of 41, at most %d bytes", tt.name, shown, conditions, bytes, e.Truncated, tt.shown, 64<<10)
		}
		if _, d := authz.Authorize(&w.caller, authz.KMSDecrypt, r, nil); e.Decision != d {
			t.Errorf("%s: Explain decides %v, Authorize %v", tt.name, e.Decision, d)
		}
	}
}

// BenchmarkExplain explains a usual denial: 3 policies of the caller, a key policy and an organization of 3 levels.
func BenchmarkExplain(b *testing.B) {
	l := newLayers(b)
	caller, r := l.request(&cell{kind: authz.RoleSession, identity: silent, boundary: allows, sessions: allows, scp: allows, rcp: allows, key: theAccount})
	b.ReportAllocs()
	for b.Loop() {
		if e := authz.Explain(caller, authz.KMSDecrypt, r, nil); e.Decision.Reason != authz.NoIdentityAllow {
			b.Fatalf("Explain = %+v", e.Decision)
		}
	}
}
