// Package difftest holds tests that compare kmsd's cryptography with other implementations, on random cases: OpenSSL 4
// (through Python), the standard library of Java, and Tink. Each case is computed by both; what one makes the other
// must take, and what has been altered both must treat alike. It is a module of its own so that what only these tests
// need is no dependency of kmsd. `make differential` runs it.
//
// KMSD_DIFFERENTIAL_CASES is the number of cases per algorithm and implementation, 200 if it is not set;
// KMSD_DIFFERENTIAL_SEED is the seed of a run to repeat, which is logged. Keys and signatures are random besides.
package difftest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/crypto"
)

func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 {
		t.Fatalf("%s is %q, want a positive number", name, s)
	}
	return n
}

// call is one operation of the other implementation.
type call struct {
	op, algorithm string
	key           *key
	in            [][]byte
}

// answer is what it gave, unless it refused.
type answer struct {
	out     [][]byte
	refused bool
}

// peer is another implementation. A call that fails otherwise than by refusing what it was given is an error.
type peer interface {
	do([]call) ([]answer, error)
}

// step makes case i: the call of the other implementation, and the judge of its answer.
type step func(r *rand.Rand, i int) (call, func(answer) error)

const batch = 250

// compare runs n cases.
func compare(t *testing.T, p peer, s step, n int) {
	t.Helper()
	seed := number(t, "KMSD_DIFFERENTIAL_SEED", uint64(time.Now().UnixNano()))
	r := rand.New(rand.NewPCG(seed, 0))
	start := time.Now()
	for done := 0; done < n; done += batch {
		var calls []call
		var judges []func(answer) error
		for i := done; i < min(done+batch, n); i++ {
			c, judge := s(r, i)
			calls, judges = append(calls, c), append(judges, judge)
		}
		answers, err := p.do(calls)
		if err != nil || len(answers) != len(calls) {
			t.Fatalf("seed %d, from case %d: %d answers to %d calls, %v", seed, done, len(answers), len(calls), err)
		}
		for i, a := range answers {
			if err := judges[i](a); err != nil {
				t.Fatalf("seed %d, case %d: %v\n%s", seed, done+i, err, describe(calls[i], a))
			}
		}
	}
	t.Logf("%s: %d cases, 0 differences, %.1f s (seed %d)", t.Name(), n, time.Since(start).Seconds(), seed)
}

func describe(c call, a answer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s with %s\npublic key %x\n", c.op, c.algorithm, c.key.spec, c.key.spki)
	for _, in := range c.in {
		fmt.Fprintf(&b, "in  %x\n", in)
	}
	for _, out := range a.out {
		fmt.Fprintf(&b, "out %x\n", out)
	}
	return b.String()
}

var errDifference = errors.New("the two differ")

// wantAccepted is an error if the other implementation refused what we made.
func wantAccepted(a answer) error {
	if a.refused {
		return fmt.Errorf("%w: refused by the other", errDifference)
	}
	return nil
}

// wantOutput is an error if the other implementation did not give want.
func wantOutput(a answer, want []byte) error {
	if a.refused || len(a.out) != 1 || !bytes.Equal(a.out[0], want) {
		return fmt.Errorf("%w: want %x", errDifference, want)
	}
	return nil
}

// wantSame is an error if one gave something else than the other, or refused what the other did not. err is our
// refusal.
func wantSame(a answer, got []byte, err error) error {
	if a.refused != (err != nil) {
		return fmt.Errorf("%w: refused by the other %t, by us %w", errDifference, a.refused, err)
	}
	if err == nil && len(a.out) == 1 && !bytes.Equal(a.out[0], got) {
		return fmt.Errorf("%w: we give %x", errDifference, got)
	}
	return nil
}

// message returns a random message: often short, at times as long as they may be, or around a block of a hash.
func message(r *rand.Rand) []byte {
	n := r.IntN(80)
	switch r.IntN(8) {
	case 0:
		n = 55 + r.IntN(80)
	case 1:
		n = r.IntN(crypto.MaxMessage + 1)
	case 2:
		n = []int{0, 1, 63, 64, 65, 127, 128, 129, crypto.MaxMessage}[r.IntN(9)]
	}
	return random(r, n)
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// altered returns b with something changed.
func altered(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	switch n := len(b); {
	case n == 0:
		return []byte{byte(r.Uint32())}
	case r.IntN(8) == 0:
		return b[:r.IntN(n)]
	case r.IntN(8) == 0:
		return append(b, random(r, 1+r.IntN(3))...)
	case r.IntN(8) == 0: // in the first bytes, where a header is
		b[r.IntN(min(n, 6))] ^= byte(1 + r.IntN(255))
	case r.IntN(16) == 0:
		clear(b)
		b[n-1] = 1
	case r.IntN(16) == 0:
		return append([]byte{0}, b...)
	default:
		b[r.IntN(n)] ^= 1 << r.IntN(8)
	}
	return b
}

func hexOf(b []byte) string {
	if len(b) == 0 {
		return "-"
	}
	return hex.EncodeToString(b)
}

func parseHex(s string) ([]byte, error) {
	if s == "-" {
		return []byte{}, nil
	}
	return hex.DecodeString(s)
}
