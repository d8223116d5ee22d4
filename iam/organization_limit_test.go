package iam

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
)

// violation is the Reason of a ConstraintViolationError, and "" if err is nil.
func violation(t *testing.T, err error) string {
	t.Helper()
	var v *ConstraintViolationError
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &v) || !errors.Is(err, ErrConstraintViolation):
		t.Fatalf("%v is no ConstraintViolationError", err)
	}
	return v.Reason
}

// Each limit lets in as many as it says, and not one more.
func TestOrganizationLimits(t *testing.T) {
	w := newOrgWorld(t)
	root := w.rootID()
	w.fill(MaxOrganizationalUnits-MaxUnitDepth-1, MaxAccounts-2, MaxOrgPolicies-1)

	parent := root
	for depth := range MaxUnitDepth {
		parent = w.mustUnit(parent, fmt.Sprintf("level %d", depth+1))
	}
	_, err := w.createUnit(parent, "too deep")
	expectViolation(t, "a unit six levels deep", err, "OU_DEPTH_LIMIT_EXCEEDED")
	_, err = w.createUnit(root, "the last")
	expectViolation(t, "the last unit", err, "")
	_, err = w.createUnit(root, "one more")
	expectViolation(t, "a unit more", err, "OU_NUMBER_LIMIT_EXCEEDED")

	last, err := w.createAccount(CreateAccount{Name: "the last"})
	expectViolation(t, "the last account", err, "")
	_, err = w.createAccount(CreateAccount{Name: "one more"})
	expectViolation(t, "an account more", err, "ACCOUNT_NUMBER_LIMIT_EXCEEDED")
	expectViolation(t, "closing the last account", w.closeAccount(last.Account.ID), "")
	_, err = w.createAccount(CreateAccount{Name: "one more"})
	expectViolation(t, "an account more where one is closed", err, "ACCOUNT_NUMBER_LIMIT_EXCEEDED")
	expectViolation(t, "moving an account to the lowest unit", w.move(last.Account.ID, root, parent), "")
	if m := w.Snapshot().Membership(last.Account.ID); len(m.SCPs) != 1+MaxUnitDepth+1+1 || strings.Count(m.Path, "/") != 2+MaxUnitDepth {
		t.Errorf("the closed account in the lowest unit has %d levels at %s", len(m.SCPs), m.Path)
	}
	expectViolation(t, "closing the management account", w.closeAccount(orgManagement), "CANNOT_CLOSE_MANAGEMENT_ACCOUNT")

	for n, kind := range orgPolicyTypes {
		document := [2]string{denyEncryptSCP, denyEncryptRCP}[n]
		testPolicyLimits(t, w, kind, document)
	}
	w.reopen()
}

func expectViolation(t *testing.T, what string, err error, want string) {
	t.Helper()
	if got := violation(t, err); got != want {
		t.Errorf("%s = %q, want %q", what, got, want)
	}
}

func testPolicyLimits(t *testing.T, w *orgWorld, kind authz.PolicyKind, document string) {
	t.Helper()
	_, err := w.createPolicy("too large", kind, document+strings.Repeat(" ", MaxOrgPolicyBytes+1-len(document)))
	expectViolation(t, "a policy that is too large", err, "POLICY_CONTENT_LIMIT_EXCEEDED")
	_, err = w.createPolicy("the last", kind, document+strings.Repeat(" ", MaxOrgPolicyBytes-len(document)))
	expectViolation(t, "the last policy", err, "")
	_, err = w.createPolicy("one more", kind, document)
	expectViolation(t, "a policy more", err, "POLICY_NUMBER_LIMIT_EXCEEDED")

	list, _, err := w.Snapshot().OrgPolicies(kind, "p-a", MaxOrgPage) // after those of AWS, whose ids have capitals
	if err != nil || len(list) < MaxAttachedOrgPolicies {
		t.Fatalf("OrgPolicies = %d policies, %v", len(list), err)
	}
	target := w.rootID()
	for n := range MaxAttachedOrgPolicies - 1 {
		w.mustAttach(list[n].ID, target)
	}
	expectViolation(t, "a sixth policy on the root", w.attach(list[MaxAttachedOrgPolicies-1].ID, target), "MAX_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED")
	full := firstPolicies()[typeIndex(kind)]
	if kind == authz.ResourceControlPolicy {
		expectViolation(t, "detaching RCPFullAWSAccess", w.detach(full, target), "MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED")
		return
	}
	expectViolation(t, "detaching FullAWSAccess where there are others", w.detach(full, target), "")
	for n := range MaxAttachedOrgPolicies - 2 {
		expectViolation(t, "detaching a policy", w.detach(list[n].ID, target), "")
	}
	expectViolation(t, "detaching the last one", w.detach(list[MaxAttachedOrgPolicies-2].ID, target), "MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED")
	expectViolation(t, "attaching FullAWSAccess again", w.attach(full, target), "")
	if err := w.deletePolicy(full); !errors.Is(err, ErrOrgPolicyImmutable) {
		t.Errorf("deleting a policy of AWS = %v, want ErrOrgPolicyImmutable", err)
	}
}

