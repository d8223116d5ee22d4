package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/leaktest"
)

// setMetaSum gives the meta page b the checksum of its content.
func setMetaSum(b []byte) {
	h := fnv.New64a()
	h.Write(b[pageHeaderLen : pageHeaderLen+metaLen-8])
	binary.LittleEndian.PutUint64(b[pageHeaderLen+metaLen-8:], h.Sum64())
}

// Files that were made to hurt: right checksums around numbers that bbolt would believe.
func TestHostilePages(t *testing.T) {
	le := binary.LittleEndian
	v := newVictim(t, 200)
	m, err := memoryImage(v.whole).meta()
	if err != nil {
		t.Fatal(err)
	}
	tr, err := memoryImage(v.whole).tree(m)
	if err != nil {
		t.Fatal(err)
	}
	page := func(b []byte, id uint64) []byte { return b[id*pageSize:] }
	newest := func(b []byte) []byte { return page(b, m.txid%2)[pageHeaderLen:] }
	branch := page(v.whole, tr.root)
	if le.Uint16(branch[8:]) != flagBranch {
		t.Fatal("the store is too small to have a branch")
	}
	child := le.Uint64(branch[pageHeaderLen+8:])
	for _, tc := range []struct {
		name string
		do   func(b []byte)
	}{
		{"a branch that is its own child", func(b []byte) { le.PutUint64(page(b, tr.root)[pageHeaderLen+8:], tr.root) }},
		{"a child of two parents", func(b []byte) { le.PutUint64(page(b, tr.root)[pageHeaderLen+24:], child) }},
		{"a child beyond the file", func(b []byte) { le.PutUint64(page(b, tr.root)[pageHeaderLen+8:], 1<<40) }},
		{"a child that is the freelist", func(b []byte) { le.PutUint64(page(b, tr.root)[pageHeaderLen+8:], m.freelist) }},
		{"65535 elements", func(b []byte) { le.PutUint16(page(b, child)[10:], 0xFFFF) }},
		{"an overflow of 4 Gi pages", func(b []byte) { le.PutUint32(page(b, child)[12:], 0xFFFFFFFF) }},
		{"a value of 4 GiB", func(b []byte) { le.PutUint32(page(b, child)[pageHeaderLen+12:], 0xFFFFFFFF) }},
		{"a key of 4 GiB", func(b []byte) { le.PutUint32(page(b, child)[pageHeaderLen+8:], 0xFFFFFFFF) }},
		{"a free page in use", func(b []byte) { le.PutUint64(page(b, m.freelist)[pageHeaderLen:], child) }},
		{"2^60 free pages", func(b []byte) {
			le.PutUint16(page(b, m.freelist)[10:], 0xFFFF)
			le.PutUint64(page(b, m.freelist)[pageHeaderLen:], 1<<60)
		}},
		{"a free page less", func(b []byte) {
			p := page(b, m.freelist)
			le.PutUint16(p[10:], le.Uint16(p[10:])-1)
		}},
		{"a freelist of 4 Gi pages", func(b []byte) { le.PutUint32(page(b, m.freelist)[12:], 0xFFFFFFFF) }},
		{"no freelist", func(b []byte) { le.PutUint64(newest(b)[32:], ^uint64(0)) }},
		{"2^50 pages", func(b []byte) { le.PutUint64(newest(b)[40:], 1<<50) }},
		{"2^27 pages", func(b []byte) { le.PutUint64(newest(b)[40:], 1<<27) }},
		{"a root that is a meta page", func(b []byte) { le.PutUint64(newest(b)[16:], 0) }},
		{"another root", func(b []byte) { le.PutUint64(newest(b)[16:], child) }},
		{"pages of 64 KiB", func(b []byte) { le.PutUint32(newest(b)[8:], 65536) }},
		{"a transaction of the future", func(b []byte) { le.PutUint64(newest(b)[48:], m.txid+2) }},
		{"the last transaction of all", func(b []byte) { le.PutUint64(newest(b)[48:], ^uint64(0)-(m.txid+1)%2) }},
	} {
		b := slices.Clone(v.whole)
		tc.do(b)
		setMetaSum(page(b, m.txid%2))
		v.write(b)
		if !v.open(tc.name) {
			t.Errorf("%s: Open succeeded", tc.name)
		}
	}
	v.report()
}

