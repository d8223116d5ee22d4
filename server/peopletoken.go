package server

import (
	"crypto/sha256"

	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/iam"
)

// idempotent checks the client token of a request, if it has one, and remembers the request for its hash.
func (c *call) idempotent(r proto.Message) {
	t, ok := r.(interface{ GetClientToken() string })
	if !ok || t.GetClientToken() == "" || c.m.source == "kms" { // whose handlers do both
		return
	}
	c.wrong.clientToken("client_token", t.GetClientToken())
	c.repeatable = r
}

// peopleToken is the client token of the request for a change of principals: the hash of its parameters tells a repetition from another request.
func (c *call) peopleToken() (iam.Token, error) {
	if c.repeatable == nil {
		return iam.Token{}, nil
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(c.repeatable)
	if err != nil {
		return iam.Token{}, err
	}
	t := c.repeatable.(interface{ GetClientToken() string })
	return iam.Token{Account: c.account(), Principal: c.caller().ID, Operation: c.m.source + ":" + c.m.event, Value: t.GetClientToken(), Request: sha256.Sum256(b)}, nil
}
