package server

import (
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keywrap"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// What the packages below call a spec, a usage or an algorithm is what the API calls it.
func TestAWSNames(t *testing.T) {
	known := func(what, name string, ok bool) {
		t.Helper()
		if !ok {
			t.Errorf("the API has no %s %s", what, name)
		}
	}
	for _, s := range crypto.Specs() {
		known("key spec", string(s), keySpecs.value(string(s)) != 0)
		for _, u := range s.Usages() {
			known("usage", string(u), keyUsages.value(string(u)) != 0)
		}
		for _, a := range s.SigningAlgorithms() {
			known("signing algorithm", string(a), signingAlgorithms.value(string(a)) != 0)
		}
		for _, a := range s.EncryptionAlgorithms() {
			known("encryption algorithm", string(a), encryptionAlgorithms.value(string(a)) != 0)
		}
		for _, a := range s.MACAlgorithms() {
			known("MAC algorithm", string(a), macAlgorithms.value(string(a)) != 0)
		}
		for _, a := range s.KeyAgreementAlgorithms() {
			known("key agreement algorithm", string(a), agreementAlgorithms.value(string(a)) != 0)
		}
		for _, a := range s.EncapsulationAlgorithms() {
			known("encapsulation algorithm", string(a), encapsulations.value(string(a)) != 0)
		}
	}
	if got, want := len(keySpecs.values), len(crypto.Specs()); got != want {
		t.Errorf("the API has %d key specs, want the %d of package crypto", got, want)
	}
	for _, s := range keywrap.KeySpecs() {
		known("wrapping key spec", string(s), wrappingKeySpecs.value(string(s)) != 0)
	}
	for n, want := range map[kmsv1.KeySpec]string{0: "", kmsv1.KeySpec_KEY_SPEC_RSA_2048: "RSA_2048", 99: "", -1: ""} {
		if got := keySpecs.name(n); got != want {
			t.Errorf("name(%d) = %q, want %q", n, got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { keySpecs.name(kmsv1.KeySpec_KEY_SPEC_RSA_2048) }); n != 0 {
		t.Errorf("name allocates %v times", n)
	}
}
