package server

import "github.com/kmsd/kmsd/iam"

// peopleToken is the client token of the request for a change of principals.
func (c *call) peopleToken() iam.Token {
	return iam.Token{Account: c.account(), Principal: c.token.Principal, Operation: c.m.source + ":" + c.token.Operation, Value: c.token.Value, Request: c.token.Request}
}
