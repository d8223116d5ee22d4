package server_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// The denial of a web identity, which is of no account, is explained to the account of the role.
func TestDenialOfAWebIdentityIsExplained(t *testing.T) {
	p := newProps(newDoor(t, nil))
	m := p.webIdentity().(*stsv1.AssumeRoleWithWebIdentityRequest)
	m.SetWebIdentityToken(p.issuer.Token(map[string]any{"sub": "another job", "aud": "kmsd", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()}))
	method := stsv1.STSService_AssumeRoleWithWebIdentity_FullMethodName
	got := p.send(t.Context(), call{method: method, body: marshal(t, m), agent: p.agent("denied")})
	if got.code != codes.PermissionDenied {
		t.Fatalf("another subject: %v, want %v", got, codes.PermissionDenied)
	}
	told := p.ask(p.Credentials(), iamv1.IAMService_ExplainDecision_FullMethodName, iamv1.ExplainDecisionRequest_builder{RequestId: got.requestID}.Build())
	var out iamv1.ExplainDecisionResponse
	if err := proto.Unmarshal(told.body, &out); told.code != codes.OK || err != nil {
		t.Fatalf("ExplainDecision: %v, %v", told, err)
	}
	found := false
	for _, l := range out.GetExplanation().GetLayers() {
		for _, s := range l.GetStatements() {
			for _, c := range s.GetConditions() {
				found = found || c.GetKey() == "tokens.example:sub" && !c.GetMatches() && len(c.GetRequestValues()) == 1 && c.GetRequestValues()[0] == "another job"
			}
		}
	}
	if !found {
		t.Errorf("the explanation does not say which condition failed: %v", out.GetExplanation())
	}
}
