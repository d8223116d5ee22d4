package daemon

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Harden closes the ways by which other processes of the same user read this one's memory: no core file, no ptrace, no new privileges for
// children. It is for the whole process and cannot be undone.
func Harden() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core files: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbidding ptrace: %w", err)
	}
	if err := forbidNewPrivileges(); err != nil {
		return fmt.Errorf("forbidding new privileges: %w", err)
	}
	return nil
}

// forbidNewPrivileges does it for every thread, of which each has the attribute by itself (prctl(2)). In a program with cgo, which kmsd is only
// under the race detector, Go cannot reach the others: then it is done for the calling thread and those that it starts.
func forbidNewPrivileges() error {
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	switch {
	case errno == 0:
		return nil
	case errors.Is(errno, syscall.ENOTSUP):
		return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
	return errno
}
