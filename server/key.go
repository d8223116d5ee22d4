package server

import (
	"crypto/sha256"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/keystore"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// Page sizes, from AWS KMS.
const (
	usualPage, largestPage           = 100, 1000
	usualAliasPage, largestAliasPage = 50, 100
)

func metadataOf(k *keystore.Key) *kmsv1.KeyMetadata {
	return kmsv1.KeyMetadata_builder{
		AwsAccountId: k.Account(), KeyId: k.Name, Arn: k.ARN, CreationDate: timestamppb.New(k.Created),
		Enabled: k.State == keystore.Enabled, Description: k.Description, KeyUsage: kmsv1.KeyUsage_KEY_USAGE_ENCRYPT_DECRYPT,
		KeyState: keyStates[k.State], Origin: kmsv1.KeyMaterialOrigin_KEY_MATERIAL_ORIGIN_AWS_KMS, KeySpec: kmsv1.KeySpec_KEY_SPEC_SYMMETRIC_DEFAULT,
		EncryptionAlgorithms: []kmsv1.EncryptionAlgorithm{theAlgorithm}, CurrentKeyMaterialId: k.Current().Name,
	}.Build()
}

func checkCreateKey(v *violations, r *kmsv1.CreateKeyRequest) {
	v.text("description", r.GetDescription(), 0, maxDescription)
	v.enum("key_usage", int32(r.GetKeyUsage()), int32(kmsv1.KeyUsage_KEY_USAGE_ENCRYPT_DECRYPT))
	v.enum("key_spec", int32(r.GetKeySpec()), int32(kmsv1.KeySpec_KEY_SPEC_SYMMETRIC_DEFAULT))
	v.text("policy", r.GetPolicy(), 0, maxPolicy)
	v.clientToken("client_token", r.GetClientToken())
	v.keyTags(r.GetTags())
}

// newKeyFacts tells conditions about the key that is to be made.
func (c *call) newKeyFacts(r *kmsv1.CreateKeyRequest) {
	x := &c.facts
	x.Set(authz.CtxKeySpec, symmetricDefault)
	x.Set(authz.CtxKeyUsage, encryptDecrypt)
	x.Set(authz.CtxKeyOrigin, originKMS)
	x.SetBool(authz.CtxMultiRegion, false)
	c.bypassFact(r.GetBypassPolicyLockoutSafetyCheck())
}

// bypassFact tells conditions that the safety check is to be left out; of a request that does not say so the key is absent, as in AWS KMS.
func (c *call) bypassFact(bypass bool) {
	if bypass {
		c.facts.SetBool(authz.CtxBypassPolicyLockoutSafetyCheck, true)
	}
	c.param(audit.Bool("bypassPolicyLockoutSafetyCheck", bypass))
}

func createKey(c *call, r *kmsv1.CreateKeyRequest) (*kmsv1.CreateKeyResponse, error) {
	c.param(audit.String("keySpec", symmetricDefault))
	c.param(audit.String("keyUsage", encryptDecrypt))
	c.param(audit.String("origin", originKMS))
	c.newKeyFacts(r)
	tags, byKey := keyTags(r.GetTags())
	c.requestTags(byKey)
	g, err := c.allow(authz.KMSCreateKey, nothing)
	if err != nil {
		return nil, err
	}
	if len(tags) > 0 {
		if _, err := c.allow(authz.KMSTagResource, nothing); err != nil {
			return nil, err
		}
	}
	document := r.GetPolicy()
	if document == "" {
		document = keystore.DefaultPolicy(c.s.place.Partition, c.account())
	}
	p, err := keystore.CompilePolicy(document, c.people.PrincipalID)
	if err != nil {
		return nil, err
	}
	c.notePolicy(document)
	if r.GetPolicy() != "" { // the default policy lets the account decide
		c.lint(authz.KeyPolicy, document)
		if !r.GetBypassPolicyLockoutSafetyCheck() {
			if err := c.checkLockout(p, c.s.place.KeyARN(c.account(), crypto.KeyID{})); err != nil {
				return nil, err
			}
		}
	}
	token, err := c.token(r.GetClientToken(), r)
	if err != nil {
		return nil, err
	}
	keys, err := c.changingKeys()
	if err != nil {
		return nil, err
	}
	k, err := keys.CreateKey(g, keystore.NewKey{Account: c.account(), Description: r.GetDescription(), Policy: p, Tags: tags, Token: token})
	if err != nil {
		return nil, err
	}
	c.touched("KEY", k.ARN, k.Account(), "")
	c.noteKey(k, k.Current())
	return kmsv1.CreateKeyResponse_builder{KeyMetadata: metadataOf(k), KeyMaterialId: k.Current().Name, Findings: c.findings}.Build(), nil
}

// token makes a request idempotent by the client's token: the hash of its parameters tells a repetition from another request.
func (c *call) token(value string, r proto.Message) (keystore.Token, error) {
	if value == "" {
		return keystore.Token{}, nil
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	if err != nil {
		return keystore.Token{}, err
	}
	return keystore.Token{Principal: c.caller().ID, Operation: c.m.event, Value: value, Request: sha256.Sum256(b)}, nil
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

func checkDescribeKey(v *violations, r *kmsv1.DescribeKeyRequest) { v.given("key_id", r.GetKeyId()) }

func describeKey(c *call, r *kmsv1.DescribeKeyRequest) (*kmsv1.DescribeKeyResponse, error) {
	t, err := c.target("key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	if _, err := c.authorize(authz.KMSDescribeKey, t); err != nil {
		return nil, err
	}
	return kmsv1.DescribeKeyResponse_builder{KeyMetadata: metadataOf(t.key)}.Build(), nil
}

func checkListKeys(v *violations, r *kmsv1.ListKeysRequest) {
	v.limit("limit", r.GetLimit(), largestPage)
}

func listKeys(c *call, r *kmsv1.ListKeysRequest) (*kmsv1.ListKeysResponse, error) {
	if _, err := c.allow(authz.KMSListKeys, nothing); err != nil {
		return nil, err
	}
	position, err := c.position("", r.GetMarker())
	if err != nil {
		return nil, err
	}
	var after crypto.KeyID
	copy(after[:], position)
	page, more := c.keys.Keys(c.account(), after, pageSize(r.GetLimit(), usualPage))
	out := kmsv1.ListKeysResponse_builder{Truncated: more}
	for _, k := range page {
		out.Keys = append(out.Keys, kmsv1.KeyListEntry_builder{KeyId: k.Name, KeyArn: k.ARN}.Build())
	}
	if more {
		last := page[len(page)-1].ID
		out.NextMarker = c.marker("", string(last[:]))
	}
	return out.Build(), nil
}

// changeKey authorizes a change of a key that is named by id or ARN, and makes it.
func (c *call) changeKey(a authz.Action, id string, change func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (*keystore.Key, error)) (*keystore.Key, error) {
	t, err := c.byID("key_id", id)
	if err != nil {
		return nil, err
	}
	g, err := c.authorize(a, t)
	if err != nil {
		return nil, err
	}
	keys, err := c.changingKeys()
	if err != nil {
		return nil, err
	}
	k, err := change(keys, g, t.key)
	if err != nil {
		return nil, err
	}
	c.noteKey(k, k.Current())
	return k, nil
}

func checkUpdateKeyDescription(v *violations, r *kmsv1.UpdateKeyDescriptionRequest) {
	v.given("key_id", r.GetKeyId())
	v.text("description", r.GetDescription(), 0, maxDescription)
}

func updateKeyDescription(c *call, r *kmsv1.UpdateKeyDescriptionRequest) (*kmsv1.UpdateKeyDescriptionResponse, error) {
	k, err := c.changeKey(authz.KMSUpdateKeyDescription, r.GetKeyId(), func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (*keystore.Key, error) {
		return keys.UpdateDescription(g, k.ID, r.GetDescription())
	})
	if err != nil {
		return nil, err
	}
	return kmsv1.UpdateKeyDescriptionResponse_builder{KeyId: k.ARN}.Build(), nil
}

func checkEnableKey(v *violations, r *kmsv1.EnableKeyRequest) { v.given("key_id", r.GetKeyId()) }

func enableKey(c *call, r *kmsv1.EnableKeyRequest) (*kmsv1.EnableKeyResponse, error) {
	k, err := c.changeKey(authz.KMSEnableKey, r.GetKeyId(), func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (*keystore.Key, error) {
		return keys.Enable(g, k.ID)
	})
	if err != nil {
		return nil, err
	}
	return kmsv1.EnableKeyResponse_builder{KeyId: k.ARN}.Build(), nil
}

func checkDisableKey(v *violations, r *kmsv1.DisableKeyRequest) { v.given("key_id", r.GetKeyId()) }

func disableKey(c *call, r *kmsv1.DisableKeyRequest) (*kmsv1.DisableKeyResponse, error) {
	k, err := c.changeKey(authz.KMSDisableKey, r.GetKeyId(), func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (*keystore.Key, error) {
		return keys.Disable(g, k.ID)
	})
	if err != nil {
		return nil, err
	}
	return kmsv1.DisableKeyResponse_builder{KeyId: k.ARN}.Build(), nil
}

func checkRotateKeyOnDemand(v *violations, r *kmsv1.RotateKeyOnDemandRequest) {
	v.given("key_id", r.GetKeyId())
	v.clientToken("client_token", r.GetClientToken())
}

func rotateKeyOnDemand(c *call, r *kmsv1.RotateKeyOnDemandRequest) (*kmsv1.RotateKeyOnDemandResponse, error) {
	token, err := c.token(r.GetClientToken(), r)
	if err != nil {
		return nil, err
	}
	var material crypto.MaterialID
	k, err := c.changeKey(authz.KMSRotateKeyOnDemand, r.GetKeyId(), func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (*keystore.Key, error) {
		k, made, err := keys.Rotate(g, k.ID, token)
		material = made
		return k, err
	})
	if err != nil {
		return nil, err
	}
	return kmsv1.RotateKeyOnDemandResponse_builder{KeyId: k.ARN, KeyMaterialId: material.String()}.Build(), nil
}

func checkListKeyRotations(v *violations, r *kmsv1.ListKeyRotationsRequest) {
	v.given("key_id", r.GetKeyId())
	v.limit("limit", r.GetLimit(), largestPage)
}

func listKeyRotations(c *call, r *kmsv1.ListKeyRotationsRequest) (*kmsv1.ListKeyRotationsResponse, error) {
	t, err := c.byID("key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	if _, err := c.authorize(authz.KMSListKeyRotations, t); err != nil {
		return nil, err
	}
	position, err := c.position(t.key.ARN, r.GetMarker())
	if err != nil {
		return nil, err
	}
	below := len(t.key.Versions()) + 1
	if position != "" {
		if below, err = strconv.Atoi(position); err != nil {
			return nil, err
		}
	}
	out := kmsv1.ListKeyRotationsResponse_builder{}
	versions := t.key.Versions()[:below-1]
	for i := len(versions) - 1; i >= 0; i-- {
		if len(out.Rotations) == pageSize(r.GetLimit(), usualPage) {
			out.Truncated = true
			out.NextMarker = c.marker(t.key.ARN, strconv.Itoa(versions[i+1].Number))
			break
		}
		out.Rotations = append(out.Rotations, rotationOf(t.key, versions[i]))
	}
	return out.Build(), nil
}

func rotationOf(k *keystore.Key, v *keystore.Version) *kmsv1.RotationsListEntry {
	e := kmsv1.RotationsListEntry_builder{
		KeyId: k.Name, KeyMaterialId: v.Name, Version: int32(v.Number), RotationDate: timestamppb.New(v.Created),
		KeyMaterialState: kmsv1.KeyMaterialState_KEY_MATERIAL_STATE_NON_CURRENT,
	}
	if v == k.Current() {
		e.KeyMaterialState = kmsv1.KeyMaterialState_KEY_MATERIAL_STATE_CURRENT
	}
	if v.Rotation == keystore.OnDemand {
		e.RotationType = kmsv1.RotationType_ROTATION_TYPE_ON_DEMAND
	}
	return e.Build()
}

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
