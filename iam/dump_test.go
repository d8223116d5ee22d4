package iam

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"

	"github.com/kmsd/kmsd/authz"
)

// dump tells all of a snapshot, secrets as hashes, and fails if its indexes disagree.
func dump(t testing.TB, s *Snapshot) []string {
	t.Helper()
	d := &dumper{t: t, s: s, lines: []string{"management " + s.management}}
	for _, p := range s.principals.All() {
		d.principal(p)
	}
	if d.keys != s.accessKeys.Len() || d.certificates != s.certificates.Len() {
		t.Errorf("indexes hold %d access keys and %d certificates, want %d and %d", s.accessKeys.Len(), s.certificates.Len(), d.keys, d.certificates)
	}
	for _, g := range s.groups.All() {
		d.say("group %+v", g.Group)
		d.policies(g.ID, g.policySet)
		if got, ok := s.group(g.Account, g.Name); !ok || got != g {
			t.Errorf("group %s is not found by its name", g.Name)
		}
	}
	for _, r := range s.roles.All() {
		d.role(r)
	}
	for _, m := range s.managed.All() {
		d.say("policy %+v last %d current %d fault %v document %q", m.Policy, m.last, m.current, m.fault, m.compiled.Document())
		for _, v := range m.versions {
			d.say("version %s %+v", m.ID, v)
		}
		if got, ok := s.policy(m.ARN); !ok || got != m {
			t.Errorf("policy %s is not found by its ARN", m.ARN)
		}
	}
	for id, a := range s.accounts.All() {
		d.say("account %s %+v", id, *a)
	}
	d.directories()
	for _, u := range s.unusable {
		d.say("unusable %+v", u)
	}
	slices.Sort(d.lines)
	return d.lines
}

type dumper struct {
	t                  testing.TB
	s                  *Snapshot
	lines              []string
	keys, certificates int
}

func (d *dumper) say(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *dumper) principal(p *principal) {
	d.t.Helper()
	d.say("principal %+v groups %q tags %q boundary %s", p.User, p.groups, p.tags, p.boundary)
	d.policies(p.ID, p.policySet)
	for n, k := range p.keys {
		d.say("key %s %d %s %v %v %x", p.ID, n, k.id, k.status, k.created, sha256.Sum256(k.secret.Expose()))
	}
	for n, c := range p.certificates {
		d.say("certificate %s %d %+v", p.ID, n, c)
	}
	for n, c := range p.credentials {
		held, _ := d.s.AccessKey(c.ID)
		if c.Method == ByCertificate {
			held, _ = d.s.Certificate(c.fingerprint)
			d.certificates++
		} else {
			d.keys++
		}
		if held != c {
			d.t.Errorf("credential %s of %s is not in the index", c.ID, p.Name)
		}
		d.say("credential %s %d %v %v %v %q %v %v %v %x", p.ID, n, c.ID, c.Method, c.Status, c.UserName, c.Account, c.PrincipalID, c.NotAfter,
			sha256.Sum256(c.secret.Expose()))
	}
	caller, err := d.s.userCaller(p.ID)
	d.caller(p.ID, caller, err)
	if got, ok := d.s.principal(p.Account, p.Name); !ok || got != p {
		d.t.Errorf("principal %s is not found by its name", p.Name)
	}
}

func (d *dumper) role(r *role) {
	d.t.Helper()
	d.say("role %+v tags %q boundary %s bindings %q fault %v trust %q", r.Role, r.tags, r.boundary, r.trust.bindings, r.trust.fault, r.trust.compiled.Document())
	d.policies(r.ID, r.policySet)
	caller, err := d.s.roleCaller(r.ID)
	d.caller(r.ID, caller, err)
	if got, ok := d.s.role(r.Account, r.Name); !ok || got != r {
		d.t.Errorf("role %s is not found by its name", r.Name)
	}
}

func (d *dumper) policies(owner string, set policySet) {
	d.say("attached %s %q", owner, set.attached)
	for n, q := range set.inline {
		d.say("inline %s %d %s %v %q %q %v", owner, n, q.name, q.updated, q.document, q.compiled.Name(), q.fault)
	}
}

func (d *dumper) caller(owner string, c *authz.Caller, err error) {
	if err != nil {
		d.say("caller %s: %v", owner, err)
		return
	}
	var identity []string
	for _, q := range append(slices.Clone(c.Identity), c.Boundary) {
		if q != nil {
			identity = append(identity, q.Name()+" "+string(q.Document()))
		}
	}
	d.say("caller %s %v %v %v %v %q %q %v", owner, c.Kind, c.ARN, c.RoleARN, c.ID, c.UserName, identity, c.Tags)
}

func (d *dumper) directories() {
	for account, dir := range d.s.directories.All() {
		for what, list := range map[string]names{"user": dir.users, "group": dir.groups, "role": dir.roles, "policy": dir.policies} {
			for n, e := range list {
				d.say("entry %s %s %d %v", account, what, n, e)
				var known bool
				switch what {
				case "user":
					_, known = d.s.principals.Load(e.id)
				case "group":
					_, known = d.s.groups.Load(e.id)
				case "role":
					_, known = d.s.roles.Load(e.id)
				case "policy":
					_, known = d.s.managed.Load(e.id)
				}
				if !known {
					d.t.Errorf("the %s %v of a directory is not found by its id", what, e)
				}
			}
		}
	}
}
