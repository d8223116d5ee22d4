package iam

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

// Kinds of records and their paths, described in docs/formats/iam-records.md.
const (
	kindAccount       storage.Kind = "account"                // account id
	kindUser          storage.Kind = "user"                   // account id / user id
	kindGroup         storage.Kind = "group"                  // account id / group id
	kindRole          storage.Kind = "role"                   // account id / role id
	kindPolicy        storage.Kind = "managed-policy"         // account id / policy id
	kindPolicyVersion storage.Kind = "managed-policy-version" // account id / policy id / version in 8 digits
	kindUserPolicy    storage.Kind = "user-policy"            // account id / user id / name in lower case
	kindGroupPolicy   storage.Kind = "group-policy"           // account id / group id / name in lower case
	kindRolePolicy    storage.Kind = "role-policy"            // account id / role id / name in lower case
	kindAccessKey     storage.Kind = "access-key"             // account id / principal id / access key id
	kindLastUsed      storage.Kind = "access-key-last-used"   // account id / principal id / access key id
	kindCertificate   storage.Kind = "client-certificate"     // account id / user id / fingerprint in hex
	kindAuthority     storage.Kind = "certificate-authority"
	kindServer        storage.Kind = "server-certificate"
)

const (
	recordVersion  = 1
	userVersion    = 2 // of the records of users, of which those of version 1 are read too
	accessKeyBytes = 1 + 1 + 8 + secretChars
)

// The one authority and the one server certificate of a store.
const (
	authorityPath = "ca"
	serverPath    = "server"
)

type accountRecord struct {
	Version    int       `json:"version"`
	ID         string    `json:"id"`
	Management bool      `json:"management"`
	Created    time.Time `json:"created"`
}

// userRecord of version 1 ends with Created.
type userRecord struct {
	Version  int       `json:"version"`
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Path     string    `json:"path"`
	Created  time.Time `json:"created"`
	Boundary string    `json:"boundary,omitempty"` // policy id
	Policies []string  `json:"policies,omitempty"` // policy ids
	Groups   []string  `json:"groups,omitempty"`   // group ids
	Tags     tagSet    `json:"tags,omitempty"`
}

type groupRecord struct {
	Version  int       `json:"version"`
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Path     string    `json:"path"`
	Created  time.Time `json:"created"`
	Policies []string  `json:"policies,omitempty"` // policy ids
}

type roleRecord struct {
	Version     int               `json:"version"`
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	Path        string            `json:"path"`
	Created     time.Time         `json:"created"`
	Description string            `json:"description,omitempty"`
	MaxSession  int64             `json:"max_session"` // seconds
	Trust       string            `json:"trust"`
	Bindings    map[string]string `json:"bindings,omitempty"` // :: ARN of a principal in Trust → unique id, which is its role's of a session
	Boundary    string            `json:"boundary,omitempty"` // policy id
	Policies    []string          `json:"policies,omitempty"` // policy ids
	Tags        tagSet            `json:"tags,omitempty"`
}

type managedRecord struct {
	Version     int       `json:"version"`
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Path        string    `json:"path"`
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
	Description string    `json:"description,omitempty"`
	Last        int       `json:"last"`    // the highest number of a version that was ever given
	Default     int       `json:"default"` // the number of the default version
}

type versionRecord struct {
	Version  int       `json:"version"`
	Created  time.Time `json:"created"`
	Document string    `json:"document"`
}

type policyRecord struct {
	Version  int       `json:"version"`
	Name     string    `json:"name"`
	Document string    `json:"document"`
	Updated  time.Time `json:"updated"`
}

type certificateRecord struct {
	Version     int       `json:"version"`
	Created     time.Time `json:"created"`
	Certificate []byte    `json:"certificate"` // DER
}

