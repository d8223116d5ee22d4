package server_test

import (
	"fmt"
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
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
	"github.com/kmsd/kmsd/server"
)

// stage is a kmsd on which a scenario is played: people do things, and may or may not.
type stage struct {
	*door
	t       *testing.T
	methods map[string]string // :: type of a request → method
	key     *kmsv1.KeyMetadata
	blob    []byte // under key
}

func newStage(t *testing.T) *stage {
	s := &stage{door: newDoor(t, nil), t: t, methods: map[string]string{}}
	for method := range server.Actions() {
		s.methods[string(descriptor(t, method).Input().FullName())] = method
	}
	s.key = s.Key()
	var out kmsv1.EncryptResponse
	s.does("root encrypts", s.door.root, s.encrypts(), &out)
	s.blob = out.GetCiphertextBlob()
	return s
}

func (s *stage) encrypts() proto.Message {
	return kmsv1.EncryptRequest_builder{KeyId: s.key.GetArn(), Plaintext: []byte("x")}.Build()
}

func (s *stage) decrypts() proto.Message {
	return kmsv1.DecryptRequest_builder{CiphertextBlob: s.blob}.Build()
}

func (s *stage) describes() proto.Message {
	return kmsv1.DescribeKeyRequest_builder{KeyId: s.key.GetArn()}.Build()
}

func (s *stage) try(who client.Credentials, m proto.Message) answer {
	s.t.Helper()
	method := s.methods[string(m.ProtoReflect().Descriptor().FullName())]
	if method == "" {
		s.t.Fatalf("no method takes %T", m)
	}
	return s.ask(who, method, m)
}

// does is something that somebody may do. Its answer is read into out, if that is not nil.
func (s *stage) does(what string, who client.Credentials, m, out proto.Message) {
	s.t.Helper()
	got := s.try(who, m)
	if got.code != codes.OK {
		s.t.Fatalf("%s: %v, want it done", what, got)
	}
	if out != nil {
		unmarshal(s.t, got.body, out)
	}
}

// may is does without an answer; the scenario goes on if it fails.
func (s *stage) may(what string, who client.Credentials, m proto.Message) {
	s.t.Helper()
	if got := s.try(who, m); got.code != codes.OK {
		s.t.Errorf("%s: %v, want it done", what, got)
	}
}

// mayNot is something that somebody is denied; the denial says part.
func (s *stage) mayNot(what string, who client.Credentials, m proto.Message, part string) {
	s.t.Helper()
	if got := s.try(who, m); got.code != codes.PermissionDenied || got.reason != "AccessDeniedException" || !strings.Contains(got.message, part) {
		s.t.Errorf("%s: %v, want it denied with %q", what, got, part)
	}
}

// refused is something that fails otherwise.
func (s *stage) refused(what string, who client.Credentials, m proto.Message, reason, part string) {
	s.t.Helper()
	if got := s.try(who, m); got.code == codes.OK || got.reason != reason || !strings.Contains(got.message, part) {
		s.t.Errorf("%s: %v, want %s with %q", what, got, reason, part)
	}
}

const home = "arn:aws:iam::" + kmstest.Account + ":"

// trusts is a trust policy that lets principals do the actions, and assume the role if none are given.
func trusts(principal string, actions ...string) string {
	if len(actions) == 0 {
		actions = []string{"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"}
	}
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":["%s"]}]}`, principal, strings.Join(actions, `","`))
}

// roleOf makes a role with inline policies as the root user and returns its ARN.
func (s *stage) roleOf(name, trust string, policies ...string) string {
	s.t.Helper()
	var out iamv1.CreateRoleResponse
	s.does("making the role "+name, s.door.root, iamv1.CreateRoleRequest_builder{RoleName: name, AssumeRolePolicyDocument: trust}.Build(), &out)
	for i, p := range policies {
		s.rolePolicy(name, fmt.Sprint("p", i), p)
	}
	return out.GetRole().GetArn()
}

func (s *stage) rolePolicy(role, name, document string) {
	s.t.Helper()
	s.does("giving a policy to "+role, s.door.root, iamv1.PutRolePolicyRequest_builder{RoleName: role, PolicyName: name, PolicyDocument: document}.Build(), nil)
}

