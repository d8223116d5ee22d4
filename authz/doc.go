// Package authz decides who may do what: it reads policies written in the IAM policy language, compiles them, and
// answers one question, whether a caller may perform an action on a resource.
//
// It is a pure function of its arguments. It does no I/O, keeps no state, knows no time, and does not know which
// users, keys or policies exist: the caller hands it a [Caller], an [Action] and a [Resource] taken from one
// snapshot. It does not evaluate conditions, policy variables, permissions boundaries, session policies,
// organization policies or grants; a policy that uses what is not evaluated is refused by [Parse], never read
// without it.
//
// Everything that is not allowed is denied. The zero [Decision] is a denial, the zero [Grant] permits nothing, a
// nil or unusable policy denies, and only [Authorize] makes a Grant that permits anything. A panic would leave
// the caller without a Grant too.
//
// Trust: documents are hostile input. Parse bounds their size, nesting and number of values, and refuses what it
// does not understand at the byte where it stands. Whoever can write a policy can allow or deny what that policy
// covers, and can make a decision cost up to a fixed number of matching steps, past which the answer is a denial.
// He cannot make one policy hide a Deny of another, and cannot reach a caller or resource the policy's owner does
// not attach it to. Caller and Resource are believed as they are: the account and the unique id in them must come
// from authentication and from the store, never from the request.
package authz
