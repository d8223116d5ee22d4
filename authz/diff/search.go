package diff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kmsd/kmsd/authz"
)

// What decisions cost in steps, and what all may if nobody says.
const (
	stepsOfDecision = 16
	defaultSteps    = 4_000_000
	maxAccesses     = 200
)

// A search compares two versions of a policy.
type search struct {
	kind      authz.PolicyKind
	account   string
	partition string // of ARNs
	old, new  *authz.Policy
	steps     int

	roles    map[string]string // :: account and name of a role that is named → its ARN
	in       interner
	versions [2]version // old and new
	allowAll []*authz.Policy
	kept     map[string]*authz.Policy // :: what it is for → a policy that requests are tried with
	facetsOf map[string]*facet
	levelsOf map[levelKey][]authz.Level // of the class that is looked at
	classNo  int
	asked    map[string]bool // folded condition keys that a version asks about; of a family also what its names begin with
}

// A version is one of the two policies, taken apart.
type version struct {
	policy     *authz.Policy
	composed   *authz.Policy // with one statement more, which allows everything; nil if it cannot be made
	statements []part
}

// A part is a statement.
type part struct {
	view  authz.StatementView
	has   []bool        // :: action → whether it is among the statement's
	atoms []int         // all of which hold for what it takes in
	who   *authz.Policy // tells at which level it is about a caller; nil if it is about all
}

func (s *search) spend(n int) { s.steps -= n }
func (s *search) spent() bool { return s.steps < 0 }

func newSearch(kind authz.PolicyKind, old, new []byte, o Options) (*search, error) {
	s := &search{kind: kind, steps: o.Steps, kept: make(map[string]*authz.Policy), facetsOf: make(map[string]*facet), asked: make(map[string]bool)}
	if s.steps <= 0 {
		s.steps = defaultSteps
	}
	if o.Account != "" && !isAccount(o.Account) {
		return nil, fmt.Errorf("the account %q is not 12 digits", o.Account)
	}
	for _, v := range []struct {
		name string
		doc  []byte
		to   **authz.Policy
	}{{"old", old, &s.old}, {"new", new, &s.new}} {
		p, err := authz.ParseWith(kind, v.doc, authz.Options{AllowNotPrincipal: true})
		if err != nil {
			return nil, fmt.Errorf("reading the %s policy: %w", v.name, err)
		}
		*v.to = p
	}
	if err := s.bind(); err != nil {
		return nil, err
	}
	if s.account = o.Account; s.account == "" {
		s.account = defaultAccount
		if list := s.mentions(); len(list) > 0 {
			s.account = list[0]
		}
	}
	s.partition = s.partitionOf()
	s.prepare()
	return s, nil
}

// bind ties the principals of both versions to ids.
func (s *search) bind() error {
	s.roles = make(map[string]string)
	for _, name := range s.named() {
		if _, rest, ok := strings.Cut(name, ":role/"); ok {
			s.roles[accountOf(name)+"/"+rest[strings.LastIndexByte(rest, '/')+1:]] = name
		}
	}
	for _, p := range []**authz.Policy{&s.old, &s.new} {
		bound, err := (*p).Bind(s.resolve)
		if err != nil {
			return fmt.Errorf("naming the principals of a policy: %w", err)
		}
		*p = bound
	}
	return nil
}

// prepare takes the policies apart.
func (s *search) prepare() {
	all := documentStatement{Effect: "Allow", Action: []string{"*"}, Resource: []string{"*"}}
	s.allowAll = []*authz.Policy{mustParse(authz.IdentityPolicy, document{language, []documentStatement{all}})}
	s.in = interner{kind: s.kind, numbers: make(map[string]int)}
	for _, p := range []*authz.Policy{s.old, s.new} {
		for n := 1; n <= p.Statements(); n++ {
			for _, name := range p.View(n).Principals {
				if strings.Contains(name, ":oidc-provider/") {
					s.in.providers = append(s.in.providers, name)
				}
			}
		}
	}
	s.in.providers = unique(s.in.providers)
	for i, p := range []*authz.Policy{s.old, s.new} {
		v := version{policy: p, composed: s.compose(p)}
		for n := 1; n <= p.Statements(); n++ {
			v.statements = append(v.statements, s.part(p.View(n), p.Version()))
		}
		s.versions[i] = v
	}
	for _, a := range s.in.atoms {
		if a.key != "" {
			s.asked[a.key] = true
		}
		for _, value := range a.values {
			for _, key := range variablesOf(value) {
				s.asked[key] = true
			}
		}
	}
}

// actionCount is more than there are.
func actionCount() int {
	n := 0
	for a := range authz.Actions() {
		n = max(n, int(a)+1)
	}
	return n
}

func (s *search) part(view authz.StatementView, version string) part {
	p := part{view: view, has: make([]bool, actionCount()), atoms: s.in.of(&view, version)}
	for _, a := range view.Actions {
		p.has[a] = true
	}
	if s.kind == authz.KeyPolicy || s.kind == authz.TrustPolicy {
		p.who = s.who(&view)
	}
	return p
}

