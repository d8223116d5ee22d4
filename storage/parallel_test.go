package storage

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// numbered puts n records of kind "key", whose paths are numbers of 5 digits and their values.
func numbered(t *testing.T, s *Store, n int) {
	t.Helper()
	if err := s.Update(func(tx *Tx) error {
		for i := range n {
			if err := tx.Put("key", fmt.Sprintf("%05d", i), fmt.Appendf(nil, "%05d", i)); err != nil {
				return err
			}
		}
		return errors.Join(tx.Put("kez", "00001", nil), tx.Put("kex", "00001", nil))
	}); err != nil {
		t.Fatal(err)
	}
}

func asString(_ string, value []byte) (string, error) { return string(value), nil }

func TestWalkParallelIsInOrder(t *testing.T) {
	s, _ := create(t)
	numbered(t, s, 10_000)
	for _, tc := range []struct {
		name, prefix string
		first, n     int
	}{
		{"all", "", 0, 10_000},
		{"below a prefix", "07", 7000, 1000},
		{"one", "00003", 3, 1},
		{"none", "x", 0, 0},
		{"a chunk and no more", "000", 0, 100},
	} {
		n := 0
		err := s.View(func(tx *Tx) error {
			return WalkParallel(tx, "key", tc.prefix, asString, func(path, v string) error {
				if want := fmt.Sprintf("%05d", tc.first+n); path != want || v != want {
					t.Fatalf("%s: record %d is %q = %q, want %q", tc.name, n, path, v, want)
				}
				n++
				return nil
			})
		})
		if err != nil || n != tc.n {
			t.Errorf("%s: %d records, %v, want %d", tc.name, n, err, tc.n)
		}
	}
}

// Everything before an error was added, nothing after it, and nothing goes on when WalkParallel has returned.
func TestWalkParallelEndsAtAnError(t *testing.T) {
	s, _ := create(t)
	numbered(t, s, 10_000)
	boom := errors.New("boom")
	for _, at := range []int{0, 1, chunkLen - 1, chunkLen, 5000, 9999} {
		for _, inAdd := range []bool{false, true} {
			bad, slow, n := fmt.Sprintf("%05d", at), fmt.Sprintf("%05d", at+chunkLen), 0
			var parsing atomic.Int64
			err := s.View(func(tx *Tx) error {
				err := WalkParallel(tx, "key", "", func(path string, _ []byte) (string, error) {
					parsing.Add(1)
					defer parsing.Add(-1)
					if path == slow {
						time.Sleep(10 * time.Millisecond)
					}
					if path >= bad && !inAdd {
						return "", fmt.Errorf("%s: %w", path, boom)
					}
					return path, nil
				}, func(path, _ string) error {
					if path == bad {
						return fmt.Errorf("%s: %w", path, boom)
					}
					n++
					return nil
				})
				if left := parsing.Load(); left != 0 {
					t.Errorf("%d calls of parse are under way when WalkParallel has returned", left)
				}
				return err
			})
			if !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), bad) || n != at {
				t.Errorf("an error at %d: %d added, %v, want %d and that of %s", at, n, err, at, bad)
			}
		}
	}
}

// add may change the transaction: the walk goes on with what there was.
func TestWalkParallelInAnUpdate(t *testing.T) {
	s, _ := create(t)
	numbered(t, s, 3000)
	n := 0
	err := s.Update(func(tx *Tx) error {
		for i := 1; i < 3000; i += 3 {
			if err := tx.Put("key", fmt.Sprintf("%05d", i), []byte("put")); err != nil {
				return err
			}
		}
		return WalkParallel(tx, "key", "", asString, func(path, v string) error {
			want := path
			if n%3 == 1 {
				want = "put"
			}
			if v != want {
				return fmt.Errorf("%s = %q, want %q", path, v, want)
			}
			n++
			if n%3 == 0 {
				return tx.Delete("key", path)
			}
			return errors.Join(tx.Put("key", path, []byte("again")), tx.Put("key", path+"x", nil))
		})
	})
	if err != nil || n != 3000 {
		t.Fatalf("%d records, %v, want 3000", n, err)
	}
	all, err := records(s, "key")
	if err != nil || len(all) != 4000 || all["key/00001"] != "again" {
		t.Errorf("%d records afterwards, %v, want 4000", len(all), err)
	}
}

func TestWalkParallelOfADamagedFile(t *testing.T) {
	v := newVictim(t, 1000)
	keys := slices.Sorted(maps.Keys(v.want))
	found := 0
	for round := range 60 {
		v.restore()
		s, err := Open(v.c)
		if err != nil {
			t.Fatal(err)
		}
		what := v.damageOpenFile(round)
		n := 0
		err = s.View(func(tx *Tx) error {
			for _, kind := range victimKinds {
				err := WalkParallel(tx, kind, "", asString, func(path, value string) error {
					k := string(kind) + "/" + path
					if k != keys[n] || value != v.want[k] {
						t.Errorf("%s: record %d is %s = %q", what, n, k, value)
					}
					n++
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		switch {
		case err == nil && n != len(keys):
			t.Errorf("%s: %d records and no error, want %d", what, n, len(keys))
		case err != nil && !errors.Is(err, ErrCorrupt):
			t.Errorf("%s: %v, want ErrCorrupt", what, err)
		case err != nil:
			found++
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if found == 0 {
		t.Error("no damage was found")
	}
}
