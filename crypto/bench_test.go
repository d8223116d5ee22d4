package crypto_test

import (
	"fmt"
	"testing"

	"github.com/kmsd/kmsd/crypto"
)

func BenchmarkEncrypt(b *testing.B) {
	for _, n := range []int{32, 64, 1 << 10, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			k, plaintext := newKey(b), ramp(n)
			dst := make([]byte, 0, n+crypto.Overhead)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Encrypt(dst, plaintext, crypto.Context{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecrypt(b *testing.B) {
	for _, n := range []int{32, 64, 1 << 10, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			k := newKey(b)
			blob := encrypt(b, k, ramp(n), crypto.Context{})
			dst := make([]byte, 0, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Decrypt(dst, blob, crypto.Context{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncryptParallel(b *testing.B) {
	k, plaintext := newKey(b), ramp(64)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		dst := make([]byte, 0, 64+crypto.Overhead)
		for p.Next() {
			if _, err := k.Encrypt(dst, plaintext, crypto.Context{}); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkDecryptParallel(b *testing.B) {
	k := newKey(b)
	blob := encrypt(b, k, ramp(64), crypto.Context{})
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		dst := make([]byte, 0, 64)
		for p.Next() {
			if _, err := k.Decrypt(dst, blob, crypto.Context{}); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkEncryptWithContext(b *testing.B) {
	k, plaintext := newKey(b), ramp(64)
	c := newContext(b, map[string]string{"purpose": "backup", "tenant": "42"})
	dst := make([]byte, 0, 64+crypto.Overhead)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Encrypt(dst, plaintext, c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewContext(b *testing.B) {
	pairs := map[string]string{"purpose": "backup", "tenant": "42"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := crypto.NewContext(pairs); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	s, err := crypto.NewSealer(crypto.RandomSecret(crypto.KeySize))
	if err != nil {
		b.Fatal(err)
	}
	plaintext, aad := ramp(1<<10), ramp(64)
	dst := make([]byte, 0, 2<<10)
	b.ReportAllocs()
	for b.Loop() {
		s.Seal(dst, plaintext, aad)
	}
}

func BenchmarkMAC(b *testing.B) {
	m, data := crypto.NewMAC(crypto.RandomSecret(32)), ramp(64)
	b.ReportAllocs()
	for b.Loop() {
		m.Sum(data)
	}
}
