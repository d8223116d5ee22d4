package authz_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/kmsd/kmsd/authz"
)

// notGenerated are the reasons that requests cannot have here: the zero Decision has none, and the policies are too small to be too complex.
var notGenerated = []authz.Reason{authz.NoReason, authz.TooComplex}

// checkCoverage fails if a reason, a layer, a level or an operator, by itself, with IfExists or with a set operator, came up less than a hundred times in a
// million cases.
func checkCoverage(t *testing.T, total *tallies) {
	t.Helper()
	var want []string
	for r := authz.Reason(0); r.String() != "Unknown"; r++ {
		if !slices.Contains(notGenerated, r) {
			want = append(want, "reason "+r.String())
		}
	}
	for _, word := range layerWords {
		want = append(want, "layer "+word)
	}
	for l := authz.NoLevel; l <= authz.AccountLevel; l++ {
		want = append(want, "level "+l.String())
	}
	for _, operators := range genOperators {
		for _, operator := range operators {
			if total.cases < 200_000 {
				continue // the requests of a scene share the operators of a scene: these are too few
			}
			want = append(want, "operator "+operator)
			if total.cases >= 1_000_000 {
				want = append(want, "operator ForAllValues:"+operator, "operator ForAnyValue:"+operator, "operator "+operator+"IfExists")
			}
		}
	}
	want = append(want, "operator Null")
	slices.Sort(want)
	for _, what := range slices.Compact(want) {
		if total.by[what] < total.cases/10_000 || total.by[what] == 0 {
			t.Errorf("%s came up %d times in %d cases", what, total.by[what], total.cases)
		}
	}
	if t.Failed() || testing.Verbose() {
		for _, what := range slices.Sorted(maps.Keys(total.by)) {
			t.Logf("%9d %s", total.by[what], what)
		}
	}
}
