package kmstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
)

// Issuer is an OpenID Connect provider that exists in tests only: it signs whatever it is asked to.
type Issuer struct {
	URL string // "https://issuer.example"

	t   testing.TB
	key *ecdsa.PrivateKey
}

// NewIssuer makes an issuer of a URL, with a key of its own.
func NewIssuer(t testing.TB, url string) *Issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Issuer{url, t, key}
}

// JWKS is the issuer's key set, a JSON document.
func (i *Issuer) JWKS() string {
	public, err := i.key.PublicKey.Bytes() // 0x04, x, y
	if err != nil {
		i.t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"1","x":%q,"y":%q}]}`, encode(public[1:33]), encode(public[33:]))
}

// Token signs claims, to which it adds the issuer.
func (i *Issuer) Token(claims map[string]any) string {
	i.t.Helper()
	body := map[string]any{"iss": i.URL}
	for name, value := range claims {
		body[name] = value
	}
	payload, err := json.Marshal(body)
	if err != nil {
		i.t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"ES256","typ":"JWT","kid":"1"}`)) + "." + encode(payload)
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, sum[:])
	if err != nil {
		i.t.Fatal(err)
	}
	return signed + "." + encode(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}
