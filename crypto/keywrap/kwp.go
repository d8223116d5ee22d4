package keywrap

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"

	"github.com/kmsd/kmsd/crypto"
)

// semiblock is the unit of AES-KWP, in bytes.
const semiblock = 8

// kwpPrefix begins the semiblock that AES-KWP checks (RFC 5649, section 3); the length of the plaintext ends it.
const kwpPrefix = "\xa6\x59\x59\xa6"

func kwpBlock(kek crypto.Secret) (cipher.Block, error) {
	block, err := aes.NewCipher(kek.Expose())
	if err != nil {
		return nil, fmt.Errorf("%w: an AES key of %d bytes", ErrAlgorithm, kek.Len())
	}
	return block, nil
}

// KWPWrap returns material wrapped under kek, an AES key of 16, 24 or 32 bytes (else ErrAlgorithm), with AES-KWP
// (RFC 5649; NIST SP 800-38F, section 6.3), in a new slice: material padded to a multiple of 8 bytes, and 8 more. It
// is deterministic. material has 1 to MaxWrapped-8 bytes, else ErrLength.
func KWPWrap(kek crypto.Secret, material []byte) ([]byte, error) {
	block, err := kwpBlock(kek)
	if err != nil {
		return nil, err
	}
	if len(material) == 0 || len(material) > MaxWrapped-semiblock {
		return nil, fmt.Errorf("%w: %d bytes, AES-KWP takes 1 to %d", ErrLength, len(material), MaxWrapped-semiblock)
	}
	padded := (len(material) + semiblock - 1) / semiblock * semiblock
	out := make([]byte, semiblock+padded)
	copy(out, kwpPrefix)
	binary.BigEndian.PutUint32(out[4:], uint32(len(material)))
	copy(out[semiblock:], material)
	if padded == semiblock {
		block.Encrypt(out, out)
		return out, nil
	}
	// W of SP 800-38F, algorithm 1: a and one semiblock after the other go through AES together, six times.
	var pair [2 * semiblock]byte
	a := pair[:semiblock]
	copy(a, out)
	t := uint64(0)
	for range 6 {
		for i := semiblock; i < len(out); i += semiblock {
			copy(pair[semiblock:], out[i:])
			block.Encrypt(pair[:], pair[:])
			t++
			binary.BigEndian.PutUint64(a, binary.BigEndian.Uint64(a)^t)
			copy(out[i:i+semiblock], pair[semiblock:])
		}
	}
	copy(out, a)
	return out, nil
}

// KWPUnwrap returns what KWPWrap was given. Whatever is wrong with wrapped, the error is ErrUnwrap itself; prefix,
// length and padding are all checked before any of them decides. ErrAlgorithm as for KWPWrap.
func KWPUnwrap(kek crypto.Secret, wrapped []byte) (crypto.Secret, error) {
	block, err := kwpBlock(kek)
	if err != nil {
		return crypto.Secret{}, err
	}
	if len(wrapped) < 2*semiblock || len(wrapped) > MaxWrapped || len(wrapped)%semiblock != 0 {
		return crypto.Secret{}, ErrUnwrap
	}
	out := append([]byte(nil), wrapped...)
	if len(out) == 2*semiblock {
		block.Decrypt(out, out)
	} else {
		kwpInverse(block, out)
	}
	padded := out[semiblock:]
	n, ok := kwpCheck(out[:semiblock], padded)
	if ok != 1 {
		clear(out)
		return crypto.Secret{}, ErrUnwrap
	}
	return crypto.NewSecret(padded[:n:n]), nil
}

// kwpInverse is the inverse of W, in place (SP 800-38F, algorithm 2).
func kwpInverse(block cipher.Block, out []byte) {
	var pair [2 * semiblock]byte
	a := pair[:semiblock]
	copy(a, out)
	for t := uint64(6 * (len(out)/semiblock - 1)); t > 0; {
		for i := len(out) - semiblock; i > 0; i -= semiblock {
			binary.BigEndian.PutUint64(a, binary.BigEndian.Uint64(a)^t)
			copy(pair[semiblock:], out[i:])
			block.Decrypt(pair[:], pair[:])
			t--
			copy(out[i:i+semiblock], pair[semiblock:])
		}
	}
	copy(out, a)
}

// kwpCheck returns the length that a says, and 1 if prefix, length and padding are right, else 0. Its time depends on
// nothing but the size of padded, which is a multiple of 8.
func kwpCheck(a, padded []byte) (n, ok int) {
	ok = subtle.ConstantTimeCompare(a[:4], []byte(kwpPrefix))
	length := binary.BigEndian.Uint32(a[4:])
	ok &= subtle.ConstantTimeEq(int32(length>>16), 0) // so that what follows fits: padded is shorter
	n = int(length & 0xffff)
	ok &= subtle.ConstantTimeLessOrEq(n, len(padded)) & subtle.ConstantTimeLessOrEq(len(padded)-semiblock+1, n)
	for i := len(padded) - semiblock; i < len(padded); i++ {
		beyond := subtle.ConstantTimeLessOrEq(n, i)
		ok &= 1 &^ (beyond &^ subtle.ConstantTimeByteEq(padded[i], 0))
	}
	return n, ok
}
