package aws

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// written is an answer as a handler writes it.
type written struct {
	header http.Header
	code   int
	body   []byte
}

func (w *written) Header() http.Header { return w.header }

func (w *written) WriteHeader(code int) { w.code = code }

func (w *written) Write(b []byte) (int, error) {
	w.body = append(w.body, b...) // the front overwrites what it has written
	return len(b), nil
}

// fuzzed is a front over a pipeline that pretends.
type fuzzed struct {
	g       *Gateway
	p       *pretend
	w       written
	slowest time.Duration
}

func newFuzzed(tb testing.TB) *fuzzed {
	p := &pretend{methods: map[string]*operation{}}
	for _, s := range newServices() {
		for _, op := range s.operations {
			p.methods[op.method] = op
		}
	}
	g, err := New(Config{Conn: p, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})), Registry: prometheus.NewRegistry(), Limits: Limits{BodyBytes: 64 << 10}})
	if err != nil {
		tb.Fatal(err)
	}
	return &fuzzed{g: g, p: p, w: written{header: http.Header{}}}
}

// httpRequestOf makes a request as net/http would have read it. Each line of headers is "Name: value"; one of the name ":url" is the target of its first line.
func httpRequestOf(method, target, contentType, headers string, body []byte) *http.Request {
	r := &http.Request{
		Method: method, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: "kms.example.com", RemoteAddr: "192.0.2.1:1234",
		URL: &url.URL{Path: "/"}, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
	if target != "" {
		r.Header[targetHeader] = []string{target}
	}
	if contentType != "" {
		r.Header["Content-Type"] = []string{contentType}
	}
	for line := range strings.SplitSeq(headers, "\n") {
		name, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); {
		case name == "" && strings.HasPrefix(value, "url:"):
			if u, err := url.ParseRequestURI(strings.TrimSpace(value[4:])); err == nil {
				r.URL = u
			}
		case strings.EqualFold(name, "Transfer-Encoding"):
			r.TransferEncoding, r.ContentLength = []string{"chunked"}, -1
		case name != "":
			name = http.CanonicalHeaderKey(name)
			r.Header[name] = append(r.Header[name], value)
		}
	}
	return r
}

// run sends one request through the handler, and says what is wrong with what comes of it; empty if nothing.
func (z *fuzzed) run(r *http.Request, seed []byte) string {
	z.p.calls, z.p.wrong, z.p.given = 0, "", false
	z.p.dice = dice{state: maphash.Bytes(diceSeed, seed), from: string(seed[:min(len(seed), 512)])}
	clear(z.w.header)
	z.w.code, z.w.body = 0, z.w.body[:0]
	began := time.Now()
	z.g.serveHTTP(&z.w, r)
	took := time.Since(began)
	z.slowest = max(z.slowest, took)
	switch {
	case took > time.Second:
		return "it took " + took.String()
	case z.p.wrong != "":
		return z.p.wrong
	case z.p.calls != 1:
		return fmt.Sprintf("%d calls of the pipeline, want 1", z.p.calls)
	case z.p.given:
		return "an answer is not wiped"
	case z.w.code < 200 || z.w.code > 599:
		return fmt.Sprintf("HTTP %d", z.w.code)
	case map[string][]string(z.w.header)["x-amzn-RequestId"] == nil || z.w.header["Content-Length"][0] != strconv.Itoa(len(z.w.body)):
		return fmt.Sprintf("the headers are %v with %d bytes", z.w.header, len(z.w.body))
	case z.g.room.all != share{} || len(z.g.room.hosts) > 0:
		return fmt.Sprintf("the request left %+v behind", z.g.room.all)
	}
	return z.wellFormed()
}

func (z *fuzzed) wellFormed() string {
	switch media := z.w.header["Content-Type"][0]; {
	case strings.HasPrefix(media, "text/xml"):
		d := xml.NewDecoder(bytes.NewReader(z.w.body))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				return fmt.Sprintf("%q is no XML: %v", z.w.body, err)
			}
		}
	case media != jsonType:
		return "the content type is " + media
	case !json.Valid(z.w.body) && (len(z.w.body) > 0 || z.w.code != http.StatusOK):
		return fmt.Sprintf("%q is no JSON", z.w.body)
	}
	return ""
}

// input is what an execution is made of.
type input struct{ method, target, contentType, headers, body string }

func (i *input) request() *http.Request {
	return httpRequestOf(i.method, i.target, i.contentType, i.headers, []byte(i.body))
}