func (s *stage) userPolicy(user, name, document string) {
	s.t.Helper()
	s.does("giving a policy to "+user, s.door.root, iamv1.PutUserPolicyRequest_builder{UserName: user, PolicyName: name, PolicyDocument: document}.Build(), nil)
}

func (s *stage) managedPolicy(name, document string) string {
	s.t.Helper()
	var out iamv1.CreatePolicyResponse
	s.does("making the policy "+name, s.door.root, iamv1.CreatePolicyRequest_builder{PolicyName: name, PolicyDocument: document}.Build(), &out)
	return out.GetPolicy().GetArn()
}

// assumes is somebody's session of a role.
func (s *stage) assumes(who client.Credentials, r stsv1.AssumeRoleRequest_builder) client.Credentials {
	s.t.Helper()
	if r.RoleSessionName == "" {
		r.RoleSessionName = "session"
	}
	var out stsv1.AssumeRoleResponse
	s.does("assuming "+r.RoleArn, who, r.Build(), &out)
	return s.session(out.GetCredentials())
}

func assuming(arn string) *stsv1.AssumeRoleRequest {
	return stsv1.AssumeRoleRequest_builder{RoleArn: arn, RoleSessionName: "session"}.Build()
}

// A session of a role may do what the role may, and nothing of what may who assumed it; and the other way round.
func TestRoleSessionHoldsNothingOfItsCaller(t *testing.T) {
	s := newStage(t)
	mighty := s.User("mighty", kmstest.Allow([]string{"*"}))
	poor := s.User("poor", kmstest.Allow([]string{"sts:AssumeRole"}))
	empty := s.assumes(mighty, stsv1.AssumeRoleRequest_builder{RoleArn: s.roleOf("empty", trusts(kmstest.Account))})
	rich := s.assumes(poor, stsv1.AssumeRoleRequest_builder{RoleArn: s.roleOf("rich", trusts(kmstest.Account), kmstest.Allow([]string{"kms:*", "iam:*"}))})
	s.may("the mighty user decrypts", mighty, s.decrypts())
	s.mayNot("the mighty user's session of an empty role decrypts", empty, s.decrypts(), "no identity-based policy allows")
	s.mayNot("… lists users", empty, &iamv1.ListUsersRequest{}, "no identity-based policy allows")
	s.mayNot("… assumes the rich role", empty, assuming(home+"role/rich"), "")
	s.mayNot("the poor user decrypts", poor, s.decrypts(), "no identity-based policy allows")
	s.may("the poor user's session of a rich role decrypts", rich, s.decrypts())
	s.may("… lists users", rich, &iamv1.ListUsersRequest{})
	s.mayNot("the rich session assumes a role, as the poor user may", rich, assuming(home+"role/empty"), "")
	s.mayNot("… gets a session token, as sessions of roles never may", rich, &stsv1.GetSessionTokenRequest{}, "")
	var me stsv1.GetCallerIdentityResponse
	s.does("asking who it is", empty, &stsv1.GetCallerIdentityRequest{}, &me)
	if want := "arn:aws:sts::" + kmstest.Account + ":assumed-role/empty/session"; me.GetArn() != want || !strings.HasPrefix(me.GetUserId(), "AROA") || !strings.HasSuffix(me.GetUserId(), ":session") {
		t.Errorf("the session is %v, want %s", &me, want)
	}
}

