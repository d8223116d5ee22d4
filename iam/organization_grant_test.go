package iam

import (
	"errors"
	"slices"
	"testing"

	"github.com/kmsd/kmsd/authz"
)

// orgChange is a change of the organization that would succeed, and which actions on which ARNs it asks a grant for.
type orgChange struct {
	name   string
	action authz.Action
	arns   []string
	do     func(g ...authz.Grant) error
}

func orgChanges(w *orgWorld) []orgChange {
	s := w.Snapshot()
	unit, account, policy := w.mustUnit(w.rootID(), "unit"), w.mustAccount("account").Account.ID, w.mustPolicy("policy", authz.ServiceControlPolicy, denyEncryptSCP)
	root := w.rootID()
	onRoot, onUnit, onAccount, onPolicy := s.RootNodeARN(), s.OrganizationalUnitARN(unit), s.OrgAccountARN(account), w.Snapshot().OrgPolicyARN(policy)
	return []orgChange{
		{"CreateAccount", authz.OrganizationsCreateAccount, []string{"*"}, func(g ...authz.Grant) error {
			_, err := w.CreateAccount(g[0], CreateAccount{Name: "x"})
			return err
		}},
		{"MoveAccount", authz.OrganizationsMoveAccount, []string{onAccount, onRoot, onUnit}, func(g ...authz.Grant) error {
			return w.MoveAccount(MoveAccountGrants{g[0], g[1], g[2]}, MoveAccount{account, root, unit})
		}},
		{"CreateOrganizationalUnit", authz.OrganizationsCreateOrganizationalUnit, []string{onRoot}, func(g ...authz.Grant) error {
			_, err := w.CreateOrganizationalUnit(g[0], root, "x")
			return err
		}},
		{"UpdateOrganizationalUnit", authz.OrganizationsUpdateOrganizationalUnit, []string{onUnit}, func(g ...authz.Grant) error {
			_, err := w.UpdateOrganizationalUnit(g[0], unit, "y")
			return err
		}},
		{"CreatePolicy", authz.OrganizationsCreatePolicy, []string{"*"}, func(g ...authz.Grant) error {
			_, err := w.CreateOrgPolicy(g[0], CreateOrgPolicy{Name: "x", Type: authz.ServiceControlPolicy, Content: denyEncryptSCP})
			return err
		}},
		{"UpdatePolicy", authz.OrganizationsUpdatePolicy, []string{onPolicy}, func(g ...authz.Grant) error {
			_, err := w.UpdateOrgPolicy(g[0], UpdateOrgPolicy{ID: policy, Name: "y"})
			return err
		}},
		{"AttachPolicy", authz.OrganizationsAttachPolicy, []string{onPolicy, onUnit}, func(g ...authz.Grant) error {
			return w.AttachOrgPolicy(g[0], g[1], policy, unit)
		}},
		{"DetachPolicy", authz.OrganizationsDetachPolicy, []string{onPolicy, onUnit}, func(g ...authz.Grant) error {
			return w.DetachOrgPolicy(g[0], g[1], policy, unit)
		}},
		{"DeletePolicy", authz.OrganizationsDeletePolicy, []string{onPolicy}, func(g ...authz.Grant) error {
			return w.DeleteOrgPolicy(g[0], policy)
		}},
		{"CloseAccount", authz.OrganizationsCloseAccount, []string{onAccount}, func(g ...authz.Grant) error {
			return w.CloseAccount(g[0], account)
		}},
	}
}

// Every change needs each of its grants, and they come from the management account.
func TestOrganizationChangesNeedTheirGrants(t *testing.T) {
	w := newOrgWorld(t)
	member := w.mustAccount("member")
	root := w.caller(member.RootKey.ID)
	for _, c := range orgChanges(w) {
		before := orgDump(w.Snapshot())
		right := make([]authz.Grant, len(c.arns))
		for n, arn := range c.arns {
			right[n] = w.grant(c.action, arn)
		}
		for n := range c.arns {
			another := authz.OrganizationsDescribePolicy
			if c.arns[n] == "*" {
				another = authz.OrganizationsListPolicies
			}
			wrong := map[string]authz.Grant{"no grant": {}, "a grant for another action": w.grant(another, c.arns[n])}
			if c.arns[n] != "*" {
				wrong["a grant for another resource"] = w.grant(c.action, w.Snapshot().TargetARN(orgManagement))
			}
			for name, g := range wrong {
				grants := slices.Clone(right)
				grants[n] = g
				if err := c.do(grants...); !errors.Is(err, ErrNotPermitted) {
					t.Errorf("%s with %s in place %d = %v, want ErrNotPermitted", c.name, name, n, err)
				}
			}
		}
		if c.arns[0] == "*" {
			g, d := authz.Authorize(root, c.action, &authz.Resource{}, request())
			if d.Verdict != authz.Allow {
				t.Fatalf("Authorize(%v) of a member account's root user = %+v, want it allowed", c.action, d)
			}
			if err := c.do(g); !errors.Is(err, ErrOrganizationsNotInUse) {
				t.Errorf("%s by a member account = %v, want ErrOrganizationsNotInUse", c.name, err)
			}
		}
		if after := orgDump(w.Snapshot()); !slices.Equal(before, after) {
			t.Errorf("%s changed the organization without its grants", c.name)
		}
		if err := c.do(right...); err != nil {
			t.Errorf("%s with its grants = %v", c.name, err)
		}
	}
}

// What is not there has the ARN that it would have, so that a permission is decided before existence shows.
func TestOrganizationARNs(t *testing.T) {
	w := newOrgWorld(t)
	s := w.Snapshot()
	o, r := s.Organization().ID, w.rootID()
	policy := w.mustPolicy("p", authz.ResourceControlPolicy, denyEncryptRCP)
	s = w.Snapshot()
	const prefix = "arn:aws:organizations::" + orgManagement + ":"
	for name, row := range map[string][2]string{
		"the organization":                   {s.OrganizationARN(), prefix + "organization/" + o},
		"the root":                           {s.RootNodeARN(), prefix + "root/" + o + "/" + r},
		"the root as a target":               {s.TargetARN(r), prefix + "root/" + o + "/" + r},
		"another root":                       {s.TargetARN("r-zzzz"), prefix + "root/" + o + "/r-zzzz"},
		"a unit that is not there":           {s.TargetARN("ou-zzzz-zzzzzzzz"), prefix + "ou/" + o + "/ou-zzzz-zzzzzzzz"},
		"an account that is not there":       {s.TargetARN("000000000000"), prefix + "account/" + o + "/000000000000"},
		"something of no form":               {s.TargetARN("*"), prefix + "account/" + o + "/*"},
		"a policy that is not there":         {s.OrgPolicyARN("p-zzzzzzzz"), prefix + "policy/" + o + "/service_control_policy/p-zzzzzzzz"},
		"a resource control policy":          {s.OrgPolicyARN(policy), prefix + "policy/" + o + "/resource_control_policy/" + policy},
		"the service control policy of AWS":  {s.OrgPolicyARN(FullAWSAccessID), "arn:aws:organizations::aws:policy/service_control_policy/p-FullAWSAccess"},
		"the resource control policy of AWS": {s.OrgPolicyARN(RCPFullAWSAccessID), "arn:aws:organizations::aws:policy/resource_control_policy/p-RCPFullAWSAccess"},
	} {
		if row[0] != row[1] {
			t.Errorf("the ARN of %s is %q, want %q", name, row[0], row[1])
		}
	}
}
