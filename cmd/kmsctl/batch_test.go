package main

import (
	"encoding/json"
	"strings"
	"testing"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func TestRequestsOfABatch(t *testing.T) {
	for _, tt := range []struct {
		line string
		want *kmsv1.BatchItem
	}{
		{`{"encrypt": {"key_id": "alias/a", "plaintext": "aGk=", "encryption_context": {"k": "v"}}}`, kmsv1.BatchItem_builder{
			Encrypt: kmsv1.EncryptRequest_builder{KeyId: "alias/a", Plaintext: []byte("hi"), EncryptionContext: map[string]string{"k": "v"}}.Build(),
		}.Build()},
		{`{"sign":{"key_id":"k","message":"aGk=","signing_algorithm":"ECDSA_SHA_256","message_type":"MESSAGE_TYPE_RAW"}}`, kmsv1.BatchItem_builder{
			Sign: kmsv1.SignRequest_builder{
				KeyId: "k", Message: []byte("hi"), SigningAlgorithm: kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_ECDSA_SHA_256, MessageType: kmsv1.MessageType_MESSAGE_TYPE_RAW,
			}.Build(),
		}.Build()},
		{` {"decrypt":{"dry_run":true,"dry_run_modifiers":["IGNORE_CIPHERTEXT"]}} `, kmsv1.BatchItem_builder{
			Decrypt: kmsv1.DecryptRequest_builder{DryRun: true, DryRunModifiers: []kmsv1.DryRunModifier{kmsv1.DryRunModifier_DRY_RUN_MODIFIER_IGNORE_CIPHERTEXT}}.Build(),
		}.Build()},
		{`{"generate_random":{"number_of_bytes":8}}`, kmsv1.BatchItem_builder{GenerateRandom: kmsv1.GenerateRandomRequest_builder{NumberOfBytes: 8}.Build()}.Build()},
	} {
		got, err := parseItem([]byte(tt.line))
		if err != nil || !proto.Equal(got, tt.want) {
			t.Errorf("parseItem(%s) = %v, %v, want %v", tt.line, got, err, tt.want)
		}
	}
	for line, want := range map[string]string{
		`x`:                                  "it is no JSON object",
		`[]`:                                 "it is no JSON object",
		`null`:                               "it is no JSON object",
		`{}`:                                 "it names no operation",
		`{"encrypt":{}} {}`:                  "there is more than one JSON object",
		`{"delete":{}}`:                      `there is no field "delete"`,
		`{"encrypt":{"keyId":"k"}}`:          `there is no field "keyId"`,
		`{"encrypt":7}`:                      "encrypt is no JSON object",
		`{"encrypt":{},"decrypt":{}}`:        "it names more than one operation",
		`{"encrypt":{"plaintext":"*"}}`:      "it is no request: ",
		`{"sign":{"signing_algorithm":"x"}}`: "it is no request: ",
		`{"generate_random":{"number_of_bytes":99999999999}}`: "it is no request: ",
	} {
		if got, err := parseItem([]byte(line)); err == nil || !strings.HasPrefix(err.Error(), want) || got != nil {
			t.Errorf("parseItem(%s) = %v, %v, want %q", line, got, err, want)
		}
	}
}

func FuzzParseItem(f *testing.F) {
	for _, s := range []string{`{"encrypt":{"key_id":"a","plaintext":"aGk="}}`, `{"sign":{"message_type":"RAW"}}`, `{"decrypt":{"dry_run_modifiers":["x",[1]]}}`, `{}`, `null`, `{"encrypt":null}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		item, err := parseItem([]byte(s))
		if (err == nil) != item.HasRequest() {
			t.Errorf("parseItem(%q) = %v, %v, want a request or an error", s, item, err)
		}
	})
}

func TestResultsOfABatch(t *testing.T) {
	sum := proto.Uint32(7)
	for _, tt := range []struct {
		result *kmsv1.BatchResult
		want   string
	}{
		{kmsv1.BatchResult_builder{RequestId: "r", Encrypt: kmsv1.EncryptResponse_builder{
			CiphertextBlob: []byte("c"), KeyId: testARN, EncryptionAlgorithm: 1, VerifiedPlaintextCrc32C: true, CiphertextBlobCrc32C: sum,
		}.Build()}.Build(), `{"encrypt":{"ciphertext_blob":"Yw==","encryption_algorithm":"SYMMETRIC_DEFAULT","key_id":"` + testARN + `"},"line":3,"request_id":"r"}`},
		{
			kmsv1.BatchResult_builder{RequestId: "r", Error: &rpcstatus.Status{Code: 7, Message: "no <b>\x1b\u202e"}}.Build(),
			`{"error":{"code":"PermissionDenied","message":"no <b>\u001b\u202e"},"line":3,"request_id":"r"}`,
		},
	} {
		got, err := resultLine(3, tt.result)
		if err != nil || string(got) != tt.want+"\n" || !json.Valid(got) {
			t.Errorf("resultLine = %s, %v, want %s", got, err, tt.want)
		}
	}
}
