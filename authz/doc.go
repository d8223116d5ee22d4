// Package authz decides who may do what: it reads policies written in the IAM policy language, compiles them, and
// answers one question, whether a caller may perform an action on a resource; and it explains the answer.
//
// It is a pure function of its arguments. It does no I/O, keeps no state, reads no clock, and does not know which
// users, keys or policies exist: the caller hands it a [Caller], an [Action], a [Resource] and a [Context] taken from
// one snapshot and one request. A policy that uses what is not evaluated is refused by [Parse], never read without it.
//
// A Deny wins wherever it stands: in the organization's policies, the policy of the key or role, the caller's own
// policies, its permissions boundary or its session policies. Then every level of the organizations must permit, and
// then something must allow: the policy of the key or role by itself, together with the caller's own policies, or a
// grant. Everything else is denied. The zero [Decision] is a denial, the zero [Grant] permits nothing, a nil or
// unusable policy denies, and only [Authorize] makes a Grant that permits anything. A panic would leave the caller
// without a Grant too.
//
// Trust: documents are hostile input. Parse bounds their size, nesting and number of values, and refuses what it
// does not understand at the byte where it stands. Whoever can write a policy can allow or deny what that policy
// covers, and can make a decision cost up to a fixed number of steps, past which the answer is a denial.
// He cannot make one policy hide a Deny of another, and cannot reach a caller or resource the policy's owner does
// not attach it to. Caller, Resource and Context are believed as they are: the accounts and unique ids in them must come
// from authentication and from the store, never from the request, and an [Explanation] is for those who may read the
// policies in it.
package authz
