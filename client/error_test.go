package client

import "testing"

func TestInnermost(t *testing.T) {
	for said, want := range map[string]string{
		`connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`:                                                         `dial tcp 127.0.0.1:1: connect: connection refused`,
		`max retries exhausted: failed after 4 attempts: rpc error: code = Unavailable desc = connection error: desc = "transport: authentication handshake failed: tls: bad"`: `tls: bad`,
		`name resolver error: produced zero addresses`: `name resolver error: produced zero addresses`,
		``: ``,
	} {
		if got := innermost(said); got != want {
			t.Errorf("innermost(%q) = %q, want %q", said, got, want)
		}
	}
}
