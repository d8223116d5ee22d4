// Package aws answers clients that were written for AWS: HTTP requests to KMS, Organizations, IAM and STS, as AWS's SDKs send them, are
// translated into calls of kmsd's one pipeline, and its answers and errors back into AWS's.
//
// It holds no logic of a key management service, checks no permission and keeps no state: who calls, what is allowed and what happens is the
// pipeline's, and every request that arrives is one call of it, so that every one has its audit event. The translation is driven by the
// descriptors of the protos and by tables of what AWS calls or bounds otherwise; there is no code for a single operation.
//
// Trust: what a client sends is hostile and bounded here in size, depth and number. Who controls the machine's network sees and alters nothing, since
// TLS and the signatures of the requests protect them. Answers hold plaintext: their buffers are overwritten after use.
package aws

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kmsd/kmsd/internal/front"
)

// service is one of AWS's services that the front speaks. It is never written after newServices.
type service struct {
	name       string   // signing name: "kms", "organizations", "iam", "sts"
	protocol   protocol // how its requests and answers look
	target     string   // JSON: prefix of X-Amz-Target, with the dot: "TrentService."
	version    string   // Query: "2010-05-08"
	namespace  string   // Query: xmlns of answers
	operations map[string]*operation
	absent     map[string]bool // operations that AWS has and kmsd has not
}

// operation is one operation of a service, joined with the RPC that carries it out.
type operation struct {
	service *service
	name    string // AWS's: "CreateKey"
	method  string // "/kmsd.kms.v1.KeyService/CreateKey"
	in, out *shape
	void    bool // AWS answers without members
	// token is the field client_token of the request; nil if it has none.
	token protoreflect.FieldDescriptor
	// dryRun is the field dry_run of the answer, which turns it into a DryRunOperationException; nil if it has none.
	dryRun protoreflect.FieldDescriptor
}

// protocol is how requests and answers look on the wire. Its methods may be called concurrently.
type protocol interface {
	// decode fills the empty message m, the request of op, from a body. A *front.Error says what is wrong with the body. It keeps nothing of the body,
	// and overwrites whatever copies it made of it, but for what is in m.
	decode(op *operation, body []byte, m proto.Message) error
	// encode returns the body of an answer, in a buffer of its own: it may hold secrets, and the caller overwrites it once it is sent.
	encode(op *operation, m proto.Message, requestID string) []byte
	// contentType is that of every answer.
	contentType() string
	// fail is what an error of the pipeline looks like. op is nil if no operation is known.
	fail(s *service, op *operation, st *status.Status) failure
}

// failure is an error as AWS answers it.
type failure struct {
	code      int    // of HTTP
	errorType string // x-amzn-ErrorType; empty if the protocol has none
	body      []byte
}

// newServices makes the table of all services.
func newServices() []*service {
	return []*service{newKMS(), newOrganizations(), newIAM(), newSTS()}
}

// find is the operation of a name. Of one that the service has not, the error says how the call ends: it is for front.Call's Refused.
func (s *service) find(name string) (*operation, *front.Error) {
	if op, ok := s.operations[name]; ok {
		return op, nil
	}
	if s.absent[name] {
		return nil, &front.Error{Reason: reasonUnsupported, Message: "kmsd does not have the operation " + name + "."}
	}
	unknown := &front.Error{Reason: reasonUnknownOperation}
	if s.version != "" && quotable(name) {
		unknown.Message = "Could not find operation " + name + " for version " + s.version
	}
	return nil, unknown
}

// setToken gives the request m the token by which repetitions of one call are known as one, if it takes one, has none, and the token is well
// formed.
func (op *operation) setToken(m proto.Message, token string) {
	if op.token == nil || !wellFormedToken(token) {
		return
	}
	if r := m.ProtoReflect(); r.Get(op.token).String() == "" {
		r.Set(op.token, protoreflect.ValueOfString(token))
	}
}

// wellFormedToken reports whether kmsd takes a client token: 1 to 64 characters of A-Z a-z 0-9 _ -.
func wellFormedToken(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// dry is the error that stands for the answer of a dry run, or nil if the answer m is one of a call that was carried out.
func (op *operation) dry(m proto.Message, requestID string) *status.Status {
	if op.dryRun == nil || !m.ProtoReflect().Get(op.dryRun).Bool() {
		return nil
	}
	return ownStatus(codes.FailedPrecondition, &front.Error{Reason: reasonDryRun, Message: "The request would have succeeded, but the DryRun option is set."}, requestID)
}
