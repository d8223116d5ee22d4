package iam

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kmsd/kmsd/authz"
)

func TestPolicyVersions(t *testing.T) {
	w := newWorld(t)
	p := w.mustPolicy("p", testPolicy)
	if !policyID.MatchString(p.ID) || p.ARN != "arn:aws:iam::111122223333:policy/p" || p.DefaultVersion != "v1" {
		t.Errorf("CreatePolicy = %+v", p)
	}
	set := func(v string) error {
		return w.SetDefaultPolicyVersion(w.grant(authz.IAMSetDefaultPolicyVersion, p.ARN), testAccount, p.ARN, v)
	}
	remove := func(v string) error {
		return w.DeletePolicyVersion(w.grant(authz.IAMDeletePolicyVersion, p.ARN), testAccount, p.ARN, v)
	}
	list := func() string {
		t.Helper()
		versions, err := w.Snapshot().ListPolicyVersions(w.grant(authz.IAMListPolicyVersions, p.ARN), testAccount, p.ARN)
		w.must(err)
		var texts []string
		for _, v := range versions {
			text := v.ID
			if v.Default {
				text += "*"
			}
			texts = append(texts, text)
		}
		return strings.Join(texts, " ")
	}
	for n := 2; n <= 5; n++ {
		v, err := w.newVersion(p.ARN, allowing("iam:*"), n == 3)
		if err != nil || v.ID != fmt.Sprintf("v%d", n) || v.Default != (n == 3) || v.Document != allowing("iam:*") {
			t.Errorf("CreatePolicyVersion = %+v, %v, want v%d", v, err, n)
		}
	}
	if got, want := list(), "v5 v4 v3* v2 v1"; got != want {
		t.Errorf("ListPolicyVersions = %s, want %s", got, want)
	}
	if err := remove("v3"); !errors.Is(err, ErrDeleteConflict) {
		t.Errorf("deleting the default version = %v, want %v", err, ErrDeleteConflict)
	}
	w.must(remove("v5"))
	w.must(set("v1"))
	w.must(remove("v3"))
	v, err := w.newVersion(p.ARN, testPolicy, false)
	if err != nil || v.ID != "v6" {
		t.Errorf("a version made after v5 was deleted is %+v, %v, want v6", v, err)
	}
	w.reopen()
	if got, want := list(), "v6 v4 v2 v1*"; got != want {
		t.Errorf("ListPolicyVersions = %s, want %s", got, want)
	}
	for v, want := range map[string]error{"v5": ErrNoSuchEntity, "": ErrValidation, "v": ErrValidation, "v01": ErrValidation, "V1": ErrValidation, "1": ErrValidation, "v-1": ErrValidation, "v99999999999999999999": ErrValidation, "v1 ": ErrValidation} {
		if err := set(v); !errors.Is(err, want) {
			t.Errorf("SetDefaultPolicyVersion(%q) = %v, want %v", v, err, want)
		}
		if err := remove(v); !errors.Is(err, want) {
			t.Errorf("DeletePolicyVersion(%q) = %v, want %v", v, err, want)
		}
		if _, err := w.Snapshot().PolicyVersion(w.grant(authz.IAMGetPolicyVersion, p.ARN), testAccount, p.ARN, v); !errors.Is(err, want) {
			t.Errorf("PolicyVersion(%q) = %v, want %v", v, err, want)
		}
	}
	if err := w.DeletePolicy(w.grant(authz.IAMDeletePolicy, p.ARN), testAccount, p.ARN); !errors.Is(err, ErrDeleteConflict) {
		t.Errorf("DeletePolicy with versions = %v, want %v", err, ErrDeleteConflict)
	}
}

