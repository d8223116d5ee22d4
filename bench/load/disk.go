package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// disk is what a synced append costs. Every answer of kmsd waits for one.
type disk struct {
	Filesystem string  `json:"filesystem"`
	P50        float64 `json:"fdatasync_p50_us"`
	P99        float64 `json:"fdatasync_p99_us"`
}

// The probe ends after so many appends or so much time.
const (
	probeAppends = 1000
	probeTime    = 2 * time.Second
	probeBytes   = 512
)

func diskCommand(args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("load disk", flag.ContinueOnError)
	dir := f.String("dir", "", "the folder to measure in (required)")
	if err := parse(f, args, stderr); err != nil {
		return err
	}
	if *dir == "" {
		return errors.New("--dir is required")
	}
	d, err := probe(*dir)
	if err != nil {
		return fmt.Errorf("measuring the disk: %w", err)
	}
	return json.NewEncoder(stdout).Encode(d)
}

// probe appends to a file that room is reserved for and whose length grows, as the audit log's does, and syncs each append.
func probe(dir string) (d disk, err error) {
	path := filepath.Join(dir, "fdatasync-probe")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return disk{}, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return disk{}, err
	}
	if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, probeAppends*probeBytes); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return disk{}, err
	}
	h := newHistogram()
	line := make([]byte, probeBytes)
	until := time.Now().Add(probeTime)
	for n := 0; n < probeAppends && time.Now().Before(until); n++ {
		began := time.Now()
		if _, err := f.Write(line); err != nil {
			return disk{}, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return disk{}, err
		}
		if err := h.RecordValue(max(1, time.Since(began).Microseconds())); err != nil {
			return disk{}, err
		}
	}
	return disk{filesystem(int64(fs.Type)), float64(h.ValueAtQuantile(50)), float64(h.ValueAtQuantile(99))}, nil
}

// filesystem names a file system by its number in statfs(2).
func filesystem(magic int64) string {
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.TMPFS_MAGIC:
		return "tmpfs (no disk: syncs cost nothing, the figures flatter)"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	}
	return fmt.Sprintf("%#x", magic)
}
