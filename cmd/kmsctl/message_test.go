package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
)

// TestMuIsThatOfTheMessage: a signature of mu is one of the message itself.
func TestMuIsThatOfTheMessage(t *testing.T) {
	for _, spec := range []crypto.Spec{crypto.SpecMLDSA44, crypto.SpecMLDSA65, crypto.SpecMLDSA87} {
		material, err := keypair.Generate(spec)
		if err != nil {
			t.Fatal(err)
		}
		key, err := keypair.New(spec, material)
		if err != nil {
			t.Fatal(err)
		}
		message := []byte("attack at dawn")
		mu, err := muOf(key.Public().DER(), bytes.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		signature, err := key.Sign(crypto.SignMLDSA, crypto.MessageExternalMu, mu)
		if err != nil {
			t.Fatal(err)
		}
		if err := key.Public().Verify(crypto.SignMLDSA, crypto.MessageRaw, message, signature); err != nil {
			t.Errorf("%s: the signature of mu is not one of the message: %v", spec, err)
		}
	}
	for _, der := range []string{"", "x", "\x30\x00"} {
		if mu, err := muOf([]byte(der), strings.NewReader("x")); err == nil || mu != nil {
			t.Errorf("muOf(%q) = %x, %v, want an error", der, mu, err)
		}
	}
}

func TestPublicKeysInPEMAndDER(t *testing.T) {
	for given, want := range map[string]string{"0\x00": "0\x00", string(inPEM("PUBLIC KEY", []byte("der"))): "der"} {
		if got, err := publicDER([]byte(given)); err != nil || string(got) != want {
			t.Errorf("publicDER(%q) = %q, %v, want %q", given, got, err, want)
		}
	}
	for _, given := range []string{"-----BEGIN PUBLIC KEY-----", string(inPEM("PRIVATE KEY", []byte("der"))), string(inPEM("CERTIFICATE", []byte("der")))} {
		if got, err := publicDER([]byte(given)); err == nil || got != nil {
			t.Errorf("publicDER(%q) = %q, %v, want an error", given, got, err)
		}
	}
}
