package iam

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/kmsd/kmsd/iam/oidc"
	"github.com/kmsd/kmsd/storage"
)

const kindProvider storage.Kind = "oidc-provider" // account id / SHA-256 of the URL in hex

type providerRecord struct {
	Version   int       `json:"version"`
	URL       string    `json:"url"`
	Created   time.Time `json:"created"`
	ClientIDs []string  `json:"client_ids"`
	JWKS      string    `json:"jwks,omitempty"`
	JWKSURI   string    `json:"jwks_uri,omitempty"`
}

func providerPath(url string) string {
	sum := sha256.Sum256([]byte(url))
	return hex.EncodeToString(sum[:])
}

func encodeProvider(p *provider) []byte {
	return encodeJSON(providerRecord{recordVersion, p.URL, p.Created, p.ClientIDs, p.JWKS, p.JWKSURI})
}

// provider loads a provider. Where its keys do not parse, tokens of it are refused until it is given others. Whether its address
// is at a listed host is asked when it is fetched from.
func (l *loader) provider(path string, value []byte) error {
	parts, err := split(path, 2)
	if err != nil {
		return err
	}
	r, err := decodeJSON(value, recordVersion, func(r *providerRecord) int { return r.Version })
	if err != nil {
		return err
	}
	if l.accounts[parts[0]] == nil || parts[1] != providerPath(r.URL) {
		return errors.New("there is no such account, or the URL is not the path's")
	}
	if err := checkIssuer(r.URL); err != nil {
		return err
	}
	if set, err := clientIDSet(r.ClientIDs); err != nil || !slices.Equal(set, r.ClientIDs) || (r.JWKS == "") == (r.JWKSURI == "") {
		return errors.New("the client ids or keys are malformed")
	}
	p := &provider{OpenIDConnectProvider: OpenIDConnectProvider{
		Account: parts[0], ARN: entityARN(l.cfg.Partition, parts[0], "oidc-provider", "/", r.URL[len("https://"):]),
		URL: r.URL, ClientIDs: r.ClientIDs, JWKS: r.JWKS, JWKSURI: r.JWKSURI, Created: r.Created,
	}}
	if r.JWKS != "" {
		p.keys, _ = oidc.ParseKeySet([]byte(r.JWKS))
	}
	l.providers = l.providers.replace(nil, p)
	return nil
}
