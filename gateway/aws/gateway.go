package aws

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/kmsd/kmsd/internal/front"
	"github.com/kmsd/kmsd/internal/netlimit"
)

// Config is what a Gateway is made of. Every field but TLS and Limits is required.
type Config struct {
	Conn     grpc.ClientConnInterface // the pipeline
	TLS      *tls.Config              // of the listener; its NextProtos are not looked at. Nil serves plain HTTP, which is for loopback addresses and unix sockets only
	Log      *slog.Logger             // never sees a request or an answer
	Registry *prometheus.Registry
	Limits   Limits
}

// Gateway answers HTTP requests. Its methods may be called concurrently.
type Gateway struct {
	conn     grpc.ClientConnInterface
	log      *slog.Logger
	limits   Limits
	services *directory
	metrics  *metrics
	room     *room
	idle     *idleConns
	http     *http.Server
	cut      context.CancelFunc // ends the calls under way

	handlers sync.WaitGroup
	mu       sync.Mutex
	stopping bool // guarded by mu: nothing is added to handlers
}

// New makes a Gateway.
func New(cfg Config) (*Gateway, error) {
	if cfg.Conn == nil || cfg.Log == nil || cfg.Registry == nil {
		return nil, errors.New("a gateway needs a connection to the pipeline, a log and a registry of metrics")
	}
	l := cfg.Limits.orDefault()
	ctx, cut := context.WithCancel(context.Background())
	g := &Gateway{
		conn: cfg.Conn, log: cfg.Log, limits: l, services: newDirectory(newServices()), metrics: newMetrics(cfg.Registry),
		room: newRoom(l.Requests, l.ConnectionsPerIP, l.Bodies, l.Bodies/4), idle: newIdleConns(), cut: cut,
	}
	g.http = &http.Server{
		Handler:           http.HandlerFunc(g.serveHTTP),
		ReadHeaderTimeout: l.Header, ReadTimeout: l.Read, WriteTimeout: l.Read + l.Write, IdleTimeout: l.Idle, MaxHeaderBytes: l.HeaderBytes,
		DisableGeneralOptionsHandler: true,
		Protocols:                    &http.Protocols{},
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: l.Streams, MaxDecoderHeaderTableSize: 4 << 10, MaxReadFrameSize: 16 << 10,
			MaxReceiveBufferPerConnection: 256 << 10, MaxReceiveBufferPerStream: 64 << 10,
			SendPingTimeout: time.Minute, PingTimeout: 20 * time.Second, WriteByteTimeout: l.Write,
		},
		BaseContext: func(l net.Listener) context.Context { return context.WithValue(ctx, listenerKey{}, l.Addr()) },
		ConnContext: newConnection,
		ConnState:   g.idle.note,
		ErrorLog:    slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug), // handshakes that fail, and the like
	}
	g.http.Protocols.SetHTTP1(true)
	if cfg.TLS != nil {
		g.http.TLSConfig = cfg.TLS.Clone()
		// A client that speaks both gets HTTP/1.1, as from AWS, whose endpoints speak nothing else: it costs kmsd less (docs/benchmarks.md).
		g.http.TLSConfig.NextProtos = []string{"http/1.1", "h2"}
		g.http.Protocols.SetHTTP2(true)
	}
	return g, nil
}

// Serve answers requests on l until Shutdown, and returns nil then. It closes l.
func (g *Gateway) Serve(l net.Listener) error {
	l = netlimit.Listen(l, netlimit.Config{
		Most: g.limits.Connections, MostPerHost: g.limits.ConnectionsPerIP, Refused: g.metrics.refused.Inc, MakeRoom: g.makeRoom,
	})
	var err error
	if g.http.TLSConfig != nil {
		err = g.http.ServeTLS(l, "", "")
	} else {
		err = g.http.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving clients of AWS: %w", err)
}

// makeRoom closes the connection that has been without a request for longest.
func (g *Gateway) makeRoom() bool {
	if !g.idle.closeOldest() {
		return false
	}
	g.metrics.evicted.Inc()
	return true
}

// Shutdown takes no more connections, finishes the requests under way, and cuts off what is left when ctx ends. When it returns, no call of the
// pipeline is under way. Serve may not be called after it.
func (g *Gateway) Shutdown(ctx context.Context) {
	if err := g.http.Shutdown(ctx); err != nil {
		g.http.Close() // what it says is of connections that are gone
	}
	g.mu.Lock()
	g.stopping = true
	g.mu.Unlock()
	g.cut()
	g.handlers.Wait()
}

// enter counts a request that is answered until handlers.Done; false once the gateway is stopping.
func (g *Gateway) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopping {
		return false
	}
	g.handlers.Add(1)
	return true
}

// connection is what the requests on a connection have in common.
type connection struct {
	host  netip.Prefix // of the client, as limits count it
	known atomic.Bool  // a request on it was carried out

	once sync.Once
	conn front.Conn // whole once a request has come
}

type (
	connectionKey struct{}
	listenerKey   struct{}
)

// newConnection is http.Server's ConnContext: it is called before the handshake.
func newConnection(ctx context.Context, c net.Conn) context.Context {
	conn := &connection{host: netlimit.Host(c.RemoteAddr()), conn: front.Conn{Front: "aws", Listener: c.LocalAddr().String()}}
	if at, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		conn.conn.Peer = at
	}
	if l, ok := ctx.Value(listenerKey{}).(net.Addr); ok && l.Network() == "unix" {
		conn.conn.Listener = UnixPrefix + l.String() // the connection's own address may be an earlier name of the socket
	}
	return context.WithValue(ctx, connectionKey{}, conn)
}

// UnixPrefix is how the address of a unix socket begins: "unix:/run/kmsd.sock".
const UnixPrefix = "unix:"

// connectionOf returns the connection of a request, with what the handshake has said.
func connectionOf(r *http.Request) *connection {
	c, ok := r.Context().Value(connectionKey{}).(*connection)
	if !ok {
		return &connection{conn: front.Conn{Front: "aws"}} // of no listener
	}
	c.once.Do(func() {
		if s := r.TLS; s != nil {
			c.conn.TLSVersion, c.conn.CipherSuite, c.conn.SNI = tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite), strings.Clone(s.ServerName)
		}
	})
	return c
}
