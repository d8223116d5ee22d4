package authz

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a document, from AWS's quotas.
const (
	maxKeyPolicy     = 32768  // bytes of a key policy
	maxIdentity      = 6144   // characters of an identity policy, white space between its elements not counted
	maxIdentityBytes = 131072 // bytes of an identity policy
)

// Parse reads a policy document and compiles it. It refuses everything that it does not understand, that this
// version does not evaluate, and that could have no effect where it stands; see docs/policies.md for the list.
// The error is a *[SyntaxError] and matches [ErrMalformedPolicy]; the Policy is nil then.
//
// A key policy that names users or roles by their ARN denies everything until [Policy.Bind] has tied them to
// unique ids. Parse does not keep doc.
func Parse(kind PolicyKind, doc []byte) (*Policy, error) {
	return ParseWith(kind, doc, Options{})
}

// Options are what [ParseWith] accepts beyond [Parse]. The zero Options is what Parse does.
type Options struct {
	// AllowNotPrincipal accepts NotPrincipal in the Deny statements of key policies.
	AllowNotPrincipal bool
}

// ParseWith is [Parse] with options.
func ParseWith(kind PolicyKind, doc []byte, o Options) (*Policy, error) {
	r := reader{kind: kind, doc: string(doc), options: o}
	size, err := r.checkSize()
	if err != nil {
		return nil, err
	}
	root, err := readJSON(r.doc)
	if err != nil {
		return nil, err
	}
	stmts, err := r.policy(&root)
	if err != nil {
		return nil, err
	}
	p := compile(kind, stmts)
	p.doc, p.size, p.version = r.doc, size, r.version
	return p, nil
}

