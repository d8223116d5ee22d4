package iam

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kmsd/kmsd/authz"
	"pgregory.net/rapid"
)

// A model is what the entities of one account are, kept as simply as can be.
type model map[string]map[string]*modelEntity // :: kind → name in lower case → entity

type modelEntity struct {
	name, path, id string
	inline         map[string]string // :: name → document
	attached       []string          // ARNs
	groups         []string          // names in lower case, of a user
	tags           map[string]string
	boundary       string            // ARN
	versions       map[string]string // :: version → document, of a policy
	last           int
	current        string
}

func (m model) get(kind, name string) *modelEntity {
	if e := m[kind][strings.ToLower(name)]; e != nil && e.name == name {
		return e
	}
	return nil
}

func (m model) policyByARN(arn string) *modelEntity {
	for _, e := range m["policy"] {
		if m.arn("policy", e) == arn {
			return e
		}
	}
	return nil
}

func (m model) arn(kind string, e *modelEntity) string {
	return "arn:aws:iam::" + testAccount + ":" + kind + e.path + e.name
}

func (m model) attachable(arn string) bool {
	return arn == adminARN || m.policyByARN(arn) != nil
}

// machine does the same to the model and to the real thing, and compares what they answer.
type machine struct {
	*world
	m model
}

var (
	modelNames    = []string{"ann", "Ann", "b.o+b"}
	modelPaths    = []string{"/", "/div/", "/div/sub/"}
	modelKinds    = []string{"user", "group", "role"}
	modelPolicies = []string{"one", "One", "two"}
	modelTags     = []string{"team", "Team", "cost"}
	modelDocs     = []string{testPolicy, allowing("iam:*"), malformed, allowing("kms:Decrypt")}
)

const malformed = `{"Version":"2012-10-17"}`

func pick(rt *rapid.T, what string, from []string) string {
	return rapid.SampledFrom(from).Draw(rt, what)
}

// named picks a name, mostly one that an entity of the kind has.
func (x *machine) named(rt *rapid.T, kind string) string {
	names := slices.Clone(modelNames)
	for range 3 {
		for _, folded := range slices.Sorted(maps.Keys(x.m[kind])) {
			names = append(names, x.m[kind][folded].name)
		}
	}
	return pick(rt, kind, names)
}

func (x *machine) same(rt *rapid.T, what string, got, want error) bool {
	rt.Helper()
	if !errors.Is(got, want) {
		rt.Fatalf("%s = %v, want %v", what, got, want)
	}
	return got == nil
}

// actions :: kind → the actions by which it is operated on.
type kindActions struct {
	put, drop, attach, detach, tag, untag, bound, unbound authz.Action
}

var actionsOf = map[string]kindActions{
	"user": {
		authz.IAMPutUserPolicy, authz.IAMDeleteUserPolicy, authz.IAMAttachUserPolicy, authz.IAMDetachUserPolicy,
		authz.IAMTagUser, authz.IAMUntagUser, authz.IAMPutUserPermissionsBoundary, authz.IAMDeleteUserPermissionsBoundary,
	},
	"group": {
		put: authz.IAMPutGroupPolicy, drop: authz.IAMDeleteGroupPolicy, attach: authz.IAMAttachGroupPolicy, detach: authz.IAMDetachGroupPolicy,
	},
	"role": {
		authz.IAMPutRolePolicy, authz.IAMDeleteRolePolicy, authz.IAMAttachRolePolicy, authz.IAMDetachRolePolicy,
		authz.IAMTagRole, authz.IAMUntagRole, authz.IAMPutRolePermissionsBoundary, authz.IAMDeleteRolePermissionsBoundary,
	},
}

func (x *machine) allowed(kind, name string, a authz.Action) authz.Grant {
	s := x.Snapshot()
	return x.grant(a, map[string]string{
		"user": s.UserARN(testAccount, name), "group": s.GroupARN(testAccount, name), "role": s.RoleARN(testAccount, name),
	}[kind])
}

