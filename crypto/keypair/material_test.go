package keypair_test

import (
	"bytes"
	stdcrypto "crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha3"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
)

// Material that is generated is fresh, canonical, and of the form that docs/formats/key-material.md says. The larger
// RSA keys, which take seconds, differ from the smallest in a number.
func TestGenerate(t *testing.T) {
	sizes := map[crypto.Spec]int{
		crypto.SpecSymmetricDefault: 32, crypto.SpecHMAC224: 28, crypto.SpecHMAC256: 32, crypto.SpecHMAC384: 48, crypto.SpecHMAC512: 64,
		crypto.SpecMLDSA44: 32, crypto.SpecMLDSA65: 32, crypto.SpecMLDSA87: 32, crypto.SpecMLKEM768: 64, crypto.SpecMLKEM1024: 64,
		crypto.SpecEd25519: 48, crypto.SpecP256: 138, crypto.SpecP384: 185, crypto.SpecP521: 241, crypto.SpecP256K1: 135,
	}
	for _, spec := range crypto.Specs() {
		if spec.Asymmetric() && !slices.Contains(specs(), spec) || spec == crypto.SpecRSA3072 || spec == crypto.SpecRSA4096 {
			continue
		}
		one, err := keypair.Generate(spec)
		if err != nil {
			t.Fatalf("Generate(%s) = %v", spec, err)
		}
		before := bytes.Clone(one.Expose())
		two, err := keypair.Generate(spec)
		if err != nil || one.Equal(two) {
			t.Errorf("%s: two materials are equal, %v", spec, err)
		}
		if want := sizes[spec]; want != 0 && one.Len() != want {
			t.Errorf("Generate(%s) has %d bytes, want %d", spec, one.Len(), want)
		}
		canonical, err := keypair.Canonical(spec, one)
		if err != nil || !canonical.Equal(one) {
			t.Errorf("Generate(%s) is not canonical: %v", spec, err)
		}
		if err := keypair.Check(spec, one); err != nil {
			t.Errorf("Check(Generate(%s)) = %v", spec, err)
		}
		if canonical.Wipe(); !bytes.Equal(one.Expose(), before) {
			t.Errorf("%s: Canonical returns the bytes that it was given", spec)
		}
	}
	if _, err := keypair.Generate("SM2"); !errors.Is(err, crypto.ErrSpec) {
		t.Errorf("Generate of no spec = %v, want ErrSpec", err)
	}
}

// The standard library reads the PKCS#8 of what it knows, as the same key, and writes the same bytes.
func TestPKCS8IsThatOfTheStandardLibrary(t *testing.T) {
	for _, spec := range []crypto.Spec{
		crypto.SpecRSA2048, crypto.SpecP256, crypto.SpecP384, crypto.SpecP521, crypto.SpecEd25519,
	} {
		canonical, err := keypair.Canonical(spec, material(t, spec))
		if err != nil {
			t.Fatal(err)
		}
		der, err := keypair.PKCS8(spec, canonical)
		if err != nil || !der.Equal(canonical) {
			t.Fatalf("PKCS8(%s) differs from the canonical form, %v", spec, err)
		}
		key, err := x509.ParsePKCS8PrivateKey(der.Expose())
		if err != nil {
			t.Fatalf("%s: ParsePKCS8PrivateKey() = %v", spec, err)
		}
		again, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil || !bytes.Equal(again, der.Expose()) {
			t.Errorf("%s: the standard library writes the key otherwise, %v", spec, err)
		}
		p, err := keypair.New(spec, canonical)
		if err != nil {
			t.Fatal(err)
		}
		public, err := x509.MarshalPKIXPublicKey(key.(stdcrypto.Signer).Public())
		if err != nil || !bytes.Equal(public, p.Public().DER()) {
			t.Errorf("%s: the standard library writes the public key otherwise, %v", spec, err)
		}
	}
}

