package iam

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/kmsd/kmsd/authz"
	"pgregory.net/rapid"
)

// orgMachine does the same to an organization and to a model of it.
type orgMachine struct {
	w *orgWorld
	m *orgModel
}

// expect fails if err is not the error wanted; nil means none.
func expect(t *rapid.T, what string, err, want error) {
	t.Helper()
	if want == nil && err != nil || !errors.Is(err, want) {
		t.Fatalf("%s = %v, want %v", what, err, want)
	}
}

func (x *orgMachine) pick(t *rapid.T, label string, ids []string) string {
	return rapid.SampledFrom(append(slices.Clone(ids), notThere...)).Draw(t, label)
}

func (x *orgMachine) name(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "A", "b", "B b", "c", "d"}).Draw(t, "name")
}

func (x *orgMachine) createUnit(t *rapid.T) {
	parent, name := x.pick(t, "parent", x.m.containers()), x.name(t)
	u, err := x.w.createUnit(parent, name)
	var want error
	switch {
	case isAccount(parent) || parent[0] == 'p':
		want = ErrValidation
	case !x.m.isContainer(parent):
		want = ErrParentNotFound
	case x.m.depth(parent) == MaxUnitDepth:
		want = ErrConstraintViolation
	case x.m.siblingHas(parent, name, ""):
		want = ErrDuplicateOrganizationalUnit
	}
	expect(t, "CreateOrganizationalUnit", err, want)
	if want == nil {
		x.m.parents[u.ID], x.m.names[u.ID], x.m.attached[u.ID] = parent, name, firstPolicies()
	}
}

func (x *orgMachine) renameUnit(t *rapid.T) {
	id, name := x.pick(t, "unit", x.m.nodes()), x.name(t)
	var want error
	switch {
	case !isUnit(id):
		want = ErrValidation
	case !x.m.isContainer(id):
		want = ErrOrganizationalUnitNotFound
	case x.m.siblingHas(x.m.parents[id], name, id):
		want = ErrDuplicateOrganizationalUnit
	}
	expect(t, "UpdateOrganizationalUnit", x.w.renameUnit(id, name), want)
	if want == nil {
		x.m.names[id] = name
	}
}

func (x *orgMachine) deleteUnit(t *rapid.T) {
	id := x.pick(t, "unit", x.m.containers())
	var want error
	switch {
	case !isUnit(id):
		want = ErrValidation
	case !x.m.isContainer(id):
		want = ErrOrganizationalUnitNotFound
	case slices.Contains(slices.Collect(maps.Values(x.m.parents)), id):
		want = ErrOrganizationalUnitNotEmpty
	}
	expect(t, "DeleteOrganizationalUnit", x.w.deleteUnit(id), want)
	if want == nil {
		delete(x.m.parents, id)
		delete(x.m.names, id)
		delete(x.m.attached, id)
	}
}

func (x *orgMachine) createAccount(t *rapid.T) {
	name := x.name(t)
	a, err := x.w.createAccount(CreateAccount{Name: name})
	expect(t, "CreateAccount", err, nil)
	id := a.Account.ID
	x.m.parents[id], x.m.names[id], x.m.closed[id], x.m.attached[id] = x.m.root, name, false, firstPolicies()
}

func (x *orgMachine) closeAccount(t *rapid.T) {
	id := x.pick(t, "account", x.m.accounts())
	closed, exists := x.m.closed[id]
	var want error
	switch {
	case !isAccount(id):
		want = ErrValidation
	case !exists:
		want = ErrAccountNotFound
	case id == orgManagement:
		want = ErrConstraintViolation
	case closed:
		want = ErrAccountAlreadyClosed
	}
	expect(t, "CloseAccount", x.w.closeAccount(id), want)
	if want == nil {
		x.m.closed[id] = true
	}
}

func (x *orgMachine) move(t *rapid.T) {
	id := x.pick(t, "account", x.m.accounts())
	source, destination := x.pick(t, "source", x.m.containers()), x.pick(t, "destination", x.m.containers())
	if rapid.Bool().Draw(t, "from its parent") && x.m.parents[id] != "" {
		source = x.m.parents[id]
	}
	malformed := func(id string) bool { return isAccount(id) || id[0] == 'p' }
	var want error
	switch {
	case !isAccount(id) || malformed(source) || malformed(destination):
		want = ErrValidation
	case x.m.parents[id] == "":
		want = ErrAccountNotFound
	case x.m.parents[id] != source:
		want = ErrSourceParentNotFound
	case !x.m.isContainer(destination):
		want = ErrDestinationParentNotFound
	case source == destination:
		want = ErrDuplicateAccount
	}
	expect(t, "MoveAccount", x.w.move(id, source, destination), want)
	if want == nil {
		x.m.parents[id] = destination
	}
}

