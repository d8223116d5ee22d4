package envelope

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/kmsd/kmsd/crypto"
)

// A body that opens under two data keys is what key commitment is against. GCM alone does not prevent it: the test makes one, by
// solving for a block of the ciphertext.
func TestCommitment(t *testing.T) {
	kms := &fakeKMS{}
	t.Run("altered, under a valid tag", func(t *testing.T) {
		f := newForge(t, kms, func(h *header) { h.commitment[31] ^= 1 })
		got, err := decryptBytes(t, kms, slices.Concat(f.header(t), f.frame(content3, true)), DecryptOptions{})
		if !errors.Is(err, ErrCommitment) || !errors.Is(err, ErrAltered) || len(got) > 0 {
			t.Errorf("Decrypt = %q, %v, want %v", got, err, ErrCommitment)
		}
	})
	t.Run("of another data key", func(t *testing.T) {
		f := newForge(t, kms, nil)
		other := badKMS{DataKey{Plaintext: crypto.RandomSecret(32), KeyARN: arnA}}
		_, err := decryptBytes(t, other, slices.Concat(f.header(t), f.frame(content3, true)), DecryptOptions{})
		if !errors.Is(err, ErrCommitment) {
			t.Errorf("Decrypt = %v, want %v", err, ErrCommitment)
		}
	})
	t.Run("of one of two data keys the body opens under", func(t *testing.T) {
		k1, k2 := crypto.RandomSecret(32), crypto.RandomSecret(32)
		id := [32]byte{7}
		key1, commitment, err1 := deriveMessageKey(k1, id)
		key2, _, err2 := deriveMessageKey(k2, id)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		aad := frameAAD(id, labelFinalFrame, 1, 32)
		sealed := twoKeyCiphertext(t, derivedBlock(t, k1, id), derivedBlock(t, k2, id), aad)
		for i, k := range []messageKey{key1, key2} {
			if _, err := k.open(nil, 1, sealed, aad); err != nil {
				t.Fatalf("the forged frame does not open under key %d: the test is broken", i+1)
			}
		}
		h := header{
			messageID: id, context: map[string]string{}, framed: true, frameLength: 32, commitment: commitment,
			keys: []encryptedDataKey{{provider: providerAWSKMS, info: []byte(arnA), ciphertext: []byte("x")}},
		}
		body, err := h.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		nonce := iv(1)
		frame := slices.Concat([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1}, nonce[:], []byte{0, 0, 0, 32}, sealed)
		tag1, tag2 := key1.headerTag(body), key2.headerTag(body)
		got, err := decryptBytes(t, badKMS{DataKey{Plaintext: k1, KeyARN: arnA}}, slices.Concat(body, tag1[:], frame), DecryptOptions{})
		if err != nil || len(got) != 32 {
			t.Errorf("Decrypt under the first key = %d bytes, %v, want 32", len(got), err)
		}
		got, err = decryptBytes(t, badKMS{DataKey{Plaintext: k2, KeyARN: arnA}}, slices.Concat(body, tag2[:], frame), DecryptOptions{})
		if !errors.Is(err, ErrCommitment) || len(got) != 0 {
			t.Errorf("Decrypt under the second key = %d bytes, %v, want %v", len(got), err, ErrCommitment)
		}
	})
}

// derivedBlock is the block cipher of a message key.
func derivedBlock(t *testing.T, dataKey crypto.Secret, id [32]byte) cipher.Block {
	t.Helper()
	b, err := aes.NewCipher(mustDerive(t, dataKey, id))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// twoKeyCiphertext is 32 bytes of ciphertext and a tag that are authentic under both keys with IV 1: GHASH is linear in
// each block, so that the second block can be solved for.
func twoKeyCiphertext(t *testing.T, a, b cipher.Block, aad []byte) []byte {
	t.Helper()
	var tags, factors [2]element
	for i, k := range []cipher.Block{a, b} {
		var h, mask [16]byte
		k.Encrypt(h[:], h[:])
		nonce := iv(1)
		copy(mask[:], nonce[:])
		mask[15] = 1
		k.Encrypt(mask[:], mask[:])
		hash := load(h[:])
		var sum element
		blocks := bytes.Clone(aad)
		blocks = append(blocks, make([]byte, -len(blocks)&15)...)
		blocks = append(blocks, make([]byte, 32)...) // ciphertext, zero
		blocks = binary.BigEndian.AppendUint64(blocks, uint64(8*len(aad)))
		blocks = binary.BigEndian.AppendUint64(blocks, 8*32)
		for ; len(blocks) > 0; blocks = blocks[16:] {
			sum = sum.add(load(blocks[:16])).mul(hash)
		}
		tags[i] = sum.add(load(mask[:]))
		factors[i] = hash.mul(hash) // of the last ciphertext block
	}
	// tags[0] + x·factors[0] = tags[1] + x·factors[1]
	x := tags[0].add(tags[1]).mul(factors[0].add(factors[1]).inverse())
	tag := tags[0].add(x.mul(factors[0]))
	return slices.Concat(make([]byte, 16), x.bytes(), tag.bytes())
}

// element is an element of GHASH's field: bit 0 of the polynomial is the first bit of hi (SP 800-38D, section 6.3).
type element struct{ hi, lo uint64 }

func load(b []byte) element {
	return element{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (e element) bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, e.hi), e.lo)
}

func (e element) add(o element) element { return element{e.hi ^ o.hi, e.lo ^ o.lo} }

func (e element) mul(o element) (z element) {
	for i := range 128 {
		word, bit := e.hi, 63-i
		if i >= 64 {
			word, bit = e.lo, 127-i
		}
		if word>>bit&1 == 1 {
			z = z.add(o)
		}
		carry := o.lo & 1
		o = element{o.hi >> 1, o.lo>>1 | o.hi<<63}
		if carry == 1 {
			o.hi ^= 0xe1 << 56
		}
	}
	return z
}

// inverse is e to the power of 2^128 - 2.
func (e element) inverse() element {
	z := element{hi: 1 << 63} // one
	for range 127 {
		e = e.mul(e)
		z = z.mul(e)
	}
	return z
}
