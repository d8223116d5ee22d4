package sigv4

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"pgregory.net/rapid"

	"github.com/kmsd/kmsd/crypto"
)

const httpBody = `{"KeyId":"alias/app","Plaintext":"aGVsbG8="}`

func hashOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// httpRequest is a request as AWS's clients send it, not signed yet.
func httpRequest() Request {
	return Request{
		Method: "POST", Path: "/", Host: testHost, PayloadHash: hashOf(httpBody),
		Headers: map[string][]string{
			"content-type":          {"application/x-amz-json-1.1"},
			"x-amz-target":          {"TrentService.Encrypt"},
			"amz-sdk-invocation-id": {"0c8a1d7e-5d2f-4a0b-9f5e-3b1c8f0e2d11"},
			"amz-sdk-request":       {"attempt=1; max=3"},
			"user-agent":            {"aws-sdk-go-v2/1.43"},
		},
	}
}

// signHTTP returns a copy of r that the signer of AWS's SDK has signed for service in the region "local".
func signHTTP(t rapid.TB, r Request, token, service string, at time.Time) Request {
	t.Helper()
	to := &http.Request{
		Method: r.Method, Host: r.Host, Header: http.Header{}, ContentLength: int64(len(httpBody)),
		URL: &url.URL{Scheme: "https", Host: r.Host, Opaque: "//" + r.Host + r.Path, RawQuery: r.Query},
	}
	for name, values := range r.Headers {
		to.Header[http.CanonicalHeaderKey(name)] = values
	}
	credentials := aws.Credentials{AccessKeyID: testID, SecretAccessKey: testSecret, SessionToken: token}
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, to, r.PayloadHash, service, "local", at); err != nil {
		t.Fatal(err)
	}
	out := r
	out.Headers = map[string][]string{"content-length": {"44"}}
	for name, values := range to.Header {
		out.Headers[strings.ToLower(name)] = values
	}
	return out
}

func signedRequest(t rapid.TB) Request {
	return signHTTP(t, httpRequest(), "token", "kms", testTime)
}

// verifyHTTP does what a server does that knows one access key.
func verifyHTTP(r Request, key SigningKey, now time.Time) error {
	s, err := ParseHTTP(&r)
	if err != nil {
		return err
	}
	if s.AccessKeyID != testID {
		return errUnknownID
	}
	return s.Verify(key, r, now)
}

// changed returns a copy of r after change.
func changed(r Request, change func(*Request)) Request {
	r.Headers = maps.Clone(r.Headers)
	change(&r)
	return r
}

// awsName is AWS's name of the error, as package server gives it.
func awsName(err error) string {
	for sentinel, name := range map[error]string{
		ErrMissing: "MissingAuthenticationTokenException", ErrIncomplete: "IncompleteSignatureException", errUnknownID: "UnrecognizedClientException",
		ErrUnsigned: "InvalidSignatureException", ErrMismatch: "InvalidSignatureException", ErrScope: "InvalidSignatureException",
		ErrExpired: "InvalidSignatureException", ErrNotYetValid: "InvalidSignatureException",
	} {
		if errors.Is(err, sentinel) {
			return name
		}
	}
	return ""
}

func TestVerifyHTTPAcceptsTheSigner(t *testing.T) {
	r := signedRequest(t)
	s, err := ParseHTTP(&r)
	if err != nil {
		t.Fatal(err)
	}
	if s.AccessKeyID != testID || !s.Time.Equal(testTime) || s.Date != "20261123" || s.Region != "local" || s.Service != "kms" || !strings.HasSuffix(r.Headers["authorization"][0], "Signature="+s.Hex()) {
		t.Errorf("ParseHTTP = %+v", s)
	}
	before := maps.Clone(r.Headers)
	if err := s.Verify(testKey(), r, testTime); err != nil {
		t.Errorf("Verify = %v, want nil", err)
	}
	if !maps.EqualFunc(before, r.Headers, slices.Equal) {
		t.Errorf("Verify changed the headers to %v", r.Headers)
	}
}

