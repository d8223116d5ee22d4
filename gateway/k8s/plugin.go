// Package k8s is the KMS v2 plugin of Kubernetes: the API server asks it on a unix socket to encrypt the seeds of its data keys, so that what etcd holds
// can be read only with a key of kmsd. It translates the three calls of k8s.io/kms apis/v2, Status, Encrypt and Decrypt, into calls of kmsd, made as a
// user who may use that key, over the network (kmsd k8s-plugin) or in process (InProcess).
//
// It has no key and no permission check, keeps nothing on disk, and caches no plaintext and no ciphertext. There are no annotations, and no KMS v1.
//
// Trust: who can open the socket, its owner and root, can have anything encrypted and decrypted that the API server can. Who can write etcd chooses
// what is asked to be decrypted, and gets nothing from it but what was encrypted here under the same key: the encryption context is the plugin's
// own. Plaintexts pass through buffers of gRPC, which are not wiped. Logs hold ids, never plaintext or ciphertext.
package k8s

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	kmsapi "k8s.io/kms/apis/v2"

	"github.com/kmsd/kmsd/internal/netlimit"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// CallTimeout is how long a call of kmsd may take that a call of the API server needs. The API server waits three seconds for the plugin, unless its
// configuration says otherwise.
const CallTimeout = 2 * time.Second

// The limits of the socket.
const (
	maxConnections = 32
	maxStreams     = 64       // calls at a time on one connection
	maxMessage     = 64 << 10 // bytes; the API server's largest have 34 KiB, annotations included
	maxHeaders     = 16 << 10 // bytes
)

// maxKeyID is the length of the longest name of a key that kmsd takes.
const maxKeyID = 2048

// Config is what a Plugin is made of.
type Config struct {
	// Crypto calls kmsd, as a user who may kms:Encrypt and kms:Decrypt with the key. Required. It should fail fast while kmsd is away.
	Crypto kmsv1.CryptoServiceClient
	// KeyID is the key: id, ARN, alias or alias ARN. Required. An alias must stay with its key: if it is pointed to another one the plugin is
	// unhealthy until it is pointed back.
	KeyID string
	// Log is where the plugin says what it did, one line a call, with the uid that the API server logs and the request id of kmsd's audit log. Required.
	Log *slog.Logger
	// Fresh is how long the result of a health check answers Status. 0 means one second. A result is never told after a change of the version.
	Fresh time.Duration
}

// Plugin answers the API server. It is safe for concurrent use.
type Plugin struct {
	kmsapi.UnimplementedKeyManagementServiceServer

	crypto   kmsv1.CryptoServiceClient
	keyID    string
	log      *slog.Logger
	versions versions
	health   health
	server   *grpc.Server
	life     context.Context // of health checks
	end      context.CancelFunc
	checks   sync.WaitGroup // goroutines of health checks
}

var _ kmsapi.KeyManagementServiceServer = (*Plugin)(nil)

// New makes a Plugin. It calls nobody: Serve does.
func New(cfg Config) (*Plugin, error) {
	switch {
	case cfg.Crypto == nil || cfg.Log == nil:
		return nil, errors.New("making the Kubernetes plugin: Crypto and Log are required")
	case cfg.KeyID == "":
		return nil, errors.New("making the Kubernetes plugin: the key id is missing: name a key by its id, ARN or alias")
	case len(cfg.KeyID) > maxKeyID:
		return nil, fmt.Errorf("making the Kubernetes plugin: the key id has %d bytes, at most %d are possible", len(cfg.KeyID), maxKeyID)
	}
	if cfg.Fresh == 0 {
		cfg.Fresh = time.Second
	}
	p := &Plugin{crypto: cfg.Crypto, keyID: cfg.KeyID, log: cfg.Log, health: health{fresh: cfg.Fresh}}
	p.life, p.end = context.WithCancel(context.Background())
	p.server = grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.ConnectionTimeout(5*time.Second),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.WaitForHandlers(true),
		grpc.UnaryInterceptor(recovery.UnaryServerInterceptor(recovery.WithRecoveryHandlerContext(p.recovered))),
	)
	kmsapi.RegisterKeyManagementServiceServer(p.server, p)
	return p, nil
}

// Serve answers on l until Shutdown, and returns nil then. It closes l. What is wrong with the key or the credentials is logged at once, and does
// not end it: kmsd may come later than the API server.
func (p *Plugin) Serve(l net.Listener) error {
	p.recent()
	err := p.server.Serve(netlimit.Listen(l, netlimit.Config{Most: maxConnections, Refused: p.refused}))
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("serving the Kubernetes plugin: %w", err)
	}
	return nil
}

// Shutdown takes no more calls, finishes those under way until ctx ends, and closes the listener. A second Shutdown does nothing.
func (p *Plugin) Shutdown(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.server.GracefulStop()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		p.server.Stop()
		<-done
	}
	p.health.close()
	p.end()
	p.checks.Wait()
}

func (p *Plugin) refused() {
	p.log.Warn("too many connections to the Kubernetes plugin: one was closed", "most", maxConnections)
}

// recovered makes an error of a panic that does not carry its value, which might hold anything.
func (p *Plugin) recovered(_ context.Context, v any) error {
	p.log.Error("panic in a call of the Kubernetes plugin", "type", fmt.Sprintf("%T", v))
	return status.Error(codes.Internal, "internal error")
}
