package iam

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kmsd/kmsd/authz"
)

// Every operation on groups, roles and managed policies, and each of users that is not in TestOperationsNeedTheirGrant, asks for the grant of its own action on its own entity.
func TestEntityOperationsNeedTheirGrant(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	w.mustGroup("ops")
	r := w.mustRole("batch", testAccount)
	p := w.mustPolicy("p", testPolicy)
	k := w.mustKey("ann")
	w.must(w.putGroupPolicy("ops", "p", testPolicy))
	w.must(w.putRolePolicy("batch", "p", testPolicy))
	s := w.Snapshot()
	account, user, group := testAccount, s.UserARN(testAccount, "ann"), s.GroupARN(testAccount, "ops")
	tags := []Tag{{"a", "b"}}
	type op struct {
		action authz.Action
		arn    string
		do     func(g authz.Grant) error
	}
	ops := []op{
		{authz.IAMUpdateUser, user, func(g authz.Grant) error { _, err := w.UpdateUser(g, g, account, "ann", "", "/"); return err }},
		{authz.IAMTagUser, user, func(g authz.Grant) error { return w.TagUser(g, account, "ann", tags) }},
		{authz.IAMUntagUser, user, func(g authz.Grant) error { return w.UntagUser(g, account, "ann", []string{"a"}) }},
		{authz.IAMListUserTags, user, func(g authz.Grant) error { _, err := s.ListUserTags(g, account, "ann"); return err }},
		{authz.IAMPutUserPermissionsBoundary, user, func(g authz.Grant) error { return w.PutUserPermissionsBoundary(g, account, "ann", p.ARN) }},
		{authz.IAMDeleteUserPermissionsBoundary, user, func(g authz.Grant) error { return w.DeleteUserPermissionsBoundary(g, account, "ann") }},
		{authz.IAMAttachUserPolicy, user, func(g authz.Grant) error { return w.AttachUserPolicy(g, account, "ann", p.ARN) }},
		{authz.IAMDetachUserPolicy, user, func(g authz.Grant) error { return w.DetachUserPolicy(g, account, "ann", p.ARN) }},
		{authz.IAMListAttachedUserPolicies, user, func(g authz.Grant) error { _, err := s.ListAttachedUserPolicies(g, account, "ann"); return err }},
		{authz.IAMGetAccessKeyLastUsed, user, func(g authz.Grant) error { _, err := s.AccessKeyLastUsed(g, account, k.ID); return err }},
		{authz.IAMListGroupsForUser, user, func(g authz.Grant) error { _, err := s.ListGroupsForUser(g, account, "ann"); return err }},
		{authz.IAMCreateGroup, s.NewGroupARN(account, "/", "new"), func(g authz.Grant) error { _, err := w.CreateGroup(g, account, "new", ""); return err }},
		{authz.IAMGetGroup, group, func(g authz.Grant) error { _, _, err := s.GroupUsers(g, account, "ops", "", 1); return err }},
		{authz.IAMUpdateGroup, group, func(g authz.Grant) error { _, err := w.UpdateGroup(g, g, account, "ops", "", "/"); return err }},
		{authz.IAMAddUserToGroup, group, func(g authz.Grant) error { return w.AddUserToGroup(g, account, "ops", "ann") }},
		{authz.IAMRemoveUserFromGroup, group, func(g authz.Grant) error { return w.RemoveUserFromGroup(g, account, "ops", "ann") }},
		{authz.IAMPutGroupPolicy, group, func(g authz.Grant) error { _, err := w.PutGroupPolicy(g, account, "ops", "q", testPolicy); return err }},
		{authz.IAMGetGroupPolicy, group, func(g authz.Grant) error { _, err := s.GroupPolicy(g, account, "ops", "p"); return err }},
		{authz.IAMListGroupPolicies, group, func(g authz.Grant) error { _, err := s.ListGroupPolicies(g, account, "ops"); return err }},
		{authz.IAMAttachGroupPolicy, group, func(g authz.Grant) error { return w.AttachGroupPolicy(g, account, "ops", p.ARN) }},
		{authz.IAMDetachGroupPolicy, group, func(g authz.Grant) error { return w.DetachGroupPolicy(g, account, "ops", p.ARN) }},
		{authz.IAMListAttachedGroupPolicies, group, func(g authz.Grant) error { _, err := s.ListAttachedGroupPolicies(g, account, "ops"); return err }},
		{authz.IAMDeleteGroupPolicy, group, func(g authz.Grant) error {
			return errors.Join(w.DeleteGroupPolicy(g, account, "ops", "p"), ignore(w.DeleteGroupPolicy(g, account, "ops", "q")))
		}},
		{authz.IAMDeleteGroup, group, func(g authz.Grant) error { return w.DeleteGroup(g, account, "ops") }},
		{authz.IAMCreateRole, s.NewRoleARN(account, "/", "new"), func(g authz.Grant) error {
			_, err := w.CreateRole(g, account, NewRole{Name: "new", TrustPolicy: trusting(account)})
			return err
		}},
		{authz.IAMUpdateRole, r.ARN, func(g authz.Grant) error { return w.UpdateRole(g, account, "batch", RoleUpdate{}) }},
		{authz.IAMUpdateAssumeRolePolicy, r.ARN, func(g authz.Grant) error {
			_, err := w.UpdateAssumeRolePolicy(g, account, "batch", trusting(account))
			return err
		}},
		{authz.IAMTagRole, r.ARN, func(g authz.Grant) error { return w.TagRole(g, account, "batch", tags) }},
		{authz.IAMUntagRole, r.ARN, func(g authz.Grant) error { return w.UntagRole(g, account, "batch", []string{"a"}) }},
		{authz.IAMListRoleTags, r.ARN, func(g authz.Grant) error { _, err := s.ListRoleTags(g, account, "batch"); return err }},
		{authz.IAMPutRolePermissionsBoundary, r.ARN, func(g authz.Grant) error { return w.PutRolePermissionsBoundary(g, account, "batch", p.ARN) }},
		{authz.IAMDeleteRolePermissionsBoundary, r.ARN, func(g authz.Grant) error { return w.DeleteRolePermissionsBoundary(g, account, "batch") }},
		{authz.IAMGetRolePolicy, r.ARN, func(g authz.Grant) error { _, err := s.RolePolicy(g, account, "batch", "p"); return err }},
		{authz.IAMListRolePolicies, r.ARN, func(g authz.Grant) error { _, err := s.ListRolePolicies(g, account, "batch"); return err }},
		{authz.IAMPutRolePolicy, r.ARN, func(g authz.Grant) error { _, err := w.PutRolePolicy(g, account, "batch", "p", testPolicy); return err }},
		{authz.IAMDeleteRolePolicy, r.ARN, func(g authz.Grant) error { return w.DeleteRolePolicy(g, account, "batch", "p") }},
		{authz.IAMAttachRolePolicy, r.ARN, func(g authz.Grant) error { return w.AttachRolePolicy(g, account, "batch", p.ARN) }},
		{authz.IAMDetachRolePolicy, r.ARN, func(g authz.Grant) error { return w.DetachRolePolicy(g, account, "batch", p.ARN) }},
		{authz.IAMListAttachedRolePolicies, r.ARN, func(g authz.Grant) error { _, err := s.ListAttachedRolePolicies(g, account, "batch"); return err }},
		{authz.IAMDeleteRole, r.ARN, func(g authz.Grant) error { return w.DeleteRole(g, account, "batch") }},
		{authz.IAMCreatePolicy, s.NewPolicyARN(account, "/", "new"), func(g authz.Grant) error {
			_, err := w.CreatePolicy(g, account, NewPolicy{Name: "new", Document: testPolicy})
			return err
		}},
		{authz.IAMCreatePolicyVersion, p.ARN, func(g authz.Grant) error {
			_, err := w.CreatePolicyVersion(g, account, p.ARN, testPolicy, false)
			return err
		}},
		{authz.IAMSetDefaultPolicyVersion, p.ARN, func(g authz.Grant) error { return w.SetDefaultPolicyVersion(g, account, p.ARN, "v2") }},
		{authz.IAMDeletePolicyVersion, p.ARN, func(g authz.Grant) error { return w.DeletePolicyVersion(g, account, p.ARN, "v1") }},
		{authz.IAMGetPolicyVersion, p.ARN, func(g authz.Grant) error { _, err := s.PolicyVersion(g, account, p.ARN, "v1"); return err }},
		{authz.IAMListPolicyVersions, p.ARN, func(g authz.Grant) error { _, err := s.ListPolicyVersions(g, account, p.ARN); return err }},
		{authz.IAMListEntitiesForPolicy, p.ARN, func(g authz.Grant) error { _, err := s.PolicyEntities(g, account, p.ARN); return err }},
		{authz.IAMDeletePolicy, p.ARN, func(g authz.Grant) error { return w.DeletePolicy(g, account, p.ARN) }},
	}
	before := dump(t, s)
	for _, o := range ops {
		for name, g := range map[string]authz.Grant{
			"the zero grant": {}, "a grant on another entity": w.grant(o.action, o.arn+"x"), "a grant for another action": w.grant(authz.IAMGetUser, o.arn),
		} {
			if err := o.do(g); !errors.Is(err, ErrNotPermitted) {
				t.Errorf("%v with %s = %v, want %v", o.action, name, err, ErrNotPermitted)
			}
		}
	}
	if diff := cmp.Diff(before, dump(t, w.Snapshot())); diff != "" {
		t.Errorf("an operation that was not permitted changed something:\n%s", diff)
	}
	for _, o := range ops {
		if err := o.do(w.grant(o.action, o.arn)); err != nil {
			t.Errorf("%v with its grant = %v, want nil", o.action, err)
		}
	}
	w.reopen()
}

