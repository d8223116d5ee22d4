package audit

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// File is what the log needs of a segment file that is open for writing.
type File interface {
	// Write appends p at the end of the file. A short write returns an error.
	io.Writer
	// Datasync returns when all that was written, and the file's size, will survive a loss of power.
	Datasync() error
	// Truncate cuts the file to size bytes, and gives back blocks reserved beyond.
	Truncate(size int64) error
	// Close does not make anything durable.
	Close() error
}

// Preallocator is a File that can reserve room. A File need not be one.
type Preallocator interface {
	// Preallocate reserves the blocks of the first size bytes and leaves the file's size as it is.
	Preallocate(size int64) error
}

// OpenFileFunc opens a segment for appending, as os.OpenFile does.
type OpenFileFunc func(path string, flag int, perm fs.FileMode) (File, error)

// osFile is the File of a real file system.
type osFile struct{ *os.File }

var (
	_ File         = osFile{}
	_ Preallocator = osFile{}
)

func openOSFile(path string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (f osFile) Datasync() error {
	return retry(func() error { return unix.Fdatasync(int(f.Fd())) })
}

func (f osFile) Preallocate(size int64) error {
	return retry(func() error { return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size) })
}

// retry calls again what a signal has interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// lockDir takes the folder's lock for this process. A second one gets ErrLocked at once.
func lockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = retry(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
