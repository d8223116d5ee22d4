package storage

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kmsd/kmsd/crypto"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	writerEnv = "KMSD_STORAGE_TEST_WRITER" // path of the store: the test binary is then a writer that is to be killed
	roundsEnv = "KMSD_STORAGE_CRASH_ROUNDS"
	writers   = 8
)

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		if err := write(path, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// write opens the store under the key that comes first on in and, with many goroutines, writes counters until it is killed or a
// write fails. Each transaction sets two records to the same counter and, when that is durable, tells it on out.
func write(path string, in io.Reader, out io.Writer) error {
	var domain string
	if _, err := fmt.Fscanln(in, &domain); err != nil {
		return err
	}
	key, err := hex.DecodeString(domain)
	if err != nil {
		return err
	}
	s, err := Open(Config{Path: path, Domain: crypto.NewSecret(key)})
	if err != nil {
		return err
	}
	var out1 sync.Mutex
	errs := make(chan error, writers)
	for w := range writers {
		go func() {
			for {
				n, err := count(s, w)
				if err != nil {
					errs <- err
					return
				}
				out1.Lock()
				fmt.Fprintln(out, w, n)
				out1.Unlock()
			}
		}()
	}
	return <-errs
}

// count adds one to the two counters of writer w.
func count(s *Store, w int) (n int, err error) {
	err = s.Update(func(tx *Tx) error {
		for _, kind := range []Kind{"left", "right"} {
			if n, err = counter(tx, kind, w); err != nil {
				return err
			}
			n++
			pad := strings.Repeat(" ", rand.IntN(400))
			if err := tx.Put(kind, fmt.Sprint(w), []byte(fmt.Sprint(n, pad))); err != nil {
				return err
			}
		}
		return tx.Put("log", fmt.Sprintf("%d-%d", w, n%50), []byte(fmt.Sprint(n)))
	})
	return n, err
}

func counter(tx *Tx, kind Kind, w int) (int, error) {
	b, err := tx.Get(kind, fmt.Sprint(w))
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// runWriter runs a writer on c until stop returns, kills it and adds what it acknowledged to acked :: writer → counter.
func runWriter(t *testing.T, c Config, acked *[writers]int, stop func()) (n int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+c.Path)
	cmd.Stdin = strings.NewReader(hex.EncodeToString(c.Domain.Expose()) + "\n")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	kill := make(chan struct{})
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			break // half a line is no acknowledgement
		}
		var w, value int
		if _, err := fmt.Sscan(line, &w, &value); err != nil {
			t.Fatalf("acknowledgement %q: %v", line, err)
		}
		if n++; n == 1 {
			go func() {
				defer close(kill)
				stop()
				_ = cmd.Process.Signal(syscall.SIGKILL)
			}()
		}
		acked[w] = max(acked[w], value)
	}
	if n > 0 {
		<-kill
	}
	_ = cmd.Wait() // killed
	if stderr.Len() > 0 {
		t.Logf("the writer said: %s", stderr.String())
	}
	return n
}

// checkCounters checks that nothing acknowledged is lost and nothing is half applied.
func checkCounters(t *testing.T, s *Store, acked *[writers]int) {
	t.Helper()
	err := s.View(func(tx *Tx) error {
		for w := range writers {
			left, err := counter(tx, "left", w)
			if err != nil {
				return err
			}
			right, err := counter(tx, "right", w)
			if err != nil {
				return err
			}
			if left < acked[w] {
				t.Errorf("writer %d: counter %d, but %d was acknowledged", w, left, acked[w])
			}
			if left != right {
				t.Errorf("writer %d: half a transaction: counters %d and %d", w, left, right)
			}
			acked[w] = left
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// kill -9 at random moments loses nothing. It does not show whether anything was synced: the page cache outlives the process.
func TestKilledWhileWriting(t *testing.T) {
	rounds := 50
	if s := os.Getenv(roundsEnv); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	c := createAt(t, filepath.Join(t.TempDir(), "store"))
	var acked [writers]int
	total, slowest := 0, time.Duration(0)
	for round := range rounds {
		n := runWriter(t, c, &acked, func() { time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond) })
		if n == 0 {
			t.Fatalf("round %d: the writer acknowledged nothing", round)
		}
		total += n
		start := time.Now()
		s, err := Open(c)
		if err != nil {
			t.Fatalf("round %d: Open after kill -9: %v", round, err)
		}
		slowest = max(slowest, time.Since(start))
		checkCounters(t, s, &acked)
		if err := errors.Join(s.Verify(), s.Close()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	t.Logf("%d kills, %d acknowledged transactions, slowest Open %v", rounds, total, slowest.Round(time.Millisecond))
	if total < 10*rounds {
		t.Errorf("%d acknowledged transactions in %d rounds, want 10 per round", total, rounds)
	}
	if slowest > 2*time.Second {
		t.Errorf("an Open took %v, want less than 2s", slowest)
	}
	checkWhole(t, c, open(t, c))
}

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
