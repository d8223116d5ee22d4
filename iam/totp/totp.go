// Package totp makes and checks time-based one-time passwords: RFC 6238 with SHA-1, six digits and steps of 30 seconds,
// as AWS's virtual MFA devices and the authenticator apps have them.
//
// It keeps nothing: which steps were used, and how often a device guessed wrong, is for the caller to remember. It does
// no I/O and does not read the clock.
//
// Trust: codes are hostile; only six ASCII digits are looked at, all candidates are computed before any is compared, and
// comparing takes the same time whatever differs. Who holds a seed can make every code. A code is one of a million:
// whoever may try without bound will guess it, so the caller must count.
package totp

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"net/url"
	"time"

	"github.com/kmsd/kmsd/crypto"
)

const (
	// SeedSize is the size of the seeds that NewSeed makes, in bytes. AWS makes 64 base32 characters, which is 40 bytes.
	SeedSize = 40

	// Digits is the length of a code.
	Digits = 6

	// Period is how long a step lasts.
	Period = 30 * time.Second

	// window is by how many steps the device's clock may be off, to either side.
	window = 1

	minSeedSize = 16 // RFC 4226, section 4: at least 128 bits
	million     = 1_000_000
)

var (
	// ErrSeed says that a seed is too short to make codes of.
	ErrSeed = errors.New("the seed is too short")

	// ErrFIPS says that the process runs with GODEBUG=fips140=only, under which SHA-1 does not work.
	ErrFIPS = errors.New("one-time passwords need SHA-1, which GODEBUG=fips140=only forbids")
)

// encoding is the base32 of authenticator apps: RFC 4648 without padding.
var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewSeed returns a random seed of SeedSize bytes.
func NewSeed() crypto.Secret { return crypto.RandomSecret(SeedSize) }

// Step returns the number of the step that t lies in, counted from 1970 (RFC 6238: T). Times before 1970 lie in step 0.
func Step(t time.Time) uint64 {
	seconds := t.Unix()
	if seconds < 0 {
		return 0
	}
	return uint64(seconds) / uint64(Period/time.Second)
}

// Code returns the code of a step. The error is ErrSeed or ErrFIPS.
func Code(seed crypto.Secret, step uint64) (string, error) {
	if err := check(seed); err != nil {
		return "", err
	}
	c := code(seed, step)
	return string(c[:]), nil
}

// Match reports whether code is that of the step of now or of the one before or after, and of a step after the step last,
// and returns that step: the last for the next call. Code is exactly six ASCII digits; anything else matches nothing.
// The error is ErrSeed or ErrFIPS; a code that does not match is none.
func Match(seed crypto.Secret, given string, now time.Time, last uint64) (step uint64, ok bool, err error) {
	if err := check(seed); err != nil {
		return 0, false, err
	}
	if !WellFormed(given) {
		return 0, false, nil
	}
	step = newest(seed, given, Step(now), last)
	return step, step > last, nil
}

// MatchPair reports whether two codes are those of consecutive steps, the second one as of Match, and both after the step
// last. It returns the second step. The error is that of Match.
func MatchPair(seed crypto.Secret, first, second string, now time.Time, last uint64) (step uint64, ok bool, err error) {
	if err := check(seed); err != nil {
		return 0, false, err
	}
	if !WellFormed(first) || !WellFormed(second) {
		return 0, false, nil
	}
	at := Step(now)
	for s := lowest(at); s <= at+window; s++ {
		if s == 0 || s-1 <= last && last != 0 {
			continue
		}
		one, two := code(seed, s-1), code(seed, s)
		if subtle.ConstantTimeCompare(one[:], []byte(first))&subtle.ConstantTimeCompare(two[:], []byte(second)) == 1 {
			step, ok = s, true
		}
	}
	return step, ok, nil
}

// newest returns the newest step after last, in the window around at, whose code is given; 0 if there is none.
func newest(seed crypto.Secret, given string, at, last uint64) uint64 {
	var found uint64
	for s := lowest(at); s <= at+window; s++ {
		c := code(seed, s)
		if subtle.ConstantTimeCompare(c[:], []byte(given)) == 1 && s > last {
			found = s
		}
	}
	return found
}

func lowest(at uint64) uint64 { return at - min(at, window) }

// WellFormed reports whether s is six ASCII digits. Spaces are not taken away: what is written in two ways is used twice
// (CVE-2025-6014).
func WellFormed(s string) bool {
	if len(s) != Digits {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func check(seed crypto.Secret) error {
	if fips140.Enforced() {
		return ErrFIPS
	}
	if seed.Len() < minSeedSize {
		return ErrSeed
	}
	return nil
}

// code computes HOTP (RFC 4226, section 5.3) of a step.
func code(seed crypto.Secret, step uint64) [Digits]byte {
	mac := hmac.New(sha1.New, seed.Expose())
	mac.Write(binary.BigEndian.AppendUint64(nil, step))
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	n := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff % million
	var text [Digits]byte
	for i := Digits - 1; i >= 0; i-- {
		text[i] = '0' + byte(n%10)
		n /= 10
	}
	return text
}

// Base32 returns the seed as people type it into an app: base32 of RFC 4648 without padding. The caller owns it.
func Base32(seed crypto.Secret) crypto.Secret {
	raw := seed.Expose()
	text := make([]byte, encoding.EncodedLen(len(raw)))
	encoding.Encode(text, raw)
	return crypto.NewSecret(text)
}

// URI returns the "otpauth://totp/ISSUER:ACCOUNT?secret=…" that authenticator apps read from a picture. It holds the seed. The
// caller owns it.
func URI(seed crypto.Secret, issuer, account string) crypto.Secret {
	head := "otpauth://totp/" + url.PathEscape(issuer) + ":" + url.PathEscape(account) + "?secret="
	tail := "&issuer=" + url.QueryEscape(issuer) + "&algorithm=SHA1&digits=6&period=30"
	text := Base32(seed)
	defer text.Wipe()
	return crypto.NewSecret(append(append([]byte(head), text.Expose()...), tail...))
}
