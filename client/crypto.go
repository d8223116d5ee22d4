package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/client/envelope"
	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// checkedCrypto is a CryptoServiceClient with checksums in both directions.
type checkedCrypto struct{ kmsv1.CryptoServiceClient }

// sum is one checksum of an answer.
type sum struct {
	given bool
	sum   uint32
	of    []byte
}

// checked returns ErrIntegrity unless the server has checked the request and every sum is right.
func checked(verified bool, sums ...sum) error {
	for _, s := range sums {
		if !s.given || s.sum != crypto.CRC32C(s.of) {
			return ErrIntegrity
		}
	}
	if !verified {
		return fmt.Errorf("%w: the server has not checked the request's", ErrIntegrity)
	}
	return nil
}

func (c checkedCrypto) Encrypt(ctx context.Context, r *kmsv1.EncryptRequest, opts ...grpc.CallOption) (*kmsv1.EncryptResponse, error) {
	if !r.HasPlaintextCrc32C() {
		r = kmsv1.EncryptRequest_builder{
			KeyId: r.GetKeyId(), Plaintext: r.GetPlaintext(), EncryptionContext: r.GetEncryptionContext(),
			EncryptionAlgorithm: r.GetEncryptionAlgorithm(), PlaintextCrc32C: proto.Uint32(crypto.CRC32C(r.GetPlaintext())),
			GrantTokens: r.GetGrantTokens(), DryRun: r.GetDryRun(),
		}.Build()
	}
	out, err := c.CryptoServiceClient.Encrypt(ctx, r, opts...)
	if err != nil || r.GetDryRun() && out.GetDryRun() {
		return out, err
	}
	if err := checked(out.GetVerifiedPlaintextCrc32C(), sum{out.HasCiphertextBlobCrc32C(), out.GetCiphertextBlobCrc32C(), out.GetCiphertextBlob()}); err != nil {
		return nil, err
	}
	return out, nil
}

func (c checkedCrypto) Decrypt(ctx context.Context, r *kmsv1.DecryptRequest, opts ...grpc.CallOption) (*kmsv1.DecryptResponse, error) {
	if !r.HasCiphertextBlobCrc32C() {
		r = kmsv1.DecryptRequest_builder{
			CiphertextBlob: r.GetCiphertextBlob(), EncryptionContext: r.GetEncryptionContext(), KeyId: r.GetKeyId(),
			EncryptionAlgorithm: r.GetEncryptionAlgorithm(), CiphertextBlobCrc32C: proto.Uint32(crypto.CRC32C(r.GetCiphertextBlob())),
			GrantTokens: r.GetGrantTokens(), DryRun: r.GetDryRun(), DryRunModifiers: r.GetDryRunModifiers(),
		}.Build()
	}
	out, err := c.CryptoServiceClient.Decrypt(ctx, r, opts...)
	if err != nil || r.GetDryRun() && out.GetDryRun() {
		return out, err
	}
	if err := checked(out.GetVerifiedCiphertextBlobCrc32C(), sum{out.HasPlaintextCrc32C(), out.GetPlaintextCrc32C(), out.GetPlaintext()}); err != nil {
		clear(out.GetPlaintext())
		return nil, err
	}
	return out, nil
}

