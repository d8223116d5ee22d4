package server

import (
	"crypto/rand"

	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

const theAlgorithm = kmsv1.EncryptionAlgorithm_ENCRYPTION_ALGORITHM_SYMMETRIC_DEFAULT

func (v *violations) algorithm(field string, a kmsv1.EncryptionAlgorithm) {
	v.enum(field, int32(a), int32(theAlgorithm))
}

func checkEncrypt(v *violations, r *kmsv1.EncryptRequest) {
	v.bytes("plaintext", r.GetPlaintext(), 1, maxPlaintext)
	v.algorithm("encryption_algorithm", r.GetEncryptionAlgorithm())
	v.checksum("plaintext_crc32c", r.HasPlaintextCrc32C(), r.GetPlaintextCrc32C(), r.GetPlaintext())
}

func encrypt(c *call, r *kmsv1.EncryptRequest) (*kmsv1.EncryptResponse, error) {
	ec, err := c.context("encryption_context", r.GetEncryptionContext())
	if err != nil {
		return nil, err
	}
	k, u, err := c.encrypter(authz.KMSEncrypt, "key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	blob, err := u.Encrypt(make([]byte, 0, len(r.GetPlaintext())+crypto.Overhead), r.GetPlaintext(), ec)
	if err != nil {
		return nil, err
	}
	return kmsv1.EncryptResponse_builder{
		CiphertextBlob: blob, KeyId: k.ARN, KeyMaterialId: u.Version.Name, EncryptionAlgorithm: theAlgorithm,
		VerifiedPlaintextCrc32C: r.HasPlaintextCrc32C(), CiphertextBlobCrc32C: proto.Uint32(crypto.CRC32C(blob)),
	}.Build(), nil
}

// context reads an encryption context and notes it in the event.
func (c *call) context(field string, pairs map[string]string) (crypto.Context, error) {
	var v violations
	ec := v.context(field, pairs)
	if err := v.err(); err != nil {
		return crypto.Context{}, err
	}
	c.event.EncryptionContext = pairs
	return ec, nil
}

func checkDecrypt(v *violations, r *kmsv1.DecryptRequest) {
	v.bytes("ciphertext_blob", r.GetCiphertextBlob(), 1, maxCiphertext)
	v.algorithm("encryption_algorithm", r.GetEncryptionAlgorithm())
	v.checksum("ciphertext_blob_crc32c", r.HasCiphertextBlobCrc32C(), r.GetCiphertextBlobCrc32C(), r.GetCiphertextBlob())
}

func decrypt(c *call, r *kmsv1.DecryptRequest) (*kmsv1.DecryptResponse, error) {
	ec, err := c.context("encryption_context", r.GetEncryptionContext())
	if err != nil {
		return nil, err
	}
	k, u, err := c.decrypter(authz.KMSDecrypt, "key_id", r.GetKeyId(), r.GetCiphertextBlob())
	if err != nil {
		return nil, err
	}
	plaintext, err := u.Decrypt(nil, r.GetCiphertextBlob(), ec)
	if err != nil {
		return nil, err
	}
	return kmsv1.DecryptResponse_builder{
		Plaintext: plaintext, KeyId: k.ARN, KeyMaterialId: u.Version.Name, EncryptionAlgorithm: theAlgorithm,
		VerifiedCiphertextBlobCrc32C: r.HasCiphertextBlobCrc32C(), PlaintextCrc32C: proto.Uint32(crypto.CRC32C(plaintext)),
	}.Build(), nil
}

func checkReEncrypt(v *violations, r *kmsv1.ReEncryptRequest) {
	v.bytes("ciphertext_blob", r.GetCiphertextBlob(), 1, maxCiphertext)
	v.algorithm("source_encryption_algorithm", r.GetSourceEncryptionAlgorithm())
	v.algorithm("destination_encryption_algorithm", r.GetDestinationEncryptionAlgorithm())
	v.checksum("ciphertext_blob_crc32c", r.HasCiphertextBlobCrc32C(), r.GetCiphertextBlobCrc32C(), r.GetCiphertextBlob())
}

func reEncrypt(c *call, r *kmsv1.ReEncryptRequest) (*kmsv1.ReEncryptResponse, error) {
	sourceContext, err := c.context("source_encryption_context", r.GetSourceEncryptionContext())
	if err != nil {
		return nil, err
	}
	var v violations
	destinationContext := v.context("destination_encryption_context", r.GetDestinationEncryptionContext())
	if err := v.err(); err != nil {
		return nil, err
	}
	c.param(audit.Context("destinationEncryptionContext", r.GetDestinationEncryptionContext()))
	source, from, err := c.decrypter(authz.KMSReEncryptFrom, "source_key_id", r.GetSourceKeyId(), r.GetCiphertextBlob())
	if err != nil {
		return nil, err
	}
	sourceKey := c.event.Key
	destination, to, err := c.encrypter(authz.KMSReEncryptTo, "destination_key_id", r.GetDestinationKeyId())
	if err != nil {
		return nil, err
	}
	c.param(audit.String("sourceKeyMaterialId", sourceKey.MaterialID))
	plaintext, err := from.Decrypt(nil, r.GetCiphertextBlob(), sourceContext)
	if err != nil {
		return nil, err
	}
	defer clear(plaintext)
	blob, err := to.Encrypt(make([]byte, 0, len(plaintext)+crypto.Overhead), plaintext, destinationContext)
	if err != nil {
		return nil, err
	}
	return kmsv1.ReEncryptResponse_builder{
		CiphertextBlob: blob, SourceKeyId: source.ARN, KeyId: destination.ARN,
		SourceKeyMaterialId: from.Version.Name, DestinationKeyMaterialId: to.Version.Name,
		SourceEncryptionAlgorithm: theAlgorithm, DestinationEncryptionAlgorithm: theAlgorithm,
		VerifiedCiphertextBlobCrc32C: r.HasCiphertextBlobCrc32C(), CiphertextBlobCrc32C: proto.Uint32(crypto.CRC32C(blob)),
	}.Build(), nil
}

// dataKeyRequest is what the two operations have in common.
type dataKeyRequest interface {
	GetKeyId() string
	GetEncryptionContext() map[string]string
	GetKeySpec() kmsv1.DataKeySpec
	GetNumberOfBytes() int32
}

func checkDataKey(v *violations, r dataKeyRequest) {
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
	n := dataKeyLength(r)
	c.param(audit.Int("numberOfBytes", int64(n)))
	k, u, err := c.encrypter(a, "key_id", r.GetKeyId())
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

func checkGenerateRandom(v *violations, r *kmsv1.GenerateRandomRequest) {
	if n := r.GetNumberOfBytes(); n < 1 || n > maxRandom {
		v.add("number_of_bytes", "is %d, must be 1 to %d", n, maxRandom)
	}
}

func generateRandom(c *call, r *kmsv1.GenerateRandomRequest) (*kmsv1.GenerateRandomResponse, error) {
	c.param(audit.Int("numberOfBytes", int64(r.GetNumberOfBytes())))
	if _, err := c.allow(authz.KMSGenerateRandom, nothing); err != nil {
		return nil, err
	}
	b := random(int(r.GetNumberOfBytes()))
	return kmsv1.GenerateRandomResponse_builder{Plaintext: b, PlaintextCrc32C: proto.Uint32(crypto.CRC32C(b))}.Build(), nil
}