// What AWS's clients write in other ways, and what may stand beside a signature.
func TestVerifyHTTPAcceptsSpellings(t *testing.T) {
	r := signedRequest(t)
	authorization := r.Headers["authorization"][0]
	spell := func(from, to string) func(*Request) {
		return func(r *Request) {
			if !strings.Contains(authorization, from) {
				t.Fatalf("%q is not in %q", from, authorization)
			}
			r.Headers["authorization"] = []string{strings.ReplaceAll(authorization, from, to)}
		}
	}
	parts := strings.SplitN(strings.TrimPrefix(authorization, Algorithm+" "), ", ", 3)
	rows := []struct {
		name   string
		change func(*Request)
	}{
		{"commas without spaces", spell(", ", ",")},
		{"commas with two spaces", spell(", ", " ,  ")},
		{"a tab after the comma", spell(", ", ",\t")},
		{"two spaces after the algorithm", spell(Algorithm+" ", Algorithm+"  ")},
		{"spaces around it all", spell(authorization, " "+authorization+" ")},
		{"another order of parameters", spell(authorization, Algorithm+" "+parts[2]+", "+parts[0]+", "+parts[1])},
		{"headers that are not signed", func(r *Request) { r.Headers["x-amzn-trace-id"] = []string{"Root=1", "Self=2"} }},
		{"a Date header beside X-Amz-Date, not signed", func(r *Request) { r.Headers["date"] = []string{"Mon, 23 Nov 2026 20:00:00 GMT"} }},
		{"spaces to fold", func(r *Request) { r.Headers["amz-sdk-request"] = []string{"  attempt=1; \t max=3 "} }},
		{"the host among the headers too", func(r *Request) { r.Headers["host"] = []string{testHost} }},
	}
	for _, row := range rows {
		if err := verifyHTTP(changed(r, row.change), testKey(), testTime); err != nil {
			t.Errorf("%s: Verify = %v, want nil", row.name, err)
		}
	}
}

// signByHand signs r under the test's secret for the headers named, without the SDK, which cannot make what some tests need.
func signByHand(t rapid.TB, r Request, dateName, date, amzDate, headers, host string) Request {
	t.Helper()
	r = changed(r, func(r *Request) { r.Headers[dateName] = []string{date} })
	s := Signature{http: true, amzDate: amzDate, headers: headers, scope: amzDate[:8] + "/local/kms/aws4_request"}
	canonical, err := s.appendCanonical(nil, r, host)
	if err != nil {
		t.Fatal(err)
	}
	key := DeriveKey(crypto.NewSecret([]byte(testSecret)), amzDate[:8], "local", "kms")
	mac := key.mac(s.appendStringToSign(nil, sha256.Sum256(canonical)))
	r.Headers["authorization"] = []string{Algorithm + " Credential=" + testID + "/" + s.scope + ", SignedHeaders=" + headers + ", Signature=" + hex.EncodeToString(mac[:])}
	return r
}

func TestVerifyHTTPDateHeader(t *testing.T) {
	const stamp, signed = "20261123T235801Z", "content-type;date;host;x-amz-target"
	sign := func(date, headers string) Request {
		return signByHand(t, httpRequest(), "date", date, stamp, headers, testHost)
	}
	rows := []struct {
		name string
		r    Request
		want error
	}{
		{"RFC 9110's form", sign("Mon, 23 Nov 2026 23:58:01 GMT", signed), nil},
		{"the basic form", sign(stamp, signed), nil},
		{"another zone", sign("Mon, 23 Nov 2026 23:58:01 CET", signed), ErrIncomplete},
		{"a fraction of a second", sign("Mon, 23 Nov 2026 23:58:01.5 GMT", signed), ErrIncomplete},
		{"the wrong day of the week", sign("Tue, 23 Nov 2026 23:58:01 GMT", signed), ErrIncomplete},
		{"the extended form", sign("2026-11-23T23:58:01Z", signed), ErrIncomplete},
		{"not signed", sign(stamp, "content-type;host;x-amz-target"), ErrUnsigned},
		{"X-Amz-Date put beside it", changed(sign(stamp, signed), func(r *Request) { r.Headers[dateHeader] = []string{stamp} }), ErrUnsigned},
	}
	for _, row := range rows {
		if err := verifyHTTP(row.r, testKey(), testTime); !errors.Is(err, row.want) || row.want == nil && err != nil {
			t.Errorf("%s: Verify = %v, want %v", row.name, err, row.want)
		}
	}
	// The signature was parsed of another request than the one it is asked about.
	r := sign(stamp, signed)
	s, err := ParseHTTP(&r)
	if err != nil {
		t.Fatal(err)
	}
	other := changed(r, func(r *Request) { r.Headers["date"] = []string{"Mon, 23 Nov 2026 23:58:01 GMT"} })
	if err := s.Verify(testKey(), other, testTime); !errors.Is(err, ErrIncomplete) {
		t.Errorf("Verify of another date = %v, want %v", err, ErrIncomplete)
	}
}