// FullAWSAccess is the service control policy that permits everything, and RCPFullAWSAccess the resource control policy
// that does: the only one that may have an Allow.
const (
	FullAWSAccess    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	RCPFullAWSAccess = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`
)

// A reader turns the JSON of one document into statements.
type reader struct {
	kind      PolicyKind
	options   Options
	doc       string
	version   string
	variables bool // the version has policy variables
	sids      map[string]struct{}
}

func (r *reader) fault(n *node, format string, args ...any) error {
	return faultAt(r.doc, n.from, format, args...)
}

// checkSize returns the size as quotas count it.
func (r *reader) checkSize() (int, error) {
	switch r.kind {
	case KeyPolicy:
		if len(r.doc) > maxKeyPolicy {
			return 0, faultAt(r.doc, maxKeyPolicy, "a key policy has at most %d bytes; this one has %d", maxKeyPolicy, len(r.doc))
		}
	case IdentityPolicy:
		if len(r.doc) > maxIdentityBytes {
			return 0, faultAt(r.doc, maxIdentityBytes, "an identity policy has at most %d bytes; this one has %d", maxIdentityBytes, len(r.doc))
		}
	default:
		return 0, faultAt(r.doc, 0, "unknown kind of policy")
	}
	size := sizeWithoutSpace(r.doc)
	if r.kind == IdentityPolicy && size > maxIdentity {
		return 0, faultAt(r.doc, 0, "an identity policy has at most %d characters, white space not counted; this one has %d", maxIdentity, size)
	}
	return size, nil
}

// sizeWithoutSpace counts characters, but not the white space outside of strings.
func sizeWithoutSpace(doc string) int {
	space, inString := 0, false
	for i := 0; i < len(doc); i++ {
		switch b := doc[i]; {
		case b == '"':
			inString = !inString
		case b == '\\' && inString && i+1 < len(doc) && doc[i+1] < utf8.RuneSelf:
			i++
		case !inString && isSpace(b):
			space++
		}
	}
	return utf8.RuneCountInString(doc) - space
}

// element returns the member of the name, or nil.
func (n *node) element(name string) *node {
	for i := range n.members {
		if n.members[i].name == name {
			return &n.members[i].value
		}
	}
	return nil
}

// onlyElements refuses members of n that are not in the list.
func (r *reader) onlyElements(n *node, where string, known ...string) error {
	for i := range n.members {
		name := n.members[i].name
		if slices.Contains(known, name) {
			continue
		}
		for _, k := range known {
			if strings.EqualFold(k, name) {
				return faultAt(r.doc, n.members[i].from, "unknown element %s; names are case-sensitive, write %q", quote(name), k)
			}
		}
		return faultAt(r.doc, n.members[i].from, "unknown element %s; %s may have %s", quote(name), where, strings.Join(known, ", "))
	}
	return nil
}

func (r *reader) stringOf(n *node, name string) (string, error) {
	if n.kind != stringNode {
		return "", r.fault(n, "%s is %v; write a string", name, n.kind)
	}
	return n.text, nil
}

func (r *reader) policy(root *node) ([]statement, error) {
	if root.kind != objectNode {
		return nil, r.fault(root, "a policy is an object; this is %v", root.kind)
	}
	if err := r.onlyElements(root, "a policy", "Version", "Id", "Statement"); err != nil {
		return nil, err
	}
	if err := r.readVersion(root.element("Version")); err != nil {
		return nil, err
	}
	if id := root.element("Id"); id != nil {
		if r.kind == IdentityPolicy {
			return nil, r.fault(id, "Id is for policies of resources; remove it")
		}
		if _, err := r.stringOf(id, "Id"); err != nil {
			return nil, err
		}
	}
	list := root.element("Statement")
	switch {
	case list == nil:
		return nil, r.fault(root, "a policy has a Statement; add one")
	case list.kind == objectNode:
		return r.statements([]node{*list})
	case list.kind != arrayNode:
		return nil, r.fault(list, "Statement is %v; write an object, or a list of objects", list.kind)
	case len(list.items) == 0:
		return nil, r.fault(list, "Statement is empty; add a statement")
	case len(list.items) > maxStatements:
		return nil, r.fault(&list.items[maxStatements], "more than %d statements; merge or split the policy", maxStatements)
	}
	return r.statements(list.items)
}

func (r *reader) readVersion(n *node) error {
	r.version = "2008-10-17"
	if n == nil {
		return nil
	}
	v, err := r.stringOf(n, "Version")
	if err != nil {
		return err
	}
	if v != "2012-10-17" && v != "2008-10-17" {
		return r.fault(n, `Version %s does not exist; write "2012-10-17"`, quote(v))
	}
	r.version, r.variables = v, v == "2012-10-17"
	return nil
}

func (r *reader) statements(list []node) ([]statement, error) {
	stmts := make([]statement, 0, len(list))
	r.sids = make(map[string]struct{})
	for i := range list {
		s, err := r.statement(&list[i])
		if err != nil {
			return nil, err
		}
		stmts = append(stmts, s)
	}
	return stmts, nil
}

func (r *reader) statement(n *node) (statement, error) {
	s := statement{from: n.from, to: n.to}
	if n.kind != objectNode {
		return s, r.fault(n, "a statement is an object; this is %v", n.kind)
	}
	if err := r.onlyElements(n, "a statement", "Sid", "Principal", "NotPrincipal", "Effect", "Action", "NotAction",
		"Resource", "NotResource", "Condition"); err != nil {
		return s, err
	}
	if c := n.element("Condition"); c != nil {
		return s, r.fault(c, "conditions are not supported by this version of kmsd; remove it, or the whole "+
			"statement where that must not apply without")
	}
	for _, read := range []func(*node, *statement) error{r.readSid, r.readEffect, r.readPrincipal, r.readAction, r.readResource} {
		if err := read(n, &s); err != nil {
			return s, err
		}
	}
	return s, nil
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
	if r.kind == IdentityPolicy && !onlyBytes(sid, isAlphanumeric) {
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
		s.actions.addPattern(list[i].text)
	}
	if negated {
		s.actions = s.actions.complement()
	}
	return nil
}

func not(negated bool, name string) string {
	if negated {
		return "Not" + name
	}
	return name
}

func (r *reader) readResource(n *node, s *statement) error {
	e, negated, err := r.either(n, "Resource")
	if err != nil {
		return err
	}
	list, err := r.values(e, not(negated, "Resource"))
	if err != nil {
		return err
	}
	s.notResource = negated
	for i := range list {
		v := list[i].text
		if r.variables && strings.Contains(v, "${") {
			return r.fault(&list[i], "%s has a policy variable, which this version of kmsd does not support; "+
				`write the value out, or use Version "2008-10-17" if the characters are meant`, quote(v))
		}
		if wrong := checkResourcePattern(v); wrong != "" {
			return r.fault(&list[i], "%s %s", quote(v), wrong)
		}
		s.patterns = append(s.patterns, compilePattern(v))
	}
	return nil
}

func (r *reader) readPrincipal(n *node, s *statement) error {
	e, negated := n.element("Principal"), n.element("NotPrincipal")
	switch {
	case r.kind == IdentityPolicy && e != nil:
		return r.fault(e, "Principal is for policies of resources; an identity policy is about those it is attached to, remove it")
	case negated != nil:
		return r.fault(negated, "NotPrincipal is not supported; name those who are meant in Principal")
	case r.kind == IdentityPolicy:
		return nil
	case e == nil:
		return r.fault(n, "the statement has no Principal; add it")
	}
	list, err := r.principalValues(e)
	if err != nil {
		return err
	}
	entries := make([]principal, 0, len(list))
	for i := range list {
		p, wrong := parsePrincipal(list[i].text)
		if wrong != "" {
			return r.fault(&list[i], "%s %s", quote(list[i].text), wrong)
		}
		p.from = list[i].from
		entries = append(entries, p)
	}
	s.principals = compilePrincipals(entries)
	return nil
}

// principalValues returns the values of Principal: "*", or those of its one supported type.
func (r *reader) principalValues(e *node) ([]node, error) {
	const form = `write "*", or an object such as {"AWS": "111122223333"}`
	switch {
	case e.kind == stringNode && e.text == "*":
		return []node{*e}, nil
	case e.kind == stringNode:
		return nil, r.fault(e, "Principal is the string %s; "+form, quote(e.text))
	case e.kind != objectNode:
		return nil, r.fault(e, "Principal is %v; "+form, e.kind)
	case len(e.members) == 0:
		return nil, r.fault(e, "Principal is empty, so that the statement would have no effect; "+form)
	}
	for i := range e.members {
		switch m := &e.members[i]; m.name {
		case "AWS":
		case "Federated", "Service", "CanonicalUser":
			return nil, faultAt(r.doc, m.from, `principals of type %s are not supported by this version of kmsd; use "AWS"`, m.name)
		default:
			return nil, faultAt(r.doc, m.from, `unknown type of principal %s; write "AWS", exactly so`, quote(m.name))
		}
	}
	return r.values(&e.members[0].value, "Principal")
}
