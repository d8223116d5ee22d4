package iam

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

// Kinds of records and their paths, described in docs/formats/iam-records.md.
const (
	kindAccount     storage.Kind = "account"            // account id
	kindUser        storage.Kind = "user"               // account id / user id
	kindAccessKey   storage.Kind = "access-key"         // account id / principal id / access key id
	kindUserPolicy  storage.Kind = "user-policy"        // account id / user id / name in lower case
	kindCertificate storage.Kind = "client-certificate" // account id / user id / fingerprint in hex
	kindAuthority   storage.Kind = "certificate-authority"
	kindServer      storage.Kind = "server-certificate"
)

const (
	recordVersion  = 1
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

type userRecord struct {
	Version int       `json:"version"`
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Path    string    `json:"path"`
	Created time.Time `json:"created"`
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
// differently spelled members are refused, as are other versions.
func decodeJSON[T any](data []byte, version func(*T) int) (T, error) {
	var zero, record T
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&record); err != nil {
		return zero, errors.New("not a record of its kind")
	}
	if v := version(&record); v != recordVersion {
		return zero, fmt.Errorf("version %d, this program reads %d", v, recordVersion)
	}
	again, err := json.Marshal(record)
	if err != nil || !bytes.Equal(again, data) {
		return zero, errors.New("not in canonical form")
	}
	return record, nil
}

func decodeAccount(data []byte) (accountRecord, error) {
	return decodeJSON(data, func(r *accountRecord) int { return r.Version })
}

func decodeUser(data []byte) (userRecord, error) {
	r, err := decodeJSON(data, func(r *userRecord) int { return r.Version })
	if err != nil {
		return userRecord{}, err
	}
	if err := errors.Join(checkName("name", r.Name, maxUserName), checkPath(r.Path)); err != nil {
		return userRecord{}, err
	}
	return r, nil
}

func decodePolicy(data []byte) (policyRecord, error) {
	r, err := decodeJSON(data, func(r *policyRecord) int { return r.Version })
	if err != nil {
		return policyRecord{}, err
	}
	if err := checkName("name", r.Name, maxPolicyName); err != nil {
		return policyRecord{}, err
	}
	return r, nil
}

func decodeCertificate(data []byte) (certificateRecord, error) {
	return decodeJSON(data, func(r *certificateRecord) int { return r.Version })
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
