// Package client calls kmsd from Go.
//
// New makes a [Client] out of [Credentials]: it signs or presents a certificate, or assumes a role and keeps the role's temporary credentials fresh, speaks TLS 1.3 to a server that the credentials' CA vouches for,
// sets a deadline on every call, repeats what may be repeated, checks the checksums of both directions, and turns answers that are errors into an
// [Error] with AWS's name of it. A Client is an envelope.KMS, so that files and streams are encrypted with package envelope under its keys.
//
// It keeps no key, caches no answer (envelope.Cache does), logs nothing, and looks for credentials in no place but those that it is told.
//
// Trust: who reads the credentials file can do what its owner can. Who is between client and server learns the lengths and times of calls.
// Who holds a private key of the CA can answer calls: he gets the plaintexts sent to Encrypt and chooses data keys. What the server
// returns passes through buffers of gRPC, which are not wiped.
package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/kmsd/kmsd/client/envelope"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// DefaultTimeout is how long a call may take, all attempts together, unless Config or its context says less.
const DefaultTimeout = 10 * time.Second

// MaxConnections is the largest number of connections of a Client.
const MaxConnections = 64

// Config is what a Client is made of.
type Config struct {
	// Credentials say where kmsd is, how it is known, and who calls. Required, unless Provider is given. The Client keeps the secret
	// access key: do not wipe it while the Client is in use. With a Role the Client assumes it, as AssumeRole says.
	Credentials Credentials
	// Provider, instead of Credentials, gives temporary credentials. The Client does not close it.
	Provider *CredentialsProvider
	// Endpoint is "host:port" of kmsd; "" means that of Credentials. Signatures are bound to it.
	Endpoint string
	// Timeout is how long a call may take, all attempts together. A context may say less, not more. 0 means DefaultTimeout.
	Timeout time.Duration
	// Connections is over how many connections calls are spread, at most MaxConnections. 0 means 1, which is the fastest on few cores.
	Connections int
	// ClientToken is the client token of every change whose request has none: for a program that makes one change, and may be run again.
	// "" means a random one each.
	ClientToken string
	// UserAgent is put before gRPC's own in the header that the audit log records. "" means "kmsd-go".
	UserAgent string
}

// Client calls one kmsd. It is safe for concurrent use.
type Client struct {
	conns         []*grpc.ClientConn
	crypto        kmsv1.CryptoServiceClient
	batch         kmsv1.BatchServiceClient
	keys          kmsv1.KeyServiceClient
	iam           iamv1.IAMServiceClient
	sts           stsv1.STSServiceClient
	organizations organizationsv1.OrganizationsServiceClient
	owned         *CredentialsProvider // that New made; nil if none
}

var _ envelope.KMS = (*Client)(nil)

// New makes a Client. It opens no connection: the first call does. Close it after use.
func New(cfg Config) (*Client, error) {
	if cfg.Provider != nil {
		if !cfg.Credentials.isZero() {
			return nil, errors.New("making a client: both credentials and a provider of them: give one")
		}
		cfg.Credentials = cfg.Provider.at
	}
	if cfg.Endpoint != "" {
		cfg.Credentials.Endpoint = cfg.Endpoint
	}
	if cfg.Provider == nil {
		if err := cfg.Credentials.check(); err != nil {
			return nil, fmt.Errorf("making a client: %w", err)
		}
	}
	return newClient(cfg)
}

// newClient makes a Client of a configuration whose credentials are checked; they may be those of nobody.
func newClient(cfg Config) (*Client, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Connections == 0 {
		cfg.Connections = 1
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "kmsd-go"
	}
	if cfg.Timeout < 0 || cfg.Connections < 0 || cfg.Connections > MaxConnections {
		return nil, fmt.Errorf("making a client: a timeout of %v and %d connections, want a positive timeout and 1 to %d connections", cfg.Timeout, cfg.Connections, MaxConnections)
	}
	c := &Client{}
	if cfg.Credentials.Role != nil {
		p, err := assume(cfg)
		if err != nil {
			return nil, fmt.Errorf("making a client: %w", err)
		}
		c.owned, cfg.Provider = p, p
		cfg.Credentials = p.at
	}
	options, err := dialOptions(cfg)
	if err != nil {
		c.Close() // nothing was opened
		return nil, fmt.Errorf("making a client: %w", err)
	}
	for range cfg.Connections {
		conn, err := grpc.NewClient("dns:///"+cfg.Credentials.Endpoint, options...)
		if err != nil {
			c.Close() // nothing was opened
			return nil, fmt.Errorf("making a client: %w", err)
		}
		c.conns = append(c.conns, conn)
	}
	cc := checked{c.spread(), cfg.ClientToken}
	c.crypto = kmsv1.NewCryptoServiceClient(cc)
	c.batch = kmsv1.NewBatchServiceClient(cc)
	c.keys = kmsv1.NewKeyServiceClient(cc)
	c.iam = iamv1.NewIAMServiceClient(cc)
	c.sts = stsv1.NewSTSServiceClient(cc)
	c.organizations = organizationsv1.NewOrganizationsServiceClient(cc)
	return c, nil
}

