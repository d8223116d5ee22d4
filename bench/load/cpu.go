package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of the CPU times in /proc/PID/stat: USER_HZ is 100 on every architecture that kmsd runs on.
const tick = time.Second / 100

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
		return 0, fmt.Errorf("stat has no name")
	}
	fields := bytes.Fields(b[end+1:]) // from field 3 on
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat has %d fields after the name, want 13 or more", len(fields))
	}
	var ticks uint64
	for _, f := range fields[11:13] {
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
