package iam

import "errors"

// Errors of the organization that callers branch on; those returned wrap them. In brackets the name of the AWS
// exception, and its Reason where the exception has reasons.
var (
	ErrAccountNotFound      = errors.New("there is no such account in the organization")       // [AccountNotFoundException]
	ErrAccountAlreadyClosed = errors.New("the account is closed already")                      // [AccountAlreadyClosedException]
	ErrDuplicateAccount     = errors.New("the account is in the destination already")          // [DuplicateAccountException]
	ErrEmailExists          = errors.New("another account of the organization has this email") // [CreateAccountStatus FailureReason EMAIL_ALREADY_EXISTS]

	ErrChildNotFound             = errors.New("there is no organizational unit or account of this id")                        // [ChildNotFoundException]
	ErrParentNotFound            = errors.New("there is no root or organizational unit of this id")                           // [ParentNotFoundException]
	ErrSourceParentNotFound      = errors.New("the source is no root or organizational unit that the account is directly in") // [SourceParentNotFoundException]
	ErrDestinationParentNotFound = errors.New("the destination is no root or organizational unit")                            // [DestinationParentNotFoundException]

	ErrOrganizationalUnitNotFound  = errors.New("there is no organizational unit of this id")              // [OrganizationalUnitNotFoundException]
	ErrOrganizationalUnitNotEmpty  = errors.New("the organizational unit has accounts or units in it")     // [OrganizationalUnitNotEmptyException]
	ErrDuplicateOrganizationalUnit = errors.New("an organizational unit of this name is under the parent") // [DuplicateOrganizationalUnitException] also by a name that differs in case only

	ErrOrgPolicyNotFound         = errors.New("there is no policy of this id in the organization")           // [PolicyNotFoundException]
	ErrOrgPolicyInUse            = errors.New("the policy is attached to roots, units or accounts")          // [PolicyInUseException]
	ErrOrgPolicyImmutable        = errors.New("the policy is managed by AWS and cannot be changed")          // [InvalidInputException IMMUTABLE_POLICY]
	ErrDuplicateOrgPolicy        = errors.New("a policy of this name and type is in the organization")       // [DuplicatePolicyException] also by a name that differs in case only
	ErrDuplicatePolicyAttachment = errors.New("the policy is attached to the target already")                // [DuplicatePolicyAttachmentException]
	ErrPolicyNotAttached         = errors.New("the policy is not attached to the target")                    // [PolicyNotAttachedException]
	ErrTargetNotFound            = errors.New("there is no root, organizational unit or account of this id") // [TargetNotFoundException]
	ErrOrganizationsNotInUse     = errors.New("the caller's account does not manage the organization")       // [AWSOrganizationsNotInUseException]
	ErrConstraintViolation       = errors.New("the request violates a constraint")                           // [ConstraintViolationException] every *ConstraintViolationError matches it
)

// ConstraintViolationError says which constraint a request violates.
type ConstraintViolationError struct {
	Reason      string // AWS's, such as "OU_DEPTH_LIMIT_EXCEEDED"
	Description string
}

func (e *ConstraintViolationError) Error() string { return e.Description }

// Is reports whether target is ErrConstraintViolation.
func (e *ConstraintViolationError) Is(target error) bool { return target == ErrConstraintViolation }

func violates(reason, description string) error {
	return &ConstraintViolationError{Reason: reason, Description: description}
}
