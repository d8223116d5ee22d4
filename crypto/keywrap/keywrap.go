// Package keywrap takes key material from one machine to another: the receiver makes a wrapping key, the sender wraps
// the material with its public half, the receiver unwraps it. It is both sides of ImportKeyMaterial.
//
// The algorithms are those of AWS KMS, RSA-OAEP alone and with an AES key between, and HPKE with ML-KEM-768 and X25519
// (X-Wing), which holds against a quantum computer too (docs/formats/keywrap.md). It does not know what the material
// is, nor for how long a wrapping key is good, nor who sent the material: none of the algorithms authenticates the
// sender, which is left to the call that carries what is wrapped.
//
// Trust: what is unwrapped is hostile. Its size is bounded, and every failure is one error with one text, after the
// same work, so that nothing is learnt of the wrapping key from it (Manger 2001). Who sees what is wrapped learns its
// length. RSA does not hold against a quantum computer: who records what is wrapped with it can open it then.
package keywrap

import (
	"crypto/fips140"
	"crypto/hpke"
	"errors"
	"fmt"
	"slices"

	"github.com/kmsd/kmsd/crypto"
)

// Algorithm is how material is wrapped. Its values are AWS's names, and one of kmsd's.
type Algorithm string

// The algorithms.
const (
	OAEPSHA1           Algorithm = "RSAES_OAEP_SHA_1"         // RFC 8017, MGF1 with the same hash, empty label
	OAEPSHA256         Algorithm = "RSAES_OAEP_SHA_256"       // RFC 8017, MGF1 with the same hash, empty label
	RSAAESSHA1         Algorithm = "RSA_AES_KEY_WRAP_SHA_1"   // OAEP of an AES-256 key, then AES-KWP; CKM_RSA_AES_KEY_WRAP
	RSAAESSHA256       Algorithm = "RSA_AES_KEY_WRAP_SHA_256" // OAEP of an AES-256 key, then AES-KWP; CKM_RSA_AES_KEY_WRAP
	HPKEMLKEM768X25519 Algorithm = "HPKE_MLKEM768_X25519_HKDF_SHA256_AES256GCM"
)

// KeySpec is what kind of key wraps. Its values are AWS's names, and one of kmsd's.
type KeySpec string

// The key specs.
const (
	RSA2048        KeySpec = "RSA_2048"
	RSA3072        KeySpec = "RSA_3072"
	RSA4096        KeySpec = "RSA_4096"
	MLKEM768X25519 KeySpec = "MLKEM768_X25519" // X-Wing
)

// Sizes in bytes.
const (
	MaxMaterial = 8 << 10  // of material that is wrapped
	MaxWrapped  = 16 << 10 // of what is unwrapped
)

var (
	// ErrUnwrap: what is wrapped does not open under this key, with this algorithm and info. Nothing says why.
	ErrUnwrap = errors.New("wrapped key material does not open")
	// ErrAlgorithm: the algorithm or key spec does not exist, or they do not go together.
	ErrAlgorithm = errors.New("wrapping algorithm is incompatible with the wrapping key")
	// ErrPublicKey: bytes are not the public half of a wrapping key.
	ErrPublicKey = errors.New("invalid wrapping key")
	// ErrLength: material is empty, or too long for the algorithm and key.
	ErrLength = errors.New("invalid length of key material")
)

var (
	rsaAlgorithms  = []Algorithm{OAEPSHA1, OAEPSHA256, RSAAESSHA1, RSAAESSHA256}
	hpkeAlgorithms = []Algorithm{HPKEMLKEM768X25519}
)

// KeySpecs returns every key spec, in a new slice.
func KeySpecs() []KeySpec { return []KeySpec{RSA2048, RSA3072, RSA4096, MLKEM768X25519} }

// Algorithms returns those that a wrapping key of this spec wraps with, none if there is no such spec. The slice is
// shared: the caller must not change it.
func (s KeySpec) Algorithms() []Algorithm {
	switch s {
	case RSA2048, RSA3072, RSA4096:
		return rsaAlgorithms
	case MLKEM768X25519:
		return hpkeAlgorithms
	}
	return nil
}

