package server

import (
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	"github.com/kmsd/kmsd/iam/sigv4"
	"github.com/kmsd/kmsd/internal/front"
)

// verified is a signature that was found good. It stands for every call that repeats it to the letter, while the
// credential is the same and the date has not gone by.
type verified struct {
	authorization, date, host, nonce, payload, path string
	token                                           string // of a session
	claims                                          int    // headers that must be signed
	credential                                      *iam.Credential
	signature                                       sigv4.Signature
}

// These bound the memory of nonces, some 60 bytes each: the changes of ten minutes in all, of one account, and of one access key.
const (
	noncesKept       = 1 << 19
	noncesPerAccount = 1 << 17
	noncesPerKey     = 1 << 15
)

func unauthenticated(reason, message, class string) *failure {
	return &failure{code: codes.Unauthenticated, reason: reason, message: message, class: class}
}

// unknownCredential is said of access keys and certificates that are unknown, inactive or deleted.
func unknownCredential(class string) *failure {
	return unauthenticated("UnrecognizedClientException", "the security token included in the request is invalid", class)
}

// authenticate finds out who calls: by the signature of an HTTP request that a front has received, by the signature in the metadata, or else by the
// client certificate of the connection. Who sends the two latter must be the same principal by both.
func (c *call) authenticate(md metadata.MD) error {
	if c.m.anonymous {
		c.event.Actor.ClientCertThumbprint = c.conn.thumbprint
		return nil
	}
	if f := front.FromContext(c.ctx); f != nil && f.Signed != nil {
		return c.byHTTP(f)
	}
	authorization, err := single(md, "authorization")
	if err != nil {
		return err
	}
	switch {
	case authorization != "":
		if err := c.bySignature(md, authorization); err != nil {
			return err
		}
		if c.conn.certificate == nil {
			return nil
		}
		by, ok := c.people.Certificate(c.conn.fingerprint)
		if !ok || by.PrincipalID != c.credential.PrincipalID {
			return unknownCredential("CertificateOfAnotherPrincipal")
		}
		return nil
	case c.conn.certificate != nil:
		return c.byCertificate()
	}
	return unauthenticated("MissingAuthenticationTokenException",
		"the request carries neither a signature nor a client certificate; give kmsctl or the client library credentials", "NoCredentials")
}

func single(md metadata.MD, name string) (string, error) {
	switch v := md[name]; len(v) {
	case 0:
		return "", nil
	case 1:
		return v[0], nil
	}
	return "", unauthenticated("IncompleteSignatureException", "a header of the signature is there twice", "DuplicateHeader")
}

func (c *call) byCertificate() error {
	cred, ok := c.people.Certificate(c.conn.fingerprint)
	if !ok {
		return unknownCredential("UnknownCertificate")
	}
	if err := cred.Usable(c.event.ReceivedTime); err != nil {
		return unknownCredential("CertificateExpired") // the connection may be older than that
	}
	return c.become(cred, audit.AuthClientCertificate)
}

// bySignature checks SigV4 over method, host, date and every x-amz- and x-kmsd- header. TLS protects the body.
func (c *call) bySignature(md metadata.MD, authorization string) error {
	v := verified{authorization: authorization, path: c.m.name}
	for _, h := range []struct {
		name string
		to   *string
	}{{":authority", &v.host}, {headerDate, &v.date}, {headerNonce, &v.nonce}, {headerPayload, &v.payload}, {headerToken, &v.token}} {
		var err error
		if *h.to, err = single(md, h.name); err != nil {
			return err
		}
	}
	v.claims = claims(md)
	if !c.repeatsVerified(&v) {
		if err := c.verify(md, &v); err != nil {
			return err
		}
	}
	if err := c.become(v.credential, audit.AuthAccessKey); err != nil {
		return err
	}
	if c.m.mutating {
		if v.nonce == "" {
			return unauthenticated("IncompleteSignatureException", "a call that changes something must sign the header "+headerNonce, "NoNonce")
		}
		if err := c.s.nonces.first(v.credential.Account, v.credential.ID, v.nonce, c.event.ReceivedTime); err != nil {
			return err
		}
	}
	return nil
}

// claims counts the headers that steer a call and so must be signed. Of the known ones each is there once at most, so that a
// call with as many as a verified one, and the known ones alike, has none that is not signed.
func claims(md metadata.MD) (n int) {
	for name := range md {
		if strings.HasPrefix(name, "x-amz-") || strings.HasPrefix(name, "x-kmsd-") {
			n++
		}
	}
	return n
}

