package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/kmsd/kmsd/crypto"
)

// createAt makes a store at path under a fresh domain key and returns its Config.
func createAt(t testing.TB, path string) Config {
	t.Helper()
	c := Config{Path: path, Domain: crypto.RandomSecret(32)}
	if err := Create(c); err != nil {
		t.Fatal(err)
	}
	return c
}

// open opens a store and checks all of it, by Verify and by opening it again, when the test ends.
func open(t testing.TB, c Config) *Store {
	t.Helper()
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { checkWhole(t, c, s) })
	return s
}

func checkWhole(t testing.TB, c Config, s *Store) {
	t.Helper()
	if err := s.Verify(); err != nil && !errors.Is(err, ErrClosed) {
		t.Errorf("Verify at the end of the test: %v", err)
	}
	if err := s.Close(); err != nil && !errors.Is(err, ErrClosed) {
		t.Errorf("Close at the end of the test: %v", err)
	}
	again, err := Open(c)
	if err != nil {
		t.Errorf("Open at the end of the test: %v", err)
		return
	}
	if again.Generation() != s.Generation() {
		t.Errorf("generation = %d after opening again, want %d", again.Generation(), s.Generation())
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func create(t testing.TB) (*Store, Config) {
	t.Helper()
	c := createAt(t, filepath.Join(t.TempDir(), "store"))
	return open(t, c), c
}

func put(t testing.TB, s *Store, kind Kind, path, value string) {
	t.Helper()
	if err := s.Update(func(tx *Tx) error { return tx.Put(kind, path, []byte(value)) }); err != nil {
		t.Fatalf("Put(%s, %q): %v", kind, path, err)
	}
}

func remove(t testing.TB, s *Store, kind Kind, path string) {
	t.Helper()
	if err := s.Update(func(tx *Tx) error { return tx.Delete(kind, path) }); err != nil {
		t.Fatalf("Delete(%s, %q): %v", kind, path, err)
	}
}

func get(s *Store, kind Kind, path string) (value string, err error) {
	err = s.View(func(tx *Tx) error {
		b, err := tx.Get(kind, path)
		value = string(b)
		return err
	})
	return value, err
}

// records returns everything in s :: kind/path → value.
func records(s *Store, kinds ...Kind) (map[string]string, error) {
	all := make(map[string]string)
	err := s.View(func(tx *Tx) error {
		for _, kind := range kinds {
			err := tx.Walk(kind, "", func(path string, value []byte) error {
				all[string(kind)+"/"+path] = string(value)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

func TestRecordsAreKept(t *testing.T) {
	s, c := create(t)
	if g := s.Generation(); g != 1 {
		t.Errorf("generation of a fresh store = %d, want 1", g)
	}
	put(t, s, "key", "a", "one")
	put(t, s, "key", "b", "")
	put(t, s, "alias", "a", strings.Repeat("x", MaxValueLen))
	put(t, s, "key", "a", "two")
	remove(t, s, "alias", "a")
	id := s.ID()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, c)
	if s.ID() != id {
		t.Errorf("ID = %x after opening again, want %x", s.ID(), id)
	}
	if g := s.Generation(); g != 6 {
		t.Errorf("generation = %d, want 6", g)
	}
	got, err := records(s, "alias", "key")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"key/a": "two", "key/b": ""}, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if _, err := get(s, "alias", "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get of a deleted record = %v, want ErrNotFound", err)
	}
}

func TestAnUpdateThatFailsChangesNothing(t *testing.T) {
	s, _ := create(t)
	put(t, s, "key", "a", "one")
	boom := errors.New("boom")
	err := s.Update(func(tx *Tx) error {
		if got := tx.Generation(); got != 3 {
			t.Errorf("generation in an Update = %d, want 3", got)
		}
		if err := errors.Join(tx.Put("key", "a", []byte("two")), tx.Put("key", "b", nil)); err != nil {
			return err
		}
		if v, err := tx.Get("key", "a"); string(v) != "two" || err != nil {
			t.Errorf("Get in the same Update = %q, %v, want %q", v, err, "two")
		}
		return boom
	})
	if err != boom {
		t.Errorf("Update = %v, want the error of its function", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = s.Update(func(tx *Tx) error { _ = tx.Delete("key", "a"); panic("bug") })
	}()
	if v, err := get(s, "key", "a"); v != "one" || err != nil {
		t.Errorf("Get = %q, %v, want %q", v, err, "one")
	}
	if err := s.Update(func(*Tx) error { return nil }); err != nil || s.Generation() != 2 {
		t.Errorf("Update of nothing = %v, generation %d, want nil, 2", err, s.Generation())
	}
}

func TestAViewDoesNotSeeLaterCommits(t *testing.T) {
	s, _ := create(t)
	for i := range 200 {
		put(t, s, "key", fmt.Sprintf("%03d", i), "old")
	}
	err := s.View(func(tx *Tx) error {
		done := make(chan error, 1)
		go func() {
			for i := range 200 {
				err := s.Update(func(tx *Tx) error {
					if i%2 == 0 {
						return tx.Delete("key", fmt.Sprintf("%03d", i))
					}
					return tx.Put("key", fmt.Sprintf("%03d", i), []byte("new"))
				})
				if err != nil {
					done <- err
					return
				}
			}
			done <- s.Verify()
		}()
		if err := <-done; err != nil {
			return err
		}
		n := 0
		err := tx.Walk("key", "", func(path string, value []byte) error {
			n++
			if string(value) != "old" {
				t.Errorf("%s = %q in the old View, want %q", path, value, "old")
			}
			return nil
		})
		if n != 200 {
			t.Errorf("the old View has %d records, want 200", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if all, err := records(s, "key"); len(all) != 100 || err != nil {
		t.Errorf("%d records in a fresh View, %v, want 100", len(all), err)
	}
}

func TestWalk(t *testing.T) {
	s, _ := create(t)
	for _, p := range []string{"a/1", "a/2", "a/10", "b", "a"} {
		put(t, s, "key", p, p)
	}
	put(t, s, "kez", "a/3", "other kind")
	for _, tc := range []struct{ name, prefix, want string }{
		{"all, in byte order", "", "a a/1 a/10 a/2 b"},
		{"below a prefix", "a/", "a/1 a/10 a/2"},
		{"a prefix that is a path", "b", "b"},
		{"nothing there", "c", ""},
	} {
		var got []string
		err := s.Update(func(tx *Tx) error {
			return tx.Walk("key", tc.prefix, func(path string, value []byte) error {
				got = append(got, path)
				return tx.Put("key", path+"/seen", value) // must not be walked
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		if g := strings.Join(got, " "); g != tc.want {
			t.Errorf("%s: Walk(%q) = %q, want %q", tc.name, tc.prefix, g, tc.want)
		}
		err = s.Update(func(tx *Tx) error {
			for _, p := range got {
				if err := tx.Delete("key", p+"/seen"); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestArgumentsOutOfRange(t *testing.T) {
	s, c := create(t)
	for _, tc := range []struct {
		name string
		kind Kind
		path string
		size int
	}{
		{"no kind", "", "a", 0},
		{"a kind with a capital", "Key", "a", 0},
		{"a kind that begins with a digit", "1key", "a", 0},
		{"a kind with a zero byte", "key\x00", "a", 0},
		{"a kind too long", Kind(strings.Repeat("k", 33)), "a", 0},
		{"no path", "key", "", 0},
		{"a path too long", "key", strings.Repeat("p", 1025), 0},
		{"a value too long", "key", "a", MaxValueLen + 1},
	} {
		err := s.Update(func(tx *Tx) error { return tx.Put(tc.kind, tc.path, make([]byte, tc.size)) })
		if err == nil {
			t.Errorf("Put of %s succeeded", tc.name)
		}
	}
	longest := strings.Repeat("\xff", MaxPathLen)
	put(t, s, Kind(strings.Repeat("k", 32)), longest, "v")
	if err := s.View(func(tx *Tx) error { return tx.Put("key", "a", nil) }); err == nil {
		t.Error("Put in a View succeeded")
	}
	var leaked *Tx
	if err := s.View(func(tx *Tx) error { leaked = tx; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := leaked.Get("key", "a"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("Get after the transaction = %v, want an error that says so", err)
	}
	c.Domain = crypto.RandomSecret(31)
	if _, err := Open(c); err == nil {
		t.Error("Open with a key of 31 bytes succeeded")
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(Config{Path: filepath.Join(dir, "none"), Domain: crypto.RandomSecret(32)}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of no file = %v, want fs.ErrNotExist", err)
	}
	c := createAt(t, filepath.Join(dir, "store"))
	if err := Create(c); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over a store = %v, want fs.ErrExist", err)
	}
	other := c
	other.Domain = crypto.RandomSecret(32)
	if _, err := Open(other); !errors.Is(err, ErrWrongKey) {
		t.Errorf("Open with another key = %v, want ErrWrongKey", err)
	}
	other.Path = dir
	if _, err := Open(other); err == nil {
		t.Error("Open of a folder succeeded")
	}
	for _, size := range []int{0, 1, 4095, 4096, 8192, 65536} {
		other.Path = filepath.Join(dir, "junk")
		if err := os.WriteFile(other.Path, bytes.Repeat([]byte{0xaa}, size), 0o600); err != nil {
			t.Fatal(err)
		}
		var corrupt *CorruptError
		if _, err := Open(other); !errors.As(err, &corrupt) {
			t.Errorf("Open of %d bytes of junk = %v, want a *CorruptError", size, err)
		}
	}
	s := open(t, c)
	start := time.Now()
	if _, err := Open(c); !errors.Is(err, ErrLocked) || time.Since(start) > 1500*time.Millisecond {
		t.Errorf("second Open = %v after %v, want ErrLocked within a second", err, time.Since(start))
	}
	put(t, s, "key", "a", "v")
}

// A crash in Create leaves a temporary folder or file beside the store.
func TestLeftoversOfCreateDoNoHarm(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store")
	if err := os.Mkdir(filepath.Join(dir, ".store.new-123"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".store.new-123/store", ".store.tmp-123"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := createAt(t, path)
	put(t, open(t, c), "key", "a", "v")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 3 {
		t.Errorf("%d entries after Create, want the store and the two that were there", len(entries))
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, want 0600", st.Mode())
	}
}

// A random sequence of transactions is compared with a map, through several openings.
func TestAgainstAMap(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	c := createAt(t, filepath.Join(t.TempDir(), "store"))
	model := make(map[string]string)
	for range 6 {
		s, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		for range 40 {
			err := s.Update(func(tx *Tx) error {
				for range rnd.IntN(60) {
					path := fmt.Sprint(rnd.IntN(1500))
					value := fmt.Sprint(path, "=", rnd.Uint64(), strings.Repeat("v", rnd.IntN(300)))
					_, exists := model["key/"+path]
					if rnd.IntN(3) > 0 || !exists {
						if err := tx.Put("key", path, []byte(value)); err != nil {
							return err
						}
						model["key/"+path] = value
						continue
					}
					if err := tx.Delete("key", path); err != nil {
						return err
					}
					delete(model, "key/"+path)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		got, err := records(s, "key")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(model, got); diff != "" {
			t.Fatalf("records (-want +got):\n%s", diff)
		}
		checkWhole(t, c, s)
	}
	if len(model) < 100 {
		t.Errorf("the model has %d records, too few to mean anything", len(model))
	}
}
