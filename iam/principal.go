package iam

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
)

// User is an IAM user or, with Name RootName, an account's root user.
type User struct {
	Account             string    // 12 digits
	ID                  string    // AIDA and 17 of A-Z and 2-7, never given twice; the account's id for the root user
	Name                string    // 1 to 64 characters; unique in the account without regard to case, found by its exact spelling only
	Path                string    // begins and ends with a slash; "/" for the root user
	ARN                 string    // arn:PARTITION:iam::ACCOUNT:user/path/name, or …:root
	PermissionsBoundary string    // ARN of the managed policy that is the user's boundary; "" for none
	Created             time.Time // whole seconds, UTC
}

// principal is a user or root user with all that hangs on it. It is immutable once published, but for made.
type principal struct {
	userState
	credentials []*Credential // made from the above by complete
	made        callerCache
}

type userState struct {
	User
	policySet
	keys         []accessKey         // in the order of creation
	certificates []ClientCertificate // in the order of creation
	groups       []string            // ids, in the order in which the user was added
	tags         tagSet
	boundary     string // id of a managed policy, or ""
}

func (p *principal) isRoot() bool { return p.Name == RootName }

// clone returns a copy of p whose lists may be replaced.
func (p *principal) clone() *principal { return &principal{userState: p.userState} }

// complete sorts p's lists and makes its credentials.
func (p *principal) complete(region string) {
	p.sort()
	userName := p.Name
	if p.isRoot() {
		userName = ""
	}
	p.credentials = make([]*Credential, 0, len(p.keys)+len(p.certificates))
	for _, k := range p.keys {
		p.credentials = append(p.credentials, &Credential{
			ID: k.id, Method: ByAccessKey, Status: k.status, Account: p.Account, PrincipalID: p.ID, UserName: userName,
			secret: k.secret, region: region, used: k.used,
		})
	}
	for _, c := range p.certificates {
		p.credentials = append(p.credentials, &Credential{
			ID: c.fingerprintHex(), Method: ByCertificate, Status: Active, Account: p.Account, PrincipalID: p.ID, UserName: userName,
			NotAfter: c.NotAfter, fingerprint: c.Fingerprint,
		})
	}
}

// sort gives the lists of p an order that does not depend on whether they were just changed or have been loaded.
func (p *principal) sort() {
	slices.SortStableFunc(p.keys, func(a, b accessKey) int {
		return cmp.Or(a.created.Compare(b.created), strings.Compare(a.id, b.id))
	})
	p.policySet.sort()
	slices.SortStableFunc(p.certificates, func(a, b ClientCertificate) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(string(a.Fingerprint[:]), string(b.Fingerprint[:])))
	})
}

// setUser puts next in the place of old, of which one may be nil, into s, which nobody else sees yet.
func (s *Snapshot) setUser(old, next *principal) {
	var account, id, was, is string
	if old != nil {
		account, id, was = old.Account, old.ID, old.Name
		for _, c := range old.credentials {
			if c.Method == ByCertificate {
				s.certificates = s.certificates.Without(c.fingerprint)
			} else {
				s.accessKeys = s.accessKeys.Without(c.ID)
			}
		}
		s.principals = s.principals.Without(id)
	}
	if next != nil {
		account, id, is = next.Account, next.ID, next.Name
		next.complete(s.region)
		for _, c := range next.credentials {
			if c.Method == ByCertificate {
				s.certificates = s.certificates.With(c.fingerprint, c)
			} else {
				s.accessKeys = s.accessKeys.With(c.ID, c)
			}
		}
		s.principals = s.principals.With(id, next)
	}
	s.enter(account, func(d *directory) *names { return &d.users }, userEntry(was), userEntry(is), id)
	s.noteUnusable(id, next.unusable())
}

// userEntry is the name under which a user is in a directory. Root users are not.
func userEntry(name string) string {
	if name == RootName {
		return ""
	}
	return name
}

func (p *principal) unusable() []UnusablePolicy {
	if p == nil {
		return nil
	}
	return p.policySet.unusable(UnusablePolicy{Account: p.Account, Owner: p.ARN, owner: p.ID, Kind: authz.IdentityPolicy})
}

// principal returns the user of exactly this name, or the root user for RootName.
func (s *Snapshot) principal(account, name string) (*principal, bool) {
	if name == RootName {
		if p, ok := s.principals.Load(account); ok && p.isRoot() {
			return p, true
		}
		return nil, false
	}
	if p, ok := s.principals.Load(s.directory(account).users.id(name)); ok && p.Name == name {
		return p, true
	}
	return nil, false
}

// User returns the user of exactly this name; RootName is the account's root user.
func (s *Snapshot) User(account, name string) (User, bool) {
	if p, ok := s.principal(account, name); ok {
		return p.User, true
	}
	return User{}, false
}

// UserByID returns the user, or root user, with a unique id.
func (s *Snapshot) UserByID(id string) (User, bool) {
	if p, ok := s.principals.Load(id); ok {
		return p.User, true
	}
	return User{}, false
}

// Users returns up to limit users of an account, at most MaxUsersPage, in the order of their names without regard
// to case, from the first one after the name after (empty: from the beginning), and whether there are more. The
// root user is not among them. after need not be a user's name.
func (s *Snapshot) Users(account, after string, limit int) (users []User, more bool) {
	page, more := s.directory(account).users.after(after, limit)
	for _, n := range page {
		if p, ok := s.principals.Load(n.id); ok {
			users = append(users, p.User)
		}
	}
	return users, more
}

// UserARN returns the ARN to authorize an operation on a named user with: the user's own if there is one of
// exactly this name, and otherwise the one that a user of this name and path "/" would have. The name is not
// checked.
func (s *Snapshot) UserARN(account, name string) string {
	if p, ok := s.principal(account, name); ok {
		return p.ARN
	}
	return s.NewUserARN(account, "/", name)
}

// NewUserARN returns the ARN to authorize CreateUser with.
func (s *Snapshot) NewUserARN(account, path, name string) string {
	return userARN(s.partition, account, path, name)
}

// UserResource returns what to authorize an operation on a named user with: UserARN, and the tags of the user if there is
// one.
func (s *Snapshot) UserResource(account, name string) *authz.Resource {
	r := s.entityResource(account, s.UserARN(account, name))
	if p, ok := s.principal(account, name); ok {
		r.Tags = p.tags.pairs()
	}
	return r
}

// entityResource is an entity of IAM without tags.
func (s *Snapshot) entityResource(account, arn string) *authz.Resource {
	return &authz.Resource{Kind: authz.IAMEntity, Account: account, ARN: arn, Membership: s.Membership(account)}
}
