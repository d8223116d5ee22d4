package authz

func (r *reader) statement(n *node) (statement, error) {
	s := statement{from: n.from, to: n.to, source: &source{}}
	if n.kind != objectNode {
		return s, r.fault(n, "a statement is an object; this is %v", n.kind)
	}
	if err := r.onlyElements(n, "a statement", "Sid", "Principal", "NotPrincipal", "Effect", "Action", "NotAction",
		"Resource", "NotResource", "Condition"); err != nil {
		return s, err
	}
	for _, read := range []func(*node, *statement) error{
		r.readSid, r.readEffect, r.readPrincipal, r.readAction, r.readResource, r.readCondition, r.checkStatement,
	} {
		if err := read(n, &s); err != nil {
			return s, err
		}
	}
	return s, nil
}

// checkStatement refuses what is only wrong in the kind of policy.
func (r *reader) checkStatement(n *node, s *statement) error {
	switch {
	case r.kind == ResourceControlPolicy && s.effect == Allow && r.doc != RCPFullAWSAccess:
		return r.fault(n.element("Effect"), "a resource control policy only denies, but for RCPFullAWSAccess; write Deny")
	case r.kind == TrustPolicy && s.effect == Allow && s.principals.everyone && len(s.conditions) == 0:
		return r.fault(n.element("Principal"), `a trust policy that lets everyone assume the role needs a Condition; name who may, or add one such as "aws:PrincipalOrgID"`)
	}
	return nil
}

func (r *reader) readSid(n *node, s *statement) error {
	e := n.element("Sid")
	if e == nil {
		return nil
	}
	sid, err := r.stringOf(e, "Sid")
	if err != nil {
		return err
	}
	if !rules[r.kind].freeSid && !onlyBytes(sid, isAlphanumeric) {
		return r.fault(e, "Sid %s has other characters than letters and digits; remove them", quote(sid))
	}
	if _, twice := r.sids[sid]; twice && sid != "" {
		return r.fault(e, "Sid %s stands twice in the policy; rename one of them", quote(sid))
	}
	r.sids[sid] = struct{}{}
	s.sid = sid
	return nil
}

func (r *reader) readEffect(n *node, s *statement) error {
	e := n.element("Effect")
	if e == nil {
		return r.fault(n, `the statement has no Effect; write "Allow" or "Deny"`)
	}
	v, err := r.stringOf(e, "Effect")
	if err != nil {
		return err
	}
	switch v {
	case "Allow":
		s.effect = Allow
	case "Deny":
		s.effect = Deny
	default:
		return r.fault(e, `Effect %s does not exist; write "Allow" or "Deny", exactly so`, quote(v))
	}
	return nil
}

// either returns the one of two elements that exclude each other, and whether it is the negated one.
func (r *reader) either(n *node, name string) (*node, bool, error) {
	plain, negated := n.element(name), n.element("Not"+name)
	switch {
	case plain != nil && negated != nil:
		return nil, false, r.fault(negated, "a statement has %s or Not%s, not both; remove one of them", name, name)
	case plain == nil && negated == nil:
		return nil, false, r.fault(n, "the statement has no %s; add it", name)
	case plain != nil:
		return plain, false, nil
	}
	return negated, true, nil
}

// values returns the strings of a value that is one string or a list of them, none of them empty.
func (r *reader) values(n *node, name string) ([]node, error) {
	list := n.items
	switch n.kind {
	case stringNode:
		list = []node{*n}
	case arrayNode:
	default:
		return nil, r.fault(n, "%s is %v; write a string or a list of strings", name, n.kind)
	}
	if len(list) == 0 {
		return nil, r.fault(n, "%s is empty, so that the statement would have no effect; add a value", name)
	}
	for i := range list {
		if list[i].kind != stringNode {
			return nil, r.fault(&list[i], "%s has %v in its list; write strings", name, list[i].kind)
		}
		if list[i].text == "" {
			return nil, r.fault(&list[i], "%s has an empty string; remove it", name)
		}
	}
	return list, nil
}

func (r *reader) readAction(n *node, s *statement) error {
	e, negated, err := r.either(n, "Action")
	if err != nil {
		return err
	}
	list, err := r.values(e, not(negated, "Action"))
	if err != nil {
		return err
	}
	for i := range list {
		if wrong := checkActionPattern(list[i].text); wrong != "" {
			return r.fault(&list[i], "%s %s", quote(list[i].text), wrong)
		}
		if r.kind == TrustPolicy && !trusts(list[i].text) {
			return r.fault(&list[i], "%s is not about assuming a role; a trust policy may have sts:AssumeRole, "+
				"sts:AssumeRoleWithWebIdentity, sts:TagSession and sts:SetSourceIdentity", quote(list[i].text))
		}
		s.actions.addPattern(list[i].text)
		s.source.actions = append(s.source.actions, list[i].text)
	}
	if s.source.notAction = negated; negated {
		s.actions = s.actions.complement()
	}
	return nil
}

// trusts reports whether an action or a pattern of actions has one that trust policies decide about.
func trusts(pattern string) bool {
	var set actionSet
	set.addPattern(pattern)
	return set.has(STSAssumeRole) || set.has(STSAssumeRoleWithWebIdentity) || set.has(STSTagSession) || set.has(STSSetSourceIdentity)
}

func not(negated bool, name string) string {
	if negated {
		return "Not" + name
	}
	return name
}

func (r *reader) readResource(n *node, s *statement) error {
	if !rules[r.kind].resource {
		for _, name := range []string{"Resource", "NotResource"} {
			if e := n.element(name); e != nil {
				return r.fault(e, "%s has no %s, since it is about the role that has it; remove it", r.kind.an(), name)
			}
		}
		return nil
	}
	e, negated, err := r.either(n, "Resource")
	if err != nil {
		return err
	}
	list, err := r.values(e, not(negated, "Resource"))
	if err != nil {
		return err
	}
	s.notResource, s.source.notResource = negated, negated
	for i := range list {
		v := list[i].text
		p, wrong := compileResource(v, lexer{meaning: r.variables})
		if wrong == "" {
			wrong = checkResourcePattern(p.withoutVariables(v))
		}
		if wrong != "" {
			return r.fault(&list[i], "%s %s", quote(v), wrong)
		}
		s.patterns = append(s.patterns, p)
		s.source.resources = append(s.source.resources, v)
	}
	return nil
}
