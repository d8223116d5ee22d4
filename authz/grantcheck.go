package authz

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// ErrInvalidPrincipal is matched by the errors of [BindPrincipal]: AWS's InvalidArnException.
var ErrInvalidPrincipal = errors.New("invalid principal")

// ErrInvalidGrant is matched by the errors of [KeyGrant.Check]: AWS's ValidationException.
var ErrInvalidGrant = errors.New("invalid grant")

// Bounds of a grant, from AWS's quotas and API model.
const (
	maxGrantName       = 256 // characters of a grant's name
	maxConstraintPairs = 8
	maxConstraintText  = 384 // characters of a name or a value in a constraint
)

// BindPrincipal reads the grantee or the retiring principal of a grant: an account's id or the ARN of its root, which
// both stand for the account, or the ARN of a user, a role or the session of a role. resolve is asked for the unique
// id of a user or role, or of the role of a session, of whatever account; an account is taken as it is written. The error matches
// [ErrInvalidPrincipal] and quotes at most 64 bytes of text; it does not tell one who does not exist from one who has
// another form of id.
func BindPrincipal(text string, resolve func(arn string) (id string, ok bool)) (Principal, error) {
	e, wrong := parsePrincipal(text)
	if wrong != "" {
		return Principal{}, fmt.Errorf("%w: %s %s", ErrInvalidPrincipal, quote(text), wrong)
	}
	p := Principal{Text: text, Level: DirectLevel, Account: accountOf(text)}
	switch e.kind {
	case accountPrincipal:
		p.Level, p.Account, p.ID = AccountLevel, e.id, e.id
		return p, nil
	case rolePrincipal:
		p.Level = RoleLevel
	case userPrincipal, sessionPrincipal:
	default:
		return Principal{}, fmt.Errorf("%w: %s is not the ARN of a principal; name a user, a role, a session or an account",
			ErrInvalidPrincipal, quote(text))
	}
	id, ok := resolve(text)
	if !ok || !isUniqueID(id) {
		return Principal{}, fmt.Errorf("%w: %s does not exist", ErrInvalidPrincipal, quote(text))
	}
	p.ID = boundID{id, e.session}.String()
	return p, nil
}

// Check reports what in a grant is past AWS's bounds or cannot be evaluated: no operation or one that is not of
// [GrantOperations], operations out of order, a grantee that is not bound, constraints of both kinds, more than 8 pairs
// in one or more than 384 characters in one of their names and values, a name of more than 256 characters, an end that
// does not come after the beginning. The error matches [ErrInvalidGrant].
func (g *KeyGrant) Check() error {
	switch {
	case utf8.RuneCountInString(g.Name) > maxGrantName:
		return fmt.Errorf("%w: the name has more than %d characters", ErrInvalidGrant, maxGrantName)
	case !g.Grantee.bound():
		return fmt.Errorf("%w: it has no grantee", ErrInvalidGrant)
	case g.Retiring != Principal{} && !g.Retiring.bound():
		return fmt.Errorf("%w: the retiring principal is not complete", ErrInvalidGrant)
	case len(g.Actions) == 0:
		return fmt.Errorf("%w: it has no operations", ErrInvalidGrant)
	case !g.Expires.IsZero() && !g.Expires.After(g.Created):
		return fmt.Errorf("%w: it ends before it begins", ErrInvalidGrant)
	case g.Equals.Len() > 0 && g.Subset.Len() > 0:
		return fmt.Errorf("%w: it has EncryptionContextEquals and EncryptionContextSubset; write one of them", ErrInvalidGrant)
	}
	for i, a := range g.Actions {
		if !slices.Contains(grantOperations[:], a) {
			return fmt.Errorf("%w: %v is not an operation of grants", ErrInvalidGrant, a)
		}
		if i > 0 && g.Actions[i-1] >= a {
			return fmt.Errorf("%w: operations are out of order or stand twice", ErrInvalidGrant)
		}
	}
	if err := checkConstraint(&g.Equals); err != nil {
		return err
	}
	return checkConstraint(&g.Subset)
}

// grantsOfUsage :: key usage → the operations, of those of grants, that keys of it have beside those that every key has. It is never written.
var grantsOfUsage = map[string][]Action{
	"ENCRYPT_DECRYPT":         {KMSEncrypt, KMSDecrypt, KMSReEncryptFrom, KMSReEncryptTo},
	"SIGN_VERIFY":             {KMSSign, KMSVerify},
	"GENERATE_VERIFY_MAC":     {KMSGenerateMac, KMSVerifyMac},
	"KEY_AGREEMENT":           {KMSDeriveSharedSecret},
	"ENCAPSULATE_DECAPSULATE": {KMSEncapsulate, KMSDecapsulate},
}

// CheckFor reports what a key of a spec and usage, both as AWS writes them, cannot grant: an operation that it does not have, or, if it is not a
// symmetric encryption key, a constraint on an encryption context, which its operations do not have either. The error matches [ErrInvalidGrant], as AWS's
// ValidationException of CreateGrant does.
func (g *KeyGrant) CheckFor(spec, usage string) error {
	for _, a := range g.Actions {
		if !grantable(a, spec, usage) {
			_, name, _ := strings.Cut(a.String(), ":")
			return fmt.Errorf("%w: %s is not an operation of keys with key spec %s and key usage %s", ErrInvalidGrant, name, quote(spec), quote(usage))
		}
	}
	if spec != symmetricDefault && g.Equals.Len()+g.Subset.Len() > 0 {
		return fmt.Errorf("%w: encryption context constraints are for symmetric encryption keys only: operations with a key of key spec %s have no encryption context",
			ErrInvalidGrant, quote(spec))
	}
	return nil
}

// symmetricDefault is the spec of symmetric encryption keys.
const symmetricDefault = "SYMMETRIC_DEFAULT"

func grantable(a Action, spec, usage string) bool {
	switch a {
	case KMSDescribeKey, KMSCreateGrant, KMSRetireGrant:
		return true // every key has them
	case KMSGenerateDataKey, KMSGenerateDataKeyWithoutPlaintext, KMSGenerateDataKeyPair, KMSGenerateDataKeyPairWithoutPlaintext:
		return spec == symmetricDefault
	case KMSGetPublicKey:
		return len(grantsOfUsage[usage]) > 0 && spec != symmetricDefault && usage != "GENERATE_VERIFY_MAC"
	}
	return slices.Contains(grantsOfUsage[usage], a)
}

func (p *Principal) bound() bool {
	return p.Level >= DirectLevel && p.Level <= AccountLevel && p.ID != "" && isAccount(p.Account)
}

func checkConstraint(p *Pairs) error {
	if p.Len() > maxConstraintPairs {
		return fmt.Errorf("%w: a constraint has more than %d pairs", ErrInvalidGrant, maxConstraintPairs)
	}
	for name, value := range p.All {
		switch {
		case name == "":
			return fmt.Errorf("%w: a constraint has a pair without a name", ErrInvalidGrant)
		case utf8.RuneCountInString(name) > maxConstraintText || utf8.RuneCountInString(value) > maxConstraintText:
			return fmt.Errorf("%w: a constraint has a name or a value of more than %d characters", ErrInvalidGrant, maxConstraintText)
		}
	}
	return nil
}
