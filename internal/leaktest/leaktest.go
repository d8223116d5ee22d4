// Package leaktest fails a test when a value prints its secret.
//
// Check prints values in every way that Go code prints values (formatting verbs, loggers, encoders, error texts,
// panics), bare and inside of other values, and looks for the secret in what comes out, in the encodings in which
// such prints show bytes. It does not look into memory, and not at what package reflect or unsafe could reach.
//
// Trust: it runs in tests only, over values that the test made. It proves the presence of a leak, never the absence.
package leaktest

import (
	"fmt"
	"testing"
)

// minSecret is the shortest secret, in bytes, that is told apart from what is printed by chance.
const minSecret = 8

// Check reports an error to t for every value that prints secret, or 8 consecutive bytes of it, and says how it was
// printed. secret is the bytes that the values hold: at least 8 of them, best random. A check of no value fails.
// Values may be used while they are printed, so they must be safe for that; they are not modified.
func Check(t testing.TB, secret []byte, values ...any) {
	t.Helper()
	if len(secret) < minSecret {
		t.Fatalf("leaktest: secret has %d bytes, want at least %d", len(secret), minSecret)
		return
	}
	if len(values) == 0 {
		t.Fatalf("leaktest: no values to check")
		return
	}
	f := newFinder(secret)
	for _, v := range values {
		checkValue(t, f, v)
	}
}

// maxReports is how many leaks of one value are told; a leaking type leaks in dozens of ways.
const maxReports = 5

func checkValue(t testing.TB, f *finder, v any) {
	t.Helper()
	leaks, seen := 0, map[string]bool{}
	for _, w := range wrappings(v) {
		for way, text := range prints(w.value) {
			if seen[text] {
				continue
			}
			seen[text] = true
			if as := f.find(text); as != "" {
				if leaks++; leaks <= maxReports {
					t.Errorf("%T prints its secret as %s: %s by %s", v, as, w.name, way)
				}
			}
		}
	}
	if leaks > maxReports {
		t.Errorf("%T prints its secret in %d ways more", v, leaks-maxReports)
	}
	if len(seen) == 0 {
		t.Errorf("%s was not printed at all", fmt.Sprintf("%T", v))
	}
}
