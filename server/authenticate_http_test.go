package server

import (
	"errors"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	"github.com/kmsd/kmsd/iam/sigv4"
	"github.com/kmsd/kmsd/internal/front"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

const (
	saidMismatch = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	saidInvalid  = "The security token included in the request is invalid."
)

// in returns a change of a signer.
func (s signer) in(change func(*signer)) *signer {
	change(&s)
	return &s
}

// session returns a signer with temporary credentials of alice's.
func (h *house) session(of *signer) *signer {
	h.t.Helper()
	out, err := h.ask(stsv1.STSService_GetSessionToken_FullMethodName, stsv1.GetSessionTokenRequest_builder{DurationSeconds: 900}.Build())
	h.check(err)
	c := out.(*stsv1.GetSessionTokenResponse).GetCredentials()
	return of.in(func(s *signer) {
		s.credentials.AccessKeyID, s.credentials.SecretAccessKey, s.credentials.SessionToken = c.GetAccessKeyId(), c.GetSecretAccessKey(), c.GetSessionToken()
	})
}

// Every way to tamper with a signature or to make it badly is refused with AWS's error name and AWS's words, and recorded.
func TestHTTPSignatureRefused(t *testing.T) {
	h := newHouse(t)
	alice := h.accessKey()
	session := h.session(alice)
	type change = func(*sigv4.Request)
	header := func(name string, values ...string) change {
		return func(r *sigv4.Request) { r.Headers[name] = values }
	}
	authorization := func(from, to string) change {
		return func(r *sigv4.Request) {
			a := r.Headers["authorization"][0]
			if !strings.Contains(a, from) {
				t.Fatalf("%q is not in %q", from, a)
			}
			r.Headers["authorization"] = []string{strings.Replace(a, from, to, 1)}
		}
	}
	mac := func(make func(string) string) change {
		return func(r *sigv4.Request) {
			head, mac, _ := strings.Cut(r.Headers["authorization"][0], "Signature=")
			r.Headers["authorization"] = []string{head + "Signature=" + make(mac)}
		}
	}
	twice := func(name string) change {
		return func(r *sigv4.Request) { r.Headers[name] = append(r.Headers[name], r.Headers[name]...) }
	}
	as, nothing := func(change func(*signer)) *signer { return alice.in(change) }, func(*sigv4.Request) {}
	day := alice.at.UTC().Format(sigv4.DateFormat)
	stamp := func(t time.Time) string { return t.UTC().Format(sigv4.TimeFormat) }
	sameDay := alice.at.Add(-2 * time.Second)
	if sameDay.UTC().Day() != alice.at.UTC().Day() {
		sameDay = alice.at.Add(2 * time.Second)
	}
	rows := []struct {
		name            string
		by              *signer
		change          change
		reason, message string
		class           string
	}{
		{"no signature", alice, func(r *sigv4.Request) { delete(r.Headers, "authorization") }, "MissingAuthenticationTokenException", "Missing Authentication Token", "NoCredentials"},
		{"an empty one", alice, header("authorization", ""), "MissingAuthenticationTokenException", "Missing Authentication Token", "NoCredentials"},
		{"the wrong secret", as(func(s *signer) { s.credentials.SecretAccessKey += "x" }), nothing, "InvalidSignatureException", saidMismatch, "SignatureMismatch"},
		{"an unknown access key", as(func(s *signer) { s.credentials.AccessKeyID = "AKIAIOSFODNN7EXAMPLE" }), nothing, "UnrecognizedClientException", saidInvalid, "UnknownAccessKey"},
		{"an access key id that is none", as(func(s *signer) { s.credentials.AccessKeyID = "test" }), nothing, "UnrecognizedClientException", saidInvalid, "UnknownAccessKey"},
		{"another region", as(func(s *signer) { s.region = "eu-west-1" }), nothing, "InvalidSignatureException", "Credential should be scoped to a valid region, not 'eu-west-1'. This kmsd serves the region 'local': set AWS_REGION and AWS_DEFAULT_REGION, or region in the profile, to 'local'.", "Scope"},
		{"the region of global services, for kms", as(func(s *signer) { s.region = "us-east-1" }), nothing, "InvalidSignatureException", "Credential should be scoped to a valid region, not 'us-east-1'.", "Scope"},
		{"another service", as(func(s *signer) { s.service = "iam" }), nothing, "InvalidSignatureException", "Credential should be scoped to correct service: 'kms'.", "Scope"},
		{"another region and service", as(func(s *signer) { s.service, s.region = "s3", "eu-west-1" }), nothing, "InvalidSignatureException", "Credential should be scoped to a valid region, not 'eu-west-1'. Credential should be scoped to correct service: 'kms'.", "Scope"},
		{"another region in the scope alone", alice, authorization("/local/", "/eu-west-1/"), "InvalidSignatureException", "Credential should be scoped to a valid region, not 'eu-west-1'.", "Scope"},
		{"another date of the scope", alice, authorization("/"+day+"/", "/20200101/"), "InvalidSignatureException", "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.", "Scope"},
		{"another date", alice, header("x-amz-date", stamp(sameDay)), "InvalidSignatureException", saidMismatch, "SignatureMismatch"},
		{"no date", alice, func(r *sigv4.Request) { delete(r.Headers, "x-amz-date") }, "IncompleteSignatureException", "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.", "IncompleteSignature"},
		{"an hour old", as(func(s *signer) { s.at = s.at.Add(-time.Hour) }), nothing, "InvalidSignatureException", "Signature expired: " + stamp(alice.at.Add(-time.Hour)) + " is now earlier than ", "ClockSkew"},
		{"an hour ahead", as(func(s *signer) { s.at = s.at.Add(time.Hour) }), nothing, "InvalidSignatureException", "Signature not yet current: " + stamp(alice.at.Add(time.Hour)) + " is still later than ", "ClockSkew"},
		{"an unsigned x-amz header", alice, header("x-amz-acl", "private"), "InvalidSignatureException", "must be a 'SignedHeader' in the AWS Authorization.", "UnsignedHeader"},
		{"host left unsigned", alice, authorization("host;", ""), "InvalidSignatureException", "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.", "UnsignedHeader"},
		{"another body", alice, func(r *sigv4.Request) { r.PayloadHash = hexHash("{ }") }, "InvalidSignatureException", saidMismatch, "SignatureMismatch"},
		{"another path", alice, func(r *sigv4.Request) { r.Path = "/v2" }, "InvalidSignatureException", saidMismatch, "SignatureMismatch"},
		{"another query", alice, func(r *sigv4.Request) { r.Query = "a=b" }, "InvalidSignatureException", saidMismatch, "SignatureMismatch"},
		{"another method", alice, func(r *sigv4.Request) { r.Method = "PUT" }, "InvalidSignatureException", saidMismatch, "SignatureMismatch"},
		{"another host", alice, func(r *sigv4.Request) { r.Host = "kmsd.example.net:7445" }, "InvalidSignatureException", saidMismatch, "SignatureMismatch"},
		{"another target", alice, header("x-amz-target", "TrentService.ScheduleKeyDeletion"), "InvalidSignatureException", saidMismatch, "SignatureMismatch"},
		{"authorization twice", alice, twice("authorization"), "IncompleteSignatureException", "more than once.", "IncompleteSignature"},
		{"date twice", alice, twice("x-amz-date"), "IncompleteSignatureException", "more than once.", "IncompleteSignature"},
		{"target twice", alice, twice("x-amz-target"), "IncompleteSignatureException", "not there once.", "IncompleteSignature"},
		{"token twice", session, twice("x-amz-security-token"), "IncompleteSignatureException", "more than once.", "IncompleteSignature"},
		{"a token that is not the session's", session, header("x-amz-security-token", "bm90IGEgdG9rZW4="), "UnrecognizedClientException", saidInvalid, "InvalidToken"},
		{"the token taken away", session, func(r *sigv4.Request) { delete(r.Headers, "x-amz-security-token") }, "UnrecognizedClientException", saidInvalid, "UnknownAccessKey"},
		{"a session's token put on an access key", alice, header("x-amz-security-token", session.credentials.SessionToken), "UnrecognizedClientException", saidInvalid, "InvalidToken"},
		{"a token put on, not signed", session, authorization("x-amz-security-token;", ""), "InvalidSignatureException", "must be a 'SignedHeader' in the AWS Authorization.", "UnsignedHeader"},
		{"a signature in the query too", alice, func(r *sigv4.Request) { r.Query = "X-Amz-Signature=00" }, "IncompleteSignatureException", "a signature in the query string (X-Amz-Signature) is not accepted: sign in the Authorization header.", "IncompleteSignature"},
		{"a signature in the query alone", alice, func(r *sigv4.Request) {
			delete(r.Headers, "authorization")
			r.Query = "X-Amz-Signature=00"
		}, "IncompleteSignatureException", "query string", "IncompleteSignature"},
		{"an empty signature", alice, mac(func(string) string { return "" }), "IncompleteSignatureException", "Authorization header requires 'Signature' parameter.", "IncompleteSignature"},
		{"a signature cut short", alice, mac(func(m string) string { return m[:62] }), "InvalidSignatureException", saidMismatch, "SignatureMismatch"},
		{"a signature in upper case", alice, mac(strings.ToUpper), "InvalidSignatureException", saidMismatch, "SignatureMismatch"},
		{"SigV4a", alice, authorization("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), "IncompleteSignatureException", "Unsupported AWS 'algorithm'", "IncompleteSignature"},
		{"no signed headers", alice, authorization("SignedHeaders=", "Headers="), "IncompleteSignatureException", "'SignedHeaders'", "IncompleteSignature"},
	}
	before := len(h.events("CreateKey"))
	for _, row := range rows {
		r := row.by.sign(t)
		r.Headers = maps.Clone(r.Headers)
		row.change(r)
		in := &decoding{}
		_, err := h.invoke(&front.Call{Signed: r, Service: "kms"}, createKeyMethod, in)
		reason, id := detailsOf(err)
		if s := status.Convert(err); s.Code() != codes.Unauthenticated || reason != row.reason || !strings.Contains(s.Message(), row.message) || in.read != 0 {
			t.Errorf("%s: %v %s %q, want %s %q", row.name, s.Code(), reason, s.Message(), row.reason, row.message)
		}
		e := h.last("CreateKey")
		if e.RequestID != id || e.Outcome.ErrorCode != row.reason || e.Outcome.ErrorClass != row.class || e.Actor.UserName != "" || e.Actor.AuthMethod != audit.AuthNone {
			t.Errorf("%s: the event is %s, want class %s", row.name, e.Raw, row.class)
		}
	}
	if n := len(h.events("CreateKey")) - before; n != len(rows) || len(rows) < 25 {
		t.Errorf("%d events of %d requests, want one of each and at least 25", n, len(rows))
	}
	if h.s.keys.Snapshot().Len() != 0 {
		t.Errorf("%d keys were made", h.s.keys.Snapshot().Len())
	}
}

// The clock's bound is exact to the second.
func TestHTTPSignatureSkew(t *testing.T) {
	h := newHouse(t)
	alice := h.accessKey()
	alice.at = time.Date(2026, 11, 23, 12, 36, 0, 0, time.UTC)
	f := &front.Call{Conn: frontConn, Signed: alice.sign(t), Service: "kms"}
	for _, row := range []struct {
		seconds int
		message string
	}{
		{-301, "Signature not yet current: 20261123T123600Z is still later than 20261123T123559Z (20261123T123059Z + 5 min.)"},
		{-300, ""},
		{300, ""},
		{301, "Signature expired: 20261123T123600Z is now earlier than 20261123T123601Z (20261123T124101Z - 5 min.)"},
	} {
		c := h.s.begin(front.NewContext(t.Context(), f), h.rows[randomMethod])
		c.conn, c.event.ReceivedTime = &connection{}, alice.at.Add(time.Duration(row.seconds)*time.Second)
		err := c.authenticate(nil)
		var said string
		var fail *failure
		if errors.As(err, &fail) {
			said = fail.message
		}
		if said != row.message || (err == nil) != (row.message == "") {
			t.Errorf("%d s after the date: %q, want %q", row.seconds, said, row.message)
		}
		h.s.release(c)
	}
}

// Each of the four services has its scope, the global ones also that of us-east-1; where nothing says what is called, any of them will do.
func TestHTTPSignatureScopes(t *testing.T) {
	h := newHouse(t)
	alice := h.accessKey()
	for _, row := range []struct {
		called, service, region string
		good                    bool
	}{
		{"kms", "kms", "local", true},
		{"sts", "sts", "local", true},
		{"iam", "iam", "local", true},
		{"organizations", "organizations", "local", true},
		{"sts", "sts", "us-east-1", true},
		{"iam", "iam", "us-east-1", true},
		{"organizations", "organizations", "us-east-1", true},
		{"", "kms", "local", true},
		{"", "iam", "us-east-1", true},
		{"kms", "kms", "us-east-1", false},
		{"", "kms", "us-east-1", false},
		{"", "s3", "local", false},
		{"iam", "iam", "aws-global", false},
		{"iam", "sts", "local", false},
		{"sts", "kms", "local", false},
		{"kms", "sts", "local", false},
	} {
		by := alice.in(func(s *signer) { s.service, s.region = row.service, row.region })
		_, err := h.invoke(&front.Call{Signed: by.sign(t), Service: row.called}, identityMethod, &decoding{})
		if reason, _ := detailsOf(err); (err == nil) != row.good || err != nil && reason != "InvalidSignatureException" {
			t.Errorf("%q called with the scope of %q in %q: %v, want it good: %v", row.called, row.service, row.region, err, row.good)
		}
	}
}

// Sessions sign as access keys do, and are told when they have ended.
func TestHTTPSession(t *testing.T) {
	h := newHouse(t)
	session := h.session(h.accessKey())
	f := &front.Call{Signed: session.sign(t), Service: "kms"}
	reply, err := h.invoke(f, identityMethod, &decoding{})
	h.check(err)
	if who := reply.Message.(*stsv1.GetCallerIdentityResponse); !strings.HasSuffix(who.GetArn(), "user/alice") {
		t.Errorf("GetCallerIdentity = %v, want alice", who)
	}
	if e := h.last("GetCallerIdentity"); e.Actor.AuthMethod != audit.AuthSessionToken || e.Actor.CredentialID != session.credentials.AccessKeyID {
		t.Errorf("the event of a session: %s", e.Raw)
	}
	later := session.in(func(s *signer) { s.at = s.at.Add(901 * time.Second) })
	c := h.s.begin(front.NewContext(t.Context(), &front.Call{Conn: frontConn, Signed: later.sign(t), Service: "kms"}), h.rows[randomMethod])
	defer h.s.release(c)
	c.conn, c.event.ReceivedTime = &connection{}, later.at
	var fail *failure
	if err := c.authenticate(nil); !errors.As(err, &fail) || fail.reason != "ExpiredTokenException" || fail.message != "The security token included in the request is expired" {
		t.Errorf("a session that has ended: %v, want ExpiredTokenException", err)
	}
}

// A method that takes no credentials does not look at them.
func TestHTTPAnonymous(t *testing.T) {
	h := newHouse(t)
	for name, signed := range map[string]*sigv4.Request{"no signature": {Method: "POST", Path: "/"}, "a bad one": {Method: "POST", Path: "/", Headers: map[string][]string{"authorization": {"Bearer x"}}}} {
		_, err := h.invoke(&front.Call{Signed: signed, Service: "sts"}, stsv1.STSService_AssumeRoleWithWebIdentity_FullMethodName, &decoding{})
		if reason, _ := detailsOf(err); reason != "ValidationException" {
			t.Errorf("%s: %v, want what is wrong with the request", name, err)
		}
	}
}

// Who lost what let him in between the signature and the message is refused; over HTTP as over gRPC.
func TestHTTPCallerRevokedBeforeTheMessage(t *testing.T) {
	for name, as := range map[string]func(h *house, of *signer) *signer{
		"an access key": func(_ *house, of *signer) *signer { return of }, "a session": (*house).session,
	} {
		h := newHouse(t)
		alice := h.accessKey()
		root := &authz.Caller{Kind: authz.Root, Account: homeAccount, ID: homeAccount, ARN: "arn:aws:iam::" + homeAccount + ":root"}
		entity := authz.Resource{Kind: authz.IAMEntity, Account: homeAccount, ARN: h.s.people.Snapshot().NewUserARN(homeAccount, "/", "alice")}
		deactivate := &decoding{fill: func(proto.Message) {
			h.check(h.s.people.UpdateAccessKey(h.may(root, authz.IAMUpdateAccessKey, entity), homeAccount, "alice", alice.credentials.AccessKeyID, iam.Inactive))
			h.check(h.s.people.DeleteUserPolicy(h.may(root, authz.IAMDeleteUserPolicy, entity), homeAccount, "alice", "all"))
		}}
		_, err := h.invoke(&front.Call{Signed: as(h, alice).sign(t), Service: "kms"}, createKeyMethod, deactivate)
		if reason, _ := detailsOf(err); err == nil || reason != "UnrecognizedClientException" && reason != "AccessDeniedException" || h.s.keys.Snapshot().Len() != 0 {
			t.Errorf("%s: CreateKey = %v, want it refused", name, err)
		}
		if deactivate.read != 1 {
			t.Errorf("%s: the message was read %d times", name, deactivate.read)
		}
	}
}

// a change is made once, however often its request is sent, at once or after; what changes nothing may be sent again.
func TestHTTPReplay(t *testing.T) {
	h := newHouse(t)
	h.s.flood = newFlood(1 << 20)
	alice := h.accessKey()
	replays := 4000
	if n, err := strconv.Atoi(os.Getenv("KMSD_REPLAYS")); err == nil {
		replays = max(n, 8)
	}
	r := alice.sign(t)
	var made, refused atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range replays / 8 {
				_, err := h.invoke(&front.Call{Signed: r, Service: "kms"}, createKeyMethod, &decoding{})
				switch reason, _ := detailsOf(err); {
				case err == nil:
					made.Add(1)
				case reason == reasonThrottling && strings.Contains(status.Convert(err).Message(), "sent before"):
					refused.Add(1)
				default:
					t.Errorf("a repeated request: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 || refused.Load() != int64(replays/8*8-1) || h.s.keys.Snapshot().Len() != 1 {
		t.Errorf("one request sent %d times was carried out %d times and refused %d times, and made %d keys", replays, made.Load(), refused.Load(), h.s.keys.Snapshot().Len())
	}
	// What is not signed does not make it another request.
	other := *r
	other.Headers = maps.Clone(r.Headers)
	other.Headers["user-agent"] = []string{"another"}
	other.Headers["authorization"] = []string{strings.ReplaceAll(r.Headers["authorization"][0], ", ", ",")}
	if _, err := h.invoke(&front.Call{Signed: &other, Service: "kms"}, createKeyMethod, &decoding{}); err == nil {
		t.Error("the request in another spelling was carried out again")
	}
	// The same request signed anew a second later is another one; a refused one has not used up its signature for another method.
	if _, err := h.invoke(&front.Call{Signed: alice.in(func(s *signer) { s.at = s.at.Add(time.Second) }).sign(t), Service: "kms"}, createKeyMethod, &decoding{}); err != nil {
		t.Errorf("the request signed anew: %v", err)
	}
	reading := alice.in(func(s *signer) { s.target = "TrentService.ListKeys" }).sign(t)
	for n := range 3 {
		if _, err := h.invoke(&front.Call{Signed: reading, Service: "kms"}, kmsv1.KeyService_ListKeys_FullMethodName, &decoding{}); err != nil {
			t.Errorf("ListKeys, sent for the %d. time: %v", n+1, err)
		}
	}
}
