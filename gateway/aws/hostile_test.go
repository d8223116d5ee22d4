package aws_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/internal/daemon"
)

// What net/http itself refuses has no request id, and is no request yet; all else is answered in AWS's form and has its event.
func TestOddRequests(t *testing.T) {
	s := newSide(t, nil)
	head := func(more ...string) string {
		return "POST / HTTP/1.1\r\nHost: kms\r\nX-Amz-Target: TrentService.ListKeys\r\nContent-Type: " + jsonType + "\r\n" + strings.Join(more, "\r\n") + "\r\n"
	}
	line := func(line string) string {
		return line + strings.TrimPrefix(head("Content-Length: 2", ""), "POST / HTTP/1.1") + "{}"
	}
	const (
		served  = "MissingAuthenticationTokenException" // all is well, but for the signature
		unknown = "UnknownOperationException"
		media   = "UnsupportedMediaTypeException"
	)
	rows := []struct {
		name, sent string
		code       int
		want       string // the error; empty if the request does not reach the front
	}{
		{"as it should be", head("Content-Length: 2", "") + "{}", 400, served},
		{"GET", line("GET / HTTP/1.1"), 404, unknown},
		{"PUT", line("PUT / HTTP/1.1"), 404, unknown},
		{"a method that is none", line("FROB / HTTP/1.1"), 404, unknown},
		{"OPTIONS *", line("OPTIONS * HTTP/1.1"), 404, unknown},
		{"CONNECT", line("CONNECT kms:443 HTTP/1.1"), 404, unknown},
		{"a presigned URL", "GET /?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Signature=00 HTTP/1.1\r\nHost: kms\r\n\r\n", 400, "UnsupportedOperation"},
		{"another path", line("POST /kms HTTP/1.1"), 404, unknown},
		{"a path that climbs", line("POST /../../etc/passwd HTTP/1.1"), 404, unknown},
		{"a path with an escaped dot", line("POST /%2e HTTP/1.1"), 404, unknown},
		{"the absolute form of the target", line("POST https://kms/ HTTP/1.1"), 400, served},
		{"a path that is not escaped well", line("POST /%zz HTTP/1.1"), 400, ""},
		{"another version of HTTP", line("POST / HTTP/3.7"), 505, ""},
		{"no HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, ""},
		{"the preface of HTTP/2 without its ALPN", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404, unknown},
		{"no host", "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400, ""},
		{"two hosts", "POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 0\r\n\r\n", 400, ""},
		{"a host with a NUL", "POST / HTTP/1.1\r\nHost: a\x00b\r\nContent-Length: 0\r\n\r\n", 400, ""},
		{"a value with a NUL", head("X-Odd: a\x00b", "Content-Length: 2", "") + "{}", 400, ""},
		{"a value with a bare CR", head("X-Odd: a\rb", "Content-Length: 2", "") + "{}", 400, ""},
		{"a name with a space", head("X Odd: a", "Content-Length: 2", "") + "{}", 400, ""},
		{"a space before the colon", head("X-Odd : a", "Content-Length: 2", "") + "{}", 400, ""},
		{"no name", head(": a", "Content-Length: 2", "") + "{}", 400, ""},
		{"a folded header", head("X-Odd: a", " b", "Content-Length: 2", "") + "{}", 400, served},
		{"a folded target", "POST / HTTP/1.1\r\nHost: kms\r\nX-Amz-Target: TrentService.\r\n ListKeys\r\nContent-Length: 0\r\n\r\n", 404, unknown},
		{"headers of 40 KiB", head("X-Odd: "+strings.Repeat("x", 40<<10), "Content-Length: 2", "") + "{}", 431, ""},
		{"300 headers", head(strings.Repeat("X-Odd: a\r\n", 299)+"X-Odd: a", "Content-Length: 2", "") + "{}", 431, "RequestHeaderSectionTooLargeException"},
		{"two targets", head("X-Amz-Target: TrentService.Decrypt", "Content-Length: 2", "") + "{}", 404, unknown},
		{"a target of another service", strings.Replace(head("Content-Length: 2", ""), "TrentService", "DynamoDB_20120810", 1) + "{}", 404, unknown},
		{"an empty target", strings.Replace(head("Content-Length: 2", ""), "TrentService.ListKeys", "", 1) + "{}", 404, unknown},
		{"a target of a megabyte", strings.Replace(head("Content-Length: 2", ""), "ListKeys", strings.Repeat("x", 15<<10), 1) + "{}", 400, served},
		{"a charset", strings.Replace(head("Content-Length: 2", ""), jsonType, jsonType+"; charset=UTF-8", 1) + "{}", 400, served},
		{"JSON 1.0", strings.Replace(head("Content-Length: 2", ""), jsonType, "application/x-amz-json-1.0", 1) + "{}", 400, served},
		{"a form with a target", strings.Replace(head("Content-Length: 2", ""), jsonType, formType, 1) + "{}", 404, unknown},
		{"two content types", head("Content-Type: "+jsonType, "Content-Length: 2", "") + "{}", 404, unknown},
		{"a content type that is none", strings.Replace(head("Content-Length: 2", ""), jsonType, `;;;"`, 1) + "{}", 404, unknown},
		{"gzip", head("Content-Encoding: gzip", "Content-Length: 2", "") + "{}", 415, media},
		{"identity", head("Content-Encoding: identity", "Content-Length: 2", "") + "{}", 400, served},
		{"aws-chunked", head("Content-Encoding: aws-chunked", "Content-Length: 2", "") + "{}", 415, media},
		{"a signed stream of chunks", head("X-Amz-Content-Sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "Content-Length: 2", "") + "{}", 415, media},
		{"two lengths alike", head("Content-Length: 2", "Content-Length: 2", "") + "{}", 400, served},
		{"two lengths", head("Content-Length: 2", "Content-Length: 3", "") + "{}", 400, ""},
		{"a list of lengths", head("Content-Length: 2, 3", "") + "{}", 400, ""},
		{"a negative length", head("Content-Length: -2", "") + "{}", 400, ""},
		{"a signed length", head("Content-Length: +2", "") + "{}", 400, ""},
		{"a length beyond 64 bits", head("Content-Length: 18446744073709551618", "") + "{}", 400, ""},
		{"chunks", head("Transfer-Encoding: chunked", "") + "2\r\n{}\r\n0\r\n\r\n", 400, served},
		{"chunks with a trailer", head("Transfer-Encoding: chunked", "Trailer: X-Amz-Target", "") + "2\r\n{}\r\n0\r\nX-Amz-Target: TrentService.Decrypt\r\n\r\n", 400, served},
		{"chunks with a trailer that it does not tell", head("Transfer-Encoding: chunked", "") + "2\r\n{}\r\n0\r\nX-Odd: a\r\n\r\n", 400, served},
		{"chunks of a size that is none", head("Transfer-Encoding: chunked", "") + "zz\r\n{}\r\n0\r\n\r\n", 400, "IncompleteBodyException"},
		{"chunks with a long extension", head("Transfer-Encoding: chunked", "") + "2;" + strings.Repeat("x", 8<<10) + "\r\n{}\r\n0\r\n\r\n", 400, "IncompleteBodyException"},
		{"an encoding of the transfer that there is not", head("Transfer-Encoding: gzip", "") + "{}", 501, ""},
		{"chunks, spelt oddly", head("Transfer-Encoding: xchunked", "") + "{}", 501, ""},
		{"chunks twice", head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", "") + "0\r\n\r\n", 501, ""},
		{"the length and chunks", head("Content-Length: 4", "Transfer-Encoding: chunked", "") + "2\r\n{}\r\n0\r\n\r\n", 400, served},
		{"an expectation", head("Expect: 100-continue", "Content-Length: 2000000", ""), 413, "RequestEntityTooLargeException"},
		{"an expectation that there is not", head("Expect: the-unexpected", "Content-Length: 2", "") + "{}", 417, ""},
		{"an upgrade", head("Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "Content-Length: 2", "") + "{}", 400, served},
		{"HTTP/1.0", "POST / HTTP/1.0\r\nX-Amz-Target: TrentService.ListKeys\r\nContent-Type: " + jsonType + "\r\nContent-Length: 2\r\n\r\n{}", 400, served},
		{"less than its length", head("Content-Length: 100", "") + "{}", 400, "IncompleteBodyException"},
		{"two signatures", head("Authorization: AWS4-HMAC-SHA256 a", "Authorization: AWS4-HMAC-SHA256 b", "Content-Length: 2", "") + "{}", 400, "IncompleteSignatureException"},
	}
	reached := 0
	for _, row := range rows {
		conn := s.dial()
		_, _ = io.WriteString(conn, row.sent)         // the server may have closed already
		if strings.HasPrefix(row.name, "less than") { // else nobody waits for the answer any more, as far as the server knows
			conn.(*tls.Conn).CloseWrite()
		}
		got, err := read(bufio.NewReader(conn))
		if err != nil {
			t.Errorf("%s: no answer: %v", row.name, err)
			continue
		}
		if got.StatusCode != row.code || (row.want == "") != (got.id() == "") || !strings.Contains(got.body, row.want) {
			t.Errorf("%s: %d %q with id %q, want %d %s", row.name, got.StatusCode, got.body, got.id(), row.code, row.want)
		}
		if got.id() != "" {
			reached++
			s.event(got)
		}
	}
	if n := s.throughFront(); n != reached {
		t.Errorf("%d events came through the front, want %d: one for each request that reached it", n, reached)
	}
	if reached < 35 {
		t.Errorf("only %d of %d requests reached the front", reached, len(rows))
	}
}

// A second request that somebody hides behind a chunked one is not answered: the connection ends with the first.
func TestSmuggling(t *testing.T) {
	s := newSide(t, nil)
	head := "POST / HTTP/1.1\r\nHost: kms\r\nX-Amz-Target: TrentService.ListKeys\r\nContent-Type: " + jsonType + "\r\n"
	hidden := head + "Content-Length: 0\r\n\r\n"
	for name, sent := range map[string]string{
		"the length covers it":     head + "Content-Length: " + fmt.Sprint(5+len(hidden)) + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"the chunks end before":    head + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"a body that is too large": head + "Content-Length: 100000000\r\n\r\n" + hidden,
	} {
		conn := s.dial()
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(conn)
		first, err := read(in)
		if err != nil || !first.Close {
			t.Errorf("%s: the first answer is %+v, %v, want one that closes the connection", name, first.Response, err)
		}
		if second, err := read(in); err == nil {
			t.Errorf("%s: a second request was answered: %s", name, second.Status)
		}
	}
	if n := s.throughFront(); n != 3 {
		t.Errorf("%d requests reached the front, want 3", n)
	}
}

// endless is a body of a GiB that counts what is read of it. The client may read on after it has an answer.
type endless struct{ n atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.n.Load() >= 1<<30 {
		return 0, io.EOF
	}
	e.n.Add(int64(len(p)))
	return len(p), nil
}

// A body of a GiB is refused once it is known to be too large, and read no further, whatever form it has and whoever sends it.
func TestHugeBodies(t *testing.T) {
	s := newSide(t, nil)
	before := inUse()
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, length := range []int64{1 << 30, -1} {
			for _, signed := range []bool{true, false} {
				name := fmt.Sprintf("over %s, of length %d, signed %v", version, length, signed)
				r := s.bare("Encrypt", "")
				body := &endless{}
				r.Body, r.ContentLength = io.NopCloser(body), length
				if signed {
					s.sign(r, "another body", "kms", time.Now())
				}
				began := time.Now()
				resp, err := s.client(version).Do(r)
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("%s: it took %v", name, took)
				}
				if n := body.n.Load(); n > 32<<20 { // what is on the way in buffers of the kernel, and 1 MiB that may be good
					t.Errorf("%s: %d MiB were taken", name, n>>20)
				}
				if err != nil { // HTTP/1.1: the connection ended under the body
					if version == "HTTP/2.0" {
						t.Errorf("%s: %v", name, err)
					}
					continue
				}
				b, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				got := reply{resp, string(b)}
				if got.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(got.body, "RequestEntityTooLargeException") {
					t.Errorf("%s: %s %s, want 413", name, got.Status, got.body)
				}
				s.event(got)
			}
		}
	}
	if grown := inUse() - before; grown > 64<<20 {
		t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
	if n := s.throughFront(); n != 8 {
		t.Errorf("%d requests reached the front, want 8", n)
	}
	s.limitOfBody()
}

// limitOfBody checks the bound itself.
func (s *side) limitOfBody() {
	s.t.Helper()
	for n, want := range map[int]string{1 << 20: `"Truncated":false`, 1<<20 + 1: "RequestEntityTooLargeException"} {
		for _, chunked := range []bool{false, true} {
			body := "{}" + strings.Repeat(" ", n-2)
			r := s.request("ListKeys", body)
			if chunked {
				r.Header.Del("Authorization")
				want = strings.Replace(want, `"Truncated":false`, "MissingAuthenticationTokenException", 1)
				r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader(body))
			}
			if got := s.do(s.client("HTTP/2.0"), r); !strings.Contains(got.body, want) {
				s.t.Errorf("a body of %d bytes, chunked %v: %s %s, want %s", n, chunked, got.Status, got.body, want)
			}
		}
	}
}

// A request whose body does not come in time ends as one that was received, one whose headers do not come as none.
func TestSlowRequests(t *testing.T) {
	s := newSide(t, with(func(c *daemon.AWSConfig) { c.ReadTimeout, c.HeaderTimeout = 400*time.Millisecond, 200*time.Millisecond }))
	began := time.Now()
	body, header := s.dial(), s.dial()
	fmt.Fprintf(body, "POST / HTTP/1.1\r\nHost: kms\r\nContent-Length: 1000\r\n\r\n{")
	fmt.Fprintf(header, "POST / HTTP/1.1\r\nHost: kms\r\nX-Amz-Target: Tre")
	reader, writer := io.Pipe()
	defer writer.Close()
	r := s.bare("Encrypt", "")
	r.Body, r.ContentLength = reader, 1000
	overHTTP2 := make(chan reply, 1)
	go func() {
		resp, err := s.client("HTTP/2.0").Do(r)
		if err != nil {
			t.Errorf("a slow body over HTTP/2: %v", err)
			close(overHTTP2)
			return
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		overHTTP2 <- reply{resp, string(b)}
	}()
	if got := s.do(s.client("HTTP/1.1"), s.request("ListKeys", "{}")); got.StatusCode != http.StatusOK {
		t.Errorf("beside slow requests ListKeys = %s", got.Status)
	}
	got, err := read(bufio.NewReader(body))
	if err != nil {
		t.Fatalf("a slow body over HTTP/1.1: %v", err)
	}
	for name, got := range map[string]reply{"HTTP/1.1": got, "HTTP/2": <-overHTTP2} {
		if got.Response == nil || got.StatusCode != http.StatusRequestTimeout || !strings.Contains(got.body, "RequestTimeoutException") {
			t.Errorf("a slow body over %s: %+v %s, want 408", name, got.Response, got.body)
			continue
		}
		s.event(got)
	}
	if n, err := header.Read(make([]byte, 1)); err == nil {
		t.Errorf("slow headers are answered with %d bytes", n)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("slow requests took %v", took)
	}
	if n := s.throughFront(); n != 3 {
		t.Errorf("%d requests reached the front, want 3", n)
	}
}

// The time for a request to come is not the time for its answer.
func TestSlowCalls(t *testing.T) {
	log := &breaking{}
	o := with(func(c *daemon.AWSConfig) { c.ReadTimeout, c.HeaderTimeout = 250*time.Millisecond, 250*time.Millisecond })
	o.OpenAudit = log.open
	s := newSide(t, o)
	log.slow.Store(int64(600 * time.Millisecond))
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		if got := s.do(s.client(version), s.request("ListKeys", "{}")); got.StatusCode != http.StatusOK {
			t.Errorf("over %s a call of 600 ms = %s %s", version, got.Status, got.body)
		}
	}
	log.slow.Store(0)
}

// As long as the audit log fails, each request ends as KMS's own fault, which clients repeat, and no key material leaves.
func TestAuditLogFails(t *testing.T) {
	log := &breaking{}
	o := with(func(*daemon.AWSConfig) {})
	o.OpenAudit = log.open
	s := newSide(t, o)
	key := s.k.Key().GetKeyId()
	c := s.client("HTTP/1.1")
	ask := func() reply {
		return s.do(c, s.request("GenerateDataKey", fmt.Sprintf(`{"KeyId":%q,"KeySpec":"AES_256"}`, key)))
	}
	if got := ask(); got.member("Plaintext") == "" {
		t.Fatalf("GenerateDataKey = %s %s", got.Status, got.body)
	}
	log.broken.Store(true)
	for range 3 {
		got := ask()
		if got.StatusCode != http.StatusInternalServerError || got.Header.Get("X-Amzn-Errortype") != "KMSInternalException" || strings.Contains(got.body, "Plaintext") || strings.Contains(got.body, "CiphertextBlob") {
			t.Errorf("while the log fails GenerateDataKey = %s %s, want 500 KMSInternalException", got.Status, got.body)
		}
	}
	iam := s.do(c, s.query("iam", "Action=ListUsers&Version=2010-05-08"))
	if iam.StatusCode != http.StatusInternalServerError || !strings.Contains(iam.body, "<Type>Receiver</Type>") {
		t.Errorf("while the log fails ListUsers = %s %s, want 500 of the receiver", iam.Status, iam.body)
	}
	log.broken.Store(false)
	for end := time.Now().Add(10 * time.Second); ask().StatusCode != http.StatusOK; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("ten seconds after the fault nothing is answered")
		}
	}
}

// After the stop nothing is answered; what is under way then is.
func TestShutdown(t *testing.T) {
	s := newSide(t, nil)
	done := make(chan error, 1)
	reader, writer := io.Pipe()
	body := `{"Limit":1}`
	r := s.request("ListKeys", body)
	r.Body = reader
	go func() {
		resp, err := s.client("HTTP/1.1").Do(r)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
			}
		}
		done <- err
	}()
	if _, err := io.WriteString(writer, body[:5]); err != nil { // read by the client: the request is under way
		t.Fatal(err)
	}
	time.AfterFunc(300*time.Millisecond, func() { io.WriteString(writer, body[5:]); writer.Close() })
	time.Sleep(100 * time.Millisecond)
	s.k.Stop()
	if err := <-done; err != nil {
		t.Errorf("a request under way at the stop: %v", err)
	}
	s.k.Start()
	if n := len(s.k.Events(audit.Filter{Event: "ListKeys"})); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
	if !bytes.Contains([]byte(s.k.Log()), []byte("serving clients of AWS")) {
		t.Error("the log does not say that clients of AWS are served")
	}
}
