// Package unixsocket opens unix sockets that only their owner can connect to, and replaces those that a killed process has left behind.
//
// It does not know what is spoken on them.
//
// Trust: the folder of a socket belongs to who runs kmsd. Who can write there can put a socket of his own in its place.
package unixsocket

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// maxPath is the length of the longest path of a unix socket on Linux, in bytes.
const maxPath = 107

// ErrInUse means that a process listens on a socket.
var ErrInUse = errors.New("another process listens on the socket")

// Listen opens a unix socket at path, which only its owner can connect to from the first moment on. The folder must exist. A socket that nobody listens
// on is replaced; one that somebody does is not (ErrInUse), nor is a file that is no socket. Close removes the socket.
func Listen(path string) (net.Listener, error) {
	l, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("opening the socket %s: %w", path, err)
	}
	return l, nil
}

func listen(path string) (net.Listener, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if len(path) > maxPath {
		return nil, fmt.Errorf("the path has %d bytes, at most %d are possible", len(path), maxPath)
	}
	unlock, err := lockFolder(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := free(path); err != nil {
		return nil, err
	}
	return bind(path)
}

// lockFolder keeps others who open sockets in a folder waiting. It waits a second for them, which is far more than they need, and then goes on without: whoever
// can read the folder can hold the lock too.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(time.Second); ; time.Sleep(10 * time.Millisecond) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil // which unlocks it
		}
		held := errors.Is(err, syscall.EWOULDBLOCK)
		switch {
		case held && time.Now().After(end):
			return func() { f.Close() }, nil
		case !held:
			f.Close()
			return nil, fmt.Errorf("locking the folder: %w", err)
		}
	}
}

// free returns an error unless path is free, or a socket that nobody listens on.
func free(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("there is a file that is no socket: remove it, or choose another path")
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return ErrInUse
	}
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("finding out whether it is in use: %w", err)
}

// bind makes the socket in a folder that nobody else can enter, and moves it to its place when its mode is right.
func bind(path string) (_ net.Listener, err error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".kmsd-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	at := filepath.Join(dir, "s")
	if len(at) > maxPath {
		return nil, fmt.Errorf("the path of the folder is too long by %d bytes", len(at)-maxPath)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: at, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	info, err := placed(at, path)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &socket{Listener: l, path: path, info: info}, nil
}

// placed gives a socket its mode and its place.
func placed(from, to string) (fs.FileInfo, error) {
	if err := os.Chmod(from, 0o600); err != nil {
		return nil, err
	}
	info, err := os.Lstat(from)
	if err != nil {
		return nil, err
	}
	return info, os.Rename(from, to)
}

// socket removes its file when it is closed, unless somebody has put another one there.
type socket struct {
	net.Listener
	path string
	info fs.FileInfo
}

// Addr is the path.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// Close removes the socket and listens no more.
func (s *socket) Close() error {
	if info, err := os.Lstat(s.path); err == nil && os.SameFile(info, s.info) {
		os.Remove(s.path) // else it is replaced by the next start
	}
	return s.Listener.Close()
}
