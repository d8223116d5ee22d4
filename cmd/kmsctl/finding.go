package main

import (
	"fmt"
	"strings"

	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// severityOf is a severity as AWS's Access Analyzer writes it: "SECURITY_WARNING".
func severityOf(s iamv1.FindingSeverity) string { return trimEnum(s, "FINDING_SEVERITY_") }

// findings tells what the check of a policy found, on standard error: nothing of it keeps the policy from being
// stored, so that none is an error here. A dry run stores nothing.
func (a *app) findings(list []*iamv1.Finding, stored bool) {
	for _, f := range list {
		severity := severityOf(f.GetSeverity())
		if severity != "SUGGESTION" {
			severity = "WARNING"
		}
		a.finding(severity, f.GetCode(), f.GetMessage(), f.GetFix(), spot{int(f.GetStatement()), int(f.GetLine()), int(f.GetColumn())})
	}
	if stored && len(list) > 0 {
		a.say("the policy was stored")
	}
}

// spot is where in a document something is.
type spot struct{ statement, line, column int }

// String is the spot in words; "" if it is nowhere in particular.
func (p spot) String() string {
	var parts []string
	if p.statement > 0 {
		parts = append(parts, fmt.Sprintf("statement %d", p.statement))
	}
	if p.line > 0 {
		parts = append(parts, fmt.Sprintf("line %d, column %d", p.line, p.column))
	}
	return strings.Join(parts, ", ")
}

// finding says one thing that a check found, and what to do about it.
func (a *app) finding(severity, code, message, fix string, at spot) {
	where := ""
	if s := at.String(); s != "" {
		where = " (" + s + ")"
	}
	a.say("%s: %s: %s%s", strings.ToLower(strings.ReplaceAll(severity, "_", " ")), code, message, where)
	if fix != "" {
		a.say("  fix: %s", fix)
	}
}
