package authz_test

import (
	"testing"

	"github.com/kmsd/kmsd/authz"
)

const (
	roleARN    = "arn:aws:iam::111122223333:role/ops/night"
	roleID     = "AROANIGHT00000000001"
	sessionARN = "arn:aws:sts::111122223333:assumed-role/night/batch"
)

// resolveNight knows the users, the role and its sessions.
func resolveNight(arn string) (string, bool) {
	if arn == roleARN || arn == sessionARN {
		return roleID, true
	}
	return resolveUser(arn)
}

// opinion is what one layer says about the request.
type opinion int

const (
	absent   opinion = iota // there is no such layer
	allows                  // a statement allows
	silent                  // it is about other things
	denies                  // a statement allows, another denies
	opinions                // how many there are
)

// naming is whom the key policy or a grant names.
type naming int

const (
	nobody naming = iota
	theCaller
	theRole
	theAccount
	everybody   // in a key policy only
	deniesThem  // everybody is allowed and denied, in a key policy only
	keyPolicies // how many key policies there are
	grantees    = everybody
)

// A cell is one combination of what the layers say.
type cell struct {
	kind                         authz.CallerKind
	cross                        bool
	identity, boundary, sessions opinion
	scp, rcp                     opinion
	key, grant                   naming
}

// expected is section 8.4, word by word.
//
//	same account:  !anyDeny ∧ RCP ∧ SCP ∧ ( KP_direct ∨ (KP_role ∧ PB ∧ SP) ∨ (KP_account ∧ ID ∧ PB ∧ SP) ∨ Grant' )
//	cross account: !anyDeny ∧ RCP ∧ SCP ∧ ( (KP_any ∧ ID ∧ PB ∧ SP) ∨ Grant' )
func (c *cell) expected() bool {
	root, session := c.kind == authz.Root, c.kind == authz.RoleSession
	anyDeny := c.identity == denies || c.boundary == denies || c.sessions == denies || c.scp == denies || c.rcp == denies || c.key == deniesThem
	organizations := c.scp != silent && c.rcp != silent
	id := root || c.identity == allows || c.identity == denies
	limits := c.boundary != silent && c.sessions != silent
	direct := c.key == theCaller && !root || c.key == everybody
	role := c.key == theRole && session
	account := c.key == theAccount
	grant := c.grant == theCaller && !root || c.grant == theRole && session && limits || c.grant == theAccount && id && limits
	if c.cross {
		return !anyDeny && organizations && ((direct || role || account) && id && limits || grant)
	}
	return !anyDeny && organizations && (direct || role && limits || account && id && limits || grant)
}

// layersOf has the policies that the cells are put together of.
type layersOf struct {
	own, session, scp, rcp [opinions]*authz.Policy
	key                    map[authz.CallerKind]*[keyPolicies]*authz.Policy
}

func newLayers(t testing.TB) *layersOf {
	const (
		yes   = `{"Effect":"Allow","Action":"*","Resource":"*"}`
		other = `{"Effect":"Allow","Action":"kms:ListKeys","Resource":"*"}`
		no    = `{"Effect":"Deny","Action":"kms:Decrypt","Resource":"*"}`
	)
	kind := func(kind authz.PolicyKind) [opinions]*authz.Policy {
		var list [opinions]*authz.Policy
		for o, doc := range map[opinion]string{allows: yes, silent: other, denies: yes + "," + no} {
			list[o] = mustParse(t, kind, `{"Version":"2012-10-17","Statement":[`+doc+`]}`)
		}
		return list
	}
	l := &layersOf{
		own: kind(authz.IdentityPolicy), session: kind(authz.SessionPolicy), scp: kind(authz.ServiceControlPolicy),
		key: map[authz.CallerKind]*[keyPolicies]*authz.Policy{},
	}
	l.rcp[allows] = mustParse(t, authz.ResourceControlPolicy, authz.RCPFullAWSAccess)
	l.rcp[denies] = mustParse(t, authz.ResourceControlPolicy,
		`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*"}}`)
	for k, name := range map[authz.CallerKind]string{authz.Root: aliceARN, authz.User: aliceARN, authz.RoleSession: sessionARN} {
		var list [keyPolicies]*authz.Policy
		for n, principal := range map[naming]string{
			nobody: `{"AWS":"999999999999"}`, theCaller: `{"AWS":"` + name + `"}`, theRole: `{"AWS":"` + roleARN + `"}`,
			theAccount: `{"AWS":"` + accountA + `"}`, everybody: `"*"`, deniesThem: `"*"`,
		} {
			doc := `{"Effect":"Allow","Principal":` + principal + `,"Action":"kms:*","Resource":"*"}`
			if n == deniesThem {
				doc += `,{"Effect":"Deny","Principal":{"AWS":"` + accountA + `"},"Action":"kms:Decrypt","Resource":"*"}`
			}
			p, err := mustParse(t, authz.KeyPolicy, `{"Statement":[`+doc+`]}`).Bind(resolveNight)
			if err != nil {
				t.Fatal(err)
			}
			list[n] = p
		}
		l.key[k] = &list
	}
	return l
}

