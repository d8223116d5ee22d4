package server_test

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keywrap"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// external makes a key that waits for its material.
func (p *props) external() string {
	k := must[*kmsv1.CreateKeyResponse](p)(p.Root().Keys().CreateKey(p.t.Context(), kmsv1.CreateKeyRequest_builder{
		Origin: kmsv1.KeyMaterialOrigin_KEY_MATERIAL_ORIGIN_EXTERNAL, Tags: []*kmsv1.Tag{kmsv1.Tag_builder{TagKey: "team", TagValue: "red"}.Build()},
	}.Build())).GetKeyMetadata()
	must[*kmsv1.CreateAliasResponse](p)(p.Root().Keys().CreateAlias(p.t.Context(), kmsv1.CreateAliasRequest_builder{AliasName: usualAlias(k.GetArn()), TargetKeyId: k.GetKeyId()}.Build()))
	return k.GetArn()
}

// importOf is an import into a key, with parameters of its own.
func (p *props) importOf(key string) *kmsv1.ImportKeyMaterialRequest {
	got := must[*kmsv1.GetParametersForImportResponse](p)(p.Root().Keys().GetParametersForImport(p.t.Context(), parametersOf(key)))
	return kmsv1.ImportKeyMaterialRequest_builder{
		KeyId: key, ImportToken: got.GetImportToken(), EncryptedKeyMaterial: wrapFor(p.t, keywrap.HPKEMLKEM768X25519, got, crypto.RandomSecret(32)),
		ExpirationModel: neverExpires,
	}.Build()
}

// parametersOf asks for what material of a key is wrapped with. The wrapping key is of the kind that is made fastest.
func parametersOf(key string) *kmsv1.GetParametersForImportRequest {
	return kmsv1.GetParametersForImportRequest_builder{
		KeyId: key, WrappingAlgorithm: kmsv1.WrappingAlgorithmSpec_WRAPPING_ALGORITHM_SPEC_HPKE_MLKEM768_X25519, WrappingKeySpec: kmsv1.WrappingKeySpec_WRAPPING_KEY_SPEC_MLKEM768_X25519,
	}.Build()
}

// imported makes a key that has imported material.
func (p *props) imported() string {
	key := p.external()
	must[*kmsv1.ImportKeyMaterialResponse](p)(p.Root().Keys().ImportKeyMaterial(p.t.Context(), p.importOf(key)))
	return key
}

// rotated makes a key with two versions and returns the id of the old one.
func (p *props) rotated() (key, material string) {
	k := p.Key()
	must[*kmsv1.RotateKeyOnDemandResponse](p)(p.Root().Keys().RotateKeyOnDemand(p.t.Context(), kmsv1.RotateKeyOnDemandRequest_builder{KeyId: k.GetArn()}.Build()))
	return k.GetArn(), k.GetCurrentKeyMaterialId()
}

// stopped is rotated, with the old version stopped.
func (p *props) stopped() (key, material string) {
	key, material = p.rotated()
	must[*kmsv1.DisableKeyMaterialResponse](p)(p.Root().Keys().DisableKeyMaterial(p.t.Context(), kmsv1.DisableKeyMaterialRequest_builder{KeyId: key, KeyMaterialId: material}.Build()))
	return key, material
}

// doomed makes a key that is pending deletion.
func (p *props) doomed() string {
	k := p.Key()
	must[*kmsv1.ScheduleKeyDeletionResponse](p)(p.Root().Keys().ScheduleKeyDeletion(p.t.Context(), kmsv1.ScheduleKeyDeletionRequest_builder{KeyId: k.GetArn()}.Build()))
	return k.GetArn()
}

