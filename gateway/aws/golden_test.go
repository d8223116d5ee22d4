package aws_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/gateway/aws"
	"github.com/kmsd/kmsd/internal/kmstest"
)

var update = flag.Bool("update", false, "write the replies of testdata/golden anew; look at each difference")

// golden replays testdata/golden/<service>: its file "order" names the exchanges, one a line, in the order in which they happen to one kmsd. Each
// stands in a file of its own, <name>.txt, with the request above a line "--" and the reply below. The request begins with directives, one a line:
//
//	as NAME          who signs; root if there is none, and nobody for the name "nobody"
//	do NAME          something of the test's that happens before
//	undo NAME        and after
//	unordered NAME   a list of a reply in JSON whose order is by chance
//	keep NAME PATH   gives a value of the reply a name: of JSON by its path with dots, of XML by the name of its first element
//
// Behind an empty line follows the target (JSON) or nothing (Query), and then the body. <NAME> in the body is the value that was kept. In replies
// what was kept is <NAME> again, and what is by chance and was not kept is <time>, <uuid>, <hex> or <base64, n bytes>.
type golden struct {
	t       *testing.T
	kms     *kmstest.KMS
	service string
	http    *http.Client
	callers map[string]client.Credentials
	do      map[string]func(*golden)
	kept    map[string]string
}

// newGolden makes a run against k, whose root user is the caller "root".
func newGolden(t *testing.T, k *kmstest.KMS, service string) *golden {
	t.Helper()
	root := k.Credentials()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(root.CA) {
		t.Fatal("the credentials have no CA")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &golden{
		t: t, kms: k, service: service, http: &http.Client{Transport: transport, Timeout: time.Minute},
		callers: map[string]client.Credentials{"root": root}, do: map[string]func(*golden){}, kept: map[string]string{},
	}
}

// run replays every exchange.
func (g *golden) run() {
	g.t.Helper()
	folder := filepath.Join("testdata", "golden", g.service)
	order, err := os.ReadFile(filepath.Join(folder, "order"))
	if err != nil {
		g.t.Fatal(err)
	}
	names := strings.Fields(string(order))
	g.complete(folder, names)
	for _, name := range names {
		path := filepath.Join(folder, name+".txt")
		file, err := os.ReadFile(path)
		if err != nil {
			g.t.Fatal(err)
		}
		request, want, _ := strings.Cut(string(file), "\n--\n")
		got := g.exchange(name, strings.TrimSuffix(request, "\n--"))
		if *update {
			if err := os.WriteFile(path, []byte(strings.TrimRight(request, "\n")+"\n--\n"+got), 0o644); err != nil {
				g.t.Fatal(err)
			}
			continue
		}
		if got != want {
			g.t.Errorf("%s replies\n%s\nwant\n%s", name, got, want)
		}
	}
}

// complete fails if a file is not in the order, or one of the order is not there, or an operation has none.
func (g *golden) complete(folder string, names []string) {
	g.t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil || len(files) == 0 {
		g.t.Fatalf("%s has %d exchanges: %v", folder, len(files), err)
	}
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".txt"); !slices.Contains(names, name) {
			g.t.Errorf("%s is not in the order", f)
		}
	}
	has, absent := aws.Operations(g.service)
	if len(has) == 0 {
		g.t.Fatalf("there is no service %s", g.service)
	}
	for _, op := range slices.Concat(has, absent[:min(1, len(absent))]) {
		if !slices.Contains(names, op) {
			g.t.Errorf("%s has no exchange that succeeds: there is no %s.txt", op, op)
		}
	}
}

// exchange sends one request and returns the reply as text.
func (g *golden) exchange(name, text string) string {
	g.t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	if strings.HasPrefix(text, "\n") {
		head, body = "", text[1:]
	}
	as, mode, unordered := "root", "", ""
	var keep [][2]string
	for line := range strings.Lines(head) {
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && f[0] == "as":
			as = f[1]
		case len(f) == 2 && f[0] == "sign":
			mode = f[1]
		case len(f) == 2 && f[0] == "unordered":
			unordered = f[1]
		case len(f) == 2 && f[0] == "do":
			g.hook(name, f[1])
		case len(f) == 2 && f[0] == "undo":
			defer g.hook(name, f[1])
		case len(f) == 3 && f[0] == "keep":
			keep = append(keep, [2]string{f[1], f[2]})
		default:
			g.t.Fatalf("%s: a directive %q", name, line)
		}
	}
	r := g.request(body)
	g.sign(r, as, mode)
	code, header, reply := g.send(r)
	for _, k := range keep {
		v := find(g.t, header.Get("Content-Type"), reply, k[1])
		if v == "" && code == http.StatusOK {
			g.t.Fatalf("%s: the reply has no %s: %s", name, k[1], reply)
		}
		g.kept[k[0]] = v
	}
	return g.reply(code, header, g.sorted(reply, unordered))
}

