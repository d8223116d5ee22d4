package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/client/envelope"
)

// The exit codes of kmsctl.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitDenied      = 4
	exitConflict    = 5
	exitUnavailable = 6
	exitVerify      = 7
	exitInterrupted = 130
)

// usageHint stands for the help of the command that was used wrongly.
const usageHint = "--help"

// usageError is a mistake in the command line.
type usageError struct{ error }

// Unwrap gives the mistake.
func (e usageError) Unwrap() error { return e.error }

// hintedError says besides what to do.
type hintedError struct {
	error
	hint string
}

// Unwrap gives the error without the hint.
func (e *hintedError) Unwrap() error { return e.error }

func hint(err error, format string, args ...any) error {
	return &hintedError{err, fmt.Sprintf(format, args...)}
}

func hintAt(err error, text string) error { return &hintedError{err, text} }

// codedError has an exit code of its own.
type codedError struct {
	error
	hint string
	code int
}

// Unwrap gives the error beneath.
func (e *codedError) Unwrap() error { return e.error }

// usage makes an error of a mistake in the command line that is found while the command runs.
func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exit tells how the run ended and returns its exit code.
func (a *app) exit(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil {
		fmt.Fprintln(a.stderr, "error: interrupted")
		return exitInterrupted
	}
	code, text := classify(err)
	if text == usageHint {
		text = a.path + " --help"
	}
	fmt.Fprintln(a.stderr, "error: "+printable(err.Error()))
	if text != "" {
		fmt.Fprintln(a.stderr, "hint: "+printable(text))
	}
	return code
}

// classify returns the exit code of an error and what to do about it.
func classify(err error) (code int, text string) {
	var (
		usage   usageError
		coded   *codedError
		hinted  *hintedError
		fromKMS *client.Error
	)
	if errors.As(err, &hinted) {
		text = hinted.hint
	}
	other := func(c int, t string) (int, string) {
		if text == "" {
			text = t
		}
		return c, text
	}
	switch {
	case errors.As(err, &usage):
		return other(exitUsage, usageHint)
	case errors.As(err, &coded):
		return other(coded.code, coded.hint)
	case errors.Is(err, audit.ErrVerification):
		return other(exitVerify, "keep the folder as it is: it is evidence; compare it with a copy kept elsewhere")
	case errors.Is(err, client.ErrIntegrity):
		return other(exitVerify, "the answer was altered on the way: run the command again")
	case errors.As(err, &fromKMS):
		return other(ofKMS(fromKMS))
	case errors.Is(err, envelope.ErrContext):
		return other(exitVerify, "--context names a pair that the file does not have: check its spelling, or leave it out")
	case unreadable(err):
		return other(exitVerify, "the file is not the one that was encrypted, or none of kmsctl file encrypt or the AWS Encryption SDK; kmsctl decrypt opens what kmsctl encrypt made")
	case errors.Is(err, fs.ErrExist):
		return other(exitConflict, "choose another name, or remove the file first")
	case errors.Is(err, audit.ErrNoLog):
		return other(exitNotFound, "give the folder of the log, such as kmsd-data/audit")
	}
	return other(exitError, "")
}

