package aws_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/internal/daemon"
	"github.com/kmsd/kmsd/internal/kmstest"
)

// breaking is an audit log's files, which fail as long as broken is set, and take the time slow to sync.
type breaking struct {
	broken atomic.Bool
	slow   atomic.Int64 // nanoseconds
}

func (b *breaking) open(path string, flag int, perm fs.FileMode) (audit.File, error) {
	f, err := os.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return &breakingFile{f, b}, nil
}

type breakingFile struct {
	*os.File
	b *breaking
}

func (f *breakingFile) Write(p []byte) (int, error) {
	if f.b.broken.Load() {
		return 0, unix.ENOSPC
	}
	return f.File.Write(p)
}

func (f *breakingFile) Datasync() error {
	if f.b.broken.Load() {
		return unix.EIO
	}
	time.Sleep(time.Duration(f.b.slow.Load()))
	return unix.Fdatasync(int(f.Fd()))
}

// inUse is the memory of heap and stacks that is in use.
func inUse() int64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// TestIdleConnections opens 10,000 connections from as many addresses: some say nothing, some half a header, and some are idle after a request. Memory is
// bounded by what 4096 connections take, and a client that comes beside them is served.
func TestIdleConnections(t *testing.T) {
	const connections = 10_000
	if testing.Short() {
		t.Skip("10,000 connections")
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil || files.Cur < connections+6000 {
		t.Skipf("this process may open %d files", files.Cur)
	}
	s := newSide(t, with(func(c *daemon.AWSConfig) { c.Plaintext = true }))
	s.idle(connections, func(i int) string {
		return []string{"", "POST / HTTP/1.1\r\nHost: kms\r\nX-Amz-Tar", "POST / HTTP/1.1\r\nHost: kms\r\nContent-Length: 0\r\n\r\n"}[i%3]
	})
}

// idle opens n idle connections, each of which has sent what says gives it, and looks after memory and a client beside them.
func (s *side) idle(n int, says func(int) string) {
	t := s.t
	t.Helper()
	before := inUse()
	held := make([]net.Conn, n)
	defer func() {
		for _, c := range held {
			if c != nil {
				c.Close()
			}
		}
	}()
	stop := make(chan struct{})
	var client sync.WaitGroup
	var calls int
	var slowest time.Duration
	client.Go(func() {
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
		for ; ; calls++ {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
			began := time.Now()
			resp, err := c.Do(s.request("ListKeys", "{}"))
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("beside idle connections ListKeys = %+v, %v", resp, err)
				return
			}
			resp.Body.Close()
			slowest = max(slowest, time.Since(began))
		}
	})
	refused := 0
	for i := range held {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, byte(1+i>>16), byte(i>>8), byte(i))}, Timeout: 20 * time.Second}
		conn, err := dialer.Dial("tcp", s.k.AWSAddress())
		if err != nil {
			refused++
			continue
		}
		held[i] = conn
		_, _ = conn.Write([]byte(says(i))) // kmsd may have closed it
	}
	time.Sleep(500 * time.Millisecond)
	grown := inUse() - before
	close(stop)
	client.Wait()
	t.Logf("%d connections, %d of them not made: heap and stacks of client and server have grown by %d MiB; beside them %d calls, each on a connection of its own, the slowest %v; resident %s",
		n, refused, grown>>20, calls, slowest, resident())
	if grown > 256<<20 {
		t.Errorf("memory has grown by %d MiB, want at most 256", grown>>20)
	}
	if calls < 10 || slowest > 10*time.Second {
		t.Errorf("a client beside them made %d calls, the slowest of %v", calls, slowest)
	}
	if refused > n/100 {
		t.Errorf("%d connections could not be made", refused)
	}
}

// resident is the resident memory of this process.
func resident() string {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "unknown"
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

// A host has its share of connections, and no more; another has its own.
func TestConnectionsOfOneAddress(t *testing.T) {
	s := newSide(t, with(func(c *daemon.AWSConfig) { c.Plaintext, c.ConnectionsPerIP = true, 3 }))
	open := func(from string) bool {
		t.Helper()
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := dialer.Dial("tcp", s.k.AWSAddress())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: kms\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
		_, err = conn.Read(make([]byte, 1)) // that it may go on
		return err == nil
	}
	for i := range 5 {
		if got := open("127.0.0.9"); got != (i < 3) {
			t.Errorf("connection %d of one address is served: %v", i, got)
		}
	}
	if !open("127.0.0.10") {
		t.Error("the first connection of another address is refused")
	}
}

// More requests at a time than there may be are refused in a way that clients repeat, and recorded.
func TestRequestsUnderWay(t *testing.T) {
	s := newSide(t, with(func(c *daemon.AWSConfig) { c.Requests = 2 }))
	for range 2 { // their bodies do not come
		conn := s.dial()
		fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: kms\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
		if _, err := conn.Read(make([]byte, 1)); err != nil { // that it may go on: it is under way
			t.Fatal(err)
		}
	}
	got := s.do(s.client("HTTP/1.1"), s.request("ListKeys", "{}"))
	s.event(got)
	if got.StatusCode != http.StatusBadRequest || !strings.Contains(got.body, "ThrottlingException") {
		t.Errorf("beside as many requests as there may be, ListKeys = %s %s, want ThrottlingException", got.Status, got.body)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "aws.sock")
	if l, err := net.Listen("unix", path); err != nil {
		t.Fatal(err)
	} else {
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close() // a stale socket of an earlier run
	}
	s := newSide(t, with(func(c *daemon.AWSConfig) {
		if c.Plaintext = true; c.Listen != "" {
			c.Listen = "unix:" + path
		}
	}))
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has %v, %v, want mode 0600", info, err)
	}
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	defer tr.CloseIdleConnections()
	got := s.do(&http.Client{Transport: tr}, s.request("ListKeys", "{}"))
	if got.StatusCode != http.StatusOK {
		t.Errorf("over a unix socket ListKeys = %s %s", got.Status, got.body)
	}
	if e := s.event(got); !strings.Contains(string(e.Raw), `"listener":"unix:`+path+`"`) {
		t.Errorf("the event does not tell the socket: %s", e.Raw)
	}
	if second := s.second(path); second == nil || !strings.Contains(second.Error(), "aws.listen") {
		t.Errorf("a second kmsd on the socket = %v, want an error that names aws.listen", second)
	}
	if got := s.do(&http.Client{Transport: tr}, s.request("ListKeys", "{}")); got.StatusCode != http.StatusOK {
		t.Errorf("after a second kmsd has tried ListKeys = %s", got.Status)
	}
}

// second starts another kmsd on a socket that is in use.
func (s *side) second(path string) error {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), "data")
	if _, err := daemon.Init(daemon.InitOptions{Config: daemon.Config{Data: dir}, AccountID: kmstest.Account}); err != nil {
		s.t.Fatal(err)
	}
	cfg, err := daemon.Load(dir, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	cfg.Listen, cfg.AdminListen, cfg.AWS.Listen, cfg.AWS.Plaintext = "127.0.0.1:0", daemon.AdminOff, "unix:"+path, true
	if err := cfg.Check(); err != nil {
		s.t.Fatal(err)
	}
	d, err := daemon.Start(cfg, daemon.Options{Version: "test", LogTo: &strings.Builder{}})
	if err == nil {
		return errors.Join(errors.New("it starts"), d.Shutdown(s.t.Context()))
	}
	return err
}
