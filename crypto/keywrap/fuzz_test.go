package keywrap_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keywrap"
)

// No bytes unwrap but those that were wrapped, and what does not is ErrUnwrap.
func FuzzUnwrap(f *testing.F) {
	material, keys := []byte("material"), wrappingKeys(f)
	good := map[keywrap.Algorithm][]byte{} // :: algorithm → wrapped material
	for spec, key := range keys {
		for _, a := range spec.Algorithms() {
			if !available(a) {
				continue
			}
			wrapped, err := keywrap.Wrap(a, key.public, nil, material)
			if err != nil {
				f.Fatal(err)
			}
			good[a] = wrapped
			for i, named := range algorithms {
				if named == a {
					f.Add(byte(i), wrapped)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, n byte, b []byte) {
		a := algorithms[int(n)%len(algorithms)]
		for spec, key := range keys {
			got, err := keywrap.Unwrap(a, key.private, nil, b)
			if err == nil && (!bytes.Equal(b, good[a]) || !bytes.Equal(got.Expose(), material)) {
				t.Errorf("%s with %s: Unwrap(%x) = %x", a, spec, b, got.Expose())
			}
			if err != nil && err != keywrap.ErrUnwrap && !errors.Is(err, keywrap.ErrAlgorithm) &&
				!errors.Is(err, keywrap.ErrPublicKey) && !errors.Is(err, crypto.ErrFIPS) {
				t.Errorf("%s with %s: Unwrap(%x) = %v", a, spec, b, err)
			}
		}
	})
}