// The examples of RFC 9881 and RFC 9935, appendix C.1: the seed 00 01 02 ... in PKCS#8.
func TestPKCS8OfSeeds(t *testing.T) {
	ramp := make([]byte, 64)
	for i := range ramp {
		ramp[i] = byte(i)
	}
	for spec, want := range map[crypto.Spec]string{
		crypto.SpecMLDSA44: "MDQCAQAwCwYJYIZIAWUDBAMRBCKAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
		crypto.SpecMLDSA65: "MDQCAQAwCwYJYIZIAWUDBAMSBCKAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
		crypto.SpecMLKEM768: "MFQCAQAwCwYJYIZIAWUDBAQCBEKAQAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJicoKSor" +
			"LC0uLzAxMjM0NTY3ODk6Ozw9Pj8=",
	} {
		if !slices.Contains(specs(), spec) {
			continue
		}
		seed := bytes.Clone(ramp[:64])
		if strings.HasPrefix(string(spec), "ML_DSA") {
			seed = seed[:32]
		}
		der, err := keypair.PKCS8(spec, crypto.NewSecret(seed))
		if got := base64.StdEncoding.EncodeToString(der.Expose()); err != nil || got != want {
			t.Errorf("PKCS8(%s) = %s, %v, want %s", spec, got, err, want)
		}
	}
}

func newRSA(t *testing.T, bits, exponent int) *rsa.PrivateKey {
	t.Helper()
	prime := func() *big.Int {
		for {
			b := crypto.RandomSecret(bits / 16).Expose()
			b[0] |= 0xc0 // so that the product of two has all bits
			p := new(big.Int).SetBytes(b)
			if p.SetBit(p, 0, 1); p.ProbablyPrime(5) && new(big.Int).Mod(new(big.Int).Sub(p, big.NewInt(1)), big.NewInt(int64(exponent))).Sign() != 0 {
				return p
			}
		}
	}
	return rsaOf(prime(), prime(), exponent)
}

func rsaOf(p, q *big.Int, exponent int) *rsa.PrivateKey {
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	return &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: exponent},
		D:         new(big.Int).ModInverse(big.NewInt(int64(exponent)), phi),
		Primes:    []*big.Int{p, q},
	}
}

// pkcs1 writes an RSA key as it is, without asking whether it is one.
func pkcs1(version int64, numbers ...*big.Int) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(version)
		for _, n := range numbers {
			b.AddASN1BigInt(n)
		}
	})
	return b.BytesOrPanic()
}

func pkcs1Of(k *rsa.PrivateKey) []byte {
	p, q, one := k.Primes[0], k.Primes[1], big.NewInt(1)
	dp := new(big.Int).Mod(k.D, new(big.Int).Sub(p, one))
	dq := new(big.Int).Mod(k.D, new(big.Int).Sub(q, one))
	inverse := new(big.Int).ModInverse(q, p)
	if inverse == nil {
		inverse = one
	}
	return pkcs1(0, k.N, big.NewInt(int64(k.E)), k.D, p, q, dp, dq, inverse)
}

const (
	rsaID     = "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"
	pssID     = "\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"
	p256ID    = "\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
	p384ID    = "\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22"
	ed25519ID = "\x30\x05\x06\x03\x2b\x65\x70"
	mlkemID   = "\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x04\x02"
	mldsaID   = "\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11"
)

// pkcs8 writes a private key; public is left out if it is nil.
func pkcs8(version int64, algorithm string, key, public []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(version)
		b.AddBytes([]byte(algorithm))
		b.AddASN1OctetString(key)
		if public != nil {
			b.AddASN1(asn1.Tag(1).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddUint8(0); b.AddBytes(public) })
		}
	})
	return b.BytesOrPanic()
}

// ec writes an ECPrivateKey; parameters and public are left out if they are nil.
func ec(d, parameters, public []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1OctetString(d)
		if parameters != nil {
			b.AddASN1(asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddBytes(parameters) })
		}
		if public != nil {
			b.AddASN1(asn1.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1BitString(public) })
		}
	})
	return b.BytesOrPanic()
}

