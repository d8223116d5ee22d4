package authz_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kmsd/kmsd/authz"
)

// Every version of the grants stays what it was when it was made, whatever is made from it later.
func TestKeyGrantsAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			got  *authz.KeyGrants
			want map[string]*authz.KeyGrant
		}
		versions := []version{{nil, map[string]*authz.KeyGrant{}}}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			from := versions[max(0, len(versions)-1-rapid.IntRange(0, 3).Draw(t, "back"))]
			g := drawGrant(t, rapid.IntRange(0, 40).Draw(t, "grant"))
			next := version{want: map[string]*authz.KeyGrant{}}
			for id, have := range from.want {
				next.want[id] = have
			}
			if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
				delete(next.want, g.ID)
				next.got = from.got.Without(g)
			} else {
				next.want[g.ID] = g
				next.got = from.got.With(g)
			}
			versions = append(versions, next)
		}
		for _, v := range versions {
			for name, s := range map[string]*authz.KeyGrants{"changed": v.got, "collected": authz.CollectKeyGrants(v.got.All())} {
				if s.Len() != len(v.want) {
					t.Fatalf("%s: Len() = %d, want %d", name, s.Len(), len(v.want))
				}
				for g := range s.All() {
					if v.want[g.ID] != g {
						t.Fatalf("%s: All has %+v, want %+v", name, g, v.want[g.ID])
					}
				}
				for range 10 {
					compareWithEach(t, name, s, v.want)
				}
			}
		}
	})
}

// drawGrant returns a grant of a number, which its id and its grantee follow from, and nothing else.
func drawGrant(t *rapid.T, n int) *authz.KeyGrant {
	g := &authz.KeyGrant{
		ID: fmt.Sprintf("g%d", n), Grantee: authz.Principal{Level: authz.DirectLevel, ID: "p0", Account: accountA},
		Actions: rapid.SampledFrom([][]authz.Action{
			{authz.KMSDecrypt}, {authz.KMSDecrypt, authz.KMSDescribeKey}, {authz.KMSEncrypt}, authz.GrantOperations(),
		}).Draw(t, "actions"),
		Expires: rapid.SampledFrom([]time.Time{{}, noon.Add(-1), noon.Add(1), noon.Add(2), noon.Add(time.Hour)}).Draw(t, "ends"),
	}
	if n%8 == 0 {
		g.Grantee.Level, g.Grantee.ID = authz.Level(1+n%3), fmt.Sprint("p", 1+n%5)
	}
	switch rapid.IntRange(0, 4).Draw(t, "constraint") {
	case 0, 1:
		g.Subset = drawPairs(t)
	case 2, 3:
		g.Equals = drawPairs(t)
	}
	return g
}

func drawPairs(t *rapid.T) authz.Pairs {
	return authz.NewPairs(rapid.MapOfN(rapid.SampledFrom([]string{"a", "A", "b", "c"}), rapid.SampledFrom([]string{"", "1"}), 0, 4).Draw(t, "pairs"))
}

