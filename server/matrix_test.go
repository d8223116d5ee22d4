package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// outcome is how a call of the matrix must end, in the answer and in the log.
type outcome struct {
	code     codes.Code
	status   string // gRPC's name of code, as in the log
	reason   string
	class    string // "" for any
	decision audit.Result
	actor    string // user name; "root", or "" for nobody
	auth     audit.AuthMethod
}

func refused(reason, class string) outcome {
	return outcome{codes.Unauthenticated, "UNAUTHENTICATED", reason, class, audit.ResultNone, "", audit.AuthNone}
}

// by is the outcome of a call whose caller was known before it was refused.
func (o outcome) by(user string) outcome {
	o.actor, o.auth = user, audit.AuthAccessKey
	return o
}

func denied(user, class string) outcome {
	return outcome{codes.PermissionDenied, "PERMISSION_DENIED", "AccessDeniedException", class, audit.ResultDeny, user, audit.AuthAccessKey}
}

func invalid(reason, class string) outcome {
	return outcome{codes.InvalidArgument, "INVALID_ARGUMENT", reason, class, "", "root", audit.AuthAccessKey}
}

func allowed(user string, auth audit.AuthMethod) outcome {
	return outcome{codes.OK, "OK", "", "", audit.ResultAllow, user, auth}
}

// cast is who calls in the matrix.
type cast struct {
	nobody, both, inactive, deleted client.Credentials
	everybody                       client.Credentials // may do everything
	unknown, wrongSecret, elsewhere client.Credentials
	admin, orphan, foreign          *http.Client // present certificates: of a user who may do all, one that was deleted, one of another authority
}

func newCast(d *door) *cast {
	everything := kmstest.Allow([]string{"*"})
	c := &cast{
		nobody: d.User("nobody"), everybody: d.User("everybody", everything), inactive: d.User("inactive", everything), deleted: d.User("deleted", everything),
		both: d.User("both", everything, kmstest.Deny([]string{"*"})),
	}
	ctx := d.t.Context()
	if _, err := d.Root().IAM().UpdateAccessKey(ctx, iamv1.UpdateAccessKeyRequest_builder{
		UserName: "inactive", AccessKeyId: c.inactive.AccessKeyID, Status: iamv1.StatusType_STATUS_TYPE_INACTIVE,
	}.Build()); err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.Root().IAM().DeleteAccessKey(ctx, iamv1.DeleteAccessKeyRequest_builder{UserName: "deleted", AccessKeyId: c.deleted.AccessKeyID}.Build()); err != nil {
		d.t.Fatal(err)
	}
	c.unknown, c.wrongSecret, c.elsewhere = d.root, d.root, d.root
	c.unknown.AccessKeyID = "AKIA" + rand.Text()[:16]
	c.wrongSecret.SecretAccessKey = crypto.RandomSecret(40)
	c.elsewhere.Region = "elsewhere"
	d.User("admin", everything)
	cert, _ := d.certificate("admin")
	c.admin = d.presenting(cert)
	cert, id := d.certificate("admin")
	c.orphan = d.presenting(cert)
	if _, err := d.Root().IAM().DeleteClientCertificate(ctx, iamv1.DeleteClientCertificateRequest_builder{UserName: "admin", CertificateId: id}.Build()); err != nil {
		d.t.Fatal(err)
	}
	c.foreign = d.presenting(selfSigned(d.t))
	return c
}

// selfSigned is a client certificate of nobody's authority.
func selfSigned(t testing.TB) *tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "admin"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// asked is a call that was made, what came back, and what should have.
type asked struct {
	call
	got  answer
	want outcome
}

// matrix makes calls and keeps them until they are compared with the log.
type matrix struct {
	*door
	calls  []asked
	as     client.Credentials // who may do what the row under way is about
	by     string             // the name of that
	second *http.Client       // another connection
}

