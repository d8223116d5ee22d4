package keywrap

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"hash"
	"slices"

	"github.com/kmsd/kmsd/crypto"
)

func rsaBits(spec KeySpec) int {
	switch spec {
	case RSA2048:
		return 2048
	case RSA3072:
		return 3072
	}
	return 4096
}

func generateRSA(bits int) (crypto.Secret, []byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return crypto.Secret{}, nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return crypto.Secret{}, nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return crypto.Secret{}, nil, err
	}
	return crypto.NewSecret(private), public, nil
}

// oaepHash returns the hash of a, which is also that of MGF1. OAEP does not need collision resistance of it.
func oaepHash(a Algorithm) hash.Hash {
	if a == OAEPSHA1 || a == RSAAESSHA1 {
		return sha1.New()
	}
	return sha256.New()
}

// twoSteps reports whether a wraps an AES key, and material with that.
func twoSteps(a Algorithm) bool { return a == RSAAESSHA1 || a == RSAAESSHA256 }

// rsaSize reports whether a wrapping key may have so many bits.
func rsaSize(bits int) bool { return bits == 2048 || bits == 3072 || bits == 4096 }

func wrapRSA(a Algorithm, publicDER, material []byte) ([]byte, error) {
	if _, err := parseHPKE(publicDER); err == nil {
		return nil, ErrAlgorithm
	}
	parsed, err := x509.ParsePKIXPublicKey(publicDER)
	if err != nil {
		return nil, ErrPublicKey
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok || !rsaSize(key.N.BitLen()) || key.E <= 1<<16 || key.E&1 == 0 {
		return nil, ErrPublicKey
	}
	if twoSteps(a) {
		kek := crypto.RandomSecret(crypto.KeySize)
		defer kek.Wipe()
		first, err := rsa.EncryptOAEP(oaepHash(a), rand.Reader, key, kek.Expose(), nil)
		if err != nil {
			return nil, err
		}
		second, err := KWPWrap(kek, material)
		if err != nil {
			return nil, err
		}
		return slices.Concat(first, second), nil
	}
	if most := key.Size() - 2*oaepHash(a).Size() - 2; len(material) > most {
		return nil, fmt.Errorf("%w: %d bytes, %s takes at most %d", ErrLength, len(material), a, most)
	}
	return rsa.EncryptOAEP(oaepHash(a), rand.Reader, key, material, nil)
}

func unwrapRSA(a Algorithm, private crypto.Secret, wrapped []byte) ([]byte, error) {
	if private.Len() == 32 { // an X-Wing seed
		return nil, ErrAlgorithm
	}
	parsed, err := x509.ParsePKCS8PrivateKey(private.Expose())
	if err != nil {
		return nil, ErrPublicKey
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok || !rsaSize(key.N.BitLen()) {
		return nil, ErrPublicKey
	}
	if len(wrapped) > MaxWrapped {
		return nil, ErrUnwrap
	}
	if twoSteps(a) {
		return unwrapTwoSteps(a, key, wrapped)
	}
	material, err := rsa.DecryptOAEP(oaepHash(a), nil, key, wrapped, nil)
	if err != nil || len(material) == 0 {
		return nil, ErrUnwrap
	}
	return material, nil
}

// unwrapTwoSteps unwraps the second part with a random key if the first does not open, so that the time does not tell
// which of the two failed.
func unwrapTwoSteps(a Algorithm, key *rsa.PrivateKey, wrapped []byte) ([]byte, error) {
	if len(wrapped) <= key.Size() {
		return nil, ErrUnwrap
	}
	kek := crypto.RandomSecret(crypto.KeySize)
	defer kek.Wipe()
	opened, err := rsa.DecryptOAEP(oaepHash(a), nil, key, wrapped[:key.Size()], nil)
	if err == nil && len(opened) == crypto.KeySize {
		copy(kek.Expose(), opened)
	}
	clear(opened)
	material, err := KWPUnwrap(kek, wrapped[key.Size():])
	if err != nil || material.Len() > MaxMaterial {
		return nil, ErrUnwrap
	}
	return material.Expose(), nil
}
