package diff

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/kmsd/kmsd/authz"
)

// An atom is a part of statements that holds for a request or does not: a condition, or Resource. Statements that have the same one, in
// either version, share it.
type atom struct {
	effect authz.Verdict // of the statements, where it matters
	policy *authz.Policy // lets a request pass exactly if the atom holds for it, or, in a Deny, does not; nil if it is too large for one
	dims   []string      // what it depends on
	uses   []use

	operator, key string // of a condition; "" of Resource and NotResource
	values        []string
	negated       bool // or NotResource
	variables     bool
}

// A use is how an atom depends on a condition key, or on the resource.
type use struct {
	dim, key string // key is folded; "" for the ARN of the resource
	compare  string // the operator without set operator, IfExists and negation: "StringLike"; "Resource"
	values   []string
}

// A document is a policy as JSON.
type document struct {
	Version   string
	Statement []documentStatement
}

type documentStatement struct {
	Effect       string
	Principal    map[string][]string            `json:",omitempty"`
	NotPrincipal map[string][]string            `json:",omitempty"`
	Action       []string                       `json:",omitempty"`
	Resource     []string                       `json:",omitempty"`
	NotResource  []string                       `json:",omitempty"`
	Condition    map[string]map[string][]string `json:",omitempty"`
}

// language is the version of the policy language that has variables.
const language = "2012-10-17"

// interner numbers the atoms of both versions.
type interner struct {
	kind      authz.PolicyKind
	providers []string // of OpenID Connect, that either version names
	atoms     []atom
	numbers   map[string]int
}

// of returns the atoms of a statement: it takes in a request that its principals and actions take in if all of them hold.
func (in *interner) of(v *authz.StatementView, version string) []int {
	var list []int
	add := func(n int) {
		if !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	if len(v.Resources) > 0 && (v.NotResource || !slices.Contains(v.Resources, "*")) {
		add(in.resource(v, version))
	}
	for i := range v.Conditions {
		add(in.condition(v, &v.Conditions[i], version))
	}
	return list
}

func (in *interner) resource(v *authz.StatementView, version string) int {
	values := unique(v.Resources)
	s := documentStatement{Effect: v.Effect.String(), Resource: values}
	if v.NotResource {
		s.Resource, s.NotResource = nil, values
	}
	a := atom{effect: v.Effect, values: values, negated: v.NotResource, variables: hasVariables(values, version)}
	a.uses = append(a.uses, use{dim: "resource", compare: "Resource", values: values})
	return in.number(a, s, version)
}

func (in *interner) condition(v *authz.StatementView, c *authz.ConditionView, version string) int {
	base := c.Operator
	if _, rest, ok := strings.Cut(base, ":"); ok {
		base = rest
	}
	base = strings.TrimSuffix(base, "IfExists")
	values, key := unique(c.Values), fold(c.Key)
	a := atom{effect: v.Effect, operator: c.Operator, key: key, values: values, negated: strings.Contains(base, "Not"), variables: hasVariables(values, version)}
	a.uses = append(a.uses, use{dim: dimOf(key), key: key, compare: strings.Replace(base, "Not", "", 1), values: values})
	return in.number(a, documentStatement{
		Effect: v.Effect.String(), Condition: map[string]map[string][]string{c.Operator: {key: values}},
	}, version)
}

func unique(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

func hasVariables(values []string, version string) bool {
	return version == language && slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "${") })
}

// variablesOf returns the folded keys of the variables in a value.
func variablesOf(s string) []string {
	var list []string
	for {
		_, rest, ok := strings.Cut(s, "${")
		if !ok {
			return list
		}
		if at := strings.IndexAny(rest, ",}"); at > 1 {
			list = append(list, fold(rest[:at]))
		}
		s = rest
	}
}

