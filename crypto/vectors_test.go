package crypto_test

import (
	"bytes"
	"crypto/fips140"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/cryptotest"

	"github.com/kmsd/kmsd/crypto"
)

// corpus is testdata/vectors.json, which vectors.mjs made.
type corpus struct {
	Vectors []struct {
		keyVector
		PlaintextSize int `json:"plaintext_size"`
		Seed          uint64
		Salt, IV      string
		BlobSHA256    string `json:"blob_sha256"`
		Blob          string
	}
	Refused []struct {
		keyVector
		Blob, Reason string
	}
	Contexts []struct {
		Name            string
		Context         [][2]string
		CanonicalSHA256 string `json:"canonical_sha256"`
		Canonical       string
	}
	Derivations []struct{ Name, Key, Label, Context, Out string }
	Seals       []struct {
		Name, Key, AAD, Sealed string
		PlaintextSize          int `json:"plaintext_size"`
	}
}

type keyVector struct {
	Name       string
	KeyID      string `json:"key_id"`
	MaterialID string `json:"material_id"`
	Secret     string
	Context    [][2]string
}

func readVectors(t testing.TB) corpus {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var c corpus
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		t.Fatal(err)
	}
	if len(c.Vectors) < 24 || len(c.Refused) < 20 || len(c.Contexts) < 15 || len(c.Derivations) < 6 || len(c.Seals) < 3 {
		t.Fatal("vectors.json does not hold the vectors it should")
	}
	return c
}

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (v keyVector) key(t testing.TB) *crypto.Key {
	t.Helper()
	id, err := crypto.ParseKeyID(v.KeyID)
	if err != nil {
		t.Fatal(err)
	}
	material, err := crypto.ParseMaterialID(v.MaterialID)
	if err != nil {
		t.Fatal(err)
	}
	k, err := crypto.NewKey(id, material, crypto.NewSecret(fromHex(t, v.Secret)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func contextOf(t testing.TB, list [][2]string) crypto.Context {
	t.Helper()
	pairs := map[string]string{} // :: key → value
	for _, p := range list {
		pairs[p[0]] = p[1]
	}
	return newContext(t, pairs)
}

// ramp is the plaintext of n bytes of the vectors.
func ramp(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(7*i + 3)
	}
	return b
}

func TestVectorsDecrypt(t *testing.T) {
	decrypted := 0
	for _, v := range readVectors(t).Vectors {
		if v.Blob == "" {
			continue // long: TestVectorsEncrypt makes the same blob and decrypts it
		}
		decrypted++
		blob := fromHex(t, v.Blob)
		if sha256Hex(blob) != v.BlobSHA256 {
			t.Errorf("%s: blob and its hash differ", v.Name)
		}
		got, err := v.key(t).Decrypt(nil, blob, contextOf(t, v.Context))
		if err != nil || !bytes.Equal(got, ramp(v.PlaintextSize)) {
			t.Errorf("%s: Decrypt() = %x, %v (%s)", v.Name, got, err, crypto.DecryptFailure(err))
		}
	}
	if decrypted < 18 {
		t.Errorf("%d vectors have a blob, want 18 or more", decrypted)
	}
}

// Encrypt gives, byte for byte, what the other implementation gives. Its salts and ivs are those that
// SetGlobalRandom makes Encrypt draw; should a release of Go change that stream, the seeds in vectors.mjs have to
// change too. SetGlobalRandom works under GODEBUG=fips140=only, but not in a build with GOFIPS140=v1.0.0.
func TestVectorsEncrypt(t *testing.T) {
	if fips140.Version() == "v1.0.0" {
		t.Skip("SetGlobalRandom is not supported by Go Cryptographic Module v1.0.0")
	}
	for _, v := range readVectors(t).Vectors {
		k, c := v.key(t), contextOf(t, v.Context)
		cryptotest.SetGlobalRandom(t, v.Seed)
		blob := encrypt(t, k, ramp(v.PlaintextSize), c)
		if salt, iv := hex.EncodeToString(blob[34:50]), hex.EncodeToString(blob[98:110]); salt != v.Salt || iv != v.IV {
			t.Fatalf("%s: salt and iv are %s %s, want %s %s", v.Name, salt, iv, v.Salt, v.IV)
		}
		if got := sha256Hex(blob); got != v.BlobSHA256 {
			t.Errorf("%s: SHA-256 of Encrypt() = %s, want %s", v.Name, got, v.BlobSHA256)
		}
		if got, err := k.Decrypt(nil, blob, c); err != nil || !bytes.Equal(got, ramp(v.PlaintextSize)) {
			t.Errorf("%s: Decrypt(Encrypt()) gives another plaintext, %v", v.Name, err)
		}
	}
}

func TestVectorsRefused(t *testing.T) {
	reasons := map[string]error{
		"malformed": crypto.ErrMalformed, "wrong_key": crypto.ErrWrongKey, "wrong_commitment": crypto.ErrCommitment,
		"wrong_context": crypto.ErrWrongContext, "tampered": crypto.ErrTampered,
	}
	seen := map[string]bool{}
	for _, v := range readVectors(t).Refused {
		got, err := v.key(t).Decrypt(nil, fromHex(t, v.Blob), contextOf(t, v.Context))
		if got != nil || !errors.Is(err, reasons[v.Reason]) || !errors.Is(err, crypto.ErrCiphertext) {
			t.Errorf("%s: Decrypt() = %x, %v (%s), want %s", v.Name, got, err, crypto.DecryptFailure(err), v.Reason)
		}
		if got := crypto.DecryptFailure(err); got != v.Reason {
			t.Errorf("%s: DecryptFailure() = %q, want %q", v.Name, got, v.Reason)
		}
		if err != nil && err.Error() != crypto.ErrCiphertext.Error() {
			t.Errorf("%s: error says %q, want %q for every failure", v.Name, err, crypto.ErrCiphertext)
		}
		seen[v.Reason] = true
	}
	if len(seen) != len(reasons) {
		t.Errorf("vectors are refused for the reasons %v, want all of them", seen)
	}
}

func TestVectorsOfContexts(t *testing.T) {
	for _, v := range readVectors(t).Contexts {
		got := contextOf(t, v.Context).Bytes()
		if sha256Hex(got) != v.CanonicalSHA256 {
			t.Errorf("%s: Bytes() = %x, want %s", v.Name, got, v.Canonical)
		}
		if v.Canonical != "" && hex.EncodeToString(got) != v.Canonical {
			t.Errorf("%s: Bytes() = %x, want %s", v.Name, got, v.Canonical)
		}
	}
}

func TestVectorsOfDerivation(t *testing.T) {
	for _, v := range readVectors(t).Derivations {
		key := crypto.NewSecret(fromHex(t, v.Key))
		got := crypto.Derive(key, v.Label, fromHex(t, v.Context), len(v.Out)/2)
		if hex.EncodeToString(got.Expose()) != v.Out {
			t.Errorf("%s: Derive() = %x, want %s", v.Name, got.Expose(), v.Out)
		}
	}
}

func TestVectorsOfSealing(t *testing.T) {
	for _, v := range readVectors(t).Seals {
		s, err := crypto.NewSealer(crypto.NewSecret(fromHex(t, v.Key)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Open(nil, fromHex(t, v.Sealed), fromHex(t, v.AAD))
		if err != nil || !bytes.Equal(got, ramp(v.PlaintextSize)) {
			t.Errorf("%s: Open() = %x, %v", v.Name, got, err)
		}
	}
}

// The committed vectors are what the program beside them makes, where Node is at hand.
func TestVectorsAreReproducible(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	want, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var problems strings.Builder
	cmd := exec.Command(node, "testdata/vectors.mjs")
	cmd.Stderr = &problems
	got, err := cmd.Output()
	if err != nil {
		t.Fatalf("vectors.mjs: %v\n%s", err, problems.String())
	}
	if !bytes.Equal(got, want) {
		t.Error("vectors.mjs makes other vectors than vectors.json holds")
	}
}