// The headers of a signed call.
const (
	headerDate    = "x-amz-date"
	headerNonce   = "x-kmsd-nonce"
	headerPayload = "x-amz-content-sha256"
	headerToken   = "x-amz-security-token"
)

// repeatsVerified reports whether v is, to the letter, the signature that the last call of the method on this
// connection was let in with, and fills in what that one proved.
func (c *call) repeatsVerified(v *verified) bool {
	if c.conn.signatures == nil {
		return false // a front's, on which there is no metadata to repeat but that of a gateway's own calls
	}
	last := c.conn.signatures[c.m.number].Load()
	if last == nil || last.authorization != v.authorization || last.date != v.date || last.host != v.host || last.nonce != v.nonce || last.payload != v.payload || last.path != v.path || last.token != v.token || last.claims != v.claims {
		return false
	}
	if v.token == "" {
		if cred, ok := c.people.AccessKey(last.credential.ID); !ok || cred != last.credential {
			return false // changed since: look closely
		}
	}
	if last.signature.Fresh(c.event.ReceivedTime) != nil {
		return false
	}
	v.credential, v.signature = last.credential, last.signature
	return true
}

func (c *call) verify(md metadata.MD, v *verified) error {
	sig, err := sigv4.Parse(v.authorization, v.date)
	if err != nil {
		return signatureFailure(err)
	}
	c.event.Actor.CredentialID = sig.AccessKeyID // claimed, not proven: authMethod says NONE
	cred, err := c.claimed(sig.AccessKeyID, v.token)
	if err != nil {
		return err
	}
	err = sig.Verify(cred.SigningKey(sig.Date, c.s.place.Region, iam.Service), sigv4.Request{Method: "POST", Path: c.m.name, Host: v.host, Headers: md, PayloadHash: sigv4.UnsignedPayload}, c.event.ReceivedTime)
	if err != nil {
		return signatureFailure(err)
	}
	v.credential, v.signature = cred, sig
	if !c.m.mutating && c.conn.signatures != nil {
		kept := *v // so that v stays on the stack of calls that repeat it
		c.conn.signatures[c.m.number].Store(&kept)
	}
	return nil
}

// claimed is the credential that a signature says it is made with: an access key, or with a token the session that the token stands for.
func (c *call) claimed(accessKeyID, token string) (*iam.Credential, error) {
	if token != "" {
		cred, err := c.s.people.OpenSession(token, accessKeyID, c.event.ReceivedTime)
		if err != nil {
			return nil, unusableCredential(err)
		}
		return cred, nil
	}
	cred, known := c.people.AccessKey(accessKeyID)
	if !known {
		return nil, unknownCredential("UnknownAccessKey")
	}
	return cred, nil
}

// unusableCredential is what is said of credentials that exist and must not be accepted.
func unusableCredential(err error) *failure {
	switch {
	case errors.Is(err, iam.ErrExpired):
		return unauthenticated("ExpiredTokenException", "the security token included in the request is expired", "Expired")
	case errors.Is(err, iam.ErrAccountSuspended):
		return unknownCredential("AccountSuspended")
	case errors.Is(err, iam.ErrInvalidToken):
		return unknownCredential("InvalidToken")
	}
	return unknownCredential("InactiveAccessKey")
}

func signatureFailure(err error) error {
	f := unauthenticated("InvalidSignatureException", "the signature does not match: check the secret access key", "SignatureMismatch")
	switch {
	case errors.Is(err, sigv4.ErrIncomplete):
		f.reason, f.message, f.class = "IncompleteSignatureException", err.Error(), "IncompleteSignature"
	case errors.Is(err, sigv4.ErrExpired), errors.Is(err, sigv4.ErrNotYetValid):
		f.message, f.class = "the date of the signature is more than 5 minutes from the server's clock: set the clock of one of them", "ClockSkew"
	case errors.Is(err, sigv4.ErrScope):
		f.message, f.class = "the signature is scoped to another date, region or service: check the region of the credentials", "Scope"
	}
	return f
}

// reauthenticate looks up again the credential that let the call in.
func (c *call) reauthenticate() error {
	was, method := c.credential, c.event.Actor.AuthMethod
	now, there := was, true
	switch was.Method {
	case iam.ByAccessKey:
		now, there = c.people.AccessKey(was.ID)
	case iam.ByCertificate:
		now, there = c.people.Certificate(c.conn.fingerprint)
	}
	if !there || now.PrincipalID != was.PrincipalID {
		return unknownCredential("DeletedMeanwhile")
	}
	return c.become(now, method)
}

