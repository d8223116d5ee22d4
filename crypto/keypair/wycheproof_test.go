package keypair_test

import (
	"crypto/ecdh"
	"crypto/fips140"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
	"github.com/kmsd/kmsd/internal/vectors"
)

// notInFIPS skips what GODEBUG=fips140=only does not offer.
func notInFIPS(t *testing.T) {
	t.Helper()
	if fips140.Enforced() {
		t.Skip("not available under GODEBUG=fips140=only")
	}
}

// slowCurve reports whether a test with -short, which is how the race detector runs them, leaves this curve out:
// nothing here runs beside anything else, and arithmetic takes ten times as long.
func slowCurve(spec crypto.Spec) bool {
	return testing.Short() && (spec == crypto.SpecP384 || spec == crypto.SpecP521)
}

// The algorithms by what the files call them.
var (
	wycheproofPSS = map[string]crypto.SigningAlgorithm{
		"SHA-256": crypto.SignPSSSHA256, "SHA-384": crypto.SignPSSSHA384, "SHA-512": crypto.SignPSSSHA512,
	}
	wycheproofPKCS1 = map[string]crypto.SigningAlgorithm{
		"SHA-256": crypto.SignPKCS1SHA256, "SHA-384": crypto.SignPKCS1SHA384, "SHA-512": crypto.SignPKCS1SHA512,
	}
	wycheproofOAEP = map[string]crypto.EncryptionAlgorithm{
		"SHA-1": crypto.EncryptOAEPSHA1, "SHA-256": crypto.EncryptOAEPSHA256,
	}
	wycheproofRSA = map[int]crypto.Spec{2048: crypto.SpecRSA2048, 3072: crypto.SpecRSA3072, 4096: crypto.SpecRSA4096}
	saltLen       = map[string]int{"SHA-256": 32, "SHA-384": 48, "SHA-512": 64} // as long as the hash
)

func digestOf(a crypto.SigningAlgorithm, message []byte) []byte {
	switch a {
	case crypto.SignPSSSHA256, crypto.SignPKCS1SHA256, crypto.SignECDSASHA256:
		d := sha256.Sum256(message)
		return d[:]
	case crypto.SignPSSSHA384, crypto.SignPKCS1SHA384, crypto.SignECDSASHA384:
		d := sha512.Sum384(message)
		return d[:]
	}
	d := sha512.Sum512(message)
	return d[:]
}

// verifies is the verdict on a signature, given the message and given its digest, which must be the same.
func verifies(p *keypair.Public, a crypto.SigningAlgorithm, v *vectors.Test) vectors.Verdict {
	err := p.Verify(a, crypto.MessageRaw, v.Msg, v.Sig)
	if a != crypto.SignEd25519 {
		if other := p.Verify(a, crypto.MessageDigest, digestOf(a, v.Msg), v.Sig); !errors.Is(other, err) {
			return vectors.Failed(fmt.Errorf("with the message %v, with the digest %v", err, other))
		}
	}
	return signatureVerdict(err)
}

func signatureVerdict(err error) vectors.Verdict {
	if err != nil && !errors.Is(err, keypair.ErrSignature) {
		return vectors.Failed(err)
	}
	return vectors.Passes(err)
}

func TestWycheproofECDSA(t *testing.T) {
	for _, row := range []struct {
		file      string
		spec      crypto.Spec
		algorithm crypto.SigningAlgorithm
		want      string
	}{
		{"ecdsa_secp256r1_sha256", crypto.SpecP256, crypto.SignECDSASHA256, "310 invalid refused, 174 valid accepted"},
		{"ecdsa_secp384r1_sha384", crypto.SpecP384, crypto.SignECDSASHA384, "310 invalid refused, 194 valid accepted"},
		{"ecdsa_secp521r1_sha512", crypto.SpecP521, crypto.SignECDSASHA512, "310 invalid refused, 232 valid accepted"},
		{"ecdsa_secp256k1_sha256", crypto.SpecP256K1, crypto.SignECDSASHA256, "308 invalid refused, 168 valid accepted"},
	} {
		if slowCurve(row.spec) {
			continue
		}
		t.Run(string(row.spec), func(t *testing.T) {
			if row.spec == crypto.SpecP256K1 {
				notInFIPS(t)
			}
			vectors.Run(t, row.file, row.want, func(g *vectors.Group, v *vectors.Test) vectors.Verdict {
				p, err := keypair.ParsePublic(row.spec, g.PublicKeyDER)
				if err != nil {
					return vectors.Failed(err)
				}
				return verifies(p, row.algorithm, v)
			})
		})
	}
}

