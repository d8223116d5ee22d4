package sigv4

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/leaktest"
	"pgregory.net/rapid"
)

const (
	testID     = "AKIAIOSFODNN7EXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	testHost   = "kms.example.org:7443"
	testPath   = "/kmsd.kms.v1.CryptoService/Encrypt"
)

var testTime = time.Date(2026, 11, 23, 23, 58, 1, 0, time.UTC)

// call is a signed call as a server sees it.
type call struct {
	authorization string
	request       Request
}

func (c call) date() string {
	if v := c.request.Headers[dateHeader]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// with returns a copy of c after change.
func (c call) with(change func(*call)) call {
	c.request.Headers = maps.Clone(c.request.Headers)
	change(&c)
	return c
}

func set(name string, values ...string) func(*call) {
	return func(c *call) { c.request.Headers[name] = values }
}

func testKey() SigningKey {
	return DeriveKey(crypto.NewSecret([]byte(testSecret)), testTime.Format(DateFormat), "local", "kms")
}

// sign signs with the AWS SDK's signer, as clients do.
func sign(t rapid.TB, host, path string, at time.Time, headers map[string]string) call {
	t.Helper()
	r := &http.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: host, Path: path}, Header: http.Header{}}
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	r.Header.Set(hashHeader, UnsignedPayload)
	credentials := aws.Credentials{AccessKeyID: testID, SecretAccessKey: testSecret}
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, r, UnsignedPayload, "kms", "local", at); err != nil {
		t.Fatal(err)
	}
	c := call{request: Request{Method: "POST", Path: path, Host: host, Headers: map[string][]string{}, PayloadHash: UnsignedPayload}}
	for k, v := range r.Header {
		if k == "Authorization" {
			c.authorization = v[0]
			continue
		}
		c.request.Headers[strings.ToLower(k)] = v
	}
	return c
}

func testCall(t rapid.TB) call {
	return sign(t, testHost, testPath, testTime, map[string]string{"X-Kmsd-Nonce": "MFRGGZDFMZTWQ2LK", "X-Amz-Security-Token": "token"})
}

var errUnknownID = errors.New("the access key id is nobody's")

// verify does what a server does that knows one access key.
func verify(c call, key SigningKey, now time.Time) error {
	s, err := Parse(c.authorization, c.date())
	if err != nil {
		return err
	}
	if s.AccessKeyID != testID {
		return errUnknownID
	}
	return s.Verify(key, c.request, now)
}

func TestVerifyAcceptsTheSigner(t *testing.T) {
	c := testCall(t)
	if err := verify(c, testKey(), testTime); err != nil {
		t.Fatalf("Verify = %v, want nil", err)
	}
	s, err := Parse(c.authorization, c.date())
	if err != nil {
		t.Fatal(err)
	}
	if s.AccessKeyID != testID || !s.Time.Equal(testTime) || s.Date != "20261123" || s.Region != "local" || s.Service != "kms" {
		t.Errorf("Parse = %+v", s)
	}
	with443 := sign(t, "kms.example.org:443", testPath, testTime, nil)
	if err := verify(with443, testKey(), testTime); err != nil {
		t.Errorf("Verify with the default port = %v, want nil", err)
	}
}

// What the signer signs verifies, and the same call under anything else does not.
func TestVerifyAgainstSigner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		host := rapid.StringMatching(`[a-z][a-z0-9.-]{0,20}(:[1-9][0-9]{1,4})?`).Draw(t, "host")
		path := rapid.StringMatching(`/[a-z][A-Za-z0-9_.]{0,40}/[A-Z][A-Za-z0-9]{0,20}`).Draw(t, "path")
		at := time.Unix(rapid.Int64Range(1e9, 4e9).Draw(t, "time"), 0).UTC()
		headers := rapid.MapOfN(
			rapid.StringMatching(`(x-amz-|x-kmsd-|app-)[a-z0-9-]{1,16}`).Filter(func(s string) bool { return s != dateHeader && s != hashHeader }),
			rapid.StringMatching(`[!-~ ]{0,40}`), 0, 5).Draw(t, "headers")
		delete(headers, "x-amz-security-token") // set by the signer from its credentials
		c := sign(t, host, path, at, headers)
		key := DeriveKey(crypto.NewSecret([]byte(testSecret)), at.Format(DateFormat), "local", "kms")

		canonical := true
		for _, v := range headers {
			canonical = canonical && strings.Join(strings.Fields(v), " ") == v
		}
		err := verify(c, key, at)
		if canonical && err != nil {
			t.Fatalf("Verify = %v, want nil for %+v", err, c)
		}
		if !canonical && !errors.Is(err, ErrIncomplete) {
			t.Fatalf("Verify = %v, want ErrIncomplete: a value with spaces to fold", err)
		}
		for name := range headers {
			other := c.with(set(name, headers[name]+"x"))
			if err := verify(other, key, at); err == nil {
				t.Fatalf("Verify accepts another value of %q", name)
			}
		}
		otherSecret := DeriveKey(crypto.NewSecret([]byte(testSecret+"x")), at.Format(DateFormat), "local", "kms")
		if err := verify(c, otherSecret, at); err == nil {
			t.Fatal("Verify accepts another secret")
		}
	})
}

