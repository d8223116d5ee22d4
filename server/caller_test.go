package server

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/kmsd/kmsd/audit"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// anonymous is a connection on which nobody says who he is.
func (h *house) anonymous() context.Context {
	return peer.NewContext(h.t.Context(), &peer.Peer{AuthInfo: &connection{}})
}

// Whoever has not proven who he is, however his calls end, has no more events than the limit allows, and none that is large.
func TestAnonymousCallsDoNotFillTheLog(t *testing.T) {
	h := newHouse(t)
	h.s.flood = newFlood(1)
	name := stsv1.STSService_AssumeRoleWithWebIdentity_FullMethodName
	shed := 0
	for range unauthenticatedBurst + 500 {
		_, err := h.s.serve(h.anonymous(), h.rows[name], arrived(&stsv1.AssumeRoleWithWebIdentityRequest{}))
		if status.Code(err) == codes.ResourceExhausted {
			shed++
		}
	}
	if n := len(h.events("AssumeRoleWithWebIdentity")); n > unauthenticatedBurst+10 || shed < 400 {
		t.Errorf("%d events of %d anonymous calls, %d of them shed", n, unauthenticatedBurst+500, shed)
	}
	h.s.flood = newFlood(1)
	var arns []*stsv1.PolicyDescriptorType
	for range maxSessionARNs {
		arns = append(arns, stsv1.PolicyDescriptorType_builder{Arn: strings.Repeat("x", maxEntityARN)}.Build())
	}
	_, err := h.s.serve(h.anonymous(), h.rows[name], arrived(stsv1.AssumeRoleWithWebIdentityRequest_builder{
		RoleArn: strings.Repeat("r", maxEntityARN), RoleSessionName: "xx", WebIdentityToken: "xxxx", PolicyArns: arns,
	}.Build()))
	events := h.events("AssumeRoleWithWebIdentity")
	if size := len(events[len(events)-1].Raw); status.Code(err) != codes.Unauthenticated || size > 2048 {
		t.Errorf("a large anonymous request: %v and an event of %d bytes, want %v and a small one", err, size, codes.Unauthenticated)
	}
}

// The changes of one account leave room for those of the others.
func TestNoncesOfOneAccount(t *testing.T) {
	n := newNonceCache()
	now := time.Now()
	made, refused := 0, false
	for key := 0; made < noncesKept && !refused; key++ {
		for i := range noncesPerKey {
			if n.first("111122223333", fmt.Sprintf("ASIA%d", key), fmt.Sprintf("%016d", i), now) != nil {
				refused = true
				break
			}
			made++
		}
	}
	if !refused || made != noncesPerAccount {
		t.Errorf("one account made %d changes in ten minutes, want it refused after %d", made, noncesPerAccount)
	}
	if err := n.first("444455556666", "AKIAOTHER", "0123456789abcdef", now); err != nil {
		t.Errorf("the first change of another account: %v", err)
	}
}

// Credentials that have ended do nothing, though the signature of a call that they were good for is repeated.
func TestSignatureOfAnEndedSession(t *testing.T) {
	h := newHouse(t)
	out, err := h.ask(stsv1.STSService_GetSessionToken_FullMethodName, stsv1.GetSessionTokenRequest_builder{DurationSeconds: 900}.Build())
	h.check(err)
	token := out.(*stsv1.GetSessionTokenResponse).GetCredentials()
	cred, err := h.s.people.OpenSession(token.GetSessionToken(), token.GetAccessKeyId(), time.Now())
	h.check(err)
	m := h.rows[stsv1.STSService_GetCallerIdentity_FullMethodName]
	try := func(at time.Time) error {
		c := h.s.begin(h.ctx, m)
		defer h.s.release(c)
		c.conn, c.event.ReceivedTime = &connection{}, at
		return c.become(cred, audit.AuthSessionToken)
	}
	end := token.GetExpiration().AsTime()
	if err := try(end.Add(-time.Second)); err != nil {
		t.Errorf("a second before the end: %v", err)
	}
	if err := try(end.Add(time.Second)); failureOf(orNothing(err)).reason != "ExpiredTokenException" {
		t.Errorf("a second after the end: %v, want ExpiredTokenException", err)
	}
}

func orNothing(err error) error {
	if err == nil {
		return errNothing
	}
	return err
}

var errNothing = &failure{reason: "nothing"}

// Credentials of GetSessionToken without a second factor cannot make others.
func TestSessionWithoutMFACannotChangeIAM(t *testing.T) {
	h := newHouse(t)
	out, err := h.ask(stsv1.STSService_GetSessionToken_FullMethodName, &stsv1.GetSessionTokenRequest{})
	h.check(err)
	token := out.(*stsv1.GetSessionTokenResponse).GetCredentials()
	cred, err := h.s.people.OpenSession(token.GetSessionToken(), token.GetAccessKeyId(), time.Now())
	h.check(err)
	for name, refused := range map[string]bool{
		iamv1.IAMService_CreateAccessKey_FullMethodName: true, iamv1.IAMService_ListUsers_FullMethodName: true,
		kmsv1.KeyService_ListKeys_FullMethodName: false, stsv1.STSService_AssumeRole_FullMethodName: false,
	} {
		c := h.s.begin(h.ctx, h.rows[name])
		c.conn = &connection{}
		err := c.become(cred, audit.AuthSessionToken)
		if got := failureOf(orNothing(err)).class == "SessionWithoutMFA"; got != refused {
			t.Errorf("%s by a session without a second factor: %v, want it refused %v", name, err, refused)
		}
		h.s.release(c)
	}
}

// Whom a grant is for stands in the event, whatever else the caller chooses at length.
func TestGranteeStaysInTheEvent(t *testing.T) {
	h := newHouse(t)
	path := "/" + strings.Repeat("p", 255) + "/" + strings.Repeat("q", 250) + "/"
	_, err := h.ask(iamv1.IAMService_CreateUser_FullMethodName, iamv1.CreateUserRequest_builder{UserName: "accomplice", Path: path}.Build())
	h.check(err)
	out, err := h.ask(kmsv1.KeyService_CreateKey_FullMethodName, &kmsv1.CreateKeyRequest{})
	h.check(err)
	subset := map[string]string{}
	for i := range 8 {
		subset[fmt.Sprint(i)+strings.Repeat("\x01", 255)] = strings.Repeat("\x02", 384)
	}
	_, err = h.ask(kmsv1.KeyService_CreateGrant_FullMethodName, kmsv1.CreateGrantRequest_builder{
		KeyId: out.(*kmsv1.CreateKeyResponse).GetKeyMetadata().GetKeyId(), GranteePrincipal: "arn:aws:iam::" + homeAccount + ":user" + path + "accomplice",
		Operations:  []kmsv1.GrantOperation{kmsv1.GrantOperation_GRANT_OPERATION_DECRYPT},
		Constraints: kmsv1.GrantConstraints_builder{EncryptionContextSubset: subset}.Build(),
	}.Build())
	h.check(err)
	events := h.events("CreateGrant")
	if len(events) != 2 {
		t.Fatalf("%d events of CreateGrant, want an intent and an outcome", len(events))
	}
	for _, e := range events {
		if !strings.Contains(string(e.Raw), "accomplice") || e.Phase == audit.PhaseOutcome && !e.Truncated {
			t.Errorf("%s: truncated %v, and it names the grantee: %v", e.Phase, e.Truncated, strings.Contains(string(e.Raw), "accomplice"))
		}
	}
}
