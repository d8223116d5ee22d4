package crypto_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/leaktest"
)

// hmacSpecs are the HMAC specs with the bytes of their material and MACs.
func hmacSpecs() map[crypto.Spec]int {
	return map[crypto.Spec]int{crypto.SpecHMAC224: 28, crypto.SpecHMAC256: 32, crypto.SpecHMAC384: 48, crypto.SpecHMAC512: 64}
}

func newHMACKey(t testing.TB, s crypto.Spec) *crypto.HMACKey {
	t.Helper()
	k, err := crypto.NewHMACKey(s, crypto.RandomSecret(hmacSpecs()[s]))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestHMACKeys(t *testing.T) {
	for s, size := range hmacSpecs() {
		k, a := newHMACKey(t, s), s.MACAlgorithms()[0]
		for _, n := range []int{0, 1, 64, 128, crypto.MaxMessage} {
			message := ramp(n)
			mac, err := k.Generate(a, message)
			if err != nil || len(mac) != size {
				t.Fatalf("%s: Generate of %d bytes = %x, %v, want %d bytes", s, n, mac, err, size)
			}
			if err := k.Verify(a, message, mac); err != nil {
				t.Errorf("%s: Verify of a MAC of %d bytes = %v", s, n, err)
			}
			refuse := func(name string, message, mac []byte) {
				t.Helper()
				if err := k.Verify(a, message, mac); !errors.Is(err, crypto.ErrMAC) {
					t.Errorf("%s, message of %d bytes: Verify of %s = %v, want ErrMAC", s, n, name, err)
				}
			}
			for i := range mac {
				altered := bytes.Clone(mac)
				altered[i] ^= 0x80
				refuse("a MAC with an altered byte", message, altered)
			}
			refuse("a shortened MAC", message, mac[:size-1])
			refuse("half a MAC", message, mac[:size/2])
			refuse("a lengthened MAC", message, append(bytes.Clone(mac), 0))
			refuse("no MAC", message, nil)
			if n > 0 {
				refuse("the MAC of another message", message[1:], mac)
			}
			if err := newHMACKey(t, s).Verify(a, message, mac); !errors.Is(err, crypto.ErrMAC) {
				t.Errorf("%s: Verify under another key = %v, want ErrMAC", s, err)
			}
		}
	}
}

func TestHMACKeysRefuse(t *testing.T) {
	for s := range hmacSpecs() {
		k, a := newHMACKey(t, s), s.MACAlgorithms()[0]
		for other := range hmacSpecs() {
			wrong := other.MACAlgorithms()[0]
			if _, err := k.Generate(wrong, nil); s != other && !errors.Is(err, crypto.ErrAlgorithm) {
				t.Errorf("%s: Generate with %s = %v, want ErrAlgorithm", s, wrong, err)
			}
			if err := k.Verify(wrong, nil, nil); s != other && !errors.Is(err, crypto.ErrAlgorithm) {
				t.Errorf("%s: Verify with %s = %v, want ErrAlgorithm", s, wrong, err)
			}
		}
		if _, err := k.Generate("", nil); !errors.Is(err, crypto.ErrAlgorithm) {
			t.Errorf("%s: Generate with no algorithm = %v, want ErrAlgorithm", s, err)
		}
		if _, err := k.Generate(a, make([]byte, crypto.MaxMessage+1)); !errors.Is(err, crypto.ErrLength) {
			t.Errorf("%s: Generate of a message that is too long = %v, want ErrLength", s, err)
		}
		if err := k.Verify(a, make([]byte, crypto.MaxMessage+1), nil); !errors.Is(err, crypto.ErrLength) {
			t.Errorf("%s: Verify of a message that is too long = %v, want ErrLength", s, err)
		}
		for _, n := range []int{0, 16, hmacSpecs()[s] - 1, hmacSpecs()[s] + 1} {
			if k, err := crypto.NewHMACKey(s, crypto.RandomSecret(n)); k != nil || !errors.Is(err, crypto.ErrMaterial) {
				t.Errorf("NewHMACKey(%s, %d bytes) = %v, %v, want ErrMaterial", s, n, k, err)
			}
		}
	}
	for _, s := range append(crypto.Specs(), "", "HMAC_1") {
		if _, ok := hmacSpecs()[s]; ok {
			continue
		}
		if k, err := crypto.NewHMACKey(s, crypto.RandomSecret(32)); k != nil || !errors.Is(err, crypto.ErrSpec) {
			t.Errorf("NewHMACKey(%q) = %v, %v, want ErrSpec", s, k, err)
		}
	}
}

func TestHMACKeysPrintNoSecret(t *testing.T) {
	for s, n := range hmacSpecs() {
		material := crypto.RandomSecret(n)
		k, err := crypto.NewHMACKey(s, material)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Generate(s.MACAlgorithms()[0], []byte("x")); err != nil {
			t.Fatal(err)
		}
		leaktest.Check(t, material.Expose(), k, *k)
	}
}

// The material may be wiped once the key is made, and the key be used by many at once.
func TestHMACKeysOwnTheirMaterial(t *testing.T) {
	material := crypto.RandomSecret(32)
	k, err := crypto.NewHMACKey(crypto.SpecHMAC256, material)
	if err != nil {
		t.Fatal(err)
	}
	message := ramp(100)
	want, err := k.Generate(crypto.MACSHA256, message)
	if err != nil {
		t.Fatal(err)
	}
	material.Wipe()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				if got, err := k.Generate(crypto.MACSHA256, message); err != nil || !bytes.Equal(got, want) {
					t.Errorf("Generate() = %x, %v, want %x", got, err, want)
				}
				if err := k.Verify(crypto.MACSHA256, message, want); err != nil {
					t.Errorf("Verify() = %v", err)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkHMACKeyGenerate(b *testing.B) {
	k, message := newHMACKey(b, crypto.SpecHMAC256), ramp(64)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Generate(crypto.MACSHA256, message); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHMACKeyVerify(b *testing.B) {
	k, message := newHMACKey(b, crypto.SpecHMAC256), ramp(64)
	mac, err := k.Generate(crypto.MACSHA256, message)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := k.Verify(crypto.MACSHA256, message, mac); err != nil {
			b.Fatal(err)
		}
	}
}
