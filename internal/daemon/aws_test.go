package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/client"
)

func TestCheckAWS(t *testing.T) {
	for _, row := range []struct {
		name string
		cfg  AWSConfig
		want string // a part of the error; empty if there is none
	}{
		{"nothing", AWSConfig{}, ""},
		{"TLS on an address of the network", AWSConfig{Listen: "0.0.0.0:7445"}, ""},
		{"plain HTTP on a loopback address", AWSConfig{Listen: "127.0.0.9:7445", Plaintext: true}, ""},
		{"plain HTTP on localhost", AWSConfig{Listen: "localhost:7445", Plaintext: true}, ""},
		{"plain HTTP on the loopback address of IPv6", AWSConfig{Listen: "[::1]:7445", Plaintext: true}, ""},
		{"plain HTTP on a unix socket", AWSConfig{Listen: "unix:/run/kmsd/aws.sock", Plaintext: true}, ""},
		{"plain HTTP on all addresses", AWSConfig{Listen: ":7445", Plaintext: true}, "not a loopback address: what is served there must be encrypted; leave aws.plaintext out, or listen on 127.0.0.1"},
		{"plain HTTP on nothing", AWSConfig{Plaintext: true}, "aws.plaintext: aws.listen is missing"},
		{"plain HTTP on an address of the network", AWSConfig{Listen: "192.0.2.1:7445", Plaintext: true}, "not a loopback address"},
		{"plain HTTP on a name", AWSConfig{Listen: "localhost.example.com:7445", Plaintext: true}, "not a loopback address"},
		{"no port", AWSConfig{Listen: "127.0.0.1"}, "aws.listen"},
		{"no path", AWSConfig{Listen: "unix:"}, "aws.listen"},
		{"the address of gRPC", AWSConfig{Listen: "127.0.0.1:7443"}, "aws.listen: 127.0.0.1:7443 is the address of listen"},
		{"the address of the metrics", AWSConfig{Listen: "127.0.0.1:7444"}, "aws.listen: 127.0.0.1:7444 is the address of admin_listen"},
		{"a limit below zero", AWSConfig{Requests: -1}, "aws.requests"},
		{"a body that is too large", AWSConfig{BodyBytes: 1 << 30}, "aws.body_bytes"},
	} {
		cfg := Config{AWS: row.cfg, Seal: SealConfig{KeyFile: keyFile}}
		err := cfg.Check()
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: Check = %v, want %q", row.name, err, row.want)
		}
	}
}

func TestAWSListenIsWrittenAndOverridden(t *testing.T) {
	dir := mustInit(t, func(o *InitOptions) { o.Config.AWS.Listen = "127.0.0.1:7445" })
	cfg, err := Load(dir, nil)
	if err != nil || cfg.AWS.Listen != "127.0.0.1:7445" {
		t.Errorf("after Init with aws.listen Load = %q, %v", cfg.AWS.Listen, err)
	}
	environ := []string{"KMSD_AWS_LISTEN=127.0.0.1:9445", "KMSD_AWS_LISTENS=x"}
	if cfg, err = Load(dir, environ); err != nil || cfg.AWS.Listen != "127.0.0.1:9445" {
		t.Errorf("with KMSD_AWS_LISTEN Load = %q, %v", cfg.AWS.Listen, err)
	}
	if got := UnknownVariables(environ); !slices.Equal(got, []string{"KMSD_AWS_LISTENS"}) {
		t.Errorf("UnknownVariables = %v, want only the misspelt one", got)
	}
	if text, err := os.ReadFile(filepath.Join(mustInit(t, nil), ConfigFile)); err != nil || bytes.Contains(text, []byte("aws")) {
		t.Errorf("without aws.listen the configuration is %s, %v", text, err)
	}
	o := InitOptions{Config: Config{Data: filepath.Join(t.TempDir(), "data"), AWS: AWSConfig{Listen: "127.0.0.1:0"}}}
	if _, err := Init(o); err == nil {
		t.Error("Init with aws.listen without a port succeeds")
	}
}

