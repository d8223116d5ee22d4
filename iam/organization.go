package iam

import (
	"slices"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/internal/cow"
)

// Limits of the organization, which are AWS's.
const (
	MaxAccounts            = 10000 // closed ones among them
	MaxOrganizationalUnits = 1000
	MaxUnitDepth           = 5    // organizational units on the way from the root to an account
	MaxOrgPolicies         = 1000 // of each type, those of AWS not counted
	MaxAttachedOrgPolicies = 5    // of each type, on one root, unit or account
	MaxOrgPolicyBytes      = 5120 // of a document, white space counted
	MaxOrgPage             = 100  // entries that one call of a list of the organization returns
)

// Ids of the policies that every organization has. They allow everything and cannot be changed.
const (
	FullAWSAccessID    = "p-FullAWSAccess"    // service control policy; attached to what is made, and detached from where another one is
	RCPFullAWSAccessID = "p-RCPFullAWSAccess" // resource control policy; attached to everything, always
)

// Organization is what all accounts of a store belong to.
type Organization struct {
	ID                string // o- and ten of a-z and 2-7
	ARN               string // arn:PARTITION:organizations::MANAGEMENT:organization/ID
	ManagementAccount string // 12 digits
	ManagementARN     string // of the management account, in the organization
	Created           time.Time
}

// OrganizationRoot is the top of the tree.
type OrganizationRoot struct {
	ID   string // r- and four of a-z and 2-7
	ARN  string // arn:PARTITION:organizations::MANAGEMENT:root/ORGANIZATION/ID
	Name string // "Root"
}

// TargetType says what a node of the organization's tree is.
type TargetType uint8

// The types of nodes. Each can have policies attached.
const (
	RootTarget TargetType = iota + 1
	UnitTarget            // an organizational unit
	AccountTarget
)

// String returns AWS's name: "ROOT", "ORGANIZATIONAL_UNIT", "ACCOUNT", or "" for none of them.
func (t TargetType) String() string {
	return [...]string{"", "ROOT", "ORGANIZATIONAL_UNIT", "ACCOUNT"}[t&3]
}

// organization is the tree with its policies at one moment. It is immutable once published; whoever changes it
// works on a copy.
type organization struct {
	id       string
	created  time.Time
	root     *orgNode
	units    cow.Sorted[string, *orgNode]
	accounts cow.Sorted[string, *orgNode]
	byID     cow.Map[string, *orgNode] // :: account id → the same nodes
	policies cow.Sorted[string, *orgPolicy]
	own      [2]int             // policies of each type that are not AWS's
	closed   [2][]*authz.Policy // the SCPs and RCPs below a closed account
	era      *era
}

// An era ends when a policy, or where one is attached, changes. What was computed of a node is kept for as long as it
// lasts; a node that changes itself is another node, of which nothing is computed. It is known by its address, so what a change that failed has left behind
// is never met again.
type era struct{ _ byte }

// orgNode is the root, an organizational unit or an account. It never changes but for what it keeps computed.
type orgNode struct {
	kind     TargetType
	id       string
	parent   string // "" for the root
	name     string
	created  time.Time
	policies []string // ids of what is attached to it, in order
	member   *member  // of an account

	level      keptLevel
	membership keptMembership // of an account
}

// member is what only an account has.
type member struct {
	email  string // "" for none
	tags   tagSet
	closed time.Time // zero if it is not
}

// clone returns a copy of n that may be changed.
func (n *orgNode) clone() *orgNode {
	return &orgNode{
		kind: n.kind, id: n.id, parent: n.parent, name: n.name, created: n.created,
		policies: slices.Clone(n.policies), member: n.member,
	}
}

// find returns the node with an id, whatever it is.
func (o *organization) find(id string) (*orgNode, bool) {
	if n, ok := o.byID.Load(id); ok {
		return n, true
	}
	return o.container(id)
}

// container returns the root or organizational unit with an id.
func (o *organization) container(id string) (*orgNode, bool) {
	if id == o.root.id {
		return o.root, true
	}
	return o.units.Load(id)
}

// depth is the number of organizational units from below the root to n, n included.
func (o *organization) depth(n *orgNode) int {
	d := 0
	for n.kind != RootTarget {
		if n.kind == UnitTarget {
			d++
		}
		n, _ = o.container(n.parent)
	}
	return d
}

// put gives o, which is the caller's own, n in the place of the node of its id, or adds it. If the policies of n are
// others, the era has to end, too: what is below n knows them.
func (o *organization) put(n *orgNode) {
	switch n.kind {
	case RootTarget:
		o.root = n
	case UnitTarget:
		o.units = o.units.With(n.id, n)
	case AccountTarget:
		o.accounts = o.accounts.With(n.id, n)
		o.byID = o.byID.With(n.id, n)
	}
}

