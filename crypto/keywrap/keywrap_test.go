package keywrap_test

import (
	"bytes"
	"crypto/fips140"
	"crypto/hpke"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keywrap"
)

var algorithms = []keywrap.Algorithm{
	keywrap.OAEPSHA1, keywrap.OAEPSHA256, keywrap.RSAAESSHA1, keywrap.RSAAESSHA256, keywrap.HPKEMLKEM768X25519,
}

// available reports whether a can be used: under GODEBUG=fips140=only not all can.
func available(a keywrap.Algorithm) bool {
	return !fips140.Enforced() || a == keywrap.OAEPSHA256 || a == keywrap.RSAAESSHA256
}

// wrappingKey is both halves of one.
type wrappingKey struct {
	private crypto.Secret
	public  []byte
}

// wrappingKeys returns one of each spec that is available and does not take seconds.
func wrappingKeys(t testing.TB) map[keywrap.KeySpec]wrappingKey {
	t.Helper()
	keys := map[keywrap.KeySpec]wrappingKey{}
	for _, spec := range []keywrap.KeySpec{keywrap.RSA2048, keywrap.MLKEM768X25519} {
		if spec == keywrap.MLKEM768X25519 && fips140.Enforced() {
			continue
		}
		private, public, err := keywrap.Generate(spec)
		if err != nil {
			t.Fatal(err)
		}
		keys[spec] = wrappingKey{private, public}
	}
	return keys
}

// Every algorithm with every key either takes material there and back, or is refused.
func TestWrapEveryCombination(t *testing.T) {
	info := []byte("info")
	for spec, key := range wrappingKeys(t) {
		for _, a := range append(slices.Clone(algorithms), "", "SM2PKE", "RSAES_PKCS1_V1_5", "rsaes_oaep_sha_256") {
			for _, n := range []int{1, 7, 8, 9, 32, 64, 190, 2400, keywrap.MaxMaterial} {
				material := crypto.RandomSecret(n).Expose()
				wrapped, err := keywrap.Wrap(a, key.public, info, material)
				most := map[keywrap.Algorithm]int{keywrap.OAEPSHA1: 214, keywrap.OAEPSHA256: 190}[a]
				switch {
				case slices.Contains(algorithms, a) && !available(a):
					if !errors.Is(err, crypto.ErrFIPS) {
						t.Errorf("%s with %s: Wrap() = %v, want ErrFIPS", a, spec, err)
					}
					if _, err := keywrap.Unwrap(a, key.private, info, nil); !errors.Is(err, crypto.ErrFIPS) {
						t.Errorf("%s with %s: Unwrap() = %v, want ErrFIPS", a, spec, err)
					}
				case !slices.Contains(spec.Algorithms(), a):
					if !errors.Is(err, keywrap.ErrAlgorithm) {
						t.Errorf("%s with %s: Wrap() = %v, want ErrAlgorithm", a, spec, err)
					}
					if _, err := keywrap.Unwrap(a, key.private, info, nil); !errors.Is(err, keywrap.ErrAlgorithm) {
						t.Errorf("%s with %s: Unwrap() = %v, want ErrAlgorithm", a, spec, err)
					}
				case most != 0 && n > most:
					if !errors.Is(err, keywrap.ErrLength) {
						t.Errorf("%s with %s: Wrap of %d bytes = %v, want ErrLength", a, spec, n, err)
					}
				case err != nil:
					t.Errorf("%s with %s: Wrap of %d bytes = %v", a, spec, n, err)
				default:
					got, err := keywrap.Unwrap(a, key.private, info, wrapped)
					if err != nil || !bytes.Equal(got.Expose(), material) {
						t.Errorf("%s with %s: Unwrap of %d bytes = %x, %v", a, spec, n, got.Expose(), err)
					}
					if n > 7 && bytes.Contains(wrapped, material) {
						t.Errorf("%s with %s: what is wrapped shows the material", a, spec)
					}
				}
			}
		}
	}
}

func TestGenerateRefuses(t *testing.T) {
	for _, spec := range []keywrap.KeySpec{"", "SM2", "RSA_1024"} {
		if private, public, err := keywrap.Generate(spec); !private.IsZero() || public != nil || !errors.Is(err, keywrap.ErrAlgorithm) {
			t.Errorf("Generate(%q) = %x, %v, want ErrAlgorithm", spec, public, err)
		}
		if spec.Algorithms() != nil {
			t.Errorf("Algorithms() of %q = %v, want none", spec, spec.Algorithms())
		}
	}
	if _, _, err := keywrap.Generate(keywrap.MLKEM768X25519); fips140.Enforced() && !errors.Is(err, crypto.ErrFIPS) {
		t.Errorf("Generate of X-Wing = %v, want ErrFIPS", err)
	}
}

