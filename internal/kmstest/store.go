package kmstest

import (
	"errors"
	"path/filepath"

	"github.com/kmsd/kmsd/seal"
	"github.com/kmsd/kmsd/storage"
)

// Rewrite stops kmsd, changes what is in its store as somebody could who has its root key, and starts it again.
func (k *KMS) Rewrite(change func(tx *storage.Tx) error) {
	k.t.Helper()
	k.Stop()
	domain, err := seal.Open(filepath.Join(k.dir, "seal.kmsd"), seal.KeyFile(filepath.Join(k.dir, "root.key")))
	if err != nil {
		k.t.Fatal(err)
	}
	store, err := storage.Open(storage.Config{Path: filepath.Join(k.dir, "store.db"), Domain: domain})
	if err != nil {
		k.t.Fatal(err)
	}
	if err := errors.Join(store.Update(change), store.Close()); err != nil {
		k.t.Fatal(err)
	}
	domain.Wipe()
	k.Start()
}
