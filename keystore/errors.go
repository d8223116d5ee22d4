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
	// ErrDisabled: the key is disabled, or the version of it. The error for a key is a *StateError.
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
	// ErrInvalidState: the state of the key, or of its material, does not allow this. Errors that come of the key's state are a *StateError.
	ErrInvalidState = errors.New("invalid state")
	// ErrProtected: the key is protected against deletion.
	ErrProtected = errors.New("protected against deletion")
	// ErrInvalidKeyUsage: keys of this usage or spec do not do that, or not with this algorithm.
	ErrInvalidKeyUsage = errors.New("invalid key usage")
	// ErrUnsupported: the operation is not for keys of this origin or spec.
	ErrUnsupported = errors.New("unsupported operation")
	// ErrConflict: something else is about to change the same; it can be tried again later.
	ErrConflict = errors.New("conflict")
	// ErrValidation: a parameter is out of its range.
	ErrValidation = errors.New("invalid parameter")
	// ErrInvalidImportToken: the import token was not made for this key, or has been used.
	ErrInvalidImportToken = errors.New("invalid import token")
	// ErrExpiredImportToken: the import token was good for 24 hours, which are over.
	ErrExpiredImportToken = errors.New("the import token has expired")
	// ErrIncorrectMaterial: the material is not the one that the key had.
	ErrIncorrectMaterial = errors.New("incorrect key material")
	// ErrCorrupt: a record opened and verified, and cannot be read.
	ErrCorrupt = errors.New("record cannot be read")
)

// StateError says that a key's state forbids an operation. It matches ErrDisabled if the key is disabled, and ErrInvalidState otherwise.
type StateError struct {
	ARN   string
	State State
	what  string // what the key is; empty for the name of the state
}

// Error is AWS's message for the state, such as "<arn> is pending deletion."
func (e *StateError) Error() string {
	what := e.what
	if what == "" {
		what = e.State.words()
	}
	return e.ARN + " " + what + "."
}

// Unwrap makes a StateError match its sentinel.
func (e *StateError) Unwrap() error {
	if e.State == Disabled && e.what == "" {
		return ErrDisabled
	}
	return ErrInvalidState
}

// refusal is an error in words for the client, which stand for themselves.
type refusal struct {
	sentinel error
	words    string
}

// Error is AWS's message.
func (e *refusal) Error() string { return e.words }

// Unwrap makes a refusal match its sentinel.
func (e *refusal) Unwrap() error { return e.sentinel }

func refuse(sentinel error, format string, args ...any) error {
	return &refusal{sentinel, fmt.Sprintf(format, args...)}
}

// TagError says what is wrong with a tag. It matches ErrTag.
type TagError struct {
	Field  string // of the request: "tags", "tags[2].tag_key", "tag_keys[0]"
	Reason string // does not quote the tag
}

// Error names the field and the rule.
func (e *TagError) Error() string { return fmt.Sprintf("%s: %s %s", ErrTag, e.Field, e.Reason) }

// Unwrap makes a TagError match its sentinel.
func (e *TagError) Unwrap() error { return ErrTag }
