package server

import (
	"strconv"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/keystore"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func checkRotateKeyOnDemand(v *violations, r *kmsv1.RotateKeyOnDemandRequest) {
	v.given("key_id", r.GetKeyId())
}

func rotateKeyOnDemand(c *call, r *kmsv1.RotateKeyOnDemandRequest) (*kmsv1.RotateKeyOnDemandResponse, error) {
	var material crypto.MaterialID
	k, err := c.changeKey(authz.KMSRotateKeyOnDemand, r.GetKeyId(), func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (_ *keystore.Key, err error) {
		k, material, err = keys.Rotate(g, k.ID)
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
	includedKeyMaterials.check(v, "include_key_material", r.GetIncludeKeyMaterial(), false)
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
	below := 0
	if position != "" {
		if below, err = strconv.Atoi(position); err != nil {
			return nil, err
		}
	}
	page, more := t.key.VersionsBelow(below, pageSize(r.GetLimit(), usualPage))
	out := kmsv1.ListKeyRotationsResponse_builder{Truncated: more}
	for _, v := range page {
		if r.GetIncludeKeyMaterial() != kmsv1.IncludeKeyMaterial_INCLUDE_KEY_MATERIAL_ROTATIONS_ONLY || v.Rotation != keystore.Creation {
			out.Rotations = append(out.Rotations, c.rotation(t.key, v))
		}
	}
	if more {
		out.NextMarker = c.marker(t.key.ARN, strconv.Itoa(page[len(page)-1].Number))
	}
	return out.Build(), nil
}

// materialStates and rotationTypes are what keystore has, in the API. They are never written.
var (
	materialStates = map[keystore.MaterialState]kmsv1.KeyMaterialState{
		keystore.MaterialCurrent:         kmsv1.KeyMaterialState_KEY_MATERIAL_STATE_CURRENT,
		keystore.MaterialNonCurrent:      kmsv1.KeyMaterialState_KEY_MATERIAL_STATE_NON_CURRENT,
		keystore.MaterialPendingRotation: kmsv1.KeyMaterialState_KEY_MATERIAL_STATE_PENDING_ROTATION,
		keystore.MaterialDisabled:        kmsv1.KeyMaterialState_KEY_MATERIAL_STATE_DISABLED,
	}
	rotationTypes = map[keystore.Rotation]kmsv1.RotationType{
		keystore.OnDemand: kmsv1.RotationType_ROTATION_TYPE_ON_DEMAND, keystore.Automatic: kmsv1.RotationType_ROTATION_TYPE_AUTOMATIC,
	}
)

// rotation is one version of a key in its history.
func (c *call) rotation(k *keystore.Key, v *keystore.Version) *kmsv1.RotationsListEntry {
	e := kmsv1.RotationsListEntry_builder{
		KeyId: k.Name, KeyMaterialId: v.Name, Version: int32(v.Number), RotationDate: timestamp(v.Created),
		KeyMaterialState: materialStates[k.MaterialState(v)], RotationType: rotationTypes[v.Rotation],
	}
	if i := v.Imported; i != nil {
		e.ImportState = kmsv1.ImportState_IMPORT_STATE_PENDING_IMPORT
		if i.Present && (i.ValidTo.IsZero() || c.s.keys.Now().Before(i.ValidTo)) {
			e.ImportState = kmsv1.ImportState_IMPORT_STATE_IMPORTED
		}
		e.ExpirationModel, e.ValidTo, e.KeyMaterialDescription = expirationModelOf(i.ValidTo), timestamp(i.ValidTo), i.Description
	}
	return e.Build()
}

func checkEnableKeyRotation(v *violations, r *kmsv1.EnableKeyRotationRequest) {
	v.given("key_id", r.GetKeyId())
	v.days("rotation_period_in_days", r.GetRotationPeriodInDays(), keystore.MinRotationDays, keystore.MaxRotationDays)
}

func enableKeyRotation(c *call, r *kmsv1.EnableKeyRotationRequest) (*kmsv1.EnableKeyRotationResponse, error) {
	if days := int64(r.GetRotationPeriodInDays()); days != 0 {
		c.facts.SetNumber(authz.CtxRotationPeriodInDays, days)
		c.param(audit.Int("rotationPeriodInDays", days))
	}
	k, err := c.changeKey(authz.KMSEnableKeyRotation, r.GetKeyId(), func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (*keystore.Key, error) {
		return keys.EnableRotation(g, k.ID, int(r.GetRotationPeriodInDays()))
	})
	if err != nil {
		return nil, err
	}
	s, err := k.RotationStatus()
	if err != nil {
		return nil, err
	}
	return kmsv1.EnableKeyRotationResponse_builder{KeyId: k.ARN, RotationPeriodInDays: int32(s.PeriodDays), NextRotationDate: timestamp(s.Next)}.Build(), nil
}

func checkDisableKeyRotation(v *violations, r *kmsv1.DisableKeyRotationRequest) {
	v.given("key_id", r.GetKeyId())
}

func disableKeyRotation(c *call, r *kmsv1.DisableKeyRotationRequest) (*kmsv1.DisableKeyRotationResponse, error) {
	k, err := c.changeKey(authz.KMSDisableKeyRotation, r.GetKeyId(), func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (*keystore.Key, error) {
		return keys.DisableRotation(g, k.ID)
	})
	if err != nil {
		return nil, err
	}
	return kmsv1.DisableKeyRotationResponse_builder{KeyId: k.ARN}.Build(), nil
}

func checkGetKeyRotationStatus(v *violations, r *kmsv1.GetKeyRotationStatusRequest) {
	v.given("key_id", r.GetKeyId())
}

func getKeyRotationStatus(c *call, r *kmsv1.GetKeyRotationStatusRequest) (*kmsv1.GetKeyRotationStatusResponse, error) {
	t, err := c.byID("key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	if _, err := c.authorize(authz.KMSGetKeyRotationStatus, t); err != nil {
		return nil, err
	}
	s, err := t.key.RotationStatus()
	if err != nil {
		return nil, err
	}
	return kmsv1.GetKeyRotationStatusResponse_builder{
		KeyId: t.key.ARN, KeyRotationEnabled: s.Automatic, RotationPeriodInDays: int32(s.PeriodDays), NextRotationDate: timestamp(s.Next), OnDemandRotationsLeft: int32(s.OnDemandLeft),
	}.Build(), nil
}

// materialID reads the id of a version, whose form has been checked.
func (v *violations) materialID(field, s string) {
	if _, err := crypto.ParseMaterialID(s); err != nil {
		v.add(field, "must be 64 hexadecimal digits")
	}
}

// changeMaterial authorizes a change of one version of a key, and makes it.
func (c *call) changeMaterial(a authz.Action, id, material string, change func(*keystore.Keystore, authz.Grant, crypto.KeyID, crypto.MaterialID) (*keystore.Key, error)) (*keystore.Key, error) {
	of, err := crypto.ParseMaterialID(material)
	if err != nil {
		return nil, err
	}
	c.param(audit.String("keyMaterialId", material))
	return c.changeKey(a, id, func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (*keystore.Key, error) {
		return change(keys, g, k.ID, of)
	})
}

func checkDisableKeyMaterial(v *violations, r *kmsv1.DisableKeyMaterialRequest) {
	v.given("key_id", r.GetKeyId())
	v.materialID("key_material_id", r.GetKeyMaterialId())
}

func disableKeyMaterial(c *call, r *kmsv1.DisableKeyMaterialRequest) (*kmsv1.DisableKeyMaterialResponse, error) {
	k, err := c.changeMaterial(authz.KMSDisableKeyMaterial, r.GetKeyId(), r.GetKeyMaterialId(), (*keystore.Keystore).DisableMaterial)
	if err != nil {
		return nil, err
	}
	return kmsv1.DisableKeyMaterialResponse_builder{KeyId: k.ARN, KeyMaterialId: r.GetKeyMaterialId()}.Build(), nil
}

func checkEnableKeyMaterial(v *violations, r *kmsv1.EnableKeyMaterialRequest) {
	v.given("key_id", r.GetKeyId())
	v.materialID("key_material_id", r.GetKeyMaterialId())
}

func enableKeyMaterial(c *call, r *kmsv1.EnableKeyMaterialRequest) (*kmsv1.EnableKeyMaterialResponse, error) {
	k, err := c.changeMaterial(authz.KMSEnableKeyMaterial, r.GetKeyId(), r.GetKeyMaterialId(), (*keystore.Keystore).EnableMaterial)
	if err != nil {
		return nil, err
	}
	return kmsv1.EnableKeyMaterialResponse_builder{KeyId: k.ARN, KeyMaterialId: r.GetKeyMaterialId()}.Build(), nil
}
