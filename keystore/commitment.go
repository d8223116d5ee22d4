package keystore

import (
	"crypto/subtle"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

const commitmentKeySize = 1 + 32

// committer makes commitments to material, by which it is known again after it was deleted: MACs, so that who has one and not the key of the store can
// not try out what it is of.
type committer struct{ mac *crypto.MAC }

func newCommitter(key crypto.Secret) *committer { return &committer{crypto.NewMAC(key)} }

// commit is to the material of a key in its canonical form.
func (c *committer) commit(id crypto.KeyID, material crypto.Secret) [32]byte {
	b := append([]byte("kmsd/material-commitment/v1\x00"), id[:]...)
	b = append(b, material.Expose()...)
	defer clear(b)
	return c.mac.Sum(b)
}

// committed returns the version whose material a commitment is to.
func (k *Key) committed(to [32]byte) (*Version, bool) {
	for v := range k.versions() {
		if v.Imported != nil && subtle.ConstantTimeCompare(v.Imported.commitment[:], to[:]) == 1 {
			return v, true
		}
	}
	return nil, false
}

// withCommitter returns the store's committer, whose key is made with the first import.
func (ks *Keystore) withCommitter() (*committer, error) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if ks.committer != nil || ks.dry {
		return ks.committer, nil
	}
	key := crypto.RandomSecret(commitmentKeySize - 1)
	value := append([]byte{recordVersion}, key.Expose()...)
	defer clear(value)
	if err := ks.transact(func(tx *storage.Tx) error { return tx.Put(kindCommitmentKey, theOne, value) }); err != nil {
		return nil, err
	}
	ks.committer = newCommitter(key)
	return ks.committer, nil
}
