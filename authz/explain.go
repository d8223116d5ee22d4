package authz

// An Explanation is a [Decision] with all that led to it, for those who may read the policies: it shows them.
type Explanation struct {
	Decision     Decision // what [Authorize] decides
	CrossAccount bool     // the resource is of another account than the caller

	// AllowedByOrganizations is whether the service control policies of the caller's account and the resource control
	// policies of the resource's leave it to others; true where none apply. AllowedByBoundary and AllowedBySession say
	// so of the permissions boundary and of the session policies.
	AllowedByOrganizations, AllowedByBoundary, AllowedBySession bool

	Policies []PolicyTrace // those that apply, in the order in which they are asked
	Grants   []GrantTrace  // those of the key for the caller, at most 100

	// Missing are the condition keys, in order and for each layer without repetition, that a statement asks for and the
	// request does not have, though all else in the statement takes the request in.
	Missing []MissingKey

	// Nearest is the statement that comes closest to changing the decision: an Allow of a layer that lacks one, which
	// fails on exactly one element. It is nil if there is none, or nothing is lacking.
	Nearest *NearestMiss

	// Truncated says that there was more to show than an Explanation holds: 1,000 statements, 100 grants, 64 KiB of the
	// values of conditions, or what can be evaluated in bounded time.
	Truncated bool
}

// A MissingKey is a condition key that a request does not have.
type MissingKey struct {
	Layer Layer  // of the policy that asks for it
	Name  string // as the policy writes it
}

// A PolicyTrace says how one policy came out.
type PolicyTrace struct {
	Layer      Layer
	Depth      int     // in an organization: 0 for the root, counted towards the account; 0 elsewhere
	Policy     *Policy // nil for one that is missing, which denies
	Usable     bool    // it was evaluated
	Outcome    Outcome // what it comes to by itself
	Statements []StatementTrace
}

// A StatementTrace says how one statement came out. Only those are traced that name the action, or fail on it alone.
type StatementTrace struct {
	Statement int // counted from 1
	Effect    Verdict
	Level     Level // at which Principal names the caller; NoLevel in policies without principals

	Action, Principal, Resource bool             // whether each element takes the request in
	Conditions                  []ConditionTrace // in the document's order
	Holds                       bool             // all of it does, so that the effect counts
}

// A GrantTrace says how one grant came out.
type GrantTrace struct {
	Grant *KeyGrant
	Level Level // at which it names the caller

	Operation  bool // it allows the action
	Current    bool // it has not ended
	Constraint bool // its constraint holds, or that of the grant that is to be made is as narrow
	Limits     bool // what else its level needs is there: identity policies, boundary, session policies
	Holds      bool // all of it does
}

// A NearestMiss is a statement that fails on one element.
type NearestMiss struct {
	Layer     Layer
	Policy    *Policy
	Statement int    // counted from 1
	Element   string // "Action", "Principal", "Resource", each perhaps with "Not" before it, or "Condition.OPERATOR.KEY"
	Needed    string // what the element asks for: its values, with a comma between them
}

// Explain decides as [Authorize] does, and says how each statement came out. It allocates, and takes longer than
// Authorize, but bounded time; it gives no permission. x may be nil. Of a request that is wrong in itself it says
// nothing but the Decision.
func Explain(c *Caller, a Action, r *Resource, x *Context) *Explanation {
	var q request
	if reason := q.ask(c, a, r, x); reason != NoReason {
		return &Explanation{Decision: Decision{Reason: reason}}
	}
	e := &Explanation{CrossAccount: q.cross}
	t := newTracer(&q, e)
	q.answer(&e.Decision)
	t.trace()
	return e
}