// Generate returns a fresh wrapping key: the private half for Unwrap, PKCS#8 of an RSA key in DER or the seed of 32
// bytes of X-Wing, and the public half for Wrap, a SubjectPublicKeyInfo in DER. It waits for RSA: a second is not
// unusual for 4096 bits. Errors: ErrAlgorithm if there is no such spec, crypto.ErrFIPS for MLKEM768_X25519 under
// GODEBUG=fips140=only, which has no X25519.
func Generate(spec KeySpec) (private crypto.Secret, publicDER []byte, err error) {
	switch spec {
	case RSA2048, RSA3072, RSA4096:
		private, publicDER, err = generateRSA(rsaBits(spec))
	case MLKEM768X25519:
		private, publicDER, err = generateHPKE()
	default:
		err = ErrAlgorithm
	}
	if err != nil {
		return crypto.Secret{}, nil, fmt.Errorf("generating a wrapping key: %w", err)
	}
	return private, publicDER, nil
}

// Wrap returns material wrapped with a, in a new slice. publicDER is the public half of a wrapping key, which decides
// which algorithms are possible, else ErrAlgorithm. info binds what is wrapped to what it is for, with HPKE only: the
// other algorithms do not look at it. material has 1 to MaxMaterial bytes, and no more than OAEP takes if a is OAEP
// alone, else ErrLength; it is neither changed nor kept. Other errors: ErrPublicKey, crypto.ErrFIPS.
func Wrap(a Algorithm, publicDER, info, material []byte) ([]byte, error) {
	wrapped, err := wrap(a, publicDER, info, material)
	if err != nil {
		return nil, fmt.Errorf("wrapping key material: %w", err)
	}
	return wrapped, nil
}

func wrap(a Algorithm, publicDER, info, material []byte) ([]byte, error) {
	if err := available(a); err != nil {
		return nil, err
	}
	if len(material) == 0 || len(material) > MaxMaterial {
		return nil, fmt.Errorf("%w: %d bytes, want 1 to %d", ErrLength, len(material), MaxMaterial)
	}
	if a == HPKEMLKEM768X25519 {
		public, err := parseHPKE(publicDER)
		if err != nil {
			return nil, err
		}
		return hpke.Seal(public, hpke.HKDFSHA256(), hpke.AES256GCM(), hpkeInfo(info), material)
	}
	return wrapRSA(a, publicDER, material)
}

// Unwrap returns the material that Wrap was given. private is the private half of the wrapping key, a and info are
// those of Wrap, wrapped has at most MaxWrapped bytes. Whatever is wrong with wrapped, the error is ErrUnwrap itself.
// Other errors, which depend on nothing but a and private: ErrAlgorithm, crypto.ErrFIPS, ErrPublicKey if private is
// not the private half of a wrapping key.
func Unwrap(a Algorithm, private crypto.Secret, info, wrapped []byte) (crypto.Secret, error) {
	if err := available(a); err != nil {
		return crypto.Secret{}, fmt.Errorf("unwrapping key material: %w", err)
	}
	var material []byte
	var err error
	if a == HPKEMLKEM768X25519 {
		material, err = unwrapHPKE(private, info, wrapped)
	} else {
		material, err = unwrapRSA(a, private, wrapped)
	}
	if errors.Is(err, ErrUnwrap) {
		return crypto.Secret{}, ErrUnwrap
	}
	if err != nil {
		return crypto.Secret{}, fmt.Errorf("unwrapping key material: %w", err)
	}
	return crypto.NewSecret(material), nil
}

// available refuses an algorithm that does not exist, and one that FIPS 140-3 mode does not have.
func available(a Algorithm) error {
	switch {
	case !slices.Contains(rsaAlgorithms, a) && !slices.Contains(hpkeAlgorithms, a):
		return ErrAlgorithm
	case fips140.Enforced() && (a == OAEPSHA1 || a == RSAAESSHA1 || a == HPKEMLKEM768X25519):
		return fmt.Errorf("%s: %w", a, crypto.ErrFIPS)
	}
	return nil
}
