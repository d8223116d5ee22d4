package keypair_test

import (
	"bytes"
	"crypto/sha3"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
	"github.com/kmsd/kmsd/internal/vectors"
)

func TestWycheproofMLDSAVerify(t *testing.T) {
	notInFIPS(t)
	for _, row := range []struct {
		file string
		spec crypto.Spec
		want string
	}{
		{"mldsa_44_verify", crypto.SpecMLDSA44, "98 invalid refused, 77 valid accepted, 5 invalid skipped (the context is longer than FIPS 204 has them)"},
		{"mldsa_65_verify", crypto.SpecMLDSA65, "126 invalid refused, 79 valid accepted, 5 invalid skipped (the context is longer than FIPS 204 has them)"},
		{"mldsa_87_verify", crypto.SpecMLDSA87, "165 invalid refused, 71 valid accepted, 5 invalid skipped (the context is longer than FIPS 204 has them)"},
	} {
		vectors.Run(t, row.file, row.want, func(g *vectors.Group, v *vectors.Test) vectors.Verdict {
			key, err := rawPublicKey(g)
			if err != nil {
				return vectors.Failed(err)
			}
			der := []byte(g.PublicKeyDER)
			if der == nil {
				der = spki(pqID(row.spec), asn1.RawValue{}, key)
			}
			p, err := keypair.ParsePublic(row.spec, der)
			if err != nil {
				if !errors.Is(err, keypair.ErrPublicKey) {
					return vectors.Failed(err)
				}
				return vectors.Passes(err)
			}
			if len(v.Ctx) > 255 {
				return vectors.Skip("the context is longer than FIPS 204 has them")
			}
			return verifiesMLDSA(p, key, v)
		})
	}
}

// verifiesMLDSA is the verdict on a signature, given mu and, without a context, which Verify does not take, also
// given the message.
func verifiesMLDSA(p *keypair.Public, key []byte, v *vectors.Test) vectors.Verdict {
	err := p.Verify(crypto.SignMLDSA, crypto.MessageExternalMu, mu(key, v.Ctx, v.Msg), v.Sig)
	raw := p.Verify(crypto.SignMLDSA, crypto.MessageRaw, v.Msg, v.Sig)
	switch {
	case len(v.Ctx) == 0 && !errors.Is(raw, err):
		return vectors.Failed(fmt.Errorf("with mu %v, with the message %v", err, raw))
	case len(v.Ctx) != 0 && !errors.Is(raw, keypair.ErrSignature):
		return vectors.Failed(fmt.Errorf("a signature with a context passes without: %v", raw))
	}
	return signatureVerdict(err)
}

// rawPublicKey returns the public key of a group of ML-DSA.
func rawPublicKey(g *vectors.Group) ([]byte, error) {
	var digits string
	if err := json.Unmarshal(g.PublicKey, &digits); err != nil {
		return nil, err
	}
	return hex.DecodeString(digits)
}

func TestWycheproofMLDSASign(t *testing.T) {
	notInFIPS(t)
	for _, row := range []struct {
		file string
		spec crypto.Spec
		want string
	}{
		{"mldsa_44_sign_seed", crypto.SpecMLDSA44, "82 valid accepted, 3 invalid refused, 1 invalid skipped (the context is longer than FIPS 204 has them)"},
		{"mldsa_65_sign_seed", crypto.SpecMLDSA65, "101 valid accepted, 3 invalid refused, 1 invalid skipped (the context is longer than FIPS 204 has them)"},
		{"mldsa_87_sign_seed", crypto.SpecMLDSA87, "92 valid accepted, 3 invalid refused, 1 invalid skipped (the context is longer than FIPS 204 has them)"},
	} {
		vectors.Run(t, row.file, row.want, func(g *vectors.Group, v *vectors.Test) vectors.Verdict {
			p, err := imported(row.spec, g.PrivateSeed)
			if err != nil {
				return vectors.Passes(err)
			}
			key, err := rawPublicKey(g)
			if err != nil {
				return vectors.Failed(err)
			}
			if got := p.Public().DER(); !bytes.Equal(got, spki(pqID(row.spec), asn1.RawValue{}, key)) {
				return vectors.Failed(fmt.Errorf("the seed gives the public key %x", got))
			}
			if v.Mu == nil {
				return vectors.Skip("the context is longer than FIPS 204 has them")
			}
			own, err := p.Sign(crypto.SignMLDSA, crypto.MessageExternalMu, v.Mu)
			if err != nil {
				return vectors.Failed(err)
			}
			if err := p.Public().Verify(crypto.SignMLDSA, crypto.MessageExternalMu, v.Mu, own); err != nil {
				return vectors.Failed(fmt.Errorf("own signature: %w", err))
			}
			return signatureVerdict(p.Public().Verify(crypto.SignMLDSA, crypto.MessageExternalMu, v.Mu, v.Sig))
		})
	}
}

// mu returns the representative of FIPS 204, algorithm 7, line 6.
func mu(publicKey, context, message []byte) []byte {
	tr := sha3.SumSHAKE256(publicKey, 64)
	return sha3.SumSHAKE256(slices.Concat(tr, []byte{0, byte(len(context))}, context, message), 64)
}
