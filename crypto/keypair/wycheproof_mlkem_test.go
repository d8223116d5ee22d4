package keypair_test

import (
	"bytes"
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"encoding/asn1"
	"errors"
	"fmt"
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
	"github.com/kmsd/kmsd/internal/vectors"
)

// pqID returns the object identifier of NIST: 2.16.840.1.101.3.4.3.17 and on, 2.16.840.1.101.3.4.4.2 and on.
func pqID(spec crypto.Spec) asn1.ObjectIdentifier {
	last := map[crypto.Spec][2]int{
		crypto.SpecMLDSA44: {3, 17}, crypto.SpecMLDSA65: {3, 18}, crypto.SpecMLDSA87: {3, 19},
		crypto.SpecMLKEM768: {4, 2}, crypto.SpecMLKEM1024: {4, 3},
	}[spec]
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, last[0], last[1]}
}

// kem is what the tests of ML-KEM need to know of a spec.
type kem struct {
	spec        crypto.Spec
	encapsulate func(ek, m []byte) (k, c []byte, err error) // with m in place of what is random
}

var (
	kem768 = kem{crypto.SpecMLKEM768, func(ek, m []byte) ([]byte, []byte, error) {
		key, err := mlkem.NewEncapsulationKey768(ek)
		if err != nil {
			return nil, nil, err
		}
		return mlkemtest.Encapsulate768(key, m)
	}}
	kem1024 = kem{crypto.SpecMLKEM1024, func(ek, m []byte) ([]byte, []byte, error) {
		key, err := mlkem.NewEncapsulationKey1024(ek)
		if err != nil {
			return nil, nil, err
		}
		return mlkemtest.Encapsulate1024(key, m)
	}}
)

func (k kem) spki(ek []byte) []byte { return spki(pqID(k.spec), asn1.RawValue{}, ek) }

func TestWycheproofMLKEM(t *testing.T) {
	for _, row := range []struct {
		file string
		kem  kem
		want string
	}{
		{"mlkem_768", kem768, "153 valid accepted, 40 invalid refused"},
		{"mlkem_1024", kem1024, "153 valid accepted, 40 invalid refused"},
	} {
		vectors.Run(t, row.file, row.want, func(_ *vectors.Group, v *vectors.Test) vectors.Verdict {
			p, err := imported(row.kem.spec, v.Seed)
			if err != nil {
				return vectors.Passes(err)
			}
			if v.EK != nil && !bytes.Equal(p.Public().DER(), row.kem.spki(v.EK)) {
				return vectors.Failed(fmt.Errorf("the seed gives the public key %x", p.Public().DER()))
			}
			got, err := p.Decapsulate(v.C)
			if err != nil && !errors.Is(err, crypto.ErrCiphertext) {
				return vectors.Failed(err)
			}
			return vectors.Gives(v, got, err, v.K)
		})
	}
}

func TestWycheproofMLKEMKeyGeneration(t *testing.T) {
	for _, row := range []struct {
		file string
		kem  kem
		want string
	}{
		{"mlkem_768_keygen_seed", kem768, "100 valid accepted"},
		{"mlkem_1024_keygen_seed", kem1024, "100 valid accepted"},
	} {
		vectors.Run(t, row.file, row.want, func(_ *vectors.Group, v *vectors.Test) vectors.Verdict {
			p, err := imported(row.kem.spec, v.Seed)
			if err != nil {
				return vectors.Passes(err)
			}
			if _, err := imported(row.kem.spec, v.DK); err == nil {
				return vectors.Failed(errors.New("an expanded key is imported"))
			}
			return vectors.Gives(v, p.Public().DER(), nil, row.kem.spki(v.EK))
		})
	}
}

// What is random in Encapsulate cannot be given to it: the vectors say which public keys are refused, and the function
// of the standard library below it, which takes what is random, gives what they want.
func TestWycheproofMLKEMEncapsulation(t *testing.T) {
	notInFIPS(t) // mlkemtest is not
	for _, row := range []struct {
		file string
		kem  kem
		want string
	}{
		{"mlkem_768_encaps", kem768, "133 valid accepted, 132 invalid refused"},
		{"mlkem_1024_encaps", kem1024, "136 invalid refused, 133 valid accepted"},
	} {
		vectors.Run(t, row.file, row.want, func(_ *vectors.Group, v *vectors.Test) vectors.Verdict {
			p, err := keypair.ParsePublic(row.kem.spec, row.kem.spki(v.EK))
			if err != nil {
				if !errors.Is(err, keypair.ErrPublicKey) {
					return vectors.Failed(err)
				}
				return vectors.Passes(err)
			}
			c, k, err := p.Encapsulate()
			if err != nil || len(c) != len(v.C) || len(k) != len(v.K) {
				return vectors.Failed(fmt.Errorf("Encapsulate() gives %d and %d bytes, %v", len(c), len(k), err))
			}
			k, c, err = row.kem.encapsulate(v.EK, v.M)
			return vectors.Gives(v, append(k, c...), err, append(bytes.Clone(v.K), v.C...))
		})
	}
}

// Material of ML-KEM is a seed: an expanded key does not have one, and is refused, right or wrong.
func TestWycheproofMLKEMExpandedKeys(t *testing.T) {
	for _, row := range []struct {
		file string
		kem  kem
		want string
	}{
		{"mlkem_768_semi_expanded_decaps", kem768, "6 invalid refused, 3 valid refused (the key is expanded)"},
		{"mlkem_1024_semi_expanded_decaps", kem1024, "6 invalid refused, 3 valid refused (the key is expanded)"},
	} {
		vectors.Run(t, row.file, row.want, func(_ *vectors.Group, v *vectors.Test) vectors.Verdict {
			_, err := imported(row.kem.spec, v.DK)
			return vectors.Passes(err).Unoffered("the key is expanded")
		})
	}
}