// decodeJSON is strict: it accepts only what json.Marshal makes of a record, so that unknown, repeated and
// differently spelled members are refused, as are versions other than 1 to latest.
func decodeJSON[T any](data []byte, latest int, version func(*T) int) (T, error) {
	var zero, record T
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&record); err != nil {
		return zero, errors.New("not a record of its kind")
	}
	if v := version(&record); v < 1 || v > latest {
		return zero, fmt.Errorf("version %d, this program reads up to %d", v, latest)
	}
	again, err := json.Marshal(record)
	if err != nil || !bytes.Equal(again, data) {
		return zero, errors.New("not in canonical form")
	}
	return record, nil
}

func decodeAccount(data []byte) (accountRecord, error) {
	return decodeJSON(data, recordVersion, func(r *accountRecord) int { return r.Version })
}

func decodeUser(data []byte) (userRecord, error) {
	r, err := decodeJSON(data, userVersion, func(r *userRecord) int { return r.Version })
	if err != nil {
		return userRecord{}, err
	}
	if r.Version == 1 && (r.Boundary != "" || r.Policies != nil || r.Groups != nil || r.Tags != nil) {
		return userRecord{}, errors.New("version 1 with members of version 2")
	}
	if err := errors.Join(checkName("name", r.Name, maxUserName), checkPath(r.Path)); err != nil {
		return userRecord{}, err
	}
	return r, nil
}

func decodeGroup(data []byte) (groupRecord, error) {
	r, err := decodeJSON(data, recordVersion, func(r *groupRecord) int { return r.Version })
	if err != nil {
		return groupRecord{}, err
	}
	if err := errors.Join(checkName("name", r.Name, maxGroupName), checkPath(r.Path)); err != nil {
		return groupRecord{}, err
	}
	return r, nil
}

func decodeRole(data []byte) (roleRecord, error) {
	r, err := decodeJSON(data, recordVersion, func(r *roleRecord) int { return r.Version })
	if err != nil {
		return roleRecord{}, err
	}
	if err := errors.Join(checkName("name", r.Name, maxRoleName), checkPath(r.Path)); err != nil {
		return roleRecord{}, err
	}
	return r, nil
}

func decodeManaged(data []byte) (managedRecord, error) {
	r, err := decodeJSON(data, recordVersion, func(r *managedRecord) int { return r.Version })
	if err != nil {
		return managedRecord{}, err
	}
	if err := errors.Join(checkName("name", r.Name, maxPolicyName), checkPath(r.Path)); err != nil {
		return managedRecord{}, err
	}
	return r, nil
}

func decodeVersion(data []byte) (versionRecord, error) {
	return decodeJSON(data, recordVersion, func(r *versionRecord) int { return r.Version })
}

func decodePolicy(data []byte) (policyRecord, error) {
	r, err := decodeJSON(data, recordVersion, func(r *policyRecord) int { return r.Version })
	if err != nil {
		return policyRecord{}, err
	}
	if err := checkName("name", r.Name, maxPolicyName); err != nil {
		return policyRecord{}, err
	}
	return r, nil
}

func decodeCertificate(data []byte) (certificateRecord, error) {
	return decodeJSON(data, recordVersion, func(r *certificateRecord) int { return r.Version })
}

func (p *principal) record() []byte {
	return encodeJSON(userRecord{
		Version: userVersion, ID: p.ID, Name: p.Name, Path: p.Path, Created: p.Created,
		Boundary: p.boundary, Policies: p.attached, Groups: p.groups, Tags: p.tags,
	})
}

func (g *group) record() []byte {
	return encodeJSON(groupRecord{Version: recordVersion, ID: g.ID, Name: g.Name, Path: g.Path, Created: g.Created, Policies: g.attached})
}

func (r *role) record() []byte {
	return encodeJSON(roleRecord{
		Version: recordVersion, ID: r.ID, Name: r.Name, Path: r.Path, Created: r.Created, Description: r.Description,
		MaxSession: int64(r.MaxSessionDuration / time.Second), Trust: r.TrustPolicy, Bindings: r.trust.bindings,
		Boundary: r.boundary, Policies: r.attached, Tags: r.tags,
	})
}

func (m *managed) record() []byte {
	return encodeJSON(managedRecord{
		Version: recordVersion, ID: m.ID, Name: m.Name, Path: m.Path, Created: m.Created, Updated: m.Updated,
		Description: m.Description, Last: m.last, Default: m.current,
	})
}

