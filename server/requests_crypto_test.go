package server_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

const (
	hmac256  = kmsv1.KeySpec_KEY_SPEC_HMAC_256
	p256     = kmsv1.KeySpec_KEY_SPEC_ECC_NIST_P256
	mlkem768 = kmsv1.KeySpec_KEY_SPEC_ML_KEM_768

	forMACs        = kmsv1.KeyUsage_KEY_USAGE_GENERATE_VERIFY_MAC
	forSigning     = kmsv1.KeyUsage_KEY_USAGE_SIGN_VERIFY
	forAgreement   = kmsv1.KeyUsage_KEY_USAGE_KEY_AGREEMENT
	forEncapsulate = kmsv1.KeyUsage_KEY_USAGE_ENCAPSULATE_DECAPSULATE

	hmacSHA256  = kmsv1.MacAlgorithmSpec_MAC_ALGORITHM_SPEC_HMAC_SHA_256
	ecdsaSHA256 = kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_ECDSA_SHA_256
	pairOfP256  = kmsv1.DataKeyPairSpec_DATA_KEY_PAIR_SPEC_ECC_NIST_P256
)

// keyOf makes a key of a spec, with a tag and an alias, and returns its ARN.
func (p *props) keyOf(spec kmsv1.KeySpec, usage kmsv1.KeyUsage) string {
	p.t.Helper()
	k := must[*kmsv1.CreateKeyResponse](p)(p.Root().Keys().CreateKey(p.t.Context(), kmsv1.CreateKeyRequest_builder{
		KeySpec: spec, KeyUsage: usage, Tags: []*kmsv1.Tag{kmsv1.Tag_builder{TagKey: "team", TagValue: "red"}.Build()},
	}.Build())).GetKeyMetadata()
	must[*kmsv1.CreateAliasResponse](p)(p.Root().Keys().CreateAlias(p.t.Context(), kmsv1.CreateAliasRequest_builder{AliasName: usualAlias(k.GetArn()), TargetKeyId: k.GetKeyId()}.Build()))
	return k.GetArn()
}

