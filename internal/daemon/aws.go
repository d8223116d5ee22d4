package daemon

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kmsd/kmsd/gateway/aws"
	"github.com/kmsd/kmsd/internal/unixsocket"
)

// AWSConfig says where clients that were written for AWS are served, and what they can make kmsd hold.
type AWSConfig struct {
	// Listen is where they are served, "host:port" or "unix:/path", a socket of mode 0600 in a folder that exists. Default none: they are not. The variable
	// KMSD_AWS_LISTEN overrides it.
	Listen string `yaml:"listen,omitempty" env:"KMSD_AWS_LISTEN"`
	// Plaintext serves them by HTTP without TLS. Listen must be a loopback address or a unix socket then.
	Plaintext bool `yaml:"plaintext,omitempty"`

	Connections      int           `yaml:"connections,omitempty"`        // default 4096
	ConnectionsPerIP int           `yaml:"connections_per_ip,omitempty"` // also requests under way of one address; default 512
	Streams          int           `yaml:"streams,omitempty"`            // requests at a time on one connection of HTTP/2; default 128
	Requests         int           `yaml:"requests,omitempty"`           // requests under way in all; default 2048
	HeaderBytes      int           `yaml:"header_bytes,omitempty"`       // of one request; default 16384
	BodyBytes        int           `yaml:"body_bytes,omitempty"`         // of one request; default 1048576
	BodyMiB          int           `yaml:"body_mib,omitempty"`           // of all bodies that are in memory; default 64
	HeaderTimeout    time.Duration `yaml:"header_timeout,omitempty"`     // for the handshake, and for the headers of a request; default 5s
	ReadTimeout      time.Duration `yaml:"read_timeout,omitempty"`       // for a whole request; default 10s
	WriteTimeout     time.Duration `yaml:"write_timeout,omitempty"`      // for the call and its answer; default 30s
	IdleTimeout      time.Duration `yaml:"idle_timeout,omitempty"`       // default 5m
}

func (a *AWSConfig) limits() aws.Limits {
	return aws.Limits{
		Connections: a.Connections, ConnectionsPerIP: a.ConnectionsPerIP, Streams: a.Streams, Requests: a.Requests,
		HeaderBytes: a.HeaderBytes, BodyBytes: a.BodyBytes, Bodies: a.BodyMiB << 20,
		Header: a.HeaderTimeout, Read: a.ReadTimeout, Write: a.WriteTimeout, Idle: a.IdleTimeout,
	}
}

func (a *AWSConfig) check() error {
	for _, one := range []struct {
		key         string
		value, most int64 // 0 is the default
	}{
		{"connections", int64(a.Connections), 1 << 20},
		{"connections_per_ip", int64(a.ConnectionsPerIP), 1 << 20},
		{"streams", int64(a.Streams), 1 << 16},
		{"requests", int64(a.Requests), 1 << 20},
		{"header_bytes", int64(a.HeaderBytes), 1 << 20},
		{"body_bytes", int64(a.BodyBytes), 64 << 20},
		{"body_mib", int64(a.BodyMiB), 1 << 20},
		{"header_timeout", int64(a.HeaderTimeout), int64(time.Hour)},
		{"read_timeout", int64(a.ReadTimeout), int64(time.Hour)},
		{"write_timeout", int64(a.WriteTimeout), int64(time.Hour)},
		{"idle_timeout", int64(a.IdleTimeout), int64(24 * time.Hour)},
	} {
		if one.value < 0 || one.value > one.most {
			return fmt.Errorf("aws.%s: must not be negative, nor more than %d", one.key, one.most)
		}
	}
	switch {
	case a.Listen == "" && a.Plaintext:
		return errors.New("aws.plaintext: aws.listen is missing: nothing is served to clients of AWS")
	case a.Listen == "":
		return nil
	}
	if path, ok := strings.CutPrefix(a.Listen, aws.UnixPrefix); ok {
		if path == "" {
			return errors.New("aws.listen: give the path of the socket: unix:/path")
		}
		return nil
	}
	host, err := checkAddress("aws.listen", a.Listen)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); a.Plaintext && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("aws.plaintext: %q is not a loopback address: what is served there must be encrypted; leave aws.plaintext out, or listen on 127.0.0.1", a.Listen)
	}
	return nil
}

// listenAWS opens the listener for AWS's clients, nil if none is configured. secure is the configuration of gRPC's listener.
func (d *Daemon) listenAWS(secure *tls.Config, registry *prometheus.Registry) (*door, error) {
	cfg := &d.cfg.AWS
	if cfg.Listen == "" {
		return nil, nil
	}
	o := aws.Config{Conn: d.server.InProcess(), Log: d.log, Registry: registry, Limits: cfg.limits()}
	if !cfg.Plaintext {
		o.TLS = secure.Clone()
		o.TLS.ClientAuth, o.TLS.ClientCAs = tls.NoClientCert, nil // these clients sign their requests
	}
	gateway, err := aws.New(o)
	if err != nil {
		return nil, err
	}
	var l net.Listener
	if path, ok := strings.CutPrefix(cfg.Listen, aws.UnixPrefix); ok {
		l, err = unixsocket.Listen(d.cfg.path(path))
	} else {
		l, err = net.Listen("tcp", cfg.Listen)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; choose another address with aws.listen in %s or --aws-listen", err, ConfigFile)
	}
	if t, ok := l.Addr().(*net.TCPAddr); ok && cfg.Plaintext && !t.IP.IsLoopback() { // a localhost that is none
		return nil, errors.Join(fmt.Errorf("aws.plaintext: %s is not a loopback address", t), l.Close())
	}
	return &door{gateway, l}, nil
}

// AWSAddress is where clients of AWS are served, "host:port" or "unix:/path"; empty if they are not.
func (d *Daemon) AWSAddress() string {
	if d.aws == nil {
		return ""
	}
	if a := d.aws.listener.Addr(); a.Network() != "unix" {
		return a.String()
	}
	return aws.UnixPrefix + d.aws.listener.Addr().String()
}

// AWSEndpoint is the URL that clients of AWS are given: "https://127.0.0.1:7445"; empty if they are not served, or on a unix socket.
func (d *Daemon) AWSEndpoint() string {
	switch address := d.AWSAddress(); {
	case address == "" || strings.HasPrefix(address, aws.UnixPrefix):
		return ""
	case d.cfg.AWS.Plaintext:
		return "http://" + address
	default:
		return "https://" + address
	}
}
