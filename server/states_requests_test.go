package server_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
	"github.com/kmsd/kmsd/internal/kmstest"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// first is the number of the first algorithm of a key, or 1 of a key that has none: requests that are refused for that name one too.
func first[N ~string](names map[string]int32, prefix string, algorithms []N) int32 {
	if len(algorithms) == 0 {
		return 1
	}
	return names[prefix+string(algorithms[0])]
}

func (k *subject) encryption() kmsv1.EncryptionAlgorithm {
	return kmsv1.EncryptionAlgorithm(first(kmsv1.EncryptionAlgorithm_value, "ENCRYPTION_ALGORITHM_", k.spec.EncryptionAlgorithms()))
}

func (k *subject) signing() kmsv1.SigningAlgorithmSpec {
	return kmsv1.SigningAlgorithmSpec(first(kmsv1.SigningAlgorithmSpec_value, "SIGNING_ALGORITHM_SPEC_", k.spec.SigningAlgorithms()))
}

func (k *subject) mac() kmsv1.MacAlgorithmSpec {
	return kmsv1.MacAlgorithmSpec(first(kmsv1.MacAlgorithmSpec_value, "MAC_ALGORITHM_SPEC_", k.spec.MACAlgorithms()))
}

// peer is a public key that a key can agree on a secret with.
func (k *subject) peer(t testing.TB) []byte {
	spec := k.spec
	if len(spec.KeyAgreementAlgorithms()) == 0 {
		spec = crypto.SpecP256
	}
	material, err := keypair.Generate(spec)
	if err != nil {
		t.Fatal(err)
	}
	private, err := keypair.New(spec, material)
	if err != nil {
		t.Fatal(err)
	}
	return private.Public().DER()
}

// encapsulated is a ciphertext of the length that a key takes.
func (k *subject) encapsulated() []byte {
	if k.spec == crypto.SpecMLKEM1024 {
		return make([]byte, 1568)
	}
	return make([]byte, 1088)
}

// request is a request of a row about a key, which would be carried out but for the dry run.
func (r stateRow) request(p *props, k *subject) proto.Message {
	p.t.Helper()
	about := stateRequests()[r.operation]
	if about == nil {
		p.t.Fatalf("there is no request for %q", r.operation)
	}
	m := about(p, k)
	if fd := m.ProtoReflect().Descriptor().Fields().ByName("dry_run"); fd != nil {
		m.ProtoReflect().Set(fd, protoreflect.ValueOfBool(true))
	}
	return m
}

