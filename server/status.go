package server

import (
	"context"
	"errors"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
	"github.com/kmsd/kmsd/crypto/keywrap"
	"github.com/kmsd/kmsd/iam"
	"github.com/kmsd/kmsd/iam/totp"
	"github.com/kmsd/kmsd/keystore"
	"github.com/kmsd/kmsd/storage"
)

// failure is how a call ends that does not succeed: what the client sees, and what the audit event says besides.
type failure struct {
	code    codes.Code
	reason  string // AWS's name of the error
	message string // for the client
	class   string // for the audit event: more precise than what the client may know
	fields  []violation
}

// Error is never shown to anybody: a failure goes to the client by status.
func (f *failure) Error() string { return f.reason + ": " + f.message }

// The reasons that several places give.
const (
	reasonAccessDenied      = "AccessDeniedException"
	reasonInvalidCiphertext = "InvalidCiphertextException"
	reasonInternal          = "KMSInternalException"
	reasonNotFound          = "NotFoundException"
	reasonThrottling        = "ThrottlingException"
	reasonValidation        = "ValidationException"
)

// invalidCiphertext is what every failure to decrypt looks like from outside.
const invalidCiphertext = "the ciphertext is invalid, or was not made under this key, in this encryption context"

// row says how a sentinel error looks from outside. Where text is empty the error's own words are shown, which is right only
// for errors that are made of words for the client.
type row struct {
	sentinel error
	code     codes.Code
	reason   string
	text     string
}

