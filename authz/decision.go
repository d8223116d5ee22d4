package authz

// Verdict is the answer of a decision, and the effect of a statement.
type Verdict uint8

// The verdicts. The zero Verdict denies.
const (
	Deny Verdict = iota
	Allow
)

// String returns "DENY" or "ALLOW".
func (v Verdict) String() string {
	if v == Allow {
		return "ALLOW"
	}
	return "DENY"
}

// Level says how closely a statement of a key policy names the caller.
type Level uint8

// The levels, the closest first. A statement that names the account lets the account's identity policies decide; the
// others decide for their own account alone.
const (
	NoLevel      Level = iota
	DirectLevel        // the caller itself, or "*": past its permissions boundary and session policies
	RoleLevel          // the role that the caller has assumed, within them
	AccountLevel       // the account of the caller
)

// String returns "DIRECT", "ROLE", "ACCOUNT", or "" for NoLevel.
func (l Level) String() string {
	return [...]string{"", "DIRECT", "ROLE", "ACCOUNT"}[l&3]
}

// Layer says which kind of policy decided.
type Layer uint8

// The layers.
const (
	NoLayer       Layer = iota // no policy: the request itself, or what every caller may do
	ResourceLayer              // the key policy, or the trust policy of a role
	IdentityLayer              // the policies of the caller
	BoundaryLayer              // its permissions boundary
	SessionLayer               // the session policies
	SCPLayer                   // the service control policies of the caller's account
	RCPLayer                   // the resource control policies of the resource's account
	GrantLayer                 // a grant of the key
	layerEnd
)

// layerNames :: Layer → AWS's words for it. It is never written.
var layerNames = [layerEnd]string{
	ResourceLayer: "resource-based policy",
	IdentityLayer: "identity-based policy",
	BoundaryLayer: "permissions boundary",
	SessionLayer:  "session policy",
	SCPLayer:      "service control policy",
	RCPLayer:      "resource control policy",
	GrantLayer:    "grant",
}

// String returns the layer in AWS's words, such as "identity-based policy", or "" for NoLayer.
func (l Layer) String() string {
	if l >= layerEnd {
		return ""
	}
	return layerNames[l]
}

// withArticle returns the layer after "a" or "an".
func (l Layer) withArticle() string {
	if l == IdentityLayer {
		return "an " + l.String()
	}
	return "a " + l.String()
}

// Reason says why a decision is what it is.
type Reason uint8

// The reasons.
const (
	NoReason Reason = iota // the zero Decision

	// Denials.
	Unauthenticated          // the Caller is incomplete
	InvalidRequest           // the action does not exist, or does not fit the Resource
	NotCrossAccount          // the resource belongs to another account, and the action does not reach there
	RootCannotAssumeRole     // the caller is a root user
	PolicyUnusable           // a policy that applies did not load, is not bound, or is of the wrong kind
	TooComplex               // the policies cost more matching steps than a decision may take
	ExplicitSCP              // a Deny in a service control policy
	ExplicitRCP              // a Deny in a resource control policy
	ExplicitResource         // a Deny in the key policy or trust policy
	ExplicitIdentity         // a Deny in a policy of the caller
	ExplicitBoundary         // a Deny in the permissions boundary
	ExplicitSession          // a Deny in a session policy
	NoRCPAllow               // a level of the resource's organization whose resource control policies allow it not
	NoSCPAllow               // a level of the caller's organization whose service control policies allow it not
	KeyPolicyDoesNotDelegate // the key policy allows nothing to the caller, nor the action to the account
	NoResourceAllow          // the key policy or trust policy allows nothing that was asked for
	NoIdentityAllow          // no policy of the caller allows it
	NoBoundaryAllow          // the permissions boundary does not allow it
	NoSessionAllow           // no session policy allows it

	// Permissions.
	AlwaysAllowed      // every caller may do it
	ByResourcePolicy   // the key policy or trust policy names the caller
	IdentityViaAccount // the key policy names the account, and the caller's policies allow, or it is the root user
	ByBothAccounts     // the policy of another account's key or role allows, and so do the caller's policies, or it is the root user
	ByIdentity         // the caller's policies allow, and the resource has none
	ByRoot             // the caller is the root user, and the resource has no policy
	ByGrant            // a grant of the key
	reasonEnd
)

// reasonNames :: Reason → its name in the audit log. It is never written.
var reasonNames = [reasonEnd]string{
	NoReason:                 "None",
	Unauthenticated:          "Unauthenticated",
	InvalidRequest:           "InvalidRequest",
	NotCrossAccount:          "NotCrossAccount",
	RootCannotAssumeRole:     "RootCannotAssumeRole",
	PolicyUnusable:           "PolicyUnusable",
	TooComplex:               "TooComplex",
	ExplicitSCP:              "ExplicitSCP",
	ExplicitRCP:              "ExplicitRCP",
	ExplicitResource:         "ExplicitResource",
	ExplicitIdentity:         "ExplicitIdentity",
	ExplicitBoundary:         "ExplicitBoundary",
	ExplicitSession:          "ExplicitSession",
	NoRCPAllow:               "NoRCPAllow",
	NoSCPAllow:               "NoSCPAllow",
	KeyPolicyDoesNotDelegate: "KeyPolicyDoesNotDelegate",
	NoResourceAllow:          "NoResourceAllow",
	NoIdentityAllow:          "NoIdentityAllow",
	NoBoundaryAllow:          "NoBoundaryAllow",
	NoSessionAllow:           "NoSessionAllow",
	AlwaysAllowed:            "AlwaysAllowed",
	ByResourcePolicy:         "ResourcePolicy",
	IdentityViaAccount:       "IdentityViaAccount",
	ByBothAccounts:           "CrossAccount",
	ByIdentity:               "Identity",
	ByRoot:                   "Root",
	ByGrant:                  "Grant",
}

