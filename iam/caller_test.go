package iam

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

func policyNames(list []*authz.Policy) string {
	var names []string
	for _, p := range list {
		names = append(names, p.Name())
	}
	return strings.Join(names, " ")
}

func (w *world) caller(name string) *authz.Caller {
	w.t.Helper()
	u, ok := w.Snapshot().User(testAccount, name)
	if !ok {
		w.t.Fatalf("there is no user %q", name)
	}
	c, err := w.Snapshot().userCaller(u.ID)
	w.must(err)
	return c
}

// A caller has its own policies and those of its groups, by their names in decisions.
func TestCallerOfUser(t *testing.T) {
	w := newWorld(t)
	u := w.mustUser("ann")
	k := w.mustKey("ann")
	w.mustGroup("ops")
	w.mustGroup("dev")
	own, grouped, edge := w.mustPolicy("own", testPolicy), w.mustPolicy("grouped", testPolicy), w.mustPolicy("edge", testPolicy)
	w.must(w.putPolicy("ann", "inline", testPolicy))
	w.must(w.attachUser("ann", own.ARN))
	w.must(w.attachUser("ann", adminARN))
	w.must(w.putGroupPolicy("ops", "Night", testPolicy))
	w.must(w.attachGroup("dev", grouped.ARN))
	w.must(w.addToGroup("ops", "ann"))
	w.must(w.addToGroup("dev", "ann"))
	w.must(w.tagUser("ann", Tag{"Team", "blue"}))
	w.must(w.PutUserPermissionsBoundary(w.on(authz.IAMPutUserPermissionsBoundary, "ann"), testAccount, "ann", edge.ARN))
	for range 2 {
		cred, _ := w.Snapshot().AccessKey(k.ID)
		c, err := w.Snapshot().Caller(cred)
		w.must(err)
		if c.Kind != authz.User || c.Account != testAccount || c.ID != u.ID || c.ARN != u.ARN || c.UserName != "ann" || c.Membership == nil {
			t.Errorf("the caller is %+v", c)
		}
		want := "inline " + own.ARN + " " + adminARN + " group/ops/Night " + grouped.ARN
		if got := policyNames(c.Identity); got != want {
			t.Errorf("Identity = %s, want %s", got, want)
		}
		if c.Boundary == nil || c.Boundary.Name() != edge.ARN {
			t.Errorf("Boundary = %v, want %s", c.Boundary, edge.ARN)
		}
		if got := fmt.Sprint(slices.Collect(tagKeys(c.Tags))); got != "[Team=blue]" {
			t.Errorf("Tags = %s, want [Team=blue]", got)
		}
		w.reopen()
	}
}

func tagKeys(p authz.Pairs) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name, value := range p.All {
			if !yield(name + "=" + value) {
				return
			}
		}
	}
}

