package authz_test

import (
	"strings"
	"testing"

	"github.com/kmsd/kmsd/authz"
)

// A situation is one request that a test changes.
type situation struct {
	t        testing.TB
	caller   *authz.Caller
	action   authz.Action
	resource *authz.Resource
	context  *authz.Context
}

// alice is a user who wants to decrypt under the key of her account, whose policy leaves it to the account.
func alice(t testing.TB, docs ...string) *situation {
	s := &situation{
		t: t, caller: &authz.Caller{Kind: authz.User, Account: accountA, ID: ids[aliceARN], ARN: aliceARN}, action: authz.KMSDecrypt,
		resource: &authz.Resource{Kind: authz.Key, Account: accountA, ARN: keyA}, context: &authz.Context{Time: noon},
	}
	for _, d := range docs {
		s.caller.Identity = append(s.caller.Identity, mustParse(t, authz.IdentityPolicy, d))
	}
	return s.key(delegating)
}

// night is a session of the role that is called so.
func night(t testing.TB, docs ...string) *situation {
	s := alice(t, docs...)
	s.caller.Kind, s.caller.ID, s.caller.ARN = authz.RoleSession, roleID, sessionARN
	s.caller.RoleARN, s.caller.SessionName = roleARN, "batch"
	return s
}

// rootUser is the root user of alice's account.
func rootUser(t testing.TB) *situation {
	s := alice(t)
	s.caller.Kind, s.caller.ID, s.caller.ARN = authz.Root, accountA, "arn:aws:iam::111122223333:root"
	return s
}

// web is the bearer of a token of a provider.
func web(t testing.TB, trust string) *situation {
	s := alice(t).role(trust).does(authz.STSAssumeRoleWithWebIdentity)
	s.caller = &authz.Caller{Kind: authz.WebIdentity, ID: providerARN, ARN: providerARN}
	return s
}

const providerARN = "arn:aws:iam::111122223333:oidc-provider/tokens.example.com"

func (s *situation) bound(kind authz.PolicyKind, doc string) *authz.Policy {
	p, err := authz.ParseWith(kind, []byte(doc), authz.Options{AllowNotPrincipal: true})
	if err != nil {
		s.t.Fatalf("Parse(%s): %v", doc, err)
	}
	p, err = p.Bind(resolveNight)
	if err != nil {
		s.t.Fatalf("Bind(%s): %v", doc, err)
	}
	return p
}

func (s *situation) key(doc string) *situation {
	s.resource.Policy = s.bound(authz.KeyPolicy, doc).Named("default")
	return s
}

// role makes the resource a role of the account with a trust policy.
func (s *situation) role(trust string) *situation {
	s.action = authz.STSAssumeRole
	s.resource = &authz.Resource{Kind: authz.Role, Account: accountA, ARN: "arn:aws:iam::111122223333:role/admin"}
	s.resource.Policy = s.bound(authz.TrustPolicy, trust).Named("trust-policy")
	return s
}

func (s *situation) does(a authz.Action) *situation { s.action = a; return s }

// foreign makes the resource one of another account.
func (s *situation) foreign() *situation {
	s.resource.Account = accountB
	return s
}

func (s *situation) boundary(doc string) *situation {
	s.caller.Boundary = mustParse(s.t, authz.IdentityPolicy, doc).Named("boundary")
	return s
}

func (s *situation) session(doc string) *situation {
	s.caller.Session = append(s.caller.Session, mustParse(s.t, authz.SessionPolicy, doc))
	return s
}

// member puts the caller's account into an organization with these service control policies, one for each level.
func (s *situation) member(docs ...string) *situation {
	s.caller.Membership = &authz.Membership{}
	for _, d := range docs {
		full := mustParse(s.t, authz.ServiceControlPolicy, authz.FullAWSAccess)
		s.caller.Membership.SCPs = append(s.caller.Membership.SCPs, []*authz.Policy{full, mustParse(s.t, authz.ServiceControlPolicy, d).Named("p-1")})
	}
	return s
}

// owned puts the resource's account into an organization with a resource control policy.
func (s *situation) owned(doc string) *situation {
	full := mustParse(s.t, authz.ResourceControlPolicy, authz.RCPFullAWSAccess)
	s.resource.Membership = &authz.Membership{RCPs: [][]*authz.Policy{{full, mustParse(s.t, authz.ResourceControlPolicy, doc).Named("p-2")}}}
	return s
}

