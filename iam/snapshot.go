package iam

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/internal/cow"
)

// Account is a tenant.
type Account struct {
	ID         string // 12 digits
	Management bool   // the account that the store was made with
	Created    time.Time
}

// User is an IAM user or, with Name RootName, an account's root user.
type User struct {
	Account string    // 12 digits
	ID      string    // AIDA and 17 of A-Z and 2-7, never given twice; the account's id for the root user
	Name    string    // 1 to 64 characters; unique in the account without regard to case, found by its exact spelling only
	Path    string    // begins and ends with a slash; "/" for the root user
	ARN     string    // arn:PARTITION:iam::ACCOUNT:user/path/name, or …:root
	Created time.Time // whole seconds, UTC
}

// Snapshot is all principals at one moment. It is immutable and safe for concurrent use; what its methods return
// is not to be modified.
type Snapshot struct {
	generation   uint64
	partition    string
	region       string
	management   string
	accounts     cow.Map[string, *account]      // :: account id → account
	principals   cow.Map[string, *principal]    // :: principal id → principal
	accessKeys   cow.Map[string, *Credential]   // :: access key id → credential
	certificates cow.Map[[32]byte, *Credential] // :: fingerprint → credential
}

type account struct {
	Account
	root  *principal
	users []*principal // in the order of their folded names
}

// principal is a user with all that hangs on it. It is immutable once published.
type principal struct {
	User
	keys         []accessKey         // in the order of creation
	policies     []policy            // in the order of their folded names
	certificates []ClientCertificate // in the order of creation
	credentials  []*Credential       // made from the above by compile
}

func (p *principal) isRoot() bool { return p.Name == RootName }

// compile sorts p's lists and makes its credentials, all of which share one authz.Caller.
func (p *principal) compile(region string) *principal {
	p.sort()
	caller := &authz.Caller{Kind: authz.User, Account: p.Account, ID: p.ID, ARN: p.ARN}
	userName := p.Name
	if p.isRoot() {
		caller.Kind, userName = authz.Root, ""
	}
	for _, pol := range p.policies {
		caller.Identity = append(caller.Identity, pol.compiled)
	}
	p.credentials = make([]*Credential, 0, len(p.keys)+len(p.certificates))
	for _, k := range p.keys {
		p.credentials = append(p.credentials, &Credential{
			ID: k.id, Method: ByAccessKey, Status: k.status, UserName: userName, Caller: caller, secret: k.secret, region: region,
		})
	}
	for _, c := range p.certificates {
		p.credentials = append(p.credentials, &Credential{
			ID: c.fingerprintHex(), Method: ByCertificate, Status: Active, UserName: userName, Caller: caller,
			NotAfter: c.NotAfter, fingerprint: c.Fingerprint,
		})
	}
	return p
}

// sort gives the lists of p an order that does not depend on whether they were just changed or have been loaded.
func (p *principal) sort() {
	slices.SortStableFunc(p.keys, func(a, b accessKey) int {
		return cmp.Or(a.created.Compare(b.created), strings.Compare(a.id, b.id))
	})
	slices.SortStableFunc(p.policies, func(a, b policy) int { return strings.Compare(fold(a.name), fold(b.name)) })
	slices.SortStableFunc(p.certificates, func(a, b ClientCertificate) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(string(a.Fingerprint[:]), string(b.Fingerprint[:])))
	})
}

// clone returns a copy of p whose lists may be replaced.
func (p *principal) clone() *principal {
	next := *p
	return &next
}

// replace returns s with next in the place of old, of which one may be nil.
func (s *Snapshot) replace(old, next *principal, generation uint64) *Snapshot {
	n := *s
	n.generation = generation
	if old != nil {
		n.remove(old)
	}
	if next != nil {
		n.add(next.compile(s.region))
	}
	return &n
}

