package keypair_test

import (
	"bytes"
	stdcrypto "crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"math/big"
	"slices"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
)

// spkiOf writes a public key.
func spkiOf(algorithm string, key []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes([]byte(algorithm))
		b.AddASN1BitString(key)
	})
	return b.BytesOrPanic()
}

func TestParsePublic(t *testing.T) {
	for _, spec := range specs() {
		der := private(t, spec).Public().DER()
		p, err := keypair.ParsePublic(spec, bytes.Clone(der))
		if err != nil || !bytes.Equal(p.DER(), der) {
			t.Errorf("%s: ParsePublic(DER()) = %v, %v", spec, p, err)
		}
		refuse := func(name string, spec crypto.Spec, der []byte) {
			t.Helper()
			if p, err := keypair.ParsePublic(spec, der); p != nil || !errors.Is(err, keypair.ErrPublicKey) {
				t.Errorf("%s: ParsePublic of %s = %v, %v, want ErrPublicKey", spec, name, p, err)
			}
		}
		for n := 0; n < len(der); n += 1 + len(der)/64 {
			refuse("the first bytes", spec, der[:n])
		}
		refuse("a byte more", spec, append(bytes.Clone(der), 0))
		for i := range 10 { // the header: lengths, identifiers
			altered := bytes.Clone(der)
			altered[i] ^= 0x40
			refuse("an altered header", spec, altered)
		}
		for _, other := range specs() {
			if other != spec {
				refuse("a key of "+string(spec), other, der)
			}
		}
	}
}

func TestParsePublicOfCurves(t *testing.T) {
	point := private(t, crypto.SpecP256).Public().DER()[26:]
	x, y := new(big.Int).SetBytes(point[1:33]), new(big.Int).SetBytes(point[33:])
	compressed := elliptic.MarshalCompressed(elliptic.P256(), x, y)
	hybrid := append([]byte{6 + point[64]&1}, point[1:]...)
	off := bytes.Clone(point)
	off[64] ^= 1
	prime := elliptic.P256().Params().P
	large := slices.Concat([]byte{2}, new(big.Int).Add(prime, big.NewInt(5)).FillBytes(make([]byte, 32))) // 5 is an x-coordinate
	for _, c := range []struct {
		name string
		der  []byte
		ok   bool
	}{
		{"an uncompressed point", spkiOf(p256ID, point), true},
		{"a compressed point", spkiOf(p256ID, compressed), true},
		{"a hybrid point", spkiOf(p256ID, hybrid), false},
		{"a point off the curve", spkiOf(p256ID, off), false},
		{"a coordinate that is not reduced", spkiOf(p256ID, large), false},
		{"the point at infinity", spkiOf(p256ID, []byte{0}), false},
		{"65 zeros", spkiOf(p256ID, make([]byte, 65)), false},
		{"no point", spkiOf(p256ID, nil), false},
		{"half a point", spkiOf(p256ID, point[:33]), false},
		{"a point of another curve", spkiOf(p384ID, point), false},
		{"no curve", spkiOf("\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x02\x01", point), false},
		{"a curve of NULL", spkiOf("\x30\x0b\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x05\x00", point), false},
	} {
		p, err := keypair.ParsePublic(crypto.SpecP256, c.der)
		if c.ok && (err != nil || !bytes.Equal(p.DER(), spkiOf(p256ID, point))) || !c.ok && !errors.Is(err, keypair.ErrPublicKey) {
			t.Errorf("ParsePublic of %s = %v, %v, want ok %v", c.name, p, err, c.ok)
		}
	}
}

