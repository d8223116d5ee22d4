// Package powerfs is a file system whose power can be cut: it lives in memory, is mounted through FUSE, and remembers what was made durable
// and what was only written. After a cut, what was not made durable is there, or not, at random, as POSIX allows it:
//
//   - of a file, fsync and fdatasync make everything durable that was written before. Of what was written since, each sector of 512 bytes
//     holds what it held at one of the writes since the last sync, or before them; the size is that after one of the changes since then. A
//     sector is not torn: disks promise that.
//   - of a folder, fsync makes the entries durable: files made, linked, renamed and removed in it. Of the changes since then, those up to
//     a random one are there. Folders are independent of each other, and a file's fsync does nothing for its entry, in which the package
//     is less kind than most file systems.
//
// It does not do what kmsd does not need: writes through a memory map, renaming from one folder to another, symbolic links, extended attributes,
// owners. Locks are the kernel's and die with their process. What it holds is in memory; a file has at most 1 GiB.
//
// A process that has the mounted folder's FS must not map its files into memory, nor start a process while it has one open: the file system
// is served by goroutines that could wait for that process's own threads. Work on the files in a child process.
//
// Trust: none is needed; it is for tests, as root, on a folder of the test's own.
package powerfs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Sector is how many bytes a disk writes as one, in bytes.
const Sector = 512

// Options say how a file system behaves.
type Options struct {
	IgnoreSync bool   // fsync and fdatasync are acknowledged and do nothing
	Seed       uint64 // of what survives a cut; the same changes and the same seed give the same files
}

// FS is a mounted file system. Its methods may be called concurrently, but for PowerCut.
type FS struct {
	dir    string
	ignore bool
	server *fuse.Server

	mu    sync.Mutex // guards what follows, and every file and folder
	rng   *rand.Rand
	root  *folder
	steps int           // changes and syncs that were asked for while there was power
	limit int           // of steps: the power goes off instead of the next one
	off   chan struct{} // closed when the power is off
}

// never is a limit of steps that is not reached.
const never = int(^uint(0) >> 1)

// Mount makes an empty file system and mounts it on a folder of its own until t ends. Where that is not possible (no /dev/fuse, not root) it
// skips t.
func Mount(t testing.TB, o Options) *FS {
	t.Helper()
	f := &FS{dir: t.TempDir(), ignore: o.IgnoreSync, rng: rand.New(rand.NewPCG(o.Seed, 0)), limit: never, off: make(chan struct{})}
	f.root = newFolder(f, 0o700)
	err := f.mount()
	for _, refused := range []error{unix.ENOENT, unix.ENODEV, unix.ENXIO, unix.EPERM, unix.EACCES} {
		if errors.Is(err, refused) {
			t.Skipf("NOT TESTED, what a loss of power does: mounting a FUSE file system takes /dev/fuse and root: %v", err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.unmount(); err != nil {
			t.Errorf("unmounting %s: %v", f.dir, err)
		}
	})
	return f
}

// Dir is where the file system is mounted. It stays the same.
func (f *FS) Dir() string { return f.dir }

// Steps returns how many changes and syncs were asked for since Mount.
func (f *FS) Steps() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.steps
}

// Sync makes everything durable, also with Options.IgnoreSync.
func (f *FS) Sync() {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := map[node]bool{}
	var visit func(node)
	visit = func(n node) {
		if seen[n] {
			return
		}
		seen[n] = true
		n.settle()
		if d, ok := n.(*folder); ok {
			for _, child := range d.entries {
				visit(child)
			}
		}
	}
	visit(f.root)
}

// PowerOffAfter lets n further changes and syncs through, in the order in which they come, and then turns the power off, which closes the
// channel: from then on every change and sync fails with EIO and changes nothing. Reads go on, so that processes can be killed in peace.
func (f *FS) PowerOffAfter(n int) (off <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limit = f.steps + n
	return f.off
}

// PowerOn takes PowerOffAfter back and loses nothing: then it was as if the processes had been killed at that step, and nothing else.
func (f *FS) PowerOn() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limit, f.off = never, make(chan struct{})
}

// step is called before each change and sync, with f.mu held.
func (f *FS) step() syscall.Errno {
	select {
	case <-f.off:
		return syscall.EIO
	default:
	}
	if f.steps >= f.limit {
		close(f.off)
		return syscall.EIO
	}
	f.steps++
	return fs.OK
}

// Loss says what a cut had to decide about, and how it did.
type Loss struct {
	Sectors, SectorsLost int // written and not synced
	Entries, EntriesLost int // changes of folders, not synced
}

// PowerCut turns the power off and on again: afterwards the folder holds what survived, all of it durable, and the kernel's cache is empty. No
// process may have anything open in the folder.
func (f *FS) PowerCut() (Loss, error) {
	if err := f.unmount(); err != nil {
		return Loss{}, fmt.Errorf("cutting the power: %w", err)
	}
	f.mu.Lock()
	w := &wreck{rng: f.rng, fs: f, saved: map[node]node{}}
	f.root = w.folder(f.root)
	f.limit, f.off = never, make(chan struct{})
	f.mu.Unlock()
	if err := f.mount(); err != nil {
		return w.loss, fmt.Errorf("turning the power on again: %w", err)
	}
	return w.loss, nil
}

// mount does what fusermount does, and closes the device on exec: a child that held it could outlive this process for ever, waiting for itself.
func (f *FS) mount() error {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/dev/fuse", Err: err}
	}
	const maxWrite = 128 << 10
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,max_read=%d", fd, os.Geteuid(), os.Getegid(), maxWrite)
	if err := unix.Mount("powerfs", f.dir, "fuse.powerfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return &os.PathError{Op: "mount", Path: f.dir, Err: errors.Join(err, unix.Close(fd))}
	}
	long := time.Hour // nobody changes anything but through this mount
	raw := fs.NewNodeFS(f.root, &fs.Options{EntryTimeout: &long, AttrTimeout: &long, NullPermissions: true})
	f.server, err = fuse.NewServer(raw, fmt.Sprintf("/dev/fd/%d", fd), &fuse.MountOptions{MaxWrite: maxWrite, DisableXAttrs: true})
	if err != nil {
		return errors.Join(err, f.unmount())
	}
	go f.server.Serve()
	return f.refusePoll()
}

// refusePoll makes the kernel ask once whether files can be polled, and learn that they cannot. Otherwise it would ask when the Go runtime
// of this process opens the first one, from a thread that the answer may need. The file is one that go-fuse has for this.
func (f *FS) refusePoll() error {
	fd, err := unix.Open(filepath.Join(f.dir, ".go-fuse-epoll-hack"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return errors.Join(err, unix.Close(fd))
}

// unmount waits a second for files to be closed, and then unmounts over their heads.
func (f *FS) unmount() error {
	var err error
	for range 100 {
		if err = unix.Unmount(f.dir, 0); !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if errors.Is(err, unix.EBUSY) {
		return errors.Join(err, unix.Unmount(f.dir, unix.MNT_DETACH))
	}
	if f.server != nil {
		f.server.Wait()
	}
	return err
}
