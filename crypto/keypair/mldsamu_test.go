package keypair

import (
	"bytes"
	"crypto/fips140"
	"crypto/sha3"
	"math/rand/v2"
	"slices"
	"testing"

	"filippo.io/mldsa"

	"github.com/kmsd/kmsd/crypto"
)

// muOf computes mu of a message without a context (FIPS 204, algorithm 2, step 10, and algorithm 7, step 6).
func muOf(public, message []byte) []byte {
	return sha3.SumSHAKE256(slices.Concat(publicHash(public), []byte{0, 0}, message), 64)
}

// agree compares verifyMu with the library's verification of the message.
func agree(t *testing.T, spec crypto.Spec, public, message, signature []byte) bool {
	t.Helper()
	key, err := mldsa.NewPublicKey(mldsaParameters(spec), public)
	if err != nil {
		if verifyMu(spec, public, muOf(public, message), signature) {
			t.Errorf("%s: verifyMu takes a public key of %d bytes", spec, len(public))
		}
		return false
	}
	want := mldsa.Verify(key, message, signature, nil) == nil
	if got := verifyMu(spec, public, muOf(public, message), signature); got != want {
		t.Errorf("%s: verifyMu of %x under %x = %v, the library says %v", spec, signature, public, got, want)
	}
	return want
}

// verifyMu takes what the library takes, and refuses what it refuses, in every part of a signature.
func TestMuAgreesWithTheLibrary(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, spec := range []crypto.Spec{crypto.SpecMLDSA44, crypto.SpecMLDSA65, crypto.SpecMLDSA87} {
		key, err := mldsa.GenerateKey(mldsaParameters(spec))
		if err != nil {
			t.Fatal(err)
		}
		public := key.PublicKey().Bytes()
		for range 20 {
			message := crypto.RandomSecret(1 + random.IntN(100)).Expose()
			signature, err := key.Sign(nil, message, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !agree(t, spec, public, message, signature) {
				t.Errorf("%s: the library refuses its own signature", spec)
			}
			hints := mldsaSetOf(spec).omega + mldsaSetOf(spec).k
			for _, at := range []int{
				random.IntN(32), random.IntN(len(signature)), len(signature) - 1 - random.IntN(hints), len(signature) - 1 - random.IntN(8),
			} {
				altered := bytes.Clone(signature)
				altered[at] ^= 1 << random.IntN(8)
				if agree(t, spec, public, message, altered) {
					t.Errorf("%s: a signature altered in byte %d verifies", spec, at)
				}
			}
			altered := bytes.Clone(public)
			altered[random.IntN(len(altered))] ^= 1 << random.IntN(8)
			agree(t, spec, altered, message, signature)
			agree(t, spec, public, message, signature[1:])
			agree(t, spec, public[1:], message, signature)
			agree(t, spec, public, message, make([]byte, len(signature)))
		}
	}
}

// The keys and signatures of the fuzzer are those of ML-DSA-44, whose checks are those of the others.
func FuzzVerifyMu(f *testing.F) {
	if fips140.Enforced() {
		f.Skip("ML-DSA is not available")
	}
	key, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), selfTestSeed(32))
	if err != nil {
		f.Fatal(err)
	}
	message := []byte("message")
	signature, err := key.SignDeterministic(message, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key.PublicKey().Bytes(), message, signature)
	f.Add(key.PublicKey().Bytes(), message, make([]byte, len(signature)))
	f.Fuzz(func(t *testing.T, public, message, signature []byte) {
		agree(t, crypto.SpecMLDSA44, public, message, signature)
	})
}
