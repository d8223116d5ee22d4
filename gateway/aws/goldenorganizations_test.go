package aws_test

import (
	"testing"

	"github.com/kmsd/kmsd/internal/kmstest"
)

func TestGoldenOrganizations(t *testing.T) {
	log := &breakable{}
	k := kmstest.New(t, &kmstest.Options{OpenAudit: log.open})
	g := newGolden(t, k, "organizations")
	g.callers["alice"] = k.User("alice")
	g.do["break"] = func(*golden) { log.full.Store(true) }
	g.do["mend"] = mend(k, log)
	member := k.Account("member")
	g.callers["member"], g.kept["member"] = member.User("bob", kmstest.Allow([]string{"organizations:*"})), member.ID
	g.run()
	g.errors(organizationsErrors, organizationsUnreached)
}

// organizationsErrors are the errors that AWS Organizations' model names and kmsd has, and those that every service of AWS has.
var organizationsErrors = []string{
	"AWSOrganizationsNotInUseException", "AccessDeniedException", "AccountAlreadyClosedException", "AccountNotFoundException", "ChildNotFoundException",
	"ConcurrentModificationException", "ConstraintViolationException", "DestinationParentNotFoundException", "DuplicateAccountException",
	"DuplicateOrganizationalUnitException", "DuplicatePolicyAttachmentException", "DuplicatePolicyException", "InvalidInputException",
	"MalformedPolicyDocumentException", "OrganizationalUnitNotEmptyException", "OrganizationalUnitNotFoundException", "ParentNotFoundException",
	"PolicyInUseException", "PolicyNotAttachedException", "PolicyNotFoundException", "PolicyTypeNotAvailableForOrganizationException", "ServiceException",
	"SourceParentNotFoundException", "TargetNotFoundException", "TooManyRequestsException",
	"InvalidSignatureException", "MissingAuthenticationTokenException", "SerializationException", "UnknownOperationException", "UnrecognizedClientException",
	"UnsupportedAPIEndpointException",
}

// organizationsUnreached are those of them that no exchange has, each with the reason.
var organizationsUnreached = map[string]string{
	"AWSOrganizationsNotInUseException": "every account of kmsd is in the organization; a member is refused with AccessDeniedException",
	"ConcurrentModificationException":   "nothing of the organization is changed behind a call",
	"TooManyRequestsException":          "depends on how fast the machine is",
}
