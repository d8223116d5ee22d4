package iam

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// lastUse is when an access key was last used. It outlives the changes of its user.
type lastUse struct {
	minute atomic.Uint32 // since 1970; zero: never, as far as is known
	saved  atomic.Uint32 // what the store has
}

// LastUsed is the last use of an access key.
type LastUsed struct {
	UserName string    // whose key it is; RootName for the root user
	Used     time.Time // whole minutes, UTC; zero if it was never used
	Service  string    // Service, or "" if it was never used
	Region   string    // the configured region, or "" if it was never used
}

// NoteUsed takes down that an access key was used at now, to the minute; for other credentials it does nothing. It is for every
// call: it costs a comparison and, once a minute, a write to memory. What was noted reaches the store by SaveLastUsed
// only.
func (i *IAM) NoteUsed(c *Credential, now time.Time) {
	if c.used == nil {
		return
	}
	minute := uint32(now.Unix() / 60)
	if old := c.used.minute.Load(); old < minute {
		c.used.minute.CompareAndSwap(old, minute) // who loses to another call has noted the same, or a minute less
	}
}

const savedAtOnce = 1000

// SaveLastUsed writes what NoteUsed has taken down since it last did, in transactions of up to 1,000 keys. Call it once an hour
// and when the process ends: what is not saved is forgotten with the process.
func (i *IAM) SaveLastUsed() error {
	var fresh []*Credential
	for _, c := range i.Snapshot().accessKeys.All() {
		if c.used.minute.Load() != c.used.saved.Load() {
			fresh = append(fresh, c)
		}
	}
	for chunk := range slices.Chunk(fresh, savedAtOnce) {
		if err := i.saveLastUsed(chunk); err != nil {
			return fmt.Errorf("saving when access keys were last used: %w", err)
		}
	}
	return nil
}

func (i *IAM) saveLastUsed(keys []*Credential) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.Snapshot()
	minutes := make([]uint32, len(keys)) // zero: not saved
	err := i.cfg.Store.Update(func(tx *storage.Tx) error {
		for n, c := range keys {
			if _, ok := s.AccessKey(c.ID); !ok {
				continue // deleted meanwhile
			}
			minutes[n] = c.used.minute.Load()
			if err := tx.Put(kindLastUsed, join(c.Account, c.PrincipalID, c.ID), encodeLastUse(minutes[n])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for n, c := range keys {
		c.used.saved.Store(minutes[n])
	}
	return nil
}

// AccessKeyUserARN returns the ARN to authorize GetAccessKeyLastUsed with: that of the key's user, if the key is one of the
// account's, and otherwise that of a user without a name.
func (s *Snapshot) AccessKeyUserARN(account, id string) string {
	if c, ok := s.AccessKey(id); ok && c.Account == account {
		if arn, ok := s.ARN(c.PrincipalID); ok {
			return arn
		}
	}
	return s.NewUserARN(account, "/", "")
}

// AccessKeyLastUsed returns when an access key of the account was last used. The grant must permit
// authz.IAMGetAccessKeyLastUsed on AccessKeyUserARN.
func (s *Snapshot) AccessKeyLastUsed(g authz.Grant, account, id string) (LastUsed, error) {
	if !g.Permits(authz.IAMGetAccessKeyLastUsed, s.AccessKeyUserARN(account, id)) {
		return LastUsed{}, ErrNotPermitted
	}
	c, ok := s.AccessKey(id)
	if !ok || c.Account != account {
		return LastUsed{}, fmt.Errorf("%w: there is no such access key", ErrNoSuchEntity)
	}
	last := LastUsed{UserName: or(c.UserName, RootName)}
	if minute := c.used.minute.Load(); minute != 0 {
		last.Used, last.Service, last.Region = time.Unix(int64(minute)*60, 0).UTC(), Service, s.region
	}
	return last, nil
}

// encodeLastUse makes the record of the last use of an access key: version, minutes since 1970.
func encodeLastUse(minute uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{recordVersion}, minute)
}

func decodeLastUse(data []byte) (minute uint32, err error) {
	if len(data) != 5 {
		return 0, fmt.Errorf("%d bytes, want 5", len(data))
	}
	if data[0] != recordVersion {
		return 0, fmt.Errorf("version %d, this program reads %d", data[0], recordVersion)
	}
	return binary.BigEndian.Uint32(data[1:]), nil
}

func (l *loader) lastUse(path string, value []byte) error {
	p, id, err := l.owner(path)
	if err != nil {
		return err
	}
	minute, err := decodeLastUse(value)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(p.keys, func(k accessKey) bool { return k.id == id })
	if at < 0 {
		return errors.New("there is no such access key")
	}
	p.keys[at].used.minute.Store(minute)
	p.keys[at].used.saved.Store(minute)
	return nil
}

// forgetLastUse removes the record of the last use of an access key, if there is one.
func forgetLastUse(tx *storage.Tx, path string) error {
	if err := tx.Delete(kindLastUsed, path); err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	return nil
}
