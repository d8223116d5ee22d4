package server

import (
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/keystore"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

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
		k, made, err := keys.With(token).Rotate(g, k.ID)
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
	below := 0
	if position != "" {
		if below, err = strconv.Atoi(position); err != nil {
			return nil, err
		}
	}
	page, more := t.key.VersionsBelow(below, pageSize(r.GetLimit(), usualPage))
	out := kmsv1.ListKeyRotationsResponse_builder{Truncated: more}
	for _, v := range page {
		out.Rotations = append(out.Rotations, rotationOf(t.key, v))
	}
	if more {
		out.NextMarker = c.marker(t.key.ARN, strconv.Itoa(page[len(page)-1].Number))
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
