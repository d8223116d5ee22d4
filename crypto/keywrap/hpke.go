package keywrap

import (
	"bytes"
	"crypto/fips140"
	"crypto/hpke"
	"crypto/x509"
	"slices"

	"github.com/kmsd/kmsd/crypto"
)

// hpkeLabel begins the info of HPKE: what is wrapped here opens nowhere else.
const hpkeLabel = "kmsd/import/v1"

// hpkeSPKI begins the SubjectPublicKeyInfo of an X-Wing key, whose bit string of 1216 bytes ends it: a sequence of
// id-XWing (1.3.6.1.4.1.62253.25722, draft-connolly-cfrg-xwing-kem) without parameters, and the bit string.
const hpkeSPKI = "\x30\x82\x04\xd4" + "\x30\x0d\x06\x0b\x2b\x06\x01\x04\x01\x83\xe6\x2d\x81\xc8\x7a" + "\x03\x82\x04\xc1\x00"

func hpkeInfo(info []byte) []byte { return slices.Concat([]byte(hpkeLabel), info) }

func generateHPKE() (crypto.Secret, []byte, error) {
	if fips140.Enforced() {
		return crypto.Secret{}, nil, crypto.ErrFIPS
	}
	key, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		return crypto.Secret{}, nil, err
	}
	seed, err := key.Bytes()
	if err != nil {
		return crypto.Secret{}, nil, err
	}
	return crypto.NewSecret(seed), append([]byte(hpkeSPKI), key.PublicKey().Bytes()...), nil
}

func parseHPKE(publicDER []byte) (hpke.PublicKey, error) {
	raw, ok := bytes.CutPrefix(publicDER, []byte(hpkeSPKI))
	if !ok {
		return nil, otherwise(x509.ParsePKIXPublicKey(publicDER))
	}
	key, err := hpke.MLKEM768X25519().NewPublicKey(raw)
	if err != nil {
		return nil, ErrPublicKey
	}
	return key, nil
}

// otherwise returns what is wrong with a key that is not one of X-Wing, and was parsed as another.
func otherwise(_ any, err error) error {
	if err == nil {
		return ErrAlgorithm
	}
	return ErrPublicKey
}

func unwrapHPKE(private crypto.Secret, info, wrapped []byte) ([]byte, error) {
	key, err := hpke.MLKEM768X25519().NewPrivateKey(private.Expose())
	if err != nil {
		return nil, otherwise(x509.ParsePKCS8PrivateKey(private.Expose()))
	}
	if len(wrapped) > MaxWrapped {
		return nil, ErrUnwrap
	}
	material, err := hpke.Open(key, hpke.HKDFSHA256(), hpke.AES256GCM(), hpkeInfo(info), wrapped)
	if err != nil || len(material) == 0 || len(material) > MaxMaterial {
		return nil, ErrUnwrap
	}
	return material, nil
}
