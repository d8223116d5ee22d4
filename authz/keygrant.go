package authz

import "time"

// A Principal is one whom a grant names, bound to a unique id, so that one of the same name made later is another.
type Principal struct {
	Text    string // as the request writes it: an ARN
	Level   Level  // DirectLevel for a user or a session, RoleLevel for a role, AccountLevel for an account
	Account string
	ID      string // AIDA… of a user, AROA… of a role, the ARN of a session, the id of an account
}

// A KeyGrant is an AWS KMS grant: it lets one principal use one key for some operations. It only ever allows. It never changes once it is made.
// (A permission that Authorize gives is a [Grant].)
type KeyGrant struct {
	ID       string
	Name     string // makes CreateGrant idempotent; may be empty
	Grantee  Principal
	Retiring Principal // the zero Principal: none
	Issuer   string    // the account whose principal made it
	IssuedBy string    // unique id of that principal
	Created  time.Time
	Expires  time.Time // zero: does not end by itself
	Actions  []Action  // what it allows, each of GrantOperations, without repetition, in their order
	Equals   Pairs     // constraint EncryptionContextEquals, if it has pairs
	Subset   Pairs     // constraint EncryptionContextSubset, if it has pairs
}

// KeyGrants are the grants of one key, found by whom they are for: the cost does not depend on how many there are. They never change;
// With and Without return others, which share what they can. A nil *KeyGrants is of a key without grants.
type KeyGrants struct {
	byGrantee map[string][]*KeyGrant // :: Principal.ID → grants for it
	count     int
}

// Len is the number of grants.
func (s *KeyGrants) Len() int {
	if s == nil {
		return 0
	}
	return s.count
}
