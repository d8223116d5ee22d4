package storage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/crypto"
	bolt "go.etcd.io/bbolt"
)

// raw changes the closed file through bbolt, as who has no key but knows the format can.
func raw(t *testing.T, path string, fn func(*bolt.Bucket) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return fn(tx.Bucket([]byte(bucketName))) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestSplicedRecordsAreRefused(t *testing.T) {
	c := createAt(t, filepath.Join(t.TempDir(), "store"))
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{headerKey, manifestKey}
	for i := range 48 {
		kind, path := victimKinds[i%3], fmt.Sprint(i)
		put(t, s, kind, path, fmt.Sprintf("value of the same size %02d", i))
		keys = append(keys, recordKey(kind, path))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole := readFile(t, c.Path)
	n := 0
	for i, a := range keys {
		for _, b := range keys[i+1:] {
			raw(t, c.Path, func(bucket *bolt.Bucket) error {
				x, y := bytes.Clone(bucket.Get([]byte(a))), bytes.Clone(bucket.Get([]byte(b)))
				return errors.Join(bucket.Put([]byte(a), y), bucket.Put([]byte(b), x))
			})
			if s, err := Open(c); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("Open with %q and %q exchanged = %v, want ErrCorrupt", a, b, errors.Join(err, s.Close()))
			}
			if err := os.WriteFile(c.Path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	t.Logf("%d pairs exchanged, all refused", n)
	checkWhole(t, c, open(t, c))
}

func TestForgedSetsOfRecordsAreRefused(t *testing.T) {
	c := createAt(t, filepath.Join(t.TempDir(), "store"))
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		put(t, s, "key", fmt.Sprintf("%02d", i), "first")
	}
	a, b := []byte(recordKey("key", "07")), []byte(recordKey("key", "08"))
	var oldA, oldManifest []byte
	save := func() {
		snap := readFile(t, c.Path)
		m, err := memoryImage(snap).meta()
		if err != nil {
			t.Fatal(err)
		}
		tr, err := memoryImage(snap).tree(m)
		if err != nil {
			t.Fatal(err)
		}
		for key, to := range map[string]*[]byte{string(a): &oldA, manifestKey: &oldManifest} {
			v, err := (&cursor{t: tr}).find([]byte(key))
			if err != nil || v == nil {
				t.Fatalf("reading %q: %v", key, err)
			}
			*to = bytes.Clone(v)
		}
	}
	save()
	put(t, s, "key", "07", "second")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole := readFile(t, c.Path)
	for _, tc := range []struct {
		name  string
		forge func(*bolt.Bucket) error
		want  string // in the error
	}{
		{"an older value", func(r *bolt.Bucket) error { return r.Put(a, oldA) }, "older"},
		{"an older manifest", func(r *bolt.Bucket) error { return r.Put([]byte(manifestKey), oldManifest) }, `key "07"`},
		{"a record less", func(r *bolt.Bucket) error { return r.Delete(a) }, "20 records, there are 19"},
		{"no manifest", func(r *bolt.Bucket) error { return r.Delete([]byte(manifestKey)) }, "manifest is missing"},
		{"no header", func(r *bolt.Bucket) error { return r.Delete([]byte(headerKey)) }, "header is missing"},
		{"a copy under another path", func(r *bolt.Bucket) error { return r.Put([]byte(recordKey("key", "99")), oldA) }, `key "99"`},
		{"a record twice and another gone", func(r *bolt.Bucket) error {
			return errors.Join(r.Put([]byte(recordKey("key", "99")), bytes.Clone(r.Get(b))), r.Delete(b))
		}, `key "99"`},
		{"another generation", func(r *bolt.Bucket) error {
			v := bytes.Clone(r.Get(a))
			v[8]--
			return r.Put(a, v)
		}, `key "07"`},
		{"a record of no kind", func(r *bolt.Bucket) error { return r.Put([]byte("junk"), oldA) }, "not the key of a record"},
		{"an empty record", func(r *bolt.Bucket) error { return r.Put(b, nil) }, `key "08"`},
		{"a sequence", func(r *bolt.Bucket) error { return r.SetSequence(1) }, "sequence"},
		{"a bucket among records", func(r *bolt.Bucket) error { _, err := r.CreateBucket([]byte("key\x00x")); return err }, "page"},
	} {
		raw(t, c.Path, tc.forge)
		if _, err := Open(c); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Open with %s = %v, want ErrCorrupt and %q", tc.name, err, tc.want)
		}
		if err := os.WriteFile(c.Path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	checkWhole(t, c, open(t, c))
}

// A record that was sealed for a generation but never committed opens under the generation that was committed instead.
func TestARecordThatWasNeverCommittedIsRefused(t *testing.T) {
	c := createAt(t, filepath.Join(t.TempDir(), "store"))
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	var never []byte
	boom := errors.New("boom")
	err = s.Update(func(tx *Tx) error {
		if err := tx.Put("key", "a", []byte("never")); err != nil {
			return err
		}
		never = bytes.Clone(tx.pending[tx.writes[recordKey("key", "a")]])
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	put(t, s, "key", "a", "truth")
	if err := s.View(func(tx *Tx) error {
		if err := tx.verify(recordKey("key", "a"), never); !errors.Is(err, ErrCorrupt) {
			t.Errorf("the record that was never committed, in the open store: %v, want ErrCorrupt", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole := readFile(t, c.Path)
	raw(t, c.Path, func(r *bolt.Bucket) error { return r.Put([]byte(recordKey("key", "a")), never) })
	if _, err := Open(c); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Open = %v, want ErrCorrupt", err)
	}
	if err := os.WriteFile(c.Path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	checkWhole(t, c, open(t, c))
}

// Records of one store are no records of another, even under the same domain key.
func TestARecordOfAnotherStoreIsRefused(t *testing.T) {
	dir := t.TempDir()
	a := createAt(t, filepath.Join(dir, "a"))
	b := Config{Path: filepath.Join(dir, "b"), Domain: a.Domain}
	if err := Create(b); err != nil {
		t.Fatal(err)
	}
	k, check, err := newKeyring(crypto.RandomSecret(32), newID())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range [][]byte{nil, make([]byte, headerLen), newHeader(k.id, check)[:headerLen-1]} {
		if _, _, err := parseHeader(h); !errors.Is(err, ErrCorrupt) {
			t.Errorf("parseHeader of %d bytes = %v, want ErrCorrupt", len(h), err)
		}
	}
	put(t, open(t, a), "key", "x", "in a")
	sb := open(t, b)
	put(t, sb, "key", "x", "in b")
	if sb.ID() == k.id {
		t.Error("two stores have the same id")
	}
	read := func(path string, key string) []byte {
		im := memoryImage(readFile(t, path))
		m, err := im.meta()
		if err != nil {
			t.Fatal(err)
		}
		tr, err := im.tree(m)
		if err != nil {
			t.Fatal(err)
		}
		v, err := (&cursor{t: tr}).find([]byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	foreign := read(a.Path, recordKey("key", "x"))
	if _, err := sb.keys.open(nil, "key", "x", foreign); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a record of the other store: %v, want ErrCorrupt", err)
	}
}
