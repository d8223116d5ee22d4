package k8s

import (
	"context"
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxWords bounds what the API server is told of a failure, in bytes.
const maxWords = 1024

// remedy says what to do about an error of kmsd that has nothing to do with the request of the API server.
func remedy(reason string) string {
	switch reason {
	case "AccessDeniedException":
		return "allow kms:Encrypt and kms:Decrypt on the key to the user of the credentials file"
	case "DisabledException":
		return "enable the key: kmsctl key enable"
	case "KMSInvalidStateException":
		return "look at the state of the key: kmsctl key describe"
	case "NotFoundException":
		return "make the key or the alias that the plugin is configured with"
	case "InvalidKeyUsageException":
		return "the key must be a symmetric one for encryption"
	case "IncorrectKeyException":
		return "the ciphertext is under another key than the one that the plugin is configured with"
	case "InvalidCiphertextException":
		return "the ciphertext was altered, or not made by this plugin"
	case "UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignatureException", "MissingAuthenticationTokenException", "ExpiredTokenException":
		return "look at the credentials file and the clocks"
	}
	return ""
}

// failure is what the API server is told of a call of kmsd that failed: gRPC's class, kmsd's words and request id, and what to do.
func failure(doing string, err error) error {
	var local interface{ GRPCStatus() *status.Status }
	switch {
	case errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded:
		return status.Errorf(codes.DeadlineExceeded, "%s: kmsd did not answer within %v", doing, CallTimeout)
	case errors.Is(err, context.Canceled):
		return status.Errorf(codes.Canceled, "%s: the call was canceled", doing)
	case !errors.As(err, &local):
		// From the client library: credentials that cannot be renewed, or an answer that was altered on the way. It quotes no secret.
		return status.Errorf(codes.Unavailable, "%s: %v", doing, err)
	}
	st := status.Convert(err)
	reason, id := details(st)
	if reason == "" { // of the way to kmsd, of which the client library says more than gRPC
		return status.Error(st.Code(), bounded(doing+": "+err.Error(), maxWords))
	}
	text := doing + ": " + st.Message() + " (" + reason
	if id != "" {
		text += ", request " + id
	}
	text += ")"
	if r := remedy(reason); r != "" {
		text += ": " + r
	}
	return status.Error(st.Code(), bounded(text, maxWords))
}

// details returns AWS's name of an error, and what names the call in the audit log.
func details(st *status.Status) (reason, requestID string) {
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			reason = d.GetReason()
		case *errdetails.RequestInfo:
			requestID = d.GetRequestId()
		}
	}
	return reason, requestID
}
