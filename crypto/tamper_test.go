package crypto_test

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

func TestEveryBitOfABlobMatters(t *testing.T) {
	k, c := newKey(t), newContext(t, map[string]string{"purpose": "test"})
	for _, n := range []int{1, 32, 100} {
		blob := encrypt(t, k, ramp(n), c)
		for bit := range 8 * len(blob) {
			at := bit / 8
			blob[at] ^= 1 << (bit % 8)
			got, err := k.Decrypt(nil, blob, c)
			blob[at] ^= 1 << (bit % 8)
			var want error
			switch {
			case at < 2:
				want = crypto.ErrMalformed
			case at < 34:
				want = crypto.ErrWrongKey
			case at < 98:
				want = crypto.ErrCommitment
			default:
				want = crypto.ErrTampered
			}
			if got != nil || !errors.Is(err, want) || err.Error() != "invalid ciphertext" {
				t.Errorf("%d bytes, bit %d of byte %d: Decrypt() = %x, %v (%s), want %s", n, bit%8, at, got, err,
					crypto.DecryptFailure(err), crypto.DecryptFailure(want))
			}
		}
		for size := range blob {
			if got, err := k.Decrypt(nil, blob[:size], c); got != nil || !errors.Is(err, crypto.ErrCiphertext) {
				t.Errorf("%d bytes cut to %d: Decrypt() = %x, %v, want ErrCiphertext", n, size, got, err)
			}
		}
		if got, err := k.Decrypt(nil, blob, c); err != nil || !bytes.Equal(got, ramp(n)) {
			t.Errorf("the blob itself: Decrypt() = %x, %v", got, err)
		}
	}
}

func TestDecryptFailureOfOtherErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.New("x"), ""},
		{crypto.ErrSealed, ""},
		{crypto.ErrContext, ""},
		{crypto.ErrCiphertext, "invalid"},
		{errors.Join(errors.New("x"), crypto.ErrWrongContext), "wrong_context"},
	} {
		if got := crypto.DecryptFailure(c.err); got != c.want {
			t.Errorf("DecryptFailure(%v) = %q, want %q", c.err, got, c.want)
		}
	}
}

// A blob is refused by every key but its own, whatever its header is altered to say.
func TestSwappedKeys(t *testing.T) {
	id, material := crypto.NewKeyID(), crypto.NewMaterialID()
	keyOf := func(id crypto.KeyID, material crypto.MaterialID, s crypto.Secret) *crypto.Key {
		k, err := crypto.NewKey(id, material, s)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	secret := crypto.RandomSecret(32)
	k := keyOf(id, material, secret)
	blob := encrypt(t, k, ramp(32), crypto.Context{})
	for _, c := range []struct {
		name string
		key  *crypto.Key
		want error // where the header is as Encrypt wrote it
	}{
		{"other material", keyOf(id, material, crypto.RandomSecret(32)), crypto.ErrCommitment},
		{"the same material under another key id", keyOf(crypto.NewKeyID(), material, secret), crypto.ErrWrongKey},
		{"the same material under another material id", keyOf(id, crypto.NewMaterialID(), secret), crypto.ErrWrongKey},
	} {
		if _, err := c.key.Decrypt(nil, blob, crypto.Context{}); !errors.Is(err, c.want) {
			t.Errorf("%s: Decrypt() = %v (%s), want %s", c.name, err, crypto.DecryptFailure(err), crypto.DecryptFailure(c.want))
		}
		renamed := bytes.Clone(blob)
		id, short := c.key.ID(), c.key.Material().Short()
		copy(renamed[2:], id[:])
		copy(renamed[18:], short[:])
		if _, err := c.key.Decrypt(nil, renamed, crypto.Context{}); !errors.Is(err, crypto.ErrCommitment) {
			t.Errorf("%s, header renamed: Decrypt() = %v (%s), want wrong_commitment", c.name, err, crypto.DecryptFailure(err))
		}
	}
}

// One GCM ciphertext that opens under the message keys of two materials ("invisible salamanders", Dodis, Grubbs,
// Ristenpart and Woodage 2018): the commitment is what refuses it.
func TestOneBlobDoesNotOpenUnderTwoKeys(t *testing.T) {
	id, material := crypto.NewKeyID(), crypto.NewMaterialID()
	secrets := [2]crypto.Secret{crypto.RandomSecret(32), crypto.RandomSecret(32)}
	var keys [2]*crypto.Key
	for i, s := range secrets {
		var err error
		if keys[i], err = crypto.NewKey(id, material, s); err != nil {
			t.Fatal(err)
		}
	}
	// Header and iv of an honest blob of the first key; the message keys that both materials derive from this header.
	honest := encrypt(t, keys[0], ramp(64), crypto.Context{})
	header, iv := honest[:98], honest[98:110]
	aad := slices.Concat(header, crypto.Context{}.Bytes())
	var derived [2][]byte
	for i, s := range secrets {
		derived[i] = crypto.Derive(s, "kmsd/enc/v1", header[:66], 64).Expose()
	}
	body := salamander(t, [2][]byte{derived[0][:32], derived[1][:32]}, iv, aad, ramp(64))
	var opened [2][]byte
	for i := range keys {
		block, err := aes.NewCipher(derived[i][:32])
		if err != nil {
			t.Fatal(err)
		}
		gcm, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			t.Fatal(err)
		}
		if opened[i], err = gcm.Open(nil, nil, slices.Concat(iv, body), aad); err != nil {
			t.Fatalf("the ciphertext does not open under message key %d, so it tests nothing: %v", i, err)
		}
	}
	if bytes.Equal(opened[0], opened[1]) {
		t.Fatal("the ciphertext opens to one plaintext under both keys, so it tests nothing")
	}

	blob := slices.Concat(header, iv, body)
	if got, err := keys[0].Decrypt(nil, blob, crypto.Context{}); err != nil || !bytes.Equal(got, opened[0]) {
		t.Errorf("Decrypt with the committed key = %x, %v, want %x", got, err, opened[0])
	}
	if got, err := keys[1].Decrypt(nil, blob, crypto.Context{}); got != nil || !errors.Is(err, crypto.ErrCommitment) {
		t.Errorf("Decrypt with the other key = %x, %s, want wrong_commitment", got, crypto.DecryptFailure(err))
	}
	copy(blob[66:], derived[1][32:])
	if got, err := keys[0].Decrypt(nil, blob, crypto.Context{}); got != nil || !errors.Is(err, crypto.ErrCommitment) {
		t.Errorf("Decrypt with the commitment exchanged = %x, %s, want wrong_commitment", got, crypto.DecryptFailure(err))
	}
	if got, err := keys[1].Decrypt(nil, blob, crypto.Context{}); got != nil || err == nil {
		t.Errorf("Decrypt with the other key and its commitment = %x, want it refused", got)
	}
}

