// Package server answers gRPC. Every call goes through one pipeline: authenticate → decode and validate → authorize → use → record → answer.
//
// The table in method.go holds one row for each RPC; a handler asks authz through the call that it is given and gets grants, without which
// keystore and iam do nothing. Each call, whatever its end, is one audit event, made outermost and durable before the answer. This package does not
// decide permissions, hold keys, or read files.
//
// Trust: everything in a request is hostile until the pipeline has passed it on. The connection's peer certificate was verified by TLS.
// Whoever runs code here can do what kmsd can do.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/tap"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/iam"
	"github.com/kmsd/kmsd/internal/netlimit"
	"github.com/kmsd/kmsd/keystore"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	"github.com/kmsd/kmsd/storage"
)

// Limits bound what clients can make the server hold. A zero field has the value of DefaultLimits.
type Limits struct {
	Connections      int           // open connections in all
	ConnectionsPerIP int           // open connections of one address
	Streams          uint32        // calls at a time on one connection
	HeaderListBytes  uint32        // metadata of one call
	MessageBytes     int           // one request, but a batch, which may have 4 MiB; one over 8 MiB is refused by the transport, unread
	Handshake        time.Duration // from TCP to the end of the TLS handshake
	Idle             time.Duration // a connection without calls is closed after
	Age              time.Duration // a connection is closed after, ± 10 %
	Grace            time.Duration // calls on a connection that ages out may take
	Call             time.Duration // a call without a shorter deadline may take

	UnauthenticatedPerSecond int // calls without valid credentials that have an event of their own
}

// DefaultLimits are those of docs/threat-model.md.
func DefaultLimits() Limits {
	return Limits{
		Connections: 4096, ConnectionsPerIP: 64, Streams: 128, HeaderListBytes: 16 << 10, MessageBytes: 256 << 10,
		Handshake: 5 * time.Second, Idle: 5 * time.Minute, Age: 30 * time.Minute, Grace: 30 * time.Second, Call: 10 * time.Second, UnauthenticatedPerSecond: 100,
	}
}

// Config is what a Server is made of. Every field but Limits is required.
type Config struct {
	Store    *storage.Store
	People   *iam.IAM
	Keys     *keystore.Keystore
	Place    keystore.Place
	Audit    *audit.Log
	Markers  *crypto.MAC  // makes page markers authentic; the same key after a restart keeps them good
	TLS      *tls.Config  // of the listener; TLS 1.3
	Log      *slog.Logger // never sees a request or an answer
	Registry *prometheus.Registry
	Limits   Limits
}

// Server is a kmsd that answers. Its methods may be called concurrently.
type Server struct {
	store   *storage.Store
	people  *iam.IAM
	keys    *keystore.Keystore
	place   keystore.Place
	audit   *audit.Log
	markers *crypto.MAC
	log     *slog.Logger
	limits  Limits

	nonces      nonceCache
	denials     denials
	simulations simulations
	generating  *generating
	batches     batchTurns
	streams     openStreams
	flood       *flood
	metrics     *metrics
	grpc        *grpc.Server
	health      *health.Server

	items     []*method          // :: kind of item of a batch → its row of the table
	unary     map[string]*method // by name, what a front may call; never written
	anonymous *anonymousCalls
	stop      func()         // closes stopping, once
	stopping  chan struct{}  // closed when Shutdown begins
	streaming sync.WaitGroup // goroutines of streams
}

// New makes a Server. It fails if the table of methods and the .proto files do not agree.
func New(cfg Config) (*Server, error) {
	rows := table()
	descs, err := services(rows)
	if err != nil {
		return nil, err
	}
	s := &Server{
		store: cfg.Store, people: cfg.People, keys: cfg.Keys, place: cfg.Place, audit: cfg.Audit, markers: cfg.Markers, log: cfg.Log,
		limits: cfg.Limits.orDefault(), metrics: newMetrics(cfg.Registry, rows), health: health.NewServer(),
		nonces: newNonceCache(), generating: newGenerating(), stopping: make(chan struct{}),
	}
	s.stop = sync.OnceFunc(func() { close(s.stopping) })
	if s.items, err = itemMethods(rows); err != nil {
		return nil, err
	}
	s.unary = unaryMethods(rows)
	l := s.limits
	s.anonymous = newAnonymousCalls(rows, l)
	s.flood = newFlood(l.UnauthenticatedPerSecond)
	s.grpc = grpc.NewServer(
		grpc.Creds(handshaker{credentials.NewTLS(cfg.TLS), len(s.metrics.calls)}),
		grpc.ForceServerCodecV2(codec{most: l.MessageBytes}),
		grpc.MaxConcurrentStreams(l.Streams),
		grpc.MaxHeaderListSize(l.HeaderListBytes),
		grpc.MaxRecvMsgSize(transportFactor*max(l.MessageBytes, maxBatch)),
		grpc.ConnectionTimeout(l.Handshake),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 30 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: l.Idle, MaxConnectionAge: l.Age, MaxConnectionAgeGrace: l.Grace, Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.WaitForHandlers(true),
		grpc.InTapHandle(s.tap),
		grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error { return errUnknownMethod }),
		grpc.ChainStreamInterceptor(s.stream, recovery.StreamServerInterceptor(recovery.WithRecoveryHandlerContext(s.recovered))),
	)
	for _, d := range descs {
		s.grpc.RegisterService(d, s)
		s.health.SetServingStatus(d.ServiceName, healthpb.HealthCheckResponse_SERVING)
	}
	healthpb.RegisterHealthServer(s.grpc, s.health)
	reflection.RegisterV1(s.grpc)
	return s, nil
}

