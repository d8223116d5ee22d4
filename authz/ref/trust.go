package ref

// byResourcePolicy is EXPLICIT_TRUST: keys, and roles that are to be assumed.
func (e *evaluation) byResourcePolicy(cross bool) Answer {
	c, r := &e.Caller, &e.Resource
	if e.Action == "sts:AssumeRole" && c.Kind == "root" {
		return Answer{Reason: "RootCannotAssumeRole"}
	}
	at := e.allowLevels() // :: level → first statement that allows at it
	if e.Defect == RootBypassesKeyPolicy && c.Kind == "root" && !cross {
		return Answer{Allow: true, Reason: "Root", Layer: "Identity"}
	}
	if cross && e.Defect == CrossAccountAlone && at["DIRECT"] > 0 {
		cross = false
	}
	a := e.byLevels(at, cross)
	if a.Allow {
		return a
	}
	if r.Kind == "key" {
		if g := e.grantAllows(); g != nil {
			return Answer{Allow: true, Reason: "Grant", Layer: "Grant", Level: g.Grantee.Level, GrantID: g.ID}
		}
	}
	return a
}

// byLevels decides by what the policy of the resource allows, without grants.
func (e *evaluation) byLevels(at map[string]int, cross bool) Answer {
	p := e.Resource.Policy
	closest := ""
	for _, level := range []string{"ACCOUNT", "ROLE", "DIRECT"} {
		if at[level] > 0 {
			closest = level
		}
	}
	reason := "IdentityViaAccount"
	switch {
	case closest == "" && !cross && e.Resource.Kind == "key" && !e.delegates():
		return Answer{Reason: "KeyPolicyDoesNotDelegate", Layer: "Resource"}
	case closest == "":
		return Answer{Reason: "NoResourceAllow", Layer: "Resource"}
	case cross:
		reason = "CrossAccount"
	case closest == "DIRECT":
		return Answer{Allow: true, Reason: "ResourcePolicy", Layer: "Resource", Level: closest, Policy: p.Name, Statement: at[closest]}
	case closest == "ROLE":
		a, limited := e.limited()
		escapes := a.Reason == "NoBoundaryAllow" && e.Defect == RoleEscapesBoundary || a.Reason == "NoSessionAllow" && e.Defect == RoleEscapesSession
		if limited && !escapes {
			a.Level = closest
			return a
		}
		return Answer{Allow: true, Reason: "ResourcePolicy", Layer: "Resource", Level: closest, Policy: p.Name, Statement: at[closest]}
	}
	a := e.byIdentity(reason, reason)
	a.Level = closest
	if a.Allow && e.Caller.Kind == "root" { // it has no policies: the statement that names it is the only one
		a.Policy, a.Statement = p.Name, at[closest]
	}
	return a
}

// allowLevels returns the levels at which the policy of the resource allows, each with the first statement that does.
func (e *evaluation) allowLevels() map[string]int {
	at := map[string]int{}
	p := e.Resource.Policy
	if p == nil {
		return at
	}
	for i := range p.statements {
		s := &p.statements[i]
		if s.deny || !e.covers(p, s) {
			continue
		}
		for level := range e.levels(p, s) {
			if at[level] == 0 {
				at[level] = i + 1
			}
		}
	}
	return at
}

// delegates reports whether a key policy has a statement that allows the action to the account, whatever its conditions are.
func (e *evaluation) delegates() bool {
	p := e.Resource.Policy
	for i := range p.statements {
		s := &p.statements[i]
		if !s.deny && e.actionCovered(s) && e.levels(p, s)["ACCOUNT"] {
			return true
		}
	}
	return false
}

// webIdentity is who has a token of a provider and no account: it can assume a role that names the provider, and nothing else.
func (e *evaluation) webIdentity() Answer {
	p := e.Resource.Policy
	if p == nil || e.Resource.Kind != "role" || e.Action != "sts:AssumeRoleWithWebIdentity" && e.Action != "sts:TagSession" {
		return Answer{Reason: "NoResourceAllow", Layer: "Resource"}
	}
	if n := e.allowLevels()["DIRECT"]; n > 0 {
		return Answer{Allow: true, Reason: "ResourcePolicy", Layer: "Resource", Level: "DIRECT", Policy: p.Name, Statement: n}
	}
	return Answer{Reason: "NoResourceAllow", Layer: "Resource"}
}
