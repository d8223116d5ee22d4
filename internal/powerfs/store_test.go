package powerfs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

const writers = 8

func storeConfig(dir string) storage.Config {
	return storage.Config{Path: filepath.Join(dir, "store.db"), Domain: crypto.NewSecret([]byte("0123456789abcdef0123456789abcdef"))}
}

func createStore(dir string, _ io.Writer) error { return storage.Create(storeConfig(dir)) }

// serveStore checks the whole store, says the counters of all writers, and counts: each transaction sets two records to the next number.
// Meanwhile what was replaced is erased.
func serveStore(dir string, out io.Writer) error {
	s, err := storage.Open(storeConfig(dir))
	if err != nil {
		return err
	}
	if err := s.Verify(); err != nil {
		return err
	}
	err = s.View(func(tx *storage.Tx) error {
		for w := range writers {
			left, err := counter(tx, "left", w)
			if err != nil {
				return err
			}
			right, err := counter(tx, "right", w)
			if err != nil {
				return err
			}
			fmt.Fprintln(out, w, left, right)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := ready(out); err != nil {
		return err
	}
	errs := make(chan error, writers+1)
	go func() {
		for {
			if _, err := s.Erase(context.Background()); err != nil {
				errs <- err
				return
			}
			time.Sleep(time.Millisecond) // otherwise most steps would be the eraser's
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
				fmt.Fprintln(out, w, n) // one write
			}
		}()
	}
	return <-errs
}

func count(s *storage.Store, w int) (n int, err error) {
	err = s.Update(func(tx *storage.Tx) error {
		for _, kind := range []storage.Kind{"left", "right"} {
			if n, err = counter(tx, kind, w); err != nil {
				return err
			}
			n++
			pad := strings.Repeat(" ", rand.IntN(2000))
			if err := tx.Put(kind, fmt.Sprint(w), []byte(fmt.Sprint(n, pad))); err != nil {
				return err
			}
		}
		return tx.Put("log", fmt.Sprintf("%d-%d", w, n%50), []byte(fmt.Sprint(n)))
	})
	return n, err
}

func counter(tx *storage.Tx, kind storage.Kind, w int) (n int, err error) {
	b, err := tx.Get(kind, fmt.Sprint(w))
	if errors.Is(err, storage.ErrNotFound) {
		return 0, nil
	}
	if err == nil {
		_, err = fmt.Sscan(string(b), &n)
	}
	return n, err
}

// counters are the highest acknowledged counter of each writer, or what was found where that was higher.
type counters [writers]int

func (c *counters) check(_ string, said []string) error {
	if len(said) != writers {
		return fmt.Errorf("the store has %d writers, want %d", len(said), writers)
	}
	for _, line := range said {
		var w, left, right int
		if _, err := fmt.Sscan(line, &w, &left, &right); err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		switch {
		case left != right:
			return fmt.Errorf("writer %d: half a transaction: counters %d and %d", w, left, right)
		case left < c[w]:
			return fmt.Errorf("writer %d: counter %d, but %d was acknowledged", w, left, c[w])
		case left > c[w]+1:
			return fmt.Errorf("writer %d: counter %d, but it can have got to %d at most", w, left, c[w]+1)
		}
		c[w] = left
	}
	return nil
}

func (c *counters) work(p *process, _ <-chan struct{}) (acked int, err error) {
	if err := p.proceed(); err != nil {
		return 0, err
	}
	said, _ := p.until(done)
	for _, line := range said {
		var w, n int
		if _, err := fmt.Sscan(line, &w, &n); err != nil {
			return 0, fmt.Errorf("%q: %w", line, err)
		}
		c[w] = max(c[w], n)
	}
	return len(said), nil
}

var storeTrial = trial{role: "store", new: func() subject { return new(counters) }, steps: 600}

// 8 goroutines write into a storage.Store when the power goes: every acknowledged transaction is there, and none is there by half.
func TestPowerLossStore(t *testing.T) { storeTrial.keeps(t) }

func TestPowerLossStoreTeeth(t *testing.T) { storeTrial.bites(t) }

// A killed process leaves in the page cache what it did not sync, and the next one goes on from there when the power goes.
func TestPowerLossStoreAfterAKill(t *testing.T) {
	tr := storeTrial
	tr.steps, tr.kill = 500, true
	tr.keeps(t)
}