func (x *machine) create(rt *rapid.T) {
	kind, name, path := pick(rt, "kind", append(modelKinds, "policy")), pick(rt, "name", modelNames), pick(rt, "path", modelPaths)
	var id string
	var err error
	switch kind {
	case "user":
		var u User
		u, err = x.createUser(name, path)
		id = u.ID
	case "group":
		var g Group
		g, err = x.createGroup(name, path)
		id = g.ID
	case "role":
		var r Role
		r, err = x.createRole(NewRole{Name: name, Path: path, TrustPolicy: trusting(testAccount)})
		id = r.ID
	case "policy":
		var p Policy
		p, err = x.createPolicy(NewPolicy{Name: name, Path: path, Document: testPolicy})
		id = p.ID
	}
	var want error
	if x.m[kind][strings.ToLower(name)] != nil {
		want = ErrEntityExists
	}
	if !x.same(rt, "creating a "+kind, err, want) {
		return
	}
	e := &modelEntity{name: name, path: path, id: id, inline: map[string]string{}, tags: map[string]string{}}
	if kind == "policy" {
		e.versions, e.last, e.current = map[string]string{"v1": testPolicy}, 1, "v1"
	}
	x.m[kind][strings.ToLower(name)] = e
}

func (x *machine) remove(rt *rapid.T) {
	kind := pick(rt, "kind", modelKinds)
	name := x.named(rt, kind)
	var err error
	switch kind {
	case "user":
		err = x.deleteUser(name)
	case "group":
		err = x.DeleteGroup(x.onGroup(authz.IAMDeleteGroup, name), testAccount, name)
	case "role":
		err = x.DeleteRole(x.onRole(authz.IAMDeleteRole, name), testAccount, name)
	}
	e := x.m.get(kind, name)
	var want error
	switch {
	case e == nil:
		want = ErrNoSuchEntity
	case len(e.inline)+len(e.attached)+len(e.groups) > 0:
		want = ErrDeleteConflict
	case kind == "group" && slices.ContainsFunc(slices.Collect(maps.Values(x.m["user"])), func(u *modelEntity) bool {
		return slices.Contains(u.groups, strings.ToLower(name))
	}):
		want = ErrDeleteConflict
	}
	if x.same(rt, "deleting a "+kind, err, want) {
		delete(x.m[kind], strings.ToLower(name))
	}
}

func (x *machine) removePolicy(rt *rapid.T) {
	arn := x.anyPolicy(rt)
	err := x.DeletePolicy(x.grant(authz.IAMDeletePolicy, arn), testAccount, arn)
	e := x.m.policyByARN(arn)
	var want error
	switch {
	case arn == adminARN:
		want = ErrUnmodifiable
	case e == nil:
		want = ErrNoSuchEntity
	case len(e.versions) > 1:
		want = ErrDeleteConflict
	default:
		for _, kind := range modelKinds {
			for _, o := range x.m[kind] {
				if slices.Contains(o.attached, arn) || o.boundary == arn {
					want = ErrDeleteConflict
				}
			}
		}
	}
	if x.same(rt, "deleting a policy", err, want) {
		delete(x.m["policy"], strings.ToLower(e.name))
	}
}

// anyPolicy is the ARN of a managed policy that there may be.
func (x *machine) anyPolicy(rt *rapid.T) string {
	arns := []string{adminARN, "arn:aws:iam::" + testAccount + ":policy/none"}
	for _, name := range slices.Sorted(maps.Keys(x.m["policy"])) {
		arns = append(arns, x.m.arn("policy", x.m["policy"][name]))
	}
	return pick(rt, "policy", arns)
}

func (x *machine) rename(rt *rapid.T) {
	kind := pick(rt, "kind", []string{"user", "group"})
	name := x.named(rt, kind)
	newName, newPath := pick(rt, "new name", append(modelNames, "")), pick(rt, "new path", append(modelPaths, ""))
	var err error
	if kind == "user" {
		_, err = x.renameUser(name, newName, newPath)
	} else {
		_, err = x.renameGroup(name, newName, newPath)
	}
	e := x.m.get(kind, name)
	var want error
	if e == nil {
		want = ErrNoSuchEntity
	} else if o := x.m[kind][strings.ToLower(or(newName, name))]; o != nil && o != e {
		want = ErrEntityExists
	}
	if !x.same(rt, "renaming a "+kind, err, want) {
		return
	}
	delete(x.m[kind], strings.ToLower(name))
	e.name, e.path = or(newName, e.name), or(newPath, e.path)
	x.m[kind][strings.ToLower(e.name)] = e
	if kind == "group" {
		for _, u := range x.m["user"] {
			for n, g := range u.groups {
				if g == strings.ToLower(name) {
					u.groups[n] = strings.ToLower(e.name)
				}
			}
		}
	}
}

