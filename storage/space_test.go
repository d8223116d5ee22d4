package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// On a full disk changes fail with ErrFull, nothing acknowledged is lost, and the same Store goes on when there is space.
func TestNoSpace(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	c := createAt(t, filepath.Join(dir, "store"))
	c.OnBroken = func(err error) { t.Errorf("the store broke: %v", err) }
	s := open(t, c)
	ballast := filepath.Join(dir, "ballast")
	want := 0
	for round := range 4 {
		full := 0
		for full < 50 {
			err := s.Update(func(tx *Tx) error {
				return tx.Put("key", fmt.Sprintf("%06d", want), []byte(strings.Repeat("x", 20_000)))
			})
			switch {
			case err == nil && full > 0:
				t.Fatalf("round %d: an Update succeeded after %d were refused, without more space", round, full)
			case err == nil:
				want++
			case errors.Is(err, ErrFull):
				full++
			default:
				t.Fatalf("round %d: Update = %v, want ErrFull", round, err)
			}
			if round == 0 && want == 10 && full == 0 {
				if err := os.WriteFile(ballast, make([]byte, 800<<10), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		checkStored(t, s, want)
		if err := os.Truncate(ballast, int64(600-200*round)<<10); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d records stored, 200 refused", want)
	if want < 40 {
		t.Errorf("%d records fitted, too few to mean anything", want)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
}

func checkStored(t *testing.T, s *Store, want int) {
	t.Helper()
	if err := s.Verify(); err != nil {
		t.Fatal(err)
	}
	if got, err := records(s, "key"); len(got) != want || err != nil {
		t.Fatalf("%d records, %v, want %d", len(got), err, want)
	}
}

func TestMaxSize(t *testing.T) {
	c := createAt(t, filepath.Join(t.TempDir(), "store"))
	c.MaxSize = 4 << 20
	s := open(t, c)
	n := 0
	for ; n < 10; n++ {
		err := s.Update(func(tx *Tx) error { return tx.Put("key", fmt.Sprint(n), make([]byte, MaxValueLen)) })
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n == 0 || n == 10 {
		t.Errorf("%d values of 1 MiB in a store of at most 4 MiB", n)
	}
	if st, err := os.Stat(c.Path); err != nil || st.Size() > c.MaxSize {
		t.Errorf("the file has %d bytes, %v, want at most %d", st.Size(), err, c.MaxSize)
	}
	remove(t, s, "key", "0")
	put(t, s, "key", "small", "fits")
	checkStored(t, s, n)
}

// breakFile makes every later operation of s on its file one on another file, as a device that fails would.
func breakFile(t *testing.T, s *Store, other string) {
	t.Helper()
	f, err := os.OpenFile(other, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Dup3(int(f.Fd()), int(s.engine.f.Fd()), unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
}

// /dev/null takes writes and refuses fdatasync: after that nobody knows what is on disk.
func TestAFailedSyncBreaksTheStore(t *testing.T) {
	c := createAt(t, filepath.Join(t.TempDir(), "store"))
	calls := 0
	c.OnBroken = func(cause error) {
		if calls++; cause == nil {
			t.Error("OnBroken without a cause")
		}
	}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "key", "a", "acknowledged")
	err = s.Update(func(tx *Tx) error {
		if err := tx.Put("key", "a", []byte("never")); err != nil {
			return err
		}
		s.engine.im = memoryImage(readFile(t, c.Path)) // reading goes on to work
		breakFile(t, s, "/dev/null")
		return nil
	})
	if !errors.Is(err, ErrBroken) {
		t.Fatalf("Update with a failed sync = %v, want ErrBroken", err)
	}
	if calls != 1 {
		t.Errorf("OnBroken was called %d times, want 1", calls)
	}
	if _, err := get(s, "key", "a"); !errors.Is(err, ErrBroken) {
		t.Errorf("Get of a broken store = %v, want ErrBroken", err)
	}
	if err := s.Update(func(*Tx) error { return nil }); !errors.Is(err, ErrBroken) {
		t.Errorf("Update of a broken store = %v, want ErrBroken", err)
	}
	if err := s.Verify(); !errors.Is(err, ErrBroken) {
		t.Errorf("Verify of a broken store = %v, want ErrBroken", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close of a broken store = %v", err)
	}
	if calls != 1 {
		t.Errorf("OnBroken was called %d times, want 1", calls)
	}
	c.OnBroken = nil
	s = open(t, c)
	if v, err := get(s, "key", "a"); v != "acknowledged" || err != nil {
		t.Errorf("Get after opening again = %q, %v, want %q", v, err, "acknowledged")
	}
}

// The same errors mean that nothing happened, or that nobody knows, depending on whether the meta page was written.
func TestClassify(t *testing.T) {
	c := createAt(t, filepath.Join(t.TempDir(), "store"))
	s := open(t, c)
	put(t, s, "key", "a", "v")
	before := memoryImage(readFile(t, c.Path))
	put(t, s, "key", "a", "w")
	after := memoryImage(readFile(t, c.Path))
	m, err := before.meta()
	if err != nil {
		t.Fatal(err)
	}
	noSpace := &os.PathError{Op: "write", Path: "store", Err: unix.ENOSPC}
	for _, tc := range []struct {
		name    string
		im      image
		err     error
		unknown bool
	}{
		{"no space for a data page", before, noSpace, false},
		{"no space for the meta page, which was written in part", after, noSpace, true},
		{"no space to grow", before, errors.New("file resize error: " + unix.ENOSPC.Error()), false},
		{"a device that fails while the file grows", before, errors.New("file resize error: " + unix.EIO.Error()), true},
		{"a failed write", before, &os.PathError{Op: "write", Path: "store", Err: unix.EIO}, true},
		{"a failed sync", before, unix.EIO, true},
		{"a sync that finds no space", before, unix.ENOSPC, true},
		{"a panic", before, &panicError{"boom"}, true},
	} {
		e := &engine{im: tc.im, meta: m}
		got := e.classifyLocked(tc.err)
		if unknown := errors.As(got, new(*unknownError)); unknown != tc.unknown || errors.Is(got, ErrFull) == tc.unknown {
			t.Errorf("%s: %v, unknown %v, want unknown %v", tc.name, got, unknown, tc.unknown)
		}
	}
}

// After a panic in the engine its locks may be held for ever: Close must release the file all the same.
func TestAPanicBreaksTheStore(t *testing.T) {
	c := createAt(t, filepath.Join(t.TempDir(), "store"))
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	s.engine.mu.Lock()
	err = guard(func() error { return s.engine.db.Update(func(*bolt.Tx) error { panic("boom") }) })
	s.engine.mu.Unlock()
	if !errors.As(err, new(*panicError)) {
		t.Fatalf("guard = %v, want a *panicError", err)
	}
	if err := s.note(&unknownError{err}); !errors.Is(err, ErrBroken) {
		t.Errorf("a panic = %v, want ErrBroken", err)
	}
	if _, err := get(s, "key", "a"); !errors.Is(err, ErrBroken) {
		t.Errorf("Get after a panic = %v, want ErrBroken", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close after a panic = %v", err)
	}
	open(t, c)
}
