// Package lint finds what a policy document says that its author is not likely to mean, and says what to write instead.
//
// It reads documents, and decides nothing: what must not be stored at all, authz.Parse refuses. It does no I/O.
//
// Trust: documents are hostile input. Lint takes bounded time and memory, and its words quote at most 64 bytes of a document.
package lint

import (
	"errors"

	"github.com/kmsd/kmsd/authz"
)

// Severity is how much a finding matters.
type Severity uint8

// The severities, the gravest first.
const (
	Error           Severity = iota + 1 // a part cannot have an effect, or not the one that it names
	SecurityWarning                     // more is let in than is likely to be meant
	Warning                             // it may not do what is meant
	Suggestion                          // it can be written better; its effect is as it reads
)

// Finding is something about a document.
type Finding struct {
	Severity  Severity
	Code      string // a word that stays the same from release to release: "MALFORMED_POLICY"
	Message   string // a sentence
	Fix       string // what to write instead, a sentence; "" if there is no one answer
	Statement int    // counted from 1; 0 for the document
	Line      int    // counted from 1; 0 if it is nowhere in particular
	Column    int    // in characters, counted from 1; 0 if Line is
}

// Lint checks a document. One that authz does not parse has the one finding MALFORMED_POLICY.
func Lint(kind authz.PolicyKind, doc []byte) []Finding {
	_, err := authz.Parse(kind, doc)
	var wrong *authz.SyntaxError
	if errors.As(err, &wrong) {
		return []Finding{{Severity: Error, Code: "MALFORMED_POLICY", Message: wrong.Msg, Line: wrong.Line, Column: wrong.Column}}
	}
	return nil
}
