package iam

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/iam/sigv4"
)

// Service is the service of the credential scope of every call over gRPC, as kmsd's own clients sign all calls for one service.
const Service = "kms"

// GlobalRegion is the region for which AWS's clients sign calls of services that AWS has once for all regions. It stands beside the configured one.
const GlobalRegion = "us-east-1"

// scopes of calls that AWS's clients sign: for each a place among a credential's keys. :: service → its number
var scopedServices = [...]string{Service, "sts", "iam", "organizations"}

// ServesScope reports whether calls of a service are accepted that are signed for region, where kmsd is configured for home: that is home, and
// for sts, iam and organizations GlobalRegion too.
func ServesScope(region, service, home string) bool {
	return scopeNumber(region, service, home) >= 0
}

// scopeNumber is the place of the keys of a region and service among those of a credential, or -1 if no call of theirs is accepted.
func scopeNumber(region, service, home string) int {
	n := slices.Index(scopedServices[:], service)
	switch {
	case n < 0:
		return -1
	case region == home:
		return n
	case region == GlobalRegion && service != Service:
		return n + len(scopedServices) - 1
	}
	return -1
}

// Status says whether a credential is accepted. The zero value is not a status.
type Status uint8

// The statuses of AWS IAM.
const (
	Active Status = iota + 1
	Inactive
)

func (s Status) String() string {
	switch s {
	case Active:
		return "Active"
	case Inactive:
		return "Inactive"
	}
	return "Unknown"
}

// Method says what kind of credential it is.
type Method uint8

const (
	ByAccessKey   Method = iota + 1 // SigV4 under a secret access key
	ByCertificate                   // mutual TLS
	BySession                       // SigV4 under temporary credentials, with their session token
)

func (m Method) String() string {
	switch m {
	case ByAccessKey:
		return "ACCESS_KEY"
	case ByCertificate:
		return "CLIENT_CERTIFICATE"
	case BySession:
		return "SESSION_TOKEN"
	}
	return "NONE"
}

// Credential proves that a call is its principal's. Snapshots hand out pointers to it; it is immutable, safe for
// concurrent use, and prints without its secret. Whoever accepts it asks Usable first; the principal with its policies
// is what [Snapshot.Caller] answers.
type Credential struct {
	ID          string // the access key id, or the certificate's fingerprint in lower-case hex
	Method      Method
	Status      Status
	Account     string    // 12 digits
	PrincipalID string    // unique id of the user or, of a session of a role, of the role; the account for a root user
	UserName    string    // empty for a root user and a session of a role
	NotAfter    time.Time // it is good before this time, and not at it; zero: no end

	secret      crypto.Secret
	fingerprint [32]byte
	region      string
	used        *lastUse                       // of an access key; nil for others
	session     *session                       // of BySession
	signing     signingKeys                    // for calls over gRPC and of kms
	elsewhere   atomic.Pointer[[6]signingKeys] // for calls of the other services, by scopeNumber; nil until there is one
}

// signingKeys are derived keys: one of a day of an odd date, one of an even date.
type signingKeys [2]atomic.Pointer[sigv4.SigningKey]

// Usable returns nil if the credential may be accepted at now, and otherwise ErrInactive or ErrExpired.
func (c *Credential) Usable(now time.Time) error {
	switch {
	case c.Status != Active:
		return ErrInactive
	case !c.NotAfter.IsZero() && !now.Before(c.NotAfter):
		return ErrExpired
	}
	return nil
}

// Secret returns the secret access key, 40 characters, or the zero Secret for a certificate. It is not to be wiped.
func (c *Credential) Secret() crypto.Secret { return c.secret }

// SigningKey returns the key that calls of a date (sigv4.DateFormat), region and service are signed with. The keys of two days are kept for each region and
// service that ServesScope accepts; another date's is derived, in a few microseconds. For another region or service, and for a certificate, it is the zero
// SigningKey, which verifies nothing.
func (c *Credential) SigningKey(date, region, service string) sigv4.SigningKey {
	n := scopeNumber(region, service, c.region)
	if c.secret.Len() == 0 || date == "" || n < 0 {
		return sigv4.SigningKey{}
	}
	slot := &c.keysOf(n)[date[len(date)-1]&1]
	if k := slot.Load(); k != nil && k.Date() == date {
		return *k
	}
	k := sigv4.DeriveKey(c.secret, date, region, service)
	slot.Store(&k)
	return k
}

// keysOf returns where the keys of the scope with number n are kept.
func (c *Credential) keysOf(n int) *signingKeys {
	if n == 0 {
		return &c.signing
	}
	all := c.elsewhere.Load()
	if all == nil {
		all = new([6]signingKeys)
		if !c.elsewhere.CompareAndSwap(nil, all) {
			all = c.elsewhere.Load()
		}
	}
	return &all[n-1]
}
