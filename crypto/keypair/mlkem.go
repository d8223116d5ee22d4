package keypair

import (
	stdcrypto "crypto"
	"crypto/mlkem"

	"github.com/kmsd/kmsd/crypto"
)

func newMLKEM(spec crypto.Spec, material []byte) (*Private, error) {
	key, err := expandMLKEM(spec, material)
	if err != nil {
		return nil, malformed(spec, "a seed of %d bytes, want %d", len(material), mlkem.SeedSize)
	}
	return &Private{
		spec:   spec,
		public: publicMLKEM(spec, key.Encapsulator()),
		decapsulate: func(ciphertext []byte) ([]byte, error) {
			secret, err := key.Decapsulate(ciphertext)
			if err != nil {
				return nil, crypto.ErrCiphertext
			}
			return secret, nil
		},
	}, nil
}

func expandMLKEM(spec crypto.Spec, seed []byte) (stdcrypto.Decapsulator, error) {
	if spec == crypto.SpecMLKEM768 {
		return mlkem.NewDecapsulationKey768(seed)
	}
	return mlkem.NewDecapsulationKey1024(seed)
}

func parseMLKEMPublic(spec crypto.Spec, encoding []byte) (*Public, bool) {
	var key stdcrypto.Encapsulator
	var err error
	if spec == crypto.SpecMLKEM768 {
		key, err = mlkem.NewEncapsulationKey768(encoding)
	} else {
		key, err = mlkem.NewEncapsulationKey1024(encoding)
	}
	if err != nil {
		return nil, false
	}
	return publicMLKEM(spec, key), true
}

func publicMLKEM(spec crypto.Spec, key stdcrypto.Encapsulator) *Public {
	return &Public{
		spec: spec,
		der:  marshalSPKI(spec, key.Bytes()),
		encapsulate: func() (ciphertext, sharedSecret []byte) {
			sharedSecret, ciphertext = key.Encapsulate()
			return ciphertext, sharedSecret
		},
	}
}
