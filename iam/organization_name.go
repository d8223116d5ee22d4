package iam

import (
	"crypto/rand"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kmsd/kmsd/authz"
)

const (
	maxAccountName    = 50
	maxUnitName       = 128
	maxOrgDescription = 512 // characters
)

// Forms of AWS's ids; those that are made here are within them.
var (
	organizationID = regexp.MustCompile(`^o-[a-z0-9]{10,32}$`)
	orgRootID      = regexp.MustCompile(`^r-[0-9a-z]{4,32}$`)
	unitID         = regexp.MustCompile(`^ou-[0-9a-z]{4,32}-[a-z0-9]{8,32}$`)
	orgPolicyID    = regexp.MustCompile(`^p-[0-9a-zA-Z_]{8,128}$`)
	orgName        = regexp.MustCompile(`^[!-~]+( [!-~]+)*$`)
	emailAddress   = regexp.MustCompile(`^[!-?A-~]+@[!-?A-~]+\.[!-?A-~]+$`)
)

func newOrganizationID() string { return "o-" + randomWord(10) }
func newRootID() string         { return "r-" + randomWord(4) }
func newOrgPolicyID() string    { return "p-" + randomWord(12) }

// newUnitID returns an id with the word of the root's. Policies name organizational units by id, so none is given
// twice: it has 60 random bits.
func newUnitID(rootID string) string {
	return "ou-" + strings.TrimPrefix(rootID, "r-") + "-" + randomWord(12)
}

// randomWord returns n, at most 26, random characters of a-z and 2-7.
func randomWord(n int) string { return strings.ToLower(rand.Text()[:n]) }

// checkOrgName holds names of the organization to printable ASCII with single spaces in between, so that there are no
// two that look the same but for case, and those count as one. AWS takes any characters.
func checkOrgName(field, name string, limit int) error {
	if len(name) == 0 || len(name) > limit || !orgName.MatchString(name) {
		return invalid(field, "must be 1 to "+strconv.Itoa(limit)+" printable ASCII characters, with spaces only one at a time and in between")
	}
	return nil
}

func checkOrgDescription(text string) error {
	if !utf8.ValidString(text) || utf8.RuneCountInString(text) > maxOrgDescription || strings.ContainsFunc(text, unicode.IsControl) {
		return invalid("Description", "must be up to 512 characters, without control characters")
	}
	return nil
}

func checkEmail(email string) error {
	if len(email) < 6 || len(email) > 64 || !emailAddress.MatchString(email) {
		return invalid("Email", "must be 6 to 64 ASCII characters, a name, an @ and a domain")
	}
	return nil
}

func checkAccountID(id string) error {
	if !accountID.MatchString(id) {
		return invalid("AccountId", "must be 12 digits")
	}
	return nil
}

func checkUnitID(id string) error {
	if !unitID.MatchString(id) {
		return invalid("OrganizationalUnitId", "must have the form of an organizational unit's id, ou-…")
	}
	return nil
}

func checkOrgPolicyID(id string) error {
	if !orgPolicyID.MatchString(id) {
		return invalid("PolicyId", "must have the form of a policy's id, p-…")
	}
	return nil
}

// checkParentID takes the id of a root or organizational unit.
func checkParentID(field, id string) error {
	if !orgRootID.MatchString(id) && !unitID.MatchString(id) {
		return invalid(field, "must have the form of the id of a root, r-…, or of an organizational unit, ou-…")
	}
	return nil
}

// checkTargetID takes the id of a root, organizational unit or account.
func checkTargetID(field, id string) error {
	if !orgRootID.MatchString(id) && !unitID.MatchString(id) && !accountID.MatchString(id) {
		return invalid(field, "must have the form of the id of a root, r-…, of an organizational unit, ou-…, or of an account, 12 digits")
	}
	return nil
}

// The types of the organization's policies, in the order in which pairs of lists have them.
var orgPolicyTypes = [2]authz.PolicyKind{authz.ServiceControlPolicy, authz.ResourceControlPolicy} // never written

func typeIndex(kind authz.PolicyKind) int {
	if kind == authz.ResourceControlPolicy {
		return 1
	}
	return 0
}

func checkOrgPolicyType(kind authz.PolicyKind) error {
	if kind != authz.ServiceControlPolicy && kind != authz.ResourceControlPolicy {
		return invalid("Type", "must be SERVICE_CONTROL_POLICY or RESOURCE_CONTROL_POLICY")
	}
	return nil
}

// orgPolicyWord is the type's word in ARNs and records.
func orgPolicyWord(kind authz.PolicyKind) string {
	if kind == authz.ResourceControlPolicy {
		return "resource_control_policy"
	}
	return "service_control_policy"
}
