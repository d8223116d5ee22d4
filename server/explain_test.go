package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	"github.com/kmsd/kmsd/keystore"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// owner is the root user of the other account.
func (h *house) owner() *authz.Caller {
	return &authz.Caller{Kind: authz.Root, Account: h.foreign, ID: h.foreign, ARN: "arn:aws:iam::" + h.foreign + ":root", Membership: h.s.people.Snapshot().Membership(h.foreign)}
}

func entityOf(account, arn string) authz.Resource {
	return authz.Resource{Kind: authz.IAMEntity, Account: account, ARN: arn}
}

// tenant makes a user with an inline policy in an account, and returns what asks in its name.
func (h *house) tenant(account, name, policy string) func(method string, r proto.Message) (proto.Message, error) {
	h.t.Helper()
	people := h.s.people
	root := &authz.Caller{Kind: authz.Root, Account: account, ID: account, ARN: "arn:aws:iam::" + account + ":root"}
	user := entityOf(account, people.Snapshot().NewUserARN(account, "/", name))
	_, err := people.CreateUser(h.may(root, authz.IAMCreateUser, user), account, iam.NewUser{Name: name})
	h.check(err)
	_, err = people.PutUserPolicy(h.may(root, authz.IAMPutUserPolicy, user), account, name, "p", policy)
	h.check(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	h.check(err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	h.check(err)
	cert, err := people.CreateClientCertificate(h.may(root, authz.IAMCreateClientCertificate, user), account, name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}), 0)
	h.check(err)
	block, _ := pem.Decode(cert.PEM())
	parsed, err := x509.ParseCertificate(block.Bytes)
	h.check(err)
	ctx := peer.NewContext(h.t.Context(), &peer.Peer{AuthInfo: &connection{certificate: parsed, fingerprint: cert.Fingerprint}})
	return func(method string, r proto.Message) (proto.Message, error) {
		return h.s.serve(ctx, h.rows[method], arrived(r))
	}
}

// must is ask for what has to succeed.
func (h *house) must(method string, r proto.Message) proto.Message {
	h.t.Helper()
	out, err := h.ask(method, r)
	h.check(err)
	return out
}

// explained asks why a call was denied. It is nil if kmsd does not know.
func (h *house) explained(ask func(string, proto.Message) (proto.Message, error), denied error) *iamv1.Explanation {
	h.t.Helper()
	id := ""
	for _, d := range status.Convert(denied).Details() {
		if i, ok := d.(*errdetails.RequestInfo); ok {
			id = i.GetRequestId()
		}
	}
	out, err := ask(iamv1.IAMService_ExplainDecision_FullMethodName, iamv1.ExplainDecisionRequest_builder{RequestId: id}.Build())
	if status.Code(err) == codes.NotFound {
		return nil
	}
	h.check(err)
	return out.(*iamv1.ExplainDecisionResponse).GetExplanation()
}

// timeless is an explanation in text, without what no two have in common.
func timeless(e *iamv1.Explanation) string {
	if e == nil {
		return "no such denial"
	}
	e = proto.CloneOf(e)
	e.SetRequestId("")
	e.SetEventTime(nil)
	e.SetContextEntries(slices.DeleteFunc(e.GetContextEntries(), func(c *iamv1.ContextEntry) bool {
		return c.GetContextKeyName() == "aws:CurrentTime" || c.GetContextKeyName() == "aws:EpochTime"
	}))
	text, err := prototext.MarshalOptions{Multiline: true}.Marshal(e)
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(string(text), ":  ", ": ") // prototext is not the same twice
}

// foreignTagged makes a key of the other account with a tag and an alias.
func (h *house) foreignTagged(alias string) (*keystore.Key, []byte) {
	h.t.Helper()
	k, blob := h.foreignKey("")
	owner := h.owner()
	k, err := h.s.keys.TagKey(h.may(owner, authz.KMSTagResource, k.Resource), k.ID, []keystore.Tag{{Key: "Project", Value: "secret-merger"}})
	h.check(err)
	r := authz.Resource{Kind: authz.Alias, Account: h.foreign, ARN: homePlace.AliasARN(h.foreign, alias)}
	_, err = h.s.keys.CreateAlias(h.may(owner, authz.KMSCreateAlias, r), h.may(owner, authz.KMSCreateAlias, k.Resource), h.foreign, alias, k.ID)
	h.check(err)
	return k, blob
}

