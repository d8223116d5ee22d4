package iam

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/kmsd/kmsd/authz"
)

const testIssuer = "https://token.issuer.example/ci"

// issuer is a provider of tokens, and the site that serves its keys.
type issuer struct {
	t    testing.TB
	key  atomic.Pointer[jose.JSONWebKey]
	site *httptest.Server
	hits atomic.Int64
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{t: t}
	i.rotate("one")
	i.site = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.hits.Add(1)
		_, _ = w.Write([]byte(i.jwks()))
	}))
	t.Cleanup(i.site.Close)
	return i
}

func (i *issuer) rotate(id string) {
	i.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	i.key.Store(&jose.JSONWebKey{Key: key, KeyID: id, Algorithm: "ES256", Use: "sig"})
}

func (i *issuer) jwks() string {
	data, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{i.key.Load().Public()}})
	if err != nil {
		i.t.Error(err)
	}
	return string(data)
}

func (i *issuer) host() string { return strings.TrimPrefix(i.site.URL, "https://") }

func (i *issuer) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.site.Certificate())
	return pool
}

// token is a token of a workload, with some claims changed.
func (i *issuer) token(changes map[string]any) string {
	i.t.Helper()
	now := time.Now()
	claims := map[string]any{"iss": testIssuer, "sub": "repo:a/b", "aud": "kmsd", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "ref": "main"}
	for name, value := range changes {
		claims[name] = value
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		i.t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key.Load()}, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		i.t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return token
}

func (w *sessionWorld) createProvider(p OpenIDConnectProvider) (OpenIDConnectProvider, error) {
	w.t.Helper()
	arn := w.Snapshot().NewOpenIDConnectProviderARN(testAccount, p.URL)
	return w.CreateOpenIDConnectProvider(w.grant(authz.IAMCreateOpenIDConnectProvider, arn), testAccount, p)
}

func (w *sessionWorld) mustProvider(p OpenIDConnectProvider) OpenIDConnectProvider {
	w.t.Helper()
	made, err := w.createProvider(p)
	if err != nil {
		w.t.Fatal(err)
	}
	return made
}

// fetching opens w again with the hosts from which keys may be fetched.
func (w *sessionWorld) fetching(i *issuer) {
	w.t.Helper()
	opened, err := Open(Config{Store: w.store, OIDCHosts: []string{i.host()}, OIDCRoots: i.roots()})
	if err != nil {
		w.t.Fatal(err)
	}
	w.IAM = opened
}

// workloads makes the role that tokens of the provider may assume if they are of the branch main.
func (w *sessionWorld) workloads(provider string) Role {
	w.t.Helper()
	return w.mustRole("workload", fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":%q},"Action":"sts:AssumeRoleWithWebIdentity",
		"Condition":{"StringEquals":{"token.issuer.example/ci:aud":"kmsd","token.issuer.example/ci:ref":"main"}}}]}`, provider),
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}]}`)
}

// signIn does what the server does.
func (w *sessionWorld) signIn(role Role, token string, r AssumeRole) (Temporary, error) {
	w.t.Helper()
	id, err := w.VerifyWebIdentity(context.Background(), role.ARN, token)
	if err != nil {
		return Temporary{}, err
	}
	x := &authz.Context{Time: w.now}
	r.SessionName, r.RoleID = "job", role.ID
	if err := id.Context(&r, x); err != nil {
		return Temporary{}, err
	}
	res, _ := w.Snapshot().RoleResource(role.ARN)
	g, d := authz.Authorize(id.Caller(), authz.STSAssumeRoleWithWebIdentity, res, x)
	if d.Verdict != authz.Allow {
		return Temporary{}, &deniedError{authz.STSAssumeRoleWithWebIdentity, d}
	}
	return w.AssumeRoleWithWebIdentity(g, id, &r, w.now)
}

