package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	"github.com/kmsd/kmsd/storage"
)

// explains is why a request that was denied was.
func (s *stage) explains(what string, who client.Credentials, requestID string) *iamv1.Explanation {
	s.t.Helper()
	var out iamv1.ExplainDecisionResponse
	s.does(what, who, iamv1.ExplainDecisionRequest_builder{RequestId: requestID}.Build(), &out)
	return out.GetExplanation()
}

// Who may ask is told which layer denied a request, by which statement, and what was nearly enough; of another account's resource only what its own
// account has to do with it, and of another account's requests nothing.
func TestExplainedDenials(t *testing.T) {
	s := newStage(t)
	a := s.Account("other")
	near := s.User("near", `{"Version":"2012-10-17","Statement":[{"Sid":"Red","Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"red"}}}]}`)
	denied := s.User("denied", kmstest.Allow([]string{"*"}), `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*"},{"Sid":"Never","Effect":"Deny","Action":"kms:*","Resource":"*"}]}`)
	id := func(who client.Credentials, m proto.Message) string {
		got := s.try(who, m)
		if got.code != codes.PermissionDenied {
			t.Fatalf("%T: %v, want %v", m, got, codes.PermissionDenied)
		}
		return got.requestID
	}
	e := s.explains("a statement that nearly allows", s.door.root, id(near, s.decrypts()))
	if m := e.GetNearestMiss(); m.GetPolicyId() != "policya" || m.GetStatement() != 1 || !strings.Contains(m.GetElement(), "aws:ResourceTag/team") || !strings.Contains(m.GetNeeded(), "red") {
		t.Errorf("the nearest miss is %v", m)
	}
	if !slices.Contains(e.GetMissingContextValues(), "aws:ResourceTag/team") || e.GetAction() != "kms:Decrypt" || e.GetResourceArn() != s.key.GetArn() || e.GetPrincipalArn() != home+"user/near" {
		t.Errorf("the explanation is %v", e)
	}
	e = s.explains("a statement that denies", s.door.root, id(denied, s.decrypts()))
	if e.GetDecision() != iamv1.PolicyEvaluationDecisionType_POLICY_EVALUATION_DECISION_TYPE_EXPLICIT_DENY || e.GetLayer() != "identity-based policy" {
		t.Errorf("a Deny is explained as %v by %q", e.GetDecision(), e.GetLayer())
	}
	found := false
	for _, l := range e.GetLayers() {
		for _, st := range l.GetStatements() {
			if st.GetSid() == "Never" {
				found = st.GetMatches() && st.GetEffect() == "Deny" && st.GetIndex() == 2 && l.GetPolicyId() == "policyb" && st.GetStartPosition().GetColumn() > 1
			}
		}
	}
	if !found {
		t.Errorf("the layers do not show the statement that denies: %v", e.GetLayers())
	}

	foreign := a.User("foreign", kmstest.Allow([]string{"*"}))
	asked := id(foreign, s.encrypts())
	asked2 := id(foreign, kmsv1.DescribeKeyRequest_builder{KeyId: s.key.GetArn()}.Build())
	s.refused("the owner of the key about a foreign request", s.door.root, iamv1.ExplainDecisionRequest_builder{RequestId: asked}.Build(), "NotFoundException", "no denied request of this account")
	s.refused("a request that was never made", foreign, iamv1.ExplainDecisionRequest_builder{RequestId: "11111111-1111-4111-8111-111111111111"}.Build(), "NotFoundException", "no denied request of this account")
	e = s.explains("their own request about a foreign key", foreign, asked2)
	if e.GetLayer() != "" && strings.Contains(e.GetLayer(), "resource") {
		t.Errorf("the layer that denied is told: %q", e.GetLayer())
	}
	for _, l := range e.GetLayers() {
		if strings.Contains(l.GetLayer(), "resource") || strings.Contains(l.GetLayer(), "grant") {
			t.Errorf("a layer of the owner of the key is shown: %v", l)
		}
	}
	if m := e.GetNearestMiss(); strings.Contains(m.GetPolicyId(), "key/") {
		t.Errorf("the nearest miss is of the key policy: %v", m)
	}
	s.mayNot("who may not ask", near, iamv1.ExplainDecisionRequest_builder{RequestId: asked}.Build(), "authz:ExplainDecision")
	if got := s.try(near, s.describes()); s.explains("by the id of the header", s.door.root, got.requestID).GetAction() != "kms:DescribeKey" {
		t.Error("the denial of DescribeKey is explained as another")
	}
}