// AWS's policies are in every account, do what they are for, and cannot be changed.
func TestAWSPolicies(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	rows := map[string]struct{ may, mayNot authz.Action }{
		"AdministratorAccess":              {authz.KMSGenerateRandom, 0},
		"ReadOnlyAccess":                   {authz.IAMListRoles, authz.KMSCreateKey},
		"IAMFullAccess":                    {authz.IAMListRoles, authz.KMSCreateKey},
		"IAMReadOnlyAccess":                {authz.IAMListRoles, authz.KMSCreateKey},
		"AWSKeyManagementServicePowerUser": {authz.KMSCreateKey, authz.IAMListPolicies},
		"SecurityAudit":                    {authz.KMSListKeys, authz.KMSCreateKey},
	}
	policies, more := w.Snapshot().Policies("aws", "", 100)
	if len(policies) != len(rows) || more {
		t.Errorf("there are %d policies of AWS's, want %d", len(policies), len(rows))
	}
	for _, p := range policies {
		row, ok := rows[p.Name]
		if !ok || p.ARN != "arn:aws:iam::aws:policy/"+p.Name || !policyID.MatchString(p.ID) {
			t.Errorf("there is the policy %+v", p)
		}
		w.must(w.attachUser("ann", p.ARN))
		if !w.userMay("ann", row.may) || row.mayNot != 0 && w.userMay("ann", row.mayNot) {
			t.Errorf("with %s a user may %v: %v, and %v: %v; want true, false", p.Name, row.may, w.userMay("ann", row.may), row.mayNot, w.userMay("ann", row.mayNot))
		}
		_, versionErr := w.newVersion(p.ARN, testPolicy, true)
		for what, err := range map[string]error{
			"CreatePolicyVersion":     versionErr,
			"SetDefaultPolicyVersion": w.SetDefaultPolicyVersion(w.grant(authz.IAMSetDefaultPolicyVersion, p.ARN), testAccount, p.ARN, "v1"),
			"DeletePolicyVersion":     w.DeletePolicyVersion(w.grant(authz.IAMDeletePolicyVersion, p.ARN), testAccount, p.ARN, "v1"),
			"DeletePolicy":            w.DeletePolicy(w.grant(authz.IAMDeletePolicy, p.ARN), testAccount, p.ARN),
		} {
			if !errors.Is(err, ErrUnmodifiable) {
				t.Errorf("%s of %s = %v, want %v", what, p.Name, err, ErrUnmodifiable)
			}
		}
		w.must(w.detachUser("ann", p.ARN))
	}
	w.reopen()
}

// What is attached is in the order in which it was attached, and each is detached by itself.
func TestAttachments(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	w.mustGroup("ops")
	w.mustRole("batch", testAccount)
	p, q := w.mustPolicy("p", testPolicy), w.mustPolicy("q", testPolicy)
	for _, arn := range []string{q.ARN, adminARN, p.ARN} {
		w.must(w.attachUser("ann", arn))
		w.must(w.attachUser("ann", arn))
	}
	w.must(w.attachGroup("ops", p.ARN))
	w.must(w.attachRole("batch", p.ARN))
	w.must(w.PutUserPermissionsBoundary(w.on(authz.IAMPutUserPermissionsBoundary, "ann"), testAccount, "ann", q.ARN))
	w.must(w.PutRolePermissionsBoundary(w.onRole(authz.IAMPutRolePermissionsBoundary, "batch"), testAccount, "batch", p.ARN))
	w.reopen()
	attached := func() string {
		list, err := w.Snapshot().ListAttachedUserPolicies(w.on(authz.IAMListAttachedUserPolicies, "ann"), testAccount, "ann")
		w.must(err)
		var text []string
		for _, p := range list {
			text = append(text, p.Name)
		}
		return strings.Join(text, " ")
	}
	if got, want := attached(), "q AdministratorAccess p"; got != want {
		t.Errorf("attached are %s, want %s", got, want)
	}
	e, err := w.Snapshot().PolicyEntities(w.grant(authz.IAMListEntitiesForPolicy, p.ARN), testAccount, p.ARN)
	w.must(err)
	ann, _ := w.Snapshot().User(testAccount, "ann")
	ops, _ := w.Snapshot().Group(testAccount, "ops")
	batch, _ := w.Snapshot().Role(testAccount, "batch")
	want := PolicyEntities{
		Users: []PolicyEntity{{ann.ID, "ann", "/"}}, Groups: []PolicyEntity{{ops.ID, "ops", "/"}}, Roles: []PolicyEntity{{batch.ID, "batch", "/"}},
		BoundedRoles: []PolicyEntity{{batch.ID, "batch", "/"}},
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("PolicyEntities (-want +got):\n%s", diff)
	}
	admin, _ := w.Snapshot().Policy(adminARN)
	if diff := cmp.Diff(map[string]PolicyUse{p.ID: {3, 1}, q.ID: {1, 1}, admin.ID: {1, 0}}, w.Snapshot().PolicyUse(testAccount)); diff != "" {
		t.Errorf("PolicyUse (-want +got):\n%s", diff)
	}
	err = w.DeletePolicy(w.grant(authz.IAMDeletePolicy, p.ARN), testAccount, p.ARN)
	if !errors.Is(err, ErrDeleteConflict) || !strings.HasSuffix(err.Error(), "the policy still has users, groups, roles, roles whose boundary it is") {
		t.Errorf("DeletePolicy of one that is attached = %v, want %v that says to whom", err, ErrDeleteConflict)
	}
	w.must(w.detachUser("ann", adminARN))
	if got, want := attached(), "q p"; got != want {
		t.Errorf("attached are %s, want %s", got, want)
	}
	for _, arn := range []string{adminARN, "", "x", p.ID, strings.ToUpper(p.ARN), p.ARN + "/", strings.Replace(p.ARN, testAccount, "aws", 1)} {
		if err := w.detachUser("ann", arn); !errors.Is(err, ErrNoSuchEntity) {
			t.Errorf("detaching %q = %v, want %v", arn, err, ErrNoSuchEntity)
		}
		if err := w.attachUser("ann", arn); arn != adminARN && !errors.Is(err, ErrNoSuchEntity) {
			t.Errorf("attaching %q = %v, want %v", arn, err, ErrNoSuchEntity)
		}
	}
}

