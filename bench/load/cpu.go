package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of the CPU times in /proc/PID/stat: USER_HZ is 100 on every architecture that kmsd runs on.
const tick = time.Second / 100

// cpuTimes are user and system times up to some moment.
type cpuTimes struct {
	server time.Duration
	client time.Duration // of the load generator
	all    time.Duration // of the whole machine, interrupts and what its host took away included
}

func readCPU(pid int) (t cpuTimes, err error) {
	if t.server, err = processCPU(pid); err != nil {
		return cpuTimes{}, err
	}
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return cpuTimes{}, fmt.Errorf("reading the machine's CPU time: %w", err)
	}
	if t.all, err = parseMachineStat(b); err != nil {
		return cpuTimes{}, fmt.Errorf("reading the machine's CPU time: %w", err)
	}
	t.client = ownCPU()
	return t, nil
}

// since is the time between two moments.
func (t cpuTimes) since(before cpuTimes) cpuTimes {
	return cpuTimes{t.server - before.server, t.client - before.client, t.all - before.all}
}

// processCPU is the user and system time that a process has had, of all its threads, those that have ended included.
func processCPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the server's CPU time: %w", err)
	}
	d, err := parseStat(b)
	if err != nil {
		return 0, fmt.Errorf("reading the server's CPU time: %w", err)
	}
	return d, nil
}

// parseStat reads utime and stime, fields 14 and 15 of proc_pid_stat(5). The second field is a name in parentheses that may hold
// spaces and parentheses itself, so that the fields are counted from its end.
func parseStat(b []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return 0, errors.New("stat has no name")
	}
	fields := bytes.Fields(b[end+1:]) // from field 3 on
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat has %d fields after the name, want 13 or more", len(fields))
	}
	return sumTicks(fields[11:13])
}

// parseMachineStat reads the first line of /proc/stat, see proc_stat(5): what the CPUs did but idle and wait for the disk.
func parseMachineStat(b []byte) (time.Duration, error) {
	line, _, _ := bytes.Cut(b, []byte{'\n'})
	fields := bytes.Fields(line)
	if len(fields) < 9 || string(fields[0]) != "cpu" {
		return 0, errors.New("stat does not begin with the times of all CPUs")
	}
	// user, nice, system; then idle and iowait; then irq, softirq, steal; then guest times, which are part of user and nice.
	return sumTicks(slices.Concat(fields[1:4], fields[6:9]))
}

func sumTicks(fields [][]byte) (time.Duration, error) {
	var ticks uint64
	for _, f := range fields {
		n, err := strconv.ParseUint(string(f), 10, 48)
		if err != nil {
			return 0, fmt.Errorf("stat has no time where it must be: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// ownCPU is the user and system time of this process.
func ownCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic("load: internal error: getrusage: " + err.Error())
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
