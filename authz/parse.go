package authz

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// FullAWSAccess is the service control policy that permits everything, and RCPFullAWSAccess the resource control policy
// that does: the only one that may have an Allow.
const (
	FullAWSAccess    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	RCPFullAWSAccess = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`
)

// Versions of the policy language.
const (
	oldVersion = "2008-10-17" // without variables; that of a document that does not say
	version    = "2012-10-17"
)

// Parse reads a policy document and compiles it. It refuses everything that it does not understand, and that could
// have no effect where it stands; see docs/policies.md for the list. The error is a *[SyntaxError] and matches
// [ErrMalformedPolicy]; the Policy is nil then.
//
// A key policy or trust policy that names users or roles by their ARN denies everything until [Policy.Bind] has tied
// them to unique ids. Parse does not keep doc.
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
	if kind == 0 || kind >= kindEnd {
		return nil, faultAt(r.doc, 0, "unknown kind of policy")
	}
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

// A rule says what policies of a kind are like.
type rule struct {
	maxBytes   int
	maxChars   int  // without the white space between elements; zero if only bytes count
	principal  bool // statements have a Principal, and others must not
	resource   bool // statements have a Resource, and others must not
	id         bool // the policy may have an Id
	freeSid    bool // a Sid may have other characters than letters and digits
	versionNow bool // Version must be there, and the present one
}

// The largest documents, from AWS's quotas.
const (
	maxKeyPolicy     = 32768  // bytes
	maxIdentity      = 6144   // characters, white space between elements not counted
	maxIdentityBytes = 131072 // bytes
	maxSession       = 2048   // characters
	maxTrust         = 4096   // bytes
	maxControl       = 5120   // bytes of a service or resource control policy
)

// rules :: PolicyKind → rule. It is never written.
var rules = [kindEnd]rule{
	IdentityPolicy:        {maxBytes: maxIdentityBytes, maxChars: maxIdentity, resource: true},
	KeyPolicy:             {maxBytes: maxKeyPolicy, principal: true, resource: true, id: true, freeSid: true},
	SessionPolicy:         {maxBytes: 2 * maxSession, resource: true},
	TrustPolicy:           {maxBytes: maxTrust, principal: true, id: true},
	ServiceControlPolicy:  {maxBytes: maxControl, resource: true, versionNow: true},
	ResourceControlPolicy: {maxBytes: maxControl, principal: true, resource: true, versionNow: true},
}

// an returns the kind with its article.
func (k PolicyKind) an() string {
	if k == IdentityPolicy {
		return "an " + k.String()
	}
	return "a " + k.String()
}

// checkSize returns the size as quotas for identity policies count it.
func (r *reader) checkSize() (int, error) {
	limit := rules[r.kind]
	if len(r.doc) > limit.maxBytes {
		return 0, faultAt(r.doc, limit.maxBytes, "%s has at most %d bytes; this one has %d", r.kind.an(), limit.maxBytes, len(r.doc))
	}
	if n := utf8.RuneCountInString(r.doc); r.kind == SessionPolicy && n > maxSession {
		return 0, faultAt(r.doc, 0, "%s has at most %d characters; this one has %d", r.kind.an(), maxSession, n)
	}
	size := sizeWithoutSpace(r.doc)
	if limit.maxChars > 0 && size > limit.maxChars {
		return 0, faultAt(r.doc, 0, "%s has at most %d characters, white space not counted; this one has %d", r.kind.an(), limit.maxChars, size)
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
	if err := r.readVersion(root); err != nil {
		return nil, err
	}
	if id := root.element("Id"); id != nil {
		if !rules[r.kind].id {
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

func (r *reader) readVersion(root *node) error {
	r.version = oldVersion
	n := root.element("Version")
	if n == nil {
		if rules[r.kind].versionNow {
			return r.fault(root, `%s has a Version; add "Version": "2012-10-17"`, r.kind.an())
		}
		return nil
	}
	v, err := r.stringOf(n, "Version")
	if err != nil {
		return err
	}
	if v != version && v != oldVersion {
		return r.fault(n, `Version %s does not exist; write "2012-10-17"`, quote(v))
	}
	if v == oldVersion && rules[r.kind].versionNow {
		return r.fault(n, `%s has Version "2012-10-17"; write that`, r.kind.an())
	}
	r.version, r.variables = v, v == version
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
