package keypair

import (
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/kmsd/kmsd/crypto"
)

func generateP256K1(spec crypto.Spec) []byte {
	for {
		d := crypto.RandomSecret(32).Expose()
		if key, ok := scalarP256K1(d); ok {
			return marshalEC(spec, d, key.PubKey().SerializeUncompressed())
		}
	}
}

// scalarP256K1 returns the private key whose 32 bytes are d, which has to be between 1 and the order of the curve.
func scalarP256K1(d []byte) (*secp256k1.PrivateKey, bool) {
	var s secp256k1.ModNScalar
	if overflow := s.SetByteSlice(d); overflow || s.IsZero() {
		return nil, false
	}
	return secp256k1.NewPrivateKey(&s), true
}

func newP256K1(spec crypto.Spec, material []byte) (*Private, error) {
	k, err := parseEC(spec, material)
	if err != nil {
		return nil, err
	}
	key, ok := scalarP256K1(k.scalar)
	if !ok {
		return nil, malformed(spec, "a private key that is not between 1 and the order of the curve")
	}
	public := key.PubKey()
	if err := k.check(spec, public.SerializeUncompressed()); err != nil {
		return nil, err
	}
	return &Private{
		spec:   spec,
		public: publicP256K1(spec, public),
		sign:   func(in input) ([]byte, error) { return ecdsa.Sign(key, in.bytes).Serialize(), nil },
	}, nil
}

func parseP256K1Public(spec crypto.Spec, point []byte) (*Public, bool) {
	if len(point) == 65 && point[0] != 4 { // hybrid forms
		return nil, false
	}
	key, err := secp256k1.ParsePubKey(point)
	if err != nil {
		return nil, false
	}
	return publicP256K1(spec, key), true
}

func publicP256K1(spec crypto.Spec, key *secp256k1.PublicKey) *Public {
	return &Public{
		spec: spec,
		der:  marshalSPKI(spec, key.SerializeUncompressed()),
		verify: func(in input, signature []byte) bool {
			s, err := ecdsa.ParseDERSignature(signature)
			return err == nil && s.Verify(in.bytes, key)
		},
	}
}
