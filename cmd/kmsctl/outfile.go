package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/kmsd/kmsd/internal/durable"
)

// secretMode is the mode of files with something in clear.
const secretMode fs.FileMode = 0o600

// outFlags are --out and --force.
type outFlags struct {
	path  string
	force bool
}

func (o *outFlags) add(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&o.path, "out", "", what)
	cmd.Flags().BoolVar(&o.force, "force", false, "replace the output file if it exists")
}

// toFile reports whether the output goes to a file.
func (o *outFlags) toFile() bool { return o.path != "" && o.path != standard }

// check says early what write would say late.
func (o *outFlags) check() error {
	if !o.toFile() || o.force {
		return nil
	}
	return absent(o.path, "--force replaces it")
}

// absent returns an error if there is something at path.
func absent(path, instead string) error {
	switch _, err := os.Lstat(path); {
	case err == nil:
		return hintAt(&fs.PathError{Op: "writing", Path: path, Err: fs.ErrExist}, instead)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return err
	}
}

// write writes b to the file, whole or not at all, with mode 0600.
func (o *outFlags) write(b []byte) error {
	if o.force {
		return durable.WriteFile(o.path, b, secretMode)
	}
	err := durable.CreateFile(o.path, b, secretMode)
	if errors.Is(err, fs.ErrExist) {
		return hintAt(&fs.PathError{Op: "writing", Path: o.path, Err: fs.ErrExist}, "--force replaces it")
	}
	return err
}

// stage is an output file that does not have its name yet.
type stage struct {
	io.Writer
	file *os.File // nil for standard output
	to   outFlags
}

// stage begins the output: in a temporary file beside its place, so that what fails leaves nothing there.
func (a *app) stage(to outFlags, mode fs.FileMode) (*stage, error) {
	if !to.toFile() {
		return &stage{Writer: a.stdout}, nil
	}
	if err := to.check(); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(to.path), "."+filepath.Base(to.path)+".tmp-*")
	if err != nil {
		return nil, fmt.Errorf("making the output file: %w", err)
	}
	s := &stage{Writer: f, file: f, to: to}
	if err := f.Chmod(mode); err != nil {
		return nil, errors.Join(err, s.drop())
	}
	return s, nil
}

// drop removes what was written.
func (s *stage) drop() error {
	if s.file == nil {
		return nil
	}
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}

// keep gives the file its name, durably.
func (s *stage) keep() error {
	if s.file == nil {
		return nil
	}
	if err := s.file.Sync(); err != nil {
		return errors.Join(err, s.drop())
	}
	flags := uint(unix.RENAME_NOREPLACE)
	if s.to.force {
		flags = 0
	}
	if err := unix.Renameat2(unix.AT_FDCWD, s.file.Name(), unix.AT_FDCWD, s.to.path, flags); err != nil {
		return errors.Join(&fs.PathError{Op: "writing", Path: s.to.path, Err: err}, s.drop())
	}
	return errors.Join(s.file.Close(), durable.SyncDir(filepath.Dir(s.to.path)))
}
