package powerfs_test

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/kmsd/kmsd/internal/powerfs"
)

// The process that loses power is this test binary, started again with these.
const (
	roleEnv = "KMSD_POWERFS_ROLE"
	dirEnv  = "KMSD_POWERFS_DIR"
)

// What a process says about itself; all other lines are its role's.
const (
	opened = "opened" // it works on what it was given, and waits for one line
	done   = "done"
)

// roles are what a process can be :: name → what it does in a folder, until it fails.
var roles = map[string]func(dir string, out io.Writer) error{
	"store-create": createStore, "store": serveStore,
	"audit-create": createAudit, "audit": serveAudit,
	"kmsd-create": createKMSD, "kmsd": serveKMSD,
}

func TestMain(m *testing.M) {
	role, ok := roles[os.Getenv(roleEnv)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := role(os.Getenv(dirEnv), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(done)
}

// ready tells the parent that what was there is open, and waits until it has looked at it.
func ready(out io.Writer) error {
	if _, err := fmt.Fprintln(out, opened); err != nil {
		return err
	}
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	return err
}

// A process runs a role.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

func start(t *testing.T, role, dir string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), roleEnv+"="+role, dirEnv+"="+dir)
	p.cmd.Stderr = &p.stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watch := time.AfterFunc(patience, p.signal)
	t.Cleanup(func() {
		watch.Stop()
		p.kill()
	})
	return p
}

// signal sends SIGKILL. What the process said before can still be read.
func (p *process) signal() { _ = p.cmd.Process.Kill() } // or it has ended

// kill ends the process and waits until it has ended. What it said and was not read is gone.
func (p *process) kill() {
	p.signal()
	_ = p.cmd.Wait() // killed: always an error
}

// until returns the lines that the process says before it says word; ok says whether it does.
func (p *process) until(word string) (said []string, ok bool) {
	for {
		line, err := p.out.ReadString('\n')
		if err != nil {
			return said, false // half a line does not count
		}
		if line = line[:len(line)-1]; line == word {
			return said, true
		}
		said = append(said, line)
	}
}

func (p *process) proceed() error {
	_, err := io.WriteString(p.in, "\n")
	return err
}

// complaint is the end of what the process said on its standard error.
func (p *process) complaint() string {
	b := bytes.TrimSpace(p.stderr.Bytes())
	return string(b[max(0, len(b)-400):])
}

// A subject is what must not lose anything, seen from outside: it keeps what was acknowledged.
type subject interface {
	// check looks at what is there after a cut. said is what the process said before it was open.
	check(dir string, said []string) error
	// work has p work until the power is off, and returns how much was acknowledged meanwhile. p is killed soon after that.
	work(p *process, off <-chan struct{}) (int, error)
}

// A trial is a number of power cuts on one sort of subject.
type trial struct {
	role string
	new  func() subject
	// steps is how many changes and syncs there are between an opening and a cut: as many on average as acknowledge well over 10 calls.
	steps  int
	ignore bool // the disk ignores syncs
	kill   bool // before each cut a process is killed, which leaves what it did not sync to the next, and the cut comes early in that
}

const (
	newMachine  = 20          // cuts after which a trial begins anew on an empty disk
	openingCut  = 4           // one cut in so many comes while the subject opens, or soon after
	openingStep = 40          // at most so many steps after its start
	firstCommit = 8           // steps in which a process that opened makes its first change
	patience    = time.Minute // with a process
)

// tally is what a trial has seen.
type tally struct {
	cuts, acked int
	loss        powerfs.Loss
}

// run cuts the power so many times. An error says what was lost; the test fails by itself if the trial does not work.
func (tr trial) run(t *testing.T, rounds int, rng *rand.Rand) (sum tally, err error) {
	t.Helper()
	var disk *powerfs.FS
	var s subject
	for round := range rounds {
		if round%newMachine == 0 {
			disk, s = powerfs.Mount(t, powerfs.Options{Seed: rng.Uint64(), IgnoreSync: tr.ignore}), tr.new()
			p := start(t, tr.role+"-create", disk.Dir())
			if _, ok := p.until(done); !ok {
				p.kill()
				t.Fatalf("creating the %s: %s", tr.role, p.complaint())
			}
			p.kill()
			disk.Sync()
		}
		within := 0
		if round%openingCut == openingCut-1 {
			within = openingStep
		}
		acked, err := tr.round(t, disk, s, rng, within)
		sum.acked += acked
		if err == nil && tr.kill {
			disk.PowerOn()
			acked, err = tr.round(t, disk, s, rng, firstCommit)
			sum.acked += acked
		}
		if err != nil {
			return sum, fmt.Errorf("round %d: %w", round, err)
		}
		loss, err := disk.PowerCut()
		if err != nil {
			t.Fatal(err)
		}
		sum.cuts++
		sum.loss.Sectors += loss.Sectors
		sum.loss.SectorsLost += loss.SectorsLost
		sum.loss.Entries += loss.Entries
		sum.loss.EntriesLost += loss.EntriesLost
		if last := round == rounds-1 || round%newMachine == newMachine-1; last {
			if err := tr.look(t, disk, s); err != nil {
				return sum, fmt.Errorf("after round %d: %w", round, err)
			}
		}
	}
	return sum, nil
}

