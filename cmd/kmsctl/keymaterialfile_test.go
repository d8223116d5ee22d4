package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
)

// inner returns what a PKCS #8 has in its octet string: PKCS #1 or SEC 1.
func inner(t *testing.T, pkcs8 []byte) []byte {
	t.Helper()
	var s, algorithm, key cryptobyte.String
	in := cryptobyte.String(pkcs8)
	if !in.ReadASN1(&s, asn1.SEQUENCE) || !s.SkipASN1(asn1.INTEGER) || !s.ReadASN1(&algorithm, asn1.SEQUENCE) || !s.ReadASN1(&key, asn1.OCTET_STRING) {
		t.Fatal("this is no PKCS #8")
	}
	return key
}

func inPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// TestMaterialOfEveryForm: of every spec each form in which openssl and others write a key is the same key.
func TestMaterialOfEveryForm(t *testing.T) {
	n := 0
	for _, spec := range crypto.Specs() {
		if spec == crypto.SpecRSA3072 || spec == crypto.SpecRSA4096 {
			continue // as RSA_2048, and slow to make
		}
		material, err := keypair.Generate(spec)
		if err != nil {
			t.Fatal(err)
		}
		want := material.Expose()
		forms := map[string][]byte{"raw": want}
		if spec.Asymmetric() {
			p8, err := keypair.PKCS8(spec, material)
			if err != nil {
				t.Fatal(err)
			}
			der := p8.Expose()
			forms["PKCS #8"], forms["PKCS #8 in PEM"] = der, append([]byte("# a comment\n"), inPEM("PRIVATE KEY", der)...)
			switch {
			case spec == crypto.SpecRSA2048:
				forms["PKCS #1"], forms["PKCS #1 in PEM"] = inner(t, der), inPEM("RSA PRIVATE KEY", inner(t, der))
			case curves[spec] != "":
				forms["SEC 1"] = inner(t, der)
				forms["SEC 1 in PEM"] = append(inPEM("EC PARAMETERS", []byte(curves[spec])), inPEM("EC PRIVATE KEY", inner(t, der))...)
			}
		}
		for form, b := range forms {
			n++
			given := bytes.Clone(b)
			got, err := parseMaterial(spec, given)
			if err != nil || !bytes.Equal(got.Expose(), want) {
				t.Errorf("%s as %s: %v, want the key", spec, form, err)
			}
		}
	}
	if n < 35 {
		t.Errorf("tried %d forms, want at least 35", n)
	}
}

func TestMaterialThatIsNone(t *testing.T) {
	p256, err := keypair.Generate(crypto.SpecP256)
	if err != nil {
		t.Fatal(err)
	}
	der := p256.Expose()
	for _, tt := range []struct {
		name string
		spec crypto.Spec
		b    []byte
		want string
	}{
		{"a line feed at the end", crypto.SpecSymmetricDefault, []byte(strings.Repeat("k", 32) + "\n"), "33 bytes, want 32"},
		{"too short", crypto.SpecHMAC256, []byte("short"), "5 bytes, want 32"},
		{"a key of another curve", crypto.SpecP384, der, "ECC_NIST_P384"},
		{"SEC 1 of another curve", crypto.SpecP384, inPEM("EC PRIVATE KEY", inner(t, der)), "ECC_NIST_P384"},
		{"an EC key for RSA", crypto.SpecRSA2048, inPEM("EC PRIVATE KEY", inner(t, der)), "RSA_2048"},
		{"garbage", crypto.SpecP256, []byte("garbage"), "ECC_NIST_P256"},
		{"no PEM block", crypto.SpecP256, []byte("-----BEGIN PRIVATE KEY-----\n"), "no private key"},
		{"a certificate", crypto.SpecP256, inPEM("CERTIFICATE", der), "no private key"},
		{"a public key", crypto.SpecP256, inPEM("PUBLIC KEY", der), "no private key"},
		{"two keys", crypto.SpecP256, append(inPEM("PRIVATE KEY", der), inPEM("PRIVATE KEY", der)...), "more than one"},
		{"a passphrase", crypto.SpecP256, inPEM("ENCRYPTED PRIVATE KEY", der), "encrypted with a passphrase"},
		{"a passphrase as of old", crypto.SpecP256, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}, Bytes: der}), "encrypted with a passphrase"},
	} {
		got, err := parseMaterial(tt.spec, tt.b)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !got.IsZero() {
			t.Errorf("%s: %v, want an error that says %q", tt.name, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "garbage") {
			t.Errorf("%s: the error %q quotes the material", tt.name, err)
		}
	}
}

func FuzzParseMaterial(f *testing.F) {
	for i, spec := range crypto.Specs() {
		if spec == crypto.SpecRSA3072 || spec == crypto.SpecRSA4096 || spec == crypto.SpecRSA2048 {
			continue
		}
		material, err := keypair.Generate(spec)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), material.Expose())
		f.Add(byte(i), inPEM("PRIVATE KEY", material.Expose()))
		f.Add(byte(i), inPEM("EC PRIVATE KEY", material.Expose()))
	}
	f.Fuzz(func(t *testing.T, n byte, b []byte) {
		specs := crypto.Specs()
		spec := specs[int(n)%len(specs)]
		material, err := parseMaterial(spec, bytes.Clone(b))
		if err != nil {
			if !material.IsZero() {
				t.Errorf("parseMaterial(%s) = material beside %v", spec, err)
			}
			return
		}
		again, err := parseMaterial(spec, bytes.Clone(material.Expose()))
		if err != nil || !bytes.Equal(again.Expose(), material.Expose()) {
			t.Errorf("parseMaterial(%s) of what it returned = %v, want the same", spec, err)
		}
	})
}

// TestMaterialFilesAreTheirOwners: what others may read is not taken.
func TestMaterialFilesAreTheirOwners(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, bytes.Repeat([]byte("k"), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &app{stdin: strings.NewReader(strings.Repeat("s", 32))}
	for _, tt := range []struct {
		name, path string
		mode       os.FileMode
		want       string
	}{
		{"mine", path, 0o600, ""},
		{"mine to read", path, 0o400, ""},
		{"my group's", path, 0o640, "chmod 600 " + path},
		{"everybody's", path, 0o604, "chmod 600 " + path},
		{"standard input", standard, 0o644, ""},
	} {
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		m, err := a.readMaterial(context.Background(), tt.path, crypto.SpecSymmetricDefault)
		_, hint := "", ""
		if err != nil {
			_, hint = classify(err)
		}
		if hint != tt.want || (err == nil) != (m.Len() == 32) {
			t.Errorf("%s: %d bytes, %v, hint %q, want hint %q", tt.name, m.Len(), err, hint, tt.want)
		}
	}
}
