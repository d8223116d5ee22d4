package server

import (
	"crypto/sha256"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/keystore"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

const policyName = "default"

func (v *violations) policyName(name string) {
	if name != "" && name != policyName {
		v.add("policy_name", "must be %q: a key has one policy", policyName)
	}
}

func checkPutKeyPolicy(v *violations, r *kmsv1.PutKeyPolicyRequest) {
	v.given("key_id", r.GetKeyId())
	v.policyName(r.GetPolicyName())
	v.text("policy", r.GetPolicy(), 1, maxPolicy)
}

func putKeyPolicy(c *call, r *kmsv1.PutKeyPolicyRequest) (*kmsv1.PutKeyPolicyResponse, error) {
	c.param(audit.String("policyName", policyName))
	c.bypassFact(r.GetBypassPolicyLockoutSafetyCheck())
	c.notePolicy(r.GetPolicy())
	k, err := c.changeKey(authz.KMSPutKeyPolicy, r.GetKeyId(), func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (*keystore.Key, error) {
		p, err := keystore.CompilePolicy(r.GetPolicy(), c.people.PrincipalID)
		if err != nil {
			return nil, err
		}
		c.lint(authz.KeyPolicy, r.GetPolicy())
		if !r.GetBypassPolicyLockoutSafetyCheck() {
			if err := c.checkLockout(p, k.ARN); err != nil {
				return nil, err
			}
		}
		return keys.PutPolicy(g, k.ID, p)
	})
	if err != nil {
		return nil, err
	}
	return kmsv1.PutKeyPolicyResponse_builder{KeyId: k.ARN, Findings: c.findings}.Build(), nil
}

func checkGetKeyPolicy(v *violations, r *kmsv1.GetKeyPolicyRequest) {
	v.given("key_id", r.GetKeyId())
	v.policyName(r.GetPolicyName())
}

func getKeyPolicy(c *call, r *kmsv1.GetKeyPolicyRequest) (*kmsv1.GetKeyPolicyResponse, error) {
	c.param(audit.String("policyName", policyName))
	t, err := c.byID("key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	if _, err := c.authorize(authz.KMSGetKeyPolicy, t); err != nil {
		return nil, err
	}
	return kmsv1.GetKeyPolicyResponse_builder{
		Policy: t.key.Policy.Document(), PolicyName: policyName, LastUpdatedDate: timestamppb.New(t.key.PolicyUpdated.Truncate(time.Millisecond)),
	}.Build(), nil
}

// checkLockout refuses a key policy under which the caller could not change the policy again.
func (c *call) checkLockout(p *keystore.Policy, arn string) error {
	r := authz.Resource{Kind: authz.Key, Account: c.account(), ARN: arn, Policy: p.Compiled(), Membership: c.people.Membership(c.account())}
	if _, d := authz.Authorize(c.who, authz.KMSPutKeyPolicy, &r, &c.facts); d.Verdict != authz.Allow {
		return &failure{
			code: codes.InvalidArgument, reason: "MalformedPolicyDocumentException", class: "LockoutSafetyCheck",
			message: "The new key policy will not allow you to update the key policy in the future. Let it allow kms:PutKeyPolicy to you or to your account's root, or set bypass_policy_lockout_safety_check.",
		}
	}
	return nil
}

// notePolicy writes a policy's hash into the event.
func (c *call) notePolicy(document string) {
	sum := sha256.Sum256([]byte(document))
	c.param(audit.String("policySHA256", hexOf(sum[:])))
}

func checkListKeyPolicies(v *violations, r *kmsv1.ListKeyPoliciesRequest) {
	v.given("key_id", r.GetKeyId())
	v.limit("limit", r.GetLimit(), largestPage)
}

func listKeyPolicies(c *call, r *kmsv1.ListKeyPoliciesRequest) (*kmsv1.ListKeyPoliciesResponse, error) {
	t, err := c.byID("key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	if _, err := c.authorize(authz.KMSListKeyPolicies, t); err != nil {
		return nil, err
	}
	if _, err := c.position(t.key.ARN, r.GetMarker()); err != nil { // there is never a second page
		return nil, err
	}
	return kmsv1.ListKeyPoliciesResponse_builder{PolicyNames: []string{policyName}}.Build(), nil
}