func TestWycheproofEd25519(t *testing.T) {
	vectors.Run(t, "ed25519", "88 valid accepted, 63 invalid refused", func(g *vectors.Group, v *vectors.Test) vectors.Verdict {
		p, err := keypair.ParsePublic(crypto.SpecEd25519, g.PublicKeyDER)
		if err != nil {
			return vectors.Failed(err)
		}
		return verifies(p, crypto.SignEd25519, v)
	})
}

func TestWycheproofPKCS1(t *testing.T) {
	for _, row := range []struct{ file, want string }{
		{"rsa_signature_2048_sha256", "249 invalid refused, 7 valid accepted, 2 valid refused (the public exponent is 3), 1 acceptable refused (RFC 8017 wants a NULL)"},
		{"rsa_signature_2048_sha384", "250 invalid refused, 7 valid accepted, 1 acceptable refused (RFC 8017 wants a NULL)"},
		{"rsa_signature_2048_sha512", "250 invalid refused, 7 valid accepted, 1 acceptable refused (RFC 8017 wants a NULL), 1 valid refused (the public exponent is 3)"},
		{"rsa_signature_3072_sha256", "250 invalid refused, 7 valid accepted, 1 acceptable refused (RFC 8017 wants a NULL), 1 valid refused (the public exponent is 3)"},
		{"rsa_signature_3072_sha384", "251 invalid refused, 7 valid accepted, 1 acceptable refused (RFC 8017 wants a NULL)"},
		{"rsa_signature_3072_sha512", "251 invalid refused, 7 valid accepted, 1 acceptable refused (RFC 8017 wants a NULL), 1 valid refused (the public exponent is 3)"},
		{"rsa_signature_4096_sha256", "250 invalid refused, 7 valid accepted, 1 acceptable refused (RFC 8017 wants a NULL)"},
		{"rsa_signature_4096_sha384", "251 invalid refused, 7 valid accepted, 1 acceptable refused (RFC 8017 wants a NULL)"},
		{"rsa_signature_4096_sha512", "251 invalid refused, 7 valid accepted, 1 acceptable refused (RFC 8017 wants a NULL)"},
	} {
		vectors.Run(t, row.file, row.want, func(g *vectors.Group, v *vectors.Test) vectors.Verdict {
			p, err := keypair.ParsePublic(wycheproofRSA[g.KeySize], g.PublicKeyDER)
			if slices.Contains(v.Flags, "SmallPublicKey") {
				return vectors.Passes(err).Unoffered("the public exponent is 3")
			}
			if err != nil {
				return vectors.Failed(err)
			}
			return verifies(p, wycheproofPKCS1[g.SHA], v)
		})
	}
}

func TestWycheproofPSS(t *testing.T) {
	for _, row := range []struct{ file, want string }{
		{"rsa_pss_2048_sha256_mgf1_32", "63 valid accepted, 45 invalid refused"},
		{"rsa_pss_2048_sha384_mgf1_48", "95 valid accepted, 46 invalid refused"},
		{"rsa_pss_3072_sha256_mgf1_32", "63 valid accepted, 45 invalid refused"},
		{"rsa_pss_4096_sha256_mgf1_32", "63 valid accepted, 45 invalid refused"},
		{"rsa_pss_4096_sha384_mgf1_48", "95 valid accepted, 46 invalid refused"},
		{"rsa_pss_4096_sha512_mgf1_64", "132 valid accepted, 47 invalid refused"},
		// Salts and mask hashes that are not offered: what is valid with them must not pass.
		{"rsa_pss_2048_sha256_mgf1_0", "61 valid refused (the salt is not as long as the hash), 41 invalid refused, 1 invalid skipped (its salt is as long as the hash, which is what is offered)"},
		{"rsa_pss_2048_sha256_mgf1sha1_20", "63 valid refused (the mask has another hash), 45 invalid refused"},
		{"rsa_pss_4096_sha512_mgf1_32", "132 valid refused (the salt is not as long as the hash), 45 invalid refused"},
		{"rsa_pss_misc", "72 valid refused (the mask has another hash), 30 valid skipped (PSS with SHA-1 is not offered), 30 valid skipped (PSS with SHA-224 is not offered), 15 valid refused (the salt is not as long as the hash), 3 valid accepted"},
	} {
		vectors.Run(t, row.file, row.want, func(g *vectors.Group, v *vectors.Test) vectors.Verdict {
			spec, algorithm := wycheproofRSA[g.KeySize], wycheproofPSS[g.SHA]
			if spec == "" || algorithm == "" {
				return vectors.Skip(fmt.Sprintf("PSS with %s is not offered", g.SHA))
			}
			p, err := keypair.ParsePublic(spec, g.PublicKeyDER)
			if err != nil {
				return vectors.Failed(err)
			}
			verdict := verifies(p, algorithm, v)
			switch {
			case g.MGFSHA != g.SHA:
				return verdict.Unoffered("the mask has another hash")
			case v.Comment == fmt.Sprintf("s_len changed to %d", saltLen[g.SHA]):
				return vectors.Skip("its salt is as long as the hash, which is what is offered")
			case g.SaltLen != saltLen[g.SHA]:
				return verdict.Unoffered("the salt is not as long as the hash")
			}
			return verdict
		})
	}
}