// remove takes p out of n, which nobody else sees yet.
func (s *Snapshot) remove(p *principal) {
	for _, c := range p.credentials {
		if c.Method == ByCertificate {
			s.certificates = s.certificates.Without(c.fingerprint)
		} else {
			s.accessKeys = s.accessKeys.Without(c.ID)
		}
	}
	s.principals = s.principals.Without(p.ID)
	if p.isRoot() {
		return // add puts the next one into its place; there is no account without
	}
	a, _ := s.accounts.Load(p.Account)
	if at, ok := a.find(p.Name); ok {
		next := *a
		next.users = slices.Delete(slices.Clone(a.users), at, at+1)
		s.accounts = s.accounts.With(a.ID, &next)
	}
}

func (s *Snapshot) add(p *principal) {
	for _, c := range p.credentials {
		if c.Method == ByCertificate {
			s.certificates = s.certificates.With(c.fingerprint, c)
		} else {
			s.accessKeys = s.accessKeys.With(c.ID, c)
		}
	}
	s.principals = s.principals.With(p.ID, p)
	a, _ := s.accounts.Load(p.Account)
	next := *a
	if p.isRoot() {
		next.root = p
	} else {
		at, _ := a.find(p.Name)
		next.users = slices.Insert(slices.Clone(a.users), at, p)
	}
	s.accounts = s.accounts.With(a.ID, &next)
}

// find returns where the user is, or would be, whose name is name without regard to case.
func (a *account) find(name string) (int, bool) {
	return slices.BinarySearchFunc(a.users, fold(name), func(p *principal, folded string) int {
		return strings.Compare(fold(p.Name), folded)
	})
}

// principal returns the user of exactly this name, or the root user for RootName.
func (s *Snapshot) principal(accountID, name string) (*principal, bool) {
	a, ok := s.accounts.Load(accountID)
	if !ok {
		return nil, false
	}
	if name == RootName {
		return a.root, true
	}
	if at, ok := a.find(name); ok && a.users[at].Name == name {
		return a.users[at], true
	}
	return nil, false
}

// Generation returns the store's generation that s is as of; where only others have written since, the store's may
// be higher.
func (s *Snapshot) Generation() uint64 { return s.generation }

// ManagementAccount returns the id of the account that the store was made with.
func (s *Snapshot) ManagementAccount() string { return s.management }

// Account returns the account with an id.
func (s *Snapshot) Account(id string) (Account, bool) {
	a, ok := s.accounts.Load(id)
	if !ok {
		return Account{}, false
	}
	return a.Account, true
}

// AccessKey returns the credential of an access key id, whether or not it is active: ask its Usable. It takes
// constant time but for the look-up in a map, and does not allocate.
func (s *Snapshot) AccessKey(id string) (*Credential, bool) { return s.accessKeys.Load(id) }

// Certificate returns the credential of a client certificate by the SHA-256 of its DER form. That the certificate was
// issued by the authority follows; that the peer holds its key is for TLS to prove.
func (s *Snapshot) Certificate(fingerprint [32]byte) (*Credential, bool) {
	return s.certificates.Load(fingerprint)
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
	a, ok := s.accounts.Load(account)
	if !ok || limit <= 0 {
		return nil, false
	}
	at, found := a.find(after)
	if found {
		at++
	}
	rest := a.users[at:]
	n := min(limit, MaxUsersPage, len(rest))
	users = make([]User, 0, n)
	for _, p := range rest[:n] {
		users = append(users, p.User)
	}
	return users, n < len(rest)
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

// PrincipalID returns the unique id of the user with an ARN, for key policies that are bound to ids. Accounts and
// root users are not users and have none.
func (s *Snapshot) PrincipalID(arn string) (id string, ok bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || !strings.HasPrefix(parts[5], "user/") {
		return "", false
	}
	name := arn[strings.LastIndexByte(arn, '/')+1:]
	p, ok := s.principal(parts[4], name)
	if !ok || p.isRoot() || p.ARN != arn {
		return "", false
	}
	return p.ID, true
}

// ARN returns the ARN of the user, or root user, with a unique id.
func (s *Snapshot) ARN(id string) (arn string, ok bool) {
	p, ok := s.principals.Load(id)
	if !ok {
		return "", false
	}
	return p.ARN, true
}
