package diff

import (
	"fmt"
	"slices"

	"github.com/kmsd/kmsd/authz"
)

// kindNames :: kind of resource → its name. It is never written.
var kindNames = map[authz.ResourceKind]string{
	authz.None: "none", authz.Key: "key", authz.Alias: "alias", authz.IAMEntity: "IAM entity", authz.Role: "role", authz.OrganizationEntity: "organization entity",
}

// kindsOf returns the kinds of resources that an action is asked for, as far as policies of the kind decide about them.
func (s *search) kindsOf(a authz.Action) []authz.ResourceKind {
	var list []authz.ResourceKind
	c := rootClass(defaultAccount).caller
	for k := authz.None; k <= authz.OrganizationEntity; k++ {
		r := authz.Resource{Kind: k, Account: c.Account, ARN: c.ARN}
		if _, d := authz.Authorize(&c, a, &r, nil); d.Reason == authz.InvalidRequest || d.Reason == authz.AlwaysAllowed {
			continue
		}
		asked := true
		switch s.kind {
		case authz.KeyPolicy:
			asked = k == authz.Key && a != authz.KMSRetireGrant // about which the grant decides
		case authz.TrustPolicy:
			asked = k == authz.Role
		case authz.ResourceControlPolicy:
			asked = (k == authz.Key || k == authz.Role) && a != authz.KMSRetireGrant
		}
		if asked {
			list = append(list, k)
		}
	}
	return list
}

// reaches reports whether callers of the class ever get as far as to be decided about by policies.
func reaches(c *class, a authz.Action, kind authz.ResourceKind) bool {
	web := c.caller.Kind == authz.WebIdentity
	switch {
	case web:
		return kind == authz.Role && (a == authz.STSAssumeRoleWithWebIdentity || a == authz.STSTagSession)
	case a == authz.STSAssumeRoleWithWebIdentity, c.caller.Kind == authz.Root && kind == authz.Role:
		return false
	}
	return kind == authz.None || c.caller.Account == c.owner || a.CrossAccount()
}

// A direction is one of the two comparisons: what to allows and from does not.
type direction struct {
	s        *search
	from, to *version
	list     []Access
	seen     map[string]int // :: what an access is → its place in list
	done     map[string]bool
}

func (s *search) direction(from, to int) *direction {
	return &direction{s: s, from: &s.versions[from], to: &s.versions[to], seen: make(map[string]int), done: make(map[string]bool)}
}

// run looks at everything that the callers of all classes can do.
func (s *search) run(r *Result) {
	opens, closes := s.direction(0, 1), s.direction(1, 0)
	classes, complete := s.classes()
	r.TooComplex = !complete
	for i := range classes {
		s.classNo, s.levelsOf = i, make(map[levelKey][]authz.Level)
		for a := range authz.Actions() {
			if !s.mentioned(a) {
				continue
			}
			for _, kind := range s.kindsOf(a) {
				if s.spent() {
					break
				}
				if !reaches(&classes[i], a, kind) {
					continue
				}
				base := newDraft(&classes[i], kind, a)
				s.join(base)
				opens.look(base)
				closes.look(base)
			}
		}
	}
	r.Opens, r.Closes = opens.accesses(), closes.accesses()
	r.TooComplex = r.TooComplex || s.spent() || len(r.Opens) == maxAccesses || len(r.Closes) == maxAccesses
}

// join puts the draft into an organization, if it is about policies of one.
func (s *search) join(d *draft) {
	place := &authz.Membership{Organization: "o-plainplain", Path: "o-plainplain/r-root/"}
	switch s.kind {
	case authz.ServiceControlPolicy:
		d.principalOrg = place
	case authz.ResourceControlPolicy:
		d.resourceOrg = place
	}
}

// mentioned reports whether a statement is about the action.
func (s *search) mentioned(a authz.Action) bool {
	for i := range s.versions {
		if slices.ContainsFunc(s.versions[i].statements, func(p part) bool { return p.has[a] }) {
			return true
		}
	}
	return false
}

