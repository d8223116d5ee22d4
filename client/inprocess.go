package client

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// InProcess returns a connection whose calls go to conn, a kmsd in this process, and are signed with the access key of c in the outgoing
// metadata. It sets no deadline, repeats nothing, and adds no checksum: there is no way that something could be lost or altered on. The error matches
// ErrCredentials if c has no access key. The connection keeps the secret access key.
func (c Credentials) InProcess(conn grpc.ClientConnInterface) (grpc.ClientConnInterface, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("calling in process: %w", err)
	}
	if c.Role != nil || c.AccessKeyID == "" {
		return nil, fmt.Errorf("calling in process: %w", invalid("access_key_id and secret_access_key are missing: there is neither TLS for a certificate nor a session of a role"))
	}
	always := func(context.Context) (*Credentials, error) { return &c, nil }
	return signed{conn, newSigner(always, c.Endpoint)}, nil
}

// signed signs calls on a connection without a transport.
type signed struct {
	grpc.ClientConnInterface
	signer *signer
}

// Invoke signs a call and makes it.
func (s signed) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	signature, err := s.signer.metadata(ctx, method)
	if err != nil {
		return err
	}
	pairs := metadata.New(signature)
	pairs.Set(":authority", s.signer.endpoint) // the host that is signed
	old, _ := metadata.FromOutgoingContext(ctx)
	return s.ClientConnInterface.Invoke(metadata.NewOutgoingContext(ctx, metadata.Join(old, pairs)), method, args, reply, opts...)
}
