package aws

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kmsd/kmsd/internal/front"
)

// problem is what the pipeline says of a call that failed.
type problem struct {
	code       codes.Code
	reason     string // AWS's name of the error; empty if the pipeline gave none
	message    string
	requestID  string
	violations []violation
}

// violation is one thing that is wrong with one field, in the words of package server.
type violation struct{ field, what string }

// problemOf takes a status apart.
func problemOf(st *status.Status) problem {
	p := problem{code: st.Code(), message: st.Message()}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			p.reason = d.GetReason()
		case *errdetails.RequestInfo:
			p.requestID = d.GetRequestId()
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				p.violations = append(p.violations, violation{v.GetField(), v.GetDescription()})
			}
		}
	}
	return p
}

// ownStatus is an error of the front's own in the pipeline's form: problemOf takes it apart.
func ownStatus(code codes.Code, e *front.Error, requestID string) *status.Status {
	st := status.New(code, e.Message)
	with, err := st.WithDetails(&errdetails.ErrorInfo{Reason: e.Reason, Domain: "kms"}, &errdetails.RequestInfo{RequestId: requestID})
	if err != nil {
		return st
	}
	return with
}
