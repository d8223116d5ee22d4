// Package keypair holds asymmetric keys that work and do not tell: they sign, decrypt, agree and decapsulate with
// the private half, and verify, encrypt and encapsulate with the public one.
//
// It makes the material of every key spec, says whether bytes are the material of a spec, and brings them into the
// one form that is stored (docs/formats/key-material.md). It reads no file, keeps no state between calls and decides
// nothing about who may use a key, nor what for: that a key for signatures is not used to decrypt is the caller's
// matter. PEM is kmsctl's. The algorithms are those of the Go Cryptographic Module, but for ML-DSA
// (filippo.io/mldsa) and secp256k1 (arithmetic of github.com/decred/dcrd), which ErrFIPS refuses under
// GODEBUG=fips140=only, as it does OAEP with SHA-1.
//
// Trust: material, public keys, messages, signatures and ciphertexts may be hostile. Everything is bounded, nothing
// is parsed in two ways, and what fails in decrypting fails with one error, so that nothing is learnt from it. Who
// reads the memory of the process can read the keys: no formatting verb, logger or encoder prints them, and nothing
// erases what the libraries computed from them.
package keypair

import (
	"errors"
	"fmt"

	"github.com/kmsd/kmsd/crypto"
)

// What is wrong with the use of a key, besides the errors of package crypto: ErrSpec, ErrAlgorithm, ErrLength,
// ErrMaterial, ErrFIPS, ErrCiphertext.
var (
	// ErrMessageType: the message type does not exist, or the algorithm does not take it.
	ErrMessageType = errors.New("message type is incompatible with the algorithm")
	// ErrSignature: the signature is not one of the message under this key, whatever the reason.
	ErrSignature = errors.New("invalid signature")
	// ErrPublicKey: bytes are not the SubjectPublicKeyInfo of a public key of the spec.
	ErrPublicKey = errors.New("invalid public key")
)

// Private is a private key. Make it with New. It may be used by many goroutines at once.
type Private struct {
	spec   crypto.Spec
	public *Public
	// What keys of the spec can do; the others are nil. Closures, so that no formatting verb reaches the key.
	sign        func(input) ([]byte, error)
	decrypt     func(crypto.EncryptionAlgorithm, []byte) ([]byte, error)
	derive      func(*Public) ([]byte, error)
	decapsulate func([]byte) ([]byte, error)
}

// New returns the private key that material, in the canonical form of spec, holds. material is not kept: the caller
// may wipe it. Errors: crypto.ErrSpec for a spec that is not asymmetric, crypto.ErrMaterial, crypto.ErrFIPS.
func New(spec crypto.Spec, material crypto.Secret) (*Private, error) {
	p, err := newPrivate(spec, material.Expose())
	if err != nil {
		return nil, fmt.Errorf("making a private key of %w", err)
	}
	return p, nil
}

func newPrivate(spec crypto.Spec, material []byte) (*Private, error) {
	if err := available(spec); err != nil {
		return nil, err
	}
	switch familyOf(spec) {
	case familyRSA:
		return newRSA(spec, material)
	case familyNIST:
		return newNIST(spec, material)
	case familyP256K1:
		return newP256K1(spec, material)
	case familyEd25519:
		return newEd25519(spec, material)
	case familyMLDSA:
		return newMLDSA(spec, material)
	case familyMLKEM:
		return newMLKEM(spec, material)
	}
	return nil, specError(spec, crypto.ErrSpec)
}

// Spec returns the key spec.
func (p *Private) Spec() crypto.Spec { return p.spec }

// Public returns the public key, always the same one.
func (p *Private) Public() *Public { return p.public }

// Sign returns a signature of message, which is of type mt, in a new slice. Signatures of RSA, Ed25519 and ML-DSA are
// in their one binary form; those of ECDSA are an Ecdsa-Sig-Value in DER (RFC 3279, section 2.2.3).
//
//	RAW          the message, at most crypto.MaxMessage bytes
//	DIGEST       its hash: as long as that of the algorithm. ED25519_PH_SHA_512 takes nothing else, and hashes the
//	             digest once more, as AWS does; ED25519_SHA_512 and ML_DSA_SHAKE_256 do not take it
//	EXTERNAL_MU  crypto.MuSize bytes, for ML_DSA_SHAKE_256 only
//
// Errors: crypto.ErrAlgorithm if a is not an algorithm of the spec, ErrMessageType, crypto.ErrLength.
func (p *Private) Sign(a crypto.SigningAlgorithm, mt crypto.MessageType, message []byte) ([]byte, error) {
	in, err := prepare(p.spec, a, mt, message)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	signature, err := p.sign(in)
	if err != nil {
		return nil, fmt.Errorf("signing with %s: %w", a, err)
	}
	return signature, nil
}

// Decrypt returns the plaintext, which may be empty, in a new slice. Whatever is wrong with ciphertext, the error is
// crypto.ErrCiphertext itself. Other errors: crypto.ErrAlgorithm if a is not an asymmetric algorithm of the spec,
// crypto.ErrFIPS.
func (p *Private) Decrypt(a crypto.EncryptionAlgorithm, ciphertext []byte) ([]byte, error) {
	if p.decrypt == nil {
		return nil, fmt.Errorf("decrypting: %w", crypto.ErrAlgorithm)
	}
	return p.decrypt(a, ciphertext)
}

// DeriveSharedSecret returns the secret that this key shares with the public key whose SubjectPublicKeyInfo peer is
// (ParsePublic says in which forms): the x-coordinate of the shared point, as long as the curve's field: 32, 48 or
// 66 bytes (ECDH of NIST SP 800-56A, section 5.7.1.2). Errors: crypto.ErrAlgorithm if keys of the spec do not
// agree, ErrPublicKey.
func (p *Private) DeriveSharedSecret(peer []byte) ([]byte, error) {
	if p.derive == nil {
		return nil, fmt.Errorf("deriving a shared secret: %w", crypto.ErrAlgorithm)
	}
	public, err := ParsePublic(p.spec, peer)
	if err != nil {
		return nil, fmt.Errorf("deriving a shared secret: %w", err)
	}
	return p.derive(public)
}

// Decapsulate returns the shared secret of 32 bytes. A ciphertext of another length than the spec's, 1088 bytes for
// ML_KEM_768 and 1568 for ML_KEM_1024, is crypto.ErrCiphertext; one that is not right otherwise gives a secret that
// nobody else has, and no error (FIPS 203, implicit rejection). crypto.ErrAlgorithm if keys of the spec do not
// decapsulate.
func (p *Private) Decapsulate(ciphertext []byte) ([]byte, error) {
	if p.decapsulate == nil {
		return nil, fmt.Errorf("decapsulating: %w", crypto.ErrAlgorithm)
	}
	return p.decapsulate(ciphertext)
}