func (m *matrix) ask(name string, c call, want outcome) answer {
	source := strings.Split(c.method, ".")[1]
	c.agent = m.agent(source + ":" + short(c.method) + ": " + name)
	got := m.send(m.t.Context(), c)
	m.calls = append(m.calls, asked{c, got, want})
	return got
}

// TestMatrix calls every RPC in every way that a call can be refused, and allowed. Each call has the one right answer and the one right event.
func TestMatrix(t *testing.T) {
	rows := specimensOf(t)
	m := &matrix{door: newDoor(t, nil)}
	m.second = m.presenting(nil)
	p, who := newProps(m.door), newCast(m.door)
	for _, method := range methods(t) {
		m.as, m.by = m.root, "root"
		if rows[method].byUser {
			m.as, m.by = who.everybody, "everybody"
		}
		if rows[method].anonymous {
			m.anonymous(method, rows[method], p)
			continue
		}
		m.refusals(method, who, marshal(t, rows[method].valid(p)))
		if perItem(method) { // what becomes of the items has tests of its own
			anyway := allowed("nobody", audit.AuthAccessKey)
			anyway.decision = audit.ResultNone
			m.ask("nothing allows its items", call{method: method, body: marshal(t, rows[method].valid(p)), as: who.nobody}, anyway)
			continue
		}
		m.decisions(method, who, marshal(t, rows[method].valid(p)))
		m.messages(method, rows[method])
		m.nonces(method, marshal(t, rows[method].valid(p)))
		body := marshal(t, rows[method].valid(p))
		m.ask("allowed by certificate", call{method: method, body: body, over: who.admin}, allowed("admin", audit.AuthClientCertificate))
	}
	m.compare()
	foreignAuthority(m, who)
}

func (m *matrix) refusals(method string, who *cast, body []byte) {
	now := time.Now()
	m.ask("no credentials", call{method: method, body: body}, refused("MissingAuthenticationTokenException", "NoCredentials"))
	m.ask("unknown access key", call{method: method, body: body, as: who.unknown}, refused("UnrecognizedClientException", "UnknownAccessKey"))
	m.ask("deleted access key", call{method: method, body: body, as: who.deleted}, refused("UnrecognizedClientException", "UnknownAccessKey"))
	m.ask("inactive access key", call{method: method, body: body, as: who.inactive}, refused("UnrecognizedClientException", "InactiveAccessKey"))
	m.ask("wrong secret", call{method: method, body: body, as: who.wrongSecret}, refused("InvalidSignatureException", "SignatureMismatch"))
	m.ask("wrong region", call{method: method, body: body, as: who.elsewhere}, refused("InvalidSignatureException", "Scope"))
	m.ask("signed 302 seconds ago", call{method: method, body: body, as: m.as, at: now.Add(-302 * time.Second)}, refused("InvalidSignatureException", "ClockSkew"))
	m.ask("signed 302 seconds ahead", call{method: method, body: body, as: m.as, at: now.Add(302 * time.Second)}, refused("InvalidSignatureException", "ClockSkew"))
	m.ask("deleted certificate", call{method: method, body: body, over: who.orphan}, refused("UnrecognizedClientException", "UnknownCertificate"))
	both := refused("UnrecognizedClientException", "CertificateOfAnotherPrincipal")
	both.actor, both.auth = m.by, audit.AuthAccessKey // whose signature was good
	m.ask("certificate of another principal", call{method: method, body: body, as: m.as, over: who.admin}, both)
	other := m.sign(m.as, "/kmsd.sts.v1.STSService/Other", rand.Text(), now)
	m.ask("signature of another method", call{method: method, body: body, signed: other}, refused("InvalidSignatureException", "SignatureMismatch"))
	unsigned := map[string]string{"X-Kmsd-Extra": "1"}
	m.ask("header that is not signed", call{method: method, body: body, as: m.as, header: unsigned}, refused("IncompleteSignatureException", "IncompleteSignature"))
	m.ask("another scheme", call{method: method, body: body, header: map[string]string{"Authorization": "Bearer token"}}, refused("IncompleteSignatureException", "IncompleteSignature"))
}

