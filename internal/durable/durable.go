// Package durable writes files that survive power loss.
//
// It follows the sequence that every file system promises to honour: write a temporary file in the
// same folder, fsync it, rename it to its name, fsync the folder. It does not append, lock or encrypt.
//
// Trust: who can write the folder can replace every file in it; callers authenticate what they read.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// WriteFile replaces the file at path by one that holds data, with permissions perm. When it returns nil,
// the new content is durable; when it returns an error, or the machine stops on the way, path holds the old
// content whole or the new content whole.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	return write(path, data, perm, os.Rename)
}

// CreateFile is WriteFile for a file that must not exist yet: if path exists it is left alone and the error
// matches fs.ErrExist.
func CreateFile(path string, data []byte, perm fs.FileMode) error {
	return write(path, data, perm, func(from, to string) error {
		err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
		if err != nil {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
		}
		return nil
	})
}

func write(path string, data []byte, perm fs.FileMode, publish func(from, to string) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return fmt.Errorf("creating a temporary file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := fill(f, data, perm); err != nil {
		return err
	}
	if err := publish(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// fill writes data to f, makes it durable and closes f, whatever happens.
func fill(f *os.File, data []byte, perm fs.FileMode) (err error) {
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Chmod(perm); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// SyncDir makes the entries of the folder dir durable: files created, renamed and removed in it.
func SyncDir(dir string) (err error) {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.Sync()
}
