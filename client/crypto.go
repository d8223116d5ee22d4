package client

import (
	"bytes"
	"context"
	"fmt"

	"github.com/kmsd/kmsd/client/envelope"
	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// dataKeyLength is the length of data keys for envelope encryption, in bytes.
const dataKeyLength = 32

// GenerateDataKey returns a fresh 32-byte data key encrypted under the key keyID (id, ARN, alias or alias ARN) and the encryption
// context. The DataKey is the caller's.
func (c *Client) GenerateDataKey(ctx context.Context, keyID string, encryptionContext map[string]string) (envelope.DataKey, error) {
	out, err := c.crypto.GenerateDataKey(ctx, kmsv1.GenerateDataKeyRequest_builder{
		KeyId: keyID, EncryptionContext: encryptionContext, KeySpec: kmsv1.DataKeySpec_DATA_KEY_SPEC_AES_256,
	}.Build())
	if err != nil {
		return envelope.DataKey{}, err
	}
	return dataKey(out.GetPlaintext(), out.GetCiphertextBlob(), out.GetKeyId())
}

// DecryptDataKey returns the 32-byte data key that ciphertext holds, if it is under the key keyARN and the same encryption context. The DataKey is the
// caller's.
func (c *Client) DecryptDataKey(ctx context.Context, keyARN string, ciphertext []byte, encryptionContext map[string]string) (envelope.DataKey, error) {
	out, err := c.crypto.Decrypt(ctx, kmsv1.DecryptRequest_builder{
		CiphertextBlob: ciphertext, EncryptionContext: encryptionContext, KeyId: keyARN,
	}.Build())
	if err != nil {
		return envelope.DataKey{}, err
	}
	return dataKey(out.GetPlaintext(), bytes.Clone(ciphertext), out.GetKeyId())
}

func dataKey(plaintext, ciphertext []byte, arn string) (envelope.DataKey, error) {
	if len(plaintext) != dataKeyLength {
		clear(plaintext)
		return envelope.DataKey{}, fmt.Errorf("the data key has %d bytes, want %d", len(plaintext), dataKeyLength)
	}
	return envelope.DataKey{Plaintext: crypto.NewSecret(plaintext), Ciphertext: ciphertext, KeyARN: arn}, nil
}
