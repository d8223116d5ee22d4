package server_test

import (
	"crypto/rsa"
	"crypto/sha3"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/vectors"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

const (
	mldsa = kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_ML_DSA_SHAKE_256

	raw        = kmsv1.MessageType_MESSAGE_TYPE_RAW
	digest     = kmsv1.MessageType_MESSAGE_TYPE_DIGEST
	externalMu = kmsv1.MessageType_MESSAGE_TYPE_EXTERNAL_MU
)

// The algorithms by what the files call them.
var (
	vectorRSA = map[int]crypto.Spec{2048: crypto.SpecRSA2048, 3072: crypto.SpecRSA3072, 4096: crypto.SpecRSA4096}
	vectorPSS = map[string]kmsv1.SigningAlgorithmSpec{
		"SHA-256": kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_RSASSA_PSS_SHA_256,
		"SHA-384": kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_RSASSA_PSS_SHA_384,
		"SHA-512": kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_RSASSA_PSS_SHA_512,
	}
	vectorPKCS1 = map[string]kmsv1.SigningAlgorithmSpec{
		"SHA-256": kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_RSASSA_PKCS1_V1_5_SHA_256,
		"SHA-384": kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_RSASSA_PKCS1_V1_5_SHA_384,
		"SHA-512": kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_RSASSA_PKCS1_V1_5_SHA_512,
	}
	vectorOAEP = map[string]kmsv1.EncryptionAlgorithm{
		"SHA-1":   kmsv1.EncryptionAlgorithm_ENCRYPTION_ALGORITHM_RSAES_OAEP_SHA_1,
		"SHA-256": kmsv1.EncryptionAlgorithm_ENCRYPTION_ALGORITHM_RSAES_OAEP_SHA_256,
	}
	vectorSalt = map[string]int{"SHA-256": 32, "SHA-384": 48, "SHA-512": 64} // as long as the hash
)

func verifyItem(key string, a kmsv1.SigningAlgorithmSpec, mt kmsv1.MessageType, message, signature []byte) *kmsv1.BatchItem {
	return item(kmsv1.BatchItem_builder{Verify: kmsv1.VerifyRequest_builder{KeyId: key, SigningAlgorithm: a, MessageType: mt, Message: message, Signature: signature}.Build()})
}

func signItem(key string, a kmsv1.SigningAlgorithmSpec, mt kmsv1.MessageType, message []byte) *kmsv1.BatchItem {
	return item(kmsv1.BatchItem_builder{Sign: kmsv1.SignRequest_builder{KeyId: key, SigningAlgorithm: a, MessageType: mt, Message: message}.Build()})
}

// signedVerdict is the verdict on a signature, given the message, unless it is empty, which no request takes, and given
// its digest or mu, which must end alike.
func signedVerdict(v *vectors.Test, given, other *kmsv1.BatchResult) vectors.Verdict {
	reason := noSignature
	if len(v.Sig) == 0 {
		reason = noRequest
	}
	if empty := len(v.Msg) == 0; empty && reasonOf(given.GetError()) != noRequest {
		return vectors.Failed(fmt.Errorf("an empty message ends with %v", failure(given)))
	} else if !empty && reasonOf(given.GetError()) != reasonOf(other.GetError()) {
		return vectors.Failed(fmt.Errorf("with the message %v, with the digest %v", failure(given), failure(other)))
	}
	return gives(v, other, nil, reason, nil)
}

// rsaSigned asks about a signature of RSA.
func rsaSigned(v *vectors.Test, spec crypto.Spec, material []byte, a kmsv1.SigningAlgorithmSpec) question {
	return question{
		spec: spec, usage: crypto.UsageSignVerify, material: material,
		ask: func(key string) []*kmsv1.BatchItem {
			return []*kmsv1.BatchItem{verifyItem(key, a, raw, v.Msg, v.Sig), verifyItem(key, a, digest, digestFor(nameOf(kmsv1.SigningAlgorithmSpec_name, "SIGNING_ALGORITHM_SPEC_", int32(a)), v.Msg), v.Sig)}
		},
		verdict: func(answers []*kmsv1.BatchResult) vectors.Verdict { return signedVerdict(v, answers[0], answers[1]) },
	}
}

// privateHalves are the private keys of the RSA files that have them: those for the verification of signatures do not, but
// their public keys are of the same pairs. :: RSAPublicKey → PrivateKeyInfo
func privateHalves(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, file := range []string{"rsa_pkcs1_2048_sig_gen", "rsa_pkcs1_3072_sig_gen", "rsa_pkcs1_4096_sig_gen"} {
		for _, g := range vectors.Read(t, file) {
			k, err := x509.ParsePKCS8PrivateKey(g.PrivateKeyPKCS8)
			if err != nil {
				t.Fatal(err)
			}
			all[string(x509.MarshalPKCS1PublicKey(&k.(*rsa.PrivateKey).PublicKey))] = g.PrivateKeyPKCS8
		}
	}
	return all
}

func wycheproofPKCS1(t *testing.T, b *bench) {
	keys := privateHalves(t)
	for _, row := range someWhenShort([]struct{ file, want string }{
		{"rsa_signature_2048_sha256", "249 invalid refused, 7 valid accepted, 2 valid refused (the public exponent is 3), 1 acceptable refused (RFC 8017 wants a NULL)"},
		{"rsa_signature_2048_sha384", "250 invalid refused, 7 valid accepted, 1 acceptable refused (RFC 8017 wants a NULL)"},
		{"rsa_signature_2048_sha512", "250 invalid refused, 7 valid accepted, 1 acceptable refused (RFC 8017 wants a NULL), 1 valid refused (the public exponent is 3)"},
		{"rsa_signature_3072_sha256", "250 invalid refused, 7 valid accepted, 1 acceptable refused (RFC 8017 wants a NULL), 1 valid refused (the public exponent is 3)"},
		{"rsa_signature_3072_sha384", "251 invalid refused, 7 valid accepted, 1 acceptable refused (RFC 8017 wants a NULL)"},
		{"rsa_signature_3072_sha512", "251 invalid refused, 7 valid accepted, 1 acceptable refused (RFC 8017 wants a NULL), 1 valid refused (the public exponent is 3)"},
		{"rsa_signature_4096_sha256", "250 invalid refused, 7 valid accepted, 1 acceptable refused (RFC 8017 wants a NULL)"},
		{"rsa_signature_4096_sha384", "251 invalid refused, 7 valid accepted, 1 acceptable refused (RFC 8017 wants a NULL)"},
		{"rsa_signature_4096_sha512", "251 invalid refused, 7 valid accepted, 1 acceptable refused (RFC 8017 wants a NULL)"},
	}) {
		b.run(t, row.file, row.want, func(g *vectors.Group, v *vectors.Test) question {
			q := rsaSigned(v, vectorRSA[g.KeySize], keys[string(g.PublicKeyPKCS1)], vectorPKCS1[g.SHA])
			if q.public = g.PublicKeyDER; slices.Contains(v.Flags, "SmallPublicKey") {
				q.unoffered = "the public exponent is 3"
			}
			return q
		})
	}
	for _, row := range someWhenShort([]struct{ file, want string }{
		{"rsa_pkcs1_2048_sig_gen", "24 valid accepted, 8 acceptable skipped (signatures with SHA-1 are not offered), 8 valid skipped (signatures with SHA-224 are not offered), 3 acceptable refused (the public exponent is 3)"},
		{"rsa_pkcs1_3072_sig_gen", "24 valid accepted, 2 acceptable refused (the public exponent is 3)"},
		{"rsa_pkcs1_4096_sig_gen", "24 valid accepted"},
	}) {
		b.run(t, row.file, row.want, func(g *vectors.Group, v *vectors.Test) question {
			a := vectorPKCS1[g.SHA]
			if a == 0 {
				return question{skip: "signatures with " + g.SHA + " are not offered"}
			}
			q := rsaSigned(v, vectorRSA[g.KeySize], g.PrivateKeyPKCS8, a)
			if slices.Contains(v.Flags, "SmallPublicKey") {
				q.unoffered = "the public exponent is 3"
			}
			verifies := q.ask
			q.ask = func(key string) []*kmsv1.BatchItem {
				sum := digestFor(nameOf(kmsv1.SigningAlgorithmSpec_name, "SIGNING_ALGORITHM_SPEC_", int32(a)), v.Msg)
				return append(verifies(key), signItem(key, a, digest, sum))
			}
			q.verdict = func(answers []*kmsv1.BatchResult) vectors.Verdict {
				if err := failure(answers[1]); err != nil {
					return vectors.Failed(err)
				}
				return gives(v, answers[2], answers[2].GetSign().GetSignature(), "", v.Sig)
			}
			return q
		})
	}
}

func wycheproofPSS(t *testing.T, b *bench) {
	keys := privateHalves(t)
	for _, row := range someWhenShort([]struct{ file, want string }{
		{"rsa_pss_2048_sha256_mgf1_32", "63 valid accepted, 45 invalid refused"},
		{"rsa_pss_2048_sha256_mgf1_32_params", "63 valid accepted, 45 invalid refused"},
		{"rsa_pss_2048_sha384_mgf1_48", "95 valid accepted, 46 invalid refused"},
		{"rsa_pss_3072_sha256_mgf1_32", "63 valid accepted, 45 invalid refused"},
		{"rsa_pss_4096_sha256_mgf1_32", "63 valid accepted, 45 invalid refused"},
		{"rsa_pss_4096_sha384_mgf1_48", "95 valid accepted, 46 invalid refused"},
		{"rsa_pss_4096_sha512_mgf1_64", "132 valid accepted, 47 invalid refused"},
		// Salts and mask hashes that are not offered: what is valid with them must not pass.
		{"rsa_pss_2048_sha256_mgf1_0", "61 valid refused (the salt is not as long as the hash), 41 invalid refused, 1 invalid skipped (its salt is as long as the hash, which is what is offered)"},
		{"rsa_pss_2048_sha256_mgf1sha1_20", "63 valid refused (the mask has another hash), 45 invalid refused"},
		{"rsa_pss_4096_sha512_mgf1_32", "132 valid refused (the salt is not as long as the hash), 45 invalid refused"},
	}) {
		b.run(t, row.file, row.want, func(g *vectors.Group, v *vectors.Test) question {
			q := rsaSigned(v, vectorRSA[g.KeySize], keys[string(g.PublicKeyPKCS1)], vectorPSS[g.SHA])
			switch {
			case g.MGFSHA != g.SHA:
				q.unoffered = "the mask has another hash"
			case v.Comment == fmt.Sprintf("s_len changed to %d", vectorSalt[g.SHA]):
				q.skip = "its salt is as long as the hash, which is what is offered"
			case g.SaltLen != vectorSalt[g.SHA]:
				q.unoffered = "the salt is not as long as the hash"
			}
			return q
		})
	}
}

func wycheproofOAEP(t *testing.T, b *bench) {
	for _, row := range someWhenShort([]struct{ file, want string }{
		{"rsa_oaep_2048_sha256_mgf1sha256", "19 invalid refused, 10 valid accepted, 8 valid refused (it has a label)"},
		{"rsa_oaep_2048_sha1_mgf1sha1", "19 invalid refused, 10 valid accepted, 7 valid refused (it has a label)"},
		{"rsa_oaep_3072_sha256_mgf1sha256", "19 invalid refused, 10 valid accepted, 8 valid refused (it has a label)"},
		{"rsa_oaep_4096_sha256_mgf1sha256", "19 invalid refused, 10 valid accepted, 8 valid refused (it has a label)"},
		{"rsa_oaep_misc", "192 valid skipped (the hashes are not offered), 182 valid skipped (the size of the key is not offered), 18 valid accepted, 3 acceptable skipped (the size of the key is not offered)"},
		{"rsa_three_primes_oaep_2048_sha1_mgf1sha1", "19 invalid refused, 17 valid refused (the key has three primes)"},
		{"rsa_three_primes_oaep_3072_sha224_mgf1sha224", "19 invalid refused, 19 valid refused (the key has three primes)"},
		{"rsa_three_primes_oaep_4096_sha256_mgf1sha256", "18 invalid refused, 18 valid refused (the key has three primes)"},
	}) {
		b.run(t, row.file, row.want, func(g *vectors.Group, v *vectors.Test) question {
			a := vectorOAEP[g.SHA]
			q := question{spec: vectorRSA[g.KeySize], usage: crypto.UsageEncryptDecrypt, material: g.PrivateKeyPKCS8}
			switch {
			case strings.HasPrefix(row.file, "rsa_three_primes_"):
				q.unoffered = "the key has three primes"
			case q.spec == "":
				q.skip = "the size of the key is not offered"
			case a == 0 || g.MGFSHA != g.SHA:
				q.skip = "the hashes are not offered"
			case len(v.Label) != 0:
				q.unoffered = "it has a label"
			}
			reason := noCiphertext
			if len(v.CT) == 0 {
				reason = noRequest
			}
			q.ask = func(key string) []*kmsv1.BatchItem {
				return []*kmsv1.BatchItem{item(kmsv1.BatchItem_builder{Decrypt: kmsv1.DecryptRequest_builder{KeyId: key, EncryptionAlgorithm: a, CiphertextBlob: v.CT}.Build()})}
			}
			q.verdict = func(answers []*kmsv1.BatchResult) vectors.Verdict {
				return gives(v, answers[0], answers[0].GetDecrypt().GetPlaintext(), reason, v.Msg)
			}
			return q
		})
	}
}

// mldsaPublic is the public key of a group.
func mldsaPublic(t *testing.T, g *vectors.Group) []byte {
	t.Helper()
	var digits string
	if err := json.Unmarshal(g.PublicKey, &digits); err != nil {
		t.Fatal(err)
	}
	key, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A signature of kmsd has something random: what a vector gives must verify, and so must what kmsd makes.
func wycheproofMLDSA(t *testing.T, b *bench) {
	for _, row := range someWhenShort([]struct {
		spec             crypto.Spec
		sign, wantSign   string
		verify, wantVrfy string
	}{
		{
			crypto.SpecMLDSA44, "mldsa_44_sign_seed", "82 valid accepted, 2 invalid refused, 1 invalid skipped (nothing wraps material of no bytes), 1 invalid skipped (the context is longer than FIPS 204 has them)",
			"mldsa_44_verify", "71 valid accepted, 60 invalid refused, 38 invalid skipped (no file has the private key), 6 valid skipped (no file has the private key), 5 invalid skipped (the context is longer than FIPS 204 has them)",
		},
		{
			crypto.SpecMLDSA65, "mldsa_65_sign_seed", "101 valid accepted, 2 invalid refused, 1 invalid skipped (nothing wraps material of no bytes), 1 invalid skipped (the context is longer than FIPS 204 has them)",
			"mldsa_65_verify", "75 valid accepted, 72 invalid refused, 54 invalid skipped (no file has the private key), 5 invalid skipped (the context is longer than FIPS 204 has them), 4 valid skipped (no file has the private key)",
		},
		{
			crypto.SpecMLDSA87, "mldsa_87_sign_seed", "92 valid accepted, 2 invalid refused, 1 invalid skipped (nothing wraps material of no bytes), 1 invalid skipped (the context is longer than FIPS 204 has them)",
			"mldsa_87_verify", "94 invalid refused, 71 invalid skipped (no file has the private key), 66 valid accepted, 5 invalid skipped (the context is longer than FIPS 204 has them), 5 valid skipped (no file has the private key)",
		},
	}) {
		seeds := map[string][]byte{} // :: public key →
		var own []*kmsv1.BatchItem
		b.run(t, row.sign, row.wantSign, func(g *vectors.Group, v *vectors.Test) question {
			key := mldsaPublic(t, g)
			seeds[string(key)] = g.PrivateSeed
			q := question{spec: row.spec, usage: crypto.UsageSignVerify, material: g.PrivateSeed, public: seedSPKI(t, row.spec, key)}
			switch {
			case len(g.PrivateSeed) == 0:
				q.skip = "nothing wraps material of no bytes"
			case v.Mu == nil && len(g.PrivateSeed) == 32:
				q.skip = "the context is longer than FIPS 204 has them"
			}
			q.ask = func(key string) []*kmsv1.BatchItem {
				return []*kmsv1.BatchItem{verifyItem(key, mldsa, externalMu, v.Mu, v.Sig), signItem(key, mldsa, externalMu, v.Mu)}
			}
			q.verdict = func(answers []*kmsv1.BatchResult) vectors.Verdict {
				signed := answers[1].GetSign()
				own = append(own, verifyItem(signed.GetKeyId(), mldsa, externalMu, v.Mu, signed.GetSignature()))
				return gives(v, answers[0], nil, noSignature, nil)
			}
			return q
		})
		for i, r := range b.batches(t, own) {
			if err := failure(r); err != nil {
				t.Errorf("%s: signature %d of kmsd's own: %v", row.sign, i, err)
			}
		}
		b.run(t, row.verify, row.wantVrfy, func(g *vectors.Group, v *vectors.Test) question {
			key := mldsaPublic(t, g)
			q := question{spec: row.spec, usage: crypto.UsageSignVerify, material: seeds[string(key)], public: seedSPKI(t, row.spec, key)}
			switch {
			case q.material == nil:
				q.skip = "no file has the private key"
			case len(v.Ctx) > 255:
				q.skip = "the context is longer than FIPS 204 has them"
			}
			q.ask = func(arn string) []*kmsv1.BatchItem {
				return []*kmsv1.BatchItem{verifyItem(arn, mldsa, raw, v.Msg, v.Sig), verifyItem(arn, mldsa, externalMu, muOf(key, v.Ctx, v.Msg), v.Sig)}
			}
			q.verdict = func(answers []*kmsv1.BatchResult) vectors.Verdict {
				if len(v.Ctx) > 0 && len(v.Msg) > 0 { // which Verify does not take beside the message
					if reasonOf(answers[0].GetError()) != noSignature {
						return vectors.Failed(fmt.Errorf("a signature with a context ends without it with %v", failure(answers[0])))
					}
					return gives(v, answers[1], nil, noSignature, nil)
				}
				return signedVerdict(v, answers[0], answers[1])
			}
			return q
		})
	}
}

// muOf is the representative of FIPS 204, algorithm 7, line 6.
func muOf(publicKey, context, message []byte) []byte {
	tr := sha3.SumSHAKE256(publicKey, 64)
	return sha3.SumSHAKE256(slices.Concat(tr, []byte{0, byte(len(context))}, context, message), 64)
}
