package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

const statTail = " S 1 4242 4242 0 -1 4194560 1500 0 0 0 250 75 9 9 20 0 12 0 8888 1269760000 5000"

func TestParseStat(t *testing.T) {
	for name, test := range map[string]struct {
		stat string
		want time.Duration
	}{
		"a plain name":                       {"4242 (kmsd)" + statTail, 3250 * time.Millisecond},
		"a name with spaces and parentheses": {"4242 (a) S 1 (b c)" + statTail, 3250 * time.Millisecond},
	} {
		if got, err := parseStat([]byte(test.stat)); err != nil || got != test.want {
			t.Errorf("%s: parseStat(%q) = %v, %v, want %v", name, test.stat, got, err, test.want)
		}
	}
	for name, stat := range map[string]string{
		"nothing":          "",
		"no name":          "4242 kmsd S 1",
		"cut short":        "4242 (kmsd) S 1 4242 4242",
		"a time of words":  "4242 (kmsd)" + strings.Replace(statTail, " 250 ", " much ", 1),
		"a negative time":  "4242 (kmsd)" + strings.Replace(statTail, " 75 ", " -75 ", 1),
		"a time beyond it": "4242 (kmsd)" + strings.Replace(statTail, " 75 ", " 99999999999999999999 ", 1),
	} {
		if got, err := parseStat([]byte(stat)); err == nil || got != 0 {
			t.Errorf("%s: parseStat(%q) = %v, %v, want an error", name, stat, got, err)
		}
	}
}

func TestParseMachineStat(t *testing.T) {
	// user 100, nice 10, system 200; idle 5000, iowait 300; irq 1, softirq 20, steal 30; guest 7, guest_nice 3.
	stat := "cpu  100 10 200 5000 300 1 20 30 7 3\ncpu0 50 5 100 2500 150 0 10 15 3 1\n"
	if got, err := parseMachineStat([]byte(stat)); err != nil || got != 3610*time.Millisecond {
		t.Errorf("parseMachineStat(%q) = %v, %v, want 3.61s", stat, got, err)
	}
	for _, stat := range []string{"", "cpu0 1 2 3 4 5 6 7 8 9 10", "cpu 1 2 3 4 5 6 7", "cpu 1 2 x 4 5 6 7 8 9 10"} {
		if got, err := parseMachineStat([]byte(stat)); err == nil || got != 0 {
			t.Errorf("parseMachineStat(%q) = %v, %v, want an error", stat, got, err)
		}
	}
}

func TestOwnTimesAreReadAlike(t *testing.T) {
	for end := time.Now().Add(10 * time.Second); ownCPU() < 200*time.Millisecond && time.Now().Before(end); { // use some
	}
	got, err := readCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if got.server < 100*time.Millisecond || (got.server-got.client).Abs() > 100*time.Millisecond || got.all < got.server {
		t.Errorf("/proc says that this process used %v, getrusage says %v, and all of the machine %v", got.server, got.client, got.all)
	}
	if _, err := processCPU(1 << 30); err == nil {
		t.Error("a process that is not there has a CPU time")
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("4242 (kmsd)" + statTail))
	f.Add([]byte("cpu  100 10 200 5000 300 1 20 30 7 3\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, parse := range map[string]func([]byte) (time.Duration, error){"parseStat": parseStat, "parseMachineStat": parseMachineStat} {
			if got, err := parse(b); got < 0 || err != nil && got != 0 {
				t.Errorf("%s(%q) = %v, %v", name, b, got, err)
			}
		}
	})
}
