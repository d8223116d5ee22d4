package server_test

import (
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/internal/kmstest"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// An account has 64 streams open; one more is refused, with an event, until one of them has ended. Other accounts have their own.
func TestAnAccountHasSoManyStreams(t *testing.T) {
	const most = 64
	k := kmstest.New(t, nil)
	own, other := batchClient(k, k.Credentials()), batchClient(k, k.Account("other").Credentials())
	random := randomItem(8)
	open := func(c kmsv1.BatchServiceClient) (cryptoStream, error) {
		t.Helper()
		s, err := c.StreamCrypto(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(numbered(1, random)); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		_, err = s.Recv()
		return s, err
	}
	var streams []cryptoStream
	for n := range most {
		s, err := open(own)
		if err != nil {
			t.Fatalf("stream %d: %v", n, err)
		}
		streams = append(streams, s)
	}
	if _, err := open(own); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("stream %d: %v, want %v", most, err, codes.ResourceExhausted)
	}
	refused := 0
	for _, e := range k.Events(audit.Filter{Event: "StreamCrypto"}) {
		if e.Outcome.ErrorClass == "Streams" {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d events of refused streams, want 1", refused)
	}
	if _, err := open(other); err != nil {
		t.Errorf("a stream of another account: %v", err)
	}
	if err := streams[0].CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := streams[0].Recv(); !errors.Is(err, io.EOF) {
		t.Fatalf("the end of a stream: %v, want io.EOF", err)
	}
	if _, err := open(own); err != nil {
		t.Errorf("a stream after one has ended: %v", err)
	}
}