func TestOrgPolicyRefuses(t *testing.T) {
	w := newOrgWorld(t)
	for name, r := range map[string]struct {
		CreateOrgPolicy
		want error
	}{
		"a policy of another kind":               {CreateOrgPolicy{Name: "x", Type: authz.IdentityPolicy, Content: denyEncryptSCP}, ErrValidation},
		"a policy of no kind":                    {CreateOrgPolicy{Name: "x", Content: denyEncryptSCP}, ErrValidation},
		"a name that is too long":                {CreateOrgPolicy{Name: strings.Repeat("x", 129), Type: authz.ServiceControlPolicy, Content: denyEncryptSCP}, ErrValidation},
		"a description that is too long":         {CreateOrgPolicy{Name: "x", Description: strings.Repeat("ä", 513), Type: authz.ServiceControlPolicy, Content: denyEncryptSCP}, ErrValidation},
		"a description that is no UTF-8":         {CreateOrgPolicy{Name: "x", Description: "\xff", Type: authz.ServiceControlPolicy, Content: denyEncryptSCP}, ErrValidation},
		"no document":                            {CreateOrgPolicy{Name: "x", Type: authz.ServiceControlPolicy}, ErrMalformedPolicy},
		"an SCP with a Principal":                {CreateOrgPolicy{Name: "x", Type: authz.ServiceControlPolicy, Content: denyEncryptRCP}, ErrMalformedPolicy},
		"an RCP without a Principal":             {CreateOrgPolicy{Name: "x", Type: authz.ResourceControlPolicy, Content: denyEncryptSCP}, ErrMalformedPolicy},
		"an RCP that allows":                     {CreateOrgPolicy{Name: "x", Type: authz.ResourceControlPolicy, Content: strings.Replace(denyEncryptRCP, "Deny", "Allow", 1)}, ErrMalformedPolicy},
		"an SCP by the name of AWS's":            {CreateOrgPolicy{Name: "fullawsaccess", Type: authz.ServiceControlPolicy, Content: denyEncryptSCP}, ErrDuplicateOrgPolicy},
		"an SCP by the name of the other type's": {CreateOrgPolicy{Name: "RCPFullAWSAccess", Type: authz.ServiceControlPolicy, Content: denyEncryptSCP}, nil},
	} {
		_, err := w.CreateOrgPolicy(w.grant(authz.OrganizationsCreatePolicy, "*"), r.CreateOrgPolicy)
		if r.want == nil && err != nil || !errors.Is(err, r.want) {
			t.Errorf("CreateOrgPolicy with %s = %v, want %v", name, err, r.want)
		}
	}
	text := "what it is for"
	policy := w.mustPolicy("p", authz.ServiceControlPolicy, denyEncryptSCP)
	if err := w.updatePolicy(UpdateOrgPolicy{ID: policy, Description: &text}); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	if p, err := w.Snapshot().OrgPolicy(policy); err != nil || p.Description != text || p.Name != "p" || p.Content != denyEncryptSCP {
		t.Errorf("after its description was set, the policy is %+v, %v", p, err)
	}
	if p, err := w.Snapshot().OrgPolicy(FullAWSAccessID); err != nil || !p.AWSManaged || p.Content != authz.FullAWSAccess {
		t.Errorf("OrgPolicy(%q) = %+v, %v", FullAWSAccessID, p, err)
	}
}

