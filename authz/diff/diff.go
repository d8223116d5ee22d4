// Package diff compares two versions of a policy and says which access the change opens and which it closes, each with a
// request that shows it.
//
// A comparison is sound: if there is a request that the new version allows and the old one does not, [Compare] reports the
// request's action among what is opened. A request is what a kmsd asks about: its condition keys are those of authz.ContextKeys, the address, the
// time and the caller are known, ARNs are those of one partition, the one that the documents name first, and no two tags differ in case only. A comparison
// is not complete: what it cannot decide it reports as possible. It compares one
// policy with one policy; which other policies apply beside it, it does not know, and says for each finding what they would
// have to do. It does no I/O.
//
// Trust: both documents are hostile input. Compare takes bounded time and memory, and says so where that was not enough. What
// it reports as certain [authz.Authorize] has decided, for the very request that is given.
package diff

import (
	"github.com/kmsd/kmsd/authz"
)

// Options say what the documents do not. The zero Options are good for most.
type Options struct {
	// Account is the account, of 12 digits, that the policy is in: of the user or role that has it, of the key, of the role that
	// is trusted, or of who a control policy binds. "" is the one that the documents name first, or 111122223333.
	Account string

	// Steps bounds the search; 0 is 4,000,000, which is about a second or two.
	Steps int
}

// Through says what else a request needs to be allowed.
type Through string

// What a request needs.
const (
	// Alone: nothing else. Of an identity policy: in an account whose key policies leave it to identity policies. Of a limit, such as a
	// service control policy: whatever is allowed elsewhere.
	Alone Through = "alone"
	// WithIdentity: of a key or trust policy, that the caller's identity policies allow it too.
	WithIdentity Through = "with-identity"
	// PastLimits: nothing else, and not even a permissions boundary or a session policy without an Allow for it is in the way.
	PastLimits Through = "past-limits"
	// Undenied: that another statement or policy allows it. The policy compared denies it in one version only.
	Undenied Through = "undenied"
)

// A Result is what a change opens and what it closes. Its JSON form is stable.
type Result struct {
	Kind   string   `json:"kind"`   // "key policy" and the like
	Opens  []Access `json:"opens"`  // what the new version allows and the old one does not
	Closes []Access `json:"closes"` // what the old version allows and the new one does not

	// TooComplex says that the search was given up: what is not among Opens and Closes may still be opened or closed.
	TooComplex bool `json:"too_complex"`
}

// An Access is a kind of request that one version of the policy allows and the other one does not.
type Access struct {
	// Certain says that Example is allowed with one version and denied with the other, as authz.Authorize decides. Where it
	// is false nothing rules such requests out.
	Certain bool `json:"certain"`

	Through   Through  `json:"through"`
	Actions   []string `json:"actions"`   // "kms:Decrypt", in the order of their numbers
	Principal string   `json:"principal"` // who, in words: "a user of account 111122223333", or an ARN
	Resource  string   `json:"resource"`  // what kind: "key", "alias", "role", "IAM entity", "organization entity", or "none"

	// Statement is the number, from 1, of the statement that makes the difference: the one that allows, in the version that does; where
	// Through is Undenied, the one that denies, in the version that does.
	Statement int `json:"statement"`

	// Example is for the first of Actions; nil if Certain is false.
	Example *Request `json:"example,omitempty"`
}

// A Request is one that a version of the policy allows and the other does not.
type Request struct {
	Principal string  `json:"principal"` // an ARN
	Action    string  `json:"action"`
	Resource  string  `json:"resource"` // an ARN, or "*" for actions that have no resource
	Context   []Entry `json:"context"`  // every condition key that either version asks about, and that the request has, by name
}

// An Entry is a condition key and its values.
type Entry struct {
	Key    string   `json:"key"`
	Type   string   `json:"type"` // AWS's name: "String", "ARN", "Bool", "Numeric", "Date", "IPAddress"
	Values []string `json:"values"`
}

// Compare says what a change of a policy from old to new opens and closes. Documents of kind authz.KeyPolicy may have NotPrincipal.
// The error is that of [authz.Parse], about the first of the two documents that does not parse, and matches authz.ErrMalformedPolicy;
// an Account that is not one is another error.
func Compare(kind authz.PolicyKind, old, new []byte, o Options) (Result, error) {
	s, err := newSearch(kind, old, new, o)
	if err != nil {
		return Result{}, err
	}
	r := Result{Kind: kind.String()}
	s.run(&r)
	return r, nil
}
