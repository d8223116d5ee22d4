package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

const windowLen = 16

// canaries are the windows of sealed bytes that must not be in a file.
type canaries map[[windowLen]byte]bool

func (c canaries) add(sealed []byte) {
	for i := 0; i+windowLen <= len(sealed); i++ {
		c[[windowLen]byte(sealed[i:])] = true
	}
}

func (c canaries) in(file []byte) (found int) {
	for i := 0; i+windowLen <= len(file); i++ {
		if c[[windowLen]byte(file[i:])] {
			found++
		}
	}
	return found
}

// sealedOf returns the sealed part of a record as it lies in the file.
func sealedOf(t *testing.T, file []byte, kind Kind, path string) []byte {
	t.Helper()
	im := memoryImage(file)
	m, err := im.meta()
	if err != nil {
		t.Fatal(err)
	}
	tr, err := im.tree(m)
	if err != nil {
		t.Fatal(err)
	}
	record, err := (&cursor{t: tr}).find([]byte(recordKey(kind, path)))
	if err != nil || record == nil {
		t.Fatalf("reading %s %s from the file: %v", kind, path, err)
	}
	_, sealed, ok := parseRecord(record)
	if !ok {
		t.Fatalf("%s %s is not a record", kind, path)
	}
	return sealed
}

func erase(t testing.TB, s *Store) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pages, err := s.Erase(ctx)
	if err != nil {
		t.Fatalf("Erase: %v", err)
	}
	return pages
}

