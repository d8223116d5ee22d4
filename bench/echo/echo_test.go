package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// recorded is a file of answers: to a plaintext of 3 bytes, to a ciphertext of 5, and the rest.
func recorded(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	add := func(method string, payload int, m proto.Message) {
		message, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(&b).Encode(answer{method, payload, message}); err != nil {
			t.Fatal(err)
		}
	}
	add(kmsv1.CryptoService_Encrypt_FullMethodName, 3, kmsv1.EncryptResponse_builder{CiphertextBlob: []byte("abcde")}.Build())
	add(kmsv1.CryptoService_Decrypt_FullMethodName, 5, kmsv1.DecryptResponse_builder{Plaintext: []byte("abc")}.Build())
	add(kmsv1.CryptoService_GenerateDataKey_FullMethodName, 0, kmsv1.GenerateDataKeyResponse_builder{Plaintext: []byte("key")}.Build())
	add(kmsv1.KeyService_DescribeKey_FullMethodName, 0, kmsv1.DescribeKeyResponse_builder{KeyMetadata: kmsv1.KeyMetadata_builder{Arn: "arn"}.Build()}.Build())
	return b.Bytes()
}

func TestAnswersThatCannotBeGiven(t *testing.T) {
	good := string(recorded(t))
	if _, err := decode(strings.NewReader(good)); err != nil {
		t.Fatalf("the answers were refused: %v", err)
	}
	for name, text := range map[string]string{
		"nothing":              "",
		"no answer of Decrypt": strings.Replace(good, "/Decrypt", "/Encrypt", 1),
		"an unknown method":    strings.Replace(good, "/Decrypt", "/Sign", 1),
		"no JSON":              good + "{",
		"no message":           good + `{"method":"/kmsd.kms.v1.CryptoService/Encrypt","message":"/w=="}`,
	} {
		if a, err := decode(strings.NewReader(text)); err == nil {
			t.Errorf("%s: decode gave %+v, want an error", name, a)
		}
	}
}

func TestEchoAnswersByTheLengthOfTheRequest(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	_, ca, err := issue()
	if err != nil {
		t.Fatal(err)
	}
	credentials, err := client.Credentials{
		Endpoint: "localhost:1", Region: "local", AccessKeyID: "AKIAAAAAAAAAAAAAAAAA", SecretAccessKey: crypto.NewSecret([]byte("secret")), CA: ca,
	}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"answers": recorded(t), "from": credentials} {
		if err := os.WriteFile(file(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() {
		ended <- run(ctx, []string{"--answers", file("answers"), "--from", file("from"), "--to", file("to")}, io.Discard)
	}()
	defer func() {
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("the echo server ended with %d, want 0", code)
		}
	}()
	for _, err := os.Stat(file("to")); err != nil; _, err = os.Stat(file("to")) {
		select {
		case code := <-ended:
			go func() { ended <- code }() // for the deferred function
			t.Fatalf("the echo server ended with %d before it served", code)
		case <-time.After(10 * time.Millisecond):
		}
	}
	c := dial(t, file("to"))
	out, err := c.Encrypt(ctx, kmsv1.EncryptRequest_builder{Plaintext: []byte("xyz")}.Build())
	if err != nil || string(out.GetCiphertextBlob()) != "abcde" {
		t.Errorf("Encrypt of 3 bytes = %q, %v, want what was recorded", out.GetCiphertextBlob(), err)
	}
	back, err := c.Decrypt(ctx, kmsv1.DecryptRequest_builder{CiphertextBlob: []byte("vwxyz")}.Build())
	if err != nil || string(back.GetPlaintext()) != "abc" {
		t.Errorf("Decrypt of 5 bytes = %q, %v, want what was recorded", back.GetPlaintext(), err)
	}
	if _, err := c.Encrypt(ctx, kmsv1.EncryptRequest_builder{Plaintext: []byte("longer")}.Build()); status.Code(err) != codes.InvalidArgument {
		t.Errorf("Encrypt of a length without an answer: %v, want InvalidArgument", err)
	}
}

func dial(t *testing.T, path string) kmsv1.CryptoServiceClient {
	t.Helper()
	c, err := client.LoadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := client.New(client.Config{Credentials: c})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return kmsv1.NewCryptoServiceClient(conn.Conn())
}
