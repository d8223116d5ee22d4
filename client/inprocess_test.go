package client

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// recorder is a kmsd in this process that notes the metadata of calls.
type recorder struct {
	grpc.ClientConnInterface
	md metadata.MD
}

func (r *recorder) Invoke(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
	r.md, _ = metadata.FromOutgoingContext(ctx)
	return nil
}

// TestInProcess: calls carry a signature, beside what their context has; only an access key can sign. That kmsd takes it is tested with gateway/k8s.
func TestInProcess(t *testing.T) {
	key, certificate := byKeyAndByCertificate(t)
	r := &recorder{}
	conn, err := key.InProcess(r)
	if err != nil {
		t.Fatal(err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "own", "value")
	if _, err := kmsv1.NewCryptoServiceClient(conn).Encrypt(ctx, &kmsv1.EncryptRequest{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"authorization", "x-amz-date", "x-amz-content-sha256", ":authority", "own"} {
		if len(r.md.Get(name)) != 1 {
			t.Errorf("%s of a call = %q, want one", name, r.md.Get(name))
		}
	}
	role := Credentials{Endpoint: key.Endpoint, Region: key.Region, CA: key.CA, Role: &Role{ARN: testRole, SourceProfile: "x"}}
	for name, c := range map[string]Credentials{"a certificate": certificate, "a role": role, "nothing": {}} {
		if _, err := c.InProcess(r); !errors.Is(err, ErrCredentials) {
			t.Errorf("InProcess of %s = %v, want ErrCredentials", name, err)
		}
	}
}
