package keypair

import (
	"bytes"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"filippo.io/mldsa"

	"github.com/kmsd/kmsd/crypto"
)

// seedSize returns the size of the seed that is the material of an ML-DSA or ML-KEM key, else 0.
func seedSize(spec crypto.Spec) int {
	switch familyOf(spec) {
	case familyMLDSA:
		return mldsa.PrivateKeySize
	case familyMLKEM:
		return 64 // d || z of FIPS 203
	}
	return 0
}

// The tag of the seed in the choice that RFC 9881 and RFC 9935 put into the octet string of PKCS#8.
var seedTag = asn1.Tag(0).ContextSpecific()

// marshalSeed returns the choice "seed", which both sizes fit into with a length of one byte.
func marshalSeed(seed []byte) []byte {
	return append([]byte{byte(seedTag), byte(len(seed))}, seed...)
}

// canonicalSeed returns the seed of a key in one of the forms of Canonical.
func canonicalSeed(spec crypto.Spec, material []byte) ([]byte, error) {
	size := seedSize(spec)
	if len(material) == size {
		return append([]byte(nil), material...), nil
	}
	inner, public, err := parsePKCS8(spec, material)
	if err != nil {
		return nil, err
	}
	seed, expanded, err := parseSeed(spec, inner)
	if err != nil {
		return nil, err
	}
	p, err := newPrivate(spec, seed)
	if err != nil {
		return nil, err
	}
	key, ok := parseSPKI(spec, p.public.der)
	if !ok {
		panic("keypair: internal error: the public key of a seed does not parse")
	}
	if expanded != nil && !belongs(spec, expanded, seed, key) {
		return nil, malformed(spec, "the expanded key is not that of the seed")
	}
	return append([]byte(nil), seed...), checkBeside(spec, public, key)
}

// parseSeed reads the choice of seed, expandedKey and both.
func parseSeed(spec crypto.Spec, inner []byte) (seed, expanded []byte, err error) {
	var choice, s, e cryptobyte.String
	var tag asn1.Tag
	in := cryptobyte.String(inner)
	if !in.ReadAnyASN1(&choice, &tag) || !in.Empty() {
		return nil, nil, malformed(spec, "no private key of RFC 9881 or RFC 9935")
	}
	switch tag {
	case seedTag:
		s = choice
	case asn1.OCTET_STRING:
		return nil, nil, malformed(spec, "an expanded key without its seed: the seed is needed")
	case asn1.SEQUENCE:
		if !choice.ReadASN1(&s, asn1.OCTET_STRING) || !choice.ReadASN1(&e, asn1.OCTET_STRING) || !choice.Empty() || len(e) == 0 {
			return nil, nil, malformed(spec, "no private key of RFC 9881 or RFC 9935")
		}
	default:
		return nil, nil, malformed(spec, "no private key of RFC 9881 or RFC 9935")
	}
	if len(s) != seedSize(spec) {
		return nil, nil, malformed(spec, "a seed of %d bytes, want %d", len(s), seedSize(spec))
	}
	return s, e, nil
}

// belongs reports whether what of an expanded key can be compared is that of the seed and its public key. The rest of
// the expanded key, which the libraries do not tell, is not used.
//
//	ML-DSA (FIPS 204, algorithm 24): rho(32) | K(32) | tr(64) | ..., where rho begins the public key
//	ML-KEM (FIPS 203, algorithm 16): dk(PKE) | ek | H(ek)(32) | z(32), where z ends the seed
func belongs(spec crypto.Spec, expanded, seed, public []byte) bool {
	if len(expanded) != expandedSize(spec) {
		return false
	}
	if familyOf(spec) == familyMLDSA {
		return bytes.Equal(expanded[:32], public[:32]) && bytes.Equal(expanded[64:128], publicHash(public))
	}
	end := len(expanded) - 64
	return bytes.Equal(expanded[end-len(public):end], public) && bytes.Equal(expanded[end+32:], seed[32:])
}

func expandedSize(spec crypto.Spec) int {
	switch spec {
	case crypto.SpecMLDSA44:
		return 2560
	case crypto.SpecMLDSA65:
		return 4032
	case crypto.SpecMLDSA87:
		return 4896
	case crypto.SpecMLKEM768:
		return 2400
	}
	return 3168 // ML-KEM-1024
}