func (m *matrix) decisions(method string, who *cast, body []byte) {
	nobody, both := denied("nobody", ""), denied("both", "")
	if method == stsv1.STSService_GetCallerIdentity_FullMethodName || method == stsv1.STSService_GetSessionToken_FullMethodName { // needs no permission and cannot be denied, as in AWS
		nobody, both = allowed("nobody", audit.AuthAccessKey), allowed("both", audit.AuthAccessKey)
	}
	m.ask("nothing allows it", call{method: method, body: body, as: who.nobody}, nobody)
	m.ask("a Deny beside the Allow", call{method: method, body: body, as: who.both}, both)
	m.ask("allowed", call{method: method, body: body, as: m.as}, allowed(m.by, audit.AuthAccessKey))
}

func (m *matrix) messages(method string, row specimen) {
	for name, wire := range map[string][]byte{
		"a field that ends early": {0x0a, 0x7f, 'x'}, "field number 0": {0x02, 0x00}, "an endless varint": []byte(strings.Repeat("\xff", 11)), "a group that does not end": {0x0b},
	} {
		m.ask("malformed: "+name, call{method: method, body: wire, as: m.as}, invalid("ValidationException", "Malformed").by(m.by))
	}
	if row.invalid == nil {
		if n := descriptor(m.t, method).Input().Fields().Len(); n > 0 {
			m.t.Errorf("%s: its request has %d fields and the table no invalid request", method, n)
		}
		return
	}
	reason := row.reason
	if reason == "" {
		reason = "ValidationException"
	}
	got := m.ask("invalid field", call{method: method, body: marshal(m.t, row.invalid), as: m.as}, invalid(reason, "").by(m.by))
	if reason == "ValidationException" && len(got.status.GetDetails()) != 3 {
		m.t.Errorf("%s: a ValidationException has %d details, want ErrorInfo, RequestInfo and BadRequest", method, len(got.status.GetDetails()))
	}
}

func (m *matrix) nonces(method string, body []byte) {
	without, again := refused("IncompleteSignatureException", "NoNonce").by(m.by), refused("InvalidSignatureException", "Replay").by(m.by)
	if !changes(method) {
		without, again = allowed(m.by, audit.AuthAccessKey), allowed(m.by, audit.AuthAccessKey)
	}
	m.ask("without a nonce", call{method: method, body: body, as: m.as, nonce: noNonce}, without)
	once := m.sign(m.as, method, rand.Text(), time.Now().Add(-290*time.Second))
	m.ask("signed 290 seconds ago", call{method: method, body: body, signed: once}, allowed(m.by, audit.AuthAccessKey))
	m.ask("the same again", call{method: method, body: body, signed: once}, again)
	m.ask("the same again over another connection", call{method: method, body: body, signed: once, over: m.second}, again)
	if changes(method) {
		short := m.sign(m.as, method, "short", time.Now())
		m.ask("a short nonce", call{method: method, body: body, signed: short}, refused("IncompleteSignatureException", "Nonce").by(m.by))
	}
}

// anonymous calls a method that takes no credentials: what is in the message says who calls.
func (m *matrix) anonymous(method string, row specimen, p *props) {
	m.ask("malformed", call{method: method, body: []byte{0x0a, 0x7f, 'x'}}, nobodys(invalid("ValidationException", "Malformed")))
	m.ask("invalid field", call{method: method, body: marshal(m.t, row.invalid)}, nobodys(invalid("ValidationException", "")))
	m.ask("allowed", call{method: method, body: marshal(m.t, row.valid(p))}, outcome{codes.OK, "OK", "", "", audit.ResultAllow, webActor, audit.AuthWebIdentity})
	signed := outcome{codes.OK, "OK", "", "", audit.ResultAllow, webActor, audit.AuthWebIdentity}
	m.ask("allowed, signed by somebody", call{method: method, body: marshal(m.t, row.valid(p)), as: m.root}, signed)
}

