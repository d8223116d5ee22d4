package aws_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/daemon"
	"github.com/kmsd/kmsd/internal/kmstest"
)

const (
	jsonType = "application/x-amz-json-1.1"
	formType = "application/x-www-form-urlencoded"
)

// side is a kmsd seen from the side of a client of AWS.
type side struct {
	t     *testing.T
	k     *kmstest.KMS
	creds client.Credentials
	roots *x509.CertPool
}

func newSide(t *testing.T, o *kmstest.Options) *side {
	t.Helper()
	s := &side{t: t, k: kmstest.New(t, o)}
	s.creds = s.k.Credentials()
	s.roots = x509.NewCertPool()
	if !s.roots.AppendCertsFromPEM(s.creds.CA) {
		t.Fatal("the credentials have no certificate authority")
	}
	return s
}

// with changes the configuration of the front.
func with(change func(*daemon.AWSConfig)) *kmstest.Options {
	return &kmstest.Options{Config: func(c *daemon.Config) { change(&c.AWS) }}
}

// request is a signed request of an operation of KMS.
func (s *side) request(operation, body string) *http.Request {
	s.t.Helper()
	r := s.bare(operation, body)
	s.sign(r, body, "kms", time.Now())
	return r
}

// query is a signed request of the Query protocol.
func (s *side) query(service, body string) *http.Request {
	s.t.Helper()
	r := s.bare("", body)
	r.Header.Set("Content-Type", formType)
	r.Header.Del("X-Amz-Target")
	s.sign(r, body, service, time.Now())
	return r
}

// bare is a request without a signature.
func (s *side) bare(operation, body string) *http.Request {
	s.t.Helper()
	endpoint := s.k.AWSEndpoint()
	if endpoint == "" {
		endpoint = "http://localhost"
	}
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, endpoint+"/", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", jsonType)
	r.Header.Set("X-Amz-Target", "TrentService."+operation)
	r.Header.Set("User-Agent", "aws-test/1.0")
	return r
}

func (s *side) sign(r *http.Request, body, service string, at time.Time) {
	s.t.Helper()
	sum := sha256.Sum256([]byte(body))
	c := awssdk.Credentials{AccessKeyID: s.creds.AccessKeyID, SecretAccessKey: string(s.creds.SecretAccessKey.Expose())}
	if err := v4.NewSigner().SignHTTP(s.t.Context(), c, r, hex.EncodeToString(sum[:]), service, s.creds.Region, at); err != nil {
		s.t.Fatal(err)
	}
}

// client is a client of one version of HTTP, that keeps its connections.
func (s *side) client(version string) *http.Client {
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots}, Protocols: &http.Protocols{}, DisableCompression: true}
	tr.Protocols.SetHTTP1(version == "HTTP/1.1")
	tr.Protocols.SetHTTP2(version == "HTTP/2.0")
	s.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

// reply is an answer, read.
type reply struct {
	*http.Response
	body string
}

func (s *side) do(c *http.Client, r *http.Request) reply {
	s.t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", r.Method, r.Header.Get("X-Amz-Target"), err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{resp, string(b)}
}

// id is the id of the audit event of a reply.
func (r reply) id() string { return r.Header.Get("X-Amzn-Requestid") }

func (r reply) member(name string) string {
	var all map[string]any
	if json.Unmarshal([]byte(r.body), &all) != nil {
		return ""
	}
	text, _ := all[name].(string)
	return text
}

// dial opens a connection that speaks HTTP/1.1.
func (s *side) dial() net.Conn {
	s.t.Helper()
	conn, err := tls.Dial("tcp", s.k.AWSAddress(), &tls.Config{RootCAs: s.roots, NextProtos: []string{"http/1.1"}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn
}

// wire is a request as HTTP/1.1 sends it.
func wire(t *testing.T, r *http.Request) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read reads one reply of a connection; an error is that there is none.
func read(r *bufio.Reader) (reply, error) {
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodPost})
	if err != nil {
		return reply{}, err
	}
	b, err := io.ReadAll(resp.Body)
	return reply{resp, string(b)}, err
}

// event is the one audit event of a reply.
func (s *side) event(r reply) audit.Record {
	s.t.Helper()
	if r.id() == "" {
		s.t.Fatalf("HTTP %d %q without a request id", r.StatusCode, r.body)
	}
	all := s.k.Events(audit.Filter{RequestID: r.id()})
	if len(all) != 1 {
		s.t.Fatalf("request %s (HTTP %d, %s) has %d audit events, want 1", r.id(), r.StatusCode, r.body, len(all))
	}
	return all[0]
}