// materialRow is material on its way in, and what Canonical makes of it.
type materialRow struct {
	name     string
	spec     crypto.Spec
	material []byte
	want     []byte // the canonical form; nil if it is refused
	problem  string // part of the error
}

func (r materialRow) check(t *testing.T) {
	t.Helper()
	before := bytes.Clone(r.material)
	got, err := keypair.Canonical(r.spec, crypto.NewSecret(r.material))
	if !bytes.Equal(before, r.material) {
		t.Errorf("%s, %s: Canonical changes what it was given", r.spec, r.name)
	}
	if r.want != nil {
		if err != nil || !bytes.Equal(got.Expose(), r.want) {
			t.Errorf("%s, %s: Canonical() = %x, %v, want %x", r.spec, r.name, got.Expose(), err, r.want)
		}
		if p, err := keypair.New(r.spec, crypto.NewSecret(r.material)); r.spec.Asymmetric() && len(r.material) == len(r.want) && err != nil {
			t.Errorf("%s, %s: New() = %v, %v", r.spec, r.name, p, err)
		}
		return
	}
	if !errors.Is(err, crypto.ErrMaterial) || !strings.Contains(err.Error(), r.problem) || !got.IsZero() {
		t.Errorf("%s, %s: Canonical() = %x, %v, want ErrMaterial that says %q", r.spec, r.name, got.Expose(), err, r.problem)
	}
	if checked := keypair.Check(r.spec, crypto.NewSecret(r.material)); checked == nil || checked.Error() != err.Error() {
		t.Errorf("%s, %s: Check() = %v, want %v", r.spec, r.name, checked, err)
	}
}

