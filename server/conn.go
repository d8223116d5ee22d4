package server

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/internal/front"
)

// connection is what is known of a connection since its handshake, worked out once and read by every call on it.
type connection struct {
	credentials.CommonAuthInfo
	network     audit.Network
	address     netip.Addr        // of the other side, as conditions compare it
	certificate *x509.Certificate // the client's, verified against the CA pool; nil if it sent none
	fingerprint [32]byte          // SHA-256 of certificate
	thumbprint  string            // fingerprint in hexadecimal

	// signatures holds the last verified signature of each method, so that calls that repeat it within its second need
	// no HMAC. :: method number → signature
	signatures []atomic.Pointer[verified]
}

// AuthType names the kind of credentials.AuthInfo.
func (*connection) AuthType() string { return "tls" }

func connectionOf(ctx context.Context) (*connection, error) {
	if f := front.FromContext(ctx); f != nil && f.Conn != nil {
		return connectionOfFront(f.Conn), nil
	}
	if p, ok := peer.FromContext(ctx); ok {
		if c, ok := p.AuthInfo.(*connection); ok {
			return c, nil
		}
	}
	return nil, errors.New("finding the connection of a call: it has none")
}

// connectionOfFront is a connection that is not gRPC's. It has no client certificate.
func connectionOfFront(f *front.Conn) *connection {
	c := &connection{network: audit.Network{
		Front: f.Front, Listener: f.Listener, TLSVersion: f.TLSVersion, CipherSuite: f.CipherSuite, SNI: bounded(f.SNI),
	}}
	if c.address = f.Peer.Addr().Unmap().WithZone(""); c.address.IsValid() {
		c.network.SrcIP, c.network.SrcPort = c.address.String(), int(f.Peer.Port())
	}
	return c
}

// handshaker is gRPC's TLS, which keeps what the pipeline needs as the connection's credentials.AuthInfo.
type handshaker struct {
	credentials.TransportCredentials
	methods int
}

// ServerHandshake does TLS on raw and works out what calls on the connection will need.
func (h handshaker) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := h.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	t, ok := info.(credentials.TLSInfo)
	if !ok {
		return nil, nil, errors.Join(errors.New("handshake without TLS"), conn.Close())
	}
	c := &connection{CommonAuthInfo: t.CommonAuthInfo, network: networkOf(raw, t.State), signatures: make([]atomic.Pointer[verified], h.methods)}
	c.address = addressOf(c.network.SrcIP)
	if chains := t.State.VerifiedChains; len(chains) > 0 && len(chains[0]) > 0 {
		c.certificate = chains[0][0]
		c.fingerprint = sha256.Sum256(c.certificate.Raw)
		c.thumbprint = hex.EncodeToString(c.fingerprint[:])
	}
	return conn, c, nil
}

// Clone copies the credentials, as gRPC asks.
func (h handshaker) Clone() credentials.TransportCredentials {
	return handshaker{h.TransportCredentials.Clone(), h.methods}
}

func networkOf(conn net.Conn, state tls.ConnectionState) audit.Network {
	n := audit.Network{
		Listener:    conn.LocalAddr().String(),
		TLSVersion:  tls.VersionName(state.Version),
		CipherSuite: tls.CipherSuiteName(state.CipherSuite),
		SNI:         bounded(state.ServerName),
	}
	if a, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		n.SrcIP, n.SrcPort = a.Addr().Unmap().WithZone("").String(), int(a.Port())
	}
	return n
}
