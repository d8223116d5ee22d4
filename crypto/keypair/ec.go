package keypair

import (
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kmsd/kmsd/crypto"
)

// fieldSize returns the bytes of a coordinate, and of a private key, of a curve.
func fieldSize(spec crypto.Spec) int {
	switch spec {
	case crypto.SpecP384:
		return 48
	case crypto.SpecP521:
		return 66
	}
	return 32
}

// marshalEC returns the PrivateKeyInfo of a key on a curve: an ECPrivateKey (RFC 5915) with the public key, and
// without parameters, which the AlgorithmIdentifier has.
func marshalEC(spec crypto.Spec, d, point []byte) []byte {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(d)+len(point)+24))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Uint64(1)
		b.AddASN1OctetString(d)
		b.AddASN1(asn1.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1BitString(point)
		})
	})
	return marshalPKCS8(spec, b.BytesOrPanic())
}

// ecKey is what the PKCS#8 form of a key on a curve says. The scalar has the size of the field and has not been
// looked at; the points are nil where it does not say them.
type ecKey struct {
	scalar []byte
	points [2][]byte
}

func parseEC(spec crypto.Spec, material []byte) (ecKey, error) {
	inner, public, err := parsePKCS8(spec, material)
	if err != nil {
		return ecKey{}, err
	}
	var sequence, d, parameters, bits cryptobyte.String
	var version uint64
	var hasParameters, hasPublic bool
	s := cryptobyte.String(inner)
	if !s.ReadASN1(&sequence, asn1.SEQUENCE) || !s.Empty() || !sequence.ReadASN1Integer(&version) || version != 1 ||
		!sequence.ReadASN1(&d, asn1.OCTET_STRING) ||
		!sequence.ReadOptionalASN1(&parameters, &hasParameters, asn1.Tag(0).ContextSpecific().Constructed()) ||
		!sequence.ReadOptionalASN1(&bits, &hasPublic, asn1.Tag(1).ContextSpecific().Constructed()) || !sequence.Empty() {
		return ecKey{}, malformed(spec, "no elliptic curve key of RFC 5915")
	}
	if hasParameters && string(parameters) != string(curveID(spec)) {
		return ecKey{}, malformed(spec, "an elliptic curve key of another curve")
	}
	k := ecKey{scalar: make([]byte, fieldSize(spec)), points: [2][]byte{public}}
	if len(d) > len(k.scalar) {
		return ecKey{}, malformed(spec, "a private key of %d bytes, at most %d are allowed", len(d), len(k.scalar))
	}
	copy(k.scalar[len(k.scalar)-len(d):], d)
	if hasPublic && (!bits.ReadASN1BitStringAsBytes(&k.points[1]) || !bits.Empty()) {
		return ecKey{}, malformed(spec, "an elliptic curve key with a malformed public key")
	}
	return k, nil
}

// check refuses a key that says another public key than point, which is uncompressed.
func (k ecKey) check(spec crypto.Spec, point []byte) error {
	for _, said := range k.points {
		if said != nil && len(said) != len(point) {
			p, ok := parsePoint(spec, said)
			if !ok {
				return malformed(spec, "an elliptic curve key with a malformed public key")
			}
			said = p.der[len(p.der)-len(point):]
		}
		if err := checkBeside(spec, said, point); err != nil {
			return err
		}
	}
	return nil
}

func canonicalEC(spec crypto.Spec, material []byte) ([]byte, error) {
	p, err := newPrivate(spec, material)
	if err != nil {
		return nil, err
	}
	k, err := parseEC(spec, material)
	if err != nil {
		return nil, err
	}
	return marshalEC(spec, k.scalar, p.public.der[len(p.public.der)-1-2*fieldSize(spec):]), nil
}