// accesses returns what was found, never nil.
func (d *direction) accesses() []Access {
	if d.list == nil {
		return []Access{}
	}
	return d.list
}

// A rule is a statement as it is about one class and action.
type rule struct {
	number int // from 1
	atoms  []int
	level  authz.Level
}

// rules returns the statements of a version that are about the draft, those that allow and those that deny.
func (s *search) rules(v *version, d *draft, boundary *authz.Policy) (allow, deny []rule) {
	levels := s.levels(v, d, boundary)
	for i := range v.statements {
		p := &v.statements[i]
		s.spend(1)
		if !p.has[d.action] || levels[i] == authz.NoLevel {
			continue
		}
		r := rule{i + 1, p.atoms, levels[i]}
		if p.view.Effect == authz.Allow {
			allow = append(allow, r)
		} else {
			deny = append(deny, r)
		}
	}
	return allow, deny
}

// suffices reports whether an Allow of a level is enough.
func (s *search) suffices(l authz.Level, t Through, d *draft) bool {
	if s.kind != authz.KeyPolicy && s.kind != authz.TrustPolicy {
		return true
	}
	cross := d.caller.Account != d.owner && d.caller.Kind != authz.WebIdentity
	switch t {
	case WithIdentity:
		return true
	case PastLimits:
		return !cross && l == authz.DirectLevel
	}
	return d.caller.Kind == authz.Root || !cross && l != authz.AccountLevel
}

// throughs returns what is asked about callers of the class.
func (s *search) throughs(d *draft) []Through {
	switch {
	case s.kind == authz.ResourceControlPolicy:
		return []Through{Undenied}
	case s.kind != authz.KeyPolicy && s.kind != authz.TrustPolicy:
		return []Through{Alone, Undenied}
	case d.caller.Kind == authz.RoleSession:
		return []Through{Alone, WithIdentity, PastLimits, Undenied}
	case d.caller.Kind == authz.User:
		return []Through{Alone, WithIdentity, Undenied}
	}
	return []Through{Alone, Undenied}
}

// look compares the versions for the requests that are like the draft.
func (d *direction) look(base *draft) {
	s := d.s
	opened := make(map[int]bool)
	for _, t := range s.throughs(base) {
		var boundary *authz.Policy
		if t == PastLimits {
			boundary = s.narrow()
		}
		toAllow, toDeny := s.rules(d.to, base, boundary)
		fromAllow, fromDeny := s.rules(d.from, base, boundary)
		if same(toAllow, fromAllow) && same(toDeny, fromDeny) {
			continue
		}
		if t == Undenied {
			d.lifted(base, fromDeny, toDeny, opened)
			continue
		}
		var have [][]int
		for _, r := range fromAllow {
			if s.suffices(r.level, t, base) {
				have = append(have, r.atoms)
			}
		}
		for _, r := range toAllow {
			if !s.suffices(r.level, t, base) || opened[r.number] {
				continue
			}
			if d.opens(base, t, r, have, fromDeny, toDeny) {
				opened[r.number] = true
			}
		}
	}
}

// same reports whether two lists of statements are about the same requests.
func same(a, b []rule) bool {
	return slices.EqualFunc(a, b, func(x, y rule) bool { return x.level == y.level && slices.Equal(x.atoms, y.atoms) })
}

// without returns the clauses that none of the statements takes in a request. The second result is false if one takes in all.
func without(list [][]int) (clauses [][]lit, ok bool) {
	for _, atoms := range list {
		if len(atoms) == 0 {
			return nil, false
		}
		var c []lit
		for _, n := range atoms {
			c = append(c, holds(n).not())
		}
		clauses = append(clauses, c)
	}
	return clauses, true
}

func atomsOf(list []rule) [][]int {
	var all [][]int
	for _, r := range list {
		all = append(all, r.atoms)
	}
	return all
}

func units(atoms ...[]int) []lit {
	var list []lit
	for _, l := range atoms {
		for _, n := range l {
			list = append(list, holds(n))
		}
	}
	return list
}

