package server_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/kmsd/kmsd/internal/daemon"
	"github.com/kmsd/kmsd/internal/kmstest"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// Calls that are received before anybody has said who he is are bounded in number, and others go on; one that ends makes room.
func TestAnonymousCallsAreBounded(t *testing.T) {
	k := kmstest.New(t, &kmstest.Options{Config: func(c *daemon.Config) { c.Limits.ConnectionsPerIP = 3 }})
	conn := anonymous(t, k)
	health := healthpb.NewHealthClient(conn)
	var leave context.CancelFunc
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		leave = cancel
		w, err := health.Watch(ctx, &healthpb.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a fourth call = %v, want %v", err, codes.ResourceExhausted)
	}
	if _, err := stsv1.NewSTSServiceClient(conn).AssumeRoleWithWebIdentity(t.Context(), &stsv1.AssumeRoleWithWebIdentityRequest{}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a fourth call, of a web identity = %v, want %v", err, codes.ResourceExhausted)
	}
	if _, err := k.Root().Crypto().GenerateRandom(t.Context(), kmsv1.GenerateRandomRequest_builder{NumberOfBytes: 1}.Build()); err != nil {
		t.Errorf("a call with credentials beside them: %v", err)
	}
	leave()
	for until := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		_, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{})
		if err == nil {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("a call after one has left: %v", err)
		}
	}
}
