package iam

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kmsd/kmsd/internal/idempotency"
	"github.com/kmsd/kmsd/storage"
)

const kindClientToken storage.Kind = "iam-client-token" // account id / hash in hex

// Token is a client's token, under which a change is made once.
type Token = idempotency.Token

// Errors of changes under a client's token.
var (
	// ErrTokenReused: the client token was used with other parameters in the last 24 hours.
	ErrTokenReused = idempotency.ErrReused

	// ErrToldOnce: the change was made before, and its answer held a secret, which nobody can be told again.
	ErrToldOnce = errors.New("a secret is told once")
)

// With returns an IAM of the same principals whose changes are idempotent by t: a repetition of one within 24 hours changes nothing and returns what
// the change returned then, whatever has become of it. What is remembered is durable with the change, and the caller has asked authz as for the change: a
// repetition does not look at the grant. Besides the errors of the change, one matches ErrTokenReused if t was used with other parameters, or ErrToldOnce if the
// change returned a secret. Of an account with more than 100,000 tokens the oldest are forgotten early. The zero Token makes no promise. Only what writes entities is a change:
// what opens sessions or verifies codes is not.
func (i *IAM) With(t Token) *IAM { return &IAM{core: i.core, token: t} }

// toldOnce is the result of a change that tells a secret: in place of the secret, what it is of.
type toldOnce struct {
	Of string // "access key AKIA…"
}

func (o *toldOnce) Error() string {
	return fmt.Sprintf("%v: an earlier request with this client token made %s and was told its secret; if that was lost, delete it and make another with another token", ErrToldOnce, o.Of)
}

// Is reports whether target is ErrToldOnce.
func (o *toldOnce) Is(target error) bool { return target == ErrToldOnce }

// repeat looks whether the change that is about to be made was made before under the token of i. If so it sets what result points to and returns
// errUnchanged, or the error with which a repetition ends.
func (i *IAM) repeat(tx *storage.Tx, result any, now time.Time) error {
	was, found, err := i.tokens.Find(tx, i.token, now)
	if err != nil || !found {
		return err
	}
	if result == nil {
		return errUnchanged
	}
	if err := json.Unmarshal(was, result); err != nil {
		return fmt.Errorf("what was done under a client token cannot be read: %w", err)
	}
	if once, ok := result.(*toldOnce); ok {
		return once
	}
	return errUnchanged
}

// keep writes what the token of i stands for.
func (i *IAM) keep(tx *storage.Tx, result any, now time.Time) (idempotency.Kept, error) {
	var was []byte
	if result != nil && i.token.Value != "" {
		was = encodeJSON(result)
	}
	return i.tokens.Keep(tx, i.token, was, now)
}
