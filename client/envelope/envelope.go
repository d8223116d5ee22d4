// Package envelope encrypts and decrypts files and streams of any size under data keys of a key management
// service, in constant memory.
//
// The output is a message of the AWS Encryption SDK, message format 2.0, with the algorithm suite 0x0478
// (AES_256_GCM_HKDF_SHA512_COMMIT_KEY: AES-256-GCM, HKDF-SHA512, key commitment, no signature). So every
// implementation of that format reads what is written here, and the other way round. docs/formats/files.md says
// which choices are made where the format leaves one.
//
// It does not call the service itself (the caller passes a KMS), does not name, replace or delete files, and does
// not compress. The length of the plaintext is not hidden, and the encryption context stands in the message in
// the clear.
//
// Trust: who can write the message can make Decrypt fail, and can take away bytes at its end after those already
// released; he cannot make it release a byte that was not encrypted under that data key, that context and at that
// position. Since frames are released as they are authenticated, what was written to dst is worth nothing
// until Decrypt returns nil. The KMS is trusted with the data keys. Who may use the key in the KMS may make
// messages: a message does not prove who wrote it. DecryptOptions.KeyIDs says whose keys to believe.
package envelope

import (
	"context"
	"errors"
	"fmt"

	"github.com/kmsd/kmsd/crypto"
)

// What Decrypt refuses a message for. Errors from the KMS, from src and from dst are wrapped, and match none of
// these but for ErrNoDataKey.
var (
	// ErrMalformed: the header does not follow the format.
	ErrMalformed = errors.New("malformed message")
	// ErrUnsupported: a message of the format, but of a version or algorithm suite that is not read here.
	ErrUnsupported = errors.New("unsupported message")
	// ErrLimit: the header asks for more memory or more calls of the KMS than the limits allow.
	ErrLimit = errors.New("message beyond a limit")
	// ErrTruncated: the message ends before its end.
	ErrTruncated = errors.New("truncated message")
	// ErrTrailing: there are bytes after the end of the message. Its last frame is not released.
	ErrTrailing = errors.New("data after the end of the message")
	// ErrAltered: authentication failed, of the header or of a frame. Nothing of that frame is released.
	ErrAltered = errors.New("altered message")
	// ErrCommitment: the data key is not the one the message was made with. It matches ErrAltered as well.
	ErrCommitment = fmt.Errorf("%w: the data key is not the one it commits to", ErrAltered)
	// ErrNoDataKey: the message has no data key that is acceptable and that the KMS decrypts. If the KMS
	// was asked, its errors are wrapped too.
	ErrNoDataKey = errors.New("no usable data key in the message")
	// ErrContext: the message does not have the encryption context that the caller requires, or, from
	// Encrypt, the encryption context cannot be written in the format.
	ErrContext = errors.New("encryption context")
)

// Limits.
const (
	// DefaultFrameLength is what EncryptOptions.FrameLength 0 means, in bytes.
	DefaultFrameLength = 256 << 10
	// MinFrameLength is the shortest frame Encrypt makes, in bytes. Decrypt reads frames from 1 byte.
	MinFrameLength = 4 << 10
	// MaxFrameLength is the longest frame, and the longest message without frames, in bytes.
	MaxFrameLength = 64 << 20
	// DefaultMaxDataKeys is what DecryptOptions.MaxDataKeys 0 means.
	DefaultMaxDataKeys = 16

	maxHeaderLength = 256 << 10 // bytes; the format's own bound is beyond 12 GiB
	maxWorkers      = 64
	maxInFlight     = 64 << 20 // bytes of frames at once, if two frames are not more
)

// KMS is what the package needs of a key management service. Implementations are safe for concurrent use and
// do not keep or modify the map.
type KMS interface {
	// GenerateDataKey returns a fresh 32-byte data key encrypted under the key keyID (a key id, key ARN,
	// alias name or alias ARN) and the encryption context.
	GenerateDataKey(ctx context.Context, keyID string, encryptionContext map[string]string) (DataKey, error)

	// DecryptDataKey returns the data key that ciphertext holds, if it was encrypted under the key keyARN
	// and the same encryption context. The DataKey returned names the key that decrypted it.
	DecryptDataKey(ctx context.Context, keyARN string, ciphertext []byte, encryptionContext map[string]string) (DataKey, error)
}

// DataKey is a data key in clear and encrypted.
type DataKey struct {
	// Plaintext is the key, 32 bytes. It belongs to whom the DataKey was returned to: Encrypt and Decrypt wipe
	// it when they are done.
	Plaintext crypto.Secret
	// Ciphertext is the key as the KMS encrypted it, to be kept beside what it encrypts. Not to be modified.
	Ciphertext []byte
	// KeyARN is the ARN of the key of the KMS it is encrypted under.
	KeyARN string
}

// Info says what was encrypted or decrypted. Beside an error it is zero.
type Info struct {
	// KeyARN is the key of the KMS that the message's data key is encrypted under.
	KeyARN string
	// Context is the whole encryption context of the message, authenticated.
	Context map[string]string
	// MessageID is the message's random identifier.
	MessageID [32]byte
	// FrameLength is the length of the frames in bytes, 0 for a message without frames.
	FrameLength int
	// Bytes is the length of the plaintext.
	Bytes int64
}