func TestMaterialOfRSA(t *testing.T) {
	spec := crypto.SpecRSA2048
	key := rsaKey(t, material(t, spec).Expose())
	canonicalSecret, err := keypair.Canonical(spec, material(t, spec))
	if err != nil {
		t.Fatal(err)
	}
	canonical := canonicalSecret.Expose()
	wrap := func(inner []byte) []byte { return pkcs8(0, rsaID, inner, nil) }
	with := func(change func(k *rsa.PrivateKey)) []byte {
		k := *rsaOf(key.Primes[0], key.Primes[1], key.E)
		k.PublicKey = rsa.PublicKey{N: new(big.Int).Set(k.N), E: k.E}
		change(&k)
		return wrap(pkcs1Of(&k))
	}
	p, q := key.Primes[0], key.Primes[1]
	phi := new(big.Int).Sub(new(big.Int).Add(key.N, big.NewInt(1)), new(big.Int).Add(p, q))
	other := newRSA(t, 2048, 65537)
	composite := newRSA(t, 1024, 65537).N
	for rsaOf(p, composite, 65537).D == nil || rsaOf(p, composite, 65537).N.BitLen() != 2048 {
		composite = newRSA(t, 1024, 65537).N
	}
	public := x509.MarshalPKCS1PublicKey(&key.PublicKey)
	otherPublic := x509.MarshalPKCS1PublicKey(&other.PublicKey)
	rows := []materialRow{
		{"canonical", spec, canonical, canonical, ""},
		{"the primes the other way round", spec, with(func(k *rsa.PrivateKey) { k.Primes = []*big.Int{q, p} }), canonical, ""},
		{"the exponent modulo phi", spec, with(func(*rsa.PrivateKey) {}), canonical, ""},
		{"the public key beside it", spec, pkcs8(1, rsaID, pkcs1Of(key), public), canonical, ""},
		{"another public key beside it", spec, pkcs8(1, rsaID, pkcs1Of(key), otherPublic), nil, "that of another"},
		{"version 0 with a public key", spec, pkcs8(0, rsaID, pkcs1Of(key), public), nil, "malformed public key"},
		{"version 2", spec, pkcs8(2, rsaID, pkcs1Of(key), nil), nil, "not an unencrypted private key"},
		{"the identifier of PSS", spec, pkcs8(0, pssID, pkcs1Of(key), nil), nil, "another algorithm"},
		{"PKCS#1", spec, pkcs1Of(key), nil, "not an unencrypted private key"},
		{"a byte more", spec, append(bytes.Clone(canonical), 0), nil, "not an unencrypted private key"},
		{"a byte less", spec, canonical[:len(canonical)-1], nil, "not an unencrypted private key"},
		{"nothing", spec, nil, nil, "not an unencrypted private key"},
		{"9000 bytes", spec, make([]byte, 9000), nil, "9000 bytes, at most 8192"},
		{"a key of 3072 bits", spec, material(t, crypto.SpecRSA3072).Expose(), nil, "3072 bits, want 2048"},
		{"a key of 2048 bits", crypto.SpecRSA4096, canonical, nil, "2048 bits, want 4096"},
		{"a curve's key", spec, material(t, crypto.SpecP256).Expose(), nil, "another algorithm"},
		{"an RSA key", crypto.SpecP256, canonical, nil, "another algorithm"},
		{"three primes", spec, wrap(pkcs1(1, key.N, big.NewInt(65537), key.D, p, q, p, q, p)), nil, "more than two primes"},
		{"no CRT values", spec, wrap(pkcs1(0, key.N, big.NewInt(65537), key.D, p, q)), nil, "no RSA key of PKCS#1"},
		{"a wrong CRT value", spec, wrap(pkcs1(0, key.N, big.NewInt(65537), key.D, p, q, big.NewInt(5), big.NewInt(5), big.NewInt(5))), nil, "not consistent"},
		{"a private exponent above the modulus", spec, with(func(k *rsa.PrivateKey) { k.D.Add(k.D, phi).Add(k.D, phi) }), nil, "not consistent"},
		{"a modulus of 50000 bits", spec, wrap(pkcs1Of(&rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Lsh(p, 49000), E: 65537}, D: key.D, Primes: key.Primes})), nil, "50024 bits, want 2048"},
		{"an exponent above 2^64", spec, wrap(pkcs1(0, key.N, p, key.D, p, q, p, q, p)), nil, "exponent that is not odd"},
		{"a modulus of another key", spec, with(func(k *rsa.PrivateKey) { k.N = other.N }), nil, "not consistent"},
		{"a private exponent of another key", spec, with(func(k *rsa.PrivateKey) { k.D = other.D }), nil, "not consistent"},
		{"a private exponent of 1", spec, with(func(k *rsa.PrivateKey) { k.D = big.NewInt(1) }), nil, "not consistent"},
		{"a negative modulus", spec, with(func(k *rsa.PrivateKey) { k.N.Neg(k.N) }), nil, "no RSA key of PKCS#1"},
		{"the exponent modulo lambda", spec, with(func(k *rsa.PrivateKey) { k.D = key.D }), canonical, ""},
		{"one prime twice", spec, wrap(pkcs1Of(rsaOf(p, p, 65537))), nil, "not consistent"},
		{"a factor that is not prime", spec, wrap(pkcs1Of(rsaOf(p, composite, 65537))), nil, "a factor that is not prime"},
		{"the exponent 3", spec, wrap(pkcs1Of(newRSA(t, 2048, 3))), nil, "exponent that is not odd"},
		{"the exponent 257", spec, wrap(pkcs1Of(newRSA(t, 2048, 257))), nil, "exponent that is not odd"},
	}
	for _, r := range rows {
		r.check(t)
	}
	third := newRSA(t, 2048, 65539)
	if canonical, err := keypair.Canonical(spec, crypto.NewSecret(wrap(pkcs1Of(third)))); err != nil || canonical.IsZero() {
		t.Errorf("the exponent 65539: Canonical() = %v", err)
	}
}

