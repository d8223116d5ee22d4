package server_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/internal/daemon"
	"github.com/kmsd/kmsd/internal/kmstest"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// Calls without credentials beyond the limit are refused without an event each, and all of them are counted; who has credentials
// is not held up.
func TestFloodOfUnauthenticatedCalls(t *testing.T) {
	const sent = 1500
	d := newDoor(t, &kmstest.Options{Config: func(c *daemon.Config) { c.Limits.Unauthenticated = 1 }})
	calls := make([]call, sent)
	for i := range calls {
		calls[i] = call{method: encryptMethod, agent: d.agent("flood")}
	}
	refused, shed := 0, 0
	for _, got := range d.sendAll(t.Context(), calls) {
		switch got.code {
		case codes.Unauthenticated:
			refused++
		case codes.ResourceExhausted:
			shed++
		default:
			t.Fatalf("a call without credentials: %v", got)
		}
	}
	if got := d.send(t.Context(), call{method: stsv1.STSService_GetCallerIdentity_FullMethodName, as: d.root, agent: d.agent("root")}); got.code != codes.OK {
		t.Errorf("root in the flood: %v", got)
	}
	if shed == 0 || refused < 1000 || refused+shed != sent {
		t.Errorf("%d refused one by one and %d shed, want at least 1000, some, and %d in all", refused, shed, sent)
	}
	if n := len(d.events()[d.agent("flood")]); n != refused {
		t.Errorf("%d events, want %d", n, refused)
	}
	counted := 0
	for end := time.Now().Add(10 * time.Second); counted < shed && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		counted = 0
		for _, r := range d.Events(audit.Filter{Event: "UnauthenticatedCallsShed"}) {
			var e struct{ Request struct{ Count int } }
			if err := json.Unmarshal(r.Raw, &e); err != nil {
				t.Fatal(err)
			}
			counted += e.Request.Count
		}
	}
	if counted != shed {
		t.Errorf("%d shed calls are counted, want %d", counted, shed)
	}
}

// A message that does not arrive ends with the call's time, not with the caller's patience.
func TestMessageThatNeverComes(t *testing.T) {
	d := newDoor(t, &kmstest.Options{Config: func(c *daemon.Config) { c.Limits.CallTimeout = 300 * time.Millisecond }})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	began := time.Now()
	got := d.send(ctx, call{method: encryptMethod, as: d.root, agent: d.agent("slow"), body: make([]byte, 100), stalls: true})
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the call ended after %v: %v", took, got)
	}
	for end := time.Now().Add(5 * time.Second); len(d.events()[d.agent("slow")]) == 0 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
	}
	if e := d.events()[d.agent("slow")]; len(e) != 1 || e[0].Outcome.Status != "DEADLINE_EXCEEDED" {
		t.Errorf("events = %+v, want one with DEADLINE_EXCEEDED", e)
	}
}
