package aws

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/iam/sigv4"
	"github.com/kmsd/kmsd/internal/front"
)

// unknownMethod is no method of kmsd's: a call of it is authenticated, recorded and refused.
const unknownMethod = "/unknown"

// exchange is one request and its answer. It is the front.Request of its call.
type exchange struct {
	g     *Gateway
	w     http.ResponseWriter
	r     *http.Request
	conn  *connection
	guest guest

	service *service     // whose form the answer has
	op      *operation   // nil if the request is of none
	absent  *front.Error // how a call of an operation ends that the service has not, once its caller is known
	refused *refused     // how the request ends, whatever it asks for
	body    *body
	call    front.Call
	signed  sigv4.Request
	reply   front.Reply
}

// serveHTTP answers one request, by one call of the pipeline.
func (g *Gateway) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.enter() {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	defer g.handlers.Done()
	x := &exchange{g: g, w: w, r: r, conn: connectionOf(r), service: g.services.formOf(r)}
	x.guest = guest{x.conn.host, x.conn.known.Load()}
	defer x.caught()
	one := share{requests: 1}
	if g.room.enter(x.guest, one) {
		defer g.room.leave(x.guest, one)
		x.receive()
	} else {
		x.refused = errBusy
	}
	defer x.body.release()
	x.answer(x.invoke())
}

