package server

import (
	"crypto/sha256"

	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/keystore"
)

// tokened is a request that a client token makes idempotent.
type tokened interface{ GetClientToken() string }

// takeToken reads the client token of a request: what the call changes is changed once. The hash of its parameters tells a repetition from another
// request; whether it is a dry run is no parameter of the change.
func (c *call) takeToken(r proto.Message) error {
	value := r.(tokened).GetClientToken()
	if value == "" {
		return nil
	}
	if isDry(r) {
		r = proto.Clone(r)
		r.ProtoReflect().Clear(r.ProtoReflect().Descriptor().Fields().ByName("dry_run"))
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	if err != nil {
		return err
	}
	c.token = keystore.Token{Principal: c.caller().ID, Operation: c.m.event, Value: value, Request: sha256.Sum256(b)}
	clear(b)
	return nil
}

// repeats reports whether the call is a repetition of one that made its change of something of the account: for changes after which what they were
// about is not there any more to ask authz about.
func (c *call) repeats(account string) (bool, error) { return c.s.keys.With(c.token).Repeats(account) }
