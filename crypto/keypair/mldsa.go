package keypair

import (
	"crypto/sha3"

	"filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"

	"github.com/kmsd/kmsd/crypto"
)

func mldsaParameters(spec crypto.Spec) mldsa.Parameters {
	switch spec {
	case crypto.SpecMLDSA44:
		return mldsa.MLDSA44()
	case crypto.SpecMLDSA65:
		return mldsa.MLDSA65()
	}
	return mldsa.MLDSA87()
}

// publicHash returns tr, the hash of a public key that mu begins with (FIPS 204, algorithm 6).
func publicHash(public []byte) []byte { return sha3.SumSHAKE256(public, 64) }

func newMLDSA(spec crypto.Spec, material []byte) (*Private, error) {
	key, err := mldsa.NewPrivateKey(mldsaParameters(spec), material)
	if err != nil {
		return nil, malformed(spec, "a seed of %d bytes, want %d", len(material), mldsa.PrivateKeySize)
	}
	return &Private{
		spec:   spec,
		public: publicMLDSA(spec, key.PublicKey()),
		sign: func(in input) ([]byte, error) {
			if in.mu {
				return key.Sign(nil, in.bytes, mldsacrypto.MLDSAMu)
			}
			return key.Sign(nil, in.bytes, nil)
		},
	}, nil
}

func parseMLDSAPublic(spec crypto.Spec, encoding []byte) (*Public, bool) {
	key, err := mldsa.NewPublicKey(mldsaParameters(spec), encoding)
	if err != nil {
		return nil, false
	}
	return publicMLDSA(spec, key), true
}

func publicMLDSA(spec crypto.Spec, key *mldsa.PublicKey) *Public {
	encoding := key.Bytes()
	return &Public{
		spec: spec,
		der:  marshalSPKI(spec, encoding),
		verify: func(in input, signature []byte) bool {
			if in.mu {
				return verifyMu(spec, encoding, in.bytes, signature)
			}
			return mldsa.Verify(key, in.bytes, signature, nil) == nil
		},
	}
}