func lifecycleSpecimens() map[string]specimen {
	return map[string]specimen{
		kmsv1.KeyService_ScheduleKeyDeletion_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.ScheduleKeyDeletionRequest_builder{KeyId: p.Key().GetArn(), PendingWindowInDays: 7}.Build()
			},
			invalid: kmsv1.ScheduleKeyDeletionRequest_builder{KeyId: "x", PendingWindowInDays: 6}.Build(),
		},
		kmsv1.KeyService_CancelKeyDeletion_FullMethodName: {
			valid:   func(p *props) proto.Message { return kmsv1.CancelKeyDeletionRequest_builder{KeyId: p.doomed()}.Build() },
			invalid: &kmsv1.CancelKeyDeletionRequest{},
		},
		kmsv1.KeyService_GetKeyDeletionReport_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.GetKeyDeletionReportRequest_builder{KeyId: p.keyID}.Build()
			},
			invalid: &kmsv1.GetKeyDeletionReportRequest{},
		},
		kmsv1.KeyService_UpdateKeyDeletionProtection_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.UpdateKeyDeletionProtectionRequest_builder{KeyId: p.otherID, Enabled: true}.Build()
			},
			invalid: &kmsv1.UpdateKeyDeletionProtectionRequest{},
		},
		kmsv1.KeyService_EnableKeyRotation_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.EnableKeyRotationRequest_builder{KeyId: p.otherID, RotationPeriodInDays: 90}.Build()
			},
			invalid: kmsv1.EnableKeyRotationRequest_builder{KeyId: "x", RotationPeriodInDays: 89}.Build(),
		},
		kmsv1.KeyService_DisableKeyRotation_FullMethodName: {
			valid:   func(p *props) proto.Message { return kmsv1.DisableKeyRotationRequest_builder{KeyId: p.otherID}.Build() },
			invalid: &kmsv1.DisableKeyRotationRequest{},
		},
		kmsv1.KeyService_GetKeyRotationStatus_FullMethodName: {
			valid:   func(p *props) proto.Message { return kmsv1.GetKeyRotationStatusRequest_builder{KeyId: p.keyID}.Build() },
			invalid: &kmsv1.GetKeyRotationStatusRequest{},
		},
		kmsv1.KeyService_DisableKeyMaterial_FullMethodName: {
			valid: func(p *props) proto.Message {
				key, material := p.rotated()
				return kmsv1.DisableKeyMaterialRequest_builder{KeyId: key, KeyMaterialId: material}.Build()
			},
			invalid: kmsv1.DisableKeyMaterialRequest_builder{KeyId: "x", KeyMaterialId: "x"}.Build(),
		},
		kmsv1.KeyService_EnableKeyMaterial_FullMethodName: {
			valid: func(p *props) proto.Message {
				key, material := p.stopped()
				return kmsv1.EnableKeyMaterialRequest_builder{KeyId: key, KeyMaterialId: material}.Build()
			},
			invalid: &kmsv1.EnableKeyMaterialRequest{},
		},
		kmsv1.KeyService_GetKeyLastUsage_FullMethodName: {
			valid:   func(p *props) proto.Message { return kmsv1.GetKeyLastUsageRequest_builder{KeyId: p.keyID}.Build() },
			invalid: &kmsv1.GetKeyLastUsageRequest{},
		},
		kmsv1.KeyService_ListKeyPolicies_FullMethodName: {
			valid:   func(p *props) proto.Message { return kmsv1.ListKeyPoliciesRequest_builder{KeyId: p.keyID}.Build() },
			invalid: kmsv1.ListKeyPoliciesRequest_builder{KeyId: "x", Limit: 1001}.Build(),
		},
	}
}

func importSpecimens() map[string]specimen {
	return map[string]specimen{
		kmsv1.KeyService_GetParametersForImport_FullMethodName: {
			valid:   func(p *props) proto.Message { return parametersOf(p.external()) },
			invalid: kmsv1.GetParametersForImportRequest_builder{KeyId: "x"}.Build(),
		},
		kmsv1.KeyService_ImportKeyMaterial_FullMethodName: {
			valid:   func(p *props) proto.Message { return p.importOf(p.external()) },
			invalid: kmsv1.ImportKeyMaterialRequest_builder{KeyId: "x"}.Build(),
		},
		kmsv1.KeyService_DeleteImportedKeyMaterial_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.DeleteImportedKeyMaterialRequest_builder{KeyId: p.imported()}.Build()
			},
			invalid: kmsv1.DeleteImportedKeyMaterialRequest_builder{KeyId: "x", KeyMaterialId: "x"}.Build(),
		},
	}
}

// expiringImport is an import whose material expires, which conditions can ask about.
func expiringImport(p *props) proto.Message {
	r := p.importOf(p.external())
	r.SetExpirationModel(0)
	r.SetValidTo(timestamppb.New(time.Now().Add(time.Hour)))
	return r
}
