package server

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// The streams of kmsd are StreamCrypto, which has a row in the table and sees to itself, and those of gRPC: health, which anybody may watch, and
// reflection, for callers who say who they are. Everything else that arrives as a stream is a method that does not exist. Each is one audit event when
// it opens, but for health, which is probed all the time and tells one word.

var errUnknownMethod = &failure{
	code: codes.Unimplemented, reason: "UnsupportedOperationException", class: "UnknownMethod",
	message: "this kmsd has no such method: client and server may be of different versions",
}

// streamMethod stands for a stream in the pipeline.
func streamMethod(name, event string, number int) *method {
	return &method{
		name: name, number: number, source: "grpc", event: event, actions: []authz.Action{authz.STSGetCallerIdentity},
		wipe: func(proto.Message) {},
	}
}

func (s *Server) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	switch info.FullMethod {
	case healthpb.Health_Watch_FullMethodName, kmsv1.BatchService_StreamCrypto_FullMethodName:
		return next(srv, stream)
	}
	known := srv != nil
	event := "UnknownMethod"
	if known {
		event = "ServerReflectionInfo"
	}
	m := streamMethod(info.FullMethod, event, s.metrics.streams())
	m.handle = func(c *call, _ func(any) error) (proto.Message, error) {
		if !known {
			c.param(audit.String("method", info.FullMethod))
			return nil, errUnknownMethod
		}
		return nil, nil
	}
	// The event of a stream is that it was opened: what reflection tells is the same for everybody.
	if _, err := s.serve(stream.Context(), m, nil); err != nil {
		return err
	}
	return next(srv, stream)
}
