package keypair

import (
	"bytes"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kmsd/kmsd/crypto"
)

// maxDER is the longest encoding of a key that is looked at, in bytes; the longest that is right, an ML-DSA-87 key in
// both forms, has about 5,000.
const maxDER = 8192

// algorithmID returns the AlgorithmIdentifier of a spec, in DER: the object identifier and its parameters.
func algorithmID(spec crypto.Spec) []byte {
	switch spec {
	case crypto.SpecRSA2048, crypto.SpecRSA3072, crypto.SpecRSA4096:
		return []byte("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00") // rsaEncryption, NULL
	case crypto.SpecP256, crypto.SpecP384, crypto.SpecP521, crypto.SpecP256K1: // id-ecPublicKey, the curve
		curve := curveID(spec)
		return append([]byte{0x30, byte(9 + len(curve)), 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01}, curve...)
	case crypto.SpecEd25519:
		return []byte("\x30\x05\x06\x03\x2b\x65\x70") // id-Ed25519
	case crypto.SpecMLDSA44: // 2.16.840.1.101.3.4.3.17 and on
		return []byte("\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11")
	case crypto.SpecMLDSA65:
		return []byte("\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12")
	case crypto.SpecMLDSA87:
		return []byte("\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x13")
	case crypto.SpecMLKEM768: // 2.16.840.1.101.3.4.4.2 and on
		return []byte("\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x04\x02")
	case crypto.SpecMLKEM1024:
		return []byte("\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x04\x03")
	}
	panic("keypair: internal error: object identifier of a spec that is not asymmetric")
}

// curveID returns the object identifier of a curve, in DER.
func curveID(spec crypto.Spec) []byte {
	switch spec {
	case crypto.SpecP256:
		return []byte("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07")
	case crypto.SpecP384:
		return []byte("\x06\x05\x2b\x81\x04\x00\x22")
	case crypto.SpecP521:
		return []byte("\x06\x05\x2b\x81\x04\x00\x23")
	case crypto.SpecP256K1:
		return []byte("\x06\x05\x2b\x81\x04\x00\x0a")
	}
	panic("keypair: internal error: curve of a spec that has none")
}

// marshalSPKI returns the SubjectPublicKeyInfo with key in its bit string.
func marshalSPKI(spec crypto.Spec, key []byte) []byte {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(key)+32))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(algorithmID(spec))
		b.AddASN1BitString(key)
	})
	return b.BytesOrPanic()
}

// parseSPKI returns what the SubjectPublicKeyInfo of a key of spec has in its bit string.
func parseSPKI(spec crypto.Spec, der []byte) ([]byte, bool) {
	if len(der) > maxDER {
		return nil, false
	}
	var info, algorithm cryptobyte.String
	var key []byte
	s := cryptobyte.String(der)
	ok := s.ReadASN1(&info, asn1.SEQUENCE) && s.Empty() &&
		info.ReadASN1Element(&algorithm, asn1.SEQUENCE) && bytes.Equal(algorithm, algorithmID(spec)) &&
		info.ReadASN1BitStringAsBytes(&key) && info.Empty()
	return key, ok
}

// marshalPKCS8 returns the PrivateKeyInfo with key in its octet string.
func marshalPKCS8(spec crypto.Spec, key []byte) []byte {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(key)+40))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Uint64(0)
		b.AddBytes(algorithmID(spec))
		b.AddASN1OctetString(key)
	})
	return b.BytesOrPanic()
}

// parsePKCS8 returns what the PrivateKeyInfo of a key of spec (RFC 5208), or its OneAsymmetricKey (RFC 5958), has in
// its octet string, and the public key beside it, if there is one. Attributes are not looked at.
func parsePKCS8(spec crypto.Spec, der []byte) (key, public []byte, err error) {
	if len(der) > maxDER {
		return nil, nil, malformed(spec, "%d bytes, at most %d are allowed", len(der), maxDER)
	}
	var info, algorithm, private, bits cryptobyte.String
	var version uint64
	var hasPublic bool
	s := cryptobyte.String(der)
	if !s.ReadASN1(&info, asn1.SEQUENCE) || !s.Empty() || !info.ReadASN1Integer(&version) || version > 1 ||
		!info.ReadASN1Element(&algorithm, asn1.SEQUENCE) {
		return nil, nil, malformed(spec, "not an unencrypted private key of PKCS#8 in DER")
	}
	if !bytes.Equal(algorithm, algorithmID(spec)) {
		return nil, nil, malformed(spec, "a private key of PKCS#8 that is of another algorithm or curve")
	}
	if !info.ReadASN1(&private, asn1.OCTET_STRING) ||
		!info.SkipOptionalASN1(asn1.Tag(0).ContextSpecific().Constructed()) ||
		!info.ReadOptionalASN1(&bits, &hasPublic, asn1.Tag(1).ContextSpecific()) || !info.Empty() {
		return nil, nil, malformed(spec, "not an unencrypted private key of PKCS#8 in DER")
	}
	if hasPublic { // an IMPLICIT bit string, with no unused bits
		if version != 1 || len(bits) < 2 || bits[0] != 0 {
			return nil, nil, malformed(spec, "a private key of PKCS#8 with a malformed public key")
		}
		public = bits[1:]
	}
	return private, public, nil
}

// checkBeside refuses a public key beside a private one, of which it is not the public key.
func checkBeside(spec crypto.Spec, public, want []byte) error {
	if public != nil && !bytes.Equal(public, want) {
		return malformed(spec, "the public key beside the private key is that of another")
	}
	return nil
}