func TestMaterialOfCurves(t *testing.T) {
	spec := crypto.SpecP256
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for key.Bytes()[0] != 0 { // so that leading zeros matter
		if key, err = ecdh.P256().GenerateKey(rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	d, point := key.Bytes(), key.PublicKey().Bytes()
	signing, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		t.Fatal(err)
	}
	canonical, err := x509.MarshalPKCS8PrivateKey(signing)
	if err != nil {
		t.Fatal(err)
	}
	compressed := elliptic.MarshalCompressed(elliptic.P256(), new(big.Int).SetBytes(point[1:33]), new(big.Int).SetBytes(point[33:]))
	otherPoint := private(t, spec).Public().DER()[26:]
	wrap := func(inner []byte) []byte { return pkcs8(0, p256ID, inner, nil) }
	order := elliptic.P256().Params().N.FillBytes(make([]byte, 32))
	p256, p384 := []byte(p256ID[11:]), []byte(p384ID[11:])
	rows := []materialRow{
		{"canonical", spec, canonical, canonical, ""},
		{"no public key", spec, wrap(ec(d, nil, nil)), canonical, ""},
		{"no leading zeros", spec, wrap(ec(bytes.TrimLeft(d, "\x00"), nil, point)), canonical, ""},
		{"parameters", spec, wrap(ec(d, p256, point)), canonical, ""},
		{"a compressed public key", spec, wrap(ec(d, p256, compressed)), canonical, ""},
		{"the public key outside", spec, pkcs8(1, p256ID, ec(d, nil, nil), point), canonical, ""},
		{"parameters of another curve", spec, wrap(ec(d, p384, point)), nil, "another curve"},
		{"another public key", spec, wrap(ec(d, nil, otherPoint)), nil, "that of another"},
		{"another public key outside", spec, pkcs8(1, p256ID, ec(d, nil, point), otherPoint), nil, "that of another"},
		{"half a public key", spec, wrap(ec(d, nil, point[:40])), nil, "malformed public key"},
		{"zero", spec, wrap(ec(make([]byte, 32), nil, nil)), nil, "between 1 and the order"},
		{"no bytes", spec, wrap(ec(nil, nil, nil)), nil, "between 1 and the order"},
		{"the order", spec, wrap(ec(order, nil, nil)), nil, "between 1 and the order"},
		{"33 bytes", spec, wrap(ec(append([]byte{0}, d...), nil, nil)), nil, "33 bytes, at most 32"},
		{"a key of P-384 for P-256", spec, material(t, crypto.SpecP384).Expose(), nil, "another algorithm or curve"},
		{"a key of P-256 for P-384", crypto.SpecP384, canonical, nil, "another algorithm or curve"},
		{"32 bytes as they are", spec, d, nil, "not an unencrypted private key"},
		{"RFC 5915 as it is", spec, ec(d, p256, point), nil, "not an unencrypted private key"},
		{"a byte more inside", spec, wrap(append(ec(d, nil, nil), 0)), nil, "no elliptic curve key"},
		{"a byte more", spec, append(bytes.Clone(canonical), 0), nil, "not an unencrypted private key"},
		{"no algorithm", spec, pkcs8(0, "", ec(d, nil, nil), nil), nil, "not an unencrypted private key"},
	}
	if !fips140.Enforced() {
		k1 := material(t, crypto.SpecP256K1).Expose()
		rows = append(rows,
			materialRow{"a key of secp256k1", spec, k1, nil, "another algorithm or curve"},
			materialRow{"a key of P-256", crypto.SpecP256K1, canonical, nil, "another algorithm or curve"},
			materialRow{"canonical", crypto.SpecP256K1, k1, k1, ""},
			materialRow{"another public key", crypto.SpecP256K1, append(bytes.Clone(k1[:len(k1)-1]), k1[len(k1)-1]^1), nil, "that of another"},
		)
	}
	for _, r := range rows {
		r.check(t)
	}
}

func TestMaterialOfEd25519(t *testing.T) {
	spec := crypto.SpecEd25519
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	canonical, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	inner := append([]byte{4, 32}, key.Seed()...)
	for _, r := range []materialRow{
		{"canonical", spec, canonical, canonical, ""},
		{"the public key beside it", spec, pkcs8(1, ed25519ID, inner, public), canonical, ""},
		{"another public key beside it", spec, pkcs8(1, ed25519ID, inner, key.Seed()), nil, "that of another"},
		{"the seed as it is", spec, key.Seed(), nil, "not an unencrypted private key"},
		{"the seed in one octet string", spec, pkcs8(0, ed25519ID, key.Seed(), nil), nil, "no Ed25519 key"},
		{"64 bytes", spec, pkcs8(0, ed25519ID, append([]byte{4, 64}, key...), nil), nil, "no Ed25519 key"},
		{"31 bytes", spec, pkcs8(0, ed25519ID, append([]byte{4, 31}, key[:31]...), nil), nil, "no Ed25519 key"},
		{"X25519", spec, pkcs8(0, "\x30\x05\x06\x03\x2b\x65\x6e", inner, nil), nil, "another algorithm"},
	} {
		r.check(t)
	}
}

func TestMaterialThatIsRandomBytes(t *testing.T) {
	for spec, n := range map[crypto.Spec]int{
		crypto.SpecSymmetricDefault: 32, crypto.SpecHMAC224: 28, crypto.SpecHMAC256: 32, crypto.SpecHMAC384: 48, crypto.SpecHMAC512: 64,
	} {
		right := crypto.RandomSecret(n).Expose()
		materialRow{"the right size", spec, right, right, ""}.check(t)
		for _, wrong := range []int{0, 16, n - 1, n + 1} {
			materialRow{"a wrong size", spec, make([]byte, wrong), nil, "want"}.check(t)
		}
	}
}

// choice writes what RFC 9881 and RFC 9935 put into PKCS#8, in the form of both.
func choice(seed, expanded []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1OctetString(seed); b.AddASN1OctetString(expanded) })
	return b.BytesOrPanic()
}

