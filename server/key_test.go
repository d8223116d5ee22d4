package server_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/kmstest"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func usesOf(key string, blob []byte, other string) map[string]proto.Message {
	return map[string]proto.Message{
		encryptMethod: kmsv1.EncryptRequest_builder{KeyId: key, Plaintext: []byte("x")}.Build(),
		decryptMethod: kmsv1.DecryptRequest_builder{CiphertextBlob: blob}.Build(),
		kmsv1.CryptoService_ReEncrypt_FullMethodName:                       kmsv1.ReEncryptRequest_builder{CiphertextBlob: blob, DestinationKeyId: other}.Build(),
		kmsv1.CryptoService_GenerateDataKey_FullMethodName:                 kmsv1.GenerateDataKeyRequest_builder{KeyId: key, NumberOfBytes: 16}.Build(),
		kmsv1.CryptoService_GenerateDataKeyWithoutPlaintext_FullMethodName: kmsv1.GenerateDataKeyWithoutPlaintextRequest_builder{KeyId: key, NumberOfBytes: 16}.Build(),
		kmsv1.KeyService_RotateKeyOnDemand_FullMethodName:                  kmsv1.RotateKeyOnDemandRequest_builder{KeyId: key}.Build(),
	}
}

// A disabled key refuses every use, also after a restart, and nothing else.
func TestDisabledKey(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	d.must(kmsv1.KeyService_DisableKey_FullMethodName, kmsv1.DisableKeyRequest_builder{KeyId: p.keyID}.Build(), &kmsv1.DisableKeyResponse{})
	check := func(when string) {
		for method, m := range usesOf(p.keyID, p.blob, p.otherID) {
			refuses(t, short(method)+" "+when, d.ask(d.root, method, m), codes.FailedPrecondition, "DisabledException", p.keyID+" is disabled.")
		}
	}
	check("after DisableKey")
	d.Restart()
	d.root = d.Credentials()
	check("after a restart")
	got := d.ask(d.root, kmsv1.CryptoService_ReEncrypt_FullMethodName, kmsv1.ReEncryptRequest_builder{CiphertextBlob: p.encrypt(p.otherID, []byte("x"), nil), DestinationKeyId: p.keyID}.Build())
	refuses(t, "ReEncrypt to it", got, codes.FailedPrecondition, "DisabledException", p.keyID+" is disabled.")
	for method, m := range map[string]proto.Message{
		kmsv1.KeyService_DescribeKey_FullMethodName:          kmsv1.DescribeKeyRequest_builder{KeyId: p.keyID}.Build(),
		kmsv1.KeyService_GetKeyPolicy_FullMethodName:         kmsv1.GetKeyPolicyRequest_builder{KeyId: p.keyID}.Build(),
		kmsv1.KeyService_UpdateKeyDescription_FullMethodName: kmsv1.UpdateKeyDescriptionRequest_builder{KeyId: p.keyID}.Build(),
		kmsv1.KeyService_CreateAlias_FullMethodName:          kmsv1.CreateAliasRequest_builder{AliasName: "alias/of-a-disabled-key", TargetKeyId: p.keyID}.Build(),
		kmsv1.KeyService_DisableKey_FullMethodName:           kmsv1.DisableKeyRequest_builder{KeyId: p.keyID}.Build(),
		kmsv1.KeyService_EnableKey_FullMethodName:            kmsv1.EnableKeyRequest_builder{KeyId: p.otherID}.Build(),
	} {
		if got := d.ask(d.root, method, m); got.code != codes.OK {
			t.Errorf("%s: %v", short(method), got)
		}
	}
	d.must(kmsv1.KeyService_EnableKey_FullMethodName, kmsv1.EnableKeyRequest_builder{KeyId: p.keyID}.Build(), &kmsv1.EnableKeyResponse{})
	for method, m := range usesOf(p.keyID, p.blob, p.otherID) {
		if got := d.ask(d.root, method, m); got.code != codes.OK {
			t.Errorf("%s after EnableKey: %v", short(method), got)
		}
	}
}

