package iam

import (
	"strings"
	"testing"

	"github.com/kmsd/kmsd/storage"
)

// A record of an entity that contradicts its path or another record stops Open, and the error names it.
func TestOpenRefusesBadEntities(t *testing.T) {
	w := newWorld(t)
	ann := w.mustUser("ann")
	ops := w.mustGroup("ops")
	batch := w.mustRole("batch", testAccount)
	p := w.mustPolicy("p", testPolicy)
	k := w.mustKey("ann")
	account, created := testAccount, present()
	user := func(f func(*userRecord)) []byte {
		r := userRecord{Version: 2, ID: ann.ID, Name: "ann", Path: "/", Created: created}
		f(&r)
		return encodeJSON(r)
	}
	group := func(f func(*groupRecord)) []byte {
		r := groupRecord{Version: 1, ID: ops.ID, Name: "ops", Path: "/", Created: created}
		f(&r)
		return encodeJSON(r)
	}
	role := func(f func(*roleRecord)) []byte {
		r := roleRecord{Version: 1, ID: batch.ID, Name: "batch", Path: "/", Created: created, MaxSession: 3600, Trust: trusting(account)}
		f(&r)
		return encodeJSON(r)
	}
	managed := func(f func(*managedRecord)) []byte {
		r := managedRecord{Version: 1, ID: p.ID, Name: "p", Path: "/", Created: created, Updated: created, Last: 1, Default: 1}
		f(&r)
		return encodeJSON(r)
	}
	inline := encodeJSON(policyRecord{Version: 1, Name: "q", Document: testPolicy, Updated: created})
	version := encodeJSON(versionRecord{Version: 1, Created: created, Document: testPolicy})
	none, annPath, opsPath, batchPath, policyPath := "ANPAAAAAAAAAAAAAAAAAA", join(account, ann.ID), join(account, ops.ID), join(account, batch.ID), join(account, p.ID)
	freshGroup, freshRole, freshPolicy := newGroupID(), newRoleID(), newPolicyID()
	rows := []struct {
		name  string
		kind  storage.Kind
		path  string
		value []byte
	}{
		{"a user of version 1 with tags", kindUser, annPath, user(func(r *userRecord) { r.Version, r.Tags = 1, tagSet{"a": "b"} })},
		{"a user with a policy that is not there", kindUser, annPath, user(func(r *userRecord) { r.Policies = []string{none} })},
		{"a user with a boundary that is not there", kindUser, annPath, user(func(r *userRecord) { r.Boundary = none })},
		{"a user in a group that is not there", kindUser, annPath, user(func(r *userRecord) { r.Groups = []string{freshGroup} })},
		{"a group under another id", kindGroup, join(account, freshGroup), group(func(*groupRecord) {})},
		{"a group with the id of a user", kindGroup, join(account, newUserID()), group(func(*groupRecord) {})},
		{"a group of no account", kindGroup, join("999900001111", freshGroup), group(func(r *groupRecord) { r.ID = freshGroup })},
		{"a group with another's name in another case", kindGroup, join(account, freshGroup), group(func(r *groupRecord) { r.ID, r.Name = freshGroup, "OPS" })},
		{"a group with a malformed name", kindGroup, opsPath, group(func(r *groupRecord) { r.Name = "a/b" })},
		{"a group with a policy that is not there", kindGroup, opsPath, group(func(r *groupRecord) { r.Policies = []string{none} })},
		{"a role with another's name in another case", kindRole, join(account, freshRole), role(func(r *roleRecord) { r.ID, r.Name = freshRole, "Batch" })},
		{"a role whose sessions are too long", kindRole, batchPath, role(func(r *roleRecord) { r.MaxSession = 43201 })},
		{"a role whose sessions are of a negative length", kindRole, batchPath, role(func(r *roleRecord) { r.MaxSession = -1 << 62 })},
		{"a role with a policy that is not there", kindRole, batchPath, role(func(r *roleRecord) { r.Policies = []string{none} })},
		{"a role with a boundary that is not there", kindRole, batchPath, role(func(r *roleRecord) { r.Boundary = none })},
		{"a role with a malformed path", kindRole, batchPath, role(func(r *roleRecord) { r.Path = "x" })},
		{"a managed policy with another's name in another case", kindPolicy, join(account, freshPolicy), managed(func(r *managedRecord) { r.ID, r.Name = freshPolicy, "P" })},
		{"a managed policy without its default version", kindPolicy, policyPath, managed(func(r *managedRecord) { r.Last, r.Default = 2, 2 })},
		{"a managed policy with the id of AWS's", kindPolicy, join(account, awsPolicyList[0].id), managed(func(r *managedRecord) { r.ID = awsPolicyList[0].id })},
		{"a version that was never given", kindPolicyVersion, join(policyPath, versionPath(2)), version},
		{"a version at a malformed path", kindPolicyVersion, join(policyPath, "1"), version},
		{"a version of nothing", kindPolicyVersion, join(account, freshPolicy, versionPath(1)), version},
		{"a version of a policy of AWS's", kindPolicyVersion, join(account, awsPolicyList[0].id, versionPath(1)), version},
		{"an inline policy of a group that is not there", kindGroupPolicy, join(account, freshGroup, "q"), inline},
		{"an inline policy of a group under another name", kindGroupPolicy, join(opsPath, "r"), inline},
		{"an inline policy of a role that is not there", kindRolePolicy, join(account, freshRole, "q"), inline},
		{"an inline policy of a role in another account", kindRolePolicy, join("999900001111", batch.ID, "q"), inline},
		{"the last use of an access key that is not there", kindLastUsed, join(annPath, newAccessKeyID()), encodeLastUse(1)},
		{"the last use of an access key, cut short", kindLastUsed, join(annPath, k.ID), encodeLastUse(1)[:4]},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			old := w.swap(r.kind, r.path, r.value)
			_, err := Open(Config{Store: w.store})
			w.swap(r.kind, r.path, old)
			if err == nil {
				t.Fatal("Open succeeds")
			}
			if last := r.path[strings.LastIndexByte(r.path, '/')+1:]; !strings.Contains(err.Error(), string(r.kind)+" \"") || !strings.Contains(err.Error(), last) {
				t.Errorf("Open = %v, which does not name the record", err)
			}
		})
	}
	w.reopen()
}
