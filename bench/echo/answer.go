package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// answer is one line of the file that load setup makes.
type answer struct {
	Method  string `json:"method"`        // its full name in gRPC
	Payload int    `json:"payload_bytes"` // length of the request's plaintext or ciphertext; 0 if it has neither
	Message []byte `json:"message"`       // the encoded answer
}

// answers are the messages that are answered. They are not changed.
type answers struct {
	encrypt  map[int]*kmsv1.EncryptResponse // :: length of the plaintext → answer
	decrypt  map[int]*kmsv1.DecryptResponse // :: length of the ciphertext → answer
	dataKey  *kmsv1.GenerateDataKeyResponse
	describe *kmsv1.DescribeKeyResponse
}

func load(path string) (*answers, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	a, err := decode(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return a, nil
}

func decode(r io.Reader) (*answers, error) {
	a := &answers{encrypt: map[int]*kmsv1.EncryptResponse{}, decrypt: map[int]*kmsv1.DecryptResponse{}}
	for d := json.NewDecoder(r); ; {
		var one answer
		if err := d.Decode(&one); errors.Is(err, io.EOF) {
			return a, a.complete()
		} else if err != nil {
			return nil, err
		}
		to := a.slot(one)
		if to == nil {
			return nil, fmt.Errorf("%q is not answered here", one.Method)
		}
		if err := proto.Unmarshal(one.Message, to); err != nil {
			return nil, fmt.Errorf("the answer of %q: %w", one.Method, err)
		}
	}
}

// slot is the message to decode an answer into, nil if its method is unknown.
func (a *answers) slot(one answer) proto.Message {
	switch one.Method {
	case kmsv1.CryptoService_Encrypt_FullMethodName:
		a.encrypt[one.Payload] = &kmsv1.EncryptResponse{}
		return a.encrypt[one.Payload]
	case kmsv1.CryptoService_Decrypt_FullMethodName:
		a.decrypt[one.Payload] = &kmsv1.DecryptResponse{}
		return a.decrypt[one.Payload]
	case kmsv1.CryptoService_GenerateDataKey_FullMethodName:
		a.dataKey = &kmsv1.GenerateDataKeyResponse{}
		return a.dataKey
	case kmsv1.KeyService_DescribeKey_FullMethodName:
		a.describe = &kmsv1.DescribeKeyResponse{}
		return a.describe
	}
	return nil
}

func (a *answers) complete() error {
	if len(a.encrypt) == 0 || len(a.decrypt) == 0 || a.dataKey == nil || a.describe == nil {
		return errors.New("an operation has no answer")
	}
	return nil
}

var errLength = status.Error(codes.InvalidArgument, "no answer was recorded for a request of this length")

type cryptoService struct {
	kmsv1.UnimplementedCryptoServiceServer
	answers *answers
}

func (s cryptoService) Encrypt(_ context.Context, r *kmsv1.EncryptRequest) (*kmsv1.EncryptResponse, error) {
	if out, ok := s.answers.encrypt[len(r.GetPlaintext())]; ok {
		return out, nil
	}
	return nil, errLength
}

func (s cryptoService) Decrypt(_ context.Context, r *kmsv1.DecryptRequest) (*kmsv1.DecryptResponse, error) {
	if out, ok := s.answers.decrypt[len(r.GetCiphertextBlob())]; ok {
		return out, nil
	}
	return nil, errLength
}

func (s cryptoService) GenerateDataKey(context.Context, *kmsv1.GenerateDataKeyRequest) (*kmsv1.GenerateDataKeyResponse, error) {
	return s.answers.dataKey, nil
}

type keyService struct {
	kmsv1.UnimplementedKeyServiceServer
	answers *answers
}

func (s keyService) DescribeKey(context.Context, *kmsv1.DescribeKeyRequest) (*kmsv1.DescribeKeyResponse, error) {
	return s.answers.describe, nil
}
