package keypair_test

import (
	"bytes"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
	"github.com/kmsd/kmsd/internal/leaktest"
)

// specs returns the asymmetric specs that are available: under GODEBUG=fips140=only not all are.
func specs() []crypto.Spec {
	return slices.DeleteFunc(crypto.Specs(), func(s crypto.Spec) bool {
		outside := s == crypto.SpecP256K1 || strings.HasPrefix(string(s), "ML_DSA")
		return !s.Asymmetric() || outside && fips140.Enforced()
	})
}

// material returns that of a key of spec: fresh, but for RSA, which takes long to generate and is read from testdata,
// where openssl genpkey made it.
func material(t testing.TB, spec crypto.Spec) crypto.Secret {
	t.Helper()
	if bits, ok := strings.CutPrefix(string(spec), "RSA_"); ok {
		der, err := os.ReadFile("testdata/rsa_" + bits + ".der")
		if err != nil {
			t.Fatal(err)
		}
		return crypto.NewSecret(der)
	}
	m, err := keypair.Generate(spec)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func private(t testing.TB, spec crypto.Spec) *keypair.Private {
	t.Helper()
	p, err := keypair.New(spec, material(t, spec))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// message returns one that a takes as mt, distinct for distinct n.
func message(a crypto.SigningAlgorithm, mt crypto.MessageType, n byte) []byte {
	size := 100
	switch {
	case mt == crypto.MessageExternalMu:
		size = crypto.MuSize
	case mt == crypto.MessageDigest:
		size = digestSize(a)
	}
	return bytes.Repeat([]byte{n}, size)
}

func digestSize(a crypto.SigningAlgorithm) int {
	switch name := string(a); {
	case strings.HasSuffix(name, "SHA_384"):
		return 48
	case strings.HasSuffix(name, "SHA_512"):
		return 64
	}
	return 32
}

// signingRow is something that can be signed.
type signingRow struct {
	spec crypto.Spec
	a    crypto.SigningAlgorithm
	mt   crypto.MessageType
}

// signingRows are all of them.
var signingRows = func() (rows []signingRow) {
	for _, line := range strings.Split(strings.TrimSpace(`
RSA_2048 RSASSA_PSS_SHA_256 RAW DIGEST, RSASSA_PSS_SHA_384 RAW DIGEST, RSASSA_PSS_SHA_512 RAW DIGEST
RSA_2048 RSASSA_PKCS1_V1_5_SHA_256 RAW DIGEST, RSASSA_PKCS1_V1_5_SHA_384 RAW DIGEST, RSASSA_PKCS1_V1_5_SHA_512 RAW DIGEST
RSA_3072 RSASSA_PSS_SHA_256 RAW DIGEST, RSASSA_PSS_SHA_384 RAW DIGEST, RSASSA_PSS_SHA_512 RAW DIGEST
RSA_3072 RSASSA_PKCS1_V1_5_SHA_256 RAW DIGEST, RSASSA_PKCS1_V1_5_SHA_384 RAW DIGEST, RSASSA_PKCS1_V1_5_SHA_512 RAW DIGEST
RSA_4096 RSASSA_PSS_SHA_256 RAW DIGEST, RSASSA_PSS_SHA_384 RAW DIGEST, RSASSA_PSS_SHA_512 RAW DIGEST
RSA_4096 RSASSA_PKCS1_V1_5_SHA_256 RAW DIGEST, RSASSA_PKCS1_V1_5_SHA_384 RAW DIGEST, RSASSA_PKCS1_V1_5_SHA_512 RAW DIGEST
ECC_NIST_P256 ECDSA_SHA_256 RAW DIGEST
ECC_NIST_P384 ECDSA_SHA_384 RAW DIGEST
ECC_NIST_P521 ECDSA_SHA_512 RAW DIGEST
ECC_SECG_P256K1 ECDSA_SHA_256 RAW DIGEST
ECC_NIST_EDWARDS25519 ED25519_SHA_512 RAW, ED25519_PH_SHA_512 DIGEST
ML_DSA_44 ML_DSA_SHAKE_256 RAW EXTERNAL_MU
ML_DSA_65 ML_DSA_SHAKE_256 RAW EXTERNAL_MU
ML_DSA_87 ML_DSA_SHAKE_256 RAW EXTERNAL_MU`), "\n") {
		spec, list, _ := strings.Cut(line, " ")
		for _, entry := range strings.Split(list, ", ") {
			parts := strings.Fields(entry)
			for _, mt := range parts[1:] {
				rows = append(rows, signingRow{crypto.Spec(spec), crypto.SigningAlgorithm(parts[0]), crypto.MessageType(mt)})
			}
		}
	}
	return rows
}()

func signable(spec crypto.Spec, a crypto.SigningAlgorithm, mt crypto.MessageType) bool {
	return slices.Contains(signingRows, signingRow{spec, a, mt})
}

// Every spec with every algorithm and message type either signs, and the signature verifies with both forms of the
// public key, or is refused with the error that says why.
func TestSignEveryCombination(t *testing.T) {
	algorithms := []crypto.SigningAlgorithm{
		crypto.SignPSSSHA256, crypto.SignPSSSHA384, crypto.SignPSSSHA512, crypto.SignPKCS1SHA256, crypto.SignPKCS1SHA384,
		crypto.SignPKCS1SHA512, crypto.SignECDSASHA256, crypto.SignECDSASHA384, crypto.SignECDSASHA512, crypto.SignEd25519,
		crypto.SignEd25519ph, crypto.SignMLDSA, "", "SM2DSA", "ecdsa_sha_256",
	}
	types := []crypto.MessageType{crypto.MessageRaw, crypto.MessageDigest, crypto.MessageExternalMu, "", "raw"}
	signed := 0
	for _, spec := range specs() {
		p := private(t, spec)
		parsed, err := keypair.ParsePublic(spec, p.Public().DER())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range algorithms {
			for _, mt := range types {
				m := message(a, mt, 1)
				signature, err := p.Sign(a, mt, m)
				verified := p.Public().Verify(a, mt, m, signature)
				switch known := slices.Contains(spec.SigningAlgorithms(), a); {
				case signable(spec, a, mt):
					signed++
					if err != nil || verified != nil {
						t.Errorf("%s %s %s: Sign() = %v, Verify() = %v", spec, a, mt, err, verified)
					}
					if err := parsed.Verify(a, mt, m, signature); err != nil {
						t.Errorf("%s %s %s: Verify() with the parsed public key = %v", spec, a, mt, err)
					}
				case known && (!errors.Is(err, keypair.ErrMessageType) || !errors.Is(verified, keypair.ErrMessageType)):
					t.Errorf("%s %s %q: Sign() = %v, Verify() = %v, want ErrMessageType", spec, a, mt, err, verified)
				case !known && (!errors.Is(err, crypto.ErrAlgorithm) || !errors.Is(verified, crypto.ErrAlgorithm)):
					t.Errorf("%s %q %q: Sign() = %v, Verify() = %v, want ErrAlgorithm", spec, a, mt, err, verified)
				case signature != nil:
					t.Errorf("%s %q %q: a signature beside an error", spec, a, mt)
				}
			}
		}
	}
	want := 0
	for _, r := range signingRows {
		if slices.Contains(specs(), r.spec) {
			want++
		}
	}
	if signed != want || want < 40 {
		t.Errorf("%d combinations sign, want %d", signed, want)
	}
}

func TestMessageLengths(t *testing.T) {
	for _, spec := range specs() {
		p := private(t, spec)
		for _, r := range signingRows {
			if r.spec != spec || r.a == crypto.SignPSSSHA384 || r.a == crypto.SignPKCS1SHA384 {
				continue // RSA takes long, and SHA-256 and SHA-512 are lengths enough
			}
			right := len(message(r.a, r.mt, 0))
			takes, refuses := []int{right}, []int{0, 1, right - 1, right + 1, 4096}
			if r.mt == crypto.MessageRaw {
				takes, refuses = []int{0, 1, crypto.MaxMessage}, []int{crypto.MaxMessage + 1, 1 << 20}
			}
			for _, n := range takes {
				signature, err := p.Sign(r.a, r.mt, make([]byte, n))
				if err != nil {
					t.Errorf("%s %s %s: Sign() of %d bytes = %v", spec, r.a, r.mt, n, err)
				} else if err := p.Public().Verify(r.a, r.mt, make([]byte, n), signature); err != nil {
					t.Errorf("%s %s %s: Verify() of %d bytes = %v", spec, r.a, r.mt, n, err)
				}
			}
			for _, n := range refuses {
				if _, err := p.Sign(r.a, r.mt, make([]byte, n)); !errors.Is(err, crypto.ErrLength) {
					t.Errorf("%s %s %s: Sign() of %d bytes = %v, want ErrLength", spec, r.a, r.mt, n, err)
				}
				if err := p.Public().Verify(r.a, r.mt, make([]byte, n), nil); !errors.Is(err, crypto.ErrLength) {
					t.Errorf("%s %s %s: Verify() of %d bytes = %v, want ErrLength", spec, r.a, r.mt, n, err)
				}
			}
		}
	}
}

// RAW is the hash, and DIGEST is what has been hashed; Ed25519ph hashes the digest again, as AWS does.
func TestDigestIsTheHashOfRaw(t *testing.T) {
	m := []byte("message")
	sum256, sum384, sum512 := sha256.Sum256(m), sha512.Sum384(m), sha512.Sum512(m)
	for _, spec := range specs() {
		p := private(t, spec)
		for _, a := range spec.SigningAlgorithms() {
			if !signable(spec, a, crypto.MessageDigest) || !signable(spec, a, crypto.MessageRaw) {
				continue
			}
			digest := map[int][]byte{32: sum256[:], 48: sum384[:], 64: sum512[:]}[digestSize(a)]
			signature, err := p.Sign(a, crypto.MessageRaw, m)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Public().Verify(a, crypto.MessageDigest, digest, signature); err != nil {
				t.Errorf("%s %s: the signature of a message does not verify with its digest: %v", spec, a, err)
			}
			if err := p.Public().Verify(a, crypto.MessageRaw, digest, signature); !errors.Is(err, keypair.ErrSignature) {
				t.Errorf("%s %s: the signature of a message verifies with its digest as the message: %v", spec, a, err)
			}
		}
	}
}

func TestAlteredSignaturesAreRefused(t *testing.T) {
	for _, r := range signingRows {
		if !slices.Contains(specs(), r.spec) || r.spec == crypto.SpecRSA3072 || r.spec == crypto.SpecRSA4096 {
			continue
		}
		p, m := private(t, r.spec), message(r.a, r.mt, 1)
		signature, err := p.Sign(r.a, r.mt, m)
		if err != nil {
			t.Fatal(err)
		}
		refuse := func(name string, public *keypair.Public, message, signature []byte) {
			t.Helper()
			if err := public.Verify(r.a, r.mt, message, signature); err != keypair.ErrSignature {
				t.Errorf("%s %s %s: Verify() of %s = %v, want ErrSignature", r.spec, r.a, r.mt, name, err)
			}
		}
		step := 1 + len(signature)/100
		for i := 0; i < len(signature); i += step {
			altered := bytes.Clone(signature)
			altered[i] ^= 1 << (i % 8)
			refuse("an altered signature", p.Public(), m, altered)
		}
		refuse("no signature", p.Public(), m, nil)
		refuse("a shortened signature", p.Public(), m, signature[:len(signature)-1])
		refuse("a lengthened signature", p.Public(), m, append(bytes.Clone(signature), 0))
		refuse("zeros", p.Public(), m, make([]byte, len(signature)))
		refuse("the signature of another message", p.Public(), message(r.a, r.mt, 2), signature)
		if !strings.HasPrefix(string(r.spec), "RSA") {
			refuse("a signature under another key", private(t, r.spec).Public(), m, signature)
		}
	}
}

// An ECDSA signature is DER and nothing else; of the two values of s that are right both are taken.
func TestEncodingsOfECDSASignatures(t *testing.T) {
	orders := map[crypto.Spec]string{
		crypto.SpecP256: "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
		crypto.SpecP384: "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
		crypto.SpecP521: "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa" +
			"51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
		crypto.SpecP256K1: "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
	}
	for spec, order := range orders {
		if !slices.Contains(specs(), spec) {
			continue
		}
		p, a, m := private(t, spec), spec.SigningAlgorithms()[0], []byte("message")
		signature, err := p.Sign(a, crypto.MessageRaw, m)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := new(big.Int).SetString(order, 16)
		r, s := new(big.Int), new(big.Int)
		sequence := cryptobyte.String(signature)
		if !sequence.ReadASN1(&sequence, asn1.SEQUENCE) || !sequence.ReadASN1Integer(r) || !sequence.ReadASN1Integer(s) {
			t.Fatalf("%s: signature %x is no Ecdsa-Sig-Value", spec, signature)
		}
		encode := func(r, s *big.Int) []byte {
			var b cryptobyte.Builder
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1BigInt(r); b.AddASN1BigInt(s) })
			return b.BytesOrPanic()
		}
		minus := func(x *big.Int) *big.Int { return new(big.Int).Sub(n, x) }
		long := append([]byte{0x30, 0x81, byte(len(signature) - 2)}, signature[2:]...)
		if signature[1] == 0x81 {
			long = append([]byte{0x30, 0x82, 0x00, signature[2]}, signature[3:]...)
		}
		for _, c := range []struct {
			name      string
			signature []byte
			ok        bool
		}{
			{"as it was made", signature, true},
			{"with the other s", encode(r, minus(s)), true},
			{"with r and s negated", encode(new(big.Int).Neg(r), new(big.Int).Neg(s)), false},
			{"with s plus the order", encode(r, new(big.Int).Add(s, n)), false},
			{"with r plus the order", encode(new(big.Int).Add(r, n), s), false},
			{"with r zero", encode(new(big.Int), s), false},
			{"with s zero", encode(r, new(big.Int)), false},
			{"with both zero", encode(new(big.Int), new(big.Int)), false},
			{"with r and s exchanged", encode(s, r), false},
			{"with a longer form of the length", long, false},
			{"of indefinite length", append(append([]byte{0x30, 0x80}, signature[len(signature)-len(encode(r, s))+2:]...), 0, 0), false},
			{"as two numbers of fixed size", append(r.FillBytes(make([]byte, 66)), s.FillBytes(make([]byte, 66))...), false},
		} {
			err := p.Public().Verify(a, crypto.MessageRaw, m, c.signature)
			if c.ok && err != nil || !c.ok && err != keypair.ErrSignature {
				t.Errorf("%s: Verify() of a signature %s = %v, want ok %v", spec, c.name, err, c.ok)
			}
		}
	}
}

