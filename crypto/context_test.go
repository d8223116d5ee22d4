package crypto_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/crypto"
)

func TestContextLimits(t *testing.T) {
	pairs := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprint(i)] = ""
		}
		return m
	}
	rest := crypto.MaxContextSize - 4 - 4 - 1 - 4 // of the value, beside a key of one byte
	for _, c := range []struct {
		name    string
		pairs   map[string]string
		problem string // part of the error, empty if there must be none
	}{
		{"nil", nil, ""},
		{"64 pairs", pairs(64), ""},
		{"65 pairs", pairs(65), "65 pairs"},
		{"an empty key", map[string]string{"": "topsecret"}, "a key is empty"},
		{"an empty value", map[string]string{"a": ""}, ""},
		{"a key of 256 bytes", map[string]string{strings.Repeat("k", 256): "v"}, ""},
		{"a key of 257 bytes", map[string]string{strings.Repeat("k", 257): "v"}, "a key has 257 bytes"},
		{"8192 bytes in all", map[string]string{"a": strings.Repeat("v", rest)}, ""},
		{"8193 bytes in all", map[string]string{"a": strings.Repeat("v", rest+1)}, "8193 bytes"},
		{"8193 bytes in two values", map[string]string{"a": strings.Repeat("v", rest-9), "b": "x"}, "8193 bytes"},
		{"a huge value", map[string]string{"a": strings.Repeat("v", 1<<20)}, "a value has 1048576 bytes"},
		{"a key that is not UTF-8", map[string]string{"topsecret\xff": "v"}, "a key is not valid UTF-8"},
		{"a value that is not UTF-8", map[string]string{"a": "topsecret\xc0\x80"}, "a value is not valid UTF-8"},
		{"a surrogate in a value", map[string]string{"a": "topsecret\xed\xa0\x80"}, "a value is not valid UTF-8"},
		{"a zero byte", map[string]string{"a\x00": "\x00"}, ""},
	} {
		got, err := crypto.NewContext(c.pairs)
		switch {
		case c.problem == "" && err != nil:
			t.Errorf("%s: NewContext() = %v, want no error", c.name, err)
		case c.problem != "" && (!errors.Is(err, crypto.ErrContext) || !strings.Contains(err.Error(), c.problem) || got != crypto.Context{}):
			t.Errorf("%s: NewContext() = %v, want ErrContext that says %q", c.name, err, c.problem)
		case err != nil && strings.Contains(err.Error(), "topsecret"):
			t.Errorf("%s: NewContext() = %v, which quotes the context", c.name, err)
		}
		if n := len(got.Bytes()); n > crypto.MaxContextSize {
			t.Errorf("%s: canonical form has %d bytes, want at most %d", c.name, n, crypto.MaxContextSize)
		}
	}
	if got := string(crypto.Context{}.Bytes()); got != "\x00\x00\x00\x00" {
		t.Errorf("canonical form of no context is %q, want four zero bytes", got)
	}
	if newContext(t, map[string]string{}) != (crypto.Context{}) {
		t.Error("an empty context is not the zero value")
	}
}

// Contexts that mean different things never open each other's blobs.
func TestContextsThatLookAlikeAreRefused(t *testing.T) {
	k := newKey(t)
	groups := [][]map[string]string{
		{{"a": "bc"}, {"ab": "c"}, {"abc": ""}, {"a": "b", "c": ""}, nil},
		{{"a": "b", "c": "d"}, {"a": "bcd"}, {"a": "d", "c": "b"}, {"ab": "cd"}},
		{{"key": "v"}, {"Key": "v"}, {"key ": "v"}, {"key": "V"}, {"key": "v\x00"}},
		{{"é": "1"}, {"e\u0301": "1"}},
		{{"a": ""}, {"a": "\x00"}, {"a\x00": ""}, nil},
		{{"a": "\x00\x00\x00\x01b\x00\x00\x00\x01c"}, {"a": "", "b": "c"}},
	}
	for _, group := range groups {
		for i, made := range group {
			blob := encrypt(t, k, ramp(16), newContext(t, made))
			for j, given := range group {
				_, err := k.Decrypt(nil, blob, newContext(t, given))
				if i == j && err != nil {
					t.Errorf("made with %q: Decrypt with the same = %v", made, err)
				}
				if i != j && !errors.Is(err, crypto.ErrWrongContext) {
					t.Errorf("made with %q: Decrypt with %q = %v (%s), want wrong_context", made, given, err, crypto.DecryptFailure(err))
				}
			}
		}
	}
}

// The canonical form is injective, over random contexts from an alphabet so small that their concatenations collide
// all the time.
func TestCanonicalContextIsInjective(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	word := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "ab\x00\x01"[random.IntN(4)]
		}
		return string(b)
	}
	seen := map[string]map[string]string{} // :: canonical form → the pairs
	naive := map[string]bool{}
	repeated := 0
	for range 100_000 {
		pairs := map[string]string{}
		for range random.IntN(5) {
			pairs[word(1+random.IntN(5))] = word(random.IntN(6))
		}
		c := newContext(t, pairs)
		form := string(c.Bytes())
		if other, ok := seen[form]; ok {
			repeated++
			if !maps.Equal(other, pairs) {
				t.Fatalf("NewContext(%q) and NewContext(%q) have one canonical form %x", pairs, other, form)
			}
		}
		seen[form] = pairs
		naive[strings.ReplaceAll(form, "\x00", "")] = true
	}
	if repeated == 0 || len(naive) == len(seen) {
		t.Errorf("%d contexts repeat and %d of %d collide: the alphabet is too large to test anything",
			repeated, len(seen)-len(naive), len(seen))
	}
}
