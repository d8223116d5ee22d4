package iam

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
)

const (
	adminARN    = "arn:aws:iam::aws:policy/AdministratorAccess"
	readOnlyARN = "arn:aws:iam::aws:policy/ReadOnlyAccess"
)

// trusting is a trust policy that lets one principal assume the role.
func trusting(principal string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:AssumeRole"}]}`, principal)
}

// allowing is an identity policy that allows one action.
func allowing(action string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":%q,"Resource":"*"}]}`, action)
}

// sized is an identity policy of n characters beside white space.
func sized(n int) string {
	const head, tail = `{"Version":"2012-10-17","Statement":[{"Sid":"`, `","Effect":"Allow","Action":"kms:*","Resource":"*"}]}`
	return head + strings.Repeat("a", n-len(head)-len(tail)) + tail
}

func (w *world) onGroup(a authz.Action, name string) authz.Grant {
	w.t.Helper()
	return w.grant(a, w.Snapshot().GroupARN(testAccount, name))
}

func (w *world) onRole(a authz.Action, name string) authz.Grant {
	w.t.Helper()
	return w.grant(a, w.Snapshot().RoleARN(testAccount, name))
}

func (w *world) createGroup(name, path string) (Group, error) {
	w.t.Helper()
	return w.CreateGroup(w.grant(authz.IAMCreateGroup, w.Snapshot().NewGroupARN(testAccount, or(path, "/"), name)), testAccount, name, path)
}

func (w *world) createRole(n NewRole) (Role, error) {
	w.t.Helper()
	arn := w.Snapshot().NewRoleARN(testAccount, or(n.Path, "/"), n.Name)
	n.Tagging = w.grant(authz.IAMTagRole, arn)
	return w.CreateRole(w.grant(authz.IAMCreateRole, arn), testAccount, n)
}

func (w *world) createPolicy(n NewPolicy) (Policy, error) {
	w.t.Helper()
	return w.CreatePolicy(w.grant(authz.IAMCreatePolicy, w.Snapshot().NewPolicyARN(testAccount, or(n.Path, "/"), n.Name)), testAccount, n)
}

func (w *world) mustGroup(name string) Group {
	w.t.Helper()
	g, err := w.createGroup(name, "/")
	w.must(err)
	return g
}

func (w *world) mustRole(name, trusted string) Role {
	w.t.Helper()
	r, err := w.createRole(NewRole{Name: name, TrustPolicy: trusting(trusted)})
	w.must(err)
	return r
}

func (w *world) mustPolicy(name, document string) Policy {
	w.t.Helper()
	p, err := w.createPolicy(NewPolicy{Name: name, Document: document})
	w.must(err)
	return p
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) attachUser(name, arn string) error {
	w.t.Helper()
	return w.AttachUserPolicy(w.on(authz.IAMAttachUserPolicy, name), testAccount, name, arn)
}

func (w *world) detachUser(name, arn string) error {
	w.t.Helper()
	return w.DetachUserPolicy(w.on(authz.IAMDetachUserPolicy, name), testAccount, name, arn)
}

func (w *world) attachGroup(name, arn string) error {
	w.t.Helper()
	return w.AttachGroupPolicy(w.onGroup(authz.IAMAttachGroupPolicy, name), testAccount, name, arn)
}

func (w *world) attachRole(name, arn string) error {
	w.t.Helper()
	return w.AttachRolePolicy(w.onRole(authz.IAMAttachRolePolicy, name), testAccount, name, arn)
}

func (w *world) addToGroup(group, user string) error {
	w.t.Helper()
	return w.AddUserToGroup(w.onGroup(authz.IAMAddUserToGroup, group), testAccount, group, user)
}

func (w *world) putGroupPolicy(group, name, document string) error {
	w.t.Helper()
	_, err := w.PutGroupPolicy(w.onGroup(authz.IAMPutGroupPolicy, group), testAccount, group, name, document)
	return err
}

func (w *world) putRolePolicy(role, name, document string) error {
	w.t.Helper()
	_, err := w.PutRolePolicy(w.onRole(authz.IAMPutRolePolicy, role), testAccount, role, name, document)
	return err
}

func (w *world) newVersion(arn, document string, setDefault bool) (PolicyVersion, error) {
	w.t.Helper()
	return w.CreatePolicyVersion(w.grant(authz.IAMCreatePolicyVersion, arn), testAccount, arn, document, setDefault)
}

func (w *world) renameUser(name, newName, newPath string) (User, error) {
	w.t.Helper()
	return w.UpdateUser(w.on(authz.IAMUpdateUser, name), w.grant(authz.IAMUpdateUser, w.Snapshot().RenamedUserARN(testAccount, name, newName, newPath)),
		testAccount, name, newName, newPath)
}

func (w *world) renameGroup(name, newName, newPath string) (Group, error) {
	w.t.Helper()
	return w.UpdateGroup(w.onGroup(authz.IAMUpdateGroup, name), w.grant(authz.IAMUpdateGroup, w.Snapshot().RenamedGroupARN(testAccount, name, newName, newPath)),
		testAccount, name, newName, newPath)
}

func (w *world) tagUser(name string, tags ...Tag) error {
	w.t.Helper()
	return w.TagUser(w.on(authz.IAMTagUser, name), testAccount, name, tags)
}

// userMay reports whether a user may do what has no resource.
func (w *world) userMay(name string, a authz.Action) bool {
	w.t.Helper()
	u, ok := w.Snapshot().User(testAccount, name)
	if !ok {
		w.t.Fatalf("there is no user %q", name)
	}
	c, err := w.Snapshot().userCaller(u.ID)
	w.must(err)
	g, _ := authz.Authorize(c, a, &authz.Resource{}, &authz.Context{Time: time.Now()})
	return g.Permits(a, "*")
}

