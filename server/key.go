package server

import (
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
	k, err := keys.With(token).CreateKey(g, keystore.NewKey{Account: c.account(), Description: r.GetDescription(), Policy: p, Tags: tags})
	if err != nil {
		return nil, err
	}
	c.touched("KEY", k.ARN, k.Account(), "")
	c.noteKey(k, k.Current())
	return kmsv1.CreateKeyResponse_builder{KeyMetadata: metadataOf(k), KeyMaterialId: k.Current().Name, Findings: c.findings}.Build(), nil
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
