package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	stdjson "encoding/json"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const issuer = "https://issuer.example/tenant"

var start = time.Unix(1_800_000_000, 0).UTC()

// issuerKeys are made once: RSA keys are slow to make.
var issuerKeys = sync.OnceValue(func() map[jose.SignatureAlgorithm]crypto.Signer {
	r, err1 := rsa.GenerateKey(rand.Reader, 2048)
	p256, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err3 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, err4 := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		panic(err)
	}
	return map[jose.SignatureAlgorithm]crypto.Signer{
		jose.RS256: r, jose.RS384: r, jose.RS512: r, jose.PS256: r, jose.PS384: r, jose.PS512: r,
		jose.ES256: p256, jose.ES384: p384, jose.EdDSA: ed,
	}
})

// idOf :: algorithm → id of the key for it.
func idOf(a jose.SignatureAlgorithm) string {
	switch a {
	case jose.ES256, jose.ES384, jose.EdDSA:
		return "key-" + string(a)
	}
	return "key-RSA"
}

func publicSet(t testing.TB) []byte {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, a := range []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.ES384, jose.EdDSA} {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: issuerKeys()[a].Public(), KeyID: idOf(a), Use: "sig"})
	}
	data, err := stdjson.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func mustKeys(t testing.TB) *KeySet {
	t.Helper()
	k, err := ParseKeySet(publicSet(t))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func goodClaims() map[string]any {
	return map[string]any{
		"iss": issuer, "sub": "repo:a/b", "aud": []string{"else", "kmsd"}, "iat": start.Unix(), "nbf": start.Unix(), "exp": start.Add(time.Hour).Unix(),
		"repository": "a/b", "email_verified": true, "run": 7, "list": []string{"x"}, "odd name": "x",
	}
}

func with(changes map[string]any) map[string]any {
	c := goodClaims()
	for name, value := range changes {
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
	}
	return c
}

func sign(t testing.TB, a jose.SignatureAlgorithm, key any, header map[jose.HeaderKey]any, payload []byte) string {
	t.Helper()
	o := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"kid": idOf(a)}}
	maps.Copy(o.ExtraHeaders, header)
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: a, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func tokenOf(t testing.TB, claims map[string]any) string {
	t.Helper()
	payload, err := stdjson.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return sign(t, jose.ES256, issuerKeys()[jose.ES256], nil, payload)
}

func expected(now time.Time) Expected {
	return Expected{Issuer: issuer, Audiences: []string{"kmsd", "other"}, Now: now}
}

func TestEveryAlgorithm(t *testing.T) {
	payload, _ := stdjson.Marshal(goodClaims())
	for _, a := range algorithms {
		got, err := Verify(sign(t, a, issuerKeys()[a], nil, payload), mustKeys(t), expected(start))
		if err != nil {
			t.Errorf("%s: Verify = %v", a, err)
			continue
		}
		if got.Subject != "repo:a/b" || got.Audience != "kmsd" || got.Issuer != issuer || !got.Expires.Equal(start.Add(time.Hour)) || !got.Issued.Equal(start) {
			t.Errorf("%s: Verify = %+v", a, got)
		}
		want := map[string]string{"iss": issuer, "sub": "repo:a/b", "aud": "kmsd", "repository": "a/b", "email_verified": "true"}
		if !maps.Equal(got.Claims, want) {
			t.Errorf("%s: claims = %v, want %v", a, got.Claims, want)
		}
	}
}