func (c checkedCrypto) ReEncrypt(ctx context.Context, r *kmsv1.ReEncryptRequest, opts ...grpc.CallOption) (*kmsv1.ReEncryptResponse, error) {
	if !r.HasCiphertextBlobCrc32C() {
		r = kmsv1.ReEncryptRequest_builder{
			CiphertextBlob: r.GetCiphertextBlob(), SourceEncryptionContext: r.GetSourceEncryptionContext(), SourceKeyId: r.GetSourceKeyId(),
			DestinationKeyId: r.GetDestinationKeyId(), DestinationEncryptionContext: r.GetDestinationEncryptionContext(),
			SourceEncryptionAlgorithm: r.GetSourceEncryptionAlgorithm(), DestinationEncryptionAlgorithm: r.GetDestinationEncryptionAlgorithm(),
			CiphertextBlobCrc32C: proto.Uint32(crypto.CRC32C(r.GetCiphertextBlob())),
			GrantTokens:          r.GetGrantTokens(), DryRun: r.GetDryRun(), DryRunModifiers: r.GetDryRunModifiers(),
		}.Build()
	}
	out, err := c.CryptoServiceClient.ReEncrypt(ctx, r, opts...)
	if err != nil || r.GetDryRun() && out.GetDryRun() {
		return out, err
	}
	if err := checked(out.GetVerifiedCiphertextBlobCrc32C(), sum{out.HasCiphertextBlobCrc32C(), out.GetCiphertextBlobCrc32C(), out.GetCiphertextBlob()}); err != nil {
		return nil, err
	}
	return out, nil
}

func (c checkedCrypto) GenerateDataKey(ctx context.Context, r *kmsv1.GenerateDataKeyRequest, opts ...grpc.CallOption) (*kmsv1.GenerateDataKeyResponse, error) {
	out, err := c.CryptoServiceClient.GenerateDataKey(ctx, r, opts...)
	if err != nil || r.GetDryRun() && out.GetDryRun() {
		return out, err
	}
	if err := checked(true,
		sum{out.HasCiphertextBlobCrc32C(), out.GetCiphertextBlobCrc32C(), out.GetCiphertextBlob()},
		sum{out.HasPlaintextCrc32C(), out.GetPlaintextCrc32C(), out.GetPlaintext()}); err != nil {
		clear(out.GetPlaintext())
		return nil, err
	}
	return out, nil
}

func (c checkedCrypto) GenerateDataKeyWithoutPlaintext(ctx context.Context, r *kmsv1.GenerateDataKeyWithoutPlaintextRequest, opts ...grpc.CallOption) (*kmsv1.GenerateDataKeyWithoutPlaintextResponse, error) {
	out, err := c.CryptoServiceClient.GenerateDataKeyWithoutPlaintext(ctx, r, opts...)
	if err != nil || r.GetDryRun() && out.GetDryRun() {
		return out, err
	}
	if err := checked(true, sum{out.HasCiphertextBlobCrc32C(), out.GetCiphertextBlobCrc32C(), out.GetCiphertextBlob()}); err != nil {
		return nil, err
	}
	return out, nil
}

func (c checkedCrypto) GenerateRandom(ctx context.Context, r *kmsv1.GenerateRandomRequest, opts ...grpc.CallOption) (*kmsv1.GenerateRandomResponse, error) {
	out, err := c.CryptoServiceClient.GenerateRandom(ctx, r, opts...)
	if err != nil {
		return nil, err
	}
	if err := checked(true, sum{out.HasPlaintextCrc32C(), out.GetPlaintextCrc32C(), out.GetPlaintext()}); err != nil {
		clear(out.GetPlaintext())
		return nil, err
	}
	return out, nil
}

// repeatableKeys is a KeyServiceClient that gives calls a client token which need one to be repeated.
type repeatableKeys struct{ kmsv1.KeyServiceClient }

func (k repeatableKeys) CreateKey(ctx context.Context, r *kmsv1.CreateKeyRequest, opts ...grpc.CallOption) (*kmsv1.CreateKeyResponse, error) {
	if r.GetClientToken() == "" {
		r = proto.CloneOf(r)
		r.SetClientToken(rand.Text())
	}
	return k.KeyServiceClient.CreateKey(ctx, r, opts...)
}

func (k repeatableKeys) RotateKeyOnDemand(ctx context.Context, r *kmsv1.RotateKeyOnDemandRequest, opts ...grpc.CallOption) (*kmsv1.RotateKeyOnDemandResponse, error) {
	if r.GetClientToken() == "" {
		r = proto.CloneOf(r)
		r.SetClientToken(rand.Text())
	}
	return k.KeyServiceClient.RotateKeyOnDemand(ctx, r, opts...)
}

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
