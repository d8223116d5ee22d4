package aws

import (
	"maps"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// queryError is how a service of the Query protocol tells an error.
type queryError struct {
	name string // AWS's
	code int    // of HTTP
	text string // AWS's words, if they are not the pipeline's
}

// commonQueryErrors are those that IAM and STS have in common, by the pipeline's reasons: AWS's common errors, and errors of both models.
func commonQueryErrors() map[string]queryError {
	return map[string]queryError{
		"AccessDeniedException":                {name: "AccessDenied", code: http.StatusForbidden},
		"MissingAuthenticationTokenException":  {name: "MissingAuthenticationToken", code: http.StatusForbidden, text: "Request is missing Authentication Token"},
		"IncompleteSignatureException":         {name: "IncompleteSignature", code: http.StatusBadRequest},
		"InvalidSignatureException":            {name: "SignatureDoesNotMatch", code: http.StatusForbidden},
		"UnrecognizedClientException":          {name: "InvalidClientTokenId", code: http.StatusForbidden},
		"ExpiredTokenException":                {name: "ExpiredToken", code: http.StatusForbidden},
		"ThrottlingException":                  {name: "Throttling", code: http.StatusBadRequest},
		"ValidationException":                  {name: "ValidationError", code: http.StatusBadRequest},
		"SerializationException":               {name: "MalformedInput", code: http.StatusBadRequest},
		"UnknownOperationException":            {name: "InvalidAction", code: http.StatusBadRequest},
		"UnsupportedOperationException":        {name: "UnsupportedOperation", code: http.StatusBadRequest},
		"RequestEntityTooLargeException":       {name: "RequestEntityTooLarge", code: http.StatusRequestEntityTooLarge},
		"MalformedPolicyDocumentException":     {name: "MalformedPolicyDocument", code: http.StatusBadRequest},
		"IdempotentParameterMismatchException": {name: "IdempotentParameterMismatch", code: http.StatusBadRequest},
	}
}

// iamErrors are IAM's.
func iamErrors() map[string]queryError {
	all := commonQueryErrors()
	maps.Copy(all, map[string]queryError{
		"NoSuchEntityException":              {name: "NoSuchEntity", code: http.StatusNotFound},
		"NotFoundException":                  {name: "NoSuchEntity", code: http.StatusNotFound},
		"EntityAlreadyExistsException":       {name: "EntityAlreadyExists", code: http.StatusConflict},
		"DeleteConflictException":            {name: "DeleteConflict", code: http.StatusConflict},
		"LimitExceededException":             {name: "LimitExceeded", code: http.StatusConflict},
		"UnmodifiableEntityException":        {name: "UnmodifiableEntity", code: http.StatusBadRequest},
		"InvalidAuthenticationCodeException": {name: "InvalidAuthenticationCode", code: http.StatusForbidden},
		"InvalidInputException":              {name: "InvalidInput", code: http.StatusBadRequest},
		"InvalidArnException":                {name: "InvalidInput", code: http.StatusBadRequest},
		"TagException":                       {name: "InvalidInput", code: http.StatusBadRequest},
		"InvalidMarkerException":             {name: "ValidationError", code: http.StatusBadRequest, text: "Invalid Marker."},
	})
	return all
}

// stsErrors are those of STS. A name behind an operation's is that of the operation only: its token is not the one that signs the request.
func stsErrors() map[string]queryError {
	all := commonQueryErrors()
	maps.Copy(all, map[string]queryError{
		"AssumeRoleWithWebIdentity/ExpiredTokenException": {name: "ExpiredTokenException", code: http.StatusBadRequest},

		"InvalidIdentityTokenException":  {name: "InvalidIdentityToken", code: http.StatusBadRequest},
		"IDPCommunicationErrorException": {name: "IDPCommunicationError", code: http.StatusBadRequest},
		"PackedPolicyTooLargeException":  {name: "PackedPolicyTooLarge", code: http.StatusBadRequest},
		"InvalidAuthenticationCodeException": {
			name: "AccessDenied", code: http.StatusForbidden, text: "MultiFactorAuthentication failed with invalid MFA one time pass code.",
		},
	})
	return all
}

// fail is what an error of the pipeline looks like in the Query protocol. Without a service it stands in no namespace.
func (q *queryProtocol) fail(s *service, op *operation, st *status.Status) failure {
	p := problemOf(st)
	e := q.form(op, &p)
	text := p.message
	switch {
	case e.text != "":
		text = e.text
	case p.reason == reasonValidation:
		text = p.validation(op)
	}
	w := xmlWriter{b: make([]byte, 0, 512+len(text))}
	if s != nil {
		w.root("ErrorResponse", s.namespace)
	} else {
		w.open("ErrorResponse")
	}
	w.open("Error")
	if e.code < http.StatusInternalServerError {
		w.element("Type", "Sender")
	} else {
		w.element("Type", "Receiver")
	}
	w.element("Code", e.name)
	w.element("Message", text)
	w.close("Error")
	w.element("RequestId", p.requestID)
	w.close("ErrorResponse")
	return failure{code: e.code, body: w.b}
}

// form is how a problem is told: as the table has it, or else, under its own name, by its gRPC code. A fault of kmsd's is one that SDKs repeat.
func (q *queryProtocol) form(op *operation, p *problem) queryError {
	if op != nil {
		if e, ok := q.errors[op.name+"/"+p.reason]; ok {
			return e
		}
	}
	if e, ok := q.errors[p.reason]; ok {
		return e
	}
	e := queryError{name: strings.TrimSuffix(p.reason, "Exception"), code: http.StatusBadRequest}
	switch p.code {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange, codes.ResourceExhausted, codes.Unimplemented:
	case codes.NotFound:
		e.code = http.StatusNotFound
	case codes.AlreadyExists, codes.Aborted:
		e.code = http.StatusConflict
	case codes.PermissionDenied, codes.Unauthenticated:
		e.code = http.StatusForbidden
	default:
		return queryError{name: q.internal, code: http.StatusInternalServerError}
	}
	if e.name == "" {
		e.name = "ValidationError"
	}
	return e
}
