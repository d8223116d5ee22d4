package vectors

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Verdict is what became of one vector. Gives, Passes, Skip and Failed make it.
type Verdict struct {
	outcome outcome
	why     string
	err     error
}

type outcome int

const (
	accepted outcome = iota + 1
	refused
	skipped
)

// Gives is the verdict on a function that gave got and err: it refused the vector if err is not nil. A vector that is
// not invalid must give want.
func Gives(v *Test, got []byte, err error, want []byte) Verdict {
	if err == nil && v.Result != Invalid && !bytes.Equal(got, want) {
		return Verdict{err: fmt.Errorf("gives %x, want %x", got, want)}
	}
	return Passes(err)
}

// Passes is the verdict on a check: the vector is accepted if err is nil.
func Passes(err error) Verdict {
	if err != nil {
		return Verdict{outcome: refused}
	}
	return Verdict{outcome: accepted}
}

// Unoffered turns the verdict on a vector whose parameters are not offered, which must be refused whatever its
// result, into one that says why. An empty why returns v as it is.
func (v Verdict) Unoffered(why string) Verdict {
	v.why = why
	return v
}

// Skip is the verdict on a vector that is not run, because nothing offers what it tests.
func Skip(why string) Verdict { return Verdict{outcome: skipped, why: why} }

// Failed is the verdict on a vector that could not be judged; err is reported.
func Failed(err error) Verdict { return Verdict{err: err} }

// Run judges every vector of the file in a subtest named after it, compares each verdict with the vector's result or
// the table of what is acceptable, and the tally of all with want, a sentence such as "174 valid accepted, 310 invalid
// refused", the largest count first.
func Run(t *testing.T, name, want string, judge func(*Group, *Test) Verdict) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Helper()
		pins := pinsOf(name)
		tally := map[string]int{}
		for _, g := range Read(t, name) {
			for _, v := range g.Tests {
				line, err := settle(pins, &v, judge(&g, &v))
				if err != nil {
					t.Errorf("%s %d (%s %s, %q): %v", name, v.ID, v.Result, v.Flags, v.Comment, err)
					continue
				}
				tally[line]++
			}
		}
		for _, p := range pins {
			if p.used == 0 {
				t.Errorf("no vector of %s needed the entry %q in the table of what is acceptable", name, p.which)
			}
		}
		if got := sentence(tally); got != want && !t.Failed() {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
	})
}

// settle returns the line of the tally that the verdict belongs to, or an error if it is not what it must be.
func settle(pins []*pinned, v *Test, d Verdict) (string, error) {
	switch {
	case d.err != nil:
		return "", d.err
	case d.outcome == skipped && d.why != "":
		return fmt.Sprintf("%s skipped (%s)", v.Result, d.why), nil
	case d.outcome != accepted && d.outcome != refused:
		return "", fmt.Errorf("there is no verdict")
	case d.why != "" && d.outcome == accepted:
		return "", fmt.Errorf("is accepted, want it refused: %s", d.why)
	case d.why != "" && v.Result != Invalid:
		return fmt.Sprintf("%s refused (%s)", v.Result, d.why), nil
	}
	want, why := refused, ""
	switch v.Result {
	case Valid:
		want = accepted
	case Acceptable:
		p := match(pins, v)
		if p == nil {
			return "", fmt.Errorf("the table of what is acceptable has no entry for it; it is %s", d.outcome)
		}
		p.used++
		want, why = p.want, " ("+p.why+")"
	}
	if d.outcome != want {
		return "", fmt.Errorf("is %s, want %s", d.outcome, want)
	}
	return fmt.Sprintf("%s %s%s", v.Result, want, why), nil
}

func (o outcome) String() string { return [...]string{"nothing", "accepted", "refused", "skipped"}[o] }

// sentence says a tally, the largest count first.
func sentence(tally map[string]int) string {
	lines := slices.SortedFunc(maps.Keys(tally), func(a, b string) int {
		return cmp.Or(cmp.Compare(tally[b], tally[a]), strings.Compare(a, b))
	})
	for i, l := range lines {
		lines[i] = fmt.Sprintf("%d %s", tally[l], l)
	}
	return strings.Join(lines, ", ")
}
