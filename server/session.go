package server

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// Limits of sessions, which iam checks more closely: here they only bound what goes into ARNs and events.
const (
	maxEntityARN      = 2048
	maxSessionName    = 64
	maxExternalID     = 1224
	maxSessionPolicy  = 8192
	maxSessionARNs    = 10
	maxIdentityToken  = 20000
	maxSessionSeconds = 129600
	maxMFASerial      = 256
	maxMFACode        = 64
)

func (v *violations) session(roleARN, name, policy string, policies []*stsv1.PolicyDescriptorType, seconds int32) {
	v.text("role_arn", roleARN, 1, maxEntityARN)
	v.text("role_session_name", name, 1, maxSessionName)
	v.text("policy", policy, 0, maxSessionPolicy)
	v.duration(seconds)
	if len(policies) > maxSessionARNs {
		v.add("policy_arns", "has %d entries, must have at most %d", len(policies), maxSessionARNs)
		return
	}
	for i, p := range policies {
		v.text(fmt.Sprintf("policy_arns[%d].arn", i), p.GetArn(), 1, maxEntityARN)
	}
}

func (v *violations) duration(seconds int32) {
	if seconds < 0 || seconds > maxSessionSeconds {
		v.add("duration_seconds", "is %d, must be 900 to %d, or 0 for the default", seconds, maxSessionSeconds)
	}
}

func (v *violations) mfa(serial, code string) {
	v.text("serial_number", serial, 0, maxMFASerial)
	v.text("token_code", code, 0, maxMFACode)
	if (serial == "") != (code == "") {
		v.add("token_code", "and serial_number are given together or not at all")
	}
}

func arnsOf(policies []*stsv1.PolicyDescriptorType) (arns []string) {
	for _, p := range policies {
		arns = append(arns, p.GetArn())
	}
	return arns
}

func credentialsOf(t iam.Temporary) *stsv1.Credentials {
	return stsv1.Credentials_builder{
		AccessKeyId: t.AccessKeyID, SecretAccessKey: string(t.Secret.Expose()), SessionToken: t.Token, Expiration: timestamppb.New(t.Expiration),
	}.Build()
}

func assumedOf(t iam.Temporary) *stsv1.AssumedRoleUser {
	return stsv1.AssumedRoleUser_builder{AssumedRoleId: t.AssumedRoleID, Arn: t.ARN}.Build()
}

func checkAssumeRole(v *violations, r *stsv1.AssumeRoleRequest) {
	v.session(r.GetRoleArn(), r.GetRoleSessionName(), r.GetPolicy(), r.GetPolicyArns(), r.GetDurationSeconds())
	v.mfa(r.GetSerialNumber(), r.GetTokenCode())
	v.text("external_id", r.GetExternalId(), 0, maxExternalID)
	v.text("source_identity", r.GetSourceIdentity(), 0, maxSessionName)
	v.tags(r.GetTags())
	v.tagCount("transitive_tag_keys", len(r.GetTransitiveTagKeys()))
	v.texts("transitive_tag_keys", r.GetTransitiveTagKeys(), 4*maxPolicyName)
}

// noteSession writes what a session is asked for with into the event.
func (c *call) noteSession(roleARN, name, policy string, arns []string, seconds int32) {
	c.param(audit.String("roleArn", roleARN))
	c.param(audit.String("roleSessionName", name))
	c.param(audit.Int("durationSeconds", int64(seconds)))
	c.param(audit.Strings("policyArns", arns))
	if policy != "" {
		c.notePolicy(policy)
	}
}

// role is a role that is to be assumed, with the caller's copy of what authz decides about. That there is none is not told: it is denied like one
// that does not trust the caller.
func (c *call) role(arn string) (id string, r authz.Resource) {
	found, ok := c.people.RoleResource(arn)
	if ok {
		role, _ := c.people.RoleByARN(arn)
		id = role.ID
	}
	c.touched("ROLE", arn, found.Account, "")
	return id, *found
}

