package iam

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
)

// assumable reports whether the user of a name, with a policy of its own that allows it only if so asked, may assume a role.
func (w *world) assumable(user, roleARN string) bool {
	w.t.Helper()
	r, _ := w.Snapshot().RoleResource(roleARN)
	g, _ := authz.Authorize(w.caller(user), authz.STSAssumeRole, r, &authz.Context{Time: time.Now()})
	return g.Permits(authz.STSAssumeRole, roleARN)
}

// Trust is in a user, and not in a name: it survives a new name, and does not pass to who is made under the old one.
func TestTrustIsInIDs(t *testing.T) {
	w := newWorld(t)
	ann := w.mustUser("ann")
	r := w.mustRole("batch", ann.ARN)
	w.mustUser("bob")
	if !w.assumable("ann", r.ARN) || w.assumable("bob", r.ARN) {
		t.Fatal("not just the user that is trusted may assume the role")
	}
	if _, err := w.renameUser("ann", "anna", "/new/"); err != nil {
		t.Fatal(err)
	}
	w.mustUser("ann")
	for range 2 {
		if !w.assumable("anna", r.ARN) {
			t.Error("a user who is trusted is not by another name")
		}
		if w.assumable("ann", r.ARN) {
			t.Error("a user under the name of one who is trusted is")
		}
		w.reopen()
	}
	w.must(w.deleteUser("ann"))
	w.must(w.deleteUser("anna"))
	w.mustUser("ann")
	for range 2 {
		if w.assumable("ann", r.ARN) {
			t.Error("a user made again is trusted")
		}
		w.reopen()
	}
}

// Trust in a session is in the role that it was of when it was trusted, which one that is made again is not.
func TestTrustInSessions(t *testing.T) {
	w := newWorld(t)
	batch := w.mustRole("batch", testAccount)
	night := "arn:aws:sts::" + testAccount + ":assumed-role/batch/night"
	worker := w.mustRole("worker", night)
	check := func(roleARN, session string, want bool) {
		t.Helper()
		c, ok := w.Snapshot().PrincipalCaller(testAccount, batch.ARN, session)
		if !ok {
			t.Fatalf("there is no caller of %s", batch.ARN)
		}
		r, _ := w.Snapshot().RoleResource(roleARN)
		g, d := authz.Authorize(c, authz.STSAssumeRole, r, &authz.Context{Time: time.Now()})
		if got := g.Permits(authz.STSAssumeRole, roleARN); got != want {
			t.Errorf("%s, of role %s, may assume %s: %v (%v), want %v", c.ARN, c.ID, roleARN, got, d.Reason, want)
		}
	}
	for range 2 {
		check(worker.ARN, "night", true)
		check(worker.ARN, "day", false)
		w.reopen()
	}
	w.must(w.DeleteRole(w.onRole(authz.IAMDeleteRole, "batch"), testAccount, "batch"))
	if _, err := w.createRole(NewRole{Name: "late", TrustPolicy: trusting(night)}); !errors.Is(err, ErrMalformedPolicy) {
		t.Errorf("CreateRole that trusts the session of a role that is gone = %v, want %v", err, ErrMalformedPolicy)
	}
	w.mustRole("batch", testAccount)
	for range 2 {
		check(worker.ARN, "night", false)
		w.reopen()
	}
	_, err := w.UpdateAssumeRolePolicy(w.onRole(authz.IAMUpdateAssumeRolePolicy, "worker"), testAccount, "worker", trusting(night))
	w.must(err)
	check(worker.ARN, "night", true)

	record := (&role{roleState: roleState{Role: worker, trust: trustPolicy{}}}).record() // as if it were stored without bindings
	w.swap(kindRole, join(testAccount, worker.ID), record)
	w.IAM = w.mustOpen()
	check(worker.ARN, "night", false)
	if list := w.Snapshot().UnusablePolicies(); len(list) > 0 {
		t.Errorf("a trust policy from before sessions were bound is unusable: %v", list[0].Err)
	}
}

