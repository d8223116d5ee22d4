package iam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam/oidc"
)

// Errors of web identities. In brackets the name of the AWS exception.
var (
	// ErrIdentityToken says that a token is not accepted, for whatever reason; there being no such role or provider is one.
	// [InvalidIdentityTokenException]
	ErrIdentityToken = errors.New("the web identity token is not valid")

	// ErrIdentityTokenExpired says that a token which was good has ended. [ExpiredTokenException]
	ErrIdentityTokenExpired = errors.New("the web identity token has expired")

	// ErrIdentityProvider says that the keys of the provider cannot be fetched just then. [IDPCommunicationErrorException]
	ErrIdentityProvider = errors.New("the identity provider cannot be reached")
)

// WebIdentity is whom the token of a provider is about.
type WebIdentity struct {
	ProviderARN string
	Issuer      string // "https://…"
	Subject     string
	Audience    string
	Claims      map[string]string // :: "<issuer without https://>:<claim>", as conditions name it → value
}

// Caller returns the web identity as authz decides about it.
func (w *WebIdentity) Caller() *authz.Caller {
	return &authz.Caller{Kind: authz.WebIdentity, ID: w.ProviderARN, ARN: w.ProviderARN}
}

// VerifyWebIdentity checks a token against the provider that the account of a role has for its issuer. Whether the role trusts it,
// or exists, is not looked at. It may fetch the provider's keys, which takes up to five seconds. The error is
// ErrIdentityToken, ErrIdentityTokenExpired or ErrIdentityProvider.
func (i *IAM) VerifyWebIdentity(ctx context.Context, roleARN, token string) (*WebIdentity, error) {
	issuer, err := oidc.Issuer(token)
	if err != nil {
		return nil, ErrIdentityToken
	}
	account, kind, _, ok := parseEntityARN(roleARN)
	s := i.Snapshot()
	if !ok || kind != "role" {
		return nil, ErrIdentityToken
	}
	p, ok := s.provider(account, s.NewOpenIDConnectProviderARN(account, issuer))
	if !ok || p.URL != issuer || s.suspended(account) {
		return nil, ErrIdentityToken
	}
	t, err := i.verifyToken(ctx, p, token)
	switch {
	case errors.Is(err, oidc.ErrFetch):
		return nil, ErrIdentityProvider
	case errors.Is(err, oidc.ErrExpired):
		return nil, ErrIdentityTokenExpired
	case err != nil:
		return nil, ErrIdentityToken
	}
	w := &WebIdentity{ProviderARN: p.ARN, Issuer: t.Issuer, Subject: t.Subject, Audience: t.Audience, Claims: map[string]string{}}
	for name, value := range t.Claims {
		w.Claims[strings.TrimPrefix(issuer, "https://")+":"+name] = value
	}
	return w, nil
}

// verifyToken asks for newer keys once if the token's is not among those that are kept.
func (i *IAM) verifyToken(ctx context.Context, p *provider, token string) (oidc.Token, error) {
	want := oidc.Expected{Issuer: p.URL, Audiences: p.ClientIDs, Now: time.Now()}
	if p.JWKSURI == "" {
		return oidc.Verify(token, p.keys, want)
	}
	keys, err := i.keySets.Keys(ctx, p.JWKSURI, false)
	if err != nil {
		return oidc.Token{}, err
	}
	t, err := oidc.Verify(token, keys, want)
	if !errors.Is(err, oidc.ErrUnknownKey) {
		return t, err
	}
	if keys, err = i.keySets.Keys(ctx, p.JWKSURI, true); err != nil {
		return oidc.Token{}, err
	}
	return oidc.Verify(token, keys, want)
}

// check holds what a web identity asks for to what it may: no tags, source identity and external id.
func (w *WebIdentity) check(r *AssumeRole) (*asked, error) {
	if len(r.Tags)+len(r.TransitiveTagKeys) > 0 || r.SourceIdentity != "" || r.ExternalID != "" {
		return nil, invalid("Tags", "and SourceIdentity and ExternalId must not be given with a web identity")
	}
	return r.check(nil)
}

// Context checks what a web identity asks for, and adds what it says, and what the token says, to x. authz must allow
// sts:AssumeRoleWithWebIdentity to [WebIdentity.Caller] on the role then. The error is that of [Snapshot.AssumeRoleContext].
func (w *WebIdentity) Context(r *AssumeRole, x *authz.Context) error {
	if _, err := w.check(r); err != nil {
		return err
	}
	x.Claims.Set(w.Claims)
	x.Set(authz.CtxRoleSessionName, r.SessionName)
	x.SetNumber(authz.CtxDurationSeconds, int64(cmp.Or(r.Duration, DefaultMaxSessionDuration)/time.Second))
	return nil
}

// AssumeRoleWithWebIdentity opens a session of a role for w, which VerifyWebIdentity has returned. The grant must permit
// authz.STSAssumeRoleWithWebIdentity on the role's ARN to w's Caller. The error is that of [IAM.AssumeRole].
func (i *IAM) AssumeRoleWithWebIdentity(g authz.Grant, w *WebIdentity, r *AssumeRole, now time.Time) (Temporary, error) {
	a, err := w.check(r)
	if err != nil {
		return Temporary{}, err
	}
	if role, ok := i.Snapshot().RoleByID(r.RoleID); !ok || !strings.HasPrefix(w.ProviderARN, i.Snapshot().NewOpenIDConnectProviderARN(role.Account, "https://")) {
		return Temporary{}, fmt.Errorf("%w: there is no such role", ErrNoSuchEntity)
	}
	needs := []authz.Action{authz.STSAssumeRoleWithWebIdentity}
	return i.openRole([]authz.Grant{g}, holder{"", w.ProviderARN}, needs, r, a, false, now)
}