// document returns one that parses as a policy of the type.
func (x *orgMachine) document(t *rapid.T, kind authz.PolicyKind) string {
	if kind == authz.ResourceControlPolicy {
		return rapid.SampledFrom([]string{denyEncryptRCP, denyEncryptRCP + " "}).Draw(t, "document")
	}
	return rapid.SampledFrom([]string{denyEncryptSCP, allowKMSSCP}).Draw(t, "document")
}

func (x *orgMachine) createPolicy(t *rapid.T) {
	name, kind := x.name(t), rapid.SampledFrom(orgPolicyTypes[:]).Draw(t, "type")
	document := x.document(t, kind)
	p, err := x.w.createPolicy(name, kind, document)
	var want error
	if x.m.policyHas(kind, name, "") {
		want = ErrDuplicateOrgPolicy
	}
	expect(t, "CreateOrgPolicy", err, want)
	if want == nil {
		x.m.names[p.ID], x.m.kinds[p.ID], x.m.contents[p.ID] = name, kind, document
	}
}

func (x *orgMachine) policies() []string { return slices.Sorted(maps.Keys(x.m.kinds)) }

func (x *orgMachine) updatePolicy(t *rapid.T) {
	id, name := x.pick(t, "policy", x.policies()), x.name(t)
	kind, exists := x.m.kinds[id]
	document := x.document(t, kind)
	var want error
	switch {
	case id[0] != 'p':
		want = ErrValidation
	case !exists:
		want = ErrOrgPolicyNotFound
	case id == FullAWSAccessID || id == RCPFullAWSAccessID:
		want = ErrOrgPolicyImmutable
	case x.m.policyHas(kind, name, id):
		want = ErrDuplicateOrgPolicy
	}
	expect(t, "UpdateOrgPolicy", x.w.updatePolicy(UpdateOrgPolicy{ID: id, Name: name, Content: document}), want)
	if want == nil {
		x.m.names[id], x.m.contents[id] = name, document
	}
}

func (x *orgMachine) deletePolicy(t *rapid.T) {
	id := x.pick(t, "policy", x.policies())
	_, exists := x.m.kinds[id]
	var want error
	switch {
	case id[0] != 'p':
		want = ErrValidation
	case !exists:
		want = ErrOrgPolicyNotFound
	case id == FullAWSAccessID || id == RCPFullAWSAccessID:
		want = ErrOrgPolicyImmutable
	case len(x.targets(id)) > 0:
		want = ErrOrgPolicyInUse
	}
	expect(t, "DeleteOrgPolicy", x.w.deletePolicy(id), want)
	if want == nil {
		delete(x.m.names, id)
		delete(x.m.kinds, id)
		delete(x.m.contents, id)
	}
}

