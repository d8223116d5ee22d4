package client

import (
	"context"
	"fmt"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// The largest batch that kmsd takes in one call.
const (
	MaxBatchItems = 1024
	MaxBatchBytes = 4 << 20 // of the request as it is sent
)

// BatchCrypto carries out requests of any number and of any kind, and returns the result of each at its index: BatchError tells whether
// it is an error. They are sent in as few calls as possible, one after the other, of at most MaxBatchItems and MaxBatchBytes; an item that is larger by itself
// is refused by kmsd. If a call as a whole fails, BatchCrypto returns the results of the calls before it, which were carried out, beside
// the error: ErrIntegrity if the checksum of any result is wrong, else as of other calls. Items are not changed.
func (c *Client) BatchCrypto(ctx context.Context, items []*kmsv1.BatchItem) ([]*kmsv1.BatchResult, error) {
	results := make([]*kmsv1.BatchResult, 0, len(items))
	for len(results) < len(items) {
		rest := items[len(results):]
		request := completeBatch(kmsv1.BatchCryptoRequest_builder{Items: rest[:min(len(rest), MaxBatchItems)]}.Build())
		request.SetItems(request.GetItems()[:fitting(request.GetItems())])
		out, err := c.batch.BatchCrypto(ctx, request)
		if err != nil {
			return results, err
		}
		results = append(results, out.GetResults()...)
	}
	return results, nil
}

// fitting returns how many of items fit into one call, at least 1.
func fitting(items []*kmsv1.BatchItem) int {
	size := 0
	for i, item := range items {
		size += protowire.SizeTag(1) + protowire.SizeBytes(proto.Size(item))
		if i > 0 && size > MaxBatchBytes {
			return i
		}
	}
	return len(items)
}

// BatchError returns how an item of a batch or of a stream failed, as the *Error that its request would have had by itself, or nil if it did not.
func BatchError(r *kmsv1.BatchResult) error {
	if !r.HasError() {
		return nil
	}
	e := errorOf(status.ErrorProto(r.GetError()))
	if e.RequestID == "" {
		e.RequestID = r.GetRequestId()
	}
	return e
}

// completeBatch is complete for the items of a batch.
func completeBatch(r *kmsv1.BatchCryptoRequest) *kmsv1.BatchCryptoRequest {
	items := make([]*kmsv1.BatchItem, len(r.GetItems()))
	for i, item := range r.GetItems() {
		items[i] = completeItem(item)
	}
	return kmsv1.BatchCryptoRequest_builder{Items: items}.Build()
}

// completeItem is complete for one item.
func completeItem(item *kmsv1.BatchItem) *kmsv1.BatchItem {
	switch item.WhichRequest() {
	case kmsv1.BatchItem_Encrypt_case:
		return kmsv1.BatchItem_builder{Encrypt: complete(item.GetEncrypt(), "").(*kmsv1.EncryptRequest)}.Build()
	case kmsv1.BatchItem_Decrypt_case:
		return kmsv1.BatchItem_builder{Decrypt: complete(item.GetDecrypt(), "").(*kmsv1.DecryptRequest)}.Build()
	case kmsv1.BatchItem_Request_not_set_case:
		return item
	}
	field, request := content(item)
	sent := complete(request, "") // no request of a batch has a token
	if sent == request {
		return item
	}
	out := &kmsv1.BatchItem{}
	out.ProtoReflect().Set(field, protoreflect.ValueOfMessage(sent.ProtoReflect()))
	return out
}

// content returns what the oneof of an item or a result holds; nothing if that is not set.
func content(m proto.Message) (protoreflect.FieldDescriptor, proto.Message) {
	r := m.ProtoReflect()
	f := r.WhichOneof(r.Descriptor().Oneofs().Get(0))
	if f == nil {
		return nil, nil
	}
	return f, r.Get(f).Message().Interface()
}

// checkBatch returns ErrIntegrity unless there is a result of each item, and each is right.
func checkBatch(request *kmsv1.BatchCryptoRequest, answer *kmsv1.BatchCryptoResponse) error {
	if n, want := len(answer.GetResults()), len(request.GetItems()); n != want {
		return fmt.Errorf("%w: %d results of %d items", ErrIntegrity, n, want)
	}
	for i, result := range answer.GetResults() {
		if err := checkResult(request.GetItems()[i], result); err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
	}
	return nil
}

var errOtherKind = fmt.Errorf("%w: the result is not one of its item", ErrIntegrity)

// checkResult is check for the result of an item, which is nil if it is not known.
func checkResult(item *kmsv1.BatchItem, result *kmsv1.BatchResult) error {
	if result.HasError() {
		return nil
	}
	field, answer := content(result)
	if answer == nil {
		return errOtherKind
	}
	if item == nil {
		return check(nil, answer)
	}
	asked, request := content(item)
	if asked == nil || asked.Name() != field.Name() {
		return errOtherKind
	}
	return check(request, answer)
}