// sorted is a reply with a list in the order of its entries as the golden files have them.
func (g *golden) sorted(reply []byte, list string) []byte {
	g.t.Helper()
	before, after, found := bytes.Cut(reply, []byte(`"`+list+`":`))
	if list == "" || !found {
		return reply
	}
	var entries []json.RawMessage
	d := json.NewDecoder(bytes.NewReader(after))
	if err := d.Decode(&entries); err != nil {
		g.t.Fatal(err)
	}
	slices.SortFunc(entries, func(a, b json.RawMessage) int { return strings.Compare(g.replaced(string(a)), g.replaced(string(b))) })
	var b bytes.Buffer
	b.Write(before)
	b.WriteString(`"` + list + `":[`)
	for i, e := range entries {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(e)
	}
	b.WriteByte(']')
	b.Write(after[d.InputOffset():])
	return b.Bytes()
}

func (g *golden) hook(name, what string) {
	f := g.do[what]
	if f == nil {
		g.t.Fatalf("%s: there is nothing to do called %q", name, what)
	}
	f(g)
}

// request makes a request of its text.
func (g *golden) request(text string) *http.Request {
	g.t.Helper()
	target, kind := "", "application/x-www-form-urlencoded; charset=utf-8"
	if g.service == "kms" || g.service == "organizations" {
		target, text, _ = strings.Cut(text, "\n")
		kind = "application/x-amz-json-1.1"
		text = strings.TrimRight(g.filled(text, func(s string) string { return s }), "\n")
	} else {
		text = strings.ReplaceAll(strings.TrimRight(g.filled(text, escape), "\n"), "\n", "&")
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, g.kms.AWSEndpoint(), strings.NewReader(text))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	// As SDKs do: it tells two calls apart that are alike.
	r.Header.Set("Amz-Sdk-Invocation-Id", rand.Text())
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
	}
	return r
}

// escape is s as a value of a form.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

var placeholder = regexp.MustCompile(`<([a-z][A-Za-z0-9]*)>`)

// filled puts what was kept in the places of its names.
func (g *golden) filled(text string, as func(string) string) string {
	return placeholder.ReplaceAllStringFunc(text, func(p string) string {
		v, ok := g.kept[p[1:len(p)-1]]
		if !ok {
			g.t.Errorf("nothing was kept as %s", p)
		}
		return as(v)
	})
}

func (g *golden) send(r *http.Request) (code int, header http.Header, reply []byte) {
	g.t.Helper()
	resp, err := g.http.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	reply, err = io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, reply
}

// find is a value of a reply.
func find(t *testing.T, contentType string, reply []byte, path string) string {
	t.Helper()
	if !strings.Contains(contentType, "json") {
		_, after, _ := bytes.Cut(reply, []byte("<"+path+">"))
		value, _, _ := bytes.Cut(after, []byte("<"))
		return string(value)
	}
	var v any
	if len(reply) > 0 {
		if err := json.Unmarshal(reply, &v); err != nil {
			t.Fatalf("the reply is no JSON: %v: %s", err, reply)
		}
	}
	for name := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(at) {
				return ""
			}
			v = at[i]
		}
	}
	s, _ := v.(string)
	return s
}

// What is by chance in replies.
var (
	jsonTime = regexp.MustCompile(`\b[12]\d{9}\.\d{3}\b`)
	date     = regexp.MustCompile(`\b\d{8}T\d{6}Z\b`)
	xmlTime  = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	xmlEpoch = regexp.MustCompile(`>[12]\d{9}<`)
	uuid     = regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
	hex64    = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	blob64   = regexp.MustCompile(`"[A-Za-z0-9+/]{22,}={0,2}"[,}\]]`)
)

// reply is a reply as the golden files have it.
func (g *golden) reply(code int, header http.Header, body []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP %d\n", code)
	for _, name := range []string{"Content-Type", "X-Amzn-Errortype", "X-Amzn-Requestid"} {
		if v := header.Get(name); v != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	b.WriteByte('\n')
	b.Write(body)
	return g.replaced(b.String()) + "\n"
}

// replaced is text with names for what is by chance.
func (g *golden) replaced(text string) string {
	names := make([]string, 0, len(g.kept))
	for name, v := range g.kept {
		if v != "" {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if n := len(g.kept[b]) - len(g.kept[a]); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		text = strings.ReplaceAll(text, g.kept[name], "<"+name+">")
	}
	text = jsonTime.ReplaceAllString(text, "<time>")
	text = xmlTime.ReplaceAllString(text, "<time>")
	text = xmlEpoch.ReplaceAllString(text, "><time><")
	text = date.ReplaceAllString(text, "<date>")
	text = uuid.ReplaceAllString(text, "<uuid>")
	text = hex64.ReplaceAllString(text, "<hex>")
	text = blob64.ReplaceAllStringFunc(text, func(s string) string {
		n := len(s) - 3
		if n%4 != 0 || strings.Contains(s, "Exception") {
			return s
		}
		return fmt.Sprintf(`"<base64, %d bytes>"%s`, n/4*3-strings.Count(s, "="), s[len(s)-1:])
	})
	return text
}