// Whatever change of policies there is, it holds for the next Caller; and a snapshot taken before goes on as it was.
func TestChangesHoldAtOnce(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	k := w.mustKey("ann")
	w.mustGroup("ops")
	p := w.mustPolicy("list", allowing("iam:ListUsers"))
	const a = authz.IAMListUsers
	may := func(s *Snapshot) bool {
		cred, _ := s.AccessKey(k.ID)
		c, err := s.Caller(cred)
		w.must(err)
		g, _ := authz.Authorize(c, a, &authz.Resource{}, &authz.Context{Time: time.Now()})
		return g.Permits(a, "*")
	}
	on, onG := func(x authz.Action) authz.Grant { return w.on(x, "ann") }, func(x authz.Action) authz.Grant { return w.onGroup(x, "ops") }
	steps := []struct {
		name string
		do   func() error
		want bool
	}{
		{"attaching a managed policy", func() error { return w.attachUser("ann", p.ARN) }, true},
		{"a new default version of it", func() error { _, err := w.newVersion(p.ARN, allowing("iam:ListRoles"), true); return err }, false},
		{"a version that is not the default", func() error { _, err := w.newVersion(p.ARN, allowing("iam:List*"), false); return err }, false},
		{"making that the default", func() error {
			return w.SetDefaultPolicyVersion(w.grant(authz.IAMSetDefaultPolicyVersion, p.ARN), testAccount, p.ARN, "v3")
		}, true},
		{"detaching it", func() error { return w.detachUser("ann", p.ARN) }, false},
		{"joining a group without policies", func() error { return w.addToGroup("ops", "ann") }, false},
		{"a policy of the group", func() error { return w.putGroupPolicy("ops", "p", allowing("iam:*")) }, true},
		{"that policy denying", func() error {
			return w.putGroupPolicy("ops", "p", strings.Replace(allowing("iam:*"), "Allow", "Deny", 1))
		}, false},
		{"that policy gone, a managed one attached", func() error {
			return errors.Join(w.DeleteGroupPolicy(onG(authz.IAMDeleteGroupPolicy), testAccount, "ops", "p"), w.attachGroup("ops", readOnlyARN))
		}, true},
		{"a boundary that has no room for it", func() error {
			b, err := w.createPolicy(NewPolicy{Name: "b", Document: allowing("kms:*")})
			return errors.Join(err, w.PutUserPermissionsBoundary(on(authz.IAMPutUserPermissionsBoundary), testAccount, "ann", b.ARN))
		}, false},
		{"no boundary", func() error {
			return w.DeleteUserPermissionsBoundary(on(authz.IAMDeleteUserPermissionsBoundary), testAccount, "ann")
		}, true},
		{"leaving the group", func() error {
			return w.RemoveUserFromGroup(onG(authz.IAMRemoveUserFromGroup), testAccount, "ops", "ann")
		}, false},
	}
	before, want := w.Snapshot(), false
	for _, s := range steps {
		if err := s.do(); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if got := may(w.Snapshot()); got != s.want {
			t.Errorf("after %s the user may: %v, want %v", s.name, got, s.want)
		}
		if got := may(before); got != want {
			t.Errorf("after %s the snapshot from before says %v, want %v", s.name, got, want)
		}
		before, want = w.Snapshot(), s.want
	}
	w.reopen()
}

func TestCallerRefused(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	k := w.mustKey("ann")
	cred, _ := w.Snapshot().AccessKey(k.ID)
	suspended := *w.Snapshot()
	a, _ := suspended.Account(testAccount)
	a.Suspended = true
	suspended.accounts, suspended.epoch = suspended.accounts.With(testAccount, &a), suspended.epoch+1
	if c, err := suspended.Caller(cred); !errors.Is(err, ErrAccountSuspended) || c != nil {
		t.Errorf("Caller in a suspended account = %v, %v, want %v", c, err, ErrAccountSuspended)
	}
	w.must(w.DeleteAccessKey(w.on(authz.IAMDeleteAccessKey, "ann"), testAccount, "ann", k.ID))
	w.must(w.deleteUser("ann"))
	if c, err := w.Snapshot().Caller(cred); !errors.Is(err, ErrInactive) || c != nil {
		t.Errorf("Caller of a user that is gone = %v, %v, want %v", c, err, ErrInactive)
	}
}