// webActor stands for the web identity of props.
const webActor = "web identity"

// nobodys is the outcome of a call whose caller is not known.
func nobodys(o outcome) outcome {
	o.actor, o.auth = "", audit.AuthNone
	return o
}

// compare checks every call against its answer and its event.
func (m *matrix) compare() {
	m.t.Helper()
	events, intents := m.events(), map[string]int{}
	for _, r := range m.Intents(audit.Filter{}) {
		intents[r.UserAgent]++
	}
	for _, a := range m.calls {
		name := strings.TrimPrefix(a.agent, m.tag+" ")
		if a.got.err != nil || a.got.code != a.want.code || a.got.reason != a.want.reason {
			m.t.Errorf("%s: %v, want %v %s", name, a.got, a.want.code, a.want.reason)
			continue
		}
		if a.got.requestID == "" {
			m.t.Errorf("%s: %v without a request id", name, a.got.code)
		}
		if a.got.code != codes.OK && len(a.got.body) > 0 {
			m.t.Errorf("%s: %d bytes of a message beside an error", name, len(a.got.body))
		}
		if len(events[a.agent]) != 1 {
			m.t.Errorf("%s: %d events, want 1", name, len(events[a.agent]))
			continue
		}
		m.event(name, a, events[a.agent][0])
		changed := a.got.code == codes.OK && changes(a.method)
		if n := intents[a.agent]; changed && n != 1 || n != 0 && !changes(a.method) || n != 0 && events[a.agent][0].Decision.Result != audit.ResultAllow {
			m.t.Errorf("%s: %d records of what was intended; a change has one, and what is refused none", name, n)
		}
	}
	m.t.Logf("%d calls of %d methods", len(m.calls), len(methods(m.t)))
}

func (m *matrix) event(name string, a asked, e audit.Record) {
	m.t.Helper()
	w := a.want
	if e.RequestID != a.got.requestID {
		m.t.Errorf("%s: the event is of request %s, the answer of %s", name, e.RequestID, a.got.requestID)
	}
	source := strings.Split(a.method, ".")[1]
	if e.EventName != short(a.method) || e.EventSource != source || e.Phase != audit.PhaseOutcome || e.EventType != audit.TypeAPICall {
		m.t.Errorf("%s: event %s %s %s %s, want %s %s %s %s", name, e.EventSource, e.EventName, e.Phase, e.EventType, source, short(a.method), audit.PhaseOutcome, audit.TypeAPICall)
	}
	if e.Mutating != changes(a.method) || e.ReadOnly == e.Mutating {
		m.t.Errorf("%s: mutating %v and readOnly %v, want mutating %v", name, e.Mutating, e.ReadOnly, changes(a.method))
	}
	if e.Outcome.Status != w.status || e.Outcome.ErrorCode != w.reason || w.class != "" && e.Outcome.ErrorClass != w.class {
		m.t.Errorf("%s: outcome %s %s %s, want %s %s %s", name, e.Outcome.Status, e.Outcome.ErrorCode, e.Outcome.ErrorClass, w.status, w.reason, w.class)
	}
	if w.decision != "" && e.Decision.Result != w.decision {
		m.t.Errorf("%s: decision %s, want %s", name, e.Decision.Result, w.decision)
	}
	kind, arn := audit.ActorIAMUser, "arn:aws:iam::"+kmstest.Account+":user/"+w.actor
	user := w.actor
	switch w.actor {
	case "":
		kind, arn = audit.ActorUnknown, ""
	case webActor:
		kind, arn, user = audit.ActorWebIdentity, "arn:aws:iam::"+kmstest.Account+":oidc-provider/tokens.example", ""
	case "root":
		kind, arn, user = audit.ActorRoot, "arn:aws:iam::"+kmstest.Account+":root", ""
	}
	if e.Actor.Type != kind || e.Actor.ARN != arn || e.Actor.UserName != user || e.Actor.AuthMethod != w.auth {
		m.t.Errorf("%s: actor %s %s %q %s, want %s %s %q %s", name, e.Actor.Type, e.Actor.ARN, e.Actor.UserName, e.Actor.AuthMethod, kind, arn, user, w.auth)
	}
	if e.SrcIP != "127.0.0.1" {
		m.t.Errorf("%s: from %q, want 127.0.0.1", name, e.SrcIP)
	}
}