// A session ends with its role, and changes with its role's policies, at the next call.
func TestSessionsFollowTheirRole(t *testing.T) {
	s := newStage(t)
	user := s.User("user", kmstest.Allow([]string{"sts:AssumeRole"}))
	decrypting := kmstest.Allow([]string{"kms:Decrypt"})
	arn := s.roleOf("role", trusts(kmstest.Account), decrypting)
	session := s.assumes(user, stsv1.AssumeRoleRequest_builder{RoleArn: arn})
	s.may("the session decrypts", session, s.decrypts())
	s.does("the policy goes", s.door.root, iamv1.DeleteRolePolicyRequest_builder{RoleName: "role", PolicyName: "p0"}.Build(), nil)
	s.mayNot("without the role's policy", session, s.decrypts(), "no identity-based policy allows")
	managed := s.managedPolicy("decrypting", decrypting)
	s.does("another comes", s.door.root, iamv1.AttachRolePolicyRequest_builder{RoleName: "role", PolicyArn: managed}.Build(), nil)
	s.may("with a managed policy", session, s.decrypts())
	s.does("and goes", s.door.root, iamv1.DetachRolePolicyRequest_builder{RoleName: "role", PolicyArn: managed}.Build(), nil)
	s.mayNot("detached", session, s.decrypts(), "no identity-based policy allows")
	s.rolePolicy("role", "p0", decrypting)
	s.may("given again", session, s.decrypts())

	revoked := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":%q}}}]}`,
		time.Now().Add(2*time.Second).UTC().Format("2006-01-02T15:04:05Z"))
	s.rolePolicy("role", "AWSRevokeOlderSessions", revoked)
	s.mayNot("with sessions of before now revoked", session, s.decrypts(), "with an explicit deny in an identity-based policy")
	time.Sleep(3100 * time.Millisecond)
	s.may("a session of after", s.assumes(user, stsv1.AssumeRoleRequest_builder{RoleArn: arn}), s.decrypts())
	s.mayNot("the session of before", session, s.decrypts(), "explicit deny")

	for _, p := range []string{"p0", "AWSRevokeOlderSessions"} {
		s.does("policies go", s.door.root, iamv1.DeleteRolePolicyRequest_builder{RoleName: "role", PolicyName: p}.Build(), nil)
	}
	s.does("the role goes", s.door.root, iamv1.DeleteRoleRequest_builder{RoleName: "role"}.Build(), nil)
	s.refused("a session of a role that is gone", session, s.decrypts(), "UnrecognizedClientException", "invalid")
	s.roleOf("role", trusts(kmstest.Account), decrypting)
	s.refused("… and of which there is another of the same name", session, s.decrypts(), "UnrecognizedClientException", "invalid")
}

// A session token is good with its own access key and secret, signed for, and for nothing else.
func TestSessionTokensAreBound(t *testing.T) {
	s := newStage(t)
	user := s.User("user", kmstest.Allow([]string{"*"}))
	arn := s.roleOf("role", trusts(kmstest.Account), kmstest.Allow([]string{"kms:*"}))
	one, two := s.assumes(user, stsv1.AssumeRoleRequest_builder{RoleArn: arn}), s.assumes(user, stsv1.AssumeRoleRequest_builder{RoleArn: arn})
	with := func(change func(c *client.Credentials)) client.Credentials {
		c := one
		change(&c)
		return c
	}
	altered := []byte(string(one.SessionToken.Expose()))
	altered[len(altered)/2] ^= 1
	for what, c := range map[string]client.Credentials{
		"the token of another session":      with(func(c *client.Credentials) { c.SessionToken = two.SessionToken }),
		"the access key of another session": with(func(c *client.Credentials) { c.AccessKeyID = two.AccessKeyID }),
		"the secret of another session":     with(func(c *client.Credentials) { c.SecretAccessKey = two.SecretAccessKey }),
		"no token":                          with(func(c *client.Credentials) { c.SessionToken = crypto.Secret{} }),
		"an altered token":                  with(func(c *client.Credentials) { c.SessionToken = crypto.NewSecret(altered) }),
		"a token that is none":              with(func(c *client.Credentials) { c.SessionToken = crypto.NewSecret([]byte("x")) }),
		"a user's access key, with a token": with(func(c *client.Credentials) { c.AccessKeyID, c.SecretAccessKey = user.AccessKeyID, user.SecretAccessKey }),
		"the root user's access key with a token": with(func(c *client.Credentials) {
			c.AccessKeyID, c.SecretAccessKey = s.door.root.AccessKeyID, s.door.root.SecretAccessKey
		}),
	} {
		if got := s.try(c, s.decrypts()); got.code != codes.Unauthenticated {
			t.Errorf("%s: %v, want %v", what, got, codes.Unauthenticated)
		}
	}
	method, body := decryptMethod, marshal(t, s.decrypts())
	unsigned := s.sign(with(func(c *client.Credentials) { c.SessionToken = crypto.Secret{} }), method, "0123456789abcdef", time.Now())
	token := map[string]string{"X-Amz-Security-Token": string(one.SessionToken.Expose())}
	if got := s.send(t.Context(), call{method: method, body: body, signed: unsigned, header: token}); got.code != codes.Unauthenticated {
		t.Errorf("a token that is not signed for: %v, want %v", got, codes.Unauthenticated)
	}
	s.may("the session as it is", one, s.decrypts())
}

