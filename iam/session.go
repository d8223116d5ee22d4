package iam

import (
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
)

// How long temporary credentials may be good. Those of a role end with [Role.MaxSessionDuration] at the latest.
const (
	MinSessionDuration          = 15 * time.Minute
	MaxChainedDuration          = time.Hour      // of a role that a session of a role has assumed
	MaxSessionTokenDuration     = 36 * time.Hour // of GetSessionToken, for a user
	MaxRootTokenDuration        = time.Hour      // of GetSessionToken, for a root user
	DefaultSessionTokenDuration = 12 * time.Hour // of GetSessionToken, for a user
)

// Errors of temporary credentials. In brackets the name of the AWS exception.
var (
	// ErrPackedPolicyTooLarge says that session policies and tags do not fit into a token. [PackedPolicyTooLargeException]
	ErrPackedPolicyTooLarge = errors.New("the session policies and tags are too large")

	// ErrSessionNotAllowed says that GetSessionToken was called with temporary credentials. [AccessDeniedException]
	ErrSessionNotAllowed = errors.New("session tokens are given to users and root users with long-term credentials only")
)

// Temporary is temporary credentials as they are told once, when they are made. It prints without the secret.
type Temporary struct {
	AccessKeyID string        // ASIA and 16 of A-Z and 2-7
	Secret      crypto.Secret // 40 characters of base64; the caller's own, to be wiped when it has been told
	Token       string        // goes with every request that the secret signs; up to MaxSessionToken bytes
	Expiration  time.Time     // whole seconds, UTC

	// Of the session of a role; else empty.
	AssumedRoleID    string // AROA…:SESSION
	ARN              string // arn:PARTITION:sts::ACCOUNT:assumed-role/ROLE/SESSION
	SourceIdentity   string
	PackedPolicySize int // percent of the room for session policies and tags that is used, rounded up
}

// session is what a Credential of the method BySession has beyond others. It is immutable, but for made.
type session struct {
	claims *tokenClaims
	policy *authz.Policy // the inline session policy, compiled; nil for none
	size   int           // bytes that it takes, about
	made   atomic.Pointer[sessionMade]
}

// sessionMade is the caller that was last made of a session: good while base is what the role or user gives. That is made anew
// in each epoch of policies, so it stands for the managed session policies as well.
type sessionMade struct{ base, caller *authz.Caller }

// OpenSession returns the credential of a session token that this store's kmsd has made. Usable and [Snapshot.Caller] say
// whether it may be accepted, as with other credentials. The error is ErrExpired, or ErrInvalidToken for
// all that is not a token of this store, has been altered, or is not that of the access key.
//
// What was opened is kept: the same token again costs a hash and a look-up, and gives the same Credential, as long as it is
// among some 16,000 that were used last.
func (i *IAM) OpenSession(token, accessKeyID string, now time.Time) (*Credential, error) {
	if len(token) > MaxSessionToken {
		return nil, ErrInvalidToken
	}
	sum := hashToken(token)
	c := i.opened.get(sum)
	if c == nil {
		claims, err := i.ring.Load().open(i.Snapshot().management, token)
		if err != nil {
			return nil, ErrInvalidToken
		}
		c = i.opened.add(sum, i.newSession(claims, len(token)))
	}
	if c.ID != accessKeyID {
		return nil, ErrInvalidToken
	}
	if !now.Before(c.NotAfter) {
		return nil, ErrExpired
	}
	return c, nil
}

func (i *IAM) newSession(claims *tokenClaims, size int) *Credential {
	s := &session{claims: claims, size: sessionOverhead + size}
	if claims.policy != "" {
		var err error
		if s.policy, err = parsePolicy(authz.SessionPolicy, sessionPolicyName, claims.policy); err != nil {
			s.policy = authz.Unusable(authz.SessionPolicy, sessionPolicyName) // another version of the program made it
		}
		s.size += policyOverhead * len(claims.policy)
	}
	c := &Credential{
		ID: claims.accessKeyID, Method: BySession, Status: Active, Account: claims.account, PrincipalID: claims.principalID,
		NotAfter: claims.expires, secret: claims.secret, region: i.cfg.Region, session: s,
	}
	if claims.kind == userToken {
		if u, ok := i.Snapshot().UserByID(claims.principalID); ok {
			c.UserName = u.Name
		}
	}
	return c
}

const sessionPolicyName = "session-policy" // in decisions

// sessionCaller is Caller for the credential of a session: the role or user as it is in s, limited by the session's policies. It
// is made once for each session and state of what it is made of.
func (s *Snapshot) sessionCaller(c *Credential) (*authz.Caller, error) {
	if c.session == nil {
		return nil, ErrInvalidToken
	}
	base, err := s.sessionBase(c.session.claims)
	if err != nil {
		return nil, err
	}
	if m := c.session.made.Load(); m != nil && m.base == base {
		return m.caller, nil
	}
	caller, err := s.makeSession(c.session, base)
	if err != nil {
		return nil, err
	}
	c.session.made.Store(&sessionMade{base: base, caller: caller})
	return caller, nil
}

// sessionBase returns the caller of the role or user that a session is of, who may have gone since.
func (s *Snapshot) sessionBase(t *tokenClaims) (*authz.Caller, error) {
	load := s.userCaller
	if t.kind == roleToken {
		load = s.roleCaller
	}
	base, err := load(t.principalID)
	switch {
	case errors.Is(err, ErrAccountSuspended):
		return nil, ErrAccountSuspended
	case err != nil || base.Account != t.account:
		return nil, ErrInvalidToken
	}
	return base, nil
}

func (s *Snapshot) makeSession(e *session, base *authz.Caller) (*authz.Caller, error) {
	t := e.claims
	caller := *base
	caller.Issued, caller.MFA = t.issued, t.mfa
	if t.kind != roleToken {
		return &caller, nil
	}
	r, ok := s.roles.Load(t.principalID)
	if !ok {
		return nil, ErrInvalidToken
	}
	caller.ARN = s.sessionARN(r, t.sessionName)
	caller.SessionName, caller.SourceIdentity = t.sessionName, t.sourceIdentity
	if len(t.tags) > 0 {
		caller.Tags = authz.NewPairs(overridden(r.tags, t.tags))
	}
	if e.policy != nil {
		caller.Session = append(caller.Session, e.policy)
	}
	for _, arn := range t.policyARNs {
		p, ok := s.ManagedPolicy(t.account, arn)
		if !ok { // deleted since: what it allowed is not known, so nothing is
			p = authz.Unusable(authz.SessionPolicy, arn)
		}
		caller.Session = append(caller.Session, p)
	}
	return &caller, nil
}

// sessionARN is the ARN of a role's session, in which the path of the role is not.
func (s *Snapshot) sessionARN(r *role, name string) string {
	return fmt.Sprintf("arn:%s:sts::%s:assumed-role/%s/%s", s.partition, r.Account, r.Name, name)
}

// overridden returns the tags of a role with those of a session in the place of those that have the same keys without regard
// to case.
func overridden(role tagSet, list []sessionTag) map[string]string {
	all := maps.Clone(map[string]string(role))
	if all == nil {
		all = map[string]string{}
	}
	given := map[string]bool{}
	for _, t := range list {
		given[foldTag(t.Key)] = true
	}
	maps.DeleteFunc(all, func(key, _ string) bool { return given[foldTag(key)] })
	for _, t := range list {
		all[t.Key] = t.Value
	}
	return all
}
