package sigv4

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCanonicalPath(t *testing.T) {
	for _, row := range []struct{ sent, want string }{
		{"/", "/"},
		{"//", "/"},
		{"/.", "/"},
		{"/..", "/"},
		{"/../..", "/"},
		{"/./", "/"},
		{"/keys/..", "/"},
		{"/keys/../", "/"},
		{"/a/b/../../..", "/"},
		{"/keys", "/keys"},
		{"/keys/", "/keys/"},
		{"///keys//app///", "/keys/app/"},
		{"/./keys/./app", "/keys/app"},
		{"/keys/app/../web", "/keys/web"},
		{"/keys/...", "/keys/..."},
		{"/.keys/app.", "/.keys/app."},
		{"/AZaz09-._~", "/AZaz09-._~"},
		{"/a b", "/a%20b"},
		{"/a%20b", "/a%2520b"},
		{"/a%2Fb", "/a%252Fb"},
		{"/%2e%2e/a", "/%252e%252e/a"},
		{"/schlüssel", "/schl%C3%BCssel"},
		{"/\xff\x00", "/%FF%00"},
		{"/a:b@c!$&'()*+,;=", "/a%3Ab%40c%21%24%26%27%28%29%2A%2B%2C%3B%3D"},
	} {
		if got := string(appendEncodedPath(nil, normalizedPath(row.sent))); got != row.want {
			t.Errorf("the canonical form of the path %q = %q, want %q", row.sent, got, row.want)
		}
	}
}

func TestCanonicalQuery(t *testing.T) {
	for _, row := range []struct {
		sent, want string
		err        error
	}{
		{"", "", nil},
		{"Action=ListUsers", "Action=ListUsers", nil},
		{"b=1&a=2", "a=2&b=1", nil},
		{"a=2&a=1", "a=1&a=2", nil},
		{"A=1&a=2&B=3", "A=1&B=3&a=2", nil},
		{"a-b=1&a=2", "a=2&a-b=1", nil},
		{"a.b=1&a=2&a1=3", "a=2&a.b=1&a1=3", nil},
		{"%C3%A4=1&z=2", "%C3%A4=1&z=2", nil},
		{"ä=1&z=2", "%C3%A4=1&z=2", nil},
		{"flag", "flag=", nil},
		{"flag=", "flag=", nil},
		{"=v", "=v", nil},
		{"a=b=c", "a=b%3Dc", nil},
		{"&&a=1&&", "a=1", nil},
		{"a=%7e%2d%41", "a=~-A", nil},
		{"a=%2f/", "a=%2F%2F", nil},
		{"a=b%20c", "a=b%20c", nil},
		{"a=b%2Bc", "a=b%2Bc", nil},
		{"a=b?c;d", "a=b%3Fc%3Bd", nil},
		{"a=b+c", "", ErrIncomplete},
		{"a=%", "", ErrIncomplete},
		{"a=%4", "", ErrIncomplete},
		{"%zz=1", "", ErrIncomplete},
		{strings.Repeat("a", maxQuery+1), "", ErrIncomplete},
		{strings.Repeat("a&", maxParameters+1), "", ErrIncomplete},
	} {
		got, err := appendCanonicalQuery(nil, row.sent)
		if row.err != nil && errors.Is(err, row.err) {
			continue
		}
		if string(got) != row.want || err != nil {
			t.Errorf("the canonical form of the query %.40q = %q, %v, want %q, %v", row.sent, got, err, row.want, row.err)
		}
	}
}