func TestClaimsAndTimes(t *testing.T) {
	unix := func(d time.Duration) int64 { return start.Add(d).Unix() }
	for _, v := range []struct {
		what   string
		change map[string]any
		now    time.Time
		want   error // nil: accepted
	}{
		{"as it is", nil, start, nil},
		{"one audience as a string", map[string]any{"aud": "other"}, start, nil},
		{"no nbf", map[string]any{"nbf": nil}, start, nil},
		{"times with fractions", map[string]any{"exp": float64(unix(time.Hour)) + 0.5}, start, nil},
		{"just ended", nil, start.Add(time.Hour + Skew - 1), nil},
		{"ended", nil, start.Add(time.Hour + Skew), ErrExpired},
		{"not yet begun, within the skew", map[string]any{"nbf": unix(time.Minute)}, start, nil},
		{"not yet begun", map[string]any{"nbf": unix(2 * time.Minute)}, start, ErrToken},
		{"issued in the future, within the skew", map[string]any{"iat": unix(time.Minute)}, start, nil},
		{"issued in the future", map[string]any{"iat": unix(2 * time.Minute)}, start, ErrToken},
		{"ends before it is issued", map[string]any{"exp": unix(-time.Second)}, start, ErrToken},
		{"another issuer", map[string]any{"iss": "https://issuer.example"}, start, ErrToken},
		{"the issuer with a slash", map[string]any{"iss": issuer + "/"}, start, ErrToken},
		{"the issuer in capitals", map[string]any{"iss": strings.ToUpper(issuer)}, start, ErrToken},
		{"no issuer", map[string]any{"iss": nil}, start, ErrToken},
		{"another audience", map[string]any{"aud": "KMSD"}, start, ErrToken},
		{"no audience", map[string]any{"aud": nil}, start, ErrToken},
		{"an empty list of audiences", map[string]any{"aud": []string{}}, start, ErrToken},
		{"an audience that is no string", map[string]any{"aud": []any{"kmsd", 1}}, start, ErrToken},
		{"no subject", map[string]any{"sub": nil}, start, ErrToken},
		{"an empty subject", map[string]any{"sub": ""}, start, ErrToken},
		{"a subject that is no string", map[string]any{"sub": 1}, start, ErrToken},
		{"a long subject", map[string]any{"sub": strings.Repeat("x", 256)}, start, ErrToken},
		{"no end", map[string]any{"exp": nil}, start, ErrToken},
		{"an end that is a string", map[string]any{"exp": "2000000000"}, start, ErrToken},
		{"an end beyond time", map[string]any{"exp": 1e300}, start, ErrToken},
		{"a negative end", map[string]any{"exp": -1}, start, ErrToken},
		{"no beginning", map[string]any{"iat": nil}, start, ErrToken},
	} {
		_, err := Verify(tokenOf(t, with(v.change)), mustKeys(t), expected(v.now))
		if !errors.Is(err, v.want) || v.want == nil && err != nil {
			t.Errorf("%s: Verify = %v, want %v", v.what, err, v.want)
		}
		if v.want == ErrToken && err != ErrToken {
			t.Errorf("%s: Verify says more than that: %v", v.what, err)
		}
	}
	if _, err := Verify(tokenOf(t, with(map[string]any{"iss": nil})), mustKeys(t), Expected{Audiences: []string{"kmsd"}, Now: start}); err != ErrToken {
		t.Errorf("without an expected issuer Verify = %v, want %v", err, ErrToken)
	}
}

func TestHeaders(t *testing.T) {
	payload, _ := stdjson.Marshal(goodClaims())
	key := issuerKeys()[jose.ES256]
	for _, v := range []struct {
		what   string
		header map[jose.HeaderKey]any
		want   error
	}{
		{"a type and a thumbprint", map[jose.HeaderKey]any{"typ": "JWT", "x5t": "AAAA"}, nil},
		{"another key's id", map[jose.HeaderKey]any{"kid": "key-EdDSA"}, ErrToken},
		{"no key's id", map[jose.HeaderKey]any{"kid": "key-0"}, ErrUnknownKey},
		{"an empty key id", map[jose.HeaderKey]any{"kid": ""}, ErrToken},
		{"the address of a key set", map[jose.HeaderKey]any{"jku": "https://attacker.example"}, ErrToken},
		{"the address of a certificate", map[jose.HeaderKey]any{"x5u": "https://attacker.example"}, ErrToken},
		{"a certificate", map[jose.HeaderKey]any{"x5c": []string{}}, ErrToken},
		{"a key", map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: key.Public()}}, ErrToken},
		{"what must be understood", map[jose.HeaderKey]any{"crit": []string{"exp"}, "exp": 1}, ErrToken},
		{"a payload that is not encoded", map[jose.HeaderKey]any{"b64": true, "crit": []string{"b64"}}, ErrToken},
	} {
		_, err := Verify(sign(t, jose.ES256, key, v.header, payload), mustKeys(t), expected(start))
		if err != v.want {
			t.Errorf("%s: Verify = %v, want %v", v.what, err, v.want)
		}
	}
}

