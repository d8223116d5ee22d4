package server

import (
	"bytes"

	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func checkGetPublicKey(v *violations, r *kmsv1.GetPublicKeyRequest) {
	v.given("key_id", r.GetKeyId())
	v.grantTokens(r.GetGrantTokens())
}

func getPublicKey(c *call, r *kmsv1.GetPublicKeyRequest) (*kmsv1.GetPublicKeyResponse, error) {
	if err := c.grantTokens(r.GetGrantTokens()); err != nil {
		return nil, err
	}
	k, u, err := c.holder(authz.KMSGetPublicKey, "key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	shared, err := u.PublicKey()
	if err != nil {
		return nil, err
	}
	der := bytes.Clone(shared) // an answer that is not given is wiped
	out := kmsv1.GetPublicKeyResponse_builder{
		KeyId: k.ARN, PublicKey: der, KeySpec: keySpecs.value(string(k.Spec)), KeyUsage: keyUsages.value(string(k.Usage)), KeyMaterialId: u.Version.Name,
		PublicKeyCrc32C: proto.Uint32(crypto.CRC32C(der)),
	}
	switch k.Usage {
	case crypto.UsageEncryptDecrypt:
		out.EncryptionAlgorithms = listOf(encryptionAlgorithms, k.Spec.EncryptionAlgorithms())
	case crypto.UsageSignVerify:
		out.SigningAlgorithms = listOf(signingAlgorithms, k.Spec.SigningAlgorithms())
	case crypto.UsageKeyAgreement:
		out.KeyAgreementAlgorithms = listOf(agreementAlgorithms, k.Spec.KeyAgreementAlgorithms())
	case crypto.UsageEncapsulateDecapsulate:
		out.EncapsulationAlgorithms = listOf(encapsulations, k.Spec.EncapsulationAlgorithms())
	}
	return out.Build(), nil
}