// compareWithEach draws a request and sees that the grants allow it if one of them alone does, and name such a one.
func compareWithEach(t *rapid.T, name string, s *authz.KeyGrants, all map[string]*authz.KeyGrant) {
	c := authz.Caller{Kind: authz.User, Account: accountA, ID: fmt.Sprint("p", rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "caller"))}
	a := rapid.SampledFrom([]authz.Action{authz.KMSDecrypt, authz.KMSEncrypt, authz.KMSDescribeKey, authz.KMSCreateGrant}).Draw(t, "action")
	x := authz.Context{EncryptionContext: drawPairs(t), KeyGrant: drawGrant(t, 99)}
	if rapid.IntRange(0, 5).Draw(t, "clock") > 0 {
		x.Time = noon
	}
	decide := func(s *authz.KeyGrants) authz.Decision {
		_, d := authz.Authorize(&c, a, &authz.Resource{Kind: authz.Key, Account: accountA, ARN: keyA, Policy: silentKey, Grants: s}, &x)
		return d
	}
	var allowed []string
	for id, g := range all {
		if decide((*authz.KeyGrants)(nil).With(g)).Verdict == authz.Allow {
			allowed = append(allowed, id)
		}
	}
	d := decide(s)
	if (d.Verdict == authz.Allow) != (len(allowed) > 0) || d.Verdict == authz.Allow && !slices.Contains(allowed, d.GrantID) {
		t.Fatalf("%s: %v for %s with %v = %+v, want it by one of %v", name, a, c.ID, x.EncryptionContext, d, allowed)
	}
	e := authz.Explain(&c, a, &authz.Resource{Kind: authz.Key, Account: accountA, ARN: keyA, Policy: silentKey, Grants: s}, &x)
	holds := 0
	for _, g := range e.Grants {
		if g.Holds {
			holds++
		}
	}
	if holds != len(allowed) || e.Decision != d {
		t.Fatalf("%s: %v for %s: Explain = %+v with %d grants that hold, want %+v and %d", name, a, c.ID, e.Decision, holds, d, len(allowed))
	}
}

// silentKey is a key policy that says nothing about anyone. It is never written.
var silentKey = func() *authz.Policy {
	p, err := authz.Parse(authz.KeyPolicy, []byte(`{"Statement":{"Effect":"Allow","Principal":{"AWS":"999999999999"},"Action":"kms:GetKeyPolicy","Resource":"*"}}`))
	if err != nil {
		panic(err)
	}
	return p
}()

func TestAllStops(t *testing.T) {
	var s *authz.KeyGrants
	for n := range 20 {
		s = s.With(&authz.KeyGrant{ID: fmt.Sprint(n), Grantee: authz.Principal{ID: fmt.Sprint(n / 2)}})
		for range s.All() {
			break
		}
	}
	if s.Len() != 20 {
		t.Errorf("Len() = %d, want 20", s.Len())
	}
}

func TestGrantOperations(t *testing.T) {
	list := authz.GrantOperations()
	if len(list) != 19 || !slices.IsSorted(list) || !slices.Contains(list, authz.KMSRetireGrant) || slices.Contains(list, authz.KMSPutKeyPolicy) {
		t.Errorf("GrantOperations() = %v", list)
	}
	clear(list)
	if authz.GrantOperations()[0] != authz.KMSEncrypt {
		t.Error("GrantOperations gives its own list away")
	}
}

func TestBindPrincipal(t *testing.T) {
	const role, session = "arn:aws:iam::111122223333:role/ops/night", "arn:aws:sts::111122223333:assumed-role/night/batch"
	resolve := func(arn string) (string, bool) {
		switch arn {
		case role, session:
			return "AROANIGHT00000000001", true
		case malloryB:
			return "not an id", true
		}
		return resolveUser(arn)
	}
	for _, tt := range []struct {
		text string
		want authz.Principal
	}{
		{accountA, authz.Principal{Level: authz.AccountLevel, Account: accountA, ID: accountA}},
		{"arn:aws:iam::111122223333:root", authz.Principal{Level: authz.AccountLevel, Account: accountA, ID: accountA}},
		{aliceARN, authz.Principal{Level: authz.DirectLevel, Account: accountA, ID: ids[aliceARN]}},
		{role, authz.Principal{Level: authz.RoleLevel, Account: accountA, ID: "AROANIGHT00000000001"}},
		{session, authz.Principal{Level: authz.DirectLevel, Account: accountA, ID: "AROANIGHT00000000001:batch"}},
	} {
		tt.want.Text = tt.text
		if got, err := authz.BindPrincipal(tt.text, resolve); err != nil || got != tt.want {
			t.Errorf("BindPrincipal(%q) = %+v, %v, want %+v", tt.text, got, err, tt.want)
		}
	}
	for _, text := range []string{
		"", "*", "alice", ids[aliceARN], "arn:aws:iam::111122223333:user/*", "arn:aws:iam::111122223333:user/nobody", malloryB,
		"arn:aws:iam::111122223333:group/g", "arn:aws:iam::11112222333:root", "arn:aws:sts::111122223333:assumed-role/night", session + "2",
		"arn:aws:iam::111122223333:oidc-provider/host", "arn:aws:iam::111122223333:user/\u0430lice", " " + aliceARN, strings.Repeat("9", 1<<16),
	} {
		got, err := authz.BindPrincipal(text, resolve)
		if !errors.Is(err, authz.ErrInvalidPrincipal) || got != (authz.Principal{}) {
			t.Errorf("BindPrincipal(%.80q) = %+v, %v, want ErrInvalidPrincipal", text, got, err)
		} else if len(err.Error()) > 600 {
			t.Errorf("BindPrincipal(%.80q): the error has %d bytes", text, len(err.Error()))
		}
	}
}

