package authz_test

import (
	"testing"

	"github.com/kmsd/kmsd/authz/ref"
)

// TestPlantedDefectsAreFound sees that the comparison notices mistakes that implementations of policies are known to make: each is planted in the
// reference, which must then differ from authz.
func TestPlantedDefectsAreFound(t *testing.T) {
	const cases = 400_000
	seed := seedOf(t)
	defects := ref.Defects()
	if len(defects) < 10 {
		t.Fatalf("%d defects, want at least 10", len(defects))
	}
	for _, defect := range defects {
		t.Run(defect.String(), func(t *testing.T) {
			total, d := compare(seed, cases, defect)
			if d == nil {
				t.Fatalf("not found in %d cases", total.cases)
			}
			t.Logf("found within %d cases", total.cases)
		})
	}
}
