package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// answer is what kmsd once answered to a call. The echo server gives it to every call of the method with as much payload, so
// that its messages are byte for byte of kmsd's sizes.
type answer struct {
	Method  string `json:"method"`        // its full name in gRPC
	Payload int    `json:"payload_bytes"` // length of the request's plaintext or ciphertext; 0 if it has neither
	Message []byte `json:"message"`       // the encoded answer
}

// record makes every call that is measured once and writes the answers to a file, one JSON object a line. Nothing in them is
// worth anything beyond the kmsd that they come from, which is made for one run.
func record(ctx context.Context, credentialsFile, path string) error {
	credentials, err := client.LoadFile(credentialsFile)
	if err != nil {
		return err
	}
	c, err := client.New(client.Config{Credentials: credentials})
	if err != nil {
		return err
	}
	defer c.Close() // everything was answered
	var r recorder
	if err := r.all(ctx, newTarget(c)); err != nil {
		return fmt.Errorf("recording the answers: %w", err)
	}
	return os.WriteFile(path, r.Bytes(), 0o600)
}

// recorder holds the lines of the file.
type recorder struct{ bytes.Buffer }

func (r *recorder) add(method string, payload int, m proto.Message) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return json.NewEncoder(r).Encode(answer{method, payload, b})
}

func (r *recorder) all(ctx context.Context, t target) error {
	for _, n := range sizes() {
		out, err := t.checked.Encrypt(ctx, encryptRequest(n))
		if err != nil {
			return err
		}
		if err := r.add(kmsv1.CryptoService_Encrypt_FullMethodName, n, out); err != nil {
			return err
		}
		if err := r.opened(ctx, t, out.GetCiphertextBlob(), plaintext(n)); err != nil {
			return err
		}
	}
	key, err := t.checked.GenerateDataKey(ctx, dataKeyRequest())
	if err != nil {
		return err
	}
	if err := r.add(kmsv1.CryptoService_GenerateDataKey_FullMethodName, 0, key); err != nil {
		return err
	}
	if err := r.opened(ctx, t, key.GetCiphertextBlob(), key.GetPlaintext()); err != nil {
		return err
	}
	described, err := t.keys.DescribeKey(ctx, describeRequest())
	if err != nil {
		return err
	}
	return r.add(kmsv1.KeyService_DescribeKey_FullMethodName, 0, described)
}

// opened records what Decrypt answers to blob.
func (r *recorder) opened(ctx context.Context, t target, blob, want []byte) error {
	out, err := t.expect(ctx, blob, want)
	if err != nil {
		return err
	}
	return r.add(kmsv1.CryptoService_Decrypt_FullMethodName, len(blob), out)
}
