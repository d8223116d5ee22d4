package ref

import (
	"maps"
	"slices"
)

// matches returns the level at which a principal of a grant is the caller, or "".
func (e *evaluation) matches(p Principal) string {
	c := &e.Caller
	var is bool
	switch p.Level {
	case "DIRECT":
		is = c.Kind == "user" && p.ID == c.ID || c.Kind == "session" && p.ID == c.ID+":"+c.SessionName
	case "ROLE":
		is = c.Kind == "session" && p.ID == c.ID
	case "ACCOUNT":
		is = c.Kind != "web" && p.ID == c.Account
	}
	if !is {
		return ""
	}
	return p.Level
}

// grantAllows is section 9: the first grant that lets the caller do it, or nil.
func (e *evaluation) grantAllows() *Grant {
	for _, level := range []string{"DIRECT", "ROLE", "ACCOUNT"} {
		for _, g := range e.Resource.Grants {
			if e.matches(g.Grantee) == level && e.grantHolds(g) && e.levelHolds(level) {
				return g
			}
		}
	}
	return nil
}

// levelHolds reports whether the caller has what a grant that names it at the level needs besides.
func (e *evaluation) levelHolds(level string) bool {
	_, limited := e.limited()
	return level == "DIRECT" || level == "ROLE" && !limited || level == "ACCOUNT" && e.ident() && !limited
}

// grantHolds reports whether a grant is for the action and its constraints hold.
func (e *evaluation) grantHolds(g *Grant) bool {
	switch {
	case !slices.Contains(g.Actions, e.Action) || e.ended(g):
		return false
	case e.Action == "kms:DescribeKey" || e.Action == "kms:RetireGrant":
		return true
	case e.Action == "kms:CreateGrant":
		return e.Defect == ChildGrantUnchecked || childOK(g, e.Context.Grant)
	}
	return constraintOK(g, e.Context.EncryptionContext)
}

// ended reports whether a grant has come to its end, or nobody knows.
func (e *evaluation) ended(g *Grant) bool {
	now := e.Context.Time
	return e.Defect != ExpiredGrant && !g.Expires.IsZero() && (now.IsZero() || !now.Before(g.Expires))
}

func constraintOK(g *Grant, context map[string]string) bool {
	return (len(g.Equals) == 0 || maps.Equal(g.Equals, context)) && contains(context, g.Subset)
}

// contains reports whether m has all pairs of part.
func contains(m, part map[string]string) bool {
	for name, value := range part {
		if v, ok := m[name]; !ok || v != value {
			return false
		}
	}
	return true
}

// childOK reports whether who holds the parent may make the child.
func childOK(parent, child *Grant) bool {
	if child == nil {
		return false
	}
	for _, a := range child.Actions {
		if !slices.Contains(parent.Actions, a) {
			return false
		}
	}
	if !parent.Expires.IsZero() && (child.Expires.IsZero() || child.Expires.After(parent.Expires)) {
		return false // an end is a constraint too
	}
	switch {
	case len(parent.Equals) > 0:
		return maps.Equal(parent.Equals, child.Equals)
	case len(parent.Subset) > 0:
		return contains(child.Subset, parent.Subset) || contains(child.Equals, parent.Subset)
	}
	return true
}

// retire says who may retire a grant: whom it names for that, whom it is for if it says so, and the account that made it. An account acts by those whose
// policies allow it and whose limits leave it, and a role within its limits, as they do where they use a grant; a grant that has ended names nobody.
func (e *evaluation) retire() Answer {
	g := e.Context.Grant
	if g == nil {
		return Answer{Reason: "NoResourceAllow", Layer: "Grant"}
	}
	allow := Answer{Allow: true, Reason: "Grant", Layer: "Grant", GrantID: g.ID}
	named := []Principal{g.Retiring}
	if slices.Contains(g.Actions, "kms:RetireGrant") {
		named = append(named, g.Grantee)
	}
	for _, p := range named {
		if allow.Level = e.matches(p); allow.Level != "" && e.levelHolds(allow.Level) && !e.ended(g) {
			return allow
		}
	}
	if allow.Level = "ACCOUNT"; (e.Caller.Account == g.Issuer || e.Defect == RetireByAnyone) && e.levelHolds(allow.Level) {
		return allow
	}
	return Answer{Reason: "NoResourceAllow", Layer: "Grant"}
}