func TestPrincipalIDOfSessions(t *testing.T) {
	w := newWorld(t)
	r, err := w.createRole(NewRole{Name: "Batch", Path: "/night/", TrustPolicy: trusting(testAccount)})
	w.must(err)
	ann := w.mustUser("Ann")
	const prefix = "arn:aws:sts::" + testAccount + ":assumed-role/"
	for _, session := range []string{"xy", "night", "a.b@c=d", "Batch", strings.Repeat("x", 64)} {
		if id, ok := w.Snapshot().PrincipalID(prefix + "Batch/" + session); !ok || id != r.ID {
			t.Errorf("PrincipalID of session %q = %q, %v, want %q", session, id, ok, r.ID)
		}
		if arn, ok := w.Snapshot().ARN(r.ID + ":" + session); !ok || arn != prefix+"Batch/"+session {
			t.Errorf("ARN of session %q = %q, %v", session, arn, ok)
		}
	}
	for _, arn := range []string{
		prefix, prefix + "Batch", prefix + "Batch/", prefix + "Batch/x", prefix + "Batch/" + strings.Repeat("x", 65), prefix + "batch/night", prefix + "BATCH/night",
		prefix + "night/Batch/night", prefix + "Batch/night/night", prefix + "Batch//night", prefix + "/night", prefix + "Ann/night", prefix + "Batch/ni:ht", prefix + "Batch/*",
		strings.Replace(prefix, ":sts:", ":iam:", 1) + "Batch/night", strings.Replace(prefix, "arn:aws:", "arn:aws-cn:", 1) + "Batch/night",
		strings.Replace(prefix, testAccount, "444455556666", 1) + "Batch/night", strings.Replace(prefix, "sts::", "sts:local:", 1) + "Batch/night",
		strings.Replace(prefix, "assumed-role", "role", 1) + "Batch/night", strings.Replace(prefix, "assumed-role", "Assumed-Role", 1) + "Batch/night",
		" " + prefix + "Batch/night", prefix + "Batch/night ", "x/assumed-role/Batch/night", r.ID + ":night",
	} {
		if id, ok := w.Snapshot().PrincipalID(arn); ok {
			t.Errorf("PrincipalID(%q) = %q, want none", arn, id)
		}
	}
	for _, id := range []string{r.ID + ":", r.ID + ":x", r.ID + ":a/b", r.ID + "::night", "AROAAAAAAAAAAAAAAAAAA:night", ":night", ann.ID + ":night", testAccount + ":night"} {
		if arn, ok := w.Snapshot().ARN(id); ok || arn != "" {
			t.Errorf("ARN(%q) = %q, want none", id, arn)
		}
	}
}

func TestTrustPolicies(t *testing.T) {
	w := newWorld(t)
	ann := w.mustUser("ann")
	first := w.mustRole("first", testAccount)
	rows := []struct {
		name  string
		trust string
		want  error
	}{
		{"a user", trusting(ann.ARN), nil},
		{"a role", trusting(first.ARN), nil},
		{"an account", trusting("999999999999"), nil},
		{"a user who does not exist", trusting(strings.Replace(ann.ARN, "ann", "bob", 1)), ErrMalformedPolicy},
		{"a user in another case", trusting(strings.Replace(ann.ARN, "ann", "Ann", 1)), ErrMalformedPolicy},
		{"itself, before it exists", trusting("arn:aws:iam::" + testAccount + ":role/itself"), ErrMalformedPolicy},
		{"a Resource", strings.Replace(trusting(ann.ARN), `"Action"`, `"Resource":"*","Action"`, 1), ErrMalformedPolicy},
		{"no Principal", allowing("sts:AssumeRole"), ErrMalformedPolicy},
		{"nothing", "", ErrMalformedPolicy},
		{"too much", strings.Replace(trusting(ann.ARN), `"Effect"`, `"Sid":"`+strings.Repeat("a", 4096)+`","Effect"`, 1), ErrLimitExceeded},
	}
	for _, r := range rows {
		got, err := w.createRole(NewRole{Name: "itself", TrustPolicy: r.trust})
		if !errors.Is(err, r.want) {
			t.Errorf("CreateRole that trusts %s = %v, want %v", r.name, err, r.want)
		}
		if err == nil {
			w.must(w.DeleteRole(w.onRole(authz.IAMDeleteRole, "itself"), testAccount, "itself"))
		} else if got != (Role{}) {
			t.Errorf("CreateRole that trusts %s returns %+v beside an error", r.name, got)
		}
	}
	if got, ok := w.Snapshot().RoleByARN(first.ARN); !ok || got != first {
		t.Errorf("RoleByARN = %+v, %v, want %+v", got, ok, first)
	}
	if got, ok := w.Snapshot().RoleByID(first.ID); !ok || got != first {
		t.Errorf("RoleByID = %+v, %v, want %+v", got, ok, first)
	}
	if id, ok := w.Snapshot().PrincipalID(first.ARN); !ok || id != first.ID {
		t.Errorf("PrincipalID = %q, %v, want %q", id, ok, first.ID)
	}
}

// A role that is not there is a resource that trusts nobody, whatever its ARN.
func TestRoleResource(t *testing.T) {
	w := newWorld(t)
	r := w.mustRole("batch", testAccount)
	w.must(w.TagRole(w.onRole(authz.IAMTagRole, "batch"), testAccount, "batch", []Tag{{"Team", "blue"}}))
	got, ok := w.Snapshot().RoleResource(r.ARN)
	if !ok || got.Kind != authz.Role || got.Account != testAccount || got.ARN != r.ARN || got.Policy == nil || got.Tags.Len() != 1 || got.Membership == nil {
		t.Errorf("RoleResource = %+v, %v", got, ok)
	}
	for _, arn := range []string{
		"", "x", r.ARN + "x", strings.ToUpper(r.ARN), strings.Replace(r.ARN, "role/", "user/", 1), strings.Replace(r.ARN, "role/", "role/x/", 1),
		strings.Replace(r.ARN, testAccount, "999999999999", 1), strings.Replace(r.ARN, "aws", "aws-cn", 1), r.ID,
	} {
		if got, ok := w.Snapshot().RoleResource(arn); ok || got.Policy != nil || got.Kind != authz.Role {
			t.Errorf("RoleResource(%q) = %+v, %v, want no role", arn, got, ok)
		}
		if got, ok := w.Snapshot().RoleByARN(arn); ok {
			t.Errorf("RoleByARN(%q) = %+v, want none", arn, got)
		}
		if id, ok := w.Snapshot().PrincipalID(arn); ok {
			t.Errorf("PrincipalID(%q) = %q, want none", arn, id)
		}
	}
}