// become takes on the principal of a credential that was proven, if the credential and the principal are good.
func (c *call) become(cred *iam.Credential, method audit.AuthMethod) error {
	if err := cred.Usable(c.event.ReceivedTime); err != nil {
		return unusableCredential(err)
	}
	who, err := c.people.Caller(cred)
	if err != nil {
		return unusableCredential(err)
	}
	c.credential, c.who = cred, who
	c.s.people.NoteUsed(cred, c.event.ReceivedTime)
	a := &c.event.Actor
	a.AuthMethod = method
	a.CredentialID = cred.ID
	a.ClientCertThumbprint = c.conn.thumbprint
	a.ID, a.ARN, a.Tenant, a.UserName = who.ID, who.ARN, who.Account, who.UserName
	a.SourceIdentity, a.MFA = who.SourceIdentity, !who.MFA.IsZero()
	a.Type = actorTypes[who.Kind]
	if !who.Issued.IsZero() {
		if c.m.source == "iam" && who.Kind != authz.RoleSession && who.MFA.IsZero() {
			return c.sessionWithoutMFA()
		}
		a.Session = audit.Session{Name: who.SessionName, Issuer: who.RoleARN, Created: who.Issued, Expires: cred.NotAfter}
		if method == audit.AuthAccessKey {
			a.AuthMethod = audit.AuthSessionToken
		}
	}
	return nil
}

// sessionWithoutMFA is what temporary credentials of a user's own are told that ask for a change of IAM: whoever holds a leaked access key could else go on
// making others after it was deleted. AWS has the same rule.
func (c *call) sessionWithoutMFA() error {
	c.event.Decision.Result = audit.ResultDeny
	return &failure{
		code: codes.PermissionDenied, reason: reasonAccessDenied, class: "SessionWithoutMFA",
		message: "credentials of GetSessionToken can call IAM only if they were got with a second factor: give serial_number and token_code to GetSessionToken",
	}
}

// actorTypes :: kind of caller → type of actor in the audit log. It is never written.
var actorTypes = map[authz.CallerKind]audit.ActorType{
	authz.Root: audit.ActorRoot, authz.User: audit.ActorIAMUser, authz.RoleSession: audit.ActorAssumedRole, authz.WebIdentity: audit.ActorWebIdentity,
}

// nonceCache refuses a nonce that an access key has used before, for as long as its signature would be good. It has two
// generations, each of the length of that time. Beyond the bounds calls that change something are refused; those of one
// access key and of one account keep them from using up the others' room.
type nonceCache struct {
	mu            sync.Mutex
	since         time.Time
	current, past nonceGeneration
}

type nonceGeneration struct {
	seen   map[[32]byte]struct{}
	shares map[string]int // :: access key, or account → its nonces
}

func newNonceGeneration() nonceGeneration {
	return nonceGeneration{map[[32]byte]struct{}{}, map[string]int{}}
}

func newNonceCache() nonceCache {
	return nonceCache{current: newNonceGeneration(), past: newNonceGeneration()}
}

// classReplay is what the audit event calls a request that was sent before.
const classReplay = "Replay"

func (n *nonceCache) first(account, accessKey, nonce string, now time.Time) error {
	if len(nonce) < 16 || len(nonce) > 64 {
		return unauthenticated("IncompleteSignatureException", "the header "+headerNonce+" must have 16 to 64 characters", "Nonce")
	}
	key := sha256.Sum256([]byte(accessKey + "/" + nonce))
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.Sub(n.since) > 2*sigv4.MaxSkew {
		n.past, n.current, n.since = n.current, newNonceGeneration(), now
	}
	_, a := n.current.seen[key]
	_, b := n.past.seen[key]
	if a || b {
		return unauthenticated("InvalidSignatureException", "the request was sent before: sign each request anew", classReplay)
	}
	if len(n.current.seen) >= noncesKept || n.current.shares[account] >= noncesPerAccount || n.current.shares[accessKey] >= noncesPerKey {
		return &failure{code: codes.ResourceExhausted, reason: reasonThrottling, message: "too many changes in ten minutes", class: "NonceCacheFull"}
	}
	n.current.seen[key] = struct{}{}
	n.current.shares[account]++
	n.current.shares[accessKey]++
	return nil
}