// Each single character of what is signed matters, and no byte in its place will do.
func TestVerifyRefusesEveryChange(t *testing.T) {
	c, key := testCall(t), testKey()
	parts := map[string]struct {
		text string
		put  func(*call, string)
	}{
		"authorization": {c.authorization, func(c *call, s string) { c.authorization = s }},
		"date":          {c.date(), func(c *call, s string) { set(dateHeader, s)(c) }},
		"host":          {c.request.Host, func(c *call, s string) { c.request.Host = s }},
		"path":          {c.request.Path, func(c *call, s string) { c.request.Path = s }},
		"method":        {c.request.Method, func(c *call, s string) { c.request.Method = s }},
		"nonce":         {c.request.Headers["x-kmsd-nonce"][0], func(c *call, s string) { set("x-kmsd-nonce", s)(c) }},
		"token":         {c.request.Headers["x-amz-security-token"][0], func(c *call, s string) { set("x-amz-security-token", s)(c) }},
		"payload hash":  {UnsignedPayload, func(c *call, s string) { set(hashHeader, s)(c); c.request.PayloadHash = s }},
	}
	tried := 0
	for name, part := range parts {
		for at := range len(part.text) {
			for b := range 256 {
				if byte(b) == part.text[at] {
					continue
				}
				changed := []byte(part.text)
				changed[at] = byte(b)
				got := verify(c.with(func(c *call) { part.put(c, string(changed)) }), key, testTime)
				if got == nil {
					t.Errorf("%s with byte %d = %#x verifies", name, at, b)
				}
				tried++
			}
			cut := part.text[:at] + part.text[at+1:]
			if verify(c.with(func(c *call) { part.put(c, cut) }), key, testTime) == nil {
				t.Errorf("%s without byte %d verifies", name, at)
			}
		}
	}
	if tried < 50_000 {
		t.Errorf("only %d changes tried", tried)
	}
}

