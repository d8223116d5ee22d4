package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam/sigv4"
	"github.com/kmsd/kmsd/internal/front"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

const (
	identityMethod  = stsv1.STSService_GetCallerIdentity_FullMethodName
	createKeyMethod = kmsv1.KeyService_CreateKey_FullMethodName
	randomMethod    = kmsv1.CryptoService_GenerateRandom_FullMethodName
	frontHost       = "kmsd.example:7445"
)

// frontConn is a connection of a front.
var frontConn = &front.Conn{
	Front: "aws", Peer: netip.MustParseAddrPort("192.0.2.7:50123"), Listener: "127.0.0.1:7445", TLSVersion: "TLS 1.3", CipherSuite: "TLS_AES_128_GCM_SHA256", SNI: "kmsd.example",
}

// signer is who signs HTTP requests, and how.
type signer struct {
	credentials             aws.Credentials
	service, region, target string
	body                    string
	at                      time.Time
}

// accessKey makes an access key for alice.
func (h *house) accessKey() *signer {
	h.t.Helper()
	arn := h.s.people.Snapshot().NewUserARN(homeAccount, "/", "alice")
	root := &authz.Caller{Kind: authz.Root, Account: homeAccount, ID: homeAccount, ARN: "arn:aws:iam::" + homeAccount + ":root"}
	k, err := h.s.people.CreateAccessKey(h.may(root, authz.IAMCreateAccessKey, authz.Resource{Kind: authz.IAMEntity, Account: homeAccount, ARN: arn}), homeAccount, "alice")
	h.check(err)
	return &signer{
		credentials: aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: string(k.Secret.Expose())},
		service:     "kms", region: "local", target: "TrentService.CreateKey", body: "{}", at: time.Now(),
	}
}

func hexHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// sign makes a signed request, as a front lays it out.
func (s *signer) sign(t testing.TB) *sigv4.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "https://"+frontHost+"/", strings.NewReader(s.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", s.target)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	if err := v4.NewSigner().SignHTTP(t.Context(), s.credentials, r, hexHash(s.body), s.service, s.region, s.at); err != nil {
		t.Fatal(err)
	}
	out := &sigv4.Request{Method: "POST", Path: "/", Host: frontHost, PayloadHash: hexHash(s.body), Headers: map[string][]string{"content-length": {"2"}}}
	for name, values := range r.Header {
		out.Headers[strings.ToLower(name)] = values
	}
	return out
}

// invoke makes a call in process of what f describes.
func (h *house) invoke(f *front.Call, method string, in any) (*front.Reply, error) {
	h.t.Helper()
	f.Conn = frontConn
	reply := &front.Reply{}
	return reply, h.s.InProcess().Invoke(front.NewContext(h.t.Context(), f), method, in, reply)
}

// detailsOf are the reason and the request id of an error.
func detailsOf(err error) (reason, requestID string) {
	for _, d := range status.Convert(err).Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			reason = d.GetReason()
		case *errdetails.RequestInfo:
			requestID = d.GetRequestId()
		}
	}
	return reason, requestID
}

// last is the last event of a name.
func (h *house) last(name string) *audit.Record {
	h.t.Helper()
	all := h.events(name)
	if len(all) == 0 {
		h.t.Fatalf("no event %s", name)
	}
	return all[len(all)-1]
}

// decoding is a front.Request that counts how often it was read.
type decoding struct {
	err  error
	fill func(proto.Message)
	read int
}

func (d *decoding) DecodeTo(m proto.Message) error {
	d.read++
	if d.fill != nil {
		d.fill(m)
	}
	return d.err
}

// A call through a front is a call as any other: its event says who made it, from where and through what, and the reply has the event's id.
func TestInProcessCall(t *testing.T) {
	h := newHouse(t)
	alice := h.accessKey()
	f := &front.Call{UserAgent: "aws-cli/2.31", Signed: alice.sign(t), Service: "kms", Operation: "CreateKey"}
	reply, err := h.invoke(f, createKeyMethod, &decoding{fill: func(m proto.Message) { m.(*kmsv1.CreateKeyRequest).SetDescription("by a front") }})
	h.check(err)
	made := reply.Message.(*kmsv1.CreateKeyResponse).GetKeyMetadata()
	e := h.last("CreateKey")
	if made.GetDescription() != "by a front" || made.GetArn() == "" || reply.RequestID != e.RequestID || e.RequestID == "" {
		t.Errorf("CreateKey = %v with request id %q, want that of the event, %q", made, reply.RequestID, e.RequestID)
	}
	if e.Actor.UserName != "alice" || e.Actor.AuthMethod != audit.AuthAccessKey || e.Actor.CredentialID != alice.credentials.AccessKeyID || e.Outcome.Status != "OK" || e.Decision.Result != audit.ResultAllow {
		t.Errorf("the event of a call through a front: %s", e.Raw)
	}
	if e.SrcIP != "192.0.2.7" || e.UserAgent != "aws-cli/2.31" {
		t.Errorf("the event came from %q by %q", e.SrcIP, e.UserAgent)
	}
	for _, part := range []string{`"front":"aws"`, `"listener":"127.0.0.1:7445"`, `"tlsVersion":"TLS 1.3"`, `"sni":"kmsd.example"`} {
		if !bytes.Contains(e.Raw, []byte(part)) {
			t.Errorf("the event lacks %s: %s", part, e.Raw)
		}
	}
	if n := len(h.events("CreateKey")); n != 2 { // what was intended, and how it ended
		t.Errorf("%d events of one change, want 2", n)
	}
}