// churn makes a store of n records of 1 byte to some pages, deletes a third, replaces a third, and returns the windows of
// what is gone and what there should be.
func churn(t *testing.T, s *Store, c Config, n int) (canaries, map[string]string) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(rand.Uint64(), 3))
	want := make(map[string]string)
	set := func(tx *Tx, i int) error {
		value := fmt.Sprint(i, "=", string(bytes.Repeat([]byte("v"), rnd.IntN([]int{10, 600, 600, 600, 3 * pageSize}[i%5]))))
		want["key/"+fmt.Sprint(i)] = value
		return tx.Put("key", fmt.Sprint(i), []byte(value))
	}
	for i := 0; i < n; i += 50 {
		if err := s.Update(func(tx *Tx) (err error) {
			for j := i; j < i+50 && err == nil; j++ {
				err = set(tx, j)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	file, gone := readFile(t, c.Path), make(canaries)
	for _, i := range rnd.Perm(n)[:2*n/3] {
		gone.add(sealedOf(t, file, "key", fmt.Sprint(i)))
		if err := s.Update(func(tx *Tx) error {
			if i%2 == 0 {
				return set(tx, i)
			}
			delete(want, "key/"+fmt.Sprint(i))
			return tx.Delete("key", fmt.Sprint(i))
		}); err != nil {
			t.Fatal(err)
		}
	}
	return gone, want
}

func checkRecords(t *testing.T, s *Store, want map[string]string) {
	t.Helper()
	got, err := records(s, "key")
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s has %d bytes, want %d", k, len(got[k]), len(v))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
}

func TestErasedRecordsAreNowhereInTheFile(t *testing.T) {
	s, c := create(t)
	gone, want := churn(t, s, c, 1000)
	before := gone.in(readFile(t, c.Path))
	if before < 1000 {
		t.Errorf("%d windows of records that are gone before Erase, too few to mean anything", before)
	}
	pages := erase(t, s)
	if n := gone.in(readFile(t, c.Path)); n != 0 {
		t.Errorf("%d windows of records that are gone after Erase, want 0", n)
	}
	t.Logf("%d windows before Erase, 0 after; %d pages overwritten", before, pages)
	if again := erase(t, s); pages == 0 || again != 0 {
		t.Errorf("Erase = %d pages, and %d again, want some and 0", pages, again)
	}
	checkRecords(t, s, want)
	put(t, s, "key", "another", "one") // in pages that were overwritten
	if err := s.Verify(); err != nil {
		t.Error(err)
	}
}

// A process that ends in a commit, or a commit that fails, leaves sealed bytes in free pages and behind the last one.
func TestEraseTakesWhatWasNeverCommitted(t *testing.T) {
	c := createAt(t, filepath.Join(t.TempDir(), "store"))
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	_, want := churn(t, s, c, 300)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file := readFile(t, c.Path)
	m, err := memoryImage(file).meta()
	if err != nil {
		t.Fatal(err)
	}
	free, err := memoryImage(file).unused(m, uint64(len(file))/pageSize)
	if err != nil {
		t.Fatal(err)
	}
	n, behind := 0, 0
	for id := range uint64(len(file)) / pageSize {
		if !free.has(id) {
			continue
		}
		copy(file[id*pageSize+100:], "never committed, and so on")
		if n++; id >= m.end {
			behind++
		}
	}
	if n == behind || behind == 0 {
		t.Fatalf("%d free pages, %d of them behind the last one: nothing to test", n, behind)
	}
	if err := os.WriteFile(c.Path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, c)
	erase(t, s)
	if found := bytes.Count(readFile(t, c.Path), []byte("never committed")); found != 0 {
		t.Errorf("%d of %d pages still have what was never committed", found, n)
	}
	checkRecords(t, s, want)
}

// What no element names is zero in every page in use, however records came and went: bbolt writes whole pages from buffers
// that were cleared. Erase relies on it.
func TestNothingIsLeftInPagesInUse(t *testing.T) {
	s, c := create(t)
	for range 3 {
		churn(t, s, c, 600)
	}
	file := readFile(t, c.Path)
	im := memoryImage(file)
	m, err := im.meta()
	if err != nil {
		t.Fatal(err)
	}
	free, err := im.unused(m, m.end)
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for id := uint64(0); id < m.end; id++ {
		if free.has(id) {
			continue
		}
		used, pages := uint64(pageHeaderLen+metaLen), uint64(1)
		switch {
		case id == m.freelist:
			overflow, count, first, err := im.freelistHeader(m)
			if err != nil {
				t.Fatal(err)
			}
			used, pages = first+8*count, overflow+1
		case id > 1:
			var n node
			if err := im.node(id, m.end, &n); err != nil {
				t.Fatal(err)
			}
			used, pages = pageHeaderLen+16*uint64(n.n), n.overflow+1
			for i := range n.n {
				used += uint64(len(n.key(i)))
				if n.leaf {
					used += uint64(len(n.value(i)))
				}
			}
		}
		rest := file[id*pageSize:][used : pages*pageSize]
		if i := slices.IndexFunc(rest, func(b byte) bool { return b != 0 }); i >= 0 {
			t.Errorf("page %d uses %d bytes, and byte %d is not zero", id, used, used+uint64(i))
		}
		id += pages - 1
		checked++
	}
	if checked < 100 {
		t.Errorf("%d pages in use, too few to mean anything", checked)
	}
}

// Erase only writes zeros, so what a loss of power leaves is the file before with any part of them.
func TestPowerLossInErase(t *testing.T) {
	c := createAt(t, filepath.Join(t.TempDir(), "store"))
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	_, want := churn(t, s, c, 200)
	before := readFile(t, c.Path)
	erase(t, s)
	after := readFile(t, c.Path)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(after) != len(before) {
		t.Fatalf("the file has %d bytes after Erase, %d before", len(after), len(before))
	}
	const sector = 512
	var changed []int
	for at := 0; at < len(before); at += sector {
		if b, a := before[at:at+sector], after[at:at+sector]; !bytes.Equal(b, a) {
			changed = append(changed, at)
			if !bytes.Equal(a, make([]byte, sector)) {
				t.Fatalf("Erase wrote something else than zeros at offset %d", at)
			}
		}
	}
	for trial := range 200 {
		file, p := slices.Clone(before), rand.Float64()
		for i, at := range changed {
			if trial%2 == 0 && i < trial*len(changed)/200 || trial%2 == 1 && rand.Float64() < p {
				clear(file[at : at+sector])
			}
		}
		if err := os.WriteFile(c.Path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(c)
		if err != nil {
			t.Fatalf("Open after a loss of power in Erase: %v", err)
		}
		checkRecords(t, s, want)
		put(t, s, "key", "another", "one")
		if err := errors.Join(s.Verify(), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if len(changed) < 100 {
		t.Errorf("%d sectors changed, too few to mean anything", len(changed))
	}
}

// A View from before an Erase keeps what it sees; the Erase waits for it, and nobody else waits for the Erase.
func TestEraseWaitsForViews(t *testing.T) {
	s, c := create(t)
	for i := range 500 {
		put(t, s, "key", fmt.Sprintf("%03d", i), "old")
	}
	gone := make(canaries)
	file := readFile(t, c.Path)
	for i := range 500 {
		gone.add(sealedOf(t, file, "key", fmt.Sprintf("%03d", i)))
	}
	done := make(chan error, 1)
	err := s.View(func(tx *Tx) error {
		err := s.Update(func(tx *Tx) error {
			for i := range 499 {
				if err := tx.Delete("key", fmt.Sprintf("%03d", i)); err != nil {
					return err
				}
			}
			return tx.Put("key", "499", []byte("other"))
		})
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		if n, err := s.Erase(ctx); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Erase beside an older View = %d, %v, want 0 and that the time is over", n, err)
		}
		go func() {
			_, err := s.Erase(context.Background())
			done <- err
		}()
		time.Sleep(20 * time.Millisecond)
		put(t, s, "key", "while Erase waits", "v")
		n := 0
		err = tx.Walk("key", "", func(_ string, value []byte) error {
			if n++; string(value) != "old" {
				t.Errorf("%q in the old View, want %q", value, "old")
			}
			return nil
		})
		if n != 500 {
			t.Errorf("%d records in the old View, want 500", n)
		}
		select {
		case err := <-done:
			t.Errorf("Erase ended with %v beside an older View", err)
			done <- err
		default:
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := gone.in(readFile(t, c.Path)); n != 0 {
		t.Errorf("%d windows of records that are gone after Erase, want 0", n)
	}
}

// Views of every age, Updates and Erase at once: no View reads what was erased.
func TestEraseBesideViewsAndUpdates(t *testing.T) {
	s, _ := create(t)
	const n = 300
	value := func(i, round int) []byte { return fmt.Appendf(nil, "%d %0*d", i, 100+i%7*200, round) }
	change := func(rnd *rand.Rand, count, round int) error {
		return s.Update(func(tx *Tx) error {
			for range count {
				i := rnd.IntN(n)
				if err := tx.Put("key", fmt.Sprint(i), value(i, round)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := change(rand.New(rand.NewPCG(1, 1)), 5*n, 0); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	end := time.Now().Add(1500 * time.Millisecond)
	loop := func(fn func(rnd *rand.Rand, round int) error) *int {
		rounds := new(int)
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(rand.Uint64(), 4))
			for *rounds = 1; time.Now().Before(end); *rounds++ {
				if err := fn(rnd, *rounds); err != nil {
					t.Error(err)
					return
				}
			}
		})
		return rounds
	}
	var views []*int
	for range 3 {
		views = append(views, loop(func(rnd *rand.Rand, _ int) error {
			return s.View(func(tx *Tx) error {
				time.Sleep(time.Duration(rnd.IntN(5000)) * time.Microsecond)
				return tx.Walk("key", "", func(string, []byte) error { return nil })
			})
		}))
	}
	updates := loop(func(rnd *rand.Rand, round int) error { return change(rnd, 1+rnd.IntN(20), round) })
	erased := 0
	erases := loop(func(*rand.Rand, int) error {
		pages, err := s.Erase(context.Background())
		erased += pages
		return err
	})
	wg.Wait()
	t.Logf("%d and more Views, %d Updates, %d Erases of %d pages", *views[0], *updates, *erases, erased)
	if *views[0] < 20 || *updates < 20 || *erases < 20 || erased < 100 {
		t.Error("too few to mean anything")
	}
}

// Damage is found before anything is overwritten on its account.
func TestEraseBelievesNoDamagedFreelist(t *testing.T) {
	v := newVictim(t, 300)
	s, err := Open(v.c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m, err := memoryImage(v.whole).meta()
	if err != nil {
		t.Fatal(err)
	}
	free, err := memoryImage(v.whole).unused(m, m.end)
	if err != nil {
		t.Fatal(err)
	}
	_, count, first, err := memoryImage(v.whole).freelistHeader(m)
	if err != nil {
		t.Fatal(err)
	}
	// An entry that can go up by one without coming to the next names a page in use then.
	file, le := slices.Clone(v.whole), binary.LittleEndian
	planted := false
	for i := range count {
		entry := file[m.freelist*pageSize+first+8*i:]
		if id := le.Uint64(entry); !planted && id+1 < m.end && !free.has(id+1) {
			le.PutUint64(entry, id+1)
			planted = true
		}
	}
	if !planted {
		t.Fatal("no free page is followed by one in use")
	}
	v.write(file)
	if n, err := s.Erase(t.Context()); n != 0 || !errors.Is(err, ErrCorrupt) {
		t.Errorf("Erase with a damaged freelist = %d, %v, want 0 and ErrCorrupt", n, err)
	}
	if !bytes.Equal(readFile(t, v.c.Path), file) {
		t.Error("Erase changed the file")
	}
}

func TestEraseOfAStoreThatIsNot(t *testing.T) {
	c := createAt(t, filepath.Join(t.TempDir(), "store"))
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "key", "a", "v")
	remove(t, s, "key", "a")
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Erase(done); !errors.Is(err, context.Canceled) {
		t.Errorf("Erase whose time is over = %v, want context.Canceled", err)
	}
	s.engine.im = memoryImage(readFile(t, c.Path)) // reading goes on to work
	breakFile(t, s, "/dev/null")
	if _, err := s.Erase(t.Context()); !errors.Is(err, ErrBroken) {
		t.Errorf("Erase with a failed sync = %v, want ErrBroken", err)
	}
	if _, err := get(s, "key", "a"); !errors.Is(err, ErrBroken) {
		t.Errorf("Get after that = %v, want ErrBroken", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = open(t, c)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Erase(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Erase of a closed store = %v, want ErrClosed", err)
	}
}

// Erase after 1,000 deletions in a store of 100,000 records.
func BenchmarkErase100k(b *testing.B) {
	s, _ := create(b)
	fill(b, s, 100_000)
	erase(b, s)
	pages := 0
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		for batch := range 20 {
			if err := s.Update(func(tx *Tx) error {
				for j := range 50 {
					path := fmt.Sprintf("%07d", (i*1000+batch*50+j)*97%100_000)
					if err := tx.Delete("key", path); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		pages += erase(b, s)
	}
	b.ReportMetric(float64(pages)/float64(b.N), "pages/op")
}