func TestMaterialThatIsASeed(t *testing.T) {
	for _, c := range []struct {
		spec     crypto.Spec
		id       string
		seed     int
		expanded int
	}{
		{crypto.SpecMLDSA44, mldsaID, 32, 2560},
		{crypto.SpecMLKEM768, mlkemID, 64, 2400},
	} {
		if !slices.Contains(specs(), c.spec) {
			continue
		}
		seed := crypto.RandomSecret(c.seed).Expose()
		p, err := keypair.New(c.spec, crypto.NewSecret(bytes.Clone(seed)))
		if err != nil {
			t.Fatal(err)
		}
		public := p.Public().DER()[22:]
		expanded := crypto.RandomSecret(c.expanded).Expose() // with what of it is known
		if c.spec == crypto.SpecMLDSA44 {
			copy(expanded, public[:32])
			copy(expanded[64:], sha3.SumSHAKE256(public, 64))
		} else {
			copy(expanded[c.expanded-64-len(public):], public)
			copy(expanded[c.expanded-32:], seed[32:])
		}
		alter := func(at int) []byte { // from the end if it is negative
			altered := bytes.Clone(expanded)
			altered[(at+c.expanded)%c.expanded] ^= 1
			return altered
		}
		first, second := 0, 127 // of rho and tr
		if c.spec == crypto.SpecMLKEM768 {
			first, second = -1, -65 // of z and ek
		}
		alone := append([]byte{0x80, byte(c.seed)}, seed...)
		other := crypto.RandomSecret(c.seed).Expose()
		octets := func(b []byte) []byte {
			var s cryptobyte.Builder
			s.AddASN1OctetString(b)
			return s.BytesOrPanic()
		}
		for _, r := range []materialRow{
			{"the seed", c.spec, seed, seed, ""},
			{"PKCS#8 of the seed", c.spec, pkcs8(0, c.id, alone, nil), seed, ""},
			{"PKCS#8 of the seed, with the public key", c.spec, pkcs8(1, c.id, alone, public), seed, ""},
			{"PKCS#8 of both", c.spec, pkcs8(0, c.id, choice(seed, expanded), nil), seed, ""},
			{"PKCS#8 of the seed, with another public key", c.spec, pkcs8(1, c.id, alone, other), nil, "that of another"},
			{"PKCS#8 of both, of two keys", c.spec, pkcs8(0, c.id, choice(other, expanded), nil), nil, "not that of the seed"},
			{"PKCS#8 of both, one part altered", c.spec, pkcs8(0, c.id, choice(seed, alter(first)), nil), nil, "not that of the seed"},
			{"PKCS#8 of both, another part altered", c.spec, pkcs8(0, c.id, choice(seed, alter(second)), nil), nil, "not that of the seed"},
			{"PKCS#8 of both, the expanded key cut", c.spec, pkcs8(0, c.id, choice(seed, expanded[:100]), nil), nil, "not that of the seed"},
			{"PKCS#8 of the expanded key", c.spec, pkcs8(0, c.id, octets(expanded), nil), nil, "the seed is needed"},
			{"PKCS#8 of a short seed", c.spec, pkcs8(0, c.id, append([]byte{0x80, 31}, seed[:31]...), nil), nil, "31 bytes"},
			{"PKCS#8 of nothing", c.spec, pkcs8(0, c.id, nil, nil), nil, "no private key of RFC"},
			{"PKCS#8 of an integer", c.spec, pkcs8(0, c.id, []byte{2, 1, 1}, nil), nil, "no private key of RFC"},
			{"PKCS#8 of another algorithm", c.spec, pkcs8(0, p256ID, alone, nil), nil, "another algorithm"},
			{"a byte more", c.spec, append(bytes.Clone(seed), 0), nil, "not an unencrypted private key"},
			{"nothing", c.spec, nil, nil, "not an unencrypted private key"},
		} {
			r.check(t)
		}
		for _, n := range []int{0, c.seed - 1, c.seed + 1} {
			if _, err := keypair.New(c.spec, crypto.RandomSecret(n)); !errors.Is(err, crypto.ErrMaterial) {
				t.Errorf("%s: New of %d bytes = %v, want ErrMaterial", c.spec, n, err)
			}
			if _, err := keypair.PKCS8(c.spec, crypto.RandomSecret(n)); !errors.Is(err, crypto.ErrMaterial) {
				t.Errorf("%s: PKCS8 of %d bytes = %v, want ErrMaterial", c.spec, n, err)
			}
		}
	}
}

