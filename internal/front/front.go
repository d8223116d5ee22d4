// Package front says what the pipeline of package server must know of a call that did not arrive by gRPC: over which connection it came, how
// its caller proves who it is, and how to read its request. A gateway puts a Call into the context with which it invokes
// server.Server.InProcess; the pipeline authenticates, authorizes, records and answers it as it does any other.
//
// It carries values and decides nothing.
//
// Trust: who makes a Call is part of kmsd. The strings in it are the client's, and hostile.
package front

import (
	"context"
	"net/netip"

	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/iam/sigv4"
)

// Conn is a connection of a client to a front. It is made once for a connection, and does not change.
type Conn struct {
	Front       string         // "aws": which front the call came through, as the audit event has it
	Peer        netip.AddrPort // of the client; the zero value on a unix socket
	Listener    string         // address that the client reached
	TLSVersion  string         // as tls.VersionName has it; empty without TLS
	CipherSuite string         // as tls.CipherSuiteName has it
	SNI         string
}

// Call is one call through a front. The pipeline reads it and keeps nothing of it after the call.
type Call struct {
	Conn      *Conn
	UserAgent string
	// Signed is the HTTP request as its client signed it; nil if it has no such form. Then the caller is known by the metadata of the call, as
	// over gRPC.
	Signed *sigv4.Request
	// Service is what the signature must be scoped to: "kms", "sts", "iam" or "organizations".
	Service string
	// Operation is what the client called, for the event of a call of no method that kmsd has.
	Operation string
	// Refused is why the request cannot be carried out, whatever it asks for: that is how the call ends, recorded, before anything else is looked at.
	Refused *Error
}

// Error is how a front says that a request cannot be translated.
type Error struct {
	Reason  string // AWS's name of the error: "SerializationException"
	Message string // for the client; says nothing of the request that a log must not hold
}

// Error is the reason and the message.
func (e *Error) Error() string { return e.Reason + ": " + e.Message }

// Request is a request that is still in the form of its front. It may be passed to Invoke in the place of a message: the pipeline reads it after the
// caller is known, so that who may not call learns nothing of what was wrong.
type Request interface {
	// DecodeTo fills the empty message m. An *Error says what is wrong, and the client sees it.
	DecodeTo(m proto.Message) error
}

// Reply may be passed to Invoke in the place of a message. Message is then the answer itself, which belongs to the caller of Invoke, who
// overwrites what is secret in it by Wipe.
type Reply struct {
	Message proto.Message
	// Wipe overwrites the bytes fields of Message. It is set when Message is.
	Wipe func()
	// RequestID is the requestID of the audit event. That of a failed call stands in its error, as google.rpc.RequestInfo.
	RequestID string
}

type key struct{}

// NewContext returns a context of the call c.
func NewContext(ctx context.Context, c *Call) context.Context {
	return context.WithValue(ctx, key{}, c)
}

// FromContext returns the call of a context, or nil for one that came by gRPC.
func FromContext(ctx context.Context) *Call {
	c, _ := ctx.Value(key{}).(*Call)
	return c
}
