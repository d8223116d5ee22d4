package aws

import (
	"errors"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/kmsd/kmsd/internal/front"
)

// refused is how a request ends that is not carried out, whatever it asks for, with its HTTP status, 0 for that of the protocol.
type refused struct {
	front.Error
	code int
}

// The refusals. They are never written.
var (
	errBusy     = &refused{front.Error{Reason: "ThrottlingException", Message: "Rate exceeded"}, 0}
	errMethod   = &refused{front.Error{Reason: reasonUnknownOperation, Message: "Requests are sent by POST."}, http.StatusNotFound}
	errPath     = &refused{front.Error{Reason: reasonUnknownOperation, Message: "Requests are sent to the path /."}, http.StatusNotFound}
	errTarget   = &refused{front.Error{Reason: reasonUnknownOperation, Message: "The request names no operation of KMS, Organizations, IAM or STS: neither by X-Amz-Target nor by Action and Version."}, http.StatusNotFound}
	errTargets  = &refused{front.Error{Reason: reasonUnknownOperation, Message: "The header X-Amz-Target is there more than once."}, http.StatusNotFound}
	errType     = &refused{front.Error{Reason: reasonUnknownOperation, Message: "The Content-Type of an operation named by X-Amz-Target is application/x-amz-json-1.1."}, http.StatusNotFound}
	errEncoding = &refused{front.Error{Reason: "UnsupportedMediaTypeException", Message: "A request body is taken as it is: no Content-Encoding, no aws-chunked."}, http.StatusUnsupportedMediaType}
	errHeaders  = &refused{front.Error{Reason: "RequestHeaderSectionTooLargeException", Message: "The request has too many headers."}, http.StatusRequestHeaderFieldsTooLarge}
	errPresign  = &refused{front.Error{Reason: reasonUnsupported, Message: "Presigned URLs are not taken: send requests by POST, signed in the Authorization header."}, http.StatusBadRequest}
	errNoAction = &refused{front.Error{Reason: "MissingActionException", Message: "The request must have the parameters Action and Version, once each."}, http.StatusBadRequest}
	errSlow     = &refused{front.Error{Reason: "RequestTimeoutException", Message: "The request body did not come in time."}, http.StatusRequestTimeout}
	errCutOff   = &refused{front.Error{Reason: "IncompleteBodyException", Message: "The request body ended before its end."}, http.StatusBadRequest}
)

func errTooLarge(most int) *refused {
	return &refused{front.Error{Reason: "RequestEntityTooLargeException", Message: "The request body has more than " + strconv.Itoa(most) + " bytes."}, http.StatusRequestEntityTooLarge}
}

// errVersion is how a request ends that is for a version which no service has.
func errVersion(action, version string) *refused {
	e := &refused{front.Error{Reason: reasonUnknownOperation, Message: "Could not find the operation for the version: IAM has 2010-05-08, STS 2011-06-15"}, http.StatusBadRequest}
	if version == "" {
		version = "NO_VERSION_SPECIFIED"
	}
	if quotable(action) && quotable(version) {
		e.Message = "Could not find operation " + action + " for version " + version
	}
	return e
}

// errIncomplete is how a request ends whose body could not be read because of err.
func errIncomplete(err error) *refused {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errSlow
	}
	return errCutOff
}

// maxHeaders is how many headers a request may have; AWS's SDKs send some fifteen.
const maxHeaders = 64

const (
	targetHeader = "X-Amz-Target"
	formType     = "application/x-www-form-urlencoded"
)

// checkHead says what is wrong with a request as far as its first line and headers go; nil if its body may be read.
func checkHead(r *http.Request) *refused {
	n := 0
	for _, values := range r.Header {
		n += len(values)
	}
	switch {
	case n > maxHeaders:
		return errHeaders
	case r.Method != http.MethodPost && (strings.Contains(r.URL.RawQuery, "Action=") || strings.Contains(r.URL.RawQuery, "X-Amz-Signature=")):
		return errPresign
	case r.Method != http.MethodPost:
		return errMethod
	case r.URL.Path != "/" && r.URL.Path != "":
		return errPath
	case len(r.Header["Content-Encoding"]) > 1 || !identity(r.Header.Get("Content-Encoding")) || strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-"):
		return errEncoding
	case len(r.Header[targetHeader]) > 1:
		return errTargets
	}
	return nil
}

func identity(encoding string) bool { return encoding == "" || strings.EqualFold(encoding, "identity") }

// directory finds the service and operation that a request is for. It is never written.
type directory struct {
	json  []*service
	query map[string]*service // by version
	// Whose form the answer has to a request of no service.
	unknown, unknownForm *service
}

func newDirectory(all []*service) *directory {
	d := &directory{query: map[string]*service{}}
	for _, s := range all {
		switch {
		case s.target != "":
			d.json = append(d.json, s)
		default:
			d.query[s.version] = s
		}
		switch s.name {
		case "kms":
			d.unknown = &service{protocol: s.protocol}
		case "sts":
			d.unknownForm = &service{protocol: s.protocol, namespace: s.namespace, version: s.version}
		}
	}
	return d
}

// formOf is whose form the answer has, as far as the headers tell.
func (d *directory) formOf(r *http.Request) *service {
	if t := r.Header[targetHeader]; len(t) > 0 {
		if s, _ := d.ofTarget(t[0]); s != nil {
			return s
		}
		return d.unknown
	}
	if mediaType(r) == formType || strings.Contains(r.URL.RawQuery, "Action=") {
		return d.unknownForm
	}
	return d.unknown
}

// ofTarget is the service of an X-Amz-Target, and the operation that it names there.
func (d *directory) ofTarget(target string) (s *service, operation string) {
	for _, s := range d.json {
		if name, ok := strings.CutPrefix(target, s.target); ok {
			return s, name
		}
	}
	return nil, ""
}

// mediaType is the Content-Type of a request in lower case, without its parameters.
func mediaType(r *http.Request) string {
	switch sent := r.Header["Content-Type"]; {
	case len(sent) != 1:
		return ""
	case sent[0] == jsonType: // as SDKs send it
		return jsonType
	default:
		if t, _, err := mime.ParseMediaType(sent[0]); err == nil {
			return t
		}
	}
	return ""
}

const (
	jsonType  = "application/x-amz-json-1.1"
	jsonType0 = "application/x-amz-json-1.0"
)

// route finds the operation that a request is for. service is never nil; op is nil if there is none, and then absent or refused says how the call ends.
func (d *directory) route(r *http.Request, body []byte) (service *service, op *operation, absent *front.Error, refused *refused) {
	service = d.formOf(r)
	media := mediaType(r)
	switch {
	case len(r.Header[targetHeader]) > 0:
		s, name := d.ofTarget(r.Header[targetHeader][0])
		switch {
		case s == nil:
			return service, nil, nil, errTarget
		case media != jsonType && media != jsonType0:
			return service, nil, nil, errType
		}
		op, absent = s.find(name)
		return s, op, absent, nil
	case media != formType:
		return service, nil, nil, errTarget
	}
	action, version := queryAction(body)
	s := d.query[version]
	switch {
	case action == "":
		return service, nil, nil, errNoAction
	case s == nil:
		return service, nil, nil, errVersion(action, version)
	}
	op, absent = s.find(action)
	return s, op, absent, nil
}

// operationName is what a request calls, for the event of a call of no method.
func (d *directory) operationName(r *http.Request, body []byte) string {
	if t := r.Header[targetHeader]; len(t) > 0 {
		return t[0]
	}
	if mediaType(r) == formType {
		action, _ := queryAction(body)
		return action
	}
	return r.Method
}
