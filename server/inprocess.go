package server

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/internal/front"
)

// InProcess returns a connection to the pipeline for the gateways: a call on it is authenticated, authorized, recorded and answered as one over
// gRPC. The context of a call must hold a front.Call; its outgoing metadata is what the pipeline reads. A request is a proto.Message or a front.Request,
// and a reply a proto.Message or a *front.Reply. Calls of methods that kmsd does not have are recorded and refused; there are no streams. The header
// of a reply (grpc.Header) has x-amzn-requestid. After Shutdown each call ends with UNAVAILABLE.
func (s *Server) InProcess() grpc.ClientConnInterface { return inProcess{s} }

type inProcess struct{ s *Server }

// errStopped is what calls in process are told after Shutdown.
var errStopped = &failure{code: codes.Unavailable, reason: reasonInternal, class: "Stopping", message: "kmsd stops: try again later"}

// Invoke carries out one call. What it returns is a status error, with the details that a client of gRPC sees.
func (p inProcess) Invoke(ctx context.Context, name string, args, reply any, opts ...grpc.CallOption) error {
	s := p.s
	select {
	case <-s.stopping:
		return errStopped.status("").Err()
	default:
	}
	m, ok := s.unary[name]
	if !ok {
		m = s.foreign(front.FromContext(ctx))
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.Call)
	defer cancel()
	md, _ := metadata.FromOutgoingContext(ctx)
	ctx = metadata.NewIncomingContext(ctx, md)
	header := &replyHeader{}
	out, err := s.serve(grpc.NewContextWithServerTransportStream(ctx, header), m, decoderOf(args))
	for _, o := range opts {
		if h, ok := o.(grpc.HeaderCallOption); ok {
			*h.HeaderAddr = header.md
		}
	}
	if err != nil {
		return err
	}
	return deliver(m, out, reply, header)
}

// NewStream refuses: a front has no streams.
func (inProcess) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "a connection in process has no streams")
}

// deliver hands an answer over.
func deliver(m *method, out proto.Message, reply any, header *replyHeader) error {
	switch r := reply.(type) {
	case *front.Reply:
		r.Message, r.Wipe = out, func() { m.wipe(out) }
		if id := header.md[headerRequestID]; len(id) > 0 {
			r.RequestID = id[0]
		}
	case proto.Message:
		defer m.wipe(out)
		if r.ProtoReflect().Descriptor() != out.ProtoReflect().Descriptor() {
			return status.Errorf(codes.Internal, "%T is not the answer of this method", reply)
		}
		proto.Merge(r, out)
	default:
		m.wipe(out)
		return status.Errorf(codes.Internal, "%T is no reply", reply)
	}
	return nil
}

// foreign stands for a method that kmsd does not have.
func (s *Server) foreign(f *front.Call) *method {
	m := streamMethod("unknown", "UnknownMethod", s.metrics.streams())
	m.handle = func(c *call, _ func(any) error) (proto.Message, error) {
		if f != nil {
			c.param(audit.String("method", bounded(f.Operation)))
		}
		return nil, errUnknownMethod
	}
	return m
}

// decoderOf is how the pipeline reads the request args.
func decoderOf(args any) func(any) error {
	return func(v any) error {
		in, ok := v.(*received)
		if !ok {
			return status.Errorf(codes.Internal, "decoding into %T", v)
		}
		switch r := args.(type) {
		case front.Request:
			in.err = r.DecodeTo(in.message)
		case proto.Message:
			if r.ProtoReflect().Descriptor() != in.message.ProtoReflect().Descriptor() {
				return status.Errorf(codes.Internal, "%T is not the request of this method", args)
			}
			proto.Merge(in.message, r)
		default:
			return status.Errorf(codes.Internal, "%T is no request", args)
		}
		if in.err == nil && proto.Size(in.message) > in.most {
			in.err = errTooLarge
		}
		return nil
	}
}

// translation is how a call ends that its front could not translate.
func translation(err error) *failure {
	var e *front.Error
	if !errors.As(err, &e) {
		return nil
	}
	return &failure{code: codes.InvalidArgument, reason: e.Reason, message: e.Message, class: "Malformed"}
}

// replyHeader collects the header of a reply, in the place of a transport.
type replyHeader struct{ md metadata.MD }

// Method is not asked by the pipeline.
func (*replyHeader) Method() string { return "" }

// SetHeader joins md to the header.
func (h *replyHeader) SetHeader(md metadata.MD) error {
	h.md = metadata.Join(h.md, md)
	return nil
}

// SendHeader joins md to the header.
func (h *replyHeader) SendHeader(md metadata.MD) error { return h.SetHeader(md) }

// SetTrailer drops md: there is no trailer.
func (*replyHeader) SetTrailer(metadata.MD) error { return nil }