func TestRoleLife(t *testing.T) {
	w := newWorld(t)
	p := w.mustPolicy("p", testPolicy)
	r, err := w.createRole(NewRole{
		Name: "Batch", Path: "/night/", Description: "runs", TrustPolicy: trusting(testAccount), MaxSessionDuration: 2 * time.Hour,
		PermissionsBoundary: p.ARN, Tags: []Tag{{"Team", "blue"}},
	})
	w.must(err)
	if !roleID.MatchString(r.ID) || r.ARN != "arn:aws:iam::111122223333:role/night/Batch" || r.PermissionsBoundary != p.ARN || r.MaxSessionDuration != 2*time.Hour {
		t.Errorf("CreateRole = %+v", r)
	}
	for _, bad := range []NewRole{
		{Name: "batch"},
		{Name: "x", MaxSessionDuration: time.Hour - time.Second},
		{Name: "x", MaxSessionDuration: 12*time.Hour + time.Second},
		{Name: "x", MaxSessionDuration: time.Hour + time.Millisecond},
		{Name: "x", Description: strings.Repeat("a", 1001)},
		{Name: "x", Description: "\x00"},
		{Name: "x", Path: "x"},
		{Name: "x", PermissionsBoundary: p.ARN + "x"},
		{Name: "x", Tags: []Tag{{"a", ""}, {"A", ""}}},
		{Name: strings.Repeat("x", 65)},
	} {
		bad.TrustPolicy = trusting(testAccount)
		if got, err := w.createRole(bad); err == nil {
			t.Errorf("CreateRole(%+v) = %+v", bad, got)
		}
	}
	update := func(u RoleUpdate) error {
		return w.UpdateRole(w.onRole(authz.IAMUpdateRole, "Batch"), testAccount, "Batch", u)
	}
	text, hours, tooLong := "walks", 12*time.Hour, 13*time.Hour
	w.must(update(RoleUpdate{Description: &text}))
	w.must(update(RoleUpdate{MaxSessionDuration: &hours}))
	if err := update(RoleUpdate{MaxSessionDuration: &tooLong}); !errors.Is(err, ErrValidation) {
		t.Errorf("UpdateRole to 13 hours = %v, want %v", err, ErrValidation)
	}
	if got, _ := w.Snapshot().Role(testAccount, "Batch"); got.Description != text || got.MaxSessionDuration != hours {
		t.Errorf("after UpdateRole it is %+v", got)
	}
	w.must(w.putRolePolicy("Batch", "inline", testPolicy))
	w.must(w.attachRole("Batch", p.ARN))
	c, err := w.Snapshot().roleCaller(r.ID)
	w.must(err)
	if c.Kind != authz.RoleSession || c.RoleARN != r.ARN || c.ID != r.ID || policyNames(c.Identity) != "inline "+p.ARN || c.Boundary.Name() != p.ARN || c.Tags.Len() != 1 {
		t.Errorf("roleCaller = %+v", c)
	}
	remove := func() error { return w.DeleteRole(w.onRole(authz.IAMDeleteRole, "Batch"), testAccount, "Batch") }
	if err := remove(); !errors.Is(err, ErrDeleteConflict) || !strings.Contains(err.Error(), "inline policies, attached policies") {
		t.Errorf("DeleteRole with policies = %v, want %v that names them", err, ErrDeleteConflict)
	}
	w.reopen()
	w.must(w.DetachRolePolicy(w.onRole(authz.IAMDetachRolePolicy, "Batch"), testAccount, "Batch", p.ARN))
	w.must(w.DeleteRolePolicy(w.onRole(authz.IAMDeleteRolePolicy, "Batch"), testAccount, "Batch", "inline"))
	w.must(remove())
	if _, err := w.Snapshot().roleCaller(r.ID); !errors.Is(err, ErrNoSuchEntity) {
		t.Errorf("roleCaller of a role that is gone = %v, want %v", err, ErrNoSuchEntity)
	}
	again, err := w.createRole(NewRole{Name: "Batch", Path: "/night/", TrustPolicy: trusting(testAccount)})
	if err != nil || again.ID == r.ID {
		t.Errorf("the role made again is %+v, %v", again, err)
	}
	w.reopen()
}