// Each limit lets its last one pass and refuses the next, with the error that AWS has for it.
func TestLimits(t *testing.T) {
	w := newWorld(t)
	i, err := Open(Config{Store: w.store, MaxUsers: 12})
	w.must(err)
	w.IAM = i
	w.mustUser("ann")
	w.mustGroup("ops")
	w.mustRole("batch", testAccount)
	p := w.mustPolicy("many", testPolicy)
	for n := range 10 {
		w.mustPolicy(fmt.Sprintf("p%d", n), testPolicy)
		w.must(w.putRolePolicy("batch", fmt.Sprintf("p%d", n), sized(1000)))
	}
	w.must(w.putGroupPolicy("ops", "one", sized(5000)))
	arn := func(n int) string { return fmt.Sprintf("arn:aws:iam::%s:policy/p%d", testAccount, n) }
	rows := []struct {
		name  string
		limit int
		one   func(n int) error // makes the nth, from 0
	}{
		{"managed policies of a user", MaxAttachedPolicies, func(n int) error { return w.attachUser("ann", [...]string{arn(n % 10), adminARN}[n/10]) }},
		{"managed policies of a group", MaxAttachedPolicies, func(n int) error { return w.attachGroup("ops", [...]string{arn(n % 10), adminARN}[n/10]) }},
		{"managed policies of a role", MaxAttachedPolicies, func(n int) error { return w.attachRole("batch", [...]string{arn(n % 10), adminARN}[n/10]) }},
		{"versions of a policy", MaxPolicyVersions - 1, func(int) error { _, err := w.newVersion(p.ARN, testPolicy, true); return err }},
		{"groups of a user", MaxGroupsPerUser, func(n int) error {
			w.mustGroup(fmt.Sprintf("g%d", n))
			return w.addToGroup(fmt.Sprintf("g%d", n), "ann")
		}},
		{"tags of a user", MaxTags, func(n int) error { return w.tagUser("ann", Tag{Key: fmt.Sprintf("k%d", n)}) }},
		{"tags of a role", MaxTags, func(n int) error {
			return w.TagRole(w.onRole(authz.IAMTagRole, "batch"), testAccount, "batch", []Tag{{Key: fmt.Sprintf("k%d", n)}})
		}},
		{"users", 11, func(n int) error { _, err := w.createUser(fmt.Sprintf("u%d", n), ""); return err }},
		{"characters of a group's inline policies", 1, func(n int) error { return w.putGroupPolicy("ops", "two", sized(120+n)) }},
		{"characters of a role's inline policies", 1, func(n int) error { return w.putRolePolicy("batch", "last", sized(240+n)) }},
		{"characters of a user's inline policies", 1, func(n int) error { return w.putPolicy("ann", "p", sized(2048+n)) }},
		{"characters of a managed policy", 1, func(n int) error {
			_, err := w.createPolicy(NewPolicy{Name: fmt.Sprintf("big%d", n), Document: sized(6144 + n)})
			return err
		}},
		{"characters of a trust policy", 1, func(n int) error {
			base := trusting(testAccount)
			pad := strings.Repeat("a", 2048-len(base)-len(`"Sid":"",`)+n)
			_, err := w.UpdateAssumeRolePolicy(w.onRole(authz.IAMUpdateAssumeRolePolicy, "batch"), testAccount, "batch",
				strings.Replace(base, `{"Effect"`, `{"Sid":"`+pad+`","Effect"`, 1))
			return err
		}},
		{"groups", MaxGroups - 1 - MaxGroupsPerUser - 1, func(n int) error { _, err := w.createGroup(fmt.Sprintf("group%d", n), ""); return err }},
	}
	for _, r := range rows {
		for n := range r.limit {
			if err := r.one(n); err != nil {
				t.Fatalf("%s: number %d of %d: %v", r.name, n+1, r.limit, err)
			}
		}
		if err := r.one(r.limit); !errors.Is(err, ErrLimitExceeded) {
			t.Errorf("%s: number %d = %v, want %v", r.name, r.limit+1, err, ErrLimitExceeded)
		}
	}
	w.reopen()
}

// The limits of how many there are in an account, on a snapshot: making 1,500 entities takes long.
func TestMayAdd(t *testing.T) {
	w := newWorld(t)
	s := w.Snapshot()
	for _, limit := range []int{MaxRoles, MaxManagedPolicies, MaxGroups} {
		var list names
		for n := range limit {
			if err := s.mayAdd(testAccount, "role", fmt.Sprintf("r%d", n), list, limit); err != nil {
				t.Fatalf("number %d of %d: %v", n+1, limit, err)
			}
			list = list.renamed("", fmt.Sprintf("r%d", n), fmt.Sprint(n))
		}
		if err := s.mayAdd(testAccount, "role", "one-more", list, limit); !errors.Is(err, ErrLimitExceeded) {
			t.Errorf("number %d = %v, want %v", limit+1, err, ErrLimitExceeded)
		}
		if err := s.mayAdd(testAccount, "role", "R1", list, limit+1); !errors.Is(err, ErrEntityExists) {
			t.Errorf("a name in another case = %v, want %v", err, ErrEntityExists)
		}
	}
	if err := s.mayAdd("999999999999", "role", "r", nil, 1); !errors.Is(err, ErrNoSuchEntity) {
		t.Errorf("in no account = %v, want %v", err, ErrNoSuchEntity)
	}
}
