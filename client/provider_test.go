package client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kmsd/kmsd/crypto"
)

// fetcher gets credentials of a life, after a delay, unless it fails.
type fetcher struct {
	base  Credentials
	life  time.Duration
	delay time.Duration
	fails atomic.Bool
	calls atomic.Int64
	one   atomic.Int64 // under way
}

var errFetch = errors.New("no")

func (f *fetcher) fetch(ctx context.Context) (Credentials, error) {
	if f.one.Add(1) > 1 {
		panic("two renewals at once")
	}
	defer f.one.Add(-1)
	f.calls.Add(1)
	select {
	case <-time.After(f.delay):
	case <-ctx.Done():
		return Credentials{}, ctx.Err()
	}
	if f.fails.Load() {
		return Credentials{}, errFetch
	}
	c := f.base
	c.SessionToken = crypto.NewSecret([]byte("token"))
	c.Expiration = time.Now().Add(f.life)
	return c, nil
}

func newFetcher(t *testing.T, life, delay time.Duration) (*fetcher, *CredentialsProvider) {
	t.Helper()
	byKey, _ := byKeyAndByCertificate(t)
	f := &fetcher{base: byKey, life: life, delay: delay}
	return f, NewCredentialsProvider(byKey, f.fetch)
}

func retrieve(t *testing.T, p *CredentialsProvider) (waited time.Duration, err error) {
	t.Helper()
	began := time.Now()
	c, err := p.Retrieve(t.Context())
	if err == nil && !time.Now().Before(c.Expiration) {
		t.Errorf("Retrieve gives credentials that ended %v ago", time.Since(c.Expiration))
	}
	return time.Since(began), err
}

func TestCredentialsAreRenewedBeforeTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := newFetcher(t, time.Hour, time.Second)
		defer p.Close()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { retrieve(t, p) })
		}
		all.Wait()
		if n := f.calls.Load(); n != 1 {
			t.Fatalf("20 callers at once fetched %d times, want once", n)
		}
		time.Sleep(54 * time.Minute)
		if waited, err := retrieve(t, p); err != nil || waited != 0 || f.calls.Load() != 1 {
			t.Errorf("6 minutes before the end: %v, waited %v, fetched %d times; want no renewal", err, waited, f.calls.Load())
		}
		time.Sleep(90 * time.Second)
		for range 5 {
			if waited, err := retrieve(t, p); err != nil || waited != 0 {
				t.Errorf("in the last 5 minutes: %v, waited %v; want no waiting", err, waited)
			}
		}
		synctest.Wait()
		time.Sleep(2 * time.Second)
		if n := f.calls.Load(); n != 2 {
			t.Errorf("in the last 5 minutes fetched %d times, want one renewal", n-1)
		}
		time.Sleep(54 * time.Minute)
		if retrieve(t, p); f.calls.Load() != 2 {
			t.Error("the renewed credentials are not used")
		}
		time.Sleep(2 * time.Hour)
		if waited, err := retrieve(t, p); err != nil || waited != time.Second || f.calls.Load() != 3 {
			t.Errorf("after the end: %v, waited %v, fetched %d times; want one more", err, waited, f.calls.Load())
		}
	})
}

func TestShortCredentialsAreNotRenewedAtEveryCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := newFetcher(t, 4*time.Minute, 0)
		defer p.Close()
		for range 100 {
			if _, err := retrieve(t, p); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := f.calls.Load(); n != 1 {
			t.Errorf("in 100 s of 4 min fetched %d times, want once", n)
		}
	})
}

func TestFailedRenewalsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := newFetcher(t, time.Hour, 0)
		defer p.Close()
		if _, err := retrieve(t, p); err != nil {
			t.Fatal(err)
		}
		f.fails.Store(true)
		time.Sleep(56 * time.Minute)
		for range 200 { // seconds of the last 4 minutes
			if _, err := retrieve(t, p); err != nil {
				t.Fatalf("while they are good: %v", err)
			}
			time.Sleep(time.Second)
		}
		if n := f.calls.Load() - 1; n < 5 || n > 14 {
			t.Errorf("in 200 s of failures fetched %d times, want about 9: 1, 2, 4 … s apart", n)
		}
		time.Sleep(10 * time.Minute)
		before := f.calls.Load()
		for range 50 {
			if _, err := retrieve(t, p); !errors.Is(err, errFetch) {
				t.Fatalf("after the end: %v, want the error", err)
			}
		}
		if n := f.calls.Load() - before; n > 1 {
			t.Errorf("50 calls fetched %d times, want at most once", n)
		}
		f.fails.Store(false)
		time.Sleep(mostBackoff)
		if _, err := retrieve(t, p); err != nil {
			t.Errorf("when it works again: %v", err)
		}
	})
}

func TestAProviderEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := newFetcher(t, time.Hour, 24*time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Retrieve(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Retrieve with a deadline = %v, want that it passed", err)
		}
		p.Close()
		p.Close()
		if _, err := p.Retrieve(t.Context()); err == nil || f.calls.Load() != 1 {
			t.Errorf("Retrieve after Close = %v, fetched %d times, want an error", err, f.calls.Load())
		}
	})
}

func TestAProviderRefusesWhatIsNotTemporaryCredentials(t *testing.T) {
	byKey, byCertificate := byKeyAndByCertificate(t)
	ended, badToken := byKey, byKey
	ended.Expiration = time.Now().Add(-time.Second)
	badToken.SessionToken = crypto.NewSecret([]byte("a b"))
	for name, c := range map[string]Credentials{
		"nothing": {}, "a certificate": byCertificate, "what ended": ended, "a bad token": badToken, "a role": {Role: &Role{ARN: testRole}},
	} {
		p := NewCredentialsProvider(byKey, func(context.Context) (Credentials, error) { return c, nil })
		if got, err := p.Retrieve(t.Context()); !errors.Is(err, ErrCredentials) || !got.isZero() {
			t.Errorf("%s: Retrieve = %v, %v, want ErrCredentials", name, got, err)
		}
		p.Close()
	}
	p := NewCredentialsProvider(byKey, func(context.Context) (Credentials, error) { return byKey, nil })
	defer p.Close()
	for range 2 {
		if c, err := p.Retrieve(t.Context()); err != nil || c.AccessKeyID != testKeyID {
			t.Errorf("Retrieve of credentials that do not end = %v, %v", c, err)
		}
	}
}
