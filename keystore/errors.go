package keystore

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound: there is no such key or alias.
	ErrNotFound = errors.New("not found")
	// ErrAlreadyExists: the alias exists.
	ErrAlreadyExists = errors.New("already exists")
	// ErrDisabled: the key is disabled. The error is a *StateError.
	ErrDisabled = errors.New("key is disabled")
	// ErrLimitExceeded: a quota is used up.
	ErrLimitExceeded = errors.New("limit exceeded")
	// ErrTokenReused: the client token was used with other parameters in the last 24 hours.
	ErrTokenReused = errors.New("client token was used with other parameters")
	// ErrInvalidKeyID: the text is no key id, key ARN, alias or alias ARN.
	ErrInvalidKeyID = errors.New("invalid key id")
	// ErrInvalidAliasName: the alias name breaks a rule.
	ErrInvalidAliasName = errors.New("invalid alias name")
	// ErrNotPermitted: the grant does not allow what was called. The caller forgot to ask authz: an internal error.
	ErrNotPermitted = errors.New("grant does not permit this")
	// ErrMaterialMissing: the ciphertext names a version that its key does not have.
	ErrMaterialMissing = errors.New("no such key material")
	// ErrCorrupt: a record opened and verified, and cannot be read.
	ErrCorrupt = errors.New("record cannot be read")
)

// StateError says that a key's state forbids an operation. It matches ErrDisabled.
type StateError struct {
	ARN   string
	State State
}

// Error is AWS's message for the state.
func (e *StateError) Error() string { return fmt.Sprintf("%s is disabled.", e.ARN) }

// Unwrap makes a StateError match its sentinel.
func (e *StateError) Unwrap() error { return ErrDisabled }