// What a spec cannot do is ErrAlgorithm, and nothing panics.
func TestOperationsOfOtherSpecs(t *testing.T) {
	for _, spec := range specs() {
		p := private(t, spec)
		if len(spec.EncryptionAlgorithms()) == 0 {
			if _, err := p.Decrypt(crypto.EncryptOAEPSHA256, nil); !errors.Is(err, crypto.ErrAlgorithm) {
				t.Errorf("%s: Decrypt() = %v, want ErrAlgorithm", spec, err)
			}
			if _, err := p.Public().Encrypt(crypto.EncryptOAEPSHA256, []byte("x")); !errors.Is(err, crypto.ErrAlgorithm) {
				t.Errorf("%s: Encrypt() = %v, want ErrAlgorithm", spec, err)
			}
		}
		if len(spec.KeyAgreementAlgorithms()) == 0 {
			if _, err := p.DeriveSharedSecret(p.Public().DER()); !errors.Is(err, crypto.ErrAlgorithm) {
				t.Errorf("%s: DeriveSharedSecret() = %v, want ErrAlgorithm", spec, err)
			}
		}
		if len(spec.EncapsulationAlgorithms()) == 0 {
			if _, err := p.Decapsulate(nil); !errors.Is(err, crypto.ErrAlgorithm) {
				t.Errorf("%s: Decapsulate() = %v, want ErrAlgorithm", spec, err)
			}
			if _, _, err := p.Public().Encapsulate(); !errors.Is(err, crypto.ErrAlgorithm) {
				t.Errorf("%s: Encapsulate() = %v, want ErrAlgorithm", spec, err)
			}
		}
		if p.Spec() != spec || p.Public().Spec() != spec {
			t.Errorf("%s: Spec() = %s and %s", spec, p.Spec(), p.Public().Spec())
		}
	}
	for _, spec := range []crypto.Spec{crypto.SpecSymmetricDefault, crypto.SpecHMAC256, "", "SM2"} {
		if p, err := keypair.New(spec, crypto.RandomSecret(32)); p != nil || !errors.Is(err, crypto.ErrSpec) {
			t.Errorf("New(%q) = %v, %v, want ErrSpec", spec, p, err)
		}
		if p, err := keypair.ParsePublic(spec, nil); p != nil || !errors.Is(err, crypto.ErrSpec) {
			t.Errorf("ParsePublic(%q) = %v, %v, want ErrSpec", spec, p, err)
		}
		if _, err := keypair.PKCS8(spec, crypto.RandomSecret(32)); !errors.Is(err, crypto.ErrSpec) {
			t.Errorf("PKCS8(%q) = %v, want ErrSpec", spec, err)
		}
	}
}

