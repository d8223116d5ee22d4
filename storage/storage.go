// Package storage keeps records in one file, so that what was acknowledged is there after a crash and what was
// altered is noticed.
//
// A record is a value under a kind and a path. Records change in transactions; a transaction that returned nil is
// durable. Under it is bbolt, which by itself serves most flipped bits as data: so every record is sealed with
// AES-256-GCM under a key derived from the domain key, bound to the store, its kind, its path and the generation that
// wrote it, and a sealed manifest (count, set hash, generation) changes in the same transaction, so that presence is
// authenticated as well as content. The format is described in docs/formats/store.md.
//
// The package does not know what the values mean, does not hide kinds, paths and sizes, does not back up, and does not
// cache values: a caller who must not wait keeps its own copy in memory.
//
// Trust: who can write the file can make the store refuse to open or to answer, and can replace the whole file by an
// older state of itself: that is detected by the caller, who compares Generation with the audit log. They cannot change,
// swap, add, remove or roll back single records unnoticed, and learn kinds, paths, sizes and times of change only.
// Who writes into the file while it is open can, beyond that, stop the process.
package storage

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound says that there is no such record. It is only returned when the manifest agrees that there is none.
	ErrNotFound = errors.New("storage: no such record")

	// ErrCorrupt says that the file is not what this store wrote. Errors that match it are *CorruptError.
	ErrCorrupt = errors.New("storage: corrupt")

	// ErrWrongKey says that the header of the file is whole and names another domain key.
	ErrWrongKey = errors.New("storage: the domain key is not the one this store was created with")

	// ErrLocked says that another process, or another Store of this one, has the file open.
	ErrLocked = errors.New("storage: the store is in use by another process")

	// ErrFull says that a change did not fit: no space, over quota, or over Config.MaxSize. Nothing changed, and the same
	// Store goes on; a later change succeeds when there is space again.
	ErrFull = errors.New("storage: no space")

	// ErrBroken says that an earlier write failed in a way that leaves the state of the file unknown. The Store answers
	// nothing more; opening the file again finds the state before or after the failed change.
	ErrBroken = errors.New("storage: an earlier write failed, the store must be opened again")

	// ErrClosed says that the Store was closed.
	ErrClosed = errors.New("storage: closed")
)

// A CorruptError says where the file is not what this store wrote. It matches ErrCorrupt.
type CorruptError struct {
	Page   int64 // number of the page, -1 if the damage is not known to be in one page
	Kind   Kind  // of the record; empty if the damage is not known to be in one record
	Path   string
	Reason string // in words, without any content of the file
}

// Error names the place and the reason.
func (e *CorruptError) Error() string {
	switch {
	case e.Kind != "":
		return fmt.Sprintf("storage: corrupt: record %s %q: %s", e.Kind, e.Path, e.Reason)
	case e.Page >= 0:
		return fmt.Sprintf("storage: corrupt: page %d: %s", e.Page, e.Reason)
	}
	return "storage: corrupt: " + e.Reason
}

// Is reports whether target is ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

func corruptPage(page uint64, format string, args ...any) error {
	return &CorruptError{Page: int64(page), Reason: fmt.Sprintf(format, args...)}
}

func corruptRecord(kind Kind, path, reason string) error {
	return &CorruptError{Page: -1, Kind: kind, Path: path, Reason: reason}
}

func corruptStore(reason string) error {
	return &CorruptError{Page: -1, Reason: reason}
}

// A Kind says what sort of record a path names: "key", "alias", "user". It matches [a-z][a-z0-9-]{0,31}.
type Kind string

// Limits of a record.
const (
	MaxKindLen  = 32      // bytes
	MaxPathLen  = 1024    // bytes; a path has at least one
	MaxValueLen = 1 << 20 // bytes; a value may be empty
)

func (k Kind) valid() bool {
	if len(k) == 0 || len(k) > MaxKindLen || k[0] < 'a' || k[0] > 'z' {
		return false
	}
	for i := range len(k) {
		c := k[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
