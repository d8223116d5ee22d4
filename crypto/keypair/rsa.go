package keypair

import (
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"hash"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kmsd/kmsd/crypto"
)

// primeRounds is how often an imported prime is tested with a random base (Miller-Rabin), besides a Baillie-PSW test.
const primeRounds = 10

func rsaBits(spec crypto.Spec) int {
	switch spec {
	case crypto.SpecRSA2048:
		return 2048
	case crypto.SpecRSA3072:
		return 3072
	}
	return 4096
}

// rsaExponent reports whether e is a public exponent that is taken: FIPS 186-5, section 5.4, asks for an odd one above
// 2^16, and crypto/rsa for one below 2^31.
func rsaExponent(e int) bool { return e > 1<<16 && e < 1<<31 && e&1 == 1 }

func generateRSA(spec crypto.Spec) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, rsaBits(spec))
	if err != nil {
		return nil, specError(spec, err)
	}
	return marshalRSA(spec, key)
}

// marshalRSA returns the PKCS#8 form of key with what of it could be chosen brought into order: the larger prime is
// first, and the private exponent is the inverse of the public one modulo lcm(p-1, q-1), as FIPS 186-5 has it.
func marshalRSA(spec crypto.Spec, key *rsa.PrivateKey) ([]byte, error) {
	p, q := key.Primes[0], key.Primes[1]
	if p.Cmp(q) < 0 {
		p, q = q, p
	}
	one := big.NewInt(1)
	p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)
	lambda := new(big.Int).Div(new(big.Int).Mul(p1, q1), new(big.Int).GCD(nil, nil, p1, q1))
	d := new(big.Int).ModInverse(big.NewInt(int64(key.E)), lambda)
	if d == nil {
		return nil, malformed(spec, "an RSA key whose exponent has no inverse")
	}
	ordered := &rsa.PrivateKey{PublicKey: key.PublicKey, D: d, Primes: []*big.Int{p, q}}
	ordered.Precompute()
	if err := ordered.Validate(); err != nil {
		return nil, malformed(spec, "an RSA key that is not consistent")
	}
	return marshalPKCS8(spec, x509.MarshalPKCS1PrivateKey(ordered)), nil
}

// parseRSA reads the sizes of a key before it computes anything with it, so that what is too large costs nothing.
func parseRSA(spec crypto.Spec, material []byte) (*rsa.PrivateKey, error) {
	inner, public, err := parsePKCS8(spec, material)
	if err != nil {
		return nil, err
	}
	if err := checkPKCS1(spec, inner); err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS1PrivateKey(inner)
	if err != nil {
		return nil, malformed(spec, "an RSA key that is not consistent")
	}
	return key, checkBeside(spec, public, x509.MarshalPKCS1PublicKey(&key.PublicKey))
}

// checkPKCS1 refuses what is no RSAPrivateKey (RFC 8017, appendix A.1.2) of two primes and the sizes of spec.
func checkPKCS1(spec crypto.Spec, der []byte) error {
	var sequence cryptobyte.String
	var version uint64
	var n, e, d, p, q, dp, dq, inverse big.Int
	numbers := []*big.Int{&n, &e, &d, &p, &q, &dp, &dq, &inverse}
	s := cryptobyte.String(der)
	ok := s.ReadASN1(&sequence, asn1.SEQUENCE) && s.Empty() && sequence.ReadASN1Integer(&version)
	for _, i := range numbers {
		ok = ok && sequence.ReadASN1Integer(i) && i.Sign() > 0
	}
	bits := rsaBits(spec)
	switch {
	case ok && version != 0:
		return malformed(spec, "an RSA key of more than two primes")
	case !ok || !sequence.Empty():
		return malformed(spec, "no RSA key of PKCS#1")
	case n.BitLen() != bits:
		return malformed(spec, "an RSA modulus of %d bits, want %d", n.BitLen(), bits)
	case p.BitLen() != bits/2 || q.BitLen() != bits/2:
		return malformed(spec, "an RSA prime that has not half the bits of the modulus")
	case !e.IsInt64() || !rsaExponent(int(e.Int64())):
		return malformed(spec, "an RSA exponent that is not odd, above 2^16 and below 2^31")
	case d.Cmp(&n) >= 0 || dp.Cmp(&p) >= 0 || dq.Cmp(&q) >= 0 || inverse.Cmp(&p) >= 0:
		return malformed(spec, "an RSA key that is not consistent")
	}
	return nil
}

