package iam

import (
	"sync/atomic"
	"time"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/iam/sigv4"
)

// Service is the service of every credential scope, as kmsd's clients sign all calls for one service.
const Service = "kms"

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
	used        *lastUse                            // of an access key; nil for others
	session     *session                            // of BySession
	signing     [2]atomic.Pointer[sigv4.SigningKey] // one of a day of an odd date, one of an even date
}

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

// SigningKey returns the key that calls of a date (sigv4.DateFormat) are signed with, for the configured region
// and Service. The keys of two days are kept; another one is derived, in a few microseconds. For a certificate it
// is the zero SigningKey, which verifies nothing.
func (c *Credential) SigningKey(date string) sigv4.SigningKey {
	if c.secret.Len() == 0 || date == "" {
		return sigv4.SigningKey{}
	}
	slot := &c.signing[date[len(date)-1]&1]
	if k := slot.Load(); k != nil && k.Date() == date {
		return *k
	}
	k := sigv4.DeriveKey(c.secret, date, c.region, Service)
	slot.Store(&k)
	return k
}
