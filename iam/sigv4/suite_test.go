package sigv4

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/kmsd/kmsd/crypto"
)

// suiteCase is a case of the published suite.
type suiteCase struct {
	Credentials struct {
		ID     string `json:"access_key_id"`
		Secret string `json:"secret_access_key"`
		Token  string `json:"token"`
	} `json:"credentials"`
	Normalize bool      `json:"normalize"`
	Region    string    `json:"region"`
	Service   string    `json:"service"`
	Timestamp time.Time `json:"timestamp"`
	Omit      bool      `json:"omit_session_token"`

	name                             string
	plain, signed                    Request
	body                             string
	canonical, toSign, signatureText string
}

// key is the signing key of the case.
func (c *suiteCase) key() SigningKey {
	return DeriveKey(crypto.NewSecret([]byte(c.Credentials.Secret)), c.Timestamp.Format(DateFormat), c.Region, c.Service)
}

// The cases that Verify refuses although their signatures are right, each with how.
//
// A path that is not normalized is signed as it is for S3 alone. A token beside the signature that the signature does not cover could be taken away or
// replaced by whoever sees the request.
var suiteRefused = map[string]error{
	"get-relative-relative-unnormalized":   ErrMismatch,
	"get-relative-unnormalized":            ErrMismatch,
	"get-slash-dot-slash-unnormalized":     ErrMismatch,
	"get-slash-pointless-dot-unnormalized": ErrMismatch,
	"get-slash-unnormalized":               ErrMismatch,
	"get-slashes-unnormalized":             ErrMismatch,
	"post-sts-header-after":                ErrUnsigned,
}

// The cases that the signer of AWS's SDK for Go signs otherwise than published, each with why.
var suiteSDK = map[string]string{
	"get-relative-normalized":            "it does not normalize paths",
	"get-relative-relative-normalized":   "it does not normalize paths",
	"get-slash-dot-slash-normalized":     "it does not normalize paths",
	"get-slash-normalized":               "it does not normalize paths",
	"get-slash-pointless-dot-normalized": "it does not normalize paths",
	"get-slashes-normalized":             "it does not normalize paths",
}

// The published suite, both ways: our canonical request, string to sign and signature are the published ones, to the letter; Verify accepts what the suite
// signed; and so it accepts what the signer of AWS's SDK makes of the same request, which is the same signature.
func TestPublishedSuite(t *testing.T) {
	dir := os.Getenv("KMSD_SIGV4_SUITE")
	if dir == "" {
		t.Skip("KMSD_SIGV4_SUITE names no copy of the published suite: iam/sigv4/suite gets one and runs it")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	cases, accepted, sameSDK := 0, 0, 0
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		cases++
		t.Run(e.Name(), func(t *testing.T) {
			c := readSuiteCase(t, filepath.Join(dir, e.Name()))
			c.checkTexts(t)
			want := suiteRefused[c.name]
			if want == nil {
				accepted++
			}
			if err := c.verify(c.signed); !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("Verify = %v, want %v", err, want)
			}
			switch got := c.bySDK(t); {
			case got == c.signatureText && suiteSDK[c.name] == "":
				sameSDK++
			case got == c.signatureText || suiteSDK[c.name] == "":
				t.Errorf("the SDK's signature = %s, want %s, unless %q", got, c.signatureText, suiteSDK[c.name])
			}
		})
	}
	t.Logf("%d cases: texts and signatures of all are ours; Verify accepts %d and refuses %d as it should; the SDK's signer makes the same signature of %d",
		cases, accepted, cases-accepted, sameSDK)
	if cases < 34 || accepted != cases-len(suiteRefused) || sameSDK != cases-len(suiteSDK) {
		t.Errorf("%d cases, %d accepted, %d alike by the SDK: want at least 34, all but %d, and all but %d", cases, accepted, sameSDK, len(suiteRefused), len(suiteSDK))
	}
}

func readSuiteCase(t *testing.T, dir string) *suiteCase {
	t.Helper()
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	c := &suiteCase{name: filepath.Base(dir)}
	if err := json.Unmarshal([]byte(read("context.json")), c); err != nil {
		t.Fatal(err)
	}
	c.plain, c.body = requestOf(t, read("request.txt"))
	c.signed, _ = requestOf(t, read("header-signed-request.txt"))
	c.canonical, c.toSign, c.signatureText = read("header-canonical-request.txt"), read("header-string-to-sign.txt"), read("header-signature.txt")
	return c
}

