package authz_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/authz"
)

func TestPrincipalsAndBind(t *testing.T) {
	doc := principal(`{"AWS":["` + bobARN + `","*","` + aliceARN + `","` + bobARN + `","arn:aws:iam::111122223333:role/r","111122223333"]}`)
	p := mustParse(t, authz.KeyPolicy, doc)
	if got, want := p.Principals(), []string{bobARN, aliceARN, "arn:aws:iam::111122223333:role/r"}; !slices.Equal(got, want) {
		t.Errorf("Principals() = %q, want %q", got, want)
	}
	asked := 0
	_, err := p.Bind(func(arn string) (string, bool) { asked++; return resolveUser(arn) })
	var fault *authz.SyntaxError
	if !errors.As(err, &fault) || !strings.Contains(fault.Msg, "role/r\" does not exist") || fault.Offset != strings.Index(doc, `"arn:aws:iam::111122223333:role/r"`) {
		t.Errorf("Bind = %v, want an error that names the role", err)
	}
	if asked != 3 {
		t.Errorf("Bind asked for %d principals, want each once", asked)
	}
	withRole := maps.Clone(ids)
	withRole["arn:aws:iam::111122223333:role/r"] = "AROAAAAAAAAAAAAAA001"
	if _, err := p.Bind(func(arn string) (string, bool) { return withRole[arn], true }); err != nil {
		t.Errorf("Bind = %v, want nil", err)
	}
	for _, bad := range []string{"", "alice", "111122223333", "*", aliceARN} {
		if _, err := p.Bind(func(string) (string, bool) { return bad, true }); !errors.Is(err, authz.ErrMalformedPolicy) {
			t.Errorf("Bind to %q = %v, want ErrMalformedPolicy", bad, err)
		}
	}
}

