package oidc

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// site is a host that serves what answer says.
type site struct {
	*httptest.Server
	hits   atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]
}

func newSite(t *testing.T, answer http.HandlerFunc) *site {
	t.Helper()
	s := &site{}
	s.answer.Store(&answer)
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hits.Add(1)
		(*s.answer.Load())(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) host() string { return strings.TrimPrefix(s.URL, "https://") }

func (s *site) fetcher() *Fetcher {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return NewFetcher([]string{s.host()}, roots)
}

// age makes everything that f knows of an address older.
func (f *Fetcher) age(uri string, d time.Duration) {
	e := f.cached[uri]
	e.fetched, e.tried = e.fetched.Add(-d), e.tried.Add(-d)
}

func serveKeys(t *testing.T) http.HandlerFunc {
	set := publicSet(t)
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) }
}

func fail(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }

func TestKeysAreKept(t *testing.T) {
	s := newSite(t, serveKeys(t))
	f, uri, ctx := s.fetcher(), s.URL+"/keys", context.Background()
	keys := func(unknown bool, wantHits int64, want error) {
		t.Helper()
		k, err := f.Keys(ctx, uri, unknown)
		if !errors.Is(err, want) || (err == nil) != (k.Len() == 4) || s.hits.Load() != wantHits {
			t.Errorf("Keys = %d keys, %v after %d fetches, want %v after %d", k.Len(), err, s.hits.Load(), want, wantHits)
		}
	}
	keys(false, 1, nil)
	keys(false, 1, nil)
	keys(true, 1, nil) // an unknown key within the minute
	f.age(uri, retryAfter)
	keys(false, 1, nil)
	keys(true, 2, nil)
	f.age(uri, freshFor)
	keys(false, 3, nil)

	bad := http.HandlerFunc(fail)
	s.answer.Store(&bad)
	f.age(uri, freshFor)
	keys(false, 4, nil) // stale, and kept
	keys(false, 4, nil) // not again within the minute
	keys(true, 4, nil)
	f.age(uri, retryAfter)
	keys(false, 5, nil)
	f.age(uri, staleFor)
	keys(false, 6, ErrFetch)
	good := serveKeys(t)
	s.answer.Store(&good)
	keys(false, 6, ErrFetch) // within the minute
	f.age(uri, retryAfter)
	keys(false, 7, nil)
}

func TestWhatIsNotTaken(t *testing.T) {
	var other *site
	for what, answer := range map[string]http.HandlerFunc{
		"a failure": fail,
		"too much": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(append(publicSet(t), make([]byte, MaxKeySet)...))
		},
		"no key set": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) },
		"a redirection to another host": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/keys", http.StatusFound)
		},
	} {
		s := newSite(t, answer)
		other = newSite(t, serveKeys(t))
		if k, err := s.fetcher().Keys(context.Background(), s.URL+"/keys", false); !errors.Is(err, ErrFetch) || k != nil {
			t.Errorf("%s: Keys = %v, %v, want %v", what, k, err, ErrFetch)
		}
		if n := other.hits.Load(); n != 0 {
			t.Errorf("%s: the other host was asked %d times", what, n)
		}
	}
	s := newSite(t, serveKeys(t))
	f := NewFetcher([]string{s.host()}, x509.NewCertPool())
	if _, err := f.Keys(context.Background(), s.URL, false); !errors.Is(err, ErrFetch) {
		t.Errorf("a certificate of nobody: Keys = %v, want %v", err, ErrFetch)
	}
}

func TestHosts(t *testing.T) {
	f := NewFetcher([]string{"issuer.example", "other.example:8443", "[::1]:444"}, nil)
	for uri, want := range map[string]bool{
		"https://issuer.example/keys":                           true,
		"https://issuer.example:443/keys?a=b":                   true,
		"https://other.example:8443/":                           true,
		"https://[::1]:444/":                                    true,
		"https://issuer.example:8443/keys":                      false,
		"https://other.example/":                                false,
		"http://issuer.example/keys":                            false,
		"https://ISSUER.example/keys":                           false,
		"https://issuer.example./keys":                          false,
		"https://issuer.example@evil/keys":                      false,
		"https://user@issuer.example/keys":                      false,
		"https://evil/issuer.example":                           false,
		"https://issuer.example.evil/":                          false,
		"https://169.254.169.254/latest":                        false,
		"https:issuer.example/keys":                             false,
		"https://issuer.example/keys#x":                         false,
		"file:///etc/passwd":                                    false,
		"//issuer.example/keys":                                 false,
		"":                                                      false,
		"https://issuer.example\\@evil/":                        false,
		"https://issuer.example/" + strings.Repeat("x", maxURI): false,
	} {
		err := f.CheckURI(uri)
		if (err == nil) != want || err != nil && !errors.Is(err, ErrHost) {
			t.Errorf("CheckURI(%.60q) = %v, want it to be fine: %v", uri, err, want)
		}
		if err != nil {
			if _, err := f.Keys(context.Background(), uri, false); !errors.Is(err, ErrHost) {
				t.Errorf("Keys(%.60q) = %v, want %v", uri, err, ErrHost)
			}
		}
	}
	if err := NewFetcher(nil, nil).CheckURI("https://issuer.example/"); !errors.Is(err, ErrHost) {
		t.Errorf("without hosts CheckURI = %v, want %v", err, ErrHost)
	}
}

// Many that need the same keys ask for them once, and one who goes away does not take them from the others.
func TestOneFetchesForAll(t *testing.T) {
	s := newSite(t, serveKeys(t))
	f := s.fetcher()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if k, err := f.Keys(ctx, s.URL, false); err != nil || k.Len() != 4 {
				t.Errorf("Keys = %d keys, %v", k.Len(), err)
			}
		})
	}
	wg.Wait()
	if n := s.hits.Load(); n != 1 {
		t.Errorf("fetched %d times, want 1", n)
	}
}

func TestCacheIsBounded(t *testing.T) {
	f := NewFetcher(nil, nil)
	now := time.Now()
	for i := range maxCached + 10 {
		f.entry(strings.Repeat("x", i+1), now.Add(time.Duration(i)))
	}
	if len(f.cached) != maxCached || f.cached["x"] != nil || f.cached[strings.Repeat("x", maxCached+10)] == nil {
		t.Errorf("the cache has %d entries, want %d, the youngest", len(f.cached), maxCached)
	}
}