// Readers of a snapshot see one state of the tree, whatever is changed meanwhile.
func TestMembershipWhileChanging(t *testing.T) {
	w := newOrgWorld(t)
	root, account := w.rootID(), w.mustAccount("account").Account.ID
	unit := w.mustUnit(root, "unit")
	policy := w.mustPolicy("policy", authz.ServiceControlPolicy, denyEncryptSCP)
	w.mustAttach(policy, unit) // so that an account is under the policy if and only if it is in the unit
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				s := w.Snapshot()
				m := s.Membership(account)
				parent, err := s.Parent(account)
				inUnit := err == nil && parent.ID == unit
				if inUnit != (len(m.SCPs) == 3) || inUnit != strings.Contains(m.Path, unit) || inUnit && len(m.SCPs[1]) != 2 {
					t.Errorf("in the unit %v, the account has %s", inUnit, boundBy(m))
					return
				}
			}
		})
	}
	for range 30 {
		if err := w.move(account, root, unit); err != nil {
			t.Error(err)
		}
		if err := w.move(account, unit, root); err != nil {
			t.Error(err)
		}
	}
	close(done)
	readers.Wait()
}

// A change at the root is there for every account with the next snapshot, and costs no more with many accounts.
func TestChangeAtTheRootIsCheap(t *testing.T) {
	if testing.Short() {
		t.Skip("10,000 accounts")
	}
	w := newOrgWorld(t)
	w.fill(100, MaxAccounts-1, 1)
	policy := w.mustPolicy("deny", authz.ServiceControlPolicy, allowKMSSCP)
	s := w.Snapshot()
	best := time.Hour
	for range 20 {
		began := time.Now()
		n := s.organization.root.clone()
		n.policies = append(n.policies, policy)
		o := *s.organization
		o.put(n)
		o.endEra()
		best = min(best, time.Since(began))
	}
	if best > time.Millisecond {
		t.Errorf("a change at the root takes %v, want at most 1 ms", best)
	}
	w.mustAttach(policy, w.rootID())
	for id := range w.Snapshot().organization.byID.All() {
		if m := w.Snapshot().Membership(id); len(m.SCPs[0]) != 2 {
			t.Fatalf("%s has %d policies from the root, want 2", id, len(m.SCPs[0]))
		}
	}
}

// A unit goes when nothing is in it, with what was attached to it.
func TestDeleteOrganizationalUnit(t *testing.T) {
	w := newOrgWorld(t)
	outer := w.mustUnit(w.rootID(), "outer")
	inner := w.mustUnit(outer, "inner")
	account, policy := w.mustAccount("account").Account.ID, w.mustPolicy("policy", authz.ServiceControlPolicy, allowKMSSCP)
	w.mustAttach(policy, inner)
	if err := w.move(account, w.rootID(), inner); err != nil {
		t.Fatal(err)
	}
	for _, unit := range []string{outer, inner} {
		if err := w.deleteUnit(unit); !errors.Is(err, ErrOrganizationalUnitNotEmpty) {
			t.Errorf("deleting a unit with something in it = %v, want ErrOrganizationalUnitNotEmpty", err)
		}
	}
	if err := w.deletePolicy(policy); !errors.Is(err, ErrOrgPolicyInUse) {
		t.Errorf("deleting a policy that is attached = %v, want ErrOrgPolicyInUse", err)
	}
	if err := w.move(account, inner, w.rootID()); err != nil {
		t.Fatal(err)
	}
	for _, unit := range []string{inner, outer} {
		if err := w.deleteUnit(unit); err != nil {
			t.Errorf("deleting an empty unit = %v", err)
		}
	}
	if err := w.deletePolicy(policy); err != nil {
		t.Errorf("deleting a policy that was attached to a unit that is gone = %v", err)
	}
	w.reopen()
}
