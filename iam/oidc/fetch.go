package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	fetchTimeout = 5 * time.Second
	freshFor     = 5 * time.Minute // a key set is not fetched again within
	retryAfter   = time.Minute     // for an unknown key, or after a failure
	staleFor     = 24 * time.Hour  // a key set is used for so long when its host does not answer
	maxCached    = 1024            // key sets
	maxURI       = 2048
)

var (
	// ErrHost says that keys must not be fetched from an address: it is not https, or its host is not on the list.
	ErrHost = errors.New("keys are fetched by https and from listed hosts only")

	// ErrFetch says that a key set could not be had.
	ErrFetch = errors.New("the keys of the identity provider cannot be fetched")
)

// A Fetcher gets key sets by https and keeps them. Make it with NewFetcher. It is safe for concurrent use: of many that need the same
// key set one fetches it, and the others wait.
type Fetcher struct {
	hosts  []string
	client *http.Client

	mu     sync.Mutex
	cached map[string]*entry // :: URI → what is known of it
}

// An entry is what is known of one URI. Its mutex is held while it is fetched.
type entry struct {
	mu      sync.Mutex
	keys    *KeySet // nil until it was fetched once
	fetched time.Time
	tried   time.Time
	used    time.Time // guarded by the Fetcher's mutex
}

// NewFetcher returns a Fetcher that speaks to hosts only, each a DNS name or an address in lower case, with ":port" unless it
// is 443. Their certificates are checked against roots, or the system's authorities if it is nil. Redirects are not
// followed, and proxies of the environment are not used.
func NewFetcher(hosts []string, roots *x509.CertPool) *Fetcher {
	return &Fetcher{
		hosts: slices.Clone(hosts),
		client: &http.Client{
			Timeout: fetchTimeout,
			Transport: &http.Transport{
				TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
				DialContext:            (&net.Dialer{Timeout: fetchTimeout}).DialContext,
				DisableKeepAlives:      true,
				DisableCompression:     true, // what is counted is what is read
				MaxResponseHeaderBytes: 16 << 10,
				ForceAttemptHTTP2:      true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		cached: map[string]*entry{},
	}
}

// CheckURI returns nil if keys may be fetched from an address, and otherwise an error that matches ErrHost.
func (f *Fetcher) CheckURI(uri string) error {
	_, err := f.parse(uri)
	return err
}

func (f *Fetcher) parse(uri string) (*url.URL, error) {
	if len(uri) > maxURI {
		return nil, fmt.Errorf("%w: the address is too long", ErrHost)
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Opaque != "" || u.Host == "" {
		return nil, fmt.Errorf("%w: the address is not of the form https://host/path", ErrHost)
	}
	if !slices.Contains(f.hosts, strings.TrimSuffix(u.Host, ":443")) {
		return nil, fmt.Errorf("%w: the operator of kmsd lists the hosts, and this one is not among them", ErrHost)
	}
	return u, nil
}

// Keys returns the key set at an address. It is fetched if the one that is kept is older than five minutes; if unknown, for a
// token whose key is not in the one that is kept, if that is older than a minute. A failure is not repeated within a minute. If
// the host does not answer well, the one that is kept is good for 24 hours. The error matches ErrHost or ErrFetch.
// It blocks for 5 seconds at most, and does not end with ctx.
func (f *Fetcher) Keys(ctx context.Context, uri string, unknown bool) (*KeySet, error) {
	u, err := f.parse(uri)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	e := f.entry(uri, now)
	e.mu.Lock()
	defer e.mu.Unlock()
	now = time.Now()
	wait := freshFor
	if unknown || e.tried.After(e.fetched) {
		wait = retryAfter
	}
	if e.tried.IsZero() || now.Sub(e.tried) >= wait {
		e.tried = now
		// What was begun is of use to the next caller too: it does not end with this one.
		if keys, err := f.fetch(context.WithoutCancel(ctx), u); err == nil {
			e.keys, e.fetched = keys, now
		}
	}
	if e.keys == nil || now.Sub(e.fetched) >= staleFor {
		return nil, ErrFetch
	}
	return e.keys, nil
}

// entry returns the entry of an address. Of too many the one that was not used for longest goes.
func (f *Fetcher) entry(uri string, now time.Time) *entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.cached[uri]
	if e == nil {
		if len(f.cached) >= maxCached {
			f.forgetOldest()
		}
		e = &entry{}
		f.cached[uri] = e
	}
	e.used = now
	return e
}

func (f *Fetcher) forgetOldest() {
	oldest := ""
	for uri, e := range f.cached {
		if oldest == "" || e.used.Before(f.cached[oldest].used) {
			oldest = uri
		}
	}
	delete(f.cached, oldest)
}

func (f *Fetcher) fetch(ctx context.Context, u *url.URL) (*KeySet, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, ErrFetch
	}
	q.Header.Set("Accept", "application/jwk-set+json, application/json")
	q.Header.Set("User-Agent", "kmsd")
	answer, err := f.client.Do(q)
	if err != nil {
		return nil, ErrFetch
	}
	defer func() { _ = answer.Body.Close() }() // read to the end or given up
	if answer.StatusCode != http.StatusOK {
		return nil, ErrFetch
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, MaxKeySet+1))
	if err != nil {
		return nil, ErrFetch
	}
	return ParseKeySet(data)
}