// caught is deferred: a panic ends the request, and its value, which might hold anything, is not told.
func (x *exchange) caught() {
	if v := recover(); v != nil {
		x.g.log.Error("panic in a request", "front", "aws", "type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
		x.wipe()
		panic(http.ErrAbortHandler) // the connection ends, and nothing more is said
	}
}

// receive reads the request as far as it is to be carried out.
func (x *exchange) receive() {
	if x.refused = checkHead(x.r); x.refused != nil {
		return
	}
	if x.body, x.refused = x.readBody(); x.refused != nil {
		return
	}
	x.service, x.op, x.absent, x.refused = x.g.services.route(x.r, x.body.bytes())
}

// invoke calls the pipeline.
func (x *exchange) invoke() error {
	x.call.Conn, x.call.UserAgent = &x.conn.conn, x.r.UserAgent()
	x.call.Service, x.call.Operation = x.service.name, x.g.services.operationName(x.r, x.body.bytes())
	if x.refused != nil {
		x.call.Refused = &x.refused.Error
	} else {
		x.sign()
	}
	method := unknownMethod
	if x.op != nil && x.refused == nil {
		method = x.op.method
	}
	err := x.g.conn.Invoke(front.NewContext(x.r.Context(), &x.call), method, x, &x.reply)
	if err == nil && !x.conn.known.Load() {
		x.conn.known.Store(true)
	}
	return err
}

// sign lays out the request as its signature covers it.
func (x *exchange) sign() {
	sum := sha256.Sum256(x.body.bytes())
	x.signed = sigv4.Request{
		Method: x.r.Method, Path: x.r.URL.EscapedPath(), Query: x.r.URL.RawQuery, Host: x.r.Host,
		Headers: lowerCase(x.r), PayloadHash: hex.EncodeToString(sum[:]),
	}
	x.call.Signed = &x.signed
}

// lowerCase is the headers of a request by lower-case name, those that net/http keeps elsewhere among them. Its values are those of the request.
func lowerCase(r *http.Request) map[string][]string {
	all := make(map[string][]string, len(r.Header)+2)
	for name, values := range r.Header {
		lower, ok := lowerNames[name]
		if !ok {
			lower = strings.ToLower(name)
		}
		if before := all[lower]; before != nil {
			values = slices.Concat(before, values)
		}
		all[lower] = values
	}
	all["host"] = []string{r.Host}
	if all["content-length"] == nil && r.ContentLength >= 0 && len(r.TransferEncoding) == 0 {
		all["content-length"] = []string{strconv.FormatInt(r.ContentLength, 10)}
	}
	return all
}

// lowerNames :: name of a header that AWS's clients send, as net/http has it → in lower case, so that it need not be made for each request. Never written.
var lowerNames = lowered("Accept", "Accept-Encoding", "Amz-Sdk-Invocation-Id", "Amz-Sdk-Request", "Authorization", "Connection", "Content-Length", "Content-Type", "User-Agent",
	"X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Target", "X-Amz-User-Agent", "X-Amzn-Trace-Id")

func lowered(names ...string) map[string]string {
	m := make(map[string]string, len(names))
	for _, n := range names {
		m[n] = strings.ToLower(n)
	}
	return m
}

// DecodeTo reads the body as the request of the operation. The pipeline calls it once it knows the caller.
func (x *exchange) DecodeTo(m proto.Message) error {
	if x.op == nil {
		return nil
	}
	if err := x.service.protocol.decode(x.op, x.body.bytes(), m); err != nil {
		return err
	}
	x.op.setToken(m, x.r.Header.Get("Amz-Sdk-Invocation-Id"))
	return nil
}

// answer writes how the call ended.
func (x *exchange) answer(err error) {
	defer x.wipe()
	if err != nil {
		x.fail(status.Convert(err))
		return
	}
	if x.op == nil || x.reply.Message == nil {
		x.fail(status.New(codes.Internal, "internal error"))
		return
	}
	if dry := x.op.dry(x.reply.Message, x.reply.RequestID); dry != nil {
		x.fail(dry)
		return
	}
	b := x.service.protocol.encode(x.op, x.reply.Message, x.reply.RequestID)
	defer clear(b)
	x.write(http.StatusOK, x.reply.RequestID, "", b)
}

// wipe overwrites what is secret in the answer of the pipeline.
func (x *exchange) wipe() {
	if x.reply.Wipe != nil {
		x.reply.Wipe()
	}
}

// fail writes an error.
func (x *exchange) fail(st *status.Status) {
	p := problemOf(st)
	if x.absent != nil && p.reason == reasonUnsupported {
		st = ownStatus(codes.Unimplemented, x.absent, p.requestID) // in the place of the pipeline's words for a call of no method
	}
	f := x.service.protocol.fail(x.service, x.op, st)
	if x.refused != nil && x.refused.code != 0 && p.reason == x.refused.Reason {
		f.code = x.refused.code
	}
	x.write(f.code, p.requestID, f.errorType, f.body)
}

// write writes the answer. What cannot be written has nobody who waits for it.
func (x *exchange) write(code int, requestID, errorType string, b []byte) {
	h := x.w.Header()
	h["Content-Type"] = []string{x.service.protocol.contentType()}
	h["Content-Length"] = []string{strconv.Itoa(len(b))}
	h["Cache-Control"] = noStore
	if requestID != "" {
		h["x-amzn-RequestId"] = []string{requestID}
	}
	if errorType != "" {
		h["x-amzn-ErrorType"] = []string{errorType}
	}
	if x.r.ProtoMajor == 1 && (x.refused != nil || len(x.r.TransferEncoding) > 0) {
		// What is left of the body is not read. And who disagrees with kmsd on where a chunked request ends finds no second one behind it (RFC 9112, 11.2).
		h["Connection"] = closing
	}
	x.g.metrics.requests.WithLabelValues(x.service.label(), strconv.Itoa(code)).Inc()
	if x.r.ProtoMajor != 2 {
		x.w.WriteHeader(code)
		_, _ = x.w.Write(b)
		return
	}
	// A client need not take an answer, on each of its streams. net/http would wait for it once the handler has returned, when nothing counts it.
	wait := x.g.limits.Read
	if x.refused == errBusy {
		wait = untakenBusy
	}
	control := http.NewResponseController(x.w)
	_ = control.SetWriteDeadline(time.Now().Add(wait)) // which only a stub has not
	x.w.WriteHeader(code)
	_, _ = x.w.Write(b)
	_ = control.Flush()
}

// untakenBusy is how long an answer over HTTP/2 to a request that there was no room for waits for its client to take it: it has no share of the room.
const untakenBusy = 250 * time.Millisecond

// Values of headers, which are never written.
var (
	noStore = []string{"no-cache, no-store, must-revalidate, private"}
	closing = []string{"close"}
)

// body is the body of a request, and the room that it takes.
type body struct {
	b    []byte
	room func(bytes int) // gives room back
}

// bytes is the body; empty if there is none.
func (b *body) bytes() []byte {
	if b == nil {
		return nil
	}
	return b.b
}

// release overwrites the body, which may hold plaintext, and gives its room back.
func (b *body) release() {
	if b == nil {
		return
	}
	clear(b.b[:cap(b.b)])
	b.room(cap(b.b))
	b.b = nil
}

const (
	// firstBody is how many bytes of memory a body gets at first; it gets more as it comes, and not because a header says how long it will be.
	firstBody = 4 << 10
	// trustedBody is up to how many bytes a header is believed.
	trustedBody = 64 << 10
)

// readBody reads the body, at most Limits.BodyBytes of it.
func (x *exchange) readBody() (*body, *refused) {
	most := x.g.limits.BodyBytes
	if x.r.ContentLength > int64(most) {
		return nil, errTooLarge(most)
	}
	first := firstBody
	if n := x.r.ContentLength; n >= 0 && n < trustedBody {
		first = int(n) + 1 // a byte more, so that its end is read without growing
	}
	b := &body{room: func(bytes int) { x.g.room.leave(x.guest, share{bytes: bytes}) }}
	if !x.grow(b, min(first, most+1)) {
		return nil, errBusy
	}
	for {
		n, err := x.r.Body.Read(b.b[len(b.b):cap(b.b)])
		b.b = b.b[:len(b.b)+n]
		switch {
		case len(b.b) > most:
			b.release()
			return nil, errTooLarge(most)
		case err == io.EOF:
			return b, nil
		case err != nil:
			b.release()
			return nil, errIncomplete(err)
		case len(b.b) == cap(b.b) && !x.grow(b, min(2*cap(b.b), most+1)):
			b.release()
			return nil, errBusy
		}
	}
}

// grow gives a body n bytes of memory in the place of what it has; false if there is no room.
func (x *exchange) grow(b *body, n int) bool {
	if !x.g.room.enter(x.guest, share{bytes: n}) {
		return false
	}
	old := b.b
	b.b = append(make([]byte, 0, n), old...)
	clear(old)
	x.g.room.leave(x.guest, share{bytes: cap(old)})
	return true
}
