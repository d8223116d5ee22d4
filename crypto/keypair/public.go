package keypair

import (
	"crypto/ecdh"
	"fmt"

	"github.com/kmsd/kmsd/crypto"
)

// Public is a public key. It comes from Private.Public or ParsePublic. It may be used by many goroutines at once.
type Public struct {
	spec crypto.Spec
	der  []byte
	// What keys of the spec can do; the others are nil.
	verify      func(in input, signature []byte) bool
	encrypt     func(crypto.EncryptionAlgorithm, []byte) ([]byte, error)
	encapsulate func() (ciphertext, sharedSecret []byte)
	agree       *ecdh.PublicKey
}

// ParsePublic returns the public key of spec whose SubjectPublicKeyInfo (RFC 5280, in DER) spki is. It is strict:
// the algorithm must be the one that DER writes, a point of a curve is compressed or uncompressed and nothing else,
// and nothing may follow. An RSA modulus has exactly the bits of the spec, and its exponent is odd, above 2^16 and below
// 2^31. Errors: crypto.ErrSpec for a spec that is not asymmetric, ErrPublicKey, crypto.ErrFIPS.
func ParsePublic(spec crypto.Spec, spki []byte) (*Public, error) {
	if err := available(spec); err != nil {
		return nil, fmt.Errorf("reading a public key of %w", err)
	}
	if familyOf(spec) == familyNone {
		return nil, fmt.Errorf("reading a public key of %w", specError(spec, crypto.ErrSpec))
	}
	key, ok := parseSPKI(spec, spki)
	if !ok {
		return nil, fmt.Errorf("reading a public key of %w: no SubjectPublicKeyInfo of such a key", specError(spec, ErrPublicKey))
	}
	p, ok := parsePoint(spec, key)
	if !ok {
		return nil, fmt.Errorf("reading a public key of %w", specError(spec, ErrPublicKey))
	}
	return p, nil
}

// parsePoint returns the public key that a SubjectPublicKeyInfo has in its bit string.
func parsePoint(spec crypto.Spec, key []byte) (*Public, bool) {
	switch familyOf(spec) {
	case familyRSA:
		return parseRSAPublic(spec, key)
	case familyNIST:
		return parseNISTPublic(spec, key)
	case familyP256K1:
		return parseP256K1Public(spec, key)
	case familyEd25519:
		return parseEd25519Public(spec, key)
	case familyMLDSA:
		return parseMLDSAPublic(spec, key)
	case familyMLKEM:
		return parseMLKEMPublic(spec, key)
	}
	return nil, false
}

// Spec returns the key spec.
func (p *Public) Spec() crypto.Spec { return p.spec }

// DER returns the SubjectPublicKeyInfo: RSA per RFC 3279, curves per RFC 5480 as uncompressed points, Ed25519 per
// RFC 8410, ML-DSA per RFC 9881, ML-KEM per RFC 9935. It is shared: the caller must not change it.
func (p *Public) DER() []byte { return p.der }

// Verify returns nil if signature is one that Sign makes of this message, else ErrSignature itself. An ECDSA
// signature in another encoding than DER is none; high and low s are both fine. RSASSA_PSS takes no salt of another length than
// the hash. message, its type and the other errors are as for Private.Sign.
func (p *Public) Verify(a crypto.SigningAlgorithm, mt crypto.MessageType, message, signature []byte) error {
	in, err := prepare(p.spec, a, mt, message)
	if err != nil {
		return fmt.Errorf("verifying: %w", err)
	}
	if !p.verify(in, signature) {
		return ErrSignature
	}
	return nil
}

// Encrypt returns the ciphertext, as long as the modulus, in a new slice. plaintext has 1 byte to the modulus's length
// less twice the hash's less 2: 214, 342 or 470 bytes with SHA-1, 190, 318 or 446 with SHA-256, for 2048, 3072 or
// 4096 bits. Errors: crypto.ErrAlgorithm if a is not an asymmetric algorithm of the spec, crypto.ErrLength,
// crypto.ErrFIPS.
func (p *Public) Encrypt(a crypto.EncryptionAlgorithm, plaintext []byte) ([]byte, error) {
	if p.encrypt == nil {
		return nil, fmt.Errorf("encrypting: %w", crypto.ErrAlgorithm)
	}
	ciphertext, err := p.encrypt(a, plaintext)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	return ciphertext, nil
}

// Encapsulate returns a secret of 32 bytes and the ciphertext from which Private.Decapsulate recovers it.
// crypto.ErrAlgorithm if keys of the spec do not encapsulate.
func (p *Public) Encapsulate() (ciphertext, sharedSecret []byte, err error) {
	if p.encapsulate == nil {
		return nil, nil, fmt.Errorf("encapsulating: %w", crypto.ErrAlgorithm)
	}
	ciphertext, sharedSecret = p.encapsulate()
	return ciphertext, sharedSecret, nil
}
