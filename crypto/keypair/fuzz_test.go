package keypair_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
)

// specOf chooses a spec by a number.
func specOf(n byte) crypto.Spec {
	all := append(crypto.Specs(), "")
	return all[int(n)%len(all)]
}

// seeds calls add with a number for specOf and what of returns for a key of that spec.
func seeds(f *testing.F, of func(m crypto.Secret, p *keypair.Private) []byte) {
	f.Helper()
	for i, spec := range crypto.Specs() {
		for _, available := range specs() {
			if spec == available {
				m := material(f, spec)
				p, err := keypair.New(spec, m)
				if err != nil {
					f.Fatal(err)
				}
				f.Add(byte(i), of(m, p))
			}
		}
	}
}

// What parses prints as a key that parses as the same; what does not, says so.
func FuzzParsePublic(f *testing.F) {
	seeds(f, func(_ crypto.Secret, p *keypair.Private) []byte { return p.Public().DER() })
	f.Fuzz(func(t *testing.T, n byte, der []byte) {
		spec, before := specOf(n), bytes.Clone(der)
		p, err := keypair.ParsePublic(spec, der)
		if !bytes.Equal(der, before) {
			t.Errorf("ParsePublic(%s, %x) alters its input", spec, before)
		}
		if err != nil {
			if p != nil || !errors.Is(err, keypair.ErrPublicKey) && !errors.Is(err, crypto.ErrSpec) && !errors.Is(err, crypto.ErrFIPS) {
				t.Errorf("ParsePublic(%s, %x) = %v, %v", spec, der, p, err)
			}
			return
		}
		again, err := keypair.ParsePublic(spec, p.DER())
		if err != nil || !bytes.Equal(again.DER(), p.DER()) {
			t.Errorf("ParsePublic(%s, %x) prints as %x, which does not parse as the same: %v", spec, der, p.DER(), err)
		}
		if !bytes.Equal(p.DER(), der) && len(p.DER()) == len(der) {
			t.Errorf("ParsePublic(%s, %x) prints as %x", spec, der, p.DER())
		}
	})
}

// What is material has a canonical form, which is its own, and from which a key can be made; what is not, says so.
func FuzzCanonical(f *testing.F) {
	seeds(f, func(m crypto.Secret, _ *keypair.Private) []byte { return m.Expose() })
	f.Fuzz(func(t *testing.T, n byte, m []byte) {
		spec := specOf(n)
		canonical, err := keypair.Canonical(spec, crypto.NewSecret(bytes.Clone(m)))
		if err != nil {
			if !canonical.IsZero() || !errors.Is(err, crypto.ErrMaterial) && !errors.Is(err, crypto.ErrSpec) && !errors.Is(err, crypto.ErrFIPS) {
				t.Errorf("Canonical(%s, %x) = %v", spec, m, err)
			}
			return
		}
		again, err := keypair.Canonical(spec, canonical)
		if err != nil || !again.Equal(canonical) {
			t.Errorf("Canonical(%s, %x) = %x, whose canonical form is %x, %v", spec, m, canonical.Expose(), again.Expose(), err)
		}
		if spec.Asymmetric() {
			if _, err := keypair.New(spec, canonical); err != nil {
				t.Errorf("New(%s, %x) = %v", spec, canonical.Expose(), err)
			}
		}
	})
}

// No signature verifies but the one that was made, and no message but that which was signed. The RSA key is the same in
// all processes of the fuzzer, so its signatures have to be too.
func FuzzVerify(f *testing.F) {
	type made struct {
		public             *keypair.Public
		a                  crypto.SigningAlgorithm
		message, signature []byte
	}
	keys := map[crypto.Spec]made{} // :: spec → a key, and something that it signed
	for _, spec := range specs() {
		if spec == crypto.SpecRSA3072 || spec == crypto.SpecRSA4096 || len(spec.SigningAlgorithms()) == 0 {
			continue
		}
		p, m := private(f, spec), []byte("message")
		a := spec.SigningAlgorithms()[0]
		if spec == crypto.SpecRSA2048 {
			a = crypto.SignPKCS1SHA256
		}
		signature, err := p.Sign(a, crypto.MessageRaw, m)
		if err != nil {
			f.Fatal(err)
		}
		keys[spec] = made{p.Public(), a, m, signature}
		for i, s := range crypto.Specs() {
			if s == spec {
				f.Add(byte(i), m, signature)
			}
		}
	}
	f.Fuzz(func(t *testing.T, n byte, message, signature []byte) {
		spec := specOf(n)
		k, ok := keys[spec]
		if !ok {
			return
		}
		before := bytes.Clone(signature)
		err := k.public.Verify(k.a, crypto.MessageRaw, message, signature)
		if !bytes.Equal(signature, before) {
			t.Errorf("%s: Verify alters the signature", spec)
		}
		if bytes.Equal(message, k.message) && bytes.Equal(signature, k.signature) {
			if err != nil {
				t.Errorf("%s: Verify of the signature that was made = %v", spec, err)
			}
			return
		}
		if err != keypair.ErrSignature && !errors.Is(err, crypto.ErrLength) {
			t.Errorf("%s: Verify(%x, %x) = %v, want ErrSignature", spec, message, signature, err)
		}
	})
}