// A stored policy that does not parse denies all, is listed, and stops counting when it is replaced.
func TestUnusablePolicies(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"ann", "bob", "cat", "dan"} {
		w.mustUser(name)
		w.must(w.attachUser(name, adminARN))
	}
	ann, _ := w.Snapshot().User(testAccount, "ann")
	ops, p := w.mustGroup("ops"), w.mustPolicy("p", testPolicy)
	r := w.mustRole("batch", testAccount)
	w.must(w.putPolicy("ann", "inline", testPolicy))
	w.must(w.putGroupPolicy("ops", "g", testPolicy))
	w.must(w.addToGroup("ops", "bob"))
	w.must(w.attachUser("cat", p.ARN))
	bad := func(name string) []byte {
		return encodeJSON(policyRecord{Version: 1, Name: name, Document: `{"Version":"2099-01-01"}`, Updated: present()})
	}
	w.swap(kindUserPolicy, join(testAccount, ann.ID, "inline"), bad("inline"))
	w.swap(kindGroupPolicy, join(testAccount, ops.ID, "g"), bad("g"))
	w.swap(kindPolicyVersion, join(testAccount, p.ID, versionPath(1)), encodeJSON(versionRecord{Version: 1, Created: present(), Document: "{"}))
	held, _ := w.Snapshot().roles.Load(r.ID)
	broken := held.clone()
	broken.TrustPolicy = "[]"
	w.swap(kindRole, join(testAccount, r.ID), broken.record())
	w.IAM = w.mustOpen()

	list := func() string {
		var names []string
		for _, u := range w.Snapshot().UnusablePolicies() {
			if !errors.Is(u.Err, ErrMalformedPolicy) {
				t.Errorf("the fault of %s is %v, want %v", u.Name, u.Err, ErrMalformedPolicy)
			}
			names = append(names, u.Owner[strings.LastIndexByte(u.Owner, ':')+1:]+"="+u.Name)
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	want := "group/ops=group/ops/g policy/p=" + p.ARN + " role/batch=trust-policy user/ann=inline"
	if got := list(); got != want {
		t.Errorf("UnusablePolicies = %s, want %s", got, want)
	}
	for name, want := range map[string]bool{"ann": false, "bob": false, "cat": false, "dan": true} {
		if got := w.userMay(name, authz.KMSListKeys); got != want {
			t.Errorf("%s may: %v, want %v", name, got, want)
		}
	}
	w.must(w.putPolicy("ann", "inline", testPolicy))
	w.must(w.putGroupPolicy("ops", "g", testPolicy))
	_, err := w.newVersion(p.ARN, testPolicy, true)
	w.must(err)
	_, err = w.UpdateAssumeRolePolicy(w.onRole(authz.IAMUpdateAssumeRolePolicy, "batch"), testAccount, "batch", trusting(testAccount))
	w.must(err)
	if got := list(); got != "" {
		t.Errorf("UnusablePolicies = %s after all were replaced, want none", got)
	}
	for _, name := range []string{"ann", "bob", "cat", "dan"} {
		if !w.userMay(name, authz.KMSListKeys) {
			t.Errorf("%s may not, after the policy was replaced", name)
		}
	}
	err = w.SetDefaultPolicyVersion(w.grant(authz.IAMSetDefaultPolicyVersion, p.ARN), testAccount, p.ARN, "v1")
	if !errors.Is(err, ErrMalformedPolicy) {
		t.Errorf("making the version that does not parse the default = %v, want %v", err, ErrMalformedPolicy)
	}
}

// Readers see, while policies change, one state or the other, and each a later one than before.
func TestCallersWhilePoliciesChange(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	k := w.mustKey("ann")
	w.mustGroup("ops")
	w.must(w.addToGroup("ops", "ann"))
	p := w.mustPolicy("p", testPolicy)
	w.must(w.attachUser("ann", p.ARN))
	w.must(w.putGroupPolicy("ops", "p000", testPolicy))
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			last := 0
			for {
				select {
				case <-done:
					return
				default:
				}
				s := w.Snapshot()
				cred, ok := s.AccessKey(k.ID)
				if !ok {
					t.Error("the access key is not there")
					return
				}
				c, err := s.Caller(cred)
				if err != nil || len(c.Identity) < 2 {
					t.Errorf("Caller = %+v, %v", c, err)
					return
				}
				w.NoteUsed(cred, time.Now())
				var n int
				name := c.Identity[len(c.Identity)-1].Name()
				if _, err := fmt.Sscanf(name, "group/ops/p%d", &n); err != nil || n < last {
					t.Errorf("the last policy is %q after that of %d", name, last)
					return
				}
				last = n
			}
		})
	}
	for n := range 40 {
		w.must(w.putGroupPolicy("ops", fmt.Sprintf("p%03d", n+1), testPolicy))
		w.must(w.DeleteGroupPolicy(w.onGroup(authz.IAMDeleteGroupPolicy, "ops"), testAccount, "ops", fmt.Sprintf("p%03d", n)))
		if n%10 == 0 {
			w.must(w.SaveLastUsed())
		}
	}
	close(done)
	readers.Wait()
	w.reopen()
}

