package server

import (
	"maps"
	"slices"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/authz/lint"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

var severities = map[lint.Severity]iamv1.FindingSeverity{
	lint.Error:           iamv1.FindingSeverity_FINDING_SEVERITY_ERROR,
	lint.SecurityWarning: iamv1.FindingSeverity_FINDING_SEVERITY_SECURITY_WARNING,
	lint.Warning:         iamv1.FindingSeverity_FINDING_SEVERITY_WARNING,
	lint.Suggestion:      iamv1.FindingSeverity_FINDING_SEVERITY_SUGGESTION,
}

// lint checks a policy document that is about to be stored. What it finds goes into the answer and keeps nothing from being stored: what must
// not be, authz does not parse. It comes before the change, so that a panic in it is not the answer of a change that was made.
func (c *call) lint(kind authz.PolicyKind, document string) {
	for _, f := range lint.LintIn(c.account(), kind, []byte(document)) {
		c.findings = append(c.findings, iamv1.Finding_builder{
			Severity: severities[f.Severity], Code: f.Code, Message: f.Message, Fix: f.Fix,
			Statement: int32(f.Statement), Line: int32(f.Line), Column: int32(f.Column),
		}.Build())
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
