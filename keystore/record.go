package keystore

import (
	"bytes"
	"encoding/binary"
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
	kindKey      storage.Kind = "key"
	kindMaterial storage.Kind = "key-material"
	kindAlias    storage.Kind = "alias"
	kindToken    storage.Kind = "client-token"
	kindGrant    storage.Kind = "grant"

	kindGrantTokenKey storage.Kind = "grant-token-key"
)

const recordVersion = 1

// keyRecord is at <account>/<key id>.
type keyRecord struct {
	V             int               `json:"v"`
	Created       time.Time         `json:"created"`
	State         string            `json:"state"`
	Description   string            `json:"description,omitempty"`
	Policy        string            `json:"policy"`
	PolicyUpdated time.Time         `json:"policy_updated"`
	Bindings      map[string]string `json:"bindings,omitempty"`
	Tags          map[string]string `json:"tags,omitempty"`
}

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
	Expires  time.Time `json:"expires"`
}

func keyPath(account string, id crypto.KeyID) string { return account + "/" + id.String() }

func materialPath(account string, id crypto.KeyID, number int) string {
	return fmt.Sprintf("%s/%s/%08d", account, id, number)
}

func decodeRecord(value []byte, into any, version func() int) error {
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: trailing data", ErrCorrupt)
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

func stateFromString(s string) (State, error) {
	for _, state := range []State{Enabled, Disabled} {
		if state.String() == s {
			return state, nil
		}
	}
	return 0, fmt.Errorf("%w: state %q", ErrCorrupt, s)
}

// materialSize: version, reason, time in nanoseconds, material id, secret.
const materialSize = 1 + 1 + 8 + 32 + 32

// encodeMaterial is binary, so that no encoder's buffers hold the secret.
func encodeMaterial(v *Version) []byte {
	b := make([]byte, 0, materialSize)
	b = append(b, recordVersion, byte(v.Rotation))
	b = binary.BigEndian.AppendUint64(b, uint64(v.Created.UnixNano()))
	b = append(b, v.Material[:]...)
	return append(b, v.secret.Expose()...)
}

// decodeMaterial takes over value, whose tail becomes the secret.
func decodeMaterial(value []byte, id crypto.KeyID, number int) (*Version, error) {
	if len(value) != materialSize || value[0] != recordVersion {
		return nil, fmt.Errorf("%w: key material of %d bytes", ErrCorrupt, len(value))
	}
	v := &Version{
		Number:   number,
		Rotation: Rotation(value[1]),
		Created:  time.Unix(0, int64(binary.BigEndian.Uint64(value[2:]))).UTC(),
		id:       id,
	}
	if v.Rotation != Creation && v.Rotation != OnDemand {
		return nil, fmt.Errorf("%w: key material of unknown rotation %d", ErrCorrupt, value[1])
	}
	copy(v.Material[:], value[10:])
	v.Name = v.Material.String()
	v.secret = crypto.NewSecret(value[42:])
	return v, nil
}

func (k *Key) record() keyRecord {
	return keyRecord{
		V: recordVersion, Created: k.Created, State: k.State.String(), Description: k.Description,
		Policy: k.Policy.document, PolicyUpdated: k.PolicyUpdated, Bindings: k.Policy.bindings, Tags: tagMap(k.tags),
	}
}
