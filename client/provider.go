package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// RenewBefore is how long before their end temporary credentials are renewed, or half of their life before if that is less.
	RenewBefore = 5 * time.Minute

	leastBackoff   = time.Second
	mostBackoff    = time.Minute
	betweenRefusal = 30 * time.Second
)

var errProviderClosed = errors.New("the provider of the credentials is closed")

// CredentialsProvider keeps temporary credentials and renews them: in the background from RenewBefore on, so that no call waits while
// those at hand are good, one renewal at a time, and after one that fails not before a second, which doubles up to a minute. It is safe for
// concurrent use. The zero value is not usable.
type CredentialsProvider struct {
	at     Credentials // where kmsd is; no credentials
	fetch  func(context.Context) (Credentials, error)
	source *Client // to close; nil if none

	life    context.Context // of the renewals
	end     context.CancelFunc
	flights sync.WaitGroup
	current atomic.Pointer[lease]

	mu        sync.Mutex
	under     *flight   // way; nil if none is
	failures  int       // in a row
	notBefore time.Time // the next attempt
	failed    error     // the last attempt; nil if it succeeded
	refusedAt time.Time
	closed    bool
}

// lease is credentials and when to renew them. It does not change.
type lease struct {
	credentials Credentials
	renew, end  time.Time // zero: never
}

// flight is one renewal, which many may wait for.
type flight struct {
	done  chan struct{} // closed when the others are set
	lease *lease
	err   error
}

// NewCredentialsProvider returns a provider of credentials that fetch gets. at says where kmsd is: Endpoint, Region and CA; they are
// put into what fetch returns. fetch is called by one goroutine at a time, and its context ends with the provider. Credentials without Expiration are
// kept until kmsd refuses them. Close the provider after use.
func NewCredentialsProvider(at Credentials, fetch func(context.Context) (Credentials, error)) *CredentialsProvider {
	p := &CredentialsProvider{at: at.place(), fetch: fetch}
	p.life, p.end = context.WithCancel(context.Background())
	return p
}

// Retrieve returns credentials that are good now. It waits if there are none; ctx ends the waiting, not the renewal. The secrets are
// shared: do not wipe them.
func (p *CredentialsProvider) Retrieve(ctx context.Context) (Credentials, error) {
	l, err := p.retrieve(ctx)
	if err != nil {
		return Credentials{}, err
	}
	return l.credentials, nil
}

// credentials is Retrieve without a copy.
func (p *CredentialsProvider) credentials(ctx context.Context) (*Credentials, error) {
	l, err := p.retrieve(ctx)
	if err != nil {
		return nil, err
	}
	return &l.credentials, nil
}

func (p *CredentialsProvider) retrieve(ctx context.Context) (*lease, error) {
	now := time.Now()
	have := p.current.Load()
	if have != nil && (have.end.IsZero() || now.Before(have.renew)) {
		return have, nil
	}
	f, err := p.renew(have, now)
	if have != nil && now.Before(have.end) {
		return have, nil // good for some time yet, whatever becomes of the renewal
	}
	if err != nil {
		return nil, err
	}
	select {
	case <-f.done:
		return f.lease, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for credentials: %w", ctx.Err())
	}
}

// renew returns the renewal that is under way, or begins one, unless what is there is not what the caller saw.
func (p *CredentialsProvider) renew(saw *lease, now time.Time) (*flight, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if have := p.current.Load(); have != saw && have != nil {
		f := &flight{done: make(chan struct{}), lease: have}
		close(f.done)
		return f, nil
	}
	switch {
	case p.closed:
		return nil, errProviderClosed
	case p.under != nil:
		return p.under, nil
	case now.Before(p.notBefore):
		return nil, p.failed
	}
	p.under = &flight{done: make(chan struct{})}
	p.flights.Add(1)
	go p.fly(p.under)
	return p.under, nil
}

// fly is one renewal.
func (p *CredentialsProvider) fly(f *flight) {
	defer p.flights.Done()
	c, err := p.fetch(p.life)
	now := time.Now()
	if err == nil {
		c.Endpoint, c.Region, c.CA = p.at.Endpoint, p.at.Region, p.at.CA
		err = usable(c, now)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.under = nil
	defer close(f.done)
	if err != nil {
		f.err, p.failed = err, err
		wait := min(mostBackoff, leastBackoff<<min(p.failures, 10))
		p.failures++
		p.notBefore = now.Add(wait/2 + rand.N(wait/2+1)) // jitter: many clients fail at once
		return
	}
	p.failures, p.failed, p.notBefore = 0, nil, time.Time{}
	f.lease = &lease{credentials: c}
	if !c.Expiration.IsZero() {
		f.lease.end = c.Expiration
		f.lease.renew = c.Expiration.Add(-min(RenewBefore, c.Expiration.Sub(now)/2))
	}
	p.current.Store(f.lease)
}

// usable checks what fetch returned.
func usable(c Credentials, now time.Time) error {
	switch {
	case c.Role != nil || c.AccessKeyID == "":
		return fmt.Errorf("%w: temporary credentials must be an access key", ErrCredentials)
	case !c.Expiration.IsZero() && !now.Before(c.Expiration):
		return fmt.Errorf("%w: the temporary credentials ended at %s", ErrCredentials, c.Expiration.UTC().Format(time.RFC3339))
	}
	return c.check()
}

// refused tells that kmsd does not take the credentials, and reports whether there can be others: not if that was told a moment ago.
func (p *CredentialsProvider) refused(l *lease) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current.Load() != l {
		return true
	}
	now := time.Now()
	if !p.refusedAt.IsZero() && now.Sub(p.refusedAt) < betweenRefusal {
		return false
	}
	p.refusedAt = now
	p.current.Store(nil)
	return true
}

// Close ends renewals under way and waits for them. A second Close does nothing.
func (p *CredentialsProvider) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.end()
	p.flights.Wait()
	if p.source != nil {
		return p.source.Close()
	}
	return nil
}
