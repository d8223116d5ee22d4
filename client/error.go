package client

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrIntegrity means that an answer's checksum is wrong or missing: it was altered on the way, and is not returned. The call may be made again.
var ErrIntegrity = errors.New("the checksum of the answer does not match")

// Error is how a call failed. Calls of a Client return it as *Error, to be found by errors.As; one that failed because credentials could not be
// renewed returns why, which is or wraps the Error of the call that opens a session, or what was wrong with a file. It matches context.Canceled and
// context.DeadlineExceeded if that is what happened, and status.Code reads it.
type Error struct {
	// Code is gRPC's class of the error.
	Code codes.Code
	// Reason is AWS's name of the error, such as "AccessDeniedException"; "" if the call did not reach kmsd.
	Reason string
	// Message says what was wrong, in kmsd's words or, without a Reason, in gRPC's.
	Message string
	// RequestID names the call in the audit log; "" if it did not reach kmsd.
	RequestID string
	// Fields say what was wrong with which field of the request.
	Fields []Field

	status *status.Status
}

// Field is what was wrong with one field of a request.
type Field struct {
	Name        string // as in the .proto file
	Description string
}

// Error gives the message, the reason and the request's id.
func (e *Error) Error() string {
	switch {
	case e.Reason == "":
		return fmt.Sprintf("%s (%s)", e.Message, e.Code)
	case e.RequestID == "":
		return fmt.Sprintf("%s (%s)", e.Message, e.Reason)
	}
	return fmt.Sprintf("%s (%s, request %s)", e.Message, e.Reason, e.RequestID)
}

// GRPCStatus is the status that the call ended with, with all its details.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// Is makes an Error match the errors of package context.
func (e *Error) Is(target error) bool {
	return target == context.Canceled && e.Code == codes.Canceled || target == context.DeadlineExceeded && e.Code == codes.DeadlineExceeded
}

// Is reports whether err is, or wraps, an Error with that reason.
func Is(err error, reason string) bool {
	var e *Error
	return errors.As(err, &e) && e.Reason == reason
}

// errorOf makes an Error of what gRPC returned.
func errorOf(err error) *Error {
	st := status.Convert(err)
	e := &Error{Code: st.Code(), Message: st.Message(), status: st}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			e.Reason = d.GetReason()
		case *errdetails.RequestInfo:
			e.RequestID = d.GetRequestId()
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				e.Fields = append(e.Fields, Field{v.GetField(), v.GetDescription()})
			}
		}
	}
	if e.Reason == "" && e.Code == codes.Unavailable {
		e.Message = "kmsd cannot be reached: " + innermost(e.Message)
	}
	return e
}

// innermost is the cause in what gRPC says of a connection that it could not make: layers around one sentence.
func innermost(message string) string {
	if i := strings.LastIndex(message, "desc = "); i >= 0 {
		message = message[i+len("desc = "):]
	}
	message = strings.Trim(message, `"`)
	for _, layer := range []string{"transport: ", "Error while dialing: ", "authentication handshake failed: "} {
		message = strings.TrimPrefix(message, layer)
	}
	return message
}
