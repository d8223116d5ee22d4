package storage

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"github.com/kmsd/kmsd/crypto"
)

// seedPages returns the pages of small stores.
func seedPages(f *testing.F) [][]byte {
	f.Helper()
	path := filepath.Join(f.TempDir(), "store")
	c := createAt(f, path)
	seeds := [][]byte{readFile(f, path)}
	s, err := Open(c)
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range []int{10, 5000} {
		put(f, s, "key", "a", string(make([]byte, n)))
	}
	if err := s.Update(func(tx *Tx) error {
		for i := range 25 {
			if err := tx.Put("key", string(rune('a'+i)), make([]byte, 150)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		f.Fatal(err)
	}
	m := s.engine.meta
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	return append(seeds, readFile(f, path)[:m.end*pageSize])
}

// patched returns base with the patches that b describes, each of an offset (3 bytes), and what is to be there (size 1, bytes).
func patched(base, b []byte) []byte {
	out := bytes.Clone(base)
	for len(b) > 4 {
		at := int(b[0]) | int(b[1])<<8 | int(b[2])<<16
		n := min(1+int(b[3]%8), len(b)-4)
		copy(out[at%len(out):], b[4:4+n])
		b = b[4+n:]
	}
	return out
}

// FuzzPages walks files that were changed in arbitrary places, and arbitrary files: no panic, and no more work than there are
// pages.
func FuzzPages(f *testing.F) {
	seeds := seedPages(f)
	for i := range seeds {
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), []byte{0x00, 0x30, 0x00, 0x00, 0xff, 0x0a, 0x20, 0x00, 0x01, 0xff, 0xff})
	}
	f.Add(uint8(255), make([]byte, 4*pageSize))
	f.Fuzz(func(t *testing.T, base uint8, b []byte) {
		if int(base) < len(seeds) {
			b = patched(seeds[base], b)
		}
		im := memoryImage(fixSums(b))
		m, err := im.meta()
		if err != nil {
			return
		}
		n := 0
		var last []byte
		err = im.walk(m, func(key, value []byte) error {
			if n++; n > 1 && bytes.Compare(last, key) >= 0 {
				t.Errorf("key %x after %x", key, last)
			}
			last = bytes.Clone(key)
			return nil
		})
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("walk = %v, want nil or ErrCorrupt", err)
		}
		if parts, partsErr := walkedInParts(im, m, 2); (err == nil) != (partsErr == nil) || err == nil && len(parts) != n {
			t.Errorf("walkParts = %d records, %v, and walk = %d, %v", len(parts), partsErr, n, err)
		}
		if tr, treeErr := im.tree(m); treeErr == nil {
			_ = tr.checkPath([]byte("key\x00a"), true)
			v, findErr := (&cursor{t: tr}).find(last)
			if err == nil && n > 0 && (v == nil || findErr != nil) {
				t.Errorf("find of the last key = %v, want a value", findErr)
			}
		}
	})
}

// fixSums gives the meta pages right checksums, so that fuzzing reaches what is behind them.
func fixSums(b []byte) []byte {
	b = bytes.Clone(b)
	for i := range 2 {
		if len(b) >= (i+1)*pageSize {
			setMetaSum(b[i*pageSize:])
		}
	}
	return b
}

// FuzzRecord reads arbitrary headers, manifests, records and keys: no panic, and nothing opens that was not sealed.
func FuzzRecord(f *testing.F) {
	k, check, err := newKeyring(crypto.RandomSecret(32), newID())
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add(newHeader(k.id, check))
	f.Add(k.sealManifest(manifest{generation: 3, count: 1}))
	f.Add(k.seal("key", "a", 7, []byte("value")))
	f.Add([]byte(recordKey("key", "a/b")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, c, err := parseHeader(b); err == nil && !bytes.Equal(newHeader(id, c), b) {
			t.Error("a header that was parsed prints otherwise")
		}
		if kind, path, ok := splitKey(string(b)); ok && recordKey(kind, path) != string(b) {
			t.Errorf("key %x prints otherwise", b)
		}
		generation, sealed, ok := parseRecord(b)
		if ok && (generation == 0 || len(sealed) < crypto.SealOverhead) {
			t.Errorf("parseRecord = %d, %d bytes", generation, len(sealed))
		}
		// The key of this process is random: what opens was sealed by it, and the fuzzer cannot have kept that.
		if v, err := k.open(nil, "other", "path", b); err == nil || v != nil {
			t.Error("a record opened under a path it was not sealed for")
		}
		if m, err := k.openManifest(b); err != nil && m != (manifest{}) {
			t.Error("a manifest beside an error")
		}
	})
}

func TestKeysOfTheFile(t *testing.T) {
	for _, tc := range []struct {
		name, key string
		ok        bool
	}{
		{"a record", "key\x00a", true},
		{"a path with a zero byte", "key\x00a\x00b", true},
		{"no path", "key\x00", false},
		{"no kind", "\x00a", false},
		{"no separator", "key", false},
		{"the manifest", manifestKey, false},
		{"a kind with a capital", "Key\x00a", false},
	} {
		kind, path, ok := splitKey(tc.key)
		if ok != tc.ok || (ok && recordKey(kind, path) != tc.key) {
			t.Errorf("%s: splitKey(%q) = %q, %q, %v, want ok %v", tc.name, tc.key, kind, path, ok, tc.ok)
		}
	}
}
