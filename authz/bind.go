package authz

import "slices"

// Principals returns the ARNs of the users, roles and sessions of roles that a key or trust policy names, each once, in the
// document's order: those that [Policy.Bind] asks for. Accounts, "*", unique ids and OpenID Connect providers are not among them.
func (p *Policy) Principals() []string {
	var list []string
	seen := make(map[string]struct{})
	for i := range p.stmts {
		for _, e := range p.stmts[i].principals.list {
			if _, again := seen[e.text]; e.needsBinding() && !again {
				seen[e.text] = struct{}{}
				list = append(list, e.text)
			}
		}
	}
	return list
}

// Bind returns a policy whose users and roles match by unique id, and no longer by name, so that one who is
// deleted and made again under the same name is not the same; a session matches by its role's id and its own name.
// resolve is called once for each of [Policy.Principals], and answers for the ARN of a session with the id of its role;
// what it answers must be kept with the document, and given to [Policy.Rebind] when the document is next loaded, since the
// name may belong to somebody else by then. Where it answers false, or something that is no unique id, the error is a
// *[SyntaxError] that names the principal and matches [ErrMalformedPolicy].
//
// p does not change. Bind of a policy that names none of them, or that has no principals, returns its equal.
func (p *Policy) Bind(resolve func(arn string) (id string, ok bool)) (*Policy, error) {
	return p.bind(resolve, false)
}

// Rebind is [Policy.Bind] with the ids that an earlier one was given, by ARN. A session for which there is none is nobody:
// such policies are from before sessions were bound. The map is not kept.
func (p *Policy) Rebind(ids map[string]string) (*Policy, error) {
	return p.bind(func(arn string) (string, bool) { id, ok := ids[arn]; return id, ok }, true)
}

// bind binds the principals; with lost, the sessions for which resolve answers false to nobody.
func (p *Policy) bind(resolve func(arn string) (id string, ok bool), lost bool) (*Policy, error) {
	ids := make(map[string]string) // :: ARN → unique id, or "" for one that may be nobody
	for _, arn := range p.Principals() {
		switch id, ok := resolve(arn); {
		case ok && isUniqueID(id):
			ids[arn] = id
		case !ok && lost:
			ids[arn] = ""
		}
	}
	stmts := slices.Clone(p.stmts)
	for i := range stmts {
		list := slices.Clone(stmts[i].principals.list)
		for j := range list {
			if !list[j].needsBinding() {
				continue
			}
			id, ok := ids[list[j].text]
			if !ok || id == "" && list[j].kind != sessionPrincipal {
				return nil, faultAt(p.doc, list[j].from, "principal %s does not exist; remove it, or create it first", quote(list[j].text))
			}
			list[j].id = id
		}
		stmts[i].principals = compilePrincipals(list)
	}
	bound := *p
	bound.stmts = stmts
	bound.ready = p.kind
	return &bound, nil
}
