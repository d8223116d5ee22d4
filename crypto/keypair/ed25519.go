package keypair

import (
	stdcrypto "crypto"
	"crypto/ed25519"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kmsd/kmsd/crypto"
)

const ed25519SeedSize = ed25519.SeedSize

// marshalEd25519 returns the PrivateKeyInfo of a key: its seed in an octet string of its own (RFC 8410, section 7).
func marshalEd25519(spec crypto.Spec, seed []byte) []byte {
	return marshalPKCS8(spec, append([]byte{0x04, ed25519SeedSize}, seed...))
}

func parseEd25519(spec crypto.Spec, material []byte) (ed25519.PrivateKey, error) {
	inner, public, err := parsePKCS8(spec, material)
	if err != nil {
		return nil, err
	}
	var seed cryptobyte.String
	s := cryptobyte.String(inner)
	if !s.ReadASN1(&seed, asn1.OCTET_STRING) || !s.Empty() || len(seed) != ed25519SeedSize {
		return nil, malformed(spec, "no Ed25519 key of RFC 8410")
	}
	key := ed25519.NewKeyFromSeed(seed)
	return key, checkBeside(spec, public, key[ed25519SeedSize:])
}

func canonicalEd25519(spec crypto.Spec, material []byte) ([]byte, error) {
	key, err := parseEd25519(spec, material)
	if err != nil {
		return nil, err
	}
	return marshalEd25519(spec, key.Seed()), nil
}

func newEd25519(spec crypto.Spec, material []byte) (*Private, error) {
	key, err := parseEd25519(spec, material)
	if err != nil {
		return nil, err
	}
	return &Private{
		spec:   spec,
		public: publicEd25519(spec, key.Public().(ed25519.PublicKey)),
		sign:   func(in input) ([]byte, error) { return key.Sign(nil, in.bytes, &ed25519.Options{Hash: in.hash}) },
	}, nil
}

func parseEd25519Public(spec crypto.Spec, key []byte) (*Public, bool) {
	if len(key) != ed25519.PublicKeySize {
		return nil, false
	}
	return publicEd25519(spec, ed25519.PublicKey(append([]byte(nil), key...))), true
}

func publicEd25519(spec crypto.Spec, key ed25519.PublicKey) *Public {
	return &Public{
		spec: spec,
		der:  marshalSPKI(spec, key),
		verify: func(in input, signature []byte) bool {
			return ed25519.VerifyWithOptions(key, in.bytes, signature, &ed25519.Options{Hash: stdcrypto.Hash(in.hash)}) == nil
		},
	}
}
