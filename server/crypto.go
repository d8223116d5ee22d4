package server

import (
	"crypto/rand"
	"slices"

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
	v.grantTokens(r.GetGrantTokens())
}

func encrypt(c *call, r *kmsv1.EncryptRequest) (*kmsv1.EncryptResponse, error) {
	ec, err := c.context("encryption_context", r.GetEncryptionContext())
	if err != nil {
		return nil, err
	}
	if err := c.grantTokens(r.GetGrantTokens()); err != nil {
		return nil, err
	}
	c.facts.Set(authz.CtxEncryptionAlgorithm, symmetricDefault)
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
	c.facts.EncryptionContext.Set(pairs)
	return ec, nil
}

func checkDecrypt(v *violations, r *kmsv1.DecryptRequest) {
	v.ciphertext(r, r.GetKeyId(), "key_id")
	v.algorithm("encryption_algorithm", r.GetEncryptionAlgorithm())
	v.checksum("ciphertext_blob_crc32c", r.HasCiphertextBlobCrc32C(), r.GetCiphertextBlobCrc32C(), r.GetCiphertextBlob())
	v.grantTokens(r.GetGrantTokens())
}

// decrypting is what the requests that bring a ciphertext have in common.
type decrypting interface {
	GetCiphertextBlob() []byte
	GetDryRun() bool
	GetDryRunModifiers() []kmsv1.DryRunModifier
}

// ignoresCiphertext reports whether a dry run is only about the permission.
func ignoresCiphertext(r decrypting) bool {
	return slices.Contains(r.GetDryRunModifiers(), kmsv1.DryRunModifier_DRY_RUN_MODIFIER_IGNORE_CIPHERTEXT)
}

// ciphertext checks the ciphertext of a request, which a dry run may do without if it names the key.
func (v *violations) ciphertext(r decrypting, keyID, field string) {
	for _, m := range r.GetDryRunModifiers() {
		if m != kmsv1.DryRunModifier_DRY_RUN_MODIFIER_IGNORE_CIPHERTEXT {
			v.add("dry_run_modifiers", "has the unknown value %d", m)
		}
	}
	switch {
	case len(r.GetDryRunModifiers()) > 0 && !r.GetDryRun():
		v.add("dry_run_modifiers", "is given without dry_run")
	case ignoresCiphertext(r) && keyID == "":
		v.add(field, "is missing: without a ciphertext nothing else names the key")
	case !ignoresCiphertext(r):
		v.bytes("ciphertext_blob", r.GetCiphertextBlob(), 1, maxCiphertext)
	}
}

func decrypt(c *call, r *kmsv1.DecryptRequest) (*kmsv1.DecryptResponse, error) {
	ec, err := c.context("encryption_context", r.GetEncryptionContext())
	if err != nil {
		return nil, err
	}
	if err := c.grantTokens(r.GetGrantTokens()); err != nil {
		return nil, err
	}
	c.facts.Set(authz.CtxEncryptionAlgorithm, symmetricDefault)
	if ignoresCiphertext(r) {
		t, err := c.target("key_id", r.GetKeyId())
		if err != nil {
			return nil, err
		}
		return nil, c.mayDecrypt(authz.KMSDecrypt, t)
	}
	s, err := c.sealed("key_id", r.GetKeyId(), r.GetCiphertextBlob())
	if err != nil {
		return nil, err
	}
	k, u, err := c.decryptWith(authz.KMSDecrypt, s)
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
	v.ciphertext(r, r.GetSourceKeyId(), "source_key_id")
	v.algorithm("source_encryption_algorithm", r.GetSourceEncryptionAlgorithm())
	v.algorithm("destination_encryption_algorithm", r.GetDestinationEncryptionAlgorithm())
	v.checksum("ciphertext_blob_crc32c", r.HasCiphertextBlobCrc32C(), r.GetCiphertextBlobCrc32C(), r.GetCiphertextBlob())
	v.grantTokens(r.GetGrantTokens())
}

// reEncryption is the two sides of a ReEncrypt, resolved and not yet authorized.
type reEncryption struct {
	sourceContext, destinationContext crypto.Context
	source                            sealed
	destination                       target
}

func (c *call) reEncryption(r *kmsv1.ReEncryptRequest) (e reEncryption, err error) {
	if err := c.grantTokens(r.GetGrantTokens()); err != nil {
		return e, err
	}
	if e.sourceContext, err = c.context("source_encryption_context", r.GetSourceEncryptionContext()); err != nil {
		return e, err
	}
	var v violations
	e.destinationContext = v.context("destination_encryption_context", r.GetDestinationEncryptionContext())
	if err := v.err(); err != nil {
		return e, err
	}
	c.param(audit.Context("destinationEncryptionContext", r.GetDestinationEncryptionContext()))
	if ignoresCiphertext(r) {
		e.source.key, err = c.target("source_key_id", r.GetSourceKeyId())
	} else {
		e.source, err = c.sealed("source_key_id", r.GetSourceKeyId(), r.GetCiphertextBlob())
	}
	if err != nil {
		return e, err
	}
	sourceKey := c.event.Key
	if e.destination, err = c.target("destination_key_id", r.GetDestinationKeyId()); err != nil {
		return e, err
	}
	c.event.Key = sourceKey // until the destination is used
	c.facts.Set(authz.CtxEncryptionAlgorithm, symmetricDefault)
	same := e.source.key.key != nil && e.destination.key != nil && e.source.key.key.ID == e.destination.key.ID
	c.facts.SetBool(authz.CtxReEncryptOnSameKey, same)
	return e, nil
}

func reEncrypt(c *call, r *kmsv1.ReEncryptRequest) (*kmsv1.ReEncryptResponse, error) {
	e, err := c.reEncryption(r)
	if err != nil {
		return nil, err
	}
	if ignoresCiphertext(r) {
		if err := c.mayDecrypt(authz.KMSReEncryptFrom, e.source.key); err != nil {
			return nil, err
		}
		c.facts.EncryptionContext.Set(r.GetDestinationEncryptionContext())
		_, _, err := c.encryptUnder(authz.KMSReEncryptTo, e.destination)
		return nil, err
	}
	source, from, err := c.decryptWith(authz.KMSReEncryptFrom, e.source)
	if err != nil {
		return nil, err
	}
	c.facts.EncryptionContext.Set(r.GetDestinationEncryptionContext())
	destination, to, err := c.encryptUnder(authz.KMSReEncryptTo, e.destination)
	if err != nil {
		return nil, err
	}
	c.param(audit.String("sourceKeyMaterialId", from.Version.Name))
	plaintext, err := from.Decrypt(nil, r.GetCiphertextBlob(), e.sourceContext)
	if err != nil {
		return nil, err
	}
	defer clear(plaintext)
	blob, err := to.Encrypt(make([]byte, 0, len(plaintext)+crypto.Overhead), plaintext, e.destinationContext)
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
	c.facts.Set(authz.CtxEncryptionAlgorithm, symmetricDefault)
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
