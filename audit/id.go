package audit

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
)

// ID is a UUID. The zero ID means "none" and is left out of a record.
type ID [16]byte

// NewID makes a random ID (RFC 9562, version 4). It is safe for concurrent use.
func NewID() ID {
	var id ID
	rand.Read(id[:]) // never fails: crypto/rand ends the process instead
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// String gives the 36 characters of RFC 9562, in lower case.
func (id ID) String() string {
	return string(id.append(make([]byte, 0, 36)))
}

func (id ID) append(b []byte) []byte {
	b = hex.AppendEncode(b, id[0:4])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[4:6])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[6:8])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[8:10])
	b = append(b, '-')
	return hex.AppendEncode(b, id[10:16])
}

// ParseID reads what String writes, and nothing else: 36 characters, lower case, any version.
func ParseID(s string) (ID, error) {
	bad := errors.New("parsing an id: not a UUID in lower case")
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, bad
	}
	var id ID
	for _, part := range []struct{ at, from, to int }{{0, 0, 8}, {4, 9, 13}, {6, 14, 18}, {8, 19, 23}, {10, 24, 36}} {
		if _, err := hex.Decode(id[part.at:], []byte(s[part.from:part.to])); err != nil {
			return ID{}, bad
		}
	}
	if id.String() != s {
		return ID{}, bad
	}
	return id, nil
}
