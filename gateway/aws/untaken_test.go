package aws_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/internal/daemon"
)

// Over HTTP/2 who asks and does not take the answers has his requests under way until their time is over, and what is asked beyond them is not kept waiting.
func TestAnswersThatAreNotTaken(t *testing.T) {
	const most = 4
	s := newSide(t, with(func(c *daemon.AWSConfig) { c.Requests, c.ReadTimeout = most, 3*time.Second }))
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots}, Protocols: &http.Protocols{}, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 1}}
	tr.Protocols.SetHTTP2(true)
	defer tr.CloseIdleConnections()
	for range most {
		resp, err := tr.RoundTrip(s.request("ListKeys", "{}")) // reads the headers, and takes one byte of the body
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
	}
	beside := s.client("HTTP/1.1")
	if got := s.do(beside, s.request("ListKeys", "{}")); !strings.Contains(got.body, "ThrottlingException") {
		t.Errorf("beside as many answers that are not taken as there may be requests, ListKeys = %s %s, want ThrottlingException", got.Status, got.body)
	}
	resp, err := tr.RoundTrip(s.request("ListKeys", "{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("one request more = %s, want %d", resp.Status, http.StatusBadRequest)
	}
	time.Sleep(time.Second) // not taken
	b := make([]byte, 64)
	for n := 0; err == nil && n < len(b); n++ {
		_, err = resp.Body.Read(b[n:])
	}
	if err == nil || !strings.Contains(err.Error(), "stream error") {
		t.Errorf("reading the answer to it, late = %v, want the stream to have ended", err)
	}
	// Those before it end in their time.
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got := s.do(beside, s.request("ListKeys", "{}"))
		if got.StatusCode == http.StatusOK {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("once the time to take the answers is over, ListKeys = %s %s", got.Status, got.body)
		}
	}
}