// A default port is signed or not, as the client's signer has it; another port is.
func TestVerifyHTTPPorts(t *testing.T) {
	const signed = "content-type;host;x-amz-date;x-amz-target"
	for _, row := range []struct {
		sent, signed string
		want         error
	}{
		{"kms.example.org", "kms.example.org", nil},
		{"kms.example.org:443", "kms.example.org", nil},
		{"kms.example.org:443", "kms.example.org:443", nil},
		{"kms.example.org:80", "kms.example.org", nil},
		{"kms.example.org:80", "kms.example.org:80", nil},
		{"[::1]:443", "[::1]", nil},
		{"kms.example.org:7443", "kms.example.org", ErrMismatch},
		{"kms.example.org", "kms.example.org:443", ErrMismatch},
		{"kms.example.org:7443:443", "kms.example.org:7443", ErrIncomplete},
		{"kms.example.org:7443:80", "kms.example.org:7443", ErrIncomplete},
		{"[::1]:7443:443", "[::1]:7443", ErrIncomplete},
		{"kms.example.org:", "kms.example.org", ErrIncomplete},
		{"[::1:443", "[::1", ErrIncomplete},
	} {
		r := httpRequest()
		r.Host = row.sent
		r = signByHand(t, r, dateHeader, "20261123T235801Z", "20261123T235801Z", signed, row.signed)
		if err := verifyHTTP(r, testKey(), testTime); !errors.Is(err, row.want) || row.want == nil && err != nil {
			t.Errorf("host %q signed as %q: Verify = %v, want %v", row.sent, row.signed, err, row.want)
		}
	}
}

