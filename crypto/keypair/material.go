package keypair

import (
	"fmt"

	"github.com/kmsd/kmsd/crypto"
)

// Generate returns fresh material of spec in its canonical form: 32 random bytes for SYMMETRIC_DEFAULT, as many as
// the hash has for HMAC, a PrivateKeyInfo of PKCS#8 in DER for RSA, ECC and Ed25519, the seed of 32 bytes for ML-DSA
// and of 64 for ML-KEM (docs/formats/key-material.md). It waits for RSA: a second is not unusual for 4096 bits.
// Errors: crypto.ErrSpec, crypto.ErrFIPS.
func Generate(spec crypto.Spec) (crypto.Secret, error) {
	if n := randomSize(spec); n > 0 {
		if err := available(spec); err != nil {
			return crypto.Secret{}, fmt.Errorf("generating material of %w", err)
		}
		return crypto.RandomSecret(n), nil
	}
	der, err := generate(spec)
	if err != nil {
		return crypto.Secret{}, fmt.Errorf("generating material of %w", err)
	}
	return crypto.NewSecret(der), nil
}

// randomSize returns the size of material that is nothing but random bytes, else 0.
func randomSize(spec crypto.Spec) int {
	switch spec {
	case crypto.SpecSymmetricDefault:
		return crypto.KeySize
	case crypto.SpecHMAC224:
		return 28
	case crypto.SpecHMAC256:
		return 32
	case crypto.SpecHMAC384:
		return 48
	case crypto.SpecHMAC512:
		return 64
	}
	return seedSize(spec)
}

func generate(spec crypto.Spec) ([]byte, error) {
	if err := available(spec); err != nil {
		return nil, err
	}
	switch familyOf(spec) {
	case familyRSA:
		return generateRSA(spec)
	case familyNIST:
		return generateNIST(spec)
	case familyP256K1:
		return generateP256K1(spec), nil
	case familyEd25519:
		return marshalEd25519(spec, crypto.RandomSecret(ed25519SeedSize).Expose()), nil
	}
	return nil, specError(spec, crypto.ErrSpec)
}

// Check returns nil if Canonical takes material as that of a key of spec, else its error.
func Check(spec crypto.Spec, material crypto.Secret) error {
	canonical, err := Canonical(spec, material)
	canonical.Wipe()
	return err
}

// Canonical returns the one form in which the key that material holds is stored, in bytes of its own, so that two
// materials are the same key if and only if their canonical forms are equal. It takes what Generate returns and:
//
//   - for RSA, ECC and Ed25519 every unencrypted PKCS#8 in DER (RFC 5208, 5915, 5958, 8410). An RSA key has two
//     primes of half the spec's bits, a modulus of exactly the spec's bits, and an exponent that is odd, above 2^16
//     and below 2^31;
//   - for ML-DSA (RFC 9881) and ML-KEM (RFC 9935) the seed as it is, or PKCS#8 with the seed, alone or beside the
//     expanded key. An expanded key alone does not do: its seed cannot be computed.
//
// What material says twice, such as the public key, must agree. Errors: crypto.ErrSpec, crypto.ErrFIPS, and
// crypto.ErrMaterial, whose text says what is wrong and quotes nothing. It is meant for material on its way in: it
// tests primes, which takes up to a second, and its time depends on the material.
func Canonical(spec crypto.Spec, material crypto.Secret) (crypto.Secret, error) {
	b, err := canonical(spec, material.Expose())
	if err != nil {
		return crypto.Secret{}, fmt.Errorf("reading material of %w", err)
	}
	return crypto.NewSecret(b), nil
}

func canonical(spec crypto.Spec, material []byte) ([]byte, error) {
	if err := available(spec); err != nil {
		return nil, err
	}
	switch familyOf(spec) {
	case familyRSA:
		return canonicalRSA(spec, material)
	case familyNIST, familyP256K1:
		return canonicalEC(spec, material)
	case familyEd25519:
		return canonicalEd25519(spec, material)
	case familyMLDSA, familyMLKEM:
		return canonicalSeed(spec, material)
	}
	n := randomSize(spec)
	if n == 0 {
		return nil, specError(spec, crypto.ErrSpec)
	}
	if len(material) != n {
		return nil, malformed(spec, "%d bytes, want %d", len(material), n)
	}
	return append([]byte(nil), material...), nil
}

// PKCS8 returns the PrivateKeyInfo (RFC 5958, in DER) of the key that material, in the canonical form of spec, holds,
// in bytes of its own: for ML-DSA and ML-KEM in the form that has the seed alone. Errors: crypto.ErrSpec for a spec
// that is not asymmetric, crypto.ErrMaterial, crypto.ErrFIPS.
func PKCS8(spec crypto.Spec, material crypto.Secret) (crypto.Secret, error) {
	if err := available(spec); err != nil {
		return crypto.Secret{}, fmt.Errorf("encoding a private key of %w", err)
	}
	switch familyOf(spec) {
	case familyNone:
		return crypto.Secret{}, fmt.Errorf("encoding a private key of %w", specError(spec, crypto.ErrSpec))
	case familyMLDSA, familyMLKEM:
		if material.Len() != seedSize(spec) {
			return crypto.Secret{}, fmt.Errorf("encoding a private key of %w",
				malformed(spec, "a seed of %d bytes, want %d", material.Len(), seedSize(spec)))
		}
		return crypto.NewSecret(marshalPKCS8(spec, marshalSeed(material.Expose()))), nil
	}
	if _, err := newPrivate(spec, material.Expose()); err != nil {
		return crypto.Secret{}, fmt.Errorf("encoding a private key of %w", err)
	}
	return crypto.NewSecret(append([]byte(nil), material.Expose()...)), nil
}
