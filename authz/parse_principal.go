package authz

import "strings"

func (r *reader) readPrincipal(n *node, s *statement) error {
	e, negated := n.element("Principal"), n.element("NotPrincipal")
	switch {
	case !rules[r.kind].principal && e != nil:
		return r.fault(e, "Principal is for policies of resources; %s is about those it is attached to, remove it", r.kind.an())
	case negated != nil && !r.notPrincipal():
		return r.fault(negated, "NotPrincipal is not supported; name those who are meant in Principal")
	case negated != nil && e != nil:
		return r.fault(negated, "a statement has Principal or NotPrincipal, not both; remove one of them")
	case negated != nil && s.effect == Allow:
		return r.fault(negated, "NotPrincipal with Allow would let in everybody else; name those who are meant in Principal")
	case negated != nil:
		e, s.notPrincipal = negated, true
	case !rules[r.kind].principal:
		return nil
	case e == nil:
		return r.fault(n, "the statement has no Principal; add it")
	}
	entries, err := r.principalEntries(e, not(s.notPrincipal, "Principal"))
	if err != nil {
		return err
	}
	for i := range entries {
		s.source.principals = append(s.source.principals, entries[i].text)
		if r.kind == ResourceControlPolicy && entries[i].kind != anyPrincipal {
			return faultAt(r.doc, entries[i].from, `a resource control policy is about everyone; write "*"`)
		}
		if s.notPrincipal && entries[i].kind == anyPrincipal {
			return faultAt(r.doc, entries[i].from, `NotPrincipal "*" is about nobody; name those who are exempt`)
		}
	}
	s.principals = compilePrincipals(entries)
	return nil
}

// notPrincipal reports whether the policy may have NotPrincipal.
func (r *reader) notPrincipal() bool { return r.kind == KeyPolicy && r.options.AllowNotPrincipal }

// principalEntries returns the entries of Principal: "*", or those of each of its types.
func (r *reader) principalEntries(e *node, name string) ([]principal, error) {
	const form = `write "*", or an object such as {"AWS": "111122223333"}`
	switch {
	case e.kind == stringNode && e.text == "*":
		return []principal{{kind: anyPrincipal, text: "*", from: e.from}}, nil
	case e.kind == stringNode:
		return nil, r.fault(e, "%s is the string %s; "+form, name, quote(e.text))
	case e.kind != objectNode:
		return nil, r.fault(e, "%s is %v; "+form, name, e.kind)
	case len(e.members) == 0:
		return nil, r.fault(e, "%s is empty, so that the statement would have no effect; "+form, name)
	}
	var entries []principal
	for i := range e.members {
		parse, err := r.principalType(&e.members[i])
		if err != nil {
			return nil, err
		}
		list, err := r.values(&e.members[i].value, name)
		if err != nil {
			return nil, err
		}
		for j := range list {
			p, wrong := parse(list[j].text)
			if wrong != "" {
				return nil, r.fault(&list[j], "%s %s", quote(list[j].text), wrong)
			}
			p.from = list[j].from
			entries = append(entries, p)
		}
	}
	return entries, nil
}

// principalType returns what reads the principals of a type.
func (r *reader) principalType(m *member) (func(string) (principal, string), error) {
	switch {
	case m.name == "AWS":
		return parsePrincipal, nil
	case m.name == "Federated" && r.kind == TrustPolicy:
		return parseProvider, nil
	case m.name == "Federated":
		return nil, faultAt(r.doc, m.from, `principals of type Federated are for trust policies; use "AWS"`)
	case m.name == "Service", m.name == "CanonicalUser":
		return nil, faultAt(r.doc, m.from, `principals of type %s are not supported by this version of kmsd; use "AWS"`, m.name)
	}
	return nil, faultAt(r.doc, m.from, `unknown type of principal %s; write "AWS", exactly so`, quote(m.name))
}

// parseProvider reads one value of Principal's "Federated". The second result is what is wrong with it, "" if nothing.
func parseProvider(s string) (principal, string) {
	const form = "is not an OpenID Connect provider; write arn:aws:iam::ACCOUNT:oidc-provider/HOST/PATH"
	parts := strings.SplitN(s, ":", arnParts)
	if len(parts) < arnParts || parts[0] != "arn" || !isPartition(parts[1]) || parts[2] != "iam" || parts[3] != "" || !isAccount(parts[4]) {
		return principal{}, form
	}
	issuer, ok := strings.CutPrefix(parts[5], "oidc-provider/")
	if !ok || !isIssuer(issuer) {
		return principal{}, form
	}
	return principal{kind: federatedPrincipal, text: s, id: s}, ""
}
