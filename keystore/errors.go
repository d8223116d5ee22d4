package keystore

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound: there is no such key, alias or grant.
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
	// ErrInvalidGrantID: the text is no grant id.
	ErrInvalidGrantID = errors.New("invalid grant id")
	// ErrInvalidGrantToken: the text is no grant token, or one that this store did not make.
	ErrInvalidGrantToken = errors.New("invalid grant token")
	// ErrTag: a tag breaks a rule, or the key would have too many. The error is a *TagError.
	ErrTag = errors.New("invalid tag")
	// ErrDryRun: the change would have succeeded, and was not made because it was a dry run.
	ErrDryRun = errors.New("the request would have succeeded, but the DryRun option is set")
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

// TagError says what is wrong with a tag. It matches ErrTag.
type TagError struct {
	Field  string // of the request: "tags", "tags[2].tag_key", "tag_keys[0]"
	Reason string // does not quote the tag
}

// Error names the field and the rule.
func (e *TagError) Error() string { return fmt.Sprintf("%s: %s %s", ErrTag, e.Field, e.Reason) }

// Unwrap makes a TagError match its sentinel.
func (e *TagError) Unwrap() error { return ErrTag }