func TestCanonicalHeader(t *testing.T) {
	for _, row := range []struct {
		sent []string
		want string
		err  error
	}{
		{[]string{"v"}, "v", nil},
		{[]string{""}, "", nil},
		{[]string{"  "}, "", nil},
		{[]string{" v "}, "v", nil},
		{[]string{"a  b\t\tc"}, "a b c", nil},
		{[]string{`" a   b "`}, `" a b "`, nil},
		{[]string{"b", "a"}, "b,a", nil},
		{[]string{" b ", " a"}, "b,a", nil},
		{[]string{"a", "", "a"}, "a,,a", nil},
		{[]string{"a,b"}, "a,b", nil},
		{[]string{"grün\xff"}, "grün\xff", nil},
		{nil, "", ErrIncomplete},
		{[]string{"a\nb"}, "", ErrIncomplete},
		{[]string{"a\rb"}, "", ErrIncomplete},
		{[]string{"a\x00b"}, "", ErrIncomplete},
		{[]string{"a\x7fb"}, "", ErrIncomplete},
	} {
		got, err := appendFolded(nil, row.sent)
		if row.err != nil && errors.Is(err, row.err) {
			continue
		}
		if string(got) != row.want || err != nil {
			t.Errorf("the canonical form of the values %q = %q, %v, want %q, %v", row.sent, got, err, row.want, row.err)
		}
	}
}

// Whatever request AWS's signer signs that its clients can send, verifies.
func TestVerifyHTTPAgainstSigner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := httpRequest()
		r.Method = rapid.SampledFrom([]string{"GET", "POST", "PUT", "DELETE"}).Draw(t, "method")
		r.Host = rapid.StringMatching(`[a-z][a-z0-9-]{0,20}(\.[a-z]{1,9}){0,2}(:[1-9][0-9]{1,4})?`).Draw(t, "host")
		r.Path = "/" + strings.Join(rapid.SliceOfN(rapid.StringMatching(`([A-Za-z0-9_~-]|%[2-7E][0-9A-F]){1,9}`), 0, 3).Draw(t, "path"), "/")
		query := url.Values{}
		for name, values := range rapid.MapOfN(rapid.StringMatching(`[A-Za-z][A-Za-z0-9.~_-]{0,8}`), rapid.SliceOfN(rapid.StringN(0, 20, -1), 1, 1), 0, 4).Draw(t, "query") {
			if !strings.HasPrefix(strings.ToLower(name), "x-amz-") {
				query[name] = values
			}
		}
		r.Query = strings.ReplaceAll(query.Encode(), "+", "%20")
		r.PayloadHash = hashOf(rapid.StringN(0, 20, -1).Draw(t, "body"))
		maps.Copy(r.Headers, rapid.MapOfN(rapid.StringMatching(`(x-amz-meta-|x-kmsd-|app-)[a-z0-9]{1,9}`),
			rapid.SliceOfN(rapid.StringMatching(`[!-~ ]{0,40}`), 1, 1), 0, 4).Draw(t, "headers"))
		token := rapid.SampledFrom([]string{"", "dG9rZW4="}).Draw(t, "token")
		at := time.Unix(rapid.Int64Range(1e9, 4e9).Draw(t, "time"), 0).UTC()
		signed := signHTTP(t, r, token, "kms", at)
		if err := verifyHTTP(signed, keyOf(at), at); err != nil {
			t.Fatalf("Verify = %v, want nil for %+v", err, signed)
		}
	})
}

// One byte of what is signed that is another one, or one more or one less, and nothing verifies.
func TestVerifyHTTPRefusesEveryChange(t *testing.T) {
	r, key := signedRequest(t), testKey()
	r.Path, r.Query = "/keys/app", "a=1&b=%20"
	r = signHTTP(t, r, "token", "kms", testTime)
	parts := map[string]struct {
		text string
		put  func(*Request, string)
	}{
		"method":       {r.Method, func(r *Request, s string) { r.Method = s }},
		"path":         {r.Path, func(r *Request, s string) { r.Path = s }},
		"query":        {r.Query, func(r *Request, s string) { r.Query = s }},
		"host":         {r.Host, func(r *Request, s string) { r.Host = s }},
		"payload hash": {r.PayloadHash, func(r *Request, s string) { r.PayloadHash = s }},
	}
	signed := r.Headers["authorization"][0]
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		if strings.Contains(signed, name) || name == "authorization" {
			parts["header "+name] = struct {
				text string
				put  func(*Request, string)
			}{r.Headers[name][0], func(r *Request, s string) { r.Headers[name] = []string{s} }}
		}
	}
	if len(parts) < 10 {
		t.Fatalf("only %d parts are signed", len(parts))
	}
	names := slices.Sorted(maps.Keys(parts))
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "part")
		p := parts[name]
		at := rapid.IntRange(0, len(p.text)-1).Draw(t, "at")
		c := rapid.Byte().Draw(t, "byte")
		var text string
		switch rapid.IntRange(0, 2).Draw(t, "change") {
		case 0:
			text = p.text[:at] + string([]byte{c}) + p.text[at+1:]
		case 1:
			text = p.text[:at] + string([]byte{c}) + p.text[at:]
		case 2:
			text = p.text[:at] + p.text[at+1:]
		}
		if text == p.text || sameMeaning(name, text, p.text) {
			return
		}
		if err := verifyHTTP(changed(r, func(r *Request) { p.put(r, text) }), key, testTime); err == nil {
			t.Fatalf("%s = %q verifies, signed was %q", name, text, p.text)
		}
	})
}