// A sparse file of a tebibyte that claims to be in use must cost neither memory nor time.
func TestAHugeSparseFileIsRefusedQuickly(t *testing.T) {
	b := make([]byte, 2*pageSize)
	for i := range uint64(2) {
		p := b[i*pageSize:]
		binary.LittleEndian.PutUint64(p, i)
		binary.LittleEndian.PutUint16(p[8:], flagMeta)
		for off, v := range map[int]uint64{0: boltMagic | boltVersion<<32, 8: pageSize, 16: 3, 32: 2, 40: maxPages, 48: 6 + i} {
			binary.LittleEndian.PutUint64(p[pageHeaderLen+off:], v)
		}
		setMetaSum(p)
	}
	im := image{r: sparse(b), size: func() (int64, error) { return maxPages * pageSize, nil }}
	m, err := im.meta()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := im.walk(m, func(_, _ []byte) error { return nil }); !errors.Is(err, ErrCorrupt) || time.Since(start) > 2*time.Second {
		t.Errorf("walk = %v after %v, want ErrCorrupt at once", err, time.Since(start))
	}
}

// sparse reads as its bytes and then zeros.
type sparse []byte

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(s)) {
		copy(p, s[off:])
	}
	return len(p), nil
}

func TestIndex(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	model := make(map[string]*entry)
	var x, old *index
	var oldKeys string
	keys := func(x *index) string {
		var b strings.Builder
		for k, e := range x.from("") {
			fmt.Fprintf(&b, "%s=%d ", k, e.generation)
		}
		return b.String()
	}
	for i := range 5000 {
		k := fmt.Sprint(rnd.IntN(300))
		if _, ok := model[k]; ok && rnd.IntN(2) == 0 {
			x = x.without(k)
			delete(model, k)
		} else {
			e := &entry{generation: uint64(i)}
			x = x.with(k, e)
			model[k] = e
		}
		if x.find(k) != model[k] {
			t.Fatalf("find(%q) = %v, want %v", k, x.find(k), model[k])
		}
		if i == 2500 {
			old, oldKeys = x, keys(x)
		}
	}
	if keys(old) != oldKeys {
		t.Error("an old index changed")
	}
	var b builder
	n := 0
	for k, e := range x.from("") {
		if model[k] != e {
			t.Errorf("entry of %q = %v, want %v", k, e, model[k])
		}
		b.add([]byte(k), *e)
		n++
	}
	if n != len(model) || keys(b.index()) != keys(x) {
		t.Errorf("%d entries, want %d, and the same from the builder", n, len(model))
	}
	want := 0
	for k := range model {
		if k >= "2" {
			want++
		}
	}
	for range x.from("2") {
		want--
	}
	if want != 0 {
		t.Errorf("from(2) yields %d entries too few", want)
	}
}

func TestNothingPrintsTheKeys(t *testing.T) {
	domain := crypto.RandomSecret(32)
	c := Config{Path: t.TempDir() + "/store", Domain: domain}
	if err := Create(c); err != nil {
		t.Fatal(err)
	}
	s := open(t, c)
	put(t, s, "key", "a", "v")
	for _, secret := range [][]byte{
		slices.Clone(domain.Expose()),
		slices.Clone(crypto.Derive(domain, "kmsd/storage/record", s.id[:], 32).Expose()),
		slices.Clone(crypto.Derive(domain, "kmsd/storage/manifest", s.id[:], 32).Expose()),
	} {
		leaktest.Check(t, secret, c, &c, s, s.keys, &CorruptError{Page: -1, Kind: "key", Path: "a", Reason: "r"})
	}
	other := c
	other.Domain = crypto.NewSecret([]byte(strings.Repeat("x", 31)))
	if err := Create(other); err == nil || strings.Contains(err.Error(), "xxxxxxxx") {
		t.Errorf("Create with a bad key = %v, want an error without it", err)
	}
}

func BenchmarkUpdate(b *testing.B) {
	s, _ := create(b)
	fill(b, s, 10_000)
	value := make([]byte, 300)
	for i := 0; b.Loop(); i++ {
		if err := s.Update(func(tx *Tx) error { return tx.Put("key", fmt.Sprintf("%07d", i%10_000), value) }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	s, _ := create(b)
	fill(b, s, 10_000)
	for i := 0; b.Loop(); i++ {
		if _, err := get(s, "key", fmt.Sprintf("%07d", i*7919%10_000)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify100k(b *testing.B) {
	s, _ := create(b)
	fill(b, s, 100_000)
	for b.Loop() {
		if err := s.Verify(); err != nil {
			b.Fatal(err)
		}
	}
}

// fill puts n records of 300 bytes.
func fill(b *testing.B, s *Store, n int) {
	b.Helper()
	value := make([]byte, 300)
	for i := 0; i < n; i += 10_000 {
		err := s.Update(func(tx *Tx) error {
			for j := range min(10_000, n-i) {
				if err := tx.Put("key", fmt.Sprintf("%07d", i+j), value); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
