package aws

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kmsd/kmsd/internal/front"
)

// kmsRequired is what AWS KMS's requests must have. Where kmsd asks for more (a ciphertext to decrypt), the pipeline says so.
func kmsRequired() map[string][]protoreflect.Name {
	required := map[string][]protoreflect.Name{
		"kms.v1.Tag":                                        {"tag_key", "tag_value"},
		"kms.v1.CreateAliasRequest":                         {"alias_name", "target_key_id"},
		"kms.v1.CreateGrantRequest":                         {"key_id", "grantee_principal", "operations"},
		"kms.v1.DeleteAliasRequest":                         {"alias_name"},
		"kms.v1.DeriveSharedSecretRequest":                  {"key_id", "key_agreement_algorithm", "public_key"},
		"kms.v1.EncapsulateRequest":                         {"key_id", "encapsulation_algorithm"},
		"kms.v1.DecapsulateRequest":                         {"key_id", "encapsulation_algorithm", "shared_secret_ciphertext_blob"},
		"kms.v1.EncryptRequest":                             {"key_id", "plaintext"},
		"kms.v1.GenerateDataKeyPairRequest":                 {"key_id", "key_pair_spec"},
		"kms.v1.GenerateDataKeyPairWithoutPlaintextRequest": {"key_id", "key_pair_spec"},
		"kms.v1.GenerateMacRequest":                         {"message", "key_id", "mac_algorithm"},
		"kms.v1.GetParametersForImportRequest":              {"key_id", "wrapping_algorithm", "wrapping_key_spec"},
		"kms.v1.ImportKeyMaterialRequest":                   {"key_id", "import_token", "encrypted_key_material"},
		"kms.v1.ListRetirableGrantsRequest":                 {"retiring_principal"},
		"kms.v1.PutKeyPolicyRequest":                        {"key_id", "policy"},
		"kms.v1.ReEncryptRequest":                           {"destination_key_id"},
		"kms.v1.RevokeGrantRequest":                         {"key_id", "grant_id"},
		"kms.v1.SignRequest":                                {"key_id", "message", "signing_algorithm"},
		"kms.v1.TagResourceRequest":                         {"key_id", "tags"},
		"kms.v1.UntagResourceRequest":                       {"key_id", "tag_keys"},
		"kms.v1.UpdateAliasRequest":                         {"alias_name", "target_key_id"},
		"kms.v1.UpdateKeyDescriptionRequest":                {"key_id", "description"},
		"kms.v1.VerifyRequest":                              {"key_id", "message", "signature", "signing_algorithm"},
		"kms.v1.VerifyMacRequest":                           {"message", "key_id", "mac_algorithm", "mac"},
	}
	for _, name := range []string{
		"CancelKeyDeletion", "DeleteImportedKeyMaterial", "DescribeKey", "DisableKey", "DisableKeyRotation", "EnableKey", "EnableKeyRotation",
		"GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GetKeyLastUsage", "GetKeyPolicy", "GetKeyRotationStatus", "GetPublicKey", "ListGrants",
		"ListKeyPolicies", "ListKeyRotations", "ListResourceTags", "RotateKeyOnDemand", "ScheduleKeyDeletion",
		"GetKeyDeletionReport", "UpdateKeyDeletionProtection",
	} {
		required["kms.v1."+name+"Request"] = []protoreflect.Name{"key_id"}
	}
	for _, name := range []string{"DisableKeyMaterial", "EnableKeyMaterial"} {
		required["kms.v1."+name+"Request"] = []protoreflect.Name{"key_id", "key_material_id"}
	}
	return required
}

// kmsExtras is what AWS KMS has beside the fields of the protos.
func kmsExtras() map[string][]extra {
	extras := map[string][]extra{
		"kms.v1.KeyMetadata": {
			{name: "KeyManager", literal: `"CUSTOMER"`},
			{name: "MultiRegion", literal: "false"},
			{name: "CustomerMasterKeySpec", field: "key_spec"},
		},
		"kms.v1.GetPublicKeyResponse": {{name: "CustomerMasterKeySpec", field: "key_spec"}},
		"kms.v1.CreateKeyRequest": {
			{name: "CustomerMasterKeySpec", field: "key_spec"},
			{name: "CustomKeyStoreId", refused: true},
			{name: "MultiRegion", refused: true},
			{name: "XksKeyId", refused: true},
		},
		// What a grant would be narrower for, or for whom it would be.
		"kms.v1.GrantConstraints":           {{name: "SourceArn", refused: true}},
		"kms.v1.CreateGrantRequest":         {{name: "GranteeServicePrincipal", refused: true}, {name: "RetiringServicePrincipal", refused: true}},
		"kms.v1.ListGrantsRequest":          {{name: "GranteeServicePrincipal", refused: true}},
		"kms.v1.ListRetirableGrantsRequest": {{name: "RetiringServicePrincipal", refused: true}},
		"kms.v1.GenerateRandomRequest":      {{name: "Recipient", refused: true}, {name: "CustomKeyStoreId", refused: true}},
	}
	for _, name := range []string{"Decrypt", "DeriveSharedSecret", "Decapsulate", "Encapsulate", "GenerateDataKey", "GenerateDataKeyPair"} {
		extras["kms.v1."+name+"Request"] = []extra{{name: "Recipient", refused: true}}
	}
	return extras
}

// kmsRefused is what AWS KMS can name and kmsd does not have.
func kmsRefused() map[string]map[string]*front.Error {
	return map[string]map[string]*front.Error{
		"kms.v1.KeySpec":               unsupported("SM2", "ML_KEM_512"),
		"kms.v1.DataKeyPairSpec":       unsupported("SM2", "ML_KEM_512"),
		"kms.v1.EncryptionAlgorithm":   unsupported("SM2PKE"),
		"kms.v1.SigningAlgorithmSpec":  unsupported("SM2DSA"),
		"kms.v1.WrappingAlgorithmSpec": unsupported("RSAES_PKCS1_V1_5", "SM2PKE"),
		"kms.v1.WrappingKeySpec":       unsupported("SM2"),
		"kms.v1.KeyMaterialOrigin":     unsupported("AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"),
	}
}

// unsupported refuses values of an enumeration.
func unsupported(names ...string) map[string]*front.Error {
	m := make(map[string]*front.Error, len(names))
	for _, n := range names {
		m[n] = &front.Error{Reason: reasonUnsupported, Message: "kmsd does not have " + n + "."}
	}
	return m
}