// rows is the one place where errors become protocol. What is not in it is an internal error, and its words stay inside.
var rows = []row{
	{authz.ErrMalformedPolicy, codes.InvalidArgument, "MalformedPolicyDocumentException", ""},

	{authz.ErrInvalidPrincipal, codes.InvalidArgument, "InvalidArnException", ""},
	{authz.ErrInvalidGrant, codes.InvalidArgument, reasonValidation, ""},

	{authz.ErrContextKey, codes.InvalidArgument, reasonValidation, ""},

	{crypto.ErrContext, codes.InvalidArgument, reasonValidation, ""},
	{crypto.ErrCiphertext, codes.InvalidArgument, reasonInvalidCiphertext, invalidCiphertext},
	{crypto.ErrSpec, codes.InvalidArgument, reasonValidation, ""},
	{crypto.ErrAlgorithm, codes.FailedPrecondition, "InvalidKeyUsageException", ""},
	{crypto.ErrLength, codes.InvalidArgument, reasonValidation, ""},
	{crypto.ErrMaterial, codes.InvalidArgument, "IncorrectKeyMaterialException", ""},
	{crypto.ErrMAC, codes.InvalidArgument, "KMSInvalidMacException", ""},
	{crypto.ErrFIPS, codes.FailedPrecondition, "UnsupportedOperationException", ""},
	{keypair.ErrMessageType, codes.InvalidArgument, reasonValidation, ""},
	{keypair.ErrSignature, codes.InvalidArgument, "KMSInvalidSignatureException", ""},
	{keypair.ErrPublicKey, codes.InvalidArgument, reasonValidation, ""},
	{keywrap.ErrUnwrap, codes.InvalidArgument, reasonInvalidCiphertext, ""},
	{keywrap.ErrAlgorithm, codes.InvalidArgument, reasonValidation, ""},
	{keywrap.ErrPublicKey, codes.InvalidArgument, reasonValidation, ""},
	{keywrap.ErrLength, codes.InvalidArgument, reasonValidation, ""},

	{keystore.ErrDisabled, codes.FailedPrecondition, "DisabledException", ""},
	{keystore.ErrInvalidState, codes.FailedPrecondition, "KMSInvalidStateException", ""},
	{keystore.ErrProtected, codes.FailedPrecondition, "KMSInvalidStateException", ""},
	{keystore.ErrInvalidKeyUsage, codes.FailedPrecondition, "InvalidKeyUsageException", ""},
	{keystore.ErrUnsupported, codes.FailedPrecondition, "UnsupportedOperationException", ""},
	{keystore.ErrConflict, codes.Aborted, "ConflictException", ""},
	{keystore.ErrValidation, codes.InvalidArgument, reasonValidation, ""},
	{keystore.ErrInvalidImportToken, codes.InvalidArgument, "InvalidImportTokenException", ""},
	{keystore.ErrExpiredImportToken, codes.FailedPrecondition, "ExpiredImportTokenException", ""},
	{keystore.ErrIncorrectMaterial, codes.InvalidArgument, "IncorrectKeyMaterialException", ""},
	{keystore.ErrInvalidKeyID, codes.NotFound, reasonNotFound, ""},
	{keystore.ErrInvalidAliasName, codes.InvalidArgument, "InvalidAliasNameException", ""},
	{keystore.ErrNotFound, codes.NotFound, reasonNotFound, ""},
	{keystore.ErrAlreadyExists, codes.AlreadyExists, "AlreadyExistsException", ""},
	{keystore.ErrLimitExceeded, codes.ResourceExhausted, "LimitExceededException", ""},
	{keystore.ErrInvalidGrantID, codes.InvalidArgument, "InvalidGrantIdException", ""},
	{keystore.ErrInvalidGrantToken, codes.InvalidArgument, "InvalidGrantTokenException", ""},
	{keystore.ErrTag, codes.InvalidArgument, "TagException", ""},
	{keystore.ErrTokenReused, codes.InvalidArgument, "IdempotentParameterMismatchException", ""},
	{keystore.ErrMaterialMissing, codes.InvalidArgument, reasonInvalidCiphertext, invalidCiphertext},
	{keystore.ErrNotPermitted, codes.Internal, reasonInternal, "internal error"},
	{keystore.ErrCorrupt, codes.DataLoss, reasonInternal, "a stored record is damaged; the log of kmsd names it"},

	{iam.ErrEntityExists, codes.AlreadyExists, "EntityAlreadyExistsException", ""},
	{iam.ErrTokenReused, codes.InvalidArgument, "IdempotentParameterMismatchException", ""},
	{iam.ErrToldOnce, codes.FailedPrecondition, "EntityAlreadyExistsException", ""},
	{iam.ErrNoSuchEntity, codes.NotFound, "NoSuchEntityException", ""},
	{iam.ErrDeleteConflict, codes.FailedPrecondition, "DeleteConflictException", ""},
	{iam.ErrLimitExceeded, codes.ResourceExhausted, "LimitExceededException", ""},
	{iam.ErrValidation, codes.InvalidArgument, reasonValidation, ""},
	{iam.ErrUnmodifiable, codes.FailedPrecondition, "UnmodifiableEntityException", ""},
	{iam.ErrMFACode, codes.PermissionDenied, "InvalidAuthenticationCodeException", ""},
	{totp.ErrFIPS, codes.FailedPrecondition, "UnsupportedOperationException", ""},
	{iam.ErrMFAThrottled, codes.ResourceExhausted, reasonThrottling, ""},
	{iam.ErrPackedPolicyTooLarge, codes.InvalidArgument, "PackedPolicyTooLargeException", ""},
	{iam.ErrSessionNotAllowed, codes.PermissionDenied, reasonAccessDenied, ""},
	{iam.ErrIdentityToken, codes.Unauthenticated, "InvalidIdentityTokenException", ""},
	{iam.ErrIdentityTokenExpired, codes.Unauthenticated, "ExpiredTokenException", ""},
	{iam.ErrIdentityProvider, codes.Unavailable, "IDPCommunicationErrorException", ""},
	{iam.ErrAccountNotFound, codes.NotFound, "AccountNotFoundException", ""},
	{iam.ErrAccountAlreadyClosed, codes.FailedPrecondition, "AccountAlreadyClosedException", ""},
	{iam.ErrDuplicateAccount, codes.AlreadyExists, "DuplicateAccountException", ""},
	{iam.ErrEmailExists, codes.AlreadyExists, "EmailAlreadyExistsException", ""},
	{iam.ErrChildNotFound, codes.NotFound, "ChildNotFoundException", ""},
	{iam.ErrParentNotFound, codes.NotFound, "ParentNotFoundException", ""},
	{iam.ErrSourceParentNotFound, codes.NotFound, "SourceParentNotFoundException", ""},
	{iam.ErrDestinationParentNotFound, codes.NotFound, "DestinationParentNotFoundException", ""},
	{iam.ErrOrganizationalUnitNotFound, codes.NotFound, "OrganizationalUnitNotFoundException", ""},
	{iam.ErrOrganizationalUnitNotEmpty, codes.FailedPrecondition, "OrganizationalUnitNotEmptyException", ""},
	{iam.ErrDuplicateOrganizationalUnit, codes.AlreadyExists, "DuplicateOrganizationalUnitException", ""},
	{iam.ErrOrgPolicyNotFound, codes.NotFound, "PolicyNotFoundException", ""},
	{iam.ErrOrgPolicyInUse, codes.FailedPrecondition, "PolicyInUseException", ""},
	{iam.ErrOrgPolicyImmutable, codes.InvalidArgument, "InvalidInputException", ""},
	{iam.ErrDuplicateOrgPolicy, codes.AlreadyExists, "DuplicatePolicyException", ""},
	{iam.ErrDuplicatePolicyAttachment, codes.AlreadyExists, "DuplicatePolicyAttachmentException", ""},
	{iam.ErrPolicyNotAttached, codes.NotFound, "PolicyNotAttachedException", ""},
	{iam.ErrTargetNotFound, codes.NotFound, "TargetNotFoundException", ""},
	{iam.ErrOrganizationsNotInUse, codes.FailedPrecondition, "AWSOrganizationsNotInUseException", ""},
	{iam.ErrConstraintViolation, codes.FailedPrecondition, "ConstraintViolationException", ""},
	{iam.ErrNotPermitted, codes.Internal, reasonInternal, "internal error"},

	{storage.ErrCorrupt, codes.DataLoss, reasonInternal, "a stored record is damaged; the log of kmsd names it"},
	{storage.ErrFull, codes.Unavailable, reasonInternal, "the store has no space left"},
	{storage.ErrClosed, codes.Unavailable, reasonInternal, "the store is not available"},
	{storage.ErrBroken, codes.Unavailable, reasonInternal, "the store is not available"},

	{audit.ErrUnavailable, codes.Unavailable, reasonInternal, "the audit log is not available, so nothing is answered"},

	{context.Canceled, codes.Canceled, "RequestCanceled", "the call was cancelled"},
	{context.DeadlineExceeded, codes.DeadlineExceeded, "DependencyTimeoutException", "the deadline passed"},
}