// who makes a policy with the principals of a statement, and nothing else of it.
func (s *search) who(v *authz.StatementView) *authz.Policy {
	m := make(map[string][]string)
	for _, name := range v.Principals {
		t := "AWS"
		if strings.Contains(name, ":oidc-provider/") {
			t = "Federated"
		}
		m[t] = append(m[t], name)
	}
	d := documentStatement{Effect: "Allow", Principal: m, Action: []string{"*"}, Resource: []string{"*"}, Condition: anybody}
	if v.Effect == authz.Deny {
		d.Effect = "Deny"
	}
	if v.NotPrincipal {
		d.Principal, d.NotPrincipal = nil, m
	}
	if s.kind == authz.TrustPolicy {
		d.Resource = nil
	}
	p := parse(s.kind, document{language, []documentStatement{d}})
	if p == nil {
		return nil
	}
	p, err := p.Bind(s.resolve)
	if err != nil {
		return nil
	}
	return p
}

// levels returns at which level each statement of a version is about callers of the draft's class: with every request, as far as its principals
// say.
func (s *search) levels(v *version, d *draft, boundary *authz.Policy) []authz.Level {
	key := levelKey{v, d.class, d.kind, boundary != nil}
	if list, ok := s.levelsOf[key]; ok {
		return list
	}
	list := make([]authz.Level, len(v.statements))
	for i := range v.statements {
		if s.kind != authz.KeyPolicy && s.kind != authz.TrustPolicy {
			list[i] = authz.DirectLevel
			continue
		}
		s.spend(stepsOfDecision)
		c, r, x := d.request()
		c.Identity, c.Boundary, r.Policy = s.allowAll, boundary, v.statements[i].who
		_, decision := authz.Authorize(&c, probeActions[d.kind], &r, &x)
		list[i] = decision.Level
	}
	s.levelsOf[key] = list
	return list
}

type levelKey struct {
	version  *version
	class    *class
	kind     authz.ResourceKind
	boundary bool
}

// compose makes the policy one that also allows everything to everyone, by which a Deny that is lifted is seen.
func (s *search) compose(p *authz.Policy) *authz.Policy {
	if s.kind != authz.KeyPolicy && s.kind != authz.TrustPolicy {
		return nil
	}
	doc := string(p.Document())
	var list []string
	for n := 1; n <= p.Statements(); n++ {
		from, to := p.StatementSpan(n)
		list = append(list, doc[from:to])
	}
	all := `{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"*","Resource":"*"}`
	if s.kind == authz.TrustPolicy {
		federated := ""
		if len(s.in.providers) > 0 {
			federated = `,"Federated":["` + strings.Join(s.in.providers, `","`) + `"]`
		}
		all = `{"Effect":"Allow","Principal":{"AWS":"*"` + federated + `},"Action":"*","Condition":{"Null":{"aws:PrincipalType":"false"}}}`
	}
	text := `{"Version":"` + p.Version() + `","Statement":[` + strings.Join(append(list, all), ",") + `]}`
	next, err := authz.ParseWith(s.kind, []byte(text), authz.Options{AllowNotPrincipal: true})
	if err != nil {
		return nil
	}
	next, err = next.Bind(s.resolve)
	if err != nil {
		return nil
	}
	return next
}

// delegating is a policy of the draft's resource that leaves it to the caller's account, or to the web identity.
func (s *search) delegating(d *draft) *authz.Policy {
	kind := authz.KeyPolicy
	st := documentStatement{Effect: "Allow", Principal: map[string][]string{"AWS": {d.caller.Account}}, Action: []string{"*"}, Resource: []string{"*"}}
	switch d.kind {
	case authz.Key:
	case authz.Role:
		kind, st.Resource = authz.TrustPolicy, nil
	default:
		return nil
	}
	if d.caller.Kind == authz.WebIdentity {
		st.Principal = map[string][]string{"Federated": {d.caller.ARN}}
	}
	name := kind.String() + d.caller.Account + d.caller.ARN
	if d.caller.Kind != authz.WebIdentity {
		name = kind.String() + d.caller.Account
	}
	p, ok := s.kept[name]
	if !ok {
		p = mustParse(kind, document{language, []documentStatement{st}})
		s.kept[name] = p
	}
	return p
}

// cachedFacet returns a facet, made once for requests that are alike in what its dims depend on.
func (s *search) cachedFacet(atoms []int, base *draft) *facet {
	slices.Sort(atoms)
	var key strings.Builder
	fmt.Fprint(&key, s.classNo, base.kind, base.action.CrossAccount(), base.action == authz.KMSCreateKey, atoms) // all that a new draft depends on
	if base.kind == authz.IAMEntity {
		fmt.Fprint(&key, entityTypes(base.action))
	}
	for _, n := range atoms {
		for _, u := range s.in.atoms[n].uses {
			info, known := authz.ConditionKey(u.key)
			fmt.Fprint(&key, known && populates(base.action, info.Name) || !known && populates(base.action, "${k}"))
		}
	}
	fmt.Fprint(&key, populates(base.action, "aws:RequestTag/${k}"))
	f, ok := s.facetsOf[key.String()]
	if !ok {
		f = s.facet(atoms, base)
		s.facetsOf[key.String()] = f
	}
	return f
}