func TestParsePublicOfRSA(t *testing.T) {
	key := rsaKey(t, material(t, crypto.SpecRSA2048).Expose()).PublicKey
	with := func(n *big.Int, e int) []byte {
		return spkiOf(rsaID, x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: n, E: e}))
	}
	even := new(big.Int).Add(key.N, big.NewInt(1))
	for _, c := range []struct {
		name string
		der  []byte
		ok   bool
	}{
		{"2048 bits", with(key.N, 65537), true},
		{"the exponent 65539", with(key.N, 65539), true},
		{"the exponent 2^31-1", with(key.N, 1<<31-1), true},
		{"the exponent 2^31+1", with(key.N, 1<<31+1), false},
		{"the exponent 65536", with(key.N, 65536), false},
		{"the exponent 65535", with(key.N, 65535), false},
		{"the exponent 3", with(key.N, 3), false},
		{"the exponent 1", with(key.N, 1), false},
		{"the exponent -65537", with(key.N, -65537), false},
		{"an even modulus", with(even, 65537), false},
		{"2047 bits", with(new(big.Int).Rsh(key.N, 1), 65537), false},
		{"2049 bits", with(new(big.Int).Add(new(big.Int).Lsh(key.N, 1), big.NewInt(1)), 65537), false},
		{"a negative modulus", with(new(big.Int).Neg(key.N), 65537), false},
		{"a modulus of 0", with(new(big.Int), 65537), false},
		{"no parameters", spkiOf("\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", x509.MarshalPKCS1PublicKey(&key)), false},
		{"the identifier of PSS", spkiOf(pssID, x509.MarshalPKCS1PublicKey(&key)), false},
		{"a byte more inside", spkiOf(rsaID, append(x509.MarshalPKCS1PublicKey(&key), 0)), false},
	} {
		p, err := keypair.ParsePublic(crypto.SpecRSA2048, c.der)
		if c.ok && (err != nil || !bytes.Equal(p.DER(), c.der)) || !c.ok && !errors.Is(err, keypair.ErrPublicKey) {
			t.Errorf("ParsePublic of %s = %v, %v, want ok %v", c.name, p, err, c.ok)
		}
	}
}

// The longest plaintexts are those that AWS documents.
func TestOAEP(t *testing.T) {
	for _, c := range []struct {
		spec crypto.Spec
		a    crypto.EncryptionAlgorithm
		most int
	}{
		{crypto.SpecRSA2048, crypto.EncryptOAEPSHA1, 214},
		{crypto.SpecRSA2048, crypto.EncryptOAEPSHA256, 190},
		{crypto.SpecRSA3072, crypto.EncryptOAEPSHA1, 342},
		{crypto.SpecRSA3072, crypto.EncryptOAEPSHA256, 318},
		{crypto.SpecRSA4096, crypto.EncryptOAEPSHA1, 470},
		{crypto.SpecRSA4096, crypto.EncryptOAEPSHA256, 446},
	} {
		if c.a == crypto.EncryptOAEPSHA1 && fips140.Enforced() {
			continue
		}
		p := private(t, c.spec)
		for _, n := range []int{1, 32, c.most} {
			plaintext := bytes.Repeat([]byte{7}, n)
			ciphertext, err := p.Public().Encrypt(c.a, plaintext)
			if err != nil || len(ciphertext) != (c.most+2+2*map[bool]int{true: 20, false: 32}[c.a == crypto.EncryptOAEPSHA1]) {
				t.Fatalf("%s %s: Encrypt of %d bytes = %d bytes, %v", c.spec, c.a, n, len(ciphertext), err)
			}
			got, err := p.Decrypt(c.a, ciphertext)
			if err != nil || !bytes.Equal(got, plaintext) {
				t.Errorf("%s %s: Decrypt of %d bytes = %x, %v", c.spec, c.a, n, got, err)
			}
			again, err := p.Public().Encrypt(c.a, plaintext)
			if err != nil || bytes.Equal(again, ciphertext) {
				t.Errorf("%s %s: one plaintext has one ciphertext, %v", c.spec, c.a, err)
			}
		}
		for _, n := range []int{0, c.most + 1, 4096} {
			if _, err := p.Public().Encrypt(c.a, make([]byte, n)); !errors.Is(err, crypto.ErrLength) {
				t.Errorf("%s %s: Encrypt of %d bytes = %v, want ErrLength", c.spec, c.a, n, err)
			}
		}
		for _, a := range []crypto.EncryptionAlgorithm{crypto.EncryptSymmetricDefault, "", "SM2PKE", "RSAES_PKCS1_V1_5"} {
			if _, err := p.Public().Encrypt(a, []byte("x")); !errors.Is(err, crypto.ErrAlgorithm) {
				t.Errorf("%s %q: Encrypt() = %v, want ErrAlgorithm", c.spec, a, err)
			}
			if _, err := p.Decrypt(a, []byte("x")); !errors.Is(err, crypto.ErrAlgorithm) {
				t.Errorf("%s %q: Decrypt() = %v, want ErrAlgorithm", c.spec, a, err)
			}
		}
	}
}

