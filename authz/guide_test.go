package authz_test

import (
	"testing"

	"github.com/kmsd/kmsd/authz"
)

// TestAliceAndBob is the example of AWS's KMS guide: one key names a user and a group of users, who come by their policies; another names the
// account; and a third denies.
func TestAliceAndBob(t *testing.T) {
	const (
		engineers = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["kms:Encrypt","kms:Decrypt","kms:GenerateDataKey*"],"Resource":["` + keyA + `","` + keyA2 + `"]}}`
		describe  = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:DescribeKey","Resource":"*"}}`
		named     = `{"Version":"2012-10-17","Statement":[
			{"Sid":"Allow Alice","Effect":"Allow","Principal":{"AWS":"` + aliceARN + `"},"Action":["kms:DescribeKey","kms:Encrypt"],"Resource":"*"},
			{"Effect":"Allow","Principal":{"AWS":"` + accountA + `"},"Action":["kms:DescribeKey","kms:Encrypt","kms:Decrypt"],"Resource":"*"}]}`
	)
	bob := func() *situation {
		s := alice(t, engineers)
		s.caller.ID, s.caller.ARN = ids[bobARN], bobARN
		return s
	}
	for _, tt := range []struct {
		name string
		got  *situation
		want authz.Reason
	}{
		{"Alice encrypts, named by the key", alice(t, describe).key(named).does(authz.KMSEncrypt), authz.ByResourcePolicy},
		{"Alice does not decrypt", alice(t, describe).key(named), authz.NoIdentityAllow},
		{"Bob decrypts, by his group", bob().key(named), authz.IdentityViaAccount},
		{"Bob does not describe", bob().key(named).does(authz.KMSDescribeKey), authz.NoIdentityAllow},
		{"nobody puts a key policy", bob().key(named).does(authz.KMSPutKeyPolicy), authz.KeyPolicyDoesNotDelegate},
		{"nor does the root user", rootUser(t).key(named).does(authz.KMSPutKeyPolicy), authz.KeyPolicyDoesNotDelegate},
	} {
		if d := tt.got.decide(); d.Reason != tt.want {
			t.Errorf("%s: Authorize = %+v (%v), want %v", tt.name, d, d.Reason, tt.want)
		}
	}
}

// TestAnAliasNeedsThreePermissions is UpdateAlias: on the alias, on the key that it leaves, and on the key that it goes to.
func TestAnAliasNeedsThreePermissions(t *testing.T) {
	const (
		onBoth = `{"Statement":{"Effect":"Allow","Action":"kms:UpdateAlias","Resource":["` + aliasA + `","` + keyA + `"]}}`
		onKeys = `{"Statement":{"Effect":"Allow","Action":"kms:UpdateAlias","Resource":"arn:aws:kms:*:*:key/*"}}`
	)
	permits := func(doc string) (alias, from, to bool) {
		s := alice(t, doc).does(authz.KMSUpdateAlias)
		from = s.decide().Verdict == authz.Allow
		s.resource.ARN = keyA2
		to = s.decide().Verdict == authz.Allow
		s.resource = &authz.Resource{Kind: authz.Alias, Account: accountA, ARN: aliasA}
		return s.decide().Verdict == authz.Allow, from, to
	}
	if alias, from, to := permits(onBoth); !alias || !from || to {
		t.Errorf("a policy of the alias and one key permits %v, %v, %v, want true, true, false", alias, from, to)
	}
	if alias, from, to := permits(onKeys); alias || !from || !to {
		t.Errorf("a policy of keys permits %v, %v, %v, want false, true, true", alias, from, to)
	}
}

// TestAServiceDelegatesByGrant is the guide's chain: a user makes a grant for a role, which makes a narrower one for a session.
func TestAServiceDelegatesByGrant(t *testing.T) {
	constraint := authz.NewPairs(map[string]string{"volume": "v-1"})
	first := &authz.KeyGrant{
		ID: "first", Issuer: accountA, Subset: constraint,
		Grantee: authz.Principal{Level: authz.RoleLevel, Account: accountA, ID: roleID}, Actions: []authz.Action{authz.KMSDecrypt, authz.KMSCreateGrant, authz.KMSRetireGrant},
	}
	second := &authz.KeyGrant{
		ID: "second", Issuer: accountA, Equals: constraint,
		Grantee: authz.Principal{Level: authz.DirectLevel, Account: accountA, ID: roleID + ":batch"}, Actions: []authz.Action{authz.KMSDecrypt},
	}
	s := night(t).key(onlyAlice)
	s.resource.Grants = s.resource.Grants.With(first)
	s.context.KeyGrant = second
	if d := s.does(authz.KMSCreateGrant).decide(); d.GrantID != "first" {
		t.Errorf("the role's CreateGrant = %+v, want it by the first grant", d)
	}
	wider := *second
	wider.Equals = authz.Pairs{}
	s.context.KeyGrant = &wider
	if d := s.decide(); d.Verdict == authz.Allow {
		t.Errorf("CreateGrant without the constraint = %+v, want a denial", d)
	}
	s.resource.Grants = s.resource.Grants.With(second).Without(first)
	s.context = encryption("volume", "v-1")
	if d := s.does(authz.KMSDecrypt).decide(); d.GrantID != "second" {
		t.Errorf("Decrypt = %+v, want it by the second grant", d)
	}
	s.context.KeyGrant = first
	if d := s.does(authz.KMSRetireGrant).decide(); d.GrantID != "first" {
		t.Errorf("RetireGrant of the first grant = %+v, want it allowed", d)
	}
	s.context.KeyGrant = second
	if d := s.decide(); d.Verdict == authz.Allow {
		t.Errorf("RetireGrant of the second grant = %+v, want a denial", d)
	}
}
