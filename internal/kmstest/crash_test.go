package kmstest

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/daemon"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

const (
	childEnv  = "KMSD_CRASH_CHILD"  // a data folder: the test binary is then a kmsd that is to be killed
	noSyncEnv = "KMSD_CRASH_NOSYNC" // what that kmsd believes to sync, and does not
	roundsEnv = "KMSD_CRASH_ROUNDS"

	writers    = 8
	freshAfter = 20              // rounds on one data folder
	openWithin = 2 * time.Second // from the start of the process to the first answer, in the median
	minPerKill = 10              // acknowledged calls a round, on average, or nothing was tested
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := serveUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// serveUntilKilled is a whole kmsd on dir, which tells its address on standard output.
func serveUntilKilled(dir string) error {
	o := daemon.Options{Version: "test", LogTo: os.Stderr}
	if what := os.Getenv(noSyncEnv); what != "" {
		var err error
		if o.OpenAudit, err = pretendToSync(what); err != nil {
			return err
		}
	}
	cfg, err := daemon.Load(dir, nil)
	if err != nil {
		return err
	}
	cfg.Listen, cfg.AdminListen = "127.0.0.1:0", daemon.AdminOff
	if err := cfg.Check(); err != nil {
		return err
	}
	d, err := daemon.Start(cfg, o)
	if err != nil {
		return err
	}
	fmt.Println(d.Address())
	return <-d.Failed()
}

// child is a kmsd in a process of its own.
type child struct {
	cmd     *exec.Cmd
	address string
	stderr  strings.Builder
}

func startChild(dir string, env ...string) (*child, error) {
	c := &child{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(append(os.Environ(), childEnv+"="+dir), env...)
	c.cmd.Stderr = &c.stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		c.kill()
		return nil, fmt.Errorf("kmsd did not start: %w: %s", err, c.stderr.String())
	}
	c.address = strings.TrimSpace(line)
	return c, nil
}

func (c *child) kill() {
	_ = c.cmd.Process.Signal(syscall.SIGKILL)
	_ = c.cmd.Wait() // killed: always an error
}

// dial returns a client of the root user.
func dial(t *testing.T, dir, address string) *client.Client {
	t.Helper()
	c, err := client.LoadFile(filepath.Join(dir, daemon.RootCredentialsFile))
	if err != nil {
		t.Fatal(err)
	}
	cl, err := client.New(client.Config{Credentials: c, Endpoint: address})
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

func newFolder(t *testing.T, parent string) string {
	t.Helper()
	dir := filepath.Join(parent, "kmsd-"+rand.Text()[:8])
	if _, err := daemon.Init(daemon.InitOptions{Config: daemon.Config{Data: dir, Audit: daemon.AuditConfig{SegmentMiB: 1}}, AccountID: Account}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// rounds is how many kills a test makes.
func rounds(t *testing.T, usual, short int) int {
	t.Helper()
	if s := os.Getenv(roundsEnv); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q is not a number of rounds", roundsEnv, s)
		}
		return n
	}
	if testing.Short() {
		return short
	}
	return usual
}

// tally is what a test of many rounds has seen.
type tally struct {
	rounds, acknowledged int
	cut, took, intended  int // calls that were cut off; that took effect all the same; of which the log has the intent only
	starts               []time.Duration
	lost                 []string
}

func (y *tally) report(t *testing.T, seed uint64) {
	t.Helper()
	t.Logf("seed %d: %d rounds, %d acknowledged, %d lost; of %d calls cut off %d took effect, of %d of them the log has the intent only",
		seed, y.rounds, y.acknowledged, len(y.lost), y.cut, y.took, y.intended)
	if y.acknowledged < minPerKill*y.rounds {
		t.Errorf("%d acknowledged calls in %d rounds, want %d a round: the run does not count", y.acknowledged, y.rounds, minPerKill)
	}
	if len(y.starts) == 0 {
		return
	}
	slices.Sort(y.starts)
	// The slowest says how busy the machine was, the median how long kmsd takes.
	median, slowest := y.starts[len(y.starts)/2], y.starts[len(y.starts)-1]
	t.Logf("%d starts: median %v, slowest %v", len(y.starts), median.Round(time.Millisecond), slowest.Round(time.Millisecond))
	if median > openWithin {
		t.Errorf("the median start took %v, want %v at most", median, openWithin)
	}
}

// TestCrash kills kmsd under eight writers, again and again. What it acknowledged is there after the next start, with its one event; what it
// did not is there whole or not at all.
func TestCrash(t *testing.T) {
	n, seed := rounds(t, 5, 2), mathrand.Uint64()
	rng := mathrand.New(mathrand.NewPCG(seed, 0))
	parent := t.TempDir()
	var y tally
	var dir string
	var w *world
	for y.rounds < n && len(y.lost) == 0 {
		if y.rounds%freshAfter == 0 {
			dir, w = newFolder(t, parent), newWorld(rng.Uint64())
		}
		w.round(t, dir, &y, rng)
	}
	if len(y.lost) == 0 {
		k := New(t, &Options{Dir: dir}) // which checks log and store at the end, too
		w.check(t, k.Root(), &y)
		w.events(t, dir, &y)
	}
	for _, l := range y.lost {
		t.Errorf("seed %d: lost: %s", seed, l)
	}
	y.report(t, seed)
}

// round starts a kmsd on dir, checks that it has what the one before acknowledged, and kills it at a random moment while all writers write.
func (w *world) round(t *testing.T, dir string, y *tally, rng *mathrand.Rand, env ...string) {
	t.Helper()
	y.rounds++
	w.reopen(t, dir, y, func(c *child, cl *client.Client) {
		w.work(t, cl, y, func(cancel context.CancelFunc) {
			time.Sleep(time.Duration(20+rng.IntN(250)) * time.Millisecond)
			c.kill()
			cancel()
		})
	}, env...)
}

// reopen starts a kmsd on dir, checks what it has, and calls then unless something is lost.
func (w *world) reopen(t *testing.T, dir string, y *tally, then func(*child, *client.Client), env ...string) {
	t.Helper()
	start := time.Now()
	c, err := startChild(dir, env...)
	if err != nil {
		y.lose("everything: %v", err)
		return
	}
	defer c.kill()
	cl := dial(t, dir, c.address)
	defer cl.Close()
	if _, err := cl.STS().GetCallerIdentity(t.Context(), &stsv1.GetCallerIdentityRequest{}); err != nil {
		y.lose("everything: %v", err)
		return
	}
	y.starts = append(y.starts, time.Since(start))
	w.check(t, cl, y)
	w.events(t, dir, y)
	if _, err := audit.Verify(t.Context(), filepath.Join(dir, "audit"), nil); err != nil {
		y.lose("the audit log: %v", err)
	}
	if len(y.lost) == 0 {
		then(c, cl)
	}
}

// work lets all writers call until stop has killed kmsd, which begins when so many calls are acknowledged that the round counts, however slow the
// machine.
func (w *world) work(t *testing.T, cl *client.Client, y *tally, stop func(context.CancelFunc)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	acknowledged := make(chan struct{}, writers*minPerKill)
	for _, a := range w.writers {
		wg.Go(func() {
			for ctx.Err() == nil {
				before := a.acknowledged
				if err := a.act(ctx, cl); err != nil {
					var e *client.Error
					if errors.As(err, &e) && e.Reason != "" && ctx.Err() == nil {
						t.Errorf("writer %s: %v", a.name, err) // a refusal, which no call here earns
					}
					return
				}
				if a.acknowledged > before {
					select {
					case acknowledged <- struct{}{}:
					default: // more than enough
					}
				}
			}
		})
	}
	for range minPerKill {
		select {
		case <-acknowledged:
		case <-time.After(openWithin): // a kmsd that answers nobody, which report fails
		}
	}
	stop(cancel)
	wg.Wait()
	for _, a := range w.writers {
		y.acknowledged += a.acknowledged
		a.acknowledged = 0
		if a.cut != nil {
			y.cut++
		}
	}
}
