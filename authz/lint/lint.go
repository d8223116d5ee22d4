// Package lint finds what a policy document says that its author is not likely to mean, and says what to write instead.
//
// It reads documents, and decides nothing: what must not be stored at all, authz.Parse refuses. It does no I/O.
//
// Trust: documents are hostile input. Lint takes bounded time and memory, and its words quote at most 64 bytes of a document.
package lint

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

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

// String returns "error", "security warning", "warning" or "suggestion", and "" for others.
func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case SecurityWarning:
		return "security warning"
	case Warning:
		return "warning"
	case Suggestion:
		return "suggestion"
	}
	return ""
}

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

// maxFindings bounds the findings of one document. The gravest are found first.
const maxFindings = 100

// Lint checks a document, and returns at most 100 findings in the order of the document. One that authz.Parse refuses has the one
// finding MALFORMED_POLICY, or, for a key policy that is well but for NotPrincipal, NOT_PRINCIPAL and what else there is.
func Lint(kind authz.PolicyKind, doc []byte) []Finding { return LintIn("", kind, doc) }

// LintIn is [Lint] of a policy whose account is known: the owner of the key, or of the role that is trusted. Which principals are of other
// accounts can only be told then; "" is an account that is not known.
func LintIn(account string, kind authz.PolicyKind, doc []byte) []Finding {
	l := linter{kind: kind, account: account, doc: string(doc), steps: maxSteps}
	if !l.parse() {
		return l.findings
	}
	for i := range checks {
		l.run(&checks[i])
	}
	slices.SortStableFunc(l.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Severity, b.Severity))
	})
	return l.findings
}

// A linter checks one document.
type linter struct {
	kind       authz.PolicyKind
	account    string
	doc        string
	policy     *authz.Policy
	statements []statement
	findings   []Finding
	check      *Check // that is running
	steps      int    // left for comparisons of values with each other
	subjects   map[authz.Action]kindSet
	keys       map[authz.Action]map[string]bool // :: action → names of the keys that its requests can have
}

// maxSteps bounds the comparisons of values with each other, in bytes.
const maxSteps = 1 << 24

// parse reads the document. If it does not parse the finding is there.
func (l *linter) parse() bool {
	var err error
	if l.policy, err = authz.Parse(l.kind, []byte(l.doc)); err != nil {
		code := "MALFORMED_POLICY"
		strict := err
		l.policy, err = authz.ParseWith(l.kind, []byte(l.doc), authz.Options{AllowNotPrincipal: true})
		if err == nil {
			code = "NOT_PRINCIPAL"
		}
		l.malformed(code, strict)
		if err != nil {
			return false
		}
	}
	l.subjects, l.keys = make(map[authz.Action]kindSet), make(map[authz.Action]map[string]bool)
	for n := 1; n <= l.policy.Statements(); n++ {
		l.statements = append(l.statements, newStatement(l.policy.View(n), n))
	}
	return true
}

// malformed reports what the parser says.
func (l *linter) malformed(code string, err error) {
	c := checkOf(code)
	f := Finding{Severity: c.Severity, Code: code, Message: err.Error(), Fix: c.Advice}
	var wrong *authz.SyntaxError
	if errors.As(err, &wrong) {
		f.Message, f.Line, f.Column = wrong.Msg, wrong.Line, wrong.Column
	}
	l.findings = append(l.findings, f)
}

// run runs one check on whatever it is about.
func (l *linter) run(c *check) {
	l.check = &c.Check
	if c.document != nil {
		c.document(l)
	}
	for i := range l.statements {
		s := &l.statements[i]
		if c.statement != nil && !l.full() {
			c.statement(l, s)
		}
		for j := range s.conditions {
			if c.condition != nil && !l.full() {
				c.condition(l, s, &s.conditions[j])
			}
		}
	}
}

func (l *linter) full() bool { return len(l.findings) >= maxFindings }

// report adds a finding of the check that is running, at a byte of the document. An empty fix is the advice of the check.
func (l *linter) report(statement, at int, message, fix string) {
	if l.full() {
		return
	}
	before := l.doc[:min(max(at, 0), len(l.doc))]
	line := strings.LastIndexByte(before, '\n') + 1
	l.findings = append(l.findings, Finding{
		Severity: l.check.Severity, Code: l.check.Code, Message: message, Fix: cmp.Or(fix, l.check.Advice), Statement: statement,
		Line: strings.Count(before, "\n") + 1, Column: utf8.RuneCountInString(before[line:]) + 1,
	})
}

// place returns where a value stands in the statement: where it is written so, or else where the statement begins.
func (l *linter) place(s *statement, value string) int {
	if at := strings.Index(l.doc[s.From:s.To], `"`+value+`"`); at >= 0 {
		return s.From + at
	}
	return s.From
}