func FuzzBindPrincipal(f *testing.F) {
	for _, s := range []string{"*", accountA, aliceARN, "arn:aws:sts::111122223333:assumed-role/r/ss", "arn:aws:iam::111122223333:role/p/r"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := authz.BindPrincipal(text, func(string) (string, bool) { return "AIDAAAAAAAAAAAAAA001", true })
		if err != nil {
			if p != (authz.Principal{}) {
				t.Errorf("BindPrincipal(%q) = %+v beside an error", text, p)
			}
			return
		}
		if strings.ContainsAny(text, "*? ") || p.Text != text || len(p.Account) != 12 || !strings.Contains(text, p.Account) || p.ID == "" {
			t.Errorf("BindPrincipal(%q) = %+v", text, p)
		}
	})
}

func grant(change func(*authz.KeyGrant)) *authz.KeyGrant {
	g := &authz.KeyGrant{
		ID: "g", Issuer: accountA, IssuedBy: "AIDA",
		Grantee: authz.Principal{Text: aliceARN, Level: authz.DirectLevel, Account: accountA, ID: ids[aliceARN]},
		Actions: []authz.Action{authz.KMSEncrypt, authz.KMSDecrypt},
	}
	change(g)
	return g
}

func manyPairs(n int) authz.Pairs {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprint(i)] = "v"
	}
	return authz.NewPairs(m)
}

func TestCheckOfAGrant(t *testing.T) {
	long := strings.Repeat("\u00e9", 384)
	for _, tt := range []struct {
		name   string
		change func(*authz.KeyGrant)
		ok     bool
	}{
		{"as it is", func(*authz.KeyGrant) {}, true},
		{"8 pairs", func(g *authz.KeyGrant) { g.Equals = manyPairs(8) }, true},
		{"9 pairs", func(g *authz.KeyGrant) { g.Subset = manyPairs(9) }, false},
		{"both constraints", func(g *authz.KeyGrant) { g.Subset, g.Equals = manyPairs(1), manyPairs(1) }, false},
		{"a value of 384 characters", func(g *authz.KeyGrant) { g.Equals = authz.NewPairs(map[string]string{"k": long}) }, true},
		{"a value of 385 characters", func(g *authz.KeyGrant) { g.Equals = authz.NewPairs(map[string]string{"k": long + "x"}) }, false},
		{"a name of 385 characters", func(g *authz.KeyGrant) { g.Subset = authz.NewPairs(map[string]string{long + "x": ""}) }, false},
		{"a pair without a name", func(g *authz.KeyGrant) { g.Subset = authz.NewPairs(map[string]string{"": "x"}) }, false},
		{"no operation", func(g *authz.KeyGrant) { g.Actions = nil }, false},
		{"every operation", func(g *authz.KeyGrant) { g.Actions = authz.GrantOperations() }, true},
		{"an operation twice", func(g *authz.KeyGrant) { g.Actions = []authz.Action{authz.KMSDecrypt, authz.KMSDecrypt} }, false},
		{"operations out of order", func(g *authz.KeyGrant) { g.Actions = []authz.Action{authz.KMSDecrypt, authz.KMSEncrypt} }, false},
		{"an operation that grants cannot allow", func(g *authz.KeyGrant) { g.Actions = []authz.Action{authz.KMSPutKeyPolicy} }, false},
		{"no grantee", func(g *authz.KeyGrant) { g.Grantee = authz.Principal{} }, false},
		{"a grantee that is not bound", func(g *authz.KeyGrant) { g.Grantee.ID = "" }, false},
		{"half a retiring principal", func(g *authz.KeyGrant) { g.Retiring.Text = aliceARN }, false},
		{"an end before the beginning", func(g *authz.KeyGrant) { g.Created, g.Expires = noon, noon }, false},
		{"an end after it", func(g *authz.KeyGrant) { g.Created, g.Expires = noon, noon.Add(1) }, true},
		{"a name of 256 characters", func(g *authz.KeyGrant) { g.Name = strings.Repeat("n", 256) }, true},
		{"a name of 257 characters", func(g *authz.KeyGrant) { g.Name = strings.Repeat("n", 257) }, false},
	} {
		if err := grant(tt.change).Check(); (err == nil) != tt.ok || err != nil && !errors.Is(err, authz.ErrInvalidGrant) {
			t.Errorf("%s: Check() = %v, want ok = %v", tt.name, err, tt.ok)
		}
	}
}