// requestOf reads a request as it goes over the wire, and returns its body too.
func requestOf(t *testing.T, text string) (Request, string) {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.ReplaceAll(head, "\r", ""), "\n")
	method, rest, ok := strings.Cut(lines[0], " ")
	target, ok2 := strings.CutSuffix(rest, " HTTP/1.1")
	if !ok || !ok2 {
		t.Fatalf("%q is no request line", lines[0])
	}
	hash := sha256.Sum256([]byte(body))
	r := Request{Method: method, Headers: map[string][]string{}, PayloadHash: hex.EncodeToString(hash[:])}
	r.Path, r.Query, _ = strings.Cut(target, "?")
	last := ""
	for _, line := range lines[1:] {
		if strings.HasPrefix(line, " ") { // goes on the line before
			v := r.Headers[last]
			v[len(v)-1] += " " + strings.TrimSpace(line)
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		last = strings.ToLower(name)
		r.Headers[last] = append(r.Headers[last], value)
	}
	r.Host = r.Headers[hostHeader][0]
	return r, body
}

// checkTexts compares what is between the request and its signature.
func (c *suiteCase) checkTexts(t *testing.T) {
	t.Helper()
	s, err := ParseHTTP(&c.signed)
	if err != nil && !errors.Is(err, suiteRefused[c.name]) {
		t.Fatal(err)
	}
	if s.AccessKeyID != c.Credentials.ID || s.Region != c.Region || s.Service != c.Service || !s.Time.Equal(c.Timestamp) || s.Hex() != c.signatureText {
		t.Errorf("ParseHTTP = %+v", s)
	}
	canonical, err := s.appendCanonical(nil, c.signed, c.signed.Host)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Normalize { // the profile of S3, which kmsd does not speak, differs in the second line
		lines := strings.SplitN(string(canonical), "\n", 3)
		lines[1] = string(appendEncodedPath(nil, c.signed.Path))
		canonical = []byte(strings.Join(lines, "\n"))
	}
	if string(canonical) != c.canonical {
		t.Errorf("canonical request =\n%s\nwant\n%s", canonical, c.canonical)
	}
	toSign := s.appendStringToSign(nil, sha256.Sum256(canonical))
	if string(toSign) != c.toSign {
		t.Errorf("string to sign =\n%s\nwant\n%s", toSign, c.toSign)
	}
	mac := c.key().mac(toSign)
	if got := hex.EncodeToString(mac[:]); got != c.signatureText {
		t.Errorf("signature = %s, want %s", got, c.signatureText)
	}
}

func (c *suiteCase) verify(r Request) error {
	s, err := ParseHTTP(&r)
	if err != nil {
		return err
	}
	return s.Verify(c.key(), r, c.Timestamp)
}

// bySDK is the signature that AWS's SDK makes of the request. The suite's paths and queries are not escaped to be sent: the SDK escapes them once.
func (c *suiteCase) bySDK(t *testing.T) string {
	t.Helper()
	r := &http.Request{
		Method: c.plain.Method, URL: &url.URL{Scheme: "https", Host: c.plain.Host, Path: c.plain.Path, RawQuery: c.plain.Query},
		Host: c.plain.Host, Header: http.Header{}, ContentLength: int64(len(c.body)),
	}
	for name, values := range c.plain.Headers {
		if name != hostHeader && name != "content-length" {
			r.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	if v := c.signed.Headers[hashHeader]; len(v) > 0 {
		r.Header.Set(hashHeader, v[0])
	}
	credentials := aws.Credentials{AccessKeyID: c.Credentials.ID, SecretAccessKey: c.Credentials.Secret, SessionToken: c.Credentials.Token}
	if c.Omit {
		credentials.SessionToken = ""
	}
	once := func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, r, c.plain.PayloadHash, c.Service, c.Region, c.Timestamp, once); err != nil {
		t.Fatal(err)
	}
	_, signature, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	return signature
}