// foreignRole makes a role of the other account with a tag.
func (h *house) foreignRole(name, trust string) iam.Role {
	h.t.Helper()
	owner := h.owner()
	arn := h.s.people.Snapshot().NewRoleARN(h.foreign, "/", name)
	r, err := h.s.people.CreateRole(h.may(owner, authz.IAMCreateRole, entityOf(h.foreign, arn)), h.foreign, iam.NewRole{
		Name: name, TrustPolicy: trust, Tags: []iam.Tag{{Key: "Team", Value: "payments"}}, Tagging: h.may(owner, authz.IAMTagRole, entityOf(h.foreign, arn)),
	})
	h.check(err)
	return r
}

func secretTrust(principal string) string {
	return `{"Version":"2012-10-17","Statement":[{"Sid":"OnlyTheFlagship","Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"the-secret-external-id"}}}]}`
}

func TestForeignRoleIsExplainedAsAbsent(t *testing.T) {
	h := newHouse(t)
	r := h.foreignRole("deployer", secretTrust(h.foreign))
	denied := func(arn string) string {
		_, err := h.ask(stsv1.STSService_AssumeRole_FullMethodName, stsv1.AssumeRoleRequest_builder{RoleArn: arn, RoleSessionName: "xx"}.Build())
		if status.Code(err) != codes.PermissionDenied {
			t.Fatalf("AssumeRole of %s: %v, want a denial", arn, err)
		}
		return timeless(h.explained(h.ask, err))
	}
	absent := strings.Replace(r.ARN, "deployer", "nothere0", 1)
	there, none := denied(r.ARN), denied(absent)
	if there = strings.ReplaceAll(there, r.ARN, absent); there != none || !strings.Contains(none, "sts:AssumeRole") {
		t.Errorf("the explanation of a foreign role:\n%s\nof one that is not there:\n%s", there, none)
	}
}

