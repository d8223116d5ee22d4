package storage

import (
	"bufio"
	"context"
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
// write fails. Each transaction sets two records to the same counter and, when that is durable, tells it on out. Beside them what
// was replaced is erased again and again.
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
	errs := make(chan error, writers+1)
	go func() {
		for {
			if _, err := s.Erase(context.Background()); err != nil {
				errs <- err
				return
			}
		}
	}()
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
