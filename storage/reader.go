package storage

import (
	"fmt"
	"slices"
)

// A reader reads records from the file and checks them. It belongs to one goroutine; any number may read one snapshot.
type reader struct {
	keys    *keyring
	cursor  cursor
	key     []byte // of the last record
	scratch []byte // for what is computed of records as they lie in the file: never a value
}

func newReader(keys *keyring, snap *snapshot) reader {
	return reader{keys: keys, cursor: cursor{t: snap.tree}}
}

// read returns the value of the record that e describes, in a slice that belongs to the caller. pending is the record if its
// transaction is still open, else nil.
func (r *reader) read(key string, e *entry, pending []byte) ([]byte, error) {
	record := pending
	if record == nil {
		var err error
		r.key = append(r.key[:0], key...)
		if record, err = r.cursor.find(r.key); err != nil {
			return nil, err
		}
		if record == nil {
			return nil, corruptKey(key, "is missing")
		}
	}
	return r.open(key, record, e)
}

// open returns the value of record if it is the one that e describes.
func (r *reader) open(key string, record []byte, e *entry) ([]byte, error) {
	generation, _, ok := parseRecord(record)
	if ok && generation != e.generation {
		return nil, corruptKey(key, fmt.Sprintf("is of generation %d, should be of %d", generation, e.generation))
	}
	// Without this, a record that was sealed for this generation but never committed would pass.
	r.key = append(r.key[:0], key...)
	r.scratch = slices.Grow(r.scratch[:0], 256+len(key)+len(record))
	if r.keys.sum(r.scratch, r.key, record) != e.mac {
		return nil, corruptKey(key, "is not the one that was written")
	}
	kind, path, _ := splitKey(key)
	value, err := r.keys.open(r.scratch, kind, path, record)
	return slices.Clip(value), err
}

func corruptKey(key, reason string) error {
	kind, path, _ := splitKey(key)
	return corruptRecord(kind, path, reason)
}
