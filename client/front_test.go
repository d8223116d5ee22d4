package client_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
	"github.com/kmsd/kmsd/server"
)

// TestKmsdTakesTheSignatureOfEveryMethod: what the client signs without a nonce, kmsd does not want one for.
func TestKmsdTakesTheSignatureOfEveryMethod(t *testing.T) {
	k := kmstest.New(t, nil)
	conn := k.Root().Conn()
	actions := server.Actions()
	n := 0
	for _, file := range []protoreflect.FileDescriptor{
		kmsv1.File_kmsd_kms_v1_crypto_service_proto, kmsv1.File_kmsd_kms_v1_batch_service_proto, kmsv1.File_kmsd_kms_v1_key_service_proto,
		iamv1.File_kmsd_iam_v1_iam_service_proto, stsv1.File_kmsd_sts_v1_sts_service_proto,
		organizationsv1.File_kmsd_organizations_v1_organizations_service_proto,
	} {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				m := methods.Get(j)
				name := fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
				if _, ok := actions[name]; !ok {
					continue
				}
				n++
				if m.IsStreamingClient() {
					continue // it is signed as every method: by its name
				}
				for range 2 { // the second time with the signature of the first, where that is done
					err := conn.Invoke(t.Context(), name, dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output()))
					var e *client.Error
					if errors.As(err, &e) && (strings.Contains(e.Reason, "Signature") || strings.Contains(e.Reason, "Token") || e.Reason == "UnrecognizedClientException" || e.Reason == "") {
						t.Errorf("%s = %v, want its signature taken", name, err)
					}
				}
			}
		}
	}
	if want := len(actions); n != want || n == 0 {
		t.Errorf("called %d methods, kmsd has %d", n, want)
	}
}

// TestOneSignatureServesManyConnections: each connection of a client may repeat the signature of another one.
func TestOneSignatureServesManyConnections(t *testing.T) {
	k := kmstest.New(t, nil)
	c, err := client.New(client.Config{Credentials: k.Credentials(), Connections: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 20 {
		if _, err := c.Crypto().GenerateRandom(t.Context(), kmsv1.GenerateRandomRequest_builder{NumberOfBytes: 16}.Build()); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkEncrypt(b *testing.B) {
	k := kmstest.New(b, nil)
	id := k.Key().GetKeyId()
	r := kmsv1.EncryptRequest_builder{KeyId: id, Plaintext: make([]byte, 32)}.Build()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Root().Crypto().Encrypt(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}