// request builds the question of a cell.
func (l *layersOf) request(c *cell) (*authz.Caller, *authz.Resource) {
	caller := &authz.Caller{Kind: c.kind, Account: accountA, ID: ids[aliceARN], ARN: aliceARN}
	switch c.kind {
	case authz.Root:
		caller.ID, caller.ARN = accountA, "arn:aws:iam::111122223333:root"
	case authz.RoleSession:
		caller.ID, caller.ARN, caller.RoleARN, caller.SessionName = roleID, sessionARN, roleARN, "batch"
	}
	if c.identity != absent {
		caller.Identity = []*authz.Policy{l.own[silent], l.own[c.identity]}
	}
	caller.Boundary = l.own[c.boundary]
	if c.sessions != absent {
		caller.Session = []*authz.Policy{l.session[silent], l.session[c.sessions]}
	}
	if c.scp != absent {
		full := []*authz.Policy{l.scp[allows]}
		caller.Membership = &authz.Membership{SCPs: [][]*authz.Policy{full, {l.scp[silent], l.scp[c.scp]}, full}}
	}
	r := &authz.Resource{Kind: authz.Key, Account: accountA, ARN: keyA, Policy: l.key[c.kind][c.key]}
	if c.cross {
		r.Account, r.ARN = accountB, "arn:aws:kms:local:444455556666:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	}
	switch c.rcp {
	case silent: // customers cannot write such a policy: a level without one stands for it
		r.Membership = &authz.Membership{RCPs: [][]*authz.Policy{{l.rcp[allows]}, {}}}
	case allows:
		r.Membership = &authz.Membership{RCPs: [][]*authz.Policy{{l.rcp[allows]}}}
	case denies:
		r.Membership = &authz.Membership{RCPs: [][]*authz.Policy{{l.rcp[allows]}, {l.rcp[allows], l.rcp[denies]}}}
	}
	p := authz.Principal{Level: authz.DirectLevel, Account: accountA, ID: caller.ID}
	switch {
	case c.grant == theCaller && c.kind == authz.RoleSession:
		p.ID = roleID + ":batch"
	case c.grant == theRole:
		p.Level, p.ID = authz.RoleLevel, roleID
	case c.grant == theAccount:
		p.Level, p.ID = authz.AccountLevel, accountA
	}
	if c.grant != nobody {
		r.Grants = r.Grants.With(&authz.KeyGrant{ID: "g", Grantee: p, Actions: []authz.Action{authz.KMSDecrypt}})
	}
	return caller, r
}

// cells yields every combination that can be: the root user has no policies, boundary or session policies, and a user no
// session policies.
func cells(yield func(*cell)) {
	for _, kind := range []authz.CallerKind{authz.Root, authz.User, authz.RoleSession} {
		for n := range 2 * int(opinions*opinions*opinions*opinions*opinions) * int(keyPolicies*grantees) {
			take := func(of int) int { v := n % of; n /= of; return v }
			c := cell{kind: kind, cross: take(2) == 1}
			c.identity, c.boundary, c.sessions = opinion(take(int(opinions))), opinion(take(int(opinions))), opinion(take(int(opinions)))
			c.scp, c.rcp = opinion(take(int(opinions))), opinion(take(int(opinions)))
			c.key, c.grant = naming(take(int(keyPolicies))), naming(take(int(grantees)))
			if kind == authz.Root && (c.identity != absent || c.boundary != absent) || kind != authz.RoleSession && c.sessions != absent {
				continue
			}
			yield(&c)
		}
	}
}

// TestMatrixOfLayers goes through every combination of what the layers can say, for every kind of caller, and holds
// each decision against the formula. It holds Explain against Authorize for some of them.
func TestMatrixOfLayers(t *testing.T) {
	l := newLayers(t)
	asked, allowed := 0, 0
	cells(func(c *cell) {
		caller, r := l.request(c)
		g, d := authz.Authorize(caller, authz.KMSDecrypt, r, nil)
		asked++
		if c.expected() {
			allowed++
		}
		if got := d.Verdict == authz.Allow; got != c.expected() || g.Permits(authz.KMSDecrypt, r.ARN) != got {
			t.Errorf("%+v: Authorize = %+v (%v), want allowed = %v", *c, d, d.Reason, c.expected())
		}
		if asked%7 == 0 {
			checkExplanation(t, caller, authz.KMSDecrypt, r, nil, d)
		}
	})
	if asked < 50_000 || allowed < 2_000 {
		t.Errorf("%d combinations, %d of them allowed, want 50,000 and 2,000", asked, allowed)
	}
}