// The guardrails of an organization are not for those whom they hold back.
func TestMemberSeesNoOrganizationPolicy(t *testing.T) {
	h := newHouse(t)
	attach := func(name string, kind organizationsv1.PolicyType, content string) string {
		id := h.must(organizationsv1.OrganizationsService_CreatePolicy_FullMethodName, organizationsv1.CreatePolicyRequest_builder{Name: name, Type: kind, Content: content}.Build()).(*organizationsv1.CreatePolicyResponse).GetPolicy().GetPolicySummary().GetId()
		h.must(organizationsv1.OrganizationsService_AttachPolicy_FullMethodName, organizationsv1.AttachPolicyRequest_builder{PolicyId: id, TargetId: h.foreign}.Build())
		return id
	}
	const secret = "secret-break-glass"
	scp := attach("guard", organizationsv1.PolicyType_POLICY_TYPE_SERVICE_CONTROL_POLICY, `{"Version":"2012-10-17","Statement":[{"Sid":"Incident","Effect":"Deny","Action":"kms:CreateKey","Resource":"*",
		"Condition":{"StringNotLike":{"aws:PrincipalArn":["arn:aws:iam::*:role/`+secret+`"]}}},{"Effect":"Allow","Action":"kms:ListKeys","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/`+secret+`":"x"}}}]}`)
	rcp := attach("perimeter", organizationsv1.PolicyType_POLICY_TYPE_RESOURCE_CONTROL_POLICY, `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"kms:DisableKey","Resource":"*",
		"Condition":{"StringNotLike":{"aws:PrincipalTag/`+secret+`":["x"]}}}]}`)
	k, _ := h.foreignKey("")
	carol := h.tenant(h.foreign, "carol", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:*","authz:*","iam:*"],"Resource":"*"}]}`)
	check := func(what string, layers []*iamv1.LayerResult, id, whole string) {
		t.Helper()
		found := false
		for _, l := range layers {
			organization := strings.HasSuffix(l.GetLayer(), "control policy")
			if organization && len(l.GetStatements()) > 0 {
				t.Errorf("%s: a member sees statements of %s", what, l.GetPolicyId())
			}
			if !organization && len(l.GetStatements()) == 0 {
				t.Errorf("%s: a member does not see statements of its own %s", what, l.GetPolicyId())
			}
			found = found || l.GetPolicyId() == id && l.GetResult() == iamv1.PolicyEvaluationDecisionType_POLICY_EVALUATION_DECISION_TYPE_EXPLICIT_DENY
		}
		if !found {
			t.Errorf("%s: that %s denies is not told", what, id)
		}
		if strings.Contains(whole, secret) || strings.Contains(whole, "Incident") {
			t.Errorf("%s tells what a policy of the organization says: %s", what, whole)
		}
	}
	for id, call := range map[string]struct {
		method string
		r      proto.Message
	}{
		scp: {kmsv1.KeyService_CreateKey_FullMethodName, &kmsv1.CreateKeyRequest{}},
		rcp: {kmsv1.KeyService_DisableKey_FullMethodName, kmsv1.DisableKeyRequest_builder{KeyId: k.ARN}.Build()},
	} {
		_, err := carol(call.method, call.r)
		e := h.explained(carol, err)
		check(h.rows[call.method].event, e.GetLayers(), id, timeless(e))
		action := "kms:" + h.rows[call.method].event
		out, err := carol(iamv1.IAMService_SimulatePrincipalPolicy_FullMethodName, iamv1.SimulatePrincipalPolicyRequest_builder{
			PolicySourceArn: "arn:aws:iam::" + h.foreign + ":user/carol", ActionNames: []string{action}, ResourceArns: []string{k.ARN},
		}.Build())
		h.check(err)
		result := out.(*iamv1.SimulatePrincipalPolicyResponse).GetEvaluationResults()[0]
		check("simulation of "+action, result.GetLayers(), id, result.String())
	}
	// what a request has brought is shown to who has brought it
	out, err := carol(iamv1.IAMService_SimulateCustomPolicy_FullMethodName, iamv1.SimulateCustomPolicyRequest_builder{
		PolicyInputList: []string{`{"Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}`}, ActionNames: []string{"kms:CreateKey"},
		OrderedOrganizationPolicyInputList: []*iamv1.OrderedOrganizationPolicyType{iamv1.OrderedOrganizationPolicyType_builder{
			ServiceControlPolicyInputList: []string{`{"Version":"2012-10-17","Statement":[{"Sid":"Mine","Effect":"Deny","Action":"*","Resource":"*"}]}`},
		}.Build()},
	}.Build())
	h.check(err)
	if text := fmt.Sprint(out); !strings.Contains(text, "Mine") {
		t.Errorf("a simulation does not show a policy of its request: %s", text)
	}
}

// Denials that are told in short say so.
func TestLargeRequestIsExplainedInShort(t *testing.T) {
	h := newHouse(t)
	bob := h.tenant(homeAccount, "bob", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"authz:*","Resource":"*"}]}`)
	for n, truncated := range map[int]bool{1: false, 50: true} {
		var tags []*kmsv1.Tag
		for i := range n {
			tags = append(tags, kmsv1.Tag_builder{TagKey: fmt.Sprint(i), TagValue: strings.Repeat("v", 200)}.Build())
		}
		_, err := bob(kmsv1.KeyService_CreateKey_FullMethodName, kmsv1.CreateKeyRequest_builder{Tags: tags}.Build())
		e := h.explained(bob, err)
		if told := strings.Count(timeless(e), "aws:RequestTag/"); e.GetTruncated() != truncated || (told == n) == truncated {
			t.Errorf("a denied request with %d tags is explained with %d, truncated %v, want truncated %v", n, told, e.GetTruncated(), truncated)
		}
	}
}

// Nobody finds out, by policies of their own, which key is behind another account's alias.
func TestOwnPoliciesDoNotProbeForeignAliases(t *testing.T) {
	h := newHouse(t)
	k, blob := h.foreignTagged("alias/payroll")
	there, none := homePlace.AliasARN(h.foreign, "alias/payroll"), homePlace.AliasARN(h.foreign, "alias/nothere")
	bob := h.tenant(homeAccount, "bob", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"authz:*","Resource":"*"},{"Effect":"Allow","Action":"kms:DescribeKey","Resource":"`+k.ARN+`"},
		{"Effect":"Allow","Action":"kms:ReEncrypt*","Resource":"*","Condition":{"Bool":{"kms:ReEncryptOnSameKey":"true"}}}]}`)
	for what, make := range map[string]func(arn string) (string, proto.Message){
		"a policy for the key": func(arn string) (string, proto.Message) {
			return kmsv1.KeyService_DescribeKey_FullMethodName, kmsv1.DescribeKeyRequest_builder{KeyId: arn}.Build()
		},
		"a policy for ReEncrypt of one key": func(arn string) (string, proto.Message) {
			return kmsv1.CryptoService_ReEncrypt_FullMethodName, kmsv1.ReEncryptRequest_builder{CiphertextBlob: blob, DestinationKeyId: arn}.Build()
		},
	} {
		said := func(arn string) string {
			_, err := bob(make(arn))
			if status.Code(err) != codes.PermissionDenied {
				t.Errorf("%s: %v, want a denial", what, err)
			}
			return strings.ReplaceAll(status.Convert(err).Message()+"\n"+timeless(h.explained(bob, err)), "alias/payroll", "alias/nothere")
		}
		if a, b := said(there), said(none); a != b {
			t.Errorf("%s tells an alias from none:\n%s\n%s", what, a, b)
		}
	}
}
