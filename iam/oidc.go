package iam

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam/oidc"
	"github.com/kmsd/kmsd/internal/cow"
	"github.com/kmsd/kmsd/storage"
)

const (
	MaxOpenIDConnectProviders = 100 // per account
	MaxClientIDs              = 100 // of a provider

	maxIssuer = 255
)

// A host name and a path, without port and query. Letters of the host are small: hosts are compared to the letter. Segments
// of dots alone are refused by checkIssuer.
var (
	issuerURL = regexp.MustCompile(`^https://[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*(/[A-Za-z0-9._~-]+)*/?$`)
	clientID  = regexp.MustCompile(`^[!-~]{1,255}$`)
)

// OpenIDConnectProvider is an issuer of ID tokens that roles of its account may trust.
type OpenIDConnectProvider struct {
	Account   string   // 12 digits
	ARN       string   // arn:PARTITION:iam::ACCOUNT:oidc-provider/HOST/PATH
	URL       string   // the issuer, "https://…", exactly as its tokens have it
	ClientIDs []string // the audiences that are accepted, 1 to 100 of 1 to 255 visible ASCII characters, in order
	JWKS      string   // the public keys as they were put; empty if they are fetched
	JWKSURI   string   // where the public keys are fetched from; empty if they were put
	Created   time.Time
}

// provider is a provider with its keys. It is immutable.
type provider struct {
	OpenIDConnectProvider
	keys *oidc.KeySet // nil if they are fetched, or do not parse
}

// providers are those of all accounts. They are immutable.
type providers struct {
	byARN     cow.Map[string, *provider] // :: ARN → provider
	byAccount cow.Map[string, []string]  // :: account → ARNs, in order
}

// replace returns p with next in the place of old, of which one may be nil; they have the same ARN.
func (p providers) replace(old, next *provider) providers {
	if next != nil {
		p.byARN = p.byARN.With(next.ARN, next)
	}
	switch {
	case old == nil:
		list, _ := p.byAccount.Load(next.Account)
		at, _ := slices.BinarySearch(list, next.ARN)
		p.byAccount = p.byAccount.With(next.Account, slices.Insert(slices.Clone(list), at, next.ARN))
	case next == nil:
		p.byARN = p.byARN.Without(old.ARN)
		list, _ := p.byAccount.Load(old.Account)
		at, _ := slices.BinarySearch(list, old.ARN)
		p.byAccount = p.byAccount.With(old.Account, slices.Delete(slices.Clone(list), at, at+1))
	}
	return p
}

// NewOpenIDConnectProviderARN returns the ARN to authorize CreateOpenIDConnectProvider with. The other operations are authorized
// with the ARN that the request has, ListOpenIDConnectProviders with "*".
func (s *Snapshot) NewOpenIDConnectProviderARN(account, url string) string {
	return entityARN(s.partition, account, "oidc-provider", "/", strings.TrimPrefix(url, "https://"))
}

// OpenIDConnectProviderResource returns what to authorize an operation on a provider with, whether or not the account has such a
// one.
func (s *Snapshot) OpenIDConnectProviderResource(account, arn string) *authz.Resource {
	return s.entityResource(account, arn)
}

// provider returns the provider of exactly this ARN, if it is of the account.
func (s *Snapshot) provider(account, arn string) (*provider, bool) {
	p, ok := s.providers.byARN.Load(arn)
	if !ok || p.Account != account {
		return nil, false
	}
	return p, true
}

func checkIssuer(url string) error {
	bad := invalid("Url", "must be https, a host in lower case and a path, of at most 255 characters and without port, query and fragment")
	if len(url) > maxIssuer || !issuerURL.MatchString(url) {
		return bad
	}
	for segment := range strings.SplitSeq(strings.TrimPrefix(url, "https://"), "/") {
		if strings.Trim(segment, ".") == "" && segment != "" {
			return bad
		}
	}
	return nil
}

// clientIDSet returns a list in order, with nothing twice.
func clientIDSet(list []string) ([]string, error) {
	set := slices.Compact(slices.Sorted(slices.Values(list)))
	if len(set) == 0 || !allMatch(clientID, set) {
		return nil, invalid("ClientIDList", "must be at least one of 1 to 255 visible ASCII characters")
	}
	if len(set) > MaxClientIDs {
		return nil, fmt.Errorf("%w: %d client ids of a provider", ErrLimitExceeded, MaxClientIDs)
	}
	return set, nil
}

