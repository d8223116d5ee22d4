package storage

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A victim is a closed store to be damaged again and again.
type victim struct {
	t      *testing.T
	rnd    *rand.Rand
	c      Config
	want   map[string]string // :: kind/path → value
	older  []byte            // the file some commits before
	whole  []byte            // the file
	end    int               // pages in use
	counts map[string]int    // :: outcome → how often
	slow   time.Duration     // the longest Open
}

var victimKinds = []Kind{"alias", "key", "user"}

// newVictim makes a store of n records of 100 to 400 bytes which has been changed for a while.
func newVictim(t *testing.T, n int) *victim {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	v := &victim{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), want: make(map[string]string), counts: make(map[string]int)}
	v.c = createAt(t, filepath.Join(t.TempDir(), "store"))
	s, err := Open(v.c)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < n; i += 50 {
		v.change(s, i, min(i+50, n))
	}
	for range 5 {
		i := v.rnd.IntN(n)
		v.change(s, i, i+1)
	}
	v.older = readFile(t, v.c.Path)
	for range 3 {
		i := v.rnd.IntN(n)
		v.change(s, i, i+1)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	v.whole = readFile(t, v.c.Path)
	m, err := memoryImage(v.whole).meta()
	if err != nil {
		t.Fatal(err)
	}
	v.end = int(m.end)
	t.Cleanup(func() {
		v.restore()
		checkWhole(t, v.c, open(t, v.c))
	})
	return v
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func memoryImage(b []byte) image {
	return image{r: bytes.NewReader(b), size: func() (int64, error) { return int64(len(b)), nil }}
}

// change sets the records from i to j to random values.
func (v *victim) change(s *Store, i, j int) {
	v.t.Helper()
	err := s.Update(func(tx *Tx) error {
		for ; i < j; i++ {
			kind, path := victimKinds[i%len(victimKinds)], fmt.Sprintf("record-%04d", i)
			value := fmt.Sprintf("%s %s %s", kind, path, strings.Repeat(fmt.Sprint(v.rnd.IntN(10)), 100+v.rnd.IntN(300)))
			if err := tx.Put(kind, path, []byte(value)); err != nil {
				return err
			}
			v.want[string(kind)+"/"+path] = value
		}
		return nil
	})
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *victim) restore() { v.write(v.whole) }

// write replaces the content of the file, in place.
func (v *victim) write(b []byte) {
	v.t.Helper()
	f, err := os.OpenFile(v.c.Path, os.O_WRONLY, 0)
	if err != nil {
		v.t.Fatal(err)
	}
	_, err = f.WriteAt(b, 0)
	if err := errors.Join(err, f.Truncate(int64(len(b))), f.Close()); err != nil {
		v.t.Fatal(err)
	}
}

// open opens the damaged file and checks that it is either refused with a *CorruptError or serves exactly what was written.
func (v *victim) open(what string) (refused bool) {
	v.t.Helper()
	start := time.Now()
	s, err := Open(v.c)
	v.slow = max(v.slow, time.Since(start))
	if err != nil {
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Reason == "" {
			v.t.Errorf("%s: Open = %v, want a *CorruptError with a reason", what, err)
		}
		v.counts["refused"]++
		return true
	}
	v.counts["harmless"]++
	got, err := records(s, victimKinds...)
	if err != nil || !maps.Equal(got, v.want) {
		v.t.Errorf("%s: Open accepted it, then: %v, %d records, want %d", what, err, len(got), len(v.want))
	}
	if err := errors.Join(s.Verify(), s.Close()); err != nil {
		v.t.Errorf("%s: Open accepted it, then: %v", what, err)
	}
	return false
}

func (v *victim) report() {
	v.t.Helper()
	v.t.Logf("%d pages of %d records: %v, slowest Open %v", v.end, len(v.want), v.counts, v.slow.Round(time.Millisecond))
	if v.slow > 2*time.Second {
		v.t.Errorf("an Open took %v, want less than 2s", v.slow)
	}
}

func TestFlippedBitsAreRefusedOrHarmless(t *testing.T) {
	flips := 8 // of a page
	if testing.Short() {
		flips = 2
	}
	v := newVictim(t, 1000)
	b := bytes.Clone(v.whole)
	for page := range v.end {
		for range flips {
			bit := 8*pageSize*page + v.rnd.IntN(8*pageSize)
			b[bit/8] ^= 1 << (bit % 8)
			v.write(b)
			v.open(fmt.Sprintf("bit %d of page %d", bit%(8*pageSize), page))
			b[bit/8] ^= 1 << (bit % 8)
		}
	}
	v.report()
	if v.counts["refused"] < 3*flips*v.end/8 {
		t.Errorf("%d flips of %d refused: fewer than the share of the file that is in use", v.counts["refused"], flips*v.end)
	}
}

func TestDamagedPagesAreRefusedOrHarmless(t *testing.T) {
	v := newVictim(t, 300)
	page := func(b []byte, i int) []byte { return b[i*pageSize : (i+1)*pageSize] }
	stale := 0
	for i := range v.end {
		j := v.rnd.IntN(v.end)
		b := bytes.Clone(v.whole)
		copy(page(b, i), page(v.whole, j))
		copy(page(b, j), page(v.whole, i))
		v.write(b)
		v.open(fmt.Sprintf("pages %d and %d exchanged", i, j))

		b = bytes.Clone(v.whole)
		copy(page(b, i), page(v.whole, j))
		v.write(b)
		v.open(fmt.Sprintf("page %d over page %d", j, i))

		b = bytes.Clone(v.whole)
		clear(page(b, i))
		v.write(b)
		v.open(fmt.Sprintf("page %d zeroed", i))

		b = bytes.Clone(v.whole)
		if (i+1)*pageSize <= len(v.older) && !bytes.Equal(page(v.older, i), page(b, i)) {
			stale++
			copy(page(b, i), page(v.older, i))
			v.write(b)
			v.open(fmt.Sprintf("page %d from before", i))
		}
	}
	if stale < 5 {
		t.Errorf("%d pages differ between the two states of the file, too few", stale)
	}
	for size := 0; size < len(v.whole); size += pageSize {
		v.write(v.whole[:size])
		if refused := v.open(fmt.Sprintf("cut to %d bytes", size)); !refused && size < v.end*pageSize {
			t.Errorf("Open of the file cut to %d bytes succeeded, of %d pages", size, v.end)
		}
	}
	v.report()
}

func TestEveryBitOfTheMetaPages(t *testing.T) {
	v := newVictim(t, 50)
	b := bytes.Clone(v.whole)
	for bit := range 2 * 8 * (pageHeaderLen + metaLen) {
		at := bit/8 + bit/8/(pageHeaderLen+metaLen)*(pageSize-pageHeaderLen-metaLen)
		b[at] ^= 1 << (bit % 8)
		v.write(b)
		v.open(fmt.Sprintf("bit %d of byte %d", bit%8, at))
		b[at] ^= 1 << (bit % 8)
	}
	v.report()
}

// bbolt would go on from whatever the meta pages say, and build the next state on one that was overtaken.
func TestOlderMetaPagesUnderAnOpenStore(t *testing.T) {
	v := newVictim(t, 50)
	s, err := Open(v.c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put(t, s, "key", "new", "acknowledged")
	newest := readFile(t, v.c.Path)
	b := bytes.Clone(newest)
	copy(b, v.whole[:2*pageSize])
	v.write(b)
	if _, err := get(s, victimKinds[0], "record-0000"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Get = %v, want ErrCorrupt", err)
	}
	if err := s.Update(func(tx *Tx) error { return tx.Put("key", "a", nil) }); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Update = %v, want ErrCorrupt", err)
	}
	v.write(newest)
	if err := s.Verify(); err != nil {
		t.Errorf("Verify after the file was restored = %v", err)
	}
	if got, err := get(s, "key", "new"); got != "acknowledged" || err != nil {
		t.Errorf("Get after the file was restored = %q, %v", got, err)
	}
}

// Whole files of an older state are for the caller to find, by the generation.
func TestAnOlderFileHasAnOlderGeneration(t *testing.T) {
	v := newVictim(t, 100)
	s, err := Open(v.c)
	if err != nil {
		t.Fatal(err)
	}
	newest := s.Generation()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	v.write(v.older)
	if s, err = Open(v.c); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Generation() != newest-3 {
		t.Errorf("generation of the file from 3 commits before = %d, want %d", s.Generation(), newest-3)
	}
}