func TestWrapRefuses(t *testing.T) {
	for spec, key := range wrappingKeys(t) {
		for _, a := range spec.Algorithms() {
			if !available(a) {
				continue
			}
			for _, n := range []int{0, keywrap.MaxMaterial + 1} {
				if _, err := keywrap.Wrap(a, key.public, nil, make([]byte, n)); !errors.Is(err, keywrap.ErrLength) {
					t.Errorf("%s: Wrap of %d bytes = %v, want ErrLength", a, n, err)
				}
			}
			for _, public := range [][]byte{nil, {0x30}, key.public[:len(key.public)-1], append(bytes.Clone(key.public), 0)} {
				if _, err := keywrap.Wrap(a, public, nil, []byte("x")); !errors.Is(err, keywrap.ErrPublicKey) {
					t.Errorf("%s: Wrap with a public key of %d bytes = %v, want ErrPublicKey", a, len(public), err)
				}
			}
			for _, private := range []crypto.Secret{{}, crypto.RandomSecret(31), crypto.RandomSecret(100)} {
				if _, err := keywrap.Unwrap(a, private, nil, []byte("x")); !errors.Is(err, keywrap.ErrPublicKey) {
					t.Errorf("%s: Unwrap with a private key of %d bytes = %v, want ErrPublicKey", a, private.Len(), err)
				}
			}
		}
	}
}

// Whatever is wrong with what is wrapped, the error is one and the same value.
func TestUnwrapTellsOneError(t *testing.T) {
	info, material := []byte("info"), crypto.RandomSecret(32).Expose()
	others := wrappingKeys(t)
	for spec, key := range wrappingKeys(t) {
		for _, a := range spec.Algorithms() {
			if !available(a) {
				continue
			}
			wrapped, err := keywrap.Wrap(a, key.public, info, material)
			if err != nil {
				t.Fatal(err)
			}
			refuse := func(name string, private crypto.Secret, info, wrapped []byte) {
				t.Helper()
				if got, err := keywrap.Unwrap(a, private, info, wrapped); !got.IsZero() || err != keywrap.ErrUnwrap {
					t.Errorf("%s: Unwrap of %s = %x, %v, want ErrUnwrap itself", a, name, got.Expose(), err)
				}
			}
			for i := 0; i < len(wrapped); i += 1 + len(wrapped)/64 {
				altered := bytes.Clone(wrapped)
				altered[i] ^= 1 << (i % 8)
				refuse("an altered byte", key.private, info, altered)
			}
			last := bytes.Clone(wrapped)
			last[len(last)-1] ^= 1
			refuse("an altered last byte", key.private, info, last)
			for _, n := range []int{0, 1, 16, 255, 256, 257, len(wrapped) - 8, len(wrapped) - 1} {
				if n < len(wrapped) {
					refuse("its first bytes", key.private, info, wrapped[:n])
				}
			}
			refuse("a byte more", key.private, info, append(bytes.Clone(wrapped), 0))
			refuse("eight bytes more", key.private, info, append(bytes.Clone(wrapped), make([]byte, 8)...))
			refuse("zeros", key.private, info, make([]byte, len(wrapped)))
			refuse("as much as is looked at", key.private, info, make([]byte, keywrap.MaxWrapped))
			refuse("too much", key.private, info, make([]byte, keywrap.MaxWrapped+1))
			refuse("another key's", others[spec].private, info, wrapped)
			if a == keywrap.HPKEMLKEM768X25519 {
				refuse("another info's", key.private, []byte("inf"), wrapped)
				refuse("no info's", key.private, nil, wrapped)
			}
			for _, b := range spec.Algorithms() {
				if b != a && available(b) {
					if _, err := keywrap.Unwrap(b, key.private, info, wrapped); err != keywrap.ErrUnwrap {
						t.Errorf("%s unwrapped as %s = %v, want ErrUnwrap itself", a, b, err)
					}
				}
			}
		}
	}
}