func dialOptions(cfg Config) ([]grpc.DialOption, error) {
	tlsConfig, err := cfg.Credentials.TLS()
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(tlsConfig)),
		grpc.WithAuthority(cfg.Credentials.Endpoint),
		grpc.WithUserAgent(cfg.UserAgent),
		grpc.WithDisableServiceConfig(), // of DNS
		grpc.WithDefaultServiceConfig(serviceConfig(cfg.Timeout)),
		grpc.WithUnaryInterceptor(repeater{cfg.Timeout, cfg.Provider}.intercept),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}
	switch {
	case cfg.Provider != nil:
		options = append(options, grpc.WithPerRPCCredentials(newSigner(cfg.Provider.credentials, cfg.Credentials.Endpoint)))
	case cfg.Credentials.AccessKeyID != "":
		always := func(context.Context) (*Credentials, error) { return &cfg.Credentials, nil }
		options = append(options, grpc.WithPerRPCCredentials(newSigner(always, cfg.Credentials.Endpoint)))
	}
	return options, nil
}

// TLS returns what a TLS connection with these credentials needs, in a new Config that is the caller's: TLS 1.3, the CA as only root, and the
// client certificate if there is one. The name of the server is left to the caller (gRPC takes it from the endpoint).
func (c Credentials) TLS() (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(c.CA) {
		return nil, errCA
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool}
	if len(c.Certificate) > 0 {
		pair, err := tls.X509KeyPair(c.Certificate, c.Key.Expose())
		if err != nil {
			return nil, errKeyPair
		}
		// Sent whatever CAs the server names: it is better refused than silently left out.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return cfg, nil
}

// Close ends all connections; calls under way fail. A second Close does nothing.
func (c *Client) Close() error {
	if c.owned != nil {
		c.owned.Close() // likewise says nothing of interest
	}
	for _, conn := range c.conns {
		conn.Close() // only says that it was closed before
	}
	return nil
}

// Crypto calls the CryptoService. Like all services of a Client it sets what a request lacks, the checksums of what is sent and a random client
// token of a change, which makes it safe to repeat, and returns an error that matches ErrIntegrity instead of an answer in which a checksum is wrong or missing, or
// whose request kmsd has not checked. Requests are not changed.
func (c *Client) Crypto() kmsv1.CryptoServiceClient { return c.crypto }

// Batch calls the BatchService, as Crypto does the other: with the checksums of all items. BatchCrypto, the method of Client, takes more
// items than one call does. A stream has no deadline but that of its context, is not repeated, and its errors are *Error, too.
func (c *Client) Batch() kmsv1.BatchServiceClient { return c.batch }

// Keys calls the KeyService. Each change gets a client token, as Crypto says.
func (c *Client) Keys() kmsv1.KeyServiceClient { return c.keys }

// IAM calls the IAMService. Changes whose requests have a client token get one.
func (c *Client) IAM() iamv1.IAMServiceClient { return c.iam }

// STS calls the STSService.
func (c *Client) STS() stsv1.STSServiceClient { return c.sts }

// Organizations calls the OrganizationsService.
func (c *Client) Organizations() organizationsv1.OrganizationsServiceClient { return c.organizations }

// Conn is the connection beneath, for services that have no method here, such as grpc.health.v1. It adds and checks nothing. It belongs to the Client.
func (c *Client) Conn() grpc.ClientConnInterface { return c.spread() }
