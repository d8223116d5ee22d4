package server

import (
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// The one algorithm of each kind, which is taken if none is given.
const (
	theAgreement     = kmsv1.KeyAgreementAlgorithmSpec_KEY_AGREEMENT_ALGORITHM_SPEC_ECDH
	theEncapsulation = kmsv1.EncapsulationAlgorithmSpec_ENCAPSULATION_ALGORITHM_SPEC_ML_KEM
)

func checkDeriveSharedSecret(v *violations, r *kmsv1.DeriveSharedSecretRequest) {
	agreementAlgorithms.check(v, "key_agreement_algorithm", r.GetKeyAgreementAlgorithm(), false)
	v.bytes("public_key", r.GetPublicKey(), 1, maxPublicKey)
	v.checksum("public_key_crc32c", r.HasPublicKeyCrc32C(), r.GetPublicKeyCrc32C(), r.GetPublicKey())
	v.grantTokens(r.GetGrantTokens())
}

func deriveSharedSecret(c *call, r *kmsv1.DeriveSharedSecretRequest) (*kmsv1.DeriveSharedSecretResponse, error) {
	if err := c.grantTokens(r.GetGrantTokens()); err != nil {
		return nil, err
	}
	c.algorithm = agreementAlgorithms.name(theAgreement)
	c.facts.Set(authz.CtxKeyAgreementAlgorithm, c.algorithm)
	k, u, err := c.holder(authz.KMSDeriveSharedSecret, "key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	secret, err := u.DeriveSharedSecret(crypto.KeyAgreementAlgorithm(c.algorithm), r.GetPublicKey())
	if err != nil {
		return nil, err
	}
	return kmsv1.DeriveSharedSecretResponse_builder{
		KeyId: k.ARN, SharedSecret: secret, KeyAgreementAlgorithm: theAgreement, KeyOrigin: origins.value(string(k.Origin)), KeyMaterialId: u.Version.Name,
		VerifiedPublicKeyCrc32C: r.HasPublicKeyCrc32C(), SharedSecretCrc32C: proto.Uint32(crypto.CRC32C(secret)),
	}.Build(), nil
}

func checkEncapsulate(v *violations, r *kmsv1.EncapsulateRequest) {
	encapsulations.check(v, "encapsulation_algorithm", r.GetEncapsulationAlgorithm(), false)
	v.grantTokens(r.GetGrantTokens())
}

func encapsulate(c *call, r *kmsv1.EncapsulateRequest) (*kmsv1.EncapsulateResponse, error) {
	if err := c.grantTokens(r.GetGrantTokens()); err != nil {
		return nil, err
	}
	c.algorithm = encapsulations.name(theEncapsulation)
	k, u, err := c.holder(authz.KMSEncapsulate, "key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	blob, secret, err := u.Encapsulate(crypto.EncapsulationAlgorithm(c.algorithm))
	if err != nil {
		return nil, err
	}
	return kmsv1.EncapsulateResponse_builder{
		KeyId: k.ARN, SharedSecret: secret, SharedSecretCiphertextBlob: blob, EncapsulationAlgorithm: theEncapsulation, KeyMaterialId: u.Version.Name,
		SharedSecretCrc32C: proto.Uint32(crypto.CRC32C(secret)), SharedSecretCiphertextBlobCrc32C: proto.Uint32(crypto.CRC32C(blob)),
	}.Build(), nil
}

func checkDecapsulate(v *violations, r *kmsv1.DecapsulateRequest) {
	encapsulations.check(v, "encapsulation_algorithm", r.GetEncapsulationAlgorithm(), false)
	v.bytes("shared_secret_ciphertext_blob", r.GetSharedSecretCiphertextBlob(), 1, maxSigned)
	v.checksum("shared_secret_ciphertext_blob_crc32c", r.HasSharedSecretCiphertextBlobCrc32C(), r.GetSharedSecretCiphertextBlobCrc32C(), r.GetSharedSecretCiphertextBlob())
	v.grantTokens(r.GetGrantTokens())
}

func decapsulate(c *call, r *kmsv1.DecapsulateRequest) (*kmsv1.DecapsulateResponse, error) {
	if err := c.grantTokens(r.GetGrantTokens()); err != nil {
		return nil, err
	}
	c.algorithm = encapsulations.name(theEncapsulation)
	k, u, err := c.holder(authz.KMSDecapsulate, "key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	secret, err := u.Decapsulate(crypto.EncapsulationAlgorithm(c.algorithm), r.GetSharedSecretCiphertextBlob())
	if err != nil {
		return nil, err
	}
	return kmsv1.DecapsulateResponse_builder{
		KeyId: k.ARN, SharedSecret: secret, EncapsulationAlgorithm: theEncapsulation, KeyMaterialId: u.Version.Name,
		VerifiedSharedSecretCiphertextBlobCrc32C: r.HasSharedSecretCiphertextBlobCrc32C(), SharedSecretCrc32C: proto.Uint32(crypto.CRC32C(secret)),
	}.Build(), nil
}
