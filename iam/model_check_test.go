package iam

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kmsd/kmsd/authz"
	"pgregory.net/rapid"
)

// identity is what decides for an entity, as the model has it.
func (m model) identity(kind string, e *modelEntity) []string {
	var list []string
	label := ""
	if kind == "group" {
		label = "group/" + e.name + "/"
	}
	for _, name := range slices.SortedFunc(maps.Keys(e.inline), func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }) {
		list = append(list, label+name+" "+e.inline[name])
	}
	for _, arn := range e.attached {
		list = append(list, m.managed(arn))
	}
	for _, g := range e.groups {
		list = append(list, m.identity("group", m["group"][g])...)
	}
	return list
}

func (m model) managed(arn string) string {
	switch {
	case arn == "":
		return ""
	case arn == adminARN:
		return arn + " " + awsPolicyList[0].document
	}
	e := m.policyByARN(arn)
	return arn + " " + e.versions[e.current]
}

func described(p *authz.Policy) string {
	if p == nil {
		return ""
	}
	return p.Name() + " " + string(p.Document())
}

// check compares all that can be asked.
func (x *machine) check(rt *rapid.T) {
	s := x.Snapshot()
	want, got := map[string]string{}, map[string]string{}
	for kind, entities := range x.m {
		for _, e := range entities {
			want[kind+" "+e.name] = fmt.Sprintf("%s %s %q %q %q", e.id, x.m.arn(kind, e), e.tags, e.boundary, x.m.managed(e.boundary))
			if kind == "policy" {
				want[kind+" "+e.name] = fmt.Sprintf("%s %s %q %s %d", e.id, x.m.arn(kind, e), e.versions, e.current, e.last)
			} else {
				want[kind+" policies of "+e.name] = fmt.Sprintf("%q", x.m.identity(kind, e))
			}
		}
	}
	texts := func(list []*authz.Policy) (texts []string) {
		for _, p := range list {
			texts = append(texts, described(p))
		}
		return texts
	}
	users, _ := s.Users(testAccount, "", 1000)
	for _, u := range users {
		p, _ := s.principal(testAccount, u.Name)
		c, err := s.userCaller(u.ID)
		x.must(err)
		got["user "+u.Name] = fmt.Sprintf("%s %s %q %q %q", u.ID, u.ARN, p.tags, u.PermissionsBoundary, described(c.Boundary))
		got["user policies of "+u.Name] = fmt.Sprintf("%q", texts(c.Identity))
	}
	groups, _ := s.Groups(testAccount, "", 1000)
	for _, g := range groups {
		e, _ := s.group(testAccount, g.Name)
		got["group "+g.Name] = fmt.Sprintf("%s %s %q %q %q", g.ID, g.ARN, tagSet{}, "", "")
		got["group policies of "+g.Name] = fmt.Sprintf("%q", texts(s.appendPolicies(nil, e.policySet)))
	}
	roles, _ := s.Roles(testAccount, "", 1000)
	for _, r := range roles {
		e, _ := s.role(testAccount, r.Name)
		c, err := s.roleCaller(r.ID)
		x.must(err)
		got["role "+r.Name] = fmt.Sprintf("%s %s %q %q %q", r.ID, r.ARN, e.tags, r.PermissionsBoundary, described(c.Boundary))
		got["role policies of "+r.Name] = fmt.Sprintf("%q", texts(c.Identity))
	}
	policies, _ := s.Policies(testAccount, "", 1000)
	for _, p := range policies {
		m, _ := s.policy(p.ARN)
		versions := map[string]string{}
		for _, v := range m.versions {
			versions[versionID(v.number)] = v.document
		}
		got["policy "+p.Name] = fmt.Sprintf("%s %s %q %s %d", p.ID, p.ARN, versions, p.DefaultVersion, m.last)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		rt.Fatalf("the entities are not as they should be (-want +got):\n%s", diff)
	}
}

// Whatever is done to the entities of an account, they are what a simple model of them says, and the same when the store is opened again.
func TestEntitiesAreAsTheModelSays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		x := &machine{world: newWorld(t), m: model{"user": {}, "group": {}, "role": {}, "policy": {}}}
		for range 12 {
			x.create(rt)
		}
		steps := []func(*rapid.T){
			x.create, x.remove, x.removePolicy, x.rename, x.putInline, x.putInline, x.putInline, x.dropInline, x.attach, x.attach, x.attach,
			x.detach, x.detach, x.member, x.tag, x.tag, x.bound, x.bound, x.version, x.version,
		}
		for n := range 100 {
			rapid.SampledFrom(steps).Draw(rt, "step")(rt)
			if n%3 == 0 {
				x.check(rt)
			}
		}
		x.reopen()
		x.check(rt)
	})
}