// Clients of AWS are asked for no certificate, get the one that a reload has loaded, and nothing but what TLS 1.3 has.
func TestAWSListenerAndItsCertificate(t *testing.T) {
	dir := mustInit(t, nil)
	if d, err := start(t, dir, Options{}); err != nil {
		t.Fatal(err)
	} else if stop(t, d); d.AWSAddress() != "" || d.AWSEndpoint() != "" {
		t.Errorf("without aws.listen clients of AWS are served at %q", d.AWSAddress())
	}
	cfg, err := Load(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen, cfg.AdminListen, cfg.AWS.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	d, err := Start(cfg, Options{LogTo: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, d)
	credentials, err := client.LoadFile(filepath.Join(dir, RootCredentialsFile))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(credentials.CA)
	state := func() tls.ConnectionState {
		t.Helper()
		conn, err := tls.Dial("tcp", d.AWSAddress(), &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			t.Error("a client of AWS is asked for a certificate")
			return &tls.Certificate{}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState()
	}
	if s := state(); s.Version != tls.VersionTLS13 || s.NegotiatedProtocol != "h2" || !bytes.Equal(s.PeerCertificates[0].Raw, d.cert.Load().Certificate[0]) {
		t.Errorf("the handshake gives %s, %q and a certificate of %s", tls.VersionName(s.Version), s.NegotiatedProtocol, s.PeerCertificates[0].Subject)
	}
	other, err := d.people.IssueServerCertificate([]string{"127.0.0.1", "other.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := other.TLS()
	if err != nil {
		t.Fatal(err)
	}
	d.cert.Store(&cert) // as Reload does
	if s := state(); !bytes.Equal(s.PeerCertificates[0].Raw, cert.Certificate[0]) {
		t.Error("after a reload the listener for clients of AWS has the old certificate")
	}
	if _, err := tls.Dial("tcp", d.AWSAddress(), &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("the listener for clients of AWS takes TLS 1.2")
	}
	metricsHave(t, d, "kmsd_aws_connections_refused_total", "kmsd_aws_connections_evicted_total")
}

// Who keeps a request open uses up no more than half of the time in which the calls under way are finished: the rest is for gRPC's.
func TestShutdownLeavesTimeToGRPC(t *testing.T) {
	cfg, err := Load(mustInit(t, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen, cfg.AdminListen, cfg.AWS.Listen, cfg.AWS.Plaintext = "127.0.0.1:0", AdminOff, "127.0.0.1:0", true
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	d, err := Start(cfg, Options{LogTo: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", d.AWSAddress())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: kms\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil { // that it may go on: it is under way
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	begin := time.Now()
	if err := d.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took < 500*time.Millisecond || took > 1900*time.Millisecond {
		t.Errorf("with 2 s to stop in, and a request whose body does not come, kmsd takes %v, want some 1 s", took)
	}
}

func metricsHave(t *testing.T, d *Daemon, names ...string) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+d.AdminAddress()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.Contains(b.String(), name) {
			t.Errorf("the metrics have no %s", name)
		}
	}
}

// A kmsd that cannot listen for clients of AWS does not start, and says which key to change.
func TestAWSListenInUse(t *testing.T) {
	first, err := start(t, mustInit(t, nil), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, first)
	dir := mustInit(t, nil)
	cfg, err := Load(dir, []string{"KMSD_AWS_LISTEN=" + first.Address()})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen, cfg.AdminListen = "127.0.0.1:0", AdminOff
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	d, err := Start(cfg, Options{LogTo: &bytes.Buffer{}})
	if err == nil {
		stop(t, d)
	}
	if err == nil || !strings.Contains(err.Error(), "aws.listen") {
		t.Errorf("on an address in use Start = %v, want an error that names aws.listen", err)
	}
}
