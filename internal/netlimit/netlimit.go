// Package netlimit bounds how many connections a listener has open, in all and of one host.
//
// It knows nothing of what is said on a connection, and sets no time-outs.
//
// Trust: addresses are those that the kernel saw. Who holds many addresses gets as many shares.
package netlimit

import (
	"net"
	"net/netip"
	"sync"
)

// Config is what bounds a listener.
type Config struct {
	Most        int    // open connections in all; at 0 none is taken
	MostPerHost int    // open connections of one host, likewise; those that have no IP address are bounded in all only
	Refused     func() // is told of each connection that is closed at once, by the goroutine of Accept; required
	// MakeRoom is asked when there are as many connections as there may be in all. It closes one and returns true, or returns false. Nil never does.
	// It is called by the goroutine of Accept.
	MakeRoom func() bool
}

// Listen returns l within bounds. What is beyond them is closed at once: what waits for a place would hold memory for whoever sent it. A connection counts
// until its Close, which may be called again.
func Listen(l net.Listener, c Config) net.Listener {
	return &listener{Listener: l, cfg: c, perHost: map[netip.Prefix]int{}}
}

type listener struct {
	net.Listener
	cfg Config

	mu      sync.Mutex
	all     int
	perHost map[netip.Prefix]int // :: host → its open connections
}

// Accept returns the next connection that there is a place for.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host := Host(conn.RemoteAddr())
		if l.enter(host) || l.lacksOnlyRoom(host) && l.makeRoom() && l.enter(host) {
			return &countedConn{Conn: conn, leave: sync.OnceFunc(func() { l.leave(host) })}, nil
		}
		l.cfg.Refused()
		conn.Close() // refused: there is nobody to tell
	}
}

// Host is what one host can take addresses from: its address in IPv4, its network of 64 bits in IPv6; the zero value for what is no IP address and port.
func Host(a net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := at.Addr().Unmap().WithZone(""), 64
	if ip.Is4() {
		bits = 32
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// lacksOnlyRoom reports whether a host may have one more connection, and there are too many in all.
func (l *listener) lacksOnlyRoom(host netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all >= l.cfg.Most && l.within(host)
}

// within reports whether a host may have one more connection as far as its own share goes. Its caller holds mu.
func (l *listener) within(host netip.Prefix) bool {
	return !host.IsValid() || l.perHost[host] < l.cfg.MostPerHost
}

func (l *listener) makeRoom() bool { return l.cfg.MakeRoom != nil && l.cfg.MakeRoom() }

func (l *listener) enter(host netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= l.cfg.Most || !l.within(host) {
		return false
	}
	l.all++
	l.perHost[host]++
	return true
}

func (l *listener) leave(host netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.perHost[host]--; l.perHost[host] == 0 {
		delete(l.perHost, host)
	}
}

type countedConn struct {
	net.Conn
	leave func()
}

// Close ends the connection and frees its place.
func (c *countedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