func TestLastUsed(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	k := w.mustKey("ann")
	get := func(id string) LastUsed {
		t.Helper()
		s := w.Snapshot()
		u, err := s.AccessKeyLastUsed(w.grant(authz.IAMGetAccessKeyLastUsed, s.AccessKeyUserARN(testAccount, id)), testAccount, id)
		w.must(err)
		return u
	}
	if got, want := get(k.ID), (LastUsed{UserName: "ann"}); got != want {
		t.Errorf("before any use it is %+v, want %+v", got, want)
	}
	cred, _ := w.Snapshot().AccessKey(k.ID)
	at := time.Date(2026, 11, 23, 10, 20, 59, 0, time.UTC)
	want := LastUsed{UserName: "ann", Used: at.Truncate(time.Minute), Service: "kms", Region: "local"}
	w.NoteUsed(cred, at)
	w.NoteUsed(cred, at.Add(-time.Hour))
	w.must(w.putPolicy("ann", "p", testPolicy)) // makes the credential anew
	if got := get(k.ID); got != want {
		t.Errorf("after a use it is %+v, want %+v", got, want)
	}
	w.must(w.SaveLastUsed())
	before := w.store.Generation()
	w.must(w.SaveLastUsed())
	if got := w.store.Generation(); got != before {
		t.Errorf("saving again makes generation %d of %d", got, before)
	}
	w.reopen()
	if got := get(k.ID); got != want {
		t.Errorf("opened again it is %+v, want %+v", got, want)
	}
	for _, id := range []string{"AKIAAAAAAAAAAAAAAAAA", ""} {
		s := w.Snapshot()
		_, err := s.AccessKeyLastUsed(w.grant(authz.IAMGetAccessKeyLastUsed, s.AccessKeyUserARN(testAccount, id)), testAccount, id)
		if !errors.Is(err, ErrNoSuchEntity) {
			t.Errorf("AccessKeyLastUsed(%q) = %v, want %v", id, err, ErrNoSuchEntity)
		}
	}
	s := w.Snapshot()
	if _, err := s.AccessKeyLastUsed(authz.Grant{}, testAccount, k.ID); !errors.Is(err, ErrNotPermitted) {
		t.Errorf("without a grant it is %v, want %v", err, ErrNotPermitted)
	}
	if got, want := s.AccessKeyUserARN("999999999999", k.ID), "arn:aws:iam::999999999999:user/"; got != want {
		t.Errorf("another account's key is of %q, want %q", got, want)
	}
	w.must(w.DeleteAccessKey(w.on(authz.IAMDeleteAccessKey, "ann"), testAccount, "ann", k.ID))
	w.must(w.store.View(func(tx *storage.Tx) error {
		return tx.Walk(kindLastUsed, "", func(path string, _ []byte) error { return errors.New("there is still a record of " + path) })
	}))
	w.reopen()
}

func TestCallerDoesNotAllocate(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	k := w.mustKey("ann")
	s := w.Snapshot()
	cred, _ := s.AccessKey(k.ID)
	if _, err := s.Caller(cred); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() { s.Caller(cred); w.NoteUsed(cred, now) }); n != 0 {
		t.Errorf("Caller and NoteUsed allocate %v times", n)
	}
}