// deniedRole is what who may not assume a role is told, or there is none: one sentence for all reasons, as from AWS STS.
func (c *call) deniedRole(a authz.Action, arn string, class string) error {
	message := "User: " + c.who.ARN + " is not authorized to perform: " + a.String() + " on resource: " + arn
	switch c.who.Kind {
	case authz.Root: // so it is with every role
		message += " because roles may not be assumed by root accounts"
	case authz.WebIdentity:
		message = "Not authorized to perform " + a.String()
	}
	return &failure{code: codes.PermissionDenied, reason: reasonAccessDenied, class: class, message: message}
}

// lostRole is how a call fails whose role has gone since it was allowed: like one whose role was never there.
func (c *call) lostRole(a authz.Action, id, arn string, err error) error {
	if _, there := c.s.people.Snapshot().RoleByID(id); !there {
		return c.deniedRole(a, arn, "NoSuchRole")
	}
	return err
}

// allowOnRole asks for actions on a role that is to be assumed.
func (c *call) allowOnRole(id string, r *authz.Resource, actions ...authz.Action) (grants []authz.Grant, err error) {
	for _, a := range actions {
		g, d := c.decide(a, r)
		if d.Verdict == authz.Allow && id == "" {
			c.event.Decision.Result, c.event.Decision.Reason = audit.ResultDeny, authz.NoResourceAllow.String()
			return nil, c.deniedRole(a, r.ARN, "NoSuchRole")
		}
		if d.Verdict != authz.Allow {
			return nil, c.deniedRole(a, r.ARN, d.Reason.String())
		}
		grants = append(grants, g)
	}
	return grants, nil
}

func assumeRole(c *call, r *stsv1.AssumeRoleRequest) (*stsv1.AssumeRoleResponse, error) {
	arns := arnsOf(r.GetPolicyArns())
	c.noteSession(r.GetRoleArn(), r.GetRoleSessionName(), r.GetPolicy(), arns, r.GetDurationSeconds())
	c.param(audit.String("externalId", r.GetExternalId()))
	c.param(audit.String("sourceIdentity", r.GetSourceIdentity()))
	c.param(audit.String("serialNumber", r.GetSerialNumber()))
	c.param(audit.Strings("transitiveTagKeys", r.GetTransitiveTagKeys()))
	id, resource := c.role(r.GetRoleArn())
	spec := iam.AssumeRole{
		RoleID: id, SessionName: r.GetRoleSessionName(), Duration: time.Duration(r.GetDurationSeconds()) * time.Second, Policy: r.GetPolicy(), PolicyARNs: arns,
		Tags: c.iamTags(r.GetTags()), TransitiveTagKeys: r.GetTransitiveTagKeys(), ExternalID: r.GetExternalId(), SourceIdentity: r.GetSourceIdentity(),
	}
	actions, err := c.people.AssumeRoleContext(c.credential, &spec, &c.facts, &resource)
	if err != nil {
		return nil, err
	}
	if r.GetSerialNumber() != "" {
		proven, err := c.s.people.ProveMFA(c.credential, c.who, r.GetSerialNumber(), r.GetTokenCode(), c.event.ReceivedTime)
		if err != nil {
			return nil, mfaFailure(err)
		}
		c.who, c.event.Actor.MFA = proven, true
	}
	grants, err := c.allowOnRole(id, &resource, actions...)
	if err != nil {
		return nil, err
	}
	t, err := c.s.people.AssumeRole(grants, c.credential, &spec, c.event.ReceivedTime)
	if err != nil {
		return nil, c.lostRole(authz.STSAssumeRole, id, r.GetRoleArn(), err)
	}
	c.param(audit.String("assumedRoleAccessKeyId", t.AccessKeyID))
	return stsv1.AssumeRoleResponse_builder{
		Credentials: credentialsOf(t), AssumedRoleUser: assumedOf(t), PackedPolicySize: int32(t.PackedPolicySize), SourceIdentity: t.SourceIdentity,
	}.Build(), nil
}

// mfaFailure is what is said of a second factor that is not accepted. STS tells it as a denial.
func mfaFailure(err error) error {
	if !errors.Is(err, iam.ErrMFACode) {
		return err
	}
	return &failure{
		code: codes.PermissionDenied, reason: reasonAccessDenied, class: "InvalidMFACode",
		message: "MultiFactorAuthentication failed with invalid MFA one time pass code: wait for the next code of the device and try again",
	}
}