// What a chain of roles may: an hour, one source identity, and tags that go on.
func TestChainedRoles(t *testing.T) {
	s := newStage(t)
	user := s.User("user", kmstest.Allow([]string{"sts:*"}))
	tagged := kmstest.Allow([]string{"sts:*"})
	first := s.roleOf("first", trusts(kmstest.Account), tagged)
	second := s.roleOf("second", trusts(kmstest.Account), tagged, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{
		"StringEquals":{"aws:PrincipalTag/project":"x","aws:SourceIdentity":"somebody"}}}]}`)
	s.does("longer sessions", s.door.root, iamv1.UpdateRoleRequest_builder{RoleName: "first", MaxSessionDuration: 43200}.Build(), nil)
	s.does("longer sessions", s.door.root, iamv1.UpdateRoleRequest_builder{RoleName: "second", MaxSessionDuration: 43200}.Build(), nil)
	project, other := iamv1.Tag_builder{Key: "project", Value: "x"}.Build(), iamv1.Tag_builder{Key: "other", Value: "y"}.Build()
	one := s.assumes(user, stsv1.AssumeRoleRequest_builder{
		RoleArn: first, DurationSeconds: 43200, SourceIdentity: "somebody", Tags: []*iamv1.Tag{project, other}, TransitiveTagKeys: []string{"project"},
	})
	two := s.assumes(one, stsv1.AssumeRoleRequest_builder{RoleArn: second, DurationSeconds: 3600})
	s.may("the second session, with the tag and the source identity of the first", two, s.decrypts())
	three := s.assumes(two, stsv1.AssumeRoleRequest_builder{RoleArn: second})
	s.may("a third one, with the same", three, s.decrypts())
	for what, r := range map[string]stsv1.AssumeRoleRequest_builder{
		"a chained session of more than an hour":      {RoleArn: second, DurationSeconds: 3601},
		"another source identity":                     {RoleArn: second, SourceIdentity: "somebody-else"},
		"a transitive tag again":                      {RoleArn: second, Tags: []*iamv1.Tag{project}},
		"a transitive tag again, written differently": {RoleArn: second, Tags: []*iamv1.Tag{iamv1.Tag_builder{Key: "PROJECT", Value: "z"}.Build()}},
	} {
		r.RoleSessionName = "session"
		s.refused(what, one, r.Build(), "ValidationException", "")
	}
	s.may("the same source identity", one, stsv1.AssumeRoleRequest_builder{RoleArn: second, RoleSessionName: "session", SourceIdentity: "somebody"}.Build())
	s.userPolicy("user", "no-tags", kmstest.Deny([]string{"sts:TagSession"}))
	s.mayNot("tags without sts:TagSession", user, stsv1.AssumeRoleRequest_builder{RoleArn: first, RoleSessionName: "session", Tags: []*iamv1.Tag{project}}.Build(), "sts:TagSession")
	s.userPolicy("user", "no-identity", kmstest.Deny([]string{"sts:SetSourceIdentity"}))
	s.mayNot("a source identity without sts:SetSourceIdentity", user, stsv1.AssumeRoleRequest_builder{RoleArn: first, RoleSessionName: "session", SourceIdentity: "x1"}.Build(), "sts:SetSourceIdentity")
	s.may("neither", user, assuming(first))
	s.rolePolicy("first", "no-tags", kmstest.Deny([]string{"sts:TagSession"}))
	s.mayNot("inherited tags without sts:TagSession", one, assuming(second), "sts:TagSession")
}
