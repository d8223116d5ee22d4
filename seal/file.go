package seal

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/kmsd/kmsd/crypto"
)

const (
	magic   = "kmsdseal"
	version = 1

	saltLen    = 16
	headerLen  = len(magic) + 1 + 1 + 4 + 4 + 1 + saltLen
	wrappedLen = crypto.KeySize + crypto.SealOverhead
	fileLen    = headerLen + wrappedLen + sha256.Size
)

// method says where the root key comes from.
type method uint8

const (
	methodKeyFile    method = 1
	methodPassphrase method = 2
)

func (m method) String() string {
	switch m {
	case methodKeyFile:
		return "a key file"
	case methodPassphrase:
		return "a passphrase"
	}
	return "an unknown source"
}

// file is the content of a seal file.
type file struct {
	method  method
	cost    Cost          // zero for a key file
	salt    [saltLen]byte // zero for a key file
	wrapped []byte        // the domain key, sealed under the root key with the header as associated data
}

func newSalt() (salt [saltLen]byte) {
	rand.Read(salt[:]) // never fails
	return salt
}

// header returns everything before the wrapped key.
func (f *file) header() []byte {
	b := make([]byte, 0, fileLen)
	b = append(b, magic...)
	b = append(b, version, byte(f.method))
	b = binary.BigEndian.AppendUint32(b, f.cost.MemoryKiB)
	b = binary.BigEndian.AppendUint32(b, f.cost.Passes)
	b = append(b, f.cost.Lanes)
	return append(b, f.salt[:]...)
}

// marshal returns the file, which ends with a checksum: it tells damage from a wrong root key, and protects nothing else.
func (f *file) marshal() []byte {
	b := append(f.header(), f.wrapped...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// parse is the inverse of marshal: what it accepts marshals to the same bytes. The error matches ErrCorrupt.
func parse(b []byte) (*file, error) {
	if len(b) != fileLen {
		return nil, fmt.Errorf("%w: it does not have %d bytes", ErrCorrupt, fileLen)
	}
	fields := b[len(magic)+2:]
	f := &file{
		method:  method(b[len(magic)+1]),
		cost:    Cost{MemoryKiB: binary.BigEndian.Uint32(fields), Passes: binary.BigEndian.Uint32(fields[4:]), Lanes: fields[8]},
		salt:    [saltLen]byte(fields[9:]),
		wrapped: bytes.Clone(b[headerLen : headerLen+wrappedLen]),
	}
	if !bytes.Equal(f.marshal(), b) {
		return nil, fmt.Errorf("%w: wrong checksum or version", ErrCorrupt)
	}
	switch f.method {
	case methodKeyFile:
		if f.cost != (Cost{}) || f.salt != ([saltLen]byte{}) {
			return nil, fmt.Errorf("%w: a key file has no parameters", ErrCorrupt)
		}
	case methodPassphrase:
		if err := f.cost.check(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	default:
		return nil, fmt.Errorf("%w: unknown method %d", ErrCorrupt, f.method)
	}
	return f, nil
}
