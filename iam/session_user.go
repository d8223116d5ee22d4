package iam

import (
	"cmp"
	"crypto/rand"
	"time"

	"github.com/kmsd/kmsd/authz"
)

func newTemporaryKeyID() string { return "ASIA" + rand.Text()[:16] }

// SessionToken is what [IAM.SessionToken] is asked for with.
type SessionToken struct {
	Duration     time.Duration // whole seconds; zero for DefaultSessionTokenDuration, for a root user MaxRootTokenDuration
	SerialNumber string        // of an MFA device of the caller; empty without a second factor
	TokenCode    string        // six digits
}

// SessionToken gives the principal of c, a user or root user with long-term credentials, temporary credentials of its own, which
// tell conditions that a second factor was proven if r has one. The grant must permit authz.STSGetSessionToken on "*" to the
// principal of c.
//
// The error matches ErrSessionNotAllowed, ErrValidation, or those of VerifyMFA.
func (i *IAM) SessionToken(g authz.Grant, c *Credential, r SessionToken, now time.Time) (Temporary, error) {
	if c.Method == BySession {
		return Temporary{}, ErrSessionNotAllowed
	}
	if !(holder{c.Account, c.PrincipalID}).holds([]authz.Grant{g}, authz.STSGetSessionToken, "*") {
		return Temporary{}, ErrNotPermitted
	}
	claims := &tokenClaims{kind: userToken, account: c.Account, principalID: c.PrincipalID}
	longest, usual := MaxSessionTokenDuration, DefaultSessionTokenDuration
	if c.PrincipalID == c.Account {
		claims.kind, longest, usual = rootToken, MaxRootTokenDuration, MaxRootTokenDuration
	}
	duration := cmp.Or(r.Duration, usual)
	if duration < MinSessionDuration || duration > longest || duration%time.Second != 0 {
		return Temporary{}, invalid("DurationSeconds", "must be 900 to 129600, and for the root user 900 to 3600")
	}
	if r.SerialNumber != "" || r.TokenCode != "" {
		if err := i.VerifyMFA(c.Account, c.PrincipalID, r.SerialNumber, r.TokenCode, now); err != nil {
			return Temporary{}, err
		}
		claims.mfa = now.UTC().Truncate(time.Second)
	}
	return i.issue(claims, duration, now)
}

// ProveMFA returns the caller, whose credential is c, as one that has just proven a second factor, for deciding about one
// request: AssumeRole with a code of a device. It consumes the code. Sessions have no devices.
// The error matches those of VerifyMFA.
func (i *IAM) ProveMFA(c *Credential, caller *authz.Caller, serial, code string, now time.Time) (*authz.Caller, error) {
	if c.Method == BySession {
		return nil, ErrMFACode
	}
	if err := i.VerifyMFA(c.Account, c.PrincipalID, serial, code, now); err != nil {
		return nil, err
	}
	proven := *caller
	proven.Issued, proven.MFA = now, now
	return &proven, nil
}