// round opens what is there, looks at it, and works on it until the power is off. If within is not 0 that is within so many steps from the
// start, and may come before it is open.
func (tr trial) round(t *testing.T, disk *powerfs.FS, s subject, rng *rand.Rand, within int) (int, error) {
	t.Helper()
	off := make(<-chan struct{})
	if within > 0 {
		off = disk.PowerOffAfter(rng.IntN(within))
	}
	p := start(t, tr.role, disk.Dir())
	defer p.kill()
	said, ok := p.until(opened)
	if !ok {
		if isOff(off) {
			return 0, nil
		}
		p.kill()
		return 0, fmt.Errorf("it does not open: %s", p.complaint())
	}
	if err := s.check(disk.Dir(), said); err != nil && !isOff(off) {
		return 0, err
	}
	if within == 0 {
		off = disk.PowerOffAfter(tr.steps/4 + rng.IntN(3*tr.steps/2))
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-off:
		case <-time.After(patience):
		}
		p.signal()
	}()
	acked, err := s.work(p, off)
	<-ended
	if !isOff(off) {
		p.kill()
		t.Fatalf("the %s did not get to the power cut: %v, %s", tr.role, err, p.complaint())
	}
	return acked, err
}

// look opens what is there a last time.
func (tr trial) look(t *testing.T, disk *powerfs.FS, s subject) error {
	t.Helper()
	p := start(t, tr.role, disk.Dir())
	defer p.kill()
	said, ok := p.until(opened)
	if !ok {
		p.kill()
		return fmt.Errorf("it does not open: %s", p.complaint())
	}
	return s.check(disk.Dir(), said)
}

func isOff(off <-chan struct{}) bool {
	select {
	case <-off:
		return true
	default:
		return false
	}
}

// number returns what the environment says, or otherwise.
func number(t *testing.T, env string, otherwise uint64) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(cmp.Or(os.Getenv(env), strconv.FormatUint(otherwise, 10)), 10, 63)
	if err != nil {
		t.Fatalf("%s: %v", env, err)
	}
	return n
}

// random returns a source of randomness that KMSD_CRASH_SEED repeats. When a process gets to which step is not repeated with it.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := number(t, "KMSD_CRASH_SEED", rand.Uint64()>>1)
	t.Logf("seed: KMSD_CRASH_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

func crashRounds(t *testing.T) int {
	t.Helper()
	if testing.Short() {
		return int(number(t, "KMSD_CRASH_ROUNDS", 5))
	}
	return int(number(t, "KMSD_CRASH_ROUNDS", 20))
}

// keeps fails the test if anything that was acknowledged is lost in a number of power cuts.
func (tr trial) keeps(t *testing.T) {
	t.Helper()
	rng := random(t)
	began := time.Now()
	rounds := crashRounds(t)
	sum, err := tr.run(t, rounds, rng)
	switch {
	case err != nil:
		t.Errorf("%s: lost in a power cut: %v", tr.role, err)
	case sum.acked < 10*rounds:
		t.Errorf("%s: %d acknowledged in %d power cuts, want 10 per cut: nothing was tested", tr.role, sum.acked, rounds)
	case sum.loss.SectorsLost == 0:
		t.Errorf("%s: no sector was lost in %d power cuts: nothing was tested", tr.role, rounds)
	default:
		t.Logf("%s: %d power cuts, %d acknowledged, 0 lost; %d of %d sectors and %d of %d entries that were not synced were dropped; %v",
			tr.role, sum.cuts, sum.acked, sum.loss.SectorsLost, sum.loss.Sectors, sum.loss.EntriesLost, sum.loss.Entries, time.Since(began).Round(time.Millisecond))
	}
}

// teethRounds is after how many power cuts at most a disk that ignores syncs must show.
const teethRounds = 40

// bites fails the test if nothing is lost on a disk that ignores syncs: then the harness would not notice a missing one either.
func (tr trial) bites(t *testing.T) {
	t.Helper()
	rng := random(t)
	tr.ignore = true
	sum, err := tr.run(t, teethRounds, rng)
	if err == nil {
		t.Errorf("%s without sync: nothing lost of %d acknowledged in %d power cuts: the harness has no teeth", tr.role, sum.acked, sum.cuts)
	}
	t.Logf("%s without sync: after %d power cuts and %d acknowledged: %v", tr.role, sum.cuts, sum.acked, err)
}