func TestWebIdentity(t *testing.T) {
	w, i := newSessionWorld(t), newIssuer(t)
	p := w.mustProvider(OpenIDConnectProvider{URL: testIssuer, ClientIDs: []string{"kmsd"}, JWKS: i.jwks()})
	if want := "arn:aws:iam::" + testAccount + ":oidc-provider/token.issuer.example/ci"; p.ARN != want {
		t.Errorf("ARN %q, want %q", p.ARN, want)
	}
	role := w.workloads(p.ARN)
	id, err := w.VerifyWebIdentity(context.Background(), role.ARN, i.token(nil))
	if err != nil {
		t.Fatal(err)
	}
	if id.ProviderARN != p.ARN || id.Subject != "repo:a/b" || id.Audience != "kmsd" || id.Issuer != testIssuer || id.Claims["token.issuer.example/ci:sub"] != "repo:a/b" {
		t.Errorf("VerifyWebIdentity = %+v", id)
	}
	tmp, err := w.signIn(role, i.token(nil), AssumeRole{})
	if err != nil {
		t.Fatal(err)
	}
	c := w.mustSession(tmp)
	if !w.may(c, authz.KMSDecrypt) || w.may(c, authz.KMSEncrypt) || w.mustCaller(c).ARN != "arn:aws:sts::"+testAccount+":assumed-role/workload/job" {
		t.Errorf("the session is %+v", w.mustCaller(c))
	}
	var denied *deniedError
	if _, err := w.signIn(role, i.token(map[string]any{"ref": "other"}), AssumeRole{}); !errors.As(err, &denied) {
		t.Errorf("another branch: %v, want a denial", err)
	}
	for what, r := range map[string]AssumeRole{
		"tags": {Tags: []Tag{{"a", "b"}}}, "a source identity": {SourceIdentity: "me"}, "an external id": {ExternalID: "me"}, "too long": {Duration: 3 * time.Hour},
	} {
		if _, err := w.signIn(role, i.token(nil), r); !errors.Is(err, ErrValidation) {
			t.Errorf("with %s: %v, want %v", what, err, ErrValidation)
		}
	}
	id.ProviderARN = strings.Replace(id.ProviderARN, testAccount, "999999999999", 1)
	if _, err := w.AssumeRoleWithWebIdentity(authz.Grant{}, id, &AssumeRole{RoleID: role.ID, SessionName: "job"}, w.now); !errors.Is(err, ErrNoSuchEntity) {
		t.Errorf("a provider of another account: %v, want %v", err, ErrNoSuchEntity)
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	w, i, stranger := newSessionWorld(t), newIssuer(t), newIssuer(t)
	p := w.mustProvider(OpenIDConnectProvider{URL: testIssuer, ClientIDs: []string{"kmsd"}, JWKS: i.jwks()})
	role := w.workloads(p.ARN)
	past := time.Now().Add(-time.Hour).Unix()
	for _, v := range []struct {
		what, role, token string
		want              error
	}{
		{"a stranger's signature", role.ARN, stranger.token(nil), ErrIdentityToken},
		{"another issuer", role.ARN, i.token(map[string]any{"iss": "https://else.example"}), ErrIdentityToken},
		{"an issuer by http", role.ARN, i.token(map[string]any{"iss": "http://token.issuer.example/ci"}), ErrIdentityToken},
		{"an issuer without a scheme", role.ARN, i.token(map[string]any{"iss": "token.issuer.example/ci"}), ErrIdentityToken},
		{"another audience", role.ARN, i.token(map[string]any{"aud": "else"}), ErrIdentityToken},
		{"a token that has ended", role.ARN, i.token(map[string]any{"exp": past, "iat": past - 60}), ErrIdentityTokenExpired},
		{"a stranger's token that has ended", role.ARN, stranger.token(map[string]any{"exp": past, "iat": past - 60}), ErrIdentityToken},
		{"no token", role.ARN, "", ErrIdentityToken},
		{"a role of another account", strings.Replace(role.ARN, testAccount, "999999999999", 1), i.token(nil), ErrIdentityToken},
		{"a user", w.Snapshot().UserARN(testAccount, "alice"), i.token(nil), ErrIdentityToken},
		{"no role", "", i.token(nil), ErrIdentityToken},
	} {
		if id, err := w.VerifyWebIdentity(context.Background(), v.role, v.token); err != v.want || id != nil {
			t.Errorf("%s: VerifyWebIdentity = %v, %v, want %v", v.what, id, err, v.want)
		}
	}
	if err := w.DeleteOpenIDConnectProvider(w.grant(authz.IAMDeleteOpenIDConnectProvider, p.ARN), testAccount, p.ARN); err != nil {
		t.Fatal(err)
	}
	if _, err := w.VerifyWebIdentity(context.Background(), role.ARN, i.token(nil)); err != ErrIdentityToken {
		t.Errorf("a deleted provider: %v, want %v", err, ErrIdentityToken)
	}
}

func TestKeysByURL(t *testing.T) {
	w, i := newSessionWorld(t), newIssuer(t)
	if _, err := w.createProvider(OpenIDConnectProvider{URL: testIssuer, ClientIDs: []string{"kmsd"}, JWKSURI: i.site.URL}); !errors.Is(err, ErrValidation) {
		t.Errorf("without listed hosts a JWKSURI gives %v, want %v", err, ErrValidation)
	}
	w.fetching(i)
	p := w.mustProvider(OpenIDConnectProvider{URL: testIssuer, ClientIDs: []string{"kmsd"}, JWKSURI: i.site.URL + "/keys"})
	role := w.workloads(p.ARN)
	for range 3 {
		if _, err := w.signIn(role, i.token(nil), AssumeRole{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := i.hits.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times, want 1", n)
	}
	w.fetching(i) // which forgets that it fetched just now
	if _, err := w.signIn(role, i.token(nil), AssumeRole{}); err != nil {
		t.Fatal(err)
	}
	i.rotate("two")
	if _, err := w.signIn(role, i.token(nil), AssumeRole{}); !errors.Is(err, ErrIdentityToken) {
		t.Errorf("a new key within a minute of the last fetch: %v, want %v", err, ErrIdentityToken)
	}
	w.fetching(i)
	i.site.Close()
	if _, err := w.signIn(role, i.token(nil), AssumeRole{}); !errors.Is(err, ErrIdentityProvider) {
		t.Errorf("an issuer that is down: %v, want %v", err, ErrIdentityProvider)
	}
}

func TestProviders(t *testing.T) {
	w, i := newSessionWorld(t), newIssuer(t)
	good := OpenIDConnectProvider{URL: testIssuer, ClientIDs: []string{"b", "a", "b"}, JWKS: i.jwks()}
	change := func(f func(p *OpenIDConnectProvider)) OpenIDConnectProvider {
		p := good
		f(&p)
		return p
	}
	for what, p := range map[string]OpenIDConnectProvider{
		"no audience":                change(func(p *OpenIDConnectProvider) { p.ClientIDs = nil }),
		"an empty audience":          change(func(p *OpenIDConnectProvider) { p.ClientIDs = []string{""} }),
		"a long audience":            change(func(p *OpenIDConnectProvider) { p.ClientIDs = []string{strings.Repeat("x", 256)} }),
		"an audience with a space":   change(func(p *OpenIDConnectProvider) { p.ClientIDs = []string{"a b"} }),
		"no keys":                    change(func(p *OpenIDConnectProvider) { p.JWKS = "" }),
		"keys that are none":         change(func(p *OpenIDConnectProvider) { p.JWKS = "{}" }),
		"keys and an address":        change(func(p *OpenIDConnectProvider) { p.JWKSURI = "https://token.issuer.example" }),
		"an address that is unknown": change(func(p *OpenIDConnectProvider) { p.JWKS, p.JWKSURI = "", "https://token.issuer.example" }),
	} {
		if _, err := w.createProvider(p); !errors.Is(err, ErrValidation) {
			t.Errorf("%s: %v, want %v", what, err, ErrValidation)
		}
	}
	for _, url := range []string{
		"", "https://", "http://a.example", "https://A.example", "https://a.example:8443", "https://a.example?x", "https://a.example#x", "https://a.example//x",
		"https://a.example/../x", "https://a.example/.", "https://u@a.example", "https://a.example/*", "https://a.example/${x}", "https://a.example/a:b", "https://a_b.example",
		"https://a.example/%2e", "https://-a.example", "https://a.example\n", " https://a.example", "HTTPS://a.example", "https://" + strings.Repeat("a.", 130) + "example",
	} {
		if _, err := w.createProvider(change(func(p *OpenIDConnectProvider) { p.URL = url })); !errors.Is(err, ErrValidation) {
			t.Errorf("the URL %.40q: %v, want %v", url, err, ErrValidation)
		}
	}
	made := w.mustProvider(good)
	if !slices.Equal(made.ClientIDs, []string{"a", "b"}) || made.Created.IsZero() || made.Account != testAccount {
		t.Errorf("CreateOpenIDConnectProvider = %+v", made)
	}
	if _, err := w.createProvider(good); !errors.Is(err, ErrEntityExists) {
		t.Errorf("a second one of the URL: %v, want %v", err, ErrEntityExists)
	}
	slash := w.mustProvider(change(func(p *OpenIDConnectProvider) { p.URL = "https://a.example/" }))
	w.reopen()
	get := func(arn string) (OpenIDConnectProvider, error) {
		return w.Snapshot().OpenIDConnectProvider(w.grant(authz.IAMGetOpenIDConnectProvider, arn), testAccount, arn)
	}
	if got, err := get(made.ARN); err != nil || got.URL != testIssuer || got.JWKS != i.jwks() {
		t.Errorf("after a restart: %+v, %v", got, err)
	}
	list, err := w.Snapshot().ListOpenIDConnectProviders(w.grantOfNone(w.alice.ID, authz.IAMListOpenIDConnectProviders), testAccount)
	if err != nil || !slices.Equal(list, []string{slash.ARN, made.ARN}) {
		t.Errorf("ListOpenIDConnectProviders = %v, %v", list, err)
	}
	if err := w.AddClientID(w.grant(authz.IAMAddClientIDToOpenIDConnectProvider, made.ARN), testAccount, made.ARN, "c"); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{"a", "b", "none"} {
		if err := w.RemoveClientID(w.grant(authz.IAMRemoveClientIDFromOpenIDConnectProvider, made.ARN), testAccount, made.ARN, gone); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.RemoveClientID(w.grant(authz.IAMRemoveClientIDFromOpenIDConnectProvider, made.ARN), testAccount, made.ARN, "c"); !errors.Is(err, ErrValidation) {
		t.Errorf("removing the last audience: %v, want %v", err, ErrValidation)
	}
	i.rotate("two")
	if err := w.UpdateOpenIDConnectProviderKeys(w.grant(authz.IAMUpdateOpenIDConnectProviderKeys, made.ARN), testAccount, made.ARN, i.jwks(), ""); err != nil {
		t.Fatal(err)
	}
	if got, err := get(made.ARN); err != nil || !slices.Equal(got.ClientIDs, []string{"c"}) || got.JWKS != i.jwks() {
		t.Errorf("changed: %+v, %v", got, err)
	}
	role := w.workloads(made.ARN)
	if _, err := w.VerifyWebIdentity(context.Background(), role.ARN, i.token(map[string]any{"aud": "c"})); err != nil {
		t.Errorf("a token under the new keys: %v", err)
	}
	if err := w.UpdateOpenIDConnectProviderKeys(w.grant(authz.IAMUpdateOpenIDConnectProviderKeys, slash.ARN), testAccount, made.ARN, i.jwks(), ""); !errors.Is(err, ErrNotPermitted) {
		t.Errorf("another's grant: %v, want %v", err, ErrNotPermitted)
	}
	if _, err := get(made.ARN + "x"); !errors.Is(err, ErrNoSuchEntity) {
		t.Errorf("a provider that there is not: %v, want %v", err, ErrNoSuchEntity)
	}
}

func TestProvidersAreLimited(t *testing.T) {
	w, i := newSessionWorld(t), newIssuer(t)
	many := make([]string, MaxClientIDs+1)
	for n := range many {
		many[n] = fmt.Sprint(n)
	}
	if _, err := w.createProvider(OpenIDConnectProvider{URL: testIssuer, ClientIDs: many, JWKS: i.jwks()}); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("too many audiences: %v, want %v", err, ErrLimitExceeded)
	}
	for n := range MaxOpenIDConnectProviders {
		w.mustProvider(OpenIDConnectProvider{URL: fmt.Sprintf("https://i%d.example", n), ClientIDs: many[1:], JWKS: i.jwks()})
	}
	if _, err := w.createProvider(OpenIDConnectProvider{URL: testIssuer, ClientIDs: []string{"a"}, JWKS: i.jwks()}); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("too many providers: %v, want %v", err, ErrLimitExceeded)
	}
}