// Each request through a front ends in one event, whatever is wrong with it, and its error names that event.
func TestInProcessIsRecorded(t *testing.T) {
	h := newHouse(t)
	alice := h.accessKey()
	serialization := &front.Error{Reason: "SerializationException", Message: "Unexpected end-of-input"}
	rows := []struct {
		name, method, event   string
		f                     front.Call
		in                    *decoding
		code                  codes.Code
		reason, message, user string
		read                  int
	}{
		{
			"a method that kmsd has not", "/unknown", "UnknownMethod",
			front.Call{Signed: alice.sign(t), Service: "kms", Operation: "ConnectCustomKeyStore"},
			&decoding{},
			codes.Unimplemented, "UnsupportedOperationException", "", "alice", 0,
		},
		{
			"a stream", kmsv1.BatchService_StreamCrypto_FullMethodName, "UnknownMethod",
			front.Call{Signed: alice.sign(t)},
			&decoding{},
			codes.Unimplemented, "UnsupportedOperationException", "", "alice", 0,
		},
		{
			"a method that kmsd has not, by nobody", "/unknown", "UnknownMethod",
			front.Call{Signed: &sigv4.Request{Method: "POST", Path: "/"}},
			&decoding{},
			codes.Unauthenticated, "MissingAuthenticationTokenException", "Missing Authentication Token", "", 0,
		},
		{
			"a refused request", "/unknown", "UnknownMethod",
			front.Call{Refused: &front.Error{Reason: "UnknownOperationException", Message: "no target"}},
			&decoding{},
			codes.InvalidArgument, "UnknownOperationException", "no target", "", 0,
		},
		{
			"a refused request that is signed", "/unknown", "UnknownMethod",
			front.Call{Signed: alice.sign(t), Refused: serialization},
			&decoding{},
			codes.InvalidArgument, "SerializationException", "end-of-input", "", 0,
		},
		{
			"a request that cannot be read", randomMethod, "GenerateRandom",
			front.Call{Signed: alice.sign(t)},
			&decoding{err: serialization},
			codes.InvalidArgument, "SerializationException", "end-of-input", "alice", 1,
		},
		{
			"a request that cannot be read, by nobody", randomMethod, "GenerateRandom",
			front.Call{Signed: &sigv4.Request{Method: "POST", Path: "/"}},
			&decoding{err: serialization},
			codes.Unauthenticated, "MissingAuthenticationTokenException", "", "", 0,
		},
		{
			"a request that fails otherwise", randomMethod, "GenerateRandom",
			front.Call{Signed: alice.sign(t)},
			&decoding{err: errors.New("what only a log may hold")},
			codes.InvalidArgument, "ValidationException", "not a valid message", "alice", 1,
		},
		{
			"a request with an invalid field", randomMethod, "GenerateRandom",
			front.Call{Signed: alice.sign(t)},
			&decoding{fill: func(m proto.Message) { m.(*kmsv1.GenerateRandomRequest).SetNumberOfBytes(1025) }},
			codes.InvalidArgument, "ValidationException", "", "alice", 1,
		},
	}
	for _, row := range rows {
		before := len(h.events(row.event))
		reply, err := h.invoke(&row.f, row.method, row.in)
		reason, id := detailsOf(err)
		if s := status.Convert(err); s.Code() != row.code || reason != row.reason || !strings.Contains(s.Message(), row.message) || reply.Message != nil {
			t.Errorf("%s: %v %s, %v, want %v %s with %q", row.name, err, reason, reply.Message, row.code, row.reason, row.message)
		}
		if row.in.read != row.read {
			t.Errorf("%s: the request was read %d times, want %d", row.name, row.in.read, row.read)
		}
		e := h.last(row.event)
		if n := len(h.events(row.event)); n != before+1 || e.RequestID != id || id == "" || e.Actor.UserName != row.user || e.Outcome.ErrorCode != row.reason || !bytes.Contains(e.Raw, []byte(`"front":"aws"`)) {
			t.Errorf("%s: %d events, the last %s", row.name, n-before, e.Raw)
		}
		if bytes.Contains(e.Raw, []byte("what only a log may hold")) {
			t.Errorf("%s: the event holds what was wrong: %s", row.name, e.Raw)
		}
		if row.f.Operation != "" && !bytes.Contains(e.Raw, []byte(row.f.Operation)) {
			t.Errorf("%s: the event does not say what was called: %s", row.name, e.Raw)
		}
	}
}

