package authz

import "time"

// CallerKind says what a caller is. The zero CallerKind is nobody, who is denied everything.
type CallerKind uint8

// The kinds of callers.
const (
	Root        CallerKind = iota + 1 // the root user of an account
	User                              // a user of an account, by its own credentials or a session token of its own
	RoleSession                       // one who has assumed a role
	WebIdentity                       // the bearer of a token of an OpenID Connect provider, who is of no account and can only assume a role
)

// A Caller is an authenticated principal with the policies that apply to it. Authorize does not change it, and it
// may be shared once it is filled in. One without an ID, or without an Account unless it is a WebIdentity, which has
// none, is denied everything, and so is a RoleSession or WebIdentity without an ARN, or a RoleSession without a RoleARN.
type Caller struct {
	Kind    CallerKind
	Account string // 12 digits; "" for a WebIdentity
	ID      string // unique id: AIDA… of a user, AROA… of the role of a session, the account of a root user, the ARN of the provider of a WebIdentity

	// ARN is the user's, the session's (arn:aws:sts::…:assumed-role/ROLE/SESSION), the root user's, or that of the provider of a WebIdentity.
	ARN string
	// RoleARN is, of a RoleSession, the role's; it is aws:PrincipalArn then, which is ARN for others.
	RoleARN     string
	UserName    string // aws:username of a user; "" for others
	SessionName string // of a RoleSession

	// Identity are the policies of a user with those of its groups, or of the role of a session. A root user has none: it may do in its account whatever no
	// Deny, no organization and no key policy forbids.
	Identity []*Policy
	Boundary *Policy   // the permissions boundary of the user or of the role; nil if there is none
	Session  []*Policy // the session policies, of which one must allow; nil if none were passed

	Tags           Pairs     // aws:PrincipalTag/k: of the user, or of the role overridden by those of the session
	SourceIdentity string    // aws:SourceIdentity; absent if empty
	Issued         time.Time // aws:TokenIssueTime of temporary credentials; zero for others
	MFA            time.Time // when a second factor was proven; zero if none was

	Membership *Membership // the account's place in an organization; nil if it is in none
}

// A Membership is the place of an account in an organization, with the policies that bind it there. It never changes and is shared by all
// of the account.
type Membership struct {
	Organization string // aws:PrincipalOrgID, aws:ResourceOrgID: "o-…"
	Path         string // aws:PrincipalOrgPaths, aws:ResourceOrgPaths: "o-…/r-…/ou-…/"
	Management   bool   // the management account, which neither kind of policy binds

	// SCPs bind the principals of the account, RCPs its keys. Each has one list for the root, each organizational unit on the way, and the account;
	// at each of these one policy must allow, and none may deny.
	SCPs, RCPs [][]*Policy
}

// ResourceKind says what a resource is.
type ResourceKind uint8

// The kinds of resources.
const (
	None               ResourceKind = iota // the action has no resource: CreateKey, ListKeys and the like
	Key                                    // a key; its policy decides first
	Alias                                  // an alias of a key
	IAMEntity                              // a user, group, role, policy, MFA device or OpenID Connect provider that is managed
	Role                                   // a role that is to be assumed; its trust policy decides first
	OrganizationEntity                     // an account, organizational unit, root or policy of an organization
)

// A Resource is what an action is asked for. Authorize does not change it, and it may be shared once filled in.
type Resource struct {
	Kind    ResourceKind
	Account string // the owner; not used for None
	ARN     string // not used for None

	// Policy is the key policy of a Key and the trust policy of a Role, bound, and nil for the other kinds. A Key or Role without one is one that does
	// not exist: in the caller's account its identity policies decide alone whether it may be told so, and in another account the answer is a denial.
	Policy *Policy

	Membership *Membership // of the owner; nil if it is in no organization

	Tags    Pairs      // aws:ResourceTag/k, and iam:ResourceTag/k of an IAMEntity or a Role
	Aliases []string   // of a Key, kms:ResourceAliases: "alias/x"
	Grants  *KeyGrants // of a Key; nil if it has none

	KeySpec, KeyUsage, KeyOrigin string // of a Key: kms:KeySpec, kms:KeyUsage, kms:KeyOrigin; absent if empty
}