// Under GODEBUG=fips140=only, what is outside of the Go Cryptographic Module is ErrFIPS, everywhere.
func TestUnavailableSpecs(t *testing.T) {
	if !fips140.Enforced() {
		t.Skip("GODEBUG=fips140=only is not set")
	}
	unavailable := []crypto.Spec{crypto.SpecP256K1, crypto.SpecMLDSA44, crypto.SpecMLDSA65, crypto.SpecMLDSA87}
	for _, spec := range unavailable {
		m := crypto.RandomSecret(32)
		_, generated := keypair.Generate(spec)
		_, made := keypair.New(spec, m)
		_, canonical := keypair.Canonical(spec, m)
		_, encoded := keypair.PKCS8(spec, m)
		_, parsed := keypair.ParsePublic(spec, nil)
		for _, err := range []error{generated, made, canonical, encoded, parsed, keypair.Check(spec, m)} {
			if !errors.Is(err, crypto.ErrFIPS) {
				t.Errorf("%s: error %v, want ErrFIPS", spec, err)
			}
		}
	}
	p := private(t, crypto.SpecRSA2048)
	if _, err := p.Public().Encrypt(crypto.EncryptOAEPSHA1, []byte("x")); !errors.Is(err, crypto.ErrFIPS) {
		t.Errorf("Encrypt with SHA-1 = %v, want ErrFIPS", err)
	}
	if _, err := p.Decrypt(crypto.EncryptOAEPSHA1, make([]byte, 256)); !errors.Is(err, crypto.ErrFIPS) {
		t.Errorf("Decrypt with SHA-1 = %v, want ErrFIPS", err)
	}
}
