package lint

import (
	"slices"

	"github.com/kmsd/kmsd/authz"
)

// A Check is something that Lint looks for.
type Check struct {
	Code     string
	Severity Severity
	Finds    string // what it finds, in words
	Advice   string // what to write instead

	// Example is a document of the kind of which the check finds something, and Better one of which it finds nothing. They may be no more than
	// the statements of a document.
	Kind            authz.PolicyKind
	Example, Better string
}

// check is a Check with what does it: for the document, for each statement, or for each condition.
type check struct {
	Check
	document  func(*linter)
	statement func(*linter, *statement)
	condition func(*linter, *statement, *condition)
}

// Checks returns all checks, the gravest first. The slice is the caller's.
func Checks() []Check {
	list := make([]Check, 0, len(checks))
	for i := range checks {
		list = append(list, checks[i].Check)
	}
	return list
}

func checkOf(code string) *check {
	at := slices.IndexFunc(checks, func(c check) bool { return c.Code == code })
	return &checks[at]
}

// checks are in the order of their severity, in which they run. It is never written.
var checks = slices.Concat(errorChecks(), securityChecks(), warningChecks(), suggestionChecks())
