package audit

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const crashDirEnv = "KMSD_AUDIT_CRASH_DIR"

// crashChild appends with 8 writers until it is killed, and prints the id of each event that was acknowledged.
func crashChild(dir string) {
	c := testConfig(dir)
	c.SegmentBytes = 50_000
	l, err := Open(c)
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				e := decrypt(w*1_000_000 + i)
				if err := l.Append(context.Background(), e); err != nil {
					fmt.Println("error:", err)
					os.Exit(1)
				}
				fmt.Println(e.EventID) // one write(2)
			}
		})
	}
	wg.Wait()
}

// TestKill kills a process that writes, again and again: each event that it acknowledged must be in the log once.
func TestKill(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	c := testConfig(filepath.Join(t.TempDir(), "audit"))
	l, err := Create(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	acked := map[string]bool{} // event ids
	for range rounds {
		killRound(t, c.Dir, acked)
	}
	l, err = Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := eventsIn(t, c.Dir)
	for id := range acked {
		if got[id] != 1 {
			t.Errorf("acknowledged event %s is there %d times, want once", id, got[id])
		}
	}
	if r := mustVerify(t, c.Dir); r.TornTail != 0 {
		t.Errorf("TornTail = %d after Open, want 0", r.TornTail)
	}
	if len(acked) < 10*rounds {
		t.Errorf("only %d events acknowledged in %d rounds: nothing was tested", len(acked), rounds)
	}
	t.Logf("%d rounds, %d acknowledged, %d in the log", rounds, len(acked), len(got))
}

func killRound(t *testing.T, dir string, acked map[string]bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDirEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var kill *time.Timer
	for lines.Scan() {
		if kill == nil { // counted from the first acknowledgement
			kill = time.AfterFunc(time.Duration(rand.IntN(60))*time.Millisecond, func() { cmd.Process.Kill() })
		}
		if _, err := ParseID(lines.Text()); err != nil {
			if len(lines.Text()) < 36 {
				continue // the last line, cut short by the kill
			}
			t.Errorf("the process said %q", lines.Text())
			continue
		}
		acked[lines.Text()] = true
	}
	cmd.Wait() // killed: always an error
	if kill == nil {
		t.Fatal("the process acknowledged nothing")
	}
	kill.Stop()
}