// Every operation of grants is one of some keys, and of no others. The rows are AWS's: an operation that the key does not have, and a constraint on an
// encryption context that its operations do not have, are ValidationExceptions.
func TestGrantsFitTheirKey(t *testing.T) {
	for _, tt := range []struct {
		spec, usage string
		operations  string // beside DescribeKey, CreateGrant and RetireGrant
	}{
		{"SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "Encrypt Decrypt ReEncryptFrom ReEncryptTo GenerateDataKey GenerateDataKeyWithoutPlaintext GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext"},
		{"RSA_2048", "ENCRYPT_DECRYPT", "Encrypt Decrypt ReEncryptFrom ReEncryptTo GetPublicKey"},
		{"RSA_4096", "SIGN_VERIFY", "Sign Verify GetPublicKey"},
		{"ECC_NIST_P256", "SIGN_VERIFY", "Sign Verify GetPublicKey"},
		{"ML_DSA_65", "SIGN_VERIFY", "Sign Verify GetPublicKey"},
		{"ECC_NIST_P384", "KEY_AGREEMENT", "DeriveSharedSecret GetPublicKey"},
		{"ML_KEM_768", "ENCAPSULATE_DECAPSULATE", "Encapsulate Decapsulate GetPublicKey"},
		{"HMAC_256", "GENERATE_VERIFY_MAC", "GenerateMac VerifyMac"},
		{"", "", ""},
	} {
		own := strings.Fields("DescribeKey CreateGrant RetireGrant " + tt.operations)
		for _, a := range authz.GrantOperations() {
			g := grant(func(g *authz.KeyGrant) { g.Actions = []authz.Action{a} })
			want := slices.Contains(own, strings.TrimPrefix(a.String(), "kms:"))
			if err := g.CheckFor(tt.spec, tt.usage); (err == nil) != want || err != nil && !errors.Is(err, authz.ErrInvalidGrant) {
				t.Errorf("%v on a key of %s and %s: CheckFor = %v, want ok = %v", a, tt.spec, tt.usage, err, want)
			}
		}
		for name, constrain := range map[string]func(*authz.KeyGrant){
			"EncryptionContextEquals": func(g *authz.KeyGrant) { g.Equals = manyPairs(1) },
			"EncryptionContextSubset": func(g *authz.KeyGrant) { g.Subset = manyPairs(1) },
		} {
			g := grant(func(g *authz.KeyGrant) { g.Actions = []authz.Action{authz.KMSDescribeKey}; constrain(g) })
			if err := g.CheckFor(tt.spec, tt.usage); (err == nil) != (tt.spec == "SYMMETRIC_DEFAULT") || err != nil && !errors.Is(err, authz.ErrInvalidGrant) {
				t.Errorf("%s on a key of %s: CheckFor = %v", name, tt.spec, err)
			}
		}
	}
}

// noon is an instant. It is never written.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func at(t time.Time) *authz.Context { return &authz.Context{Time: t} }

func encryption(pairs ...string) *authz.Context {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return &authz.Context{Time: noon, EncryptionContext: authz.NewPairs(m)}
}

func TestConstraintsOfGrants(t *testing.T) {
	equals := grant(func(g *authz.KeyGrant) {
		g.Actions = authz.GrantOperations()
		g.Equals = authz.NewPairs(map[string]string{"Dept": "IT", "App": "a"})
	})
	subset := grant(func(g *authz.KeyGrant) {
		g.Actions = authz.GrantOperations()
		g.Subset = authz.NewPairs(map[string]string{"Dept": "IT", "App": "a"})
	})
	ends := grant(func(g *authz.KeyGrant) { g.Expires = noon })
	for _, tt := range []struct {
		name    string
		grant   *authz.KeyGrant
		action  authz.Action
		context *authz.Context
		want    bool
	}{
		{"the same pairs", equals, authz.KMSDecrypt, encryption("App", "a", "Dept", "IT"), true},
		{"a pair more", equals, authz.KMSDecrypt, encryption("App", "a", "Dept", "IT", "X", ""), false},
		{"a pair less", equals, authz.KMSDecrypt, encryption("App", "a"), false},
		{"no pairs", equals, authz.KMSDecrypt, nil, false},
		{"another value", equals, authz.KMSDecrypt, encryption("App", "A", "Dept", "IT"), false},
		{"another case of a name", equals, authz.KMSDecrypt, encryption("app", "a", "Dept", "IT"), false},
		{"DescribeKey has no context", equals, authz.KMSDescribeKey, nil, true},
		{"the subset", subset, authz.KMSEncrypt, encryption("App", "a", "Dept", "IT"), true},
		{"more than the subset", subset, authz.KMSEncrypt, encryption("App", "a", "Dept", "IT", "dept", "x", "A", "", "Z", ""), true},
		{"names that collide without the one", subset, authz.KMSEncrypt, encryption("App", "a", "dept", "IT", "DEPT", "IT"), false},
		{"another value than the subset's", subset, authz.KMSEncrypt, encryption("App", "b", "Dept", "IT"), false},
		{"less than the subset", subset, authz.KMSEncrypt, encryption("Dept", "IT", "dept", "IT"), false},
		{"an operation that it does not have", ends, authz.KMSDescribeKey, at(noon.Add(-1)), false},
		{"before its end", ends, authz.KMSDecrypt, at(noon.Add(-1)), true},
		{"at its end", ends, authz.KMSDecrypt, at(noon), false},
		{"after its end", ends, authz.KMSDecrypt, at(noon.Add(time.Hour)), false},
		{"when nobody knows the time", ends, authz.KMSDecrypt, nil, false},
	} {
		w := user(t, aliceARN)
		r := authz.Resource{Kind: authz.Key, Account: accountA, ARN: keyA, Policy: silentKey, Grants: (*authz.KeyGrants)(nil).With(tt.grant)}
		_, d := authz.Authorize(&w.caller, tt.action, &r, tt.context)
		if (d.Verdict == authz.Allow) != tt.want {
			t.Errorf("%s: Authorize = %+v (%v), want allowed = %v", tt.name, d, d.Reason, tt.want)
		} else if tt.want && (d.Reason != authz.ByGrant || d.GrantID != "g" || d.Layer != authz.GrantLayer || d.Level != authz.DirectLevel) {
			t.Errorf("%s: Authorize = %+v, want it by grant g", tt.name, d)
		}
	}
}

func TestGrantsMadeByGrantsAreNoWider(t *testing.T) {
	one, two := authz.NewPairs(map[string]string{"a": "1"}), authz.NewPairs(map[string]string{"a": "1", "b": "2"})
	parent := func(change func(*authz.KeyGrant)) *authz.KeyGrant {
		return grant(func(g *authz.KeyGrant) {
			g.Actions = []authz.Action{authz.KMSEncrypt, authz.KMSDecrypt, authz.KMSCreateGrant}
			change(g)
		})
	}
	free := parent(func(*authz.KeyGrant) {})
	equals := parent(func(g *authz.KeyGrant) { g.Equals = two })
	subset := parent(func(g *authz.KeyGrant) { g.Subset = one })
	ends := parent(func(g *authz.KeyGrant) { g.Expires = noon.Add(time.Hour) })
	for _, tt := range []struct {
		name   string
		parent *authz.KeyGrant
		child  *authz.KeyGrant
		want   bool
	}{
		{"nothing said", free, nil, false},
		{"fewer operations", free, grant(func(*authz.KeyGrant) {}), true},
		{"the same operations", free, free, true},
		{"an operation more", free, grant(func(g *authz.KeyGrant) { g.Actions = []authz.Action{authz.KMSDescribeKey} }), false},
		{"a constraint where there is none", free, grant(func(g *authz.KeyGrant) { g.Equals = one }), true},
		{"the same pairs", equals, grant(func(g *authz.KeyGrant) { g.Equals = two }), true},
		{"no constraint under Equals", equals, grant(func(*authz.KeyGrant) {}), false},
		{"Subset under Equals", equals, grant(func(g *authz.KeyGrant) { g.Subset = two }), false},
		{"other pairs under Equals", equals, grant(func(g *authz.KeyGrant) { g.Equals = one }), false},
		{"no constraint under Subset", subset, grant(func(*authz.KeyGrant) {}), false},
		{"the same subset", subset, grant(func(g *authz.KeyGrant) { g.Subset = one }), true},
		{"a narrower subset", subset, grant(func(g *authz.KeyGrant) { g.Subset = two }), true},
		{"Equals that has the subset", subset, grant(func(g *authz.KeyGrant) { g.Equals = two }), true},
		{"Equals that has it not", subset, grant(func(g *authz.KeyGrant) { g.Equals = authz.NewPairs(map[string]string{"b": "2"}) }), false},
		{"no end under an end", ends, grant(func(*authz.KeyGrant) {}), false},
		{"a later end", ends, grant(func(g *authz.KeyGrant) { g.Expires = noon.Add(2 * time.Hour) }), false},
		{"the same end", ends, grant(func(g *authz.KeyGrant) { g.Expires = noon.Add(time.Hour) }), true},
	} {
		w := user(t, aliceARN)
		r := authz.Resource{Kind: authz.Key, Account: accountA, ARN: keyA, Policy: silentKey, Grants: (*authz.KeyGrants)(nil).With(tt.parent)}
		x := &authz.Context{Time: noon, KeyGrant: tt.child}
		if _, d := authz.Authorize(&w.caller, authz.KMSCreateGrant, &r, x); (d.Verdict == authz.Allow) != tt.want {
			t.Errorf("%s: Authorize = %+v (%v), want allowed = %v", tt.name, d, d.Reason, tt.want)
		}
		// Who is allowed by a policy is not held to that.
		r.Policy = mustParse(t, authz.KeyPolicy, `{"Statement":{"Effect":"Allow","Principal":"*","Action":"kms:CreateGrant","Resource":"*"}}`)
		if _, d := authz.Authorize(&w.caller, authz.KMSCreateGrant, &r, x); d.Reason != authz.ByResourcePolicy {
			t.Errorf("%s: Authorize = %+v (%v) by the key policy", tt.name, d, d.Reason)
		}
	}
}