// ignore is nil for an entity that is not there.
func ignore(err error) error {
	if errors.Is(err, ErrNoSuchEntity) {
		return nil
	}
	return err
}

// A new name needs permission for where the entity is and for where it goes to, and tags need it when something is made.
func TestMovesAndTagsNeedBothGrants(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	w.mustGroup("ops")
	s := w.Snapshot()
	from, group := w.on(authz.IAMUpdateUser, "ann"), w.onGroup(authz.IAMUpdateGroup, "ops")
	if _, err := w.UpdateUser(from, from, testAccount, "ann", "bob", ""); !errors.Is(err, ErrNotPermitted) {
		t.Errorf("UpdateUser without a grant for the new name = %v, want %v", err, ErrNotPermitted)
	}
	if _, err := w.UpdateGroup(group, group, testAccount, "ops", "", "/x/"); !errors.Is(err, ErrNotPermitted) {
		t.Errorf("UpdateGroup without a grant for the new path = %v, want %v", err, ErrNotPermitted)
	}
	_, err := w.CreateUser(w.grant(authz.IAMCreateUser, s.NewUserARN(testAccount, "/", "x")), testAccount, NewUser{Name: "x", Tags: []Tag{{"a", ""}}})
	if !errors.Is(err, ErrNotPermitted) {
		t.Errorf("CreateUser with tags and without a grant for them = %v, want %v", err, ErrNotPermitted)
	}
	_, err = w.CreateRole(w.grant(authz.IAMCreateRole, s.NewRoleARN(testAccount, "/", "x")), testAccount,
		NewRole{Name: "x", TrustPolicy: trusting(testAccount), Tags: []Tag{{"a", ""}}})
	if !errors.Is(err, ErrNotPermitted) {
		t.Errorf("CreateRole with tags and without a grant for them = %v, want %v", err, ErrNotPermitted)
	}
}