func TestVerifyHeaders(t *testing.T) {
	c, key := testCall(t), testKey()
	swap := func(from, to string) func(*call) {
		return func(c *call) {
			if !strings.Contains(c.authorization, from) {
				t.Fatalf("%q is not in %q", from, c.authorization)
			}
			c.authorization = strings.Replace(c.authorization, from, to, 1)
		}
	}
	drop := func(name string) func(*call) { return func(c *call) { delete(c.request.Headers, name) } }
	rows := []struct {
		name   string
		change func(*call)
		want   error
	}{
		{"nothing changed", func(*call) {}, nil},
		{"a header that is not amz or kmsd may be added", set("grpc-timeout", "1S"), nil},
		{"an amz header may not be added", set("x-amz-target", "x"), ErrIncomplete},
		{"a kmsd header may not be added", set("x-kmsd-anything", "x"), ErrIncomplete},
		{"a signed header may not be dropped", drop("x-amz-security-token"), ErrIncomplete},
		{"a signed header may not come twice", set("x-kmsd-nonce", "MFRGGZDFMZTWQ2LK", "MFRGGZDFMZTWQ2LK"), ErrIncomplete},
		{"the date may not come twice", set(dateHeader, c.date(), c.date()), ErrIncomplete},
		{"the date may not be missing", drop(dateHeader), ErrIncomplete},
		{"the payload hash may not be missing", drop(hashHeader), ErrIncomplete},
		{"the payload hash is what the server says", func(c *call) { c.request.PayloadHash = strings.Repeat("0", 64) }, ErrIncomplete},
		{"a value may not have a space at its end", set("x-kmsd-nonce", "MFRGGZDFMZTWQ2LK "), ErrIncomplete},
		{"a value may not have a line feed", set("x-kmsd-nonce", "a\nhost:b"), ErrIncomplete},
		{"host may not be left unsigned", swap("host;", ""), ErrIncomplete},
		{"date may not be left unsigned", swap(";x-amz-date", ""), ErrIncomplete},
		{"payload hash may not be left unsigned", swap("x-amz-content-sha256;", ""), ErrIncomplete},
		{"the nonce may not be left unsigned", swap(";x-kmsd-nonce", ""), ErrIncomplete},
		{"signed headers may not be unsorted", swap("x-amz-date;x-amz-security-token", "x-amz-security-token;x-amz-date"), ErrIncomplete},
		{"signed headers may not repeat", swap("x-amz-date;", "x-amz-date;x-amz-date;"), ErrIncomplete},
		{"signed headers may not be in upper case", swap("host;", "Host;"), ErrIncomplete},
		{"signed headers may not be empty", swap("host;", ";host;"), ErrIncomplete},
		{"authorization may not sign itself", swap("SignedHeaders=", "SignedHeaders=authorization;"), ErrIncomplete},
		{"the algorithm is fixed", swap("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"), ErrIncomplete},
		{"the terminator is fixed", swap("aws4_request", "aws5_request"), ErrIncomplete},
		{"the signature is in lower case", func(c *call) { c.authorization = c.authorization[:len(c.authorization)-64] + strings.Repeat("A", 64) }, ErrIncomplete},
		{"another region is another scope", swap("/local/", "/elsewhere/"), ErrScope},
		{"another service is another scope", swap("/kms/", "/iam/"), ErrScope},
		{"another day is another scope", swap("/20261123/", "/20261124/"), ErrScope},
		{"commas need their space", swap(", SignedHeaders", ",SignedHeaders"), ErrIncomplete},
		{"nothing may follow", func(c *call) { c.authorization += " " }, ErrIncomplete},
		{"too long", func(c *call) { c.authorization += strings.Repeat(" ", 2048) }, ErrIncomplete},
		{"the path may not be escaped", func(c *call) { c.request.Path = "/a%2Fb" }, ErrIncomplete},
		{"the path begins with a slash", func(c *call) { c.request.Path = testPath[1:] }, ErrIncomplete},
		{"a second slash is another path", func(c *call) { c.request.Path = "/" + testPath }, ErrMismatch},
		{"the path may not have a query", func(c *call) { c.request.Path += "?a" }, ErrIncomplete},
		{"the host may not be empty", func(c *call) { c.request.Host = "" }, ErrIncomplete},
		{"the host counts with its case", func(c *call) { c.request.Host = strings.ToUpper(testHost) }, ErrMismatch},
		{"host among the headers is not looked at", set("host", "evil"), nil},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if err := verify(c.with(r.change), key, testTime); !errors.Is(err, r.want) {
				t.Errorf("Verify = %v, want %v", err, r.want)
			}
		})
	}
}

// The date that was checked is the one in the request.
func TestVerifyDateIsTheParsedOne(t *testing.T) {
	c := testCall(t)
	s, err := Parse(c.authorization, c.date())
	if err != nil {
		t.Fatal(err)
	}
	later := c.with(set(dateHeader, testTime.Add(time.Second).Format(TimeFormat)))
	if err := s.Verify(testKey(), later.request, testTime); !errors.Is(err, ErrIncomplete) {
		t.Errorf("Verify with another date = %v, want %v", err, ErrIncomplete)
	}
}

func TestVerifySkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := sign(t, testHost, testPath, time.Now().Add(MaxSkew), nil)
		key := DeriveKey(crypto.NewSecret([]byte(testSecret)), time.Now().Format(DateFormat), "local", "kms")
		rows := []struct {
			wait time.Duration
			want error
		}{
			{0, nil}, // 5 minutes ahead
			{MaxSkew, nil},
			{MaxSkew, nil}, // 5 minutes behind
			{time.Nanosecond, ErrExpired},
			{time.Second, ErrExpired},
		}
		if err := verify(c, key, time.Now().Add(-time.Second)); !errors.Is(err, ErrNotYetValid) {
			t.Errorf("301 s ahead: Verify = %v, want %v", err, ErrNotYetValid)
		}
		for _, r := range rows {
			time.Sleep(r.wait)
			if err := verify(c, key, time.Now()); !errors.Is(err, r.want) {
				t.Errorf("at %v: Verify = %v, want %v", time.Now(), err, r.want)
			}
		}
	})
}

func TestZeroValuesVerifyNothing(t *testing.T) {
	c := testCall(t)
	if err := verify(c, SigningKey{}, testTime); !errors.Is(err, ErrMismatch) {
		t.Errorf("Verify with the zero SigningKey = %v, want %v", err, ErrMismatch)
	}
	if err := (Signature{}).Verify(testKey(), c.request, time.Time{}); err == nil {
		t.Error("the zero Signature verifies")
	}
}