// What is wrapped is of the formats that docs/formats/keywrap.md says, which others can write and read: here with the
// primitives of the standard library.
func TestWrappedFormats(t *testing.T) {
	keys := wrappingKeys(t)
	material, info := []byte("0123456789abcdef0123456789abcdef"), []byte("token")
	parsed, err := x509.ParsePKIXPublicKey(keys[keywrap.RSA2048].public)
	if err != nil {
		t.Fatal(err)
	}
	public := parsed.(*rsa.PublicKey)
	kek := crypto.RandomSecret(32)
	first, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public, kek.Expose(), nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := keywrap.KWPWrap(kek, material)
	if err != nil {
		t.Fatal(err)
	}
	got, err := keywrap.Unwrap(keywrap.RSAAESSHA256, keys[keywrap.RSA2048].private, nil, append(first, second...))
	if err != nil || !bytes.Equal(got.Expose(), material) {
		t.Errorf("Unwrap of OAEP(AES key) || KWP(material) = %q, %v", got.Expose(), err)
	}
	for _, n := range []int{16, 24, 33} { // of the last, the first 32 bytes are an AES key
		whole := crypto.RandomSecret(n).Expose()
		kek := crypto.NewSecret(bytes.Clone(whole[:min(n, 32)]))
		first, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public, whole, nil)
		if err != nil {
			t.Fatal(err)
		}
		second, err := keywrap.KWPWrap(kek, material)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keywrap.Unwrap(keywrap.RSAAESSHA256, keys[keywrap.RSA2048].private, nil, append(first, second...)); err != keywrap.ErrUnwrap {
			t.Errorf("Unwrap with an AES key of %d bytes = %v, want ErrUnwrap", n, err)
		}
	}
	key, ok := keys[keywrap.MLKEM768X25519]
	if !ok {
		return
	}
	raw := key.public[len(key.public)-1216:]
	if got := hex.EncodeToString(key.public[:len(key.public)-1216]); got != "308204d4300d060b2b0601040183e62d81c87a038204c100" {
		t.Errorf("public key begins with %s", got)
	}
	recipient, err := hpke.MLKEM768X25519().NewPublicKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := hpke.Seal(recipient, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte("kmsd/import/v1token"), material)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := keywrap.Unwrap(keywrap.HPKEMLKEM768X25519, key.private, info, wrapped); err != nil || !bytes.Equal(got.Expose(), material) {
		t.Errorf("Unwrap of what HPKE sealed = %q, %v", got.Expose(), err)
	}
}

// The examples of RFC 5649, section 6.
func TestKWPVectors(t *testing.T) {
	kek := fromHex(t, "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
	for _, c := range []struct{ plain, wrapped string }{
		{"c37b7e6492584340bed12207808941155068f738", "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"},
		{"466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"},
	} {
		got, err := keywrap.KWPWrap(crypto.NewSecret(bytes.Clone(kek)), fromHex(t, c.plain))
		if err != nil || hex.EncodeToString(got) != c.wrapped {
			t.Errorf("KWPWrap(%s) = %x, %v, want %s", c.plain, got, err, c.wrapped)
		}
		plain, err := keywrap.KWPUnwrap(crypto.NewSecret(bytes.Clone(kek)), fromHex(t, c.wrapped))
		if err != nil || hex.EncodeToString(plain.Expose()) != c.plain {
			t.Errorf("KWPUnwrap(%s) = %x, %v, want %s", c.wrapped, plain.Expose(), err, c.plain)
		}
	}
}

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKWPLengths(t *testing.T) {
	for _, size := range []int{16, 24, 32} {
		kek := crypto.RandomSecret(size)
		for n := 1; n <= 70; n++ {
			plain := crypto.RandomSecret(n).Expose()
			wrapped, err := keywrap.KWPWrap(kek, plain)
			if err != nil || len(wrapped) != (n+7)/8*8+8 {
				t.Fatalf("KWPWrap of %d bytes = %d bytes, %v", n, len(wrapped), err)
			}
			before := bytes.Clone(wrapped)
			got, err := keywrap.KWPUnwrap(kek, wrapped)
			if err != nil || !bytes.Equal(got.Expose(), plain) || !bytes.Equal(wrapped, before) {
				t.Errorf("KWPUnwrap of %d bytes = %x, %v, want %x", n, got.Expose(), err, plain)
			}
		}
	}
	kek := crypto.RandomSecret(32)
	for _, n := range []int{0, keywrap.MaxWrapped - 7} {
		if _, err := keywrap.KWPWrap(kek, make([]byte, n)); !errors.Is(err, keywrap.ErrLength) {
			t.Errorf("KWPWrap of %d bytes = %v, want ErrLength", n, err)
		}
	}
	for _, n := range []int{0, 8, 15, 17, 20, keywrap.MaxWrapped + 8} {
		if _, err := keywrap.KWPUnwrap(kek, make([]byte, n)); err != keywrap.ErrUnwrap {
			t.Errorf("KWPUnwrap of %d bytes = %v, want ErrUnwrap", n, err)
		}
	}
	for _, n := range []int{0, 15, 33} {
		if _, err := keywrap.KWPWrap(crypto.RandomSecret(n), []byte("x")); !errors.Is(err, keywrap.ErrAlgorithm) {
			t.Errorf("KWPWrap with a key of %d bytes = %v, want ErrAlgorithm", n, err)
		}
		if _, err := keywrap.KWPUnwrap(crypto.RandomSecret(n), make([]byte, 16)); !errors.Is(err, keywrap.ErrAlgorithm) {
			t.Errorf("KWPUnwrap with a key of %d bytes = %v, want ErrAlgorithm", n, err)
		}
	}
}

func TestErrorsSayNothingOfTheMaterial(t *testing.T) {
	for spec, key := range wrappingKeys(t) {
		for _, a := range spec.Algorithms() {
			secret := strings.Repeat("topsecret", 1000)
			if _, err := keywrap.Wrap(a, key.public, []byte(secret), []byte(secret)); err == nil || strings.Contains(err.Error(), "topsecret") {
				t.Errorf("%s: Wrap of too much = %v", a, err)
			}
		}
	}
}
