package k8s

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// health holds the last check, which all calls of Status share that come within its time.
type health struct {
	fresh time.Duration

	mu     sync.Mutex
	last   *checkup // nil before the first
	closed bool
	told   string // what was logged last
}

// checkup is one health check. What is below done is written before that is closed.
type checkup struct {
	done chan struct{}

	under version // that was proven to work; zero if none was
	ended time.Time
	err   error
}

// close lets no more checks begin.
func (h *health) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
}

var errStopping = status.Error(codes.Unavailable, "the plugin is stopping")

// check returns what is wrong with kmsd, the key, or the permission to use it. A version that became current during the check gets one of its own.
func (p *Plugin) check(ctx context.Context) (err error) {
	for range attempts {
		c := p.recent()
		if c == nil {
			return errStopping
		}
		select {
		case <-c.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err = c.err; err != nil || c.under == p.versions.now() {
			return err
		}
	}
	return status.Error(codes.Aborted, "the key is being rotated: try again")
}

// recent returns the check that is under way, or the last one if it still counts, or begins one. It returns nil once the plugin stops.
func (p *Plugin) recent() *checkup {
	h := &p.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	if h.last != nil {
		select {
		case <-h.last.done:
			if time.Since(h.last.ended) < h.fresh && (h.last.err != nil || h.last.under == p.versions.now()) {
				return h.last
			}
		default:
			return h.last
		}
	}
	c := &checkup{done: make(chan struct{})}
	h.last = c
	p.checks.Go(func() { p.perform(c) })
	return c
}

// perform encrypts random bytes and decrypts them, in at most CallTimeout together.
func (p *Plugin) perform(c *checkup) {
	defer close(c.done)
	ctx, cancel := context.WithTimeout(p.life, CallTimeout)
	defer cancel()
	c.under, c.err = p.roundTrip(ctx)
	c.ended = time.Now()
	p.tell(c)
}

func (p *Plugin) roundTrip(ctx context.Context) (version, error) {
	sample := make([]byte, 32)
	rand.Read(sample)
	s, err := p.encrypt(ctx, sample)
	if err != nil {
		return version{}, err
	}
	opened, _, err := p.decrypt(ctx, s.ciphertext, s.under)
	if err != nil {
		return version{}, err
	}
	defer clear(opened)
	if subtle.ConstantTimeCompare(opened, sample) != 1 {
		return version{}, status.Error(codes.DataLoss, "what kmsd encrypted it decrypts to something else")
	}
	return s.under, nil
}

// tell logs the health when it, or the version, is another than before.
func (p *Plugin) tell(c *checkup) {
	what := status.Code(c.err).String()
	if c.err == nil {
		what = c.under.String()
	}
	h := &p.health
	h.mu.Lock()
	same := h.told == what
	h.told = what
	h.mu.Unlock()
	switch {
	case same || p.life.Err() != nil:
	case c.err != nil:
		p.log.Warn("the Kubernetes plugin is not healthy", "key", p.keyID, "error", status.Convert(c.err).Message())
	default:
		p.log.Info("the Kubernetes plugin is healthy", "key", p.keyID, "key_id", what)
	}
}
