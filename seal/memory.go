package seal

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// memory is a few bytes outside of the Go heap that are not swapped, dumped or inherited, as far as the kernel allows.
type memory struct {
	bytes    []byte
	mapping  []byte
	unlocked error // why the memory may be written to swap space; nil if it may not
}

// newMemory returns n bytes of at most a page, zero. memfd_secret is best, because not even the kernel has it mapped;
// where it is missing or forbidden, anonymous memory is locked with mlock. If that is forbidden too, by
// RLIMIT_MEMLOCK, the memory is usable and unlocked says why.
func newMemory(n int) (memory, error) {
	if m, err := secretMapping(); err == nil {
		return memory{bytes: m[:n:n], mapping: m}, nil
	}
	return anonymousMemory(n)
}

func anonymousMemory(n int) (memory, error) {
	m, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return memory{}, fmt.Errorf("mapping memory for a key: %w", err)
	}
	for _, advice := range []int{unix.MADV_DONTDUMP, unix.MADV_WIPEONFORK} {
		if err := unix.Madvise(m, advice); err != nil {
			_ = unix.Munmap(m) // err says more
			return memory{}, fmt.Errorf("protecting memory for a key: %w", err)
		}
	}
	return memory{bytes: m[:n:n], mapping: m, unlocked: unix.Mlock(m)}, nil
}

// secretMapping returns a page of memfd_secret, which is locked and not dumped by its nature.
func secretMapping() ([]byte, error) {
	fd, err := unix.MemfdSecret(unix.FD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd) //nolint:errcheck // the mapping outlives it
	size := os.Getpagesize()
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, err
	}
	m, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	if err := unix.Madvise(m, unix.MADV_DONTFORK); err != nil {
		_ = unix.Munmap(m) // err says more
		return nil, err
	}
	return m, nil
}

// free erases the memory and gives it back. Nothing may refer to it any more.
func (m memory) free() error {
	clear(m.bytes)
	if err := unix.Munmap(m.mapping); err != nil {
		return fmt.Errorf("unmapping memory of a key: %w", err)
	}
	return nil
}
