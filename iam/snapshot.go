package iam

import (
	"fmt"
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
	Suspended  bool   // closed: none of its credentials is accepted
	Created    time.Time
}

// Snapshot is all principals at one moment. It is immutable and safe for concurrent use; what its methods return
// is not to be modified.
type Snapshot struct {
	generation uint64
	epoch      uint64 // the generation since which shared is as it is
	partition  string
	region     string
	management string

	shared
	directories  cow.Map[string, *directory]    // :: account id → names in it; awsAccount too
	principals   cow.Map[string, *principal]    // :: user id, or account id of a root user → principal
	roles        cow.Map[string, *role]         // :: role id → role
	accessKeys   cow.Map[string, *Credential]   // :: access key id → credential
	certificates cow.Map[[32]byte, *Credential] // :: fingerprint → credential
	devices      devices
	providers    providers
	unusable     []UnusablePolicy
}

// shared is what callers are made from besides the user or role itself. Its fields are such that two of them are equal
// only if nothing has changed: a change begins a new epoch, and with it every caller is made again when it next calls.
type shared struct {
	accounts cow.Map[string, *Account]
	groups   cow.Map[string, *group]   // :: group id → group
	managed  cow.Map[string, *managed] // :: policy id → managed policy

	organization *organization
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
	return *a, true
}

// AccessKey returns the credential of an access key id, whether or not it is active: ask its Usable. It takes
// constant time but for the look-up in a map, and does not allocate.
func (s *Snapshot) AccessKey(id string) (*Credential, bool) { return s.accessKeys.Load(id) }

// Certificate returns the credential of a client certificate by the SHA-256 of its DER form. That the certificate was
// issued by the authority follows; that the peer holds its key is for TLS to prove.
func (s *Snapshot) Certificate(fingerprint [32]byte) (*Credential, bool) {
	return s.certificates.Load(fingerprint)
}

// PrincipalID returns the unique id of the user or role with an ARN, for policies of resources, which are bound to ids.
// The ARN of a session has that of its role, whether or not there is a session of this name. Accounts and root users have none.
func (s *Snapshot) PrincipalID(arn string) (id string, ok bool) {
	account, kind, name, ok := parseEntityARN(arn)
	if !ok {
		return "", false
	}
	switch kind {
	case "user":
		if p, ok := s.principal(account, name); ok && p.ARN == arn && !p.isRoot() {
			return p.ID, true
		}
	case "role":
		if r, ok := s.role(account, name); ok && r.ARN == arn {
			return r.ID, true
		}
	case "assumed-role": // name is the session's
		_, role, _ := strings.Cut(strings.TrimSuffix(arn, "/"+name), "/")
		if r, ok := s.role(account, role); ok && sessionName.MatchString(name) && s.sessionARN(r, name) == arn {
			return r.ID, true
		}
	}
	return "", false
}

// ARN returns the ARN of the user, root user or role with a unique id, or of the session AROA…:NAME of a role, whether or not there
// is a session of this name.
func (s *Snapshot) ARN(id string) (arn string, ok bool) {
	if p, ok := s.principals.Load(id); ok {
		return p.ARN, true
	}
	id, session, ofSession := strings.Cut(id, ":")
	r, ok := s.roles.Load(id)
	switch {
	case !ok:
		return "", false
	case !ofSession:
		return r.ARN, true
	}
	if !sessionName.MatchString(session) {
		return "", false
	}
	return s.sessionARN(r, session), true
}

// directory is the names of one account's entities.
type directory struct{ users, groups, roles, policies names }

// names are ids in the order of the folded names of what they are the ids of. They are immutable.
type names []named

type named struct{ folded, id string }

// find returns where the name is, or would be.
func (l names) find(name string) (at int, ok bool) {
	return slices.BinarySearchFunc(l, fold(name), func(n named, folded string) int { return strings.Compare(n.folded, folded) })
}

func (l names) id(name string) string {
	if at, ok := l.find(name); ok {
		return l[at].id
	}
	return ""
}

// free checks that nobody but the entity of an id has a name.
func (l names) free(what, name, id string) error {
	if at, taken := l.find(name); taken && l[at].id != id {
		return fmt.Errorf("%w: a %s of this name", ErrEntityExists, what)
	}
	return nil
}

// after returns up to limit entries after a name, which need not be there, and whether there are more.
func (l names) after(name string, limit int) (page names, more bool) {
	at, found := l.find(name)
	if found {
		at++
	}
	rest := l[at:]
	n := max(0, min(limit, MaxUsersPage, len(rest)))
	return rest[:n], n < len(rest) && n > 0
}

// renamed returns l with the entity of an id under the name next and no longer under old, either of which may be "".
func (l names) renamed(old, next, id string) names {
	if old == next {
		return l
	}
	l = slices.Clone(l)
	if at, ok := l.find(old); old != "" && ok {
		l = slices.Delete(l, at, at+1)
	}
	if next != "" {
		at, _ := l.find(next)
		l = slices.Insert(l, at, named{fold(next), id})
	}
	return l
}

// directory returns the names of an account, which may be none.
func (s *Snapshot) directory(account string) *directory {
	if d, ok := s.directories.Load(account); ok {
		return d
	}
	return &directory{}
}

// enter makes in s, which nobody else sees yet, a change of the names in an account.
func (s *Snapshot) enter(account string, list func(*directory) *names, old, next, id string) {
	if old == next {
		return
	}
	d := *s.directory(account)
	l := list(&d)
	*l = l.renamed(old, next, id)
	s.directories = s.directories.With(account, &d)
}

// UnusablePolicy is a stored policy that does not parse: it denies every request of those it is attached to.
type UnusablePolicy struct {
	Account string
	Owner   string // ARN of the user, group or role, or of the managed policy itself
	Name    string // as in decisions
	Kind    authz.PolicyKind
	Err     error

	owner string // id
}

// UnusablePolicies returns the policies that had to be replaced by one that denies everything. It is empty in a store
// that is as it should be; otherwise somebody must be told.
func (s *Snapshot) UnusablePolicies() []UnusablePolicy { return s.unusable }

// noteUnusable takes the unusable policies of one entity, in the place of those that it had, into s, which nobody else
// sees yet.
func (s *Snapshot) noteUnusable(owner string, list []UnusablePolicy) {
	if len(s.unusable)+len(list) == 0 {
		return
	}
	rest := slices.DeleteFunc(slices.Clone(s.unusable), func(u UnusablePolicy) bool { return u.owner == owner })
	s.unusable = append(rest, list...)
}