func TestVerifyHTTPRefuses(t *testing.T) {
	r := signedRequest(t)
	authorization := r.Headers["authorization"][0]
	in := func(name string, values ...string) func(*Request) {
		return func(r *Request) { r.Headers[name] = values }
	}
	without := func(name string) func(*Request) { return func(r *Request) { delete(r.Headers, name) } }
	put := func(from, to string) func(*Request) {
		return func(r *Request) {
			if !strings.Contains(authorization, from) {
				t.Fatalf("%q is not in %q", from, authorization)
			}
			r.Headers["authorization"] = []string{strings.Replace(authorization, from, to, 1)}
		}
	}
	mac := authorization[len(authorization)-64:]
	rows := []struct {
		name   string
		change func(*Request)
		want   error
		aws    string
	}{
		{"no signature", without("authorization"), ErrMissing, "MissingAuthenticationTokenException"},
		{"an empty header", in("authorization", " "), ErrMissing, "MissingAuthenticationTokenException"},
		{"another secret", in("authorization", strings.Replace(authorization, mac, strings.Repeat("0", 64), 1)), ErrMismatch, "InvalidSignatureException"},
		{"another access key", put(testID, "AKIAIOSFODNN7EXAMPLF"), errUnknownID, "UnrecognizedClientException"},
		{"another region", put("/local/", "/us-east-1/"), ErrScope, "InvalidSignatureException"},
		{"another service", put("/kms/", "/sts/"), ErrScope, "InvalidSignatureException"},
		{"another date of the scope", put("/20261123/", "/20261124/"), ErrScope, "InvalidSignatureException"},
		{"another terminator", put("aws4_request", "aws5_request"), ErrIncomplete, "IncompleteSignatureException"},
		{"another date", in(dateHeader, "20261123T235802Z"), ErrMismatch, "InvalidSignatureException"},
		{"another date on another day", in(dateHeader, "20261124T000001Z"), ErrScope, "InvalidSignatureException"},
		{"no date", without(dateHeader), ErrIncomplete, "IncompleteSignatureException"},
		{"a date that is none", in(dateHeader, "20261323T235801Z"), ErrIncomplete, "IncompleteSignatureException"},
		{"a date in the extended form", in(dateHeader, "2026-11-23T23:58:01Z"), ErrIncomplete, "IncompleteSignatureException"},
		{"an unsigned x-amz header", in("x-amz-acl", "private"), ErrUnsigned, "InvalidSignatureException"},
		{"an unsigned x-kmsd header", in("x-kmsd-nonce", "MFRGGZDFMZTWQ2LK"), ErrUnsigned, "InvalidSignatureException"},
		{"host left unsigned", put("host;", ""), ErrUnsigned, "InvalidSignatureException"},
		{"date left unsigned", put("x-amz-date;", ""), ErrUnsigned, "InvalidSignatureException"},
		{"token left unsigned", put("x-amz-security-token;", ""), ErrUnsigned, "InvalidSignatureException"},
		{"target left unsigned", put(";x-amz-target", ""), ErrUnsigned, "InvalidSignatureException"},
		{"another token", in(tokenHeader, "nekot"), ErrMismatch, "InvalidSignatureException"},
		{"the token taken away", without(tokenHeader), ErrIncomplete, "IncompleteSignatureException"},
		{"another target", in("x-amz-target", "TrentService.Decrypt"), ErrMismatch, "InvalidSignatureException"},
		{"another content type, which is signed", in("content-type", "application/x-amz-json-1.0"), ErrMismatch, "InvalidSignatureException"},
		{"a second value of a signed header", in("content-type", "application/x-amz-json-1.1", "text/plain"), ErrMismatch, "InvalidSignatureException"},
		{"another body", func(r *Request) { r.PayloadHash = hashOf(httpBody + " ") }, ErrMismatch, "InvalidSignatureException"},
		{"another path", func(r *Request) { r.Path = "/other" }, ErrMismatch, "InvalidSignatureException"},
		{"another query", func(r *Request) { r.Query = "Action=Encrypt" }, ErrMismatch, "InvalidSignatureException"},
		{"another method", func(r *Request) { r.Method = "PUT" }, ErrMismatch, "InvalidSignatureException"},
		{"another host", func(r *Request) { r.Host = "kms.example.com:7443" }, ErrMismatch, "InvalidSignatureException"},
		{"a second host", in(hostHeader, testHost, "kms.example.com"), ErrIncomplete, "IncompleteSignatureException"},
		{"another host among the headers", in(hostHeader, "kms.example.com"), ErrIncomplete, "IncompleteSignatureException"},
		{"authorization twice", in("authorization", authorization, authorization), ErrIncomplete, "IncompleteSignatureException"},
		{"date twice", in(dateHeader, "20261123T235801Z", "20261123T235801Z"), ErrIncomplete, "IncompleteSignatureException"},
		{"token twice", in(tokenHeader, "token", "token"), ErrIncomplete, "IncompleteSignatureException"},
		{"target twice", in("x-amz-target", "TrentService.Encrypt", "TrentService.Decrypt"), ErrIncomplete, "IncompleteSignatureException"},
		{"a payload hash of another body", in(hashHeader, hashOf("other")), ErrUnsigned, "InvalidSignatureException"},
		{"a signature in the query too", func(r *Request) { r.Query = "X-Amz-Algorithm=" + Algorithm + "&X-Amz-Signature=" + mac }, ErrIncomplete, "IncompleteSignatureException"},
		{"a signature in the query, escaped", func(r *Request) { r.Query = "x-%61mz-signature=" + mac }, ErrIncomplete, "IncompleteSignatureException"},
		{"a signature in the query alone", func(r *Request) {
			delete(r.Headers, "authorization")
			r.Query = "X-Amz-Algorithm=" + Algorithm + "&X-Amz-Credential=" + testID + "&X-Amz-Signature=" + mac
		}, ErrIncomplete, "IncompleteSignatureException"},
		{"a query that is not escaped well", func(r *Request) { r.Query = "a=%2" }, ErrIncomplete, "IncompleteSignatureException"},
		{"a query that is ambiguous", func(r *Request) { r.Query = "a=b+c" }, ErrIncomplete, "IncompleteSignatureException"},
		{"an empty signature", put(mac, ""), ErrIncomplete, "IncompleteSignatureException"},
		{"a signature cut short", put(mac, mac[:63]), ErrMismatch, "InvalidSignatureException"},
		{"a signature in upper case", put(mac, strings.ToUpper(mac)), ErrMismatch, "InvalidSignatureException"},
		{"a signature with more behind it", put(mac, mac+"00"), ErrMismatch, "InvalidSignatureException"},
		{"the algorithm of SigV4a", put(Algorithm, "AWS4-ECDSA-P256-SHA256"), ErrIncomplete, "IncompleteSignatureException"},
		{"the algorithm in lower case", put(Algorithm, strings.ToLower(Algorithm)), ErrIncomplete, "IncompleteSignatureException"},
		{"Signature Version 2", in("authorization", "AWS "+testID+":c2lnbmF0dXJl"), ErrIncomplete, "IncompleteSignatureException"},
		{"another scheme", in("authorization", "Bearer "+mac), ErrIncomplete, "IncompleteSignatureException"},
		{"the algorithm alone", in("authorization", Algorithm), ErrIncomplete, "IncompleteSignatureException"},
		{"no credential", put("Credential=", "Kredential="), ErrIncomplete, "IncompleteSignatureException"},
		{"no signed headers", put("SignedHeaders=", "SignedHeader="), ErrIncomplete, "IncompleteSignatureException"},
		{"a parameter twice", put("SignedHeaders=", "Signature="+mac+", SignedHeaders="), ErrIncomplete, "IncompleteSignatureException"},
		{"a parameter that is unknown", put("SignedHeaders=", "Region=local, SignedHeaders="), ErrIncomplete, "IncompleteSignatureException"},
		{"a credential with too few parts", put("/kms/", "/"), ErrIncomplete, "IncompleteSignatureException"},
		{"a credential with too many parts", put("/kms/", "/kms/x/"), ErrIncomplete, "IncompleteSignatureException"},
		{"signed headers in upper case", put("host;", "Host;"), ErrIncomplete, "IncompleteSignatureException"},
		{"signed headers unsorted", put("x-amz-date;x-amz-security-token", "x-amz-security-token;x-amz-date"), ErrIncomplete, "IncompleteSignatureException"},
		{"signed headers twice", put("host;", "host;host;"), ErrIncomplete, "IncompleteSignatureException"},
		{"a signed header that is not there", put("host;", "host;origin;"), ErrIncomplete, "IncompleteSignatureException"},
		{"a control character in a signed header", in("content-type", "application/x-amz-json-1.1\n"), ErrIncomplete, "IncompleteSignatureException"},
		{"a header that is too long", put("Credential=", strings.Repeat(" ", 2048)+"Credential="), ErrIncomplete, "IncompleteSignatureException"},
		{"signed headers that are too long", in("content-type", strings.Repeat("x", 1<<20)), ErrIncomplete, "IncompleteSignatureException"},
		{"signed headers that are too many", in("content-type", slices.Repeat([]string{"xxxxxxx"}, 1<<14)...), ErrIncomplete, "IncompleteSignatureException"},
	}
	for _, row := range rows {
		err := verifyHTTP(changed(r, row.change), testKey(), testTime)
		if !errors.Is(err, row.want) || awsName(err) != row.aws {
			t.Errorf("%s: Verify = %v (%s), want %v (%s)", row.name, err, awsName(err), row.want, row.aws)
		}
	}
	if len(rows) < 25 {
		t.Errorf("only %d rows", len(rows))
	}
	for name, key := range map[string]SigningKey{
		"another secret": DeriveKey(crypto.NewSecret([]byte(testSecret+"x")), "20261123", "local", "kms"), "the zero key": {},
	} {
		if err := verifyHTTP(r, key, testTime); !errors.Is(err, ErrMismatch) {
			t.Errorf("Verify under %s = %v, want %v", name, err, ErrMismatch)
		}
	}
}

