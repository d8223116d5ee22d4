package aws

import (
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errorForm is how a service of AWS JSON tells an error.
type errorForm struct {
	code   int    // of HTTP; 0 is 400
	name   string // AWS's name for it, if it is not the pipeline's reason
	text   string // AWS's words, if they are not the pipeline's
	silent bool   // AWS says nothing
}

// errorForms is the errors of a service, by the pipeline's reasons. What is not in it has AWS's name already and is the client's fault.
type errorForms struct {
	forms   map[string]errorForm
	rewords []reword
	capital bool // the member is called Message, in every error of the service's model
}

// commonErrors are those that every service of AWS has, whose members are called message. Never written, as the tables below.
var commonErrors = map[string]bool{
	"ExpiredTokenException": true, "IncompleteSignatureException": true, "InvalidSignatureException": true,
	"MissingAuthenticationTokenException": true, "SerializationException": true, "SignatureDoesNotMatch": true, "ThrottlingException": true,
	"UnknownOperationException": true, "UnrecognizedClientException": true, "ValidationException": true, "RequestEntityTooLargeException": true,
}

// kmsErrors are AWS KMS's.
var kmsErrors = &errorForms{
	rewords: kmsRewords,
	forms: map[string]errorForm{
		"KMSInternalException":           {code: http.StatusInternalServerError},
		"KeyUnavailableException":        {code: http.StatusInternalServerError},
		"DependencyTimeoutException":     {code: http.StatusInternalServerError},
		"RequestCanceled":                {code: http.StatusInternalServerError, name: "DependencyTimeoutException"},
		"InvalidCiphertextException":     {silent: true},
		"KMSInvalidSignatureException":   {silent: true},
		"KMSInvalidMacException":         {silent: true},
		"RequestEntityTooLargeException": {code: http.StatusRequestEntityTooLarge},
	},
}

// organizationsErrors are AWS Organizations'.
var organizationsErrors = &errorForms{
	capital: true,
	forms: map[string]errorForm{
		"ValidationException":                  {name: "InvalidInputException"},
		"IdempotentParameterMismatchException": {name: "InvalidInputException"},
		"InvalidMarkerException":               {name: "InvalidInputException"},
		"ThrottlingException":                  {name: "TooManyRequestsException", text: "You have sent too many requests in too short a period of time. The quota helps protect against denial-of-service attacks. Try again later."},
		"LimitExceededException":               {name: "ConstraintViolationException"},
		"EmailAlreadyExistsException":          {name: "ConstraintViolationException"},
		"ConflictException":                    {name: "ConcurrentModificationException"},
		"NoSuchEntityException":                {name: "AccountNotFoundException"},
		"KMSInternalException":                 {code: http.StatusInternalServerError, name: "ServiceException"},
		"KeyUnavailableException":              {code: http.StatusInternalServerError, name: "ServiceException"},
		"DependencyTimeoutException":           {code: http.StatusInternalServerError, name: "ServiceException"},
		"RequestCanceled":                      {code: http.StatusInternalServerError, name: "ServiceException"},
		"RequestEntityTooLargeException":       {code: http.StatusRequestEntityTooLarge},
		"UnsupportedOperationException":        {name: "UnsupportedAPIEndpointException"},

		"AWSOrganizationsNotInUseException":    {text: "Your account is not a member of an organization."},
		"AccountAlreadyClosedException":        {text: "You attempted to close an account that is already closed."},
		"AccountNotFoundException":             {text: "You specified an account that doesn't exist."},
		"ChildNotFoundException":               {text: "You specified a child that doesn't exist."},
		"DestinationParentNotFoundException":   {text: "We can't find the destination container (a root or OU) with the ParentId that you specified."},
		"DuplicateAccountException":            {text: "That account is already present in the specified destination."},
		"DuplicateOrganizationalUnitException": {text: "An OU with the same name already exists."},
		"DuplicatePolicyAttachmentException":   {text: "The selected policy is already attached to the specified target."},
		"DuplicatePolicyException":             {text: "A policy with the same name already exists."},
		"OrganizationalUnitNotEmptyException":  {text: "The specified OU is not empty. Move all accounts to another root or to other OUs, remove all child OUs, and try the operation again."},
		"OrganizationalUnitNotFoundException":  {text: "You specified an organizational unit that doesn't exist."},
		"ParentNotFoundException":              {text: "You specified a parent that doesn't exist."},
		"PolicyInUseException":                 {text: "The policy is attached to one or more entities. You must detach it from all roots, OUs, and accounts before performing this operation."},
		"PolicyNotAttachedException":           {text: "The policy isn't attached to the specified target in the specified root."},
		"PolicyNotFoundException":              {text: "You specified a policy that doesn't exist."},
		"SourceParentNotFoundException":        {text: "We can't find a source root or OU with the ParentId that you specified."},
		"TargetNotFoundException":              {text: "You specified a target that doesn't exist."},
	},
}

// fail is what an error of the pipeline looks like in AWS JSON 1.1.
func (j *jsonProtocol) fail(_ *service, op *operation, st *status.Status) failure {
	p := problemOf(st)
	reason := p.reason
	if reason == "" {
		reason = j.errors.reason(p.code)
	}
	text, reworded := p.message, false
	if reason, text, reworded = j.errors.reworded(reason, text); !reworded && reason == reasonValidation {
		text = p.validation(op)
	}
	form := j.errors.forms[reason]
	name := reason
	if form.name != "" {
		name = form.name
	}
	if form.text != "" {
		text = form.text
	}
	if form.silent {
		text = ""
	}
	code := form.code
	if code == 0 {
		code = http.StatusBadRequest
	}
	return failure{code: code, errorType: name, body: errorBody(name, text, j.errors.capital && !commonErrors[name])}
}

// reason is that of an error which the pipeline gave none, by its gRPC code.
func (e *errorForms) reason(c codes.Code) string {
	switch c {
	case codes.InvalidArgument:
		return reasonValidation
	case codes.Unimplemented:
		return reasonUnknownOperation
	case codes.ResourceExhausted:
		return "ThrottlingException"
	case codes.DeadlineExceeded, codes.Canceled:
		return "DependencyTimeoutException"
	}
	return "KMSInternalException"
}

// reworded is AWS's error for one whose words tell, in the pipeline, what has a name or words of its own there.
func (e *errorForms) reworded(reason, text string) (string, string, bool) {
	for i := range e.rewords {
		r := &e.rewords[i]
		if r.reason != reason {
			continue
		}
		if m := r.words.FindStringSubmatchIndex(text); m != nil {
			if r.name != "" {
				reason = r.name
			}
			return reason, string(r.words.ExpandString(nil, r.text, text, m)), true
		}
	}
	return reason, text, false
}

// errorBody is {"__type": name, "message": text}; an empty text is left out, as AWS does.
func errorBody(name, text string, capital bool) []byte {
	w := jsonWriter{buf: make([]byte, 0, 64+len(text))}
	w.raw(`{"__type":`)
	w.text(name)
	if text != "" {
		if capital {
			w.raw(`,"Message":`)
		} else {
			w.raw(`,"message":`)
		}
		w.text(text)
	}
	w.raw("}")
	return w.buf
}