func (x *machine) putInline(rt *rapid.T) {
	kind := pick(rt, "kind", modelKinds)
	name, policy, doc := x.named(rt, kind), pick(rt, "policy", modelPolicies), pick(rt, "document", modelDocs)
	g := x.allowed(kind, name, actionsOf[kind].put)
	var err error
	switch kind {
	case "user":
		_, err = x.PutUserPolicy(g, testAccount, name, policy, doc)
	case "group":
		_, err = x.PutGroupPolicy(g, testAccount, name, policy, doc)
	case "role":
		_, err = x.PutRolePolicy(g, testAccount, name, policy, doc)
	}
	e := x.m.get(kind, name)
	var want error
	switch {
	case e == nil:
		want = ErrNoSuchEntity
	case doc == malformed:
		want = ErrMalformedPolicy
	default:
		for other := range e.inline {
			if other != policy && strings.EqualFold(other, policy) {
				want = ErrEntityExists
			}
		}
	}
	if x.same(rt, "putting a policy of a "+kind, err, want) {
		e.inline[policy] = doc
	}
}

func (x *machine) dropInline(rt *rapid.T) {
	kind := pick(rt, "kind", modelKinds)
	name, policy := x.named(rt, kind), pick(rt, "policy", modelPolicies)
	g := x.allowed(kind, name, actionsOf[kind].drop)
	var err error
	switch kind {
	case "user":
		err = x.DeleteUserPolicy(g, testAccount, name, policy)
	case "group":
		err = x.DeleteGroupPolicy(g, testAccount, name, policy)
	case "role":
		err = x.DeleteRolePolicy(g, testAccount, name, policy)
	}
	e := x.m.get(kind, name)
	var want error
	if e == nil || e.inline[policy] == "" {
		want = ErrNoSuchEntity
	}
	if x.same(rt, "deleting a policy of a "+kind, err, want) {
		delete(e.inline, policy)
	}
}

func (x *machine) attach(rt *rapid.T) {
	kind := pick(rt, "kind", modelKinds)
	name, arn := x.named(rt, kind), x.anyPolicy(rt)
	g := x.allowed(kind, name, actionsOf[kind].attach)
	var err error
	switch kind {
	case "user":
		err = x.AttachUserPolicy(g, testAccount, name, arn)
	case "group":
		err = x.AttachGroupPolicy(g, testAccount, name, arn)
	case "role":
		err = x.AttachRolePolicy(g, testAccount, name, arn)
	}
	e := x.m.get(kind, name)
	var want error
	if e == nil || !x.m.attachable(arn) {
		want = ErrNoSuchEntity
	}
	if x.same(rt, "attaching to a "+kind, err, want) && !slices.Contains(e.attached, arn) {
		e.attached = append(e.attached, arn)
	}
}

func (x *machine) detach(rt *rapid.T) {
	kind := pick(rt, "kind", modelKinds)
	name, arn := x.named(rt, kind), x.anyPolicy(rt)
	if e := x.m.get(kind, name); e != nil && len(e.attached) > 0 && rapid.Bool().Draw(rt, "attached") {
		arn = pick(rt, "of those attached", e.attached)
	}
	g := x.allowed(kind, name, actionsOf[kind].detach)
	var err error
	switch kind {
	case "user":
		err = x.DetachUserPolicy(g, testAccount, name, arn)
	case "group":
		err = x.DetachGroupPolicy(g, testAccount, name, arn)
	case "role":
		err = x.DetachRolePolicy(g, testAccount, name, arn)
	}
	e := x.m.get(kind, name)
	var want error
	if e == nil || !slices.Contains(e.attached, arn) {
		want = ErrNoSuchEntity
	}
	if x.same(rt, "detaching from a "+kind, err, want) {
		e.attached = slices.DeleteFunc(e.attached, func(a string) bool { return a == arn })
	}
}

func (x *machine) member(rt *rapid.T) {
	group, user, join := x.named(rt, "group"), x.named(rt, "user"), rapid.Bool().Draw(rt, "join")
	e, u := x.m.get("group", group), x.m.get("user", user)
	in := e != nil && u != nil && slices.Contains(u.groups, strings.ToLower(group))
	var want error
	if e == nil || u == nil || !join && !in {
		want = ErrNoSuchEntity
	}
	if join {
		if x.same(rt, "joining", x.addToGroup(group, user), want) && !in {
			u.groups = append(u.groups, strings.ToLower(group))
		}
		return
	}
	err := x.RemoveUserFromGroup(x.onGroup(authz.IAMRemoveUserFromGroup, group), testAccount, group, user)
	if x.same(rt, "leaving", err, want) {
		u.groups = slices.DeleteFunc(u.groups, func(g string) bool { return g == strings.ToLower(group) })
	}
}

