package server_test

import (
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
	"github.com/kmsd/kmsd/crypto/keywrap"
	"github.com/kmsd/kmsd/internal/vectors"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// publishedRSA :: key spec → a file of test vectors that has a private key of the spec: to make one takes long.
var publishedRSA = map[crypto.Spec]string{
	crypto.SpecRSA2048: "rsa_oaep_2048_sha256_mgf1sha256", crypto.SpecRSA3072: "rsa_oaep_3072_sha256_mgf1sha256", crypto.SpecRSA4096: "rsa_oaep_4096_sha256_mgf1sha256",
}

// materialOf is material of a key spec, to be imported. All of RSA is the same.
func materialOf(t testing.TB, spec crypto.Spec) crypto.Secret {
	t.Helper()
	if name := publishedRSA[spec]; name != "" {
		for _, g := range vectors.Read(t, name) {
			return crypto.NewSecret(g.PrivateKeyPKCS8)
		}
		t.Fatalf("%s has no key", name)
	}
	m, err := keypair.Generate(spec)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// wrapFor wraps material with what GetParametersForImport has answered.
func wrapFor(t testing.TB, a keywrap.Algorithm, p *kmsv1.GetParametersForImportResponse, material crypto.Secret) []byte {
	t.Helper()
	wrapped, err := keywrap.Wrap(a, p.GetPublicKey(), p.GetImportToken(), material.Expose())
	if err != nil {
		t.Fatal(err)
	}
	return wrapped
}
