package aws

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/internal/front"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
)

// jsonRequest reads a body as the request of an operation of KMS.
func jsonRequest(t *testing.T, op, body string) (proto.Message, error) {
	t.Helper()
	s := newKMS()
	o := s.operations[op]
	if o == nil {
		t.Fatalf("there is no operation %s", op)
	}
	m := newMessage(o.in)
	return m, s.protocol.decode(o, []byte(body), m)
}

func TestRequestsAreRead(t *testing.T) {
	const key = `"KeyId":"k"`
	for name, c := range map[string]struct {
		op, body string
		want     proto.Message
	}{
		"texts, blobs, maps, enumerations and lists": {
			"Encrypt",
			` { "KeyId" : "alias/a" , "Plaintext":"aGVsbG8=","EncryptionContext":{"a":"b","ü":"\u00fc"},"EncryptionAlgorithm":"SYMMETRIC_DEFAULT","GrantTokens":["t","u"],"DryRun":true}` + "\n",
			kmsv1.EncryptRequest_builder{
				KeyId: "alias/a", Plaintext: []byte("hello"), EncryptionContext: map[string]string{"a": "b", "ü": "ü"},
				EncryptionAlgorithm: kmsv1.EncryptionAlgorithm_ENCRYPTION_ALGORITHM_SYMMETRIC_DEFAULT, GrantTokens: []string{"t", "u"}, DryRun: true,
			}.Build(),
		},
		"a list of structures": {
			"TagResource", `{` + key + `,"Tags":[{"TagKey":"a","TagValue":""},{"TagValue":"c","TagKey":"b"}]}`,
			kmsv1.TagResourceRequest_builder{KeyId: "k", Tags: []*kmsv1.Tag{tag("a", ""), tag("b", "c")}}.Build(),
		},
		"a structure, and an enumeration that AWS writes otherwise": {
			"CreateGrant", `{` + key + `,"GranteePrincipal":"p","Operations":["ReEncryptFrom","GenerateDataKeyWithoutPlaintext"],"Constraints":{"EncryptionContextEquals":{"a":"b"}}}`,
			kmsv1.CreateGrantRequest_builder{
				KeyId: "k", GranteePrincipal: "p",
				Operations:  []kmsv1.GrantOperation{kmsv1.GrantOperation_GRANT_OPERATION_RE_ENCRYPT_FROM, kmsv1.GrantOperation_GRANT_OPERATION_GENERATE_DATA_KEY_WITHOUT_PLAINTEXT},
				Constraints: kmsv1.GrantConstraints_builder{EncryptionContextEquals: map[string]string{"a": "b"}}.Build(),
			}.Build(),
		},
		"times with and without a fraction": {
			"ImportKeyMaterial", `{` + key + `,"ImportToken":"AA==","EncryptedKeyMaterial":"AAE=","ValidTo":1732406400.123}`,
			kmsv1.ImportKeyMaterialRequest_builder{
				KeyId: "k", ImportToken: []byte{0}, EncryptedKeyMaterial: []byte{0, 1}, ValidTo: timestamppb.New(time.UnixMilli(1732406400123)),
			}.Build(),
		},
		"a time as 1.7324064E9":               {"CreateGrant", grantUntil("1.7324064E9"), expiring(1732406400000)},
		"a time before 1970":                  {"CreateGrant", grantUntil("-1.5"), expiring(-1500)},
		"the older name of the spec":          {"CreateKey", `{"CustomerMasterKeySpec":"RSA_2048"}`, kmsv1.CreateKeyRequest_builder{KeySpec: kmsv1.KeySpec_KEY_SPEC_RSA_2048}.Build()},
		"both names, with one value":          {"CreateKey", `{"CustomerMasterKeySpec":"RSA_2048","KeySpec":"RSA_2048"}`, kmsv1.CreateKeyRequest_builder{KeySpec: kmsv1.KeySpec_KEY_SPEC_RSA_2048}.Build()},
		"the older name as null":              {"CreateKey", `{"KeySpec":"RSA_2048","CustomerMasterKeySpec":null}`, kmsv1.CreateKeyRequest_builder{KeySpec: kmsv1.KeySpec_KEY_SPEC_RSA_2048}.Build()},
		"the newer name as null":              {"CreateKey", `{"CustomerMasterKeySpec":"RSA_2048","KeySpec":null}`, kmsv1.CreateKeyRequest_builder{KeySpec: kmsv1.KeySpec_KEY_SPEC_RSA_2048}.Build()},
		"no body":                             {"ListKeys", "", &kmsv1.ListKeysRequest{}},
		"an empty object":                     {"ListKeys", "{}", &kmsv1.ListKeysRequest{}},
		"null is absent":                      {"ListKeys", `{"Limit":null,"Marker":null}`, &kmsv1.ListKeysRequest{}},
		"the last one counts":                 {"ListKeys", `{"Limit":1,"Limit":2}`, kmsv1.ListKeysRequest_builder{Limit: 2}.Build()},
		"null takes back":                     {"ListKeys", `{"Limit":1,"Limit":null}`, &kmsv1.ListKeysRequest{}},
		"a list that comes twice":             {"CreateKey", `{"Tags":[{"TagKey":"a","TagValue":"b"}],"Tags":[]}`, &kmsv1.CreateKeyRequest{}},
		"a number that is written with zeros": {"ListKeys", `{"Limit":2.0}`, kmsv1.ListKeysRequest_builder{Limit: 2}.Build()},
		"a number with an exponent":           {"ListKeys", `{"Limit":1e2}`, kmsv1.ListKeysRequest_builder{Limit: 100}.Build()},
		"unknown members":                     {"ListKeys", `{"A":[1,-2.5e+7,{"b":"\u00e9\n","c":{}}],"Limit":3,"B":true,"C":null,"D":"\ud83d\ude00"}`, kmsv1.ListKeysRequest_builder{Limit: 3}.Build()},
		"members of kmsd's own":               {"CreateKey", `{"DeletionProtectionEnabled":true,"ClientToken":"t"}`, kmsv1.CreateKeyRequest_builder{DeletionProtectionEnabled: true, ClientToken: "t"}.Build()},
		"what AWS lists unless it is asked for more": {
			"ListKeyRotations", `{` + key + `}`,
			kmsv1.ListKeyRotationsRequest_builder{KeyId: "k", IncludeKeyMaterial: kmsv1.IncludeKeyMaterial_INCLUDE_KEY_MATERIAL_ROTATIONS_ONLY}.Build(),
		},
		"what is asked for beyond that": {
			"ListKeyRotations", `{` + key + `,"IncludeKeyMaterial":"ALL_KEY_MATERIAL"}`,
			kmsv1.ListKeyRotationsRequest_builder{KeyId: "k", IncludeKeyMaterial: kmsv1.IncludeKeyMaterial_INCLUDE_KEY_MATERIAL_ALL_KEY_MATERIAL}.Build(),
		},
		"what is refused is accepted as false":  {"CreateKey", `{"MultiRegion":false,"CustomKeyStoreId":null}`, &kmsv1.CreateKeyRequest{}},
		"what is refused is accepted empty":     {"CreateKey", `{"CustomKeyStoreId":"","XksKeyId":[ ],"MultiRegion":{}}`, &kmsv1.CreateKeyRequest{}},
		"a name with an escape":                 {"ListKeys", `{"Lim\u0069t":4}`, kmsv1.ListKeysRequest_builder{Limit: 4}.Build()},
		"base64 with escaped solidus":           {"Decrypt", `{"CiphertextBlob":"\/\/\/\/"}`, kmsv1.DecryptRequest_builder{CiphertextBlob: []byte{255, 255, 255}}.Build()},
		"a character as two halves of a pair":   {"UpdateKeyDescription", `{` + key + `,"Description":"\ud83d\ude00"}`, kmsv1.UpdateKeyDescriptionRequest_builder{KeyId: "k", Description: "😀"}.Build()},
		"an empty text where AWS takes one":     {"UpdateKeyDescription", `{` + key + `,"Description":""}`, kmsv1.UpdateKeyDescriptionRequest_builder{KeyId: "k"}.Build()},
		"names are told apart by capitals":      {"ListKeys", `{"limit":5}`, &kmsv1.ListKeysRequest{}},
		"a checksum":                            {"Encrypt", `{` + key + `,"Plaintext":"AA==","PlaintextCrc32c":4294967295}`, kmsv1.EncryptRequest_builder{KeyId: "k", Plaintext: []byte{0}, PlaintextCrc32C: proto.Uint32(1<<32 - 1)}.Build()},
		"as many bytes as AWS encrypts at most": {"Encrypt", `{` + key + `,"Plaintext":"` + strings.Repeat("AAAA", 1365) + `AA=="}`, kmsv1.EncryptRequest_builder{KeyId: "k", Plaintext: make([]byte, 4096)}.Build()},
	} {
		got, err := jsonRequest(t, c.op, c.body)
		if err != nil || !proto.Equal(got, c.want) {
			t.Errorf("%s: %s %s = %v, %v, want %v", name, c.op, c.body, got, err, c.want)
		}
	}
}