// salamander returns a GCM ciphertext and tag that open under both keys. filler is the ciphertext, whole blocks, of
// which the last is replaced: GHASH is linear in it, so it can be solved for equal tags.
func salamander(t *testing.T, keys [2][]byte, iv, aad, filler []byte) []byte {
	t.Helper()
	ciphertext := bytes.Clone(filler)
	last := ciphertext[len(ciphertext)-16:]
	clear(last)
	var hash, mask, sum [2]element // H, the encrypted first counter, and GHASH with the last block zero
	for i, key := range keys {
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		hash[i] = encryptBlock(block, make([]byte, 16))
		mask[i] = encryptBlock(block, append(bytes.Clone(iv), 0, 0, 0, 1))
		sum[i] = ghash(hash[i], aad, ciphertext)
	}
	// The last block of ciphertext is multiplied by H^2: itself, and the block of lengths after it.
	difference := mask[0].plus(mask[1]).plus(sum[0]).plus(sum[1])
	weight := hash[0].times(hash[0]).plus(hash[1].times(hash[1]))
	difference.times(weight.inverse()).put(last)
	tag := make([]byte, 16)
	ghash(hash[0], aad, ciphertext).plus(mask[0]).put(tag)
	return append(ciphertext, tag...)
}

func encryptBlock(b cipher.Block, in []byte) element {
	out := make([]byte, 16)
	b.Encrypt(out, in)
	return elementOf(out)
}

// element is an element of GF(2^128) as NIST SP 800-38D writes it: the leftmost bit is the coefficient of 1.
type element struct{ high, low uint64 }

func elementOf(b []byte) element {
	return element{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (x element) put(b []byte) {
	binary.BigEndian.PutUint64(b, x.high)
	binary.BigEndian.PutUint64(b[8:], x.low)
}

func (x element) plus(y element) element { return element{x.high ^ y.high, x.low ^ y.low} }

// times is algorithm 1 of SP 800-38D.
func (x element) times(y element) element {
	var z element
	for i := range 128 {
		bit := x.high >> (63 - i%64)
		if i >= 64 {
			bit = x.low >> (63 - i%64)
		}
		if bit&1 == 1 {
			z = z.plus(y)
		}
		carry := y.low & 1
		y = element{y.high >> 1, y.low>>1 | y.high<<63}
		if carry == 1 {
			y.high ^= 0xe1 << 56
		}
	}
	return z
}

// inverse is x^(2^128-2).
func (x element) inverse() element {
	product := element{high: 1 << 63}
	for range 127 {
		x = x.times(x)
		product = product.times(x)
	}
	return product
}

// ghash is GHASH of aad and ciphertext, padded, and of the block of their lengths.
func ghash(h element, aad, ciphertext []byte) element {
	var y element
	for _, part := range [][]byte{aad, ciphertext} {
		for len(part) > 0 {
			block := make([]byte, 16)
			part = part[copy(block, part):]
			y = y.plus(elementOf(block)).times(h)
		}
	}
	return y.plus(element{uint64(8 * len(aad)), uint64(8 * len(ciphertext))}).times(h)
}