func canonicalRSA(spec crypto.Spec, material []byte) ([]byte, error) {
	key, err := parseRSA(spec, material)
	if err != nil {
		return nil, err
	}
	for _, p := range key.Primes {
		if !p.ProbablyPrime(primeRounds) {
			return nil, malformed(spec, "an RSA key with a factor that is not prime")
		}
	}
	return marshalRSA(spec, key)
}

func newRSA(spec crypto.Spec, material []byte) (*Private, error) {
	key, err := parseRSA(spec, material)
	if err != nil {
		return nil, err
	}
	return &Private{
		spec:   spec,
		public: publicRSA(spec, &key.PublicKey),
		sign: func(in input) ([]byte, error) {
			if in.pss {
				return rsa.SignPSS(rand.Reader, key, in.hash, in.bytes, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
			}
			return rsa.SignPKCS1v15(nil, key, in.hash, in.bytes)
		},
		decrypt: func(a crypto.EncryptionAlgorithm, ciphertext []byte) ([]byte, error) {
			h, err := oaepHash(a)
			if err != nil {
				return nil, fmt.Errorf("decrypting: %w", err)
			}
			plaintext, err := rsa.DecryptOAEP(h, nil, key, ciphertext, nil)
			if err != nil {
				return nil, crypto.ErrCiphertext
			}
			return plaintext, nil
		},
	}, nil
}

// oaepHash returns the hash of a, which is also that of MGF1.
func oaepHash(a crypto.EncryptionAlgorithm) (hash.Hash, error) {
	switch a {
	case crypto.EncryptOAEPSHA1:
		if fips140.Enforced() {
			return nil, fmt.Errorf("%s: %w", a, crypto.ErrFIPS)
		}
		return sha1.New(), nil // OAEP does not need collision resistance of its hash
	case crypto.EncryptOAEPSHA256:
		return sha256.New(), nil
	}
	return nil, crypto.ErrAlgorithm
}

func parseRSAPublic(spec crypto.Spec, der []byte) (*Public, bool) {
	var sequence cryptobyte.String
	key := rsa.PublicKey{N: new(big.Int)}
	s := cryptobyte.String(der)
	if !s.ReadASN1(&sequence, asn1.SEQUENCE) || !s.Empty() || !sequence.ReadASN1Integer(key.N) ||
		!sequence.ReadASN1Integer(&key.E) || !sequence.Empty() {
		return nil, false
	}
	if key.N.Sign() <= 0 || key.N.BitLen() != rsaBits(spec) || key.N.Bit(0) == 0 || !rsaExponent(key.E) {
		return nil, false
	}
	return publicRSA(spec, &key), true
}

func publicRSA(spec crypto.Spec, key *rsa.PublicKey) *Public {
	return &Public{
		spec: spec,
		der:  marshalSPKI(spec, x509.MarshalPKCS1PublicKey(key)),
		verify: func(in input, signature []byte) bool {
			if in.pss {
				opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
				return rsa.VerifyPSS(key, in.hash, in.bytes, signature, opts) == nil
			}
			return rsa.VerifyPKCS1v15(key, in.hash, in.bytes, signature) == nil
		},
		encrypt: func(a crypto.EncryptionAlgorithm, plaintext []byte) ([]byte, error) {
			h, err := oaepHash(a)
			if err != nil {
				return nil, err
			}
			if most := key.Size() - 2*h.Size() - 2; len(plaintext) == 0 || len(plaintext) > most {
				return nil, fmt.Errorf("%w: the plaintext has %d bytes, %s under %s takes 1 to %d",
					crypto.ErrLength, len(plaintext), a, spec, most)
			}
			return rsa.EncryptOAEP(h, rand.Reader, key, plaintext, nil)
		},
	}
}