// nodesAfter yields the nodes in the order of their ids, from the first one after an id: accounts, which are digits,
// then units, "ou-…", then the root, "r-…".
func (o *organization) nodesAfter(id string) func(yield func(*orgNode) bool) {
	return func(yield func(*orgNode) bool) {
		for _, n := range o.accounts.After(id) {
			if !yield(n) {
				return
			}
		}
		for _, n := range o.units.After(id) {
			if !yield(n) {
				return
			}
		}
		if id < o.root.id {
			yield(o.root)
		}
	}
}

// page gathers up to limit of what a sequence has, at most MaxOrgPage, and says whether there is more.
func page[T, U any](limit int, seq func(yield func(T) bool), show func(T) U) (list []U, more bool) {
	limit = min(limit, MaxOrgPage)
	if limit <= 0 {
		return nil, false
	}
	for v := range seq {
		if len(list) == limit {
			return list, true
		}
		list = append(list, show(v))
	}
	return list, false
}

// Organization returns the organization.
func (s *Snapshot) Organization() Organization {
	return Organization{
		ID: s.organization.id, ARN: s.OrganizationARN(), ManagementAccount: s.management,
		ManagementARN: s.OrgAccountARN(s.management), Created: s.organization.created,
	}
}

// OrganizationRoot returns the top of the tree.
func (s *Snapshot) OrganizationRoot() OrganizationRoot {
	root := s.organization.root
	return OrganizationRoot{ID: root.id, ARN: s.TargetARN(root.id), Name: root.name}
}

// OrganizationARN returns the ARN of the organization.
func (s *Snapshot) OrganizationARN() string {
	return s.organizationsARN(s.management, "organization", s.organization.id)
}

// RootNodeARN returns the ARN of the organization's root.
func (s *Snapshot) RootNodeARN() string { return s.TargetARN(s.organization.root.id) }

// OrganizationalUnitARN returns the ARN that the organizational unit with an id has, or would have if there were one.
// The id is not checked.
func (s *Snapshot) OrganizationalUnitARN(id string) string {
	return s.organizationsARN(s.management, "ou", s.organization.id, id)
}

// OrgAccountARN returns the ARN that the account with an id has in the organization, or would have if there were
// one. The id is not checked.
func (s *Snapshot) OrgAccountARN(id string) string {
	return s.organizationsARN(s.management, "account", s.organization.id, id)
}

// OrgPolicyARN returns the ARN of the organization's policy with an id, and if there is none that which a service
// control policy of this id would have. The id is not checked.
func (s *Snapshot) OrgPolicyARN(id string) string {
	if p, ok := s.organization.policies.Load(id); ok {
		return s.orgPolicyARN(p)
	}
	return s.organizationsARN(s.management, "policy", s.organization.id, orgPolicyWord(authz.ServiceControlPolicy), id)
}

// TargetARN returns the ARN of the root, organizational unit or account with an id, or the one that it would have,
// to authorize an operation on a target, parent or child with. The id is not checked; one of no known form gives
// the ARN of an account.
func (s *Snapshot) TargetARN(id string) string {
	switch {
	case strings.HasPrefix(id, "r-"):
		return s.organizationsARN(s.management, "root", s.organization.id, id)
	case strings.HasPrefix(id, "ou-"):
		return s.OrganizationalUnitARN(id)
	}
	return s.OrgAccountARN(id)
}

func (s *Snapshot) organizationsARN(account string, path ...string) string {
	return "arn:" + s.partition + ":organizations::" + account + ":" + strings.Join(path, "/")
}

// OrganizationResource returns what authz is to be asked about, by the ARN that one of the methods above gave. It
// belongs to the management account; its tags are those of the account that the ARN is of.
func (s *Snapshot) OrganizationResource(arn string) authz.Resource {
	r := authz.Resource{
		Kind: authz.OrganizationEntity, Account: s.management, ARN: arn, Membership: s.Membership(s.management),
	}
	if id, ok := strings.CutPrefix(arn, s.OrgAccountARN("")); ok {
		if n, ok := s.organization.byID.Load(id); ok {
			r.Tags = n.member.tags.pairs()
		}
	}
	return r
}

// orgTarget returns a copy of the organization for an operation to change, if the grant permits it on the ARN. A member
// account may permit its principals what has no resource, such as CreateAccount, so who it is that asks counts, too.
func (s *Snapshot) orgTarget(g authz.Grant, action authz.Action, arn string) (*organization, error) {
	if !g.Permits(action, arn) {
		return nil, ErrNotPermitted
	}
	if account, _ := g.Caller(); account != s.management {
		return nil, ErrOrganizationsNotInUse
	}
	next := *s.organization
	return &next, nil
}
