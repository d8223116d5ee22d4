package server_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/daemon"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	"github.com/kmsd/kmsd/server"
)

// door is a kmsd together with a client that speaks gRPC over net/http: the test decides every header and every byte, and the user agent,
// which is in the audit log, joins each call with its event.
type door struct {
	*kmstest.KMS
	t    testing.TB
	http *http.Client // presents no certificate
	root client.Credentials
	tag  string // begins every user agent
}

func newDoor(t testing.TB, o *kmstest.Options) *door {
	t.Helper()
	d := &door{KMS: kmstest.New(t, unflooded(o)), t: t, tag: rand.Text()}
	d.root = d.Credentials()
	d.http = d.presenting(nil)
	return d
}

// unflooded lets a test make as many calls without credentials as it likes, each with its event.
func unflooded(o *kmstest.Options) *kmstest.Options {
	if o == nil {
		o = &kmstest.Options{}
	}
	with, change := *o, o.Config
	with.Config = func(c *daemon.Config) {
		c.Limits.Unauthenticated = 1 << 20
		if change != nil {
			change(c)
		}
	}
	return &with
}

// presenting returns an HTTP client that shows a certificate in the handshake, or none.
func (d *door) presenting(cert *tls.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(d.root.CA)
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool}
	if cert != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	tr := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true, DisableCompression: true}
	d.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// keyPair makes a private key and what is needed to ask for a certificate of it.
func keyPair(t testing.TB) (key *ecdsa.PrivateKey, csr string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// certificate has kmsd sign a certificate for a user.
func (d *door) certificate(user string) (cert *tls.Certificate, id string) {
	d.t.Helper()
	return d.certificateBy(d.Root(), user)
}

// certificateBy is certificate for a user of the account of a root user.
func (d *door) certificateBy(root *client.Client, user string) (cert *tls.Certificate, id string) {
	d.t.Helper()
	key, csr := keyPair(d.t)
	made, err := root.IAM().CreateClientCertificate(d.t.Context(), iamv1.CreateClientCertificateRequest_builder{UserName: user, CertificateSigningRequest: csr}.Build())
	if err != nil {
		d.t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(made.GetCertificate().GetCertificateBody()))
	return &tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key}, made.GetCertificate().GetCertificateId()
}

// call is one request as it goes over the wire.
type call struct {
	method string             // "/kmsd.kms.v1.CryptoService/Encrypt"
	body   []byte             // of the message
	as     client.Credentials // whose signature; none if its AccessKeyID is empty
	at     time.Time          // of the signature; now if zero
	signed http.Header        // a signature made before; replaces as
	nonce  string             // noNonce for none; a fresh one if empty
	over   *http.Client       // nil is the one without a certificate
	header map[string]string  // more headers, or others
	agent  string
	stalls bool // the last byte of the message never comes
}

// stalled never has anything to read before ctx ends.
type stalled struct{ ctx context.Context }

func (s stalled) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

const noNonce = "none"

// answer is what came back.
type answer struct {
	err       error // the transport's: there was no answer
	code      codes.Code
	message   string
	reason    string
	requestID string
	status    *spb.Status // whole
	body      []byte      // of the message
	took      time.Duration
}

func (a answer) String() string {
	if a.err != nil {
		return "no answer: " + a.err.Error()
	}
	return fmt.Sprintf("%v %s %q", a.code, a.reason, a.message)
}

// sign makes the headers of a signature, as the client library does.
func (d *door) sign(c client.Credentials, method, nonce string, at time.Time) http.Header {
	r := &http.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: c.Endpoint, Path: method}, Header: http.Header{}}
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	if nonce != noNonce {
		r.Header.Set("X-Kmsd-Nonce", nonce)
	}
	key := aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: string(c.SecretAccessKey.Expose()), SessionToken: string(c.SessionToken.Expose())}
	if err := v4.NewSigner().SignHTTP(context.Background(), key, r, "UNSIGNED-PAYLOAD", "kms", c.Region, at); err != nil {
		d.t.Error(err)
	}
	return r.Header
}

