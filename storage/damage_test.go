package storage

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/crypto"
	bolt "go.etcd.io/bbolt"
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
	v := newVictim(t, 1000)
	b := bytes.Clone(v.whole)
	for page := range v.end {
		for range 8 {
			bit := 8*pageSize*page + v.rnd.IntN(8*pageSize)
			b[bit/8] ^= 1 << (bit % 8)
			v.write(b)
			v.open(fmt.Sprintf("bit %d of page %d", bit%(8*pageSize), page))
			b[bit/8] ^= 1 << (bit % 8)
		}
	}
	v.report()
	if v.counts["refused"] < 3*v.end {
		t.Errorf("%d flips of %d refused: fewer than the share of the file that is in use", v.counts["refused"], 8*v.end)
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
	for round := range 3 * v.end {
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

// raw changes the closed file through bbolt, as who has no key but knows the format can.
func raw(t *testing.T, path string, fn func(*bolt.Bucket) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return fn(tx.Bucket([]byte(bucketName))) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestSplicedRecordsAreRefused(t *testing.T) {
	c := createAt(t, filepath.Join(t.TempDir(), "store"))
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{headerKey, manifestKey}
	for i := range 48 {
		kind, path := victimKinds[i%3], fmt.Sprint(i)
		put(t, s, kind, path, fmt.Sprintf("value of the same size %02d", i))
		keys = append(keys, recordKey(kind, path))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole := readFile(t, c.Path)
	n := 0
	for i, a := range keys {
		for _, b := range keys[i+1:] {
			raw(t, c.Path, func(bucket *bolt.Bucket) error {
				x, y := bytes.Clone(bucket.Get([]byte(a))), bytes.Clone(bucket.Get([]byte(b)))
				return errors.Join(bucket.Put([]byte(a), y), bucket.Put([]byte(b), x))
			})
			if s, err := Open(c); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("Open with %q and %q exchanged = %v, want ErrCorrupt", a, b, errors.Join(err, s.Close()))
			}
			if err := os.WriteFile(c.Path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	t.Logf("%d pairs exchanged, all refused", n)
	checkWhole(t, c, open(t, c))
}

func TestForgedSetsOfRecordsAreRefused(t *testing.T) {
	c := createAt(t, filepath.Join(t.TempDir(), "store"))
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		put(t, s, "key", fmt.Sprintf("%02d", i), "first")
	}
	a, b := []byte(recordKey("key", "07")), []byte(recordKey("key", "08"))
	var oldA, oldManifest []byte
	save := func() {
		snap := readFile(t, c.Path)
		m, err := memoryImage(snap).meta()
		if err != nil {
			t.Fatal(err)
		}
		tr, err := memoryImage(snap).tree(m)
		if err != nil {
			t.Fatal(err)
		}
		for key, to := range map[string]*[]byte{string(a): &oldA, manifestKey: &oldManifest} {
			v, err := (&cursor{t: tr}).find([]byte(key))
			if err != nil || v == nil {
				t.Fatalf("reading %q: %v", key, err)
			}
			*to = bytes.Clone(v)
		}
	}
	save()
	put(t, s, "key", "07", "second")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole := readFile(t, c.Path)
	for _, tc := range []struct {
		name  string
		forge func(*bolt.Bucket) error
		want  string // in the error
	}{
		{"an older value", func(r *bolt.Bucket) error { return r.Put(a, oldA) }, "older"},
		{"an older manifest", func(r *bolt.Bucket) error { return r.Put([]byte(manifestKey), oldManifest) }, `key "07"`},
		{"a record less", func(r *bolt.Bucket) error { return r.Delete(a) }, "20 records, there are 19"},
		{"no manifest", func(r *bolt.Bucket) error { return r.Delete([]byte(manifestKey)) }, "manifest is missing"},
		{"no header", func(r *bolt.Bucket) error { return r.Delete([]byte(headerKey)) }, "header is missing"},
		{"a copy under another path", func(r *bolt.Bucket) error { return r.Put([]byte(recordKey("key", "99")), oldA) }, `key "99"`},
		{"a record twice and another gone", func(r *bolt.Bucket) error {
			return errors.Join(r.Put([]byte(recordKey("key", "99")), bytes.Clone(r.Get(b))), r.Delete(b))
		}, `key "99"`},
		{"another generation", func(r *bolt.Bucket) error {
			v := bytes.Clone(r.Get(a))
			v[8]--
			return r.Put(a, v)
		}, `key "07"`},
		{"a record of no kind", func(r *bolt.Bucket) error { return r.Put([]byte("junk"), oldA) }, "not the key of a record"},
		{"an empty record", func(r *bolt.Bucket) error { return r.Put(b, nil) }, `key "08"`},
		{"a sequence", func(r *bolt.Bucket) error { return r.SetSequence(1) }, "sequence"},
		{"a bucket among records", func(r *bolt.Bucket) error { _, err := r.CreateBucket([]byte("key\x00x")); return err }, "page"},
	} {
		raw(t, c.Path, tc.forge)
		if _, err := Open(c); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Open with %s = %v, want ErrCorrupt and %q", tc.name, err, tc.want)
		}
		if err := os.WriteFile(c.Path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	checkWhole(t, c, open(t, c))
}

// A record that was sealed for a generation but never committed opens under the generation that was committed instead.
func TestARecordThatWasNeverCommittedIsRefused(t *testing.T) {
	c := createAt(t, filepath.Join(t.TempDir(), "store"))
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	var never []byte
	boom := errors.New("boom")
	err = s.Update(func(tx *Tx) error {
		if err := tx.Put("key", "a", []byte("never")); err != nil {
			return err
		}
		never = bytes.Clone(tx.writes[recordKey("key", "a")].pending)
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	put(t, s, "key", "a", "truth")
	if err := s.View(func(tx *Tx) error {
		if err := tx.verify(recordKey("key", "a"), never); !errors.Is(err, ErrCorrupt) {
			t.Errorf("the record that was never committed, in the open store: %v, want ErrCorrupt", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole := readFile(t, c.Path)
	raw(t, c.Path, func(r *bolt.Bucket) error { return r.Put([]byte(recordKey("key", "a")), never) })
	if _, err := Open(c); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Open = %v, want ErrCorrupt", err)
	}
	if err := os.WriteFile(c.Path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	checkWhole(t, c, open(t, c))
}

// Records of one store are no records of another, even under the same domain key.
func TestARecordOfAnotherStoreIsRefused(t *testing.T) {
	dir := t.TempDir()
	a := createAt(t, filepath.Join(dir, "a"))
	b := Config{Path: filepath.Join(dir, "b"), Domain: a.Domain}
	if err := Create(b); err != nil {
		t.Fatal(err)
	}
	k, check, err := newKeyring(crypto.RandomSecret(32), newID())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range [][]byte{nil, make([]byte, headerLen), newHeader(k.id, check)[:headerLen-1]} {
		if _, _, err := parseHeader(h); !errors.Is(err, ErrCorrupt) {
			t.Errorf("parseHeader of %d bytes = %v, want ErrCorrupt", len(h), err)
		}
	}
	put(t, open(t, a), "key", "x", "in a")
	sb := open(t, b)
	put(t, sb, "key", "x", "in b")
	if sb.ID() == k.id {
		t.Error("two stores have the same id")
	}
	read := func(path string, key string) []byte {
		im := memoryImage(readFile(t, path))
		m, err := im.meta()
		if err != nil {
			t.Fatal(err)
		}
		tr, err := im.tree(m)
		if err != nil {
			t.Fatal(err)
		}
		v, err := (&cursor{t: tr}).find([]byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	foreign := read(a.Path, recordKey("key", "x"))
	if _, err := sb.keys.open("key", "x", foreign); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a record of the other store: %v, want ErrCorrupt", err)
	}
}
