package iam

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kmsd/kmsd/authz"
)

// orgModel is an organization as simple as can be: everything by id, and nothing computed is kept.
type orgModel struct {
	root     string
	parents  map[string]string   // :: unit or account → what it is directly under
	names    map[string]string   // :: unit, account or policy → name
	closed   map[string]bool     // :: account → whether it is
	attached map[string][]string // :: node → policies, in order
	kinds    map[string]authz.PolicyKind
	contents map[string]string // :: policy → document
}

// notThere are ids of everything that is not there.
var notThere = []string{"ou-zzzz-zzzzzzzzzzzz", "000000000000", "p-zzzzzzzzzzzz", "r-zzzz"}

func newOrgModel(root string) *orgModel {
	m := &orgModel{
		root: root, parents: map[string]string{orgManagement: root}, names: map[string]string{orgManagement: managementName},
		closed: map[string]bool{orgManagement: false}, attached: map[string][]string{root: firstPolicies(), orgManagement: firstPolicies()},
		kinds:    map[string]authz.PolicyKind{FullAWSAccessID: authz.ServiceControlPolicy, RCPFullAWSAccessID: authz.ResourceControlPolicy},
		contents: map[string]string{FullAWSAccessID: authz.FullAWSAccess, RCPFullAWSAccessID: authz.RCPFullAWSAccess},
	}
	m.names[FullAWSAccessID], m.names[RCPFullAWSAccessID] = "FullAWSAccess", "RCPFullAWSAccess"
	return m
}

func isUnit(id string) bool    { return strings.HasPrefix(id, "ou-") }
func isAccount(id string) bool { return id[0] >= '0' && id[0] <= '9' }

func (m *orgModel) nodes() []string { return slices.Sorted(maps.Keys(m.attached)) }

func (m *orgModel) containers() []string {
	return slices.DeleteFunc(m.nodes(), isAccount)
}

func (m *orgModel) accounts() []string { return slices.Sorted(maps.Keys(m.closed)) }

func (m *orgModel) isContainer(id string) bool { return slices.Contains(m.containers(), id) }

func (m *orgModel) depth(id string) int {
	if id == m.root {
		return 0
	}
	return 1 + m.depth(m.parents[id])
}

func (m *orgModel) ofKind(node string, kind authz.PolicyKind) int {
	n := 0
	for _, id := range m.attached[node] {
		if m.kinds[id] == kind {
			n++
		}
	}
	return n
}

// siblingHas reports whether a unit other than id has the name under a parent.
func (m *orgModel) siblingHas(parent, name, id string) bool {
	for other, p := range m.parents {
		if isUnit(other) && other != id && p == parent && strings.EqualFold(m.names[other], name) {
			return true
		}
	}
	return false
}

func (m *orgModel) policyHas(kind authz.PolicyKind, name, id string) bool {
	for other, k := range m.kinds {
		if other != id && k == kind && strings.EqualFold(m.names[other], name) {
			return true
		}
	}
	return false
}

// bound tells the membership of an account as [boundBy] does, by going up from it.
func (m *orgModel) bound(organization, account string) string {
	path, levels := "", [2][]string{}
	for at := account; at != ""; at = m.parents[at] {
		if at != account {
			path = at + "/" + path
		}
		for n, kind := range orgPolicyTypes {
			var names []string
			for _, id := range m.attached[at] {
				if m.kinds[id] == kind {
					names = append(names, fmt.Sprintf("%v %s %s", kind, id, m.contents[id]))
				}
			}
			levels[n] = append([]string{fmt.Sprintf("\n  %q", names)}, levels[n]...)
		}
	}
	if m.closed[account] {
		levels[0] = append(levels[0], fmt.Sprintf("\n  %q", []string{"service control policy account-closed " + closedSCP}))
		levels[1] = append(levels[1], fmt.Sprintf("\n  %q", []string{"resource control policy account-closed " + closedRCP}))
	}
	return fmt.Sprintf("%s %s/%s management %v", organization, organization, path, account == orgManagement) +
		strings.Join(levels[0], "") + strings.Join(levels[1], "")
}