// number returns the number of an atom, which it makes if it is new.
func (in *interner) number(a atom, s documentStatement, version string) int {
	meaning := ""
	if a.variables || slices.ContainsFunc(a.values, func(v string) bool { return strings.Contains(v, "${") }) {
		meaning = version
	}
	if !a.variables && !mayCollide(a.key) {
		a.effect, s.Effect = authz.Deny, "DENY" // the effect makes no difference
	}
	text, err := json.Marshal([]any{meaning, a.effect, a.operator, a.key, a.negated, a.values})
	if err != nil {
		panic("diff: strings and numbers did not marshal: " + err.Error())
	}
	if n, ok := in.numbers[string(text)]; ok {
		return n
	}
	for _, u := range a.uses {
		a.dims = append(a.dims, u.dim)
	}
	if a.variables {
		for _, v := range a.values {
			for _, key := range variablesOf(v) {
				a.dims = append(a.dims, dimOf(key))
			}
		}
	}
	a.dims = unique(a.dims)
	a.policy = in.ask(s, version)
	in.atoms = append(in.atoms, a)
	in.numbers[string(text)] = len(in.atoms) - 1
	return len(in.atoms) - 1
}

// mayCollide reports whether a request may have several values for a key of one value, in names that differ in case.
func mayCollide(key string) bool {
	_, known := authz.ConditionKey(key)
	return key != "" && (!known || strings.HasPrefix(key, "kms:encryptioncontext:") || strings.Contains(key, "tag/"))
}

// anybody is a condition that holds for every request.
var anybody = map[string]map[string][]string{"Null": {"aws:PrincipalType": {"false"}}}

// ask makes the policy that asks for one atom.
func (in *interner) ask(s documentStatement, version string) *authz.Policy {
	d := document{Version: version}
	s.Action = []string{"*"}
	kind := authz.IdentityPolicy
	pass := documentStatement{Effect: "Allow", Action: s.Action, Resource: []string{"*"}}
	if s.Resource == nil && s.NotResource == nil {
		s.Resource = []string{"*"}
	}
	switch in.kind {
	case authz.KeyPolicy:
		kind, s.Principal, pass.Principal = authz.KeyPolicy, everyone(nil), everyone(nil)
	case authz.TrustPolicy:
		kind, s.Principal, pass.Principal = authz.TrustPolicy, everyone(in.providers), everyone(in.providers)
		s.Resource, s.NotResource, pass.Resource, pass.Condition = nil, nil, nil, anybody
	}
	if s.Effect == "DENY" {
		d.Statement = append(d.Statement, pass)
	}
	s.Effect = map[string]string{"DENY": "Deny", "ALLOW": "Allow"}[s.Effect]
	d.Statement = append(d.Statement, s)
	return parse(kind, d)
}

// everyone are all principals, and some OpenID Connect providers.
func everyone(providers []string) map[string][]string {
	m := map[string][]string{"AWS": {"*"}}
	if len(providers) > 0 {
		m["Federated"] = providers
	}
	return m
}

// parse compiles a document, and returns nil if it is not one.
func parse(kind authz.PolicyKind, d document) *authz.Policy {
	text, err := json.Marshal(d)
	if err != nil {
		return nil
	}
	p, err := authz.ParseWith(kind, text, authz.Options{AllowNotPrincipal: true})
	if err != nil {
		return nil
	}
	return p
}

// mustParse is parse of a document that this package has written.
func mustParse(kind authz.PolicyKind, d document) *authz.Policy {
	p := parse(kind, d)
	if p == nil {
		panic("diff: a policy of its own does not parse")
	}
	return p
}

// holds reports whether the atom holds for a draft.
func (s *search) holds(a *atom, d *draft) bool {
	s.spend(stepsOfDecision)
	c, r, x := d.request()
	action := probeActions[d.kind]
	c.Identity = s.allowAll
	r.Policy = s.delegating(d)
	if s.kind == authz.KeyPolicy || s.kind == authz.TrustPolicy {
		r.Policy = a.policy
	} else {
		c.Boundary = a.policy
	}
	_, decision := authz.Authorize(&c, action, &r, &x)
	return (decision.Verdict == authz.Allow) == (a.effect == authz.Allow)
}

// probeActions :: kind of resource → an action on which nothing but policies decide. It is never written.
var probeActions = map[authz.ResourceKind]authz.Action{
	authz.None:               authz.KMSCreateKey,
	authz.Key:                authz.KMSDecrypt,
	authz.Alias:              authz.KMSCreateAlias,
	authz.IAMEntity:          authz.IAMGetUser,
	authz.Role:               authz.STSTagSession,
	authz.OrganizationEntity: authz.OrganizationsDescribeAccount,
}
