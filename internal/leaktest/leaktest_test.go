package leaktest_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/internal/leaktest"
)

// recorder is a testing.TB that keeps what is reported to it.
type recorder struct {
	testing.TB
	errors []string
	fatal  string
}

func (*recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) { r.fatal = fmt.Sprintf(format, args...) }

type (
	field   struct{ b []byte }
	text    struct{ s string }
	array   struct{ a [32]byte }
	words   struct{ w []uint32 }
	longs   struct{ w []uint64 }
	aead    struct{ gcm cipher.AEAD }
	block   struct{ aes cipher.Block }
	pointer struct{ b *[]byte }
	closure struct{ get func() []byte }
	public  struct{ B []byte }
	late    struct{ err error }
)

// redacting has the methods that are said to be enough, and holds the bytes in a field.
type redacting struct{ b []byte }

func (redacting) String() string               { return "[redacted]" }
func (redacting) GoString() string             { return "[redacted]" }
func (redacting) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, "[redacted]") }
func (redacting) LogValue() slog.Value         { return slog.StringValue("[redacted]") }
func (redacting) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// reference is redacting behind a pointer.
type reference struct{ p *redacting }

func (reference) String() string   { return "[redacted]" }
func (reference) GoString() string { return "[redacted]" }

type stringer struct{ s string }

func (s stringer) String() string { return "secret is " + s.s }

type jsonOnly struct{ closure }

func (j jsonOnly) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, `{"k":"%x"}`, j.get()), nil }

type logOnly struct{ closure }

func (l logOnly) LogValue() slog.Value {
	return slog.GroupValue(slog.String("k", hex.EncodeToString(l.get())))
}

type octal struct{ closure }

func (o octal) String() string { return fmt.Sprintf("%#o", o.get()) }

type half struct{ closure }

func (h half) String() string { return fmt.Sprintf("%X", h.get()[11:20]) }

func TestCheckFindsLeaks(t *testing.T) {
	secret := make([]byte, 32)
	rand.Read(secret)
	blockCipher, err := aes.NewCipher(secret)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(blockCipher)
	if err != nil {
		t.Fatal(err)
	}
	big, little, quads := make([]uint32, 8), make([]uint32, 8), make([]uint64, 4)
	for i := range 8 {
		big[i], little[i] = binary.BigEndian.Uint32(secret[4*i:]), binary.LittleEndian.Uint32(secret[4*i:])
	}
	for i := range 4 {
		quads[i] = binary.BigEndian.Uint64(secret[8*i:])
	}
	get := closure{func() []byte { return secret }}
	for name, v := range map[string]any{
		"bytes":                                     secret,
		"a string":                                  string(secret),
		"bytes in an unexported field":              field{secret},
		"bytes in an exported field":                public{secret},
		"a pointer to bytes in a field":             &field{secret},
		"a string in a field":                       text{string(secret)},
		"an array":                                  array{[32]byte(secret)},
		"32-bit words, big endian":                  words{big},
		"32-bit words, little endian":               words{little},
		"two words of the middle":                   words{[]uint32{1, big[3], big[4], 2}},
		"64-bit words":                              longs{quads},
		"an AEAD in a field":                        aead{gcm},
		"a block cipher in a field":                 block{blockCipher},
		"a bare AEAD":                               gcm,
		"bytes with every redacting method":         redacting{secret},
		"the same behind a pointer":                 &redacting{secret},
		"the same in a field":                       struct{ r redacting }{redacting{secret}},
		"a pointer in a value with methods":         reference{&redacting{secret}},
		"a String method that tells":                stringer{hex.EncodeToString(secret)},
		"a MarshalJSON method that tells":           jsonOnly{get},
		"a LogValue method that tells":              logOnly{get},
		"a String method that tells in octal":       octal{get},
		"nine bytes of it":                          half{get},
		"an error":                                  errors.New("bad key " + hex.EncodeToString(secret)),
		"an error inside of an error":               late{fmt.Errorf("parsing %q: %w", secret, io.EOF)},
		"a pointer to bytes in an unexported field": pointer{&secret},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{TB: t}
			leaktest.Check(r, secret, v)
			if len(r.errors) == 0 {
				t.Errorf("Check(%T) found no leak", v)
			}
			for _, text := range r.errors {
				if strings.Contains(text, string(secret)) || strings.Contains(text, hex.EncodeToString(secret)) {
					t.Errorf("Check(%T) reports the secret itself", v)
				}
			}
		})
	}
}

func TestCheckPassesWhatIsContained(t *testing.T) {
	// Not random: a byte beside the seven that are printed could be the brace that the printer puts there.
	sum, otherSum := sha256.Sum256([]byte("a secret")), sha256.Sum256([]byte("other bytes"))
	secret, other := sum[:], otherSum[:]
	bytes := &secret
	for name, v := range map[string]any{
		"a closure":                  closure{func() []byte { return secret }},
		"a pointer to a closure":     &closure{func() []byte { return secret }},
		"a pointer to a pointer":     struct{ p **[]byte }{&bytes},
		"a function":                 func() []byte { return secret },
		"other bytes":                field{other},
		"seven bytes of it":          field{append(append([]byte{1}, secret[5:12]...), 1)},
		"the bytes in another order": field{append(append([]byte(nil), secret[25:]...), secret[:7]...)},
		"nil":                        nil,
		"a value that panics":        panics{},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{TB: t}
			leaktest.Check(r, secret, v)
			if len(r.errors) != 0 || r.fatal != "" {
				t.Errorf("Check(%T) = %q %q, want nothing", v, r.errors, r.fatal)
			}
		})
	}
}

type panics struct{}

func (panics) String() string               { panic("no") }
func (panics) MarshalJSON() ([]byte, error) { panic("no") }

// Every length of secret that is accepted, with the bytes that printers escape, and none that would hide a miss.
func TestCheckFindsSecretsOfAllSizes(t *testing.T) {
	for _, n := range []int{8, 9, 10, 11, 12, 16, 31, 32, 33, 64} {
		secret := make([]byte, n)
		rand.Read(secret)
		copy(secret, " \"\\\n<\x00é")
		for _, v := range []any{field{secret}, public{secret}, text{string(secret)}, public{append([]byte("x"), secret...)}} {
			r := &recorder{TB: t}
			leaktest.Check(r, secret, v)
			if len(r.errors) == 0 {
				t.Errorf("Check(%T) with a secret of %d bytes found no leak", v, n)
			}
		}
	}
}

func TestCheckRefusesToCheckNothing(t *testing.T) {
	for name, check := range map[string]func(testing.TB){
		"no values":      func(r testing.TB) { leaktest.Check(r, make([]byte, 32)) },
		"no secret":      func(r testing.TB) { leaktest.Check(r, nil, 1) },
		"a short secret": func(r testing.TB) { leaktest.Check(r, make([]byte, 7), 1) },
	} {
		r := &recorder{TB: t}
		check(r)
		if r.fatal == "" {
			t.Errorf("Check with %s did not fail", name)
		}
	}
}