// httpSeeds are requests of every operation, with every member, and some of none.
func httpSeeds() (all []input) {
	for _, s := range newServices() {
		for _, name := range slices.Sorted(maps.Keys(s.operations)) {
			op := s.operations[name]
			if s.target != "" {
				all = append(all, input{"POST", s.target + name, jsonType, "X-Amz-Date: 20261123T235801Z\nAmz-Sdk-Invocation-Id: 11112222-3333", jsonSeed(op.in, 3)})
				continue
			}
			all = append(all, input{"POST", "", formType, "", "Action=" + name + "&Version=" + s.version + formSeed(op.in, "&", 3)})
		}
	}
	return append(all,
		input{"GET", "", "", ":url: /?Action=GetCallerIdentity&X-Amz-Signature=00", ""},
		input{"POST", "DynamoDB.ListTables", jsonType, "Content-Encoding: gzip\nTransfer-Encoding: chunked", "{}"},
		input{"POST", "TrentService.Frobnicate", jsonType + "; charset=utf-8", ":url: //%2e?a=b", `{"a":[{}],"\ud800":1e400}`},
		input{"POST", "TrentService.CreateCustomKeyStore", jsonType, "X-Amz-Target: a\nX-Amz-Content-Sha256: STREAMING-", "\xff"},
	)
}

// FuzzHTTP sends requests of any method, target, content type, headers and body through the real handler. The pipeline behind it reads them as kmsd's does. Each is
// one call of it, and each answer well-formed JSON or XML; nothing of it stays behind, and none takes a second.
func FuzzHTTP(f *testing.F) {
	for _, i := range httpSeeds() {
		f.Add(i.method, i.target, i.contentType, i.headers, []byte(i.body))
	}
	z := newFuzzed(f)
	f.Fuzz(func(t *testing.T, method, target, contentType, headers string, body []byte) {
		in := input{method, target, contentType, headers, string(body)}
		if wrong := z.run(in.request(), body); wrong != "" {
			t.Error(wrong)
		}
	})
}

// jsonSeed is a body with every member of a shape.
func jsonSeed(s *shape, depth int) string {
	var all []string
	for _, m := range s.ordered {
		if depth == 0 && m.kind == kindStructure {
			continue
		}
		v := seedOf(m, func(s *shape) string { return jsonSeed(s, depth-1) })
		switch {
		case m.dict:
			v = `{"a":"b"}`
		case m.list:
			v = "[" + v + "]"
		}
		all = append(all, strconv.Quote(m.name)+":"+v)
	}
	return "{" + strings.Join(all, ",") + "}"
}

func seedOf(m *member, structure func(*shape) string) string {
	switch m.kind {
	case kindBlob:
		return `"aGVsbG8="`
	case kindBoolean:
		return "false"
	case kindInteger, kindLong, kindUnsigned:
		return "32"
	case kindTime:
		return "1764000000.5"
	case kindEnum:
		return strconv.Quote(slices.Sorted(maps.Keys(m.enum.numbers))[0])
	case kindStructure:
		if m.shape != nil {
			return structure(m.shape)
		}
		return "{}"
	}
	return `"alias/text"`
}

// formSeed is the pairs of every member of a shape, each after prefix.
func formSeed(s *shape, prefix string, depth int) string {
	var b strings.Builder
	for _, m := range s.ordered {
		name := prefix + m.name
		if m.list {
			name += ".member.1"
		}
		if m.kind != kindStructure {
			v := strings.Trim(seedOf(m, nil), `"`)
			if m.kind == kindTime {
				v = "2026-11-23T23:58:01Z"
			}
			b.WriteString(name + "=" + url.QueryEscape(v))
		} else if m.shape != nil && depth > 0 {
			b.WriteString(formSeed(m.shape, name+".", depth-1))
		}
	}
	return b.String()
}

// BenchmarkFrontWithoutPipeline is what an execution of FuzzHTTP costs: reading, translating, answering and checking the answer.
func BenchmarkFrontWithoutPipeline(b *testing.B) {
	z := newFuzzed(b)
	body := []byte(`{"KeyId":"alias/a","Plaintext":"aGVsbG8="}`)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if wrong := z.run(httpRequestOf("POST", "TrentService.Encrypt", jsonType, "X-Amz-Date: 20261123T235801Z", body), body); wrong != "" {
			b.Fatal(wrong)
		}
	}
}
