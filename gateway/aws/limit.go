package aws

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits bound what clients can make the front hold. A zero field has the value of DefaultLimits.
type Limits struct {
	Connections      int           // open connections in all; one more closes the one that has been without a request for longest
	ConnectionsPerIP int           // open connections of one address, and requests under way of it
	Streams          int           // requests at a time on one connection of HTTP/2
	Requests         int           // requests under way in all, three quarters of them of connections on which nobody has proven yet who he is; beyond, they end as ThrottlingException, their bodies unread
	HeaderBytes      int           // line and headers of one request; beyond, HTTP 431
	BodyBytes        int           // of one request; beyond, RequestEntityTooLargeException
	Bodies           int           // bytes of bodies in memory in all, a quarter of them of one address; at least 4 * BodyBytes
	Header           time.Duration // from the first byte of a request, or from TCP, to the end of its headers; also for the TLS handshake
	Read             time.Duration // from the first byte of a request to its last
	Write            time.Duration // from there to the last byte of the answer, the call itself included; over HTTP/2 an answer is taken within Read
	Idle             time.Duration // a connection without a request is closed after
}

// DefaultLimits are those of docs/operations.md.
func DefaultLimits() Limits {
	return Limits{
		Connections: 4096, ConnectionsPerIP: 512, Streams: 128, Requests: 2048, HeaderBytes: 16 << 10, BodyBytes: 1 << 20, Bodies: 64 << 20,
		Header: 5 * time.Second, Read: 10 * time.Second, Write: 30 * time.Second, Idle: 5 * time.Minute,
	}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	orDefault(&l.Connections, d.Connections)
	orDefault(&l.ConnectionsPerIP, d.ConnectionsPerIP)
	orDefault(&l.Streams, d.Streams)
	orDefault(&l.Requests, d.Requests)
	orDefault(&l.HeaderBytes, d.HeaderBytes)
	orDefault(&l.BodyBytes, d.BodyBytes)
	orDefault(&l.Bodies, d.Bodies)
	orDefault(&l.Header, d.Header)
	orDefault(&l.Read, d.Read)
	orDefault(&l.Write, d.Write)
	orDefault(&l.Idle, d.Idle)
	l.Bodies = max(l.Bodies, 4*l.BodyBytes)
	return l
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// room is what the requests under way take: their number, and the bytes of their bodies. A quarter of it is kept for connections that are known.
type room struct {
	most, mostPerHost share

	mu           sync.Mutex
	all, unknown share
	hosts        map[netip.Prefix]share // :: host → its share; those without an IP address are bounded in all only
}

type share struct{ requests, bytes int }

// guest is whose request takes room.
type guest struct {
	host  netip.Prefix
	known bool // somebody has proven on the connection, before this request, who he is
}

func newRoom(requests, requestsPerHost, bytes, bytesPerHost int) *room {
	return &room{most: share{requests, bytes}, mostPerHost: share{requestsPerHost, bytesPerHost}, hosts: map[netip.Prefix]share{}}
}

// enter takes room for what a request of a guest takes more; false if there is none.
func (r *room) enter(g guest, more share) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, unknown, its := r.all.plus(more), r.unknown, r.hosts[g.host].plus(more)
	if !g.known {
		unknown = unknown.plus(more)
	}
	switch {
	case !all.within(r.most), g.host.IsValid() && !its.within(r.mostPerHost):
		return false
	case !g.known && !unknown.within(share{r.most.requests - r.most.requests/4, r.most.bytes - r.most.bytes/4}):
		return false
	}
	r.all, r.unknown, r.hosts[g.host] = all, unknown, its
	return true
}

// leave gives back what enter took for the same guest.
func (r *room) leave(g guest, took share) {
	r.mu.Lock()
	defer r.mu.Unlock()
	less := share{-took.requests, -took.bytes}
	r.all = r.all.plus(less)
	if !g.known {
		r.unknown = r.unknown.plus(less)
	}
	if its := r.hosts[g.host].plus(less); its == (share{}) {
		delete(r.hosts, g.host)
	} else {
		r.hosts[g.host] = its
	}
}

func (s share) plus(o share) share { return share{s.requests + o.requests, s.bytes + o.bytes} }

func (s share) within(most share) bool { return s.requests <= most.requests && s.bytes <= most.bytes }

// idleConns are the connections without a request under way, by how long they have been so.
type idleConns struct {
	mu    sync.Mutex
	order *list.List // of net.Conn; the first has been idle for longest
	at    map[net.Conn]*list.Element
}

func newIdleConns() *idleConns {
	return &idleConns{order: list.New(), at: map[net.Conn]*list.Element{}}
}

// note is http.Server's ConnState. A connection whose first headers have not come whole is idle too.
func (i *idleConns) note(c net.Conn, state http.ConnState) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if e, ok := i.at[c]; ok {
		i.order.Remove(e)
		delete(i.at, c)
	}
	if state == http.StateNew || state == http.StateIdle {
		i.at[c] = i.order.PushBack(c)
	}
}

// closeOldest closes the connection that has been idle for longest; false if none is.
func (i *idleConns) closeOldest() bool {
	i.mu.Lock()
	e := i.order.Front()
	if e != nil {
		i.order.Remove(e)
		delete(i.at, e.Value.(net.Conn))
	}
	i.mu.Unlock()
	if e == nil {
		return false
	}
	conn := e.Value.(net.Conn)
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn() // TLS would wait to say goodbye
	}
	conn.Close() // there is nobody to tell
	return true
}

// metrics are counted under labels that the front chooses: no client can make more of them.
type metrics struct {
	requests         *prometheus.CounterVec
	refused, evicted prometheus.Counter
}

func newMetrics(r *prometheus.Registry) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kmsd_aws_requests_total", Help: "Requests of AWS's clients that were answered, by service and HTTP status."}, []string{"service", "code"}),
		refused:  prometheus.NewCounter(prometheus.CounterOpts{Name: "kmsd_aws_connections_refused_total", Help: "Connections of AWS's clients that were closed at once because of a limit."}),
		evicted:  prometheus.NewCounter(prometheus.CounterOpts{Name: "kmsd_aws_connections_evicted_total", Help: "Idle connections of AWS's clients that were closed to make room."}),
	}
	r.MustRegister(m.requests, m.refused, m.evicted)
	return m
}

// label is the name of a service in metrics.
func (s *service) label() string {
	if s.name == "" {
		return "unknown"
	}
	return s.name
}
