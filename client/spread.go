package client

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc"
)

// spread returns what makes calls over all connections in turn.
func (c *Client) spread() grpc.ClientConnInterface {
	if len(c.conns) == 1 {
		return c.conns[0]
	}
	return &connections{all: c.conns}
}

type connections struct {
	all  []*grpc.ClientConn
	next atomic.Uint64
}

func (c *connections) pick() *grpc.ClientConn {
	return c.all[c.next.Add(1)%uint64(len(c.all))]
}

// Invoke makes a call over the next connection.
func (c *connections) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return c.pick().Invoke(ctx, method, args, reply, opts...)
}

// NewStream opens a stream over the next connection.
func (c *connections) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return c.pick().NewStream(ctx, desc, method, opts...)
}
