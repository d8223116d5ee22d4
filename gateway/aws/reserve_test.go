package aws_test

import (
	"bufio"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/kmsd/kmsd/internal/daemon"
)

// TestReserve: requests whose bodies do not come, of connections on which nobody has proven who he is, leave room for those on which somebody has.
func TestReserve(t *testing.T) {
	const most = 8
	s := newSide(t, with(func(c *daemon.AWSConfig) { c.Requests = most }))
	known := s.client("HTTP/1.1")
	if got := s.do(known, s.request("ListKeys", "{}")); got.StatusCode != http.StatusOK {
		t.Fatalf("ListKeys = %s %s", got.Status, got.body)
	}
	for range most {
		fmt.Fprint(s.dial(), "POST / HTTP/1.1\r\nHost: kms\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: TrentService.ListKeys\r\nContent-Length: 10\r\n\r\n{")
	}
	busy := func() bool {
		conn := s.dial()
		if _, err := conn.Write(wire(t, s.request("ListKeys", "{}"))); err != nil {
			t.Fatal(err)
		}
		got, err := read(bufio.NewReader(conn))
		if err != nil {
			t.Fatal(err)
		}
		return got.member("__type") == "ThrottlingException"
	}
	for end := time.Now().Add(5 * time.Second); !busy(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d requests that do not come leave room for one on a connection that is not known", most)
		}
	}
	if got := s.do(known, s.request("ListKeys", "{}")); got.StatusCode != http.StatusOK {
		t.Errorf("on a connection that is known ListKeys = %s %s, want it served", got.Status, got.body)
	}
}