// A managed policy of another account is as one that does not exist.
func TestForeignPolicies(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	s := *w.Snapshot()
	arn := s.NewPolicyARN("999999999999", "/", "p")
	s.setPolicy(nil, &managed{Policy: Policy{Account: "999999999999", ID: newPolicyID(), Name: "p", Path: "/", ARN: arn}})
	w.IAM.snapshot.Store(&s)
	none := w.attachUser("ann", arn+"x")
	for what, err := range map[string]error{
		"attaching":  w.attachUser("ann", arn),
		"a boundary": w.PutUserPermissionsBoundary(w.on(authz.IAMPutUserPermissionsBoundary, "ann"), testAccount, "ann", arn),
		"a version":  func() error { _, err := w.newVersion(arn, testPolicy, true); return err }(),
		"deleting":   w.DeletePolicy(w.grant(authz.IAMDeletePolicy, arn), testAccount, arn),
		"listing": func() error {
			_, err := w.Snapshot().ListPolicyVersions(w.grant(authz.IAMListPolicyVersions, arn), testAccount, arn)
			return err
		}(),
	} {
		if !errors.Is(err, ErrNoSuchEntity) || err.Error() != none.Error() {
			t.Errorf("%s with another account's policy = %v, want %v", what, err, none)
		}
	}
	if _, ok := w.Snapshot().ManagedPolicy(testAccount, arn); ok {
		t.Error("another account's policy can be a session policy")
	}
}