// The payload's hash need not be sent. If it is, it is signed and that of the body.
func TestVerifyHTTPPayloadHash(t *testing.T) {
	for name, row := range map[string]struct {
		sent string
		want error
	}{
		"the body's": {hashOf(httpBody), nil}, "another body's": {hashOf("other"), ErrMismatch}, "none": {UnsignedPayload, ErrMismatch}, "in upper case": {strings.ToUpper(hashOf(httpBody)), ErrMismatch},
	} {
		r := httpRequest()
		r.Headers[hashHeader] = []string{row.sent}
		if err := verifyHTTP(signHTTP(t, r, "", "kms", testTime), testKey(), testTime); !errors.Is(err, row.want) || row.want == nil && err != nil {
			t.Errorf("x-amz-content-sha256 is %s: Verify = %v, want %v", name, err, row.want)
		}
	}
	// The caller's own reckoning of the hash must be one: what is signed for no payload verifies for none.
	r := httpRequest()
	r.PayloadHash = UnsignedPayload
	if err := verifyHTTP(signHTTP(t, r, "", "kms", testTime), testKey(), testTime); !errors.Is(err, ErrIncomplete) {
		t.Errorf("Verify without the body's hash = %v, want %v", err, ErrIncomplete)
	}
}

func TestVerifyHTTPSkew(t *testing.T) {
	r, key := signedRequest(t), testKey()
	for _, row := range []struct {
		seconds int
		want    error
	}{{-301, ErrNotYetValid}, {-300, nil}, {0, nil}, {300, nil}, {301, ErrExpired}} {
		if err := verifyHTTP(r, key, testTime.Add(time.Duration(row.seconds)*time.Second)); !errors.Is(err, row.want) || row.want == nil && err != nil {
			t.Errorf("%d s after the date: Verify = %v, want %v", row.seconds, err, row.want)
		}
	}
}

