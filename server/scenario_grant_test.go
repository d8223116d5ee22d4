package server_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

const (
	grantDecrypt  = kmsv1.GrantOperation_GRANT_OPERATION_DECRYPT
	grantEncrypt  = kmsv1.GrantOperation_GRANT_OPERATION_ENCRYPT
	grantDescribe = kmsv1.GrantOperation_GRANT_OPERATION_DESCRIBE_KEY
	grantCreate   = kmsv1.GrantOperation_GRANT_OPERATION_CREATE_GRANT
	grantRetire   = kmsv1.GrantOperation_GRANT_OPERATION_RETIRE_GRANT
)

// gives makes a grant on the key of the stage.
func (s *stage) gives(what string, who client.Credentials, g kmsv1.CreateGrantRequest_builder) *kmsv1.CreateGrantResponse {
	s.t.Helper()
	var out kmsv1.CreateGrantResponse
	s.does(what, who, s.grant(g), &out)
	return &out
}

func (s *stage) grant(g kmsv1.CreateGrantRequest_builder) *kmsv1.CreateGrantRequest {
	g.KeyId = s.key.GetArn()
	return g.Build()
}

func (s *stage) encryptsWith(ec map[string]string, tokens ...string) proto.Message {
	return kmsv1.EncryptRequest_builder{KeyId: s.key.GetArn(), Plaintext: []byte("x"), EncryptionContext: ec, GrantTokens: tokens}.Build()
}

// A grant lets its grantee do its operations, with its constraint, until it ends or is revoked or retired, whatever else he may.
func TestGrants(t *testing.T) {
	s := newStage(t)
	grantee := s.User("grantee")
	s.mayNot("before there is a grant", grantee, s.encrypts(), "")
	g := s.gives("a grant", s.door.root, kmsv1.CreateGrantRequest_builder{GranteePrincipal: home + "user/grantee", Operations: []kmsv1.GrantOperation{grantEncrypt}})
	s.may("with the grant, at once", grantee, s.encrypts())
	s.may("with its token", grantee, s.encryptsWith(nil, g.GetGrantToken()))
	s.mayNot("an operation that is not in it", grantee, s.decrypts(), "")
	s.userPolicy("grantee", "deny", kmstest.Deny([]string{"kms:Encrypt"}))
	s.mayNot("with a Deny beside the grant", grantee, s.encrypts(), "with an explicit deny in an identity-based policy")
	s.does("the Deny goes", s.door.root, iamv1.DeleteUserPolicyRequest_builder{UserName: "grantee", PolicyName: "deny"}.Build(), nil)
	for _, o := range []kmsv1.GrantOperation{
		kmsv1.GrantOperation_GRANT_OPERATION_SIGN, kmsv1.GrantOperation_GRANT_OPERATION_GENERATE_MAC, kmsv1.GrantOperation_GRANT_OPERATION_GET_PUBLIC_KEY,
	} {
		s.refused("an operation that the key does not have", s.door.root, s.grant(kmsv1.CreateGrantRequest_builder{
			GranteePrincipal: home + "user/grantee", Operations: []kmsv1.GrantOperation{grantEncrypt, o},
		}), "ValidationException", "is not an operation of keys with key spec")
	}
	tokens := make([]string, 11)
	for i := range tokens {
		tokens[i] = g.GetGrantToken()
	}
	s.may("ten tokens", grantee, s.encryptsWith(nil, tokens[:10]...))
	s.refused("eleven tokens", grantee, s.encryptsWith(nil, tokens...), "ValidationException", "at most 10")
	s.refused("a token that is none", grantee, s.encryptsWith(nil, "token"), "InvalidGrantTokenException", "")
	s.mayNot("the token in somebody else's hands", s.User("other"), s.encryptsWith(nil, g.GetGrantToken()), "")
	s.does("revoking it", s.door.root, kmsv1.RevokeGrantRequest_builder{KeyId: s.key.GetKeyId(), GrantId: g.GetGrantId()}.Build(), nil)
	s.mayNot("revoked", grantee, s.encrypts(), "")

	web, both := map[string]string{"app": "web"}, map[string]string{"app": "web", "stage": "test"}
	for _, c := range []struct {
		what        string
		constraints *kmsv1.GrantConstraints
		may, mayNot []map[string]string
	}{
		{"a subset", kmsv1.GrantConstraints_builder{EncryptionContextSubset: web}.Build(), []map[string]string{web, both}, []map[string]string{nil, {"app": "Web"}, {"App": "web"}, {"stage": "test"}}},
		{"equal pairs", kmsv1.GrantConstraints_builder{EncryptionContextEquals: web}.Build(), []map[string]string{web}, []map[string]string{nil, both, {"app": "Web"}, {"App": "web"}}},
	} {
		g := s.gives(c.what, s.door.root, kmsv1.CreateGrantRequest_builder{GranteePrincipal: home + "user/grantee", Operations: []kmsv1.GrantOperation{grantEncrypt, grantDescribe}, Constraints: c.constraints})
		for _, ec := range c.may {
			s.may("with "+c.what, grantee, s.encryptsWith(ec))
		}
		for _, ec := range c.mayNot {
			s.mayNot("without "+c.what, grantee, s.encryptsWith(ec), "")
		}
		s.may("what has no encryption context", grantee, s.describes())
		s.does("revoking it", s.door.root, kmsv1.RevokeGrantRequest_builder{KeyId: s.key.GetKeyId(), GrantId: g.GetGrantId()}.Build(), nil)
	}

	s.gives("a grant for a moment", s.door.root, kmsv1.CreateGrantRequest_builder{
		GranteePrincipal: home + "user/grantee", Operations: []kmsv1.GrantOperation{grantEncrypt}, ExpiresAt: timestamppb.New(time.Now().Add(1500 * time.Millisecond)),
	})
	s.may("before it ends", grantee, s.encrypts())
	time.Sleep(1600 * time.Millisecond)
	s.mayNot("after it has ended", grantee, s.encrypts(), "")
	s.refused("a grant that has ended", s.door.root, s.grant(kmsv1.CreateGrantRequest_builder{
		GranteePrincipal: home + "user/grantee", Operations: []kmsv1.GrantOperation{grantEncrypt}, ExpiresAt: timestamppb.New(time.Now().Add(-time.Second)),
	}), "ValidationException", "expires_at")
}

