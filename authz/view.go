package authz

import "slices"

// A source is what a statement was compiled from, for those who show or compare policies.
type source struct {
	notAction, notResource bool
	actions                []string
	resources              []string
	principals             []string
	conditions             []ConditionView
}

// A ConditionView is one key of one operator of a Condition element.
type ConditionView struct {
	Operator string // as the document writes it
	Key      string // as the document writes it
	Values   []string
	From, To int // the bytes in the document, from the key's name to the last byte of its values
}

// A StatementView is a statement in its parsed form.
type StatementView struct {
	Sid            string
	Effect         Verdict
	Actions        []Action // those that it is about, NotAction resolved
	ActionPatterns []string // as the document writes them
	NotAction      bool     // ActionPatterns are those of NotAction
	Resources      []string
	NotResource    bool     // Resources are those of NotResource
	Principals     []string // without their type
	NotPrincipal   bool     // Principals are those of NotPrincipal
	Conditions     []ConditionView
	From, To       int // its bytes in the document
}

// View returns a statement, counted from 1; the zero StatementView if it does not exist. The caller owns what it
// returns.
func (p *Policy) View(n int) StatementView {
	if n < 1 || n > len(p.stmts) || p.stmts[n-1].source == nil {
		return StatementView{}
	}
	s := &p.stmts[n-1]
	v := StatementView{
		Sid: s.sid, Effect: s.effect, NotAction: s.source.notAction, NotResource: s.source.notResource, NotPrincipal: s.notPrincipal,
		ActionPatterns: slices.Clone(s.source.actions), Resources: slices.Clone(s.source.resources),
		Principals: slices.Clone(s.source.principals), Conditions: slices.Clone(s.source.conditions), From: s.from, To: s.to,
	}
	for i := range v.Conditions {
		v.Conditions[i].Values = slices.Clone(v.Conditions[i].Values)
	}
	for a := Action(1); a < actionEnd; a++ {
		if s.actions.has(a) {
			v.Actions = append(v.Actions, a)
		}
	}
	return v
}

// Version returns the version of the language that the policy is written in, "2012-10-17" or "2008-10-17", which is the
// one of a document that does not say.
func (p *Policy) Version() string { return p.version }
