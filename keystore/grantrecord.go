package keystore

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
)

// grantRecord is at <account>/<key id>/<grant id>.
type grantRecord struct {
	V          int               `json:"v"`
	Name       string            `json:"name,omitempty"`
	Grantee    principalRecord   `json:"grantee"`
	Retiring   *principalRecord  `json:"retiring,omitempty"`
	Issuer     string            `json:"issuer"`
	IssuedBy   string            `json:"issued_by"`
	Created    time.Time         `json:"created"`
	Expires    time.Time         `json:"expires,omitzero"`
	Operations []string          `json:"operations"`
	Equals     map[string]string `json:"encryption_context_equals,omitempty"`
	Subset     map[string]string `json:"encryption_context_subset,omitempty"`
}

// principalRecord is an authz.Principal.
type principalRecord struct {
	Text    string `json:"text"`
	Level   string `json:"level"`
	Account string `json:"account"`
	ID      string `json:"id"`
}

// operationPrefix stands before the names of operations in authz, and not in records.
const operationPrefix = "kms:"

func grantPath(k *Key, grantID string) string { return keyPath(k.Account(), k.ID) + "/" + grantID }

func recordOf(g *authz.KeyGrant) grantRecord {
	r := grantRecord{
		V: recordVersion, Name: g.Name, Grantee: principalRecordOf(g.Grantee), Issuer: g.Issuer, IssuedBy: g.IssuedBy,
		Created: g.Created, Expires: g.Expires, Equals: maps.Collect(g.Equals.All), Subset: maps.Collect(g.Subset.All),
	}
	if g.Retiring != (authz.Principal{}) {
		p := principalRecordOf(g.Retiring)
		r.Retiring = &p
	}
	for _, a := range g.Actions {
		r.Operations = append(r.Operations, strings.TrimPrefix(a.String(), operationPrefix))
	}
	return r
}

func principalRecordOf(p authz.Principal) principalRecord {
	return principalRecord{Text: p.Text, Level: p.Level.String(), Account: p.Account, ID: p.ID}
}

func (r *principalRecord) principal() (authz.Principal, error) {
	for _, l := range []authz.Level{authz.DirectLevel, authz.RoleLevel, authz.AccountLevel} {
		if l.String() == r.Level {
			return authz.Principal{Text: r.Text, Level: l, Account: r.Account, ID: r.ID}, nil
		}
	}
	return authz.Principal{}, fmt.Errorf("%w: principal of level %q", ErrCorrupt, r.Level)
}

// decodeGrant reads a record that recordOf made.
func decodeGrant(value []byte, id string) (*authz.KeyGrant, error) {
	var r grantRecord
	if err := decodeRecord(value, &r, func() int { return r.V }); err != nil {
		return nil, err
	}
	g := &authz.KeyGrant{
		ID: id, Name: r.Name, Issuer: r.Issuer, IssuedBy: r.IssuedBy, Created: r.Created, Expires: r.Expires,
		Equals: authz.NewPairs(r.Equals), Subset: authz.NewPairs(r.Subset),
	}
	var err error
	if g.Grantee, err = r.Grantee.principal(); err != nil {
		return nil, err
	}
	if r.Retiring != nil {
		if g.Retiring, err = r.Retiring.principal(); err != nil {
			return nil, err
		}
	}
	for _, name := range r.Operations {
		a, ok := authz.ActionByName(operationPrefix + name)
		if !ok {
			return nil, fmt.Errorf("%w: operation %q", ErrCorrupt, name)
		}
		g.Actions = append(g.Actions, a)
	}
	if err := g.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return g, nil
}

// requestOf is the same for two grants of a key if and only if they were asked for by the same principal with the same name and parameters.
func requestOf(g *authz.KeyGrant) string {
	r := recordOf(g)
	r.Created = time.Time{}
	hash := sha256.Sum256(mustJSON(r))
	return string(hash[:])
}

// checkConstraints says whether the constraints of a grant are encryption contexts, as those of requests are. The error
// matches crypto.ErrContext.
func checkConstraints(g *authz.KeyGrant) error {
	for _, p := range []*authz.Pairs{&g.Equals, &g.Subset} {
		if _, err := crypto.NewContext(maps.Collect(p.All)); err != nil {
			return err
		}
	}
	return nil
}
