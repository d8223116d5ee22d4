package seal

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// flagsOf returns the VmFlags of the mapping that has b, from /proc/self/smaps.
func flagsOf(t *testing.T, b []byte) []string {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := uintptr(unsafe.Pointer(&b[0]))
	found := false
	for s := bufio.NewScanner(f); s.Scan(); {
		var start, end uintptr
		if n, _ := fmt.Sscanf(s.Text(), "%x-%x ", &start, &end); n == 2 {
			found = start <= at && at < end
		}
		if flags, ok := strings.CutPrefix(s.Text(), "VmFlags:"); ok && found {
			return strings.Fields(flags)
		}
	}
	t.Fatal("the memory is in no mapping")
	return nil
}

func TestMemoryIsLockedAndNotDumped(t *testing.T) {
	secret, err := newMemory(32)
	if err != nil {
		t.Fatal(err)
	}
	anonymous, err := anonymousMemory(32)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		m    memory
		want []string // lo locked, dd not dumped, dc not inherited, wf wiped on fork
	}{
		{"the best there is", secret, []string{"lo", "dd"}},
		{"anonymous memory", anonymous, []string{"lo", "dd", "wf"}},
	} {
		if tc.m.unlocked != nil {
			t.Fatalf("%s is not locked: %v", tc.name, tc.m.unlocked)
		}
		flags := flagsOf(t, tc.m.bytes)
		for _, f := range tc.want {
			if !slices.Contains(flags, f) {
				t.Errorf("%s has flags %v, want %s among them", tc.name, flags, f)
			}
		}
		if !slices.Contains(flags, "wf") && !slices.Contains(flags, "dc") {
			t.Errorf("%s has flags %v: a forked process inherits it", tc.name, flags)
		}
		copy(tc.m.bytes, "0123456789")
		if err := tc.m.free(); err != nil {
			t.Errorf("free of %s = %v", tc.name, err)
		}
	}
}

// withoutLocking runs fn while the kernel does not let the process lock memory.
func withoutLocking(t *testing.T, fn func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &old); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread, without its capability, ends with the goroutine
		err := dropIPCLock()
		if err == nil {
			err = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 0, Max: old.Max})
		}
		if err == nil {
			fn()
			err = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &old)
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// dropIPCLock takes the capability from this thread that exempts it from RLIMIT_MEMLOCK.
func dropIPCLock() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << unix.CAP_IPC_LOCK
	return unix.Capset(&header, &data[0])
}

func TestMemoryThatCannotBeLocked(t *testing.T) {
	src, _ := keyFile(t)
	dir := t.TempDir()
	withoutLocking(t, func() {
		var warning error
		o := Options{Warn: func(err error) { warning = err }}
		domain, err := o.Create(filepath.Join(dir, "a"), src)
		if err != nil || domain.Len() != 32 {
			t.Errorf("Create = %v, want a key", err)
		}
		if !errors.Is(warning, ErrNotLocked) || !strings.Contains(warning.Error(), "RLIMIT_MEMLOCK") {
			t.Errorf("warning = %v, want ErrNotLocked and what to do", warning)
		}
		o = Options{RequireLocked: true}
		if domain, err := o.Open(filepath.Join(dir, "a"), src); !errors.Is(err, ErrNotLocked) || !domain.IsZero() {
			t.Errorf("Open that requires locked memory = %v, want ErrNotLocked", err)
		}
		if _, err := o.Create(filepath.Join(dir, "b"), src); !errors.Is(err, ErrNotLocked) {
			t.Errorf("Create that requires locked memory = %v, want ErrNotLocked", err)
		}
	})
	if _, err := os.Stat(filepath.Join(dir, "b")); err == nil {
		t.Error("the Create that failed left a seal")
	}
}