// unreadable reports whether err is a message that envelope refuses for what it holds.
func unreadable(err error) bool {
	for _, e := range []error{
		envelope.ErrMalformed, envelope.ErrUnsupported, envelope.ErrLimit, envelope.ErrTruncated, envelope.ErrTrailing, envelope.ErrAltered,
		envelope.ErrNoDataKey,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// hints say what to do about an error of kmsd. :: reason → hint
var hints = map[string]string{
	"AccessDeniedException":                "kmsctl whoami says who you are; whoever manages your policies can allow what is named above",
	"UnrecognizedClientException":          "the credentials are unknown, inactive or deleted: get others, or check them with kmsctl doctor",
	"InvalidSignatureException":            "kmsctl doctor checks clock, region and endpoint",
	"IncompleteSignatureException":         "kmsctl and kmsd may be of different versions: compare kmsctl version and kmsd version",
	"MissingAuthenticationTokenException":  "kmsctl doctor checks the credentials file",
	"NotFoundException":                    "kmsctl key list and kmsctl alias list show what there is",
	"NoSuchEntityException":                "list shows what there is: kmsctl user list, group list, role list, policy list; policies and attached-policies what one of them has",
	"DisabledException":                    "kmsctl key enable KEY",
	"KMSInvalidStateException":             "kmsctl key describe KEY shows its state: cancel-deletion, enable or import changes it",
	"InvalidKeyUsageException":             "kmsctl key describe KEY shows what the key is for, and its algorithms",
	"KMSInvalidSignatureException":         "it must be the very same message, key, --algorithm and --message-type as for signing",
	"KMSInvalidMacException":               "it must be the very same message, key and --algorithm",
	"InvalidImportTokenException":          "a token is good for one import of its key: kmsctl key import-parameters makes another",
	"ExpiredImportTokenException":          "kmsctl key import-parameters makes another",
	"IncorrectKeyMaterialException":        "after its expiry or deletion only the same material can be imported; --new brings further material for a symmetric key",
	"ConflictException":                    "something else changes this at the moment: try again later",
	"InvalidCiphertextException":           "give the same --context pairs as for encrypting, and the whole ciphertext",
	"IncorrectKeyException":                "leave out --key: the ciphertext names its key",
	"AlreadyExistsException":               "choose another name, or kmsctl alias update",
	"EntityAlreadyExistsException":         "choose another name",
	"DeleteConflictException":              "remove what hangs on it first: access keys, certificates, MFA devices, policies, memberships",
	"ExpiredTokenException":                "the temporary credentials have ended: get others by kmsctl sts, or use a profile, which renews them (kmsctl config set-profile)",
	"InvalidAuthenticationCodeException":   "a code is good once and for a short time: wait for the next one, and check the clock of the device",
	"InvalidIdentityTokenException":        "kmsctl identity-provider get shows the audiences and keys that are accepted; a token also expires",
	"PackedPolicyTooLargeException":        "make the session policy shorter, or give fewer tags",
	"UnmodifiableEntityException":          "it comes with kmsd: make one of your own",
	"AccountNotFoundException":             "kmsctl account list shows the accounts",
	"OrganizationalUnitNotFoundException":  "kmsctl ou tree shows the units",
	"ParentNotFoundException":              "kmsctl ou tree shows the root and the units",
	"TargetNotFoundException":              "kmsctl ou tree shows the root, the units and the accounts",
	"PolicyNotFoundException":              "kmsctl scp list shows the policies; --type rcp those of the other type",
	"OrganizationalUnitNotEmptyException":  "kmsctl ou tree shows what is under it: move the accounts, delete the units first",
	"PolicyInUseException":                 "kmsctl scp targets shows what it is attached to: detach it first",
	"PolicyNotAttachedException":           "kmsctl scp for-target shows what is attached",
	"InvalidGrantTokenException":           "kmsctl grant list shows the grants that there are",
	"InvalidGrantIdException":              "kmsctl grant list shows the grants that there are",
	"LimitExceededException":               "remove what is not used, or make it shorter",
	"MalformedPolicyDocumentException":     "the policy language is AWS's: Version, Statement, Effect, Principal (key policies only), Action, Resource",
	"IdempotentParameterMismatchException": "use another --client-token for another request",
	"ThrottlingException":                  "try again later",
	"UnsupportedOperationException":        "kmsctl and kmsd may be of different versions: compare kmsctl version and kmsd version",
}

// particulars say what to do where one reason stands for several mistakes: the first row whose reason it is and whose words are in the message
// counts, before hints.
var particulars = []struct{ reason, words, hint string }{
	{"KMSInvalidStateException", " is pending deletion.", "kmsctl key cancel-deletion KEY keeps it, disabled; kmsctl key enable KEY then lets it be used"},
	{"KMSInvalidStateException", " is not pending deletion.", "there is no deletion to cancel: kmsctl key describe KEY shows its state"},
	{"KMSInvalidStateException", " is pending import.", "kmsctl key import KEY gives it its material"},
	{"KMSInvalidStateException", " has no key material pending rotation.", "kmsctl key import KEY --new brings the material to rotate to"},
	{"KMSInvalidStateException", " is protected against deletion", "kmsctl key deletion-protection off KEY"},
	{"KMSInvalidStateException", " is the current one;", "kmsctl key disable KEY, or kmsctl key rotate KEY first"},
	{"LimitExceededException", " rotated on demand ", "kmsctl key rotation enable KEY has it rotated by itself; or make another key, then kmsctl alias update"},
	{"DisabledException", " key material ", "kmsctl key material enable KEY MATERIAL"},
	{"InvalidCiphertextException", "wrapped key material ", "wrap it anew: the wrapping key, the token and --wrapping-algorithm must be those of one kmsctl key import-parameters"},
	{"InvalidKeyUsageException", "Algorithm SYMMETRIC_DEFAULT is incompatible", "give --algorithm: kmsctl key describe KEY shows the algorithms of the key"},
	{"ValidationException", "reading a public key of ", "--public-key takes a public key on the curve of the key, as kmsctl key public-key or openssl pkey -pubout writes it"},
	{"NotFoundException", "takes a key id or a key ARN, not an alias", "kmsctl key describe ALIAS shows the id of its key"},
	{"ValidationException", "key material expires within", "--valid-to takes a time to come, or how long the material is good, such as 90d"},
	{"UnsupportedOperationException", " can not be replaced by other", "only keys of SYMMETRIC_DEFAULT take further material: make another key, then kmsctl alias update"},
	{"UnsupportedOperationException", "FIPS 140-3", "kmsd runs with what FIPS 140-3 approves only: choose another spec or algorithm"},
	{"UnsupportedOperationException", " which is not valid for ", "kmsctl key describe KEY shows its spec, usage and origin; none of them can be changed"},
}

// hintOf is what to do about an answer of kmsd; "" if nothing can be said.
func hintOf(e *client.Error) string {
	for _, p := range particulars {
		if p.reason == e.Reason && strings.Contains(e.Message, p.words) {
			return p.hint
		}
	}
	return hints[e.Reason]
}

// ofKMS is classify for an answer of kmsd.
func ofKMS(e *client.Error) (int, string) {
	code := exitError
	switch e.Code {
	case codes.NotFound:
		code = exitNotFound
	case codes.PermissionDenied, codes.Unauthenticated:
		code = exitDenied
	case codes.AlreadyExists, codes.FailedPrecondition, codes.Aborted:
		code = exitConflict
	case codes.Unavailable, codes.DeadlineExceeded:
		code = exitUnavailable
	case codes.DataLoss:
		code = exitVerify
	case codes.ResourceExhausted:
		code = exitConflict
		if e.Reason != "LimitExceededException" {
			code = exitUnavailable
		}
	}
	switch e.Reason {
	case "InvalidCiphertextException", "KMSInvalidSignatureException", "KMSInvalidMacException":
		code = exitVerify
	case "IncorrectKeyException", "IdempotentParameterMismatchException", "IncorrectKeyMaterialException", "InvalidImportTokenException":
		code = exitConflict
	}
	text := hintOf(e)
	if e.Reason == "AccessDeniedException" && e.RequestID != "" {
		text += "; kmsctl policy explain " + e.RequestID + " tells them why"
	}
	if e.Reason == "" && code == exitUnavailable {
		text = "kmsctl doctor says what is in the way: is kmsd running, is the endpoint right, and is the CA in the credentials file kmsd's?"
	}
	return code, text
}
