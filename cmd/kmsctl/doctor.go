package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// check is one thing that doctor looks at.
type check struct {
	Name   string `json:"check"`
	Result string `json:"result"` // OK, WARN, FAIL or SKIPPED
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
}

const (
	checkOK      = "OK"
	checkWarn    = "WARN"
	checkFail    = "FAIL"
	checkSkipped = "SKIPPED"
)

// expiresSoon is when doctor begins to warn of a certificate's end.
const expiresSoon = 14 * 24 * time.Hour

func (a *app) doctorCommand() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use: "doctor", Short: "check everything between kmsctl and kmsd", Args: takes(),
		Long: `doctor checks, one after the other, the credentials file, the endpoint, TLS, certificates, whether kmsd serves, the clock, authentication, and a
permission: kms:ListKeys, or with --key, kms:DescribeKey on that key. Each has a hint if it fails. The exit code is 1 if one does.`,
		Example: "  kmsctl doctor\n  kmsctl doctor --credentials alice.yaml --key alias/app",
	}
	cmd.Flags().StringVar(&key, "key", "", "check for a permission on this `KEY`: id, ARN, alias or alias ARN")
	cmd.RunE = a.runs(func(ctx context.Context, _ []string) error {
		d := doctor{a: a, key: key}
		d.run(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		return d.report()
	})
	return cmd
}

type doctor struct {
	a      *app
	key    string
	creds  client.Credentials
	checks []check
}

func (d *doctor) add(name, result, detail, hint string) {
	d.checks = append(d.checks, check{name, result, detail, hint})
}

// run makes the checks. One that others build upon ends it when it fails.
func (d *doctor) run(ctx context.Context) {
	if !d.credentials() {
		return
	}
	d.clientCertificate()
	if !d.resolve(ctx) || !d.handshake(ctx) {
		return
	}
	c, _, err := d.a.connect(ctx)
	if err != nil {
		d.fail("client", err)
		return
	}
	defer c.Close()
	d.health(ctx, c)
	if d.authentication(ctx, c) {
		d.permission(ctx, c)
	}
}

func (d *doctor) credentials() bool {
	path, source, err := d.a.credentialsPath()
	if err == nil {
		d.creds, err = d.a.loadCredentials()
	}
	if err != nil {
		_, hint := classify(err)
		if hint == "" && errors.Is(err, os.ErrNotExist) {
			hint = "the file is named by " + source
		}
		d.add("credentials", checkFail, err.Error(), hint)
		return false
	}
	who := "access key " + d.creds.AccessKeyID
	switch {
	case d.creds.Role != nil:
		who = "the role " + d.creds.Role.ARN
	case d.creds.AccessKeyID == "":
		who = "client certificate"
	}
	d.add("credentials", checkOK, fmt.Sprintf("%s (%s), %s, readable by its owner only", path, source, who), "")
	return true
}

func (d *doctor) clientCertificate() {
	block, _ := pem.Decode(d.creds.Certificate)
	if block == nil {
		return
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		d.add("client certificate", checkFail, err.Error(), "make another: kmsctl user create-certificate")
		return
	}
	d.expiry("client certificate", cert, "make another: kmsctl user create-certificate NAME --out FILE")
}

func (d *doctor) expiry(name string, cert *x509.Certificate, hint string) {
	left := time.Until(cert.NotAfter)
	switch {
	case time.Now().Before(cert.NotBefore):
		d.add(name, checkFail, "good only from "+stamp(cert.NotBefore), "set this machine's clock")
	case left <= 0:
		d.add(name, checkFail, "expired at "+stamp(cert.NotAfter), hint)
	case left < expiresSoon:
		d.add(name, checkWarn, "expires soon, at "+stamp(cert.NotAfter), hint)
	default:
		d.add(name, checkOK, "good until "+stamp(cert.NotAfter), "")
	}
}

func (d *doctor) resolve(ctx context.Context) bool {
	host, _, err := net.SplitHostPort(d.creds.Endpoint)
	if err != nil {
		d.add("endpoint", checkFail, err.Error(), "correct the endpoint of the credentials file, or "+client.EnvEndpoint)
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, d.a.timeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		d.add("endpoint", checkFail, err.Error(), "correct the endpoint of the credentials file, or "+client.EnvEndpoint)
		return false
	}
	d.add("endpoint", checkOK, d.creds.Endpoint+" is "+strings.Join(addresses, ", "), "")
	return true
}

