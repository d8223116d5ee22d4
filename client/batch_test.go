package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// items makes an item of every kind.
func items(t *testing.T) []*kmsv1.BatchItem {
	t.Helper()
	var all []*kmsv1.BatchItem
	kinds := (&kmsv1.BatchItem{}).ProtoReflect().Descriptor().Fields()
	for i := range kinds.Len() {
		request := messageOf(t, kinds.Get(i).Message())
		fill(request.ProtoReflect(), false)
		item := &kmsv1.BatchItem{}
		item.ProtoReflect().Set(kinds.Get(i), protoreflect.ValueOfMessage(request.ProtoReflect()))
		all = append(all, item)
	}
	if len(all) < 15 {
		t.Fatalf("a batch has %d kinds of items, want at least 15", len(all))
	}
	return all
}

// resultOf answers an item honestly.
func resultOf(item *kmsv1.BatchItem) *kmsv1.BatchResult {
	result := &kmsv1.BatchResult{}
	field, request := content(item)
	of := result.ProtoReflect().Descriptor().Fields().ByName(field.Name())
	honest(request.ProtoReflect(), result.ProtoReflect().Mutable(of).Message())
	return result
}

// batchConn answers batches, and spoils the results then.
type batchConn struct {
	grpc.ClientConnInterface
	sizes []int
	fails int // the call that fails, from 1
	spoil func([]*kmsv1.BatchResult) []*kmsv1.BatchResult
}

func (c *batchConn) Invoke(_ context.Context, _ string, args, reply any, _ ...grpc.CallOption) error {
	request := args.(*kmsv1.BatchCryptoRequest)
	c.sizes = append(c.sizes, len(request.GetItems()))
	if len(c.sizes) == c.fails {
		return status.Error(codes.Unavailable, "down")
	}
	if n := proto.Size(request); n > MaxBatchBytes {
		return fmt.Errorf("a batch of %d bytes", n)
	}
	var results []*kmsv1.BatchResult
	for _, item := range request.GetItems() {
		results = append(results, resultOf(item))
	}
	if c.spoil != nil {
		results = c.spoil(results)
	}
	reply.(*kmsv1.BatchCryptoResponse).SetResults(results)
	return nil
}

func (c *batchConn) client() *Client {
	return &Client{batch: kmsv1.NewBatchServiceClient(checked{c, ""})}
}

// TestBatchesAreChecked: every item of every kind is sent with its checksums, and one wrong result refuses all of its call.
func TestBatchesAreChecked(t *testing.T) {
	all := items(t)
	conn := &batchConn{}
	results, err := conn.client().BatchCrypto(t.Context(), all)
	if err != nil || len(results) != len(all) {
		t.Fatalf("BatchCrypto = %d results, %v, want %d", len(results), err, len(all))
	}
	spoilt := 0
	for i := range all {
		_, answer := content(results[i])
		for j := range answer.ProtoReflect().Descriptor().Fields().Len() {
			f := answer.ProtoReflect().Descriptor().Fields().Get(j)
			if !isBytes(f) && !isSum(f) {
				continue
			}
			spoilt++
			conn.spoil = func(results []*kmsv1.BatchResult) []*kmsv1.BatchResult {
				_, answer := content(results[i])
				answer.ProtoReflect().Clear(f)
				return results
			}
			if got, err := conn.client().BatchCrypto(t.Context(), all); !errors.Is(err, ErrIntegrity) || len(got) != 0 {
				t.Errorf("a batch without %s = %d results, %v, want ErrIntegrity", f.FullName(), len(got), err)
			}
		}
	}
	if spoilt < 40 {
		t.Errorf("spoilt %d fields, want at least 40", spoilt)
	}
	for name, spoil := range map[string]func([]*kmsv1.BatchResult) []*kmsv1.BatchResult{
		"a result is missing":     func(r []*kmsv1.BatchResult) []*kmsv1.BatchResult { return r[1:] },
		"there is one too many":   func(r []*kmsv1.BatchResult) []*kmsv1.BatchResult { return append(r, r[0]) },
		"results are exchanged":   func(r []*kmsv1.BatchResult) []*kmsv1.BatchResult { r[0], r[1] = r[1], r[0]; return r },
		"a result says nothing":   func(r []*kmsv1.BatchResult) []*kmsv1.BatchResult { r[3] = &kmsv1.BatchResult{}; return r },
		"a result is a dry run's": func(r []*kmsv1.BatchResult) []*kmsv1.BatchResult { r[0] = dryEncryption(); return r },
	} {
		conn.spoil = spoil
		if got, err := conn.client().BatchCrypto(t.Context(), all); !errors.Is(err, ErrIntegrity) || len(got) != 0 {
			t.Errorf("%s: BatchCrypto = %d results, %v, want ErrIntegrity", name, len(got), err)
		}
	}
}

func dryEncryption() *kmsv1.BatchResult {
	return kmsv1.BatchResult_builder{Encrypt: kmsv1.EncryptResponse_builder{DryRun: true}.Build()}.Build()
}