// Who makes grants by a grant gives no more than he was given; who does by a policy gives what he likes.
func TestGrantsOfGrantees(t *testing.T) {
	s := newStage(t)
	middle, last := s.User("middle"), s.User("last")
	web, both := map[string]string{"app": "web"}, map[string]string{"app": "web", "stage": "test"}
	s.gives("a grant to make grants", s.door.root, kmsv1.CreateGrantRequest_builder{
		GranteePrincipal: home + "user/middle", Operations: []kmsv1.GrantOperation{grantEncrypt, grantCreate}, Constraints: kmsv1.GrantConstraints_builder{EncryptionContextSubset: web}.Build(),
	})
	child := func(constraints *kmsv1.GrantConstraints, ops ...kmsv1.GrantOperation) proto.Message {
		return s.grant(kmsv1.CreateGrantRequest_builder{GranteePrincipal: home + "user/last", Operations: ops, Constraints: constraints})
	}
	subset := func(m map[string]string) *kmsv1.GrantConstraints {
		return kmsv1.GrantConstraints_builder{EncryptionContextSubset: m}.Build()
	}
	equals := func(m map[string]string) *kmsv1.GrantConstraints {
		return kmsv1.GrantConstraints_builder{EncryptionContextEquals: m}.Build()
	}
	s.mayNot("a grant without the constraint", middle, child(nil, grantEncrypt), "")
	s.mayNot("a grant with another constraint", middle, child(subset(map[string]string{"app": "other"}), grantEncrypt), "")
	s.mayNot("a grant with a wider one", middle, child(subset(map[string]string{"stage": "test"}), grantEncrypt), "")
	s.mayNot("a grant of another operation", middle, child(subset(web), grantEncrypt, grantDecrypt), "")
	s.mayNot("before there is one", last, s.encryptsWith(both), "")
	s.may("a grant with the constraint", middle, child(subset(web), grantEncrypt))
	s.may("a grant with a narrower one", middle, child(subset(both), grantEncrypt))
	s.may("a grant with equal pairs", middle, child(equals(web), grantEncrypt))
	s.may("its grantee", last, s.encryptsWith(both))
	s.mayNot("its grantee makes grants", last, child(subset(web), grantEncrypt), "")
	s.mayNot("its grantee without the constraint", last, s.encrypts(), "")
	s.userPolicy("middle", "policy", kmstest.Allow([]string{"kms:CreateGrant"}))
	s.may("a grant without the constraint, as a policy allows", middle, child(nil, grantDecrypt))
	s.may("its grantee", last, s.decrypts())
}