// Whatever is wrong with a ciphertext, the error is one and the same value.
func TestOAEPTellsOneError(t *testing.T) {
	p := private(t, crypto.SpecRSA2048)
	a := crypto.EncryptOAEPSHA256
	ciphertext, err := p.Public().Encrypt(a, []byte("plaintext"))
	if err != nil {
		t.Fatal(err)
	}
	n := rsaKey(t, material(t, crypto.SpecRSA2048).Expose()).N
	refuse := func(name string, a crypto.EncryptionAlgorithm, ciphertext []byte) {
		t.Helper()
		if got, err := p.Decrypt(a, ciphertext); got != nil || err != crypto.ErrCiphertext {
			t.Errorf("Decrypt of %s = %x, %v, want ErrCiphertext itself", name, got, err)
		}
	}
	for i := 0; i < len(ciphertext); i += 16 {
		altered := bytes.Clone(ciphertext)
		altered[i] ^= 1
		refuse("an altered ciphertext", a, altered)
	}
	refuse("nothing", a, nil)
	refuse("zero", a, make([]byte, 256))
	refuse("one", a, append(make([]byte, 255), 1))
	refuse("the modulus", a, n.FillBytes(make([]byte, 256)))
	refuse("more than the modulus", a, bytes.Repeat([]byte{0xff}, 256))
	refuse("a byte less", a, ciphertext[1:])
	refuse("a byte more", a, append([]byte{0}, ciphertext...))
	refuse("a megabyte", a, make([]byte, 1<<20))
	if !fips140.Enforced() {
		refuse("a ciphertext of the other hash", crypto.EncryptOAEPSHA1, ciphertext)
	}
}

func TestDeriveSharedSecret(t *testing.T) {
	for spec, curve := range map[crypto.Spec]struct {
		elliptic.Curve
		size int
	}{
		crypto.SpecP256: {elliptic.P256(), 32},
		crypto.SpecP384: {elliptic.P384(), 48},
		crypto.SpecP521: {elliptic.P521(), 66},
	} {
		alice, bob := private(t, spec), private(t, spec)
		want, err := alice.DeriveSharedSecret(bob.Public().DER())
		if err != nil || len(want) != curve.size {
			t.Fatalf("%s: DeriveSharedSecret() = %x, %v, want %d bytes", spec, want, err, curve.size)
		}
		if got, err := bob.DeriveSharedSecret(alice.Public().DER()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: the secrets of the two are %x and %x, %v", spec, want, got, err)
		}
		der := bob.Public().DER()
		point := der[len(der)-1-2*curve.size:]
		x, y := new(big.Int).SetBytes(point[1:1+curve.size]), new(big.Int).SetBytes(point[1+curve.size:])
		id := string(algorithmOf(t, der))
		if got, err := alice.DeriveSharedSecret(spkiOf(id, elliptic.MarshalCompressed(curve.Curve, x, y))); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: the secret with a compressed point is %x, %v, want %x", spec, got, err, want)
		}
		for _, other := range specs() {
			if other == spec {
				continue
			}
			if _, err := alice.DeriveSharedSecret(private(t, other).Public().DER()); !errors.Is(err, keypair.ErrPublicKey) {
				t.Errorf("%s: DeriveSharedSecret with a key of %s = %v, want ErrPublicKey", spec, other, err)
			}
		}
		for _, wrong := range [][]byte{nil, {0x30}, der[:len(der)-1], spkiOf(id, []byte{0}), spkiOf(id, make([]byte, len(point)))} {
			if _, err := alice.DeriveSharedSecret(wrong); !errors.Is(err, keypair.ErrPublicKey) {
				t.Errorf("%s: DeriveSharedSecret(%x) = %v, want ErrPublicKey", spec, wrong, err)
			}
		}
	}
}

// algorithmOf returns the AlgorithmIdentifier of a public key.
func algorithmOf(t *testing.T, der []byte) []byte {
	t.Helper()
	var info, algorithm cryptobyte.String
	s := cryptobyte.String(der)
	if !s.ReadASN1(&info, asn1.SEQUENCE) || !info.ReadASN1Element(&algorithm, asn1.SEQUENCE) {
		t.Fatalf("%x is no SubjectPublicKeyInfo", der)
	}
	return algorithm
}

