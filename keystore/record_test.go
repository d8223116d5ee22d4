package keystore

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

func FuzzDecodeMaterial(f *testing.F) {
	id := crypto.KeyID{1}
	v := &Version{Number: 1, Material: crypto.MaterialID{2}, Created: time.Unix(1, 0), Rotation: Creation, id: id, held: &held{secret: crypto.RandomSecret(32)}}
	f.Add(v.encode())
	f.Add(v.with(func(v *Version) {
		v.Imported = &Imported{Description: "x", ValidTo: time.Unix(2, 0), Present: true, pending: true}
	}).encode())
	f.Add(append([]byte{1}, make([]byte, materialSizeV1-1)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, spec := range crypto.Specs() {
			v, err := decodeMaterial(slices.Clone(b), id, spec, 1)
			if (err == nil) != (v != nil) || err != nil && !errors.Is(err, ErrCorrupt) {
				t.Fatalf("decodeMaterial(%x) = %v, %v", b, v, err)
			}
			if err == nil && b[0] == materialVersion && string(v.encode()) != string(b) {
				t.Errorf("decodeMaterial(%x) of spec %s encodes to %x", b, spec, v.encode())
			}
		}
	})
}

// A store that opens and verifies can still hold what keystore did not write: each such record is named.
func TestRecordsThatCannotBeRead(t *testing.T) {
	for name, change := range map[string]func(tx *storage.Tx, k *Key) error{
		"key of another version": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindKey, keyPath(testAccount, k.ID), []byte(`{"v":2}`))
		},
		"key of a version to come": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindKey, keyPath(testAccount, k.ID), append([]byte{3}, k.encode()[1:]...))
		},
		"key cut short": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindKey, keyPath(testAccount, k.ID), k.encode()[:40])
		},
		"key with something behind it": func(tx *storage.Tx, k *Key) error {
			return tx.Put(kindKey, keyPath(testAccount, k.ID), append(k.encode(), 0))
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
			return tx.Put(kindMaterial, materialPath(testAccount, k.ID, 3), k.Current().encode())
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
			return tx.Put(kindGrantTokenKey, theOne, []byte{1, 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			k := f.mustCreate()
			if err := f.store.Update(func(tx *storage.Tx) error { return change(tx, k) }); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(f.config()); !errors.Is(err, ErrCorrupt) {
				t.Errorf("Open = %v, want ErrCorrupt", err)
			}
		})
	}
}
