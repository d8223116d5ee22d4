package keystore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

// The kinds of records that keystore keeps. docs/formats/key-records.md describes them.
const (
	kindKey       storage.Kind = "key"
	kindMaterial  storage.Kind = "key-material"
	kindUsage     storage.Kind = "key-usage"
	kindParams    storage.Kind = "import-parameters"
	kindTombstone storage.Kind = "deleted-key"
	kindAlias     storage.Kind = "alias"
	kindToken     storage.Kind = "client-token"
	kindGrant     storage.Kind = "grant"

	kindGrantTokenKey storage.Kind = "grant-token-key"
	kindCommitmentKey storage.Kind = "material-commitment-key"
	kindClock         storage.Kind = "key-clock"
	kindErase         storage.Kind = "erase-pending"
)

// theOne is the path of what there is one of.
const theOne = "kmsd"

const recordVersion = 1

// aliasRecord is at <account>/<alias name>.
type aliasRecord struct {
	V       int       `json:"v"`
	Key     string    `json:"key"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// tokenRecord is at <account>/<principal id>/<operation>/<client token>.
type tokenRecord struct {
	V        int       `json:"v"`
	Request  []byte    `json:"request_sha256"`
	Key      string    `json:"key"`
	Material string    `json:"material"`
	Grant    string    `json:"grant,omitempty"`
	Result   []byte    `json:"result,omitempty"`
	Expires  time.Time `json:"expires"`
}

// tokenVersion is the version of records of client tokens. In version 1 there were neither grant nor result.
const tokenVersion = 2

func recordOfToken(t Token, o outcome, expires time.Time) tokenRecord {
	return tokenRecord{
		V: tokenVersion, Request: t.Request[:], Key: o.key.String(), Material: o.material.String(), Grant: o.grant, Result: o.result, Expires: expires,
	}
}

func decodeToken(value []byte) (r tokenRecord, err error) {
	if err := decodeJSON(value, &r); err != nil {
		return tokenRecord{}, err
	}
	if r.V != tokenVersion && (r.V != 1 || r.Grant != "" || r.Result != nil) {
		return tokenRecord{}, fmt.Errorf("%w: version %d of a client token, this kmsd reads %d", ErrCorrupt, r.V, tokenVersion)
	}
	return r, nil
}

// outcome is what the change returned.
func (r *tokenRecord) outcome() (o outcome, err error) {
	o = outcome{grant: r.Grant, result: r.Result, repeated: true}
	if o.key, err = crypto.ParseKeyID(r.Key); err != nil {
		return outcome{}, fmt.Errorf("%w: client token of no key", ErrCorrupt)
	}
	if o.material, err = crypto.ParseMaterialID(r.Material); err != nil {
		return outcome{}, fmt.Errorf("%w: client token of no material", ErrCorrupt)
	}
	return o, nil
}

func keyPath(account string, id crypto.KeyID) string { return account + "/" + id.String() }

// numberSize is how many digits the number of a version has in a path.
const numberSize = 8

func materialPath(account string, id crypto.KeyID, number int) string {
	return fmt.Sprintf("%s/%s/%0*d", account, id, numberSize, number)
}

func decodeJSON(value []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: trailing data", ErrCorrupt)
	}
	return nil
}

func decodeRecord(value []byte, into any, version func() int) error {
	if err := decodeJSON(value, into); err != nil {
		return err
	}
	if v := version(); v != recordVersion {
		return fmt.Errorf("%w: version %d, this kmsd reads %d", ErrCorrupt, v, recordVersion)
	}
	return nil
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("keystore: internal error: encoding a record: " + err.Error())
	}
	return b
}