// An alias is what it points to at the moment of the call.
func TestAliases(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	create := func(name, key string) answer {
		return d.ask(d.root, kmsv1.KeyService_CreateAlias_FullMethodName, kmsv1.CreateAliasRequest_builder{AliasName: name, TargetKeyId: key}.Build())
	}
	under := func(name string) string {
		var out kmsv1.EncryptResponse
		d.must(encryptMethod, kmsv1.EncryptRequest_builder{KeyId: name, Plaintext: []byte("x")}.Build(), &out)
		return out.GetKeyId()
	}
	if got := create("alias/a", p.keyID); got.code != codes.OK {
		t.Fatal(got)
	}
	if got := under("alias/a"); got != p.keyID {
		t.Errorf("alias/a is %s, want %s", got, p.keyID)
	}
	if got := under("arn:aws:kms:local:" + kmstest.Account + ":alias/a"); got != p.keyID {
		t.Errorf("the ARN of alias/a is %s, want %s", got, p.keyID)
	}
	refuses(t, "the alias again", create("alias/a", p.otherID), codes.AlreadyExists, "AlreadyExistsException", "")
	d.must(kmsv1.KeyService_UpdateAlias_FullMethodName, kmsv1.UpdateAliasRequest_builder{AliasName: "alias/a", TargetKeyId: p.otherID}.Build(), &kmsv1.UpdateAliasResponse{})
	if got := under("alias/a"); got != p.otherID {
		t.Errorf("alias/a after UpdateAlias is %s, want %s", got, p.otherID)
	}
	if got := d.ask(d.root, decryptMethod, kmsv1.DecryptRequest_builder{CiphertextBlob: p.blob, KeyId: "alias/a"}.Build()); got.reason != "IncorrectKeyException" {
		t.Errorf("Decrypt under an alias that has moved on: %v, want IncorrectKeyException", got)
	}
	d.must(kmsv1.KeyService_DeleteAlias_FullMethodName, kmsv1.DeleteAliasRequest_builder{AliasName: "alias/a"}.Build(), &kmsv1.DeleteAliasResponse{})
	got := d.ask(d.root, encryptMethod, kmsv1.EncryptRequest_builder{KeyId: "alias/a", Plaintext: []byte("x")}.Build())
	refuses(t, "a deleted alias", got, codes.NotFound, "NotFoundException", "alias/a is not found")
	if got := create("alias/a", p.keyID); got.code != codes.OK || under("alias/a") != p.keyID {
		t.Errorf("the alias made again: %v", got)
	}
	for _, name := range []string{"", "a", "alias/", "alias/aws/x", "alias/a b", "alias/a:b", "alias/\u00e4", "Alias/a", "alias/" + strings.Repeat("x", 251)} {
		refuses(t, fmt.Sprintf("the name %q", name), create(name, p.keyID), codes.InvalidArgument, "InvalidAliasNameException", "")
	}
	for method, m := range map[string]proto.Message{
		kmsv1.KeyService_DisableKey_FullMethodName:   kmsv1.DisableKeyRequest_builder{KeyId: "alias/a"}.Build(),
		kmsv1.KeyService_PutKeyPolicy_FullMethodName: kmsv1.PutKeyPolicyRequest_builder{KeyId: "alias/a", Policy: keyPolicy}.Build(),
		kmsv1.KeyService_CreateAlias_FullMethodName:  kmsv1.CreateAliasRequest_builder{AliasName: "alias/b", TargetKeyId: "alias/a"}.Build(),
	} {
		refuses(t, short(method)+" by an alias", d.ask(d.root, method, m), codes.NotFound, "NotFoundException", "")
	}
}

// Who may not use a key is not told whether it exists; who may, is.
func TestAbsentKeys(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	nobody := d.User("nobody")
	absent := "arn:aws:kms:local:" + kmstest.Account + ":key/" + crypto.NewKeyID().String()
	foreign := "arn:aws:kms:local:999988887777:key/" + crypto.NewKeyID().String()
	blank := func(a answer, name string) string {
		return fmt.Sprint(a.code, a.reason, strings.ReplaceAll(a.message, name, "NAME"), len(a.status.GetDetails()))
	}
	for method, m := range map[string]func(key string) proto.Message{
		encryptMethod: func(key string) proto.Message {
			return kmsv1.EncryptRequest_builder{KeyId: key, Plaintext: []byte("x")}.Build()
		},
		decryptMethod: func(key string) proto.Message {
			return kmsv1.DecryptRequest_builder{CiphertextBlob: p.blob, KeyId: key}.Build()
		},
		kmsv1.KeyService_DescribeKey_FullMethodName: func(key string) proto.Message { return kmsv1.DescribeKeyRequest_builder{KeyId: key}.Build() },
		kmsv1.KeyService_DisableKey_FullMethodName:  func(key string) proto.Message { return kmsv1.DisableKeyRequest_builder{KeyId: key}.Build() },
		kmsv1.KeyService_GetKeyPolicy_FullMethodName: func(key string) proto.Message {
			return kmsv1.GetKeyPolicyRequest_builder{KeyId: key}.Build()
		},
	} {
		name := short(method)
		there, gone := d.ask(nobody, method, m(p.keyID)), d.ask(nobody, method, m(absent))
		refuses(t, name+" of a key by nobody", there, codes.PermissionDenied, "AccessDeniedException", "")
		if blank(there, p.keyID) != blank(gone, absent) {
			t.Errorf("%s: a key that exists: %v\nabsent: %v", name, there, gone)
		}
		refuses(t, name+" of an absent key by root", d.ask(d.root, method, m(absent)), codes.NotFound, "NotFoundException", "Key '"+absent+"' does not exist")
		for _, who := range []client.Credentials{d.root, nobody} {
			refuses(t, name+" of a foreign key", d.ask(who, method, m(foreign)), codes.PermissionDenied, "AccessDeniedException", "because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access")
		}
	}
	for _, bad := range []string{"x", "key/" + absent, "arn:aws:kms:elsewhere:" + kmstest.Account + ":key/" + crypto.NewKeyID().String(), strings.ToUpper(p.keyID), p.keyID + " ", p.keyID + "\x00"} {
		got := d.ask(d.root, encryptMethod, kmsv1.EncryptRequest_builder{KeyId: bad, Plaintext: []byte("x")}.Build())
		refuses(t, fmt.Sprintf("the key id %q", bad), got, codes.NotFound, "NotFoundException", "")
	}
}