// A key may be used by many at once, and does not need its material any more.
func TestKeysAreUsedByMany(t *testing.T) {
	for _, spec := range specs() {
		m := material(t, spec)
		p, err := keypair.New(spec, m)
		if err != nil {
			t.Fatal(err)
		}
		m.Wipe()
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for _, a := range spec.SigningAlgorithms() {
					mt := crypto.MessageRaw
					if a == crypto.SignEd25519ph {
						mt = crypto.MessageDigest
					}
					signature, err := p.Sign(a, mt, message(a, mt, 7))
					if err != nil || p.Public().Verify(a, mt, message(a, mt, 7), signature) != nil {
						t.Errorf("%s %s: signing beside others fails: %v", spec, a, err)
					}
				}
			})
		}
		all.Wait()
	}
}

// One spec of each family: those of a family differ in sizes only.
func TestKeysPrintNoSecret(t *testing.T) {
	for _, spec := range []crypto.Spec{
		crypto.SpecRSA2048, crypto.SpecP256, crypto.SpecEd25519, crypto.SpecP256K1, crypto.SpecMLDSA44, crypto.SpecMLKEM768,
	} {
		if !slices.Contains(specs(), spec) {
			continue
		}
		m := material(t, spec)
		p, err := keypair.New(spec, m)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range spec.SigningAlgorithms()[:min(1, len(spec.SigningAlgorithms()))] {
			if _, err := p.Sign(a, crypto.MessageRaw, nil); err != nil {
				t.Fatal(err)
			}
		}
		for _, secret := range secretsOf(t, spec, m.Expose()) {
			leaktest.Check(t, secret, p, *p)
		}
	}
}

// secretsOf returns the parts of material that are not public: RSA and curves have the public key beside the private.
func secretsOf(t *testing.T, spec crypto.Spec, der []byte) [][]byte {
	t.Helper()
	switch {
	case strings.HasPrefix(string(spec), "ML_"):
		return [][]byte{der}
	case spec == crypto.SpecEd25519:
		return [][]byte{der[len(der)-32:]}
	case strings.HasPrefix(string(spec), "ECC"):
		size := max(32, map[crypto.Spec]int{crypto.SpecP384: 48, crypto.SpecP521: 66}[spec])
		at := bytes.Index(der, []byte{2, 1, 1, 4, byte(size)}) + 5 // RFC 5915: the version, then the private key
		return [][]byte{der[at : at+size]}
	}
	key := rsaKey(t, der)
	return [][]byte{key.D.Bytes(), key.Primes[0].Bytes()}
}

func rsaKey(t testing.TB, der []byte) *rsa.PrivateKey {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}