// A signature of one profile says nothing in the other.
func TestProfilesDoNotMix(t *testing.T) {
	c := testCall(t)
	overHTTP := c.request
	overHTTP.Headers = maps.Clone(overHTTP.Headers)
	overHTTP.Headers["authorization"] = []string{c.authorization}
	if err := verifyHTTP(overHTTP, testKey(), testTime); !errors.Is(err, ErrIncomplete) {
		t.Errorf("a call of gRPC over HTTP: Verify = %v, want %v", err, ErrIncomplete)
	}
	r := signedRequest(t)
	if err := verify(call{r.Headers["authorization"][0], r}, testKey(), testTime); !errors.Is(err, ErrIncomplete) {
		t.Errorf("an HTTP request over gRPC: Verify = %v, want %v", err, ErrIncomplete)
	}
	query := c.with(func(c *call) { c.request.Query = "a=b" })
	if err := verify(query, testKey(), testTime); !errors.Is(err, ErrIncomplete) {
		t.Errorf("gRPC with a query: Verify = %v, want %v", err, ErrIncomplete)
	}
}

// keyOf is the test's signing key for a day.
func keyOf(at time.Time) SigningKey {
	return DeriveKey(crypto.NewSecret([]byte(testSecret)), at.Format(DateFormat), "local", "kms")
}