// foreignAuthority: a certificate of another authority ends in the handshake. No call is made, so there is no event.
func foreignAuthority(m *matrix, who *cast) {
	m.t.Helper()
	c := call{method: stsv1.STSService_GetCallerIdentity_FullMethodName, as: m.root, over: who.foreign, agent: m.agent("certificate of another authority")}
	if got := m.send(m.t.Context(), c); got.err == nil {
		m.t.Errorf("a certificate of another authority: %v, want no connection", got)
	}
	if n := len(m.events()[c.agent]); n != 0 {
		m.t.Errorf("a certificate of another authority: %d events, want 0", n)
	}
}

// Paths that name no method are refused whatever they look like, and recorded.
func TestPathsThatNameNoMethod(t *testing.T) {
	m := &matrix{door: newDoor(t, nil)}
	body := marshal(t, kmsv1.GenerateRandomRequest_builder{NumberOfBytes: 32}.Build())
	unknown := outcome{codes.Unimplemented, "UNIMPLEMENTED", "UnsupportedOperationException", "UnknownMethod", audit.ResultNone, "root", audit.AuthAccessKey}
	for _, path := range []string{
		"//kmsd.kms.v1.CryptoService/GenerateRandom", "/kmsd.kms.v1.CryptoService//GenerateRandom", "/kmsd.kms.v1.CryptoService/generateRandom",
		"/kmsd.kms.v1.cryptoservice/GenerateRandom", "/kmsd.kms.v1.CryptoService/GenerateRandom/",
		"/kmsd.kms.v1.CryptoService/../CryptoService/GenerateRandom", "/kmsd.kms.v2.CryptoService/GenerateRandom", "/kmsd.kms.v1.CryptoService/%47enerateRandom",
	} {
		m.path(path, "nobody", call{body: body}, refused("MissingAuthenticationTokenException", "NoCredentials"))
		want := unknown
		if strings.Contains(path, "%") { // what has two spellings cannot be signed
			want = refused("IncompleteSignatureException", "IncompleteSignature")
		}
		m.path(path, "root", call{body: body, as: m.root}, want)
	}
	// A path without a service gRPC answers by itself: there is no call.
	for _, path := range []string{"/GenerateRandom", "/"} {
		c := call{method: path, body: body, as: m.root, agent: m.agent(path)}
		if got := m.send(t.Context(), c); got.err != nil || got.code != codes.Unimplemented || len(m.events()[c.agent]) != 0 {
			t.Errorf("%s: %v and %d events, want %v and none", path, got, len(m.events()[c.agent]), codes.Unimplemented)
		}
	}
}

func (m *matrix) path(path, who string, c call, want outcome) {
	m.t.Helper()
	c.method, c.agent = path, m.agent(who+" at "+path)
	got := m.send(m.t.Context(), c)
	if got.err != nil || got.code != want.code || got.reason != want.reason || len(got.body) > 0 {
		m.t.Errorf("%s at %s: %v, want %v %s", who, path, got, want.code, want.reason)
		return
	}
	events := m.events()[c.agent]
	if len(events) != 1 || events[0].RequestID != got.requestID || events[0].EventName != "UnknownMethod" ||
		events[0].Outcome.Status != want.status || events[0].Outcome.ErrorCode != want.reason || events[0].Outcome.ErrorClass != want.class {
		m.t.Errorf("%s at %s: events %+v, want one UnknownMethod of request %s", who, path, events, got.requestID)
	}
}