// The answer is handed over as it is, or copied; what is not the caller's is overwritten.
func TestInProcessReply(t *testing.T) {
	h := newHouse(t)
	row := h.s.unary[randomMethod]
	handle := row.handle
	var made *kmsv1.GenerateRandomResponse // the answer that the pipeline makes
	row.handle = func(c *call, decode func(any) error) (proto.Message, error) {
		out, err := handle(c, decode)
		made, _ = out.(*kmsv1.GenerateRandomResponse)
		return out, err
	}
	alice := h.accessKey()
	request := kmsv1.GenerateRandomRequest_builder{NumberOfBytes: 32}.Build()
	call := func(reply any, opts ...grpc.CallOption) error {
		ctx := front.NewContext(t.Context(), &front.Call{Conn: frontConn, Signed: alice.sign(t), Service: "kms"})
		return h.s.InProcess().Invoke(ctx, randomMethod, request, reply, opts...)
	}
	zeros := make([]byte, 32)

	var itself front.Reply
	h.check(call(&itself))
	if itself.Message != proto.Message(made) || len(made.GetPlaintext()) != 32 || bytes.Equal(made.GetPlaintext(), zeros) {
		t.Errorf("the reply is %v, want the answer itself, of 32 bytes", itself.Message)
	}
	if itself.Wipe(); !bytes.Equal(made.GetPlaintext(), zeros) {
		t.Errorf("after Wipe the answer is %x", made.GetPlaintext())
	}

	var copied kmsv1.GenerateRandomResponse
	var header metadata.MD
	h.check(call(&copied, grpc.Header(&header)))
	if len(copied.GetPlaintext()) != 32 || bytes.Equal(copied.GetPlaintext(), zeros) || !bytes.Equal(made.GetPlaintext(), zeros) {
		t.Errorf("the copy is %x and the answer %x, want it overwritten", copied.GetPlaintext(), made.GetPlaintext())
	}
	if id := header[headerRequestID]; len(id) != 1 || id[0] != h.last("GenerateRandom").RequestID {
		t.Errorf("the header has the request id %v, want the event's", id)
	}

	for name, reply := range map[string]any{"no reply": nil, "no message": "x", "the message of another method": &kmsv1.EncryptResponse{}} {
		if err := call(reply); status.Code(err) != codes.Internal || !bytes.Equal(made.GetPlaintext(), zeros) {
			t.Errorf("%s: %v and the answer %x, want %v and it overwritten", name, err, made.GetPlaintext(), codes.Internal)
		}
	}
	for name, in := range map[string]any{"no request": nil, "no message": 7, "the message of another method": &kmsv1.EncryptRequest{}} {
		ctx := front.NewContext(t.Context(), &front.Call{Conn: frontConn, Signed: alice.sign(t), Service: "kms"})
		if err := h.s.InProcess().Invoke(ctx, randomMethod, in, &front.Reply{}); err == nil {
			t.Errorf("%s as a request: no error", name)
		}
	}
	if _, err := h.s.InProcess().NewStream(t.Context(), nil, "/x"); status.Code(err) != codes.Unimplemented {
		t.Errorf("NewStream = %v, want %v", err, codes.Unimplemented)
	}
}

// Who calls by metadata is authenticated as over gRPC.
func TestInProcessByMetadata(t *testing.T) {
	h := newHouse(t)
	alice := h.accessKey()
	r, err := http.NewRequest(http.MethodPost, "https://"+frontHost+identityMethod, nil)
	h.check(err)
	r.Header.Set(headerPayload, sigv4.UnsignedPayload)
	h.check(v4.NewSigner().SignHTTP(t.Context(), alice.credentials, r, sigv4.UnsignedPayload, "kms", "local", time.Now()))
	md := metadata.MD{":authority": {frontHost}}
	for name, values := range r.Header {
		md.Set(name, values...)
	}
	for range 2 { // the second one repeats the signature
		ctx := metadata.NewOutgoingContext(front.NewContext(t.Context(), &front.Call{Conn: &front.Conn{Front: "k8s"}}), md)
		var who stsv1.GetCallerIdentityResponse
		if err := h.s.InProcess().Invoke(ctx, identityMethod, &stsv1.GetCallerIdentityRequest{}, &who); err != nil || !strings.HasSuffix(who.GetArn(), "user/alice") {
			t.Errorf("GetCallerIdentity = %v, %v, want alice", &who, err)
		}
	}
}

func TestInProcessStops(t *testing.T) {
	h := newHouse(t)
	alice := h.accessKey()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	h.s.Shutdown(ctx)
	_, err := h.invoke(&front.Call{Signed: alice.sign(t), Service: "sts"}, identityMethod, &stsv1.GetCallerIdentityRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("a call after Shutdown: %v, want %v", err, codes.Unavailable)
	}
}