func (x *orgMachine) targets(policy string) []string {
	var ids []string
	for _, id := range x.m.nodes() {
		if slices.Contains(x.m.attached[id], policy) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (x *orgMachine) attachment(t *rapid.T) (policy, target string, want error) {
	policy, target = x.pick(t, "policy", x.policies()), x.pick(t, "target", x.m.nodes())
	switch {
	case policy[0] != 'p' || target[0] == 'p':
		want = ErrValidation
	case x.m.names[policy] == "":
		want = ErrOrgPolicyNotFound
	case x.m.attached[target] == nil:
		want = ErrTargetNotFound
	}
	return policy, target, want
}

func (x *orgMachine) attach(t *rapid.T) {
	policy, target, want := x.attachment(t)
	switch {
	case want != nil:
	case slices.Contains(x.m.attached[target], policy):
		want = ErrDuplicatePolicyAttachment
	case x.m.ofKind(target, x.m.kinds[policy]) == MaxAttachedOrgPolicies:
		want = ErrConstraintViolation
	}
	expect(t, "AttachOrgPolicy", x.w.attach(policy, target), want)
	if want == nil {
		x.m.attached[target] = slices.Sorted(slices.Values(append(slices.Clone(x.m.attached[target]), policy)))
	}
}

func (x *orgMachine) detach(t *rapid.T) {
	policy, target, want := x.attachment(t)
	switch {
	case want != nil:
	case !slices.Contains(x.m.attached[target], policy):
		want = ErrPolicyNotAttached
	case policy == RCPFullAWSAccessID,
		x.m.kinds[policy] == authz.ServiceControlPolicy && x.m.ofKind(target, authz.ServiceControlPolicy) == 1:
		want = ErrConstraintViolation
	}
	expect(t, "DetachOrgPolicy", x.w.detach(policy, target), want)
	if want == nil {
		x.m.attached[target] = slices.DeleteFunc(slices.Clone(x.m.attached[target]), func(id string) bool { return id == policy })
	}
}

// pages gathers a list of two entries a page.
func pages[T any](t *rapid.T, list func(after string) ([]T, bool, error), id func(T) string) []string {
	var ids []string
	for after, more := "", true; more; {
		var entries []T
		var err error
		if entries, more, err = list(after); err != nil {
			t.Fatal(err)
		}
		if more && len(entries) != 2 {
			t.Fatalf("a page that is not the last has %d entries, want 2", len(entries))
		}
		for _, e := range entries {
			after = id(e)
			ids = append(ids, after)
		}
	}
	return ids
}

// check compares everything that can be asked with the model.
func (x *orgMachine) check(t *rapid.T) {
	s, m := x.w.Snapshot(), x.m
	same := func(what string, got, want []string) {
		t.Helper()
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s differs (-want +got):\n%s", what, diff)
		}
	}
	accounts := pages(t, func(after string) ([]OrgAccount, bool, error) {
		list, more := s.OrgAccounts(after, 2)
		return list, more, nil
	}, func(a OrgAccount) string { return a.ID })
	same("OrgAccounts", accounts, m.accounts())
	for _, id := range accounts {
		a, err := s.OrgAccount(id)
		if err != nil || a.Name != m.names[id] || a.Closed.IsZero() == m.closed[id] || s.Suspended(id) != m.closed[id] || a.Management != (id == orgManagement) {
			t.Fatalf("OrgAccount(%q) = %+v, %v, suspended %v; want name %q, closed %v", id, a, err, s.Suspended(id), m.names[id], m.closed[id])
		}
		if got, want := boundBy(s.Membership(id)), m.bound(s.Organization().ID, id); got != want {
			t.Fatalf("Membership(%q) = %s\nwant %s", id, got, want)
		}
	}
	for _, parent := range m.containers() {
		for _, kind := range []TargetType{UnitTarget, AccountTarget} {
			var want []string
			for _, id := range slices.Sorted(maps.Keys(m.parents)) {
				if m.parents[id] == parent && isUnit(id) == (kind == UnitTarget) {
					want = append(want, id)
				}
			}
			same("Children of "+parent, pages(t, func(after string) ([]Child, bool, error) {
				return s.Children(parent, kind, after, 2)
			}, func(c Child) string { return c.ID }), want)
		}
	}
	for id, parent := range m.parents {
		if got, err := s.Parent(id); err != nil || got.ID != parent || got.Type == UnitTarget != isUnit(parent) {
			t.Fatalf("Parent(%q) = %+v, %v, want %q", id, got, err, parent)
		}
		if u, err := s.OrganizationalUnit(id); isUnit(id) && (err != nil || u.Name != m.names[id]) {
			t.Fatalf("OrganizationalUnit(%q) = %+v, %v, want name %q", id, u, err, m.names[id])
		}
	}
	x.checkPolicies(t, s, same)
}

func (x *orgMachine) checkPolicies(t *rapid.T, s *Snapshot, same func(what string, got, want []string)) {
	policyID := func(p OrgPolicy) string { return p.ID }
	for _, kind := range orgPolicyTypes {
		ofKind := func(ids []string) []string {
			return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return x.m.kinds[id] != kind })
		}
		same("OrgPolicies", pages(t, func(after string) ([]OrgPolicy, bool, error) { return s.OrgPolicies(kind, after, 2) }, policyID), ofKind(x.policies()))
		for _, target := range x.m.nodes() {
			same("PoliciesForTarget "+target, pages(t, func(after string) ([]OrgPolicy, bool, error) {
				return s.PoliciesForTarget(target, kind, after, 2)
			}, policyID), ofKind(x.m.attached[target]))
		}
	}
	for _, id := range x.policies() {
		if p, err := s.OrgPolicy(id); err != nil || p.Name != x.m.names[id] || p.Type != x.m.kinds[id] || p.Content != x.m.contents[id] {
			t.Fatalf("OrgPolicy(%q) = %+v, %v, want %q, %v, %s", id, p, err, x.m.names[id], x.m.kinds[id], x.m.contents[id])
		}
		same("TargetsForPolicy "+id, pages(t, func(after string) ([]Target, bool, error) {
			return s.TargetsForPolicy(id, after, 2)
		}, func(n Target) string { return n.ID }), x.targets(id))
	}
}

// Whatever is done, the organization answers as the model does, at once and after it has been opened again.
func TestOrganizationAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newOrgWorld(t)
		x := &orgMachine{w: w, m: newOrgModel(w.rootID())}
		rt.Repeat(map[string]func(*rapid.T){
			"create unit":    x.createUnit,
			"rename unit":    x.renameUnit,
			"delete unit":    x.deleteUnit,
			"create account": x.createAccount,
			"close account":  x.closeAccount,
			"move account":   x.move,
			"create policy":  x.createPolicy,
			"update policy":  x.updatePolicy,
			"delete policy":  x.deletePolicy,
			"attach policy":  x.attach,
			"detach policy":  x.detach,
			"reopen":         func(*rapid.T) { w.reopen() },
			"":               x.check,
		})
		w.reopen()
		x.check(rt)
	})
}