func checkAssumeRoleWithWebIdentity(v *violations, r *stsv1.AssumeRoleWithWebIdentityRequest) {
	v.session(r.GetRoleArn(), r.GetRoleSessionName(), r.GetPolicy(), r.GetPolicyArns(), r.GetDurationSeconds())
	v.text("web_identity_token", r.GetWebIdentityToken(), 4, maxIdentityToken)
}

func assumeRoleWithWebIdentity(c *call, r *stsv1.AssumeRoleWithWebIdentityRequest) (*stsv1.AssumeRoleWithWebIdentityResponse, error) {
	arns := arnsOf(r.GetPolicyArns())
	w, err := c.s.people.VerifyWebIdentity(c.ctx, r.GetRoleArn(), r.GetWebIdentityToken())
	if err != nil {
		c.param(audit.String("roleArn", bounded(r.GetRoleArn())))
		return nil, err
	}
	c.people = c.s.people.Snapshot() // the keys of the provider may have taken seconds to come
	c.who = w.Caller()
	c.noteSession(r.GetRoleArn(), r.GetRoleSessionName(), r.GetPolicy(), arns, r.GetDurationSeconds())
	a := &c.event.Actor
	a.Type, a.AuthMethod, a.ID, a.ARN = audit.ActorWebIdentity, audit.AuthWebIdentity, bounded(w.Subject), w.ProviderARN
	id, resource := c.role(r.GetRoleArn())
	spec := iam.AssumeRole{
		RoleID: id, SessionName: r.GetRoleSessionName(), Duration: time.Duration(r.GetDurationSeconds()) * time.Second, Policy: r.GetPolicy(), PolicyARNs: arns,
	}
	if err := w.Context(&spec, &c.facts); err != nil {
		return nil, err
	}
	grants, err := c.allowOnRole(id, &resource, authz.STSAssumeRoleWithWebIdentity)
	if err != nil {
		return nil, err
	}
	t, err := c.s.people.AssumeRoleWithWebIdentity(grants[0], w, &spec, c.event.ReceivedTime)
	if err != nil {
		return nil, c.lostRole(authz.STSAssumeRoleWithWebIdentity, id, r.GetRoleArn(), err)
	}
	c.param(audit.String("assumedRoleAccessKeyId", t.AccessKeyID))
	return stsv1.AssumeRoleWithWebIdentityResponse_builder{
		Credentials: credentialsOf(t), AssumedRoleUser: assumedOf(t), PackedPolicySize: int32(t.PackedPolicySize), SourceIdentity: t.SourceIdentity,
		SubjectFromWebIdentityToken: w.Subject, Provider: w.Issuer, Audience: w.Audience,
	}.Build(), nil
}

func checkGetSessionToken(v *violations, r *stsv1.GetSessionTokenRequest) {
	v.duration(r.GetDurationSeconds())
	v.mfa(r.GetSerialNumber(), r.GetTokenCode())
}

func getSessionToken(c *call, r *stsv1.GetSessionTokenRequest) (*stsv1.GetSessionTokenResponse, error) {
	c.param(audit.Int("durationSeconds", int64(r.GetDurationSeconds())))
	c.param(audit.String("serialNumber", r.GetSerialNumber()))
	g, err := c.allow(authz.STSGetSessionToken, nothing)
	if err != nil {
		return nil, err
	}
	t, err := c.s.people.SessionToken(g, c.credential, iam.SessionToken{
		Duration: time.Duration(r.GetDurationSeconds()) * time.Second, SerialNumber: r.GetSerialNumber(), TokenCode: r.GetTokenCode(),
	}, c.event.ReceivedTime)
	if err != nil {
		return nil, mfaFailure(err)
	}
	c.param(audit.String("sessionAccessKeyId", t.AccessKeyID))
	return stsv1.GetSessionTokenResponse_builder{Credentials: credentialsOf(t)}.Build(), nil
}
