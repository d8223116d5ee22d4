package keywrap_test

import (
	"testing"

	"github.com/kmsd/kmsd/crypto/keywrap"
)

func TestRoundTrip(t *testing.T) {
	for _, spec := range keywrap.KeySpecs() {
		private, public, err := keywrap.Generate(spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range spec.Algorithms() {
			w, err := keywrap.Wrap(a, public, []byte("i"), []byte("material"))
			if err != nil {
				t.Fatal(spec, a, err)
			}
			m, err := keywrap.Unwrap(a, private, []byte("i"), w)
			if err != nil || string(m.Expose()) != "material" {
				t.Fatal(spec, a, err)
			}
		}
	}
}