func (x *machine) tag(rt *rapid.T) {
	kind := pick(rt, "kind", []string{"user", "role"})
	name, key := x.named(rt, kind), pick(rt, "key", modelTags)
	value, on := pick(rt, "value", []string{"", "x"}), rapid.Bool().Draw(rt, "tag")
	a := actionsOf[kind].tag
	if !on {
		a = actionsOf[kind].untag
	}
	g := x.allowed(kind, name, a)
	var err error
	switch {
	case kind == "user" && on:
		err = x.TagUser(g, testAccount, name, []Tag{{key, value}})
	case kind == "user":
		err = x.UntagUser(g, testAccount, name, []string{key})
	case on:
		err = x.TagRole(g, testAccount, name, []Tag{{key, value}})
	default:
		err = x.UntagRole(g, testAccount, name, []string{key})
	}
	e := x.m.get(kind, name)
	var want error
	if e == nil {
		want = ErrNoSuchEntity
	} else {
		for other := range e.tags {
			if other != key && strings.EqualFold(other, key) {
				want = ErrValidation
			}
		}
	}
	if !x.same(rt, "tagging a "+kind, err, want) {
		return
	}
	if on {
		e.tags[key] = value
		return
	}
	delete(e.tags, key)
}

func (x *machine) bound(rt *rapid.T) {
	kind := pick(rt, "kind", []string{"user", "role"})
	name, arn := x.named(rt, kind), x.anyPolicy(rt)
	on := rapid.Bool().Draw(rt, "put")
	a := actionsOf[kind].bound
	if !on {
		a = actionsOf[kind].unbound
	}
	g := x.allowed(kind, name, a)
	var err error
	switch {
	case kind == "user" && on:
		err = x.PutUserPermissionsBoundary(g, testAccount, name, arn)
	case kind == "user":
		err = x.DeleteUserPermissionsBoundary(g, testAccount, name)
	case on:
		err = x.PutRolePermissionsBoundary(g, testAccount, name, arn)
	default:
		err = x.DeleteRolePermissionsBoundary(g, testAccount, name)
	}
	e := x.m.get(kind, name)
	var want error
	if e == nil || on && !x.m.attachable(arn) || !on && e.boundary == "" {
		want = ErrNoSuchEntity
	}
	if x.same(rt, "bounding a "+kind, err, want) {
		if e.boundary = ""; on {
			e.boundary = arn
		}
	}
}

func (x *machine) version(rt *rapid.T) {
	arn, doc, op := x.anyPolicy(rt), pick(rt, "document", modelDocs), pick(rt, "what", []string{"create", "create default", "set", "delete"})
	v := pick(rt, "version", []string{"v1", "v2", "v3", "v6", "v0", "1"})
	e := x.m.policyByARN(arn)
	var want error
	switch {
	case arn == adminARN:
		want = ErrUnmodifiable
	case e == nil:
		want = ErrNoSuchEntity
	}
	if strings.HasPrefix(op, "create") {
		made, err := x.newVersion(arn, doc, op != "create")
		switch {
		case want != nil:
		case len(e.versions) >= MaxPolicyVersions:
			want = ErrLimitExceeded
		case doc == malformed:
			want = ErrMalformedPolicy
		}
		if x.same(rt, op, err, want) {
			e.last++
			e.versions[fmt.Sprintf("v%d", e.last)] = doc
			if op != "create" {
				e.current = made.ID
			}
		}
		return
	}
	switch {
	case want != nil:
	case v == "v0" || v == "1":
		want = ErrValidation
	case e.versions[v] == "":
		want = ErrNoSuchEntity
	case op == "delete" && v == e.current:
		want = ErrDeleteConflict
	}
	if op == "set" {
		if x.same(rt, op, x.SetDefaultPolicyVersion(x.grant(authz.IAMSetDefaultPolicyVersion, arn), testAccount, arn, v), want) {
			e.current = v
		}
		return
	}
	if x.same(rt, op, x.DeletePolicyVersion(x.grant(authz.IAMDeletePolicyVersion, arn), testAccount, arn, v), want) {
		delete(e.versions, v)
	}
}
