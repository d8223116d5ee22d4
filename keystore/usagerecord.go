package keystore

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/kmsd/kmsd/storage"
)

// Flags of a usage record.
const (
	flagUsed = 1 << iota
	flagRefused
)

// encode is the record of a key's uses, which is at <account>/<key id>; nil if there were none.
func (u *usage) encode() []byte {
	last, refused := u.last.Load(), u.refused.Load()
	if last == nil && refused == nil {
		return nil
	}
	b := []byte{recordVersion, 0}
	if last != nil {
		b[1] |= flagUsed
		b = last.append(b)
	}
	if refused != nil {
		b[1] |= flagRefused
		b = binary.BigEndian.AppendUint64(b, uint64(refused.count))
		b = refused.last.append(b)
	}
	return b
}

func (l *LastUse) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(l.Time.Unix()))
	b = append(b, l.Event[:]...)
	b = append(b, l.Request[:]...)
	return appendString(b, l.Operation)
}

func (r *reader) lastUse() LastUse {
	l := LastUse{Time: time.Unix(int64(r.uint64()), 0).UTC()}
	copy(l.Event[:], r.next(16))
	copy(l.Request[:], r.next(16))
	l.Operation = string(r.bytes())
	return l
}

// decode reads a record into u, which nobody else sees yet.
func (u *usage) decode(value []byte) error {
	r := &reader{b: value}
	if v := r.byte(); v != recordVersion {
		r.fail(fmt.Sprintf("version %d of the uses of a key", v))
	}
	flags := r.byte()
	if flags == 0 || flags&^(flagUsed|flagRefused) != 0 {
		r.fail("flags")
	}
	var last LastUse
	var refused refusals
	if flags&flagUsed != 0 {
		last = r.lastUse()
	}
	if flags&flagRefused != 0 {
		refused = refusals{int64(r.uint64()), r.lastUse()}
	}
	if err := r.end(); err != nil {
		return err
	}
	if flags&flagUsed != 0 {
		u.last.Store(&last)
		u.noted.Store(last.Time.Unix())
	}
	if flags&flagRefused != 0 {
		u.refused.Store(&refused)
	}
	return nil
}

// usesAtOnce bounds how many records of uses one transaction writes.
const usesAtOnce = 1024

// saveUsage writes what is known of the uses of keys that have changed.
func (ks *Keystore) saveUsage() error {
	for {
		batch := ks.uses.take(usesAtOnce)
		if len(batch) == 0 {
			return nil
		}
		if err := ks.saveUses(batch); err != nil {
			for _, u := range batch {
				u.changed()
			}
			return err
		}
	}
}

func (ks *Keystore) saveUses(batch []*usage) error {
	ks.mu.Lock() // so that no key is deleted meanwhile
	defer ks.mu.Unlock()
	s := ks.Snapshot()
	return ks.transact(func(tx *storage.Tx) error {
		for _, u := range batch {
			path := keyPath(u.account, u.key)
			value := u.encode()
			if _, exists := s.Key(u.key); !exists || value == nil {
				if err := deleteIfThere(tx, kindUsage, path); err != nil {
					return err
				}
				continue
			}
			if err := tx.Put(kindUsage, path, value); err != nil {
				return err
			}
		}
		return nil
	})
}