// sameMeaning reports whether two texts differ only in what canonicalization takes for the same thing.
func sameMeaning(part, a, b string) bool {
	canonical := func(s string) string {
		var c []byte
		var err error
		switch {
		case part == "path":
			c = appendEncodedPath(nil, normalizedPath(s))
		case part == "query":
			c, err = appendCanonicalQuery(nil, s)
		case part == "header authorization":
			c = []byte(strings.NewReplacer(" ", "", "\t", "").Replace(s))
		case strings.HasPrefix(part, "header "):
			c, err = appendFolded(nil, []string{s})
		default:
			return s
		}
		if err != nil {
			return err.Error()
		}
		return string(c)
	}
	return canonical(a) == canonical(b)
}

// FuzzVerifyHTTP: nothing but what was signed verifies, whatever the headers are, and nothing panics.
func FuzzVerifyHTTP(f *testing.F) {
	r := signedRequest(f)
	key := testKey()
	authorization, date := r.Headers["authorization"][0], r.Headers[dateHeader][0]
	f.Add(authorization, date, "/", "", testHost, "token", httpBody)
	f.Add(strings.ReplaceAll(authorization, ", ", ","), date, "//./", "", testHost, "token", httpBody)
	f.Add(authorization, date, "/", "X-Amz-Signature=0", testHost+":443", "", "")
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host;x-amz-date, Signature=", "Mon, 02 Jan 2006 15:04:05 GMT", "/%", "a=%&+", "", "\n", "")
	f.Add(",=,=,=", "", "", "&=&", "[::1]:80", "a\tb", "")
	f.Fuzz(func(t *testing.T, a, date, path, query, host, token, body string) {
		forged := changed(r, func(r *Request) {
			r.Path, r.Query, r.Host, r.PayloadHash = path, query, host, hashOf(body)
			r.Headers["authorization"], r.Headers[dateHeader], r.Headers[tokenHeader] = []string{a}, []string{date}, []string{token}
		})
		s, err := ParseHTTP(&forged)
		if err != nil {
			if s != (Signature{}) || awsName(err) == "" {
				t.Errorf("ParseHTTP = %+v, %v", s, err)
			}
			return
		}
		err = s.Verify(key, forged, s.Time)
		if err != nil && awsName(err) == "" {
			t.Errorf("Verify = %v, which is no error it may return", err)
		}
		if err == nil && (date != r.Headers[dateHeader][0] || normalizedPath(path) != "/" || strings.Trim(query, "&") != "" || strings.TrimSuffix(host, ":443") != testHost || strings.TrimSpace(token) != "token" || body != httpBody) {
			t.Errorf("a forged request verifies: %q %q %q %q %q %q %q", a, date, path, query, host, token, body)
		}
	})
}

func BenchmarkVerifyHTTP(b *testing.B) {
	r, key := signedRequest(b), testKey()
	b.ReportAllocs()
	for b.Loop() {
		if err := verifyHTTP(r, key, testTime); err != nil {
			b.Fatal(err)
		}
	}
}
