package server

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

const theAlgorithm = kmsv1.EncryptionAlgorithm_ENCRYPTION_ALGORITHM_SYMMETRIC_DEFAULT

// chosen is the algorithm of a request.
func chosen(a kmsv1.EncryptionAlgorithm) kmsv1.EncryptionAlgorithm {
	if a == kmsv1.EncryptionAlgorithm_ENCRYPTION_ALGORITHM_UNSPECIFIED {
		return theAlgorithm
	}
	return a
}

// algorithmOf is the algorithm of a request, by its name.
func algorithmOf(a kmsv1.EncryptionAlgorithm) crypto.EncryptionAlgorithm {
	return crypto.EncryptionAlgorithm(encryptionAlgorithms.name(chosen(a)))
}

// algorithm checks an algorithm, and that there is no encryption context with one that has none.
func (v *violations) algorithm(field string, a kmsv1.EncryptionAlgorithm, contextField string, pairs map[string]string) {
	encryptionAlgorithms.check(v, field, a, false)
	if len(pairs) > 0 && !symmetric(algorithmOf(a)) {
		v.add(contextField, "is given: only a symmetric key takes an encryption context")
	}
}

func checkEncrypt(v *violations, r *kmsv1.EncryptRequest) {
	v.bytes("plaintext", r.GetPlaintext(), 1, maxPlaintext)
	v.algorithm("encryption_algorithm", r.GetEncryptionAlgorithm(), "encryption_context", r.GetEncryptionContext())
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
	a := algorithmOf(r.GetEncryptionAlgorithm())
	c.encryptsWith(a)
	k, u, err := c.holder(authz.KMSEncrypt, "key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	blob, err := seal(u, a, r.GetPlaintext(), ec)
	if err != nil {
		return nil, err
	}
	return kmsv1.EncryptResponse_builder{
		CiphertextBlob: blob, KeyId: k.ARN, KeyMaterialId: u.Version.Name, EncryptionAlgorithm: chosen(r.GetEncryptionAlgorithm()),
		VerifiedPlaintextCrc32C: r.HasPlaintextCrc32C(), CiphertextBlobCrc32C: proto.Uint32(crypto.CRC32C(blob)),
	}.Build(), nil
}

func checkDecrypt(v *violations, r *kmsv1.DecryptRequest) {
	v.ciphertext(r, r.GetKeyId(), "key_id", r.GetEncryptionAlgorithm())
	v.algorithm("encryption_algorithm", r.GetEncryptionAlgorithm(), "encryption_context", r.GetEncryptionContext())
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
func (v *violations) ciphertext(r decrypting, keyID, field string, a kmsv1.EncryptionAlgorithm) {
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
	case !symmetric(algorithmOf(a)) && encryptionAlgorithms.name(a) != "" && keyID == "":
		v.add(field, "is missing: a ciphertext of an asymmetric key does not name its key")
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
	a := algorithmOf(r.GetEncryptionAlgorithm())
	c.encryptsWith(a)
	if ignoresCiphertext(r) {
		t, err := c.target("key_id", r.GetKeyId())
		if err != nil {
			return nil, err
		}
		return nil, c.mayUse(authz.KMSDecrypt, a, t)
	}
	s, err := c.sealed(a, "key_id", r.GetKeyId(), r.GetCiphertextBlob())
	if err != nil {
		return nil, err
	}
	k, u, err := c.decryptWith(authz.KMSDecrypt, s)
	if err != nil {
		return nil, err
	}
	plaintext, err := s.open(u, r.GetCiphertextBlob(), ec)
	if err != nil {
		return nil, err
	}
	return kmsv1.DecryptResponse_builder{
		Plaintext: plaintext, KeyId: k.ARN, KeyMaterialId: u.Version.Name, EncryptionAlgorithm: chosen(r.GetEncryptionAlgorithm()),
		VerifiedCiphertextBlobCrc32C: r.HasCiphertextBlobCrc32C(), PlaintextCrc32C: proto.Uint32(crypto.CRC32C(plaintext)),
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