// failureOf turns any error into how the call ends.
func failureOf(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	for _, r := range rows {
		if !errors.Is(err, r.sentinel) {
			continue
		}
		text := r.text
		if text == "" {
			text = err.Error()
		}
		return &failure{code: r.code, reason: r.reason, message: text, class: classOf(err)}
	}
	return &failure{code: codes.Internal, reason: reasonInternal, message: "internal error", class: "Internal"}
}

// classOf is the precise word for the audit event.
func classOf(err error) string {
	if errors.Is(err, keystore.ErrMaterialMissing) {
		return "UnknownKeyMaterial"
	}
	if errors.Is(err, crypto.ErrCiphertext) {
		return crypto.DecryptFailure(err)
	}
	return ""
}

// domain is the domain of every ErrorInfo.
const domain = "kms"

// status is f as gRPC sends it: ErrorInfo always, BadRequest where fields were wrong, and the request's id.
func (f *failure) status(requestID string) *status.Status {
	details := []protoadapt.MessageV1{
		&errdetails.ErrorInfo{Reason: f.reason, Domain: domain},
		&errdetails.RequestInfo{RequestId: requestID},
	}
	if len(f.fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, v := range f.fields {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: v.field, Description: v.what})
		}
		details = append(details, bad)
	}
	if f.reason == reasonThrottling {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)})
	}
	st := status.New(f.code, f.message)
	if with, err := st.WithDetails(details...); err == nil {
		return with
	}
	return st
}
