package storage

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// walkedInParts returns the keys that so many walkers visit, the parts one after the other.
func walkedInParts(im image, m meta, walkers int) (keys []string, err error) {
	var parts []*[]string
	err = im.walkParts(m, walkers, func() visitor {
		part := new([]string)
		parts = append(parts, part)
		return func(key, _ []byte) error {
			*part = append(*part, string(key))
			return nil
		}
	})
	for _, part := range parts {
		keys = append(keys, *part...)
	}
	return keys, err
}

func TestManyWalkersSeeWhatOneSees(t *testing.T) {
	v := newVictim(t, 1000)
	im := memoryImage(v.whole)
	m, err := im.meta()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	if err := im.walk(m, func(key, _ []byte) error {
		want = append(want, string(key))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, walkers := range []int{1, 2, 3, 64} {
		if got, err := walkedInParts(im, m, walkers); err != nil || !slices.Equal(got, want) {
			t.Errorf("%d walkers visit %d records, %v, want the %d that one visits, in order", walkers, len(got), err, len(want))
		}
	}
	// The first error in order of key counts, whichever walker is quicker.
	for _, first := range []int{0, 1, len(want) / 3, len(want) - 2} {
		var parts [][]string
		err := im.walkParts(m, 3, func() visitor {
			parts = append(parts, nil)
			return func(key, _ []byte) error {
				at, _ := slices.BinarySearch(want, string(key))
				if at == first {
					time.Sleep(20 * time.Millisecond) // so that another one is there before it
				}
				if at >= first {
					return &CorruptError{Page: int64(at)}
				}
				return nil
			}
		})
		var c *CorruptError
		if !errors.As(err, &c) || c.Page != int64(first) {
			t.Errorf("the error of a walk is %v, want that of record %d", err, first)
		}
		if len(parts) < 3 {
			t.Errorf("%d parts, too few to mean anything", len(parts))
		}
	}
}

func TestAHeaderThatChangesDuringTheLoadIsRefused(t *testing.T) {
	p := (&loader{header: []byte("header"), manifest: []byte("manifest")})
	visit := p.next()
	for _, tc := range []struct {
		name, key, value string
		ok               bool
	}{
		{"the header", headerKey, "header", true},
		{"another header", headerKey, "other", false},
		{"the manifest", manifestKey, "manifest", true},
		{"another manifest", manifestKey, "header", false},
		{"a third record before the others", "\x00other", "header", false},
	} {
		if err := visit([]byte(tc.key), []byte(tc.value)); (err == nil) != tc.ok {
			t.Errorf("%s = %v, want it taken: %v", tc.name, err, tc.ok)
		}
	}
}