func allMatch(form *regexp.Regexp, list []string) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !form.MatchString(s) })
}

// withKeys returns p with keys that are put or fetched: one of them is given.
func (i *IAM) withKeys(p OpenIDConnectProvider, jwks, uri string) (*provider, error) {
	p.JWKS, p.JWKSURI = jwks, uri
	if (jwks == "") == (uri == "") {
		return nil, invalid("Jwks", "or JwksUri must be given, and not both")
	}
	if uri != "" {
		if err := i.keySets.CheckURI(uri); err != nil {
			return nil, fmt.Errorf("%w: %w", invalid("JwksUri", "must be at a host that the configuration of kmsd lists"), err)
		}
		return &provider{OpenIDConnectProvider: p}, nil
	}
	keys, err := oidc.ParseKeySet([]byte(jwks))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", invalid("Jwks", "must be a JSON Web Key Set"), err)
	}
	return &provider{OpenIDConnectProvider: p, keys: keys}, nil
}

// CreateOpenIDConnectProvider makes a provider of p's URL, ClientIDs, and JWKS or JWKSURI, and returns it whole. The other
// fields of p are not used. The grant must permit authz.IAMCreateOpenIDConnectProvider on NewOpenIDConnectProviderARN. The
// error matches ErrValidation, ErrEntityExists or ErrLimitExceeded.
func (i *IAM) CreateOpenIDConnectProvider(g authz.Grant, account string, p OpenIDConnectProvider) (OpenIDConnectProvider, error) {
	if err := checkIssuer(p.URL); err != nil {
		return OpenIDConnectProvider{}, err
	}
	clients, err := clientIDSet(p.ClientIDs)
	if err != nil {
		return OpenIDConnectProvider{}, err
	}
	arn := i.Snapshot().NewOpenIDConnectProviderARN(account, p.URL)
	made, err := i.withKeys(OpenIDConnectProvider{Account: account, ARN: arn, URL: p.URL, ClientIDs: clients, Created: present()}, p.JWKS, p.JWKSURI)
	if err != nil {
		return OpenIDConnectProvider{}, err
	}
	err = i.update("creating an identity provider", &made.OpenIDConnectProvider, func(next *Snapshot, tx *storage.Tx) error {
		if !g.Permits(authz.IAMCreateOpenIDConnectProvider, arn) {
			return ErrNotPermitted
		}
		if _, ok := next.accounts.Load(account); !ok {
			return fmt.Errorf("%w: there is no such account", ErrNoSuchEntity)
		}
		if _, exists := next.provider(account, arn); exists {
			return fmt.Errorf("%w: an identity provider of this URL", ErrEntityExists)
		}
		if list, _ := next.providers.byAccount.Load(account); len(list) >= MaxOpenIDConnectProviders {
			return fmt.Errorf("%w: %d identity providers in an account", ErrLimitExceeded, MaxOpenIDConnectProviders)
		}
		return next.putProvider(tx, nil, made)
	})
	if err != nil {
		return OpenIDConnectProvider{}, err
	}
	return made.OpenIDConnectProvider, nil
}

// putProvider puts next in the place of old, which may be nil, into s and the store.
func (s *Snapshot) putProvider(tx *storage.Tx, old, next *provider) error {
	s.providers = s.providers.replace(old, next)
	return tx.Put(kindProvider, join(next.Account, providerPath(next.URL)), encodeProvider(next))
}

// changeProvider is an update of one provider.
func (i *IAM) changeProvider(g authz.Grant, action authz.Action, account, arn string, change func(p OpenIDConnectProvider) (*provider, error)) error {
	return i.update("changing an identity provider", nil, func(next *Snapshot, tx *storage.Tx) error {
		old, err := next.targetProvider(g, action, account, arn)
		if err != nil {
			return err
		}
		changed, err := change(old.OpenIDConnectProvider)
		if err != nil {
			return err
		}
		return next.putProvider(tx, old, changed)
	})
}