// A key whose SubjectPublicKeyInfo says that it is for RSASSA-PSS is not one that AWS imports or exports.
func TestWycheproofPSSKeysWithParameters(t *testing.T) {
	vectors.Run(t, "rsa_pss_2048_sha256_mgf1_32_params", "63 valid accepted, 45 invalid refused", func(g *vectors.Group, v *vectors.Test) vectors.Verdict {
		if _, err := keypair.ParsePublic(crypto.SpecRSA2048, g.PublicKeyDER); !errors.Is(err, keypair.ErrPublicKey) {
			return vectors.Failed(fmt.Errorf("ParsePublic() = %v, want %v", err, keypair.ErrPublicKey))
		}
		rsaEncryption := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
		p, err := keypair.ParsePublic(crypto.SpecRSA2048, spki(rsaEncryption, asn1.NullRawValue, g.PublicKeyPKCS1))
		if err != nil {
			return vectors.Failed(err)
		}
		return verifies(p, crypto.SignPSSSHA256, v)
	})
}

// spki returns a SubjectPublicKeyInfo.
func spki(id asn1.ObjectIdentifier, parameters asn1.RawValue, key []byte) []byte {
	type algorithm struct {
		ID         asn1.ObjectIdentifier
		Parameters asn1.RawValue `asn1:"optional"`
	}
	der, err := asn1.Marshal(struct {
		Algorithm algorithm
		Key       asn1.BitString
	}{algorithm{id, parameters}, asn1.BitString{Bytes: key, BitLength: 8 * len(key)}})
	if err != nil {
		panic(err)
	}
	return der
}

// privates imports keys, each only once: to test the primes of an RSA key takes a while.
type privates map[string]func() (*keypair.Private, error)

func (all privates) get(spec crypto.Spec, material []byte) (*keypair.Private, error) {
	if made, ok := all[string(material)]; ok {
		return made()
	}
	p, err := imported(spec, material)
	all[string(material)] = func() (*keypair.Private, error) { return p, err }
	return p, err
}

// imported returns the key that ImportKeyMaterial would store.
func imported(spec crypto.Spec, material []byte) (*keypair.Private, error) {
	canonical, err := keypair.Canonical(spec, crypto.NewSecret(slices.Clone(material)))
	if err != nil {
		if !errors.Is(err, crypto.ErrMaterial) {
			return nil, fmt.Errorf("Canonical() = %w, which is not ErrMaterial", err)
		}
		return nil, err
	}
	return keypair.New(spec, canonical)
}

func TestWycheproofOAEP(t *testing.T) {
	for _, row := range []struct{ file, want string }{
		{"rsa_oaep_2048_sha1_mgf1sha1", "19 invalid refused, 10 valid accepted, 7 valid refused (it has a label)"},
		{"rsa_oaep_2048_sha256_mgf1sha256", "19 invalid refused, 10 valid accepted, 8 valid refused (it has a label)"},
		{"rsa_oaep_3072_sha256_mgf1sha256", "19 invalid refused, 10 valid accepted, 8 valid refused (it has a label)"},
		{"rsa_oaep_4096_sha256_mgf1sha256", "19 invalid refused, 10 valid accepted, 8 valid refused (it has a label)"},
		{"rsa_oaep_misc", "192 valid skipped (the hashes are not offered), 182 valid skipped (the size of the key is not offered), 18 valid accepted, 3 acceptable skipped (the size of the key is not offered)"},
	} {
		t.Run(row.file, func(t *testing.T) {
			if row.file == "rsa_oaep_2048_sha1_mgf1sha1" || row.file == "rsa_oaep_misc" {
				notInFIPS(t)
			}
			keys := privates{}
			vectors.Run(t, row.file, row.want, func(g *vectors.Group, v *vectors.Test) vectors.Verdict {
				spec, algorithm := wycheproofRSA[g.KeySize], wycheproofOAEP[g.SHA]
				switch {
				case spec == "":
					return vectors.Skip("the size of the key is not offered")
				case algorithm == "" || g.MGFSHA != g.SHA:
					return vectors.Skip("the hashes are not offered")
				}
				p, err := keys.get(spec, g.PrivateKeyPKCS8)
				if err != nil {
					return vectors.Failed(err)
				}
				got, err := p.Decrypt(algorithm, v.CT)
				if err != nil && !errors.Is(err, crypto.ErrCiphertext) {
					return vectors.Failed(err)
				}
				if len(v.Label) != 0 {
					return vectors.Passes(err).Unoffered("it has a label")
				}
				return vectors.Gives(v, got, err, v.Msg)
			})
		})
	}
}

