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
	l := &Log{kind: kind, account: map[string]int{}}
	accounts := map[string]string{} // :: account → itself, once for all of its entries
	err := tx.Walk(kind, "", func(path string, value []byte) error {
		e, err := locate(path)
		if err == nil {
			var r record
			r, err = decode(value)
			e.expires = r.expires
		}
		if err != nil {
			return fmt.Errorf("record %s %q: %w", kind, path, err)
		}
		if _, ok := accounts[e.account]; !ok {
			accounts[e.account] = strings.Clone(e.account)
		}
		e.account = accounts[e.account]
		l.account[e.account]++
		l.queue = append(l.queue, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(l.queue, func(a, b entry) int { return cmp.Compare(a.expires, b.expires) })
	return l, nil
}

// locate takes the path of a record apart.
func locate(path string) (entry, error) {
	account, token, _ := strings.Cut(path, "/")
	var e entry
	if n, err := hex.Decode(e.token[:], []byte(token[:min(len(token), 2*len(e.token))])); err != nil || n != len(e.token) || path != account+"/"+hex.EncodeToString(e.token[:]) || account == "" {
		return entry{}, errors.New("the path is not that of a client token")
	}
	e.account = account
	return e, nil
}