func (s *situation) grant(level authz.Level, id string, actions ...authz.Action) *situation {
	g := &authz.KeyGrant{ID: "g1", Issuer: accountB, Grantee: authz.Principal{Level: level, ID: id, Account: accountA}, Actions: actions}
	s.resource.Grants = s.resource.Grants.With(g)
	s.context.KeyGrant = g
	return s
}

func (s *situation) decide() authz.Decision {
	g, d := authz.Authorize(s.caller, s.action, s.resource, s.context)
	if arn := s.resource.ARN; s.resource.Kind != authz.None && g.Permits(s.action, arn) != (d.Verdict == authz.Allow) {
		s.t.Errorf("Authorize = %+v, %+v: the grant and the decision differ", g, d)
	}
	return d
}

const (
	denyAll    = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`
	onlyLists  = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:List*","Resource":"*"}}`
	denyRCP    = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*"}}`
	denyRole   = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"sts:*","Resource":"*"}}`
	trustAlice = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + aliceARN + `"},"Action":"sts:AssumeRole"}}`
	trustRole  = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + roleARN + `"},"Action":"sts:AssumeRole"}}`
	trustA     = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + accountA + `"},"Action":["sts:AssumeRole","sts:TagSession"]}}`
	trustWeb   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"` + providerARN + `"},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"]},
		{"Effect":"Deny","Principal":"*","Action":"sts:*","Condition":{"StringEquals":{"tokens.example.com:sub":"eve"}}}]}`
	trustAnyone = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"sts:*","Condition":{"StringNotEquals":{"aws:PrincipalTag/x":"y"}}}}`
	notAlice    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","NotPrincipal":{"AWS":["` + accountA + `","` + aliceARN + `"]},"Action":"kms:Decrypt","Resource":"*"}]}`
	notNight = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","NotPrincipal":{"AWS":["` + accountA + `","` + roleARN + `","` + sessionARN + `"]},"Action":"kms:Decrypt","Resource":"*"}]}`
	notRole = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","NotPrincipal":{"AWS":["` + accountA + `","` + roleARN + `"]},"Action":"kms:Decrypt","Resource":"*"}]}`
)

// onlyRole lets the role use the key, and nobody else.
const onlyRole = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + roleARN + `"},"Action":"kms:*","Resource":"*"}}`

