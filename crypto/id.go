package crypto

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
)

// KeyID names a key: a UUID (RFC 9562). It is no secret. The zero value names no key.
type KeyID [16]byte

var errKeyID = errors.New("key id is not a UUID in lower case of the form 8-4-4-4-12")

// NewKeyID returns a random KeyID, a UUID of version 4.
func NewKeyID() KeyID {
	var id KeyID
	rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// ParseKeyID parses the form that String prints and no other: 36 bytes, lower case, hyphens after 8, 12, 16 and 20
// digits. A UUID of any version is accepted. The error does not quote s.
func ParseKeyID(s string) (KeyID, error) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return KeyID{}, errKeyID
	}
	var id KeyID
	if !decodeLowerHex(id[:], s[:8]+s[9:13]+s[14:18]+s[19:23]+s[24:]) {
		return KeyID{}, errKeyID
	}
	return id, nil
}

// String returns the canonical form, 36 bytes.
func (id KeyID) String() string {
	var b [36]byte
	hex.Encode(b[:8], id[:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:], id[10:])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// IsZero reports whether id is the zero value, which names no key.
func (id KeyID) IsZero() bool { return id == KeyID{} }

// MarshalText returns the canonical form.
func (id KeyID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText parses the canonical form as ParseKeyID does. It leaves id alone if it returns an error.
func (id *KeyID) UnmarshalText(text []byte) error {
	parsed, err := ParseKeyID(string(text))
	if err == nil {
		*id = parsed
	}
	return err
}

// MaterialID names the material of one version of a key. It is random, independent of the material, and no secret.
// The zero value names no material.
type MaterialID [32]byte

var errMaterialID = errors.New("key material id is not 64 lower-case hexadecimal digits")

// NewMaterialID returns a random MaterialID.
func NewMaterialID() MaterialID {
	var id MaterialID
	rand.Read(id[:])
	return id
}

// ParseMaterialID parses the form that String prints and no other. The error does not quote s.
func ParseMaterialID(s string) (MaterialID, error) {
	var id MaterialID
	if len(s) != 2*len(id) || !decodeLowerHex(id[:], s) {
		return MaterialID{}, errMaterialID
	}
	return id, nil
}

// String returns 64 lower-case hexadecimal digits.
func (id MaterialID) String() string { return hex.EncodeToString(id[:]) }

// Short returns the first half of id, which stands in the header of a ciphertext.
func (id MaterialID) Short() [16]byte { return [16]byte(id[:16]) }

// IsZero reports whether id is the zero value, which names no material.
func (id MaterialID) IsZero() bool { return id == MaterialID{} }

// MarshalText returns the 64 digits.
func (id MaterialID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText parses the 64 digits as ParseMaterialID does. It leaves id alone if it returns an error.
func (id *MaterialID) UnmarshalText(text []byte) error {
	parsed, err := ParseMaterialID(string(text))
	if err == nil {
		*id = parsed
	}
	return err
}

// decodeLowerHex decodes s, which has two digits per byte of dst, and reports whether all are lower-case
// hexadecimal digits.
func decodeLowerHex(dst []byte, s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil
}