// Keys of three primes are refused on their way in.
func TestWycheproofKeysOfThreePrimes(t *testing.T) {
	for _, row := range []struct{ file, want string }{
		{"rsa_three_primes_oaep_2048_sha1_mgf1sha1", "19 invalid refused, 17 valid refused (the key has three primes)"},
		{"rsa_three_primes_oaep_3072_sha224_mgf1sha224", "19 invalid refused, 19 valid refused (the key has three primes)"},
		{"rsa_three_primes_oaep_4096_sha256_mgf1sha256", "18 invalid refused, 18 valid refused (the key has three primes)"},
	} {
		keys := privates{}
		vectors.Run(t, row.file, row.want, func(g *vectors.Group, _ *vectors.Test) vectors.Verdict {
			_, err := keys.get(wycheproofRSA[g.KeySize], g.PrivateKeyPKCS8)
			return vectors.Passes(err).Unoffered("the key has three primes")
		})
	}
}

func TestWycheproofPKCS1Signing(t *testing.T) {
	for _, row := range []struct{ file, want string }{
		{"rsa_pkcs1_2048_sig_gen", "24 valid accepted, 8 acceptable skipped (signatures with SHA-1 are not offered), 8 valid skipped (signatures with SHA-224 are not offered), 3 acceptable refused (the public exponent is 3)"},
		{"rsa_pkcs1_3072_sig_gen", "24 valid accepted, 2 acceptable refused (the public exponent is 3)"},
		{"rsa_pkcs1_4096_sig_gen", "24 valid accepted"},
	} {
		keys := privates{}
		vectors.Run(t, row.file, row.want, func(g *vectors.Group, v *vectors.Test) vectors.Verdict {
			algorithm := wycheproofPKCS1[g.SHA]
			if algorithm == "" {
				return vectors.Skip("signatures with " + g.SHA + " are not offered")
			}
			p, err := keys.get(wycheproofRSA[g.KeySize], g.PrivateKeyPKCS8)
			if slices.Contains(v.Flags, "SmallPublicKey") {
				return vectors.Passes(err).Unoffered("the public exponent is 3")
			}
			if err != nil {
				return vectors.Failed(err)
			}
			if err := p.Public().Verify(algorithm, crypto.MessageRaw, v.Msg, v.Sig); err != nil {
				return vectors.Failed(err)
			}
			got, err := p.Sign(algorithm, crypto.MessageRaw, v.Msg)
			return vectors.Gives(v, got, err, v.Sig)
		})
	}
}

func TestWycheproofECDH(t *testing.T) {
	for _, row := range []struct {
		file  string
		spec  crypto.Spec
		curve ecdh.Curve
		size  int
		want  string
	}{
		{"ecdh_secp256r1", crypto.SpecP256, ecdh.P256(), 32, "330 valid accepted, 222 acceptable refused (it is not DER), 52 invalid refused, 7 acceptable refused (RFC 5480 wants a name), 1 acceptable accepted (RFC 5480 has it)"},
		{"ecdh_secp384r1", crypto.SpecP384, ecdh.P384(), 48, "771 valid accepted, 222 acceptable refused (it is not DER), 46 invalid refused, 7 acceptable refused (RFC 5480 wants a name), 1 acceptable accepted (RFC 5480 has it)"},
		{"ecdh_secp521r1", crypto.SpecP521, ecdh.P521(), 66, "632 valid accepted, 220 acceptable refused (it is not DER), 56 invalid refused, 7 acceptable refused (RFC 5480 wants a name), 1 acceptable accepted (RFC 5480 has it)"},
	} {
		if slowCurve(row.spec) {
			continue
		}
		vectors.Run(t, row.file, row.want, func(_ *vectors.Group, v *vectors.Test) vectors.Verdict {
			p, err := ecdhPrivate(row.spec, row.curve, v.Private, row.size)
			if err != nil {
				return vectors.Failed(err)
			}
			got, err := p.DeriveSharedSecret(v.Public)
			if err != nil && !errors.Is(err, keypair.ErrPublicKey) {
				return vectors.Failed(err)
			}
			return vectors.Gives(v, got, err, v.Shared)
		})
	}
}

// ecdhPrivate returns the key whose number is d, big-endian with zeros before it or without.
func ecdhPrivate(spec crypto.Spec, curve ecdh.Curve, d []byte, size int) (*keypair.Private, error) {
	for len(d) > size && d[0] == 0 {
		d = d[1:]
	}
	d = slices.Concat(make([]byte, max(0, size-len(d))), d)
	k, err := curve.NewPrivateKey(d)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, err
	}
	return imported(spec, der)
}