// scenarios are in the order of design/authz.md, whose decisions they name.
func scenarios(t testing.TB) []struct {
	name string
	got  *situation
	want authz.Reason
} {
	retire := func(s *situation, change func(*authz.KeyGrant)) *situation {
		g := grant(func(g *authz.KeyGrant) { g.Issuer, g.Grantee.ID = accountB, "AIDASOMEBODYELSE0001"; change(g) })
		s.context.KeyGrant = g
		return s.does(authz.KMSRetireGrant)
	}
	management := alice(t, allowAll).member(denyAll)
	management.caller.Membership.Management = true
	ownedByManagement := alice(t, allowAll).owned(denyRCP)
	ownedByManagement.resource.Membership.Management = true
	alias := alice(t, allowAll).owned(denyRCP).does(authz.KMSCreateAlias)
	alias.resource.Kind, alias.resource.Policy, alias.resource.ARN = authz.Alias, nil, aliasA
	absentKey := alice(t, allowAll)
	absentKey.resource.Policy = nil
	absentRole := alice(t, allowAll).role(trustA)
	absentRole.resource.Policy = nil
	eve := web(t, trustWeb)
	eve.context.Claims = authz.NewPairs(map[string]string{"tokens.example.com:sub": "eve"})
	otherProvider := web(t, trustWeb)
	otherProvider.caller.ARN = providerARN + "/x"
	otherSession := night(t).key(`{"Statement":{"Effect":"Allow","Principal":{"AWS":"` + sessionARN + `"},"Action":"kms:*","Resource":"*"}}`)
	otherSession.caller.ARN, otherSession.caller.SessionName = sessionARN+"2", "batch2"
	again := night(t).key(`{"Statement":{"Effect":"Allow","Principal":{"AWS":"` + sessionARN + `"},"Action":"kms:*","Resource":"*"}}`)
	again.caller.ID = "AROANIGHT00000000002"
	denied := night(t, allowAll).key(`{"Statement":[{"Effect":"Allow","Principal":{"AWS":"` + accountA + `"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","Principal":{"AWS":"` + sessionARN + `"},"Action":"kms:*","Resource":"*"}]}`)
	deniedAgain := night(t, allowAll)
	deniedAgain.resource, deniedAgain.caller.ID = denied.resource, again.caller.ID
	notAgain := night(t).key(notNight)
	notAgain.caller.ID = again.caller.ID

	return []struct {
		name string
		got  *situation
		want authz.Reason
	}{
		// Organizations.
		{"a service control policy at the root of the organization denies", alice(t, allowAll).member(denyAll, onlyLists), authz.ExplicitSCP},
		{"it denies the root user of a member account too", rootUser(t).member(denyAll), authz.ExplicitSCP},
		{"it does not bind the management account", management, authz.IdentityViaAccount},
		{"the other policy of a level may be silent", alice(t, allowAll).member(onlyLists, onlyLists), authz.IdentityViaAccount},
		{"it does not bind who is of another organization", alice(t, allowAll).owned(`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"sts:*","Resource":"*"}}`), authz.IdentityViaAccount},
		{"a level at which nothing allows", func() *situation {
			s := alice(t, allowAll).member(onlyLists)
			s.caller.Membership.SCPs[0] = s.caller.Membership.SCPs[0][1:]
			return s
		}(), authz.NoSCPAllow},
		{"the same for the resource", func() *situation {
			s := alice(t, allowAll).owned(denyRole)
			s.resource.Membership.RCPs[0] = nil
			return s
		}(), authz.NoRCPAllow},
		{"a resource control policy denies", alice(t, allowAll).owned(denyRCP), authz.ExplicitRCP},
		{"it denies who is of another account", alice(t, allowAll).foreign().owned(denyRCP), authz.ExplicitRCP},
		{"it denies the assumption of a role", alice(t, allowAll).role(trustA).owned(denyRole), authz.ExplicitRCP},
		{"it does not bind what the management account owns", ownedByManagement, authz.IdentityViaAccount},
		{"it is for keys and roles only", alias, authz.ByIdentity},
		{"D17: it does not apply to RetireGrant", retire(alice(t).owned(denyRCP), func(g *authz.KeyGrant) { g.Retiring = g.Grantee; g.Retiring.ID = ids[aliceARN] }), authz.ByGrant},
		{"D17: a service control policy applies to a grant", alice(t).grant(authz.DirectLevel, ids[aliceARN], authz.KMSDecrypt).member(denyAll), authz.ExplicitSCP},

		// Roles.
		{"a session has nothing but its role's policies", night(t), authz.NoIdentityAllow},
		{"a role may", night(t, allowDecrypt), authz.IdentityViaAccount},
		{"a key policy that names the role is enough", night(t).key(onlyRole), authz.ByResourcePolicy},
		{"but within the boundary", night(t).key(onlyRole).boundary(onlyLists), authz.NoBoundaryAllow},
		{"and within the session policies", night(t).key(onlyRole).session(onlyLists), authz.NoSessionAllow},
		{"one of which must allow", night(t).key(onlyRole).session(onlyLists).session(allowAll), authz.ByResourcePolicy},
		{"a key policy that names the session is past both", night(t).key(`{"Statement":{"Effect":"Allow","Principal":{"AWS":"` + sessionARN + `"},"Action":"kms:*","Resource":"*"}}`).
			boundary(onlyLists).session(onlyLists), authz.ByResourcePolicy},
		{"another session of the role is not that one", otherSession, authz.KeyPolicyDoesNotDelegate},
		{"the session of a role that was made again is not that one", again, authz.KeyPolicyDoesNotDelegate},
		{"the session of the role that a Deny is about", denied, authz.ExplicitResource},
		{"a Deny is not about that of a role that was made again", deniedAgain, authz.IdentityViaAccount},
		{"NotPrincipal does not exempt that of a role that was made again", notAgain, authz.ExplicitResource},
		{"a session policy denies", night(t, allowAll).session(denyAll), authz.ExplicitSession},
		{"a boundary denies", alice(t, allowAll).boundary(denyAll), authz.ExplicitBoundary},
		{"a boundary does not allow", alice(t).boundary(allowAll), authz.NoIdentityAllow},
		{"a boundary that allows on a condition", alice(t, allowAll).
			boundary(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}}`), authz.NoBoundaryAllow},
		{"a boundary that allows another key", alice(t, allowAll).
			boundary(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"` + keyA2 + `"}}`), authz.NoBoundaryAllow},
		{"a boundary for nothing", alice(t, allowAll).
			boundary(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","NotResource":["*"]}}`), authz.NoBoundaryAllow},

		// Trust policies.
		{"a trust policy that names the user is enough", alice(t).role(trustAlice), authz.ByResourcePolicy},
		{"one that names the account lets it decide", alice(t, allowAll).role(trustA), authz.IdentityViaAccount},
		{"one that names the account is not enough", alice(t).role(trustA), authz.NoIdentityAllow},
		{"from another account both are needed", alice(t).role(trustAlice).foreign(), authz.NoIdentityAllow},
		{"from another account both are enough", alice(t, allowAll).role(trustAlice).foreign(), authz.ByBothAccounts},
		{"a role that trusts somebody else", alice(t, allowAll).role(trustRole), authz.NoResourceAllow},
		{"a role assumes a role within its limits", night(t).role(trustRole).boundary(onlyLists), authz.NoBoundaryAllow},
		{"tagging a session needs its own permission", alice(t, allowAll).role(trustAlice).does(authz.STSTagSession), authz.NoResourceAllow},
		{"D21: a root user assumes no role", rootUser(t).role(trustA), authz.RootCannotAssumeRole},
		{"D21: not even one that does not exist", func() *situation { s := rootUser(t).role(trustA); s.resource.Policy = nil; return s }(), authz.RootCannotAssumeRole},
		{"a role that does not exist, in the account", absentRole, authz.ByIdentity},
		{"a key that does not exist, in the account", absentKey, authz.ByIdentity},

		// Web identities.
		{"a provider that the role trusts", web(t, trustWeb), authz.ByResourcePolicy},
		{"it may tag the session", web(t, trustWeb).does(authz.STSTagSession), authz.ByResourcePolicy},
		{"the trust policy denies one claim", eve, authz.ExplicitResource},
		{"the role's account denies it", web(t, trustWeb).owned(denyRole), authz.ExplicitRCP},
		{"another provider", otherProvider, authz.NoResourceAllow},
		{"everybody is not a web identity", web(t, trustAnyone), authz.NoResourceAllow},
		{"a role that does not trust providers", web(t, trustA), authz.NoResourceAllow},
		{"it may not assume a role as others do", web(t, strings.ReplaceAll(trustWeb, "sts:AssumeRoleWithWebIdentity", "sts:*")).does(authz.STSAssumeRole), authz.NoResourceAllow},
		{"it may do nothing else", func() *situation { s := alice(t).key(everyone); s.caller = web(t, trustWeb).caller; return s }(), authz.NoResourceAllow},

		{"nor in what is never of another account", func() *situation {
			s := alice(t).does(authz.KMSPutKeyPolicy)
			s.caller = web(t, trustWeb).caller
			return s
		}(), authz.NoResourceAllow},

		// Grants.
		{"a grant is enough", alice(t).grant(authz.DirectLevel, ids[aliceARN], authz.KMSDecrypt), authz.ByGrant},
		{"a grant to the user is past the boundary", alice(t).boundary(onlyLists).grant(authz.DirectLevel, ids[aliceARN], authz.KMSDecrypt), authz.ByGrant},
		{"a Deny is not overridden by it", alice(t, denyDecrypt).grant(authz.DirectLevel, ids[aliceARN], authz.KMSDecrypt), authz.ExplicitIdentity},
		{"D14: a grant to the role is within the boundary", night(t).boundary(onlyLists).grant(authz.RoleLevel, roleID, authz.KMSDecrypt), authz.NoIdentityAllow},
		{"D14: and is enough within it", night(t).boundary(allowAll).grant(authz.RoleLevel, roleID, authz.KMSDecrypt), authz.ByGrant},
		{"a grant to the account leaves it to the account", alice(t).grant(authz.AccountLevel, accountA, authz.KMSDecrypt), authz.NoIdentityAllow},
		{"which may", alice(t, allowAll).key(onlyRole).grant(authz.AccountLevel, accountA, authz.KMSDecrypt), authz.ByGrant},
		{"D15: a grant of another account's key is enough", alice(t).foreign().grant(authz.DirectLevel, ids[aliceARN], authz.KMSDecrypt), authz.ByGrant},
		{"the retiring principal retires", retire(alice(t), func(g *authz.KeyGrant) { g.Retiring = g.Grantee; g.Retiring.ID = ids[aliceARN] }), authz.ByGrant},
		{"not what has ended", retire(alice(t), func(g *authz.KeyGrant) {
			g.Retiring, g.Expires = g.Grantee, noon
			g.Retiring.ID = ids[aliceARN]
		}), authz.NoResourceAllow},
		{"an explicit Deny stops it", retire(alice(t, denyAll), func(g *authz.KeyGrant) { g.Retiring = g.Grantee; g.Retiring.ID = ids[aliceARN] }), authz.ExplicitIdentity},
		{"the grantee does not retire", retire(alice(t), func(g *authz.KeyGrant) { g.Grantee.ID = ids[aliceARN] }), authz.NoResourceAllow},
		{"unless the grant says so", retire(alice(t), func(g *authz.KeyGrant) {
			g.Grantee.ID, g.Actions = ids[aliceARN], []authz.Action{authz.KMSRetireGrant}
		}), authz.ByGrant},
		{"who may by its policies, in the account that made it", retire(alice(t, allowAll), func(g *authz.KeyGrant) { g.Issuer = accountA }), authz.ByGrant},
		{"the root user of the account that made it", retire(rootUser(t), func(g *authz.KeyGrant) { g.Issuer = accountA }), authz.ByGrant},
		{"not beyond the boundary", retire(alice(t, allowAll).boundary(onlyLists), func(g *authz.KeyGrant) { g.Issuer = accountA }), authz.NoResourceAllow},
		{"not of another account's making", retire(alice(t, allowAll), func(*authz.KeyGrant) {}), authz.NoResourceAllow},
		{"the key policy has no say in it", retire(alice(t).key(everyone), func(*authz.KeyGrant) {}), authz.NoResourceAllow},
		{"not even a Deny", retire(alice(t).key(`{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}`), func(g *authz.KeyGrant) {
			g.Retiring = g.Grantee
			g.Retiring.ID = ids[aliceARN]
		}), authz.ByGrant},
		{"a grant that does not exist", func() *situation { s := alice(t, allowAll).does(authz.KMSRetireGrant); s.context = nil; return s }(), authz.NoResourceAllow},

		// NotPrincipal.
		{"D13: a user is exempt with its account", alice(t, allowAll).key(notAlice), authz.ByResourcePolicy},
		{"D13: but not with a boundary", alice(t, allowAll).key(notAlice).boundary(allowAll), authz.ExplicitResource},
		{"D13: the root user is exempt by its account", rootUser(t).key(notAlice), authz.ByResourcePolicy},
		{"D13: another user is not", func() *situation {
			s := alice(t, allowAll).key(notAlice)
			s.caller.ID = "AIDASOMEBODYELSE0001"
			return s
		}(), authz.ExplicitResource},
		{"D13: a session is exempt with its role and account", night(t).key(notNight), authz.ByResourcePolicy},
		{"D13: but not by its role and account alone", night(t).key(notRole), authz.ExplicitResource},
		{"D13: nor without its role", night(t).key(strings.ReplaceAll(notNight, roleARN, aliceARN)), authz.ExplicitResource},
	}
}

