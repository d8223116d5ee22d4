package keystore

import (
	"errors"
	"slices"
	"testing"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

func FuzzDecodeMaterial(f *testing.F) {
	f.Add(make([]byte, materialSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decodeMaterial(slices.Clone(b), crypto.KeyID{1}, 1)
		if err == nil && string(encodeMaterial(v)) != string(b) {
			t.Errorf("decodeMaterial(%x) encodes to other bytes", b)
		}
	})
}

// A store that opens and verifies can still hold what keystore did not write: each such record is named.
func TestRecordsThatCannotBeRead(t *testing.T) {
	for name, change := range map[string]func(tx *storage.Tx, k *Key) error{
		"key of another version": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindKey, keyPath(testAccount, k.ID), []byte(`{"v":2}`))
		},
		"key with unknown member": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindKey, keyPath(testAccount, k.ID), []byte(`{"v":1,"x":1}`))
		},
		"key without material":   func(tx *storage.Tx, k *Key) error { return tx.Delete(kindMaterial, materialPath(testAccount, k.ID, 1)) },
		"material without a key": func(tx *storage.Tx, k *Key) error { return tx.Delete(kindKey, keyPath(testAccount, k.ID)) },
		"material cut short": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindMaterial, materialPath(testAccount, k.ID, 1), []byte{1, 1})
		},
		"a version left out": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindMaterial, materialPath(testAccount, k.ID, 3), encodeMaterial(k.Current()))
		},
		"alias of no key": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindAlias, aliasPath(testAccount, "alias/x"), mustJSON(aliasRecord{V: 1, Key: crypto.NewKeyID().String()}))
		},
		"grant of no key": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindGrant, keyPath(testAccount, crypto.NewKeyID())+"/"+newGrantID(), mustJSON(recordOf(wanted(nil))))
		},
		"grant of another account": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindGrant, keyPath("444455556666", k.ID)+"/"+newGrantID(), mustJSON(recordOf(wanted(nil))))
		},
		"grant without an id": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindGrant, grantPath(k, "x"), mustJSON(recordOf(wanted(nil))))
		},
		"grant without operations": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindGrant, grantPath(k, newGrantID()), mustJSON(recordOf(wanted(func(g *authz.KeyGrant) { g.Actions = nil }))))
		},
		"key of grant tokens cut short": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindGrantTokenKey, grantTokenKeyPath, []byte{1, 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			k := f.mustCreate()
			if err := f.store.Update(func(tx *storage.Tx) error { return change(tx, k) }); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(f.store, place); !errors.Is(err, ErrCorrupt) {
				t.Errorf("Open = %v, want ErrCorrupt", err)
			}
		})
	}
}