func TestForgeries(t *testing.T) {
	payload, _ := stdjson.Marshal(goodClaims())
	good := sign(t, jose.ES256, issuerKeys()[jose.ES256], nil, payload)
	parts := strings.Split(good, ".")
	encode := base64.RawURLEncoding.EncodeToString
	header := func(s string) string { return encode([]byte(s)) }
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for what, token := range map[string]string{
		"nothing":                     "",
		"no signature":                parts[0] + "." + parts[1] + ".",
		"no algorithm":                header(`{"alg":"none","kid":"key-ES256"}`) + "." + parts[1] + ".",
		"HMAC under the public key":   sign(t, jose.HS256, publicSet(t), map[jose.HeaderKey]any{"kid": "key-RSA"}, payload),
		"a stranger's key":            sign(t, jose.ES256, stranger, nil, payload),
		"a short algorithm":           header(`{"alg":"ES25","kid":"key-ES256"}`) + "." + parts[1] + "." + parts[2],
		"an algorithm twice":          header(`{"alg":"none","alg":"ES256","kid":"key-ES256"}`) + "." + parts[1] + "." + parts[2],
		"JSON serialization":          `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"a space before":              " " + good,
		"a line end within":           parts[0] + "\n." + parts[1] + "." + parts[2],
		"padding":                     good + "=",
		"a fourth part":               good + ".x",
		"a payload of another":        parts[0] + "." + encode([]byte(`{}`)) + "." + parts[2],
		"longer than is looked at":    good + strings.Repeat("A", MaxToken),
		"a repeated claim":            sign(t, jose.ES256, issuerKeys()[jose.ES256], nil, []byte(strings.Replace(string(payload), `"iss":`, `"iss":"https://x","iss":`, 1))),
		"more after the claims":       sign(t, jose.ES256, issuerKeys()[jose.ES256], nil, append(payload, '{', '}')),
		"claims that are not UTF-8":   sign(t, jose.ES256, issuerKeys()[jose.ES256], nil, []byte(strings.Replace(string(payload), "repo:", "\xff", 1))),
		"claims under another's case": sign(t, jose.ES256, issuerKeys()[jose.ES256], nil, []byte(strings.Replace(string(payload), `"sub"`, `"SUB"`, 1))),
	} {
		if _, err := Verify(token, mustKeys(t), expected(start)); err != ErrToken {
			t.Errorf("%s: Verify = %v, want %v", what, err, ErrToken)
		}
	}
	for i := range len(good) {
		for _, b := range []byte{'A', 'z', '.', '=', ' '} {
			if good[i] == b {
				continue
			}
			altered := good[:i] + string(b) + good[i+1:]
			if _, err := Verify(altered, mustKeys(t), expected(start)); !errors.Is(err, ErrToken) {
				t.Fatalf("with %q in the place of byte %d Verify = %v", b, i, err)
			}
		}
	}
}

// A key that the set says is for one algorithm checks no other.
func TestKeyForOneAlgorithm(t *testing.T) {
	payload, _ := stdjson.Marshal(goodClaims())
	set, _ := stdjson.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: issuerKeys()[jose.RS256].Public(), KeyID: "key-RSA", Algorithm: "RS256"},
	}})
	keys, err := ParseKeySet(set)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(sign(t, jose.RS256, issuerKeys()[jose.RS256], nil, payload), keys, expected(start)); err != nil {
		t.Errorf("RS256: Verify = %v", err)
	}
	if _, err := Verify(sign(t, jose.PS256, issuerKeys()[jose.RS256], nil, payload), keys, expected(start)); err != ErrToken {
		t.Errorf("PS256: Verify = %v, want %v", err, ErrToken)
	}
	for _, none := range []*KeySet{nil, {}} {
		if _, err := Verify(sign(t, jose.RS256, issuerKeys()[jose.RS256], nil, payload), none, expected(start)); err != ErrUnknownKey {
			t.Errorf("no keys: Verify = %v, want %v", err, ErrUnknownKey)
		}
	}
}

func TestParseKeySet(t *testing.T) {
	weak := "AQ" + strings.Repeat("A", 169) // 1,024 bits or so
	ec, _ := stdjson.Marshal(jose.JSONWebKey{Key: issuerKeys()[jose.ES256].Public(), KeyID: "e"})
	private, _ := stdjson.Marshal(jose.JSONWebKey{Key: issuerKeys()[jose.ES256], KeyID: "p"})
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	large, _ := stdjson.Marshal(jose.JSONWebKey{Key: p521.Public(), KeyID: "l"})
	set := func(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	for _, v := range []struct {
		what string
		set  string
		want int // keys; -1: refused
	}{
		{"one key", set(string(ec)), 1},
		{"one key and members that are not known", `{"keys":[` + string(ec) + `],"else":{"a":1}}`, 1},
		{"a key of a kind that is not known", set(string(ec), `{"kty":"XX","kid":"x"}`), 1},
		{"a key for encryption", set(string(ec), strings.Replace(string(ec), `"kid":"e"`, `"kid":"f","use":"enc"`, 1)), 1},
		{"a weak key beside", set(string(ec), `{"kty":"RSA","kid":"w","e":"AQAB","n":"`+weak+`"}`), 1},
		{"a P-521 key beside", set(string(ec), string(large)), 1},
		{"a certificate that is none", set(strings.Replace(string(ec), `{`, `{"x5c":["AAAA"],`, 1)), 1},
		{"a key without an id", set(strings.Replace(string(ec), `"kid":"e"`, `"else":"e"`, 1)), -1},
		{"a weak key alone", set(`{"kty":"RSA","kid":"w","e":"AQAB","n":"` + weak + `"}`), -1},
		{"two keys of one id", set(string(ec), string(ec)), -1},
		{"a private key", set(string(ec), string(private)), -1},
		{"a symmetric key", set(string(ec), `{"kty":"oct","kid":"s","k":"AAAAAAAAAAAAAAAAAAAAAAAA"}`), -1},
		{"no keys", set(), -1},
		{"no list", `{}`, -1},
		{"a key that is no object", set("1"), -1},
		{"a key that is null", set("null"), -1},
		{"nothing", ``, -1},
		{"two values", set(string(ec)) + `{}`, -1},
		{"two lists", `{"keys":[],"keys":[` + string(ec) + `]}`, -1},
		{"a point off the curve", set(`{"kty":"EC","crv":"P-256","kid":"o","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}`), -1},
		{"too many", set(strings.Split(strings.Repeat("{},", maxKeys)+"{}", ",")...), -1},
		{"too long", set(string(ec)) + strings.Repeat(" ", MaxKeySet), -1},
		{"deep", `{"keys":` + strings.Repeat("[", MaxKeySet-100), -1},
	} {
		k, err := ParseKeySet([]byte(v.set))
		if v.want < 0 {
			if !errors.Is(err, ErrKeySet) || k != nil {
				t.Errorf("%s: ParseKeySet = %v, %v, want %v", v.what, k, err, ErrKeySet)
			}
			continue
		}
		if err != nil || k.Len() != v.want {
			t.Errorf("%s: ParseKeySet has %d keys, %v, want %d", v.what, k.Len(), err, v.want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	payload, _ := stdjson.Marshal(goodClaims())
	f.Add(sign(f, jose.ES256, issuerKeys()[jose.ES256], nil, payload))
	f.Add("e30.e30.")
	f.Add("eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJ4In0.AAAA")
	keys := mustKeys(f)
	f.Fuzz(func(t *testing.T, token string) {
		got, err := Verify(token, keys, expected(start))
		if err != nil {
			if !errors.Is(err, ErrToken) || got.Claims != nil || got.Subject != "" {
				t.Errorf("Verify = %+v, %v", got, err)
			}
			return
		}
		if got.Issuer != issuer || got.Subject != "repo:a/b" {
			t.Errorf("Verify took %+v", got)
		}
	})
}

func FuzzParseKeySet(f *testing.F) {
	f.Add(publicSet(f))
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"x","n":"AQAB","e":"AQAB"}]}`))
	f.Add([]byte(`{"keys":[null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParseKeySet(data)
		if (err == nil) != (k.Len() > 0) {
			t.Errorf("ParseKeySet = %d keys, %v", k.Len(), err)
		}
	})
}

func FuzzParseClaims(f *testing.F) {
	payload, _ := stdjson.Marshal(goodClaims())
	f.Add(payload)
	f.Add([]byte(`{"iss":"a","sub":"b","aud":["c"],"exp":1e3,"iat":0}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseClaims(data)
		if err != nil {
			return
		}
		if c.issuer == "" || c.subject == "" || len(c.audiences) == 0 || len(c.strings) > maxClaims+2 {
			t.Errorf("parseClaims = %+v", c)
		}
	})
}
