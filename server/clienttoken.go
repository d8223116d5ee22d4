package server

import (
	"crypto/sha256"

	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/keystore"
)

// token makes a request idempotent by the client's token: the hash of its parameters tells a repetition from another request.
func (c *call) token(value string, r proto.Message) (keystore.Token, error) {
	if value == "" {
		return keystore.Token{}, nil
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	if err != nil {
		return keystore.Token{}, err
	}
	return keystore.Token{Principal: c.caller().ID, Operation: c.m.event, Value: value, Request: sha256.Sum256(b)}, nil
}