func (s *Snapshot) targetProvider(g authz.Grant, action authz.Action, account, arn string) (*provider, error) {
	if !g.Permits(action, arn) {
		return nil, ErrNotPermitted
	}
	p, ok := s.provider(account, arn)
	if !ok {
		return nil, fmt.Errorf("%w: there is no such identity provider", ErrNoSuchEntity)
	}
	return p, nil
}

// UpdateOpenIDConnectProviderKeys replaces the keys of a provider, or where they are fetched from: one of jwks and uri is given. The
// grant must permit authz.IAMUpdateOpenIDConnectProviderKeys on the ARN.
func (i *IAM) UpdateOpenIDConnectProviderKeys(g authz.Grant, account, arn, jwks, uri string) error {
	return i.changeProvider(g, authz.IAMUpdateOpenIDConnectProviderKeys, account, arn, func(p OpenIDConnectProvider) (*provider, error) {
		return i.withKeys(p, jwks, uri)
	})
}

// AddClientID lets tokens of a provider be for another audience. One that is there is no error. The grant must permit
// authz.IAMAddClientIDToOpenIDConnectProvider on the ARN.
func (i *IAM) AddClientID(g authz.Grant, account, arn, client string) error {
	return i.changeClientIDs(g, authz.IAMAddClientIDToOpenIDConnectProvider, account, arn, func(list []string) []string {
		return append(slices.Clone(list), client)
	})
}

// RemoveClientID refuses tokens of a provider for an audience. One that is not there is no error; the last one cannot be removed.
// The grant must permit authz.IAMRemoveClientIDFromOpenIDConnectProvider on the ARN.
func (i *IAM) RemoveClientID(g authz.Grant, account, arn, client string) error {
	return i.changeClientIDs(g, authz.IAMRemoveClientIDFromOpenIDConnectProvider, account, arn, func(list []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(c string) bool { return c == client })
	})
}

func (i *IAM) changeClientIDs(g authz.Grant, action authz.Action, account, arn string, edit func([]string) []string) error {
	return i.update("changing an identity provider", nil, func(next *Snapshot, tx *storage.Tx) error {
		old, err := next.targetProvider(g, action, account, arn)
		if err != nil {
			return err
		}
		changed := *old
		if changed.ClientIDs, err = clientIDSet(edit(old.ClientIDs)); err != nil {
			return err
		}
		return next.putProvider(tx, old, &changed)
	})
}

// DeleteOpenIDConnectProvider removes a provider. Sessions that there are go on; roles that trust it stay, and trust one that is
// made again for the same URL. The grant must permit authz.IAMDeleteOpenIDConnectProvider on the ARN.
func (i *IAM) DeleteOpenIDConnectProvider(g authz.Grant, account, arn string) error {
	return i.update("deleting an identity provider", nil, func(next *Snapshot, tx *storage.Tx) error {
		old, err := next.targetProvider(g, authz.IAMDeleteOpenIDConnectProvider, account, arn)
		if err != nil {
			return err
		}
		next.providers = next.providers.replace(old, nil)
		return tx.Delete(kindProvider, join(account, providerPath(old.URL)))
	})
}

// OpenIDConnectProvider returns a provider of the account. The grant must permit authz.IAMGetOpenIDConnectProvider on the ARN.
func (s *Snapshot) OpenIDConnectProvider(g authz.Grant, account, arn string) (OpenIDConnectProvider, error) {
	p, err := s.targetProvider(g, authz.IAMGetOpenIDConnectProvider, account, arn)
	if err != nil {
		return OpenIDConnectProvider{}, err
	}
	return p.OpenIDConnectProvider, nil
}

// ListOpenIDConnectProviders returns the ARNs of the account's providers, in order. The grant must permit
// authz.IAMListOpenIDConnectProviders on "*".
func (s *Snapshot) ListOpenIDConnectProviders(g authz.Grant, account string) ([]string, error) {
	if !g.Permits(authz.IAMListOpenIDConnectProviders, "*") {
		return nil, ErrNotPermitted
	}
	list, _ := s.providers.byAccount.Load(account)
	return slices.Clone(list), nil
}