func tag(key, value string) *kmsv1.Tag {
	return kmsv1.Tag_builder{TagKey: key, TagValue: value}.Build()
}

func grantUntil(seconds string) string {
	return `{"KeyId":"k","GranteePrincipal":"p","Operations":[],"ExpiresAt":` + seconds + `}`
}

func expiring(ms int64) proto.Message {
	return kmsv1.CreateGrantRequest_builder{KeyId: "k", GranteePrincipal: "p", ExpiresAt: timestamppb.New(time.UnixMilli(ms))}.Build()
}

func TestRequestsAreRefusedInAWSsWords(t *testing.T) {
	const (
		serialization = "SerializationException"
		validation    = "ValidationException"
		unsupported   = "UnsupportedOperationException"
		one           = "1 validation error detected: "
		secret        = "c2VjcmV0" // must not be told
	)
	for name, c := range map[string]struct{ op, body, reason, message string }{
		"a list":                            {"ListKeys", `[]`, serialization, ""},
		"a text":                            {"ListKeys", `"a"`, serialization, ""},
		"null":                              {"ListKeys", `null`, serialization, ""},
		"only space":                        {"ListKeys", ` `, serialization, ""},
		"no end":                            {"ListKeys", `{"Limit":1`, serialization, ""},
		"no end of a name":                  {"ListKeys", `{"Lim`, serialization, ""},
		"no value":                          {"ListKeys", `{"Limit":`, serialization, ""},
		"no value at all":                   {"ListKeys", `{"Limit"}`, serialization, ""},
		"a second object":                   {"ListKeys", `{}{}`, serialization, ""},
		"no map":                            {"Decrypt", `{"EncryptionContext":`, serialization, ""},
		"no list":                           {"Decrypt", `{"GrantTokens":`, serialization, ""},
		"no entry of a list":                {"Decrypt", `{"GrantTokens":[`, serialization, ""},
		"no structure":                      {"CreateGrant", `{"Constraints":`, serialization, ""},
		"a comma too many":                  {"ListKeys", `{"Limit":1,}`, serialization, ""},
		"a comma too few":                   {"ListKeys", `{"Limit":1 "Marker":"a"}`, serialization, ""},
		"a name without quotes":             {"ListKeys", `{Limit:1}`, serialization, ""},
		"a number with a leading zero":      {"ListKeys", `{"Limit":01}`, serialization, ""},
		"a number with a sign":              {"ListKeys", `{"Limit":+1}`, serialization, ""},
		"NaN":                               {"ListKeys", `{"Limit":NaN}`, serialization, ""},
		"a dot without digits":              {"ListKeys", `{"X":1.}`, serialization, ""},
		"a control character":               {"ListKeys", "{\"Marker\":\"a\nb\"}", serialization, ""},
		"bytes that are not UTF-8":          {"ListKeys", "{\"Marker\":\"\xff\"}", serialization, ""},
		"escaped, and bytes that are not":   {"ListKeys", "{\"Marker\":\"\\n\xff\"}", serialization, ""},
		"half of a surrogate pair":          {"ListKeys", `{"Marker":"\ud83d"}`, serialization, ""},
		"the other half":                    {"ListKeys", `{"Marker":"\ude00"}`, serialization, ""},
		"half a pair, then something":       {"ListKeys", `{"Marker":"\ud83d\u0041"}`, serialization, ""},
		"an unknown escape":                 {"ListKeys", `{"Marker":"\x"}`, serialization, ""},
		"too deep, where it is not known":   {"ListKeys", `{"A":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, serialization, ""},
		"objects too deep":                  {"ListKeys", strings.Repeat(`{"A":`, 100) + "1" + strings.Repeat("}", 100), serialization, ""},
		"wrong within what is not known":    {"ListKeys", `{"A":[1,}`, serialization, ""},
		"a number as a text":                {"ListKeys", `{"Marker":1}`, serialization, "NUMBER_VALUE cannot be converted to String"},
		"a fraction as a text":              {"ListKeys", `{"Marker":1.5}`, serialization, "DECIMAL_VALUE cannot be converted to String"},
		"true as a text":                    {"ListKeys", `{"Marker":true}`, serialization, "TRUE_VALUE cannot be converted to String"},
		"a text as a number":                {"ListKeys", `{"Limit":"1"}`, serialization, "STRING_VALUE cannot be converted to Integer"},
		"false as a number":                 {"ListKeys", `{"Limit":false}`, serialization, "FALSE_VALUE cannot be converted to Integer"},
		"a structure as a text":             {"ListKeys", `{"Marker":{}}`, serialization, "Start of structure or map found where not expected."},
		"a list as a text":                  {"ListKeys", `{"Marker":[]}`, serialization, "Start of list found where not expected"},
		"a number out of range":             {"ListKeys", `{"Limit":2147483648}`, serialization, "NUMBER_VALUE cannot be converted to Integer"},
		"a number beyond 64 bits":           {"ListKeys", `{"Limit":99999999999999999999}`, serialization, "NUMBER_VALUE cannot be converted to Integer"},
		"an exponent beyond all":            {"ListKeys", `{"Limit":1e999}`, serialization, "DECIMAL_VALUE cannot be converted to Integer"},
		"a fraction of a number":            {"ListKeys", `{"Limit":1.5}`, serialization, "DECIMAL_VALUE cannot be converted to Integer"},
		"a text as a boolean":               {"CreateKey", `{"BypassPolicyLockoutSafetyCheck":"true"}`, serialization, "Unexpected token received from parser"},
		"a number as a boolean":             {"CreateKey", `{"BypassPolicyLockoutSafetyCheck":1}`, serialization, "NUMBER_VALUE cannot be converted to Boolean"},
		"a number as a blob":                {"Decrypt", `{"CiphertextBlob":1}`, serialization, "only base-64-encoded strings are convertible to bytes"},
		"a structure as a blob":             {"Decrypt", `{"CiphertextBlob":{}}`, serialization, "Start of structure or map found where not expected."},
		"base64 without padding":            {"Encrypt", `{"KeyId":"k","Plaintext":"` + secret + `c"}`, serialization, "Base64 encoded length is expected a multiple of 4 bytes but found: 9"},
		"base64 of the URL alphabet":        {"Encrypt", `{"KeyId":"k","Plaintext":"` + secret + `__8="}`, serialization, "only base-64-encoded strings are convertible to bytes"},
		"base64 with bits left over":        {"Encrypt", `{"KeyId":"k","Plaintext":"` + secret + `AB=="}`, serialization, "only base-64-encoded strings are convertible to bytes"},
		"base64 with a line break":          {"Encrypt", `{"KeyId":"k","Plaintext":"` + secret + `\n\n\n\n"}`, serialization, "only base-64-encoded strings are convertible to bytes"},
		"base64 that ends and goes on":      {"Encrypt", `{"KeyId":"k","Plaintext":"AA==` + secret + `"}`, serialization, "only base-64-encoded strings are convertible to bytes"},
		"a text as a map":                   {"Decrypt", `{"EncryptionContext":"a"}`, serialization, "Unexpected field type"},
		"a list as a map":                   {"Decrypt", `{"EncryptionContext":[]}`, serialization, "Start of list found where not expected"},
		"a number in a map":                 {"Decrypt", `{"EncryptionContext":{"a":1}}`, serialization, "NUMBER_VALUE cannot be converted to String"},
		"a text as a list":                  {"Decrypt", `{"GrantTokens":"a"}`, serialization, "Unexpected field type"},
		"a structure as a list":             {"Decrypt", `{"GrantTokens":{}}`, serialization, "Start of structure or map found where not expected."},
		"a list in a list":                  {"Decrypt", `{"GrantTokens":[[]]}`, serialization, "Start of list found where not expected"},
		"a text as a structure":             {"CreateGrant", `{"Constraints":"a"}`, serialization, "Unexpected field type"},
		"a list as a structure":             {"CreateGrant", `{"Constraints":[]}`, serialization, "Start of list found where not expected"},
		"a text as a time":                  {"CreateGrant", `{"ExpiresAt":"2026-11-24T00:00:00Z"}`, serialization, "STRING_VALUE cannot be converted to Timestamp"},
		"a time beyond the calendar":        {"CreateGrant", `{"ExpiresAt":1e300}`, serialization, "NUMBER_VALUE cannot be converted to Timestamp"},
		"a value that is not listed":        {"GenerateMac", `{"KeyId":"k","Message":"AA==","MacAlgorithm":"INVALID"}`, validation, one + "Value 'INVALID' at 'macAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [HMAC_SHA_224, HMAC_SHA_256, HMAC_SHA_384, HMAC_SHA_512]"},
		"a value that is no name":           {"GenerateMac", `{"KeyId":"k","Message":"AA==","MacAlgorithm":"a b"}`, validation, one + "Value at 'macAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [HMAC_SHA_224, HMAC_SHA_256, HMAC_SHA_384, HMAC_SHA_512]"},
		"a listed value that is not":        {"Decrypt", `{"DryRunModifiers":["X"]}`, validation, one + "Value '[X]' at 'dryRunModifiers' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [IGNORE_CIPHERTEXT]]"},
		"kmsd's own word for nothing":       {"CreateKey", `{"KeySpec":"UNSPECIFIED"}`, validation, ""},
		"two names that disagree":           {"CreateKey", `{"KeySpec":"HMAC_256","CustomerMasterKeySpec":"HMAC_512"}`, validation, "You cannot specify both KeySpec and CustomerMasterKeySpec."},
		"two names, the older one first":    {"CreateKey", `{"CustomerMasterKeySpec":"HMAC_512","KeySpec":"HMAC_256"}`, validation, "You cannot specify both KeySpec and CustomerMasterKeySpec."},
		"members that are missing":          {"Encrypt", ``, validation, "2 validation errors detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null; Value null at 'plaintext' failed to satisfy constraint: Member must not be null"},
		"a member that is null":             {"DescribeKey", `{"KeyId":null}`, validation, one + "Value null at 'keyId' failed to satisfy constraint: Member must not be null"},
		"a member that null took back":      {"DescribeKey", `{"KeyId":"k","KeyId":null}`, validation, one + "Value null at 'keyId' failed to satisfy constraint: Member must not be null"},
		"a member of a tag that is missing": {"CreateKey", `{"Tags":[{"TagKey":"a","TagValue":"b"},{"TagKey":"a"}]}`, validation, one + "Value null at 'tags.2.member.tagValue' failed to satisfy constraint: Member must not be null"},
		"a tag that is null":                {"CreateKey", `{"Tags":[null]}`, validation, one + "Value at 'tags' failed to satisfy constraint: Member must satisfy constraint: [Member must not be null]"},
		"a context with a null":             {"Decrypt", `{"EncryptionContext":{"a":null}}`, validation, one + "Value at 'encryptionContext' failed to satisfy constraint: Map value must satisfy constraint: [Member must not be null]"},
		"an empty text":                     {"DescribeKey", `{"KeyId":""}`, validation, one + "Value at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		"a tag that is too long":            {"CreateKey", `{"Tags":[{"TagKey":"` + strings.Repeat("a", 129) + `","TagValue":"b"}]}`, validation, one + "Value at 'tags.1.member.tagKey' failed to satisfy constraint: Member must have length less than or equal to 128"},
		"a number that is too small":        {"GenerateRandom", `{"NumberOfBytes":0}`, validation, one + "Value '0' at 'numberOfBytes' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		"a number that is too large":        {"GenerateRandom", `{"NumberOfBytes":1025}`, validation, one + "Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024"},
		"more than AWS encrypts":            {"Encrypt", `{"KeyId":"k","Plaintext":"` + strings.Repeat("AAAA", 1365) + `AAA="}`, validation, one + "Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"},
		"nothing to encrypt":                {"Encrypt", `{"KeyId":"k","Plaintext":""}`, validation, one + "Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		"too many grant tokens":             {"Decrypt", `{"GrantTokens":[` + strings.Repeat(`"a",`, 10) + `"a"]}`, validation, one + "Value at 'grantTokens' failed to satisfy constraint: Member must have length less than or equal to 10"},
		"more tags than a request may have": {"CreateKey", `{"Tags":[` + strings.Repeat(`{"TagKey":"a","TagValue":"b"},`, 1024) + `{}]}`, validation, one + "Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 1024"},
		"a key of several regions":          {"CreateKey", `{"MultiRegion":true}`, unsupported, "kmsd does not have MultiRegion."},
		"a constraint that kmsd has not": {
			"CreateGrant", `{"KeyId":"k","GranteePrincipal":"p","Operations":["Decrypt"],"Constraints":{"SourceArn":"arn:aws:s3:::b"}}`, unsupported, "kmsd does not have SourceArn.",
		},
		"a key of another store":             {"CreateKey", `{"CustomKeyStoreId":"cks-1"}`, unsupported, "kmsd does not have CustomKeyStoreId."},
		"an enclave":                         {"Decrypt", `{"Recipient":{"KeyEncryptionAlgorithm":"RSAES_OAEP_SHA_256"}}`, unsupported, "kmsd does not have Recipient."},
		"a spec that kmsd has not":           {"CreateKey", `{"KeySpec":"SM2"}`, unsupported, "kmsd does not have SM2."},
		"an origin that kmsd has not":        {"CreateKey", `{"Origin":"AWS_CLOUDHSM"}`, unsupported, "kmsd does not have AWS_CLOUDHSM."},
		"what is wrong goes before refusals": {"CreateKey", `{"Origin":"AWS_CLOUDHSM","Policy":""}`, validation, one + "Value at 'policy' failed to satisfy constraint: Member must have length greater than or equal to 1"},
	} {
		_, err := jsonRequest(t, c.op, c.body)
		var e *front.Error
		if !errors.As(err, &e) || e.Reason != c.reason || e.Message != c.message && (c.message != "" || c.reason == serialization) {
			t.Errorf("%s: %s %.100s: error %v, want %s: %s", name, c.op, c.body, err, c.reason, c.message)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error tells the plaintext: %v", name, err)
		}
	}
}

// TestFindingsAreBounded: a request with very much wrong is answered briefly.
func TestFindingsAreBounded(t *testing.T) {
	_, err := jsonRequest(t, "CreateKey", `{"Tags":[`+strings.Repeat(`{},`, 1000)+`{}]}`)
	if err == nil || len(err.Error()) > 4096 {
		t.Errorf("a thousand empty tags: an error of %d bytes, want some, at most 4096", len(err.Error()))
	}
}

func TestAnswersAreAWSs(t *testing.T) {
	at := timestamppb.New(time.UnixMilli(1732406400123))
	key := kmsv1.KeyMetadata_builder{
		AwsAccountId: "111122223333", KeyId: "k", Arn: "a", CreationDate: at, KeyUsage: kmsv1.KeyUsage_KEY_USAGE_ENCRYPT_DECRYPT,
		KeyState: kmsv1.KeyState_KEY_STATE_PENDING_DELETION, Origin: kmsv1.KeyMaterialOrigin_KEY_MATERIAL_ORIGIN_AWS_KMS,
		KeySpec: kmsv1.KeySpec_KEY_SPEC_SYMMETRIC_DEFAULT, VersionCount: 3, Aliases: []string{"alias/a"}, DeletionProtectionEnabled: true,
		EncryptionAlgorithms: []kmsv1.EncryptionAlgorithm{kmsv1.EncryptionAlgorithm_ENCRYPTION_ALGORITHM_SYMMETRIC_DEFAULT},
	}.Build()
	for name, c := range map[string]struct {
		service *service
		op      string
		answer  proto.Message
		want    string
	}{
		"a key, complete, and without what kmsd adds": {
			newKMS(), "DescribeKey", kmsv1.DescribeKeyResponse_builder{KeyMetadata: key}.Build(),
			`{"KeyMetadata":{"AWSAccountId":"111122223333","KeyId":"k","Arn":"a","CreationDate":1732406400.123,"Enabled":false,"Description":"",` +
				`"KeyUsage":"ENCRYPT_DECRYPT","KeyState":"PendingDeletion","Origin":"AWS_KMS","KeySpec":"SYMMETRIC_DEFAULT","EncryptionAlgorithms":["SYMMETRIC_DEFAULT"],` +
				`"KeyManager":"CUSTOMER","MultiRegion":false,"CustomerMasterKeySpec":"SYMMETRIC_DEFAULT"}}`,
		},
		"no members where AWS has none": {newKMS(), "EnableKey", kmsv1.EnableKeyResponse_builder{KeyId: "k"}.Build(), ""},
		"an empty page":                 {newKMS(), "ListKeys", &kmsv1.ListKeysResponse{}, `{"Keys":[],"Truncated":false}`},
		"a page": {
			newKMS(), "ListAliases",
			kmsv1.ListAliasesResponse_builder{
				Aliases: []*kmsv1.AliasListEntry{kmsv1.AliasListEntry_builder{AliasName: "alias/a"}.Build(), {}}, NextMarker: "m", Truncated: true,
			}.Build(),
			`{"Aliases":[{"AliasName":"alias/a"},{}],"NextMarker":"m","Truncated":true}`,
		},
		"blobs, and no checksums": {
			newKMS(), "Encrypt", kmsv1.EncryptResponse_builder{
				CiphertextBlob: []byte{0, 255}, KeyId: "k", KeyMaterialId: "v", CiphertextBlobCrc32C: proto.Uint32(7), VerifiedPlaintextCrc32C: true,
				EncryptionAlgorithm: kmsv1.EncryptionAlgorithm_ENCRYPTION_ALGORITHM_SYMMETRIC_DEFAULT,
			}.Build(),
			`{"CiphertextBlob":"AP8=","KeyId":"k","EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}`,
		},
		"texts with what JSON cannot hold": {
			newKMS(), "GetKeyPolicy", kmsv1.GetKeyPolicyResponse_builder{Policy: "{\"a\\\n\t\r\x01\u007fü😀<>&\u2028", PolicyName: "default"}.Build(),
			`{"Policy":"{\"a\\\n\t\r\u0001` + "\u007fü😀<>&\u2028" + `","PolicyName":"default"}`,
		},
		"a grant without a name": {
			newKMS(), "ListGrants", kmsv1.ListGrantsResponse_builder{Grants: []*kmsv1.GrantListEntry{kmsv1.GrantListEntry_builder{
				GrantId: "g", ExpiresAt: at, Operations: []kmsv1.GrantOperation{kmsv1.GrantOperation_GRANT_OPERATION_GET_PUBLIC_KEY},
			}.Build()}}.Build(),
			`{"Grants":[{"GrantId":"g","Name":"","Operations":["GetPublicKey"]}],"Truncated":false}`,
		},
		"the last use by AWS's names": {
			newKMS(), "GetKeyLastUsage", kmsv1.GetKeyLastUsageResponse_builder{KeyLastUsage: kmsv1.KeyLastUsage_builder{Operation: "Decrypt", EventId: "e", RequestId: "r"}.Build()}.Build(),
			`{"KeyLastUsage":{"Operation":"Decrypt","CloudTrailEventId":"e","KmsRequestId":"r"}}`,
		},
		"an account that is closed": {
			newOrganizations(), "DescribeAccount", organizationsv1.DescribeAccountResponse_builder{Account: organizationsv1.Account_builder{
				Id: "1", State: organizationsv1.AccountState_ACCOUNT_STATE_CLOSED,
			}.Build()}.Build(),
			`{"Account":{"Id":"1","State":"CLOSED","Status":"SUSPENDED"}}`,
		},
		"an account that was made, and its key where that was asked for": {
			newOrganizations(), "CreateAccount", organizationsv1.CreateAccountResponse_builder{
				CreateAccountStatus: organizationsv1.CreateAccountStatus_builder{Id: "car-1", State: organizationsv1.CreateAccountState_CREATE_ACCOUNT_STATE_SUCCEEDED}.Build(),
				Account:             &organizationsv1.Account{}, RootAccessKey: organizationsv1.RootAccessKey_builder{AccessKeyId: "a", SecretAccessKey: "s"}.Build(),
			}.Build(),
			`{"CreateAccountStatus":{"Id":"car-1","State":"SUCCEEDED"},"RootAccessKey":{"AccessKeyId":"a","SecretAccessKey":"s"}}`,
		},
		"an organization": {
			newOrganizations(), "DescribeOrganization", organizationsv1.DescribeOrganizationResponse_builder{Organization: organizationsv1.Organization_builder{Id: "o-1"}.Build()}.Build(),
			`{"Organization":{"Id":"o-1","FeatureSet":"ALL","AvailablePolicyTypes":[{"Type":"SERVICE_CONTROL_POLICY","Status":"ENABLED"},{"Type":"RESOURCE_CONTROL_POLICY","Status":"ENABLED"}]}}`,
		},
		"no findings": {
			newOrganizations(), "UpdatePolicy", organizationsv1.UpdatePolicyResponse_builder{Findings: []*iamv1.Finding{{}}}.Build(), `{}`,
		},
	} {
		op := c.service.operations[c.op]
		if got := c.service.protocol.encode(op, c.answer, "r"); string(got) != c.want {
			t.Errorf("%s: %s answers\n%s, want\n%s", name, c.op, got, c.want)
		}
	}
}

// TestBuffersThatAreOutgrownAreOverwritten: an answer's plaintext is in the buffer that is returned, and in no other.
func TestBuffersThatAreOutgrownAreOverwritten(t *testing.T) {
	w := jsonWriter{buf: make([]byte, 0, 16)}
	w.blob(bytes.Repeat([]byte{0x5a}, 9))
	first := w.buf[:cap(w.buf)]
	w.blob(bytes.Repeat([]byte{0x5a}, 90))
	if bytes.Contains(first, []byte("WlpaWlpa")) {
		t.Errorf("the outgrown buffer holds %q, want nothing of the blob", first)
	}
	if want := `"WlpaWlpaWlpa"`; !strings.HasPrefix(string(w.buf), want) {
		t.Errorf("the buffer holds %q, want it to begin with %q", w.buf, want)
	}
}