const (
	// streamWorkers is how many goroutines wait for calls; performance.md measures what they save.
	streamWorkers = 64
	// transportFactor is how much larger than the largest one allowed a message may be and still be received, to be refused with an event of its own;
	// beyond, the transport refuses it unread. It knows one limit for all methods. Nothing is received of a caller who has not proven who it is, but by
	// the few methods that anonymousCalls bounds.
	transportFactor = 2
)

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	set(&l.Connections, d.Connections)
	set(&l.ConnectionsPerIP, d.ConnectionsPerIP)
	set(&l.Streams, d.Streams)
	set(&l.HeaderListBytes, d.HeaderListBytes)
	set(&l.MessageBytes, d.MessageBytes)
	set(&l.Handshake, d.Handshake)
	set(&l.Idle, d.Idle)
	set(&l.Age, d.Age)
	set(&l.Grace, d.Grace)
	set(&l.Call, d.Call)
	set(&l.UnauthenticatedPerSecond, d.UnauthenticatedPerSecond)
	return l
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// of is how many bytes a request of a method may have.
func (l Limits) of(m *method) int {
	if m.batched {
		return max(l.MessageBytes, maxBatch)
	}
	return l.MessageBytes
}

// tap sees each call by its headers, before anything else is done for it.
func (s *Server) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	if err := s.anonymous.enter(ctx, info.FullMethodName); err != nil {
		s.flood.shed.Add(1)
		return nil, err
	}
	return s.limitTime(ctx, info)
}

// limitTime gives a call that has no deadline, or a later one, the server's, from its first header on: the time that its message takes to
// arrive counts too. Health may be watched for ever, and a stream of items limits its time by itself.
func (s *Server) limitTime(ctx context.Context, info *tap.Info) (context.Context, error) {
	switch info.FullMethodName {
	case healthpb.Health_Watch_FullMethodName, kmsv1.BatchService_StreamCrypto_FullMethodName:
		return ctx, nil
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= s.limits.Call {
		return ctx, nil
	}
	limited, cancel := context.WithTimeout(ctx, s.limits.Call)
	context.AfterFunc(ctx, cancel)
	return limited, nil
}

// Serve answers calls on l until Shutdown, and returns nil then.
func (s *Server) Serve(l net.Listener) error {
	err := s.grpc.Serve(netlimit.Listen(l, netlimit.Config{
		Most: s.limits.Connections, MostPerHost: s.limits.ConnectionsPerIP, Refused: s.metrics.refusedConnections.Inc,
	}))
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// Shutdown stops: health says NOT_SERVING, calls under way are finished, streams take nothing more, and what is left when ctx ends is cut off.
func (s *Server) Shutdown(ctx context.Context) {
	defer s.streaming.Wait()
	s.health.Shutdown()
	s.stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.grpc.GracefulStop()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.grpc.Stop()
		<-done
	}
}

// SetServing tells the health service whether calls can be answered.
func (s *Server) SetServing(serving bool) {
	status := healthpb.HealthCheckResponse_SERVING
	if !serving {
		status = healthpb.HealthCheckResponse_NOT_SERVING
	}
	s.health.SetServingStatus("", status)
	for name := range s.grpc.GetServiceInfo() {
		s.health.SetServingStatus(name, status)
	}
}

func (s *Server) recovered(ctx context.Context, v any) error {
	s.log.Error("panic in a stream", "type", fmt.Sprintf("%T", v))
	return errPanic.status("").Err()
}