// Rotation adds a version and keeps what was encrypted before.
func TestRotation(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	blobs, materials := [][]byte{p.blob}, map[string]bool{}
	for i := range 25 {
		var out kmsv1.RotateKeyOnDemandResponse
		d.must(kmsv1.KeyService_RotateKeyOnDemand_FullMethodName, kmsv1.RotateKeyOnDemandRequest_builder{KeyId: p.keyID}.Build(), &out)
		materials[out.GetKeyMaterialId()] = true
		blobs = append(blobs, p.encrypt(p.keyID, []byte("plaintext"), nil))
		if len(materials) != i+1 {
			t.Fatalf("rotation %d made a version that was there", i)
		}
	}
	got := d.ask(d.root, kmsv1.KeyService_RotateKeyOnDemand_FullMethodName, kmsv1.RotateKeyOnDemandRequest_builder{KeyId: p.keyID}.Build())
	refuses(t, "the 26th rotation", got, codes.ResourceExhausted, "LimitExceededException", "")
	d.Restart()
	d.root = d.Credentials()
	seen := map[string]bool{}
	for i, blob := range blobs {
		var out kmsv1.DecryptResponse
		d.must(decryptMethod, kmsv1.DecryptRequest_builder{CiphertextBlob: blob}.Build(), &out)
		if string(out.GetPlaintext()) != "plaintext" || seen[out.GetKeyMaterialId()] {
			t.Errorf("ciphertext %d: %q under %s", i, out.GetPlaintext(), out.GetKeyMaterialId())
		}
		seen[out.GetKeyMaterialId()] = true
	}
	var again kmsv1.ReEncryptResponse
	d.must(kmsv1.CryptoService_ReEncrypt_FullMethodName, kmsv1.ReEncryptRequest_builder{
		CiphertextBlob: blobs[0], DestinationKeyId: p.otherID, DestinationEncryptionContext: map[string]string{"b": "c"},
	}.Build(), &again)
	if again.GetSourceKeyId() != p.keyID || again.GetKeyId() != p.otherID || again.GetSourceKeyMaterialId() == again.GetDestinationKeyMaterialId() {
		t.Errorf("ReEncrypt = from %s to %s, want from %s to %s", again.GetSourceKeyId(), again.GetKeyId(), p.keyID, p.otherID)
	}
	if got := d.decrypt(again.GetCiphertextBlob(), map[string]string{"b": "c"}); got.code != codes.OK || plaintextOf(t, got) != "plaintext" {
		t.Errorf("Decrypt of what ReEncrypt made: %v", got)
	}
}

// ReEncrypt needs a permission on each of the two keys.
func TestReEncryptNeedsBothPermissions(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	re := func(who client.Credentials) answer {
		return d.ask(who, kmsv1.CryptoService_ReEncrypt_FullMethodName, kmsv1.ReEncryptRequest_builder{CiphertextBlob: p.blob, DestinationKeyId: p.otherID}.Build())
	}
	from, to := kmstest.Allow([]string{"kms:ReEncryptFrom"}, p.keyID), kmstest.Allow([]string{"kms:ReEncryptTo"}, p.otherID)
	refuses(t, "with ReEncryptFrom only", re(d.User("from", from)), codes.PermissionDenied, "AccessDeniedException", "kms:ReEncryptTo")
	refuses(t, "with ReEncryptTo only", re(d.User("to", to)), codes.PermissionDenied, "AccessDeniedException", "kms:ReEncryptFrom")
	refuses(t, "with Encrypt and Decrypt", re(d.User("plain", kmstest.Allow([]string{"kms:Encrypt", "kms:Decrypt"}))), codes.PermissionDenied, "AccessDeniedException", "")
	if got := re(d.User("both", from, to)); got.code != codes.OK {
		t.Errorf("with both: %v", got)
	}
}
