package aws

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// newKMS makes the table of AWS KMS (API version 2014-11-01).
func newKMS() *service {
	s := &service{
		name: "kms", protocol: &jsonProtocol{errors: kmsErrors}, target: "TrentService.", operations: map[string]*operation{},
		absent: set("ConnectCustomKeyStore", "CreateCustomKeyStore", "DeleteCustomKeyStore", "DescribeCustomKeyStores", "DisconnectCustomKeyStore",
			"UpdateCustomKeyStore", "ReplicateKey", "UpdatePrimaryRegion"),
	}
	void := set("CreateAlias", "DeleteAlias", "DisableKey", "DisableKeyRotation", "EnableKey", "EnableKeyRotation", "PutKeyPolicy", "RetireGrant",
		"RevokeGrant", "TagResource", "UntagResource", "UpdateAlias", "UpdateKeyDescription")
	b := newBuilder(kmsTables())
	for _, d := range []protoreflect.ServiceDescriptor{
		kmsv1.File_kmsd_kms_v1_key_service_proto.Services().ByName("KeyService"),
		kmsv1.File_kmsd_kms_v1_crypto_service_proto.Services().ByName("CryptoService"),
	} {
		b.operations(s, d, void)
	}
	return s
}

func kmsTables() tables {
	return tables{rows: kmsRows(), required: kmsRequired(), extras: kmsExtras(), refused: kmsRefused(), pascal: set("kms.v1.KeyState", "kms.v1.GrantOperation")}
}

