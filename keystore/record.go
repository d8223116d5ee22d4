package keystore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

// The kinds of records that keystore keeps. docs/formats/key-records.md describes them.
const (
	kindKey      storage.Kind = "key"
	kindMaterial storage.Kind = "key-material"
	kindAlias    storage.Kind = "alias"
	kindToken    storage.Kind = "client-token"
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
		Policy: k.Policy.document, PolicyUpdated: k.PolicyUpdated, Bindings: k.Policy.bindings,
	}
}

// loader reads all records of a store into a snapshot.
type loader struct {
	place    Place
	keys     map[crypto.KeyID]*Key
	aliases  map[aliasName]*Alias
	policies map[[32]byte]*Policy // most keys have the same few policies
	tokens   tokenQueue
}

func (l *loader) token(path string, value []byte) error {
	var r tokenRecord
	if err := decodeRecord(value, &r, func() int { return r.V }); err != nil {
		return err
	}
	l.tokens = append(l.tokens, queuedToken{path, r.Expires})
	return nil
}

func (l *loader) key(path string, value []byte) error {
	account, text, ok := strings.Cut(path, "/")
	id, err := crypto.ParseKeyID(text)
	if !ok || err != nil || !isAccount(account) {
		return fmt.Errorf("%w: path", ErrCorrupt)
	}
	var r keyRecord
	if err := decodeRecord(value, &r, func() int { return r.V }); err != nil {
		return err
	}
	k := &Key{ID: id, Name: id.String(), ARN: l.place.KeyARN(account, id), Created: r.Created, Description: r.Description, PolicyUpdated: r.PolicyUpdated}
	if k.State, err = stateFromString(r.State); err != nil {
		return err
	}
	if k.Policy, err = l.policy(r.Policy, r.Bindings); err != nil {
		return fmt.Errorf("%w: policy: %w", ErrCorrupt, err)
	}
	k.Resource = authz.Resource{Kind: authz.Key, Account: account, ARN: k.ARN, Policy: k.Policy.compiled}
	l.keys[id] = k
	return nil
}

func (l *loader) policy(document string, bindings map[string]string) (*Policy, error) {
	hash := sha256.Sum256(mustJSON([]any{document, bindings}))
	if p, ok := l.policies[hash]; ok {
		return p, nil
	}
	p, err := CompilePolicy(document, func(arn string) (string, bool) { id, ok := bindings[arn]; return id, ok })
	if err != nil {
		return nil, err
	}
	l.policies[hash] = p
	return p, nil
}

// material reads a version. The store walks in the order of paths, so versions come in the order of their numbers.
func (l *loader) material(path string, value []byte) error {
	part := strings.Split(path, "/")
	if len(part) != 3 {
		return fmt.Errorf("%w: path", ErrCorrupt)
	}
	id, err := crypto.ParseKeyID(part[1])
	if err != nil {
		return fmt.Errorf("%w: path", ErrCorrupt)
	}
	k, ok := l.keys[id]
	if !ok || k.Account() != part[0] {
		return fmt.Errorf("%w: key material without its key", ErrCorrupt)
	}
	number, err := strconv.Atoi(part[2])
	if err != nil || number != len(k.versions)+1 {
		return fmt.Errorf("%w: version %s does not follow version %d", ErrCorrupt, part[2], len(k.versions))
	}
	v, err := decodeMaterial(value, id, number)
	if err != nil {
		return err
	}
	k.addVersion(v)
	return nil
}

func (l *loader) alias(path string, value []byte) error {
	account, name, _ := strings.Cut(path, "/")
	var r aliasRecord
	if err := decodeRecord(value, &r, func() int { return r.V }); err != nil {
		return err
	}
	id, err := crypto.ParseKeyID(r.Key)
	if err != nil {
		return fmt.Errorf("%w: alias of no key", ErrCorrupt)
	}
	k, ok := l.keys[id]
	if !ok || k.Account() != account || checkAliasSyntax(name) != nil {
		return fmt.Errorf("%w: alias of a key that does not exist", ErrCorrupt)
	}
	a := l.place.alias(account, name, id, r.Created, r.Updated)
	l.aliases[aliasName{account, name}] = a
	k.aliases = append(k.aliases, name) // in order, as the store walks
	return nil
}
