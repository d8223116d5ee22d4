package totp

import (
	"bytes"
	"encoding/base32"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/leaktest"
)

func rfcSeed() crypto.Secret { return crypto.NewSecret([]byte("12345678901234567890")) }

// The vectors of RFC 6238, appendix B, which have eight digits: the last six are those of six digits. And those of RFC 4226, appendix D.
func TestVectorsOfTheRFCs(t *testing.T) {
	for _, v := range []struct {
		seconds int64
		code    string
	}{
		{59, "94287082"},
		{1111111109, "07081804"},
		{1111111111, "14050471"},
		{1234567890, "89005924"},
		{2000000000, "69279037"},
		{20000000000, "65353130"},
	} {
		got, err := Code(rfcSeed(), Step(time.Unix(v.seconds, 0)))
		if err != nil || got != v.code[2:] {
			t.Errorf("Code at %d s = %q, %v, want %q", v.seconds, got, err, v.code[2:])
		}
	}
	for step, want := range []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"} {
		if got, err := Code(rfcSeed(), uint64(step)); err != nil || got != want {
			t.Errorf("Code of step %d = %q, %v, want %q", step, got, err, want)
		}
	}
}

func mustCode(t *testing.T, seed crypto.Secret, step uint64) string {
	t.Helper()
	c, err := Code(seed, step)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMatch(t *testing.T) {
	now := time.Unix(1_700_000_010, 0)
	at := Step(now)
	code := func(step uint64) string { return mustCode(t, rfcSeed(), step) }
	for _, v := range []struct {
		what string
		code string
		last uint64
		want uint64 // 0: refused
	}{
		{"the code of this step", code(at), 0, at},
		{"the code of the step before", code(at - 1), 0, at - 1},
		{"the code of the step after", code(at + 1), 0, at + 1},
		{"a code of two steps before", code(at - 2), 0, 0},
		{"a code of two steps after", code(at + 2), 0, 0},
		{"a code that was used", code(at), at, 0},
		{"a code before one that was used", code(at - 1), at, 0},
		{"a code after one that was used", code(at + 1), at, at + 1},
		{"no code", "", 0, 0},
		{"a space before", " " + code(at), 0, 0},
		{"a space after", code(at) + " ", 0, 0},
		{"a space in the place of a digit", " " + code(at)[1:], 0, 0},
		{"a line end after", code(at) + "\n", 0, 0},
		{"a zero byte after", code(at) + "\x00", 0, 0},
		{"a zero before", "0" + code(at), 0, 0},
		{"five digits", code(at)[:5], 0, 0},
		{"full-width digits", strings.Map(func(r rune) rune { return r - '0' + '０' }, code(at)), 0, 0},
		{"a sign", "+" + code(at)[1:], 0, 0},
	} {
		step, ok, err := Match(rfcSeed(), v.code, now, v.last)
		if err != nil || ok != (v.want != 0) || step != v.want {
			t.Errorf("%s: Match = %d, %v, %v, want %d", v.what, step, ok, err, v.want)
		}
	}
}

func TestMatchPair(t *testing.T) {
	now := time.Unix(1_700_000_010, 0)
	at := Step(now)
	code := func(step uint64) string { return mustCode(t, rfcSeed(), step) }
	for _, v := range []struct {
		what          string
		first, second string
		last          uint64
		want          uint64
	}{
		{"this step and the one before", code(at - 1), code(at), 0, at},
		{"this step and the one after", code(at), code(at + 1), 0, at + 1},
		{"the two before", code(at - 2), code(at - 1), 0, at - 1},
		{"the same code twice", code(at), code(at), 0, 0},
		{"the wrong order", code(at), code(at - 1), 0, 0},
		{"a step between", code(at - 1), code(at + 1), 0, 0},
		{"too old", code(at - 3), code(at - 2), 0, 0},
		{"the first one used", code(at - 1), code(at), at - 1, 0},
		{"malformed", code(at - 1), code(at) + " ", 0, 0},
	} {
		step, ok, err := MatchPair(rfcSeed(), v.first, v.second, now, v.last)
		if err != nil || ok != (v.want != 0) || step != v.want {
			t.Errorf("%s: MatchPair = %d, %v, %v, want %d", v.what, step, ok, err, v.want)
		}
	}
}

func TestTheBeginningOfTime(t *testing.T) {
	for _, at := range []int64{-1, 0, 29, 30} {
		if _, ok, err := Match(rfcSeed(), "000000", time.Unix(at, 0), 0); ok || err != nil {
			t.Errorf("Match at %d s = %v, %v, want false", at, ok, err)
		}
	}
}

func TestSeeds(t *testing.T) {
	if _, err := Code(crypto.NewSecret(make([]byte, minSeedSize-1)), 1); err != ErrSeed {
		t.Errorf("Code of a short seed = %v, want %v", err, ErrSeed)
	}
	if _, ok, err := Match(crypto.Secret{}, "755224", time.Unix(0, 0), 0); ok || err != ErrSeed {
		t.Errorf("Match of no seed = %v, %v, want %v", ok, err, ErrSeed)
	}
	seed := NewSeed()
	if seed.Len() != SeedSize {
		t.Errorf("NewSeed has %d bytes, want %d", seed.Len(), SeedSize)
	}
	text := Base32(seed)
	raw, err := base32.StdEncoding.DecodeString(string(text.Expose()))
	if err != nil || !bytes.Equal(raw, seed.Expose()) {
		t.Errorf("Base32 does not decode to the seed: %v", err)
	}
	uri, err := url.Parse(string(URI(seed, "kmsd 1", "a/b@c").Expose()))
	if err != nil {
		t.Fatal(err)
	}
	if uri.Scheme != "otpauth" || uri.Host != "totp" || uri.Path != "/kmsd 1:a/b@c" || uri.Query().Get("secret") != string(text.Expose()) || uri.Query().Get("issuer") != "kmsd 1" {
		t.Errorf("URI has other parts: %q %q", uri.Host, uri.Path)
	}
	leaktest.Check(t, seed.Expose(), seed, text, URI(seed, "kmsd", "x"))
}

func FuzzMatch(f *testing.F) {
	f.Add("755224", int64(15), uint64(0))
	f.Add(" 55224", int64(15), uint64(0))
	f.Add("７５５２２４", int64(15), uint64(9))
	f.Fuzz(func(t *testing.T, given string, seconds int64, last uint64) {
		step, ok, err := Match(rfcSeed(), given, time.Unix(seconds, 0), last)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return
		}
		if want := mustCode(t, rfcSeed(), step); given != want || step <= last {
			t.Errorf("Match(%q) took step %d after %d, whose code is %q", given, step, last, want)
		}
		if _, again, _ := Match(rfcSeed(), given, time.Unix(seconds, 0), step); again && mustCode(t, rfcSeed(), step+1) != given {
			t.Errorf("Match(%q) took step %d twice", given, step)
		}
	})
}

func ExampleCode() {
	code, err := Code(crypto.NewSecret([]byte("12345678901234567890")), Step(time.Unix(59, 0)))
	fmt.Println(code, err)
	// Output: 287082 <nil>
}