// send makes a call and reads its answer.
func (d *door) send(ctx context.Context, c call) answer {
	start := time.Now()
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(c.body)))
	var body io.Reader = bytes.NewReader(append(frame, c.body...))
	if c.stalls {
		body = io.MultiReader(bytes.NewReader(append(frame, c.body[1:]...)), stalled{ctx})
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+d.Address()+c.method, body)
	if err != nil {
		return answer{err: err}
	}
	if c.signed == nil && c.as.AccessKeyID != "" {
		if c.at.IsZero() {
			c.at = time.Now()
		}
		if c.nonce == "" {
			c.nonce = rand.Text()
		}
		c.signed = d.sign(c.as, c.method, c.nonce, c.at)
	}
	for name, v := range c.signed {
		req.Header[name] = v
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	req.Header.Set("User-Agent", c.agent)
	for name, v := range c.header {
		req.Header.Set(name, v)
	}
	if c.over == nil {
		c.over = d.http
	}
	resp, err := c.over.Do(req)
	if err != nil {
		return answer{err: err, took: time.Since(start)}
	}
	defer resp.Body.Close()
	message, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{err: err, took: time.Since(start)}
	}
	a := parseAnswer(resp, message)
	a.took = time.Since(start)
	return a
}

func parseAnswer(resp *http.Response, body []byte) answer {
	md := resp.Trailer
	if resp.Header.Get("Grpc-Status") != "" { // an answer without a message
		md = resp.Header
	}
	n, err := strconv.Atoi(md.Get("Grpc-Status"))
	if err != nil {
		return answer{err: fmt.Errorf("HTTP %s without grpc-status", resp.Status)}
	}
	a := answer{code: codes.Code(n), status: &spb.Status{}, requestID: resp.Header.Get("X-Amzn-Requestid")}
	if a.message, err = url.PathUnescape(md.Get("Grpc-Message")); err != nil {
		return answer{err: err}
	}
	if len(body) >= 5 {
		a.body = body[5:]
	}
	details, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(md.Get("Grpc-Status-Details-Bin"), "="))
	if err != nil {
		return answer{err: err}
	}
	if err := proto.Unmarshal(details, a.status); err != nil {
		return answer{err: err}
	}
	for _, one := range status.FromProto(a.status).Details() {
		switch one := one.(type) {
		case *errdetails.ErrorInfo:
			a.reason = one.GetReason()
		case *errdetails.RequestInfo:
			a.requestID = one.GetRequestId()
		}
	}
	return a
}

// agent returns a user agent for one call.
func (d *door) agent(what string) string { return d.tag + " " + what }

// events returns the events of the calls of this door, without those of items of batches. :: user agent → its events
func (d *door) events() map[string][]audit.Record {
	all := map[string][]audit.Record{}
	for _, r := range d.Events(audit.Filter{}) {
		if strings.HasPrefix(r.UserAgent, d.tag) && !bytes.Contains(r.Raw, []byte(`"batchRequestID":`)) {
			all[r.UserAgent] = append(all[r.UserAgent], r)
		}
	}
	return all
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// descriptor finds a method by its full name.
func descriptor(t testing.TB, method string) protoreflect.MethodDescriptor {
	t.Helper()
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", "."))
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return found.(protoreflect.MethodDescriptor)
}

// methods returns the full names of all RPCs, in order.
func methods(t testing.TB) []string {
	t.Helper()
	all := server.Actions()
	if len(all) < 30 {
		t.Fatalf("server.Actions has %d methods: too few", len(all))
	}
	return sorted(all)
}

// changes reports whether a method changes something, by its name.
func changes(method string) bool {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	if service == "kmsd.kms.v1.CryptoService" || service == "kmsd.kms.v1.BatchService" {
		return false
	}
	if service == "kmsd.sts.v1.STSService" {
		return false // sessions are not stored
	}
	if name == "GetParametersForImport" {
		return true // they are stored
	}
	for _, prefix := range []string{"Get", "List", "Describe", "Simulate", "Explain"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	return true
}

func short(method string) string { return method[strings.LastIndexByte(method, '/')+1:] }

// notWhenShort leaves out a test that walks a table: the race detector, which is slow, has nothing to see in it, and make test walks it.
func notWhenShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("a walk through a table")
	}
}
