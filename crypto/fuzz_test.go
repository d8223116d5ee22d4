package crypto_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"testing"

	"github.com/kmsd/kmsd/crypto"
)

// addBlobs gives a fuzz target the blobs of vectors.json, the good and the refused.
func addBlobs(f *testing.F) {
	f.Helper()
	vectors := readVectors(f)
	for _, v := range vectors.Vectors[:10] {
		f.Add(fromHex(f, v.Blob))
	}
	for _, v := range vectors.Refused {
		f.Add(fromHex(f, v.Blob))
	}
}

// What parses prints back to the same bytes; what does not, says so and gives a zero header.
func FuzzParseHeader(f *testing.F) {
	addBlobs(f)
	f.Fuzz(func(t *testing.T, blob []byte) {
		h, err := crypto.ParseHeader(blob)
		if err != nil {
			if !errors.Is(err, crypto.ErrMalformed) || h != (crypto.Header{}) {
				t.Errorf("ParseHeader(%x) = %v, %v", blob, h, err)
			}
			return
		}
		printed := append([]byte{h.Version, h.Suite}, h.Key[:]...)
		printed = append(printed, h.Material[:]...)
		if !bytes.HasPrefix(blob, printed) || len(blob) <= crypto.Overhead {
			t.Errorf("ParseHeader(%x) = %x", blob, printed)
		}
	})
}

// No bytes decrypt but those that Encrypt made, and none of them make Decrypt panic, write to the blob or leave bytes
// behind. The key is that of the refused vectors, so that the fuzzer gets past the ids.
func FuzzDecrypt(f *testing.F) {
	addBlobs(f)
	v := readVectors(f).Refused[0]
	k, c := v.key(f), contextOf(f, v.Context)
	good := readVectors(f).Vectors[5].Blob
	f.Fuzz(func(t *testing.T, blob []byte) {
		before, buffer := bytes.Clone(blob), bytes.Repeat([]byte{0xee}, 64)
		got, err := k.Decrypt(buffer[:0], blob, c)
		if !bytes.Equal(blob, before) {
			t.Errorf("Decrypt(%x) alters the blob", before)
		}
		if bytes.Equal(blob, fromHex(t, good)) {
			if err != nil {
				t.Errorf("Decrypt of the good blob: %v", err)
			}
			return
		}
		if got != nil || !errors.Is(err, crypto.ErrCiphertext) || crypto.DecryptFailure(err) == "" {
			t.Errorf("Decrypt(%x) = %x, %v, want ErrCiphertext", blob, got, err)
		}
		if !bytes.Equal(buffer, make([]byte, 64)) {
			t.Errorf("Decrypt(%x) leaves %x in the buffer", blob, buffer)
		}
	})
}

// The canonical form of a context reads back to its pairs, so no two contexts share one.
func FuzzContext(f *testing.F) {
	f.Add("a", "bc", "", "")
	f.Add("ab", "c", "b", "\x00\x00\x00\x01")
	f.Add("é", "ü", "\xff", "")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		pairs := map[string]string{k1: v1, k2: v2}
		c, err := crypto.NewContext(pairs)
		if err != nil {
			if !errors.Is(err, crypto.ErrContext) || c != (crypto.Context{}) {
				t.Errorf("NewContext(%q) = %x, %v, want ErrContext", pairs, c.Bytes(), err)
			}
			return
		}
		if got := readContext(t, c.Bytes()); !maps.Equal(got, pairs) {
			t.Errorf("canonical form of %q reads as %q", pairs, got)
		}
	})
}

// readContext parses a canonical form, which must be sorted and have nothing after its last pair.
func readContext(t *testing.T, b []byte) map[string]string {
	t.Helper()
	number := func() int {
		n := binary.BigEndian.Uint32(b)
		b = b[4:]
		return int(n)
	}
	text := func() string {
		n := number()
		s := string(b[:n])
		b = b[n:]
		return s
	}
	pairs, last := map[string]string{}, ""
	for range number() {
		k := text()
		if k <= last {
			t.Errorf("key %q follows %q", k, last)
		}
		pairs[k], last = text(), k
	}
	if len(b) != 0 {
		t.Errorf("%x after the last pair", b)
	}
	return pairs
}

// What parses as an id prints as it was.
func FuzzParseIDs(f *testing.F) {
	f.Add("83b1f521-7c44-4558-93a2-c636675c9f05")
	f.Add("83B1f521-7c44-4558-93a2-c636675c9f05")
	f.Add("f227d62dbaebea74789fb0d4625399036312e8e59b2177f5b08f312c5f0c3cd4")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := crypto.ParseKeyID(s); err == nil && id.String() != s || err != nil && !id.IsZero() {
			t.Errorf("ParseKeyID(%q) = %v, %v", s, id, err)
		}
		if id, err := crypto.ParseMaterialID(s); err == nil && id.String() != s || err != nil && !id.IsZero() {
			t.Errorf("ParseMaterialID(%q) = %v, %v", s, id, err)
		}
	})
}
