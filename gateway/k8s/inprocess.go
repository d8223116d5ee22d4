package k8s

import (
	"context"

	"google.golang.org/grpc"

	"github.com/kmsd/kmsd/internal/front"
)

// UserAgent is what the audit log says of the calls of a plugin.
const UserAgent = "kmsd-k8s"

// InProcess returns a connection for a plugin inside kmsd: the calls on it go to conn, that of server.Server, as those of the front "k8s" on a
// socket.
func InProcess(conn grpc.ClientConnInterface, socket string) grpc.ClientConnInterface {
	return inProcess{conn, &front.Call{Conn: &front.Conn{Front: "k8s", Listener: socket}, UserAgent: UserAgent, Service: "kms"}}
}

type inProcess struct {
	grpc.ClientConnInterface
	call *front.Call
}

// Invoke makes a call of the front.
func (c inProcess) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return c.ClientConnInterface.Invoke(front.NewContext(ctx, c.call), method, args, reply, opts...)
}
