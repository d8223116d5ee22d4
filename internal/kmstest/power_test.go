package kmstest

import (
	"fmt"
	"io"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/client"
)

// A loss of power is made as follows: the data folder is on a file system of its own, in a file. kmsd is killed, and the file copied at once: what was not synced is
// still in the page cache above the file system, and so not in the copy. The next kmsd works on the copy, after the file system has recovered.

const imageBytes = 32 << 20

// image is a file system in a file.
type image struct {
	t          *testing.T
	path, mnt  string
	generation int
}

func newImage(t *testing.T) *image {
	t.Helper()
	im := &image{t: t, path: filepath.Join(t.TempDir(), "image"), mnt: t.TempDir()}
	f, err := os.Create(im.path)
	if err == nil {
		err = f.Truncate(imageBytes)
		f.Close() // holds nothing yet
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", im.path).CombinedOutput(); err != nil {
		t.Skipf("making a file system: %v: %s", err, out)
	}
	if err := im.mount(); err != nil {
		t.Skipf("mounting a file system, which needs root and a loop device: %v", err)
	}
	t.Cleanup(im.unmount)
	return im
}

func (im *image) mount() error {
	if out, err := exec.Command("mount", "-o", "loop,noatime", im.path, im.mnt).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (im *image) unmount() {
	if err := unix.Unmount(im.mnt, 0); err != nil {
		im.t.Errorf("unmounting: %v", err)
	}
}

// flush makes all that is on the file system durable.
func (im *image) flush() {
	im.t.Helper()
	d, err := os.Open(im.mnt)
	if err != nil {
		im.t.Fatal(err)
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		im.t.Fatal(err)
	}
}

// cutPower goes on with what has reached the disk.
func (im *image) cutPower() {
	im.t.Helper()
	im.generation++
	next := filepath.Join(filepath.Dir(im.path), fmt.Sprint("image-", im.generation))
	err := copyFile(next, im.path)
	im.unmount() // writes the rest to a file that nobody reads again
	if err == nil {
		err = os.Remove(im.path)
	}
	im.path = next
	if err == nil {
		err = im.mount()
	}
	if err != nil {
		im.t.Fatalf("cutting the power: %v", err)
	}
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() {
		if e := out.Close(); err == nil {
			err = e
		}
	}()
	_, err = io.Copy(out, in)
	return err
}

// TestPowerLoss is TestCrash with a loss of power in the place of each kill. Its rounds take twice as long, so that it makes half of those asked for.
func TestPowerLoss(t *testing.T) {
	seed := mathrand.Uint64()
	n := rounds(t, 5, 2)
	if os.Getenv(roundsEnv) != "" {
		n = (n + 1) / 2
	}
	y := losePower(t, n, seed)
	for _, l := range y.lost {
		t.Errorf("seed %d: lost: %s", seed, l)
	}
	y.report(t, seed)
}

// A kmsd that does not sync all that it should must be seen to lose what it acknowledged, or TestPowerLoss sees nothing.
func TestPowerLossWithoutSync(t *testing.T) {
	for _, what := range []string{"everything", "audit", "store"} {
		t.Run(what, func(t *testing.T) {
			seed := mathrand.Uint64()
			y := losePower(t, 4, seed, noSyncEnv+"="+what)
			if len(y.lost) == 0 {
				t.Errorf("seed %d: nothing lost in %d rounds with %d acknowledged calls", seed, y.rounds, y.acknowledged)
				return
			}
			t.Logf("seed %d: after %d rounds and %d acknowledged calls, %d losses; the first: %.200s", seed, y.rounds, y.acknowledged, len(y.lost), y.lost[0])
		})
	}
}

// losePower makes rounds until something is lost.
func losePower(t *testing.T, n int, seed uint64, env ...string) *tally {
	t.Helper()
	rng := mathrand.New(mathrand.NewPCG(seed, 0))
	im := newImage(t)
	dir := newFolder(t, im.mnt)
	im.flush()
	w, y := newWorld(rng.Uint64()), &tally{}
	for y.rounds < n && len(y.lost) == 0 {
		if y.rounds > 0 && y.rounds%freshAfter == 0 {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			dir, w = newFolder(t, im.mnt), newWorld(rng.Uint64())
			im.flush()
		}
		w.round(t, dir, y, rng, env...)
		im.cutPower()
	}
	if len(y.lost) == 0 {
		w.reopen(t, dir, y, func(*child, *client.Client) {}, env...)
	}
	return y
}

// pretendToSync makes this process believe that it syncs: "everything", only the "store" or only the "audit" log is lied about. The system calls succeed
// without being made.
func pretendToSync(what string) (audit.OpenFileFunc, error) {
	switch what {
	case "everything":
		return nil, succeedWithout(unix.SYS_FSYNC, unix.SYS_FDATASYNC)
	case "store": // its system call is fdatasync; the log is given another
		return func(path string, flag int, perm fs.FileMode) (audit.File, error) {
			f, err := os.OpenFile(path, flag, perm)
			return honestFile{f}, err
		}, succeedWithout(unix.SYS_FDATASYNC)
	case "audit":
		return func(path string, flag int, perm fs.FileMode) (audit.File, error) {
			f, err := os.OpenFile(path, flag, perm)
			return lyingFile{f}, err
		}, nil
	}
	return nil, fmt.Errorf("%s=%q", noSyncEnv, what)
}

type honestFile struct{ *os.File }

func (f honestFile) Datasync() error { return f.Sync() }

type lyingFile struct{ *os.File }

func (lyingFile) Datasync() error { return nil }

// succeedWithout installs a filter, for all threads and for good, under which system calls return 0 and do nothing.
func succeedWithout(calls ...uint32) error {
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the number of the call
	for _, nr := range calls {
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	return nil
}