func (v policyVersion) record() []byte {
	return encodeJSON(versionRecord{Version: recordVersion, Created: v.created, Document: v.document})
}

func (q policy) record() []byte {
	return encodeJSON(policyRecord{Version: recordVersion, Name: q.name, Document: q.document, Updated: q.updated})
}

// encodeJSON makes a record. The types are this package's own, so it cannot fail.
func encodeJSON(record any) []byte {
	data, err := json.Marshal(record)
	if err != nil {
		panic("iam: internal error: a record does not encode: " + err.Error())
	}
	return data
}

// encodeAccessKey makes the binary record of an access key: version, status, creation in Unix seconds, secret. The
// caller clears it after the transaction.
func encodeAccessKey(k accessKey) []byte {
	data := make([]byte, 0, accessKeyBytes)
	data = append(data, recordVersion, byte(k.status))
	data = binary.BigEndian.AppendUint64(data, uint64(k.created.Unix()))
	return append(data, k.secret.Expose()...)
}

// decodeAccessKey copies what it keeps of data.
func decodeAccessKey(data []byte) (accessKey, error) {
	if len(data) != accessKeyBytes {
		return accessKey{}, fmt.Errorf("%d bytes, want %d", len(data), accessKeyBytes)
	}
	if data[0] != recordVersion {
		return accessKey{}, fmt.Errorf("version %d, this program reads %d", data[0], recordVersion)
	}
	status, seconds, secret := Status(data[1]), binary.BigEndian.Uint64(data[2:10]), data[10:]
	if status != Active && status != Inactive {
		return accessKey{}, errors.New("the status is unknown")
	}
	if seconds > 1<<40 {
		return accessKey{}, errors.New("the time of creation is out of range")
	}
	if !secretKey.Match(secret) {
		return accessKey{}, errors.New("the secret is malformed")
	}
	return accessKey{
		status:  status,
		created: time.Unix(int64(seconds), 0).UTC(),
		secret:  crypto.NewSecret(bytes.Clone(secret)),
		used:    &lastUse{},
	}, nil
}

// encodeKeyPair makes the binary record of a certificate with its private key: version, length of the certificate,
// certificate (DER), key (PKCS #8).
func encodeKeyPair(certificate []byte, key crypto.Secret) []byte {
	data := make([]byte, 0, 5+len(certificate)+key.Len())
	data = append(data, recordVersion)
	data = binary.BigEndian.AppendUint32(data, uint32(len(certificate)))
	data = append(data, certificate...)
	return append(data, key.Expose()...)
}

// decodeKeyPair copies what it returns.
func decodeKeyPair(data []byte) (certificate []byte, key crypto.Secret, err error) {
	if len(data) < 5 {
		return nil, crypto.Secret{}, errors.New("too short")
	}
	if data[0] != recordVersion {
		return nil, crypto.Secret{}, fmt.Errorf("version %d, this program reads %d", data[0], recordVersion)
	}
	n, rest := uint64(binary.BigEndian.Uint32(data[1:5])), data[5:]
	if n == 0 || n >= uint64(len(rest)) {
		return nil, crypto.Secret{}, errors.New("the length of the certificate is out of range")
	}
	return bytes.Clone(rest[:n]), crypto.NewSecret(bytes.Clone(rest[n:])), nil
}

// split takes a path apart into exactly n parts.
func split(path string, n int) ([]string, error) {
	parts := strings.Split(path, "/")
	if len(parts) != n {
		return nil, fmt.Errorf("the path has %d parts, want %d", len(parts), n)
	}
	return parts, nil
}

func join(parts ...string) string { return strings.Join(parts, "/") }

// versionPath is the last part of the path of a version of a managed policy, such that paths are in the order of numbers.
func versionPath(number int) string { return fmt.Sprintf("%08d", number) }

func parseVersionPath(s string) (number int, err error) {
	number, err = strconv.Atoi(s)
	if err != nil || number < 1 || versionPath(number) != s {
		return 0, errors.New("not the number of a version")
	}
	return number, nil
}