func TestScenarios(t *testing.T) {
	for _, tt := range scenarios(t) {
		t.Run(tt.name, func(t *testing.T) {
			d := tt.got.decide()
			if d.Reason != tt.want || (d.Verdict == authz.Allow) != (tt.want >= authz.AlwaysAllowed) {
				t.Errorf("Authorize = %+v (%v), want %v", d, d.Reason, tt.want)
			}
			checkExplanation(t, tt.got.caller, tt.got.action, tt.got.resource, tt.got.context, d)
		})
	}
}

// TestEveryReason makes sure that a test has seen each reason.
func TestEveryReason(t *testing.T) {
	seen := map[authz.Reason]bool{authz.NoReason: true, authz.TooComplex: true} // TestACostlyDecisionIsADenial
	for _, tt := range scenarios(t) {
		seen[tt.got.decide().Reason] = true
	}
	nowhere := func(s *situation, a authz.Action) *situation { s.resource = &authz.Resource{}; return s.does(a) }
	unusable := alice(t)
	unusable.caller.Boundary = authz.Unusable(authz.IdentityPolicy, "b")
	for _, s := range []*situation{
		{t: t, resource: &authz.Resource{}},
		{t: t, caller: &authz.Caller{}, action: authz.KMSDecrypt, resource: &authz.Resource{}},
		alice(t).foreign().does(authz.KMSPutKeyPolicy), unusable, nowhere(alice(t), authz.STSGetCallerIdentity), nowhere(rootUser(t), authz.KMSCreateKey),
		alice(t, allowAll).key(onlyRole),
	} {
		seen[s.decide().Reason] = true
	}
	for r := authz.NoReason; r <= authz.ByGrant; r++ {
		if !seen[r] {
			t.Errorf("no test has come to %v", r)
		}
	}
}