func TestBatchesOfAnySize(t *testing.T) {
	small := kmsv1.BatchItem_builder{Encrypt: kmsv1.EncryptRequest_builder{KeyId: "k", Plaintext: []byte("x")}.Build()}.Build()
	large := kmsv1.BatchItem_builder{Encrypt: kmsv1.EncryptRequest_builder{KeyId: "k", Plaintext: make([]byte, 64<<10)}.Build()}.Build()
	huge := kmsv1.BatchItem_builder{Encrypt: kmsv1.EncryptRequest_builder{KeyId: "k", Plaintext: make([]byte, MaxBatchBytes)}.Build()}.Build()
	for _, tt := range []struct {
		name string
		n    int
		item *kmsv1.BatchItem
		want []int
	}{
		{"none", 0, small, nil},
		{"one", 1, small, []int{1}},
		{"as many as fit", 1024, small, []int{1024}},
		{"one more", 1025, small, []int{1024, 1}},
		{"large ones", 130, large, []int{63, 63, 4}},
		{"one that never fits", 1, huge, []int{1}},
	} {
		conn := &batchConn{}
		results, err := conn.client().BatchCrypto(t.Context(), slices.Repeat([]*kmsv1.BatchItem{tt.item}, tt.n))
		if !slices.Equal(conn.sizes, tt.want) {
			t.Errorf("%s: calls of %v items, want %v", tt.name, conn.sizes, tt.want)
		}
		if tt.item != huge && (err != nil || len(results) != tt.n) {
			t.Errorf("%s: BatchCrypto = %d results, %v, want %d", tt.name, len(results), err, tt.n)
		}
	}
	conn := &batchConn{fails: 2}
	if results, err := conn.client().BatchCrypto(t.Context(), slices.Repeat([]*kmsv1.BatchItem{small}, 2000)); status.Code(err) != codes.Unavailable || len(results) != 1024 {
		t.Errorf("BatchCrypto = %d results, %v, want those of the call that succeeded, and the error", len(results), err)
	}
}

func TestErrorsOfItems(t *testing.T) {
	if err := BatchError(dryEncryption()); err != nil {
		t.Errorf("BatchError of a result = %v, want nil", err)
	}
	r := kmsv1.BatchResult_builder{Error: &rpcstatus.Status{Code: int32(codes.PermissionDenied), Message: "no"}, RequestId: "r-1"}.Build()
	var e *Error
	if err := BatchError(r); !errors.As(err, &e) || e.Code != codes.PermissionDenied || e.Message != "no" || e.RequestID != "r-1" {
		t.Errorf("BatchError of an error = %v, want it", err)
	}
}

// echoStream answers every item honestly.
type echoStream struct {
	grpc.ClientStream
	sent  []*kmsv1.StreamCryptoRequest
	spoil func(proto.Message)
	err   error
}

func (s *echoStream) SendMsg(m any) error {
	if s.err != nil {
		return io.EOF
	}
	s.sent = append(s.sent, m.(*kmsv1.StreamCryptoRequest))
	return nil
}

func (s *echoStream) RecvMsg(m any) error {
	if s.err != nil {
		return s.err
	}
	result := resultOf(s.sent[len(s.sent)-1].GetItem())
	if s.spoil != nil {
		_, answer := content(result)
		s.spoil(answer)
	}
	m.(*kmsv1.StreamCryptoResponse).SetResult(result)
	return nil
}

func TestStreamsAreChecked(t *testing.T) {
	for _, item := range items(t) {
		under := &echoStream{}
		s := checkedStream{under}
		given := kmsv1.StreamCryptoRequest_builder{Sequence: 7, Item: item}.Build()
		if err := s.SendMsg(given); err != nil || under.sent[0].GetSequence() != 7 {
			t.Fatalf("SendMsg = %v with sequence %d, want nil and 7", err, under.sent[0].GetSequence())
		}
		field, request := content(item)
		_, sent := content(under.sent[0].GetItem())
		checkSent(t, request, sent)
		got := &kmsv1.StreamCryptoResponse{}
		if err := s.RecvMsg(got); err != nil {
			t.Errorf("%s: RecvMsg = %v, want nil", field.Name(), err)
		}
		under.spoil = func(answer proto.Message) {
			for i := range answer.ProtoReflect().Descriptor().Fields().Len() {
				if f := answer.ProtoReflect().Descriptor().Fields().Get(i); isSum(f) {
					answer.ProtoReflect().Clear(f)
				}
			}
		}
		if err := s.RecvMsg(got); !errors.Is(err, ErrIntegrity) || got.HasResult() {
			t.Errorf("%s without checksums: RecvMsg = %v, %v, want nothing and ErrIntegrity", field.Name(), got, err)
		}
		under.err = status.Error(codes.PermissionDenied, "no")
		var e *Error
		if err := s.RecvMsg(got); !errors.As(err, &e) || e.Code != codes.PermissionDenied {
			t.Errorf("%s: RecvMsg = %v, want *Error", field.Name(), err)
		}
		if err := s.SendMsg(given); err != io.EOF {
			t.Errorf("%s: SendMsg to a stream that has ended = %v, want io.EOF", field.Name(), err)
		}
		under.err = io.EOF
		if err := s.RecvMsg(got); err != io.EOF {
			t.Errorf("%s: RecvMsg at the end = %v, want io.EOF", field.Name(), err)
		}
	}
}
