package server_test

import (
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/internal/kmstest"
)

// listServices asks reflection for the names of the services.
func listServices(t *testing.T, conn grpc.ClientConnInterface) ([]string, error) {
	t.Helper()
	s, err := reflectpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		return nil, err
	}
	ask := &reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_ListServices{}}
	if err := s.Send(ask); err != nil {
		return nil, err
	}
	r, err := s.Recv()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, one := range r.GetListServicesResponse().GetService() {
		names = append(names, one.GetName())
	}
	return names, s.CloseSend()
}

// anonymous is a connection that says nothing of who calls.
func anonymous(t *testing.T, k *kmstest.KMS) *grpc.ClientConn {
	t.Helper()
	config, err := k.Credentials().TLS()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(k.Address(), grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// Reflection is for who says who they are; whether it was had or refused, it is one event.
func TestReflection(t *testing.T) {
	k := kmstest.New(t, nil)
	names, err := listServices(t, k.Root().Conn())
	if err != nil || len(names) < 6 {
		t.Errorf("reflection for root = %v, %v, want six services at least", names, err)
	}
	if names, err := listServices(t, anonymous(t, k)); status.Code(err) != codes.Unauthenticated {
		t.Errorf("reflection for nobody = %v, %v, want Unauthenticated", names, err)
	}
	events := k.Events(audit.Filter{Event: "ServerReflectionInfo"})
	if len(events) != 2 || events[0].Outcome.Status != "OK" || events[1].Outcome.Status != "UNAUTHENTICATED" {
		t.Errorf("events = %+v, want one that is OK and one that is UNAUTHENTICATED", events)
	}
}

// Health is for everybody, and no event: it is probed all the time.
func TestHealth(t *testing.T) {
	k := kmstest.New(t, nil)
	before := len(k.Events(audit.Filter{}))
	health := healthpb.NewHealthClient(anonymous(t, k))
	for _, service := range []string{"", "kmsd.kms.v1.CryptoService"} {
		r, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil || r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("health of %q = %v, %v, want SERVING", service, r.GetStatus(), err)
		}
	}
	if after := len(k.Events(audit.Filter{})); after != before {
		t.Errorf("health checks made %d events, want none", after-before)
	}
}
