package storage

import (
	"errors"
	"fmt"
	"strings"
)

// A Tx is one transaction. It belongs to the function it was given to: neither other goroutines nor later calls may use it.
type Tx struct {
	reader
	snap     *snapshot
	index    *index            // of the records as this transaction sees them
	manifest manifest          // as above
	writes   map[string]*entry // :: key → what is to be written, nil if it is to be removed; nil in a View
	pending  map[*entry][]byte // :: what this transaction put → the record, which is not in the file
	done     bool
}

func (tx *Tx) end() error {
	tx.done = true
	return tx.snap.release()
}

// run calls fn, ends the transaction and returns what fn returned. The commit comes after the end, because it may have to
// wait for all readers.
func (tx *Tx) run(fn func(*Tx) error) (err error) {
	defer func() {
		if endErr := tx.end(); err == nil {
			err = endErr
		}
	}()
	return fn(tx)
}

// Generation returns the generation that the transaction sees: in a View that of the last commit, in an Update the one
// that will be committed.
func (tx *Tx) Generation() uint64 { return tx.manifest.generation }

func (tx *Tx) check(kind Kind, path string) (key string, err error) {
	switch {
	case tx.done:
		return "", errors.New("storage: the transaction is over")
	case !kind.valid():
		return "", errors.New("storage: not a valid kind")
	case path == "" || len(path) > MaxPathLen:
		return "", fmt.Errorf("storage: a path has 1 to %d bytes, not %d", MaxPathLen, len(path))
	}
	return recordKey(kind, path), nil
}

// Get returns the value of a record, in a slice that belongs to the caller. The error matches ErrNotFound if there is no
// such record, and ErrCorrupt if there is one but the file has it no more, or another than was last written.
func (tx *Tx) Get(kind Kind, path string) ([]byte, error) {
	key, err := tx.check(kind, path)
	if err != nil {
		return nil, err
	}
	e := tx.index.find(key)
	if e == nil {
		return nil, ErrNotFound
	}
	return tx.read(key, e, tx.pending[e])
}

// verify checks one record of the file against the index.
func (tx *Tx) verify(key string, record []byte) error {
	kind, path, ok := splitKey(key)
	if !ok {
		return corruptStore("a key is not the key of a record")
	}
	e := tx.index.find(key)
	if e == nil {
		return corruptRecord(kind, path, "was not written by this store")
	}
	_, err := tx.open(key, record, e)
	return err
}

// Put sets the value of a record, which may be new. It keeps no reference to value.
func (tx *Tx) Put(kind Kind, path string, value []byte) error {
	key, err := tx.checkWrite(kind, path)
	if err != nil {
		return err
	}
	if len(value) > MaxValueLen {
		return fmt.Errorf("storage: a value has at most %d bytes, not %d", MaxValueLen, len(value))
	}
	record := tx.keys.seal(kind, path, tx.manifest.generation, value)
	e := &entry{generation: tx.manifest.generation, mac: tx.keys.sum(nil, []byte(key), record)}
	if old := tx.index.find(key); old != nil {
		tx.manifest.toggle(old.mac)
	} else {
		tx.manifest.count++
	}
	tx.manifest.toggle(e.mac)
	tx.index = tx.index.with(key, e)
	tx.writes[key], tx.pending[e] = e, record
	return nil
}

// Delete removes a record. The error matches ErrNotFound if there is no such record.
func (tx *Tx) Delete(kind Kind, path string) error {
	key, err := tx.checkWrite(kind, path)
	if err != nil {
		return err
	}
	old := tx.index.find(key)
	if old == nil {
		return ErrNotFound
	}
	tx.manifest.toggle(old.mac)
	tx.manifest.count--
	tx.index = tx.index.without(key)
	tx.writes[key] = nil
	return nil
}

func (tx *Tx) checkWrite(kind Kind, path string) (key string, err error) {
	if key, err = tx.check(kind, path); err != nil {
		return "", err
	}
	if tx.writes == nil {
		return "", errors.New("storage: a View cannot write")
	}
	return key, nil
}

// Walk calls fn for each record of kind whose path begins with prefix, which may be empty, in byte order of path, until fn
// returns an error, which Walk returns. value belongs to fn. What fn changes in the transaction is not seen by the walk.
// A record that is missing in the file is an error that matches ErrCorrupt, as with Get.
func (tx *Tx) Walk(kind Kind, prefix string, fn func(path string, value []byte) error) error {
	if _, err := tx.check(kind, prefix+"x"); err != nil {
		return err
	}
	first := recordKey(kind, prefix)
	for key, e := range tx.index.from(first) {
		if !strings.HasPrefix(key, first) {
			return nil
		}
		value, err := tx.read(key, e, tx.pending[e])
		if err != nil {
			return err
		}
		if err := fn(key[len(kind)+1:], value); err != nil {
			return err
		}
	}
	return nil
}
