package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha512"
	"encoding/binary"
	"fmt"

	"github.com/kmsd/kmsd/crypto"
)

// Labels of the format: of the key derivation (algorithm suite 0x0478) and of the frames' associated data.
const (
	deriveLabel = "\x04\x78DERIVEKEY"
	commitLabel = "COMMITKEY"

	labelFrame       = "AWSKMSEncryptionClient Frame"
	labelFinalFrame  = "AWSKMSEncryptionClient Final Frame"
	labelSingleBlock = "AWSKMSEncryptionClient Single Block"
)

const dataKeyLength = 32

// messageKey seals and opens the header and the frames of one message. It is safe for concurrent use, and holds
// the key behind closures, so that printing it does not print the key.
type messageKey struct {
	seal func(dst []byte, seq uint32, plaintext, aad []byte) []byte
	open func(dst []byte, seq uint32, ciphertext, aad []byte) ([]byte, error)
}

// deriveMessageKey derives a message's key and the commitment to its data key: HKDF-SHA512 with the message id as
// salt. A random message id of 32 bytes makes the key unique, so that the counter as IV never repeats under a key.
func deriveMessageKey(dataKey crypto.Secret, messageID [messageIDLength]byte) (messageKey, [commitmentLength]byte, error) {
	var commitment [commitmentLength]byte
	if dataKey.Len() != dataKeyLength {
		return messageKey{}, commitment, fmt.Errorf("a data key of %d bytes, want %d", dataKey.Len(), dataKeyLength)
	}
	prk, err := hkdf.Extract(sha512.New, dataKey.Expose(), messageID[:])
	if err != nil {
		return messageKey{}, commitment, fmt.Errorf("deriving the message key: %w", err)
	}
	defer clear(prk)
	c, err := hkdf.Expand(sha512.New, prk, commitLabel, commitmentLength)
	if err != nil {
		return messageKey{}, commitment, fmt.Errorf("deriving the commitment: %w", err)
	}
	k, err := hkdf.Expand(sha512.New, prk, deriveLabel, 32)
	if err != nil {
		return messageKey{}, commitment, fmt.Errorf("deriving the message key: %w", err)
	}
	defer clear(k)
	key, err := newMessageKey(k)
	if err != nil {
		return messageKey{}, commitment, err
	}
	return key, [commitmentLength]byte(c), nil
}

func newMessageKey(k []byte) (messageKey, error) {
	block, err := aes.NewCipher(k)
	if err != nil {
		return messageKey{}, fmt.Errorf("making the cipher: %w", err)
	}
	// The format's IV is a counter, which GODEBUG=fips140=only does not allow: then this is an error.
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return messageKey{}, fmt.Errorf("making the cipher: %w", err)
	}
	return messageKey{
		seal: func(dst []byte, seq uint32, plaintext, aad []byte) []byte {
			nonce := iv(seq)
			return aead.Seal(dst, nonce[:], plaintext, aad)
		},
		open: func(dst []byte, seq uint32, ciphertext, aad []byte) ([]byte, error) {
			nonce := iv(seq)
			return aead.Open(dst, nonce[:], ciphertext, aad)
		},
	}, nil
}

// iv is the IV of frame seq: the number, padded in front. The header's is that of frame 0.
func iv(seq uint32) (b [ivLength]byte) {
	binary.BigEndian.PutUint32(b[ivLength-4:], seq)
	return b
}

// headerTag authenticates the header body.
func (k messageKey) headerTag(body []byte) (tag [tagLength]byte) {
	copy(tag[:], k.seal(nil, 0, nil, body))
	return tag
}

// frameAAD is a frame's associated data: message id, label, frame number, length of the content.
func frameAAD(messageID [messageIDLength]byte, label string, seq uint32, length int) []byte {
	b := make([]byte, 0, messageIDLength+len(labelSingleBlock)+12)
	b = append(b, messageID[:]...)
	b = append(b, label...)
	b = binary.BigEndian.AppendUint32(b, seq)
	return binary.BigEndian.AppendUint64(b, uint64(length))
}