// String returns the reason's name as the audit log has it, such as "ExplicitIdentity". Names do not change.
func (r Reason) String() string {
	if r >= reasonEnd {
		return "Unknown"
	}
	return reasonNames[r]
}

// Explicit reports whether a statement forbids it, and not only that none allows it.
func (r Reason) Explicit() bool { return r >= ExplicitSCP && r <= ExplicitSession }

// layer returns the layer whose statement denied, or that lacks one that allows; NoLayer for other reasons.
func (r Reason) layer() Layer {
	switch r {
	case ExplicitSCP, NoSCPAllow:
		return SCPLayer
	case ExplicitRCP, NoRCPAllow:
		return RCPLayer
	case ExplicitResource, NoResourceAllow, KeyPolicyDoesNotDelegate:
		return ResourceLayer
	case ExplicitIdentity, NoIdentityAllow:
		return IdentityLayer
	case ExplicitBoundary, NoBoundaryAllow:
		return BoundaryLayer
	case ExplicitSession, NoSessionAllow:
		return SessionLayer
	}
	return NoLayer
}

// Outcome is what a policy, or several, come to by themselves.
type Outcome uint8

// The outcomes.
const (
	NotAsked     Outcome = iota
	ImplicitDeny         // no statement allows
	ExplicitDeny         // a statement denies, or a policy is unusable
	Allowed              // a statement allows, and none denies
)

// A Decision is the answer to one question, and why. The zero Decision is a denial.
type Decision struct {
	Verdict Verdict
	Reason  Reason
	Layer   Layer // of the policy that decided, or that lacks a statement that allows
	Level   Level // of the statement of the key policy that decided

	// Identity is what the caller's own policies say, with their limits and those of its organization, where the policy
	// of a key or role of its account denies: [Message] tells a caller about that policy only if they allow. It is
	// NotAsked elsewhere. absent is the reason of what they deny.
	Identity Outcome
	absent   Reason

	// Policy is the name of the policy whose statement decided, or that is unusable, or of the permissions boundary that
	// does not allow, and Statement the number of the statement in it, from 1; "" and 0 if no statement did. Where two policies were needed, they are those of
	// the caller's own.
	Policy    string
	Statement int

	// GrantID is the id of the key's grant that allowed it, and "" if none did.
	GrantID string
}

// A Grant is a permission as a value: who holds one has been allowed one action on one resource. Only [Authorize]
// makes a Grant that permits anything; the zero Grant permits nothing. It does not end by itself: take one for
// each request.
type Grant struct {
	action      Action
	arn         string
	account, id string
}

// Permits reports whether the grant is for the action and the resource. The resource of an action that has none
// is "*".
func (g Grant) Permits(a Action, resourceARN string) bool {
	return g.action != 0 && g.action == a && g.arn == resourceARN
}

// Caller returns the account and the unique id of who was allowed; both are "" in the zero Grant.
func (g Grant) Caller() (account, id string) { return g.account, g.id }

// Message returns the text of a denial in AWS's words. Which policy denies, or lacks an Allow, is said only if
// sameAccount is true, the resource is the caller's account's, and, where it is the key policy, the caller's own
// policies allow the action: so the text never depends on whether a key exists that the caller has no permission
// for. A web identity is told no more than that it may not. ARNs are put in as they are. r may be nil, or its ARN "", where no resource is known.
func Message(c *Caller, a Action, r *Resource, d Decision, sameAccount bool) string {
	if c.Kind == WebIdentity {
		return "Not authorized to perform " + a.String()
	}
	msg := "User: " + c.ARN + " is not authorized to perform: " + a.String()
	switch {
	case r != nil && r.Kind == None:
		msg += " on resource: *"
	case r == nil || r.ARN == "":
		msg += " on the resource associated with this ciphertext"
	default:
		msg += " on resource: " + r.ARN
	}
	if !sameAccount || r != nil && r.Kind != None && r.Account != c.Account {
		return msg + " because the resource does not exist in this Region, no resource-based policies allow access, " +
			"or a resource-based policy explicitly denies access"
	}
	reason := d.Reason
	if d.Identity == ImplicitDeny || d.Identity == ExplicitDeny {
		reason = d.absent
	}
	switch {
	case reason.Explicit():
		return msg + " with an explicit deny in " + reason.layer().withArticle()
	case reason == NoResourceAllow && d.Layer == GrantLayer:
		return msg + " because no grant allows the " + a.String() + " action"
	case reason.layer() != NoLayer:
		return msg + " because no " + reason.layer().String() + " allows the " + a.String() + " action"
	case reason == RootCannotAssumeRole:
		return msg + " because roles may not be assumed by root accounts"
	case reason == TooComplex:
		return msg + " because the policies that apply are too complex to evaluate"
	case reason == PolicyUnusable:
		return msg + " because a policy that applies cannot be evaluated"
	}
	return msg
}