// Vectors that AWS published: the derivation of a signing key (IAM User Guide), and get-vanilla of the Signature
// Version 4 test suite, which signs a request without the headers that Verify asks for and so is put together
// here.
func TestPublishedVectors(t *testing.T) {
	keys := []struct{ date, region, service, want string }{
		{"20120215", "us-east-1", "iam", "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"},
		{"20150830", "us-east-1", "iam", "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"},
	}
	secret := crypto.NewSecret([]byte(testSecret))
	for _, k := range keys {
		want, _ := hex.DecodeString(k.want)
		h := hmac.New(sha256.New, want)
		h.Write([]byte("message"))
		got := DeriveKey(secret, k.date, k.region, k.service).mac([]byte("message"))
		if !bytes.Equal(got[:], h.Sum(nil)) {
			t.Errorf("DeriveKey(%q, %q, %q) is not %s", k.date, k.region, k.service, k.want)
		}
	}

	empty := sha256.Sum256(nil)
	s := Signature{amzDate: "20150830T123600Z", scope: "20150830/us-east-1/service/aws4_request", headers: "host;x-amz-date"}
	canonical, err := s.appendCanonical(nil, Request{
		Method: "GET", Path: "/", Host: "example.amazonaws.com", PayloadHash: hex.EncodeToString(empty[:]),
		Headers: map[string][]string{dateHeader: {"20150830T123600Z"}},
	}, "example.amazonaws.com")
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(canonical)
	if got, want := hex.EncodeToString(digest[:]), "bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63"; got != want {
		t.Errorf("hash of the canonical request = %s, want %s", got, want)
	}
	sum := DeriveKey(secret, "20150830", "us-east-1", "service").mac(s.appendStringToSign(nil, digest))
	if got, want := hex.EncodeToString(sum[:]), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"; got != want {
		t.Errorf("signature = %s, want %s", got, want)
	}
}

func TestSigningKeyDoesNotPrint(t *testing.T) {
	secret := crypto.RandomSecret(40)
	key := DeriveKey(secret, "20261123", "local", "kms")
	key.mac([]byte("so that a state is kept"))
	leaktest.Check(t, secret.Expose(), key, &key)
	derived := hmacSHA256(append([]byte("AWS4"), secret.Expose()...), "20261123")
	for _, part := range []string{"local", "kms", "aws4_request"} {
		derived = hmacSHA256(derived[:], part)
	}
	leaktest.Check(t, derived[:], key, &key)
}

func TestVerifyDoesNotKeepOrChangeTheRequest(t *testing.T) {
	c := testCall(t)
	before := maps.Clone(c.request.Headers)
	if err := verify(c, testKey(), testTime); err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(before, c.request.Headers, slices.Equal) {
		t.Errorf("headers = %v, want %v", c.request.Headers, before)
	}
}

// What parses prints back to the same header.
func FuzzParse(f *testing.F) {
	c := testCall(f)
	f.Add(c.authorization, c.date())
	f.Add("", "")
	f.Add("AWS4-HMAC-SHA256 Credential=A/b/c/d/aws4_request, SignedHeaders=;, Signature=", "20261123T000000Z")
	f.Add(c.authorization+",", "20261123T235801.Z")
	key := testKey()
	f.Fuzz(func(t *testing.T, authorization, date string) {
		s, err := Parse(authorization, date)
		if err != nil {
			if s != (Signature{}) {
				t.Errorf("Parse returns %+v beside an error", s)
			}
			if !errors.Is(err, ErrIncomplete) && !errors.Is(err, ErrScope) {
				t.Errorf("Parse = %v, which is no error it may return", err)
			}
			return
		}
		again := Algorithm + " Credential=" + s.AccessKeyID + "/" + s.Date + "/" + s.Region + "/" + s.Service + "/aws4_request, SignedHeaders=" +
			s.headers + ", Signature=" + hex.EncodeToString(s.value[:])
		if again != authorization || s.Time.Format(TimeFormat) != date {
			t.Errorf("Parse(%q, %q) prints back as %q, %q", authorization, date, again, s.Time.Format(TimeFormat))
		}
		if s.Verify(key, c.request, s.Time) == nil && authorization != c.authorization && !strings.HasSuffix(authorization, c.authorization[strings.Index(c.authorization, "/"):]) {
			t.Errorf("a forged signature verifies: %q", authorization)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	c, key := testCall(b), testKey()
	s, err := Parse(c.authorization, c.date())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Verify(key, c.request, testTime); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	c := testCall(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(c.authorization, c.date()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDeriveKey(b *testing.B) {
	secret := crypto.NewSecret([]byte(testSecret))
	b.ReportAllocs()
	for b.Loop() {
		DeriveKey(secret, "20261123", "local", "kms")
	}
}
