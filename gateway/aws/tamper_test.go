package aws_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/internal/kmstest"
)

// tampering is one way to alter a request, and what AWS says of it.
type tampering struct {
	name   string
	change func(t *testing.T, r *http.Request)
	want   string // AWS's name of the error; empty if the request is good
}

// session are temporary credentials of a user who may do everything.
func (s *side) session() awssdk.Credentials {
	s.t.Helper()
	user := s.k.User("ada", kmstest.Allow([]string{"*"}))
	root := s.creds
	s.creds.AccessKeyID, s.creds.SecretAccessKey = user.AccessKeyID, user.SecretAccessKey
	got := s.do(s.client("HTTP/1.1"), s.query("sts", "Action=GetSessionToken&Version=2011-06-15"))
	s.creds = root
	var parsed struct {
		ID     string `xml:"GetSessionTokenResult>Credentials>AccessKeyId"`
		Secret string `xml:"GetSessionTokenResult>Credentials>SecretAccessKey"`
		Token  string `xml:"GetSessionTokenResult>Credentials>SessionToken"`
	}
	if err := xml.Unmarshal([]byte(got.body), &parsed); err != nil || parsed.Token == "" {
		s.t.Fatalf("GetSessionToken = %s %s, %v", got.Status, got.body, err)
	}
	return awssdk.Credentials{AccessKeyID: parsed.ID, SecretAccessKey: parsed.Secret, SessionToken: parsed.Token}
}

// signer signs requests, each part as a test wants it.
type signer struct {
	awssdk.Credentials
	service, region string
	at              time.Time
	body            string // that the signature is over
}

func (s signer) sign(t *testing.T, r *http.Request) {
	t.Helper()
	sum := sha256.Sum256([]byte(s.body))
	if err := v4.NewSigner().SignHTTP(t.Context(), s.Credentials, r, hex.EncodeToString(sum[:]), s.service, s.region, s.at); err != nil {
		t.Fatal(err)
	}
}

var macOf = regexp.MustCompile(`[0-9a-f]{64}$`)

