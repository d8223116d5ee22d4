package storage

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// served checks that every record that is asked for is right, or refused with ErrCorrupt.
func (v *victim) served(s *Store, what string, keys []string) {
	v.t.Helper()
	for _, k := range keys {
		kind, path, _ := strings.Cut(k, "/")
		got, err := get(s, Kind(kind), path)
		switch {
		case err == nil && got == v.want[k]:
			v.counts["right"]++
		case errors.Is(err, ErrCorrupt):
			v.counts["refused"]++
		case errors.Is(err, ErrBroken):
			v.counts["broken"]++
		default:
			v.t.Errorf("%s: Get(%s) = %q, %v, want the value or ErrCorrupt", what, k, got, err)
		}
	}
}

// The file changes while the store is open: whatever is asked, the answer is right or an error.
func TestDamageWhileOpen(t *testing.T) {
	v := newVictim(t, 1000)
	keys := slices.Sorted(maps.Keys(v.want))
	rounds := 3 * v.end
	if testing.Short() {
		rounds = v.end
	}
	for round := range rounds {
		v.restore()
		s, err := Open(v.c)
		if err != nil {
			t.Fatal(err)
		}
		what := v.damageOpenFile(round)
		sample := make([]string, 20)
		for i := range sample {
			sample[i] = keys[v.rnd.IntN(len(keys))]
		}
		v.served(s, what, sample)
		if err := s.Verify(); err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: Verify = %v, want nil or ErrCorrupt", what, err)
		}
		v.served(s, what, v.updateDamaged(s, what, sample))
		if err := s.Close(); err != nil {
			t.Errorf("%s: Close = %v", what, err)
		}
	}
	v.report()
	if v.counts["refused"] == 0 || v.counts["right"] == 0 || v.counts["update refused"] == 0 || v.counts["update done"] == 0 {
		t.Error("an outcome that must occur did not")
	}
	if v.counts["update broke the store"]+v.counts["broken"] > 0 {
		t.Error("bbolt got to see damage: it panicked")
	}
}

// A record whose key changes under the open store is missing, which is not the same as not being there. The other key is not
// served, and Verify says so.
func TestARecordThatGoesMissingWhileOpenIsNotNotFound(t *testing.T) {
	v := newVictim(t, 300)
	s, err := Open(v.c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := bytes.Clone(v.whole)
	renamed := bytes.ReplaceAll(b, []byte("record-0009"), []byte("record-000:"))
	v.write(renamed)
	if got, err := get(s, victimKinds[0], "record-0009"); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("Get of a record that went missing = %q, %v, want ErrCorrupt", got, err)
	}
	if _, err := get(s, victimKinds[0], "record-000:"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get of a record that somebody else wrote = %v, want ErrNotFound", err)
	}
	if _, err := records(s, victimKinds[0]); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Walk over a record that went missing = %v, want ErrCorrupt", err)
	}
	if err := s.Verify(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Verify = %v, want ErrCorrupt", err)
	}
}

// damageOpenFile flips a bit, overwrites a page by another, or cuts the file.
func (v *victim) damageOpenFile(round int) (what string) {
	v.t.Helper()
	b := bytes.Clone(v.whole)
	i, j := round%v.end, v.rnd.IntN(v.end)
	switch round % 10 {
	case 0:
		copy(b[i*pageSize:(i+1)*pageSize], b[j*pageSize:])
		what = fmt.Sprintf("page %d over page %d", j, i)
	case 1:
		if round%4 == 1 {
			b = b[:i*pageSize]
		}
		what = fmt.Sprintf("cut at page %d", i)
	default:
		bit := v.rnd.IntN(8 * pageSize)
		b[i*pageSize+bit/8] ^= 1 << (bit % 8)
		what = fmt.Sprintf("bit %d of page %d", bit, i)
	}
	v.write(b)
	return what
}

// updateDamaged writes the first of keys and removes the next three, and returns those that must be there afterwards.
func (v *victim) updateDamaged(s *Store, what string, keys []string) (rest []string) {
	v.t.Helper()
	gone := keys[1:4]
	rest = slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return slices.Contains(gone, k) })
	err := s.Update(func(tx *Tx) error {
		for _, k := range gone {
			kind, path, _ := strings.Cut(k, "/")
			if err := tx.Delete(Kind(kind), path); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
		kind, path, _ := strings.Cut(rest[0], "/")
		return tx.Put(Kind(kind), path, []byte(v.want[rest[0]]))
	})
	switch {
	case err == nil:
		v.counts["update done"]++
		for _, k := range gone {
			kind, path, _ := strings.Cut(k, "/")
			if _, err := get(s, Kind(kind), path); !errors.Is(err, ErrNotFound) {
				v.t.Errorf("%s: Get of the deleted %s = %v, want ErrNotFound", what, k, err)
			}
		}
		return rest
	case errors.Is(err, ErrBroken):
		v.counts["update broke the store"]++
	case errors.Is(err, ErrCorrupt):
		v.counts["update refused"]++
	default:
		v.t.Errorf("%s: Update = %v, want nil, ErrCorrupt or ErrBroken", what, err)
	}
	return keys
}
