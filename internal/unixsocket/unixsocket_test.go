package unixsocket_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/kmsd/kmsd/internal/unixsocket"
)

// leaves wants nothing in a folder but these.
func leaves(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s holds %v, want %v", dir, got, want)
	}
}

func TestSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "k.sock")
	l, err := unixsocket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 || l.Addr().String() != path {
		t.Errorf("the socket %v has mode %v, %v, want %v and 0600", l.Addr(), info.Mode(), err, path)
	}
	if _, err := unixsocket.Listen(path); !errors.Is(err, unixsocket.ErrInUse) {
		t.Errorf("Listen on a socket in use = %v, want ErrInUse", err)
	}
	if conn, err := net.Dial("unix", path); err != nil {
		t.Errorf("the socket in use was touched: %v", err)
	} else {
		conn.Close()
	}
	leaves(t, dir, "k.sock")
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	leaves(t, dir)
}

// TestSocketOfAnotherRun: what a process that was killed has left is replaced; what is no socket is not; and who closes late removes no other's socket.
func TestSocketOfAnotherRun(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "k.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(path, 0o777), stale.Close()); err != nil {
		t.Fatal(err)
	}
	first, err := unixsocket.Listen(path)
	if err != nil {
		t.Fatalf("Listen on a stale socket = %v", err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v, %v, want 0600", info.Mode(), err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := unixsocket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	leaves(t, dir, "k.sock")
	second.Close()
	leaves(t, dir)
	if err := os.WriteFile(path, []byte("something"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := unixsocket.Listen(path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("Listen on a file = %v, want that it is no socket", err)
	}
	if b, err := os.ReadFile(path); string(b) != "something" {
		t.Errorf("the file holds %q, %v", b, err)
	}
}

// TestSocketOfOne: of many who start at once one gets the socket.
func TestSocketOfOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k.sock")
	var got atomic.Int32
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			l, err := unixsocket.Listen(path)
			switch {
			case err == nil:
				got.Add(1)
				t.Cleanup(func() { l.Close() })
			case !errors.Is(err, unixsocket.ErrInUse):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := got.Load(); n != 1 {
		t.Errorf("%d have the socket, want 1", n)
	}
}

func TestSocketThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	for _, row := range []struct{ name, path, says string }{
		{"a path that is too long", filepath.Join(dir, strings.Repeat("x", 108)), "at most 107"},
		{"a folder that is not there", filepath.Join(dir, "none", "k.sock"), "no such file"},
		{"a folder", dir, "no socket"},
	} {
		if _, err := unixsocket.Listen(row.path); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: Listen = %v, want an error that says %q", row.name, err, row.says)
		}
	}
	leaves(t, dir)
}

// Who can open a folder can lock it, for as long as he likes: that keeps nobody from opening a socket in it.
func TestLockedFolder(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	l, err := unixsocket.Listen(filepath.Join(dir, "s"))
	if err != nil {
		t.Fatalf("Listen in a folder that somebody has locked = %v", err)
	}
	l.Close()
}
