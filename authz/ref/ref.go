// Package ref is a second interpreter of policies, against which tests compare authz. It follows the text of the rules word by word on decoded
// JSON, with maps, strings and recursion; it compiles nothing, indexes nothing, and shares no code with authz.
//
// It is for tests alone: it is slow, it takes documents that authz.Parse has accepted, and it does not check them. It knows the actions in its table
// and no others. A [Defect] makes it wrong on purpose, so that a comparison can be seen to notice.
//
// Trust: none. Nothing but tests imports it.
package ref

import "time"

// Request is one question: whether Caller may perform Action on Resource, given what Context says.
type Request struct {
	Action   string // "kms:Decrypt"
	Caller   Caller
	Resource Resource
	Context  Context
	Defect   Defect `json:",omitempty"`

	// Operators, if it is not nil, counts the operators that were evaluated, with their set and with and without IfExists.
	Operators map[string]int `json:"-"`
}

// Caller is who asks. The fields mean what those of authz.Caller mean.
type Caller struct {
	Kind                                  string // "root", "user", "session", "web", or "" for nobody
	Account, ID, ARN, RoleARN             string
	UserName, SessionName, SourceIdentity string
	Identity                              []*Policy
	Boundary                              *Policy
	Session                               []*Policy
	Tags                                  map[string]string
	Issued, MFA                           time.Time
	Membership                            *Membership
}

// Membership is the place of an account in an organization.
type Membership struct {
	Organization, Path string
	Management         bool
	SCPs, RCPs         [][]*Policy // from the root of the organization down to the account
}

// Resource is what the action is asked for. The fields mean what those of authz.Resource mean.
type Resource struct {
	Kind                         string // "none", "key", "alias", "entity", "role" or "organization"
	Account, ARN                 string
	Policy                       *Policy // key policy or trust policy
	Membership                   *Membership
	Tags                         map[string]string
	Aliases                      []string
	Grants                       []*Grant
	KeySpec, KeyUsage, KeyOrigin string
}

// Context is what the request says of itself.
type Context struct {
	Time              time.Time
	SourceIP          string // "" if it is not known
	SecureTransport   bool
	UserAgent, Region string
	EncryptionContext map[string]string
	RequestTags       map[string]string
	Claims            map[string]string
	Grant             *Grant              // that is to be made, or retired
	Values            map[string][]string // :: condition key, as AWS writes it → values
}

// Grant is a grant of a key.
type Grant struct {
	ID, Issuer        string
	Grantee, Retiring Principal
	Expires           time.Time // zero: never
	Actions           []string
	Equals, Subset    map[string]string
}

// Principal is one whom a grant names. The zero Principal is nobody.
type Principal struct {
	Level       string // "DIRECT", "ROLE" or "ACCOUNT"
	Account, ID string
}

// Answer is a decision. Its words are those of authz.Decision.
type Answer struct {
	Allow     bool
	Reason    string
	Layer     string
	Level     string
	Policy    string
	Statement int // from 1 in the policy that decided
	GrantID   string
}

// Defect is a mistake that the interpreter makes on purpose. The zero Defect is none.
type Defect int

// The mistakes, each of which some implementation has made.
const (
	None                    Defect = iota
	AnyForNegated                  // several values of a negated operator: one must differ, not all
	AbsentNegatedFalse             // a negated operator without its key is false
	AbsentForAllFalse              // ForAllValues without its key is false
	AbsentForAnyNegatedTrue        // ForAnyValue with a negated operator and without its key is true
	WildcardsInVariables           // a * in the value of a policy variable is a wildcard
	UnresolvedIsLiteral            // a policy variable without a value stands for its own text
	UnresolvedIsEmpty              // it stands for nothing at all, so that the rest can match
	RootBypassesKeyPolicy          // the root user of the key's account needs no statement of the key policy
	RoleEscapesBoundary            // a key policy that names a role is not limited by its boundary
	RoleEscapesSession             // nor by session policies
	SCPBindsManagement             // service control policies bind the management account
	SCPSkipsLevel                  // one level of the organization need not allow
	StarStopsAtColon               // a * at the end of a part of an ARN does not reach over the colon
	ChildGrantUnchecked            // who may create grants by a grant may create any
	RetireByAnyone                 // anyone who is allowed to may retire a grant
	ExpiredGrant                   // a grant does not end
	MappedAddress                  // ::ffff:10.0.0.1 is not 10.0.0.1
	EpochMilliseconds              // numbers in dates are milliseconds
	CollidingAny                   // of keys that differ by case, one value that holds makes an Allow hold
	CaseSensitiveKeys              // names of tags are compared with their case
	PluralAsSingle                 // a plain operator looks at the first of several values
	NotPrincipalAny                // NotPrincipal exempts whoever one entry names
	SessionTakesRoleARN            // the ARN of a role in a policy of a resource names the session directly
	SessionByARN                   // a session is known by the name of its role, whichever role has it
	CrossAccountAlone              // the key policy of another account is enough
	defectEnd
)

// Defects returns every Defect but None.
func Defects() []Defect {
	var list []Defect
	for d := None + 1; d < defectEnd; d++ {
		list = append(list, d)
	}
	return list
}

// String returns the defect's name.
func (d Defect) String() string {
	return [defectEnd]string{
		"None", "AnyForNegated", "AbsentNegatedFalse", "AbsentForAllFalse", "AbsentForAnyNegatedTrue", "WildcardsInVariables",
		"UnresolvedIsLiteral", "UnresolvedIsEmpty", "RootBypassesKeyPolicy", "RoleEscapesBoundary", "RoleEscapesSession", "SCPBindsManagement", "SCPSkipsLevel",
		"StarStopsAtColon", "ChildGrantUnchecked", "RetireByAnyone", "ExpiredGrant", "MappedAddress", "EpochMilliseconds", "CollidingAny",
		"CaseSensitiveKeys", "PluralAsSingle", "NotPrincipalAny", "SessionTakesRoleARN", "SessionByARN", "CrossAccountAlone",
	}[d]
}
