package crypto_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/kmsd/kmsd/crypto"
)

func TestRoundTrip(t *testing.T) {
	k := newKey(t)
	rapid.Check(t, func(t *rapid.T) {
		plaintext := rapid.SliceOfN(rapid.Byte(), 1, 5000).Draw(t, "plaintext")
		pairs := rapid.MapOfN(rapid.StringN(1, 60, 256), rapid.StringN(0, 60, -1), 0, 8).Draw(t, "pairs")
		prefix := rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "prefix")
		c, err := crypto.NewContext(pairs)
		if err != nil {
			t.Fatalf("NewContext(%q): %v", pairs, err)
		}
		blob, err := k.Encrypt(bytes.Clone(prefix), plaintext, c)
		if err != nil || !bytes.HasPrefix(blob, prefix) {
			t.Fatalf("Encrypt() = %x, %v, want it after %x", blob, err, prefix)
		}
		blob = blob[len(prefix):]
		if len(blob) != len(plaintext)+crypto.Overhead {
			t.Fatalf("blob has %d bytes, want %d", len(blob), len(plaintext)+crypto.Overhead)
		}
		got, err := k.Decrypt(bytes.Clone(prefix), blob, c)
		if want := append(prefix, plaintext...); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("Decrypt() = %x, %v, want %x", got, err, want)
		}
	})
}

func TestParseHeaderReadsWhatEncryptWrites(t *testing.T) {
	k := newKey(t)
	got, err := crypto.ParseHeader(encrypt(t, k, []byte{1}, crypto.Context{}))
	want := crypto.Header{Version: 1, Suite: 1, Key: k.ID(), Material: k.Material().Short()}
	if err != nil || got != want {
		t.Errorf("ParseHeader() = %v, %v, want %v", got, err, want)
	}
}

func TestNewKeyRefuses(t *testing.T) {
	id, material := crypto.NewKeyID(), crypto.NewMaterialID()
	for _, c := range []struct {
		name     string
		id       crypto.KeyID
		material crypto.MaterialID
		secret   crypto.Secret
	}{
		{"no secret", id, material, crypto.Secret{}},
		{"a short secret", id, material, crypto.RandomSecret(31)},
		{"a long secret", id, material, crypto.RandomSecret(33)},
		{"no key id", crypto.KeyID{}, material, crypto.RandomSecret(32)},
		{"no material id", id, crypto.MaterialID{}, crypto.RandomSecret(32)},
	} {
		if k, err := crypto.NewKey(c.id, c.material, c.secret); err == nil || k != nil {
			t.Errorf("NewKey with %s gives a key, want an error", c.name)
		}
	}
}

func TestKeyOutlivesItsSecret(t *testing.T) {
	secret := crypto.RandomSecret(32)
	id, material := crypto.NewKeyID(), crypto.NewMaterialID()
	k, err := crypto.NewKey(id, material, secret)
	if err != nil {
		t.Fatal(err)
	}
	same, err := crypto.NewKey(id, material, secret)
	if err != nil {
		t.Fatal(err)
	}
	m := crypto.NewMAC(secret)
	sum := m.Sum(nil)
	secret.Wipe()
	// Several at once, so that the pools have to make new states after the wipe.
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			blob, err := k.Encrypt(nil, []byte("message"), crypto.Context{})
			if err != nil {
				t.Error(err)
			}
			if got, err := same.Decrypt(nil, blob, crypto.Context{}); err != nil || string(got) != "message" {
				t.Errorf("Decrypt after Wipe = %q, %v", got, err)
			}
			if got := m.Sum(nil); got != sum {
				t.Errorf("Sum after Wipe = %x, want %x", got, sum)
			}
		})
	}
	all.Wait()
}

func TestEncryptRefusesSizes(t *testing.T) {
	k := newKey(t)
	for _, n := range []int{0, crypto.MaxPlaintext + 1} {
		blob, err := k.Encrypt(nil, make([]byte, n), crypto.Context{})
		if blob != nil || err == nil || errors.Is(err, crypto.ErrCiphertext) {
			t.Errorf("Encrypt of %d bytes = %d bytes, %v, want an error that is not ErrCiphertext", n, len(blob), err)
		}
	}
	blob := encrypt(t, k, make([]byte, crypto.MaxPlaintext), crypto.Context{})
	if _, err := k.Decrypt(nil, blob, crypto.Context{}); err != nil {
		t.Errorf("Decrypt of the longest blob: %v", err)
	}
	if _, err := k.Decrypt(nil, append(blob, 0), crypto.Context{}); !errors.Is(err, crypto.ErrMalformed) {
		t.Errorf("Decrypt of a longer blob: %v, want ErrMalformed", crypto.DecryptFailure(err))
	}
}

