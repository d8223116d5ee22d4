package keypair_test

import (
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
)

// run measures f, which must not fail.
func run(b *testing.B, name string, f func() error) {
	b.Helper()
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := f(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSign(b *testing.B) {
	for _, spec := range specs() {
		for _, a := range spec.SigningAlgorithms() {
			if a == crypto.SignPSSSHA384 || a == crypto.SignPSSSHA512 || a == crypto.SignPKCS1SHA384 || a == crypto.SignPKCS1SHA512 {
				continue
			}
			mt := crypto.MessageRaw
			if a == crypto.SignEd25519ph {
				mt = crypto.MessageDigest
			}
			p, m := private(b, spec), message(a, mt, 1)
			run(b, string(spec)+"/"+string(a), func() error {
				_, err := p.Sign(a, mt, m)
				return err
			})
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, spec := range specs() {
		for _, a := range spec.SigningAlgorithms() {
			for _, mt := range spec.MessageTypes() {
				if !signable(spec, a, mt) || mt == crypto.MessageDigest && a != crypto.SignEd25519ph || spec == crypto.SpecRSA3072 {
					continue
				}
				p, m := private(b, spec), message(a, mt, 1)
				signature, err := p.Sign(a, mt, m)
				if err != nil {
					b.Fatal(err)
				}
				run(b, string(spec)+"/"+string(a)+"/"+string(mt), func() error { return p.Public().Verify(a, mt, m, signature) })
			}
		}
	}
}

func BenchmarkOAEP(b *testing.B) {
	for _, spec := range []crypto.Spec{crypto.SpecRSA2048, crypto.SpecRSA3072, crypto.SpecRSA4096} {
		p := private(b, spec)
		ciphertext, err := p.Public().Encrypt(crypto.EncryptOAEPSHA256, make([]byte, 32))
		if err != nil {
			b.Fatal(err)
		}
		run(b, string(spec)+"/Encrypt", func() error {
			_, err := p.Public().Encrypt(crypto.EncryptOAEPSHA256, make([]byte, 32))
			return err
		})
		run(b, string(spec)+"/Decrypt", func() error {
			_, err := p.Decrypt(crypto.EncryptOAEPSHA256, ciphertext)
			return err
		})
	}
}

func BenchmarkDeriveSharedSecret(b *testing.B) {
	for _, spec := range []crypto.Spec{crypto.SpecP256, crypto.SpecP384, crypto.SpecP521} {
		p, peer := private(b, spec), private(b, spec).Public().DER()
		run(b, string(spec), func() error {
			_, err := p.DeriveSharedSecret(peer)
			return err
		})
	}
}

func BenchmarkKEM(b *testing.B) {
	for _, spec := range []crypto.Spec{crypto.SpecMLKEM768, crypto.SpecMLKEM1024} {
		p := private(b, spec)
		ciphertext, _, err := p.Public().Encapsulate()
		if err != nil {
			b.Fatal(err)
		}
		run(b, string(spec)+"/Encapsulate", func() error {
			_, _, err := p.Public().Encapsulate()
			return err
		})
		run(b, string(spec)+"/Decapsulate", func() error {
			_, err := p.Decapsulate(ciphertext)
			return err
		})
	}
}

// New is what it costs to bring a key into memory.
func BenchmarkNew(b *testing.B) {
	for _, spec := range specs() {
		m := material(b, spec)
		run(b, string(spec), func() error {
			_, err := keypair.New(spec, m)
			return err
		})
	}
}

func BenchmarkGenerate(b *testing.B) {
	for _, spec := range specs() {
		run(b, string(spec), func() error {
			_, err := keypair.Generate(spec)
			return err
		})
	}
}

func BenchmarkSelfTest(b *testing.B) {
	run(b, "all", keypair.SelfTest)
}