// TestMessagesOfLayers reads what a caller of the account is told.
func TestMessagesOfLayers(t *testing.T) {
	const who = "User: arn:aws:iam::111122223333:user/alice is not authorized to perform: kms:Decrypt on resource: " + keyA
	without := func(s *situation) *situation {
		s.caller.Membership.SCPs[0] = s.caller.Membership.SCPs[0][1:]
		return s
	}
	for _, tt := range []struct {
		got  *situation
		want string
	}{
		{alice(t, allowAll).member(denyAll), " with an explicit deny in a service control policy"},
		{alice(t, allowAll).owned(denyRCP), " with an explicit deny in a resource control policy"},
		{alice(t, denyAll), " with an explicit deny in an identity-based policy"},
		{alice(t).boundary(denyAll), " with an explicit deny in a permissions boundary"},
		{alice(t).session(denyAll), " with an explicit deny in a session policy"},
		{without(alice(t, allowAll).member(onlyLists)), " because no service control policy allows the kms:Decrypt action"},
		{alice(t, allowAll).boundary(onlyLists), " because no permissions boundary allows the kms:Decrypt action"},
		{alice(t, allowAll).session(onlyLists), " because no session policy allows the kms:Decrypt action"},
		{alice(t).boundary(onlyLists), " because no identity-based policy allows the kms:Decrypt action"},
		{alice(t, allowAll).key(onlyRole), " because no resource-based policy allows the kms:Decrypt action"},
		// What the key policy says is not told to who has no permission of its own, whichever layer that lacks.
		{alice(t, allowAll).key(onlyRole).boundary(denyAll), " with an explicit deny in a permissions boundary"},
		{alice(t, allowAll).key(onlyRole).session(onlyLists), " because no session policy allows the kms:Decrypt action"},
		{alice(t).key(onlyRole), " because no identity-based policy allows the kms:Decrypt action"},
	} {
		d := tt.got.decide()
		if got := authz.Message(tt.got.caller, authz.KMSDecrypt, tt.got.resource, d, true); got != who+tt.want {
			t.Errorf("Message = %q, want %q", got, who+tt.want)
		}
	}
	for _, tt := range []struct {
		got  *situation
		want string
	}{
		{night(t).key(onlyRole).boundary(onlyLists), "User: " + sessionARN + " is not authorized to perform: kms:Decrypt on resource: " + keyA +
			" because no identity-based policy allows the kms:Decrypt action"},
		{night(t, allowAll).key(onlyRole).boundary(onlyLists), "User: " + sessionARN + " is not authorized to perform: kms:Decrypt on resource: " + keyA +
			" because no permissions boundary allows the kms:Decrypt action"},
		{alice(t, allowAll).grant(authz.DirectLevel, "x").does(authz.KMSRetireGrant), "User: " + aliceARN + " is not authorized to perform: kms:RetireGrant on resource: " + keyA +
			" because no grant allows the kms:RetireGrant action"},
		{rootUser(t).role(trustA), "User: arn:aws:iam::111122223333:root is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::111122223333:role/admin" +
			" because roles may not be assumed by root accounts"},
		{web(t, trustA), "Not authorized to perform sts:AssumeRoleWithWebIdentity"},
	} {
		d := tt.got.decide()
		if got := authz.Message(tt.got.caller, tt.got.action, tt.got.resource, d, true); got != tt.want {
			t.Errorf("Message = %q, want %q", got, tt.want)
		}
	}
}

// TestWhatIsDeniedTellsNothingOfTheKey compares, for every caller and limit, what is said about keys with different policies to who would be
// denied if there were none.
func TestWhatIsDeniedTellsNothingOfTheKey(t *testing.T) {
	l := newLayers(t)
	compared := 0
	cells(func(c *cell) {
		if c.grant != nobody || c.cross || c.rcp != absent {
			return
		}
		caller, r := l.request(c)
		_, d := authz.Authorize(caller, authz.KMSDecrypt, r, nil)
		none := *r
		none.Policy, none.Grants = nil, nil
		_, without := authz.Authorize(caller, authz.KMSDecrypt, &none, nil)
		if d.Verdict == authz.Allow || without.Verdict == authz.Allow {
			return
		}
		compared++
		got, want := authz.Message(caller, authz.KMSDecrypt, r, d, true), authz.Message(caller, authz.KMSDecrypt, &none, without, true)
		if got != want {
			t.Errorf("%+v: Message = %q, want %q as for a key that does not exist", *c, got, want)
		}
	})
	if compared < 500 {
		t.Errorf("%d denials compared, want 500", compared)
	}
}
