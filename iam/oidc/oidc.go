// Package oidc checks the ID tokens of OpenID Connect providers: signed JWTs (RFC 7519, RFC 7515) under keys of a JSON Web Key
// Set (RFC 7517), as Kubernetes and CI systems give them to their workloads.
//
// [Verify] checks a token against a [KeySet] and says who it is about; a [Fetcher] gets key sets by https from the hosts
// that it is allowed to speak to. The package does not know which issuers are trusted, keeps no record of used tokens (a
// token is good until it ends, as AWS has it), and does no discovery: the place of the keys is configured.
//
// Trust: tokens and what comes from the net are hostile; both are bounded before they are read. Only the listed algorithms, all
// asymmetric, are accepted, and a token can name its key by id only: one that brings a key, or says where to get one, or
// what must be understood, is refused. A provider vouches for every subject of its own, so whoever holds its keys, its
// web server or, where its certificate is checked by the system's authorities, one of these, can be any of them. What is wrong
// with a token is never said.
package oidc

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

const (
	// MaxToken is the longest token that is looked at, in bytes.
	MaxToken = 16 << 10

	// Skew is by how much the clocks of issuer and server may differ.
	Skew = time.Minute

	maxClaims     = 64   // claims that Token.Claims has
	maxClaimName  = 128  // characters of its name
	maxClaimValue = 1024 // bytes of its value
	maxText       = 255  // bytes of issuer, subject and audience
	maxAudiences  = 100
)

var (
	// ErrToken says that a token is not accepted, for whatever reason.
	ErrToken = errors.New("the web identity token is not valid")

	// ErrExpired is ErrToken of a token that is good but for having ended.
	ErrExpired error = refinement("the web identity token has expired")

	// ErrUnknownKey is ErrToken of a token that names a key which the KeySet does not have.
	ErrUnknownKey error = refinement("the web identity token is signed with a key that the provider does not have")
)

// A refinement is a kind of ErrToken.
type refinement string

func (r refinement) Error() string        { return string(r) }
func (r refinement) Is(target error) bool { return target == ErrToken }

// algorithms are those that tokens may be signed with: no symmetric one, and not "none".
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.EdDSA,
}

// A Token is what a good token says.
type Token struct {
	Issuer   string // "https://…"
	Subject  string
	Audience string // the first one of the token's that was expected
	Issued   time.Time
	Expires  time.Time

	// Claims are the claims whose value is a string, true or false, by their names; "aud" is Audience. Others, such as lists
	// and objects, are not there, and neither are names that are not of [A-Za-z0-9_.:/-]. At most 64.
	Claims map[string]string
}

// Expected is what a token must say.
type Expected struct {
	Issuer    string   // exactly
	Audiences []string // one of them
	Now       time.Time
}

// Issuer returns what a token says its issuer is, which nothing vouches for: it serves to find the provider whose keys
// [Verify] takes. The error matches ErrToken.
func Issuer(token string) (string, error) {
	_, c, err := parse(token)
	if err != nil {
		return "", err
	}
	return c.issuer, nil
}

// Verify checks that a token was signed under a key of keys, by the issuer and for one of the audiences that are expected, and
// that it has begun and not ended, give or take Skew. The error matches ErrToken; it is ErrUnknownKey if newer
// keys may help, and ErrExpired if only the time is up.
func Verify(token string, keys *KeySet, want Expected) (Token, error) {
	signed, c, err := parse(token)
	if err != nil {
		return Token{}, err
	}
	if c.issuer != want.Issuer || want.Issuer == "" {
		return Token{}, ErrToken
	}
	audience, ok := c.audienceAmong(want.Audiences)
	if !ok {
		return Token{}, ErrToken
	}
	header := signed.Signatures[0].Protected
	key, err := keys.find(header.KeyID, header.Algorithm)
	if err != nil {
		return Token{}, err
	}
	if _, err := signed.Verify(key); err != nil {
		return Token{}, ErrToken
	}
	if err := c.checkTimes(want.Now); err != nil {
		return Token{}, err
	}
	c.strings["aud"] = audience
	return Token{
		Issuer: c.issuer, Subject: c.subject, Audience: audience, Issued: c.issued, Expires: c.expires, Claims: c.strings,
	}, nil
}

// parse reads a token in the compact form, whose signature it does not check.
func parse(token string) (*jose.JSONWebSignature, *claims, error) {
	if len(token) > MaxToken || strings.Count(token, ".") != 2 {
		return nil, nil, ErrToken
	}
	for i := range len(token) {
		if !isTokenByte(token[i]) {
			return nil, nil, ErrToken
		}
	}
	for n, part := range strings.Split(token, ".") {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(part) // go-jose lets bits at the end be anything
		if err != nil || n == 0 && !plainHeader(raw) {
			return nil, nil, ErrToken
		}
	}
	signed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil || len(signed.Signatures) != 1 {
		return nil, nil, ErrToken
	}
	c, err := parseClaims(signed.UnsafePayloadWithoutVerification())
	if err != nil {
		return nil, nil, ErrToken
	}
	return signed, c, nil
}

func isTokenByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-' || b == '_' || b == '.'
}

// refusedHeaders bring a key, say where one is, or ask for what is not done here.
var refusedHeaders = []string{"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc", "nonce"}

// plainHeader reports whether a protected header has none of the refused members, and a key id.
func plainHeader(raw []byte) bool {
	var members map[string]json.RawMessage
	if decode(raw, &members) != nil {
		return false
	}
	for _, name := range refusedHeaders {
		if _, there := members[name]; there {
			return false
		}
	}
	var kid string
	return json.Unmarshal(members["kid"], &kid) == nil && kid != ""
}

// decode reads one JSON value and nothing after it. The reader is go-jose's, which minds the case of names and
// refuses one that is there twice.
func decode(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(v); err != nil {
		return err
	}
	if err := d.Decode(new(json.RawMessage)); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one value")
	}
	return nil
}