// kmsRows is what AWS KMS calls, bounds or leaves out otherwise.
func kmsRows() map[string]row {
	rows := map[string]row{
		"aws_account_id":                 {name: "AWSAccountId"},
		"kms.v1.KeyMetadata.description": {always: true, bounds: bounds{0, 8192}},
		// AWS tells of versions where a key can have several.
		"kms.v1.KeyMetadata.current_key_material_id":           {only: "key_spec=SYMMETRIC_DEFAULT"},
		"kms.v1.KeyMetadata.expiration_model":                  {only: "current_key_material_id"},
		"kms.v1.DecryptResponse.key_material_id":               {only: "encryption_algorithm=SYMMETRIC_DEFAULT"},
		"kms.v1.ReEncryptResponse.source_key_material_id":      {only: "source_encryption_algorithm=SYMMETRIC_DEFAULT"},
		"kms.v1.ReEncryptResponse.destination_key_material_id": {only: "destination_encryption_algorithm=SYMMETRIC_DEFAULT"},
		"kms.v1.KeyLastUsage.event_id":                         {name: "CloudTrailEventId"},
		"kms.v1.KeyLastUsage.request_id":                       {name: "KmsRequestId"},
		"kms.v1.GrantListEntry.name":                           {always: true},
		"kms.v1.Tag.tag_value":                                 {always: true, bounds: bounds{0, 256}},
		"kms.v1.EncryptRequest.plaintext":                      {bounds: bounds{1, 4096}},
		"kms.v1.GenerateMacRequest.message":                    {bounds: bounds{1, 4096}},
		"kms.v1.VerifyMacRequest.message":                      {bounds: bounds{1, 4096}},
		"kms.v1.SignRequest.message":                           {bounds: bounds{1, 4096}},
		"kms.v1.VerifyRequest.message":                         {bounds: bounds{1, 4096}},
		"kms.v1.ListGrantsRequest.limit":                       {bounds: bounds{1, 100}},
		"kms.v1.ListAliasesRequest.limit":                      {bounds: bounds{1, 100}},
		"limit":                                                {bounds: bounds{1, 1000}},
		"marker":                                               {bounds: bounds{1, 1024}},
		"key_id":                                               {bounds: bounds{1, 2048}},
		"target_key_id":                                        {bounds: bounds{1, 2048}},
		"source_key_id":                                        {bounds: bounds{1, 2048}},
		"destination_key_id":                                   {bounds: bounds{1, 2048}},
		"alias_name":                                           {bounds: bounds{1, 256}},
		"description":                                          {bounds: bounds{0, 8192}},
		"policy":                                               {bounds: bounds{1, 131072}},
		"policy_name":                                          {bounds: bounds{1, 128}},
		"ciphertext_blob":                                      {bounds: bounds{1, 6144}},
		"shared_secret_ciphertext_blob":                        {bounds: bounds{1, 6144}},
		"mac":                                                  {bounds: bounds{1, 6144}},
		"signature":                                            {bounds: bounds{1, 6144}},
		"import_token":                                         {bounds: bounds{1, 6144}},
		"encrypted_key_material":                               {bounds: bounds{1, 6144}},
		"public_key":                                           {bounds: bounds{1, 8192}},
		"key_material_id":                                      {bounds: bounds{64, 64}},
		"key_material_description":                             {bounds: bounds{0, 256}},
		"number_of_bytes":                                      {bounds: bounds{1, 1024}},
		"pending_window_in_days":                               {bounds: bounds{1, 365}},
		"rotation_period_in_days":                              {bounds: bounds{90, 2560}},
		"grant_id":                                             {bounds: bounds{1, 128}},
		"grant_token":                                          {bounds: bounds{1, 8192}},
		"grant_tokens":                                         {bounds: bounds{0, 10}},
		"grantee_principal":                                    {bounds: bounds{1, 256}},
		"retiring_principal":                                   {bounds: bounds{1, 256}},
		"tag_key":                                              {bounds: bounds{1, 128}},
		"kms.v1.CreateGrantRequest.name":                       {bounds: bounds{1, 256}},
		"kms.v1.EncryptResponse.key_material_id":               {silent: true},
		"kms.v1.RotateKeyOnDemandResponse.key_material_id":     {silent: true},
		"kms.v1.GetKeyPolicyResponse.last_updated_date":        {silent: true},
		"kms.v1.RotationsListEntry.version":                    {silent: true},
		"kms.v1.CancelKeyDeletionResponse.key_state":           {silent: true},
		"kms.v1.CreateKeyResponse.key_material_id":             {silent: true},
		"kms.v1.GetKeyRotationStatusResponse.on_demand_rotations_left": {silent: true},
		// AWS KMS lists what came about by rotation, unless it is asked for all; kmsd lists all.
		"kms.v1.ListKeyRotationsRequest.include_key_material": {preset: "ROTATIONS_ONLY"},
	}
	for _, message := range []string{"DeriveSharedSecret", "GenerateMac", "GetPublicKey", "Sign", "Verify", "VerifyMac", "Encapsulate", "Decapsulate"} {
		rows["kms.v1."+message+"Response.key_material_id"] = row{silent: true}
	}
	for _, field := range []string{
		"deletion_protection_enabled", "version_count", "key_rotation_enabled", "next_rotation_date", "rotation_period_in_days", "aliases", "last_usage",
	} {
		rows["kms.v1.KeyMetadata."+field] = row{silent: true}
	}
	for _, field := range []string{
		"kms.v1.GrantListEntry.expires_at", "kms.v1.KeyListEntry.key_metadata", "findings", "dry_run", "client_token",
		"plaintext_crc32c", "verified_plaintext_crc32c", "ciphertext_blob_crc32c", "verified_ciphertext_blob_crc32c", "message_crc32c", "verified_message_crc32c",
		"mac_crc32c", "verified_mac_crc32c", "signature_crc32c", "verified_signature_crc32c", "public_key_crc32c", "verified_public_key_crc32c",
		"shared_secret_crc32c", "shared_secret_ciphertext_blob_crc32c", "verified_shared_secret_ciphertext_blob_crc32c",
		"private_key_ciphertext_blob_crc32c", "private_key_plaintext_crc32c", "encrypted_key_material_crc32c", "verified_encrypted_key_material_crc32c",
	} {
		rows[field] = row{silent: true}
	}
	return rows
}
