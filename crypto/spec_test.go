package crypto_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/crypto"
)

// What a key of each spec may do, as AWS documents it for CreateKey, Sign and GenerateMac.
func TestSpecs(t *testing.T) {
	const (
		rsa  = "RSASSA_PSS_SHA_256 RSASSA_PSS_SHA_384 RSASSA_PSS_SHA_512 RSASSA_PKCS1_V1_5_SHA_256 RSASSA_PKCS1_V1_5_SHA_384 RSASSA_PKCS1_V1_5_SHA_512"
		oaep = "RSAES_OAEP_SHA_1 RSAES_OAEP_SHA_256"
	)
	rows := []struct {
		spec, usages, algorithms, messageTypes string
		pair                                   bool
	}{
		{"SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "", false},
		{"HMAC_224", "GENERATE_VERIFY_MAC", "HMAC_SHA_224", "", false},
		{"HMAC_256", "GENERATE_VERIFY_MAC", "HMAC_SHA_256", "", false},
		{"HMAC_384", "GENERATE_VERIFY_MAC", "HMAC_SHA_384", "", false},
		{"HMAC_512", "GENERATE_VERIFY_MAC", "HMAC_SHA_512", "", false},
		{"RSA_2048", "ENCRYPT_DECRYPT SIGN_VERIFY", rsa + " " + oaep, "RAW DIGEST", true},
		{"RSA_3072", "ENCRYPT_DECRYPT SIGN_VERIFY", rsa + " " + oaep, "RAW DIGEST", true},
		{"RSA_4096", "ENCRYPT_DECRYPT SIGN_VERIFY", rsa + " " + oaep, "RAW DIGEST", true},
		{"ECC_NIST_P256", "SIGN_VERIFY KEY_AGREEMENT", "ECDSA_SHA_256 ECDH", "RAW DIGEST", true},
		{"ECC_NIST_P384", "SIGN_VERIFY KEY_AGREEMENT", "ECDSA_SHA_384 ECDH", "RAW DIGEST", true},
		{"ECC_NIST_P521", "SIGN_VERIFY KEY_AGREEMENT", "ECDSA_SHA_512 ECDH", "RAW DIGEST", true},
		{"ECC_NIST_EDWARDS25519", "SIGN_VERIFY", "ED25519_SHA_512 ED25519_PH_SHA_512", "RAW DIGEST", true},
		{"ECC_SECG_P256K1", "SIGN_VERIFY", "ECDSA_SHA_256", "RAW DIGEST", true},
		{"ML_DSA_44", "SIGN_VERIFY", "ML_DSA_SHAKE_256", "RAW EXTERNAL_MU", false},
		{"ML_DSA_65", "SIGN_VERIFY", "ML_DSA_SHAKE_256", "RAW EXTERNAL_MU", false},
		{"ML_DSA_87", "SIGN_VERIFY", "ML_DSA_SHAKE_256", "RAW EXTERNAL_MU", false},
		{"ML_KEM_768", "ENCAPSULATE_DECAPSULATE", "ML_KEM", "", true},
		{"ML_KEM_1024", "ENCAPSULATE_DECAPSULATE", "ML_KEM", "", true},
		{"", "", "", "", false},
		{"rsa_2048", "", "", "", false},
		{"SM2", "", "", "", false},
	}
	var real []crypto.Spec
	for _, r := range rows {
		s := crypto.Spec(r.spec)
		algorithms := words(s.SigningAlgorithms()) + words(s.EncryptionAlgorithms()) + words(s.MACAlgorithms()) +
			words(s.KeyAgreementAlgorithms()) + words(s.EncapsulationAlgorithms())
		if got := strings.TrimSpace(algorithms); got != r.algorithms {
			t.Errorf("algorithms of %q are %q, want %q", s, got, r.algorithms)
		}
		if got := strings.TrimSpace(words(s.Usages())); got != r.usages {
			t.Errorf("Usages() of %q = %q, want %q", s, got, r.usages)
		}
		if got := strings.TrimSpace(words(s.MessageTypes())); got != r.messageTypes {
			t.Errorf("MessageTypes() of %q = %q, want %q", s, got, r.messageTypes)
		}
		if s.DataKeyPair() != r.pair {
			t.Errorf("DataKeyPair() of %q = %v, want %v", s, s.DataKeyPair(), r.pair)
		}
		symmetric := r.spec == "SYMMETRIC_DEFAULT" || strings.HasPrefix(r.spec, "HMAC")
		if want := r.usages != "" && !symmetric; s.Asymmetric() != want {
			t.Errorf("Asymmetric() of %q = %v, want %v", s, s.Asymmetric(), want)
		}
		if s.Valid() != (r.usages != "") {
			t.Errorf("Valid() of %q = %v", s, s.Valid())
		}
		if s.Valid() {
			real = append(real, s)
			if u := s.Usages()[0]; !s.Allows(u) || s.Allows("") {
				t.Errorf("Allows of %q does not agree with Usages", s)
			}
		}
	}
	if got := crypto.Specs(); !slices.Equal(got, real) {
		t.Errorf("Specs() = %v, want %v", got, real)
	}
}

func words[T ~string](list []T) string {
	var b strings.Builder
	for _, v := range list {
		fmt.Fprint(&b, v, " ")
	}
	return b.String()
}

func TestAskingASpecAllocatesNothing(t *testing.T) {
	got := testing.AllocsPerRun(100, func() {
		s := crypto.SpecMLKEM1024
		_ = s.Valid() && s.Allows(crypto.UsageSignVerify) && s.Asymmetric() && len(s.SigningAlgorithms()) > 0
	})
	if got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}
