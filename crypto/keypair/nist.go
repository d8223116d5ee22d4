package keypair

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"

	"github.com/kmsd/kmsd/crypto"
)

func nistCurves(spec crypto.Spec) (ecdh.Curve, elliptic.Curve) {
	switch spec {
	case crypto.SpecP256:
		return ecdh.P256(), elliptic.P256()
	case crypto.SpecP384:
		return ecdh.P384(), elliptic.P384()
	}
	return ecdh.P521(), elliptic.P521()
}

func generateNIST(spec crypto.Spec) ([]byte, error) {
	curve, _ := nistCurves(spec)
	key, err := curve.GenerateKey(rand.Reader)
	if err != nil {
		return nil, specError(spec, err)
	}
	return marshalEC(spec, key.Bytes(), key.PublicKey().Bytes()), nil
}

func newNIST(spec crypto.Spec, material []byte) (*Private, error) {
	k, err := parseEC(spec, material)
	if err != nil {
		return nil, err
	}
	agreeing, signing := nistCurves(spec)
	agree, err := agreeing.NewPrivateKey(k.scalar)
	if err != nil {
		return nil, malformed(spec, "a private key that is not between 1 and the order of the curve")
	}
	point := agree.PublicKey().Bytes()
	if err := k.check(spec, point); err != nil {
		return nil, err
	}
	key, err := ecdsa.ParseRawPrivateKey(signing, k.scalar)
	if err != nil {
		return nil, malformed(spec, "a private key that is not between 1 and the order of the curve")
	}
	return &Private{
		spec:   spec,
		public: publicNIST(spec, agree.PublicKey(), &key.PublicKey),
		sign:   func(in input) ([]byte, error) { return ecdsa.SignASN1(rand.Reader, key, in.bytes) },
		derive: func(peer *Public) ([]byte, error) {
			secret, err := agree.ECDH(peer.agree)
			if err != nil {
				return nil, specError(spec, ErrPublicKey)
			}
			return secret, nil
		},
	}, nil
}

func parseNISTPublic(spec crypto.Spec, point []byte) (*Public, bool) {
	agreeing, signing := nistCurves(spec)
	if len(point) == 1+fieldSize(spec) {
		x, y := elliptic.UnmarshalCompressed(signing, point)
		if x == nil {
			return nil, false
		}
		point = make([]byte, 1+2*fieldSize(spec))
		point[0] = 4
		x.FillBytes(point[1 : 1+fieldSize(spec)])
		y.FillBytes(point[1+fieldSize(spec):])
	}
	agree, err := agreeing.NewPublicKey(point)
	if err != nil {
		return nil, false
	}
	key, err := ecdsa.ParseUncompressedPublicKey(signing, point)
	if err != nil {
		return nil, false
	}
	return publicNIST(spec, agree, key), true
}

func publicNIST(spec crypto.Spec, agree *ecdh.PublicKey, key *ecdsa.PublicKey) *Public {
	return &Public{
		spec:   spec,
		der:    marshalSPKI(spec, agree.Bytes()),
		agree:  agree,
		verify: func(in input, signature []byte) bool { return ecdsa.VerifyASN1(key, in.bytes, signature) },
	}
}