// A grant is retired by its retiring principal, by its grantee if it says so, and by who may in the account that made it.
func TestRetiringGrants(t *testing.T) {
	s := newStage(t)
	people := map[string]client.Credentials{"retirer": s.User("retirer"), "grantee": s.User("grantee"), "stranger": s.User("stranger"), "allowed": s.User("allowed", kmstest.Allow([]string{"kms:RetireGrant"}))}
	made := func(ops ...kmsv1.GrantOperation) *kmsv1.CreateGrantResponse {
		return s.gives("a grant", s.door.root, kmsv1.CreateGrantRequest_builder{GranteePrincipal: home + "user/grantee", RetiringPrincipal: home + "user/retirer", Operations: append(ops, grantEncrypt)})
	}
	retire := func(g *kmsv1.CreateGrantResponse) proto.Message {
		return kmsv1.RetireGrantRequest_builder{GrantToken: g.GetGrantToken()}.Build()
	}
	g := made()
	s.mayNot("somebody else retires it", people["stranger"], retire(g), "kms:RetireGrant")
	s.mayNot("the grantee retires it, to whom it does not say so", people["grantee"], retire(g), "kms:RetireGrant")
	s.may("the retiring principal", people["retirer"], retire(g))
	s.mayNot("the grantee, without the grant", people["grantee"], s.encrypts(), "")
	s.may("the grantee retires it, to whom it says so", people["grantee"], retire(made(grantRetire)))
	s.may("who may in the account", people["allowed"], retire(made()))
	s.may("the root user", s.door.root, retire(made()))
	g = made()
	s.may("by key and id", people["retirer"], kmsv1.RetireGrantRequest_builder{KeyId: s.key.GetArn(), GrantId: g.GetGrantId()}.Build())
	s.refused("twice", people["allowed"], retire(g), "NotFoundException", "")
	s.userPolicy("retirer", "no", kmstest.Deny([]string{"kms:RetireGrant"}))
	s.mayNot("the retiring principal with a Deny", people["retirer"], retire(made()), "explicit deny")
}

// A grant for somebody of another account is enough for him; a grant for a role is for its sessions, with what limits them.
func TestGrantsForOthers(t *testing.T) {
	s := newStage(t)
	a := s.Account("other")
	stranger, nobody := a.User("stranger"), a.User("nobody")
	s.gives("a grant for a foreign user", s.door.root, kmsv1.CreateGrantRequest_builder{GranteePrincipal: "arn:aws:iam::" + a.ID + ":user/stranger", Operations: []kmsv1.GrantOperation{grantEncrypt}})
	s.may("the foreign user", stranger, s.encrypts())
	s.mayNot("another one of the account", nobody, s.encrypts(), "does not exist in this Region")
	s.gives("a grant for a foreign account", s.door.root, kmsv1.CreateGrantRequest_builder{GranteePrincipal: "arn:aws:iam::" + a.ID + ":root", Operations: []kmsv1.GrantOperation{grantDescribe}})
	s.mayNot("who may nothing in it", nobody, s.describes(), "does not exist in this Region")
	s.may("who may in it", a.User("may", kmstest.Allow([]string{"kms:DescribeKey"})), s.describes())
	s.may("its root user", a.Credentials(), s.describes())

	user := s.User("user", kmstest.Allow([]string{"sts:AssumeRole"}))
	arn := s.roleOf("role", trusts(kmstest.Account))
	s.gives("a grant for a role", s.door.root, kmsv1.CreateGrantRequest_builder{GranteePrincipal: arn, Operations: []kmsv1.GrantOperation{grantDecrypt}})
	s.may("a session of the role", s.assumes(user, stsv1.AssumeRoleRequest_builder{RoleArn: arn}), s.decrypts())
	s.mayNot("a limited session of the role", s.assumes(user, stsv1.AssumeRoleRequest_builder{RoleArn: arn, Policy: kmstest.Allow([]string{"iam:*"})}), s.decrypts(), "")
	s.mayNot("who assumed it", user, s.decrypts(), "")
}