// What follows the prefix that a caller gives is appended in its capacity if there is room, and what the caller reads
// from is never written to, wherever it lies.
func TestResultsAreAppended(t *testing.T) {
	k := newKey(t)
	plaintext := []byte("a message of some length, more than a block")
	c := newContext(t, map[string]string{"a": "b"})

	room := make([]byte, 3, 500)
	blob, err := k.Encrypt(room, plaintext, c)
	if err != nil || &blob[0] != &room[0] {
		t.Errorf("Encrypt with room does not append in place, %v", err)
	}
	room = make([]byte, 3, 500)
	got, err := k.Decrypt(room, blob[3:], c)
	if err != nil || &got[0] != &room[0] || !bytes.Equal(got[3:], plaintext) {
		t.Errorf("Decrypt with room = %q, %v, want it appended in place", got, err)
	}

	for shift := range 200 {
		buffer := make([]byte, 600)
		input := buffer[shift : shift+len(plaintext)]
		copy(input, plaintext)
		blob, err := k.Encrypt(buffer[:0], input, c)
		if err != nil || !bytes.Equal(input, plaintext) {
			t.Fatalf("Encrypt of its own buffer at %d: %v, plaintext is %q", shift, err, input)
		}
		input = buffer[shift : shift+len(blob)]
		copy(input, blob)
		got, err := k.Decrypt(buffer[:0], input, c)
		if err != nil || !bytes.Equal(got, plaintext) || !bytes.Equal(input, blob) {
			t.Fatalf("Decrypt of its own buffer at %d = %q, %v, or the blob is altered", shift, got, err)
		}
	}
}

func TestDecryptLeavesNothingOnFailure(t *testing.T) {
	k := newKey(t)
	blob := encrypt(t, k, bytes.Repeat([]byte{0x5a}, 100), crypto.Context{})
	for _, at := range []int{0, 2, 40, 55, 70, 100, 150, len(blob) - 1} {
		altered := bytes.Clone(blob)
		altered[at] ^= 1
		buffer := bytes.Repeat([]byte{0xee}, 300)
		if got, err := k.Decrypt(buffer[:10], altered, crypto.Context{}); got != nil || err == nil {
			t.Errorf("Decrypt with byte %d altered = %x, %v, want nil and an error", at, got, err)
		}
		if !bytes.Equal(buffer[:10], bytes.Repeat([]byte{0xee}, 10)) || !bytes.Equal(buffer[10:], make([]byte, 290)) {
			t.Errorf("after Decrypt with byte %d altered the buffer is %x, want its prefix and zeros", at, buffer)
		}
	}
}

// A million messages under one key, made by several goroutines: no salt and iv come twice. A salt alone does not
// come twice either, by the odds (2^-89).
func TestNoSaltAndNonceRepeat(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	const workers = 4
	k := newKey(t)
	drawn := make([][][28]byte, workers)
	var all sync.WaitGroup
	for i := range drawn {
		all.Go(func() {
			var blob []byte
			for range n / workers {
				var err error
				if blob, err = k.Encrypt(blob[:0], []byte{1}, crypto.Context{}); err != nil {
					t.Error(err)
					return
				}
				drawn[i] = append(drawn[i], [28]byte(append(blob[34:50:50], blob[98:110]...)))
			}
		})
	}
	all.Wait()
	pairs, salts := make(map[[28]byte]bool, n), make(map[[16]byte]bool, n)
	for _, list := range drawn {
		for _, p := range list {
			pairs[p], salts[[16]byte(p[:16])] = true, true
		}
	}
	if len(pairs) != n || len(salts) != n {
		t.Errorf("%d messages have %d pairs of salt and iv and %d salts, want %d", n, len(pairs), len(salts), n)
	}
}

