package clients

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// issuer is an OpenID Connect provider that exists in tests only: it signs whatever it is asked to.
type issuer struct{ key *ecdsa.PrivateKey }

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{key}
}

var base64url = base64.RawURLEncoding.EncodeToString

// jwks is the issuer's key set, a JSON document.
func (i *issuer) jwks() string {
	public, err := i.key.PublicKey.Bytes() // 0x04, x, y
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"1","x":%q,"y":%q}]}`, base64url(public[1:33]), base64url(public[33:]))
}

// token is a token of the issuer of a URL for a subject.
func (i *issuer) token(t testing.TB, url, audience, subject string) string {
	t.Helper()
	payload, err := json.Marshal(map[string]any{
		"iss": url, "aud": audience, "sub": subject, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	signed := base64url([]byte(`{"alg":"ES256","typ":"JWT","kid":"1"}`)) + "." + base64url(payload)
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64url(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// totp is what a device with the seed, base32, shows some steps of 30 seconds from now (RFC 6238).
func totp(t testing.TB, seed []byte, steps int) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(string(seed), "="))
	if err != nil {
		t.Fatal(err)
	}
	h := hmac.New(sha1.New, key)
	binary.Write(h, binary.BigEndian, uint64(time.Now().Unix()/30+int64(steps)))
	sum := h.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1_000_000)
}