// What needs several permissions needs each of them.
func TestEachPermissionIsNeeded(t *testing.T) {
	s := newStage(t)
	s.roleOf("tagged", trusts(kmstest.Account))
	two := s.Key()
	n := 0
	alias := func(name, key string) {
		s.does("an alias", s.door.root, kmsv1.CreateAliasRequest_builder{AliasName: name, TargetKeyId: key}.Build(), nil)
	}
	arn := func(name string) string { return "arn:aws:kms:local:" + kmstest.Account + ":" + name }
	tags := []*kmsv1.Tag{kmsv1.Tag_builder{TagKey: "team", TagValue: "red"}.Build()}
	for what, c := range map[string]struct {
		make  func(name string) proto.Message // a request with an alias, or name, of its own
		needs [][2]string                     // action and resource of each permission
	}{
		"ReEncrypt": {func(string) proto.Message {
			return kmsv1.ReEncryptRequest_builder{CiphertextBlob: s.blob, DestinationKeyId: two.GetArn()}.Build()
		}, [][2]string{{"kms:ReEncryptFrom", s.key.GetArn()}, {"kms:ReEncryptTo", two.GetArn()}}},
		"CreateAlias": {func(name string) proto.Message {
			return kmsv1.CreateAliasRequest_builder{AliasName: "alias/" + name, TargetKeyId: s.key.GetKeyId()}.Build()
		}, [][2]string{{"kms:CreateAlias", arn("alias/*")}, {"kms:CreateAlias", s.key.GetArn()}}},
		"UpdateAlias": {func(name string) proto.Message {
			alias("alias/"+name, s.key.GetKeyId())
			return kmsv1.UpdateAliasRequest_builder{AliasName: "alias/" + name, TargetKeyId: two.GetKeyId()}.Build()
		}, [][2]string{{"kms:UpdateAlias", arn("alias/*")}, {"kms:UpdateAlias", s.key.GetArn()}, {"kms:UpdateAlias", two.GetArn()}}},
		"DeleteAlias": {func(name string) proto.Message {
			alias("alias/"+name, s.key.GetKeyId())
			return kmsv1.DeleteAliasRequest_builder{AliasName: "alias/" + name}.Build()
		}, [][2]string{{"kms:DeleteAlias", arn("alias/*")}, {"kms:DeleteAlias", s.key.GetArn()}}},
		"CreateKey with tags": {func(string) proto.Message {
			return kmsv1.CreateKeyRequest_builder{Tags: tags, BypassPolicyLockoutSafetyCheck: true}.Build()
		}, [][2]string{{"kms:CreateKey", "*"}, {"kms:TagResource", "*"}}},
		"CreateUser with tags": {func(name string) proto.Message {
			return iamv1.CreateUserRequest_builder{UserName: name, Tags: sampleTags}.Build()
		}, [][2]string{{"iam:CreateUser", "*"}, {"iam:TagUser", "*"}}},
		"CreateRole with tags": {func(name string) proto.Message {
			return iamv1.CreateRoleRequest_builder{RoleName: name, AssumeRolePolicyDocument: trusts(kmstest.Account), Tags: sampleTags}.Build()
		}, [][2]string{{"iam:CreateRole", "*"}, {"iam:TagRole", "*"}}},
		"AssumeRole with tags and source identity": {func(string) proto.Message {
			return stsv1.AssumeRoleRequest_builder{RoleArn: home + "role/tagged", RoleSessionName: "session", Tags: sampleTags, SourceIdentity: "me"}.Build()
		}, [][2]string{{"sts:AssumeRole", "*"}, {"sts:TagSession", "*"}, {"sts:SetSourceIdentity", "*"}}},
		"UpdateUser with a new name": {func(name string) proto.Message {
			s.does("a user", s.door.root, iamv1.CreateUserRequest_builder{UserName: name}.Build(), nil)
			return iamv1.UpdateUserRequest_builder{UserName: name, NewUserName: "new-" + name}.Build()
		}, [][2]string{{"iam:UpdateUser", home + "user/step*"}, {"iam:UpdateUser", home + "user/new-*"}}},
		"UpdateGroup with a new name": {func(name string) proto.Message {
			s.does("a group", s.door.root, iamv1.CreateGroupRequest_builder{GroupName: name}.Build(), nil)
			return iamv1.UpdateGroupRequest_builder{GroupName: name, NewGroupName: "new-" + name}.Build()
		}, [][2]string{{"iam:UpdateGroup", home + "group/step*"}, {"iam:UpdateGroup", home + "group/new-*"}}},
	} {
		for missing := -1; missing < len(c.needs); missing++ {
			n++
			name := fresh("who-")
			var policies []string
			for i, need := range c.needs {
				if i != missing {
					policies = append(policies, kmstest.Allow([]string{need[0]}, need[1]))
				}
			}
			who, m := s.User(name, policies...), c.make(fresh("step-"))
			if missing < 0 {
				s.may(what+" with all permissions", who, m)
				continue
			}
			s.mayNot(what+" without "+c.needs[missing][0]+" on "+c.needs[missing][1], who, m, c.needs[missing][0])
		}
	}
	if n < 30 {
		t.Errorf("%d cases: too few", n)
	}
}
