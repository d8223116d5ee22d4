package crypto

import "errors"

// The blob, version 1 (docs/formats/ciphertext.md): offsets of the fields of its header.
//
//	version(1) | suite(1) | key id(16) | material id(16) | salt(16) | context tag(16) | commitment(32) |
//	iv(12) | ciphertext | tag(16)
const (
	version1 = 0x01
	suite1   = 0x01 // SP 800-108 counter mode with HMAC-SHA256, AES-256-GCM, key-committing

	atKey        = 2
	atMaterial   = 18
	atSalt       = 34
	atTag        = 50
	atCommitment = 66
	atIV         = 98 // what is before it is authenticated as associated data
)

// Overhead is by how many bytes a ciphertext blob is longer than its plaintext.
const Overhead = 126

// MaxPlaintext is the longest plaintext that a Key encrypts: 16 MiB. Services set limits of their own below it.
const MaxPlaintext = 1 << 24

// ErrCiphertext says that a blob cannot be decrypted. Every failure of ParseHeader and Key.Decrypt matches it and
// has the same text, so that callers of the service cannot learn more.
var ErrCiphertext = errors.New("invalid ciphertext")

// What is wrong with a blob, for the audit record and for nobody else. Each matches ErrCiphertext and has its text.
var (
	// ErrMalformed: the blob is too short or too long, or of a version or suite that does not exist.
	ErrMalformed error = &failure{"malformed"}
	// ErrWrongKey: the header names another key, or other material of the same key.
	ErrWrongKey error = &failure{"wrong_key"}
	// ErrCommitment: the header was not made with this key: it is altered, or the material is not the same.
	ErrCommitment error = &failure{"wrong_commitment"}
	// ErrWrongContext: the header is authentic, and was made with another encryption context.
	ErrWrongContext error = &failure{"wrong_context"}
	// ErrTampered: the header is authentic and the context is right; iv, ciphertext or tag are altered.
	ErrTampered error = &failure{"tampered"}
)

// failure is an ErrCiphertext that knows its reason.
type failure struct{ reason string }

func (*failure) Error() string { return ErrCiphertext.Error() }
func (*failure) Unwrap() error { return ErrCiphertext }

// DecryptFailure classifies an error of ParseHeader or Key.Decrypt for the audit record: "malformed", "wrong_key",
// "wrong_commitment", "wrong_context" or "tampered". It returns "invalid" for another error that matches
// ErrCiphertext, and "" for every other error and nil.
func DecryptFailure(err error) string {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.reason
	}
	if errors.Is(err, ErrCiphertext) {
		return "invalid"
	}
	return ""
}

// Header is what a blob says about itself in clear. Nothing in it is authentic before Key.Decrypt has succeeded.
type Header struct {
	Version, Suite byte
	Key            KeyID
	Material       [16]byte // MaterialID.Short of the key's material
}

// ParseHeader reads the header of a blob, so that the key can be found. It refuses what no Key encrypts: an unknown
// version or suite, less than one byte of ciphertext, more than MaxPlaintext. Its error is ErrMalformed.
func ParseHeader(blob []byte) (Header, error) {
	if len(blob) < Overhead+1 || len(blob) > Overhead+MaxPlaintext || blob[0] != version1 || blob[1] != suite1 {
		return Header{}, ErrMalformed
	}
	return Header{
		Version:  blob[0],
		Suite:    blob[1],
		Key:      KeyID(blob[atKey:atMaterial]),
		Material: [16]byte(blob[atMaterial:atSalt]),
	}, nil
}
