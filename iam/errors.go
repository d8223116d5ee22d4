package iam

import (
	"errors"

	"github.com/kmsd/kmsd/authz"
)

// Errors that callers branch on; those returned wrap them. In brackets the name of the AWS exception.
var (
	ErrEntityExists   = errors.New("the entity already exists")    // [EntityAlreadyExistsException] also by a name that differs in case only
	ErrNoSuchEntity   = errors.New("no such entity")               // [NoSuchEntityException]
	ErrDeleteConflict = errors.New("the entity cannot be deleted") // [DeleteConflictException] the error says what it still has
	ErrLimitExceeded  = errors.New("the limit is reached")         // [LimitExceededException]
	ErrValidation     = errors.New("the request is not valid")     // [ValidationException] every *ValidationError matches it

	// ErrMalformedPolicy [MalformedPolicyDocumentException] is authz's: the policy document does not parse.
	ErrMalformedPolicy = authz.ErrMalformedPolicy

	ErrUnmodifiable = errors.New("the entity belongs to AWS and cannot be changed") // [UnmodifiableEntityException]

	// ErrInactive, ErrExpired, ErrAccountSuspended and ErrInvalidToken say why a credential that exists must not be accepted.
	ErrInactive         = errors.New("the credential is inactive")
	ErrExpired          = errors.New("the credential has expired")
	ErrAccountSuspended = errors.New("the account is suspended")
	ErrInvalidToken     = errors.New("the session token is not valid") // [InvalidClientTokenId]

	// ErrNotPermitted means that the grant is not for this change: the program forgot to ask authz, or asked about
	// something else. It is an internal error, never a caller's.
	ErrNotPermitted = errors.New("iam: internal error: the grant does not permit the change")
)

// ValidationError says which argument is not valid and what it must be. It does not quote the argument; of what is
// there it quotes at most the key of a tag.
type ValidationError struct {
	Field       string // as in the API: "UserName", "Path", …
	Description string // "must be …"
}

func (e *ValidationError) Error() string { return e.Field + " " + e.Description }

// Is reports whether target is ErrValidation.
func (e *ValidationError) Is(target error) bool { return target == ErrValidation }

func invalid(field, description string) error {
	return &ValidationError{Field: field, Description: description}
}