func TestEncapsulate(t *testing.T) {
	for spec, size := range map[crypto.Spec]int{crypto.SpecMLKEM768: 1088, crypto.SpecMLKEM1024: 1568} {
		p := private(t, spec)
		parsed, err := keypair.ParsePublic(spec, p.Public().DER())
		if err != nil {
			t.Fatal(err)
		}
		var seen [][]byte
		for _, public := range []*keypair.Public{p.Public(), parsed} {
			ciphertext, secret, err := public.Encapsulate()
			if err != nil || len(ciphertext) != size || len(secret) != 32 {
				t.Fatalf("%s: Encapsulate() = %d bytes, %d bytes, %v", spec, len(ciphertext), len(secret), err)
			}
			if got, err := p.Decapsulate(ciphertext); err != nil || !bytes.Equal(got, secret) {
				t.Errorf("%s: Decapsulate() = %x, %v, want %x", spec, got, err, secret)
			}
			// Implicit rejection: a secret that is always the same for one wrong ciphertext, and no error.
			ciphertext[7] ^= 1
			got, err := p.Decapsulate(ciphertext)
			again, _ := p.Decapsulate(ciphertext)
			if err != nil || len(got) != 32 || bytes.Equal(got, secret) || !bytes.Equal(got, again) {
				t.Errorf("%s: Decapsulate of an altered ciphertext = %x and %x, %v", spec, got, again, err)
			}
			seen = append(seen, secret, got)
		}
		slices.SortFunc(seen, bytes.Compare)
		if len(slices.CompactFunc(seen, bytes.Equal)) != 4 {
			t.Errorf("%s: secrets repeat", spec)
		}
		for _, n := range []int{0, 1, size - 1, size + 1, 1088 + 1568 - size, 1 << 20} {
			if got, err := p.Decapsulate(make([]byte, n)); got != nil || err != crypto.ErrCiphertext {
				t.Errorf("%s: Decapsulate of %d bytes = %x, %v, want ErrCiphertext itself", spec, n, got, err)
			}
		}
	}
}

// Of the salts that PSS could have, only one as long as the hash verifies.
func TestSaltsOfPSS(t *testing.T) {
	key := rsaKey(t, material(t, crypto.SpecRSA2048).Expose())
	public := private(t, crypto.SpecRSA2048).Public()
	digest := sha256.Sum256([]byte("message"))
	for _, salt := range []int{1, 20, 31, 32} {
		signature, err := rsa.SignPSS(rand.Reader, key, stdcrypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		err = public.Verify(crypto.SignPSSSHA256, crypto.MessageRaw, []byte("message"), signature)
		if salt == 32 && err != nil || salt != 32 && err != keypair.ErrSignature {
			t.Errorf("Verify of a signature with a salt of %d bytes = %v", salt, err)
		}
	}
}

// ED25519_PH_SHA_512 is Ed25519ph with the digest as its message: as AWS documents it, the message is hashed twice.
func TestEd25519phOfTheDigest(t *testing.T) {
	p := private(t, crypto.SpecEd25519)
	parsed, err := x509.ParsePKIXPublicKey(p.Public().DER())
	if err != nil {
		t.Fatal(err)
	}
	digest := sha512.Sum512([]byte("message"))
	signature, err := p.Sign(crypto.SignEd25519ph, crypto.MessageDigest, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	twice := sha512.Sum512(digest[:])
	for hashed, want := range map[[64]byte]bool{twice: true, digest: false} {
		err := ed25519.VerifyWithOptions(parsed.(ed25519.PublicKey), hashed[:], signature, &ed25519.Options{Hash: stdcrypto.SHA512})
		if (err == nil) != want {
			t.Errorf("the standard library says %v of the signature, want ok %v", err, want)
		}
	}
}

func TestParsePublicOfP256K1(t *testing.T) {
	if fips140.Enforced() {
		t.Skip("secp256k1 is not available")
	}
	der := private(t, crypto.SpecP256K1).Public().DER()
	id, point := string(algorithmOf(t, der)), der[len(der)-65:]
	compressed := append([]byte{2 + point[64]&1}, point[1:33]...)
	if p, err := keypair.ParsePublic(crypto.SpecP256K1, spkiOf(id, compressed)); err != nil || !bytes.Equal(p.DER(), der) {
		t.Errorf("ParsePublic of a compressed point = %v, %v", p, err)
	}
	hybrid, off := bytes.Clone(point), bytes.Clone(point)
	hybrid[0] = 6 + point[64]&1
	off[64] ^= 1
	for _, wrong := range [][]byte{hybrid, off, point[1:], {0}, make([]byte, 65), make([]byte, 33)} {
		if p, err := keypair.ParsePublic(crypto.SpecP256K1, spkiOf(id, wrong)); !errors.Is(err, keypair.ErrPublicKey) {
			t.Errorf("ParsePublic of the point %x = %v, %v, want ErrPublicKey", wrong, p, err)
		}
	}
}