// What a simulation says of a principal of the account is what is decided when he asks.
func TestSimulationsAgree(t *testing.T) {
	s := newStage(t)
	boundary := s.managedPolicy("boundary", kmstest.Allow([]string{"kms:Describe*", "iam:*"}))
	group := "group"
	s.does("a group", s.door.root, iamv1.CreateGroupRequest_builder{GroupName: group}.Build(), nil)
	s.does("its policy", s.door.root, iamv1.PutGroupPolicyRequest_builder{GroupName: group, PolicyName: "p", PolicyDocument: kmstest.Allow([]string{"kms:Decrypt", "iam:List*"})}.Build(), nil)
	users := map[string]client.Credentials{
		"nothing": s.User("nothing"), "everything": s.User("everything", kmstest.Allow([]string{"*"})), "denied": s.User("denied", kmstest.Allow([]string{"*"}), kmstest.Deny([]string{"kms:De*"})),
		"member": s.User("member"), "bounded": s.User("bounded", kmstest.Allow([]string{"*"})), "named": s.User("named"), "granted": s.User("granted"),
		"here":  s.User("here", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"127.0.0.1/32"},"Bool":{"aws:SecureTransport":"true"}}}]}`),
		"there": s.User("there", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]}`),
		"old":   s.User("old", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}},{"Effect":"Allow","Action":"*","Resource":"*"}]}`),
		"arn":   s.User("arn", kmstest.Allow([]string{"kms:*"}, s.key.GetArn())),
	}
	s.does("a member", s.door.root, iamv1.AddUserToGroupRequest_builder{GroupName: group, UserName: "member"}.Build(), nil)
	s.does("a boundary", s.door.root, iamv1.PutUserPermissionsBoundaryRequest_builder{UserName: "bounded", PermissionsBoundary: boundary}.Build(), nil)
	policy := strings.Replace(keyPolicy, `"Statement":[`, `"Statement":[{"Effect":"Allow","Principal":{"AWS":"`+home+`user/named"},"Action":"kms:Decrypt","Resource":"*"},`, 1)
	s.does("a key policy", s.door.root, kmsv1.PutKeyPolicyRequest_builder{KeyId: s.key.GetKeyId(), Policy: policy}.Build(), nil)
	s.gives("a grant", s.door.root, kmsv1.CreateGrantRequest_builder{GranteePrincipal: home + "user/granted", Operations: []kmsv1.GrantOperation{grantDescribe}})
	cases := []struct {
		action, resource string
		request          proto.Message
	}{
		{"kms:Decrypt", s.key.GetArn(), s.decrypts()},
		{"kms:DescribeKey", s.key.GetArn(), s.describes()},
		{"kms:DisableKey", s.key.GetArn(), kmsv1.DisableKeyRequest_builder{KeyId: s.key.GetKeyId(), DryRun: true}.Build()},
		{"kms:CreateKey", "*", kmsv1.CreateKeyRequest_builder{DryRun: true, BypassPolicyLockoutSafetyCheck: true}.Build()},
		{"iam:ListUsers", "*", &iamv1.ListUsersRequest{}},
		{"iam:GetUser", home + "user/named", iamv1.GetUserRequest_builder{UserName: "named"}.Build()},
	}
	allowed, n := 0, 0
	for _, name := range sorted(users) {
		for _, c := range cases {
			n++
			real := s.try(users[name], c.request)
			var out iamv1.SimulatePrincipalPolicyResponse
			s.does("simulating", s.door.root, iamv1.SimulatePrincipalPolicyRequest_builder{PolicySourceArn: home + "user/" + name, ActionNames: []string{c.action}, ResourceArns: []string{c.resource}}.Build(), &out)
			if len(out.GetEvaluationResults()) != 1 {
				t.Fatalf("%d results of one simulation", len(out.GetEvaluationResults()))
			}
			r := out.GetEvaluationResults()[0]
			may := r.GetEvalDecision() == iamv1.PolicyEvaluationDecisionType_POLICY_EVALUATION_DECISION_TYPE_ALLOWED
			if may {
				allowed++
			}
			if may != (real.code == codes.OK) || !may && real.code != codes.PermissionDenied {
				t.Errorf("%s of %s is simulated as %v (%s), and really: %v", c.action, name, r.GetEvalDecision(), r.GetReason(), real)
			}
			explicit := r.GetEvalDecision() == iamv1.PolicyEvaluationDecisionType_POLICY_EVALUATION_DECISION_TYPE_EXPLICIT_DENY
			if explicit != strings.Contains(real.message, "explicit deny") {
				t.Errorf("%s of %s is simulated as %v, and really: %v", c.action, name, r.GetEvalDecision(), real)
			}
		}
	}
	if allowed < 20 || n-allowed < 20 {
		t.Errorf("%d of %d allowed: the table says too little", allowed, n)
	}
}

// A stored policy that does not parse, as of another version of kmsd, denies everything that it is part of until it is replaced, and kmsd says so when it starts.
func TestStoredPolicyThatDoesNotParse(t *testing.T) {
	s := newStage(t)
	bad := func(value []byte) []byte {
		return []byte(strings.Replace(string(value), "Allow", "Alloy", 1))
	}
	s.User("user", kmstest.Allow([]string{"*"}))
	healthy := s.User("healthy", kmstest.Allow([]string{"*"}))
	broken := s.User("broken", kmstest.Allow([]string{"*"}), kmstest.Allow([]string{"kms:DescribeKey"}))
	second := s.Key()
	changed := 0
	s.Rewrite(func(tx *storage.Tx) error {
		for kind, end := range map[storage.Kind]string{"user-policy": "/policyb", "key": "/" + second.GetKeyId()} {
			found := map[string][]byte{}
			if err := tx.Walk(kind, "", func(path string, value []byte) error {
				if strings.HasSuffix(path, end) {
					found[path] = bad(value)
				}
				return nil
			}); err != nil {
				return err
			}
			for path, value := range found {
				changed++
				if err := tx.Put(kind, path, value); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if changed != 2 {
		t.Fatalf("%d records changed, want 2", changed)
	}
	for _, c := range []*client.Credentials{&healthy, &broken} {
		c.Endpoint = s.Address()
	}
	s.door.root.Endpoint = s.Address()
	s.door.http = s.presenting(nil)
	s.mayNot("who has a policy that does not parse, beside one that allows everything", broken, s.describes(), "")
	s.mayNot("… for anything", broken, &iamv1.ListUsersRequest{}, "")
	s.may("somebody else", healthy, s.describes())
	s.mayNot("anybody on a key whose policy does not parse", healthy, kmsv1.DescribeKeyRequest_builder{KeyId: second.GetKeyId()}.Build(), "")
	s.mayNot("the root user", s.door.root, kmsv1.DescribeKeyRequest_builder{KeyId: second.GetKeyId()}.Build(), "")
	if log := s.Log(); !strings.Contains(log, "a stored policy does not parse") || !strings.Contains(log, "policyb") || !strings.Contains(log, second.GetArn()) {
		t.Errorf("the log does not name the policies: %s", log)
	}
	s.userPolicy("broken", "policyb", kmstest.Allow([]string{"kms:DescribeKey"}))
	s.may("with another policy in its place", broken, s.describes())
}

// What is wrong with a policy is found when it is put, and does not keep it from being put; what is no policy is not put.
func TestFindings(t *testing.T) {
	s := newStage(t)
	s.User("user")
	suspect := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}]}`
	trustAll := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:AssumeRole"}]}`, s.Account("other").ID)
	openKey := strings.Replace(keyPolicy, `"Statement":[`, `"Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:Encrypt","Resource":"*"},`, 1)
	for what, c := range map[string]struct {
		m     proto.Message
		wants bool
	}{
		"a user's policy":     {iamv1.PutUserPolicyRequest_builder{UserName: "user", PolicyName: "p", PolicyDocument: suspect}.Build(), true},
		"a managed policy":    {iamv1.CreatePolicyRequest_builder{PolicyName: "p", PolicyDocument: suspect}.Build(), true},
		"a foreign trust":     {iamv1.CreateRoleRequest_builder{RoleName: "r", AssumeRolePolicyDocument: trustAll}.Build(), true},
		"an open key":         {kmsv1.CreateKeyRequest_builder{Policy: openKey}.Build(), true},
		"an open key, dry":    {kmsv1.CreateKeyRequest_builder{Policy: openKey, DryRun: true}.Build(), true},
		"a decent policy":     {iamv1.PutUserPolicyRequest_builder{UserName: "user", PolicyName: "q", PolicyDocument: kmstest.Allow([]string{"kms:Decrypt"}, s.key.GetArn())}.Build(), false},
		"a decent key policy": {kmsv1.PutKeyPolicyRequest_builder{KeyId: s.key.GetKeyId(), Policy: keyPolicy}.Build(), false},
	} {
		got := s.try(s.door.root, c.m)
		out := newMessage(t, descriptor(t, s.methods[string(c.m.ProtoReflect().Descriptor().FullName())]).Output())
		unmarshal(t, got.body, out)
		list := out.(interface{ GetFindings() []*iamv1.Finding }).GetFindings()
		if got.code != codes.OK || (len(list) > 0) != c.wants {
			t.Errorf("%s: %v with the findings %v, want some: %v", what, got, list, c.wants)
		}
		for _, f := range list {
			if f.GetMessage() == "" || f.GetFix() == "" || f.GetCode() == "" {
				t.Errorf("%s: a finding without words or a fix: %v", what, f)
			}
		}
	}
}