func TestSealer(t *testing.T) {
	s, err := crypto.NewSealer(crypto.RandomSecret(crypto.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	other, err := crypto.NewSealer(crypto.RandomSecret(crypto.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 15, 16, 17, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			plaintext, aad := ramp(n), []byte("store/key/1")
			sealed := s.Seal([]byte("prefix"), plaintext, aad)[6:]
			if len(sealed) != n+crypto.SealOverhead {
				t.Errorf("Seal gives %d bytes, want %d", len(sealed), n+crypto.SealOverhead)
			}
			if got, err := s.Open([]byte("prefix"), sealed, aad); err != nil || !bytes.Equal(got[6:], plaintext) {
				t.Errorf("Open(Seal()) = %x, %v", got, err)
			}
			refused := func(what string, s *crypto.Sealer, sealed, aad []byte) {
				t.Helper()
				buffer := bytes.Repeat([]byte{0xee}, 2000)
				got, err := s.Open(buffer[:0], sealed, aad)
				if got != nil || !errors.Is(err, crypto.ErrSealed) || !bytes.Equal(buffer, make([]byte, 2000)) {
					t.Errorf("Open with %s = %x, %v, want nil, ErrSealed and a cleared buffer", what, got, err)
				}
			}
			refused("another key", other, sealed, aad)
			refused("other associated data", s, sealed, []byte("store/key/2"))
			refused("no associated data", s, sealed, nil)
			refused("one byte more", s, append(bytes.Clone(sealed), 0), aad)
			for i := range sealed {
				altered := bytes.Clone(sealed)
				altered[i] ^= 0x80
				refused(fmt.Sprintf("byte %d altered", i), s, altered, aad)
				refused(fmt.Sprintf("%d bytes", i), s, sealed[:i], aad)
			}
		})
	}
	if _, err := crypto.NewSealer(crypto.RandomSecret(16)); err == nil {
		t.Error("NewSealer with 16 bytes gives a sealer, want an error")
	}
}

func TestSealerReadsItsOwnBuffer(t *testing.T) {
	s, err := crypto.NewSealer(crypto.RandomSecret(crypto.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	// One of the inputs lies in the spare capacity of dst, at every offset.
	plaintext, aad := ramp(50), ramp(20)
	sealed := s.Seal(nil, plaintext, aad)
	for shift := range 100 {
		in := func(b []byte) (dst, input []byte) {
			buffer := make([]byte, 300)
			return buffer[:0], buffer[shift : shift+copy(buffer[shift:], b)]
		}
		opens := func(what string, sealed, input, want []byte) {
			t.Helper()
			if got, err := s.Open(nil, sealed, aad); err != nil || !bytes.Equal(got, plaintext) || !bytes.Equal(input, want) {
				t.Errorf("Seal of %s in its own buffer at %d: Open() = %x, %v, input is %x", what, shift, got, err, input)
			}
		}
		dst, input := in(plaintext)
		opens("the plaintext", s.Seal(dst, input, aad), input, plaintext)
		dst, input = in(aad)
		opens("the associated data", s.Seal(dst, plaintext, input), input, aad)
		dst, input = in(sealed)
		if got, err := s.Open(dst, input, aad); err != nil || !bytes.Equal(got, plaintext) || !bytes.Equal(input, sealed) {
			t.Errorf("Open of its own buffer at %d = %x, %v, input is %x", shift, got, err, input)
		}
		dst, input = in(aad)
		if got, err := s.Open(dst, sealed, input); err != nil || !bytes.Equal(got, plaintext) || !bytes.Equal(input, aad) {
			t.Errorf("Open with associated data in its own buffer at %d = %x, %v, data is %x", shift, got, err, input)
		}
	}
}

func TestDeriveSeparates(t *testing.T) {
	key := crypto.RandomSecret(32)
	seen := map[string]string{} // :: bytes → how they were derived
	for _, c := range []struct {
		label, context string
		n              int
	}{
		{"a", "", 32}, {"a", "b", 32}, {"ab", "", 32}, {"a", "\x00b", 32}, {"a", "", 33}, {"", "a", 32}, {"b", "", 32},
	} {
		name := fmt.Sprintf("Derive(%q, %q, %d)", c.label, c.context, c.n)
		got := string(crypto.Derive(key, c.label, []byte(c.context), c.n).Expose()[:32])
		if other, ok := seen[got]; ok {
			t.Errorf("%s = %s", name, other)
		}
		seen[got] = name
	}
	for name, f := range map[string]func(){
		"a label with a zero byte": func() { crypto.Derive(key, "a\x00", nil, 32) },
		"no bytes":                 func() { crypto.Derive(key, "a", nil, 0) },
		"too many bytes":           func() { crypto.Derive(key, "a", nil, 1025) },
		"a short key":              func() { crypto.Derive(crypto.RandomSecret(15), "a", nil, 32) },
		"no key":                   func() { crypto.NewMAC(crypto.Secret{}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Errorf("deriving with %s does not panic", name)
				}
			}()
			f()
		})
	}
}
