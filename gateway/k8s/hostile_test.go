package k8s_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	kmsapi "k8s.io/kms/apis/v2"
)

func TestHostileMessages(t *testing.T) {
	c := newCluster(t, nil)
	c.plugin(keyAlias)
	good := c.mustEncrypt("seed")
	altered := bytes.Clone(good.GetCiphertext())
	altered[len(altered)-1] ^= 1
	many := map[string][]byte{}
	for _, k := range []string{"a.example.com", "b.example.com"} {
		many[k] = make([]byte, 10<<10)
	}
	decrypt := func(ciphertext []byte, keyID string, annotations map[string][]byte) error {
		_, err := c.api.Decrypt(t.Context(), &kmsapi.DecryptRequest{Ciphertext: ciphertext, KeyId: keyID, Annotations: annotations, Uid: strings.Repeat("\n", 10_000)})
		return err
	}
	encrypt := func(n int) error {
		_, err := c.api.Encrypt(t.Context(), &kmsapi.EncryptRequest{Plaintext: make([]byte, n)})
		return err
	}
	for _, row := range []struct {
		name string
		err  error
		code codes.Code
		says string
	}{
		{"an empty plaintext", encrypt(0), codes.InvalidArgument, "0 bytes"},
		{"a plaintext of 513 bytes", encrypt(513), codes.InvalidArgument, "must have 1 to 512"},
		{"a plaintext of a mebibyte", encrypt(1 << 20), codes.ResourceExhausted, "larger than max"},
		{"the largest plaintext", encrypt(512), codes.OK, ""},
		{"nothing to decrypt", decrypt(nil, "", nil), codes.InvalidArgument, "key_id"},
		{"an empty ciphertext", decrypt(nil, good.GetKeyId(), nil), codes.InvalidArgument, "0 bytes"},
		{"a ciphertext of a kibibyte", decrypt(make([]byte, 1024), good.GetKeyId(), nil), codes.InvalidArgument, "must have 1 to 1023"},
		{"a ciphertext of a mebibyte", decrypt(make([]byte, 1<<20), good.GetKeyId(), nil), codes.ResourceExhausted, "larger than max"},
		{"a ciphertext of zeros", decrypt(make([]byte, 200), good.GetKeyId(), nil), codes.InvalidArgument, "InvalidCiphertextException"},
		{"an altered ciphertext", decrypt(altered, good.GetKeyId(), nil), codes.InvalidArgument, "altered"},
		{"a malformed key_id", decrypt(good.GetCiphertext(), "x", nil), codes.InvalidArgument, "key_id is not of this plugin"},
		{"annotations", decrypt(good.GetCiphertext(), good.GetKeyId(), many), codes.InvalidArgument, "annotations"},
	} {
		if status.Code(row.err) != row.code || !strings.Contains(status.Convert(row.err).Message(), row.says) {
			t.Errorf("%s: %v, want %v and %q", row.name, row.err, row.code, row.says)
		}
	}
	c.opens(good, "seed")
	if strings.Contains(c.log.String(), strings.Repeat(`\n`, 65)) {
		t.Error("a uid in the log is longer than 64 bytes")
	}
}

// TestHostileConnections: bytes that are no HTTP/2, services that are not there, and more connections than there is room for.
func TestHostileConnections(t *testing.T) {
	c := newCluster(t, nil)
	c.plugin(keyAlias)
	c.healthy()
	noise, err := net.Dial("unix", c.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer noise.Close()
	if _, err := noise.Write(bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 1000)); err != nil {
		t.Logf("the noise was cut off: %v", err)
	}
	conn, err := grpc.NewClient("unix:"+c.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("another service = %v, want Unimplemented", err)
	}
	idle := make([]net.Conn, 40)
	for i := range idle {
		if idle[i], err = net.Dial("unix", c.socket); err != nil {
			t.Fatal(err)
		}
		defer idle[i].Close()
	}
	eventually(t, "a connection beyond the limit is closed", func() bool { return strings.Contains(c.log.String(), "too many connections") })
	c.healthy() // on the connection that was there
}

// TestParallelUse: many at a time, on one connection and on many.
func TestParallelUse(t *testing.T) {
	c := newCluster(t, nil)
	c.plugin(keyAlias)
	id := c.healthy()
	var all sync.WaitGroup
	for i := range 8 {
		api := connect(t, c.socket)
		for j := range 8 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				want := strings.Repeat(string(rune('a'+i)), 8) + strings.Repeat(string(rune('a'+j)), 8)
				for range 4 {
					e, err := api.Encrypt(ctx, &kmsapi.EncryptRequest{Plaintext: []byte(want)})
					if err != nil || e.GetKeyId() != id {
						t.Errorf("Encrypt = under %q, %v, want %q", e.GetKeyId(), err, id)
						return
					}
					d, err := api.Decrypt(ctx, &kmsapi.DecryptRequest{Ciphertext: e.GetCiphertext(), KeyId: e.GetKeyId()})
					if err != nil || string(d.GetPlaintext()) != want {
						t.Errorf("Decrypt = %q, %v, want %q", d.GetPlaintext(), err, want)
					}
					if s, err := api.Status(ctx, &kmsapi.StatusRequest{}); err != nil || s.GetHealthz() != "ok" {
						t.Errorf("Status = %q, %v", s.GetHealthz(), err)
					}
				}
			})
		}
	}
	all.Wait()
}
