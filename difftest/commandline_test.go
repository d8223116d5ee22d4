package difftest

import (
	"bytes"
	"encoding/hex"
	"encoding/pem"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/crypto"
)

// shell runs openssl as a person would, on files in a folder of its own.
type shell struct {
	t   *testing.T
	dir string
}

func newShell(t *testing.T) shell {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("SKIPPED: openssl is not installed")
	}
	return shell{t, t.TempDir()}
}

func (s shell) file(name string, b []byte) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), b, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// keys writes private.pem and public.pem.
func (s shell) keys(k *key) {
	s.t.Helper()
	s.file("private.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k.pkcs8}))
	s.file("public.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.spki}))
}

// openssl returns what a command prints, and whether it succeeded.
func (s shell) openssl(args string) ([]byte, bool) {
	s.t.Helper()
	cmd := exec.Command("openssl", strings.Fields(args)...)
	cmd.Dir = s.dir
	out, err := cmd.Output()
	return out, err == nil
}

// verifying is how a person verifies the signature sig of message.
func verifying(a crypto.SigningAlgorithm) string {
	name := string(a)
	hash := "-sha" + name[len(name)-3:]
	switch {
	case a == crypto.SignEd25519:
		return "pkeyutl -verify -pubin -inkey public.pem -rawin -in message -sigfile sig"
	case strings.HasPrefix(name, "RSASSA_PSS"):
		return "dgst " + hash + " -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest -verify public.pem -signature sig message"
	}
	return "dgst " + hash + " -verify public.pem -signature sig message"
}

func TestCommandLineVerifiesSignatures(t *testing.T) {
	if out, _ := newShell(t).openssl("version"); out != nil {
		t.Logf("%s: %s", t.Name(), bytes.TrimSpace(out))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, spec := range crypto.Specs() {
		for _, a := range spec.SigningAlgorithms() {
			t.Run(string(spec)+" "+string(a), func(t *testing.T) {
				if a == crypto.SignMLDSA || a == crypto.SignEd25519ph {
					t.Skipf("SKIPPED: openssl 3.0 has no command for %s", a)
				}
				s, k := newShell(t), generate(t, spec)
				s.keys(k)
				for range 5 {
					m := append(message(r), 'x') // openssl does not take empty files
					m = m[:min(len(m), crypto.MaxMessage)]
					sig := must[[]byte](t)(k.private.Sign(a, crypto.MessageRaw, m))
					s.file("message", m)
					s.file("sig", sig)
					if out, ok := s.openssl(verifying(a)); !ok {
						t.Fatalf("openssl %s: %s", verifying(a), out)
					}
					m[r.IntN(len(m))] ^= 1
					s.file("message", m)
					if out, ok := s.openssl(verifying(a)); ok {
						t.Fatalf("an altered message passes: %s", out)
					}
				}
			})
		}
	}
}

func TestCommandLineDecrypts(t *testing.T) {
	for a, hash := range map[crypto.EncryptionAlgorithm]string{crypto.EncryptOAEPSHA1: "sha1", crypto.EncryptOAEPSHA256: "sha256"} {
		s, k := newShell(t), generate(t, crypto.SpecRSA2048)
		s.keys(k)
		want := []byte("to be read with openssl")
		s.file("ciphertext", must[[]byte](t)(k.public.Encrypt(a, want)))
		got, ok := s.openssl("pkeyutl -decrypt -inkey private.pem -in ciphertext -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:" + hash + " -pkeyopt rsa_mgf1_md:" + hash)
		if !ok || !bytes.Equal(got, want) {
			t.Errorf("%s: openssl decrypts to %q, want %q", a, got, want)
		}
	}
}

func TestCommandLineDerives(t *testing.T) {
	for _, spec := range []crypto.Spec{crypto.SpecP256, crypto.SpecP384, crypto.SpecP521} {
		s, ours, theirs := newShell(t), generate(t, spec), generate(t, spec)
		s.keys(theirs)
		s.file("peer.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: ours.spki}))
		want := must[[]byte](t)(ours.private.DeriveSharedSecret(theirs.spki))
		if got, ok := s.openssl("pkeyutl -derive -inkey private.pem -peerkey peer.pem"); !ok || !bytes.Equal(got, want) {
			t.Errorf("%s: openssl derives %x, want %x", spec, got, want)
		}
	}
}

func TestCommandLineAuthenticates(t *testing.T) {
	for _, spec := range []crypto.Spec{crypto.SpecHMAC224, crypto.SpecHMAC256, crypto.SpecHMAC384, crypto.SpecHMAC512} {
		s, k := newShell(t), generate(t, spec)
		s.file("message", []byte("what is authenticated"))
		mac := must[[]byte](t)(k.hmac.Generate(spec.MACAlgorithms()[0], []byte("what is authenticated")))
		got, ok := s.openssl("dgst -sha" + k.spec[len("HMAC_"):] + " -mac HMAC -macopt hexkey:" + hex.EncodeToString(k.pkcs8) + " -binary message")
		if !ok || !bytes.Equal(got, mac) {
			t.Errorf("%s: openssl gives %x, want %x", spec, got, mac)
		}
	}
}