// throughFront counts the audit events of the front.
func (s *side) throughFront() (n int) {
	s.t.Helper()
	for _, e := range s.k.Events(audit.Filter{}) {
		if bytes.Contains(e.Raw, []byte(`"front":"aws"`)) {
			n++
		}
	}
	return n
}

func TestEncryptAndDecrypt(t *testing.T) {
	s := newSide(t, nil)
	key := s.k.Key().GetKeyId()
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		c := s.client(version)
		plaintext := base64.StdEncoding.EncodeToString([]byte("the plaintext over " + version))
		encrypted := s.do(c, s.request("Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":%q}`, key, plaintext)))
		if encrypted.StatusCode != http.StatusOK || encrypted.Proto != version {
			t.Fatalf("Encrypt = %s %s %s, want 200 by %s", encrypted.Proto, encrypted.Status, encrypted.body, version)
		}
		decrypted := s.do(c, s.request("Decrypt", fmt.Sprintf(`{"CiphertextBlob":%q}`, encrypted.member("CiphertextBlob"))))
		if got := decrypted.member("Plaintext"); got != plaintext {
			t.Errorf("over %s Decrypt gives %q (%s), want %q", version, got, decrypted.body, plaintext)
		}
		for name, want := range map[string]string{
			"Content-Type": jsonType, "Server": "", "Content-Length": strconv.Itoa(len(decrypted.body)), "Cache-Control": "no-cache, no-store, must-revalidate, private",
		} {
			if got := decrypted.Header.Get(name); got != want {
				t.Errorf("over %s the header %s = %q, want %q", version, name, got, want)
			}
		}
		if decrypted.Header.Get("Date") == "" {
			t.Errorf("over %s there is no Date", version)
		}
		e := s.event(decrypted)
		for _, want := range []string{`"front":"aws"`, `"tlsVersion":"TLS 1.3"`, `"userAgent":"aws-test/1.0"`, `"srcIP":"127.0.0.1"`, `"listener":"` + s.k.AWSAddress() + `"`} {
			if !bytes.Contains(e.Raw, []byte(want)) {
				t.Errorf("over %s the event lacks %s: %s", version, want, e.Raw)
			}
		}
		if e.EventName != "Decrypt" || e.Outcome.Status != "OK" {
			t.Errorf("over %s the event is of %s, %s", version, e.EventName, e.Outcome.Status)
		}
	}
}

func TestConnectionsAreKept(t *testing.T) {
	s := newSide(t, nil)
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		c := s.client(version)
		for i := range 3 {
			reused := false
			r := s.request("ListKeys", "{}")
			r = r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }}))
			if got := s.do(c, r); got.StatusCode != http.StatusOK || reused != (i > 0) {
				t.Errorf("over %s request %d = %s, on a used connection: %v", version, i, got.Status, reused)
			}
		}
	}
}

func TestPipelining(t *testing.T) {
	s := newSide(t, nil)
	conn := s.dial()
	operations := []string{"ListKeys", "DescribeKey", "ListAliases", "Nothing"}
	var b []byte
	for _, o := range operations {
		b = append(b, wire(t, s.request(o, "{}"))...)
	}
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	for i, want := range []string{`"Keys"`, "ValidationException", `"Aliases"`, "UnknownOperationException"} {
		got, err := read(in)
		if err != nil || !strings.Contains(got.body, want) {
			t.Errorf("the answer to %s is %q, %v, want one with %s", operations[i], got.body, err, want)
		}
		s.event(got)
	}
}

// An operation that kmsd does not have is refused by name, once its caller is known.
func TestOperationsThatAreNotThere(t *testing.T) {
	s := newSide(t, nil)
	c := s.client("HTTP/2.0")
	unsigned := func(r *http.Request) *http.Request { r.Header.Del("Authorization"); return r }
	for _, row := range []struct {
		name string
		r    *http.Request
		code int
		want string
	}{
		{"one that AWS has", s.request("CreateCustomKeyStore", "{}"), 400, `"__type":"UnsupportedOperationException","message":"kmsd does not have the operation CreateCustomKeyStore."`},
		{"one that nobody has", s.request("Frobnicate", "{}"), 400, `"__type":"UnknownOperationException"`},
		{"one that AWS has, unsigned", unsigned(s.request("CreateCustomKeyStore", "{}")), 400, "MissingAuthenticationTokenException"},
		{"one of IAM's that nobody has", s.query("iam", "Action=Frobnicate&Version=2010-05-08"), 400, "<Code>InvalidAction</Code>"},
		{"one of IAM's that AWS has", s.query("iam", "Action=CreateSAMLProvider&Version=2010-05-08"), 400, "<Code>UnsupportedOperation</Code>"},
		{"one of STS's by IAM's version", s.query("iam", "Action=GetCallerIdentity&Version=2010-05-08"), 400, "Could not find operation GetCallerIdentity for version 2010-05-08"},
		{"one of a version that there is not", s.query("iam", "Action=ListUsers&Version=2020-01-01"), 400, "Could not find operation ListUsers for version 2020-01-01"},
		{"one of no version", s.query("iam", "Action=ListUsers"), 400, "Could not find operation ListUsers for version NO_VERSION_SPECIFIED"},
		{"none", s.query("iam", "Version=2010-05-08"), 400, "<Code>MissingAction</Code>"},
		{"two", s.query("iam", "Action=ListUsers&Version=2010-05-08&Action=ListRoles"), 400, "<Code>MissingAction</Code>"},
	} {
		got := s.do(c, row.r)
		if got.StatusCode != row.code || !strings.Contains(got.body, row.want) {
			t.Errorf("%s: %d %s, want %d and %q", row.name, got.StatusCode, got.body, row.code, row.want)
		}
		s.event(got)
	}
}

// An operation of Organizations, IAM and STS each is answered in the form of its service.
func TestServices(t *testing.T) {
	s := newSide(t, nil)
	c := s.client("HTTP/1.1")
	organizations := s.bare("", "{}")
	organizations.Header.Set("X-Amz-Target", "AWSOrganizationsV20161128.DescribeOrganization")
	s.sign(organizations, "{}", "organizations", time.Now())
	for _, row := range []struct {
		r           *http.Request
		media, want string
	}{
		{s.request("ListKeys", "{}"), jsonType, `"Truncated":false`},
		{organizations, jsonType, `"Organization":{`},
		{s.query("iam", "Action=ListUsers&Version=2010-05-08"), "text/xml", "<ListUsersResult>"},
		{s.query("sts", "Action=GetCallerIdentity&Version=2011-06-15"), "text/xml", "<Account>" + kmstest.Account + "</Account>"},
	} {
		got := s.do(c, row.r)
		if got.StatusCode != http.StatusOK || got.Header.Get("Content-Type") != row.media || !strings.Contains(got.body, row.want) {
			t.Errorf("%s, %s: %s, want 200, %s and %q", got.Status, got.Header.Get("Content-Type"), got.body, row.media, row.want)
		}
		s.event(got)
	}
}

// The caller of an in-flight call may leave: its event says so, and the change of a mutating call stands.
func TestCallerLeaves(t *testing.T) {
	s := newSide(t, nil)
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
		resp, err := s.client("HTTP/2.0").Do(s.request("GenerateDataKey", `{"KeyId":"alias/none","KeySpec":"AES_256"}`).WithContext(ctx))
		if err == nil {
			resp.Body.Close()
		}
		cancel()
	}
	conn := s.dial()
	if _, err := conn.Write(wire(t, s.request("CreateKey", `{"Description":"of a caller who left"}`))); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	for end := time.Now().Add(10 * time.Second); len(s.k.Events(audit.Filter{Event: "CreateKey"})) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a call whose caller left has no audit event")
		}
	}
	if got := s.do(s.client("HTTP/2.0"), s.request("ListKeys", "{}")); got.StatusCode != http.StatusOK {
		t.Errorf("afterwards ListKeys = %s", got.Status)
	}
}

// TestVersionOfHTTP: what a client offers decides, and one that offers both gets HTTP/1.1.
func TestVersionOfHTTP(t *testing.T) {
	s := newSide(t, nil)
	for _, row := range []struct {
		offered []string
		want    string
	}{
		{[]string{"h2", "http/1.1"}, "http/1.1"},
		{[]string{"http/1.1", "h2"}, "http/1.1"},
		{[]string{"http/1.1"}, "http/1.1"},
		{[]string{"h2"}, "h2"},
		{nil, ""}, // and HTTP/1.1 is spoken
	} {
		conn, err := tls.Dial("tcp", s.k.AWSAddress(), &tls.Config{RootCAs: s.roots, NextProtos: row.offered})
		if err != nil {
			t.Errorf("a client that offers %v: %v", row.offered, err)
			continue
		}
		if got := conn.ConnectionState().NegotiatedProtocol; got != row.want {
			t.Errorf("a client that offers %v gets %q, want %q", row.offered, got, row.want)
		}
		conn.Close()
	}
}