func (d *doctor) handshake(ctx context.Context) bool {
	cfg, err := d.creds.TLS()
	if err != nil {
		d.add("tls", checkFail, err.Error(), "")
		return false
	}
	cfg.NextProtos = []string{"h2"}
	ctx, cancel := context.WithTimeout(ctx, d.a.timeout)
	defer cancel()
	conn, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", d.creds.Endpoint)
	if err != nil {
		hint := "is kmsd running there, and is nothing in between? kmsd serve"
		var verification *tls.CertificateVerificationError
		if errors.As(err, &verification) {
			hint = "the server is another one than the credentials file's ca vouches for, or goes by another name (kmsd init --host)"
		}
		d.add("tls", checkFail, err.Error(), hint)
		return false
	}
	defer conn.Close() // nothing was sent
	state := conn.(*tls.Conn).ConnectionState()
	d.add("tls", checkOK, tls.VersionName(state.Version)+", "+tls.CipherSuiteName(state.CipherSuite), "")
	d.expiry("server certificate", state.PeerCertificates[0], "start kmsd again: it makes a new one")
	return true
}

func (d *doctor) health(ctx context.Context, c *client.Client) {
	out, err := healthpb.NewHealthClient(c.Conn()).Check(ctx, &healthpb.HealthCheckRequest{Service: kmsv1.CryptoService_ServiceDesc.ServiceName})
	switch {
	case err != nil:
		d.fail("health", err)
	case out.GetStatus() != healthpb.HealthCheckResponse_SERVING:
		d.add("health", checkFail, "kmsd is "+out.GetStatus().String(), "its log says why")
	default:
		d.add("health", checkOK, "kmsd serves", "")
	}
}

func (d *doctor) fail(name string, err error) {
	_, hint := classify(err)
	d.add(name, checkFail, err.Error(), hint)
}

// authentication says who the caller is. Only signed calls tell something of the clock.
func (d *doctor) authentication(ctx context.Context, c *client.Client) bool {
	out, err := c.STS().GetCallerIdentity(ctx, &stsv1.GetCallerIdentityRequest{})
	skewed := client.Is(err, "InvalidSignatureException") && strings.Contains(err.Error(), "clock")
	switch {
	case d.creds.AccessKeyID == "" && d.creds.Role == nil:
		d.add("clock", checkSkipped, "a certificate does not depend on it", "")
	case skewed:
		d.add("clock", checkFail, "more than 5 minutes from the server's; here it is "+stamp(time.Now()), "set the clock of one of them, best by NTP")
	case err == nil:
		d.add("clock", checkOK, "within 5 minutes of the server's", "")
	default:
		d.add("clock", checkSkipped, "not known without authentication", "")
	}
	if err != nil {
		d.fail("authentication", err)
		return false
	}
	d.add("authentication", checkOK, out.GetArn(), "")
	return true
}

func (d *doctor) permission(ctx context.Context, c *client.Client) {
	what, err := "kms:ListKeys", error(nil)
	if d.key != "" {
		what = "kms:DescribeKey on " + d.key
		_, err = c.Keys().DescribeKey(ctx, kmsv1.DescribeKeyRequest_builder{KeyId: d.key}.Build())
	} else {
		_, err = c.Keys().ListKeys(ctx, kmsv1.ListKeysRequest_builder{Limit: 1}.Build())
	}
	if err != nil {
		d.fail("permission", err)
		return
	}
	d.add("permission", checkOK, what, "")
}

func (d *doctor) report() error {
	failed := 0
	v := view{header: []string{"CHECK", "RESULT", "DETAIL"}}
	for _, c := range d.checks {
		detail := c.Detail
		if c.Hint != "" {
			detail += " (hint: " + c.Hint + ")"
		}
		if c.Result == checkFail {
			failed++
		}
		v.rows = append(v.rows, []string{c.Name, c.Result, detail})
	}
	if err := d.a.emit(d.checks, func() view { return v }); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks failed", failed, len(d.checks))
	}
	return nil
}
