package aws

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
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
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kmsd/kmsd/internal/front"
)

// pretend stands for the pipeline: it reads requests as the pipeline does, and answers with errors and messages that depend on the request alone.
type pretend struct {
	methods map[string]*operation
	dice    dice
	calls   int
	wrong   string // what a call found wrong with how it was called; empty if nothing
	given   bool   // an answer that has to be wiped
}

const pretendID = "11112222-3333-4444-5555-666677778888"

// Invoke is one call.
func (p *pretend) Invoke(ctx context.Context, method string, args, out any, _ ...grpc.CallOption) error {
	p.calls++
	call := front.FromContext(ctx)
	request, isRequest := args.(front.Request)
	answer, isReply := out.(*front.Reply)
	switch {
	case call == nil || call.Conn == nil || !isRequest || !isReply:
		p.wrong = "the call lacks something"
		return failed(codes.Internal, "KMSInternalException", "", nil)
	case call.Refused != nil:
		if call.Refused.Reason == "" {
			p.wrong = "a request is refused without a reason"
		}
		return failed(codes.InvalidArgument, call.Refused.Reason, call.Refused.Message, nil)
	case call.Signed == nil || len(call.Signed.PayloadHash) != 64 || call.Signed.Headers["host"] == nil:
		p.wrong = "the call has no signed request"
	}
	op := p.methods[method]
	if op == nil {
		if method != unknownMethod {
			p.wrong = "a call of " + method
		}
		return failed(codes.Unimplemented, reasonUnsupported, "kmsd has no such method", nil)
	}
	if call.Service != op.service.name {
		p.wrong = "a call of " + method + " for the service " + call.Service
	}
	m := newMessage(op.in)
	if err := request.DecodeTo(m); err != nil {
		var e *front.Error
		if !errors.As(err, &e) || e.Reason == "" {
			p.wrong = fmt.Sprintf("DecodeTo gives %v", err)
			return failed(codes.Internal, "KMSInternalException", "", nil)
		}
		return failed(codes.InvalidArgument, e.Reason, e.Message, nil)
	}
	return p.answer(op, m, answer)
}

// NewStream is not called.
func (p *pretend) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.New("a front has no streams")
}

// answer is an error for every fourth request.
func (p *pretend) answer(op *operation, in proto.Message, answer *front.Reply) error {
	if p.dice.n(4) == 0 {
		reasons := []string{
			"AccessDeniedException", "ValidationException", "NotFoundException", "KMSInternalException", "InvalidCiphertextException", "NoSuchEntityException", "ThrottlingException", "",
			"ExpiredTokenException", p.dice.text(),
		}
		code := codes.Code(p.dice.n(17))
		if code == codes.OK {
			code = codes.Unavailable
		}
		fields := in.ProtoReflect().Descriptor().Fields()
		field := p.dice.text()
		if fields.Len() > 0 {
			field = string(fields.Get(p.dice.n(fields.Len())).Name())
		}
		return failed(code, reasons[p.dice.n(len(reasons))], p.dice.text(), []*errdetails.BadRequest_FieldViolation{
			{Field: field, Description: "must be given"}, {Field: p.dice.text(), Description: p.dice.text()},
		})
	}
	m := newMessage(op.out)
	p.dice.fill(m.ProtoReflect(), 3)
	p.given = true
	answer.Message, answer.RequestID, answer.Wipe = m, pretendID, func() { p.given = false }
	return nil
}

func failed(code codes.Code, reason, message string, fields []*errdetails.BadRequest_FieldViolation) error {
	st := status.New(code, message)
	with, err := st.WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "kms"}, &errdetails.RequestInfo{RequestId: pretendID}, &errdetails.BadRequest{FieldViolations: fields})
	if err != nil {
		return st.Err()
	}
	return with.Err()
}

// dice gives what is random for a reader and the same for the same request.
type dice struct {
	state uint64
	from  string // texts are parts of it
}

var diceSeed = maphash.MakeSeed()

func (d *dice) n(n int) int {
	d.state = d.state*6364136223846793005 + 1442695040888963407
	return int(d.state>>33) % n
}

// text is a part of the request, or what is hard to write in JSON or XML.
func (d *dice) text() string {
	if d.n(3) == 0 || len(d.from) == 0 {
		return []string{"", "alias/a", "<&>\"'", "\x00\x01\x1f", "\u2028\ufffe", "😀", "]]>", "a b+c%", "\r\n"}[d.n(9)]
	}
	i := d.n(len(d.from))
	return strings.ToValidUTF8(d.from[i:min(len(d.from), i+1+d.n(32))], "�")
}

// fill gives the fields of a message values, messages within it as deep as depth.
func (d *dice) fill(m protoreflect.Message, depth int) {
	if m.Descriptor().FullName() == "google.protobuf.Timestamp" {
		f := m.Descriptor().Fields()
		m.Set(f.ByName("seconds"), protoreflect.ValueOfInt64([]int64{0, 1764000000, -1, 253402300799, -62135596800}[d.n(5)]))
		m.Set(f.ByName("nanos"), protoreflect.ValueOfInt32(int32(d.n(1_000_000_000))))
		return
	}
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		if d.n(4) == 0 || f.Message() != nil && depth == 0 {
			continue
		}
		switch {
		case f.IsMap():
			if f.MapKey().Kind() == protoreflect.StringKind && f.MapValue().Kind() == protoreflect.StringKind {
				m.Mutable(f).Map().Set(protoreflect.ValueOfString(d.text()).MapKey(), protoreflect.ValueOfString(d.text()))
			}
		case f.IsList():
			list := m.Mutable(f).List()
			for range d.n(3) {
				if f.Message() != nil {
					d.fill(list.AppendMutable().Message(), depth-1)
				} else {
					list.Append(d.value(f))
				}
			}
		case f.Message() != nil:
			d.fill(m.Mutable(f).Message(), depth-1)
		default:
			m.Set(f, d.value(f))
		}
	}
}

func (d *dice) value(f protoreflect.FieldDescriptor) protoreflect.Value {
	number := []int64{0, 1, -1, 365, 1<<31 - 1, -1 << 31}[d.n(6)]
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(d.n(8) != 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(d.n(f.Enum().Values().Len() + 1)))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(d.text())
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(d.text()))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(number)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(number))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(number))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(number))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(number))
	}
	return protoreflect.ValueOfInt32(int32(number))
}

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
