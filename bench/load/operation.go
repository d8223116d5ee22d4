package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// keyName is what requests call the key: by its alias, so that resolving it is measured too.
const keyName = "alias/bench"

// target is a server, called in two ways: checked looks at every checksum, bare does nothing that gRPC does not.
type target struct {
	checked, bare kmsv1.CryptoServiceClient
	keys          kmsv1.KeyServiceClient
}

func newTarget(c *client.Client) target {
	return target{c.Crypto(), kmsv1.NewCryptoServiceClient(c.Conn()), kmsv1.NewKeyServiceClient(c.Conn())}
}

// exchange is one call that can be made over and over.
type exchange struct {
	call                      func(context.Context) error // fails on an error and on an answer of the wrong length
	requestBytes, answerBytes int                         // of the protobuf messages
}

var errAnswer = errors.New("the answer is not what it must be")

// preparing makes an exchange of an operation with so many bytes.
type preparing func(ctx context.Context, operation string, bytes int) (exchange, error)

// prepare makes an exchange, after having made it once with everything checked: that what is encrypted decrypts to what it was.
func (t target) prepare(ctx context.Context, operation string, size int) (exchange, error) {
	switch operation {
	case "encrypt":
		return t.encrypt(ctx, size)
	case "decrypt":
		return t.decrypt(ctx, size)
	case "generate-data-key":
		return t.dataKey(ctx, size)
	case "describe-key":
		return t.describe(ctx, size)
	}
	return exchange{}, fmt.Errorf("%q is no operation: there are encrypt, decrypt, generate-data-key and describe-key", operation)
}

// plaintext is n bytes, always the same.
func plaintext(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i/256)
	}
	return b
}

// The requests carry checksums, as those of the client library do.

func encryptRequest(n int) *kmsv1.EncryptRequest {
	p := plaintext(n)
	return kmsv1.EncryptRequest_builder{KeyId: keyName, Plaintext: p, PlaintextCrc32C: proto.Uint32(crypto.CRC32C(p))}.Build()
}

func decryptRequest(blob []byte) *kmsv1.DecryptRequest {
	return kmsv1.DecryptRequest_builder{KeyId: keyName, CiphertextBlob: blob, CiphertextBlobCrc32C: proto.Uint32(crypto.CRC32C(blob))}.Build()
}

func dataKeyRequest() *kmsv1.GenerateDataKeyRequest {
	return kmsv1.GenerateDataKeyRequest_builder{KeyId: keyName, KeySpec: kmsv1.DataKeySpec_DATA_KEY_SPEC_AES_256}.Build()
}

func describeRequest() *kmsv1.DescribeKeyRequest {
	return kmsv1.DescribeKeyRequest_builder{KeyId: keyName}.Build()
}

// expect returns errAnswer unless a blob decrypts to want.
func (t target) expect(ctx context.Context, blob, want []byte) (*kmsv1.DecryptResponse, error) {
	out, err := t.checked.Decrypt(ctx, decryptRequest(blob))
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(out.GetPlaintext(), want) {
		return nil, fmt.Errorf("%w: a plaintext of %d bytes came back as another of %d", errAnswer, len(want), len(out.GetPlaintext()))
	}
	return out, nil
}

func length(what string, got, want int) error {
	if got != want {
		return fmt.Errorf("%w: %s has %d bytes, want %d", errAnswer, what, got, want)
	}
	return nil
}

func (t target) encrypt(ctx context.Context, size int) (exchange, error) {
	request := encryptRequest(size)
	first, err := t.checked.Encrypt(ctx, request)
	if err != nil {
		return exchange{}, err
	}
	if _, err := t.expect(ctx, first.GetCiphertextBlob(), request.GetPlaintext()); err != nil {
		return exchange{}, err
	}
	want := len(first.GetCiphertextBlob())
	return exchange{func(ctx context.Context) error {
		out, err := t.bare.Encrypt(ctx, request)
		if err != nil {
			return err
		}
		return length("the ciphertext", len(out.GetCiphertextBlob()), want)
	}, proto.Size(request), proto.Size(first)}, nil
}

func (t target) decrypt(ctx context.Context, size int) (exchange, error) {
	sealed, err := t.checked.Encrypt(ctx, encryptRequest(size))
	if err != nil {
		return exchange{}, err
	}
	request := decryptRequest(sealed.GetCiphertextBlob())
	first, err := t.expect(ctx, sealed.GetCiphertextBlob(), plaintext(size))
	if err != nil {
		return exchange{}, err
	}
	return exchange{func(ctx context.Context) error {
		out, err := t.bare.Decrypt(ctx, request)
		if err != nil {
			return err
		}
		return length("the plaintext", len(out.GetPlaintext()), size)
	}, proto.Size(request), proto.Size(first)}, nil
}

// dataKeyBytes is the length of the data keys that are asked for.
const dataKeyBytes = 32

func (t target) dataKey(ctx context.Context, size int) (exchange, error) {
	if size != dataKeyBytes {
		return exchange{}, fmt.Errorf("data keys of %d bytes are not measured, only of %d", size, dataKeyBytes)
	}
	request := dataKeyRequest()
	first, err := t.checked.GenerateDataKey(ctx, request)
	if err != nil {
		return exchange{}, err
	}
	if _, err := t.expect(ctx, first.GetCiphertextBlob(), first.GetPlaintext()); err != nil {
		return exchange{}, err
	}
	return exchange{func(ctx context.Context) error {
		out, err := t.bare.GenerateDataKey(ctx, request)
		if err != nil {
			return err
		}
		return length("the data key", len(out.GetPlaintext()), dataKeyBytes)
	}, proto.Size(request), proto.Size(first)}, nil
}

func (t target) describe(ctx context.Context, size int) (exchange, error) {
	if size != 0 {
		return exchange{}, errors.New("describe-key has no size: give --bytes 0")
	}
	request := describeRequest()
	first, err := t.keys.DescribeKey(ctx, request)
	if err != nil {
		return exchange{}, err
	}
	want := len(first.GetKeyMetadata().GetArn())
	if want == 0 {
		return exchange{}, fmt.Errorf("%w: the key has no ARN", errAnswer)
	}
	return exchange{func(ctx context.Context) error {
		out, err := t.keys.DescribeKey(ctx, request)
		if err != nil {
			return err
		}
		return length("the ARN", len(out.GetKeyMetadata().GetArn()), want)
	}, proto.Size(request), proto.Size(first)}, nil
}