// A session is bound to the role that there is when a policy is bound, and to that one again when it is loaded.
func TestBindSessions(t *testing.T) {
	const other = "arn:aws:sts::111122223333:assumed-role/night/other"
	p := mustParse(t, authz.KeyPolicy, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*",
		"Principal":{"AWS":["`+sessionARN+`","`+roleARN+`x","`+other+`","`+sessionARN+`"]}}}`)
	if got, want := p.Principals(), []string{sessionARN, roleARN + "x", other}; !slices.Equal(got, want) {
		t.Errorf("Principals() = %q, want %q", got, want)
	}
	const role, made, second = "AROAAAAAAAAAAAAAA001", roleID, "AROANIGHT00000000002"
	all := map[string]string{sessionARN: made, roleARN + "x": role, other: made}
	bound, err := p.Bind(func(arn string) (string, bool) { return all[arn], true })
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.Rebind(all)
	if err != nil {
		t.Fatal(err)
	}
	before, err := p.Rebind(map[string]string{other: made, roleARN + "x": role})
	if err != nil {
		t.Fatalf("Rebind without the role of a session = %v, want nil", err)
	}
	for _, tt := range []struct {
		name        string
		policy      *authz.Policy
		id, session string
		want        bool
	}{
		{"the session of the role", bound, made, "batch", true},
		{"the other session that is named", bound, made, "other", true},
		{"a session that is not named", bound, made, "Batch", false},
		{"a session without a name", bound, made, "", false},
		{"the session of a role made again", bound, second, "batch", false},
		{"the session, loaded", again, made, "batch", true},
		{"the session of a role made again, loaded", again, second, "batch", false},
		{"the session of a policy from before, for which there is no role", before, made, "batch", false},
		{"the other session of that policy", before, made, "other", true},
		{"the role of that policy", before, role, "batch", true},
	} {
		c := authz.Caller{Kind: authz.RoleSession, Account: accountA, ID: tt.id, ARN: sessionARN, RoleARN: roleARN, SessionName: tt.session}
		r := authz.Resource{Kind: authz.Key, Account: accountA, ARN: keyA, Policy: tt.policy}
		if _, d := authz.Authorize(&c, authz.KMSDecrypt, &r, nil); (d.Verdict == authz.Allow) != tt.want {
			t.Errorf("%s: Authorize = %v (%v), want allowed = %v", tt.name, d.Verdict, d.Reason, tt.want)
		}
	}
	for name, ids := range map[string]map[string]string{
		"without the id of a role": {sessionARN: made, other: made},
		"with no id for a session": {sessionARN: "", other: made, roleARN + "x": role},
		"with no id for a role":    {sessionARN: made, other: made, roleARN + "x": ""},
		"with an ARN for an id":    {sessionARN: sessionARN, other: made, roleARN + "x": role},
	} {
		if got, err := p.Rebind(ids); !errors.Is(err, authz.ErrMalformedPolicy) || got != nil {
			t.Errorf("Rebind %s = %v, %v, want ErrMalformedPolicy", name, got, err)
		}
	}
	for name, resolve := range map[string]func(string) (string, bool){
		"that does not know": func(arn string) (string, bool) { return all[arn], arn != other },
		"that knows no id":   func(arn string) (string, bool) { return strings.TrimPrefix(all[arn], made), true },
	} {
		if _, err := p.Bind(resolve); !errors.Is(err, authz.ErrMalformedPolicy) {
			t.Errorf("Bind with one %s = %v, want ErrMalformedPolicy", name, err)
		}
	}
}

// A grant for a session is for that of the role that there was when it was made, among few grants and among many.
func TestGrantsForSessions(t *testing.T) {
	resolve := func(id string) func(string) (string, bool) {
		return func(string) (string, bool) { return id, true }
	}
	named, err := authz.BindPrincipal(sessionARN, resolve(roleID))
	if err != nil {
		t.Fatal(err)
	}
	g := &authz.KeyGrant{ID: "named", Grantee: named, Retiring: named, Actions: []authz.Action{authz.KMSDecrypt}}
	for _, others := range []int{0, 100} {
		grants := (*authz.KeyGrants)(nil).With(g)
		for n := range others {
			p, err := authz.BindPrincipal(sessionARN, resolve(fmt.Sprintf("AROAOTHER%011d", n)))
			if err != nil {
				t.Fatal(err)
			}
			grants = grants.With(&authz.KeyGrant{ID: fmt.Sprint(n), Grantee: p, Actions: []authz.Action{authz.KMSEncrypt}})
		}
		for _, tt := range []struct {
			name        string
			id, session string
			want        bool
		}{
			{"the session", roleID, "batch", true},
			{"another session of the role", roleID, "batch2", false},
			{"the session of a role that was made again", "AROANIGHT00000000002", "batch", false},
			{"the session of a role that has another grant", "AROAOTHER00000000001", "batch", false},
		} {
			c := authz.Caller{Kind: authz.RoleSession, Account: accountA, ID: tt.id, ARN: sessionARN, RoleARN: roleARN, SessionName: tt.session}
			r := authz.Resource{Kind: authz.Key, Account: accountA, ARN: keyA, Policy: silentKey, Grants: grants}
			explained := authz.Explain(&c, authz.KMSDecrypt, &r, nil)
			_, d := authz.Authorize(&c, authz.KMSDecrypt, &r, nil)
			if got := d.GrantID == "named"; got != tt.want || explained.Decision != d {
				t.Errorf("%s may decrypt by one of %d grants: %+v, explained %+v, want it = %v", tt.name, grants.Len(), d, explained.Decision, tt.want)
			}
			x := authz.Context{KeyGrant: g}
			if _, d := authz.Authorize(&c, authz.KMSRetireGrant, &r, &x); (d.GrantID == "named") != tt.want {
				t.Errorf("%s may retire the grant: %+v, want it = %v", tt.name, d, tt.want)
			}
		}
	}
}

func TestBindDoesNotChangeThePolicy(t *testing.T) {
	p := mustParse(t, authz.KeyPolicy, onlyAlice)
	bind := func(id string) *authz.Policy {
		b, err := p.Bind(func(string) (string, bool) { return id, true })
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first, second := bind("AIDAAAAAAAAAAAAAA001"), bind("AIDAAAAAAAAAAAAAA002")
	for _, tt := range []struct {
		policy *authz.Policy
		id     string
		want   authz.Reason
	}{
		{first, "AIDAAAAAAAAAAAAAA001", authz.ByResourcePolicy},
		{first, "AIDAAAAAAAAAAAAAA002", authz.KeyPolicyDoesNotDelegate},
		{second, "AIDAAAAAAAAAAAAAA002", authz.ByResourcePolicy},
		{p, "AIDAAAAAAAAAAAAAA002", authz.PolicyUnusable},
	} {
		c := authz.Caller{Kind: authz.User, Account: accountA, ID: tt.id}
		r := authz.Resource{Kind: authz.Key, Account: accountA, ARN: keyA, Policy: tt.policy}
		if _, d := authz.Authorize(&c, authz.KMSDecrypt, &r, nil); d.Reason != tt.want {
			t.Errorf("Authorize for %s = %v, want %v", tt.id, d.Reason, tt.want)
		}
	}
}

// TestManyPrincipals makes sure that a long list matches as a short one does.
func TestManyPrincipals(t *testing.T) {
	var list []string
	for i := range 500 {
		list = append(list, fmt.Sprintf("AIDAAAAAAAAAAAAAA%03d", i), fmt.Sprintf("%012d", i))
	}
	quoted, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	p := mustParse(t, authz.KeyPolicy, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Principal":{"AWS":`+string(quoted)+`}}}`)
	for i := range 502 {
		c := authz.Caller{Kind: authz.User, Account: accountA, ID: fmt.Sprintf("AIDAAAAAAAAAAAAAA%03d", i)}
		r := authz.Resource{Kind: authz.Key, Account: accountA, ARN: keyA, Policy: p}
		if _, d := authz.Authorize(&c, authz.KMSDecrypt, &r, nil); (d.Verdict == authz.Allow) != (i < 500) {
			t.Errorf("Authorize for %s = %v, want allowed = %v", c.ID, d.Reason, i < 500)
		}
		if got := p.Delegates(fmt.Sprintf("%012d", i), authz.KMSDecrypt); got != (i < 500) {
			t.Errorf("Delegates(%012d) = %v, want %v", i, got, i < 500)
		}
	}
}

func TestDelegates(t *testing.T) {
	p := mustParse(t, authz.KeyPolicy, delegating)
	for _, tt := range []struct {
		account string
		action  authz.Action
		want    bool
	}{
		{accountA, authz.KMSPutKeyPolicy, true},
		{accountA, authz.IAMGetUser, false},
		{accountB, authz.KMSPutKeyPolicy, false},
		{accountA, 0, false},
		{accountA, 60000, false},
	} {
		if got := p.Delegates(tt.account, tt.action); got != tt.want {
			t.Errorf("Delegates(%s, %v) = %v, want %v", tt.account, tt.action, got, tt.want)
		}
	}
	if mustParse(t, authz.KeyPolicy, everyone).Delegates(accountA, authz.KMSDecrypt) {
		t.Error(`Delegates = true for Principal "*", want false`)
	}
}
