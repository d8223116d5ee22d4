package server

import (
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

func checkCreateKey(v *violations, r *kmsv1.CreateKeyRequest) {
	v.text("description", r.GetDescription(), 0, maxDescription)
	keyUsages.check(v, "key_usage", r.GetKeyUsage(), false)
	keySpecs.check(v, "key_spec", r.GetKeySpec(), false)
	origins.check(v, "origin", r.GetOrigin(), false)
	v.keyUsage(r)
	v.text("policy", r.GetPolicy(), 0, maxPolicy)
	v.keyTags(r.GetTags())
}

// wantedKind is what kind of key a request asks for, with what AWS takes where it does not say. What does not exist is empty.
func wantedKind(r *kmsv1.CreateKeyRequest) (crypto.Spec, crypto.Usage, keystore.Origin) {
	spec, usage, origin := crypto.Spec(keySpecs.name(r.GetKeySpec())), crypto.Usage(keyUsages.name(r.GetKeyUsage())), keystore.Origin(origins.name(r.GetOrigin()))
	if r.GetKeySpec() == 0 {
		spec = crypto.SpecSymmetricDefault
	}
	if r.GetKeyUsage() == 0 && spec == crypto.SpecSymmetricDefault {
		usage = crypto.UsageEncryptDecrypt
	}
	if r.GetOrigin() == 0 {
		origin = keystore.OriginKMS
	}
	return spec, usage, origin
}

// keyUsage refuses a usage that keys of the spec cannot have, in AWS's words.
func (v *violations) keyUsage(r *kmsv1.CreateKeyRequest) {
	spec, usage, _ := wantedKind(r)
	switch {
	case spec == "" || usage == "" && r.GetKeyUsage() != 0: // is refused already
	case usage == "":
		v.add("key_usage", "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
	case !spec.Allows(usage):
		v.add("key_usage", "KeyUsage %s is not compatible with KeySpec %s", usage, spec)
	}
}

// newKeyFacts tells conditions, and the event, about the key that is to be made.
func (c *call) newKeyFacts(r *kmsv1.CreateKeyRequest) {
	spec, usage, origin := wantedKind(r)
	c.param(audit.String("keySpec", string(spec)))
	c.param(audit.String("keyUsage", string(usage)))
	c.param(audit.String("origin", string(origin)))
	c.param(audit.Bool("deletionProtectionEnabled", r.GetDeletionProtectionEnabled()))
	x := &c.facts
	x.Set(authz.CtxKeySpec, string(spec))
	x.Set(authz.CtxKeyUsage, string(usage))
	x.Set(authz.CtxKeyOrigin, string(origin))
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
	p, err := c.newKeyPolicy(r)
	if err != nil {
		return nil, err
	}
	if r.GetPolicy() != "" {
		c.lint(authz.KeyPolicy, r.GetPolicy())
	}
	spec, usage, origin := wantedKind(r)
	leave, err := c.generates(spec, origin)
	if err != nil {
		return nil, err
	}
	defer leave()
	keys, err := c.changingKeys()
	if err != nil {
		return nil, err
	}
	k, err := keys.CreateKey(g, keystore.NewKey{
		Account: c.account(), Spec: spec, Usage: usage, Origin: origin, Description: r.GetDescription(), Policy: p, Tags: tags, DeletionProtection: r.GetDeletionProtectionEnabled(),
	})
	if err != nil {
		return nil, err
	}
	c.touched("KEY", k.ARN, k.Account(), "")
	c.noteKey(k, k.Current())
	return kmsv1.CreateKeyResponse_builder{KeyMetadata: c.metadata(k), KeyMaterialId: k.Current().Name, Findings: c.findings}.Build(), nil
}

// generates waits for a turn to make the material of a key.
func (c *call) generates(spec crypto.Spec, origin keystore.Origin) (leave func(), err error) {
	if origin != keystore.OriginKMS {
		return func() {}, nil
	}
	return c.turn(spec)
}

// turn waits for a turn to make or to import material of a spec, if it is one of RSA, which takes long.
func (c *call) turn(spec crypto.Spec) (leave func(), err error) {
	if c.dry || len(spec.EncryptionAlgorithms()) == 0 || !spec.Asymmetric() {
		return func() {}, nil
	}
	return c.s.generating.enter(c.ctx)
}

// newKeyPolicy is the policy of a key that is to be made.
func (c *call) newKeyPolicy(r *kmsv1.CreateKeyRequest) (*keystore.Policy, error) {
	document := r.GetPolicy()
	if document == "" { // the default policy lets the account decide
		document = keystore.DefaultPolicy(c.s.place.Partition, c.account())
	}
	p, err := keystore.CompilePolicy(document, c.people.PrincipalID)
	if err != nil {
		return nil, err
	}
	c.notePolicy(document)
	if r.GetPolicy() == "" || r.GetBypassPolicyLockoutSafetyCheck() {
		return p, nil
	}
	return p, c.checkLockout(p, c.s.place.KeyARN(c.account(), crypto.KeyID{}))
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
	return kmsv1.DescribeKeyResponse_builder{KeyMetadata: c.metadata(t.key)}.Build(), nil
}

func checkListKeys(v *violations, r *kmsv1.ListKeysRequest) {
	v.limit("limit", r.GetLimit(), largestPage)
}

// metadataPage is the most keys of a page that has their metadata.
const metadataPage = 100

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
	limit := pageSize(r.GetLimit(), usualPage)
	if r.GetIncludeMetadata() {
		limit = min(limit, metadataPage)
	}
	page, more := c.keys.Keys(c.account(), after, limit)
	out := kmsv1.ListKeysResponse_builder{Truncated: more}
	for _, k := range page {
		e := kmsv1.KeyListEntry_builder{KeyId: k.Name, KeyArn: k.ARN}
		if r.GetIncludeMetadata() && c.may(authz.KMSDescribeKey, k) {
			e.KeyMetadata = c.metadata(k)
		}
		out.Keys = append(out.Keys, e.Build())
	}
	if more {
		last := page[len(page)-1].ID
		out.NextMarker = c.marker("", string(last[:]))
	}
	return out.Build(), nil
}

// may reports whether the caller may do something with a key. That he may not is no denial: he has not asked for it.
func (c *call) may(a authz.Action, k *keystore.Key) bool {
	_, d := authz.Authorize(c.who, a, c.keyResource(k.Resource), &c.facts)
	return d.Verdict == authz.Allow
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