// tamperings are the ways to alter a request that good has signed.
func tamperings(good signer) []tampering {
	anew := func(change func(*signer)) func(*testing.T, *http.Request) {
		return func(t *testing.T, r *http.Request) {
			other := good
			change(&other)
			r.Header.Del("Authorization")
			r.Header.Del("X-Amz-Date")
			r.Header.Del("X-Amz-Security-Token")
			other.sign(t, r)
		}
	}
	put := func(from, to string) func(*testing.T, *http.Request) {
		return func(t *testing.T, r *http.Request) {
			a := r.Header.Get("Authorization")
			if !strings.Contains(a, from) {
				t.Fatalf("%q is not in %q", from, a)
			}
			r.Header.Set("Authorization", strings.Replace(a, from, to, 1))
		}
	}
	header := func(name string, values ...string) func(*testing.T, *http.Request) {
		return func(_ *testing.T, r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = values }
	}
	mac := func(change func(string) string) func(*testing.T, *http.Request) {
		return func(_ *testing.T, r *http.Request) {
			r.Header.Set("Authorization", macOf.ReplaceAllStringFunc(r.Header.Get("Authorization"), change))
		}
	}
	twice := func(name string) func(*testing.T, *http.Request) {
		return func(_ *testing.T, r *http.Request) { r.Header.Add(name, r.Header.Get(name)) }
	}
	const (
		mismatch   = "InvalidSignatureException"
		incomplete = "IncompleteSignatureException"
		missing    = "MissingAuthenticationTokenException"
		unknown    = "UnrecognizedClientException"
	)
	today := good.at.UTC().Format("20060102")
	rows := []tampering{
		{"nothing is altered", func(*testing.T, *http.Request) {}, ""},
		{"it was signed 299 seconds ago", anew(func(s *signer) { s.at = s.at.Add(-299 * time.Second) }), ""},
		{"the secret is another", anew(func(s *signer) { s.SecretAccessKey += "x" }), mismatch},
		{"the access key is unknown", put(good.AccessKeyID, "AKIAIOSFODNN7EXAMPLE"), unknown},
		{"the region is another", anew(func(s *signer) { s.region = "mars-north-1" }), mismatch},
		{"the service is another", anew(func(s *signer) { s.service = "s3" }), mismatch},
		{"the date of the scope is another", put(today, "20200101"), mismatch},
		{"it was signed 6 minutes ago", anew(func(s *signer) { s.at = s.at.Add(-6 * time.Minute) }), mismatch},
		{"it was signed 6 minutes ahead", anew(func(s *signer) { s.at = s.at.Add(6 * time.Minute) }), mismatch},
		{"the date is another", header("X-Amz-Date", good.at.UTC().Add(time.Second).Format("20060102T150405Z")), mismatch},
		{"the date is none", header("X-Amz-Date", "yesterday"), incomplete},
		{"there is no date", header("X-Amz-Date"), incomplete},
		{"the body is another", anew(func(s *signer) { s.body += " " }), mismatch},
		{"the payload's hash is of another body", header("X-Amz-Content-Sha256", strings.Repeat("0", 64)), mismatch},
		{"an x-amz header is unsigned", header("X-Amz-Meta", "x"), mismatch},
		{"the host is unsigned", put("host;", ""), mismatch},
		{"the date is unsigned", put(";x-amz-date", ""), mismatch},
		{"the content type is another", func(_ *testing.T, r *http.Request) {
			r.Header.Set("Content-Type", r.Header.Get("Content-Type")+"; charset=utf-8")
		}, mismatch},
		{"the signature is there twice", twice("Authorization"), incomplete},
		{"the date is there twice", twice("X-Amz-Date"), incomplete},
		{"there is no signature", header("Authorization"), missing},
		{"the header of the signature is empty", header("Authorization", ""), missing},
		{"the signature is empty", mac(func(string) string { return "" }), incomplete},
		{"the signature is cut short", mac(func(s string) string { return s[:63] }), mismatch},
		{"the signature has more behind it", mac(func(s string) string { return s + "0" }), mismatch},
		{"the signature is in upper case", mac(func(s string) string { return strings.ToUpper(s[:63]) + "A" }), mismatch},
		{"a digit of the signature is another", mac(func(s string) string {
			if s[0] == '0' {
				return "1" + s[1:]
			}
			return "0" + s[1:]
		}), mismatch},
		{"the algorithm is SigV4a's", put("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), incomplete},
		{"the scheme is another", header("Authorization", "Bearer token"), incomplete},
		{"the credential has no scope", put("/aws4_request", ""), incomplete},
		{"the signed headers are missing", put("SignedHeaders=", "Signed="), incomplete},
		{"the signed headers are unsorted", put("host;", ""+"x;host;"), incomplete},
		{"a signed header is not there", put("host;", "host;origin;"), incomplete},
		{"the query has a signature too", func(_ *testing.T, r *http.Request) { r.URL.RawQuery = "X-Amz-Signature=" + strings.Repeat("0", 64) }, incomplete},
		{"the query has the only signature", func(_ *testing.T, r *http.Request) {
			r.Header.Del("Authorization")
			r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + good.AccessKeyID + "&X-Amz-Signature=" + strings.Repeat("0", 64)
		}, incomplete},
		{"the query is another", func(_ *testing.T, r *http.Request) { r.URL.RawQuery = "a=b" }, mismatch},
		{"the host is another", func(_ *testing.T, r *http.Request) { r.Host = "kms.us-east-1.amazonaws.com" }, mismatch},
	}
	if good.SessionToken == "" {
		return append(rows, tampering{"there is a token", header("X-Amz-Security-Token", "token"), unknown})
	}
	return append(rows, []tampering{
		{"the token is another's", header("X-Amz-Security-Token", good.SessionToken[:len(good.SessionToken)-8]+"AAAAAAAA"), unknown},
		{"the token is taken away", header("X-Amz-Security-Token"), unknown},
		{"the token is empty", header("X-Amz-Security-Token", ""), unknown},
		{"the token is unsigned", put("x-amz-security-token;", ""), mismatch},
		{"the token is there twice", twice("X-Amz-Security-Token"), incomplete},
	}...)
}

// queryNames are the names that Query services have for the errors of signatures.
var queryNames = map[string]string{
	"InvalidSignatureException": "SignatureDoesNotMatch", "IncompleteSignatureException": "IncompleteSignature",
	"MissingAuthenticationTokenException": "MissingAuthenticationToken", "UnrecognizedClientException": "InvalidClientTokenId",
}

// Whoever alters a signed request in any of these ways, or signs it otherwise, is refused by AWS's name for it, and recorded as nobody.
func TestTamperedSignatures(t *testing.T) {
	s := newSide(t, nil)
	form := "Action=ListUsers&Version=2010-05-08"
	services := []struct {
		good signer
		make func() *http.Request
		name func(reply) string
	}{
		{
			signer{service: "kms", body: `{"Limit":1}`},
			func() *http.Request { return s.bare("ListKeys", `{"Limit":1}`) },
			func(r reply) string { return r.Header.Get("X-Amzn-Errortype") },
		},
		{
			signer{service: "iam", body: form},
			func() *http.Request {
				r := s.bare("", form)
				r.Header.Set("Content-Type", formType)
				r.Header.Del("X-Amz-Target")
				return r
			},
			func(r reply) string {
				_, rest, _ := strings.Cut(r.body, "<Code>")
				code, _, _ := strings.Cut(rest, "</Code>")
				return code
			},
		},
	}
	session := s.session()
	rows := 0
	for _, service := range services {
		good := service.good
		good.Credentials, good.region, good.at = session, s.creds.Region, time.Now()
		if service.good.service == "iam" {
			good.Credentials = awssdk.Credentials{AccessKeyID: s.creds.AccessKeyID, SecretAccessKey: string(s.creds.SecretAccessKey.Expose())}
		}
		for _, row := range tamperings(good) {
			rows++
			r := service.make()
			good.sign(t, r)
			row.change(t, r)
			want := row.want
			if service.good.service == "iam" {
				want = queryNames[want]
			}
			got := s.do(s.client("HTTP/1.1"), r)
			if service.name(got) != want || (got.StatusCode == http.StatusOK) != (want == "") {
				t.Errorf("%s, %s: %d %s, want %q", service.good.service, row.name, got.StatusCode, got.body, want)
			}
			e := s.event(got)
			if want != "" && (e.Outcome.Status != "UNAUTHENTICATED" || e.Actor.ARN != "") {
				t.Errorf("%s, %s: the event is of %q, %s, want nobody, UNAUTHENTICATED", service.good.service, row.name, e.Actor.ARN, e.Outcome.Status)
			}
		}
	}
	if rows < 60 {
		t.Errorf("only %d rows", rows)
	}
	if n := len(s.k.Events(audit.Filter{Outcome: "UNAUTHENTICATED"})); n < rows-4 {
		t.Errorf("%d events of refused signatures, want at least %d", n, rows-4)
	}
}
