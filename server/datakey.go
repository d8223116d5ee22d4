package server

import (
	"crypto/rand"

	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// dataKeyRequest is what the two operations have in common.
type dataKeyRequest interface {
	GetKeyId() string
	GetEncryptionContext() map[string]string
	GetKeySpec() kmsv1.DataKeySpec
	GetNumberOfBytes() int32
	GetGrantTokens() []string
}

func checkDataKey(v *violations, r dataKeyRequest) {
	v.grantTokens(r.GetGrantTokens())
	v.enum("key_spec", int32(r.GetKeySpec()), int32(kmsv1.DataKeySpec_DATA_KEY_SPEC_AES_128))
	named := r.GetKeySpec() != kmsv1.DataKeySpec_DATA_KEY_SPEC_UNSPECIFIED
	switch n := r.GetNumberOfBytes(); {
	case named && n != 0:
		v.add("number_of_bytes", "is given beside key_spec: give one of them")
	case !named && (n < 1 || n > maxRandom):
		v.add("number_of_bytes", "is %d, must be 1 to %d, unless key_spec is given", n, maxRandom)
	}
}

func dataKeyLength(r dataKeyRequest) int {
	switch r.GetKeySpec() {
	case kmsv1.DataKeySpec_DATA_KEY_SPEC_AES_256:
		return 32
	case kmsv1.DataKeySpec_DATA_KEY_SPEC_AES_128:
		return 16
	}
	return int(r.GetNumberOfBytes())
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand ends the process instead
	return b
}

// dataKey is a data key in clear and encrypted, and what it is encrypted under.
type dataKey struct {
	plaintext, blob  []byte
	keyARN, material string
}

func (c *call) dataKey(a authz.Action, r dataKeyRequest) (dataKey, error) {
	ec, err := c.context("encryption_context", r.GetEncryptionContext())
	if err != nil {
		return dataKey{}, err
	}
	if err := c.grantTokens(r.GetGrantTokens()); err != nil {
		return dataKey{}, err
	}
	c.encryptsWith(crypto.EncryptSymmetricDefault)
	n := dataKeyLength(r)
	c.param(audit.Int("numberOfBytes", int64(n)))
	k, u, err := c.holder(a, "key_id", r.GetKeyId())
	if err != nil {
		return dataKey{}, err
	}
	plaintext := random(n)
	blob, err := u.Encrypt(make([]byte, 0, n+crypto.Overhead), plaintext, ec)
	if err != nil {
		return dataKey{}, err
	}
	return dataKey{plaintext, blob, k.ARN, u.Version.Name}, nil
}

func checkGenerateDataKey(v *violations, r *kmsv1.GenerateDataKeyRequest) { checkDataKey(v, r) }

func generateDataKey(c *call, r *kmsv1.GenerateDataKeyRequest) (*kmsv1.GenerateDataKeyResponse, error) {
	d, err := c.dataKey(authz.KMSGenerateDataKey, r)
	if err != nil {
		return nil, err
	}
	return kmsv1.GenerateDataKeyResponse_builder{
		CiphertextBlob: d.blob, Plaintext: d.plaintext, KeyId: d.keyARN, KeyMaterialId: d.material,
		CiphertextBlobCrc32C: proto.Uint32(crypto.CRC32C(d.blob)), PlaintextCrc32C: proto.Uint32(crypto.CRC32C(d.plaintext)),
	}.Build(), nil
}

func checkGenerateDataKeyWithoutPlaintext(v *violations, r *kmsv1.GenerateDataKeyWithoutPlaintextRequest) {
	checkDataKey(v, r)
}

func generateDataKeyWithoutPlaintext(c *call, r *kmsv1.GenerateDataKeyWithoutPlaintextRequest) (*kmsv1.GenerateDataKeyWithoutPlaintextResponse, error) {
	d, err := c.dataKey(authz.KMSGenerateDataKeyWithoutPlaintext, r)
	if err != nil {
		return nil, err
	}
	clear(d.plaintext)
	return kmsv1.GenerateDataKeyWithoutPlaintextResponse_builder{
		CiphertextBlob: d.blob, KeyId: d.keyARN, KeyMaterialId: d.material, CiphertextBlobCrc32C: proto.Uint32(crypto.CRC32C(d.blob)),
	}.Build(), nil
}
