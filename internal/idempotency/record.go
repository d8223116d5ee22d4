package idempotency

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kmsd/kmsd/storage"
)

// record is at <account>/<id in hex>: version, end in milliseconds since 1970, hash of the parameters, result.
type record struct {
	expires int64
	request [32]byte
	result  []byte
}

const (
	version    = 1
	headerSize = 1 + 8 + 32
)

func (r record) encode() []byte {
	b := make([]byte, 0, headerSize+len(r.result))
	b = append(b, version)
	b = binary.BigEndian.AppendUint64(b, uint64(r.expires))
	b = append(b, r.request[:]...)
	return append(b, r.result...)
}

// decode copies what it keeps of b.
func decode(b []byte) (record, error) {
	switch {
	case len(b) < headerSize:
		return record{}, errors.New("too short")
	case b[0] != version:
		return record{}, fmt.Errorf("version %d, this program reads %d", b[0], version)
	}
	r := record{expires: int64(binary.BigEndian.Uint64(b[1:])), request: [32]byte(b[9:headerSize])}
	if r.expires < 0 {
		return record{}, errors.New("the end is out of range")
	}
	if len(b) > headerSize {
		r.result = bytes.Clone(b[headerSize:])
	}
	return r, nil
}

// Load reads the tokens of a kind of records, which nobody else writes. A record that cannot be read is an error that names it.
func Load(tx *storage.Tx, kind storage.Kind) (*Log, error) {
	l := &Log{kind: kind, accounts: map[string][]entry{}}
	err := tx.Walk(kind, "", func(path string, value []byte) error {
		account, token, err := locate(path)
		if err != nil {
			return fmt.Errorf("record %s %q: %w", kind, path, err)
		}
		r, err := decode(value)
		if err != nil {
			return fmt.Errorf("record %s %q: %w", kind, path, err)
		}
		l.accounts[account] = append(l.accounts[account], entry{token, r.expires})
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, list := range l.accounts {
		slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(a.expires, b.expires) })
	}
	return l, nil
}

// locate takes the path of a record apart.
func locate(of string) (account string, token id, err error) {
	account, text, _ := strings.Cut(of, "/")
	n, err := hex.Decode(token[:], []byte(text[:min(len(text), 2*len(token))]))
	if err != nil || n != len(token) || account == "" || of != path(account, token) {
		return "", id{}, errors.New("the path is not that of a client token")
	}
	return account, token, nil
}
