package server

import (
	"context"
	"net/netip"
	"sync"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	"github.com/kmsd/kmsd/internal/netlimit"
)

// anonymousCalls bounds the calls under way that are received before anybody has proven who makes them: the transport takes as large a message of them
// as of a batch. There may be one for each connection, of an address and in all: as many as there are clients who watch their connection's health.
type anonymousCalls struct {
	methods         map[string]bool // by name; never written
	most, mostPerIP int

	mu    sync.Mutex
	all   int
	perIP map[netip.Prefix]int // :: host → its calls
}

func newAnonymousCalls(rows []*method, l Limits) *anonymousCalls {
	a := &anonymousCalls{
		methods: map[string]bool{healthpb.Health_Check_FullMethodName: true, healthpb.Health_Watch_FullMethodName: true, healthpb.Health_List_FullMethodName: true},
		most:    l.Connections, mostPerIP: l.ConnectionsPerIP, perIP: map[netip.Prefix]int{},
	}
	for _, m := range rows {
		if m.anonymous {
			a.methods[m.name] = true
		}
	}
	return a
}

// enter counts a call of a method until ctx ends, or refuses it.
func (a *anonymousCalls) enter(ctx context.Context, method string) error {
	if !a.methods[method] {
		return nil
	}
	var from netip.Prefix
	if p, ok := peer.FromContext(ctx); ok {
		from = netlimit.Host(p.Addr)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all >= a.most || a.perIP[from] >= a.mostPerIP {
		return errShed.status("").Err()
	}
	a.all++
	a.perIP[from]++
	context.AfterFunc(ctx, func() { a.leave(from) })
	return nil
}

func (a *anonymousCalls) leave(from netip.Prefix) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all--
	if a.perIP[from]--; a.perIP[from] == 0 {
		delete(a.perIP, from)
	}
}