// opens looks for a request that statement r allows in the one version, while the other one allows it by none of have, or denies it.
func (d *direction) opens(base *draft, t Through, r rule, have [][]int, fromDeny, toDeny []rule) bool {
	not, ok := without(atomsOf(toDeny))
	if !ok {
		return false
	}
	var answer verdict
	if none, ok := without(have); ok {
		answer = d.ask(base, t, &problem{units: units(r.atoms), clauses: slices.Concat(not, none)})
	}
	for _, denies := range fromDeny {
		if answer.certain {
			break
		}
		answer.merge(d.ask(base, t, &problem{units: units(r.atoms, denies.atoms), clauses: not}))
	}
	return d.report(base, t, r.number, answer)
}

// lifted looks for requests that a statement denies in the one version, and none in the other.
func (d *direction) lifted(base *draft, fromDeny, toDeny []rule, opened map[int]bool) {
	not, ok := without(atomsOf(toDeny))
	if !ok || len(opened) > 0 {
		return
	}
	for _, r := range fromDeny {
		d.report(base, Undenied, r.number, d.ask(base, Undenied, &problem{units: units(r.atoms), clauses: not}))
	}
}

// A verdict is what is known of whether there is a request.
type verdict struct {
	certain, possible bool
	example           *draft
}

func (v *verdict) merge(w verdict) {
	if w.certain {
		*v = w
	}
	v.possible = v.possible || w.possible
}

// maxTries bounds the solutions of one problem that are tried.
const maxTries = 48

// ask looks for a request that solves a problem.
func (d *direction) ask(base *draft, t Through, p *problem) verdict {
	s := d.s
	if s.spent() || !s.solve(p, nil, func([]*row) bool { return true }) {
		return verdict{}
	}
	facets := s.facets(p.atoms(), base)
	var v verdict
	tries, solved := 0, false
	v.certain = s.solve(p, facets, func(rows []*row) bool {
		solved = true
		if tries++; tries > maxTries {
			return false
		}
		var list []setting
		for _, r := range rows {
			list = append(list, r.settings...)
		}
		v.example = base.with(list...)
		return d.confirm(v.example, t)
	})
	if v.certain {
		return v
	}
	v.example = nil
	var sure []*facet
	for _, f := range facets {
		if f.complete {
			sure = append(sure, f)
		}
	}
	implied := &problem{units: p.units, clauses: slices.Concat(p.clauses, s.implications(p.atoms(), base))}
	v.possible = solved || len(sure) < len(facets) && s.solve(implied, sure, func([]*row) bool { return true })
	return v
}

// confirm asks authz.Authorize whether the one version allows the request and the other one does not.
func (d *direction) confirm(r *draft, t Through) bool {
	return d.s.allows(d.to, r, t) && !d.s.allows(d.from, r, t)
}

// report adds what was found to the list, and reports whether there is anything.
func (d *direction) report(base *draft, t Through, statement int, v verdict) bool {
	if !v.certain && !v.possible {
		return false
	}
	s := d.s
	who := base.class.name
	action := base.action.String()
	if s.kind != authz.KeyPolicy && s.kind != authz.TrustPolicy {
		once := fmt.Sprint(v.certain, t, base.kind, action, statement) // what one class may, others may too: the first stands for them
		if d.done[once] {
			return true
		}
		d.done[once] = true
	}
	key := fmt.Sprint(v.certain, t, who, base.kind, statement)
	if at, ok := d.seen[key]; ok {
		if l := d.list[at].Actions; l[len(l)-1] != action {
			d.list[at].Actions = append(l, action)
		}
		return true
	}
	if len(d.list) == maxAccesses {
		return true
	}
	a := Access{Certain: v.certain, Through: t, Actions: []string{action}, Principal: who, Resource: kindNames[base.kind], Statement: statement}
	if v.certain {
		a.Example = v.example.example(func(key string) bool { return s.asked[key] })
	}
	d.seen[key] = len(d.list)
	d.list = append(d.list, a)
	return true
}
