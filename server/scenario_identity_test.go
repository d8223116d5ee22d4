package server_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

const onlyWithMFA = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:*","sts:*"],"Resource":"*"},
	{"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}},
	{"Effect":"Deny","Action":"kms:Decrypt","Resource":"*","Condition":{"Null":{"aws:MultiFactorAuthAge":"true"}}}]}`

// A second factor is proven by a session token got with a code, once for each code, and by nothing else.
func TestSecondFactor(t *testing.T) {
	s := newStage(t)
	user := s.User("user", onlyWithMFA)
	var made iamv1.CreateVirtualMFADeviceResponse
	s.does("making a device", s.door.root, iamv1.CreateVirtualMFADeviceRequest_builder{VirtualMfaDeviceName: "device"}.Build(), &made)
	serial, seed := made.GetVirtualMfaDevice().GetSerialNumber(), made.GetVirtualMfaDevice().GetBase32StringSeed()
	code := func(n int) string { return kmstest.TOTP(t, seed, n) }
	with := func(code string) *stsv1.GetSessionTokenRequest {
		return stsv1.GetSessionTokenRequest_builder{SerialNumber: serial, TokenCode: code}.Build()
	}
	s.mayNot("a code of a device that is not enabled", user, with(code(0)), "")
	s.refused("the same code twice", s.door.root, iamv1.EnableMFADeviceRequest_builder{UserName: "user", SerialNumber: serial, AuthenticationCode1: code(0), AuthenticationCode2: code(0)}.Build(), "InvalidAuthenticationCodeException", "")
	s.does("enabling the device", s.door.root, iamv1.EnableMFADeviceRequest_builder{UserName: "user", SerialNumber: serial, AuthenticationCode1: code(-1), AuthenticationCode2: code(0)}.Build(), nil)

	s.mayNot("long-term credentials, which have no second factor", user, s.decrypts(), "explicit deny")
	var token stsv1.GetSessionTokenResponse
	s.does("a session token without a code", user, &stsv1.GetSessionTokenRequest{}, &token)
	without := s.session(token.GetCredentials())
	s.mayNot("a session without a code", without, s.decrypts(), "explicit deny")
	s.mayNot("… describes a key", without, s.describes(), "explicit deny")
	for what, c := range map[string]string{"a code of before the device was enabled": code(0), "a wrong code": wrongCode(code(1)), "a code of next hour": code(120), "no code": "x"} {
		s.mayNot(what, user, with(c), "MultiFactorAuthentication failed")
	}
	s.mayNot("somebody else's device", s.User("other", kmstest.Allow([]string{"*"})), with(code(1)), "MultiFactorAuthentication failed")
	s.does("a session token with a code", user, with(code(1)), &token)
	session := s.session(token.GetCredentials())
	s.may("a session with a code", session, s.decrypts())
	s.mayNot("the code again", user, with(code(1)), "MultiFactorAuthentication failed")
	s.mayNot("a session token by a session token", session, &stsv1.GetSessionTokenRequest{}, "")

	// What is assumed with a second factor does not have it itself.
	s.roleOf("role", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+kmstest.Account+`"},"Action":"sts:AssumeRole","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}}]}`,
		kmstest.Allow([]string{"kms:DescribeKey"}), `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}}]}`)
	s.mayNot("a role that asks for a second factor, without", user, assuming(home+"role/role"), "")
	assumed := s.assumes(session, stsv1.AssumeRoleRequest_builder{RoleArn: home + "role/role"})
	s.may("the role, assumed with a second factor", assumed, s.describes())
	s.mayNot("… which its session does not have", assumed, s.decrypts(), "no identity-based policy allows")

	s.does("the device goes", s.door.root, iamv1.DeactivateMFADeviceRequest_builder{UserName: "user", SerialNumber: serial}.Build(), nil)
	s.mayNot("a code of a device that was deactivated", user, with(code(1)), "MultiFactorAuthentication failed")
}

// secretOf is a secret access key as credentials have it.
func secretOf(text string) crypto.Secret { return crypto.NewSecret([]byte(text)) }

func wrongCode(code string) string {
	if code[0] == '9' {
		return "0" + code[1:]
	}
	return string(code[0]+1) + code[1:]
}

// A web identity is who its issuer says, for whom the audience is right and whom the role trusts, and no other.
func TestWebIdentities(t *testing.T) {
	s := newStage(t)
	p := newProps(s.door)
	p.issuer = kmstest.NewIssuer(t, "https://tokens.example")
	other := kmstest.NewIssuer(t, "https://others.example")
	forged := kmstest.NewIssuer(t, "https://tokens.example")
	s.does("trusting an issuer", s.door.root, iamv1.CreateOpenIDConnectProviderRequest_builder{Url: p.issuer.URL, ClientIdList: []string{"kmsd", "another"}, Jwks: p.issuer.JWKS()}.Build(), nil)
	s.does("trusting another", s.door.root, iamv1.CreateOpenIDConnectProviderRequest_builder{Url: other.URL, ClientIdList: []string{"kmsd"}, Jwks: other.JWKS()}.Build(), nil)
	arn := s.roleOf("web", webTrust, kmstest.Allow([]string{"kms:*"}))
	claims := func(changes ...any) map[string]any {
		c := map[string]any{"sub": "job", "aud": "kmsd", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()}
		for i := 0; i < len(changes); i += 2 {
			c[changes[i].(string)] = changes[i+1]
		}
		return c
	}
	request := func(arn, token string) *stsv1.AssumeRoleWithWebIdentityRequest {
		return stsv1.AssumeRoleWithWebIdentityRequest_builder{RoleArn: arn, RoleSessionName: "web", WebIdentityToken: token}.Build()
	}
	var out stsv1.AssumeRoleWithWebIdentityResponse
	s.does("a job that the role trusts", client.Credentials{}, request(arn, p.issuer.Token(claims())), &out)
	s.may("its session decrypts", s.session(out.GetCredentials()), s.decrypts())
	for what, token := range map[string]string{
		"another subject":  p.issuer.Token(claims("sub", "other")),
		"another audience": p.issuer.Token(claims("aud", "another")),
		"another issuer":   other.Token(claims()),
	} {
		s.mayNot(what+" than the role trusts", client.Credentials{}, request(arn, token), "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	}
	s.mayNot("a role that is not there", client.Credentials{}, request(arn+"-not", p.issuer.Token(claims())), "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	s.mayNot("a role that trusts users only", client.Credentials{}, request(s.roleOf("users", trusts(kmstest.Account)), p.issuer.Token(claims())), "Not authorized")
	for what, one := range map[string]struct{ token, reason string }{
		"an audience that is not listed": {p.issuer.Token(claims("aud", "stranger")), "InvalidIdentityTokenException"},
		"a forged signature":             {forged.Token(claims()), "InvalidIdentityTokenException"},
		"an unknown issuer":              {kmstest.NewIssuer(t, "https://unknown.example").Token(claims()), "InvalidIdentityTokenException"},
		"a token that has ended":         {p.issuer.Token(claims("exp", time.Now().Add(-10*time.Minute).Unix(), "iat", time.Now().Add(-20*time.Minute).Unix())), "ExpiredTokenException"},
		"a token of next year":           {p.issuer.Token(claims("nbf", time.Now().AddDate(1, 0, 0).Unix())), "InvalidIdentityTokenException"},
		"no token":                       {"abcd.efgh.ijkl", "InvalidIdentityTokenException"},
	} {
		if got := s.try(client.Credentials{}, request(arn, one.token)); got.code != codes.Unauthenticated || got.reason != one.reason {
			t.Errorf("%s: %v, want %v %s", what, got, codes.Unauthenticated, one.reason)
		}
	}
	s.does("the issuer is trusted no more", s.door.root, iamv1.DeleteOpenIDConnectProviderRequest_builder{OpenIdConnectProviderArn: home + "oidc-provider/tokens.example"}.Build(), nil)
	s.refused("a token of it", client.Credentials{}, request(arn, p.issuer.Token(claims())), "InvalidIdentityTokenException", "")
}

// What a root user cannot do, and what nobody can be denied.
func TestRootAndCallerIdentity(t *testing.T) {
	s := newStage(t)
	s.roleOf("role", trusts(home+"root"))
	s.mayNot("the root user assumes a role", s.door.root, assuming(home+"role/role"), "roles may not be assumed by root accounts")
	denied := s.User("denied", kmstest.Deny([]string{"*"}))
	s.may("who may nothing asks who it is", denied, &stsv1.GetCallerIdentityRequest{})
	s.mayNot("… and lists users", denied, &iamv1.ListUsersRequest{}, "explicit deny")
}

// Who is deleted and made again is somebody else: what the old one was trusted with, the new one is not.
func TestDeletedAndMadeAgain(t *testing.T) {
	s := newStage(t)
	user := s.User("user", kmstest.Allow([]string{"sts:*"}))
	trusted := s.roleOf("trusted", trusts(home+"user/user"), kmstest.Allow([]string{"sts:*"}))
	policy := strings.Replace(keyPolicy, `"Statement":[`, `"Statement":[{"Effect":"Allow","Principal":{"AWS":["`+home+`user/user","`+trusted+`"]},"Action":["kms:Decrypt"],"Resource":"*"},`, 1)
	s.does("the key policy names them", s.door.root, kmsv1.PutKeyPolicyRequest_builder{KeyId: s.key.GetKeyId(), Policy: policy}.Build(), nil)
	for _, who := range []string{home + "user/user", trusted} {
		s.does("a grant", s.door.root, kmsv1.CreateGrantRequest_builder{
			KeyId: s.key.GetKeyId(), GranteePrincipal: who, RetiringPrincipal: who, Operations: []kmsv1.GrantOperation{kmsv1.GrantOperation_GRANT_OPERATION_ENCRYPT},
		}.Build(), nil)
	}
	all := func(who string, c client.Credentials, ok bool) {
		for what, m := range map[string]proto.Message{"decrypts, as the key policy says": s.decrypts(), "encrypts, as a grant says": s.encrypts()} {
			if got := s.try(c, m); (got.code == codes.OK) != ok {
				t.Errorf("%s %s: %v, want it done: %v", who, what, got, ok)
			}
		}
	}
	all("the user", user, true)
	s.may("the user assumes the role that trusts him", user, assuming(trusted))
	all("the session of the role", s.assumes(user, stsv1.AssumeRoleRequest_builder{RoleArn: trusted}), true)

	s.does("the user's policy goes", s.door.root, iamv1.DeleteUserPolicyRequest_builder{UserName: "user", PolicyName: "policya"}.Build(), nil)
	s.does("the user's key goes", s.door.root, iamv1.DeleteAccessKeyRequest_builder{UserName: "user", AccessKeyId: user.AccessKeyID}.Build(), nil)
	s.does("the user goes", s.door.root, iamv1.DeleteUserRequest_builder{UserName: "user"}.Build(), nil)
	s.does("the role's policy goes", s.door.root, iamv1.DeleteRolePolicyRequest_builder{RoleName: "trusted", PolicyName: "p0"}.Build(), nil)
	again := s.User("user", kmstest.Allow([]string{"sts:*"}))
	s.mayNot("the new user assumes the role that trusted the old one", again, assuming(trusted), "")
	s.does("the role goes", s.door.root, iamv1.DeleteRoleRequest_builder{RoleName: "trusted"}.Build(), nil)
	s.roleOf("trusted", trusts(kmstest.Account))
	all("the new user", again, false)
	all("a session of the new role", s.assumes(again, stsv1.AssumeRoleRequest_builder{RoleArn: trusted}), false)
	var list kmsv1.ListGrantsResponse
	s.does("listing the grants", s.door.root, kmsv1.ListGrantsRequest_builder{KeyId: s.key.GetKeyId()}.Build(), &list)
	if len(list.GetGrants()) != 2 {
		t.Errorf("%d grants, want 2: those of who is gone stay", len(list.GetGrants()))
	}
	for _, g := range list.GetGrants() {
		if strings.HasPrefix(g.GetGranteePrincipal(), "arn:") {
			t.Errorf("a grant for who is gone has the grantee %s, want the unique id", g.GetGranteePrincipal())
		}
	}
}

// Nobody gets into a closed account, and nobody uses what is in it.
func TestClosedAccount(t *testing.T) {
	s := newStage(t)
	a := s.Account("closes")
	admin := a.User("admin", kmstest.Allow([]string{"*"}))
	trust := strings.ReplaceAll(trusts(kmstest.Account), kmstest.Account, a.ID)
	if _, err := a.Root().IAM().CreateRole(t.Context(), iamv1.CreateRoleRequest_builder{RoleName: "role", AssumeRolePolicyDocument: trust}.Build()); err != nil {
		t.Fatal(err)
	}
	session := s.assumes(admin, stsv1.AssumeRoleRequest_builder{RoleArn: "arn:aws:iam::" + a.ID + ":role/role"})
	open := strings.Replace(strings.ReplaceAll(keyPolicy, kmstest.Account, a.ID), `"Statement":[`, `"Statement":[{"Effect":"Allow","Principal":{"AWS":"`+kmstest.Account+`"},"Action":"kms:*","Resource":"*"},`, 1)
	var key kmsv1.CreateKeyResponse
	s.does("a key for others too", admin, kmsv1.CreateKeyRequest_builder{Policy: open}.Build(), &key)
	mine := s.User("mine", kmstest.Allow([]string{"*"}))
	use := kmsv1.EncryptRequest_builder{KeyId: key.GetKeyMetadata().GetArn(), Plaintext: []byte("x")}.Build()
	s.may("somebody of another account encrypts", mine, use)
	s.may("a session works", session, &stsv1.GetCallerIdentityRequest{})
	s.does("closing the account", s.door.root, organizationsv1.CloseAccountRequest_builder{AccountId: a.ID}.Build(), nil)
	for who, c := range map[string]client.Credentials{"its root user": a.Credentials(), "its administrator": admin, "a session of its role": session} {
		s.refused(who, c, &stsv1.GetCallerIdentityRequest{}, "UnrecognizedClientException", "invalid")
	}
	s.mayNot("somebody of another account encrypts under its key", mine, use, "does not exist in this Region")
}