// stateRequests :: operation of testdata/states.txt → a request about a key
func stateRequests() map[string]func(p *props, k *subject) proto.Message {
	unseen := []kmsv1.DryRunModifier{kmsv1.DryRunModifier_DRY_RUN_MODIFIER_IGNORE_CIPHERTEXT}
	return map[string]func(p *props, k *subject) proto.Message{
		"Encrypt": func(_ *props, k *subject) proto.Message {
			return kmsv1.EncryptRequest_builder{KeyId: k.arn, Plaintext: []byte("x"), EncryptionAlgorithm: k.encryption()}.Build()
		},
		"Decrypt": func(_ *props, k *subject) proto.Message {
			return kmsv1.DecryptRequest_builder{KeyId: k.arn, EncryptionAlgorithm: k.encryption(), DryRunModifiers: unseen}.Build()
		},
		"ReEncrypt from": func(p *props, k *subject) proto.Message {
			return kmsv1.ReEncryptRequest_builder{SourceKeyId: k.arn, SourceEncryptionAlgorithm: k.encryption(), DestinationKeyId: p.otherID, DryRunModifiers: unseen}.Build()
		},
		"ReEncrypt to": func(p *props, k *subject) proto.Message {
			return kmsv1.ReEncryptRequest_builder{CiphertextBlob: p.blob, DestinationKeyId: k.arn, DestinationEncryptionAlgorithm: k.encryption()}.Build()
		},
		"GenerateDataKey": func(_ *props, k *subject) proto.Message {
			return kmsv1.GenerateDataKeyRequest_builder{KeyId: k.arn, NumberOfBytes: 32}.Build()
		},
		"GenerateDataKeyWithoutPlaintext": func(_ *props, k *subject) proto.Message {
			return kmsv1.GenerateDataKeyWithoutPlaintextRequest_builder{KeyId: k.arn, NumberOfBytes: 32}.Build()
		},
		"GenerateDataKeyPair": func(_ *props, k *subject) proto.Message {
			return kmsv1.GenerateDataKeyPairRequest_builder{KeyId: k.arn, KeyPairSpec: kmsv1.DataKeyPairSpec_DATA_KEY_PAIR_SPEC_ECC_NIST_P256}.Build()
		},
		"GenerateDataKeyPairWithoutPlaintext": func(_ *props, k *subject) proto.Message {
			return kmsv1.GenerateDataKeyPairWithoutPlaintextRequest_builder{KeyId: k.arn, KeyPairSpec: kmsv1.DataKeyPairSpec_DATA_KEY_PAIR_SPEC_ECC_NIST_P256}.Build()
		},
		"Sign": func(_ *props, k *subject) proto.Message {
			return kmsv1.SignRequest_builder{KeyId: k.arn, Message: []byte("x"), SigningAlgorithm: k.signing()}.Build()
		},
		"Verify": func(_ *props, k *subject) proto.Message {
			return kmsv1.VerifyRequest_builder{KeyId: k.arn, Message: []byte("x"), Signature: []byte("x"), SigningAlgorithm: k.signing()}.Build()
		},
		"GenerateMac": func(_ *props, k *subject) proto.Message {
			return kmsv1.GenerateMacRequest_builder{KeyId: k.arn, Message: []byte("x"), MacAlgorithm: k.mac()}.Build()
		},
		"VerifyMac": func(_ *props, k *subject) proto.Message {
			return kmsv1.VerifyMacRequest_builder{KeyId: k.arn, Message: []byte("x"), Mac: []byte("x"), MacAlgorithm: k.mac()}.Build()
		},
		"GetPublicKey": func(_ *props, k *subject) proto.Message {
			return kmsv1.GetPublicKeyRequest_builder{KeyId: k.arn}.Build()
		},
		"DeriveSharedSecret": func(p *props, k *subject) proto.Message {
			return kmsv1.DeriveSharedSecretRequest_builder{KeyId: k.arn, PublicKey: k.peer(p.t)}.Build()
		},
		"Encapsulate": func(_ *props, k *subject) proto.Message {
			return kmsv1.EncapsulateRequest_builder{KeyId: k.arn}.Build()
		},
		"Decapsulate": func(_ *props, k *subject) proto.Message {
			return kmsv1.DecapsulateRequest_builder{KeyId: k.arn, SharedSecretCiphertextBlob: k.encapsulated()}.Build()
		},

		"CreateGrant": func(p *props, k *subject) proto.Message {
			return kmsv1.CreateGrantRequest_builder{
				KeyId: k.arn, GranteePrincipal: "arn:aws:iam::" + kmstest.Account + ":root", Operations: []kmsv1.GrantOperation{kmsv1.GrantOperation_GRANT_OPERATION_DESCRIBE_KEY},
			}.Build()
		},
		"DescribeKey": func(_ *props, k *subject) proto.Message {
			return kmsv1.DescribeKeyRequest_builder{KeyId: k.arn}.Build()
		},
		"GetKeyPolicy": func(_ *props, k *subject) proto.Message {
			return kmsv1.GetKeyPolicyRequest_builder{KeyId: k.arn}.Build()
		},
		"PutKeyPolicy": func(_ *props, k *subject) proto.Message {
			return kmsv1.PutKeyPolicyRequest_builder{KeyId: k.arn, Policy: keyPolicy}.Build()
		},
		"ListGrants": func(_ *props, k *subject) proto.Message { return kmsv1.ListGrantsRequest_builder{KeyId: k.arn}.Build() },
		"ListKeyPolicies": func(_ *props, k *subject) proto.Message {
			return kmsv1.ListKeyPoliciesRequest_builder{KeyId: k.arn}.Build()
		},
		"ListResourceTags": func(_ *props, k *subject) proto.Message {
			return kmsv1.ListResourceTagsRequest_builder{KeyId: k.arn}.Build()
		},
		"ListAliases": func(_ *props, k *subject) proto.Message {
			return kmsv1.ListAliasesRequest_builder{KeyId: k.arn}.Build()
		},
		"ListKeyRotations": func(_ *props, k *subject) proto.Message {
			return kmsv1.ListKeyRotationsRequest_builder{KeyId: k.arn}.Build()
		},
		"GetKeyLastUsage": func(_ *props, k *subject) proto.Message {
			return kmsv1.GetKeyLastUsageRequest_builder{KeyId: k.arn}.Build()
		},
		"GetKeyDeletionReport": func(_ *props, k *subject) proto.Message {
			return kmsv1.GetKeyDeletionReportRequest_builder{KeyId: k.arn}.Build()
		},
		"RetireGrant": func(_ *props, k *subject) proto.Message {
			return kmsv1.RetireGrantRequest_builder{KeyId: k.arn, GrantId: k.grantID}.Build()
		},
		"RevokeGrant": func(_ *props, k *subject) proto.Message {
			return kmsv1.RevokeGrantRequest_builder{KeyId: k.arn, GrantId: k.grantID}.Build()
		},
		"DeleteAlias": func(_ *props, k *subject) proto.Message {
			return kmsv1.DeleteAliasRequest_builder{AliasName: k.alias}.Build()
		},
		"CreateAlias": func(_ *props, k *subject) proto.Message {
			return kmsv1.CreateAliasRequest_builder{AliasName: k.alias + "-too", TargetKeyId: k.arn}.Build()
		},
		"TagResource": func(_ *props, k *subject) proto.Message {
			return kmsv1.TagResourceRequest_builder{KeyId: k.arn, Tags: []*kmsv1.Tag{kmsv1.Tag_builder{TagKey: "a", TagValue: "b"}.Build()}}.Build()
		},
		"UntagResource": func(_ *props, k *subject) proto.Message {
			return kmsv1.UntagResourceRequest_builder{KeyId: k.arn, TagKeys: []string{"a"}}.Build()
		},
		"UpdateKeyDescription": func(_ *props, k *subject) proto.Message {
			return kmsv1.UpdateKeyDescriptionRequest_builder{KeyId: k.arn, Description: "other"}.Build()
		},
		"UpdateKeyDeletionProtection": func(_ *props, k *subject) proto.Message {
			return kmsv1.UpdateKeyDeletionProtectionRequest_builder{KeyId: k.arn, Enabled: true}.Build()
		},
		"UpdateAlias from": func(p *props, k *subject) proto.Message {
			return kmsv1.UpdateAliasRequest_builder{AliasName: k.alias, TargetKeyId: p.otherID}.Build()
		},
		"UpdateAlias to": func(p *props, k *subject) proto.Message {
			return kmsv1.UpdateAliasRequest_builder{AliasName: usualAlias(p.otherID), TargetKeyId: k.arn}.Build()
		},
		"EnableKey":  func(_ *props, k *subject) proto.Message { return kmsv1.EnableKeyRequest_builder{KeyId: k.arn}.Build() },
		"DisableKey": func(_ *props, k *subject) proto.Message { return kmsv1.DisableKeyRequest_builder{KeyId: k.arn}.Build() },
		"ScheduleKeyDeletion": func(_ *props, k *subject) proto.Message {
			return kmsv1.ScheduleKeyDeletionRequest_builder{KeyId: k.arn}.Build()
		},
		"CancelKeyDeletion": func(_ *props, k *subject) proto.Message {
			return kmsv1.CancelKeyDeletionRequest_builder{KeyId: k.arn}.Build()
		},
		"EnableKeyRotation": func(_ *props, k *subject) proto.Message {
			return kmsv1.EnableKeyRotationRequest_builder{KeyId: k.arn}.Build()
		},
		"DisableKeyRotation": func(_ *props, k *subject) proto.Message {
			return kmsv1.DisableKeyRotationRequest_builder{KeyId: k.arn}.Build()
		},
		"GetKeyRotationStatus": func(_ *props, k *subject) proto.Message {
			return kmsv1.GetKeyRotationStatusRequest_builder{KeyId: k.arn}.Build()
		},
		"RotateKeyOnDemand": func(_ *props, k *subject) proto.Message {
			return kmsv1.RotateKeyOnDemandRequest_builder{KeyId: k.arn}.Build()
		},
		"GetParametersForImport": func(_ *props, k *subject) proto.Message { return k.parameters() },
		"ImportKeyMaterial":      func(_ *props, k *subject) proto.Message { return k.imports() },
		"DeleteImportedKeyMaterial": func(_ *props, k *subject) proto.Message {
			return kmsv1.DeleteImportedKeyMaterialRequest_builder{KeyId: k.arn}.Build()
		},
	}
}

// parameters asks for what material is wrapped with. The wrapping key is the one that is made fastest.
func (k *subject) parameters() *kmsv1.GetParametersForImportRequest {
	return kmsv1.GetParametersForImportRequest_builder{
		KeyId: k.arn, WrappingAlgorithm: kmsv1.WrappingAlgorithmSpec_WRAPPING_ALGORITHM_SPEC_HPKE_MLKEM768_X25519, WrappingKeySpec: kmsv1.WrappingKeySpec_WRAPPING_KEY_SPEC_MLKEM768_X25519,
	}.Build()
}

// imports is the import of the material that was wrapped last.
func (k *subject) imports() *kmsv1.ImportKeyMaterialRequest {
	r := kmsv1.ImportKeyMaterialRequest_builder{
		KeyId: k.arn, ImportToken: k.token, EncryptedKeyMaterial: k.wrapped, ExpirationModel: kmsv1.ExpirationModel_EXPIRATION_MODEL_KEY_MATERIAL_DOES_NOT_EXPIRE,
	}
	if len(k.token) == 0 { // of a key that material cannot be imported into
		r.ImportToken, r.EncryptedKeyMaterial = []byte("token"), []byte("material")
	}
	return r.Build()
}