// peer is the public key of somebody else on P-256.
func peer(t testing.TB) []byte {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (p *props) generateMac() *kmsv1.GenerateMacRequest {
	return kmsv1.GenerateMacRequest_builder{KeyId: p.keyOf(hmac256, forMACs), Message: []byte("message"), MacAlgorithm: hmacSHA256}.Build()
}

func (p *props) verifyMac() *kmsv1.VerifyMacRequest {
	in := p.generateMac()
	out := must[*kmsv1.GenerateMacResponse](p)(p.Root().Crypto().GenerateMac(p.t.Context(), in))
	return kmsv1.VerifyMacRequest_builder{KeyId: in.GetKeyId(), Message: in.GetMessage(), Mac: out.GetMac(), MacAlgorithm: hmacSHA256}.Build()
}

func (p *props) sign() *kmsv1.SignRequest {
	return kmsv1.SignRequest_builder{KeyId: p.keyOf(p256, forSigning), Message: []byte("message"), SigningAlgorithm: ecdsaSHA256}.Build()
}

func (p *props) verify() *kmsv1.VerifyRequest {
	in := p.sign()
	out := must[*kmsv1.SignResponse](p)(p.Root().Crypto().Sign(p.t.Context(), in))
	return kmsv1.VerifyRequest_builder{KeyId: in.GetKeyId(), Message: in.GetMessage(), Signature: out.GetSignature(), SigningAlgorithm: ecdsaSHA256}.Build()
}

func (p *props) deriveSharedSecret() *kmsv1.DeriveSharedSecretRequest {
	return kmsv1.DeriveSharedSecretRequest_builder{KeyId: p.keyOf(p256, forAgreement), PublicKey: peer(p.t)}.Build()
}

func (p *props) encapsulate() *kmsv1.EncapsulateRequest {
	return kmsv1.EncapsulateRequest_builder{KeyId: p.keyOf(mlkem768, forEncapsulate)}.Build()
}

func (p *props) decapsulate() *kmsv1.DecapsulateRequest {
	in := p.encapsulate()
	out := must[*kmsv1.EncapsulateResponse](p)(p.Root().Crypto().Encapsulate(p.t.Context(), in))
	return kmsv1.DecapsulateRequest_builder{KeyId: in.GetKeyId(), SharedSecretCiphertextBlob: out.GetSharedSecretCiphertextBlob()}.Build()
}

// batchOf is a batch of an encryption and a data key.
func (p *props) batchOf() *kmsv1.BatchCryptoRequest {
	return kmsv1.BatchCryptoRequest_builder{Items: []*kmsv1.BatchItem{encryptItem(p.keyID), kmsv1.BatchItem_builder{
		GenerateDataKey: kmsv1.GenerateDataKeyRequest_builder{KeyId: p.keyID, NumberOfBytes: 32}.Build(),
	}.Build()}}.Build()
}

func encryptItem(key string) *kmsv1.BatchItem {
	return kmsv1.BatchItem_builder{Encrypt: kmsv1.EncryptRequest_builder{KeyId: key, Plaintext: []byte("plaintext")}.Build()}.Build()
}

// asymmetricSpecimens are those of the keys that are not symmetric, and of batches.
func asymmetricSpecimens() map[string]specimen {
	return map[string]specimen{
		kmsv1.CryptoService_GenerateMac_FullMethodName: {
			valid:   func(p *props) proto.Message { return p.generateMac() },
			invalid: kmsv1.GenerateMacRequest_builder{KeyId: "x", Message: []byte("m")}.Build(),
		},
		kmsv1.CryptoService_VerifyMac_FullMethodName: {
			valid:   func(p *props) proto.Message { return p.verifyMac() },
			invalid: kmsv1.VerifyMacRequest_builder{KeyId: "x", Message: []byte("m"), MacAlgorithm: hmacSHA256}.Build(),
		},
		kmsv1.CryptoService_Sign_FullMethodName: {
			valid:   func(p *props) proto.Message { return p.sign() },
			invalid: kmsv1.SignRequest_builder{KeyId: "x", Message: make([]byte, 4097), SigningAlgorithm: ecdsaSHA256}.Build(),
		},
		kmsv1.CryptoService_Verify_FullMethodName: {
			valid:   func(p *props) proto.Message { return p.verify() },
			invalid: kmsv1.VerifyRequest_builder{KeyId: "x", Message: []byte("m"), Signature: []byte("s")}.Build(),
		},
		kmsv1.CryptoService_DeriveSharedSecret_FullMethodName: {
			valid:   func(p *props) proto.Message { return p.deriveSharedSecret() },
			invalid: kmsv1.DeriveSharedSecretRequest_builder{KeyId: "x"}.Build(),
		},
		kmsv1.CryptoService_Encapsulate_FullMethodName: {
			valid:   func(p *props) proto.Message { return p.encapsulate() },
			invalid: kmsv1.EncapsulateRequest_builder{KeyId: "x", EncapsulationAlgorithm: 99}.Build(),
		},
		kmsv1.CryptoService_Decapsulate_FullMethodName: {
			valid:   func(p *props) proto.Message { return p.decapsulate() },
			invalid: kmsv1.DecapsulateRequest_builder{KeyId: "x"}.Build(),
		},
		kmsv1.CryptoService_GenerateDataKeyPair_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.GenerateDataKeyPairRequest_builder{KeyId: p.keyID, KeyPairSpec: pairOfP256}.Build()
			},
			invalid: kmsv1.GenerateDataKeyPairRequest_builder{KeyId: "x"}.Build(),
		},
		kmsv1.CryptoService_GenerateDataKeyPairWithoutPlaintext_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.GenerateDataKeyPairWithoutPlaintextRequest_builder{KeyId: p.keyID, KeyPairSpec: pairOfP256}.Build()
			},
			invalid: kmsv1.GenerateDataKeyPairWithoutPlaintextRequest_builder{KeyId: "x"}.Build(),
		},
		kmsv1.KeyService_GetPublicKey_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.GetPublicKeyRequest_builder{KeyId: p.keyOf(p256, forSigning)}.Build()
			},
			invalid: &kmsv1.GetPublicKeyRequest{},
		},
		kmsv1.BatchService_BatchCrypto_FullMethodName: {
			valid:   func(p *props) proto.Message { return p.batchOf() },
			invalid: &kmsv1.BatchCryptoRequest{},
		},
		kmsv1.BatchService_StreamCrypto_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.StreamCryptoRequest_builder{Sequence: 7, Item: encryptItem(p.keyID)}.Build()
			},
		},
	}
}

// fullAsymmetricSpecimens are fullSpecimens of them.
func fullAsymmetricSpecimens() map[string]func(p *props) proto.Message {
	ec := map[string]string{"app": "web"}
	byAlias := func(m proto.Message) proto.Message {
		fd := m.ProtoReflect().Descriptor().Fields().ByName("key_id")
		m.ProtoReflect().Set(fd, stringValue(usualAlias(m.ProtoReflect().Get(fd).String())))
		return m
	}
	all := map[string]func(p *props) proto.Message{
		kmsv1.CryptoService_GenerateDataKeyPair_FullMethodName: func(p *props) proto.Message {
			return kmsv1.GenerateDataKeyPairRequest_builder{KeyId: usualAlias(p.keyID), KeyPairSpec: pairOfP256, EncryptionContext: ec}.Build()
		},
		kmsv1.CryptoService_GenerateDataKeyPairWithoutPlaintext_FullMethodName: func(p *props) proto.Message {
			return kmsv1.GenerateDataKeyPairWithoutPlaintextRequest_builder{KeyId: usualAlias(p.keyID), KeyPairSpec: pairOfP256, EncryptionContext: ec}.Build()
		},
	}
	for method, row := range asymmetricSpecimens() {
		if all[method] == nil && !perItem(method) {
			all[method] = func(p *props) proto.Message { return byAlias(row.valid(p)) }
		}
	}
	return all
}

// perItem reports whether a method asks for no permission of its own, but for those of the requests in it.
func perItem(method string) bool { return strings.Contains(method, ".BatchService/") }

func stringValue(s string) protoreflect.Value { return protoreflect.ValueOfString(s) }