func TestGroupMembers(t *testing.T) {
	w := newWorld(t)
	w.mustGroup("ops")
	var want []string
	for n := range 25 {
		name := fmt.Sprintf("u%02d", n)
		w.mustUser(name)
		if n%2 == 0 {
			w.must(w.addToGroup("ops", name))
			w.must(w.addToGroup("ops", name))
			want = append(want, name)
		}
	}
	var got []string
	for after, more := "", true; more; {
		var page []User
		var err error
		page, more, err = w.Snapshot().GroupUsers(w.onGroup(authz.IAMGetGroup, "ops"), testAccount, "ops", after, 5)
		w.must(err)
		for _, u := range page {
			got = append(got, u.Name)
		}
		after = got[len(got)-1]
	}
	if !slices.Equal(got, want) {
		t.Errorf("the members are %v, want %v", got, want)
	}
	err := w.DeleteGroup(w.onGroup(authz.IAMDeleteGroup, "ops"), testAccount, "ops")
	if !errors.Is(err, ErrDeleteConflict) || !strings.HasSuffix(err.Error(), "the group still has users") {
		t.Errorf("DeleteGroup with members = %v, want %v", err, ErrDeleteConflict)
	}
	err = w.deleteUser("u00")
	if !errors.Is(err, ErrDeleteConflict) || !strings.HasSuffix(err.Error(), "the user still has groups") {
		t.Errorf("DeleteUser of a member = %v, want %v", err, ErrDeleteConflict)
	}
	if err := w.addToGroup("ops", RootName); !errors.Is(err, ErrValidation) {
		t.Errorf("a root user in a group = %v, want %v", err, ErrValidation)
	}
	groups, err := w.Snapshot().ListGroupsForUser(w.on(authz.IAMListGroupsForUser, "u00"), testAccount, "u00")
	if err != nil || len(groups) != 1 || groups[0].Name != "ops" {
		t.Errorf("ListGroupsForUser = %v, %v", groups, err)
	}
	if g, err := w.renameGroup("ops", "OPS", "/x/"); err != nil || g.ARN != "arn:aws:iam::111122223333:group/x/OPS" {
		t.Errorf("UpdateGroup = %+v, %v", g, err)
	}
	w.reopen()
	if groups, _ := w.Snapshot().ListGroupsForUser(w.on(authz.IAMListGroupsForUser, "u00"), testAccount, "u00"); len(groups) != 1 || groups[0].Name != "OPS" {
		t.Errorf("after a new name ListGroupsForUser = %v", groups)
	}
}

// Credentials follow a user to another name.
func TestRenamedUserKeepsCredentials(t *testing.T) {
	w := newWorld(t)
	u := w.mustUser("ann")
	k := w.mustKey("ann")
	c, err := w.createCertificate("ann", newCSR(t, ecdsaKey(t)), 0)
	w.must(err)
	w.must(w.putPolicy("ann", "p", testPolicy))
	got, err := w.renameUser("ann", "Ann", "/x/")
	if err != nil || got.ID != u.ID || got.Name != "Ann" || got.ARN != "arn:aws:iam::111122223333:user/x/Ann" {
		t.Fatalf("UpdateUser = %+v, %v", got, err)
	}
	for range 2 {
		s := w.Snapshot()
		byKey, ok1 := s.AccessKey(k.ID)
		byCertificate, ok2 := s.Certificate(c.Fingerprint)
		if !ok1 || !ok2 || byKey.UserName != "Ann" || byCertificate.UserName != "Ann" {
			t.Fatalf("the credentials are %+v and %+v", byKey, byCertificate)
		}
		caller, err := s.Caller(byCertificate)
		if err != nil || caller.ARN != got.ARN || caller.UserName != "Ann" || len(caller.Identity) != 1 {
			t.Errorf("the caller is %+v, %v", caller, err)
		}
		if _, ok := s.User(testAccount, "ann"); ok {
			t.Error("the old name is still somebody's")
		}
		if _, ok := s.PrincipalID(u.ARN); ok {
			t.Error("the old ARN is still somebody's")
		}
		w.reopen()
	}
	w.mustUser("bob")
	for _, bad := range [][2]string{{"bob", ""}, {"BOB", ""}} {
		if _, err := w.renameUser("Ann", bad[0], bad[1]); !errors.Is(err, ErrEntityExists) {
			t.Errorf("UpdateUser to %q = %v, want %v", bad[0], err, ErrEntityExists)
		}
	}
	for _, bad := range [][2]string{{"a b", ""}, {"", "x"}, {RootName, ""}, {"", "/../"}} {
		if _, err := w.renameUser("Ann", bad[0], bad[1]); !errors.Is(err, ErrValidation) {
			t.Errorf("UpdateUser to %q = %v, want %v", bad, err, ErrValidation)
		}
	}
	if _, err := w.renameUser(RootName, "x", ""); !errors.Is(err, ErrValidation) {
		t.Errorf("UpdateUser of the root user = %v, want %v", err, ErrValidation)
	}
}
