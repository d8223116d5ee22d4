package client

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// checked completes requests before they are sent, with checksums and client tokens, and checks the checksums of the answers. A
// request that lacks something is sent as a copy that shares its fields: the caller's is not changed.
type checked struct {
	grpc.ClientConnInterface
	token string // of changes that have none; "" for a random one each
}

// Invoke makes a call. An answer that fails the check is wiped.
func (c checked) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	request, ok := args.(proto.Message)
	answer, alsoOK := reply.(proto.Message)
	if !ok || !alsoOK {
		return fmt.Errorf("calling %s: the request or the answer is no protobuf message", method)
	}
	request = complete(request, c.token)
	if err := c.ClientConnInterface.Invoke(ctx, method, request, reply, opts...); err != nil {
		return err
	}
	if err := check(request, answer); err != nil {
		wipe(answer)
		return err
	}
	return nil
}

// NewStream opens a stream whose requests and answers are treated likewise, one by one.
func (c checked) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := c.ClientConnInterface.NewStream(ctx, desc, method, opts...)
	if err != nil {
		return nil, errorOf(err)
	}
	return checkedStream{s}, nil
}

type checkedStream struct{ grpc.ClientStream }

// SendMsg sends a request. io.EOF means that the stream has ended: RecvMsg says why.
func (s checkedStream) SendMsg(m any) error {
	if r, ok := m.(*kmsv1.StreamCryptoRequest); ok {
		if item := completeItem(r.GetItem()); item != r.GetItem() {
			m = kmsv1.StreamCryptoRequest_builder{Sequence: r.GetSequence(), Item: item}.Build()
		}
	}
	err := s.ClientStream.SendMsg(m)
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return errorOf(err)
}

// RecvMsg receives an answer, or io.EOF at the end of all.
func (s checkedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	switch {
	case errors.Is(err, io.EOF):
		return err
	case err != nil:
		return errorOf(err)
	}
	if r, ok := m.(*kmsv1.StreamCryptoResponse); ok {
		if err := checkResult(nil, r.GetResult()); err != nil {
			wipe(r)
			return err
		}
	}
	return nil
}

// complete returns request with every checksum that it lacks, and the client token, or a random one if that is "". What is called most is written out, since reflection
// costs a microsecond.
func complete(request proto.Message, token string) proto.Message {
	switch r := request.(type) {
	case *kmsv1.EncryptRequest:
		if r.HasPlaintextCrc32C() {
			return r
		}
		return kmsv1.EncryptRequest_builder{
			KeyId: r.GetKeyId(), Plaintext: r.GetPlaintext(), EncryptionContext: r.GetEncryptionContext(),
			EncryptionAlgorithm: r.GetEncryptionAlgorithm(), PlaintextCrc32C: proto.Uint32(crypto.CRC32C(r.GetPlaintext())),
			GrantTokens: r.GetGrantTokens(), DryRun: r.GetDryRun(),
		}.Build()
	case *kmsv1.DecryptRequest:
		if r.HasCiphertextBlobCrc32C() {
			return r
		}
		return kmsv1.DecryptRequest_builder{
			CiphertextBlob: r.GetCiphertextBlob(), EncryptionContext: r.GetEncryptionContext(), KeyId: r.GetKeyId(),
			EncryptionAlgorithm: r.GetEncryptionAlgorithm(), CiphertextBlobCrc32C: proto.Uint32(crypto.CRC32C(r.GetCiphertextBlob())),
			GrantTokens: r.GetGrantTokens(), DryRun: r.GetDryRun(), DryRunModifiers: r.GetDryRunModifiers(),
		}.Build()
	case *kmsv1.GenerateDataKeyRequest:
		return r
	case *kmsv1.BatchCryptoRequest:
		return completeBatch(r)
	}
	return planOf(request).complete(request, token)
}

// sum is one checksum of an answer.
type sum struct {
	given bool
	sum   uint32
	of    []byte
}

var errNotVerified = fmt.Errorf("%w: the server has not checked the request's", ErrIntegrity)

// right returns ErrIntegrity unless the server has checked the request and every sum is right.
func right(verified bool, sums ...sum) error {
	for _, s := range sums {
		if !s.given || s.sum != crypto.CRC32C(s.of) {
			return ErrIntegrity
		}
	}
	if !verified {
		return errNotVerified
	}
	return nil
}

// check returns ErrIntegrity unless every checksum of answer, which is that of request, is right. A dry run has none, if the request
// asked for one.
func check(request, answer proto.Message) error {
	switch out := answer.(type) {
	case *kmsv1.EncryptResponse:
		if r, ok := request.(*kmsv1.EncryptRequest); ok && !out.GetDryRun() && !r.GetDryRun() {
			return right(out.GetVerifiedPlaintextCrc32C(), sum{out.HasCiphertextBlobCrc32C(), out.GetCiphertextBlobCrc32C(), out.GetCiphertextBlob()})
		}
	case *kmsv1.DecryptResponse:
		if r, ok := request.(*kmsv1.DecryptRequest); ok && !out.GetDryRun() && !r.GetDryRun() {
			return right(out.GetVerifiedCiphertextBlobCrc32C(), sum{out.HasPlaintextCrc32C(), out.GetPlaintextCrc32C(), out.GetPlaintext()})
		}
	case *kmsv1.GenerateDataKeyResponse:
		if r, ok := request.(*kmsv1.GenerateDataKeyRequest); ok && !out.GetDryRun() && !r.GetDryRun() {
			return right(true,
				sum{out.HasCiphertextBlobCrc32C(), out.GetCiphertextBlobCrc32C(), out.GetCiphertextBlob()},
				sum{out.HasPlaintextCrc32C(), out.GetPlaintextCrc32C(), out.GetPlaintext()})
		}
	case *kmsv1.BatchCryptoResponse:
		if r, ok := request.(*kmsv1.BatchCryptoRequest); ok {
			return checkBatch(r, out)
		}
	}
	return planOf(answer).check(request, answer)
}
