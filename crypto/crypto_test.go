package crypto_test

import (
	"bytes"
	"crypto/fips140"
	"crypto/sha256"
	"encoding"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/leaktest"
)

func newKey(t testing.TB) *crypto.Key {
	t.Helper()
	k, err := crypto.NewKey(crypto.NewKeyID(), crypto.NewMaterialID(), crypto.RandomSecret(crypto.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newContext(t testing.TB, pairs map[string]string) crypto.Context {
	t.Helper()
	c, err := crypto.NewContext(pairs)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func encrypt(t testing.TB, k *crypto.Key, plaintext []byte, c crypto.Context) []byte {
	t.Helper()
	blob, err := k.Encrypt(nil, plaintext, c)
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

func TestNothingPrintsItsSecret(t *testing.T) {
	secret := crypto.RandomSecret(crypto.KeySize)
	k, err := crypto.NewKey(crypto.NewKeyID(), crypto.NewMaterialID(), secret)
	if err != nil {
		t.Fatal(err)
	}
	s, err := crypto.NewSealer(secret)
	if err != nil {
		t.Fatal(err)
	}
	m := crypto.NewMAC(secret)
	// Use them, so that their pools and caches are filled.
	encrypt(t, k, []byte("x"), crypto.Context{})
	s.Seal(nil, []byte("x"), nil)
	m.Sum([]byte("x"))
	leaktest.Check(t, secret.Expose(), secret, &secret, k, *k, s, *s, m, *m)

	// The state of HMAC after its padded key (FIPS 198-1, section 6) is as good as the key.
	for _, pad := range []byte{0x36, 0x5c} {
		state := hmacState(t, secret.Expose(), pad)
		leaktest.Check(t, state, k, m, s)
	}
	// What is derived from the secret does not print either.
	tags := crypto.Derive(secret, "kmsd/ctx/v1", append(idBytes(k.ID()), materialBytes(k.Material())...), 32)
	leaktest.Check(t, tags.Expose(), tags, k)
}

// hmacState returns the chaining value of SHA-256 after the block of key XOR pad.
func hmacState(t *testing.T, key []byte, pad byte) []byte {
	t.Helper()
	block := bytes.Repeat([]byte{pad}, sha256.BlockSize)
	for i, b := range key {
		block[i] ^= b
	}
	h := sha256.New()
	h.Write(block)
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return state[4:36] // after a word that names the hash
}

func idBytes(id crypto.KeyID) []byte { return id[:] }

func materialBytes(id crypto.MaterialID) []byte {
	short := id.Short()
	return short[:]
}

func TestSelfTest(t *testing.T) {
	if err := crypto.SelfTest(); err != nil {
		t.Error(err)
	}
}

func TestFIPSNamesStateAndVersion(t *testing.T) {
	form := regexp.MustCompile(`^FIPS 140-3 mode (off|on|only), Go Cryptographic Module \S+$`)
	if got := crypto.FIPS(); !form.MatchString(got) {
		t.Errorf("FIPS() = %q, want %v", got, form)
	}
}

func TestCRC32C(t *testing.T) {
	// RFC 3720, appendix B.4, in the byte order of the number.
	for _, c := range []struct {
		name  string
		bytes []byte
		want  uint32
	}{
		{"nothing", nil, 0},
		{"32 zeros", make([]byte, 32), 0x8a9136aa},
		{"32 ones", bytes.Repeat([]byte{0xff}, 32), 0x62a8ab43},
		{"the digits", []byte("123456789"), 0xe3069283},
	} {
		if got := crypto.CRC32C(c.bytes); got != c.want {
			t.Errorf("CRC32C(%s) = %08x, want %08x", c.name, got, c.want)
		}
	}
}

func TestSecret(t *testing.T) {
	b := []byte("sixteen bytes...")
	s := crypto.NewSecret(b)
	same, other := crypto.NewSecret([]byte("sixteen bytes...")), crypto.RandomSecret(16)
	longer, zero := crypto.NewSecret([]byte("sixteen bytes....")), crypto.Secret{}
	for _, c := range []struct {
		name string
		got  any
		want any
	}{
		{"Len", s.Len(), 16},
		{"IsZero", s.IsZero(), false},
		{"Expose", string(s.Expose()), "sixteen bytes..."},
		{"Equal of the same bytes", s.Equal(same), true},
		{"Equal of other bytes", s.Equal(other), false},
		{"Equal of one byte more", s.Equal(longer), false},
		{"Equal of nothing", s.Equal(zero), false},
		{"Equal of nothing and nothing", zero.Equal(crypto.NewSecret(nil)), false},
		{"Len of nothing", zero.Len(), 0},
		{"IsZero of nothing", zero.IsZero(), true},
		{"IsZero of no bytes", crypto.NewSecret([]byte{}).IsZero(), true},
		{"String", s.String(), "[secret]"},
		{"Sprintf %x", fmt.Sprintf("%x", s), "[secret]"},
		{"Sprintf %#v of a pointer", fmt.Sprintf("%#v", &s), "[secret]"},
		{"LogValue", s.LogValue().String(), "[secret]"},
	} {
		if c.got != c.want {
			t.Errorf("%s = %v, want %v", c.name, c.got, c.want)
		}
	}
	held := s
	s.Wipe()
	zero.Wipe()
	if !bytes.Equal(b, make([]byte, 16)) {
		t.Errorf("after Wipe the bytes are %q, want zeros", b)
	}
	if !s.IsZero() || !held.IsZero() || held.Expose() != nil {
		t.Error("after Wipe a copy still holds bytes")
	}
}

func TestIDsParseTheirCanonicalFormOnly(t *testing.T) {
	id, material := crypto.NewKeyID(), crypto.NewMaterialID()
	if got, err := crypto.ParseKeyID(id.String()); err != nil || got != id {
		t.Errorf("ParseKeyID(%q) = %v, %v", id, got, err)
	}
	if got, err := crypto.ParseMaterialID(material.String()); err != nil || got != material {
		t.Errorf("ParseMaterialID(%q) = %v, %v", material, got, err)
	}
	if form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`); !form.MatchString(id.String()) {
		t.Errorf("NewKeyID() = %v, want a UUID of version 4", id)
	}
	good := "83b1f521-7c44-4558-93a2-c636675c9f05"
	for _, s := range []string{
		"", "83b1f521", good + " ", " " + good[1:], "83B1f521-7c44-4558-93a2-c636675c9f05", good[:35], good + "0", good + "00",
		"83b1f5217c44455893a2c636675c9f05", "{" + good + "}", "urn:uuid:" + good, "83b1f521-7c44-4558-93a2+c636675c9f05",
		"83b1f52g-7c44-4558-93a2-c636675c9f05", "83b1f521_7c44_4558_93a2_c636675c9f05", "83b1f5-217c44-4558-93a2-c636675c9f05",
	} {
		if got, err := crypto.ParseKeyID(s); err == nil || got != (crypto.KeyID{}) {
			t.Errorf("ParseKeyID(%q) = %v, %v, want an error", s, got, err)
		}
	}
	hex := material.String()
	for _, s := range []string{"", hex[:63], hex + "0", hex + "00", hex[:62], "F" + hex[1:], "g" + hex[1:], hex[:63] + " "} {
		if got, err := crypto.ParseMaterialID(s); err == nil || got != (crypto.MaterialID{}) {
			t.Errorf("ParseMaterialID(%q) = %v, %v, want an error", s, got, err)
		}
	}
	var key crypto.KeyID
	if err := key.UnmarshalText([]byte(good)); err != nil || key.String() != good {
		t.Errorf("UnmarshalText(%q) = %v, %v", good, key, err)
	}
	if err := key.UnmarshalText([]byte("x")); err == nil || key.String() != good {
		t.Errorf("UnmarshalText(x) = %v and the id %v, want an error and the old id", err, key)
	}
}

// What kmsd does works where everything that FIPS 140-3 does not approve is refused.
func TestWorksInFIPSOnlyMode(t *testing.T) {
	if fips140.Enforced() {
		t.Skip("all tests run in this mode")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.v", "-test.short", "-test.run=^(TestSelfTest|TestVectors.*|TestSealer.*|TestRoundTrip.*)$")
	cmd.Env = append(cmd.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("tests under GODEBUG=fips140=only: %v\n%s", err, out)
	}
	for _, name := range []string{"TestSelfTest", "TestVectorsDecrypt", "TestSealer", "TestRoundTrip"} {
		if !bytes.Contains(out, []byte("--- PASS: "+name)) {
			t.Errorf("%s did not pass under GODEBUG=fips140=only:\n%s", name, out)
		}
	}
}
