package keypair_test

import (
	"bytes"
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
)

func TestRoundTrip(t *testing.T) {
	for _, spec := range crypto.Specs() {
		m, err := keypair.Generate(spec)
		if err != nil {
			t.Fatal(spec, err)
		}
		c, err := keypair.Canonical(spec, m)
		if err != nil || !c.Equal(m) {
			t.Fatal(spec, err)
		}
		if !spec.Asymmetric() {
			continue
		}
		p, err := keypair.New(spec, m)
		if err != nil {
			t.Fatal(spec, err)
		}
		pub, err := keypair.ParsePublic(spec, p.Public().DER())
		if err != nil || !bytes.Equal(pub.DER(), p.Public().DER()) {
			t.Fatal(spec, err)
		}
		for _, a := range spec.SigningAlgorithms() {
			mt, msg := crypto.MessageRaw, []byte("x")
			if a == crypto.SignEd25519ph {
				mt, msg = crypto.MessageDigest, make([]byte, 64)
			}
			s, err := p.Sign(a, mt, msg)
			if err != nil {
				t.Fatal(spec, a, err)
			}
			if err := pub.Verify(a, mt, msg, s); err != nil {
				t.Fatal(spec, a, err)
			}
		}
		for _, a := range spec.EncryptionAlgorithms() {
			ct, err := pub.Encrypt(a, []byte("x"))
			if err != nil {
				t.Fatal(spec, a, err)
			}
			if pt, err := p.Decrypt(a, ct); err != nil || string(pt) != "x" {
				t.Fatal(spec, a, err)
			}
		}
		k8, err := keypair.PKCS8(spec, m)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := keypair.Canonical(spec, k8); err != nil || !c.Equal(m) {
			t.Fatal(spec, err)
		}
	}
}
