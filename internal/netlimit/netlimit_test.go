package netlimit

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"
)

// door listens within bounds, and hands over what was accepted.
type door struct {
	t        *testing.T
	address  net.Addr
	accepted chan net.Conn
	refused  chan struct{}
}

func open(t *testing.T, network, address string, c Config) *door {
	t.Helper()
	d := &door{t: t, accepted: make(chan net.Conn, 16), refused: make(chan struct{}, 16)}
	c.Refused = func() { d.refused <- struct{}{} }
	raw, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	d.address = raw.Addr()
	l := Listen(raw, c)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			d.accepted <- conn
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return d
}

// knock connects from a loopback address, "" on a unix socket, and returns what was accepted of it, nil if it was refused.
func (d *door) knock(from string) net.Conn {
	d.t.Helper()
	dialer := net.Dialer{}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	conn, err := dialer.Dial(d.address.Network(), d.address.String())
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	select {
	case c := <-d.accepted:
		return c
	case <-d.refused:
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && err == nil {
			d.t.Errorf("a refused connection reads %v, want its end", err)
		}
		return nil
	case <-time.After(10 * time.Second):
		d.t.Fatal("a connection was neither accepted nor refused")
	}
	return nil
}

func TestBounds(t *testing.T) {
	d := open(t, "tcp", "127.0.0.1:0", Config{Most: 3, MostPerHost: 2})
	first := d.knock("127.0.0.2")
	for _, row := range []struct {
		what, from string
		want       bool
	}{
		{"the second of a host", "127.0.0.2", true},
		{"the third of a host", "127.0.0.2", false},
		{"the first of another host", "127.0.0.3", true},
		{"the second of another host, beyond those in all", "127.0.0.3", false},
		{"the first of a third host, beyond those in all", "127.0.0.4", false},
	} {
		if got := d.knock(row.from) != nil; got != row.want {
			t.Errorf("%s is accepted: %v, want %v", row.what, got, row.want)
		}
	}
	for range 2 { // the place of a connection that is closed twice is free once
		first.Close()
	}
	if d.knock("127.0.0.2") == nil {
		t.Error("the place of a closed connection is not given again")
	}
	if d.knock("127.0.0.4") != nil {
		t.Error("a connection that was closed twice frees two places")
	}
}

func TestMakeRoom(t *testing.T) {
	oldest := make(chan net.Conn, 2)
	d := open(t, "tcp", "127.0.0.1:0", Config{Most: 2, MostPerHost: 1, MakeRoom: func() bool {
		select {
		case conn := <-oldest:
			conn.Close()
			return true
		default:
			return false
		}
	}})
	oldest <- d.knock("127.0.0.2")
	oldest <- d.knock("127.0.0.3")
	if d.knock("127.0.0.4") == nil || len(oldest) != 1 {
		t.Errorf("a connection beyond those in all is refused, with %d to close, want it accepted in the place of one", len(oldest))
	}
	if d.knock("127.0.0.3") != nil {
		t.Error("room is made for a host that has its share")
	}
	<-oldest
	if d.knock("127.0.0.5") != nil {
		t.Error("a connection is accepted for which there is no room")
	}
}

func TestUnixSocketsAreBoundedInAll(t *testing.T) {
	d := open(t, "unix", filepath.Join(t.TempDir(), "s"), Config{Most: 2, MostPerHost: 1})
	for i, want := range []bool{true, true, false} {
		if got := d.knock("") != nil; got != want {
			t.Errorf("connection %d on a unix socket is accepted: %v, want %v", i+1, got, want)
		}
	}
}

func TestHost(t *testing.T) {
	for _, row := range []struct {
		address net.Addr
		want    string
	}{
		{&net.TCPAddr{IP: net.ParseIP("192.0.2.7"), Port: 1}, "192.0.2.7/32"},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.7"), Port: 1}, "192.0.2.7/32"},
		{&net.TCPAddr{IP: net.ParseIP("2001:db8:1:2:3::4"), Port: 1}, "2001:db8:1:2::/64"},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 1}, "fe80::/64"},
		{&net.UnixAddr{Name: "/run/kmsd", Net: "unix"}, netip.Prefix{}.String()},
	} {
		if got := Host(row.address); got.String() != row.want {
			t.Errorf("Host(%s) = %s, want %s", row.address, got, row.want)
		}
	}
}
